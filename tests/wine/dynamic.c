/* A program that loads the DLL when it runs, as libusb does: every name is there, and unloading it is harmless. */
#include "check.h"

/* The exports of Windows' own winusb.dll, in the order of their numbers. */
static const char *const NAMES[] = {
    "AbortPipe", "AbortPipeAsync", "ControlTransfer", "FlushPipe", "Free", "GetAdjustedFrameNumber",
    "GetAssociatedInterface", "GetCurrentAlternateSetting", "GetCurrentFrameNumber", "GetCurrentFrameNumberAndQpc",
    "GetDescriptor", "GetOverlappedResult", "GetPipePolicy", "GetPowerPolicy", "Initialize",
    "ParseConfigurationDescriptor", "ParseDescriptors", "QueryDeviceInformation", "QueryInterfaceSettings", "QueryPipe",
    "QueryPipeEx", "ReadIsochPipe", "ReadIsochPipeAsap", "ReadPipe", "RegisterIsochBuffer", "ResetPipe",
    "ResetPipeAsync", "SetCurrentAlternateSetting", "SetCurrentAlternateSettingAsync", "SetPipePolicy",
    "SetPowerPolicy", "StartTrackingForTimeSync", "StopTrackingForTimeSync", "UnregisterIsochBuffer", "WriteIsochPipe",
    "WriteIsochPipeAsap", "WritePipe",
};

int main(void)
{
    char name[64];
    CHECK(sizeof NAMES / sizeof *NAMES == 37);
    for (int round = 0; round < 3; round++) {
        HMODULE dll = LoadLibraryA("winusb.dll");
        if (!CHECK(dll != NULL)) {
            return passed();
        }
        for (unsigned i = 0; i < 37; i++) {
            snprintf(name, sizeof name, "WinUsb_%s", NAMES[i]);
            if (!CHECK(GetProcAddress(dll, name) != NULL)) {
                printf("%s is not exported\n", name);
            }
        }
        CHECK(GetProcAddress(dll, "DllMain") == NULL);
        if (round > 0) {
            BOOL (WINAPI *initialize)(HANDLE, void **) = (void *)GetProcAddress(dll, "WinUsb_Initialize");
            BOOL (WINAPI *free_interface)(void *) = (void *)GetProcAddress(dll, "WinUsb_Free");
            void *usb = NULL;
            HANDLE file = CreateFileA("\\\\.\\isoch", GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING,
                FILE_FLAG_OVERLAPPED, NULL);
            CHECK(initialize(file, &usb) && free_interface(usb));
            CloseHandle(file);
        }
        CHECK(FreeLibrary(dll));
        Sleep(60);
    }
    return passed();
}
