/*
 * The scenario of Microsoft's article "Send USB isochronous transfers from a WinUSB desktop app", from one source for
 * Windows and for every other system: 30 frames written and read, each time on named frames and as soon as possible, in
 * three transfers of 80 packets; then what must be refused.
 *
 *     article [DEVICE]      a device path or an address, as virtual:article; without it, the first device found
 *
 * Prints every step, and ends with 0 only if all was as it should be.
 *
 * What is mended of the article's listing:
 *  - it asks alternate setting 1 for as many pipes as alternate setting 0 has. Here pipes are asked for until there are
 *    no more (ERROR_NO_MORE_ITEMS).
 *  - its test for direction, PipeId == 0x80, is never true, so both pipes are taken for the OUT pipe. The direction is
 *    bit 7 of PipeId.
 *  - it takes 8 / Interval for the packets of a frame, which is wrong for intervals of 3 and 4. The period is
 *    1 << (Interval - 1) microframes.
 *  - the member IsochOutBytesPerFrame that it checks the size against is nowhere set.
 *  - of what was read it adds up the first transfer's packets only, and it clears one byte for each packet descriptor,
 *    and not the descriptors.
 *  - it never selects the alternate setting that has the isochronous endpoints.
 *  - it calls a microframe 250 microseconds long. It is 125.
 */
#include <windows.h>

#include <setupapi.h>
#include <winusb.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRANSFER_MILLISECONDS 10
#define TRANSFERS 3
/* What the device of the article has. */
#define BYTES_PER_INTERVAL 1024
#define PACKETS 80
#define TRANSFER_BYTES (PACKETS * BYTES_PER_INTERVAL)

/* Programs have the GUID of their own INF file; WinUSB's test device has this one. */
static const GUID device_interface = {0xDA812BFF, 0x12C3, 0x46A2, {0x8E, 0x2B, 0xDB, 0xD3, 0xB7, 0x83, 0x4C, 0x43}};

static WINUSB_INTERFACE_HANDLE usb;
static WINUSB_PIPE_INFORMATION_EX out_pipe, in_pipe;
static UCHAR *buffer;
static USBD_ISO_PACKET_DESCRIPTOR *packets;
static OVERLAPPED overlapped[TRANSFERS];
static int failures;

/* Prints a step, and counts it if it is not as it should be. */
static int expect(int condition, const char *what) {
    DWORD error = GetLastError();
    printf("%s  %s", condition ? "ok    " : "FAILED", what);
    if (!condition) printf(" (last error %lu)", (unsigned long)error);
    printf("\n");
    if (!condition) failures++;
    return condition;
}

/* The path of the first device with the interface. */
static char *find_device(void) {
    char *path = NULL;
    DWORD bytes = 0;
    SP_DEVICE_INTERFACE_DATA data;
    SP_DEVICE_INTERFACE_DETAIL_DATA_A *detail;
    HDEVINFO set = SetupDiGetClassDevsA(&device_interface, NULL, NULL, DIGCF_PRESENT | DIGCF_DEVICEINTERFACE);
    if (set == INVALID_HANDLE_VALUE) return NULL;
    data.cbSize = sizeof data;
    if (SetupDiEnumDeviceInterfaces(set, NULL, &device_interface, 0, &data)) {
        SetupDiGetDeviceInterfaceDetailA(set, &data, NULL, 0, &bytes, NULL);
        detail = (SP_DEVICE_INTERFACE_DETAIL_DATA_A *)calloc(1, bytes);
        if (detail != NULL) {
            detail->cbSize = sizeof *detail;
            if (SetupDiGetDeviceInterfaceDetailA(set, &data, detail, bytes, NULL, NULL)) {
                path = (char *)calloc(1, strlen(detail->DevicePath) + 1);
                if (path != NULL) strcpy(path, detail->DevicePath);
            }
            free(detail);
        }
    }
    SetupDiDestroyDeviceInfoList(set);
    return path;
}

/* Finds the isochronous pipes of alternate setting 1. */
static void find_pipes(void) {
    USB_INTERFACE_DESCRIPTOR descriptor;
    WINUSB_PIPE_INFORMATION_EX pipe;
    UCHAR index = 0;
    expect(WinUsb_QueryInterfaceSettings(usb, 0, &descriptor), "QueryInterfaceSettings of alternate setting 0");
    for (; WinUsb_QueryPipeEx(usb, 1, index, &pipe); index++) {
        printf("        pipe 0x%02x: type %d, interval %u, %lu bytes per interval\n", pipe.PipeId, (int)pipe.PipeType,
               pipe.Interval, (unsigned long)pipe.MaximumBytesPerInterval);
        if (pipe.PipeType != UsbdPipeTypeIsochronous) continue;
        if (pipe.PipeId & 0x80)
            in_pipe = pipe;
        else
            out_pipe = pipe;
    }
    expect(GetLastError() == ERROR_NO_MORE_ITEMS, "QueryPipeEx ends with ERROR_NO_MORE_ITEMS (259)");
}

/* Whether a pipe is what the sizes above were made for. */
static int is_known(const WINUSB_PIPE_INFORMATION_EX *pipe) {
    ULONG period, packets_per_frame;
    if (pipe->PipeType != UsbdPipeTypeIsochronous || pipe->Interval == 0) return 0;
    period = 1UL << (pipe->Interval - 1); /* in microframes */
    packets_per_frame = period < 8 ? 8 / period : 1;
    return pipe->MaximumBytesPerInterval * packets_per_frame * TRANSFER_MILLISECONDS == TRANSFER_BYTES &&
           pipe->MaximumBytesPerInterval == BYTES_PER_INTERVAL;
}

/* Whether a call was accepted: FALSE with ERROR_IO_PENDING, or TRUE at once. */
static int accepted(BOOL result, const char *call, int number) {
    DWORD error = GetLastError();
    printf("        %s %d: (%s, %lu)\n", call, number, result ? "TRUE" : "FALSE", (unsigned long)error);
    return result || error == ERROR_IO_PENDING;
}

/* Waits for all transfers: each has 0 bytes, because isochronous transfers tell none. */
static int all_complete(void) {
    int i, right = 1;
    for (i = 0; i < TRANSFERS; i++) {
        DWORD bytes = 1;
        BOOL result = WinUsb_GetOverlappedResult(usb, &overlapped[i], &bytes, TRUE);
        printf("        transfer %d: %s, numBytes %lu\n", i, result ? "TRUE" : "FALSE", (unsigned long)bytes);
        right = right && result && bytes == 0;
    }
    return right;
}

static ULONG now(void) {
    ULONG frame = 0;
    LARGE_INTEGER at;
    if (!WinUsb_GetCurrentFrameNumber(usb, &frame, &at)) expect(0, "GetCurrentFrameNumber");
    return frame;
}

static void write_or_read(int reads, int as_soon_as_possible) {
    const char *call = reads ? (as_soon_as_possible ? "ReadIsochPipeAsap" : "ReadIsochPipe")
                             : (as_soon_as_possible ? "WriteIsochPipeAsap" : "WriteIsochPipe");
    WINUSB_ISOCH_BUFFER_HANDLE registered = NULL;
    ULONG first, frame, received = 0, failed = 0;
    int i, right = 1, frames = 1, offsets = 1;
    printf("%s\n", call);
    memset(buffer, 0, TRANSFERS * TRANSFER_BYTES);
    memset(packets, 0xEE, TRANSFERS * PACKETS * sizeof *packets);
    if (!expect(WinUsb_RegisterIsochBuffer(usb, reads ? in_pipe.PipeId : out_pipe.PipeId, buffer,
                                           TRANSFERS * TRANSFER_BYTES, &registered) &&
                    registered != NULL && registered != INVALID_HANDLE_VALUE,
                "RegisterIsochBuffer of 245,760 bytes"))
        return;
    first = now();
    frame = first + 5;
    for (i = 0; i < TRANSFERS; i++) {
        ULONG offset = (ULONG)i * TRANSFER_BYTES;
        BOOL result;
        if (reads && as_soon_as_possible)
            result = WinUsb_ReadIsochPipeAsap(registered, offset, TRANSFER_BYTES, i != 0, PACKETS, &packets[PACKETS * i],
                                              &overlapped[i]);
        else if (reads)
            result = WinUsb_ReadIsochPipe(registered, offset, TRANSFER_BYTES, &frame, PACKETS, &packets[PACKETS * i],
                                          &overlapped[i]);
        else if (as_soon_as_possible)
            result = WinUsb_WriteIsochPipeAsap(registered, offset, TRANSFER_BYTES, i != 0, &overlapped[i]);
        else
            result = WinUsb_WriteIsochPipe(registered, offset, TRANSFER_BYTES, &frame, &overlapped[i]);
        right = accepted(result, call, i) && right;
        if (!as_soon_as_possible) {
            printf("        the next frame is f+%lu\n", (unsigned long)(frame - first));
            frames = frames && frame - first == 5 + (ULONG)TRANSFER_MILLISECONDS * (i + 1);
        }
    }
    expect(right, "three transfers are queued");
    if (!as_soon_as_possible) expect(frames, "the frames are f+15, f+25 and f+35, at once");
    expect(all_complete(), "each completes with TRUE and 0 bytes");
    expect((LONG)(now() - first) >= TRANSFERS * TRANSFER_MILLISECONDS, "that took 30 frames at least");
    if (reads) {
        for (i = 0; i < TRANSFERS * PACKETS; i++) {
            offsets = offsets && packets[i].Offset == (ULONG)(i % PACKETS) * BYTES_PER_INTERVAL;
            received += packets[i].Length;
            failed += packets[i].Status != 0;
        }
        printf("        %lu bytes in %d packets, %lu failed\n", (unsigned long)received, TRANSFERS * PACKETS,
               (unsigned long)failed);
        expect(offsets, "packet offsets are 1024 apart, and begin with 0 in each transfer");
        expect(received == TRANSFERS * TRANSFER_BYTES && failed == 0, "245,760 bytes in 240 packets were received");
    } else {
        printf("        %d bytes in %d packets\n", TRANSFERS * TRANSFER_BYTES, TRANSFERS * PACKETS);
    }
    expect(WinUsb_UnregisterIsochBuffer(registered), "UnregisterIsochBuffer");
}

/* A call that must fail at once, with this code. */
static void refused(BOOL result, DWORD code, const char *what) {
    expect(!result && GetLastError() == code, what);
}

/* A call that must be accepted, and fail when its time comes. */
static void fails_later(BOOL result, DWORD code, const char *what) {
    DWORD bytes;
    if (result || GetLastError() != ERROR_IO_PENDING)
        expect(0, what);
    else
        refused(WinUsb_GetOverlappedResult(usb, &overlapped[0], &bytes, TRUE), code, what);
}

/* Lets 30 frames pass, by writing them: an emulated device's time may stand still in the system's own Sleep. */
static void let_frames_pass(void) {
    WINUSB_ISOCH_BUFFER_HANDLE registered = NULL;
    WinUsb_RegisterIsochBuffer(usb, out_pipe.PipeId, buffer, TRANSFERS * TRANSFER_BYTES, &registered);
    expect(WinUsb_WriteIsochPipeAsap(registered, 0, TRANSFERS * TRANSFER_BYTES, FALSE, NULL), "a write that waits");
    WinUsb_UnregisterIsochBuffer(registered);
}

static void mistakes(void) {
    WINUSB_ISOCH_BUFFER_HANDLE registered = NULL;
    const ULONG total = TRANSFERS * TRANSFER_BYTES;
    ULONG frame, late = 0, fine = 0;
    DWORD bytes;
    int i, aborted = 1;
    printf("what must be refused\n");
    WinUsb_RegisterIsochBuffer(usb, in_pipe.PipeId, buffer, total, &registered);
    frame = now() + 5;
    refused(WinUsb_ReadIsochPipe(registered, 0, TRANSFER_BYTES - 1, &frame, PACKETS, packets, &overlapped[0]),
            ERROR_INVALID_PARAMETER, "a length that is no whole number of frames: 87");
    refused(WinUsb_ReadIsochPipe(registered, 0, TRANSFER_BYTES, &frame, PACKETS - 1, packets, &overlapped[0]),
            ERROR_INVALID_PARAMETER, "79 packets for 80: 87");
    refused(WinUsb_ReadIsochPipe(registered, total, TRANSFER_BYTES, &frame, PACKETS, packets, &overlapped[0]),
            ERROR_INVALID_PARAMETER, "an offset behind the buffer: 87");
    frame = now() + 2000;
    fails_later(WinUsb_ReadIsochPipe(registered, 0, TRANSFER_BYTES, &frame, PACKETS, packets, &overlapped[0]),
                ERROR_INVALID_PARAMETER, "2000 frames from now: 997, then 87");
    fails_later(WinUsb_ReadIsochPipeAsap(registered, 0, TRANSFER_BYTES, TRUE, PACKETS, packets, &overlapped[0]),
                ERROR_INVALID_PARAMETER, "no stream to continue: 997, then 87");
    let_frames_pass(); /* so that no other transfer was in those */
    frame = now() - 3;
    if (accepted(WinUsb_ReadIsochPipe(registered, 0, TRANSFER_BYTES, &frame, PACKETS, packets, &overlapped[0]),
                 "ReadIsochPipe of 3 frames ago", 0) &&
        expect(WinUsb_GetOverlappedResult(usb, &overlapped[0], &bytes, TRUE), "a transfer that is partly late succeeds")) {
        for (i = 0; i < PACKETS; i++) {
            if (packets[i].Status == 0)
                fine++;
            else
                late += packets[i].Length == 0;
        }
        printf("        %lu packets are late\n", (unsigned long)late);
        /* In real time the call comes within a frame: some of that frame's packets are late, too. */
        expect(late >= 3 * 8 && late < PACKETS && late + fine == PACKETS, "what was late says so, packet by packet");
    }
    for (i = 0; i < TRANSFERS; i++)
        WinUsb_ReadIsochPipeAsap(registered, (ULONG)i * TRANSFER_BYTES, TRANSFER_BYTES, FALSE, PACKETS,
                                 &packets[PACKETS * i], &overlapped[i]);
    expect(WinUsb_AbortPipe(usb, in_pipe.PipeId), "AbortPipe with three transfers pending");
    for (i = 0; i < TRANSFERS; i++)
        aborted = !WinUsb_GetOverlappedResult(usb, &overlapped[i], &bytes, TRUE) &&
                  GetLastError() == ERROR_OPERATION_ABORTED && aborted;
    expect(aborted, "each completes with ERROR_OPERATION_ABORTED (995)");
    expect(WinUsb_UnregisterIsochBuffer(registered), "UnregisterIsochBuffer after it");
    refused(WinUsb_UnregisterIsochBuffer(NULL), ERROR_INVALID_HANDLE, "UnregisterIsochBuffer of nothing: 6");
}

int main(int argc, char **argv) {
    HANDLE file;
    int i;
    char *found = argc > 1 ? NULL : find_device();
    const char *path = argc > 1 ? argv[1] : found;
    if (path == NULL) {
        printf("there is no device: give its path or address\n");
        return 1;
    }
    printf("%s\n", path);
    file = CreateFileA(path, GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING,
                       FILE_ATTRIBUTE_NORMAL | FILE_FLAG_OVERLAPPED, NULL);
    free(found);
    if (!expect(file != INVALID_HANDLE_VALUE, "CreateFile")) return 1;
    if (!expect(WinUsb_Initialize(file, &usb), "Initialize")) return 1;
    buffer = (UCHAR *)calloc(TRANSFERS, TRANSFER_BYTES);
    packets = (USBD_ISO_PACKET_DESCRIPTOR *)calloc(TRANSFERS * PACKETS, sizeof *packets);
    if (buffer == NULL || packets == NULL) return 1;
    for (i = 0; i < TRANSFERS; i++) overlapped[i].hEvent = CreateEventA(NULL, TRUE, FALSE, NULL);

    find_pipes();
    if (expect(is_known(&out_pipe) && is_known(&in_pipe), "both pipes carry 80 packets of 1024 bytes in 10 frames") &&
        expect(WinUsb_SetCurrentAlternateSetting(usb, 1), "SetCurrentAlternateSetting 1")) {
        write_or_read(0, 0);
        write_or_read(0, 1);
        write_or_read(1, 0);
        write_or_read(1, 1);
        mistakes();
    }

    for (i = 0; i < TRANSFERS; i++) CloseHandle(overlapped[i].hEvent);
    expect(WinUsb_Free(usb), "Free");
    expect(CloseHandle(file), "CloseHandle");
    free(packets);
    free(buffer);
    if (failures == 0)
        printf("all as it should be\n");
    else
        printf("%d steps FAILED\n", failures);
    return failures != 0;
}
