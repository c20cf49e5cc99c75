/* Opening the article's device (virtual:article): 1024 bytes per microframe, OUT 0x01 and IN 0x81. */
#ifndef DEVICE_H
#define DEVICE_H
#include "check.h"
#include <winusb.h>

#define OUT_PIPE 0x01
#define IN_PIPE 0x81
#define PACKET 1024
#define FRAME (8 * PACKET)

static HANDLE open_path(const char *path)
{
    return CreateFileA(path, GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING,
        FILE_ATTRIBUTE_NORMAL | FILE_FLAG_OVERLAPPED, NULL);
}

/* Initialised, with alternate setting 1; NULL if that fails. */
static WINUSB_INTERFACE_HANDLE initialize(HANDLE file)
{
    WINUSB_INTERFACE_HANDLE usb = NULL;
    if (!CHECK(file != INVALID_HANDLE_VALUE) || !CHECK(WinUsb_Initialize(file, &usb))
        || !CHECK(WinUsb_SetCurrentAlternateSetting(usb, 1))) {
        passed();
    }
    return usb;
}

static ULONG frame_now(WINUSB_INTERFACE_HANDLE usb)
{
    ULONG frame = 0;
    LARGE_INTEGER at;
    CHECK(WinUsb_GetCurrentFrameNumber(usb, &frame, &at));
    return frame;
}

/* "TRUE", or "FALSE 87": what a call returned. */
static const char *told(BOOL ok)
{
    static char text[32];
    DWORD error = GetLastError();
    if (ok) {
        return "TRUE";
    }
    snprintf(text, sizeof text, "FALSE %lu", error);
    return text;
}
#endif
