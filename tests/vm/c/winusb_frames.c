/*
 * What a program for WinUSB learns of frames while it streams: the current frame, the same some time later by the
 * performance counter, and the frames that time synchronisation tells. All of it must go together, and with the stream.
 *
 *     winusb_frames DEVICE
 */
#include "speaker.h"

#define RING 8
#define FRAMES_EACH 8
#define BYTES_EACH (FRAMES_EACH * BYTES_PER_FRAME)
/* Transfers before the first look, when the clock has seen enough, and in all. */
#define SETTLED 60
#define ALL 400
/* A frame may end between two calls, and the clock may be corrected by another. */
#define MOST 2

static long long worst_adjusted, worst_tracked, worst_predicted;

static int wrong(const char *what, long long is) {
    fprintf(stderr, "%s: %lld\n", what, is);
    return 1;
}

static long long distance(ULONG a, ULONG b) {
    const LONG distance = (LONG)(a - b);
    return distance < 0 ? -(long long)distance : distance;
}

static void keep(long long *worst, long long reading) {
    if (reading > *worst) *worst = reading;
}

/* Microseconds from one reading of the performance counter to another. */
static long long microseconds(LARGE_INTEGER from, LARGE_INTEGER to) {
    LARGE_INTEGER ticks;
    QueryPerformanceFrequency(&ticks);
    return (to.QuadPart - from.QuadPart) * 1000000 / ticks.QuadPart;
}

/* How far a frame is from what it may be, up to so many microseconds after another. */
static long long beside(ULONG frame, ULONG before, long long later) {
    const long long frames = (LONG)(frame - before);
    if (frames < 0) return -frames;
    return frames > later / 1000 ? frames - later / 1000 : 0;
}

/* One look at all that tells frames. `then` and `at` are those of the last one. */
static int look(WINUSB_INTERFACE_HANDLE usb, HANDLE tracking, ULONG *then, LARGE_INTEGER *at) {
    WINUSBX_FRAME_CLOCK clock;
    USB_FRAME_NUMBER_AND_QPC_FOR_TIME_SYNC_INFORMATION told;
    ULONG adjusted = *then, now;
    LARGE_INTEGER before = *at, asked, last;
    long long ticks, ahead;
    QueryPerformanceCounter(&asked);
    if (*then != 0 && !WinUsb_GetAdjustedFrameNumber(&adjusted, *at)) return failed("GetAdjustedFrameNumber");
    if (!WinUsb_GetCurrentFrameNumber(usb, &now, at)) return failed("GetCurrentFrameNumber");
    if (*then != 0) {
        keep(&worst_adjusted, beside(now, adjusted, microseconds(asked, *at)));
        if (at->QuadPart <= before.QuadPart) return wrong("the performance counter stands still", at->QuadPart);
    }
    *then = now;

    memset(&told, 0, sizeof told);
    told.TimeTrackingHandle = tracking;
    told.InputFrameNumber = now + 100;
    if (!WinUsb_GetCurrentFrameNumberAndQpc(usb, &told)) return failed("GetCurrentFrameNumberAndQpc");
    keep(&worst_tracked, beside(told.CurrentUSBFrameNumber, now, microseconds(*at, told.CurrentQueryPerformanceCounter)));
    memset(&clock, 0, sizeof clock);
    clock.Size = sizeof clock;
    if (!WinUsbX_GetFrameClock(usb, &clock)) return failed("GetFrameClock");
    QueryPerformanceCounter(&last);
    keep(&worst_tracked, beside((ULONG)clock.Frame + clock.Bias, now, microseconds(*at, last)));
    if (told.CurrentHardwareFrameNumber != ((told.CurrentUSBFrameNumber - clock.Bias) & 0x7ff))
        return wrong("the hardware's frame is another", told.CurrentHardwareFrameNumber);
    ticks = told.QueryPerformanceCounterFrequency.QuadPart;
    if (ticks <= 0) return wrong("the performance counter's frequency", ticks);
    /* From the beginning of the current microframe to the frame that was asked for, in microseconds. */
    ahead = (told.QueryPerformanceCounterAtInputFrameOrMicroFrame.QuadPart - told.CurrentQueryPerformanceCounter.QuadPart) *
            1000000 / ticks;
    ahead -= (long long)(LONG)(told.InputFrameNumber - told.CurrentUSBFrameNumber) * 1000 -
             (long long)told.CurrentHardwareMicroFrameNumber * 125;
    ahead = ahead < 0 ? -ahead : ahead;
    keep(&worst_predicted, ahead);
    if (ahead > 125 + 2 * (long long)told.PredictedAccuracyInMicroSeconds)
        return wrong("microseconds beside the predicted frame", ahead);
    return 0;
}

int main(int argc, char **argv) {
    HANDLE file;
    WINUSB_INTERFACE_HANDLE control, usb;
    WINUSB_ISOCH_BUFFER_HANDLE registered;
    USB_START_TRACKING_FOR_TIME_SYNC_INFORMATION start;
    USB_STOP_TRACKING_FOR_TIME_SYNC_INFORMATION stop;
    USB_FRAME_NUMBER_AND_QPC_FOR_TIME_SYNC_INFORMATION after;
    /* Not on the stack: a failure ends the program with requests under way. */
    static OVERLAPPED overlapped[RING];
    static UCHAR ring[RING * BYTES_EACH];
    UCHAR pipe_id = 0;
    ULONG then = 0, first = 0;
    LARGE_INTEGER at, began;
    DWORD bytes;
    int i, submitted, done = 0, lost = 0;
    if (argc != 2) return 2;
    at.QuadPart = began.QuadPart = 0;
    if (open_speaker(argv[1], &file, &control, &usb, &pipe_id)) return 1;
    if (!WinUsb_RegisterIsochBuffer(usb, pipe_id, ring, sizeof ring, &registered)) return failed("RegisterIsochBuffer");
    for (i = 0; i < RING; i++) overlapped[i].hEvent = CreateEventA(NULL, TRUE, FALSE, NULL);
    memset(&start, 0, sizeof start);
    start.IsStartupDelayTolerable = TRUE;
    if (!WinUsb_StartTrackingForTimeSync(usb, &start)) return failed("StartTrackingForTimeSync");

    for (submitted = 0; done < ALL; done++) {
        for (; submitted < ALL && submitted < done + RING; submitted++) {
            i = submitted % RING;
            if (!WinUsb_WriteIsochPipeAsap(registered, (ULONG)i * BYTES_EACH, BYTES_EACH, FALSE, &overlapped[i]) &&
                GetLastError() != ERROR_IO_PENDING)
                return failed("WriteIsochPipeAsap");
        }
        if (!WinUsb_GetOverlappedResult(usb, &overlapped[done % RING], &bytes, TRUE)) {
            /* A busy machine's controller leaves packets out, here all of a transfer's. */
            if (GetLastError() != ERROR_GEN_FAILURE || ++lost > ALL / 10) return failed("a transfer");
        }
        if (done >= SETTLED && done % 10 == 0) {
            if (look(usb, start.TimeTrackingHandle, &then, &at)) return 1;
            if (first == 0) {
                first = then;
                began = at;
            }
        }
    }
    printf("at most %lld frames beside by the performance counter, %lld by time synchronisation; %lld microseconds beside "
           "the predicted frame; %d of %d transfers lost\n", worst_adjusted, worst_tracked, worst_predicted, lost, ALL);
    if (worst_adjusted > MOST || worst_tracked > MOST) return wrong("frames beside", worst_adjusted + worst_tracked);
    /* The same number of frames has been streamed, unless the controller was late. */
    i = (int)distance(then, first);
    submitted = (ALL - 1) / 10 * 10 - SETTLED;
    if (i < submitted * FRAMES_EACH - FRAMES_EACH) return wrong("frames went by, fewer than were streamed", i);

    /* What is too long ago is refused, and so is what has ended. */
    if (WinUsb_GetAdjustedFrameNumber(&first, began) || GetLastError() != ERROR_INVALID_PARAMETER)
        return wrong("a time stamp of long ago is answered", GetLastError());
    stop.TimeTrackingHandle = start.TimeTrackingHandle;
    if (!WinUsb_StopTrackingForTimeSync(usb, &stop)) return failed("StopTrackingForTimeSync");
    memset(&after, 0, sizeof after);
    after.TimeTrackingHandle = start.TimeTrackingHandle;
    if (WinUsb_GetCurrentFrameNumberAndQpc(usb, &after)) return wrong("what has ended is answered", 0);

    WinUsb_UnregisterIsochBuffer(registered);
    for (i = 0; i < RING; i++) CloseHandle(overlapped[i].hEvent);
    if (usb != control) WinUsb_Free(usb);
    WinUsb_Free(control);
    CloseHandle(file);
    return 0;
}
