/*
 * Policies, and what WinUSB tells of pipes.
 *
 * Sources: https://learn.microsoft.com/windows/win32/api/winusbio/ and
 * https://learn.microsoft.com/windows-hardware/drivers/usbcon/winusb-functions-for-pipe-policy-modification
 */
#ifndef WINUSB_WINUSBIO_H
#define WINUSB_WINUSBIO_H

#include "usb.h"

/*
 * Pipe policies (WinUsb_SetPipePolicy, WinUsb_GetPipePolicy). An isochronous pipe has MAXIMUM_TRANSFER_SIZE only, the
 * control pipe 0x00 PIPE_TRANSFER_TIMEOUT and MAXIMUM_TRANSFER_SIZE. "bulk" below: bulk and interrupt.
 */
#define SHORT_PACKET_TERMINATE 0x01 /* UCHAR, FALSE, bulk OUT: a zero-length packet ends writes of whole packets */
#define AUTO_CLEAR_STALL 0x02       /* UCHAR, FALSE, bulk IN: a failed read resets the pipe */
#define PIPE_TRANSFER_TIMEOUT 0x03  /* ULONG, milliseconds, 0 is for ever; 5000 for control, 0 for bulk */
#define IGNORE_SHORT_PACKETS 0x04   /* UCHAR, FALSE, bulk IN: a short packet does not end a read */
#define ALLOW_PARTIAL_READS 0x05    /* UCHAR, TRUE, bulk IN: more data than asked for is no error */
#define AUTO_FLUSH 0x06             /* UCHAR, FALSE, bulk IN: surplus data is dropped, not kept for the next read */
#define RAW_IO 0x07                 /* UCHAR, FALSE, bulk IN: reads bypass WinUSB's queue */
#define MAXIMUM_TRANSFER_SIZE 0x08  /* ULONG, bytes, read-only; does not bound isochronous transfers */
#define RESET_PIPE_ON_RESUME 0x09   /* UCHAR, FALSE, bulk: the pipe is reset after a suspend */

/* Power policies (WinUsb_SetPowerPolicy, WinUsb_GetPowerPolicy): the whole device's */
#define AUTO_SUSPEND 0x81  /* UCHAR */
#define ENABLE_WAKE 0x82   /* of old headers only; refused */
#define SUSPEND_DELAY 0x83 /* ULONG, milliseconds, 5000 */

/* WinUsb_QueryDeviceInformation */
#define DEVICE_SPEED 0x01

/* What DEVICE_SPEED tells: LowSpeed and FullSpeed devices are both told as 0x01, faster ones as HighSpeed. */
#define LowSpeed 0x01
#define FullSpeed 0x02
#define HighSpeed 0x03

typedef struct _WINUSB_PIPE_INFORMATION {
    USBD_PIPE_TYPE PipeType;
    UCHAR PipeId;              /* bEndpointAddress, with the direction in bit 7 */
    USHORT MaximumPacketSize;  /* bytes */
    UCHAR Interval;            /* bInterval: on isochronous pipes the period is 2^(Interval-1) microframes */
} WINUSB_PIPE_INFORMATION, *PWINUSB_PIPE_INFORMATION;

typedef struct _WINUSB_PIPE_INFORMATION_EX {
    USBD_PIPE_TYPE PipeType;
    UCHAR PipeId;
    USHORT MaximumPacketSize;
    UCHAR Interval;
    ULONG MaximumBytesPerInterval; /* bytes in one packet of an isochronous transfer */
} WINUSB_PIPE_INFORMATION_EX, *PWINUSB_PIPE_INFORMATION_EX;

/*
 * Time synchronisation: bus time against the performance counter.
 * Source: https://learn.microsoft.com/windows-hardware/drivers/ddi/usbioctl/
 */
#pragma pack(push, 1)

typedef struct _USB_START_TRACKING_FOR_TIME_SYNC_INFORMATION {
    HANDLE TimeTrackingHandle;      /* in: NULL or INVALID_HANDLE_VALUE; out: for the two calls below */
    BOOLEAN IsStartupDelayTolerable; /* TRUE: the first good answer may take 2.048 s. FALSE: the call itself waits */
} USB_START_TRACKING_FOR_TIME_SYNC_INFORMATION, *PUSB_START_TRACKING_FOR_TIME_SYNC_INFORMATION;

typedef struct _USB_STOP_TRACKING_FOR_TIME_SYNC_INFORMATION {
    HANDLE TimeTrackingHandle;
} USB_STOP_TRACKING_FOR_TIME_SYNC_INFORMATION, *PUSB_STOP_TRACKING_FOR_TIME_SYNC_INFORMATION;

typedef struct _USB_FRAME_NUMBER_AND_QPC_FOR_TIME_SYNC_INFORMATION {
    HANDLE TimeTrackingHandle;   /* in */
    ULONG InputFrameNumber;      /* in: a frame whose time is wanted; 0 and 0: none */
    ULONG InputMicroFrameNumber; /* in */
    LARGE_INTEGER QueryPerformanceCounterAtInputFrameOrMicroFrame; /* 0 if none was asked for */
    LARGE_INTEGER QueryPerformanceCounterFrequency;                /* ticks a second */
    ULONG PredictedAccuracyInMicroSeconds;
    ULONG CurrentGenerationID; /* results of different generations cannot be compared */
    LARGE_INTEGER CurrentQueryPerformanceCounter;
    ULONG CurrentHardwareFrameNumber;      /* 11 bits */
    ULONG CurrentHardwareMicroFrameNumber; /* 3 bits */
    ULONG CurrentUSBFrameNumber;           /* as WinUsb_GetCurrentFrameNumber */
} USB_FRAME_NUMBER_AND_QPC_FOR_TIME_SYNC_INFORMATION, *PUSB_FRAME_NUMBER_AND_QPC_FOR_TIME_SYNC_INFORMATION;

#pragma pack(pop)

/* A device interface of its own for tests: {DA812BFF-12C3-46A2-8E2B-DBD3B7834C43} */
#ifdef DEFINE_GUID
DEFINE_GUID(WinUSB_TestGuid, 0xDA812BFF, 0x12C3, 0x46A2, 0x8E, 0x2B, 0xDB, 0xD3, 0xB7, 0x83, 0x4C, 0x43);
#endif

#endif /* WINUSB_WINUSBIO_H */
