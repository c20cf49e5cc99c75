/* The Win32 subset as a program uses it: enumeration by both ways, files, events, messages, memory. Not for Windows. */
#include <windows.h>

#include <cfgmgr32.h>
#include <initguid.h>
#include <setupapi.h>
#include <strsafe.h>
#include <tchar.h>
#include <winusb.h>

#include <stdio.h>
#include <stdlib.h>

#define REQUIRE(condition)                                                                                          \
    do {                                                                                                            \
        if (!(condition)) {                                                                                         \
            printf("%d: %s (last error %lu)\n", __LINE__, #condition, (unsigned long)GetLastError());               \
            exit(1);                                                                                                \
        }                                                                                                           \
    } while (0)

DEFINE_GUID(device_interface, 0xDEE824EF, 0x729B, 0x4A0E, 0x9C, 0x14, 0xB7, 0x11, 0x7D, 0x33, 0xA8, 0x17);

static void narrow_and_wide(void) {
    const WCHAR name[] = {'v', 'i', 'r', 't', 'u', 'a', 'l', ':', 'a', 'r', 't', 'i', 'c', 'l', 'e', 0};
    WCHAR text[40], copy[20];
    GUID guid = GUID_NULL;
    HANDLE file = CreateFileW(name, GENERIC_READ, 0, NULL, OPEN_EXISTING, FILE_FLAG_OVERLAPPED, NULL);
    REQUIRE(file != INVALID_HANDLE_VALUE && CloseHandle(file));
    REQUIRE(!CloseHandle(file) && GetLastError() == ERROR_INVALID_HANDLE);
    REQUIRE(StringCbCopyW(copy, sizeof copy, name) == S_OK && copy[14] == 'e' && copy[15] == 0);
    REQUIRE(StringCchCopyW(text, 4, name) == STRSAFE_E_INSUFFICIENT_BUFFER && text[2] == 'r' && text[3] == 0);
#if __STDC_VERSION__ >= 201112L || defined(__cplusplus)
    REQUIRE(CLSIDFromString((LPCOLESTR)u"{DEE824EF-729B-4A0E-9C14-B7117D33A817}", &guid) == S_OK);
#if defined(__cplusplus)
    REQUIRE(IsEqualGUID(guid, device_interface) && guid == device_interface && guid != GUID_NULL);
#else
    REQUIRE(IsEqualGUID(&guid, &device_interface) && !IsEqualGUID(&guid, &GUID_NULL));
#endif
#endif
    REQUIRE(CLSIDFromString(name, &guid) == CO_E_CLASSSTRING);
}

static void by_configuration_manager(char *path) {
    GUID guid = device_interface;
    ULONG length = 0;
    HANDLE heap = GetProcessHeap();
    PSTR list;
    REQUIRE(CM_Get_Device_Interface_List_Size(&length, &guid, NULL, CM_GET_DEVICE_INTERFACE_LIST_PRESENT) == CR_SUCCESS);
    list = (PSTR)HeapAlloc(heap, HEAP_ZERO_MEMORY, length * sizeof(TCHAR));
    REQUIRE(list != NULL);
    REQUIRE(CM_Get_Device_Interface_List(&guid, NULL, list, 2, CM_GET_DEVICE_INTERFACE_LIST_PRESENT) == CR_BUFFER_SMALL);
    REQUIRE(CM_Get_Device_Interface_List(&guid, NULL, list, length, CM_GET_DEVICE_INTERFACE_LIST_PRESENT) == CR_SUCCESS);
    REQUIRE(StringCbCopy(path, 512, list) == S_OK);
    REQUIRE(HeapFree(heap, 0, list));
    REQUIRE(HRESULT_FROM_WIN32(CM_MapCrToWin32Err(CR_BUFFER_SMALL, 1)) == (HRESULT)0x8007007A);
}

static void by_setup(const char *path) {
    SP_DEVINFO_DATA device;
    SP_DEVICE_INTERFACE_DATA data;
    PSP_DEVICE_INTERFACE_DETAIL_DATA detail;
    BYTE text[200];
    DWORD required = 0, kind = 0;
    HDEVINFO set = SetupDiGetClassDevs(&device_interface, NULL, NULL, DIGCF_PRESENT | DIGCF_DEVICEINTERFACE);
    REQUIRE(set != INVALID_HANDLE_VALUE);
    data.cbSize = sizeof data;
    device.cbSize = sizeof device;
    REQUIRE(SetupDiEnumDeviceInterfaces(set, NULL, &device_interface, 0, &data));
    REQUIRE(!SetupDiGetDeviceInterfaceDetail(set, &data, NULL, 0, &required, NULL));
    REQUIRE(GetLastError() == ERROR_INSUFFICIENT_BUFFER);
    detail = (PSP_DEVICE_INTERFACE_DETAIL_DATA)LocalAlloc(LPTR, required);
    REQUIRE(detail != NULL);
    REQUIRE(!SetupDiGetDeviceInterfaceDetail(set, &data, detail, required, NULL, NULL));
    detail->cbSize = sizeof *detail;
    REQUIRE(SetupDiGetDeviceInterfaceDetail(set, &data, detail, required, NULL, &device));
    REQUIRE(_tcscmp(detail->DevicePath, path) == 0);
    REQUIRE(SetupDiGetDeviceRegistryProperty(set, &device, SPDRP_HARDWAREID, &kind, text, sizeof text, NULL));
    REQUIRE(kind == REG_MULTI_SZ && _tcscmp((char *)text, "USB\\VID_1209&PID_0006") == 0);
    REQUIRE(LocalFree(detail) == NULL);
    /* ISOCH_DEVICE makes it the only one. */
    REQUIRE(!SetupDiEnumDeviceInterfaces(set, NULL, &device_interface, 1, &data) && GetLastError() == ERROR_NO_MORE_ITEMS);
    REQUIRE(SetupDiEnumDeviceInfo(set, 0, &device) && !SetupDiEnumDeviceInfo(set, 1, &device));
    REQUIRE(SetupDiDestroyDeviceInfoList(set));
    REQUIRE(!SetupDiDestroyDeviceInfoList(set) && GetLastError() == ERROR_INVALID_HANDLE);
}

static void messages(void) {
    char *text = NULL;
    char small[8];
    REQUIRE(FormatMessage(FORMAT_MESSAGE_ALLOCATE_BUFFER | FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, NULL,
                          ERROR_OPERATION_ABORTED, MAKELANGID(LANG_NEUTRAL, SUBLANG_DEFAULT), (LPTSTR)&text, 0, NULL) > 0);
    REQUIRE(strcmp(text, "The operation was cancelled.\r\n") == 0);
    LocalFree(text);
    REQUIRE(FormatMessageA(FORMAT_MESSAGE_FROM_SYSTEM, NULL, 995, 0, small, sizeof small, NULL) == 0);
    REQUIRE(GetLastError() == ERROR_INSUFFICIENT_BUFFER);
}

int _tmain(void) {
    char path[512];
    WINUSB_INTERFACE_HANDLE usb = NULL;
    HANDLE event, file;
    ULONGLONG before;
    narrow_and_wide();
    by_configuration_manager(path);
    by_setup(path);
    messages();
    _tprintf(_T("%s\n"), path);
    file = CreateFile(path, GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ, NULL, OPEN_EXISTING,
                      FILE_ATTRIBUTE_NORMAL | FILE_FLAG_OVERLAPPED, NULL);
    REQUIRE(file != INVALID_HANDLE_VALUE);
    REQUIRE(CreateFile(path, GENERIC_READ, 0, NULL, OPEN_EXISTING, FILE_FLAG_OVERLAPPED, NULL) == INVALID_HANDLE_VALUE);
    REQUIRE(GetLastError() == ERROR_ACCESS_DENIED);
    REQUIRE(CreateFile("\\\\.\\my_device", GENERIC_READ, 0, NULL, OPEN_EXISTING, 0, NULL) == INVALID_HANDLE_VALUE);
    REQUIRE(GetLastError() == ERROR_ACCESS_DENIED); /* it means the one that was chosen, which is open */
    REQUIRE(CreateFile("virtual:tuba", GENERIC_READ, 0, NULL, OPEN_EXISTING, 0, NULL) == INVALID_HANDLE_VALUE);
    REQUIRE(GetLastError() == ERROR_FILE_NOT_FOUND);
    REQUIRE(WinUsb_Initialize(file, &usb));
    /* While it is open on a clock that waits move, so does the tick count. */
    before = GetTickCount64();
    Sleep(1000);
    REQUIRE(GetTickCount64() - before >= 999 && GetTickCount64() - before < 1100);
    event = CreateEvent(NULL, TRUE, FALSE, NULL);
    REQUIRE(event != NULL && WaitForSingleObject(event, 0) == WAIT_TIMEOUT && SetEvent(event));
    REQUIRE(WaitForMultipleObjects(1, &event, TRUE, 0) == WAIT_OBJECT_0 && ResetEvent(event) && CloseHandle(event));
    REQUIRE(CreateEvent(NULL, TRUE, FALSE, "name") == NULL && GetLastError() == ERROR_NOT_SUPPORTED);
    REQUIRE(WinUsb_Free(usb) && CloseHandle(file));
    puts("the Win32 subset does as it should");
    return 0;
}
