/*
 * Reads an isochronous IN endpoint without end and reports what was lost: frames between transfers (with
 * WinUsbX_SubmitIsoch, whose report tells which), and packets within them.
 *
 *     read_gaps [DEVICE [MILLISECONDS]]
 *
 * To see it find something, give the emulated bus faults: ISOCH_FAULTS=faults.toml, with
 *
 *     [[fault]]
 *     frames = [100, 103]
 *     kind = "host_missed"
 *
 * Ends with 3 if anything was lost, as the command isoch does.
 */
#include "common.h"

#include <winusbx.h>

#define RING 8
#define FRAMES_EACH 4

struct slot {
    OVERLAPPED overlapped;
    WINUSBX_ISOCH_REPORT report;
    USBD_ISO_PACKET_DESCRIPTOR *packets;
};

static const char *cause(ULONG cause) {
    switch (cause) {
        case WINUSBX_GAP_CAUSE_QUEUE_RAN_DRY: return "the queue ran dry";
        case WINUSBX_GAP_CAUSE_LATE: return "submitted too late";
        case WINUSBX_GAP_CAUSE_HOST_MISSED: return "the host controller missed them";
        default: return "unknown cause";
    }
}

int main(int argc, char **argv) {
    struct device device;
    const unsigned long wanted = argc > 2 ? strtoul(argv[2], NULL, 10) : 1000;
    WINUSB_ISOCH_BUFFER_HANDLE registered = NULL;
    struct slot slots[RING];
    UCHAR *ring;
    ULONG bytes, count, k, milliseconds = 0;
    unsigned long received = 0, gaps = 0, bad = 0;
    int i;
    if (!open_device(&device, argc > 1 ? argv[1] : NULL, 1)) return 1;
    bytes = device.bytes_per_frame * FRAMES_EACH;
    count = bytes / device.pipe.MaximumBytesPerInterval;
    ring = (UCHAR *)calloc(RING, bytes);
    memset(slots, 0, sizeof slots);
    if (ring == NULL || !WinUsb_RegisterIsochBuffer(device.usb, device.pipe.PipeId, ring, RING * bytes, &registered))
        return failed("RegisterIsochBuffer");
    for (i = 0; i < RING; i++) {
        slots[i].overlapped.hEvent = CreateEventA(NULL, TRUE, FALSE, NULL);
        slots[i].report.Size = sizeof slots[i].report;
        slots[i].packets = (USBD_ISO_PACKET_DESCRIPTOR *)calloc(count, sizeof *slots[i].packets);
        if (slots[i].packets == NULL) return 1;
    }

    for (i = 0; milliseconds < wanted + RING * FRAMES_EACH; milliseconds += FRAMES_EACH, i = (i + 1) % RING) {
        struct slot *slot = &slots[i];
        WINUSBX_ISOCH_TRANSFER transfer;
        DWORD none;
        if (milliseconds >= RING * FRAMES_EACH) {
            const WINUSBX_ISOCH_REPORT *report = &slot->report;
            if (!WinUsb_GetOverlappedResult(device.usb, &slot->overlapped, &none, TRUE) &&
                GetLastError() != ERROR_GEN_FAILURE)
                return failed("a transfer");
            received += report->BytesTransferred;
            if (report->Gap == WINUSBX_GAP_LOST) {
                gaps++;
                printf("%lu frames lost from frame %lu on (+-%lu): %s\n", (unsigned long)report->GapFrames,
                       (unsigned long)report->GapFirstFrame, (unsigned long)report->GapUncertainty,
                       cause(report->GapCause));
            }
            for (k = 0; k < count; k++)
                if (slot->packets[k].Status != 0) bad++;
        }
        if (milliseconds >= wanted) continue; /* only waiting for the last ones */
        memset(&transfer, 0, sizeof transfer);
        transfer.Size = sizeof transfer;
        transfer.Offset = (ULONG)i * bytes;
        transfer.Length = bytes;
        transfer.Start = WINUSBX_START_ASAP; /* go on after a gap, and tell of it */
        transfer.NumberOfPackets = count;
        transfer.Packets = slot->packets;
        transfer.Report = &slot->report;
        if (!WinUsbX_SubmitIsoch(registered, &transfer, &slot->overlapped) && GetLastError() != ERROR_IO_PENDING)
            return failed("SubmitIsoch");
    }

    WinUsb_UnregisterIsochBuffer(registered);
    for (i = 0; i < RING; i++) {
        CloseHandle(slots[i].overlapped.hEvent);
        free(slots[i].packets);
    }
    close_device(&device);
    free(ring);
    printf("%lu ms were read: %lu bytes, %lu gaps, %lu packets lost or failed\n", wanted, received, gaps, bad);
    return gaps + bad > 0 ? 3 : 0;
}
