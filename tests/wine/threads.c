/* A client that knows no OVERLAPPED: a thread for each transfer that is under way. */
#include "device.h"

#define THREADS 64
#define ROUNDS 8

static UCHAR buffer[THREADS * FRAME];
static WINUSB_ISOCH_BUFFER_HANDLE in;
static volatile LONG under_way, most, late;

static DWORD WINAPI reader(void *argument)
{
    int index = (int)(ULONG_PTR)argument;
    USBD_ISO_PACKET_DESCRIPTOR packets[8];
    for (int i = 0; i < ROUNDS; i++) {
        LONG now = InterlockedIncrement(&under_way);
        if (now > most) {
            most = now;
        }
        BOOL ok = WinUsb_ReadIsochPipeAsap(in, index * FRAME, FRAME, FALSE, 8, packets, NULL);
        InterlockedDecrement(&under_way);
        if (!ok && GetLastError() == ERROR_GEN_FAILURE) {
            /* Behind a transfer that was nearly over: too late for the frame after it. */
            InterlockedIncrement(&late);
        } else {
            SAME(told(ok), "TRUE");
            CHECK(packets[7].Offset == 7 * PACKET);
        }
    }
    return 0;
}

int main(void)
{
    HANDLE file = open_path("\\\\.\\isoch"), threads[THREADS];
    WINUSB_INTERFACE_HANDLE usb = initialize(file);
    CHECK(WinUsb_RegisterIsochBuffer(usb, IN_PIPE, buffer, sizeof buffer, &in));
    for (int i = 0; i < THREADS; i++) {
        threads[i] = CreateThread(NULL, 0, reader, (void *)(ULONG_PTR)i, 0, NULL);
    }
    CHECK(WaitForMultipleObjects(THREADS, threads, TRUE, 30000) == WAIT_OBJECT_0);
    CHECK(most > 1);
    CHECK(late < THREADS * ROUNDS / 2);
    CHECK(WinUsb_UnregisterIsochBuffer(in));
    CHECK(WinUsb_Free(usb));
    CHECK(CloseHandle(file));
    return passed();
}
