//! What is told of a finished transfer.

use std::ops::Range;

use crate::block::Packet;
use crate::status::{FrameSource, Gap, GapCause, GapReport, Outcome, PacketStatus, Start};
use crate::time::{MICROFRAMES_PER_FRAME, Time};

/// What is known of a finished transfer. The packets tell the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The transfer.
    pub id: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// When it was asked to start.
    pub requested: Start,
    /// The microframe of its first interval, if that is known at all.
    pub first: Option<u64>,
    /// How that is known.
    pub source: FrameSource,
    /// By how many frames it may be wrong.
    pub uncertainty: u64,
    /// Service intervals it has.
    pub intervals: u64,
    /// Microframes between them.
    pub period: u64,
    /// Frames that were owed before it and not served.
    pub hole: Option<Gap>,
    /// A hole reported earlier with an uncertainty, now known better.
    ///
    /// Boxed because it is rare: a report moves several times per transfer.
    pub revision: Option<Box<Revision>>,
    /// Whether holes can be known on this bus.
    pub gaps_known: bool,
    /// When the host learnt of its end.
    pub seen: Time,
}

/// A hole that was estimated when the stream went on, revised once the new segment had settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// The transfer whose report had the hole.
    pub id: u64,
    /// The hole as reported then.
    pub was: Gap,
    /// The hole as known now; an empty range of frames if it turned out that none was lost.
    pub is: Gap,
}

impl Default for Report {
    /// Of a transfer of which nothing was told.
    fn default() -> Self {
        Report {
            id: 0,
            outcome: Outcome::Completed,
            requested: Start::Asap,
            first: None,
            source: FrameSource::Assumed,
            uncertainty: 0,
            intervals: 0,
            period: 1,
            hole: None,
            revision: None,
            gaps_known: false,
            seen: Time::ZERO,
        }
    }
}

impl Report {
    /// The microframe after its last interval's period.
    #[must_use]
    pub fn end(&self) -> Option<u64> {
        self.first.map(|first| first.saturating_add(self.intervals.saturating_mul(self.period)))
    }

    /// The frames it used, from the one with its first interval up to, not including, [`Self::next_frame`].
    #[must_use]
    pub fn frames(&self) -> Option<Range<u64>> {
        Some(self.first? / MICROFRAMES_PER_FRAME..self.next_frame()?)
    }

    /// The first frame that it does not touch.
    #[must_use]
    pub fn next_frame(&self) -> Option<u64> {
        self.end().map(|end| end.div_ceil(MICROFRAMES_PER_FRAME))
    }

    /// By how many frames it missed the frame it was asked to start on: `None` if none was asked for or
    /// nobody knows where it went, `Some(0)` if it is where it should be.
    #[must_use]
    pub fn misplaced(&self) -> Option<i64> {
        match (self.requested, self.first, self.source) {
            (Start::At(_), _, FrameSource::Assumed) => None,
            (Start::At(frame), Some(first), _) => {
                Some((first / MICROFRAMES_PER_FRAME).wrapping_sub(frame) as i64)
            }
            _ => None,
        }
    }

    /// Every gap before and in the transfer, in order: the hole before it, then each run of its `packets`
    /// that were due and not served.
    pub fn gaps<'a>(&'a self, packets: &'a [Packet]) -> impl Iterator<Item = Gap> + 'a {
        self.hole.iter().cloned().chain(LostRuns { report: self, packets, next: 0 })
    }

    /// All of that as one: see [`GapReport`].
    #[must_use]
    pub fn gap(&self, packets: &[Packet]) -> GapReport {
        let mut all: Option<Gap> = None;
        for gap in self.gaps(packets) {
            match &mut all {
                None => all = Some(gap),
                Some(sum) => {
                    sum.frames.end = gap.frames.end;
                    sum.intervals = sum.intervals.saturating_add(gap.intervals);
                    sum.uncertainty = sum.uncertainty.max(gap.uncertainty);
                }
            }
        }
        match all {
            Some(gap) => GapReport::Lost(gap),
            None if self.gaps_known => GapReport::None,
            None => GapReport::Unknowable,
        }
    }
}

/// Runs of lost packets of one transfer.
struct LostRuns<'a> {
    report: &'a Report,
    packets: &'a [Packet],
    next: usize,
}

impl Iterator for LostRuns<'_> {
    type Item = Gap;

    fn next(&mut self) -> Option<Gap> {
        let start =
            self.next + self.packets[self.next..].iter().position(|packet| packet.status.is_lost())?;
        let status = self.packets[start].status;
        let length = self.packets[start..].iter().take_while(|packet| packet.status == status).count();
        self.next = start + length;
        // Without a known position the gap is still a gap; it is told relative to frame 0 of the transfer.
        let base = self.report.first.unwrap_or(0);
        let from = base.saturating_add((start as u64).saturating_mul(self.report.period));
        let cause = if status == PacketStatus::Late { GapCause::Late } else { GapCause::HostMissed };
        run_of_intervals(from, length as u64, self.report.period, self.report.uncertainty, cause)
    }
}

/// The gap of so many intervals, one period apart, the first of them in microframe `from`.
pub(super) fn run_of_intervals(
    from: u64,
    intervals: u64,
    period: u64,
    uncertainty: u64,
    cause: GapCause,
) -> Option<Gap> {
    let last = from.saturating_add(intervals.checked_sub(1)?.saturating_mul(period));
    let frames = from / MICROFRAMES_PER_FRAME..last / MICROFRAMES_PER_FRAME + 1;
    Some(Gap { frames, intervals, uncertainty, cause })
}
