// Where programs wait: here the bus goes on. And the clock that they look at.
#define _GNU_SOURCE
#include "fake.h"
#include "raw_call.h"
#include <poll.h>
#include <sys/epoll.h>
#include <time.h>

// Nobody stays in the kernel for longer: when somebody else submits meanwhile, the bus has to go on for him, too; but not
// before he is done with that.
static const int64_t A_WHILE = 50000000;
// The size of the kernel's signal sets.
enum { SIGNALS = 8 };

// One of the kernel's calls that wait, with all but its timeout.
struct wait {
    long number, descriptor, events, count, signals;
};

static long ask(const struct wait *wait, int64_t nanoseconds) {
    if (wait->number == SYS_ppoll) {
        struct timespec timeout = {nanoseconds / 1000000000, nanoseconds % 1000000000};
        return raw_call(SYS_ppoll, wait->events, wait->count, (long)&timeout, wait->signals, SIGNALS, 0);
    }
    // Not epoll_pwait2, which valgrind does not know everywhere.
    int milliseconds = (int)((nanoseconds + 999999) / 1000000);
    return raw_call(SYS_epoll_pwait, wait->descriptor, wait->events, wait->count, milliseconds, wait->signals, SIGNALS);
}

// Waits for at most `timeout` nanoseconds; below 0: for ever.
static int waits(int64_t timeout, struct wait wait) {
    unsigned before = bus_pending();
    for (;;) {
        fake_lock();
        unsigned pending = bus_pending();
        if (pending == before) {
            bus_sleep(timeout);
        }
        before = pending;
        fake_unlock();
        int is_last = timeout >= 0 && timeout <= A_WHILE;
        long result = ask(&wait, is_last ? timeout : A_WHILE);
        if (result != 0 || is_last) {
            return (int)with_errno(result);
        }
        timeout -= timeout < 0 ? 0 : A_WHILE;
    }
}

static int64_t from_time(const struct timespec *time) {
    return time ? (int64_t)time->tv_sec * 1000000000 + time->tv_nsec : -1;
}

static int64_t from_milliseconds(int milliseconds) { return milliseconds < 0 ? -1 : (int64_t)milliseconds * 1000000; }

static int polls(struct pollfd *what, nfds_t count, int64_t timeout, const sigset_t *signals) {
    return waits(timeout, (struct wait){SYS_ppoll, 0, (long)what, (long)count, (long)signals});
}

int ppoll(struct pollfd *what, nfds_t count, const struct timespec *timeout, const sigset_t *signals) {
    return polls(what, count, from_time(timeout), signals);
}

int poll(struct pollfd *what, nfds_t count, int milliseconds) {
    return polls(what, count, from_milliseconds(milliseconds), NULL);
}

static int epolls(int epoll, struct epoll_event *events, int most, int64_t timeout, const sigset_t *signals) {
    return waits(timeout, (struct wait){SYS_epoll_pwait, epoll, (long)events, most, (long)signals});
}

int epoll_wait(int epoll, struct epoll_event *events, int most, int milliseconds) {
    return epolls(epoll, events, most, from_milliseconds(milliseconds), NULL);
}

int epoll_pwait(int epoll, struct epoll_event *events, int most, int milliseconds, const sigset_t *signals) {
    return epolls(epoll, events, most, from_milliseconds(milliseconds), signals);
}

int epoll_pwait2(int epoll, struct epoll_event *events, int most, const struct timespec *timeout,
                 const sigset_t *signals) {
    return epolls(epoll, events, most, from_time(timeout), signals);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    if (clock == CLOCK_REALTIME || clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID) {
        return (int)with_errno(raw_call(SYS_clock_gettime, clock, (long)time, 0, 0, 0, 0));
    }
    fake_lock();
    int64_t now = time_read();
    fake_unlock();
    time->tv_sec = now / 1000000000;
    time->tv_nsec = now % 1000000000;
    return 0;
}
