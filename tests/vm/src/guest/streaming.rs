//! The speaker, opened with the library, and a stream to it.

use std::time::Duration;

use isoch::{Block, Blocks, Completion, IsochOut, Layout, Start};

use super::speaker;
use crate::sound::Sample;

pub(crate) const ADDRESS: &str = "usb:46f4:0002";
/// Longer than any transfer takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Opens the endpoint of a device.
pub(crate) fn open(address: &str) -> Result<IsochOut, isoch::Error> {
    isoch::open(address)?.interface(1)?.alternate_setting(1)?.isoch_out(speaker::ENDPOINT)
}

/// Numbers a block: whoever sees its first packet on the bus knows which it is.
pub(crate) fn number(block: &mut Block, number: u32) {
    block.bytes_mut().fill(0);
    if let Some(first) = block.bytes_mut().first_chunk_mut() {
        *first = MARK.wrapping_add(number).to_le_bytes();
    }
}

/// What the first packet of a block is numbered with, on the bus.
pub(crate) fn numbered(data: &[u8]) -> Option<u32> {
    let sample = Sample::from_le_bytes(*data.first_chunk()?);
    (MARK..MARK + MOST).contains(&sample).then(|| sample - MARK)
}

const MARK: u32 = 0x4d41_0000;
const MOST: u32 = 1 << 16;

/// A stream that goes on: a ring of blocks, each submitted again as soon as it is back.
pub(crate) struct Ring {
    pub(crate) out: IsochOut,
    pub(crate) blocks: Blocks,
    first: u32,
}

impl Ring {
    /// So many blocks of so many frames, not yet on their way.
    pub(crate) fn new(out: IsochOut, frames: u32, blocks: u32) -> Result<Ring, isoch::Error> {
        let blocks = out.register(Layout::frames(frames).blocks(blocks))?;
        Ok(Ring { out, blocks, first: 0 })
    }

    /// The number of its first block.
    pub(crate) fn numbered_from(self, first: u32) -> Ring {
        Ring { first, ..self }
    }

    /// Queues all blocks that are free, numbered on.
    pub(crate) fn fill(&self, next: &mut u32) -> Result<(), isoch::Error> {
        while let Some(mut block) = self.blocks.take().now() {
            number(&mut block, (self.first + *next) % MOST);
            let start = if *next == 0 { Start::Asap } else { Start::Continue };
            self.out.submit(block, start)?;
            *next += 1;
        }
        Ok(())
    }

    pub(crate) fn next(&self) -> Result<Completion, isoch::Error> {
        self.out.next_completion().wait_timeout(PATIENCE)
    }

    /// Streams silence until this is true, and waits for the rest. Tells of each completion, with the number of its block.
    pub(crate) fn run(
        &self,
        mut until: impl FnMut() -> bool,
        mut told: impl FnMut(&Completion, u32),
    ) -> Result<(), isoch::Error> {
        // Completions come in the order of submission.
        let (mut next, mut over) = (0, 0);
        while !until() {
            self.fill(&mut next)?;
            told(&self.next()?, self.first + over);
            over += 1;
        }
        self.out.drain()?;
        while let Some(done) = self.out.next_completion().now() {
            told(&done, self.first + over);
            over += 1;
        }
        Ok(())
    }
}
