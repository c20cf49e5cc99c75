/* What the stress clients have in common: the article's device with one frame per transfer, and what must be left. */
#ifndef TESTS_STRESS_H
#define TESTS_STRESS_H

#include "../../examples/winusb/common.h"

#include <winusbx.h>

#define IN_FLIGHT 64

#define REQUIRE(condition)                                                                       \
    do {                                                                                         \
        if (!(condition)) {                                                                      \
            DWORD code = GetLastError();                                                         \
            fprintf(stderr, "%s:%d: %s (last error %lu)\n", __FILE__, __LINE__, #condition, (unsigned long)code); \
            exit(1);                                                                             \
        }                                                                                        \
    } while (0)

struct client {
    struct device device;
    WINUSB_ISOCH_BUFFER_HANDLE registered;
    UCHAR *memory;
    ULONG bytes; /* of one transfer, which is one frame */
    ULONG total; /* transfers */
};

/* Resident memory in KiB and open descriptors, where the system tells. (valgrind has memory of its own there, and its own
 * way to find leaks.) */
static void usage(long *memory, long *descriptors) {
    *memory = *descriptors = 0;
#if defined(__linux__)
    if (getenv("ISOCH_VALGRIND") == NULL) {
        FILE *file = fopen("/proc/self/statm", "r");
        long size = 0;
        char name[64];
        int i;
        if (file != NULL && fscanf(file, "%ld %ld", &size, memory) != 2) *memory = 0;
        if (file != NULL) fclose(file);
        *memory *= 4;
        for (i = 0; i < 1024; i++) {
            sprintf(name, "/proc/self/fd/%d", i);
            file = fopen(name, "rb");
            if (file != NULL) {
                fclose(file);
                *descriptors += 1;
            }
        }
    }
#endif
}

static long memory_at_first, descriptors_at_first;

/* DEVICE TRANSFERS [IN] */
static void start(struct client *client, int argc, char **argv, int reads) {
    REQUIRE(argc > 2);
    memset(client, 0, sizeof *client);
    client->total = (ULONG)strtoul(argv[2], NULL, 10);
    REQUIRE(open_device(&client->device, argv[1], reads));
    client->bytes = client->device.bytes_per_frame;
    client->memory = (UCHAR *)calloc(IN_FLIGHT, client->bytes);
    REQUIRE(client->memory != NULL);
    REQUIRE(WinUsb_RegisterIsochBuffer(client->device.usb, client->device.pipe.PipeId, client->memory,
                                       IN_FLIGHT * client->bytes, &client->registered));
}

/* To be called when a tenth is done, and everything that is made once has been made. */
static void warm(void) { usage(&memory_at_first, &descriptors_at_first); }

/* Closes all and looks at what is left: every transfer completed once, nothing was lost, nothing grew. */
static void finish(struct client *client, int gaps_allowed) {
    WINUSBX_STATISTICS counted;
    long memory, descriptors;
    usage(&memory, &descriptors);
    memset(&counted, 0, sizeof counted);
    counted.Size = sizeof counted;
    REQUIRE(WinUsbX_GetStatistics(client->device.usb, client->device.pipe.PipeId, &counted));
    printf("%lu transfers: %lu submitted, %lu completed, %lu gaps; memory %+ld KiB, descriptors %+ld\n",
           (unsigned long)client->total, (unsigned long)counted.Submitted, (unsigned long)counted.Completed,
           (unsigned long)counted.Gaps, memory - memory_at_first, descriptors - descriptors_at_first);
    REQUIRE(counted.Submitted == client->total && counted.Completed == client->total && counted.Failed == 0);
    REQUIRE(gaps_allowed || counted.Gaps == 0);
    REQUIRE(memory - memory_at_first < 2048 && descriptors == descriptors_at_first);
    REQUIRE(WinUsb_UnregisterIsochBuffer(client->registered));
    close_device(&client->device);
    free(client->memory);
}

#endif
