//! Windows' objects, as owned values: events, the device file, the performance counter.
#![allow(unsafe_code)]

use std::time::Duration;

use windows_sys::Win32::Foundation::{
    CloseHandle, GENERIC_READ, GENERIC_WRITE, GetLastError, HANDLE, INVALID_HANDLE_VALUE, WAIT_FAILED,
};
use windows_sys::Win32::Storage::FileSystem::{
    CreateFileW, FILE_ATTRIBUTE_NORMAL, FILE_FLAG_OVERLAPPED, FILE_SHARE_READ, FILE_SHARE_WRITE,
    OPEN_EXISTING,
};
use windows_sys::Win32::System::Performance::{QueryPerformanceCounter, QueryPerformanceFrequency};
use windows_sys::Win32::System::Threading::{
    CreateEventW, INFINITE, ResetEvent, SetEvent, WaitForMultipleObjects,
};

use crate::Error;

/// The code of this thread's last failed call.
pub(super) fn last_error() -> u32 {
    // SAFETY: always allowed.
    unsafe { GetLastError() }
}

/// This thread's last failed call as an error of this crate.
pub(super) fn error(what: impl std::fmt::Display) -> Error {
    error_of(last_error(), what)
}

pub(super) fn error_of(code: u32, what: impl std::fmt::Display) -> Error {
    let reason = std::io::Error::from_raw_os_error(code.cast_signed()).to_string();
    Error::System { what: what.to_string(), reason }
}

/// Text with a zero behind it.
pub(super) fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

/// An owned handle.
pub(super) struct Handle(HANDLE);

// SAFETY: a handle is a number that the system looks up; the calls made with it may come from any thread.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl Handle {
    pub(super) fn raw(&self) -> HANDLE {
        self.0
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: it is owned, and nothing uses it any more.
        unsafe { CloseHandle(self.0) };
    }
}

/// How calls on a file end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Calls {
    /// Before they return.
    Waiting,
    /// At any time; an OVERLAPPED tells when.
    Overlapped,
}

/// Opens a device. The error is the system's code.
pub(super) fn open_file(path: &str, calls: Calls) -> Result<Handle, u32> {
    let path = wide(path);
    let overlapped = if calls == Calls::Overlapped { FILE_FLAG_OVERLAPPED } else { 0 };
    // SAFETY: the path ends with a zero, and the other pointers may be null.
    let file = unsafe {
        CreateFileW(
            path.as_ptr(),
            GENERIC_READ | GENERIC_WRITE,
            FILE_SHARE_READ | FILE_SHARE_WRITE,
            std::ptr::null(),
            OPEN_EXISTING,
            FILE_ATTRIBUTE_NORMAL | overlapped,
            std::ptr::null_mut(),
        )
    };
    if file == INVALID_HANDLE_VALUE { Err(last_error()) } else { Ok(Handle(file)) }
}

/// An event.
pub(super) struct Event(Handle);

impl Event {
    /// One that stays set until it is reset.
    pub(super) fn manual() -> Result<Self, Error> {
        Self::new(true)
    }

    /// One that is reset by whoever waited for it.
    pub(super) fn automatic() -> Result<Self, Error> {
        Self::new(false)
    }

    fn new(manual: bool) -> Result<Self, Error> {
        // SAFETY: attributes and name may be null.
        let event = unsafe { CreateEventW(std::ptr::null(), manual.into(), 0, std::ptr::null()) };
        if event.is_null() { Err(error("making an event")) } else { Ok(Event(Handle(event))) }
    }

    pub(super) fn raw(&self) -> HANDLE {
        self.0.raw()
    }

    pub(super) fn set(&self) {
        // SAFETY: the handle is an event's.
        unsafe { SetEvent(self.raw()) };
    }

    pub(super) fn reset(&self) {
        // SAFETY: the handle is an event's.
        unsafe { ResetEvent(self.raw()) };
    }
}

/// The most events that can be waited for at once.
pub(super) const MOST_EVENTS: usize = 64;

/// Waits until one of the events is set, or for so long. At most [`MOST_EVENTS`], and all of them alive.
pub(super) fn wait_for_any(events: &[HANDLE], at_most: Option<Duration>) {
    let milliseconds = at_most.map_or(INFINITE, |at_most| {
        // Rounded up, so that a deadline has passed when the wait is over.
        let rounded = at_most.as_nanos().div_ceil(1_000_000);
        u32::try_from(rounded).unwrap_or(u32::MAX).min(INFINITE - 1)
    });
    let count = events.len().min(MOST_EVENTS) as u32;
    // SAFETY: there are that many handles.
    let woken = unsafe { WaitForMultipleObjects(count, events.as_ptr(), 0, milliseconds) };
    if woken == WAIT_FAILED {
        // Cannot be, with valid handles; the caller looks again, and must not do so without a pause.
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The performance counter, and how fast it counts.
pub(super) fn performance_counter() -> (i64, i64) {
    let (mut count, mut frequency) = (0, 0);
    // SAFETY: both pointers are valid. These calls do not fail on any Windows that has the functions used here.
    unsafe {
        QueryPerformanceCounter(&mut count);
        QueryPerformanceFrequency(&mut frequency);
    }
    (count, frequency)
}
