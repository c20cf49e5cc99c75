/*
 * The part of Windows' base functions that a program which uses WinUSB needs.
 *
 * Why are the names macros? The libraries export WinUsbX_ and winusb_compat_ names only, so that they can be in one
 * program with any other layer that has Win32's names.
 */
#ifndef WINUSB_COMPAT_WINBASE_H
#define WINUSB_COMPAT_WINBASE_H

#include <windef.h>
#include <winusbx.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Device files: GENERIC_ and FILE_FLAG_OVERLAPPED are in winusbtypes.h. */
#define FILE_SHARE_READ 0x00000001U
#define FILE_SHARE_WRITE 0x00000002U
#define FILE_SHARE_DELETE 0x00000004U
#define FILE_READ_DATA 0x0001U
#define FILE_WRITE_DATA 0x0002U
#define CREATE_NEW 1
#define CREATE_ALWAYS 2
#define OPEN_EXISTING 3
#define OPEN_ALWAYS 4
#define TRUNCATE_EXISTING 5
#define FILE_ATTRIBUTE_READONLY 0x00000001U
#define FILE_ATTRIBUTE_NORMAL 0x00000080U
#define FILE_FLAG_WRITE_THROUGH 0x80000000U
#define FILE_FLAG_NO_BUFFERING 0x20000000U

/* Opens `\\?\isoch#ADDRESS#{...}`, which enumeration gives, or an address as it is. Any other path that begins with two
 * backslashes names no device here, and opens the one that was chosen (ISOCH_DEVICE, WinUsbX_ChooseDevice). Sharing, security and the template
 * are not looked at; only OPEN_EXISTING, OPEN_ALWAYS and CREATE_ALWAYS can open a device. */
HANDLE WINAPI winusb_compat_CreateFileA(LPCSTR FileName, DWORD DesiredAccess, DWORD ShareMode,
                                        LPSECURITY_ATTRIBUTES SecurityAttributes, DWORD CreationDisposition,
                                        DWORD FlagsAndAttributes, HANDLE TemplateFile);
HANDLE WINAPI winusb_compat_CreateFileW(LPCWSTR FileName, DWORD DesiredAccess, DWORD ShareMode,
                                        LPSECURITY_ATTRIBUTES SecurityAttributes, DWORD CreationDisposition,
                                        DWORD FlagsAndAttributes, HANDLE TemplateFile);
#define CreateFileA winusb_compat_CreateFileA
#define CreateFileW winusb_compat_CreateFileW
#define CloseHandle WinUsbX_CloseHandle
#define GetOverlappedResult WinUsbX_GetOverlappedResult
#define CancelIoEx WinUsbX_CancelIoEx
/* Everything on the file, whichever thread began it. */
static inline BOOL CancelIo(HANDLE File)
{
    DWORD before = WinUsbX_GetLastError();
    if (WinUsbX_CancelIoEx(File, NULL)) {
        return TRUE;
    }
    if (WinUsbX_GetLastError() != ERROR_NOT_FOUND) {
        return FALSE;
    }
    WinUsbX_SetLastError(before);
    return TRUE;
}
#define HasOverlappedIoCompleted(overlapped) ((overlapped)->Internal != 0x103U)

/* Events. One with a name is refused with ERROR_NOT_SUPPORTED (50): there are no other processes to share it with. */
HANDLE WINAPI winusb_compat_CreateEventA(LPSECURITY_ATTRIBUTES EventAttributes, BOOL ManualReset, BOOL InitialState,
                                         LPCSTR Name);
HANDLE WINAPI winusb_compat_CreateEventW(LPSECURITY_ATTRIBUTES EventAttributes, BOOL ManualReset, BOOL InitialState,
                                         LPCWSTR Name);
#define CreateEventA winusb_compat_CreateEventA
#define CreateEventW winusb_compat_CreateEventW
#define SetEvent WinUsbX_SetEvent
#define ResetEvent WinUsbX_ResetEvent
#define WaitForSingleObject WinUsbX_WaitForSingleObject
#define WaitForMultipleObjects WinUsbX_WaitForMultipleObjects
#define Sleep WinUsbX_Sleep

/* Completion ports */
#define CreateIoCompletionPort WinUsbX_CreateIoCompletionPort
#define GetQueuedCompletionStatus WinUsbX_GetQueuedCompletionStatus
#define GetQueuedCompletionStatusEx WinUsbX_GetQueuedCompletionStatusEx
#define PostQueuedCompletionStatus WinUsbX_PostQueuedCompletionStatus

/* Errors and time */
#define GetLastError WinUsbX_GetLastError
#define SetLastError WinUsbX_SetLastError
#define QueryPerformanceCounter WinUsbX_QueryPerformanceCounter
#define QueryPerformanceFrequency WinUsbX_QueryPerformanceFrequency

/* Milliseconds of the performance counter. */
ULONGLONG WINAPI winusb_compat_GetTickCount64(void);
DWORD WINAPI winusb_compat_GetTickCount(void);
#define GetTickCount64 winusb_compat_GetTickCount64
#define GetTickCount winusb_compat_GetTickCount

#define FORMAT_MESSAGE_ALLOCATE_BUFFER 0x00000100U
#define FORMAT_MESSAGE_IGNORE_INSERTS 0x00000200U
#define FORMAT_MESSAGE_FROM_STRING 0x00000400U
#define FORMAT_MESSAGE_FROM_HMODULE 0x00000800U
#define FORMAT_MESSAGE_FROM_SYSTEM 0x00001000U
#define FORMAT_MESSAGE_ARGUMENT_ARRAY 0x00002000U
#define FORMAT_MESSAGE_MAX_WIDTH_MASK 0x000000FFU
#define LANG_NEUTRAL 0x00
#define LANG_ENGLISH 0x09
#define SUBLANG_DEFAULT 0x01
#define MAKELANGID(primary, sub) ((WORD)((WORD)(sub) << 10 | (WORD)(primary)))

/* What a code means, in English. FORMAT_MESSAGE_FROM_SYSTEM only; Arguments is not looked at. */
DWORD WINAPI winusb_compat_FormatMessageA(DWORD Flags, LPCVOID Source, DWORD MessageId, DWORD LanguageId, LPSTR Buffer,
                                          DWORD Size, void *Arguments);
DWORD WINAPI winusb_compat_FormatMessageW(DWORD Flags, LPCVOID Source, DWORD MessageId, DWORD LanguageId, LPWSTR Buffer,
                                          DWORD Size, void *Arguments);
#define FormatMessageA winusb_compat_FormatMessageA
#define FormatMessageW winusb_compat_FormatMessageW

/* Memory: the C library's. The flags besides those that ask for zeros are not looked at. */
#define HEAP_NO_SERIALIZE 0x00000001U
#define HEAP_GENERATE_EXCEPTIONS 0x00000004U
#define HEAP_ZERO_MEMORY 0x00000008U
#define LMEM_FIXED 0x0000U
#define LMEM_ZEROINIT 0x0040U
#define LPTR 0x0040U
HANDLE WINAPI winusb_compat_GetProcessHeap(void);
LPVOID WINAPI winusb_compat_HeapAlloc(HANDLE Heap, DWORD Flags, SIZE_T Bytes);
BOOL WINAPI winusb_compat_HeapFree(HANDLE Heap, DWORD Flags, LPVOID Memory);
HLOCAL WINAPI winusb_compat_LocalAlloc(UINT Flags, SIZE_T Bytes);
HLOCAL WINAPI winusb_compat_LocalFree(HLOCAL Memory);
#define GetProcessHeap winusb_compat_GetProcessHeap
#define HeapAlloc winusb_compat_HeapAlloc
#define HeapFree winusb_compat_HeapFree
#define LocalAlloc winusb_compat_LocalAlloc
#define LocalFree winusb_compat_LocalFree

/* "{XXXXXXXX-XXXX-XXXX-XXXX-XXXXXXXXXXXX}" to a GUID. */
HRESULT WINAPI winusb_compat_CLSIDFromString(LPCOLESTR Text, LPCLSID Clsid);
#define CLSIDFromString winusb_compat_CLSIDFromString
#define IIDFromString winusb_compat_CLSIDFromString

#ifdef UNICODE
#define CreateFile CreateFileW
#define CreateEvent CreateEventW
#define FormatMessage FormatMessageW
#else
#define CreateFile CreateFileA
#define CreateEvent CreateEventA
#define FormatMessage FormatMessageA
#endif

#ifdef __cplusplus
}
#endif

#endif /* WINUSB_COMPAT_WINBASE_H */
