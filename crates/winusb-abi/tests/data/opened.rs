//! An open device, and the C functions on it without their pointers.

use std::ffi::CString;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering};

use winusb::types::*;
use winusb::*;

const OVERLAPPED_FILE: u32 = 0x4000_0000;
const READ_WRITE: u32 = 0xc000_0000;
/// The loopback device's bulk pipes.
pub(crate) const OUT: u8 = 0x01;
pub(crate) const IN: u8 = 0x81;

pub(crate) struct Opened {
    pub(crate) file: HANDLE,
    pub(crate) interface: HANDLE,
}

/// A request with an OVERLAPPED. Its memory stays valid for ever, whenever it ends.
#[derive(Clone, Copy)]
pub(crate) struct Request {
    interface: HANDLE,
    pub(crate) overlapped: *mut OVERLAPPED,
    pub(crate) buffer: *mut u8,
    pub(crate) length: usize,
}

// SAFETY: all of its memory is valid for ever, on any thread.
unsafe impl Send for Request {}

pub(crate) fn error() -> u32 {
    // SAFETY: it needs nothing.
    unsafe { WinUsbX_GetLastError() }
}

/// How a call ended: `Err` is the last error.
pub(crate) fn ended(result: BOOL) -> Result<(), u32> {
    if result == TRUE { Ok(()) } else { Err(error()) }
}

pub(crate) fn setup(
    request_type: u8,
    request: u8,
    value: u16,
    index: u16,
    length: u16,
) -> WINUSB_SETUP_PACKET {
    WINUSB_SETUP_PACKET {
        RequestType: request_type,
        Request: request,
        Value: value,
        Index: index,
        Length: length,
    }
}

impl Opened {
    /// Opens a device on a bus of its own: tests run at the same time.
    pub(crate) fn new(device: &str) -> Self {
        Opened::with_clock(device, "on-wait")
    }

    pub(crate) fn with_clock(device: &str, clock: &str) -> Self {
        static BUSES: AtomicUsize = AtomicUsize::new(0);
        let bus = BUSES.fetch_add(1, Ordering::Relaxed);
        let separator = if device.contains('?') { '&' } else { '?' };
        Opened::at(&format!("virtual:data{bus}/{device}{separator}clock={clock}"))
    }

    fn at(address: &str) -> Self {
        let address = CString::new(address).unwrap();
        // SAFETY: all pointers are valid.
        unsafe {
            let file = WinUsbX_OpenDevice(address.as_ptr(), READ_WRITE, OVERLAPPED_FILE);
            assert_ne!(file as isize, -1, "{address:?}: {}", error());
            let mut interface = null_mut();
            assert_eq!(ended(WinUsb_Initialize(file, &raw mut interface)), Ok(()));
            Opened { file, interface }
        }
    }

    pub(crate) fn loopback() -> Self {
        Opened::new("loopback")
    }

    pub(crate) fn request(&self, bytes: Vec<u8>) -> Request {
        let overlapped =
            OVERLAPPED { Internal: 0, InternalHigh: 0, Offset: 0, OffsetHigh: 0, hEvent: null_mut() };
        let buffer = Box::leak(bytes.into_boxed_slice());
        Request {
            interface: self.interface,
            overlapped: Box::leak(Box::new(overlapped)),
            buffer: buffer.as_mut_ptr(),
            length: buffer.len(),
        }
    }

    pub(crate) fn start_read(&self, length: usize) -> Request {
        let request = self.request(vec![0xee; length]);
        let (buffer, length) = (request.buffer, length as u32);
        // SAFETY: all pointers are NULL or valid for ever.
        let result =
            unsafe { WinUsb_ReadPipe(self.interface, IN, buffer, length, null_mut(), request.overlapped) };
        assert_eq!(ended(result), Err(997));
        request
    }

    pub(crate) fn start_write(&self, bytes: &[u8]) -> Request {
        let request = self.request(bytes.to_vec());
        let (buffer, length) = (request.buffer, bytes.len() as u32);
        // SAFETY: all pointers are NULL or valid for ever.
        let result =
            unsafe { WinUsb_WritePipe(self.interface, OUT, buffer, length, null_mut(), request.overlapped) };
        assert_eq!(ended(result), Err(997));
        request
    }

    pub(crate) fn read(&self, length: usize) -> Result<Vec<u8>, u32> {
        let (mut bytes, mut count) = (vec![0; length], 0);
        let (buffer, length) = (bytes.as_mut_ptr(), length as u32);
        // SAFETY: all pointers are NULL or valid.
        let result =
            unsafe { WinUsb_ReadPipe(self.interface, IN, buffer, length, &raw mut count, null_mut()) };
        bytes.truncate(count as usize);
        ended(result).map(|()| bytes)
    }

    pub(crate) fn write(&self, bytes: &[u8]) -> Result<usize, u32> {
        let mut count = 0;
        let (buffer, length) = (bytes.as_ptr().cast_mut(), bytes.len() as u32);
        // SAFETY: all pointers are NULL or valid; the bytes are only read.
        let result =
            unsafe { WinUsb_WritePipe(self.interface, OUT, buffer, length, &raw mut count, null_mut()) };
        ended(result).map(|()| count as usize)
    }

    pub(crate) fn control(&self, packet: WINUSB_SETUP_PACKET, bytes: &mut [u8]) -> Result<usize, u32> {
        let mut count = 0;
        let (buffer, length) = (bytes.as_mut_ptr(), bytes.len() as u32);
        // SAFETY: all pointers are NULL or valid.
        let result = unsafe {
            WinUsb_ControlTransfer(self.interface, packet, buffer, length, &raw mut count, null_mut())
        };
        ended(result).map(|()| count as usize)
    }

    pub(crate) fn set(&self, pipe: u8, policy: u32, value: &[u8]) -> Result<(), u32> {
        let (pointer, length) = (value.as_ptr().cast_mut().cast(), value.len() as u32);
        // SAFETY: the value is valid, and only read.
        ended(unsafe { WinUsb_SetPipePolicy(self.interface, pipe, policy, length, pointer) })
    }

    pub(crate) fn get(&self, pipe: u8, policy: u32) -> Result<(u32, u32), u32> {
        let (mut value, mut length) = (0_u32, 4_u32);
        let pointer = (&raw mut value).cast();
        // SAFETY: all pointers are valid.
        let result = unsafe { WinUsb_GetPipePolicy(self.interface, pipe, policy, &raw mut length, pointer) };
        ended(result).map(|()| (value, length))
    }

    /// SET_FEATURE(ENDPOINT_HALT): the device stalls.
    pub(crate) fn halt(&self, pipe: u8) {
        assert_eq!(self.control(setup(0x02, 3, 0, pipe.into(), 0), &mut []), Ok(0));
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // SAFETY: handles are checked.
        unsafe {
            WinUsb_Free(self.interface);
            WinUsbX_CloseHandle(self.file);
        }
    }
}

impl Request {
    /// How it ended, and how many bytes were transferred.
    pub(crate) fn end(self, wait: bool) -> (Result<(), u32>, usize) {
        let mut count = 0;
        // SAFETY: all pointers are valid.
        let result = unsafe {
            WinUsb_GetOverlappedResult(self.interface, self.overlapped, &raw mut count, wait.into())
        };
        (ended(result), count as usize)
    }

    /// Its buffer, when it is over.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        // SAFETY: it is valid for ever, and nothing writes to it any more.
        unsafe { std::slice::from_raw_parts(self.buffer, self.length) }.to_vec()
    }
}
