//! Requests with an OVERLAPPED.

#![allow(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::objects::{self, Event};
use super::{File, Packet};
use crate::codes::NtStatus;
use crate::failure::Failure;
use crate::system::ended::{Ended, internal};
use crate::types::{INFINITE, OVERLAPPED};
use crate::waits::{self, Dispatcher, Wanted};

/// A request under way, known to its program by an OVERLAPPED.
///
/// It does not refer to the program's event by its handle: that may be closed and used again meanwhile.
pub(crate) struct Overlapped {
    file: Arc<File>,
    overlapped: *mut OVERLAPPED,
    event: Option<Arc<Event>>,
    /// Whether its end is posted to the port that the file is bound to.
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
        let event = unsafe { (&raw const (*overlapped).hEvent).read() };
        // The lowest bit says "post nothing" (GetQueuedCompletionStatus).
        let post = event as usize & 1 == 0;
        let event = match (event as usize & !1) as *mut _ {
            handle if std::ptr::eq(handle, std::ptr::null()) => None,
            handle => Some(objects::get_event(handle)?),
        };
        match &event {
            Some(event) => event.reset(),
            None => file.unsignal(),
        }
        let begun = Overlapped { file, overlapped, event, post };
        // SAFETY: as above.
        unsafe { (&raw mut (*overlapped).InternalHigh).write(0) };
        internal(overlapped).store(NtStatus::PENDING.0 as usize, Ordering::Release);
        Ok(begun)
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
        let dispatcher = Dispatcher::lock();
        // SAFETY: the request is not over before the next line, and until then the program keeps it valid.
        unsafe { (&raw mut (*self.overlapped).InternalHigh).write(bytes) };
        internal(self.overlapped).store(status.0 as usize, Ordering::Release);
        match &self.event {
            Some(event) => event.set_locked(&dispatcher),
            None => self.file.signal(&dispatcher),
        }
        if let Some((port, completion_key)) = self.file.port().filter(|_| self.post) {
            let packet = Packet { key: *completion_key, overlapped: self.address(), status, bytes };
            port.post_locked(&dispatcher, packet);
        }
        dispatcher.wake(self.address());
    }
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
        return Ok(Some(got));
    }
    if !wait {
        return Ok(None);
    }
    // SAFETY: the program passed a valid one.
    let event = unsafe { (&raw const (*overlapped).hEvent).read() } as usize & !1;
    let got = waits::wait(&ended, INFINITE);
    // Windows' own waits for the event, and so resets one that resets itself.
    if let Ok(event) = objects::get_event(event as *mut _) {
        let _dispatcher = Dispatcher::lock();
        event.taken();
    }
    Ok(got)
}
