//! The C functions.
//!
//! Why is there a layer of them? Here, and nowhere else, a C caller's pointers become Rust's: each function checks them
//! for NULL, does its work in safe code below, and says how it went: TRUE, or FALSE with the last error and a reason.
//! Rust panics end here as ERROR_INTERNAL_ERROR; none is known.

#![allow(unsafe_code, non_snake_case)]

mod data;
mod frames;
mod isoch;
mod policies;
mod queries;
mod session;
mod time_sync;

mod extras;
#[cfg(not(windows))]
mod objects;

use std::ffi::{CStr, c_char};
use std::fmt::{Arguments, Debug};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::codes::win32;
use crate::failure::Failure;
use crate::types::{BOOL, FALSE, TRUE};
use crate::{system, trace};

#[cfg(not(windows))]
pub use objects::*;
pub use {data::*, extras::*, frames::*, isoch::*, policies::*, queries::*, session::*, time_sync::*};

/// Runs the body of an exported function: TRUE, or FALSE with the last error set.
pub(crate) fn call(name: &str, arguments: Arguments<'_>, body: impl FnOnce() -> Result<(), Failure>) -> BOOL {
    match value(name, arguments, || body().map(|()| True)) {
        Some(True) => TRUE,
        None => FALSE,
    }
}

/// How the trace shows it.
struct True;

impl Debug for True {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TRUE")
    }
}

/// The same for a function that returns something else than BOOL.
pub(crate) fn value<T: Debug>(
    name: &str,
    arguments: Arguments<'_>,
    body: impl FnOnce() -> Result<T, Failure>,
) -> Option<T> {
    let result = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|_| {
        Err(Failure::new(
            win32::INTERNAL_ERROR,
            "a defect of this library: please report what the trace shows",
        ))
    });
    match result {
        Ok(value) => {
            trace::call(name, arguments, format_args!("{value:?}"));
            Some(value)
        }
        Err(failure) => {
            trace::call(name, arguments, format_args!("FALSE, error {} ({})", failure.code, failure.reason));
            let code = failure.code;
            trace::set_reason(failure.reason);
            // Last of all: Windows' own TlsGetValue sets the last error, to 0.
            system::set_last_error(code);
            None
        }
    }
}

/// Writes through an out pointer of a C caller; NULL is refused.
///
/// # Safety
/// `out` is NULL or valid for a write.
pub(crate) unsafe fn write<T>(out: *mut T, name: &'static str, value: T) -> Result<(), Failure> {
    if out.is_null() {
        return Err(Failure::null(name));
    }
    // SAFETY: not NULL, and so valid by this function's contract. C callers may have packed it anywhere.
    unsafe { out.write_unaligned(value) };
    Ok(())
}

/// Reads through a pointer of a C caller; NULL is refused.
///
/// # Safety
/// `pointer` is NULL or valid for a read.
pub(crate) unsafe fn read<T: Copy>(pointer: *const T, name: &'static str) -> Result<T, Failure> {
    if pointer.is_null() {
        return Err(Failure::null(name));
    }
    // SAFETY: not NULL, and so valid by this function's contract.
    Ok(unsafe { pointer.read_unaligned() })
}

/// A text of a C caller.
///
/// # Safety
/// `text` is NULL or a string that ends with NUL.
pub(crate) unsafe fn text<'a>(text: *const c_char, name: &'static str) -> Result<&'a str, Failure> {
    if text.is_null() {
        return Err(Failure::null(name));
    }
    // SAFETY: by this function's contract.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map_err(|_| Failure::argument(format!("{name} is not valid UTF-8")))
}

/// Refuses a struct whose `Size` says that it is smaller than this library fills in.
pub(crate) fn check_size<T>(size: u32) -> Result<(), Failure> {
    if size as usize >= size_of::<T>() {
        return Ok(());
    }
    Err(Failure::argument(format!(
        "Size is {size}, and the struct has {} bytes: set it to sizeof",
        size_of::<T>()
    )))
}
