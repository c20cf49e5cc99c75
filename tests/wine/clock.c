/* Emulated time: which waits move it. Run with ISOCH_CLOCK=on-wait, or with ISOCH_CLOCK=manual and the word. */
#include "device.h"
#include <winusbx.h>

#define TRANSFERS 3

static UCHAR buffer[TRANSFERS * 10 * FRAME];
static OVERLAPPED overlapped[TRANSFERS];

int main(int argc, char **argv)
{
    BOOL manual = argc > 1 && strcmp(argv[1], "manual") == 0;
    WINUSB_ISOCH_BUFFER_HANDLE out;
    LARGE_INTEGER at;
    DWORD bytes;
    ULONG frame, start, adjusted;

    HANDLE file = open_path("\\\\.\\isoch");
    WINUSB_INTERFACE_HANDLE usb = initialize(file);
    CHECK(WinUsb_RegisterIsochBuffer(usb, OUT_PIPE, buffer, sizeof buffer, &out));
    CHECK(WinUsb_GetCurrentFrameNumber(usb, &frame, &at));
    /* However long a program takes, the frame stays. */
    Sleep(30);
    CHECK(frame_now(usb) == frame);
    adjusted = frame;
    CHECK(WinUsb_GetAdjustedFrameNumber(&adjusted, at) && adjusted == frame);

    start = frame + 5;
    for (int i = 0; i < TRANSFERS; i++) {
        overlapped[i].hEvent = CreateEventA(NULL, TRUE, FALSE, NULL);
        SAME(told(WinUsb_WriteIsochPipe(out, i * 10 * FRAME, 10 * FRAME, &start, &overlapped[i])), "FALSE 997");
        CHECK(start == frame + 5 + 10 * (i + 1));
    }
    /* The system's waits do not move it. */
    CHECK(WaitForSingleObject(overlapped[0].hEvent, 50) == WAIT_TIMEOUT);
    for (int i = 0; i < TRANSFERS; i++) {
        if (manual) {
            CHECK(WinUsbX_AdvanceClock(usb, i == 0 ? 15 : 10));
            CHECK(WaitForSingleObject(overlapped[i].hEvent, 0) == WAIT_OBJECT_0);
        }
        CHECK(WinUsb_GetOverlappedResult(usb, &overlapped[i], &bytes, TRUE));
        CHECK(frame_now(usb) == frame + 5 + 10 * (i + 1));
        CHECK(WaitForSingleObject(overlapped[i].hEvent, 0) == WAIT_OBJECT_0);
    }
    if (!manual) {
        start = frame_now(usb) + 5;
        CHECK(WinUsb_WriteIsochPipe(out, 0, 10 * FRAME, &start, NULL));
        CHECK(frame_now(usb) == start);
    }
    CHECK(WinUsb_UnregisterIsochBuffer(out));
    CHECK(WinUsb_Free(usb));
    CHECK(CloseHandle(file));
    return passed();
}
