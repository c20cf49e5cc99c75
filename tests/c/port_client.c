/* 64 transfers in flight, completed through a completion port without events: one packet each, in order. */
#include "stress.h"

int main(int argc, char **argv) {
    struct client client;
    static OVERLAPPED overlapped[IN_FLIGHT];
    ULONG submitted = 0, completed = 0;
    HANDLE port;
    ULONG_PTR key = 0;
    DWORD bytes = 1;
    OVERLAPPED *done = NULL;
    start(&client, argc, argv, 0);
    port = CreateIoCompletionPort(client.device.file, NULL, 0x15, 0);
    REQUIRE(port != NULL);
    while (completed < client.total) {
        while (submitted < client.total && submitted - completed < IN_FLIGHT) {
            const ULONG slot = submitted % IN_FLIGHT;
            BOOL result = WinUsb_WriteIsochPipeAsap(client.registered, slot * client.bytes, client.bytes, submitted > 0,
                                                    &overlapped[slot]);
            /* Always pending, never TRUE: there is one packet for each. */
            REQUIRE(!result && GetLastError() == ERROR_IO_PENDING);
            submitted++;
        }
        REQUIRE(GetQueuedCompletionStatus(port, &bytes, &key, &done, INFINITE));
        REQUIRE(key == 0x15 && bytes == 0 && done == &overlapped[completed % IN_FLIGHT]);
        REQUIRE(HasOverlappedIoCompleted(done));
        completed++;
        if (completed == client.total / 10) warm();
    }
    /* And none is left. */
    REQUIRE(!GetQueuedCompletionStatus(port, &bytes, &key, &done, 0));
    REQUIRE(done == NULL && GetLastError() == WAIT_TIMEOUT);
    REQUIRE(CloseHandle(port));
    finish(&client, 0);
    return 0;
}
