//! Blocks: the memory of transfers and their packets.
//!
//! Why not `&mut [u8]` per transfer? A borrowed slice cannot be taken back from a controller that is
//! still reading it, and a leaked future would leave it there (RustSec has advisories for that). A block
//! moves: into the bus on submit, back out with its completion. Its memory is a trait so that a bus may
//! hand out what its kernel can reach without copying; its packet table is allocated once.

use crate::clock::unwrap::Number;
use crate::ledger::{Report, Returned};
use crate::status::{Outcome, PacketStatus};
use crate::time::Time;

/// One packet of a transfer: what one service interval carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Where its bytes start in the block. Packets never overlap and never move.
    pub offset: u32,
    /// OUT: bytes to send. IN: bytes there is room for.
    pub length: u32,
    /// Bytes that really went over the bus, as far as the bus says; see [`PacketStatus`].
    pub actual: u32,
    /// What became of it.
    pub status: PacketStatus,
}

/// Memory that a bus can read and write while a transfer is in flight.
///
/// Whoever shares a block may read it, on any thread; to write it, or to submit it, takes the block itself.
pub trait Memory: Send + Sync {
    /// The bytes.
    fn bytes(&self) -> &[u8];
    /// The bytes, to change.
    fn bytes_mut(&mut self) -> &mut [u8];
    /// How much of it one request to the system carries: always the same.
    fn pieces(&self) -> Pieces {
        Pieces { bytes: usize::MAX, fixed: None }
    }
}

/// How much of a block's memory one request to the system carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pieces {
    /// The most bytes.
    pub bytes: usize,
    /// For whom pieces begin at multiples of that, and not anywhere: whom the memory is mapped for, by a number of the
    /// bus's own. To others it is memory like any other.
    pub fixed: Option<u64>,
}

impl Memory for Box<[u8]> {
    fn bytes(&self) -> &[u8] {
        self
    }
    fn bytes_mut(&mut self) -> &mut [u8] {
        self
    }
}

/// How a transfer came back from its bus.
#[derive(Clone, Copy, Debug)]
pub struct Ending {
    /// By what name the bus was given it.
    pub id: u64,
    /// How it ended as a whole.
    pub outcome: Outcome,
    /// The microframe of its first interval, where the bus tells.
    pub first: Option<u64>,
    /// How many bytes went over the bus, if the bus saw that every packet was just carried.
    pub carried: Option<u64>,
    /// The number that the controller's driver gave its first frame, where a witness told it.
    pub number: Option<Number>,
    /// When the host learnt of it.
    pub seen: Time,
}

impl Default for Ending {
    /// Of no transfer.
    fn default() -> Self {
        let outcome = Outcome::Completed;
        Ending { id: 0, outcome, first: None, carried: None, number: None, seen: Time::ZERO }
    }
}

/// One registered block: memory, and the packets laid out in it.
///
/// In a box, because it moves from hand to hand some ten times for each transfer.
pub struct Block(Box<Parts>);

struct Parts {
    memory: Box<dyn Memory>,
    packets: Vec<Packet>,
    /// All packets have one length, and lie directly behind one another.
    is_uniform: bool,
    /// All packets were carried whole, and say so.
    is_carried: bool,
    ending: Ending,
    report: Report,
    pieces: Pieces,
    index: u32,
}

impl Block {
    /// A block of `memory` with room for `capacity` packets, and none laid out yet. `index` tells which of its pool's
    /// blocks it is.
    #[must_use]
    pub fn new(memory: Box<dyn Memory>, capacity: usize, index: u32) -> Self {
        let pieces = memory.pieces();
        let packets = Vec::with_capacity(capacity);
        Block(Box::new(Parts {
            memory,
            packets,
            is_uniform: true,
            is_carried: false,
            ending: Ending::default(),
            report: Report::default(),
            pieces,
            index,
        }))
    }

    /// Which of its pool's blocks this is.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.0.index
    }

    /// The block's bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.0.memory.bytes()
    }

    /// The block's bytes, to change.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.0.memory.bytes_mut()
    }

    /// How much of it one request to the system carries.
    #[must_use]
    pub fn pieces(&self) -> Pieces {
        self.0.pieces
    }

    /// The packets of the next (or last) transfer.
    #[must_use]
    pub fn packets(&self) -> &[Packet] {
        &self.0.packets
    }

    /// The length of each packet, if all have the same and lie directly behind one another: most streams are like
    /// that, and a bus need not look at each then.
    #[must_use]
    pub fn uniform_length(&self) -> Option<u32> {
        self.0.packets.first().filter(|_| self.0.is_uniform).map(|first| first.length)
    }

    /// The packets, to change their results; where they lie is changed by laying them out anew.
    pub fn packets_mut(&mut self) -> &mut [Packet] {
        self.0.is_carried = false;
        &mut self.0.packets
    }

    /// Bytes and packets at once, for a bus that fills both.
    pub fn parts_mut(&mut self) -> (&mut [u8], &mut [Packet]) {
        self.0.is_carried = false;
        let Parts { memory, packets, .. } = &mut *self.0;
        (memory.bytes_mut(), packets)
    }

    /// Nothing is known of any packet: it may carry results of the transfer before.
    pub fn forget_results(&mut self) {
        for packet in self.packets_mut() {
            packet.actual = 0;
            packet.status = PacketStatus::Pending;
        }
    }

    /// Every packet was carried whole. Of most transfers that is all there is to say, and mostly the packets say so
    /// already, from the transfer before.
    pub fn all_carried(&mut self) {
        if !self.0.is_carried {
            for packet in &mut self.0.packets {
                (packet.actual, packet.status) = (packet.length, PacketStatus::Done);
            }
            self.0.is_carried = true;
        }
    }

    /// How its last transfer came back, apart from the packets. It lies here, and not beside the block, because it is
    /// written once and moves with it from then on.
    #[must_use]
    pub fn ending(&self) -> &Ending {
        &self.0.ending
    }

    /// The same, for the bus to write.
    pub fn ending_mut(&mut self) -> &mut Ending {
        &mut self.0.ending
    }

    /// What the ledger told of its last transfer. It lies here, and not beside the block, for the same reason.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.0.report
    }

    /// Forgets the packets, keeps their room.
    pub fn clear(&mut self) {
        self.0.packets.clear();
        (self.0.is_uniform, self.0.is_carried) = (true, false);
    }

    /// How many packets fit without allocating.
    #[must_use]
    pub fn packet_capacity(&self) -> usize {
        self.0.packets.capacity()
    }

    /// Lays out one more packet of `length` bytes at `offset`.
    ///
    /// Returns `false`, and changes nothing, if the packet table or the memory is full.
    pub fn push_packet(&mut self, offset: u32, length: u32) -> bool {
        let Parts { memory, packets, is_uniform, is_carried, .. } = &mut *self.0;
        let end = u64::from(offset) + u64::from(length);
        if packets.len() == packets.capacity() || end > memory.bytes().len() as u64 {
            return false;
        }
        *is_carried = false;
        if let Some(last) = packets.last() {
            *is_uniform &= length == last.length && offset == last.offset + last.length;
        }
        packets.push(Packet { offset, length, actual: 0, status: PacketStatus::Pending });
        true
    }
}

impl Returned for Block {
    fn ending(&self) -> &Ending {
        &self.0.ending
    }

    fn ending_mut(&mut self) -> &mut Ending {
        &mut self.0.ending
    }

    fn began(&self) -> bool {
        self.packets().iter().any(|packet| packet.status != PacketStatus::Cancelled)
    }

    fn report_mut(&mut self) -> &mut Report {
        &mut self.0.report
    }
}

impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Block")
            .field("index", &self.0.index)
            .field("bytes", &self.bytes().len())
            .field("packets", &self.packets().len())
            .finish()
    }
}
