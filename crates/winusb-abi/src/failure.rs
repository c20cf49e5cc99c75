//! Why a call failed: the code for `GetLastError`, and a sentence that says what to do.
//!
//! Why a sentence, where WinUSB has a number? Because 87 has thirty meanings. The sentence is in the trace, and
//! `WinUsbX_GetLastErrorText` gives it to the program.

use std::borrow::Cow;

use isoch::rules::winusb::Refusal;

use crate::codes::{self, win32};

/// A failed call.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct Failure {
    pub(crate) code: u32,
    pub(crate) reason: Cow<'static, str>,
}

impl Failure {
    pub(crate) fn new(code: u32, reason: impl Into<Cow<'static, str>>) -> Self {
        Failure { code, reason: reason.into() }
    }

    /// The request was accepted and its end will be told through the OVERLAPPED.
    pub(crate) fn pending() -> Self {
        Failure::new(win32::IO_PENDING, "the request is under way; its OVERLAPPED tells the end")
    }

    pub(crate) fn invalid_handle(what: &'static str) -> Self {
        Failure::new(win32::INVALID_HANDLE, what)
    }

    pub(crate) fn argument(reason: impl Into<Cow<'static, str>>) -> Self {
        Failure::new(win32::INVALID_PARAMETER, reason)
    }

    /// A pointer that must not be NULL is.
    pub(crate) fn null(name: &'static str) -> Self {
        Failure::argument(format!("{name} is NULL"))
    }
}

impl From<isoch::Error> for Failure {
    fn from(error: isoch::Error) -> Self {
        Failure::new(codes::win32_of_error(&error), error.to_string())
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Failure::new(refusal.win32_code(), refusal.to_string())
    }
}
