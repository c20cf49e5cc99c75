//! How long a controller takes from the first submission to the first interval.
//!
//! Why not an average? A controller starts on a grid (mostly whole frames): submissions anywhere within
//! one grid step start at the same moment, so that the observed durations are spread evenly over a step.
//! They bound where the step's edges are. What must be aimed at is the *middle* of the step, as far as
//! possible from both edges, and an average is there only if submissions came at all phases alike.

use crate::Time;
use std::time::Duration;

/// How many observations are kept; older ones are forgotten, as drivers and load change.
const KEPT: usize = 16;
/// Observations longer than this are somebody's pause (a debugger, a suspended machine), not a lead.
pub(super) const LONGEST: Duration = Duration::from_secs(1);
/// By how much an observation may be wrong without being thought inconsistent.
const NOISE_NANOS: i64 = 60_000;

/// The lead of a cold start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeadEstimate {
    /// How long before the start of a frame to submit, to start in it, with the same room for error on
    /// both sides. UHCI starts ten frames after the current one: 9.5 ms.
    pub lead: Duration,
    /// By how much that may be wrong, either way.
    pub uncertainty: Duration,
    /// How many observations it rests on; 0: none, it is what was assumed.
    pub observations: usize,
}

#[derive(Clone, Debug)]
pub(super) struct LeadEstimator {
    granule: i64,
    observed: [i64; KEPT],
    count: usize,
    next: usize,
    estimate: LeadEstimate,
}

impl LeadEstimator {
    pub(super) fn new(lead: Duration, uncertainty: Duration, granule: Duration) -> Self {
        LeadEstimator {
            granule: nanos(granule).max(1),
            observed: [0; KEPT],
            count: 0,
            next: 0,
            estimate: LeadEstimate { lead, uncertainty, observations: 0 },
        }
    }

    pub(super) fn estimate(&self) -> LeadEstimate {
        self.estimate
    }

    pub(super) fn observe(&mut self, submitted_at: Time, first: Time) {
        // A controller with hardly any lead may seem to start before it was asked to: clock error.
        let lead = first.since(submitted_at);
        if lead > LONGEST {
            return;
        }
        self.observed[self.next] = nanos(lead);
        self.next = (self.next + 1) % KEPT;
        self.count = (self.count + 1).min(KEPT);
        self.update();
    }

    fn update(&mut self) {
        let mut sorted = self.observed;
        let sorted = &mut sorted[..self.count];
        sorted.sort_unstable();
        let median = sorted[self.count / 2];
        // One grid step is what phases alone explain; beyond it, a submission was preempted.
        let plausible = self.granule.saturating_add(NOISE_NANOS);
        let kept = || sorted.iter().copied().filter(|lead| (lead - median).abs() <= plausible);
        let shortest = kept().min().unwrap_or(median);
        let longest = kept().max().unwrap_or(median);

        // Submitted `phase` into a step, a start comes `edge - phase` later, 0 <= phase < granule: each
        // observation bounds the edge to [observed, observed + granule).
        let (low, high) = (longest, shortest.saturating_add(self.granule));
        let steps = low.saturating_sub(NOISE_NANOS).max(0) / self.granule;
        let whole = (steps..steps.saturating_add(3))
            .map(|steps| steps.saturating_mul(self.granule))
            .filter(|&edge| edge >= low - NOISE_NANOS && edge < high.saturating_add(NOISE_NANOS));
        let (edge, uncertainty) = match (whole.clone().count(), self.count) {
            // Most drivers add whole frames to the current frame number.
            (1, 3..) => (whole.min().unwrap_or(low), NOISE_NANOS),
            // Submitted at the very edge of a step, two fit: stay with what was believed before.
            (1.., ..3) => {
                let before = nanos(self.estimate.lead).saturating_add(self.granule / 2);
                (whole.min_by_key(|edge| edge.abs_diff(before)).unwrap_or(low), self.granule / 2)
            }
            // xHCI adds a number of microframes before it rounds: any edge is possible.
            // So is none: always the same duration, as if there were no grid.
            _ if low < high => (low.midpoint(high), (high - low) / 2 + NOISE_NANOS),
            // No one edge explains these: the lead itself varies.
            _ => (low.midpoint(high), (longest - shortest) / 2 + NOISE_NANOS),
        };
        self.estimate = LeadEstimate {
            lead: Duration::from_nanos(u64::try_from(edge - self.granule / 2).unwrap_or(0)),
            uncertainty: Duration::from_nanos(uncertainty.unsigned_abs()),
            observations: self.count,
        };
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
