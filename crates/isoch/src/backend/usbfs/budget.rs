//! The memory that usbfs allows all programs together (`usbcore.usbfs_memory_mb`).
//!
//! Why count it, when the kernel does? The kernel says ENOMEM to the request that is one too many, in the middle
//! of a stream. What other programs have taken it does not tell, so what is counted here is this program's part:
//! a registration that cannot fit is refused before anything is submitted.

use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::Errno;

use crate::{Error, error};

/// What the kernel charges for a request besides its memory and packets (`struct async` and `struct urb`,
/// rounded up).
const REQUEST: u64 = 512;
/// What it charges for a packet (`struct usb_iso_packet_descriptor`).
const PACKET: u64 = 16;

/// What this program has registered, on all devices.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// A part of the budget; given back when it is dropped.
pub(super) struct Charge(u64);

impl Charge {
    pub(super) fn new(bytes: u64) -> Self {
        TAKEN.fetch_add(bytes, Ordering::Relaxed);
        Charge(bytes)
    }

    pub(super) fn none() -> Self {
        Charge(0)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        TAKEN.fetch_sub(self.0, Ordering::Relaxed);
    }
}

/// What a block of `bytes` bytes, of so many requests and packets, takes of the budget.
pub(crate) fn cost(bytes: usize, requests: usize, packets: usize) -> u64 {
    bytes as u64 + requests as u64 * REQUEST + packets as u64 * PACKET
}

/// The whole budget in bytes; `None`: there is no limit.
pub(crate) fn limit() -> Option<u64> {
    let text = std::fs::read_to_string("/sys/module/usbcore/parameters/usbfs_memory_mb").ok()?;
    text.trim().parse::<u64>().ok().filter(|megabytes| *megabytes > 0).map(|megabytes| megabytes << 20)
}

/// Whether so many blocks fit.
pub(super) fn check(blocks: usize, cost: u64, limit: Option<u64>) -> Result<(), Error> {
    let Some(limit) = limit else { return Ok(()) };
    let available = limit.saturating_sub(TAKEN.load(Ordering::Relaxed));
    let needed = cost.saturating_mul(blocks as u64);
    if needed <= available {
        return Ok(());
    }
    Err(exceeded(needed, available, available / cost.max(1), limit))
}

/// That blocks do not fit.
pub(super) fn exceeded(needed: u64, available: u64, fits: u64, limit: u64) -> Error {
    Error::Budget { needed, available, fits, remedy: remedy(limit) }
}

/// That a block could not be mapped.
pub(super) fn not_mapped(code: Errno, bytes: usize) -> Error {
    match limit() {
        Some(limit) if code == Errno::NOMEM => {
            exceeded(bytes as u64, limit.saturating_sub(TAKEN.load(Ordering::Relaxed)), 0, limit)
        }
        _ => error::system(format_args!("mapping {bytes} bytes of transfer memory"), code),
    }
}

fn remedy(limit: u64) -> String {
    format!(
        "; usbfs allows {} MiB for all programs together: raise it with `echo 64 > \
         /sys/module/usbcore/parameters/usbfs_memory_mb`, or for good with `usbcore.usbfs_memory_mb=64` on the \
         kernel's command line",
        limit >> 20
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_with_what_does() {
        let cost = cost(100_000, 1, 8);
        assert!(check(8, cost, Some(1 << 20)).is_ok());
        assert!(check(1_000_000, cost, None).is_ok());
        let error = check(12, cost, Some(1 << 20)).unwrap_err();
        assert!(matches!(error, Error::Budget { fits: 10, .. }), "{error}");
        assert!(error.to_string().contains("1 MiB for all programs"), "{error}");
    }
}
