/* A client with a completion port, as libusb is one: the file is bound to it, no events. */
#include "device.h"
#include <stdlib.h>

#define COUNT 64
/* What is under way is a quarter of a second, so that a busy machine is not late. */
#define SIZE (4 * FRAME)
#ifndef ROUNDS
#define ROUNDS 4
#endif

static UCHAR buffer[COUNT * SIZE];
static OVERLAPPED overlapped[COUNT];
static HANDLE file, port;

/* The number of a new handle: the lowest that is free, so it grows with what is left open. */
static ULONG_PTR next_handle(void)
{
    HANDLE handle = CreateEventA(NULL, TRUE, FALSE, NULL);
    CloseHandle(handle);
    return (ULONG_PTR)handle;
}

/* The next packet, and what GetOverlappedResult says of it. */
static const char *packet(OVERLAPPED *expected)
{
    static char text[100];
    OVERLAPPED *got = NULL;
    ULONG_PTR key = 0;
    DWORD bytes = 777, again = 777;
    BOOL ok = GetQueuedCompletionStatus(port, &bytes, &key, &got, 10000);
    DWORD error = ok ? 0 : GetLastError();
    if (!got) {
        return "no packet";
    }
    CHECK(got == expected && key == 0x1234);
    BOOL result = GetOverlappedResult(file, got, &again, FALSE);
    DWORD result_error = result ? 0 : GetLastError();
    snprintf(text, sizeof text, "%lu %lu bytes, %lu %lu bytes", error, bytes, result_error, again);
    return text;
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : "\\\\.\\isoch";
    BOOL is_pipe = strcmp(path, "\\\\.\\isoch") == 0;
    WINUSB_ISOCH_BUFFER_HANDLE out;
    DWORD bytes;
    ULONG_PTR key;
    OVERLAPPED *none;

    file = open_path(path);
    port = CreateIoCompletionPort(file, NULL, 0x1234, 0);
    CHECK(port != NULL);
    WINUSB_INTERFACE_HANDLE usb = initialize(file);
    CHECK(WinUsb_RegisterIsochBuffer(usb, OUT_PIPE, buffer, sizeof buffer, &out));

    ULONG_PTR handles = next_handle();
    ULONG start = frame_now(usb) + 300;
    for (int i = 0; i < COUNT * ROUNDS; i++) {
        int slot = i % COUNT;
        if (i >= COUNT) {
            SAME(packet(&overlapped[slot]), "0 0 bytes, 0 0 bytes");
        }
        SAME(told(WinUsb_WriteIsochPipe(out, slot * SIZE, SIZE, &start, &overlapped[slot])), "FALSE 997");
    }
    for (int i = 0; i < COUNT; i++) {
        SAME(packet(&overlapped[i]), "0 0 bytes, 0 0 bytes");
    }

    CHECK(next_handle() < handles + 40);

    /* As libusb starts a stream: continued, which fails through the port; then again. */
    SAME(told(WinUsb_WriteIsochPipeAsap(out, 0, FRAME, TRUE, &overlapped[0])), "FALSE 997");
    SAME(packet(&overlapped[0]), is_pipe ? "234 0 bytes, 87 0 bytes" : "0 0 bytes, 87 0 bytes");
    SAME(told(WinUsb_WriteIsochPipeAsap(out, 0, FRAME, FALSE, &overlapped[0])), "FALSE 997");
    SAME(packet(&overlapped[0]), "0 0 bytes, 0 0 bytes");

    /* Everything cancelled: each has its packet. */
    start = frame_now(usb) + 900;
    for (int i = 0; i < COUNT; i++) {
        SAME(told(WinUsb_WriteIsochPipe(out, 0, FRAME, &start, &overlapped[i])), "FALSE 997");
    }
    CHECK(WinUsb_AbortPipe(usb, OUT_PIPE));
    for (int i = 0; i < COUNT; i++) {
        SAME(packet(&overlapped[i]), is_pipe ? "995 0 bytes, 995 0 bytes" : "0 0 bytes, 995 0 bytes");
    }

    /* An event with its lowest bit set: no packet. */
    overlapped[0].hEvent = (HANDLE)((ULONG_PTR)CreateEventA(NULL, TRUE, FALSE, NULL) | 1);
    SAME(told(WinUsb_WriteIsochPipeAsap(out, 0, FRAME, FALSE, &overlapped[0])), "FALSE 997");
    CHECK(WinUsb_GetOverlappedResult(usb, &overlapped[0], &bytes, TRUE));
    CHECK(WaitForSingleObject((HANDLE)((ULONG_PTR)overlapped[0].hEvent & ~(ULONG_PTR)1), 0) == WAIT_OBJECT_0);
    /* Blocking calls post nothing either. */
    CHECK(WinUsb_WriteIsochPipeAsap(out, 0, FRAME, FALSE, NULL));
    CHECK(!GetQueuedCompletionStatus(port, &bytes, &key, &none, 50) && none == NULL);
    CHECK(WinUsb_UnregisterIsochBuffer(out));

    /* The bytes of a bulk transfer are in its packet. */
    CHECK(WinUsb_SetCurrentAlternateSetting(usb, 0));
    overlapped[0].hEvent = NULL;
    SAME(told(WinUsb_WritePipe(usb, OUT_PIPE, buffer, 200000, NULL, &overlapped[0])), "FALSE 997");
    SAME(packet(&overlapped[0]), "0 200000 bytes, 0 200000 bytes");
    CHECK(WinUsb_Free(usb));
    CHECK(CloseHandle(file));
    return passed();
}
