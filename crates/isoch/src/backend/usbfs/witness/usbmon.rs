//! usbmon's binary interface (`Documentation/usb/usbmon.rst`; `drivers/usb/mon/mon_bin.c`).
//!
//! Why a system call for each record, when the ring could be mapped? A mapped ring holds the payload of
//! every program on the bus, and takes two calls for what one does here; only headers are fetched, into
//! memory of our own, and the kernel throws the rest away. A record of a completion is written *before* the
//! transfer can be reaped: at that moment it is here already.
#![allow(unsafe_code)]

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::ptr;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::ioctl::{Getter, IntegerSetter, Opcode, Setter, ioctl, opcode};

use super::Follower;
use crate::Error;

/// Bytes of a header, in the form that `MON_IOCX_GETX` gives.
const HEADER: usize = 64;

/// `'C'`: a transfer went back to whom it belongs.
const COMPLETION: u8 = b'C';
/// The kind of transfer, in usbmon's numbers.
const ISOCHRONOUS: u8 = 0;

/// The ring, in bytes: as large as the kernel admits. Its default holds some ten milliseconds of a fast
/// stream, whose payload is in it whether anybody wants it or not.
const RING_SIZES: [usize; 2] = [4 << 20, 1 << 20];

/// `MON_IOCT_RING_SIZE`
const SET_RING_SIZE: Opcode = opcode::none(0x92, 4);
/// `MON_IOCG_STATS`
const STATISTICS: Opcode = opcode::read::<Statistics>(0x92, 3);
/// `MON_IOCX_GETX`
const GET: Opcode = opcode::write::<Get>(0x92, 10);

/// `struct mon_bin_stats`
#[repr(C)]
struct Statistics {
    queued: u32,
    dropped: u32,
}

/// `struct mon_bin_get`
#[repr(C)]
struct Get {
    header: *mut u8,
    data: *mut u8,
    data_length: usize,
}

/// An isochronous transfer that came back from the controller's driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Completion {
    /// The device's number on its bus.
    pub(crate) device: u8,
    /// With the direction in bit 7.
    pub(crate) endpoint: u8,
    /// Where it began, as the driver numbers it.
    pub(crate) start_frame: i32,
    pub(crate) packets: u32,
}

impl Completion {
    /// Reads a header; `None` if it is another kind of record, or makes no sense.
    pub(crate) fn parse(header: &[u8]) -> Option<Completion> {
        let byte = |at: usize| header.get(at).copied();
        let field = |at: usize| Some(*header.get(at..)?.first_chunk::<4>()?);
        let signed = |at: usize| field(at).map(i32::from_ne_bytes);
        if header.len() < HEADER || byte(8)? != COMPLETION || byte(9)? != ISOCHRONOUS {
            return None;
        }
        Some(Completion {
            device: byte(11)?,
            endpoint: byte(10)?,
            start_frame: signed(52)?,
            packets: signed(44)?.try_into().ok()?,
        })
    }
}

/// What usbmon tells of one device.
#[derive(Debug)]
pub(crate) struct Usbmon {
    node: OwnedFd,
    path: PathBuf,
    device: u8,
}

impl Usbmon {
    /// Begins to watch a device. What it does from now on is recorded, until this is dropped.
    ///
    /// # Errors
    /// [`Error::System`], with what to do: usbmon is not loaded, or may not be read.
    pub(crate) fn open(bus: u8, device: u8) -> Result<Usbmon, Error> {
        Usbmon::open_node(&node(bus), device)
    }

    fn open_node(path: &Path, device: u8) -> Result<Usbmon, Error> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let node = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| refused(path, errno))?;
        for size in RING_SIZES {
            // SAFETY: this request takes a number and no memory.
            let set = unsafe { ioctl(&node, IntegerSetter::<SET_RING_SIZE>::new_usize(size)) };
            match set {
                Ok(()) => break,
                // Nothing but usbmon has these.
                Err(Errno::NOTTY) => return Err(refused(path, Errno::NOTTY)),
                // Older kernels admit less, and the default does, too.
                Err(_) => {}
            }
        }
        Ok(Usbmon { node, path: path.to_owned(), device })
    }

    /// The next completion that is there; records of anything else are passed over. Never blocks.
    ///
    /// # Errors
    /// [`Error::System`]: the bus is gone.
    pub(crate) fn next(&mut self) -> Result<Option<Completion>, Error> {
        loop {
            let mut header = [0_u8; HEADER];
            let get = Get { header: header.as_mut_ptr(), data: ptr::null_mut(), data_length: 0 };
            // SAFETY: the kernel writes at most 64 bytes to `header`, which has as many, and none to `data`,
            // which has a length of 0.
            match unsafe { ioctl(&self.node, Setter::<GET, Get>::new(get)) } {
                Ok(()) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(self.failed(errno)),
            }
            if let Some(completion) = Completion::parse(&header).filter(|known| known.device == self.device) {
                return Ok(Some(completion));
            }
        }
    }

    /// How many records had no room in the ring since the last call.
    ///
    /// # Errors
    /// As [`Usbmon::next`].
    pub(crate) fn dropped(&mut self) -> Result<u32, Error> {
        // SAFETY: the kernel fills in two numbers, as the structure has them.
        let statistics = unsafe { ioctl(&self.node, Getter::<STATISTICS, Statistics>::new()) };
        statistics.map(|statistics| statistics.dropped).map_err(|errno| self.failed(errno))
    }

    /// Hands over everything that is there. To be called before what was reaped is looked for in `follower`.
    ///
    /// # Errors
    /// As [`Usbmon::next`].
    pub(crate) fn drain(&mut self, follower: &mut Follower) -> Result<(), Error> {
        while let Some(completion) = self.next()? {
            follower.push(completion);
        }
        // Asked last: what is told now includes whatever was dropped before any of these.
        if self.dropped()? > 0 {
            follower.dropped();
        }
        Ok(())
    }

    fn failed(&self, errno: Errno) -> Error {
        Error::System { what: format!("reading {}", self.path.display()), reason: reason(errno) }
    }
}

impl AsFd for Usbmon {
    /// Readable when a record of anything on the bus is there.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.node.as_fd()
    }
}

/// Where usbmon tells of a bus.
pub(crate) fn node(bus: u8) -> PathBuf {
    PathBuf::from(format!("/dev/usbmon{bus}"))
}

fn refused(path: &Path, errno: Errno) -> Error {
    let path = path.display();
    let reason = match errno {
        Errno::NOENT | Errno::NODEV | Errno::NXIO => {
            "usbmon is not loaded: `modprobe usbmon`, as root".into()
        }
        Errno::ACCESS | Errno::PERM => {
            format!("usbmon needs rights: run as root, or `setfacl -m u:USER:r {path}`, as root")
        }
        Errno::NOTTY => "this is not usbmon".into(),
        errno => reason(errno),
    };
    Error::System { what: format!("opening {path}"), reason }
}

/// What the system says, in words.
fn reason(errno: Errno) -> String {
    std::io::Error::from(errno).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header as the kernel fills it in.
    fn header() -> [u8; HEADER] {
        let mut header = [0; HEADER];
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &0xffff_8880_0123_4567_u64.to_ne_bytes());
        put(8, &[COMPLETION, ISOCHRONOUS, 0x81, 7]);
        put(12, &3_u16.to_ne_bytes());
        put(14, b"->");
        put(16, &1_700_000_000_i64.to_ne_bytes());
        put(24, &999_999_i32.to_ne_bytes());
        put(28, &(-2_i32).to_ne_bytes());
        put(32, &1536_u32.to_ne_bytes());
        put(36, &128_u32.to_ne_bytes());
        put(40, &1_i32.to_ne_bytes());
        put(44, &8_i32.to_ne_bytes());
        put(48, &4_i32.to_ne_bytes());
        put(52, &2284_i32.to_ne_bytes());
        put(56, &0x200_u32.to_ne_bytes());
        put(60, &8_u32.to_ne_bytes());
        header
    }

    #[test]
    fn completions_are_read() {
        assert_eq!(
            Completion::parse(&header()),
            Some(Completion { device: 7, endpoint: 0x81, start_frame: 2284, packets: 8 })
        );
    }

    #[test]
    fn other_records_and_nonsense_are_passed_over() {
        let with = |at: usize, bytes: &[u8]| {
            let mut header = header();
            header[at..at + bytes.len()].copy_from_slice(bytes);
            Completion::parse(&header)
        };
        assert!(with(0, &[1]).is_some());
        // Submissions, errors and fillers; other kinds of transfer.
        for (at, byte) in [(8, b'S'), (8, b'E'), (8, b'@'), (8, 0), (9, 1), (9, 3), (9, 200)] {
            assert_eq!(with(at, &[byte]), None, "{byte} at {at}");
        }
        // A number of packets that is none. Of the errors and the time nobody asks.
        assert_eq!(with(44, &(-1_i32).to_ne_bytes()), None);
        for at in [16, 24, 40] {
            assert!(with(at, &(-1_i32).to_ne_bytes()).is_some(), "at {at}");
        }
        for length in 0..HEADER {
            assert_eq!(Completion::parse(&header()[..length]), None, "{length}");
        }
    }

    #[test]
    fn the_requests_have_the_kernels_numbers() {
        // As in its documentation, for 64 bits and the usual encoding.
        if cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
            assert_eq!([GET, STATISTICS, SET_RING_SIZE], [0x4018_920a, 0x8008_9203, 0x9204]);
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        let error = |errno| refused(&node(3), errno).to_string();
        assert!(error(Errno::NOENT).contains("modprobe usbmon"));
        let rights = error(Errno::ACCESS);
        assert!(rights.contains("root") && rights.contains("setfacl -m u:USER:r /dev/usbmon3"), "{rights}");
        let folder = tempfile::tempdir().unwrap();
        let missing = Usbmon::open_node(&folder.path().join("usbmon1"), 1).unwrap_err().to_string();
        assert!(missing.contains("modprobe usbmon"), "{missing}");
        let file = folder.path().join("file");
        std::fs::write(&file, header()).unwrap();
        let other = Usbmon::open_node(&file, 1).unwrap_err().to_string();
        assert!(other.contains("this is not usbmon"), "{other}");
    }
}
