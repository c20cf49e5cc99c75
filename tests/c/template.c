/*
 * A program in the manner of Visual Studio's template for WinUSB: its headers as they are spelled there, calling
 * conventions, annotations, TCHAR, and a structure that is passed around.
 */
#include <Windows.h>
#include <tchar.h>
#include <Strsafe.h>
#include <WinUsb.h>
#include <Usb100.h>
#include <InitGuid.h>
#include <SetupAPI.h>
#include <stdio.h>
#include <stdlib.h>

DEFINE_GUID(GUID_DEVINTERFACE_TEMPLATE, 0xda812bff, 0x12c3, 0x46a2, 0x8e, 0x2b, 0xdb, 0xd3, 0xb7, 0x83, 0x4c, 0x43);

typedef struct _DEVICE_DATA {
    BOOL HandlesOpen;
    WINUSB_INTERFACE_HANDLE WinusbHandle;
    HANDLE DeviceHandle;
    TCHAR DevicePath[MAX_PATH];
} DEVICE_DATA, *PDEVICE_DATA;

static HRESULT __cdecl RetrieveDevicePath(_Out_writes_bytes_(BufLen) LPTSTR DevicePath, _In_ ULONG BufLen,
                                          _Out_opt_ PBOOL FailureDeviceNotFound)
{
    HDEVINFO info = SetupDiGetClassDevs(&GUID_DEVINTERFACE_TEMPLATE, NULL, NULL, DIGCF_PRESENT | DIGCF_DEVICEINTERFACE);
    SP_DEVICE_INTERFACE_DATA data;
    PSP_DEVICE_INTERFACE_DETAIL_DATA detail;
    ULONG length = 0;
    HRESULT result;

    if (FailureDeviceNotFound != NULL) {
        *FailureDeviceNotFound = FALSE;
    }
    if (info == INVALID_HANDLE_VALUE) {
        return HRESULT_FROM_WIN32(GetLastError());
    }
    data.cbSize = sizeof(SP_DEVICE_INTERFACE_DATA);
    if (!SetupDiEnumDeviceInterfaces(info, NULL, &GUID_DEVINTERFACE_TEMPLATE, 0, &data)) {
        result = HRESULT_FROM_WIN32(GetLastError());
        if (GetLastError() == ERROR_NO_MORE_ITEMS && FailureDeviceNotFound != NULL) {
            *FailureDeviceNotFound = TRUE;
        }
        SetupDiDestroyDeviceInfoList(info);
        return result;
    }
    if (!SetupDiGetDeviceInterfaceDetail(info, &data, NULL, 0, &length, NULL) &&
        GetLastError() != ERROR_INSUFFICIENT_BUFFER) {
        result = HRESULT_FROM_WIN32(GetLastError());
        SetupDiDestroyDeviceInfoList(info);
        return result;
    }
    detail = (PSP_DEVICE_INTERFACE_DETAIL_DATA)LocalAlloc(LMEM_FIXED, length);
    if (detail == NULL) {
        SetupDiDestroyDeviceInfoList(info);
        return E_OUTOFMEMORY;
    }
    detail->cbSize = sizeof(SP_DEVICE_INTERFACE_DETAIL_DATA);
    if (SetupDiGetDeviceInterfaceDetail(info, &data, detail, length, &length, NULL)) {
        result = StringCbCopy(DevicePath, BufLen, detail->DevicePath);
    } else {
        result = HRESULT_FROM_WIN32(GetLastError());
    }
    LocalFree(detail);
    SetupDiDestroyDeviceInfoList(info);
    return result;
}

static HRESULT OpenDevice(_Out_ PDEVICE_DATA DeviceData, _Out_opt_ PBOOL FailureDeviceNotFound)
{
    HRESULT result;

    DeviceData->HandlesOpen = FALSE;
    result = RetrieveDevicePath(DeviceData->DevicePath, sizeof(DeviceData->DevicePath), FailureDeviceNotFound);
    if (FAILED(result)) {
        return result;
    }
    DeviceData->DeviceHandle =
        CreateFile(DeviceData->DevicePath, GENERIC_WRITE | GENERIC_READ, FILE_SHARE_WRITE | FILE_SHARE_READ, NULL,
                   OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL | FILE_FLAG_OVERLAPPED, NULL);
    if (INVALID_HANDLE_VALUE == DeviceData->DeviceHandle) {
        return HRESULT_FROM_WIN32(GetLastError());
    }
    if (FALSE == WinUsb_Initialize(DeviceData->DeviceHandle, &DeviceData->WinusbHandle)) {
        result = HRESULT_FROM_WIN32(GetLastError());
        CloseHandle(DeviceData->DeviceHandle);
        return result;
    }
    DeviceData->HandlesOpen = TRUE;
    return result;
}

static VOID CloseDevice(_Inout_ PDEVICE_DATA DeviceData)
{
    if (DeviceData->HandlesOpen) {
        WinUsb_Free(DeviceData->WinusbHandle);
        CloseHandle(DeviceData->DeviceHandle);
        DeviceData->HandlesOpen = FALSE;
    }
}

LONG __cdecl _tmain(LONG Argc, LPTSTR *Argv)
{
    DEVICE_DATA device;
    BOOL not_found;
    USB_DEVICE_DESCRIPTOR descriptor;
    ULONG length;
    HRESULT result = OpenDevice(&device, &not_found);

    UNREFERENCED_PARAMETER(Argc);
    UNREFERENCED_PARAMETER(Argv);
    if (FAILED(result)) {
        printf(not_found ? "no device\n" : "cannot be opened: 0x%x\n", (unsigned)result);
        return 1;
    }
    if (!WinUsb_GetDescriptor(device.WinusbHandle, USB_DEVICE_DESCRIPTOR_TYPE, 0, 0, (PUCHAR)&descriptor,
                              sizeof(descriptor), &length) ||
        length != sizeof(descriptor)) {
        printf("no descriptor: %lu\n", (unsigned long)GetLastError());
        CloseDevice(&device);
        return 1;
    }
    printf("VID_%04X&PID_%04X; bcdUsb %04X\n", descriptor.idVendor, descriptor.idProduct, descriptor.bcdUSB);
    CloseDevice(&device);
    if (!CancelIo(INVALID_HANDLE_VALUE) && GetLastError() == ERROR_INVALID_HANDLE) {
        return 0;
    }
    return 1;
}
