//! The C ABI, declared here once more.
//!
//! Why not take the declarations of `winusb-abi`? Because a test that shares them cannot find a parameter
//! that is a byte too wide, or two that are swapped. These were written from the research page (§1 for the
//! functions) and from the names of winusbx.h; every call of the table goes through them.

#![allow(unsafe_code)]

use std::ffi::c_void;

pub use crate::kinds::{Kind, Outcome};

/// A function of the library.
#[derive(Debug)]
pub struct Function {
    /// Its exported name.
    pub name: &'static str,
    /// What it takes, in order.
    pub parameters: &'static [(&'static str, Kind)],
    /// What it gives back.
    pub result: Outcome,
    /// Calls the function at an address.
    pub call: unsafe fn(*const c_void, &[u64]) -> u64,
}

/// `WINUSB_SETUP_PACKET` (§2.1: packed, 8 bytes).
#[repr(C, packed)]
#[derive(Clone, Copy)]
#[allow(dead_code)]
struct SetupPacket {
    request_type: u8,
    request: u8,
    value: u16,
    index: u16,
    length: u16,
}

/// `LARGE_INTEGER`: a union, so that it is passed as one.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(dead_code)]
union LargeInteger {
    parts: [u32; 2],
    whole: i64,
}

/// How an argument is passed.
trait Passed {
    fn pass(value: u64) -> Self;
}

macro_rules! passed {
    ($($ty:ty),*) => { $(impl Passed for $ty { fn pass(value: u64) -> Self { value as $ty } })* };
}
passed!(u8, u16, u32, i32, usize);

impl Passed for *mut c_void {
    fn pass(value: u64) -> Self {
        std::ptr::with_exposed_provenance_mut(value as usize)
    }
}

impl Passed for LargeInteger {
    fn pass(value: u64) -> Self {
        LargeInteger { whole: value.cast_signed() }
    }
}

impl Passed for SetupPacket {
    fn pass(value: u64) -> Self {
        let [request_type, request, value_low, value_high, index_low, index_high, length_low, length_high] =
            value.to_le_bytes();
        SetupPacket {
            request_type,
            request,
            value: u16::from_le_bytes([value_low, value_high]),
            index: u16::from_le_bytes([index_low, index_high]),
            length: u16::from_le_bytes([length_low, length_high]),
        }
    }
}

/// What comes back, as 64 bits.
trait Returned {
    fn wide(self) -> u64;
}

impl Returned for i32 {
    fn wide(self) -> u64 {
        u64::from(self.cast_unsigned())
    }
}

impl Returned for u32 {
    fn wide(self) -> u64 {
        u64::from(self)
    }
}

impl Returned for *mut c_void {
    fn wide(self) -> u64 {
        self.expose_provenance() as u64
    }
}

impl Returned for () {
    fn wide(self) -> u64 {
        0
    }
}

/// The C type of each [`Kind`].
macro_rules! argument_type {
    (Byte) => { u8 };
    (Word) => { u16 };
    (Long) => { u32 };
    (Signed) => { i32 };
    (Size) => { usize };
    (Wide) => { LargeInteger };
    (Setup) => { SetupPacket };
    ($pointer:ident) => { *mut c_void };
}

/// The C type of each [`Outcome`].
macro_rules! result_type {
    (Truth) => { i32 };
    (Number) => { u32 };
    (Nothing) => { () };
    ($pointer:ident) => { *mut c_void };
}

macro_rules! functions {
    ($($name:ident($($parameter:ident: $kind:ident),*) -> $result:ident;)*) => {
        /// All of them.
        pub static FUNCTIONS: &[Function] = &[$(Function {
            name: stringify!($name),
            parameters: &[$((stringify!($parameter), Kind::$kind)),*],
            result: Outcome::$result,
            call: {
                unsafe fn call(address: *const c_void, arguments: &[u64]) -> u64 {
                    type Called = unsafe extern "system" fn($(argument_type!($kind)),*) -> result_type!($result);
                    // SAFETY: the caller gives the address of the function of this name, which has this type.
                    let function = unsafe { std::mem::transmute::<*const c_void, Called>(address) };
                    #[allow(unused_mut, unused_variables)]
                    let mut arguments = arguments.iter().copied();
                    // SAFETY: what the arguments point to is the caller's promise.
                    let result = unsafe { function($({
                        let _ = stringify!($parameter);
                        <argument_type!($kind)>::pass(arguments.next().unwrap_or(0))
                    }),*) };
                    Returned::wide(result)
                }
                call
            },
        }),*];

        /// Calls a macro with the names of all functions: what a linked library must have.
        #[macro_export]
        macro_rules! for_each_function {
            ($callback:ident) => { $callback! { $($name)* } };
        }
    };
}

functions! {
    // §1.1 Session
    WinUsb_Initialize(device: Handle, interface: HandleOut) -> Truth;
    WinUsb_Free(interface: Handle) -> Truth;
    WinUsb_GetAssociatedInterface(interface: Handle, index: Byte, associated: HandleOut) -> Truth;
    WinUsb_GetOverlappedResult(interface: Handle, overlapped: Overlapped, bytes: LongOut, wait: Signed) -> Truth;
    // §1.2 Descriptors and queries
    WinUsb_GetDescriptor(interface: Handle, descriptor_type: Byte, index: Byte, language: Word, buffer: Bytes, length: Long, transferred: LongOut) -> Truth;
    WinUsb_QueryInterfaceSettings(interface: Handle, setting: Byte, descriptor: InterfaceDescriptor) -> Truth;
    WinUsb_QueryDeviceInformation(interface: Handle, information: Long, length: LongOut, buffer: Bytes) -> Truth;
    WinUsb_SetCurrentAlternateSetting(interface: Handle, setting: Byte) -> Truth;
    WinUsb_GetCurrentAlternateSetting(interface: Handle, setting: ByteOut) -> Truth;
    WinUsb_QueryPipe(interface: Handle, setting: Byte, index: Byte, information: PipeInformation) -> Truth;
    WinUsb_QueryPipeEx(interface: Handle, setting: Byte, index: Byte, information: PipeInformationEx) -> Truth;
    WinUsb_ParseConfigurationDescriptor(configuration: Bytes, start: Bytes, interface: Signed, setting: Signed, class: Signed, subclass: Signed, protocol: Signed) -> Pointer;
    WinUsb_ParseDescriptors(buffer: Bytes, total: Long, start: Bytes, descriptor_type: Signed) -> Pointer;
    // §1.3 Policies
    WinUsb_SetPipePolicy(interface: Handle, pipe: Byte, policy: Long, length: Long, value: Bytes) -> Truth;
    WinUsb_GetPipePolicy(interface: Handle, pipe: Byte, policy: Long, length: LongOut, value: Bytes) -> Truth;
    WinUsb_SetPowerPolicy(interface: Handle, policy: Long, length: Long, value: Bytes) -> Truth;
    WinUsb_GetPowerPolicy(interface: Handle, policy: Long, length: LongOut, value: Bytes) -> Truth;
    // §1.4 Data transfer
    WinUsb_ReadPipe(interface: Handle, pipe: Byte, buffer: Bytes, length: Long, transferred: LongOut, overlapped: Overlapped) -> Truth;
    WinUsb_WritePipe(interface: Handle, pipe: Byte, buffer: Bytes, length: Long, transferred: LongOut, overlapped: Overlapped) -> Truth;
    WinUsb_ControlTransfer(interface: Handle, setup: Setup, buffer: Bytes, length: Long, transferred: LongOut, overlapped: Overlapped) -> Truth;
    WinUsb_AbortPipe(interface: Handle, pipe: Byte) -> Truth;
    WinUsb_ResetPipe(interface: Handle, pipe: Byte) -> Truth;
    WinUsb_FlushPipe(interface: Handle, pipe: Byte) -> Truth;
    // §0: exported, in no header
    WinUsb_AbortPipeAsync(interface: Handle, pipe: Byte, overlapped: Overlapped) -> Truth;
    WinUsb_ResetPipeAsync(interface: Handle, pipe: Byte, overlapped: Overlapped) -> Truth;
    WinUsb_SetCurrentAlternateSettingAsync(interface: Handle, setting: Byte, overlapped: Overlapped) -> Truth;
    // §1.5 Frame numbers and time
    WinUsb_GetCurrentFrameNumber(interface: Handle, frame: LongOut, stamp: WideOut) -> Truth;
    WinUsb_GetAdjustedFrameNumber(frame: LongOut, stamp: Wide) -> Truth;
    WinUsb_StartTrackingForTimeSync(interface: Handle, information: StartTracking) -> Truth;
    WinUsb_GetCurrentFrameNumberAndQpc(interface: Handle, information: FrameAndCounter) -> Truth;
    WinUsb_StopTrackingForTimeSync(interface: Handle, information: StopTracking) -> Truth;
    // §1.6 Isochronous
    WinUsb_RegisterIsochBuffer(interface: Handle, pipe: Byte, buffer: Bytes, length: Long, registered: HandleOut) -> Truth;
    WinUsb_UnregisterIsochBuffer(registered: Handle) -> Truth;
    WinUsb_WriteIsochPipe(registered: Handle, offset: Long, length: Long, frame: LongOut, overlapped: Overlapped) -> Truth;
    WinUsb_ReadIsochPipe(registered: Handle, offset: Long, length: Long, frame: LongOut, count: Long, packets: Packets, overlapped: Overlapped) -> Truth;
    WinUsb_WriteIsochPipeAsap(registered: Handle, offset: Long, length: Long, proceed: Signed, overlapped: Overlapped) -> Truth;
    WinUsb_ReadIsochPipeAsap(registered: Handle, offset: Long, length: Long, proceed: Signed, count: Long, packets: Packets, overlapped: Overlapped) -> Truth;
    // winusbx.h, everywhere
    WinUsbX_Version(version: Version) -> Truth;
    WinUsbX_GetLastErrorText(buffer: Bytes, length: Long) -> Truth;
    WinUsbX_ListDevices(devices: Devices, count: LongOut) -> Truth;
    WinUsbX_ChooseDevice(address: Text) -> Truth;
    WinUsbX_ConfigureBus(interface: Handle, bus: Bus) -> Truth;
    WinUsbX_AdvanceClock(interface: Handle, frames: Long) -> Truth;
    WinUsbX_GetFrameClock(interface: Handle, clock: FrameClock) -> Truth;
    WinUsbX_GetStatistics(interface: Handle, pipe: Byte, statistics: Statistics) -> Truth;
    WinUsbX_SubmitIsoch(registered: Handle, transfer: Transfer, overlapped: Overlapped) -> Truth;
    // winusbx.h, off Windows; on Windows kernel32 has them without the prefix
    WinUsbX_OpenDevice(address: Text, access: Long, flags: Long) -> Handle;
    WinUsbX_CloseHandle(object: Handle) -> Truth;
    WinUsbX_CreateEvent(manual_reset: Signed, initial_state: Signed) -> Handle;
    WinUsbX_SetEvent(event: Handle) -> Truth;
    WinUsbX_ResetEvent(event: Handle) -> Truth;
    WinUsbX_WaitForSingleObject(object: Handle, milliseconds: Long) -> Number;
    WinUsbX_WaitForMultipleObjects(count: Long, objects: Bytes, all: Signed, milliseconds: Long) -> Number;
    WinUsbX_Sleep(milliseconds: Long) -> Nothing;
    WinUsbX_GetOverlappedResult(file: Handle, overlapped: Overlapped, bytes: LongOut, wait: Signed) -> Truth;
    WinUsbX_CancelIoEx(file: Handle, overlapped: Overlapped) -> Truth;
    WinUsbX_CreateIoCompletionPort(file: Handle, port: Handle, key: Size, threads: Long) -> Handle;
    WinUsbX_GetQueuedCompletionStatus(port: Handle, bytes: LongOut, key: SizeOut, overlapped: SizeOut, milliseconds: Long) -> Truth;
    WinUsbX_GetQueuedCompletionStatusEx(port: Handle, entries: Entries, count: Long, removed: LongOut, milliseconds: Long, alertable: Signed) -> Truth;
    WinUsbX_PostQueuedCompletionStatus(port: Handle, bytes: Long, key: Size, overlapped: Overlapped) -> Truth;
    WinUsbX_GetLastError() -> Number;
    WinUsbX_SetLastError(error: Long) -> Nothing;
    WinUsbX_QueryPerformanceCounter(counter: WideOut) -> Truth;
    WinUsbX_QueryPerformanceFrequency(frequency: WideOut) -> Truth;
}

/// The function of this name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

impl Function {
    /// Whether it is one of the 37 that Windows' own library exports.
    #[must_use]
    pub fn is_windows(&self) -> bool {
        self.name.starts_with("WinUsb_")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_exports_are_declared() {
        assert_eq!(FUNCTIONS.iter().filter(|function| function.is_windows()).count(), 37);
    }

    #[test]
    fn arguments_arrive_as_declared() {
        unsafe extern "system" fn control(
            interface: *mut c_void,
            setup: u64,
            _buffer: *mut c_void,
            length: u32,
            _transferred: *mut c_void,
            _overlapped: *mut c_void,
        ) -> i32 {
            i32::from(interface.addr() == 1 && setup == 0x0012_3456_789a_02c0 && length == 0xffff_fffe)
        }
        let function = named("WinUsb_ControlTransfer").expect("it is declared");
        let arguments = [1, 0x0012_3456_789a_02c0, 0, u64::MAX - 1, 0, 0];
        // SAFETY: on 64-bit systems an 8-byte struct is passed as an integer is, which this test is about.
        #[cfg(target_pointer_width = "64")]
        assert_eq!(unsafe { (function.call)(control as *const c_void, &arguments) }, 1);
    }
}
