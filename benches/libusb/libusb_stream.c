// A stream to a full-speed loudspeaker with libusb: the same work as `isoch_stream`, beside which it is measured.
//
//   libusb_stream NODE PACKETS TRANSFERS [DEPTH] [MEMORY]
//
// Opens a device node, claims interface 1 in alternate setting 1, keeps DEPTH transfers of PACKETS packets of 192
// bytes in flight on endpoint 0x01; the callback fills each again and resubmits it, until TRANSFERS are over. MEMORY
// is `copy` (a program's own memory, as most do it) or `mmap` (the kernel's, libusb_dev_mem_alloc).
#include <fcntl.h>
#include <libusb-1.0/libusb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

enum { PACKET = 192, MOST = 64 };

static const unsigned char wave[65536 + 128 * PACKET] = {1, 2, 3, 4, 5, 6, 7, 8};
static unsigned long transfers, submitted, finished, failed_transfers, failed_packets;

static void fail(const char *what, int error) {
    fprintf(stderr, "libusb_stream: %s: %s\n", what, libusb_error_name(error));
    exit(1);
}

static int check(const char *what, int result) {
    if (result < 0) {
        fail(what, result);
    }
    return result;
}

static void fill_and_submit(struct libusb_transfer *transfer) {
    size_t bytes = (size_t)transfer->length;
    memcpy(transfer->buffer, wave + submitted * bytes % 65536, bytes);
    check("submit", libusb_submit_transfer(transfer));
    submitted++;
}

static void LIBUSB_CALL over(struct libusb_transfer *transfer) {
    finished++;
    failed_transfers += transfer->status != LIBUSB_TRANSFER_COMPLETED;
    for (int i = 0; i < transfer->num_iso_packets; i++) {
        failed_packets += transfer->iso_packet_desc[i].status != LIBUSB_TRANSFER_COMPLETED;
    }
    if (submitted < transfers) {
        fill_and_submit(transfer);
    }
}

int main(int count, char **words) {
    if (count < 4) {
        fprintf(stderr, "usage: libusb_stream NODE PACKETS TRANSFERS [DEPTH] [copy|mmap]\n");
        return 2;
    }
    int packets = atoi(words[2]);
    transfers = strtoul(words[3], NULL, 10);
    int depth = count > 4 ? atoi(words[4]) : 8;
    int mapped = count > 5 && strcmp(words[5], "mmap") == 0;
    if (packets < 1 || packets > 128 || depth < 1 || depth > MOST) {
        fprintf(stderr, "libusb_stream: 1 to 128 packets, 1 to %d transfers in flight\n", MOST);
        return 2;
    }
    int node = open(words[1], O_RDWR | O_CLOEXEC);
    if (node < 0) {
        perror(words[1]);
        return 1;
    }
    libusb_context *context;
    libusb_device_handle *device;
    check("option", libusb_set_option(NULL, LIBUSB_OPTION_NO_DEVICE_DISCOVERY));
    check("init", libusb_init(&context));
    check("open", libusb_wrap_sys_device(context, node, &device));
    libusb_set_auto_detach_kernel_driver(device, 1);
    check("claim", libusb_claim_interface(device, 1));
    check("alternate setting", libusb_set_interface_alt_setting(device, 1, 1));

    int bytes = packets * PACKET;
    for (int i = 0; i < depth && submitted < transfers; i++) {
        struct libusb_transfer *transfer = libusb_alloc_transfer(packets);
        unsigned char *buffer =
            mapped ? libusb_dev_mem_alloc(device, (size_t)bytes) : malloc((size_t)bytes);
        if (!transfer || !buffer) {
            fail("memory", LIBUSB_ERROR_NO_MEM);
        }
        libusb_fill_iso_transfer(transfer, device, 0x01, buffer, bytes, packets, over, NULL, 0);
        libusb_set_iso_packet_lengths(transfer, PACKET);
        fill_and_submit(transfer);
    }
    while (finished < submitted) {
        struct timeval timeout = {60, 0};
        check("events", libusb_handle_events_timeout(context, &timeout));
    }
    const struct libusb_version *version = libusb_get_version();
    printf("{\"library\": \"libusb %d.%d.%d\", \"packets\": %d, \"transfers\": %lu, \"failed_transfers\": %lu, "
           "\"failed_packets\": %lu}\n",
           version->major, version->minor, version->micro, packets, finished, failed_transfers, failed_packets);
    libusb_release_interface(device, 1);
    libusb_close(device);
    libusb_exit(context);
    close(node);
    return failed_transfers + failed_packets > 0;
}
