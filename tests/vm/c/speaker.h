/* What programs for the speaker have in common: it is opened, its pipe is found, and why something failed is told. */
#include <windows.h>

#include <winusb.h>
#include <winusbx.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BYTES_PER_FRAME 192

static int failed(const char *what) {
    DWORD code = GetLastError();
    char why[512] = "";
    WinUsbX_GetLastErrorText(why, sizeof why);
    fprintf(stderr, "%s: error %lu %s\n", what, (unsigned long)code, why);
    return 1;
}

/* The first alternate setting of an interface that has an isochronous OUT pipe. */
static int select_pipe(WINUSB_INTERFACE_HANDLE usb, UCHAR *pipe_id) {
    USB_INTERFACE_DESCRIPTOR descriptor;
    WINUSB_PIPE_INFORMATION_EX pipe;
    UCHAR setting, index;
    for (setting = 0; WinUsb_QueryInterfaceSettings(usb, setting, &descriptor); setting++)
        for (index = 0; WinUsb_QueryPipeEx(usb, setting, index, &pipe); index++)
            if (pipe.PipeType == UsbdPipeTypeIsochronous && !(pipe.PipeId & 0x80)) {
                *pipe_id = pipe.PipeId;
                return WinUsb_SetCurrentAlternateSetting(usb, setting);
            }
    return 0;
}

/* Opens a device and its first interface with such a pipe. A speaker's first has no pipes: the samples go to another. */
static int open_speaker(const char *address, HANDLE *file, WINUSB_INTERFACE_HANDLE *control,
                        WINUSB_INTERFACE_HANDLE *usb, UCHAR *pipe_id) {
    UCHAR associated;
    *file = CreateFileA(address, GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING,
                        FILE_ATTRIBUTE_NORMAL | FILE_FLAG_OVERLAPPED, NULL);
    if (*file == INVALID_HANDLE_VALUE) return failed(address);
    if (!WinUsb_Initialize(*file, control)) return failed("Initialize");
    *usb = *control;
    for (associated = 0; !select_pipe(*usb, pipe_id); associated++)
        if (!WinUsb_GetAssociatedInterface(*control, associated, usb))
            return failed("there is no isochronous OUT pipe");
    return 0;
}
