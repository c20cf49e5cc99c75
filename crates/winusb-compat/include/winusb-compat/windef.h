/* Types and small macros of Windows' programs, beyond those in winusbtypes.h. */
#ifndef WINUSB_COMPAT_WINDEF_H
#define WINUSB_COMPAT_WINDEF_H

#if defined(_WIN32)
#error "the headers of winusb-compat stand in for Windows' own: leave their folder out on Windows"
#endif

#include <string.h>

#include <winusbtypes.h>

#include <guiddef.h>
#include <sal.h>

#ifndef CONST
#define CONST const
#endif
#ifndef IN
#define IN
#endif
#ifndef OUT
#define OUT
#endif
#ifndef OPTIONAL
#define OPTIONAL
#endif
#ifndef CALLBACK
#define CALLBACK
#endif
#ifndef APIENTRY
#define APIENTRY
#endif
#ifndef WINAPIV
#define WINAPIV
#endif
/* Microsoft's compiler has these built in; Visual Studio's template for WinUSB begins with LONG __cdecl _tmain. */
#ifndef __cdecl
#define __cdecl
#endif
#ifndef _cdecl
#define _cdecl
#endif
#ifndef __stdcall
#define __stdcall
#endif
#ifndef __forceinline
#define __forceinline static inline
#endif
#ifndef FORCEINLINE
#define FORCEINLINE static inline
#endif

/* Things that only ever are NULL here. */
typedef HANDLE HWND, HINSTANCE, HMODULE, HKEY, *PHKEY, HLOCAL, HGLOBAL;

typedef struct _SECURITY_ATTRIBUTES {
    DWORD nLength;
    LPVOID lpSecurityDescriptor;
    BOOL bInheritHandle;
} SECURITY_ATTRIBUTES, *PSECURITY_ATTRIBUTES, *LPSECURITY_ATTRIBUTES;

/* Text is char, or with UNICODE what u"..." makes. */
#ifdef UNICODE
typedef WCHAR TCHAR, *PTCHAR;
typedef LPWSTR PTSTR, LPTSTR;
typedef LPCWSTR PCTSTR, LPCTSTR;
#define TEXT(quoted) u##quoted
#else
typedef char TCHAR, *PTCHAR;
typedef LPSTR PTSTR, LPTSTR;
typedef LPCSTR PCTSTR, LPCTSTR;
#define TEXT(quoted) quoted
#endif
typedef WCHAR OLECHAR, *LPOLESTR;
typedef const WCHAR *LPCOLESTR;
/* A list of strings that ends with an empty one. */
typedef PSTR PZZSTR;
typedef PWSTR PZZWSTR;
typedef PCSTR PCZZSTR;
typedef PCWSTR PCZZWSTR;

#define MAX_PATH 260
#define ANYSIZE_ARRAY 1

#ifndef NOMINMAX
#ifndef max
#define max(a, b) ((a) > (b) ? (a) : (b))
#endif
#ifndef min
#define min(a, b) ((a) < (b) ? (a) : (b))
#endif
#endif

#define LOBYTE(word) ((BYTE)((DWORD_PTR)(word) & 0xff))
#define HIBYTE(word) ((BYTE)(((DWORD_PTR)(word) >> 8) & 0xff))
#define LOWORD(value) ((WORD)((DWORD_PTR)(value) & 0xffff))
#define HIWORD(value) ((WORD)(((DWORD_PTR)(value) >> 16) & 0xffff))
#define MAKEWORD(low, high) ((WORD)((BYTE)(low) | ((WORD)(BYTE)(high) << 8)))
#define MAKELONG(low, high) ((LONG)((WORD)(low) | ((DWORD)(WORD)(high) << 16)))

#define ARRAYSIZE(array) (sizeof(array) / sizeof((array)[0]))
#define _countof(array) ARRAYSIZE(array)
#define FIELD_OFFSET(type, field) ((LONG)offsetof(type, field))
#define CONTAINING_RECORD(address, type, field) ((type *)(void *)((PCHAR)(address) - offsetof(type, field)))
#define UNREFERENCED_PARAMETER(parameter) ((void)(parameter))
#define DBG_UNREFERENCED_PARAMETER(parameter) ((void)(parameter))

#define RtlZeroMemory(destination, length) memset((destination), 0, (length))
#define RtlFillMemory(destination, length, fill) memset((destination), (fill), (length))
#define RtlCopyMemory(destination, source, length) memcpy((destination), (source), (length))
#define RtlMoveMemory(destination, source, length) memmove((destination), (source), (length))
#define ZeroMemory RtlZeroMemory
#define FillMemory RtlFillMemory
#define CopyMemory RtlCopyMemory
#define MoveMemory RtlMoveMemory

#endif /* WINUSB_COMPAT_WINDEF_H */
