//! A libwinusb for the tests of this crate: it lists what a test plugs in, and opens what it lists.
//!
//! Why not the real one? What is tested here is what this library makes of its answers; the two together are
//! tested by C programs (tests/c).
#![allow(unsafe_code)]
#![allow(non_snake_case, reason = "the functions have their C names")]

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_char};

use crate::sys::{Bool, FALSE, Handle, INVALID_HANDLE, ListedDevice, TRUE};

thread_local! {
    static LAST_ERROR: Cell<u32> = const { Cell::new(0) };
    static PLUGGED: RefCell<Vec<String>> = RefCell::new(vec!["virtual:article".into()]);
    static OPENED: RefCell<String> = const { RefCell::new(String::new()) };
}

pub(crate) fn plug(addresses: &[&str]) {
    PLUGGED.set(addresses.iter().map(|&address| address.to_owned()).collect());
}

/// What was opened last.
pub(crate) fn opened() -> String {
    OPENED.take()
}

fn fail(code: u32) {
    LAST_ERROR.set(code);
}

#[unsafe(no_mangle)]
unsafe extern "C" fn WinUsbX_ListDevices(devices: *mut ListedDevice, count: *mut u32) -> Bool {
    let plugged = PLUGGED.with_borrow(Clone::clone);
    // SAFETY: count is the caller's, and there is room for as many devices as it says.
    unsafe {
        let room = count.replace(plugged.len() as u32) as usize;
        for (index, address) in plugged.iter().enumerate().take(room) {
            let device = &mut *devices.add(index);
            assert_eq!(device.size as usize, size_of::<ListedDevice>());
            (device.vendor_id, device.product_id) = (0x1209, 6);
            device.address[..address.len()].copy_from_slice(address.as_bytes());
            device.product[..7].copy_from_slice(b"Article");
        }
        if room < plugged.len() {
            fail(122);
            return FALSE;
        }
    }
    TRUE
}

#[unsafe(no_mangle)]
unsafe extern "C" fn WinUsbX_OpenDevice(address: *const c_char, _access: u32, _flags: u32) -> Handle {
    // SAFETY: the library under test passes a C string.
    let address = unsafe { CStr::from_ptr(address) }.to_str().unwrap().to_owned();
    if !PLUGGED.with_borrow(|plugged| plugged.contains(&address)) {
        fail(2);
        return INVALID_HANDLE;
    }
    OPENED.set(address);
    std::ptr::without_provenance_mut(0x100)
}

#[unsafe(no_mangle)]
extern "C" fn WinUsbX_CreateEvent(_manual_reset: Bool, _initial_state: Bool) -> Handle {
    std::ptr::without_provenance_mut(0x104)
}

#[unsafe(no_mangle)]
extern "C" fn WinUsbX_GetLastError() -> u32 {
    LAST_ERROR.get()
}

#[unsafe(no_mangle)]
extern "C" fn WinUsbX_SetLastError(code: u32) {
    fail(code);
}

#[unsafe(no_mangle)]
unsafe extern "C" fn WinUsbX_QueryPerformanceCounter(counter: *mut i64) -> Bool {
    // SAFETY: the library under test passes a place.
    unsafe { *counter = 12_345_678 };
    TRUE
}

#[unsafe(no_mangle)]
unsafe extern "C" fn WinUsbX_QueryPerformanceFrequency(frequency: *mut i64) -> Bool {
    // SAFETY: the library under test passes a place.
    unsafe { *frequency = 10_000_000 };
    TRUE
}
