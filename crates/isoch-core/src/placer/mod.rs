//! What to hand to the bus, and when, so that a transfer lands on the frame that was asked for.
//!
//! Why not simply pass the start frame on? Because most systems ignore it: Linux' usbfs copies
//! `start_frame` in and no driver of a real controller reads it, and a bus that honours it may still
//! refuse what is too far ahead (WinUSB 1024 frames, xHCI 895, some EHCI 256). What such a bus does offer
//! are two regularities. A queue that never runs dry uses one interval after another, so packets in front
//! move everything behind them by a known amount. And a first submission to an idle endpoint starts after
//! a *lead* that a controller keeps to within about a frame. A [`Placer`] turns these into starts on named
//! frames, and says beforehand how sure that is.
//!
//! It is a state machine of numbers: it holds no blocks, reads no clock and starts no timer. An engine
//! asks [`Placer::decide`] whenever something changed — a transfer was submitted by the user, one
//! completed, the last deadline passed — and carries the answer out:
//!
//! ```text
//! loop {
//!     match placer.decide(now, &clock, queue, pending.first()) {
//!         Submit { how, .. } => hand the head to the bus, then ask again at once
//!         Filler { intervals } => hand that many empty intervals to the bus, then ask again at once
//!         HoldUntil(time) => sleep until `time`, or until a transfer completes or is added
//!         Wait => sleep until a transfer completes or is added
//!         Refuse(reason) => complete the head with the reason, then ask again with the next
//!     }
//! }
//! ```
//!
//! A decision to submit is taken as carried out: if the bus fails the submission, the endpoint fails.

mod decide;
mod lead;
#[cfg(test)]
mod tests;

pub use lead::LeadEstimate;

use crate::{Start, StartSupport, Time};
use lead::LeadEstimator;
use std::fmt;
use std::time::Duration;

/// How transfers get onto named frames on a bus that is [`StartSupport::Anchored`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Policy {
    /// Nothing extra on the wire: let the queue drain, then submit just in time, the measured lead before
    /// the frame. Right to the frame as long as clock, lead and wake-up together err by less than half a
    /// frame; what it may be off by is stated in [`Expected::uncertainty`].
    #[default]
    Lead,
    /// Start with empty intervals `frames` ahead of the frame, see from their completion where the stream
    /// is, fill up to the frame exactly. Gaps up to about that length inside a stream are bridged. OUT
    /// endpoints get zero-length packets for some milliseconds, which some devices dislike and OHCI
    /// reports as missed.
    PreRoll {
        /// For how many frames, at least. Raised to what is needed to learn where the stream is.
        frames: u64,
    },
    /// Keep a stream of empty intervals running whenever no data is due, until [`Placer::stop`]. Any
    /// later frame is exact; the price is the depth as latency, and zero-length packets all the time.
    Carrier {
        /// How many frames of empty intervals to keep queued. Raised to two pieces of filler.
        depth_frames: u64,
    },
}

/// What a [`Placer`] needs to know of an endpoint and its bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacerConfig {
    /// How the bus starts transfers.
    pub start: StartSupport,
    /// How many frames after now a transfer may end at the bus; `None`: any number.
    pub horizon: Option<u64>,
    /// How to reach named frames; only an anchored bus looks at it.
    pub policy: Policy,
    /// The endpoint's period in microframes: 8 for each frame, 1 for each microframe.
    pub period: u64,
    /// The most intervals of filler that one [`Decision::Filler`] asks for.
    pub filler_intervals: u64,
    /// To how many microframes the controller rounds a cold start: 8 on UHCI, OHCI and xHCI; 1 on EHCI's
    /// high-speed endpoints, where [`Policy::Lead`] then has a window of 125 µs only.
    pub start_granule: u64,
    /// The lead to assume until one was observed: how long before the start of a frame to submit, to start
    /// in it; see [`LeadEstimate::lead`].
    pub initial_lead: Duration,
    /// By how much that may be wrong, either way.
    pub initial_lead_uncertainty: Duration,
}

impl PlacerConfig {
    /// A configuration with the default policy, no horizon, filler in pieces of four frames, and UHCI's
    /// lead (9.5 ms ± 1 ms: the longest of the known controllers).
    #[must_use]
    pub fn new(start: StartSupport, period: u64) -> Self {
        PlacerConfig {
            start,
            horizon: None,
            policy: Policy::default(),
            period,
            filler_intervals: (32 / period.max(1)).max(1),
            start_granule: 8,
            initial_lead: Duration::from_micros(9_500),
            initial_lead_uncertainty: Duration::from_millis(1),
        }
    }
}

/// What a placer needs from a frame clock.
///
/// A clock that no stream has disciplined yet still answers, running freely: with a large uncertainty,
/// and [`FrameView::fresh`].
pub trait FrameView {
    /// When `frame` begins, and by how much that may be wrong, either way.
    fn time_of(&self, frame: u64) -> (Time, Duration);

    /// The microframe at time `at` (frame × 8 + microframe in it), and by how many it may be wrong.
    fn microframe_at(&self, at: Time) -> (u64, u64);

    /// Whether no stream has run on this clock, so that the first one *defines* its epoch: the frame its
    /// first interval is in is the frame that was asked for.
    fn fresh(&self) -> bool;
}

/// What is at the bus for this endpoint, filler included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Queue {
    /// Transfers handed over and not yet completed.
    pub transfers: usize,
    /// Their intervals.
    pub intervals: u64,
    /// The microframe after the last interval, if it is known: reported, or counted from a completion of
    /// this stream. `None` between a cold start and the first completion on a bus that reports nothing.
    pub end: Option<u64>,
}

/// The head of what the user submitted and the bus has not got yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// When it is to begin.
    pub start: Start,
    /// How many service intervals it has.
    pub intervals: u64,
}

/// Where a transfer will land, as far as can be told before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The microframe of its first interval.
    pub microframe: u64,
    /// By how many microframes that may be wrong, either way. 0: as sure as the queue not running dry.
    pub uncertainty: u64,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a decision that is not carried out is never repeated"]
pub enum Decision {
    /// Hand the head to the bus.
    Submit {
        /// In the words the bus understands: an exact bus gets what was asked. Any other gets `Asap` on an
        /// idle endpoint and `Continue` behind what is queued, never `At`.
        how: Start,
        /// Where it will land; `None` where nothing is known of that.
        expected: Option<Expected>,
    },
    /// Hand over this many empty intervals: OUT, zero-length packets; IN, packets to be thrown away.
    Filler {
        /// How many.
        intervals: u64,
    },
    /// Nothing before this time (which is after `now`), unless a transfer completes or is added.
    HoldUntil(Time),
    /// Nothing until a transfer completes or is added.
    Wait,
    /// The head cannot be served as asked. Nothing of it goes on the bus.
    Refuse(Reason),
}

/// Why a transfer cannot start where it was asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// This bus cannot start on a frame.
    NotPossible,
    /// The frame can no longer be reached.
    Late {
        /// How many frames too late: `earliest` minus the frame asked for.
        by: u64,
        /// The first frame that a request made now can be expected to reach.
        earliest: u64,
    },
    /// The frame lies before the end of what is already queued.
    Overlap {
        /// The first frame after it.
        next_free: u64,
    },
    /// The queue ends so shortly before the frame that it cannot drain and start again in between
    /// ([`Policy::Lead`] sends no filler).
    GapTooShort {
        /// The frame that follows what is queued without a gap.
        next_free: u64,
        /// The first frame that can be reached by starting again.
        next_restart: u64,
    },
    /// The endpoint is served less often than once a frame, and not in this one.
    OffPhase {
        /// The next frame it is served in.
        next: u64,
    },
    /// The transfer alone is longer than the bus accepts ahead of time.
    TooLong {
        /// How many intervals it may have at most.
        most: u64,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NotPossible => {
                f.write_str("this bus cannot start on a named frame: use as-soon-as-possible starts")
            }
            Reason::Late { by, earliest } => {
                write!(f, "{by} frames too late: a request made now reaches frame {earliest} or later")
            }
            Reason::Overlap { next_free } => {
                write!(f, "overlaps what is queued already: the next free frame is {next_free}")
            }
            Reason::GapTooShort { next_free, next_restart } => write!(
                f,
                "the gap is too short to start again without filler: use frame {next_free} (no gap), \
                 {next_restart} or later, or a policy with filler"
            ),
            Reason::OffPhase { next } => {
                write!(f, "the endpoint is not served in this frame: the next is {next}")
            }
            Reason::TooLong { most } => {
                write!(f, "longer than the bus accepts ahead of time: use at most {most} intervals")
            }
        }
    }
}

impl std::error::Error for Reason {}

/// Whose intervals are the last ones in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    User,
    Filler,
}

/// Decides, for one open endpoint, what goes to the bus and when.
#[derive(Clone, Debug)]
pub struct Placer {
    config: PlacerConfig,
    lead: LeadEstimator,
    /// [`Policy::Carrier`] is to keep its stream alive.
    carrying: bool,
    tail: Tail,
    /// Intervals of pre-roll that may still follow while nobody knows where the stream is. What bounds a
    /// pre-roll on a bus whose first completion never tells.
    allowance: u64,
    deadline: Option<Time>,
    /// The most intervals that may be queued without a look at the clock.
    most: u64,
}

impl Placer {
    /// A placer for an endpoint that has nothing queued. Zero where one is needed counts as one; leads
    /// and grid steps of more than a second count as a second.
    #[must_use]
    pub fn new(mut config: PlacerConfig) -> Self {
        config.period = config.period.max(1);
        config.start_granule = config.start_granule.clamp(1, LONGEST_MICROFRAMES);
        config.filler_intervals = config.filler_intervals.max(1);
        let lead = LeadEstimator::new(
            config.initial_lead.min(lead::LONGEST),
            config.initial_lead_uncertainty.min(lead::LONGEST),
            microframes(config.start_granule),
        );
        let mut placer =
            Placer { config, lead, carrying: false, tail: Tail::User, allowance: 0, deadline: None, most: 0 };
        placer.most = placer.most_intervals();
        placer
    }

    /// What it was made with.
    #[must_use]
    pub fn config(&self) -> &PlacerConfig {
        &self.config
    }

    /// Changes the policy from the next decision on. Filler that is queued already stays queued.
    pub fn set_policy(&mut self, policy: Policy) {
        self.config.policy = policy;
        self.carrying = false;
    }

    /// [`Policy::Carrier`]: starts the stream of filler now, instead of with the first transfer.
    pub fn start(&mut self) {
        self.carrying = matches!(self.config.policy, Policy::Carrier { .. });
    }

    /// [`Policy::Carrier`]: no more filler; the queue drains. The next transfer starts it again.
    pub fn stop(&mut self) {
        self.carrying = false;
    }

    /// Whether filler is to be sent by itself, so that there is something to decide without a transfer.
    #[must_use]
    pub fn is_carrying(&self) -> bool {
        self.carrying
    }

    /// The time that the last decision asked to be woken at, if it was to hold.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        self.deadline
    }

    /// The lead of a cold start, as known now.
    #[must_use]
    pub fn lead(&self) -> LeadEstimate {
        self.lead.estimate()
    }

    /// Tells of a cold start: when the first transfer was submitted to the idle endpoint, and when its
    /// first microframe began, by the clock.
    pub fn observe_cold_start(&mut self, submitted_at: Time, first_microframe_time: Time) {
        self.lead.observe(submitted_at, first_microframe_time);
        self.most = self.most_intervals();
    }
}

/// So many microframes of 125 µs.
fn microframes(count: u64) -> Duration {
    Duration::from_nanos(count.saturating_mul(MICROFRAME_NANOS))
}

/// So many frames of 1 ms.
fn frames(count: u64) -> Duration {
    microframes(count.saturating_mul(crate::MICROFRAMES_PER_FRAME))
}

/// A duration in microframes, rounded up.
fn in_microframes(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(u128::from(MICROFRAME_NANOS))).unwrap_or(u64::MAX)
}

const MICROFRAME_NANOS: u64 = 125_000;
/// A second.
const LONGEST_MICROFRAMES: u64 = 8_000;
