/*
 * What WinUSB lacks (both systems), and the kernel objects it needs where there is no Windows.
 *
 * Every structure begins with its Size in bytes, which the caller sets. A smaller one than here is refused with
 * ERROR_INVALID_PARAMETER (87), a larger one is accepted. Strings are UTF-8. Errors: as in winusb.h.
 * Each function has a manual page: man 3 WinUsbX_SubmitIsoch.
 *
 * Environment: ISOCH_DEVICE (the device that a program gets which names none), ISOCH_CLOCK (real, manual or on-wait: how
 * time passes for emulated devices), ISOCH_FAULTS (a TOML file of faults for the emulated bus), ISOCH_TRACE (a file, or
 * stderr, that gets a line per call).
 */
#ifndef WINUSB_WINUSBX_H
#define WINUSB_WINUSBX_H

#if defined(_WIN32)
/* Windows' own headers, or those beside this one: whichever the compiler finds. */
#include <windows.h>
#include <usb.h>
#include <winusb.h>
#else
#include "winusb.h"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- The library ------------------------------------------------------------------------------------------------ */

typedef struct WINUSBX_VERSION {
    ULONG Size;
    ULONG Major;
    ULONG Minor;
    ULONG Patch;
} WINUSBX_VERSION, *PWINUSBX_VERSION;

BOOL WINAPI WinUsbX_Version(PWINUSBX_VERSION Version);

/* Why this thread's last WinUsb_ or WinUsbX_ call failed: a sentence that says what to do. Cut to BufferLength bytes
 * with its NUL; empty if nothing failed. */
BOOL WINAPI WinUsbX_GetLastErrorText(char *Buffer, ULONG BufferLength);

/* ---- Devices ---------------------------------------------------------------------------------------------------- */

#define WINUSBX_SPEED_LOW 1
#define WINUSBX_SPEED_FULL 2
#define WINUSBX_SPEED_HIGH 3
#define WINUSBX_SPEED_SUPER 4
#define WINUSBX_SPEED_SUPER_PLUS 5

typedef struct WINUSBX_DEVICE {
    ULONG Size; /* in every element */
    USHORT VendorId;
    USHORT ProductId;
    ULONG Speed;       /* WINUSBX_SPEED_ */
    char Address[256]; /* for WinUsbX_ChooseDevice and WinUsbX_OpenDevice */
    char Manufacturer[128];
    char Product[128];
    char SerialNumber[128];
} WINUSBX_DEVICE, *PWINUSBX_DEVICE;

/* The devices that can be opened. *Count: room in Devices in, how many there are out; too little room: 122, with as
 * many as there is room for. Devices NULL: only counts them. */
BOOL WINAPI WinUsbX_ListDevices(PWINUSBX_DEVICE Devices, PULONG Count);

/* The one device that enumeration lists, and that a program gets which names none. NULL: forget it. */
BOOL WINAPI WinUsbX_ChooseDevice(const char *Address);

/* ---- Emulated buses --------------------------------------------------------------------------------------------- */

typedef struct WINUSBX_BUS {
    ULONG Size;
    const char *FaultFile; /* a TOML file with [[fault]] tables */
} WINUSBX_BUS, *PWINUSBX_BUS;

/* Adds faults to the emulated bus of this device. A real bus: ERROR_NOT_SUPPORTED (50). */
BOOL WINAPI WinUsbX_ConfigureBus(WINUSB_INTERFACE_HANDLE InterfaceHandle, const WINUSBX_BUS *Bus);

/* Lets that many milliseconds pass on this device's emulated bus; what completes has completed when it returns. */
BOOL WINAPI WinUsbX_AdvanceClock(WINUSB_INTERFACE_HANDLE InterfaceHandle, ULONG Frames);

/* ---- Frames ----------------------------------------------------------------------------------------------------- */

#define WINUSBX_CLOCK_REAL 0    /* time passes by itself */
#define WINUSBX_CLOCK_MANUAL 1  /* emulated, moved by WinUsbX_AdvanceClock */
#define WINUSBX_CLOCK_ON_WAIT 2 /* emulated, moved by whatever waits */

#define WINUSBX_QUALITY_EXACT 0     /* the controller's own number */
#define WINUSBX_QUALITY_SETTLED 1   /* inferred from seconds of completions: the frame is right */
#define WINUSBX_QUALITY_COARSE 2    /* inferred from a few completions: the frame may be off by one */
#define WINUSBX_QUALITY_FREE_RUN 3  /* no stream has run yet: consistent, but of unknown phase on the bus */

typedef struct WINUSBX_FRAME_CLOCK {
    ULONG Size;
    ULONG Mode;       /* WINUSBX_CLOCK_ */
    ULONG Bias;       /* frames that WinUsb_GetCurrentFrameNumber adds to the bus's, so that +5 can be served */
    ULONG Quality;    /* WINUSBX_QUALITY_ */
    ULONG Microframe; /* 0 to 7, of 125 microseconds */
    ULONGLONG Frame;  /* of the bus, without the bias, never wrapping */
    LONGLONG PerformanceCounter; /* when it was that frame */
    ULONGLONG UncertaintyNanoseconds;
} WINUSBX_FRAME_CLOCK, *PWINUSBX_FRAME_CLOCK;

/* The frame, as well as it is known. */
BOOL WINAPI WinUsbX_GetFrameClock(WINUSB_INTERFACE_HANDLE InterfaceHandle, PWINUSBX_FRAME_CLOCK FrameClock);

/* ---- Isochronous transfers, with what is known of them ---------------------------------------------------------- */

/* Start */
#define WINUSBX_START_AT_FRAME 0 /* on FrameNumber */
#define WINUSBX_START_ASAP 1     /* after what is pending, or as soon as the bus can */
#define WINUSBX_START_CONTINUE 2 /* after what is pending; none: 87, through the OVERLAPPED */

/* Outcome */
#define WINUSBX_OUTCOME_COMPLETED 0
#define WINUSBX_OUTCOME_CANCELLED 1
#define WINUSBX_OUTCOME_LATE 2 /* every frame was over before the bus could serve it */
#define WINUSBX_OUTCOME_BAD_START_FRAME 3
#define WINUSBX_OUTCOME_DEVICE_GONE 4
#define WINUSBX_OUTCOME_FAILED 5

/* FrameSource: how the frames are known */
#define WINUSBX_FRAME_SOURCE_UNKNOWN 0
#define WINUSBX_FRAME_SOURCE_REPORTED 1  /* the bus told them */
#define WINUSBX_FRAME_SOURCE_COUNTED 2   /* counted from a start that is known */
#define WINUSBX_FRAME_SOURCE_ESTIMATED 3 /* from times of completion: see FrameUncertainty */
#define WINUSBX_FRAME_SOURCE_ASSUMED 4   /* the system took the frame asked for and never confirms it */

/* Gap: frames that the stream owed before this transfer, and that were not served */
#define WINUSBX_GAP_NONE 0
#define WINUSBX_GAP_LOST 1
#define WINUSBX_GAP_UNKNOWABLE 2 /* the bus does not tell: not the same as none */

/* GapCause */
#define WINUSBX_GAP_CAUSE_NONE 0
#define WINUSBX_GAP_CAUSE_QUEUE_RAN_DRY 1 /* the next transfer was submitted after the last had completed */
#define WINUSBX_GAP_CAUSE_LATE 2          /* a transfer reached the bus after its first frame */
#define WINUSBX_GAP_CAUSE_HOST_MISSED 3   /* the host controller did not serve them */

/* Filled at completion, before anything is signalled. Frames are those of WinUsb_GetCurrentFrameNumber. */
typedef struct WINUSBX_ISOCH_REPORT {
    ULONG Size;
    ULONG Outcome;
    ULONG FrameSource;
    ULONG FirstFrame;
    ULONG NextFrame;        /* the frame after the last */
    ULONG FrameUncertainty; /* frames, either way */
    ULONG Gap;
    ULONG GapFirstFrame;
    ULONG GapFrames;
    ULONG GapUncertainty; /* frames, either way */
    ULONG GapCause;
    ULONG BytesTransferred;
} WINUSBX_ISOCH_REPORT, *PWINUSBX_ISOCH_REPORT;

typedef struct WINUSBX_ISOCH_TRANSFER {
    ULONG Size;
    ULONG Offset; /* bytes into the registered buffer */
    ULONG Length; /* bytes */
    ULONG Start;  /* WINUSBX_START_ */
    ULONG FrameNumber;     /* for WINUSBX_START_AT_FRAME; becomes the frame after the last, at once */
    ULONG NumberOfPackets; /* service intervals */
    const ULONG *PacketLengths;          /* OUT, or NULL for full packets: bytes of each, packed one after the other */
    PUSBD_ISO_PACKET_DESCRIPTOR Packets; /* NumberOfPackets results; for OUT, NULL is allowed */
    PWINUSBX_ISOCH_REPORT Report;        /* or NULL; stays valid until completion */
} WINUSBX_ISOCH_TRANSFER, *PWINUSBX_ISOCH_TRANSFER;

/* Reads or writes, by the pipe of the buffer. Transfer itself is not needed after the call returns. */
BOOL WINAPI WinUsbX_SubmitIsoch(WINUSB_ISOCH_BUFFER_HANDLE BufferHandle, PWINUSBX_ISOCH_TRANSFER Transfer,
                                LPOVERLAPPED Overlapped);

typedef struct WINUSBX_STATISTICS {
    ULONG Size;
    ULONG Reserved;
    ULONGLONG Submitted; /* transfers */
    ULONGLONG Completed;
    ULONGLONG Cancelled;
    ULONGLONG Failed;
    ULONGLONG PacketsDone; /* packets */
    ULONGLONG PacketsLate;
    ULONGLONG PacketsMissed;
    ULONGLONG PacketsFailed;
    ULONGLONG Bytes;
    ULONGLONG Gaps;
    ULONGLONG IntervalsLost; /* service intervals, in those gaps */
} WINUSBX_STATISTICS, *PWINUSBX_STATISTICS;

/* Of one isochronous pipe, since its alternate setting was selected. */
BOOL WINAPI WinUsbX_GetStatistics(WINUSB_INTERFACE_HANDLE InterfaceHandle, UCHAR PipeID, PWINUSBX_STATISTICS Statistics);

#if !defined(_WIN32)
/* ---- Kernel objects --------------------------------------------------------------------------------------------- */
/* As the Win32 functions of these names do, for device files, events and completion ports of this library alone.
 * A handle is a number that is looked up, so that one which was closed is refused with ERROR_INVALID_HANDLE (6). */

/* A device file: INVALID_HANDLE_VALUE and 2 not found, 5 in use or no rights, 87, 123 no such kind of address. */
HANDLE WINAPI WinUsbX_OpenDevice(const char *Address, DWORD DesiredAccess, DWORD FlagsAndAttributes);

/* A device file (which cancels all that is pending on it), an event or a completion port. */
BOOL WINAPI WinUsbX_CloseHandle(HANDLE Object);

HANDLE WINAPI WinUsbX_CreateEvent(BOOL ManualReset, BOOL InitialState);
BOOL WINAPI WinUsbX_SetEvent(HANDLE Event);
BOOL WINAPI WinUsbX_ResetEvent(HANDLE Event);
DWORD WINAPI WinUsbX_WaitForSingleObject(HANDLE Object, DWORD Milliseconds);
DWORD WINAPI WinUsbX_WaitForMultipleObjects(DWORD Count, const HANDLE *Objects, BOOL WaitAll, DWORD Milliseconds);
void WINAPI WinUsbX_Sleep(DWORD Milliseconds);

BOOL WINAPI WinUsbX_GetOverlappedResult(HANDLE File, LPOVERLAPPED Overlapped, LPDWORD BytesTransferred, BOOL Wait);

/* Cancels one operation, or with NULL all of the file. */
BOOL WINAPI WinUsbX_CancelIoEx(HANDLE File, LPOVERLAPPED Overlapped);

HANDLE WINAPI WinUsbX_CreateIoCompletionPort(HANDLE File, HANDLE ExistingPort, ULONG_PTR CompletionKey,
                                             DWORD NumberOfConcurrentThreads);
BOOL WINAPI WinUsbX_GetQueuedCompletionStatus(HANDLE Port, LPDWORD BytesTransferred, PULONG_PTR CompletionKey,
                                              LPOVERLAPPED *Overlapped, DWORD Milliseconds);
BOOL WINAPI WinUsbX_GetQueuedCompletionStatusEx(HANDLE Port, OVERLAPPED_ENTRY *Entries, ULONG Count,
                                                PULONG EntriesRemoved, DWORD Milliseconds, BOOL Alertable);
BOOL WINAPI WinUsbX_PostQueuedCompletionStatus(HANDLE Port, DWORD BytesTransferred, ULONG_PTR CompletionKey,
                                               LPOVERLAPPED Overlapped);

/* Of this thread. */
DWORD WINAPI WinUsbX_GetLastError(void);
void WINAPI WinUsbX_SetLastError(DWORD Code);

/* 10,000,000 ticks a second; emulated time while a device with emulated time is open. */
BOOL WINAPI WinUsbX_QueryPerformanceCounter(LARGE_INTEGER *Counter);
BOOL WINAPI WinUsbX_QueryPerformanceFrequency(LARGE_INTEGER *Frequency);
#endif

#ifdef __cplusplus
}
#endif

#endif /* WINUSB_WINUSBX_H */
