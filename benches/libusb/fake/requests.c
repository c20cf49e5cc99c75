// The requests of usbfs, as far as a stream to one endpoint needs them.
#include "fake.h"
#include "raw_call.h"
#include <stdarg.h>
#include <sys/ioctl.h>

static int control(struct usbdevfs_ctrltransfer *request) {
    // GET_CONFIGURATION is answered, strings there are none, and everything else is obeyed.
    if (request->bRequestType == 0x80 && request->bRequest == 8 && request->wLength >= 1) {
        *(uint8_t *)request->data = 1;
        return 1;
    }
    return request->bRequestType == 0x80 && request->bRequest == 6 ? -EPIPE : 0;
}

static long answer(unsigned long request, void *argument) {
    switch (request) {
    case USBDEVFS_SUBMITURB:
        return bus_submit(argument);
    case USBDEVFS_REAPURB:
        bus_sleep(-1);
        // fall through
    case USBDEVFS_REAPURBNDELAY:
        return (*(void **)argument = bus_reap()) ? 0 : -EAGAIN;
    case USBDEVFS_DISCARDURB:
        return bus_discard(argument);
    case USBDEVFS_GET_CAPABILITIES:
        // What xHCI's devices answer.
        *(uint32_t *)argument = 0x1fd;
        return 0;
    case USBDEVFS_GET_SPEED:
        return FULL_SPEED;
    case USBDEVFS_CONNECTINFO:
        *(struct usbdevfs_connectinfo *)argument = (struct usbdevfs_connectinfo){FAKE_DEVICE, 0};
        return 0;
    case USBDEVFS_GETDRIVER:
        return -ENODATA;
    case USBDEVFS_CONTROL:
        return control(argument);
    case USBDEVFS_CLAIMINTERFACE:
    case USBDEVFS_RELEASEINTERFACE:
    case USBDEVFS_DISCONNECT_CLAIM:
    case USBDEVFS_SETINTERFACE:
    case USBDEVFS_SETCONFIGURATION:
    case USBDEVFS_CLEAR_HALT:
    case USBDEVFS_RESET:
    case USBDEVFS_DROP_PRIVILEGES:
        return 0;
    case USBDEVFS_IOCTL:
        // No kernel driver is bound, and none waits to be.
        return -ENODATA;
    }
    // CONNINFO_EX has its size in its number, and grows.
    if (_IOC_TYPE(request) == 'U' && _IOC_NR(request) == 32) {
        struct usbdevfs_conninfo_ex *information = argument;
        uint32_t size = information->size;
        for (uint32_t i = 0; i < size && i < _IOC_SIZE(request); i++) {
            ((volatile uint8_t *)argument)[i] = 0;
        }
        information->size = sizeof *information;
        information->busnum = FAKE_BUS;
        information->devnum = FAKE_DEVICE;
        information->speed = FULL_SPEED;
        information->num_ports = 1;
        information->ports[0] = 1;
        return 0;
    }
    return -ENOTTY;
}

int ioctl(int descriptor, unsigned long request, ...) {
    va_list more;
    va_start(more, request);
    void *argument = va_arg(more, void *);
    va_end(more);
    // Always asked, so that who counts system calls sees it; on the fake's descriptor the kernel just refuses.
    long result = raw_call(SYS_ioctl, descriptor, (long)request, (long)argument, 0, 0, 0);
    if (!ready_is(descriptor)) {
        return (int)with_errno(result);
    }
    fake_lock();
    result = answer(request, argument);
    fake_unlock();
    return (int)with_errno(result);
}
