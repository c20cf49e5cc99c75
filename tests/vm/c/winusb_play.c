/*
 * A program written for WinUSB: plays a WAV file (48 kHz, 16 bits, stereo, without asking) on the first isochronous OUT
 * pipe of a device, on frames that it names.
 *
 *     winusb_play DEVICE FILE.wav
 *
 * It names frames as programs for Windows do: the first is some after the current one, each further one is that which
 * WinUsb_WriteIsochPipe handed back. Nothing in it knows what kind of bus there is. It ends with 3 if it was too slow
 * for the frames that it named.
 */
#include <windows.h>

#include <winusb.h>
#include <winusbx.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RING 8
#define FRAMES_EACH 8
#define BYTES_PER_FRAME 192
#define HEADER 44
/* Programs for Windows add 5, and make the call within these milliseconds: no emulated machine can promise that. */
#define LEAD 40

static int failed(const char *what) {
    DWORD code = GetLastError();
    char why[512] = "";
    WinUsbX_GetLastErrorText(why, sizeof why);
    fprintf(stderr, "%s: error %lu %s\n", what, (unsigned long)code, why);
    return 1;
}

/* The first alternate setting of an interface that has an isochronous OUT pipe. */
static int select_pipe(WINUSB_INTERFACE_HANDLE usb, UCHAR *pipe_id) {
    USB_INTERFACE_DESCRIPTOR descriptor;
    WINUSB_PIPE_INFORMATION_EX pipe;
    UCHAR setting, index;
    for (setting = 0; WinUsb_QueryInterfaceSettings(usb, setting, &descriptor); setting++)
        for (index = 0; WinUsb_QueryPipeEx(usb, setting, index, &pipe); index++)
            if (pipe.PipeType == UsbdPipeTypeIsochronous && !(pipe.PipeId & 0x80)) {
                *pipe_id = pipe.PipeId;
                return WinUsb_SetCurrentAlternateSetting(usb, setting);
            }
    return 0;
}

/* The whole file without its header, padded to whole frames. */
static UCHAR *read_sound(const char *path, ULONG *frames) {
    FILE *file = fopen(path, "rb");
    UCHAR *sound = NULL;
    long bytes;
    if (file == NULL) return NULL;
    if (fseek(file, 0, SEEK_END) == 0 && (bytes = ftell(file) - HEADER) > 0 && fseek(file, HEADER, SEEK_SET) == 0) {
        *frames = ((ULONG)bytes + BYTES_PER_FRAME - 1) / BYTES_PER_FRAME;
        sound = (UCHAR *)calloc(*frames, BYTES_PER_FRAME);
        if (sound != NULL && fread(sound, 1, (size_t)bytes, file) != (size_t)bytes) *frames = 0;
    }
    fclose(file);
    return sound;
}

int main(int argc, char **argv) {
    HANDLE file;
    WINUSB_INTERFACE_HANDLE control, usb;
    WINUSB_ISOCH_BUFFER_HANDLE registered;
    /* Not on the stack: a failure ends the program with requests under way. */
    static OVERLAPPED overlapped[RING];
    UCHAR pipe_id = 0, associated, *sound, *ring;
    LARGE_INTEGER at;
    ULONG frames = 0, written = 0, done = 0, next = 0, lengths[RING];
    DWORD bytes;
    int i;
    if (argc != 3) return 2;
    sound = read_sound(argv[2], &frames);
    if (sound == NULL || frames == 0) {
        perror(argv[2]);
        return 1;
    }
    file = CreateFileA(argv[1], GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING,
                       FILE_ATTRIBUTE_NORMAL | FILE_FLAG_OVERLAPPED, NULL);
    if (file == INVALID_HANDLE_VALUE) return failed(argv[1]);
    if (!WinUsb_Initialize(file, &control)) return failed("Initialize");
    /* A speaker's first interface has no pipes: the samples go to another one. */
    usb = control;
    for (associated = 0; !select_pipe(usb, &pipe_id); associated++)
        if (!WinUsb_GetAssociatedInterface(control, associated, &usb)) return failed("there is no isochronous OUT pipe");
    ring = (UCHAR *)calloc(RING * FRAMES_EACH, BYTES_PER_FRAME);
    if (ring == NULL ||
        !WinUsb_RegisterIsochBuffer(usb, pipe_id, ring, RING * FRAMES_EACH * BYTES_PER_FRAME, &registered))
        return failed("RegisterIsochBuffer");
    for (i = 0; i < RING; i++) overlapped[i].hEvent = CreateEventA(NULL, TRUE, FALSE, NULL);

    if (!WinUsb_GetCurrentFrameNumber(usb, &next, &at)) return failed("GetCurrentFrameNumber");
    next += LEAD;
    while (done < frames) {
        const ULONG first = written % (RING * FRAMES_EACH);
        i = (int)(first / FRAMES_EACH);
        if (written < frames && written - done < RING * FRAMES_EACH) {
            lengths[i] = frames - written < FRAMES_EACH ? frames - written : FRAMES_EACH;
            memcpy(ring + first * BYTES_PER_FRAME, sound + written * BYTES_PER_FRAME, lengths[i] * BYTES_PER_FRAME);
            if (!WinUsb_WriteIsochPipe(registered, first * BYTES_PER_FRAME, lengths[i] * BYTES_PER_FRAME, &next,
                                       &overlapped[i]) &&
                GetLastError() != ERROR_IO_PENDING)
                return failed("WriteIsochPipe");
            written += lengths[i];
        } else {
            i = (int)(done % (RING * FRAMES_EACH) / FRAMES_EACH);
            if (!WinUsb_GetOverlappedResult(usb, &overlapped[i], &bytes, TRUE)) {
                const int late = GetLastError() == ERROR_GEN_FAILURE;
                printf("after %lu of %lu frames: ", (unsigned long)done, (unsigned long)frames);
                fflush(stdout);
                return failed("a transfer") + 2 * late;
            }
            done += lengths[i];
        }
    }
    printf("%lu frames were written\n", (unsigned long)frames);

    WinUsb_UnregisterIsochBuffer(registered);
    for (i = 0; i < RING; i++) CloseHandle(overlapped[i].hEvent);
    if (usb != control) WinUsb_Free(usb);
    WinUsb_Free(control);
    CloseHandle(file);
    free(ring);
    free(sound);
    return 0;
}
