//! One read or write of the program, and what is still to be done for it. Nothing here touches a bus.
//!
//! Why is a request several transfers? Because the bus is given no more than MAXIMUM_TRANSFER_SIZE at once, reads may go
//! on after short packets, and writes may be followed by an empty one. What comes next, and when it is over, is
//! decided here and nowhere else.

use std::time::{Duration, Instant};

use isoch::Direction;

use crate::codes::NtStatus;
use crate::memory::CallerMemory;
use crate::pipes::policies::{
    ALLOW_PARTIAL_READS, AUTO_FLUSH, IGNORE_SHORT_PACKETS, LARGEST_TRANSFER, Policies, SHORT_PACKET_TERMINATE,
};

/// The program's memory, as far as requests are concerned.
pub(super) trait Bytes {
    fn len(&self) -> usize;
    fn write(&mut self, offset: usize, bytes: &[u8]);
    fn read(&self, offset: usize, bytes: &mut [u8]);
}

impl Bytes for CallerMemory {
    fn len(&self) -> usize {
        CallerMemory::len(self)
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        CallerMemory::write(self, offset, bytes);
    }

    fn read(&self, offset: usize, bytes: &mut [u8]) {
        CallerMemory::read(self, offset, bytes);
    }
}

/// What does not change about a pipe.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) direction: Direction,
    /// Bytes of a packet; never 0.
    packet: usize,
    /// The most bytes of one transfer: whole packets.
    largest: usize,
}

impl Shape {
    pub(super) fn new(direction: Direction, max_packet_size: u16) -> Self {
        // An endpoint of 0 bytes carries nothing, but must not divide by it.
        let packet = usize::from(max_packet_size & 0x07ff).max(1);
        Shape { direction, packet, largest: LARGEST_TRANSFER as usize / packet * packet }
    }

    /// Whether RAW_IO lets a request of this length through. Documented for reads; that long writes are refused is a
    /// choice: nothing splits them.
    pub(super) fn is_raw_length(&self, length: usize) -> bool {
        length <= self.largest && (self.direction == Direction::Out || length.is_multiple_of(self.packet))
    }
}

/// What a device sent more than a read had room for.
#[derive(Debug, Default)]
pub(super) struct Surplus {
    pub(super) bytes: Vec<u8>,
    /// Whether the packet it is the end of was a short one.
    short: bool,
}

/// A read or write.
#[derive(Debug)]
pub(super) struct Request<M, F> {
    memory: M,
    pub(super) finish: F,
    /// Bytes transferred.
    pub(super) done: usize,
    /// A short packet ended it.
    ended: bool,
    /// Something of a write was sent, be it nothing but an empty packet.
    sent: bool,
    /// The empty packet behind a write was sent.
    terminated: bool,
    /// Cancelled: over as soon as the bus says so.
    pub(super) cancelled: bool,
    /// How it failed, while the pipe is reset for it.
    pub(super) failed: Option<NtStatus>,
    /// `Some` once it was on the bus: when its time is over.
    deadline: Option<Option<Instant>>,
}

impl<M: Bytes, F> Request<M, F> {
    pub(super) fn new(memory: M, finish: F) -> Self {
        Request {
            memory,
            finish,
            done: 0,
            ended: false,
            sent: false,
            terminated: false,
            cancelled: false,
            failed: None,
            deadline: None,
        }
    }

    pub(super) fn is_over(&self, shape: Shape, policies: &Policies) -> bool {
        match shape.direction {
            Direction::In => self.ended || self.done == self.memory.len(),
            Direction::Out => self.ended || self.is_sent() && !self.wants_terminator(shape, policies),
        }
    }

    /// Whether all bytes of a write are sent; a write of none is an empty packet.
    fn is_sent(&self) -> bool {
        self.sent && self.done == self.memory.len()
    }

    fn wants_terminator(&self, shape: Shape, policies: &Policies) -> bool {
        let length = self.memory.len();
        // A write of nothing is an empty packet itself, and is followed by no other (not documented).
        policies.is_on(SHORT_PACKET_TERMINATE)
            && length > 0
            && length.is_multiple_of(shape.packet)
            && !self.terminated
    }

    /// Gives a read what an earlier one left over.
    pub(super) fn take_surplus(&mut self, surplus: &mut Surplus, policies: &Policies) {
        if surplus.bytes.is_empty() {
            return;
        }
        let length = surplus.bytes.len().min(self.memory.len() - self.done);
        self.memory.write(self.done, &surplus.bytes[..length]);
        surplus.bytes.drain(..length);
        self.done += length;
        // The rest of a message that ended with a short packet is the end of a message (not documented): a read
        // does not wait for the next one to fill its buffer.
        self.ended = surplus.bytes.is_empty() && surplus.short && !policies.is_on(IGNORE_SHORT_PACKETS);
    }

    /// How many bytes a read asks the bus for: whole packets, for a device may send no less.
    pub(super) fn ask(&self, shape: Shape) -> usize {
        (self.memory.len() - self.done).next_multiple_of(shape.packet).min(shape.largest)
    }

    /// What a write sends next: some of its bytes, or none at all as an empty packet.
    pub(super) fn send(&self, shape: Shape) -> Vec<u8> {
        let mut bytes = vec![0; (self.memory.len() - self.done).min(shape.largest)];
        self.memory.read(self.done, &mut bytes);
        bytes
    }

    /// What a write in RAW_IO sends, all at once.
    pub(super) fn send_raw(&mut self, shape: Shape, policies: &Policies) -> Vec<Vec<u8>> {
        let mut all = vec![self.send(shape)];
        if self.wants_terminator(shape, policies) {
            all.push(Vec::new());
        }
        all
    }

    /// A transfer of a read that had asked for `asked` bytes brought these.
    pub(super) fn received(
        &mut self,
        bytes: &[u8],
        asked: usize,
        surplus: &mut Surplus,
        policies: &Policies,
    ) -> Result<(), NtStatus> {
        let (wanted, more) = bytes.split_at(bytes.len().min(self.memory.len() - self.done));
        self.memory.write(self.done, wanted);
        self.done += wanted.len();
        let short = bytes.len() < asked;
        self.ended = short && !policies.is_on(IGNORE_SHORT_PACKETS);
        if more.is_empty() {
            return Ok(());
        }
        if !policies.is_on(ALLOW_PARTIAL_READS) {
            // The buffer is full all the same: what was asked for came.
            return Err(NtStatus::UNSUCCESSFUL);
        }
        if !policies.is_on(AUTO_FLUSH) {
            *surplus = Surplus { bytes: more.to_vec(), short };
        }
        Ok(())
    }

    /// A transfer of a write is over: `count` bytes of `asked` were sent.
    pub(super) fn sent(&mut self, count: usize, asked: usize) {
        self.terminated |= self.is_sent() && asked == 0;
        self.sent = true;
        self.done += count.min(self.memory.len() - self.done);
        // A bus that sends less and calls it success is not asked again.
        self.ended = count < asked;
    }

    /// The time that its next transfer has; the clock runs from the first one on. `Err`: none is left.
    pub(super) fn time(&mut self, policies: &Policies, now: Instant) -> Result<Option<Duration>, NtStatus> {
        let deadline = *self.deadline.get_or_insert_with(|| now.checked_add(policies.timeout()?));
        match deadline.map(|deadline| deadline.saturating_duration_since(now)) {
            Some(left) if left.is_zero() => Err(NtStatus::IO_TIMEOUT),
            left => Ok(left),
        }
    }
}
