//! Blocks: the memory of transfers and their packets.
//!
//! Why not `&mut [u8]` per transfer? A borrowed slice cannot be taken back from a controller that is
//! still reading it, and a leaked future would leave it there (RustSec has advisories for that). A block
//! moves: into the bus on submit, back out with its completion. Its memory is a trait so that a bus may
//! hand out what its kernel can reach without copying; its packet table is allocated once.

use crate::status::PacketStatus;

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
pub trait Memory: Send {
    /// The bytes.
    fn bytes(&self) -> &[u8];
    /// The bytes, to change.
    fn bytes_mut(&mut self) -> &mut [u8];
    /// How much of it one request to the system carries.
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

/// One registered block: memory, and the packets laid out in it.
pub struct Block {
    memory: Box<dyn Memory>,
    packets: Vec<Packet>,
    /// Which of its pool's blocks this is.
    pub index: u32,
}

impl Block {
    /// A block of `memory` with room for `capacity` packets, and none laid out yet.
    #[must_use]
    pub fn new(memory: Box<dyn Memory>, capacity: usize, index: u32) -> Self {
        Block { memory, packets: Vec::with_capacity(capacity), index }
    }

    /// The block's bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.memory.bytes()
    }

    /// The block's bytes, to change.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.memory.bytes_mut()
    }

    /// How much of it one request to the system carries.
    #[must_use]
    pub fn pieces(&self) -> Pieces {
        self.memory.pieces()
    }

    /// The packets of the next (or last) transfer.
    #[must_use]
    pub fn packets(&self) -> &[Packet] {
        &self.packets
    }

    /// The packets, to change their results.
    pub fn packets_mut(&mut self) -> &mut [Packet] {
        &mut self.packets
    }

    /// Bytes and packets at once, for a bus that fills both.
    pub fn parts_mut(&mut self) -> (&mut [u8], &mut [Packet]) {
        (self.memory.bytes_mut(), &mut self.packets)
    }

    /// Nothing is known of any packet: it may carry results of the transfer before.
    pub fn forget_results(&mut self) {
        for packet in &mut self.packets {
            packet.actual = 0;
            packet.status = PacketStatus::Pending;
        }
    }

    /// Forgets the packets, keeps their room.
    pub fn clear(&mut self) {
        self.packets.clear();
    }

    /// How many packets fit without allocating.
    #[must_use]
    pub fn packet_capacity(&self) -> usize {
        self.packets.capacity()
    }

    /// Lays out one more packet of `length` bytes at `offset`.
    ///
    /// Returns `false`, and changes nothing, if the packet table or the memory is full.
    pub fn push_packet(&mut self, offset: u32, length: u32) -> bool {
        let end = u64::from(offset) + u64::from(length);
        if self.packets.len() == self.packets.capacity() || end > self.memory.bytes().len() as u64 {
            return false;
        }
        self.packets.push(Packet { offset, length, actual: 0, status: PacketStatus::Pending });
        true
    }
}

impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Block")
            .field("index", &self.index)
            .field("bytes", &self.memory.bytes().len())
            .field("packets", &self.packets.len())
            .finish()
    }
}
