/* Copying of text that cannot overrun: cut, ended with a NUL, and STRSAFE_E_INSUFFICIENT_BUFFER, if it is too long. */
#ifndef WINUSB_COMPAT_STRSAFE_H
#define WINUSB_COMPAT_STRSAFE_H

#include <windows.h>

#define STRSAFE_MAX_CCH 2147483647

static inline HRESULT winusb_compat_copy_a(char *to, size_t room, const char *from) {
    size_t i = 0;
    if (room == 0 || room > STRSAFE_MAX_CCH) return E_INVALIDARG;
    for (; i + 1 < room && from[i] != 0; i++) to[i] = from[i];
    to[i] = 0;
    return from[i] == 0 ? S_OK : STRSAFE_E_INSUFFICIENT_BUFFER;
}

static inline HRESULT winusb_compat_copy_w(WCHAR *to, size_t room, const WCHAR *from) {
    size_t i = 0;
    if (room == 0 || room > STRSAFE_MAX_CCH) return E_INVALIDARG;
    for (; i + 1 < room && from[i] != 0; i++) to[i] = from[i];
    to[i] = 0;
    return from[i] == 0 ? S_OK : STRSAFE_E_INSUFFICIENT_BUFFER;
}

#define StringCchCopyA(to, characters, from) winusb_compat_copy_a((to), (characters), (from))
#define StringCchCopyW(to, characters, from) winusb_compat_copy_w((to), (characters), (from))
#define StringCbCopyA(to, bytes, from) winusb_compat_copy_a((to), (bytes), (from))
#define StringCbCopyW(to, bytes, from) winusb_compat_copy_w((to), (bytes) / sizeof(WCHAR), (from))
#ifdef UNICODE
#define StringCchCopy StringCchCopyW
#define StringCbCopy StringCbCopyW
#else
#define StringCchCopy StringCchCopyA
#define StringCbCopy StringCbCopyA
#endif

#endif
