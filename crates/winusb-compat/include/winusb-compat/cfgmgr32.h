/*
 * Finding devices: the configuration manager's shorter way to paths for CreateFile.
 *
 * Source: https://learn.microsoft.com/windows/win32/api/cfgmgr32/
 *
 * Every device that can be opened is listed under every device interface GUID; setupapi.h says why.
 */
#ifndef WINUSB_COMPAT_CFGMGR32_H
#define WINUSB_COMPAT_CFGMGR32_H

#include <windows.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef DWORD RETURN_TYPE;
typedef RETURN_TYPE CONFIGRET;
typedef DWORD DEVINST, *PDEVINST, DEVNODE;
typedef CHAR *DEVINSTID_A;
typedef WCHAR *DEVINSTID_W;

#define CR_SUCCESS 0x00000000U
#define CR_DEFAULT 0x00000001U
#define CR_OUT_OF_MEMORY 0x00000002U
#define CR_INVALID_POINTER 0x00000003U
#define CR_INVALID_FLAG 0x00000004U
#define CR_NO_SUCH_DEVNODE 0x0000000DU
#define CR_NO_SUCH_DEVINST CR_NO_SUCH_DEVNODE
#define CR_FAILURE 0x00000013U
#define CR_BUFFER_SMALL 0x0000001AU
#define CR_ACCESS_DENIED 0x00000033U
#define CR_CALL_NOT_IMPLEMENTED 0x00000034U
#define CR_NO_SUCH_DEVICE_INTERFACE 0x00000037U

#define CM_GET_DEVICE_INTERFACE_LIST_PRESENT 0x00000000U
#define CM_GET_DEVICE_INTERFACE_LIST_ALL_DEVICES 0x00000001U

/* Lengths are characters, with the NUL of each path and one more at the end. DeviceID is not looked at. */
CONFIGRET WINAPI winusb_compat_CM_Get_Device_Interface_List_SizeA(PULONG Length, LPGUID InterfaceClassGuid,
                                                                  DEVINSTID_A DeviceID, ULONG Flags);
CONFIGRET WINAPI winusb_compat_CM_Get_Device_Interface_List_SizeW(PULONG Length, LPGUID InterfaceClassGuid,
                                                                  DEVINSTID_W DeviceID, ULONG Flags);
CONFIGRET WINAPI winusb_compat_CM_Get_Device_Interface_ListA(LPGUID InterfaceClassGuid, DEVINSTID_A DeviceID,
                                                             PZZSTR Buffer, ULONG BufferLength, ULONG Flags);
CONFIGRET WINAPI winusb_compat_CM_Get_Device_Interface_ListW(LPGUID InterfaceClassGuid, DEVINSTID_W DeviceID,
                                                             PZZWSTR Buffer, ULONG BufferLength, ULONG Flags);
DWORD WINAPI winusb_compat_CM_MapCrToWin32Err(CONFIGRET Result, DWORD Default);
#define CM_Get_Device_Interface_List_SizeA winusb_compat_CM_Get_Device_Interface_List_SizeA
#define CM_Get_Device_Interface_List_SizeW winusb_compat_CM_Get_Device_Interface_List_SizeW
#define CM_Get_Device_Interface_ListA winusb_compat_CM_Get_Device_Interface_ListA
#define CM_Get_Device_Interface_ListW winusb_compat_CM_Get_Device_Interface_ListW
#define CM_MapCrToWin32Err winusb_compat_CM_MapCrToWin32Err

#ifdef UNICODE
#define CM_Get_Device_Interface_List_Size CM_Get_Device_Interface_List_SizeW
#define CM_Get_Device_Interface_List CM_Get_Device_Interface_ListW
#else
#define CM_Get_Device_Interface_List_Size CM_Get_Device_Interface_List_SizeA
#define CM_Get_Device_Interface_List CM_Get_Device_Interface_ListA
#endif

#ifdef __cplusplus
}
#endif

#endif /* WINUSB_COMPAT_CFGMGR32_H */
