/* GUIDs, and how they are compared. DEFINE_GUID declares one; after <initguid.h> it defines it. */
#ifndef WINUSB_COMPAT_GUIDDEF_H
#define WINUSB_COMPAT_GUIDDEF_H

#include <string.h>

#include <winusbtypes.h>

#ifdef __cplusplus
#ifndef EXTERN_C
#define EXTERN_C extern "C"
#endif
#define REFGUID const GUID &
#define REFIID const IID &
#define REFCLSID const CLSID &
#else
#ifndef EXTERN_C
#define EXTERN_C extern
#endif
#define REFGUID const GUID *
#define REFIID const IID *
#define REFCLSID const CLSID *
#endif

typedef GUID IID, *LPIID;
typedef GUID CLSID, *LPCLSID;

static const GUID winusb_compat_guid_null = {0, 0, 0, {0, 0, 0, 0, 0, 0, 0, 0}};
#define GUID_NULL winusb_compat_guid_null

#ifdef __cplusplus
static inline int IsEqualGUID(REFGUID one, REFGUID other) { return memcmp(&one, &other, sizeof(GUID)) == 0; }
static inline bool operator==(REFGUID one, REFGUID other) { return IsEqualGUID(one, other) != 0; }
static inline bool operator!=(REFGUID one, REFGUID other) { return !IsEqualGUID(one, other); }
#else
#define IsEqualGUID(one, other) (memcmp((one), (other), sizeof(GUID)) == 0)
#endif
#define IsEqualIID(one, other) IsEqualGUID(one, other)
#define IsEqualCLSID(one, other) IsEqualGUID(one, other)

#endif /* WINUSB_COMPAT_GUIDDEF_H */

/* Outside of the guard: <initguid.h> may come after <windows.h>. Several files of one program may define the same GUID,
 * so it is weak. */
#undef DEFINE_GUID
#ifndef WINUSB_COMPAT_SELECTANY
#define WINUSB_COMPAT_SELECTANY __attribute__((weak))
#endif
#ifdef INITGUID
#define DEFINE_GUID(name, a, b, c, d0, d1, d2, d3, d4, d5, d6, d7) \
    EXTERN_C const GUID name WINUSB_COMPAT_SELECTANY;              \
    const GUID name = {a, b, c, {d0, d1, d2, d3, d4, d5, d6, d7}}
#else
#define DEFINE_GUID(name, a, b, c, d0, d1, d2, d3, d4, d5, d6, d7) EXTERN_C const GUID name
#endif
