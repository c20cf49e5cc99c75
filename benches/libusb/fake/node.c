// The device's node: opened, read, mapped, closed. What is not for the fake goes to the kernel.
#define _GNU_SOURCE
#include "fake.h"
#include "raw_call.h"
#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>

static size_t position;

static int is_node(const char *path) {
    static const char node[] = FAKE_NODE;
    for (size_t i = 0; path[i] == node[i]; i++) {
        if (!node[i]) {
            return 1;
        }
    }
    return 0;
}

static int open_at(int directory, const char *path, int flags, mode_t mode) {
    if (path && is_node(path)) {
        position = 0;
        return ready_open();
    }
    return (int)with_errno(raw_call(SYS_openat, directory, (long)path, flags, mode, 0, 0));
}

#define OPEN(name, large)                                                                                    \
    int name(const char *path, int flags, ...) {                                                             \
        va_list more;                                                                                        \
        va_start(more, flags);                                                                               \
        mode_t mode = va_arg(more, mode_t);                                                                  \
        va_end(more);                                                                                        \
        return open_at(AT_FDCWD, path, flags | large, mode);                                                 \
    }
OPEN(open, 0)
OPEN(open64, O_LARGEFILE)
int __open_2(const char *path, int flags) { return open_at(AT_FDCWD, path, flags, 0); }

int close(int descriptor) {
    if (ready_is(descriptor)) {
        fake_lock();
        bus_close();
        ready_close();
        fake_unlock();
        return 0;
    }
    return (int)with_errno(raw_call(SYS_close, descriptor, 0, 0, 0, 0, 0));
}

static ssize_t read_from(void *buffer, size_t length, size_t from) {
    size_t left = from < fake_descriptors_length ? fake_descriptors_length - from : 0;
    size_t count = length < left ? length : left;
    for (size_t i = 0; i < count; i++) {
        ((volatile uint8_t *)buffer)[i] = fake_descriptors[from + i];
    }
    return (ssize_t)count;
}

ssize_t read(int descriptor, void *buffer, size_t length) {
    if (!ready_is(descriptor)) {
        return with_errno(raw_call(SYS_read, descriptor, (long)buffer, (long)length, 0, 0, 0));
    }
    ssize_t count = read_from(buffer, length, position);
    position += (size_t)count;
    return count;
}

ssize_t pread64(int descriptor, void *buffer, size_t length, off64_t from) {
    if (!ready_is(descriptor)) {
        return with_errno(raw_call(SYS_pread64, descriptor, (long)buffer, (long)length, from, 0, 0));
    }
    return read_from(buffer, length, (size_t)from);
}
ssize_t pread(int, void *, size_t, off_t) __attribute__((alias("pread64")));

off64_t lseek64(int descriptor, off64_t to, int whence) {
    if (!ready_is(descriptor)) {
        return with_errno(raw_call(SYS_lseek, descriptor, to, whence, 0, 0, 0));
    }
    if (whence != SEEK_SET) {
        return with_errno(-EINVAL);
    }
    position = (size_t)to;
    return to;
}
off_t lseek(int, off_t, int) __attribute__((alias("lseek64")));

// Zero copy: any memory will do for a bus without a controller.
void *mmap64(void *at, size_t length, int protection, int flags, int descriptor, off64_t from) {
    if (ready_is(descriptor)) {
        flags = MAP_PRIVATE | MAP_ANONYMOUS | (flags & MAP_FIXED);
        descriptor = -1;
    }
    return (void *)with_errno(
        raw_call(SYS_mmap, (long)at, (long)length, protection, flags, descriptor, (long)from));
}
void *mmap(void *, size_t, int, int, int, off_t) __attribute__((alias("mmap64")));
