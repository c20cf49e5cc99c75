//! What passed between the host and a device, packet by packet.
//!
//! Why on the device's side of the wire? Because a test must compare what the host was told with what
//! really happened, and the two differ exactly where a packet is lost on the wire: it is in the host's
//! report and not in this log.

/// How many packets a log keeps unless told otherwise.
const DEFAULT_CAPACITY: usize = 8192;

/// One isochronous packet that passed. OUT: as the device received it. IN: as the device sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logged<'a> {
    /// When.
    pub microframe: u64,
    /// The endpoint's address.
    pub endpoint: u8,
    /// Bytes.
    pub length: u32,
    /// CRC-32C of the bytes.
    pub crc: u32,
    /// The bytes, if they were asked for with [`PacketLog::keep_bytes`].
    pub bytes: Option<&'a [u8]>,
}

/// How long a packet may be to be kept whole. With it an entry fills a cache line.
const SMALL: usize = 40;

#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Entry {
    microframe: u64,
    length: u32,
    /// Of packets that are not small. A checksum costs several times what a copy of 24 bytes does, and most
    /// are never asked for: those of small packets are computed when they are read.
    crc: u32,
    endpoint: u8,
    /// How many bytes of `small` are the packet's; `NOT_SMALL` if it is longer.
    kept: u8,
    has_bytes: bool,
    small: [u8; SMALL],
}

const NOT_SMALL: u8 = u8::MAX;

impl Entry {
    const EMPTY: Entry =
        Entry { microframe: 0, length: 0, crc: 0, endpoint: 0, kept: 0, has_bytes: false, small: [0; SMALL] };

    fn crc(&self) -> u32 {
        match self.small.get(..usize::from(self.kept)) {
            Some(bytes) => crc32c::crc32c(bytes),
            None => self.crc,
        }
    }
}

/// A packet that the host sent and the device never saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireLoss {
    /// When.
    pub microframe: u64,
    /// The endpoint's address.
    pub endpoint: u8,
}

/// The last packets of one port.
#[derive(Debug)]
pub struct PacketLog {
    entries: Vec<Entry>,
    /// As long as `entries` while bytes are kept, else empty.
    bytes: Vec<Vec<u8>>,
    /// Where the next entry goes: behind the last until the ring is full, then over the oldest.
    next: usize,
    capacity: usize,
    keep_bytes: bool,
    total: u64,
    losses: std::collections::VecDeque<WireLoss>,
    total_losses: u64,
}

impl Default for PacketLog {
    fn default() -> Self {
        PacketLog {
            entries: Vec::new(),
            bytes: Vec::new(),
            next: 0,
            capacity: DEFAULT_CAPACITY,
            keep_bytes: false,
            total: 0,
            losses: std::collections::VecDeque::new(),
            total_losses: 0,
        }
    }
}

impl PacketLog {
    /// Keeps the last `capacity` packets and losses from now on; older ones are forgotten first.
    pub fn set_capacity(&mut self, capacity: usize) {
        let full = self.entries.len() == self.capacity;
        let oldest = if full { self.next } else { 0 };
        let excess = self.entries.len().saturating_sub(capacity);
        self.entries.rotate_left(oldest);
        self.entries.drain(..excess);
        if self.keep_bytes {
            self.bytes.rotate_left(oldest);
            self.bytes.drain(..excess);
        }
        self.next = if self.entries.len() == capacity { 0 } else { self.entries.len() };
        let excess = self.losses.len().saturating_sub(capacity);
        self.losses.drain(..excess);
        self.capacity = capacity;
    }

    /// Whether the packets' bytes are kept too, from now on. Costs a copy per packet.
    pub fn keep_bytes(&mut self, keep: bool) {
        self.keep_bytes = keep;
        self.bytes.clear();
        if keep {
            self.bytes.resize_with(self.entries.len(), Vec::new);
        }
        for entry in &mut self.entries {
            entry.has_bytes = false;
        }
    }

    /// The packets still kept, oldest first.
    pub fn entries(&self) -> impl Iterator<Item = Logged<'_>> {
        let (newer, older) = self.entries.split_at(self.next);
        let order = older.iter().zip(self.next..).chain(newer.iter().zip(0..));
        order.map(|(entry, index)| Logged {
            microframe: entry.microframe,
            endpoint: entry.endpoint,
            length: entry.length,
            crc: entry.crc(),
            bytes: if entry.has_bytes { self.bytes.get(index).map(Vec::as_slice) } else { None },
        })
    }

    /// The OUT packets lost by [`crate::faults::FaultKind::LostOnWire`] that are still kept, oldest first.
    pub fn wire_losses(&self) -> impl Iterator<Item = WireLoss> {
        self.losses.iter().copied()
    }

    /// How many packets passed since the device was plugged in.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// How many of them are no longer kept.
    #[must_use]
    pub fn overwritten(&self) -> u64 {
        self.total - self.entries.len() as u64
    }

    /// How many OUT packets were lost on the wire since the device was plugged in.
    #[must_use]
    pub fn total_wire_losses(&self) -> u64 {
        self.total_losses
    }

    /// Forgets the packets kept; the totals stay.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.bytes.clear();
        self.losses.clear();
        self.next = 0;
    }

    /// Gives back memory that a log which is not written any more does not need.
    pub(super) fn trim(&mut self) {
        self.entries.shrink_to_fit();
    }

    /// `length` is what the device sent, even if that was more than `bytes`, which is what fitted.
    // Left to itself the compiler calls it: a tenth more per packet (examples/controller_speed.rs).
    #[inline(always)]
    pub(super) fn record(&mut self, microframe: u64, endpoint: u8, length: u32, bytes: &[u8]) {
        self.total += 1;
        if self.entries.len() < self.capacity {
            self.entries.push(Entry::EMPTY);
        }
        let Some(entry) = self.entries.get_mut(self.next) else { return };
        entry.microframe = microframe;
        entry.length = length;
        entry.endpoint = endpoint;
        entry.has_bytes = self.keep_bytes;
        if let Some(small) = entry.small.get_mut(..bytes.len()) {
            small.copy_from_slice(bytes);
            entry.kept = bytes.len() as u8;
        } else {
            entry.kept = NOT_SMALL;
            entry.crc = crc32c::crc32c(bytes);
        }
        if self.keep_bytes {
            self.keep(bytes);
        }
        self.next += 1;
        if self.next == self.capacity {
            self.next = 0;
        }
    }

    /// Makes room for what is usually kept, so that recording it allocates nothing.
    pub(super) fn reserve(&mut self) {
        let wanted = self.capacity.min(DEFAULT_CAPACITY);
        self.entries.reserve_exact(wanted.saturating_sub(self.entries.len()));
    }

    #[cold]
    fn keep(&mut self, bytes: &[u8]) {
        if self.bytes.len() <= self.next {
            self.bytes.resize_with(self.next + 1, Vec::new);
        }
        let kept = &mut self.bytes[self.next];
        kept.clear();
        kept.extend_from_slice(bytes);
    }

    pub(super) fn record_loss(&mut self, microframe: u64, endpoint: u8) {
        self.total_losses += 1;
        if self.losses.len() >= self.capacity {
            self.losses.pop_front();
        }
        if self.capacity > 0 {
            self.losses.push_back(WireLoss { microframe, endpoint });
        }
    }
}
