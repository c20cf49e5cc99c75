// The bus: takes transfers, ends them in order when their time is over.
//
// FAKE_BATCH tells how many are over when somebody who waited for them is woken (1 if it is not set): 1 is a
// program that is always in time, 4 one that slept through three completions. The first transfers are over one by
// one in any case, so that whoever learns from them learns what is so.
#include "fake.h"
#include "raw_call.h"

enum { MOST = 1024, FIRST = 64 };
static const int64_t FRAME = 1000000;
// From the end of a transfer's last frame until the program runs: what a good system needs.
static const int64_t LATENCY = 60000;

struct transfer {
    struct usbdevfs_urb *urb;
    int64_t end;
    int status;
};

static struct transfer pending[MOST], finished[MOST];
static unsigned pending_first, pending_count, finished_first, finished_count;
static uint64_t finished_ever;
static int64_t stream_end;

// The environment, without the C library: nothing of it may be counted.
extern char **environ;

static unsigned batch(void) {
    static unsigned value;
    if (value == 0) {
        static const char name[] = "FAKE_BATCH=";
        value = 1;
        for (char **variable = environ; variable && *variable; variable++) {
            size_t i = 0;
            while (name[i] && (*variable)[i] == name[i]) {
                i++;
            }
            if (!name[i] && (*variable)[i] >= '1' && (*variable)[i] <= '9') {
                value = (unsigned)((*variable)[i] - '0');
            }
        }
    }
    return value;
}

static struct transfer *pending_at(unsigned index) { return &pending[(pending_first + index) % MOST]; }

unsigned bus_pending(void) { return pending_count; }

static void finish(struct transfer transfer) {
    finished[(finished_first + finished_count++) % MOST] = transfer;
    finished_ever++;
    ready_set(1);
}

// Ends what is over by now.
static void advance(void) {
    while (pending_count > 0 && pending_at(0)->end + LATENCY <= time_now()) {
        finish(*pending_at(0));
        pending_first = (pending_first + 1) % MOST;
        pending_count--;
    }
}

// Lets time go on until a batch is over, but not beyond `timeout` (nanoseconds; below 0: for ever).
void bus_sleep(int64_t timeout) {
    advance();
    if (finished_count > 0 || pending_count == 0) {
        return;
    }
    unsigned last = finished_ever < FIRST ? 1 : batch();
    if (last > pending_count) {
        last = pending_count;
    }
    int64_t until = pending_at(last - 1)->end + LATENCY;
    if (timeout >= 0 && timeout < until - time_now()) {
        until = time_now() + timeout;
    }
    time_set(until);
    advance();
}

// A request to the device itself: descriptors are not asked for this way, and it obeys everything else.
static int control(struct usbdevfs_urb *urb) {
    const uint8_t *setup = urb->buffer;
    int is_string = setup[0] == 0x80 && setup[1] == 6;
    urb->actual_length = 0;
    finish((struct transfer){urb, time_now(), is_string ? -EPIPE : 0});
    return 0;
}

int bus_submit(struct usbdevfs_urb *urb) {
    if (pending_count + finished_count >= MOST) {
        return -ENOMEM;
    }
    if (urb->type == USBDEVFS_URB_TYPE_CONTROL) {
        return urb->buffer_length < 8 ? -EINVAL : control(urb);
    }
    if (urb->type != USBDEVFS_URB_TYPE_ISO || urb->endpoint != 0x01) {
        return -ENOENT;
    }
    if (urb->number_of_packets < 1 || urb->number_of_packets > 128) {
        return -EINVAL;
    }
    for (int i = 0; i < urb->number_of_packets; i++) {
        if (urb->iso_frame_desc[i].length > 192) {
            return -EMSGSIZE;
        }
    }
    advance();
    if (pending_count == 0) {
        // A stream begins ten frames from now, as on UHCI.
        stream_end = (time_now() / FRAME + 11) * FRAME;
    }
    stream_end += urb->number_of_packets * FRAME;
    pending[(pending_first + pending_count++) % MOST] = (struct transfer){urb, stream_end, 0};
    return 0;
}

// Writes the results as the kernel does when a transfer is reaped. Never is start_frame among them.
struct usbdevfs_urb *bus_reap(void) {
    if (finished_count == 0) {
        return NULL;
    }
    struct transfer transfer = finished[finished_first];
    finished_first = (finished_first + 1) % MOST;
    finished_count--;
    ready_set(finished_count > 0);
    struct usbdevfs_urb *urb = transfer.urb;
    urb->status = transfer.status;
    urb->error_count = 0;
    if (urb->type == USBDEVFS_URB_TYPE_ISO) {
        urb->actual_length = 0;
        for (int i = 0; i < urb->number_of_packets; i++) {
            struct usbdevfs_iso_packet_desc *packet = &urb->iso_frame_desc[i];
            packet->actual_length = transfer.status ? 0 : packet->length;
            packet->status = transfer.status ? (unsigned)-EXDEV : 0;
            urb->actual_length += (int)packet->actual_length;
        }
    }
    return urb;
}

int bus_discard(struct usbdevfs_urb *urb) {
    for (unsigned i = 0; i < pending_count; i++) {
        if (pending_at(i)->urb == urb) {
            struct transfer transfer = *pending_at(i);
            for (; i + 1 < pending_count; i++) {
                *pending_at(i) = *pending_at(i + 1);
            }
            pending_count--;
            transfer.status = -ENOENT;
            finish(transfer);
            return 0;
        }
    }
    return -EINVAL;
}

void bus_close(void) { pending_count = finished_count = 0; }
