//! The witness: what the kernel itself says of every transfer (Documentation/usb/usbmon.rst, the binary interface).
//!
//! Why not the library's own reader? It is what is tested here.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::fs::File;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl, opcode};
use rustix::time::{ClockId, clock_gettime};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Submitted,
    Completed,
    /// The submission failed.
    Failed,
}

/// One line of usbmon's.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) kind: Kind,
    /// The same for a submission and its completion.
    pub(crate) id: u64,
    pub(crate) is_isochronous: bool,
    /// With the direction in bit 7.
    pub(crate) endpoint: u8,
    /// By CLOCK_MONOTONIC, as `Instant` has it.
    pub(crate) at: Duration,
    /// Of a completion: the frame of the first packet, where the controller's driver knows it.
    pub(crate) start_frame: i32,
    /// Of isochronous transfers.
    pub(crate) packets: Vec<Packet>,
    /// What was sent (on submission) or received (on completion), as far as it was captured.
    pub(crate) data: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet {
    pub(crate) status: i32,
    /// What was asked for, in a submission; what was moved, in a completion.
    pub(crate) length: u32,
}

/// Listens to one bus until it is asked what it heard.
pub(crate) struct Usbmon {
    stop: Arc<AtomicBool>,
    listener: JoinHandle<Result<Vec<Event>, String>>,
}

/// struct mon_bin_get
#[repr(C)]
struct Get {
    header: *mut u8,
    data: *mut u8,
    room: usize,
}

const HEADER: usize = 64;
/// An isochronous packet's record.
const PACKET: usize = 16;
/// The longest of usbfs, 128 packets with their records, at full speed with QEMU's speaker.
const ROOM: usize = 32 * 1024;
const GET: Opcode = opcode::write::<Get>(0x92, 10);
const RING_SIZE: Opcode = opcode::none(0x92, 4);
const STATISTICS: Opcode = opcode::read::<[u32; 2]>(0x92, 3);
/// As much as 6.1 allows, about 1.2 MB: nothing may be dropped while the listener waits for its turn.
const RING: usize = 1_200 * 1024;

impl Usbmon {
    pub(crate) fn listen(bus: u16) -> Result<Usbmon, String> {
        let path = format!("/dev/usbmon{bus}");
        let file = File::open(&path).map_err(|error| format!("{path}: {error}"))?;
        // SAFETY: this request takes a number.
        unsafe { ioctl(&file, Request::<RING_SIZE>(RING as *mut c_void)) }
            .map_err(|error| format!("{path}: no ring of {RING} bytes: {error}"))?;
        let stop = Arc::new(AtomicBool::new(false));
        let listener = {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || listen(&file, &stop))
        };
        Ok(Usbmon { stop, listener })
    }

    /// Everything it heard. It fails if the kernel had to drop something.
    pub(crate) fn heard(self) -> Result<Vec<Event>, String> {
        self.stop.store(true, Ordering::Relaxed);
        self.listener.join().map_err(|_| "the listener panicked".to_owned())?
    }
}

/// A request whose argument is passed on as it is.
struct Request<const OPCODE: Opcode>(*mut c_void);

// SAFETY: callers see to it that the argument is what the request takes.
unsafe impl<const OPCODE: Opcode> Ioctl for Request<OPCODE> {
    type Output = ();
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        OPCODE
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.0
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> rustix::io::Result<()> {
        Ok(())
    }
}

fn listen(file: &File, stop: &AtomicBool) -> Result<Vec<Event>, String> {
    let failed = |error: rustix::io::Errno| format!("usbmon: {error}");
    let wait = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    // A stream may go on: then what was heard ends in the midst of it.
    let mut end = None;
    let mut events = Vec::new();
    let mut room = vec![0; ROOM];
    // The realtime clock is set by nobody here, so its distance stays the same.
    let behind = realtime_behind();
    loop {
        if end.is_none() && stop.load(Ordering::Relaxed) {
            end = Some(read_clock(ClockId::Monotonic));
        }
        let mut polled = [PollFd::new(file, PollFlags::IN)];
        let heard = poll(&mut polled, Some(&wait)).map_err(failed)? > 0;
        if heard {
            events.extend(next(file.as_fd(), &mut room, behind).map_err(failed)?);
        }
        let is_over = |end| !heard || events.last().is_some_and(|event: &Event| event.at > end);
        if end.is_some_and(is_over) {
            break;
        }
    }
    let mut statistics = [0_u32; 2];
    // SAFETY: this request fills in two numbers.
    unsafe { ioctl(file, Request::<STATISTICS>((&raw mut statistics).cast())) }.map_err(failed)?;
    if statistics[1] > 0 {
        return Err(format!("usbmon dropped {} events", statistics[1]));
    }
    Ok(events)
}

/// What is to be taken from CLOCK_REALTIME to have CLOCK_MONOTONIC.
fn realtime_behind() -> Duration {
    // The closest of some readings: one may be interrupted.
    let reading = |_| read_clock(ClockId::Realtime).saturating_sub(read_clock(ClockId::Monotonic));
    (0..16).map(reading).max().unwrap_or_default()
}

fn read_clock(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

fn next(file: impl AsFd, room: &mut [u8], behind: Duration) -> rustix::io::Result<Option<Event>> {
    let mut header = [0_u8; HEADER];
    let mut get = Get { header: header.as_mut_ptr(), data: room.as_mut_ptr(), room: room.len() };
    // SAFETY: this request fills in the two buffers that its argument names, both alive, up to their lengths.
    unsafe { ioctl(file, Request::<GET>((&raw mut get).cast())) }?;
    Ok(parse(&header, room, behind))
}

/// struct mon_bin_hdr
fn parse(header: &[u8; HEADER], room: &[u8], behind: Duration) -> Option<Event> {
    let word = |at: usize| header[at..at + 4].try_into().map_or(0, u32::from_ne_bytes);
    let long = |at: usize| header[at..at + 8].try_into().map_or(0, u64::from_ne_bytes);
    let captured = word(36) as usize;
    let data = room.get(..captured).unwrap_or(room);
    let is_isochronous = header[9] == 0;
    let count = if is_isochronous { (word(60) as usize).min(data.len() / PACKET) } else { 0 };
    let (packets, data) = data.split_at(count * PACKET);
    let number = |bytes: &[u8]| bytes.try_into().map_or(0, u32::from_ne_bytes);
    let packet = |bytes: &[u8]| Packet { status: number(&bytes[..4]) as i32, length: number(&bytes[8..12]) };
    Some(Event {
        kind: match header[8] {
            b'S' => Kind::Submitted,
            b'C' => Kind::Completed,
            b'E' => Kind::Failed,
            _ => return None,
        },
        id: long(0),
        is_isochronous,
        endpoint: header[10],
        at: Duration::new(long(16), word(24).saturating_mul(1000)).saturating_sub(behind),
        start_frame: word(52) as i32,
        packets: packets.chunks_exact(PACKET).map(packet).collect(),
        data: data.to_vec(),
    })
}
