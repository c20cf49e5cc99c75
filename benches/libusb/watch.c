// Looks at a program that streams through usbfs, from between it and the C library: how long it takes from waking up to
// having resubmitted, and what it allocates meanwhile. The same for every program, whatever library it uses.
//
// LD_PRELOAD it; WATCH_FILE names a file for what was seen, a line of JSON. The first transfers are not looked at.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/usbdevice_fs.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <time.h>

enum { FIRST = 100, MOST = 1 << 20 };

static uint64_t submitted, allocated, allocated_first, allocated_last;
static uint32_t delays[MOST];
static uint64_t delay_count;
// When this thread woke up last, in nanoseconds, for whatever reason: a program may be due by its own reckoning.
static __thread uint64_t woken;

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void *next(const char *name) { return dlsym(RTLD_NEXT, name); }

// One thread submits once the stream runs, so what is counted needs no lock.
static void seen_submission(void) {
    uint64_t count = __atomic_add_fetch(&submitted, 1, __ATOMIC_RELAXED);
    allocated_last = __atomic_load_n(&allocated, __ATOMIC_RELAXED);
    if (count == FIRST) {
        allocated_first = allocated_last;
    }
    if (count > FIRST && woken && delay_count < MOST) {
        delays[delay_count++] = (uint32_t)(now() - woken);
    }
}

int ioctl(int descriptor, unsigned long request, ...) {
    static int (*real)(int, unsigned long, ...);
    va_list more;
    va_start(more, request);
    void *argument = va_arg(more, void *);
    va_end(more);
    if (!real) {
        real = next("ioctl");
    }
    int result = real(descriptor, request, argument);
    if (request == USBDEVFS_SUBMITURB && result == 0 &&
        ((struct usbdevfs_urb *)argument)->type == USBDEVFS_URB_TYPE_ISO) {
        seen_submission();
    }
    return result;
}

#define WAIT(name, parameters, arguments)                                                                    \
    int name parameters {                                                                                    \
        static int(*real) parameters;                                                                        \
        if (!real) {                                                                                         \
            real = next(#name);                                                                              \
        }                                                                                                    \
        int result = real arguments;                                                                         \
        woken = now();                                                                                       \
        return result;                                                                                       \
    }
WAIT(poll, (struct pollfd * what, nfds_t count, int timeout), (what, count, timeout))
WAIT(ppoll, (struct pollfd * what, nfds_t count, const struct timespec *timeout, const sigset_t *signals),
     (what, count, timeout, signals))
WAIT(epoll_wait, (int epoll, struct epoll_event *events, int most, int timeout), (epoll, events, most, timeout))
WAIT(epoll_pwait, (int epoll, struct epoll_event *events, int most, int timeout, const sigset_t *signals),
     (epoll, events, most, timeout, signals))
WAIT(epoll_pwait2,
     (int epoll, struct epoll_event *events, int most, const struct timespec *timeout, const sigset_t *signals),
     (epoll, events, most, timeout, signals))

// The C library's own, under the names by which it can still be reached.
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

static void seen_allocation(void) { __atomic_add_fetch(&allocated, 1, __ATOMIC_RELAXED); }

void *malloc(size_t bytes) {
    seen_allocation();
    return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes) {
    seen_allocation();
    return __libc_calloc(count, bytes);
}

void *realloc(void *old, size_t bytes) {
    seen_allocation();
    return __libc_realloc(old, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes) {
    seen_allocation();
    return __libc_memalign(alignment, bytes);
}

int posix_memalign(void **to, size_t alignment, size_t bytes) {
    seen_allocation();
    *to = __libc_memalign(alignment, bytes);
    return *to ? 0 : 12;
}

static int by_length(const void *a, const void *b) {
    uint32_t first = *(const uint32_t *)a, second = *(const uint32_t *)b;
    return (first > second) - (first < second);
}

// The delay that so many of a thousand are not longer than, in microseconds.
static double quantile(unsigned of_thousand) {
    if (delay_count == 0) {
        return -1;
    }
    uint64_t rank = (delay_count * of_thousand + 999) / 1000;
    return delays[rank ? rank - 1 : 0] / 1000.0;
}

static void __attribute__((destructor)) tell(void) {
    const char *name = getenv("WATCH_FILE");
    FILE *file = name ? fopen(name, "w") : NULL;
    if (!file || submitted <= FIRST) {
        return;
    }
    uint64_t transfers = submitted - FIRST, allocations = allocated_last - allocated_first;
    qsort(delays, delay_count, sizeof *delays, by_length);
    fprintf(file,
            "{\"transfers\": %llu, \"allocations\": %llu, \"delays\": %llu, \"p50\": %.1f, \"p99_9\": %.1f, "
            "\"longest\": %.1f}\n",
            (unsigned long long)transfers, (unsigned long long)allocations, (unsigned long long)delay_count,
            quantile(500), quantile(999), quantile(1000));
    fclose(file);
}
