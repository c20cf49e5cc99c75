// What the program polls. usbfs says with POLLOUT that something can be reaped; an eventfd is ready for writing
// while its counter is not at its maximum: so one can stand for the other, and poll and epoll work as they are.
//
// readv and writev, because nobody else uses them: who counts system calls can leave them out.
#include "fake.h"
#include "raw_call.h"
#include <sys/eventfd.h>
#include <sys/uio.h>

static int descriptor = -1;
static int is_ready;

static void put(long number, uint64_t value) {
    struct iovec part = {&value, sizeof value};
    raw_call(number, descriptor, (long)&part, 1, 0, 0, 0);
}

int ready_open(void) {
    descriptor = (int)raw_call(SYS_eventfd2, 0, EFD_NONBLOCK | EFD_CLOEXEC, 0, 0, 0, 0);
    is_ready = 1;
    ready_set(0);
    return descriptor;
}

int ready_is(int other) { return descriptor >= 0 && other == descriptor; }

void ready_set(int something) {
    if (something != is_ready) {
        something ? put(SYS_readv, 0) : put(SYS_writev, UINT64_MAX - 1);
        is_ready = something;
    }
}

void ready_close(void) {
    raw_call(SYS_close, descriptor, 0, 0, 0, 0, 0);
    descriptor = -1;
}
