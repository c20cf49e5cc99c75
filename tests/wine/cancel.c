/* CancelIoEx, CancelIo, CloseHandle while transfers are under way. */
#include "device.h"

#define COUNT 8

static UCHAR buffer[COUNT * FRAME];
static OVERLAPPED overlapped[COUNT];
static HANDLE file;
static WINUSB_INTERFACE_HANDLE usb;
static WINUSB_ISOCH_BUFFER_HANDLE out;

static void submit(void)
{
    ULONG start = frame_now(usb) + 900;
    for (int i = 0; i < COUNT; i++) {
        SAME(told(WinUsb_WriteIsochPipe(out, 0, FRAME, &start, &overlapped[i])), "FALSE 997");
    }
}

static void ended(int from, int to)
{
    for (int i = from; i < to; i++) {
        DWORD bytes;
        CHECK(WaitForSingleObject(overlapped[i].hEvent, 300) == WAIT_OBJECT_0);
        SAME(told(GetOverlappedResult(file, &overlapped[i], &bytes, FALSE)), "FALSE 995");
    }
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : "\\\\.\\isoch";
    DWORD bytes;
    for (int i = 0; i < COUNT; i++) {
        overlapped[i].hEvent = CreateEventA(NULL, TRUE, FALSE, NULL);
    }
    file = open_path(path);
    usb = initialize(file);
    CHECK(WinUsb_RegisterIsochBuffer(usb, OUT_PIPE, buffer, sizeof buffer, &out));

    submit();
    SAME(told(CancelIoEx(file, &overlapped[0])), "TRUE");
    ended(0, 1);
    CHECK(!GetOverlappedResult(file, &overlapped[1], &bytes, FALSE) && GetLastError() == ERROR_IO_INCOMPLETE);
    SAME(told(CancelIoEx(file, &overlapped[0])), "FALSE 1168");
    /* Looked up by name, as some programs do. */
    BOOL (WINAPI *cancel)(HANDLE, OVERLAPPED *) = (void *)GetProcAddress(GetModuleHandleA("kernel32"), "CancelIoEx");
    SAME(told(cancel(file, NULL)), "TRUE");
    ended(0, COUNT);
    SAME(told(CancelIoEx(file, NULL)), "FALSE 1168");
    submit();
    SAME(told(CancelIo(file)), "TRUE");
    ended(0, COUNT);

    /* Files that are not the DLL's are cancelled by the system as ever. */
    HANDLE server = CreateNamedPipeA("\\\\.\\pipe\\isoch-cancel", PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED, 0, 1, 0, 0, 0, NULL);
    OVERLAPPED own = {0};
    own.hEvent = CreateEventA(NULL, TRUE, FALSE, NULL);
    CHECK(!ConnectNamedPipe(server, &own) && GetLastError() == ERROR_IO_PENDING);
    SAME(told(CancelIoEx(server, &own)), "TRUE");
    SAME(told(GetOverlappedResult(server, &own, &bytes, TRUE)), "FALSE 995");

    /* The file is closed: everything ends. The interface's handle is of no more use. */
    submit();
    CHECK(CloseHandle(file));
    ended(0, COUNT);
    ULONG start = 0;
    CHECK(!WinUsb_WriteIsochPipe(out, 0, FRAME, &start, &overlapped[0]) && GetLastError() != ERROR_IO_PENDING);
    CHECK(WinUsb_UnregisterIsochBuffer(out));
    CHECK(WinUsb_Free(usb));

    /* And the device can be opened again. */
    file = open_path(path);
    usb = initialize(file);
    CHECK(WinUsb_Free(usb));
    CHECK(CloseHandle(file));
    return passed();
}
