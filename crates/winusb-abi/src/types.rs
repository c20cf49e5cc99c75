//! The types of the C interface, as Windows lays them out on every system: `ULONG` has 32 bits on LP64, too.
//!
//! Why by hand, and not from `windows-sys`? Because that crate has them for Windows only, and the same layouts
//! must hold where there is no Windows. Sizes and offsets are asserted below for 64 and for 32 bits.

// Fields and types have the names that C programs know them by.
#![allow(missing_docs, non_snake_case, clippy::upper_case_acronyms)]

use std::ffi::{c_char, c_void};

/// `BOOL`: 0 is failure.
pub type BOOL = i32;
/// `HANDLE`, `WINUSB_INTERFACE_HANDLE`, `WINUSB_ISOCH_BUFFER_HANDLE`.
pub type HANDLE = *mut c_void;

/// `TRUE`.
pub const TRUE: BOOL = 1;
/// `FALSE`.
pub const FALSE: BOOL = 0;
/// `INFINITE`.
pub const INFINITE: u32 = u32::MAX;

/// `OVERLAPPED`. The union of offset and pointer is not used by USB and stands here as its integers.
#[repr(C)]
#[derive(Debug)]
pub struct OVERLAPPED {
    /// NTSTATUS of the request; `STATUS_PENDING` while it lasts.
    pub Internal: usize,
    /// Bytes transferred.
    pub InternalHigh: usize,
    /// Not used.
    pub Offset: u32,
    /// Not used.
    pub OffsetHigh: u32,
    /// Event to signal; NULL: the file is what is signalled. Its lowest bit set: nothing is posted to a port.
    pub hEvent: HANDLE,
}

/// `WINUSB_PIPE_INFORMATION`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WINUSB_PIPE_INFORMATION {
    /// `USBD_PIPE_TYPE`: 0 control, 1 isochronous, 2 bulk, 3 interrupt.
    pub PipeType: i32,
    /// `bEndpointAddress`.
    pub PipeId: u8,
    /// The low 11 bits of `wMaxPacketSize`.
    pub MaximumPacketSize: u16,
    /// `bInterval`.
    pub Interval: u8,
}

/// `WINUSB_PIPE_INFORMATION_EX`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WINUSB_PIPE_INFORMATION_EX {
    /// `USBD_PIPE_TYPE`.
    pub PipeType: i32,
    /// `bEndpointAddress`.
    pub PipeId: u8,
    /// The low 11 bits of `wMaxPacketSize`.
    pub MaximumPacketSize: u16,
    /// `bInterval`.
    pub Interval: u8,
    /// Bytes of one service interval.
    pub MaximumBytesPerInterval: u32,
}

/// `WINUSB_SETUP_PACKET`, passed by value.
#[repr(C, packed)]
#[derive(Clone, Copy, Debug, Default)]
pub struct WINUSB_SETUP_PACKET {
    /// `bmRequestType`.
    pub RequestType: u8,
    /// `bRequest`.
    pub Request: u8,
    /// `wValue`.
    pub Value: u16,
    /// `wIndex`.
    pub Index: u16,
    /// `wLength`.
    pub Length: u16,
}

/// `USBD_ISO_PACKET_DESCRIPTOR`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct USBD_ISO_PACKET_DESCRIPTOR {
    /// Where the packet begins, from the start of its transfer.
    pub Offset: u32,
    /// Bytes transferred.
    pub Length: u32,
    /// `USBD_STATUS`.
    pub Status: i32,
}

/// `USB_INTERFACE_DESCRIPTOR`.
#[repr(C, packed)]
#[derive(Clone, Copy, Debug, Default)]
pub struct USB_INTERFACE_DESCRIPTOR {
    pub bLength: u8,
    pub bDescriptorType: u8,
    pub bInterfaceNumber: u8,
    pub bAlternateSetting: u8,
    pub bNumEndpoints: u8,
    pub bInterfaceClass: u8,
    pub bInterfaceSubClass: u8,
    pub bInterfaceProtocol: u8,
    pub iInterface: u8,
}

/// `USB_START_TRACKING_FOR_TIME_SYNC_INFORMATION`.
#[repr(C, packed)]
#[derive(Clone, Copy, Debug)]
pub struct USB_START_TRACKING_FOR_TIME_SYNC_INFORMATION {
    pub TimeTrackingHandle: HANDLE,
    pub IsStartupDelayTolerable: u8,
}

/// `USB_STOP_TRACKING_FOR_TIME_SYNC_INFORMATION`.
#[repr(C, packed)]
#[derive(Clone, Copy, Debug)]
pub struct USB_STOP_TRACKING_FOR_TIME_SYNC_INFORMATION {
    pub TimeTrackingHandle: HANDLE,
}

/// `USB_FRAME_NUMBER_AND_QPC_FOR_TIME_SYNC_INFORMATION`.
#[repr(C, packed)]
#[derive(Clone, Copy, Debug)]
pub struct USB_FRAME_NUMBER_AND_QPC_FOR_TIME_SYNC_INFORMATION {
    pub TimeTrackingHandle: HANDLE,
    pub InputFrameNumber: u32,
    pub InputMicroFrameNumber: u32,
    pub QueryPerformanceCounterAtInputFrameOrMicroFrame: i64,
    pub QueryPerformanceCounterFrequency: i64,
    pub PredictedAccuracyInMicroSeconds: u32,
    pub CurrentGenerationID: u32,
    pub CurrentQueryPerformanceCounter: i64,
    pub CurrentHardwareFrameNumber: u32,
    pub CurrentHardwareMicroFrameNumber: u32,
    pub CurrentUSBFrameNumber: u32,
}

/// `WINUSBX_VERSION`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct WINUSBX_VERSION {
    pub Size: u32,
    pub Major: u32,
    pub Minor: u32,
    pub Patch: u32,
}

/// `WINUSBX_DEVICE`. Texts are UTF-8, cut to fit and ended by NUL.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct WINUSBX_DEVICE {
    pub Size: u32,
    pub VendorId: u16,
    pub ProductId: u16,
    /// 1 low, 2 full, 3 high, 4 SuperSpeed, 5 SuperSpeedPlus.
    pub Speed: u32,
    pub Address: [c_char; 256],
    pub Manufacturer: [c_char; 128],
    pub Product: [c_char; 128],
    pub SerialNumber: [c_char; 128],
}

/// `WINUSBX_BUS`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct WINUSBX_BUS {
    pub Size: u32,
    /// A TOML file with `[[fault]]` sections; NULL: none.
    pub FaultFile: *const c_char,
}

/// `WINUSBX_FRAME_CLOCK`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct WINUSBX_FRAME_CLOCK {
    pub Size: u32,
    /// 0 real, 1 manual, 2 on-wait.
    pub Mode: u32,
    /// How many frames `WinUsb_GetCurrentFrameNumber` is ahead of `Frame`.
    pub Bias: u32,
    /// How the frame is known: 0 the controller's own number, 1 estimated and settled, 2 from a few completions, 3 no stream has run yet.
    pub Quality: u32,
    /// 0 to 7.
    pub Microframe: u32,
    /// The frame that is running, 64 bits, without the bias.
    pub Frame: u64,
    /// When that was.
    pub PerformanceCounter: i64,
    /// By how much that may be off.
    pub UncertaintyNanoseconds: u64,
}

/// `WINUSBX_STATISTICS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct WINUSBX_STATISTICS {
    pub Size: u32,
    pub Reserved: u32,
    pub Submitted: u64,
    pub Completed: u64,
    pub Cancelled: u64,
    pub Failed: u64,
    pub PacketsDone: u64,
    pub PacketsLate: u64,
    pub PacketsMissed: u64,
    pub PacketsFailed: u64,
    pub Bytes: u64,
    pub Gaps: u64,
    /// Service intervals lost in the gaps.
    pub IntervalsLost: u64,
}

/// `WINUSBX_ISOCH_REPORT`. Frames are in the units of `WinUsb_GetCurrentFrameNumber`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WINUSBX_ISOCH_REPORT {
    pub Size: u32,
    /// 0 completed, 1 cancelled, 2 late, 3 bad start frame, 4 device gone, 5 failed.
    pub Outcome: u32,
    /// 0 not known, 1 reported by the bus, 2 counted, 3 estimated, 4 assumed.
    pub FrameSource: u32,
    /// First frame used.
    pub FirstFrame: u32,
    /// The frame after the last one used.
    pub NextFrame: u32,
    /// By how many frames both may be wrong.
    pub FrameUncertainty: u32,
    /// 0 nothing was lost, 1 lost, 2 the system does not tell.
    pub Gap: u32,
    pub GapFirstFrame: u32,
    pub GapFrames: u32,
    pub GapUncertainty: u32,
    /// 0 none, 1 the queue ran dry, 2 late, 3 the host controller missed them.
    pub GapCause: u32,
    pub BytesTransferred: u32,
}

/// `WINUSBX_ISOCH_TRANSFER`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct WINUSBX_ISOCH_TRANSFER {
    pub Size: u32,
    pub Offset: u32,
    pub Length: u32,
    /// 0 at `FrameNumber`, 1 as soon as possible, 2 only if it continues the stream.
    pub Start: u32,
    pub FrameNumber: u32,
    pub NumberOfPackets: u32,
    /// OUT: one length for each packet, whose bytes lie behind one another; NULL: full packets and a short last one.
    pub PacketLengths: *const u32,
    /// Filled at completion. IN: required. OUT: may be NULL.
    pub Packets: *mut USBD_ISO_PACKET_DESCRIPTOR,
    /// Filled at completion; may be NULL.
    pub Report: *mut WINUSBX_ISOCH_REPORT,
}

/// `OVERLAPPED_ENTRY`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct OVERLAPPED_ENTRY {
    pub lpCompletionKey: usize,
    pub lpOverlapped: *mut OVERLAPPED,
    pub Internal: usize,
    pub dwNumberOfBytesTransferred: u32,
}

/// Asserts sizes as (64 bits, 32 bits).
macro_rules! sizes {
    ($($type:ty: $size64:literal, $size32:literal;)*) => {
        $(const _: () = assert!(size_of::<$type>() == if cfg!(target_pointer_width = "64") { $size64 } else { $size32 });)*
    };
}

/// Asserts offsets of fields as (64 bits, 32 bits).
macro_rules! offsets {
    ($($type:ty, $field:ident: $offset64:literal, $offset32:literal;)*) => {
        $(const _: () = assert!(
            std::mem::offset_of!($type, $field) == if cfg!(target_pointer_width = "64") { $offset64 } else { $offset32 }
        );)*
    };
}

sizes! {
    OVERLAPPED: 32, 20;
    WINUSB_PIPE_INFORMATION: 12, 12;
    WINUSB_PIPE_INFORMATION_EX: 16, 16;
    WINUSB_SETUP_PACKET: 8, 8;
    USBD_ISO_PACKET_DESCRIPTOR: 12, 12;
    USB_INTERFACE_DESCRIPTOR: 9, 9;
    USB_START_TRACKING_FOR_TIME_SYNC_INFORMATION: 9, 5;
    USB_STOP_TRACKING_FOR_TIME_SYNC_INFORMATION: 8, 4;
    USB_FRAME_NUMBER_AND_QPC_FOR_TIME_SYNC_INFORMATION: 60, 56;
    OVERLAPPED_ENTRY: 32, 16;
}

offsets! {
    OVERLAPPED, InternalHigh: 8, 4;
    OVERLAPPED, Offset: 16, 8;
    OVERLAPPED, hEvent: 24, 16;
    WINUSB_PIPE_INFORMATION_EX, PipeId: 4, 4;
    WINUSB_PIPE_INFORMATION_EX, MaximumPacketSize: 6, 6;
    WINUSB_PIPE_INFORMATION_EX, Interval: 8, 8;
    WINUSB_PIPE_INFORMATION_EX, MaximumBytesPerInterval: 12, 12;
    USB_START_TRACKING_FOR_TIME_SYNC_INFORMATION, IsStartupDelayTolerable: 8, 4;
    USB_FRAME_NUMBER_AND_QPC_FOR_TIME_SYNC_INFORMATION, InputFrameNumber: 8, 4;
    USB_FRAME_NUMBER_AND_QPC_FOR_TIME_SYNC_INFORMATION, QueryPerformanceCounterAtInputFrameOrMicroFrame: 16, 12;
    USB_FRAME_NUMBER_AND_QPC_FOR_TIME_SYNC_INFORMATION, PredictedAccuracyInMicroSeconds: 32, 28;
    USB_FRAME_NUMBER_AND_QPC_FOR_TIME_SYNC_INFORMATION, CurrentQueryPerformanceCounter: 40, 36;
    USB_FRAME_NUMBER_AND_QPC_FOR_TIME_SYNC_INFORMATION, CurrentUSBFrameNumber: 56, 52;
}
