/* What the examples have in common: a device, its first isochronous pipe of a direction, and what went wrong. */
#ifndef EXAMPLES_COMMON_H
#define EXAMPLES_COMMON_H

#include <windows.h>

#include <cfgmgr32.h>
#include <winusb.h>
#if !defined(_WIN32)
#include <winusbx.h>
#endif

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct device {
    HANDLE file;
    WINUSB_INTERFACE_HANDLE usb;
    WINUSB_PIPE_INFORMATION_EX pipe;
    ULONG bytes_per_frame;
};

/* Says which call failed and why. */
static int failed(const char *what) {
    DWORD code = GetLastError();
    char why[512] = "";
#if defined(_WIN32)
    FormatMessageA(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, NULL, code, 0, why, sizeof why, NULL);
#else
    WinUsbX_GetLastErrorText(why, sizeof why);
#endif
    fprintf(stderr, "%s: error %lu %s\n", what, (unsigned long)code, why);
    return 1;
}

/* The path of the first device; to be freed. */
static char *first_device(void) {
    /* The GUID of the program's own INF file. */
    static const GUID device_interface = {
        0xDA812BFF, 0x12C3, 0x46A2, {0x8E, 0x2B, 0xDB, 0xD3, 0xB7, 0x83, 0x4C, 0x43}};
    GUID guid = device_interface;
    ULONG length = 0;
    char *paths;
    if (CM_Get_Device_Interface_List_SizeA(&length, &guid, NULL, CM_GET_DEVICE_INTERFACE_LIST_PRESENT) != CR_SUCCESS)
        return NULL;
    paths = (char *)calloc(length, 1);
    if (paths != NULL &&
        CM_Get_Device_Interface_ListA(&guid, NULL, paths, length, CM_GET_DEVICE_INTERFACE_LIST_PRESENT) == CR_SUCCESS &&
        paths[0] != 0)
        return paths;
    free(paths);
    return NULL;
}

/* Selects the first alternate setting that has an isochronous pipe of this direction. */
static int select_pipe(struct device *device, int reads) {
    UCHAR setting, index;
    USB_INTERFACE_DESCRIPTOR descriptor;
    for (setting = 0; WinUsb_QueryInterfaceSettings(device->usb, setting, &descriptor); setting++) {
        for (index = 0; WinUsb_QueryPipeEx(device->usb, setting, index, &device->pipe); index++) {
            const WINUSB_PIPE_INFORMATION_EX *pipe = &device->pipe;
            if (pipe->PipeType == UsbdPipeTypeIsochronous && !(pipe->PipeId & 0x80) == !reads && pipe->Interval > 0 &&
                pipe->MaximumBytesPerInterval > 0) {
                /* At high speed and above, where the period is 1 << (Interval - 1) microframes. */
                ULONG period = pipe->Interval < 4 ? 1UL << (pipe->Interval - 1) : 8;
                UCHAR speed = 0;
                ULONG size = sizeof speed;
                WinUsb_QueryDeviceInformation(device->usb, DEVICE_SPEED, &size, &speed);
                device->bytes_per_frame = pipe->MaximumBytesPerInterval * (speed == HighSpeed ? 8 / period : 1);
                return WinUsb_SetCurrentAlternateSetting(device->usb, setting);
            }
        }
    }
    return 0;
}

static int open_device(struct device *device, const char *path, int reads) {
    char *found = path == NULL ? first_device() : NULL;
    if (path == NULL) path = found;
    if (path == NULL) {
        fprintf(stderr, "there is no device: give its path or address\n");
        return 0;
    }
    device->file = CreateFileA(path, GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL,
                               OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL | FILE_FLAG_OVERLAPPED, NULL);
    if (device->file == INVALID_HANDLE_VALUE) failed(path);
    free(found);
    if (device->file == INVALID_HANDLE_VALUE) return 0;
    if (!WinUsb_Initialize(device->file, &device->usb)) return !failed("Initialize");
    if (!select_pipe(device, reads)) return !failed("there is no isochronous pipe of this direction");
    return 1;
}

static void close_device(struct device *device) {
    WinUsb_Free(device->usb);
    CloseHandle(device->file);
}

#endif
