/* In the Windows SDK this holds the descriptors of USB 1.0; all of them are in usbspec.h. */
#ifndef WINUSB_USB100_H
#define WINUSB_USB100_H
#include "usbspec.h"
#endif
