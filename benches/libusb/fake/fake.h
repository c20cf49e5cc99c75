// A usbfs device that exists in this process only: what its files share.
//
// Why a fake, when there are dummy controllers? Because instructions are counted in user space, and must be
// the same on every run: so the bus below must cost nothing, take no time of its own and tell the same story
// each time. The parts call nothing but each other and the kernel, so that everything executed in another
// object than this is the work of whoever uses the bus.
#pragma once

#include <linux/usbdevice_fs.h>
#include <stddef.h>
#include <stdint.h>

#define FAKE_NODE "/dev/bus/usb/001/002"
enum { FAKE_BUS = 1, FAKE_DEVICE = 2, FULL_SPEED = 2 };

#pragma GCC visibility push(hidden)

// One thread at a time is in the fake.
void fake_lock(void);
void fake_unlock(void);

// time.c: the host's monotonic clock as the programs see it, in nanoseconds. It goes on when somebody waits.
int64_t time_now(void);
int64_t time_read(void);
void time_set(int64_t nanoseconds);

// bus.c: what has been submitted, and what is over. All are called with the lock held.
int bus_submit(struct usbdevfs_urb *urb);
struct usbdevfs_urb *bus_reap(void);
int bus_discard(struct usbdevfs_urb *urb);
void bus_sleep(int64_t timeout);
unsigned bus_pending(void);
void bus_close(void);

// ready.c: the descriptor behind the open device; it is ready for writing while something can be reaped.
int ready_open(void);
int ready_is(int descriptor);
void ready_set(int something);
void ready_close(void);

// descriptors.c: the device and its configuration, as usbfs gives them to who reads the node.
extern const uint8_t fake_descriptors[];
extern const size_t fake_descriptors_length;

#pragma GCC visibility pop
