/*
 * A stream without gaps to an isochronous OUT endpoint: a ring of transfers in one registered buffer, each used anew as
 * soon as it has completed, while the others are on the bus.
 *
 *     asap_stream [DEVICE [MILLISECONDS]]
 *
 * The first transfer starts as soon as possible; every other one must continue the stream (ContinueStream TRUE), so a
 * stream that was interrupted is noticed: 87. The program then starts it anew, and tells how many transfers that cost.
 */
#include "common.h"

#define RING 8
#define FRAMES_EACH 4

int main(int argc, char **argv) {
    struct device device;
    const unsigned long wanted = argc > 2 ? strtoul(argv[2], NULL, 10) : 1000;
    WINUSB_ISOCH_BUFFER_HANDLE registered = NULL;
    OVERLAPPED overlapped[RING];
    UCHAR *ring;
    ULONG bytes, milliseconds = 0;
    int i, lost = 0, broken = 0;
    unsigned sample = 0;
    if (!open_device(&device, argc > 1 ? argv[1] : NULL, 0)) return 1;
    bytes = device.bytes_per_frame * FRAMES_EACH;
    ring = (UCHAR *)calloc(RING, bytes);
    memset(overlapped, 0, sizeof overlapped);
    if (ring == NULL || !WinUsb_RegisterIsochBuffer(device.usb, device.pipe.PipeId, ring, RING * bytes, &registered))
        return failed("RegisterIsochBuffer");
    for (i = 0; i < RING; i++) overlapped[i].hEvent = CreateEventA(NULL, TRUE, FALSE, NULL);

    for (i = 0; milliseconds < wanted + RING * FRAMES_EACH; milliseconds += FRAMES_EACH, i = (i + 1) % RING) {
        UCHAR *data = ring + (size_t)i * bytes;
        const int again = milliseconds >= RING * FRAMES_EACH;
        ULONG k;
        DWORD none;
        if (again && !WinUsb_GetOverlappedResult(device.usb, &overlapped[i], &none, TRUE)) {
            if (GetLastError() != ERROR_INVALID_PARAMETER) return failed("a transfer");
            lost++; /* it found no stream to continue */
            broken = 1;
        }
        if (milliseconds >= wanted) continue; /* only waiting for the last ones */
        for (k = 0; k < bytes; k++) data[k] = (UCHAR)sample++;
        /* After one that failed the next begins a stream anew. */
        if (!WinUsb_WriteIsochPipeAsap(registered, (ULONG)i * bytes, bytes, milliseconds > 0 && !broken, &overlapped[i]) &&
            GetLastError() != ERROR_IO_PENDING)
            return failed("WriteIsochPipeAsap");
        broken = 0;
    }

    WinUsb_UnregisterIsochBuffer(registered);
    for (i = 0; i < RING; i++) CloseHandle(overlapped[i].hEvent);
    close_device(&device);
    free(ring);
    printf("%lu ms, %u bytes: %d transfers were lost because the stream was interrupted\n", wanted, sample, lost);
    return lost != 0;
}
