//! Requests with an OVERLAPPED.
#![allow(unsafe_code)]

use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::ptr::null;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::File;
use super::kernel;
use super::request::Signal;
use crate::codes::NtStatus;
use crate::failure::Failure;
use crate::system::ended::{Ended, internal};
use crate::types::{HANDLE, INFINITE, OVERLAPPED};
use crate::waits::{self, Dispatcher, Wanted};

/// A request under way, known to its program by an OVERLAPPED.
///
/// It has a handle of its own for the program's event: that one may be closed and used again meanwhile.
pub(crate) struct Overlapped {
    file: Arc<File>,
    overlapped: *mut OVERLAPPED,
    event: Option<OwnedHandle>,
    /// Whether its end is posted to the port that the file may be bound to.
    post: bool,
}

// SAFETY: the pointer is used by `begin` and `complete` only, and the program keeps the OVERLAPPED valid from one to
// the other, on whatever thread they run; `Internal` is accessed atomically.
unsafe impl Send for Overlapped {}
// SAFETY: nothing can be done with a shared reference but to read the address.
unsafe impl Sync for Overlapped {}

impl Overlapped {
    /// Marks it pending, and makes what will be signalled not signalled.
    pub(crate) fn begin(file: Arc<File>, overlapped: *mut OVERLAPPED) -> Result<Self, Failure> {
        if !overlapped.is_aligned() {
            return Err(Failure::argument("the OVERLAPPED is not aligned"));
        }
        // SAFETY: by WinUSB's contract a program passes an OVERLAPPED that is valid until the request is over.
        let (event, post) = plain(unsafe { (&raw const (*overlapped).hEvent).read() });
        // What was completed before may be about to signal: that is over once this is locked.
        let mut delivery = file.delivery();
        let event = if event.is_null() {
            delivery.unsignal_file();
            None
        } else {
            let event = kernel::duplicate(event).filter(kernel::reset);
            Some(event.ok_or_else(|| Failure::invalid_handle("hEvent is no event that may be set"))?)
        };
        // SAFETY: as above.
        unsafe { (&raw mut (*overlapped).InternalHigh).write(0) };
        internal(overlapped).store(NtStatus::PENDING.0 as usize, Ordering::Release);
        drop(delivery);
        Ok(Overlapped { file, overlapped, event, post })
    }

    pub(crate) fn address(&self) -> usize {
        self.overlapped as usize
    }

    /// The call is refused after all: nothing is signalled, but who waits for the OVERLAPPED all the same does not wait for
    /// ever.
    pub(crate) fn refuse(self) {
        internal(self.overlapped).store(NtStatus::UNSUCCESSFUL.0 as usize, Ordering::Release);
    }

    /// Fills the OVERLAPPED in, then signals. It is not looked at afterwards: the program may have freed it.
    pub(crate) fn complete(self, status: NtStatus, bytes: usize) {
        let mut delivery = self.file.delivery();
        // SAFETY: the request is not over before the next line, and until then the program keeps it valid.
        unsafe { (&raw mut (*self.overlapped).InternalHigh).write(bytes) };
        internal(self.overlapped).store(status.0 as usize, Ordering::Release);
        delivery.deliver(
            Signal {
                event: self.event.as_ref().map_or(std::ptr::null_mut(), AsRawHandle::as_raw_handle),
                packet: if self.post { self.overlapped.cast() } else { null() },
            },
            status,
            bytes,
        );
        drop(delivery);
        Dispatcher::lock().wake(self.address());
    }
}

/// An event's handle without its lowest bit, which says "post nothing" (GetQueuedCompletionStatus): the handle, and
/// whether to post.
fn plain(event: HANDLE) -> (HANDLE, bool) {
    (event.map_addr(|address| address & !1), event.addr() & 1 == 0)
}

/// GetOverlappedResult: how the request ended and the bytes transferred; waits for it if told to. `Internal` still
/// pending: `None`.
pub(crate) fn result(
    file: &File,
    overlapped: *mut OVERLAPPED,
    wait: bool,
) -> Result<Option<(NtStatus, usize)>, Failure> {
    let ended = Ended::new(file, overlapped)?;
    if let Some(got) = ended.take() {
        // Whoever knows that it is over finds it signalled.
        drop(file.delivery());
        return Ok(Some(got));
    }
    if !wait {
        return Ok(None);
    }
    // SAFETY: the program passed a valid one.
    let (event, _) = plain(unsafe { (&raw const (*overlapped).hEvent).read() });
    let got = waits::wait(&ended, INFINITE);
    drop(file.delivery());
    if !event.is_null() {
        // The system's GetOverlappedResult would have waited for the event, and so reset one that resets itself.
        kernel::take(event);
    }
    Ok(got)
}
