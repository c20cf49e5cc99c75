/* A program that finds its device with SetupAPI and opens what it found: possible where registry keys are all that it
 * takes, which is under Wine. Run with ISOCH_DEVICE_PATH as below. */
#include "device.h"
#include <setupapi.h>

#define GUID_TEXT "{da812bff-12c3-46a2-8e2b-dbd3b7834c43}"
#define ENUM "SYSTEM\\CurrentControlSet\\Enum\\USB\\VID_1209&PID_0006\\1"
#define CLASS "SYSTEM\\CurrentControlSet\\Control\\DeviceClasses\\" GUID_TEXT "\\##?#usb#vid_1209&pid_0006#1#" GUID_TEXT
#define LINK "\\\\?\\usb#vid_1209&pid_0006#1#" GUID_TEXT

static const GUID guid = {0xda812bff, 0x12c3, 0x46a2, {0x8e, 0x2b, 0xdb, 0xd3, 0xb7, 0x83, 0x4c, 0x43}};

static void set(const char *key, const char *name, DWORD type, const void *value, DWORD length)
{
    CHECK(RegSetKeyValueA(HKEY_LOCAL_MACHINE, key, name, type, value, length) == ERROR_SUCCESS);
}

int main(void)
{
    DWORD one = 1;
    union {
        SP_DEVICE_INTERFACE_DETAIL_DATA_A detail;
        char room[512];
    } found;
    SP_DEVICE_INTERFACE_DATA interface_data = {.cbSize = sizeof interface_data};
    SP_DEVINFO_DATA device = {.cbSize = sizeof device};
    char hardware[100] = "";

    if (!GetProcAddress(GetModuleHandleA("ntdll"), "wine_get_version")) {
        printf("on Windows this would need a driver\n");
        return 77;
    }
    set(ENUM, "ClassGUID", REG_SZ, "{88bae032-5a81-49f0-bc3d-a4ff138216d6}", 39);
    set(ENUM, "HardwareID", REG_MULTI_SZ, "USB\\VID_1209&PID_0006\0", 23);
    set(CLASS, "DeviceInstance", REG_SZ, "USB\\VID_1209&PID_0006\\1", 24);
    set(CLASS "\\#", "SymbolicLink", REG_SZ, LINK, sizeof LINK);
    set(CLASS "\\#\\Control", "Linked", REG_DWORD, &one, sizeof one);

    HDEVINFO devices = SetupDiGetClassDevsA(&guid, NULL, NULL, DIGCF_PRESENT | DIGCF_DEVICEINTERFACE);
    CHECK(devices != INVALID_HANDLE_VALUE);
    CHECK(SetupDiEnumDeviceInterfaces(devices, NULL, &guid, 0, &interface_data));
    found.detail.cbSize = sizeof found.detail;
    CHECK(SetupDiGetDeviceInterfaceDetailA(devices, &interface_data, &found.detail, sizeof found, NULL, &device));
    CHECK(SetupDiGetDeviceRegistryPropertyA(devices, &device, SPDRP_HARDWAREID, NULL, (BYTE *)hardware, sizeof hardware, NULL));
    SAME(hardware, "USB\\VID_1209&PID_0006");
    SAME(found.detail.DevicePath, LINK);
    CHECK(!SetupDiEnumDeviceInterfaces(devices, NULL, &guid, 1, &interface_data) && GetLastError() == ERROR_NO_MORE_ITEMS);

    HANDLE file = open_path(found.detail.DevicePath);
    WINUSB_INTERFACE_HANDLE usb = initialize(file);
    frame_now(usb);
    CHECK(WinUsb_Free(usb));
    CHECK(CloseHandle(file));
    return passed();
}
