//! Windows: files, events and completion ports are the kernel's; this makes it complete an OVERLAPPED.
//!
//! Why no driver, and no process that serves the devices? Both must be installed, a driver by an administrator, and
//! everything that a program sees of a transfer's end can be had within the process: see `delivery`. What differs
//! from a driver is in docs/winusb-on-windows.md, and tests/wine/delivery.c finds out whether the system does its part.
#![allow(unsafe_code)]

mod attach;
mod delivery;
mod file;
mod imports;
mod kernel;
mod overlapped;
mod pipe;
mod request;

use windows_sys::Win32::Foundation::SetLastError;
use windows_sys::Win32::System::Performance::{QueryPerformanceCounter, QueryPerformanceFrequency};

pub(crate) use file::File;
pub(crate) use overlapped::{Overlapped, result};

/// `SetLastError`.
pub(crate) fn set_last_error(code: u32) {
    // SAFETY: has no preconditions.
    unsafe { SetLastError(code) };
}

/// Ticks of the performance counter per second.
pub(crate) fn performance_frequency() -> i64 {
    let mut frequency = 0;
    // SAFETY: the pointer is valid for a write. It cannot fail since Windows XP.
    unsafe { QueryPerformanceFrequency(&mut frequency) };
    frequency.max(1)
}

/// The performance counter.
pub(crate) fn performance_counter() -> i64 {
    let mut counter = 0;
    // SAFETY: the pointer is valid for a write. It cannot fail since Windows XP.
    unsafe { QueryPerformanceCounter(&mut counter) };
    counter
}
