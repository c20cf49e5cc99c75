/* In the Windows SDK this holds the descriptors of USB 2.0; all of them are in usbspec.h. */
#ifndef WINUSB_USB200_H
#define WINUSB_USB200_H
#include "usbspec.h"
#endif
