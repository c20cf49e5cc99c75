//! Streams: bytes in or out without gaps, with back-pressure.
//!
//! Why only this much on top of blocks? Because what a stream must decide is little: when to wait (if no
//! block is free), where a transfer starts (behind the last), and that a gap is told in order with the data
//! it belongs to. Rates, formats and files are the business of whoever uses it.

use std::collections::VecDeque;
use std::io;

use isoch_core::{Gap, Start};

use crate::block::{Block, Blocks, Layout};
use crate::completion::Completion;
use crate::endpoint::{EndpointDirection, In, IsochEndpoint, Out, Statistics};
use crate::{Error, FrameClock};

/// Gaps kept until they are asked for; older ones are only counted then.
const GAPS_KEPT: usize = 1024;

/// A gapless stream over an isochronous endpoint.
///
/// It registers its blocks once and uses them in turn. Out: take a [`block`](Stream::block), fill it,
/// [`submit`](Stream::submit) it, or just [`write`](io::Write). In: take the [`next`](Stream::next)
/// completion, or just [`read`](io::Read). What is lost is told by [`Completion::gap`],
/// [`gaps`](Stream::gaps) and [`statistics`](Stream::statistics).
pub struct Stream<D: EndpointDirection> {
    endpoint: IsochEndpoint<D>,
    blocks: Blocks,
    /// Where the next transfer starts.
    start: Start,
    gaps: VecDeque<Gap>,
    /// Out: the block being filled, and how far.
    filling: Option<(Block, usize)>,
    /// In: the completion being read, the packet in it, and the byte in that.
    reading: Option<(Completion, usize, usize)>,
}

impl<D: EndpointDirection> Stream<D> {
    pub(crate) fn new(endpoint: IsochEndpoint<D>, layout: Layout) -> Result<Self, Error> {
        let blocks = endpoint.register(layout)?;
        let start = Start::Asap;
        Ok(Stream { endpoint, blocks, start, gaps: VecDeque::new(), filling: None, reading: None })
    }

    /// Where the next transfer starts, instead of behind the last (at first: as soon as possible).
    pub fn set_start(&mut self, start: Start) {
        self.start = start;
    }

    /// The endpoint below.
    #[must_use]
    pub fn endpoint(&self) -> &IsochEndpoint<D> {
        &self.endpoint
    }

    /// The frame clock of its controller.
    #[must_use]
    pub fn clock(&self) -> &FrameClock {
        self.endpoint.clock()
    }

    /// What happened so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.endpoint.statistics()
    }

    /// The gaps of the completions taken so far, oldest first; each is given once. Only the last 1024 are
    /// kept, the statistics count all.
    pub fn gaps(&mut self) -> impl Iterator<Item = Gap> + '_ {
        self.gaps.drain(..)
    }

    fn submit_next(&mut self, block: Block) -> Result<(), Error> {
        self.endpoint.submit(block, self.start)?;
        self.start = Start::Continue;
        Ok(())
    }

    fn note(&mut self, done: &Completion) {
        for gap in done.gaps() {
            if self.gaps.len() == GAPS_KEPT {
                self.gaps.pop_front();
            }
            self.gaps.push_back(gap);
        }
    }
}

impl Stream<Out> {
    /// A block to fill. Waits while all are in flight.
    ///
    /// # Errors
    /// [`Error::Closed`] once the device is gone; [`Error::ClockStopped`] on emulated time that stands still.
    pub async fn block(&mut self) -> Result<Block, Error> {
        loop {
            if let Some(block) = self.free_block()? {
                return Ok(block);
            }
            let done = self.endpoint.next_completion().await?;
            self.note(&done);
        }
    }

    /// [`block`](Self::block) that blocks the thread.
    ///
    /// # Errors
    /// As [`block`](Self::block).
    pub fn wait_block(&mut self) -> Result<Block, Error> {
        loop {
            if let Some(block) = self.free_block()? {
                return Ok(block);
            }
            let done = self.endpoint.next_completion().wait()?;
            self.note(&done);
        }
    }

    fn free_block(&mut self) -> Result<Option<Block>, Error> {
        while let Some(done) = self.endpoint.next_completion().now() {
            self.note(&done);
        }
        let free = self.blocks.take().now();
        if free.is_none() && !self.endpoint.is_busy() {
            // A completion may have come in between; then there is a block.
            return match self.endpoint.next_completion().now() {
                Some(done) => {
                    self.note(&done);
                    Ok(Some(done.into_block()))
                }
                None => Err(Error::Argument(
                    "all blocks of the stream are taken and none is in flight: submit or drop one first"
                        .into(),
                )),
            };
        }
        Ok(free)
    }

    /// Sends a block: the first where [`set_start`](Stream::set_start) said, each further one behind the last.
    ///
    /// # Errors
    /// As [`IsochEndpoint::submit`]. The block is back with the stream then.
    pub fn submit(&mut self, block: Block) -> Result<(), Error> {
        self.submit_next(block)
    }

    /// Sends what was written, and blocks until everything has been sent.
    ///
    /// # Errors
    /// As [`submit`](Self::submit) and [`IsochEndpoint::drain`].
    pub fn finish(&mut self) -> Result<Statistics, Error> {
        self.send_filling()?;
        self.endpoint.drain()?;
        while let Some(done) = self.endpoint.next_completion().now() {
            self.note(&done);
        }
        Ok(self.statistics())
    }

    fn send_filling(&mut self) -> Result<(), Error> {
        let Some((mut block, filled)) = self.filling.take() else { return Ok(()) };
        if filled == 0 {
            return Ok(());
        }
        block.set_length(filled)?;
        self.submit_next(block)
    }
}

/// Bytes go out in full packets, one per service interval; blocks while the queue is full.
impl io::Write for Stream<Out> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let (mut block, filled) = match self.filling.take() {
            Some(filling) => filling,
            None => (self.wait_block().map_err(io::Error::other)?, 0),
        };
        let room = block.bytes_mut().get_mut(filled..).unwrap_or_default();
        let taken = room.len().min(bytes.len());
        room[..taken].copy_from_slice(&bytes[..taken]);
        let full = taken == room.len();
        self.filling = Some((block, filled + taken));
        if full {
            self.send_filling().map_err(io::Error::other)?;
        }
        Ok(taken)
    }

    /// Sends what was written so far, in a transfer of its own. Does not wait for it.
    fn flush(&mut self) -> io::Result<()> {
        self.send_filling().map_err(io::Error::other)
    }
}

impl Stream<In> {
    /// The next completion; everything that is free is in flight meanwhile. Drop it to use its block again.
    ///
    /// # Errors
    /// [`Error::Closed`] once the device is gone and all was taken; as [`IsochEndpoint::submit`].
    pub async fn next(&mut self) -> Result<Completion, Error> {
        self.refill()?;
        let done = self.endpoint.next_completion().await?;
        self.note(&done);
        Ok(done)
    }

    /// [`next`](Self::next) that blocks the thread.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub fn wait_next(&mut self) -> Result<Completion, Error> {
        self.refill()?;
        let done = self.endpoint.next_completion().wait()?;
        self.note(&done);
        Ok(done)
    }

    fn refill(&mut self) -> Result<(), Error> {
        while let Some(block) = self.blocks.take().now() {
            match self.submit_next(block) {
                // What completed before the device went is still to be taken.
                Err(Error::Gone) => return Ok(()),
                result => result?,
            }
        }
        Ok(())
    }
}

/// The bytes that arrived, packet after packet. Packets that failed or were lost contribute nothing: ask
/// [`gaps`](Stream::gaps), or read completions instead. Ends when the device is gone.
impl io::Read for Stream<In> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let (done, packet, byte) = match self.reading.take() {
                Some(reading) => reading,
                None => match self.wait_next() {
                    Ok(done) => (done, 0, 0),
                    Err(Error::Closed) => return Ok(0),
                    Err(error) => return Err(io::Error::other(error)),
                },
            };
            let Some(result) = done.packets().nth(packet) else { continue };
            let rest = result.bytes().get(byte..).unwrap_or_default();
            let taken = rest.len().min(buffer.len());
            buffer[..taken].copy_from_slice(&rest[..taken]);
            let (packet, byte) = if taken == rest.len() { (packet + 1, 0) } else { (packet, byte + taken) };
            self.reading = Some((done, packet, byte));
            if taken > 0 {
                return Ok(taken);
            }
        }
    }
}
