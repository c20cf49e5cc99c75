//! The kernel's request block (`struct usbdevfs_urb`, `include/uapi/linux/usbdevice_fs.h`), and ours around it.
//!
//! Why always room for 128 packets? That is the most that usbfs takes in one request; a request of one size
//! can be used again for any transfer, so that a stream allocates nothing.

use std::collections::VecDeque;
use std::ffi::c_void;

use isoch_core::Time;

/// The most packets in one request (`drivers/usb/core/devio.c`, `proc_do_submiturb`).
pub(super) const MOST_PACKETS: usize = 128;

pub(super) const TYPE_ISO: u8 = 0;
pub(super) const TYPE_INTERRUPT: u8 = 1;
pub(super) const TYPE_CONTROL: u8 = 2;
pub(super) const TYPE_BULK: u8 = 3;

/// `struct usbdevfs_iso_packet_desc`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct IsoPacket {
    pub(super) length: u32,
    pub(super) actual_length: u32,
    /// A negative `errno` in an unsigned field.
    pub(super) status: u32,
}

/// `struct usbdevfs_urb`, with its packets behind it.
#[repr(C)]
pub(super) struct RawUrb {
    pub(super) kind: u8,
    pub(super) endpoint: u8,
    pub(super) status: i32,
    pub(super) flags: u32,
    pub(super) buffer: *mut c_void,
    pub(super) buffer_length: i32,
    pub(super) actual_length: i32,
    pub(super) start_frame: i32,
    pub(super) number_of_packets: i32,
    pub(super) error_count: i32,
    pub(super) signal: u32,
    pub(super) user_context: *mut c_void,
    pub(super) packets: [IsoPacket; MOST_PACKETS],
}

/// A request: the kernel's part, and what it is for.
#[repr(C)]
pub(super) struct Urb {
    /// First: the kernel hands its address back.
    pub(super) raw: RawUrb,
    pub(super) owner: Owner,
    /// Memory for what is not in one run in its block: gathered here, or scattered from here.
    pub(super) staging: Vec<u8>,
    pub(super) staged: bool,
    /// So many packets from the first on are laid out with this length each, by an earlier transfer. It is mostly that
    /// of the next, too.
    uniform: (usize, u32),
}

/// Whose request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// A part of an isochronous transfer: the packets from this one on.
    Isoch { pipe: u64, flight: u64, first_packet: u32 },
    /// A control, bulk or interrupt transfer.
    Data { token: u64 },
}

// SAFETY: the pointers in it are the kernel's to follow, and only while the request is submitted.
#[allow(unsafe_code)]
unsafe impl Send for Urb {}

impl Urb {
    pub(super) fn new() -> Box<Self> {
        Box::new(Urb {
            raw: RawUrb {
                kind: TYPE_ISO,
                endpoint: 0,
                status: 0,
                flags: 0,
                buffer: std::ptr::null_mut(),
                buffer_length: 0,
                actual_length: 0,
                start_frame: 0,
                number_of_packets: 0,
                error_count: 0,
                signal: 0,
                user_context: std::ptr::null_mut(),
                packets: [IsoPacket::default(); MOST_PACKETS],
            },
            owner: Owner::Data { token: 0 },
            staging: Vec::new(),
            staged: false,
            uniform: (0, 0),
        })
    }

    /// Makes it a request of this kind.
    pub(super) fn prepare(&mut self, kind: u8, endpoint: u8, owner: Owner) {
        let raw = &mut self.raw;
        (raw.kind, raw.endpoint, raw.status, raw.flags) = (kind, endpoint, 0, 0);
        (raw.actual_length, raw.start_frame, raw.number_of_packets, raw.error_count) = (0, 0, 0, 0);
        self.owner = owner;
        self.staged = false;
    }

    /// Lays out so many packets of one length each. usbfs writes all of a packet but its length when it gives a
    /// request back (devio.c, `processcompl`), and reads nothing else of it.
    pub(super) fn lay_out_uniform(&mut self, count: usize, length: u32) {
        let (laid_out, of_length) = self.uniform;
        let from = if length == of_length { laid_out } else { 0 };
        if from < count {
            self.raw.packets[from..count].iter_mut().for_each(|packet| packet.length = length);
            self.uniform = (count, length);
        }
        self.raw.number_of_packets = count as i32;
    }

    /// Lays out packets of these lengths.
    pub(super) fn lay_out(&mut self, lengths: impl ExactSizeIterator<Item = u32>) {
        self.uniform = (0, 0);
        self.raw.number_of_packets = lengths.len() as i32;
        lengths.zip(&mut self.raw.packets).for_each(|(length, packet)| packet.length = length);
    }

    /// The packets' results, or what was asked of them.
    pub(super) fn packets(&self) -> &[IsoPacket] {
        let count = usize::try_from(self.raw.number_of_packets).unwrap_or(0);
        &self.raw.packets[..count.min(MOST_PACKETS)]
    }
}

/// Requests that the kernel does not have: those that can be used again, and those that were taken back before whoever
/// handles events came to it. In boxes, because the kernel knows them by their addresses.
#[derive(Default)]
pub(super) struct Spare {
    /// How many there are, here and in use.
    made: usize,
    #[allow(clippy::vec_box, reason = "their addresses are the kernel's to know")]
    urbs: Vec<Box<Urb>>,
    /// With the time at which each was seen to be over.
    early: VecDeque<(Box<Urb>, Time)>,
}

impl Spare {
    pub(super) fn take(&mut self) -> Box<Urb> {
        self.urbs.pop().unwrap_or_else(|| self.make())
    }

    #[cold]
    fn make(&mut self) -> Box<Urb> {
        // Room for all of them, for the day when all are back.
        self.made += 1;
        let made = self.made;
        self.urbs.reserve(made);
        self.early.reserve(made.saturating_sub(self.early.len()));
        Urb::new()
    }

    /// One was taken back early.
    pub(super) fn put_early(&mut self, urb: Box<Urb>, seen: Time) {
        self.early.push_back((urb, seen));
    }

    pub(super) fn has_early(&self) -> bool {
        !self.early.is_empty()
    }

    /// The first of those that were taken back early.
    pub(super) fn take_early(&mut self) -> Option<(Box<Urb>, Time)> {
        self.early.pop_front()
    }

    pub(super) fn put(&mut self, urb: Box<Urb>) {
        self.urbs.push(urb);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    /// The layout as the kernel's own header gives it to a C compiler on this machine.
    #[test]
    fn the_layout_is_the_kernels() {
        let fields = [
            ("sizeof(struct usbdevfs_urb)", offset_of!(RawUrb, packets)),
            ("offsetof(struct usbdevfs_urb, type)", offset_of!(RawUrb, kind)),
            ("offsetof(struct usbdevfs_urb, endpoint)", offset_of!(RawUrb, endpoint)),
            ("offsetof(struct usbdevfs_urb, status)", offset_of!(RawUrb, status)),
            ("offsetof(struct usbdevfs_urb, flags)", offset_of!(RawUrb, flags)),
            ("offsetof(struct usbdevfs_urb, buffer)", offset_of!(RawUrb, buffer)),
            ("offsetof(struct usbdevfs_urb, buffer_length)", offset_of!(RawUrb, buffer_length)),
            ("offsetof(struct usbdevfs_urb, actual_length)", offset_of!(RawUrb, actual_length)),
            ("offsetof(struct usbdevfs_urb, start_frame)", offset_of!(RawUrb, start_frame)),
            ("offsetof(struct usbdevfs_urb, number_of_packets)", offset_of!(RawUrb, number_of_packets)),
            ("offsetof(struct usbdevfs_urb, error_count)", offset_of!(RawUrb, error_count)),
            ("offsetof(struct usbdevfs_urb, signr)", offset_of!(RawUrb, signal)),
            ("offsetof(struct usbdevfs_urb, usercontext)", offset_of!(RawUrb, user_context)),
            ("offsetof(struct usbdevfs_urb, iso_frame_desc)", offset_of!(RawUrb, packets)),
            ("sizeof(struct usbdevfs_iso_packet_desc)", size_of::<IsoPacket>()),
            ("offsetof(struct usbdevfs_iso_packet_desc, length)", offset_of!(IsoPacket, length)),
            (
                "offsetof(struct usbdevfs_iso_packet_desc, actual_length)",
                offset_of!(IsoPacket, actual_length),
            ),
            ("offsetof(struct usbdevfs_iso_packet_desc, status)", offset_of!(IsoPacket, status)),
            ("USBDEVFS_URB_TYPE_ISO", usize::from(TYPE_ISO)),
            ("USBDEVFS_URB_TYPE_INTERRUPT", usize::from(TYPE_INTERRUPT)),
            ("USBDEVFS_URB_TYPE_CONTROL", usize::from(TYPE_CONTROL)),
            ("USBDEVFS_URB_TYPE_BULK", usize::from(TYPE_BULK)),
        ];
        super::super::header::check(&fields);
        assert_eq!(offset_of!(Urb, raw), 0);
    }
}
