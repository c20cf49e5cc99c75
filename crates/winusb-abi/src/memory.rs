//! Memory of the C program that a request uses until it is over.
//!
//! Why a type? It is a pointer that another thread will use. Here stands, once, why that is sound: WinUSB's contract
//! is that the program keeps the memory valid until the request has ended, or its buffer is unregistered.

#![allow(unsafe_code)]

/// A stretch of the program's memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallerMemory {
    address: *mut u8,
    length: usize,
}

// SAFETY: the program lends the memory to the request, on whatever thread that is served.
unsafe impl Send for CallerMemory {}
// SAFETY: as above; concurrent requests on overlapping ranges are the program's fault, and copy bytes only.
unsafe impl Sync for CallerMemory {}

impl CallerMemory {
    /// # Safety
    /// `address` is valid for reads and writes of `length` bytes until the request (or registration) it is for has
    /// ended, or `length` is 0.
    pub(crate) unsafe fn new(address: *mut u8, length: usize) -> Self {
        CallerMemory { address, length }
    }

    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Copies bytes to the program; what does not fit is left out. Tells how many were copied.
    pub(crate) fn write(&self, offset: usize, bytes: &[u8]) -> usize {
        let room = self.length.saturating_sub(offset).min(bytes.len());
        if room > 0 {
            // SAFETY: the range lies in the memory, which is valid by the contract of `new`; `bytes` is ours.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.address.add(offset), room) };
        }
        room
    }

    /// Copies the program's bytes; what lies beyond the memory is left as it is. Tells how many were copied.
    pub(crate) fn read(&self, offset: usize, bytes: &mut [u8]) -> usize {
        let there = self.length.saturating_sub(offset).min(bytes.len());
        if there > 0 {
            // SAFETY: as in `write`.
            unsafe { std::ptr::copy_nonoverlapping(self.address.add(offset), bytes.as_mut_ptr(), there) };
        }
        there
    }
}
