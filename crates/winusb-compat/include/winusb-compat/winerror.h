/* HRESULTs, and codes beyond those in winusbtypes.h. */
#ifndef WINUSB_COMPAT_WINERROR_H
#define WINUSB_COMPAT_WINERROR_H

#include <winusbtypes.h>

#define ERROR_INVALID_DRIVE 15L
#define ERROR_NO_MORE_FILES 18L
#define ERROR_WRITE_FAULT 29L
#define ERROR_READ_FAULT 30L
#define ERROR_FILE_EXISTS 80L
#define ERROR_BROKEN_PIPE 109L
#define ERROR_DISK_FULL 112L
#define ERROR_BAD_PATHNAME 161L
#define ERROR_FILENAME_EXCED_RANGE 206L
#define ERROR_NO_DATA 232L
#define ERROR_MR_MID_NOT_FOUND 317L
#define ERROR_CANCELLED 1223L
#define ERROR_INTERNAL_ERROR 1359L
#define ERROR_NO_SUCH_DEVINST 0xE000020BL
#define ERROR_NO_SUCH_DEVICE_INTERFACE 0xE0000225L

#define S_OK ((HRESULT)0L)
#define S_FALSE ((HRESULT)1L)
#define E_NOTIMPL ((HRESULT)0x80004001L)
#define E_NOINTERFACE ((HRESULT)0x80004002L)
#define E_POINTER ((HRESULT)0x80004003L)
#define E_ABORT ((HRESULT)0x80004004L)
#define E_FAIL ((HRESULT)0x80004005L)
#define E_UNEXPECTED ((HRESULT)0x8000FFFFL)
#define E_ACCESSDENIED ((HRESULT)0x80070005L)
#define E_HANDLE ((HRESULT)0x80070006L)
#define E_OUTOFMEMORY ((HRESULT)0x8007000EL)
#define E_INVALIDARG ((HRESULT)0x80070057L)
#define CO_E_CLASSSTRING ((HRESULT)0x800401F3L)
#define STRSAFE_E_INSUFFICIENT_BUFFER ((HRESULT)0x8007007AL)

#define SEVERITY_SUCCESS 0
#define SEVERITY_ERROR 1
#define FACILITY_NULL 0
#define FACILITY_ITF 4
#define FACILITY_WIN32 7
#define FACILITY_NT_BIT 0x10000000

#define SUCCEEDED(result) ((HRESULT)(result) >= 0)
#define FAILED(result) ((HRESULT)(result) < 0)
#define IS_ERROR(result) ((ULONG)(result) >> 31 == SEVERITY_ERROR)
#define HRESULT_CODE(result) ((result) & 0xFFFF)
#define SCODE_CODE(result) HRESULT_CODE(result)
#define HRESULT_FACILITY(result) (((result) >> 16) & 0x1FFF)
#define HRESULT_SEVERITY(result) (((result) >> 31) & 1)
#define MAKE_HRESULT(severity, facility, code) \
    ((HRESULT)((ULONG)(severity) << 31 | (ULONG)(facility) << 16 | (ULONG)(code)))
#define HRESULT_FROM_NT(status) ((HRESULT)((ULONG)(status) | FACILITY_NT_BIT))
#define HRESULT_FROM_WIN32(error) winusb_compat_hresult((ULONG)(error))

/* A function, as in Windows' header: the argument is often a call of GetLastError. */
static inline HRESULT winusb_compat_hresult(ULONG error) {
    return (HRESULT)error <= 0 ? (HRESULT)error : (HRESULT)((error & 0xFFFF) | (ULONG)FACILITY_WIN32 << 16 | 0x80000000U);
}

#endif /* WINUSB_COMPAT_WINERROR_H */
