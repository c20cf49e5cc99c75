/* Text routines by their neutral names. For char only: there is no printf for 16-bit text here. */
#ifndef WINUSB_COMPAT_TCHAR_H
#define WINUSB_COMPAT_TCHAR_H

#ifdef _UNICODE
#error "tchar.h of winusb-compat is for char: build without _UNICODE and UNICODE"
#endif

#include <stdio.h>
#include <string.h>

#include <windef.h>

#define _TCHAR char
#define _T(quoted) quoted
#define _TEXT(quoted) quoted
#define _tmain main
#define _tprintf printf
#define _ftprintf fprintf
#define _sntprintf snprintf
#define _tcslen strlen
#define _tcscmp strcmp
#define _tcsncmp strncmp
#define _tcschr strchr
#define _tcsstr strstr

#endif
