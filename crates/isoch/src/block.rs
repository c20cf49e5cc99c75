//! Registered blocks: the memory that transfers use again and again.
//!
//! Why register, and not pass a buffer per transfer? Because a stream must not allocate (libusb's
//! per-submit allocations end in ENOMEM after hours), because some kernels must map the memory first,
//! and because memory in flight has to belong to the library: a block *moves* into
//! [`submit`](crate::IsochEndpoint::submit) and comes back with its completion, so that safe code cannot
//! touch what the controller may be reading.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use isoch_core::rules::layout;
use isoch_core::rules::timing::EndpointTiming;
use isoch_core::{Block as CoreBlock, MICROFRAMES_PER_FRAME, Packet, Report};

use crate::sync::Arc;
use crate::wait::{Item, Mailbox, Next, Waiting};
use crate::{Direction, Error};

/// How much one block holds, and how many blocks there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    size: Size,
    blocks: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    Frames(u32),
    Packets(u32),
}

impl Layout {
    /// Blocks that cover this many frames (milliseconds) each. Four blocks unless told otherwise.
    ///
    /// On an endpoint whose period is longer than that, a block holds one packet.
    #[must_use]
    pub const fn frames(frames: u32) -> Self {
        Layout { size: Size::Frames(frames), blocks: 4 }
    }

    /// Blocks of this many packets (service intervals) each. Four blocks unless told otherwise.
    #[must_use]
    pub const fn packets(packets: u32) -> Self {
        Layout { size: Size::Packets(packets), blocks: 4 }
    }

    /// So many blocks.
    #[must_use]
    pub const fn blocks(self, blocks: u32) -> Self {
        Layout { blocks, ..self }
    }

    pub(crate) fn block_count(self) -> u32 {
        self.blocks
    }

    pub(crate) fn packets_per_block(self, timing: &EndpointTiming) -> Result<u32, Error> {
        let packets = match self.size {
            Size::Packets(packets) => u64::from(packets),
            Size::Frames(frames) => {
                (u64::from(frames) * MICROFRAMES_PER_FRAME).div_ceil(timing.period_microframes())
            }
        };
        match u32::try_from(packets) {
            Ok(packets @ 1..=MAX_PACKETS) if (1..=MAX_BLOCKS).contains(&self.blocks) => Ok(packets),
            _ => Err(Error::Argument(format!(
                "a layout has 1 to {MAX_BLOCKS} blocks of 1 to {MAX_PACKETS} packets each; this one would have {} of {packets}",
                self.blocks
            ))),
        }
    }
}

// Bounds that no stream needs to exceed, so that a slip of the pen does not allocate the machine's memory.
const MAX_PACKETS: u32 = 65_536;
const MAX_BLOCKS: u32 = 65_536;

impl Item for CoreBlock {}

/// What all blocks of one registration share.
pub(crate) struct Pool {
    free: Mailbox<CoreBlock>,
    timing: EndpointTiming,
    direction: Direction,
    packets: u32,
    waiting: Waiting,
}

impl Pool {
    pub(crate) fn new(
        timing: EndpointTiming,
        direction: Direction,
        packets: u32,
        blocks: Vec<CoreBlock>,
        waiting: Waiting,
    ) -> Arc<Self> {
        let free = Mailbox::new();
        free.reserve(blocks.len());
        blocks.into_iter().for_each(|block| free.push(block));
        Arc::new(Pool { free, timing, direction, packets, waiting })
    }

    pub(crate) fn put(&self, block: CoreBlock) {
        self.free.push(block);
    }
}

/// The blocks of one registration: a pool that they are taken from and return to by themselves.
///
/// A block is back here when it, or the completion it came with, is dropped.
pub struct Blocks {
    pool: Arc<Pool>,
}

impl Blocks {
    pub(crate) fn new(pool: Arc<Pool>) -> Self {
        Blocks { pool }
    }

    /// A free block, laid out with full packets. Waits until one is back if all are out.
    ///
    /// A completion that nobody has taken holds its block: a program that only waits for blocks, and never
    /// takes completions, waits for ever once all are in flight.
    pub fn take(&self) -> Take<'_> {
        Take { next: self.pool.free.next(&self.pool.waiting), pool: &self.pool }
    }

    /// How many blocks are free now.
    #[must_use]
    pub fn free(&self) -> usize {
        self.pool.free.len()
    }
}

/// The wait for a free block: a future, or blocking by [`Take::wait`]. See [`Next`] for how waits behave.
#[must_use = "nothing is waited for until it is awaited or `wait` is called"]
pub struct Take<'a> {
    next: Next<'a, CoreBlock>,
    pool: &'a Arc<Pool>,
}

impl Take<'_> {
    /// A block, if one is free.
    #[must_use]
    pub fn now(self) -> Option<Block> {
        self.next.now().map(|block| Block::new(block, self.pool))
    }

    /// Blocks until one is free.
    ///
    /// # Errors
    /// As [`Next::wait`].
    pub fn wait(self) -> Result<Block, Error> {
        self.next.wait().map(|block| Block::new(block, self.pool))
    }

    /// Blocks until one is free, for at most `timeout`.
    ///
    /// # Errors
    /// As [`Next::wait_timeout`].
    pub fn wait_timeout(self, timeout: Duration) -> Result<Block, Error> {
        self.next.wait_timeout(timeout).map(|block| Block::new(block, self.pool))
    }
}

impl Future for Take<'_> {
    type Output = Result<Block, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = Pin::new(&mut self.next).poll(context);
        polled.map_ok(|block| Block::new(block, self.pool))
    }
}

/// A block of registered memory, with its packets, while the program has it.
///
/// OUT: write its bytes, and set its length or its packets' lengths if they are not to be full. IN: just
/// submit it. Dropping a block returns it to its pool.
pub struct Block {
    // Always there, except while it moves out.
    parts: Option<(CoreBlock, Arc<Pool>)>,
}

impl Block {
    fn new(mut block: CoreBlock, pool: &Arc<Pool>) -> Self {
        let full = layout::full_packets(&mut block, &pool.timing, 0, pool.packets);
        debug_assert!(full.is_ok(), "a registered block holds its own layout");
        Self::from_parts(block, Arc::clone(pool))
    }

    /// Puts together what was taken apart by [`Self::into_parts`].
    pub(crate) fn from_parts(block: CoreBlock, pool: Arc<Pool>) -> Self {
        Block { parts: Some((block, pool)) }
    }

    pub(crate) fn into_parts(mut self) -> (CoreBlock, Arc<Pool>) {
        let parts = self.parts.take();
        // There is nothing left to drop.
        std::mem::forget(self);
        parts.unwrap_or_else(|| unreachable!("a block is only emptied when it moves out"))
    }

    fn parts(&self) -> &(CoreBlock, Arc<Pool>) {
        self.parts.as_ref().unwrap_or_else(|| unreachable!("a block is only emptied when it moves out"))
    }

    fn core(&self) -> &CoreBlock {
        &self.parts().0
    }

    fn core_mut(&mut self) -> &mut CoreBlock {
        match &mut self.parts {
            Some((block, _)) => block,
            None => unreachable!("a block is only emptied when it moves out"),
        }
    }

    /// What is known of its last transfer.
    pub(crate) fn report(&self) -> &Report {
        self.core().report()
    }

    /// How long a packet in it may be.
    pub(crate) fn longest_packet(&self) -> u32 {
        self.pool().timing.bytes_per_interval()
    }

    fn pool(&self) -> &Pool {
        &self.parts().1
    }

    /// Which of its registration's blocks this is, from 0.
    #[must_use]
    pub fn index(&self) -> usize {
        self.core().index() as usize
    }

    /// All of its memory.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.core().bytes()
    }

    /// All of its memory, to write.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.core_mut().bytes_mut()
    }

    /// Its packets: where they lie in [`bytes`](Self::bytes), and how long they are.
    #[must_use]
    pub fn packets(&self) -> &[Packet] {
        self.core().packets()
    }

    /// The bytes of packet `index`, to write. Empty if there is no such packet.
    pub fn packet_mut(&mut self, index: usize) -> &mut [u8] {
        let core = self.core_mut();
        let Some(packet) = core.packets().get(index).copied() else { return &mut [] };
        let (from, length) = (packet.offset as usize, packet.length as usize);
        core.bytes_mut().get_mut(from..from + length).unwrap_or_default()
    }

    /// The transfer carries this many bytes: full packets, and a short last one. Packets beyond are left
    /// out, so the transfer takes fewer intervals.
    ///
    /// # Errors
    /// [`Error::Layout`] if that is nothing, or more than the block holds; its packets stay as they were.
    pub fn set_length(&mut self, bytes: usize) -> Result<(), Error> {
        let timing = self.pool().timing;
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        layout::full_then_short(self.core_mut(), &timing, 0, bytes)?;
        Ok(())
    }

    /// One packet for each length, in bytes. OUT: their bytes lie behind one another without holes. IN:
    /// each keeps its full room's distance to the next.
    ///
    /// # Errors
    /// [`Error::Layout`] if a length is more than the endpoint's interval carries, or there are more
    /// packets than the block holds, or none; its packets stay as they were.
    pub fn set_packet_lengths(&mut self, lengths: &[u32]) -> Result<(), Error> {
        let (timing, direction) = (self.pool().timing, self.pool().direction);
        match direction {
            Direction::Out => layout::packed(self.core_mut(), &timing, 0, lengths),
            Direction::In => layout::at_stride(self.core_mut(), &timing, 0, lengths),
        }?;
        Ok(())
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if let Some((block, pool)) = self.parts.take() {
            pool.put(block);
        }
    }
}

impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.core().fmt(f)
    }
}
