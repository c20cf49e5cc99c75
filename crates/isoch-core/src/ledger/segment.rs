//! Where a stream stands that its bus does not tell: counted on from an estimate, which is revised once.
//!
//! Why revise at all? When a stream goes on after a pause, its first completion says where it is, late by
//! whatever the system was late. Completions are late, never early, so the earliest of several says it
//! better; but the program wants to know of the hole at once.
//!
//! Why not always after the same number? Because a controller that wanders (`clock/wander.rs`) may be late by most of a frame
//! for eight transfers and more, and a beginning that is settled a frame beside is never put right. A stream begins with a
//! frame: once only one frame is possible, its beginning is certain, the clock goes on learning from it, and the next
//! pause is measured as well as the first. While two are possible and waiting helps, it is worth the wait.
//!
//! Why count moments, and not transfers? A program that was held up finds many to be over at one moment. They all say the
//! same then, and it is late by as long as the program was held up.

use super::Estimate;
use super::progress::Begun;
use super::report::{Revision, run_of_intervals};
use crate::clock::wander::GROUP;
use crate::status::Gap;
use crate::time::{MICROFRAMES_PER_FRAME, Time};

/// At how many moments transfers of a new segment must have been seen to be over before its estimated start is revised.
const SETTLED_AFTER: u32 = GROUP;
/// As long as several positions are possible because the bus wanders, more are waited for, up to so many.
const SETTLED_AT_LAST: u32 = 64;
/// It wanders if eight may all be late by so many microframes; by less it is no matter of waiting.
const WANDERS: u64 = 2;

/// By how many microframes estimates that say the same may differ.
const AGREEMENT: u64 = 3;
/// So many moments that say the same were not late, or all by the same.
const PUNCTUAL: u32 = 3;

/// A segment of a stream that began at an estimated position, until it has settled.
#[derive(Debug)]
pub(super) struct Segment {
    /// The transfer that began it.
    id: u64,
    /// Microframe at which it is taken to have begun.
    first: u64,
    /// Only if frames were owed.
    owed: Option<Owed>,
    /// The earliest estimate so far.
    best: Estimate,
    /// Moments that say the same, but for a part of a frame.
    agreeing: u32,
    /// Microframes of the segment that are over.
    length: u64,
    /// Moments at which it was seen where it is, and the last of them.
    shown: u32,
    seen: Time,
}

/// What was owed when a segment began.
#[derive(Debug)]
struct Owed {
    /// Where the stream stood before, and by how many microframes that may be wrong.
    from: u64,
    uncertainty: u64,
    /// The hole as reported.
    was: Gap,
}

/// What became of an estimated start.
pub(super) struct Settled {
    /// The hole before it, if that is another now.
    pub(super) revision: Option<Revision>,
    /// By how many microframes the segment moved.
    pub(super) shift: i64,
    /// By how many microframes it may still be wrong.
    pub(super) uncertainty: u64,
}

impl Segment {
    /// A segment that `begun` begins; it went on from `owed`, which may be wrong by `uncertainty`.
    pub(super) fn new(begun: &Begun<'_>, owed: Option<u64>, uncertainty: u64) -> Option<Self> {
        let (first, best) = begun.first.zip(begun.estimate)?;
        let owed = owed.zip(begun.hole.cloned()).map(|(from, was)| Owed { from, uncertainty, was });
        let (id, length, seen) = (begun.id, begun.length, best.seen);
        Some(Segment { id, first, owed, best, agreeing: 1, length, shown: 1, seen })
    }

    /// Takes the next transfer. Returns whether that was enough to settle.
    pub(super) fn follow(&mut self, begun: &Begun<'_>, period: u64) -> bool {
        if let Some(estimate) = begun.estimate {
            // The bounds are those of the first.
            let first = estimate.first.saturating_sub(self.length);
            if first.saturating_add(AGREEMENT) < self.best.first {
                self.agreeing = 0;
            }
            self.shown = self.shown_by(estimate.seen);
            let agrees = first <= self.best.first.saturating_add(AGREEMENT);
            self.agreeing += u32::from(agrees && (estimate.seen != self.seen || self.agreeing == 0));
            self.seen = estimate.seen;
            self.best.first = self.best.first.min(first);
            self.best.uncertainty = self.best.uncertainty.min(estimate.uncertainty);
            self.best.late = self.best.late.min(estimate.late);
        }
        self.length = self.length.saturating_add(begun.length);
        let may_tell_more = self.best.late >= WANDERS && self.shown < SETTLED_AT_LAST;
        self.may_settle() && (!may_tell_more || self.is_exact(period))
    }

    /// Whether enough of it was seen, though more may say it better.
    pub(super) fn may_settle(&self) -> bool {
        self.shown >= SETTLED_AFTER
    }

    /// Whether only one position is possible.
    fn is_exact(&self, period: u64) -> bool {
        self.agreeing >= PUNCTUAL && self.best.rounded_by_time(period).uncertainty == 0
    }

    /// At how many moments it was seen where it is, with this one.
    pub(super) fn shown_by(&self, seen: Time) -> u32 {
        self.shown.saturating_add(u32::from(seen != self.seen))
    }

    pub(super) fn settle(mut self, period: u64) -> Settled {
        // Whoever was held up, and so saw an end late, is not held up by the same again and again.
        if self.agreeing >= PUNCTUAL {
            (self.best.not_before, self.best.not_after) = (0, u64::MAX);
        }
        let best = self.best.rounded(period);
        let Some(Owed { from, uncertainty, was }) = self.owed else {
            let shift = best.first.wrapping_sub(self.first) as i64;
            return Settled { revision: None, shift, uncertainty: best.uncertainty };
        };
        // A start cannot lie before the end of what ran before it, and lies a whole number of intervals
        // after it; but it is no worse known than that end.
        let intervals = best.first.saturating_sub(from).div_ceil(period);
        let behind = from.saturating_add(intervals.saturating_mul(period));
        let start = if uncertainty == 0 { behind } else { best.first };
        let in_frames = best.uncertainty.saturating_add(uncertainty).div_ceil(MICROFRAMES_PER_FRAME);
        let is = run_of_intervals(from, intervals, period, in_frames, was.cause).unwrap_or(Gap {
            frames: was.frames.start..was.frames.start,
            intervals: 0,
            uncertainty: in_frames,
            cause: was.cause,
        });
        Settled {
            shift: start.wrapping_sub(self.first) as i64,
            uncertainty: best.uncertainty,
            revision: (is != was).then_some(Revision { id: self.id, was, is }),
        }
    }
}

impl Estimate {
    /// On a bus where transfers begin with a frame, and whose ends are told at the end of one.
    pub(super) fn of_whole_frames(self) -> Estimate {
        let first = self.first / MICROFRAMES_PER_FRAME * MICROFRAMES_PER_FRAME;
        Estimate { first, uncertainty: self.uncertainty.max(MICROFRAMES_PER_FRAME), ..self }
    }

    /// Streams begin on a boundary: an estimate surer than half the distance between two is exact, as long
    /// as nothing says that it was seen late. Where it is known how soon the bus begins, that says it better.
    pub(super) fn rounded(self, period: u64) -> Estimate {
        let unit = period.min(MICROFRAMES_PER_FRAME);
        let nearest = |position: u64| position.saturating_add(unit / 2) / unit * unit;
        let earliest = self.not_before.div_ceil(unit).saturating_mul(unit);
        let latest = self.not_after.min(self.first.saturating_add(self.uncertainty)) / unit * unit;
        if self.not_before > 0 && self.not_after < u64::MAX && earliest <= latest {
            let first = nearest(self.not_before.midpoint(self.not_after)).clamp(earliest, latest);
            let uncertainty = (first - earliest).max(latest - first);
            return Estimate { first, uncertainty, ..self };
        }
        let Estimate { first, uncertainty, .. } = self.rounded_by_time(period);
        let late_by = if self.not_before == 0 { 0 } else { first.saturating_sub(earliest) };
        Estimate { first, uncertainty: uncertainty.max(late_by), ..self }
    }

    /// The same by when ends were seen only. The clock may be wrong either way, but an end is seen late, never early. So
    /// a boundary a little ahead is as good as any, and of those behind only the nearest is likely.
    fn rounded_by_time(self, period: u64) -> Estimate {
        let unit = period.min(MICROFRAMES_PER_FRAME);
        let boundary = |position: u64| position / unit * unit;
        // All boundaries from the first to the last of these are possible; often there is only one.
        let earliest = self.first.saturating_sub(self.uncertainty.saturating_add(self.late)).div_ceil(unit);
        let latest = boundary(self.first.saturating_add(self.uncertainty));
        let earliest = earliest.saturating_mul(unit).min(latest);
        let ahead = self.uncertainty.min(unit / 4);
        let first = boundary(self.first.saturating_add(ahead)).clamp(earliest, latest);
        Estimate { first, uncertainty: (latest - first).max(first - earliest), ..self }
    }
}
