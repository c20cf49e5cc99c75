//! Completions: what is known of a finished transfer, and where it goes.
//!
//! Why a sink and not only a queue? Because there are two kinds of users. A program waits for the next
//! completion; a layer above (the C library's OVERLAPPED, a stream) must act the moment it happens, on
//! whichever thread learns of it. The queue behind
//! [`next_completion`](crate::IsochEndpoint::next_completion) is itself just one sink.

use std::ops::Range;
use std::time::Instant;

use isoch_core::{FrameSource, Gap, GapReport, Outcome, Packet, PacketStatus, Report, Revision};

use crate::block::Block;
use crate::clock::FrameClock;
use crate::endpoint::Histogram;
use crate::sync::{Arc, Mutex, lock};
use crate::wait::{Item, Mailbox, Waiting};

/// Names a transfer of one endpoint. Rises with every submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransferId(pub(crate) u64);

/// A finished transfer: its block, the frames it used and how that is known, and what became of each
/// packet. Dropping it returns the block to its pool.
pub struct Completion {
    pub(crate) block: Block,
    pub(crate) timing: Arc<CompletionTiming>,
}

/// What all completions of an endpoint share: the clock that explains them, and how long they lay before
/// they were taken.
pub(crate) struct CompletionTiming {
    pub(crate) clock: FrameClock,
    pub(crate) wake_up: Mutex<Histogram>,
}

impl Item for Completion {
    fn taken(&self) {
        // Emulated time stands still meanwhile.
        if let Waiting::Real = self.timing.clock.waiting {
            let now = self.timing.clock.host_now();
            lock(&self.timing.wake_up).add(self.report().seen, now);
        }
    }
}

impl Completion {
    /// Which transfer this was.
    #[must_use]
    pub fn id(&self) -> TransferId {
        TransferId(self.report().id)
    }

    /// How it ended as a whole.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.report().outcome
    }

    /// The frames it used, `first..next`; `None` where nobody knows. See [`frame_source`](Self::frame_source).
    #[must_use]
    pub fn frames(&self) -> Option<Range<u64>> {
        self.report().frames()
    }

    /// How [`frames`](Self::frames) is known.
    #[must_use]
    pub fn frame_source(&self) -> FrameSource {
        self.report().source
    }

    /// By how many frames [`frames`](Self::frames) may be wrong.
    #[must_use]
    pub fn frame_uncertainty(&self) -> u64 {
        self.report().uncertainty
    }

    /// How many frames late (or early, if negative) it began, if it was to start on a frame and the bus
    /// tells where it went.
    #[must_use]
    pub fn misplaced(&self) -> Option<i64> {
        self.report().misplaced()
    }

    /// Whether frames were lost before or in it.
    #[must_use]
    pub fn gap(&self) -> GapReport {
        self.report().gap(self.block.packets())
    }

    /// Every single run of lost frames, in order.
    pub fn gaps(&self) -> impl Iterator<Item = Gap> + '_ {
        self.report().gaps(self.block.packets())
    }

    /// A gap reported earlier with an uncertainty is known better now.
    #[must_use]
    pub fn revision(&self) -> Option<&Revision> {
        self.report().revision.as_deref()
    }

    /// Its packets.
    pub fn packets(&self) -> impl ExactSizeIterator<Item = PacketResult<'_>> + '_ {
        let bytes = self.block.bytes();
        self.block.packets().iter().map(move |packet| PacketResult { packet: *packet, bytes })
    }

    /// Bytes that went over the bus, as far as the bus says.
    #[must_use]
    pub fn transferred(&self) -> u64 {
        self.block.packets().iter().map(|packet| u64::from(packet.actual)).sum()
    }

    /// From the beginning of its first interval to the end of its last, by the controller's clock; `None`
    /// where its frames are not known.
    #[must_use]
    pub fn time_range(&self) -> Option<Range<Instant>> {
        let (first, end) = self.report().first.zip(self.report().end())?;
        let clock = &self.timing.clock;
        let at = |microframe| clock.instant(clock.source.time_of(microframe).0);
        Some(at(first)..at(end))
    }

    /// When the host learnt of its end.
    #[must_use]
    pub fn seen_at(&self) -> Instant {
        self.timing.clock.instant(self.report().seen)
    }

    /// Everything the ledger says of it.
    #[must_use]
    pub fn report(&self) -> &Report {
        self.block.report()
    }

    /// Its memory and packets.
    #[must_use]
    pub fn block(&self) -> &Block {
        &self.block
    }

    /// Takes the block, to submit it again. Its packets are as they were submitted, results included.
    #[must_use]
    pub fn into_block(self) -> Block {
        self.block
    }
}

impl std::fmt::Debug for Completion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.report().fmt(f)
    }
}

/// One packet of a finished transfer.
#[derive(Clone, Copy)]
pub struct PacketResult<'a> {
    packet: Packet,
    bytes: &'a [u8],
}

impl<'a> PacketResult<'a> {
    /// What became of it.
    #[must_use]
    pub fn status(&self) -> PacketStatus {
        self.packet.status
    }

    /// How many bytes it was to carry (OUT) or had room for (IN).
    #[must_use]
    pub fn length(&self) -> usize {
        self.packet.length as usize
    }

    /// How many bytes went over the bus, as far as the bus says.
    #[must_use]
    pub fn transferred(&self) -> usize {
        self.packet.actual as usize
    }

    /// The bytes that went over the bus.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        let from = self.packet.offset as usize;
        self.bytes.get(from..from + self.packet.actual as usize).unwrap_or_default()
    }
}

/// Where the completions of an endpoint go.
///
/// Called in order of submission, each transfer exactly once, from the thread that learnt of it: a bus's
/// event thread, whoever moves emulated time, or whoever aborts. It must not block: a wait of this crate that
/// would last ends with [`Error::InSink`](crate::Error::InSink). It may submit to the same endpoint, and drop
/// whatever it likes.
pub trait CompletionSink: Send + Sync {
    /// A transfer is over.
    fn completed(&self, completion: Completion);

    /// The device is gone or the endpoint was closed, and every transfer has been told: no more will come.
    fn closed(&self) {}
}

/// The sink behind `next_completion`.
pub(crate) type CompletionQueue = Mailbox<Completion>;

impl CompletionSink for CompletionQueue {
    fn completed(&self, completion: Completion) {
        self.push(completion);
    }

    fn closed(&self) {
        self.close();
    }
}
