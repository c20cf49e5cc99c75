/* A client that waits for events: many transfers under way, failures, cancelling, kernel32's GetOverlappedResult. */
#include "device.h"
#include <stdlib.h>

#define COUNT 64
/* Frames of a transfer: what is under way is a quarter of a second, so that a busy machine is not late. */
#define FRAMES 4
#define SIZE (FRAMES * FRAME)
#ifndef ROUNDS
#define ROUNDS 4
#endif

static UCHAR buffer[COUNT * SIZE];
static OVERLAPPED overlapped[COUNT];
static USBD_ISO_PACKET_DESCRIPTOR packets[COUNT][8 * FRAMES];

static const char *result(HANDLE file, OVERLAPPED *which)
{
    static char text[64];
    DWORD bytes = 777;
    BOOL ok = GetOverlappedResult(file, which, &bytes, TRUE);
    DWORD error = GetLastError();
    snprintf(text, sizeof text, ok ? "TRUE %lu bytes" : "FALSE %lu", ok ? bytes : error);
    return text;
}

static void stream(HANDLE file, WINUSB_INTERFACE_HANDLE usb)
{
    WINUSB_ISOCH_BUFFER_HANDLE in;
    ULONG start, first;
    CHECK(WinUsb_RegisterIsochBuffer(usb, IN_PIPE, buffer, sizeof buffer, &in));
    start = first = frame_now(usb) + 300;
    for (int i = 0; i < COUNT * ROUNDS; i++) {
        int slot = i % COUNT;
        if (i >= COUNT) {
            CHECK(WaitForSingleObject(overlapped[slot].hEvent, 10000) == WAIT_OBJECT_0);
            SAME(result(file, &overlapped[slot]), "TRUE 0 bytes");
            ULONG frame;
            memcpy(&frame, buffer + slot * SIZE, sizeof frame);
            CHECK(packets[slot][0].Length == PACKET && packets[slot][0].Status == 0 && packets[slot][31].Offset == 31 * PACKET);
            CHECK(frame == first + FRAMES * (i - COUNT));
        }
        BOOL ok = WinUsb_ReadIsochPipe(in, slot * SIZE, SIZE, &start, 8 * FRAMES, packets[slot], &overlapped[slot]);
        SAME(told(ok), "FALSE 997");
        CHECK(start == first + FRAMES * (i + 1));
        CHECK(WaitForSingleObject(overlapped[slot].hEvent, 0) == WAIT_TIMEOUT);
    }
    HANDLE all[COUNT];
    for (int i = 0; i < COUNT; i++) {
        all[i] = overlapped[i].hEvent;
    }
    CHECK(WaitForMultipleObjects(COUNT, all, TRUE, 10000) == WAIT_OBJECT_0);
    for (int i = 0; i < COUNT; i++) {
        DWORD bytes;
        SAME(told(WinUsb_GetOverlappedResult(usb, &overlapped[i], &bytes, TRUE)), "TRUE");
    }
    CHECK(WinUsb_UnregisterIsochBuffer(in));
}

static void fail(HANDLE file, WINUSB_INTERFACE_HANDLE usb)
{
    WINUSB_ISOCH_BUFFER_HANDLE out;
    DWORD bytes;
    CHECK(WinUsb_RegisterIsochBuffer(usb, OUT_PIPE, buffer, sizeof buffer, &out));
    ULONG start = frame_now(usb) + 5000;
    SAME(told(WinUsb_WriteIsochPipe(out, 0, FRAME, &start, &overlapped[0])), "FALSE 997");
    SAME(result(file, &overlapped[0]), "FALSE 87");
    SAME(told(WinUsb_WriteIsochPipeAsap(out, 0, FRAME, TRUE, &overlapped[0])), "FALSE 997");
    SAME(result(file, &overlapped[0]), "FALSE 87");

    start = frame_now(usb) + 900;
    for (int i = 0; i < COUNT; i++) {
        SAME(told(WinUsb_WriteIsochPipe(out, 0, FRAME, &start, &overlapped[i])), "FALSE 997");
        CHECK(!WinUsb_GetOverlappedResult(usb, &overlapped[i], &bytes, FALSE) && GetLastError() == ERROR_IO_INCOMPLETE);
    }
    CHECK(WinUsb_AbortPipe(usb, OUT_PIPE));
    for (int i = 0; i < COUNT; i++) {
        SAME(result(file, &overlapped[i]), "FALSE 995");
        CHECK(WaitForSingleObject(overlapped[i].hEvent, 0) == WAIT_OBJECT_0);
    }
    CHECK(WinUsb_UnregisterIsochBuffer(out));
}

/* No event: the file is signalled. */
static void without_event(HANDLE file, WINUSB_INTERFACE_HANDLE usb)
{
    WINUSB_ISOCH_BUFFER_HANDLE out;
    OVERLAPPED alone = {0};
    CHECK(WinUsb_RegisterIsochBuffer(usb, OUT_PIPE, buffer, sizeof buffer, &out));
    for (int i = 0; i < 5; i++) {
        SAME(told(WinUsb_WriteIsochPipeAsap(out, 0, 20 * FRAME, FALSE, &alone)), "FALSE 997");
        CHECK(WaitForSingleObject(file, 0) == WAIT_TIMEOUT);
        CHECK(WaitForSingleObject(file, 5000) == WAIT_OBJECT_0);
        SAME(result(file, &alone), "TRUE 0 bytes");
    }
    SAME(told(WinUsb_WriteIsochPipeAsap(out, 0, 20 * FRAME, FALSE, &alone)), "FALSE 997");
    SAME(result(file, &alone), "TRUE 0 bytes");
    CHECK(WinUsb_UnregisterIsochBuffer(out));
}

/* An event that resets itself is taken by the wait that it ends. */
static void automatic_event(WINUSB_INTERFACE_HANDLE usb)
{
    WINUSB_ISOCH_BUFFER_HANDLE out;
    OVERLAPPED alone = {0};
    DWORD bytes;
    alone.hEvent = CreateEventA(NULL, FALSE, FALSE, NULL);
    CHECK(WinUsb_RegisterIsochBuffer(usb, OUT_PIPE, buffer, sizeof buffer, &out));
    SAME(told(WinUsb_WriteIsochPipeAsap(out, 0, 20 * FRAME, FALSE, &alone)), "FALSE 997");
    CHECK(WinUsb_GetOverlappedResult(usb, &alone, &bytes, TRUE));
    CHECK(WaitForSingleObject(alone.hEvent, 0) == WAIT_TIMEOUT);
    CHECK(WinUsb_UnregisterIsochBuffer(out));
    CloseHandle(alone.hEvent);
    CHECK(WinUsb_RegisterIsochBuffer(usb, OUT_PIPE, buffer, sizeof buffer, &out));
    SAME(told(WinUsb_WriteIsochPipeAsap(out, 0, FRAME, FALSE, &alone)), "FALSE 6");
    CHECK(WinUsb_UnregisterIsochBuffer(out));
}

/* Bytes of a bulk transfer: alternate setting 0 has bulk pipes. */
static void bulk(HANDLE file, WINUSB_INTERFACE_HANDLE usb)
{
    CHECK(WinUsb_SetCurrentAlternateSetting(usb, 0));
    SAME(told(WinUsb_WritePipe(usb, OUT_PIPE, buffer, 100000, NULL, &overlapped[0])), "FALSE 997");
    SAME(result(file, &overlapped[0]), "TRUE 100000 bytes");
    CHECK(WinUsb_SetCurrentAlternateSetting(usb, 1));
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : "\\\\.\\isoch";
    for (int i = 0; i < COUNT; i++) {
        overlapped[i].hEvent = CreateEventA(NULL, TRUE, FALSE, NULL);
    }
    HANDLE file = open_path(path);
    WINUSB_INTERFACE_HANDLE usb = initialize(file);
    stream(file, usb);
    fail(file, usb);
    if (strcmp(path, "\\\\.\\isoch") == 0) {
        without_event(file, usb);
    }
    automatic_event(usb);
    bulk(file, usb);
    CHECK(WinUsb_Free(usb));
    CHECK(CloseHandle(file));
    return passed();
}
