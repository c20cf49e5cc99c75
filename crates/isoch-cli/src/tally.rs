//! The account of a stream, kept while it runs.
//!
//! Why not keep the completions? A stream may run for days. What is kept here does not grow: the first
//! [`GAPS_KEPT`] gaps are listed, all are counted.

use std::ops::Range;

use isoch::{Completion, FrameSource, Gap, GapCause, GapReport, Outcome, PacketStatus};

use crate::report::Verdict;

/// Gaps that are listed one by one.
const GAPS_KEPT: usize = 1000;

/// A run of lost frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GapRecord {
    pub(crate) frames: Range<u64>,
    pub(crate) intervals: u64,
    pub(crate) uncertainty: u64,
    pub(crate) cause: GapCause,
    /// Whether `frames` are the bus's frame numbers; if not, only their number means anything.
    pub(crate) placed: bool,
}

/// A run of frames in which packets went wrong on the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FailureRecord {
    pub(crate) frames: Range<u64>,
    pub(crate) packets: u64,
}

/// Counts of everything that completed.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    first_frame: Option<u64>,
    next_frame: Option<u64>,
    weakest_source: Option<FrameSource>,
    pub(crate) uncertainty: u64,
    pub(crate) transfers: u64,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) bytes_handed_over: u64,
    gaps: Vec<GapRecord>,
    pub(crate) gap_count: u64,
    pub(crate) intervals_lost: u64,
    /// The gap that the next one may continue, whether it is listed or not.
    last_gap: Option<GapRecord>,
    failures: Vec<FailureRecord>,
    pub(crate) unknowable: u64,
    pub(crate) misplaced: u64,
    pub(crate) late: u64,
    pub(crate) missed: u64,
    pub(crate) failed: u64,
    pub(crate) cancelled: u64,
    pub(crate) unknown: u64,
    pub(crate) late_submits: u64,
    pub(crate) failed_transfers: u64,
    pub(crate) refused_transfers: u64,
    pub(crate) device_gone: bool,
}

impl Tally {
    pub(crate) fn add(&mut self, done: &Completion) {
        let report = done.report();
        self.transfers += 1;
        let mut ran = false;
        // Intervals up to the last one that was not cancelled.
        let mut used = 0;
        for (index, packet) in (1_u64..).zip(done.packets()) {
            self.packets += 1;
            self.bytes_handed_over += packet.length() as u64;
            self.bytes += packet.transferred() as u64;
            if packet.status() != PacketStatus::Cancelled {
                ran = true;
                used = index;
            }
            match packet.status() {
                PacketStatus::Late => self.late += 1,
                PacketStatus::Missed => self.missed += 1,
                PacketStatus::Failed(_) => {
                    self.failed += 1;
                    if let Some(first) = report.first {
                        self.add_failure(first.saturating_add((index - 1).saturating_mul(report.period)) / 8);
                    }
                }
                PacketStatus::Cancelled => self.cancelled += 1,
                PacketStatus::Unknown | PacketStatus::Pending => self.unknown += 1,
                _ => {}
            }
        }
        match done.outcome() {
            Outcome::Late => ran = false,
            Outcome::BadStartFrame => {
                ran = false;
                self.refused_transfers += 1;
            }
            Outcome::DeviceGone => self.device_gone = true,
            Outcome::Failed(_) => self.failed_transfers += 1,
            _ => {}
        }
        self.misplaced += u64::from(done.misplaced().is_some_and(|by| by != 0));
        self.late_submits += u64::from(report.hole.is_some());
        self.unknowable += u64::from(ran && done.gap() == GapReport::Unknowable);
        if ran && let Some(first) = report.first {
            let end = first.saturating_add(used.saturating_mul(report.period));
            let frames = first / 8..end.div_ceil(8);
            self.first_frame = Some(self.first_frame.map_or(frames.start, |first| first.min(frames.start)));
            self.next_frame = Some(self.next_frame.map_or(frames.end, |next| next.max(frames.end)));
            self.uncertainty = self.uncertainty.max(done.frame_uncertainty());
            let source = done.frame_source();
            if self.weakest_source.is_none_or(|known| rank(source) > rank(known)) {
                self.weakest_source = Some(source);
            }
        }
        for gap in done.gaps() {
            self.add_gap(gap, report.first.is_some());
        }
        if let Some(revision) = done.revision() {
            self.revise(&revision.was, &revision.is);
        }
    }

    fn add_gap(&mut self, gap: Gap, placed: bool) {
        self.intervals_lost += gap.intervals;
        let record = GapRecord {
            frames: gap.frames,
            intervals: gap.intervals,
            uncertainty: gap.uncertainty,
            cause: gap.cause,
            placed,
        };
        // Transfers end somewhere in the middle of what went wrong; that makes no new gap.
        if let Some(last) = &mut self.last_gap
            && (last.cause, last.placed, true) == (record.cause, record.placed, placed)
            && (last.frames.start..=last.frames.end).contains(&record.frames.start)
        {
            let listed = self.gaps.last().is_some_and(|listed| listed == last);
            last.frames.end = last.frames.end.max(record.frames.end);
            last.intervals += record.intervals;
            last.uncertainty = last.uncertainty.max(record.uncertainty);
            if listed && let Some(end) = self.gaps.last_mut() {
                *end = last.clone();
            }
            return;
        }
        self.gap_count += 1;
        if self.gaps.len() < GAPS_KEPT {
            self.gaps.push(record.clone());
        }
        self.last_gap = Some(record);
    }

    fn add_failure(&mut self, frame: u64) {
        if let Some(last) = self.failures.last_mut()
            && (last.frames.start..=last.frames.end).contains(&frame)
        {
            last.frames.end = last.frames.end.max(frame + 1);
            last.packets += 1;
        } else if self.failures.len() < GAPS_KEPT {
            self.failures.push(FailureRecord { frames: frame..frame + 1, packets: 1 });
        }
    }

    /// Whether packets came, as the bus tells, and none of them had a byte.
    pub(crate) fn all_empty(&self) -> bool {
        let elsewhere = self.cancelled + self.failed + self.late + self.missed + self.unknown;
        self.bytes == 0 && self.packets > elsewhere && self.unknown == 0
    }

    /// Where packets failed: the first runs, in order.
    pub(crate) fn failures(&self) -> &[FailureRecord] {
        &self.failures
    }

    /// A gap that was estimated is known better.
    fn revise(&mut self, was: &Gap, is: &Gap) {
        let found = self.gaps.iter().rposition(|gap| gap.cause == was.cause && gap.frames == was.frames);
        self.intervals_lost = self.intervals_lost.saturating_sub(was.intervals) + is.intervals;
        let gone = is.frames.is_empty();
        self.gap_count -= u64::from(gone && self.gap_count > 0);
        let Some(index) = found else { return };
        if gone {
            self.gaps.remove(index);
        } else {
            let gap = &mut self.gaps[index];
            gap.frames = is.frames.clone();
            gap.intervals = is.intervals;
            gap.uncertainty = is.uncertainty;
        }
    }

    /// The frames used, where they are known.
    pub(crate) fn frames(&self) -> Option<Range<u64>> {
        Some(self.first_frame?..self.next_frame?)
    }

    /// How they are known, at worst.
    pub(crate) fn source(&self) -> Option<FrameSource> {
        self.weakest_source
    }

    /// The first gaps, in order.
    pub(crate) fn gaps(&self) -> &[GapRecord] {
        &self.gaps
    }

    /// How it went, errors aside.
    pub(crate) fn verdict(&self) -> Verdict {
        let bad = self.gap_count
            + self.misplaced
            + self.late
            + self.missed
            + self.failed
            + self.failed_transfers
            + self.refused_transfers;
        if bad > 0 {
            Verdict::Lost
        } else if self.unknowable > 0 {
            Verdict::Unverifiable
        } else {
            Verdict::Placed
        }
    }
}

fn rank(source: FrameSource) -> u8 {
    match source {
        FrameSource::Reported => 0,
        FrameSource::Counted => 1,
        FrameSource::Estimated => 2,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gap(frames: Range<u64>, cause: GapCause) -> Gap {
        Gap { intervals: frames.end - frames.start, frames, uncertainty: 0, cause }
    }

    #[test]
    fn gaps_that_transfers_cut_are_one() {
        let mut tally = Tally::default();
        for frames in [100..104, 104..108, 108..110, 120..121] {
            tally.add_gap(gap(frames, GapCause::HostMissed), true);
        }
        tally.add_gap(gap(121..130, GapCause::QueueRanDry), true);
        let found: Vec<_> = tally.gaps().iter().map(|gap| (gap.frames.clone(), gap.intervals)).collect();
        assert_eq!(found, [(100..110, 10), (120..121, 1), (121..130, 9)]);
        assert_eq!((tally.gap_count, tally.intervals_lost), (3, 20));
        let (was, is) = (gap(121..130, GapCause::QueueRanDry), gap(121..128, GapCause::QueueRanDry));
        tally.revise(&was, &is);
        assert_eq!((tally.gaps()[2].frames.clone(), tally.intervals_lost), (121..128, 18));
        tally.revise(&is, &gap(121..121, GapCause::QueueRanDry));
        assert_eq!((tally.gaps().len(), tally.gap_count, tally.intervals_lost), (2, 2, 11));
    }

    #[test]
    fn the_list_of_gaps_is_bounded() {
        let mut tally = Tally::default();
        for n in 0..10_000 {
            tally.add_gap(gap(n * 10..n * 10 + 2, GapCause::Late), true);
            tally.add_gap(gap(n * 10 + 2..n * 10 + 3, GapCause::Late), true);
        }
        assert_eq!((tally.gaps().len(), tally.gap_count, tally.intervals_lost), (GAPS_KEPT, 10_000, 30_000));
        assert_eq!(tally.gaps()[GAPS_KEPT - 1].frames, 9990..9993);
    }
}
