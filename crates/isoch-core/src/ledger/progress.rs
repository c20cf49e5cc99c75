//! Where an endpoint's stream stands: counted on from what was told, asked for or estimated.
//!
//! Why apart from the list of transfers? Because nearly every transfer just follows the one before it, and then there is
//! nothing to find out: [`Progress::follow`]. Whatever is not that simple is for [`Progress::account`].

use super::report::run_of_intervals;
use super::segment::{Segment, Settled};
use super::{Estimate, Facts, LedgerConfig, Revision};
use crate::block::Ending;
use crate::status::{FrameSource, Gap, GapCause, Outcome, Start};
use crate::time::{MICROFRAMES_PER_FRAME, Time};

/// How a transfer ended.
#[derive(Clone, Copy)]
pub(super) struct End {
    pub(super) outcome: Outcome,
    /// As [`Returned::began`](super::Returned::began).
    pub(super) began: bool,
    /// The microframe of its first interval, where the bus told.
    pub(super) first: Option<u64>,
    pub(super) estimated: Option<Estimated>,
}

/// What [`NextOver::wants_estimate`](super::NextOver::wants_estimate) asked for.
#[derive(Clone, Copy)]
pub(super) struct Estimated {
    pub(super) estimate: Estimate,
    /// Its stream is the first one ever on its clock, and so defines what the frames are called.
    pub(super) defines_frames: bool,
}

/// Where a transfer was.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) first: Option<u64>,
    pub(super) source: FrameSource,
    /// In microframes.
    pub(super) uncertainty: u64,
}

/// What there is to tell of the frames before a transfer.
#[derive(Default)]
pub(super) struct Account {
    pub(super) hole: Option<Gap>,
    pub(super) revision: Option<Box<Revision>>,
    /// Whether there was a hole is not known.
    pub(super) doubtful: bool,
}

/// What a segment needs to know of a transfer.
pub(super) struct Begun<'a> {
    pub(super) id: u64,
    pub(super) first: Option<u64>,
    pub(super) estimate: Option<Estimate>,
    pub(super) length: u64,
    pub(super) hole: Option<&'a Gap>,
}

/// Where a stream stands.
pub(super) struct Progress {
    config: LedgerConfig,
    /// The microframe from which a continuing stream owes data.
    owed_from: Option<u64>,
    /// The microframe after the last interval that is accounted for, if that is known.
    counted_to: Option<u64>,
    /// The stream runs and owes from where it stands, which will not be revised: what follows just follows.
    is_steady: bool,
    segment: Option<Segment>,
    streams: u64,
    /// By how many microframes what is counted may be wrong.
    uncertainty: u64,
}

impl Progress {
    pub(super) fn new(config: LedgerConfig) -> Self {
        Progress {
            config,
            owed_from: None,
            counted_to: None,
            is_steady: false,
            segment: None,
            streams: 0,
            uncertainty: 0,
        }
    }

    pub(super) fn counted_to(&self) -> Option<u64> {
        self.counted_to
    }

    pub(super) fn streams(&self) -> u64 {
        self.streams
    }

    pub(super) fn uncertainty(&self) -> u64 {
        self.uncertainty
    }

    pub(super) fn is_settled(&self) -> bool {
        self.segment.is_none()
    }

    /// At how many moments the stream showed where it is, with this one.
    pub(super) fn shown_by(&self, seen: Time) -> u32 {
        self.segment.as_ref().map_or(1, |segment| segment.shown_by(seen))
    }

    /// The stream lies so many frames later than was counted.
    pub(super) fn slid(&mut self, frames: i64) {
        let by = frames.saturating_mul(MICROFRAMES_PER_FRAME as i64);
        self.counted_to = self.counted_to.map(|end| end.saturating_add_signed(by));
        self.is_steady = false;
    }

    /// Takes a transfer of a running stream that ended well, right behind the one before it, as far as anybody
    /// tells. So it is with nearly all, and nothing has to be found out about them. Of any other: `None`, and nothing
    /// has changed.
    #[inline(always)]
    pub(super) fn follow(&mut self, facts: &Facts, ending: &Ending) -> Option<Place> {
        let first = self.counted_to.filter(|_| self.is_steady)?;
        if !facts.just_follows() || ending.outcome != Outcome::Completed {
            return None;
        }
        let (source, uncertainty) = match ending.first {
            None if ending.number.is_some() => return None,
            None if self.uncertainty > 0 => (FrameSource::Estimated, self.uncertainty),
            None => (FrameSource::Counted, 0),
            Some(told) if told == first => (FrameSource::Reported, 0),
            Some(_) => return None,
        };
        let end = Some(first.saturating_add(facts.length));
        (self.owed_from, self.counted_to) = (end, end);
        Some(Place { first: Some(first), source, uncertainty })
    }

    /// Finds out where any other transfer was, and what was lost before it.
    #[inline(never)]
    pub(super) fn account(&mut self, entry: &Facts, mut ended: End) -> (Place, Account) {
        if let Some(Estimated { estimate, .. }) = &mut ended.estimated
            && self.config.whole_frames()
        {
            *estimate = estimate.of_whole_frames();
        }
        // What is known of the stream before this one by now is all that will be.
        let before = self.segment.take_if(|segment| entry.idle_bus && segment.may_settle());
        let before = before.and_then(|segment| self.move_along(segment.settle(self.config.period)));
        let mut place = self.place(entry, &ended);
        let mut hole = self.hole(entry, &ended, place);
        if entry.doubtful
            && let Some((counted, Estimated { estimate, .. })) = self.counted_to.zip(ended.estimated.as_mut())
        {
            // If it followed, it was not begun after a lead, and its end was seen late by as much as it seems to have
            // been away: that is found out when it has settled.
            let away = place.first.map_or(0, |first| first.saturating_sub(counted));
            estimate.not_before = estimate.not_before.min(counted.saturating_sub(self.uncertainty));
            place.uncertainty = place.uncertainty.max(away);
            if let Some(hole) = &mut hole {
                hole.uncertainty = hole.uncertainty.max(place.uncertainty.div_ceil(MICROFRAMES_PER_FRAME));
            }
        }
        // A pause so short that it may have been none is no gap, and not known to be none.
        let continues = entry.start == Start::Continue && self.owed_from.is_some();
        let unsure = place.uncertainty > 0 || self.uncertainty > 0;
        let doubtful = hole.is_none() && entry.idle_bus && continues && unsure;
        let begun = Begun {
            id: entry.id,
            first: place.first,
            estimate: ended.estimated.map(|estimated| estimated.estimate),
            length: entry.length,
            hole: hole.as_ref(),
        };
        let nowhere = entry.was_nowhere(&ended);
        let settled = if nowhere { None } else { self.settle(entry, place, &begun) };

        let end = place.first.map(|first| first.saturating_add(entry.length));
        self.owed_from = self.owed_after(entry, &ended, end);
        if !nowhere {
            // Where it was to begin is not where it began, on a bus that tells neither: the next will show it.
            let wished = place.source == FrameSource::Assumed && self.config.frames == FrameSource::Estimated;
            self.counted_to = end.filter(|_| !wished);
        } else if entry.idle_bus {
            // The new stream that it was to begin is begun by the next.
            self.counted_to = None;
        }
        let revision = settled.and_then(|settled| self.move_along(settled)).or(before);
        let runs = self.counted_to.is_some() && self.owed_from == self.counted_to;
        self.is_steady = runs && self.segment.is_none() && !self.config.whole_frames();
        (place, Account { hole, revision, doubtful })
    }

    /// The transfers to come were going to be counted on from an estimated start that is known better now.
    fn move_along(&mut self, settled: Settled) -> Option<Box<Revision>> {
        for end in [&mut self.owed_from, &mut self.counted_to].into_iter().flatten() {
            *end = end.saturating_add_signed(settled.shift);
        }
        self.uncertainty = settled.uncertainty;
        settled.revision.map(Box::new)
    }

    /// Where a transfer was, how that is known, and by how much it may be wrong.
    fn place(&self, entry: &Facts, ended: &End) -> Place {
        let exactly = |first, source| Place { first, source, uncertainty: 0 };
        if ended.first.is_some() {
            return exactly(ended.first, FrameSource::Reported);
        }
        let asked = entry.asked();
        if entry.was_nowhere(ended) {
            // One that came too late for its frame was due there all the same.
            return exactly(asked.filter(|_| ended.outcome == Outcome::Late), FrameSource::Counted);
        }
        let counted = self.counted_to.filter(|_| !entry.idle_bus);
        let assumed = self.config.frames == FrameSource::Assumed;
        if assumed && asked.is_some() {
            return exactly(asked, FrameSource::Assumed);
        }
        if counted.is_some() {
            // A stream that never ran dry: interval follows interval.
            let source = match (self.uncertainty, assumed) {
                (0, true) => FrameSource::Assumed,
                (0, false) => FrameSource::Counted,
                _ => FrameSource::Estimated,
            };
            return Place { first: counted, source, uncertainty: self.uncertainty };
        }
        let Some(Estimated { estimate, defines_frames }) = ended.estimated else {
            return exactly(asked, FrameSource::Assumed);
        };
        let off = asked.map(|asked| estimate.first.abs_diff(asked));
        let Estimate { first, uncertainty, .. } = estimate.rounded(self.config.period);
        if defines_frames {
            // The frame it was to start on is that frame from now on, unless it cannot have been.
            return match off {
                Some(off) if off > uncertainty.saturating_add(MICROFRAMES_PER_FRAME) => {
                    Place { first: Some(first), source: FrameSource::Estimated, uncertainty }
                }
                _ => exactly(asked.or(Some(first)), FrameSource::Counted),
            };
        }
        // Within the estimate's uncertainty the frame that was aimed at is the better guess; outside of it
        // the clock is believed, not the wish.
        let first = if off.is_some_and(|off| off <= uncertainty) { asked } else { Some(first) };
        Place { first, source: FrameSource::Estimated, uncertainty }
    }

    /// The frames that a continuing stream owed before this transfer.
    fn hole(&self, entry: &Facts, ended: &End, place: Place) -> Option<Gap> {
        let continues = entry.start == Start::Continue && entry.handed_over && ended.began;
        if !continues || !(self.config.gaps || entry.placed.is_some()) {
            return None;
        }
        let (owed, first) = self.owed_from.zip(place.first)?;
        // It began anew, even if it did not by how the stream before it is thought to have ended.
        let surely = self.uncertainty >= self.config.period && entry.idle_bus && !entry.doubtful;
        let after = first.checked_sub(owed).or(surely.then_some(0))?;
        // Where it may have followed, only a hole that is longer than what may be wrong is one.
        if entry.doubtful && after <= place.uncertainty.saturating_add(self.uncertainty) {
            return None;
        }
        let intervals = (after / self.config.period).max(u64::from(surely));
        let cause = if entry.idle_bus { GapCause::QueueRanDry } else { GapCause::Late };
        // Its end may be wrong, and so may its beginning: where the stream before it stood.
        let uncertainty = place.uncertainty.saturating_add(self.uncertainty).div_ceil(MICROFRAMES_PER_FRAME);
        run_of_intervals(owed, intervals, self.config.period, uncertainty, cause)
    }

    /// From where a stream that continues after this transfer owes data.
    fn owed_after(&self, entry: &Facts, ended: &End, end: Option<u64>) -> Option<u64> {
        if entry.filler {
            return self.owed_from;
        }
        match ended.outcome {
            // What the user withdrew is not owed, and neither is what would have followed it.
            Outcome::Cancelled | Outcome::BadStartFrame => None,
            // It failed without having been anywhere: its own frames are owed.
            _ if end.is_none() && entry.start == Start::Continue => self.owed_from,
            // A named frame may have been late because others had it: theirs are not owed again.
            Outcome::Late if matches!(entry.start, Start::At(_)) => end.max(self.owed_from),
            _ => end.or_else(|| Some(entry.asked()?.saturating_add(entry.length))),
        }
    }

    /// Follows a segment that began at an estimated position, and revises that position once.
    fn settle(&mut self, entry: &Facts, place: Place, begun: &Begun<'_>) -> Option<Settled> {
        let named = place.source == FrameSource::Assumed && entry.asked().is_some();
        if entry.idle_bus || self.counted_to.is_none() || named {
            let before = std::mem::take(&mut self.uncertainty);
            self.segment = None;
            self.streams += 1;
            if place.source == FrameSource::Estimated {
                self.uncertainty = place.uncertainty;
                self.segment = Segment::new(begun, self.owed_from, before);
            }
            return None;
        }
        if !self.segment.as_mut()?.follow(begun, self.config.period) {
            return None;
        }
        Some(self.segment.take()?.settle(self.config.period))
    }
}
