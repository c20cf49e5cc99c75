//! What this library uses of libwinusb, and Windows' numbers. `winusbx.h` documents the functions.
#![allow(non_snake_case, reason = "the functions have their C names")]
#![allow(unsafe_code)]

use std::ffi::{c_char, c_void};

/// A kernel object of libwinusb, or a set of devices of ours.
pub(crate) type Handle = *mut c_void;
/// Windows' `BOOL`.
pub(crate) type Bool = i32;

pub(crate) const FALSE: Bool = 0;
pub(crate) const TRUE: Bool = 1;
/// `INVALID_HANDLE_VALUE`.
pub(crate) const INVALID_HANDLE: Handle = std::ptr::without_provenance_mut(usize::MAX);

pub(crate) const ERROR_FILE_NOT_FOUND: u32 = 2;
pub(crate) const ERROR_INVALID_HANDLE: u32 = 6;
pub(crate) const ERROR_NOT_ENOUGH_MEMORY: u32 = 8;
pub(crate) const ERROR_INVALID_DATA: u32 = 13;
pub(crate) const ERROR_NOT_SUPPORTED: u32 = 50;
pub(crate) const ERROR_FILE_EXISTS: u32 = 80;
pub(crate) const ERROR_INVALID_PARAMETER: u32 = 87;
pub(crate) const ERROR_INSUFFICIENT_BUFFER: u32 = 122;
pub(crate) const ERROR_INVALID_NAME: u32 = 123;
pub(crate) const ERROR_FILENAME_EXCED_RANGE: u32 = 206;
pub(crate) const ERROR_NO_MORE_ITEMS: u32 = 259;
pub(crate) const ERROR_MR_MID_NOT_FOUND: u32 = 317;
pub(crate) const ERROR_INVALID_USER_BUFFER: u32 = 1784;

/// `WINUSBX_DEVICE`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct ListedDevice {
    pub(crate) size: u32,
    pub(crate) vendor_id: u16,
    pub(crate) product_id: u16,
    pub(crate) speed: u32,
    pub(crate) address: [u8; 256],
    pub(crate) manufacturer: [u8; 128],
    pub(crate) product: [u8; 128],
    pub(crate) serial_number: [u8; 128],
}

unsafe extern "C" {
    pub(crate) fn WinUsbX_ListDevices(devices: *mut ListedDevice, count: *mut u32) -> Bool;
    pub(crate) fn WinUsbX_OpenDevice(address: *const c_char, access: u32, flags: u32) -> Handle;
    pub(crate) safe fn WinUsbX_CreateEvent(manual_reset: Bool, initial_state: Bool) -> Handle;
    pub(crate) safe fn WinUsbX_GetLastError() -> u32;
    pub(crate) safe fn WinUsbX_SetLastError(code: u32);
    pub(crate) fn WinUsbX_QueryPerformanceCounter(counter: *mut i64) -> Bool;
    pub(crate) fn WinUsbX_QueryPerformanceFrequency(frequency: *mut i64) -> Bool;
}

/// Sets the code and returns `FALSE`.
pub(crate) fn fail(code: u32) -> Bool {
    WinUsbX_SetLastError(code);
    FALSE
}

/// What a function answers with.
pub(crate) fn answer(result: Result<(), u32>) -> Bool {
    match result {
        Ok(()) => TRUE,
        Err(code) => fail(code),
    }
}
