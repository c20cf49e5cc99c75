//! Memory that the library under test writes to.
//!
//! Why not a `Vec`? The library keeps the address while the case goes on, and may write to it at any time;
//! behind each piece lies a guard, so that a byte too many is seen.

#![allow(unsafe_code)]

/// What new memory holds, so that what was not written shows.
pub(crate) const GARBAGE: u8 = 0xa5;
const GUARD: u8 = 0x5c;
const GUARD_BYTES: usize = 64;

/// A piece of memory at a fixed address.
#[derive(Debug)]
pub(crate) struct Memory {
    words: *mut [u64],
    size: usize,
}

impl Memory {
    pub(crate) fn new(size: usize) -> Self {
        let words = vec![0u64; (size + GUARD_BYTES).div_ceil(8)].into_boxed_slice();
        let memory = Memory { words: Box::into_raw(words), size };
        memory.fill(0, size, GARBAGE);
        memory.fill(size, GUARD_BYTES, GUARD);
        memory
    }

    pub(crate) fn size(&self) -> usize {
        self.size
    }

    pub(crate) fn address(&self) -> u64 {
        self.words.cast::<u8>().expose_provenance() as u64
    }

    pub(crate) fn fill(&self, at: usize, count: usize, byte: u8) {
        debug_assert!(at + count <= self.size + GUARD_BYTES);
        // SAFETY: the range lies in the allocation; access is volatile because the library has the address.
        (at..at + count).for_each(|at| unsafe { self.words.cast::<u8>().add(at).write_volatile(byte) });
    }

    /// A little-endian number of up to 8 bytes; `None` beyond the end.
    pub(crate) fn read(&self, at: usize, width: usize) -> Option<u64> {
        let end = at.checked_add(width).filter(|end| *end <= self.size && width <= 8)?;
        let bytes = (at..end).rev().map(|at| {
            // SAFETY: the range was checked; access is volatile because the library has the address.
            unsafe { self.words.cast::<u8>().add(at).read_volatile() }
        });
        Some(bytes.fold(0, |value, byte| value << 8 | u64::from(byte)))
    }

    pub(crate) fn write(&self, at: usize, width: usize, value: u64) -> Option<()> {
        at.checked_add(width).filter(|end| *end <= self.size && width <= 8)?;
        for (byte, index) in value.to_le_bytes().into_iter().take(width).zip(0..) {
            self.fill(at + index, 1, byte);
        }
        Some(())
    }

    /// Whether nothing was written behind it.
    pub(crate) fn guard_is_intact(&self) -> bool {
        (self.size..self.size + GUARD_BYTES).all(|at| {
            // SAFETY: the guard belongs to the allocation.
            unsafe { self.words.cast::<u8>().add(at).read_volatile() == GUARD }
        })
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: it came from a box, and is dropped once.
        drop(unsafe { Box::from_raw(self.words) });
    }
}
