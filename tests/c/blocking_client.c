/* 64 threads, each with one blocking write after another: all return TRUE, whichever thread waits. */
#include "stress.h"

#if defined(_WIN32)
typedef HANDLE Thread;
#define THREAD_FUNCTION(name) static DWORD WINAPI name(LPVOID argument)
#define THREAD_START(thread, function, argument) (*(thread) = CreateThread(NULL, 0, (function), (argument), 0, NULL)) != NULL
#define THREAD_JOIN(thread) (WaitForSingleObject((thread), INFINITE), CloseHandle(thread))
#else
#include <pthread.h>
typedef pthread_t Thread;
#define THREAD_FUNCTION(name) static void *name(void *argument)
#define THREAD_START(thread, function, argument) pthread_create((thread), NULL, (function), (argument)) == 0
#define THREAD_JOIN(thread) pthread_join((thread), NULL)
#endif

struct work {
    const struct client *client;
    ULONG number;
    ULONG transfers;
};

THREAD_FUNCTION(writes) {
    struct work *work = (struct work *)argument;
    const struct client *client = work->client;
    ULONG i;
    for (i = 0; i < work->transfers; i++)
        REQUIRE(WinUsb_WriteIsochPipeAsap(client->registered, work->number * client->bytes, client->bytes, FALSE, NULL));
    return 0;
}

static void run(const struct client *client, ULONG total) {
    static struct work work[IN_FLIGHT];
    static Thread threads[IN_FLIGHT];
    ULONG i;
    for (i = 0; i < IN_FLIGHT; i++) {
        work[i].client = client;
        work[i].number = i;
        work[i].transfers = total / IN_FLIGHT + (i < total % IN_FLIGHT);
        REQUIRE(THREAD_START(&threads[i], writes, &work[i]));
    }
    for (i = 0; i < IN_FLIGHT; i++) THREAD_JOIN(threads[i]);
}

int main(int argc, char **argv) {
    struct client client;
    ULONG first;
    start(&client, argc, argv, 0);
    /* A tenth first: threads come and go, too. */
    first = client.total / 10;
    run(&client, first);
    warm();
    run(&client, client.total - first);
    /* Threads that wait for their turn on a clock moved by waits may let the queue run dry. */
    finish(&client, 1);
    return 0;
}
