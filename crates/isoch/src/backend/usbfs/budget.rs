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
/// What it charges for an area of mapped memory besides its pages (`struct usb_memory`, rounded up).
const AREA: u64 = 128;
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

/// What a block of `bytes` bytes, of so many requests and packets, takes of the budget. `areas` of memory are mapped
/// for it (`usbdev_mmap` charges whole pages); none: it is copied.
pub(crate) fn cost(bytes: usize, areas: usize, requests: usize, packets: usize) -> u64 {
    let bytes = match areas {
        0 => bytes,
        _ => bytes.next_multiple_of(rustix::param::page_size()),
    };
    bytes as u64 + areas as u64 * AREA + requests as u64 * REQUEST + packets as u64 * PACKET
}

/// MiB that there are if nobody says otherwise (`drivers/usb/core/devio.c`).
pub(crate) const USUAL_MEGABYTES: u64 = 16;

/// The whole budget in bytes; `None`: there is no limit.
pub(super) fn limit() -> Option<u64> {
    limit_in(std::fs::read_to_string("/sys/module/usbcore/parameters/usbfs_memory_mb").ok().as_deref())
}

/// The same by what the system shows, if it shows it.
fn limit_in(text: Option<&str>) -> Option<u64> {
    let megabytes = text.and_then(|text| text.trim().parse().ok()).unwrap_or(USUAL_MEGABYTES);
    (megabytes > 0).then_some(megabytes << 20)
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
        let cost = cost(100_000, 0, 1, 8);
        assert!(check(8, cost, Some(1 << 20)).is_ok());
        assert!(check(1_000_000, cost, None).is_ok());
        let error = check(12, cost, Some(1 << 20)).unwrap_err();
        assert!(matches!(error, Error::Budget { fits: 10, .. }), "{error}");
        assert!(error.to_string().contains("1 MiB for all programs"), "{error}");
        let error = check(1, 2 << 20, Some(1 << 20)).unwrap_err().to_string();
        assert!(error.contains("not even one fits"), "{error}");
    }

    #[test]
    fn mapped_memory_takes_whole_pages() {
        let page = rustix::param::page_size();
        assert_eq!(cost(1, 1, 1, 8) - cost(page, 0, 1, 8), AREA);
        assert_eq!(cost(page + 1, 2, 0, 0), 2 * (page as u64 + AREA));
        assert_eq!(cost(1536, 0, 1, 8), 1536 + REQUEST + 8 * PACKET);
    }

    #[test]
    fn only_zero_means_no_limit() {
        assert_eq!(limit_in(Some("0\n")), None);
        assert_eq!(limit_in(Some("64\n")), Some(64 << 20));
        // It is not shown, or could not be read just now.
        assert_eq!([limit_in(None), limit_in(Some("?"))], [Some(16 << 20); 2]);
    }
}
