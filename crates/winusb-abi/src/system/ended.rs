//! How a request ended, as its OVERLAPPED tells it: the same on every system.

#![allow(unsafe_code)]

use std::sync::atomic::{AtomicUsize, Ordering};

use isoch::EmulatedTime;

use super::File;
use crate::codes::NtStatus;
use crate::failure::Failure;
use crate::types::OVERLAPPED;
use crate::waits::Wanted;

/// `OVERLAPPED.Internal`: what a program polls while another thread completes it.
pub(super) fn internal<'a>(overlapped: *mut OVERLAPPED) -> &'a AtomicUsize {
    // SAFETY: the callers have a valid, aligned OVERLAPPED, and all of this library's accesses are atomic.
    unsafe { AtomicUsize::from_ptr(&raw mut (*overlapped).Internal) }
}

/// What a wait for a request waits for.
pub(super) struct Ended<'a> {
    file: &'a File,
    overlapped: *mut OVERLAPPED,
}

impl<'a> Ended<'a> {
    pub(super) fn new(file: &'a File, overlapped: *mut OVERLAPPED) -> Result<Self, Failure> {
        if overlapped.is_null() {
            return Err(Failure::null("the OVERLAPPED"));
        }
        if !overlapped.is_aligned() {
            return Err(Failure::argument("the OVERLAPPED is not aligned"));
        }
        Ok(Ended { file, overlapped })
    }
}

impl Wanted for Ended<'_> {
    type Got = (NtStatus, usize);

    fn keys(&self) -> Vec<usize> {
        vec![self.overlapped as usize]
    }

    fn clocks(&self) -> Vec<EmulatedTime> {
        self.file.session().emulated_time().into_iter().collect()
    }

    fn is_ready(&self) -> bool {
        internal(self.overlapped).load(Ordering::Acquire) != NtStatus::PENDING.0 as usize
    }

    fn take(&self) -> Option<(NtStatus, usize)> {
        let status = internal(self.overlapped).load(Ordering::Acquire);
        if status == NtStatus::PENDING.0 as usize {
            return None;
        }
        // SAFETY: it is over, so nobody writes to it, and the program passed a valid one.
        let bytes = unsafe { (&raw const (*self.overlapped).InternalHigh).read() };
        Some((NtStatus(status as u32), bytes))
    }
}
