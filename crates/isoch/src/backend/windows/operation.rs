//! What the system keeps while a transfer is in flight.
//!
//! Why is the OVERLAPPED behind a raw pointer, and not in a box? Because the system writes to it whenever it
//! likes: nothing may claim to be its only user meanwhile, which a box that is moved about does.
#![allow(unsafe_code)]

use std::ptr::NonNull;

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::System::IO::OVERLAPPED;

use super::library::PacketDescriptor;
use super::system::Event;
use crate::Error;

/// An OVERLAPPED with an event of its own, and room for packet descriptors. Used again and again.
///
/// It must not be dropped while a transfer is in flight with it.
pub(super) struct Operation {
    overlapped: NonNull<OVERLAPPED>,
    event: Event,
    /// What the system tells of IN packets; written until the transfer is over.
    pub(super) packets: Vec<PacketDescriptor>,
}

// SAFETY: the OVERLAPPED belongs to this value alone, and to the system.
unsafe impl Send for Operation {}

impl Operation {
    pub(super) fn new() -> Result<Self, Error> {
        let event = Event::manual()?;
        let overlapped = NonNull::from(Box::leak(Box::new(OVERLAPPED::default())));
        Ok(Operation { overlapped, event, packets: Vec::new() })
    }

    /// Makes it ready for a new transfer. Nothing may be in flight with it.
    pub(super) fn prepare(&mut self) {
        // Manual events are reset by the system when a call begins; a call that fails before leaves it as it is.
        self.event.reset();
        let overlapped = OVERLAPPED { hEvent: self.event.raw(), ..OVERLAPPED::default() };
        // SAFETY: it was allocated in `new`, and nobody else uses it now.
        unsafe { self.overlapped.as_ptr().write(overlapped) };
    }

    /// For the calls that begin a transfer or ask for its end.
    pub(super) fn overlapped(&self) -> *mut OVERLAPPED {
        self.overlapped.as_ptr()
    }

    /// Set when the transfer is over.
    pub(super) fn event(&self) -> HANDLE {
        self.event.raw()
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        // SAFETY: it was leaked in `new`, and nothing is in flight with it.
        drop(unsafe { Box::from_raw(self.overlapped.as_ptr()) });
    }
}
