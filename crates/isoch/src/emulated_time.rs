//! Emulated time, for layers that have waits of their own.
//!
//! Why is a step public, when every wait of this crate runs the bus by itself? Because a layer above may wait
//! for several things at once, or for its own (the C library's events and completion ports): on a bus whose
//! clock goes on only while someone waits, those waits must move it, too.

use std::time::Instant;

use crate::clock::Host;
use crate::sync::Arc;
use crate::wait::{InSink, Step, StepsTime};

/// The time of an emulated bus that stands still until someone waits or advances it; from
/// [`FrameClock::emulated_time`](crate::FrameClock::emulated_time). Cheap to clone; it keeps no bus alive.
#[derive(Clone)]
pub struct EmulatedTime {
    host: Host,
    steps: Arc<dyn StepsTime>,
}

/// What [`EmulatedTime::step`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EmulatedStep {
    /// Something may have happened: look at what is waited for, then step again.
    Advanced,
    /// It is the limit now, and nothing is left to happen before it.
    AtLimit,
    /// Time stands still: nothing on this bus will happen by itself, or only `advance` moves its clock, or this
    /// is inside a completion sink, for which time stands still. Only another thread can help now.
    Stopped,
}

impl EmulatedTime {
    pub(crate) fn new(host: Host, steps: Arc<dyn StepsTime>) -> Self {
        EmulatedTime { host, steps }
    }

    /// What time it is: on the scale of [`Stamp::at`](crate::Stamp), which begins when the bus is made and has
    /// nothing to do with the machine's clock from then on.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.host.instant(self.steps.now())
    }

    /// Runs the bus, on this thread, to the next thing that can happen on it, at most to `limit`, and tells
    /// whom it concerns. Does nothing if, once it is this thread's turn, `ready` says that what is waited for
    /// is there. A wait is a loop of this:
    ///
    /// ```
    /// # use isoch::EmulatedStep;
    /// # fn wait(time: &isoch::EmulatedTime, limit: Option<std::time::Instant>, signalled: impl Fn() -> bool) -> Result<bool, isoch::Error> {
    /// while !signalled() {
    ///     match time.step(limit, &signalled) {
    ///         EmulatedStep::Advanced => {}
    ///         // The last thing to happen may be what was waited for.
    ///         EmulatedStep::AtLimit => return Ok(signalled()),
    ///         EmulatedStep::Stopped => return Err(isoch::Error::ClockStopped),
    ///     }
    /// }
    /// # Ok(true)
    /// # }
    /// ```
    ///
    /// `ready` is called with the bus held: it must neither wait nor call the bus. Several threads may step at
    /// once; they take turns.
    pub fn step(&self, limit: Option<Instant>, ready: &dyn Fn() -> bool) -> EmulatedStep {
        if InSink::here() {
            return EmulatedStep::Stopped;
        }
        match self.steps.step(limit.map(|limit| self.host.time(limit)), ready) {
            Step::Advanced => EmulatedStep::Advanced,
            Step::AtLimit => EmulatedStep::AtLimit,
            Step::Stopped => EmulatedStep::Stopped,
        }
    }

    /// Whether both are the time of the same bus, so that a step of one is a step of the other.
    #[must_use]
    pub fn is_same(&self, other: &EmulatedTime) -> bool {
        Arc::ptr_eq(&self.steps, &other.steps)
    }
}

impl std::fmt::Debug for EmulatedTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} of emulated time", self.steps.now())
    }
}
