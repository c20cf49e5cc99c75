/*
 * The Win32 subset that programs for WinUSB use, for systems that are not Windows.
 *
 * It is what such a program needs to find and open its device and to wait for its transfers, and no more: no threads,
 * files, windows or registry. winusbtypes.h says how types and wide text differ.
 */
#ifndef WINUSB_COMPAT_WINDOWS_H
#define WINUSB_COMPAT_WINDOWS_H

#include <windef.h>
#include <winbase.h>
#include <winerror.h>

#endif
