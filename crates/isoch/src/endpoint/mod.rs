//! Isochronous endpoints.
//!
//! Why is the direction a type? Because almost everything that can be done wrong with an endpoint is
//! doing the other direction's work on it; so the compiler refuses it. The work itself is the same for
//! both and stands in [`queue`].

mod queue;
mod statistics;

use std::marker::PhantomData;

pub use statistics::{Histogram, Statistics};

pub(crate) use queue::{Queue, anchored};

use crate::block::{Block, Blocks, Layout};
use crate::clock::FrameClock;
use crate::completion::{Completion, CompletionQueue, CompletionSink, TransferId};
use crate::interface::AlternateSetting;
use crate::stream::Stream;
use crate::sync::Arc;
use crate::wait::Next;
use crate::{Capabilities, Direction, EndpointTiming, Error, Policy, Start};

/// Marks an endpoint that the host writes to.
#[derive(Clone, Copy, Debug)]
pub enum Out {}

/// Marks an endpoint that the host reads from.
#[derive(Clone, Copy, Debug)]
pub enum In {}

/// [`Out`] or [`In`].
pub trait EndpointDirection: sealed::Sealed + Send + Sync + 'static {
    /// The direction as a value.
    const DIRECTION: Direction;
}

impl EndpointDirection for Out {
    const DIRECTION: Direction = Direction::Out;
}
impl EndpointDirection for In {
    const DIRECTION: Direction = Direction::In;
}
mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Out {}
    impl Sealed for super::In {}
}

/// An open isochronous endpoint: a queue of transfers, served one interval after the other.
///
/// Get one from [`AlternateSetting::isoch_out`] or [`AlternateSetting::isoch_in`]; register blocks; submit
/// them; take completions. Completions come in the order of submission, each transfer exactly once.
///
/// Dropping it cancels what is in flight and returns at once; the alternate setting stays as it is.
pub struct IsochEndpoint<D> {
    queue: Arc<Queue>,
    completions: Arc<CompletionQueue>,
    // Keeps the interface claimed and in this setting.
    setting: AlternateSetting,
    direction: PhantomData<D>,
}

/// An isochronous OUT endpoint.
pub type IsochOut = IsochEndpoint<Out>;
/// An isochronous IN endpoint.
pub type IsochIn = IsochEndpoint<In>;

impl<D: EndpointDirection> IsochEndpoint<D> {
    pub(crate) fn open(
        setting: AlternateSetting,
        address: u8,
        timing: EndpointTiming,
    ) -> Result<Self, Error> {
        let completions = Arc::new(CompletionQueue::new());
        let sink: Arc<dyn CompletionSink> = Arc::clone(&completions) as _;
        let queue = Queue::open(setting.device().bus(), address, D::DIRECTION, timing, sink)?;
        Ok(IsochEndpoint { queue, completions, setting, direction: PhantomData })
    }

    /// The endpoint's address, with the direction in bit 7.
    #[must_use]
    pub fn address(&self) -> u8 {
        self.queue.address()
    }

    /// The alternate setting it belongs to.
    #[must_use]
    pub fn setting(&self) -> &AlternateSetting {
        &self.setting
    }

    /// When it is served, and how much it carries then.
    #[must_use]
    pub fn timing(&self) -> &EndpointTiming {
        self.queue.timing()
    }

    /// What this bus can do for it, and what it tells.
    #[must_use]
    pub fn capabilities(&self) -> &Capabilities {
        self.queue.capabilities()
    }

    /// The frame clock of its controller.
    #[must_use]
    pub fn clock(&self) -> &FrameClock {
        self.queue.clock()
    }

    /// Registers blocks. After this, nothing is allocated until more are registered.
    ///
    /// # Errors
    /// [`Error::Budget`] if the system's memory for transfers would not do, or more than 1 GiB is asked for;
    /// [`Error::Argument`] for a layout without packets, or beyond reason; [`Error::Layout`] on an endpoint
    /// that reserves no bandwidth.
    pub fn register(&self, layout: Layout) -> Result<Blocks, Error> {
        let blocks = self.queue.register(layout)?;
        self.completions.reserve(self.queue.registered());
        Ok(blocks)
    }

    /// Queues a block. Returns at once.
    ///
    /// Only what can be judged without a clock is refused here; a start that is too late or too far away
    /// is told by the completion ([`Outcome`](crate::Outcome), [`PacketStatus`](crate::PacketStatus)).
    ///
    /// On a bus that starts on frames ([`StartSupport::Exact`](crate::StartSupport::Exact)) a frame that is over
    /// already is no error: packets whose time is over are [`PacketStatus::Late`](crate::PacketStatus::Late), and
    /// the others are served in their own frames. If all are late, the transfer ends at once with
    /// [`Outcome::Late`](crate::Outcome::Late).
    ///
    /// # Errors
    /// [`Rejected`] gives the block back with the reason: [`Error::Start`] if [`Start::At`] lies before
    /// the end of the last transfer, or off the phase of an endpoint with a period above one frame,
    /// [`Error::Unsupported`] if the bus cannot do that start or those packet lengths, [`Error::Gone`].
    pub fn submit(&self, block: Block, start: Start) -> Result<TransferId, Rejected> {
        self.queue.submit(block, start)
    }

    /// The next completion, in order of submission: `.await` it or [`Next::wait`] for it.
    ///
    /// It ends with [`Error::Closed`] once the device is gone and all completions were taken.
    pub fn next_completion(&self) -> Next<'_, Completion> {
        self.completions.next(self.queue.waiting())
    }

    /// Sends all further completions to `sink` instead of [`next_completion`](Self::next_completion), which
    /// gives what came before, then ends with [`Error::Closed`].
    pub fn set_sink(&self, sink: Arc<dyn CompletionSink>) {
        self.queue.set_sink(sink);
        self.completions.close();
    }

    /// How named frames are reached on a bus that anchors transfers ([`StartSupport::Anchored`]): by timing
    /// alone (the default), or with zero-length packets before or between them. See [`Policy`].
    ///
    /// # Errors
    /// [`Error::Unsupported`] on a bus that starts on frames by itself, or on none; [`Error::Budget`] if
    /// there is no memory for filler.
    ///
    /// [`StartSupport::Anchored`]: crate::StartSupport::Anchored
    pub fn set_placement(&self, policy: Policy) -> Result<(), Error> {
        self.queue.set_placement(policy)
    }

    /// Cancels one transfer. Its completion still comes, in its place, and tells what had been served.
    /// Returns whether it is still to come.
    pub fn cancel(&self, id: TransferId) -> bool {
        self.queue.cancel(id)
    }

    /// Cancels everything. All completions still come, in order.
    pub fn abort(&self) {
        self.queue.abort();
    }

    /// Blocks until nothing is in flight. Completions stay where they are to be taken.
    ///
    /// # Errors
    /// As [`Next::wait`].
    pub fn drain(&self) -> Result<(), Error> {
        self.queue.drain()
    }

    /// Whether a completion is still to come, or just on its way.
    pub(crate) fn is_busy(&self) -> bool {
        self.queue.is_busy()
    }

    /// How many transfers are in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.queue.in_flight()
    }

    /// What happened since the endpoint was opened.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.queue.statistics()
    }

    /// A stream of bytes over this endpoint; see [`Stream`].
    ///
    /// # Errors
    /// As [`register`](Self::register).
    pub fn stream(self, layout: Layout) -> Result<Stream<D>, Error> {
        Stream::new(self, layout)
    }
}

impl<D> Drop for IsochEndpoint<D> {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// A transfer that was not accepted: why, and its block.
#[derive(Debug)]
pub struct Rejected {
    /// Why.
    pub error: Error,
    /// The block, as it was.
    pub block: Block,
}

impl std::fmt::Display for Rejected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Rejected {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl From<Rejected> for Error {
    fn from(rejected: Rejected) -> Error {
        rejected.error
    }
}

/// `?` takes it into a `Box<dyn Error + Send + Sync>`, the error of many programs' `main`.
const _: fn(Rejected) -> Box<dyn std::error::Error + Send + Sync> = |rejected| rejected.into();
