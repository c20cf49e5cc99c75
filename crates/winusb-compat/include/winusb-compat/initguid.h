/* After this header, DEFINE_GUID defines what it names. */
#ifndef INITGUID
#define INITGUID
#endif
#include <guiddef.h>
