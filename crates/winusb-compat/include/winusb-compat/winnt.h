/* In the Windows SDK this is a part of windows.h. */
#include <windef.h>
