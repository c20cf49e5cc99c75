//! Memory of blocks: ordinary, which usbfs copies, or mapped, which the controller reaches itself.
//!
//! Why not always mapped, which saves a copy? On machines whose memory is not coherent with the bus (many ARM
//! boards) mapped memory is not cached, and reading it is slower than the copy. So both are timed once for a
//! controller, and an address may say which (`?memory=mmap`, `?memory=copy`).
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::path::Path;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use isoch_core::{Memory, Pieces};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

use super::budget::Charge;
use super::node::{Node, capability};
use crate::Error;

/// The most bytes in one area of mapped memory: each is contiguous for the controller, which long ones may find no
/// room for.
const AREA: usize = 1 << 20;
/// The most bytes in a request whose memory is copied: the kernel allocates them in one piece.
pub(super) const MOST_COPIED: usize = 128 << 10;

/// How usbfs gets at the memory of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It is mapped from the kernel.
    Mapped,
    /// Each request is copied.
    Copied,
}

/// What [`measure`] found: how long a block takes to be filled and read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// In mapped memory.
    pub(crate) mapped: Duration,
    /// In ordinary memory, and copied on the way.
    pub(crate) copied: Duration,
}

impl Timing {
    pub(crate) fn mode(self) -> Mode {
        if self.mapped <= self.copied { Mode::Mapped } else { Mode::Copied }
    }
}

/// Ordinary memory.
pub(super) struct CopiedMemory {
    pub(super) bytes: Box<[u8]>,
    pub(super) _charge: Charge,
}

impl Memory for CopiedMemory {
    fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    fn pieces(&self) -> Pieces {
        Pieces { bytes: MOST_COPIED, fixed: None }
    }
}

/// Memory that the controller reaches. It stays the kernel's as long as a request uses it.
pub(super) struct MappedMemory {
    /// The beginning of the pages.
    address: NonNull<u8>,
    mapped: usize,
    length: usize,
    area: usize,
    /// [`Node::id`] of the one that it is mapped through.
    node: u64,
    _charge: Charge,
}

// SAFETY: it is memory that nothing else refers to.
unsafe impl Send for MappedMemory {}
// SAFETY: with a shared reference it can only be read. The controller writes to it only while a request uses it, and its
// block is given away then, so that there is no reference to it.
unsafe impl Sync for MappedMemory {}

impl MappedMemory {
    /// Bytes in an area, for packets of `interval` bytes: none of these lies in two areas. `None` if no area is
    /// long enough for that.
    pub(super) fn area(bytes: usize, interval: usize) -> Option<usize> {
        let page = rustix::param::page_size();
        if bytes <= AREA {
            return Some(bytes.max(1).next_multiple_of(page));
        }
        let (mut a, mut b) = (interval.max(1), page);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        let common = interval.max(1) / a * page;
        (common <= AREA).then(|| AREA - AREA % common)
    }

    pub(super) fn new(node: &Node, bytes: usize, area: usize, charge: Charge) -> Result<Self, Errno> {
        let mapped = bytes.max(1).next_multiple_of(rustix::param::page_size());
        // SAFETY: new pages, which nothing refers to: they only keep the place.
        let place =
            unsafe { mmap_anonymous(std::ptr::null_mut(), mapped, ProtFlags::empty(), MapFlags::PRIVATE)? };
        let address = NonNull::new(place.cast::<u8>()).ok_or(Errno::NOMEM)?;
        // From here on it is unmapped when dropped.
        let memory = MappedMemory { address, mapped, length: bytes, area, node: node.id(), _charge: charge };
        let mut from = 0;
        while from < mapped {
            let length = area.min(mapped - from);
            let (read_write, fixed) =
                (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED | MapFlags::FIXED);
            // SAFETY: the pages lie in the place that was kept above.
            unsafe { mmap(place.cast::<u8>().add(from).cast(), length, read_write, fixed, node, 0)? };
            from += length;
        }
        Ok(memory)
    }
}

impl Memory for MappedMemory {
    fn bytes(&self) -> &[u8] {
        // SAFETY: so many bytes are mapped for reading, and only a request in flight, whose block nobody has,
        // changes them from elsewhere.
        unsafe { std::slice::from_raw_parts(self.address.as_ptr(), self.length) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and for writing.
        unsafe { std::slice::from_raw_parts_mut(self.address.as_ptr(), self.length) }
    }

    fn pieces(&self) -> Pieces {
        Pieces { bytes: self.area, fixed: Some(self.node) }
    }
}

impl Drop for MappedMemory {
    fn drop(&mut self) {
        // SAFETY: it was mapped, and nothing refers to it any more. What a request still uses, the kernel keeps.
        let _ = unsafe { munmap(self.address.as_ptr().cast::<c_void>(), self.mapped) };
    }
}

/// Bytes in an area of memory that must be mapped because the address says so (`?memory=mmap`).
pub(super) fn wanted_area(capabilities: u32, bytes: usize, interval: usize) -> Result<usize, Error> {
    const REMEDY: &str = "leave `memory=mmap` out, and they are copied";
    if capabilities & capability::MMAP == 0 {
        return Err(Error::Unsupported(format!("this kernel maps no memory for transfers here: {REMEDY}")));
    }
    MappedMemory::area(bytes, interval).ok_or_else(|| {
        Error::Unsupported(format!(
            "blocks of {bytes} bytes in packets of {interval} cannot be mapped, because no MiB of whole pages holds \
             whole packets: use blocks of up to 1 MiB, or {REMEDY}"
        ))
    })
}

/// Times both kinds of memory. `None` where nothing can be mapped; an error if it cannot just now.
pub(super) fn measure(node: &Node) -> Result<Option<Timing>, Errno> {
    const BYTES: usize = 64 << 10;
    if node.capabilities() & capability::MMAP == 0 {
        return Ok(None);
    }
    let mut mapped = MappedMemory::new(node, BYTES, BYTES, Charge::none())?;
    let (mut ordinary, mut copy) = (vec![0_u8; BYTES], vec![0_u8; BYTES]);
    // The fastest of several: the machine may do something else meanwhile.
    let fastest = |mut work: Box<dyn FnMut() + '_>| {
        work();
        let time = || {
            let began = Instant::now();
            work();
            began.elapsed()
        };
        std::iter::repeat_with(time).take(5).min().unwrap_or_default()
    };
    let mapped = fastest(Box::new(|| use_once(mapped.bytes_mut())));
    let copied = fastest(Box::new(|| {
        use_once(&mut ordinary);
        copy.copy_from_slice(&ordinary);
        std::hint::black_box(&mut copy);
    }));
    Ok(Some(Timing { mapped, copied }))
}

/// The same through a device node that is not open. Opening it wakes the device.
pub(crate) fn measure_at(node: &Path) -> Result<Option<Timing>, Errno> {
    let file = rustix::fs::open(node, OFlags::RDWR | OFlags::CLOEXEC, rustix::fs::Mode::empty())?;
    measure(&Node::new(file))
}

/// What a program does with a block: fills it, or reads it.
fn use_once(bytes: &mut [u8]) {
    bytes.fill(0x5a);
    let words = std::hint::black_box(&*bytes).chunks_exact(8);
    let sum = words.fold(0_u64, |sum, word| sum.wrapping_add(word.iter().map(|b| u64::from(*b)).sum()));
    std::hint::black_box(sum);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_packet_lies_in_two_areas() {
        for interval in [1, 192, 196, 1023, 1024, 3072, 49_152] {
            for bytes in [1, 4096, AREA, AREA + 1, 3 << 20] {
                let Some(area) = MappedMemory::area(bytes, interval) else {
                    assert!(bytes > AREA && interval == 1023, "{bytes} of {interval}");
                    continue;
                };
                assert!(area <= AREA && area % rustix::param::page_size() == 0);
                assert!(area >= bytes || area % interval == 0, "{bytes} of {interval}: {area}");
            }
        }
    }

    #[test]
    fn what_was_asked_for_is_had_or_refused() {
        assert_eq!(wanted_area(capability::MMAP, 5000, 1023).ok(), MappedMemory::area(5000, 1023));
        let long = wanted_area(capability::MMAP, AREA + 1, 1023).unwrap_err().to_string();
        assert!(long.contains("up to 1 MiB") && long.contains("`memory=mmap`"), "{long}");
        let never = wanted_area(!capability::MMAP, 5000, 192).unwrap_err().to_string();
        assert!(never.contains("maps no memory"), "{never}");
    }

    #[test]
    fn the_faster_memory_is_taken() {
        let fast = Duration::from_micros(10);
        assert_eq!(Timing { mapped: fast, copied: fast * 2 }.mode(), Mode::Mapped);
        assert_eq!(Timing { mapped: fast * 3, copied: fast * 2 }.mode(), Mode::Copied);
    }
}
