/* 64 reads in flight, each with a manual-reset event, polled without waiting; in order, packets and all. */
#include "stress.h"

int main(int argc, char **argv) {
    struct client client;
    static OVERLAPPED overlapped[IN_FLIGHT];
    USBD_ISO_PACKET_DESCRIPTOR *packets;
    ULONG submitted = 0, completed = 0, count, i;
    start(&client, argc, argv, 1);
    count = client.bytes / client.device.pipe.MaximumBytesPerInterval;
    packets = (USBD_ISO_PACKET_DESCRIPTOR *)calloc(IN_FLIGHT * count, sizeof *packets);
    REQUIRE(packets != NULL);
    for (i = 0; i < IN_FLIGHT; i++) {
        overlapped[i].hEvent = CreateEventA(NULL, TRUE, FALSE, NULL);
        REQUIRE(overlapped[i].hEvent != NULL);
    }
    while (completed < client.total) {
        ULONG slot, next;
        DWORD bytes = 1;
        while (submitted < client.total && submitted - completed < IN_FLIGHT) {
            slot = submitted % IN_FLIGHT;
            memset(&packets[slot * count], 0xEE, count * sizeof *packets);
            REQUIRE(!WinUsb_ReadIsochPipeAsap(client.registered, slot * client.bytes, client.bytes, submitted > 0, count,
                                              &packets[slot * count], &overlapped[slot]) &&
                    GetLastError() == ERROR_IO_PENDING);
            submitted++;
        }
        slot = completed % IN_FLIGHT;
        if (!WinUsb_GetOverlappedResult(client.device.usb, &overlapped[slot], &bytes, FALSE)) {
            REQUIRE(GetLastError() == ERROR_IO_INCOMPLETE);
            Sleep(1);
            continue;
        }
        REQUIRE(bytes == 0 && WaitForSingleObject(overlapped[slot].hEvent, 0) == WAIT_OBJECT_0);
        /* The one behind it was not overtaken: what has completed is a run from the oldest on. */
        next = (slot + 1) % IN_FLIGHT;
        if (submitted - completed > 2 && !HasOverlappedIoCompleted(&overlapped[next]))
            REQUIRE(!HasOverlappedIoCompleted(&overlapped[(slot + 2) % IN_FLIGHT]) ||
                    HasOverlappedIoCompleted(&overlapped[next]));
        for (i = 0; i < count; i++) {
            const USBD_ISO_PACKET_DESCRIPTOR *packet = &packets[slot * count + i];
            REQUIRE(packet->Status == 0 && packet->Offset == i * client.device.pipe.MaximumBytesPerInterval);
            REQUIRE(packet->Length == client.device.pipe.MaximumBytesPerInterval);
        }
        completed++;
        if (completed == client.total / 10) warm();
    }
    for (i = 0; i < IN_FLIGHT; i++) REQUIRE(CloseHandle(overlapped[i].hEvent));
    free(packets);
    finish(&client, 0);
    return 0;
}
