/* In the Windows SDK this is a part of windef.h. */
#include <windef.h>
