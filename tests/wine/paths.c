/* Which files winusb.dll takes for a device, and what it says of the others. */
#include "device.h"
#include <winusbx.h>

static const char *initialized(HANDLE file)
{
    WINUSB_INTERFACE_HANDLE usb = NULL;
    BOOL ok = WinUsb_Initialize(file, &usb);
    const char *text = told(ok);
    if (ok) {
        WinUsb_Free(usb);
    }
    return text;
}

static void opens(const char *path)
{
    WINUSB_INTERFACE_HANDLE usb, again;
    HANDLE file = open_path(path);
    CHECK(file != INVALID_HANDLE_VALUE);
    CHECK(WinUsb_Initialize(file, &usb));
    SAME(told(WinUsb_Initialize(file, &again)), "FALSE 183");
    CHECK(WinUsb_Free(usb));
    CHECK(WinUsb_Initialize(file, &usb));
    CHECK(WinUsb_Free(usb));
    CHECK(CloseHandle(file));
}

/* In a second process, while the first has its device open. */
static int second(void)
{
    HANDLE file = open_path("\\\\.\\isoch");
    if (file != INVALID_HANDLE_VALUE) {
        SAME(initialized(file), "FALSE 5");
    } else {
        CHECK(GetLastError() == ERROR_PIPE_BUSY);
    }
    SAME(initialized(open_path("NUL")), "TRUE");
    return passed();
}

static void run_second(char *program)
{
    char command[300];
    STARTUPINFOA startup = {.cb = sizeof startup};
    PROCESS_INFORMATION process;
    DWORD code = 777;
    snprintf(command, sizeof command, "%s second", program);
    CHECK(CreateProcessA(NULL, command, NULL, NULL, FALSE, 0, NULL, NULL, &startup, &process));
    CHECK(WaitForSingleObject(process.hProcess, 20000) == WAIT_OBJECT_0);
    CHECK(GetExitCodeProcess(process.hProcess, &code) && code == 0);
}

int main(int argc, char **argv)
{
    char name[64];
    WINUSB_INTERFACE_HANDLE usb;
    HANDLE file, other;

    if (argc > 1) {
        return second();
    }
    snprintf(name, sizeof name, "\\\\.\\pipe\\isoch-winusb-%lu", GetCurrentProcessId());
    CloseHandle(CreateFileA("target/wine/file-on-disk", GENERIC_WRITE, 0, NULL, CREATE_ALWAYS, 0, NULL));
    for (int i = 0; i < 3; i++) {
        opens("\\\\.\\isoch");
        opens("\\\\?\\isoch");
        opens(name);
        opens("NUL");
        opens("target/wine/file-on-disk");
    }

    /* Open and closed without a word to the DLL, more often than there are instances of the pipe at first. */
    for (int i = 0; i < 40; i++) {
        file = open_path("\\\\.\\isoch");
        CHECK(file != INVALID_HANDLE_VALUE);
        CloseHandle(file);
        if (i % 3 == 2) {
            opens("\\\\.\\isoch");
        }
    }

    /* Two at a time: the device is in use. */
    file = open_path("\\\\.\\isoch");
    CHECK(WinUsb_Initialize(file, &usb));
    other = open_path("\\\\.\\isoch");
    SAME(initialized(other), "FALSE 5");
    CloseHandle(other);
    other = open_path("NUL");
    SAME(initialized(other), "FALSE 5");
    CHECK(WinUsb_Free(usb));
    SAME(initialized(other), "FALSE 5");
    run_second(argv[0]);
    CloseHandle(file);
    SAME(initialized(other), "TRUE");
    CloseHandle(other);

    /* Two opened before either is used: each is its own. */
    file = open_path("\\\\.\\isoch");
    other = open_path("\\\\.\\isoch");
    SAME(initialized(other), "TRUE");
    CloseHandle(other);
    SAME(initialized(file), "TRUE");
    CloseHandle(file);

    /* A device that is not there; then one that is, with the same file. */
    file = open_path("\\\\.\\isoch");
    CHECK(WinUsbX_ChooseDevice("virtual:no-such-device"));
    CHECK(!WinUsb_Initialize(file, &usb));
    CHECK(WinUsbX_ChooseDevice(NULL));
    SAME(initialized(file), "TRUE");
    CloseHandle(file);

    /* No device files. */
    SAME(initialized(NULL), "FALSE 6");
    SAME(initialized(INVALID_HANDLE_VALUE), "FALSE 6");
    SAME(initialized((HANDLE)(ULONG_PTR)0x5a5a5a58), "FALSE 6");
    SAME(initialized(CreateEventA(NULL, TRUE, FALSE, NULL)), "FALSE 6");
    SAME(initialized(CreateFileA("NUL", GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0, NULL)), "FALSE 6");
    SAME(initialized(CreateFileA("\\\\.\\isoch", GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0, NULL)), "FALSE 6");
    SAME(initialized(CreateFileA("\\\\.\\isoch", GENERIC_READ, 0, NULL, OPEN_EXISTING, FILE_FLAG_OVERLAPPED, NULL)), "FALSE 5");
    other = CreateNamedPipeA("\\\\.\\pipe\\isoch-winusb-1", PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED, PIPE_TYPE_MESSAGE, 1,
        512, 512, 0, NULL);
    CHECK(other != INVALID_HANDLE_VALUE);
    SAME(initialized(open_path("\\\\.\\pipe\\isoch-winusb-1")), "FALSE 5");
    file = open_path("\\\\.\\isoch");
    CloseHandle(file);
    SAME(initialized(file), "FALSE 6");
    return passed();
}
