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
#include "speaker.h"

#define RING 8
#define FRAMES_EACH 8
#define HEADER 44
/* Programs for Windows add 5, and make the call within these milliseconds: no emulated machine can promise that. */
#define LEAD 40

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
    UCHAR pipe_id = 0, *sound, *ring;
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
    if (open_speaker(argv[1], &file, &control, &usb, &pipe_id)) return 1;
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
