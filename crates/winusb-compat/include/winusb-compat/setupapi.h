/*
 * Finding devices: the part of SetupAPI that leads to a path for CreateFile.
 *
 * Source: https://learn.microsoft.com/windows/win32/api/setupapi/
 *
 * Every device that can be opened is listed under every device interface GUID: programs ask for the GUID of their own
 * INF file, and there are no INF files here. Choose a device with ISOCH_DEVICE or WinUsbX_ChooseDevice.
 */
#ifndef WINUSB_COMPAT_SETUPAPI_H
#define WINUSB_COMPAT_SETUPAPI_H

#include <windows.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef PVOID HDEVINFO;

/* Packed as on Windows: with 32-bit pointers to the byte. */
#if UINTPTR_MAX == 0xFFFFFFFFU
#pragma pack(push, 1)
#endif

typedef struct _SP_DEVINFO_DATA {
    DWORD cbSize; /* set by the caller */
    GUID ClassGuid;
    DWORD DevInst;
    ULONG_PTR Reserved;
} SP_DEVINFO_DATA, *PSP_DEVINFO_DATA;

typedef struct _SP_DEVICE_INTERFACE_DATA {
    DWORD cbSize; /* set by the caller */
    GUID InterfaceClassGuid;
    DWORD Flags;
    ULONG_PTR Reserved;
} SP_DEVICE_INTERFACE_DATA, *PSP_DEVICE_INTERFACE_DATA;

typedef struct _SP_DEVICE_INTERFACE_DETAIL_DATA_A {
    DWORD cbSize; /* of this structure, not of the room for the path */
    CHAR DevicePath[ANYSIZE_ARRAY];
} SP_DEVICE_INTERFACE_DETAIL_DATA_A, *PSP_DEVICE_INTERFACE_DETAIL_DATA_A;

typedef struct _SP_DEVICE_INTERFACE_DETAIL_DATA_W {
    DWORD cbSize;
    WCHAR DevicePath[ANYSIZE_ARRAY];
} SP_DEVICE_INTERFACE_DETAIL_DATA_W, *PSP_DEVICE_INTERFACE_DETAIL_DATA_W;

#if UINTPTR_MAX == 0xFFFFFFFFU
#pragma pack(pop)
#endif

#define DIGCF_DEFAULT 0x00000001
#define DIGCF_PRESENT 0x00000002
#define DIGCF_ALLCLASSES 0x00000004
#define DIGCF_PROFILE 0x00000008
#define DIGCF_DEVICEINTERFACE 0x00000010
#define DIGCF_INTERFACEDEVICE DIGCF_DEVICEINTERFACE

#define SPINT_ACTIVE 0x00000001
#define SPINT_DEFAULT 0x00000002
#define SPINT_REMOVED 0x00000004

#define SPDRP_DEVICEDESC 0x00000000
#define SPDRP_HARDWAREID 0x00000001
#define SPDRP_COMPATIBLEIDS 0x00000002
#define SPDRP_SERVICE 0x00000004
#define SPDRP_CLASS 0x00000007
#define SPDRP_MFG 0x0000000B
#define SPDRP_FRIENDLYNAME 0x0000000C

#define REG_SZ 1U
#define REG_MULTI_SZ 7U

HDEVINFO WINAPI winusb_compat_SetupDiGetClassDevsA(const GUID *ClassGuid, PCSTR Enumerator, HWND Parent, DWORD Flags);
HDEVINFO WINAPI winusb_compat_SetupDiGetClassDevsW(const GUID *ClassGuid, PCWSTR Enumerator, HWND Parent, DWORD Flags);
BOOL WINAPI winusb_compat_SetupDiDestroyDeviceInfoList(HDEVINFO DeviceInfoSet);
BOOL WINAPI winusb_compat_SetupDiEnumDeviceInfo(HDEVINFO DeviceInfoSet, DWORD MemberIndex,
                                                PSP_DEVINFO_DATA DeviceInfoData);
BOOL WINAPI winusb_compat_SetupDiEnumDeviceInterfaces(HDEVINFO DeviceInfoSet, PSP_DEVINFO_DATA DeviceInfoData,
                                                      const GUID *InterfaceClassGuid, DWORD MemberIndex,
                                                      PSP_DEVICE_INTERFACE_DATA DeviceInterfaceData);
BOOL WINAPI winusb_compat_SetupDiGetDeviceInterfaceDetailA(
    HDEVINFO DeviceInfoSet, PSP_DEVICE_INTERFACE_DATA DeviceInterfaceData,
    PSP_DEVICE_INTERFACE_DETAIL_DATA_A DeviceInterfaceDetailData, DWORD DeviceInterfaceDetailDataSize,
    PDWORD RequiredSize, PSP_DEVINFO_DATA DeviceInfoData);
BOOL WINAPI winusb_compat_SetupDiGetDeviceInterfaceDetailW(
    HDEVINFO DeviceInfoSet, PSP_DEVICE_INTERFACE_DATA DeviceInterfaceData,
    PSP_DEVICE_INTERFACE_DETAIL_DATA_W DeviceInterfaceDetailData, DWORD DeviceInterfaceDetailDataSize,
    PDWORD RequiredSize, PSP_DEVINFO_DATA DeviceInfoData);
/* SPDRP_DEVICEDESC, HARDWAREID, SERVICE, MFG and FRIENDLYNAME; others: ERROR_INVALID_DATA (13). Sizes are bytes. */
BOOL WINAPI winusb_compat_SetupDiGetDeviceRegistryPropertyA(HDEVINFO DeviceInfoSet, PSP_DEVINFO_DATA DeviceInfoData,
                                                            DWORD Property, PDWORD PropertyRegDataType,
                                                            PBYTE PropertyBuffer, DWORD PropertyBufferSize,
                                                            PDWORD RequiredSize);
BOOL WINAPI winusb_compat_SetupDiGetDeviceRegistryPropertyW(HDEVINFO DeviceInfoSet, PSP_DEVINFO_DATA DeviceInfoData,
                                                            DWORD Property, PDWORD PropertyRegDataType,
                                                            PBYTE PropertyBuffer, DWORD PropertyBufferSize,
                                                            PDWORD RequiredSize);
#define SetupDiGetClassDevsA winusb_compat_SetupDiGetClassDevsA
#define SetupDiGetClassDevsW winusb_compat_SetupDiGetClassDevsW
#define SetupDiDestroyDeviceInfoList winusb_compat_SetupDiDestroyDeviceInfoList
#define SetupDiEnumDeviceInfo winusb_compat_SetupDiEnumDeviceInfo
#define SetupDiEnumDeviceInterfaces winusb_compat_SetupDiEnumDeviceInterfaces
#define SetupDiGetDeviceInterfaceDetailA winusb_compat_SetupDiGetDeviceInterfaceDetailA
#define SetupDiGetDeviceInterfaceDetailW winusb_compat_SetupDiGetDeviceInterfaceDetailW
#define SetupDiGetDeviceRegistryPropertyA winusb_compat_SetupDiGetDeviceRegistryPropertyA
#define SetupDiGetDeviceRegistryPropertyW winusb_compat_SetupDiGetDeviceRegistryPropertyW

#ifdef UNICODE
typedef SP_DEVICE_INTERFACE_DETAIL_DATA_W SP_DEVICE_INTERFACE_DETAIL_DATA;
typedef PSP_DEVICE_INTERFACE_DETAIL_DATA_W PSP_DEVICE_INTERFACE_DETAIL_DATA;
#define SetupDiGetClassDevs SetupDiGetClassDevsW
#define SetupDiGetDeviceInterfaceDetail SetupDiGetDeviceInterfaceDetailW
#define SetupDiGetDeviceRegistryProperty SetupDiGetDeviceRegistryPropertyW
#else
typedef SP_DEVICE_INTERFACE_DETAIL_DATA_A SP_DEVICE_INTERFACE_DETAIL_DATA;
typedef PSP_DEVICE_INTERFACE_DETAIL_DATA_A PSP_DEVICE_INTERFACE_DETAIL_DATA;
#define SetupDiGetClassDevs SetupDiGetClassDevsA
#define SetupDiGetDeviceInterfaceDetail SetupDiGetDeviceInterfaceDetailA
#define SetupDiGetDeviceRegistryProperty SetupDiGetDeviceRegistryPropertyA
#endif

#ifdef __cplusplus
}
#endif

#endif /* WINUSB_COMPAT_SETUPAPI_H */
