//! The ledger: which frames each transfer used, how that is known, and what was lost.
//!
//! Why not let each bus fill in the frames it asked for? Because that is how a stream slides unnoticed:
//! libusb and its kin report what was requested. The ledger is written from reports only. What a bus
//! does not report is counted on from what it did report, or estimated with a stated uncertainty, or
//! called assumed; and it is one piece of code for all buses, so that a gap means the same on each.
//!
//! It also keeps the promise of order. A bus may give transfers back in any order (usbfs does, when they
//! are discarded newest first); [`Ledger::pop`] gives them out in the order in which they were added, each
//! exactly once.

use std::collections::VecDeque;

pub use report::{Report, Revision};

use crate::status::{FrameSource, Gap, GapCause, Outcome, Start};
use crate::time::{MICROFRAMES_PER_FRAME, Time};
use report::run_of_intervals;
use segment::{Segment, Settled};

mod report;
mod segment;
#[cfg(test)]
mod tests;

/// What an endpoint's bus knows.
#[derive(Clone, Copy, Debug)]
pub struct LedgerConfig {
    /// Microframes between service intervals.
    pub period: u64,
    /// How the frames of a stream that never ran dry are known on this bus.
    pub frames: FrameSource,
    /// Whether a hole between transfers can be known at all.
    pub gaps: bool,
}

impl LedgerConfig {
    /// The microframes that a transfer keeps the next one waiting for.
    fn length(self, intervals: u64) -> u64 {
        let length = intervals.saturating_mul(self.period);
        match self.whole_frames() {
            true => length.div_ceil(MICROFRAMES_PER_FRAME).saturating_mul(MICROFRAMES_PER_FRAME),
            false => length,
        }
    }

    /// Whether transfers begin and end with frames: so on the one system that confirms none.
    fn whole_frames(self) -> bool {
        self.frames == FrameSource::Assumed
    }
}

/// Whether a transfer follows the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuity {
    /// The bus still had something when it got this.
    Unbroken,
    /// Nobody knows.
    Doubtful,
    /// The bus had nothing left: a new stream begins.
    Broken,
}

/// What a bus tells when a transfer is over.
#[derive(Clone, Copy, Debug)]
pub struct BusReport {
    /// How it ended.
    pub outcome: Outcome,
    /// Whether its first interval had come by then. A transfer that was withdrawn before that never
    /// continued anything.
    pub began: bool,
    /// The microframe of its first interval, where the bus tells. For a transfer that was late or
    /// cancelled: where it was due.
    pub first: Option<u64>,
    /// The microframe of its first interval as far as the clock can tell from its end. Only of transfers
    /// that ran to their end, and only where it is needed: see [`NextOver::wants_estimate`].
    pub estimate: Option<Estimate>,
    /// Whether its stream is the first one ever on its clock, and so defines what the frames are called.
    pub defines_frames: bool,
    /// When the host learnt of it.
    pub seen: Time,
}

/// A position computed from a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// Microframe of the transfer's first interval.
    pub first: u64,
    /// By how many microframes that may be wrong, either way.
    pub uncertainty: u64,
    /// By how many more it may be too late: of several completions, all are late.
    pub late: u64,
    /// The microframe before which it cannot have begun, because the bus had not got it; 0 if nobody knows.
    /// A transfer is seen to be over late, by as much as the program is held up: so this bounds the error.
    pub not_before: u64,
    /// The microframe after which it cannot have begun, because the bus begins so soon after it got it; `u64::MAX` if
    /// nobody knows.
    pub not_after: u64,
}

/// A transfer that is over, and next in order.
pub struct NextOver<'a, T> {
    /// Its intervals.
    pub intervals: u64,
    /// When the host learnt of its end.
    pub seen: Time,
    /// What came back with it.
    pub payload: &'a T,
    /// Whether only an estimate can tell where it was, or may tell it better. Most transfers just follow another; so
    /// nothing is estimated before it is asked for.
    pub wants_estimate: bool,
    /// Transfers of its stream that showed before where it is.
    pub shown: u32,
}

struct Entry<K, T> {
    facts: Facts,
    ticket: K,
    report: Option<(BusReport, T)>,
}

/// What is known of a transfer before it is over.
#[derive(Clone, Copy)]
struct Facts {
    id: u64,
    start: Start,
    intervals: u64,
    filler: bool,
    /// The bus took it.
    handed_over: bool,
    /// The bus had nothing left of this endpoint when it got this, so a new stream began; or may have.
    idle_bus: bool,
    /// It may have had something left.
    doubtful: bool,
    /// The microframe that the bus chose for it, where it chose one and will not confirm it.
    placed: Option<u64>,
}

impl<K, T> Entry<K, T> {
    /// What it adds to what is ahead: the frames that it takes, or will. What ended without having been at the bus
    /// takes none.
    fn weight(&self, config: LedgerConfig) -> Ahead {
        match self.facts.handed_over || self.report.is_none() {
            true => self.facts.weight(config),
            false => Ahead::default(),
        }
    }
}

impl Facts {
    /// The microframe that its owner named, or else the one that the bus asked the system for.
    fn asked(&self) -> Option<u64> {
        match self.start {
            Start::At(frame) => Some(frame.saturating_mul(MICROFRAMES_PER_FRAME)),
            Start::Asap | Start::Continue => self.placed,
        }
    }

    fn begins_a_count(&self) -> bool {
        self.idle_bus || self.asked().is_some()
    }

    fn weight(&self, config: LedgerConfig) -> Ahead {
        Ahead { length: config.length(self.intervals), counts: usize::from(self.begins_a_count()) }
    }

    /// Whether it never had a place on the bus.
    fn was_nowhere(&self, report: &BusReport) -> bool {
        match report.outcome {
            Outcome::BadStartFrame => true,
            Outcome::Failed(_) => !report.began,
            _ => !self.handed_over,
        }
    }
}

/// Where a transfer was.
#[derive(Clone, Copy)]
struct Place {
    first: Option<u64>,
    source: FrameSource,
    /// In microframes.
    uncertainty: u64,
}

/// What there is to tell of the frames before a transfer.
#[derive(Default)]
struct Account {
    hole: Option<Gap>,
    revision: Option<Box<Revision>>,
    /// Whether there was a hole is not known.
    doubtful: bool,
}

/// What a segment needs to know of a transfer.
struct Begun<'a> {
    id: u64,
    first: Option<u64>,
    estimate: Option<Estimate>,
    length: u64,
    hole: Option<&'a Gap>,
}

/// What the entries add up to, so that their end is known without a walk through them.
#[derive(Clone, Copy, Debug, Default)]
struct Ahead {
    /// Microframes that they take.
    length: u64,
    /// How many of them begin a count of their own.
    counts: usize,
}

impl Ahead {
    fn add(&mut self, other: Ahead) {
        self.length = self.length.wrapping_add(other.length);
        self.counts += other.counts;
    }

    fn remove(&mut self, other: Ahead) {
        self.length = self.length.wrapping_sub(other.length);
        self.counts -= other.counts;
    }
}

/// One endpoint's ledger. `T` is what comes back with a transfer: its block. `K` is what its owner wants to
/// remember of each.
pub struct Ledger<K, T> {
    config: LedgerConfig,
    entries: VecDeque<Entry<K, T>>,
    /// The sequence number of the first entry.
    front: u64,
    /// What the bus has: transfers, and their intervals.
    at_bus: (usize, u64),
    /// The sum of `entries`.
    ahead: Ahead,
    /// The microframe from which a continuing stream owes data.
    owed_from: Option<u64>,
    /// The microframe after the last interval that is accounted for, if that is known.
    counted_to: Option<u64>,
    segment: Option<Segment>,
    streams: u64,
    /// By how many microframes what is counted may be wrong.
    uncertainty: u64,
}

impl<K, T> Ledger<K, T> {
    /// An empty ledger.
    #[must_use]
    pub fn new(config: LedgerConfig) -> Self {
        Ledger {
            config: LedgerConfig { period: config.period.max(1), ..config },
            entries: VecDeque::new(),
            front: 0,
            at_bus: (0, 0),
            ahead: Ahead::default(),
            owed_from: None,
            counted_to: None,
            segment: None,
            streams: 0,
            uncertainty: 0,
        }
    }

    /// Makes room for this many unfinished transfers, so that adding them allocates nothing.
    pub fn reserve(&mut self, transfers: usize) {
        self.entries.reserve(transfers.saturating_sub(self.entries.len()));
    }

    /// Transfers added and not yet popped.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is outstanding.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many transfers the bus has now, and how many intervals they have.
    #[must_use]
    pub fn at_bus(&self) -> (usize, u64) {
        self.at_bus
    }

    /// The microframe after everything that was added, as far as it can be told before it has run.
    #[must_use]
    pub fn expected_end(&self) -> Option<u64> {
        if self.ahead.counts == 0 {
            debug_assert_eq!(
                self.ahead.length,
                self.entries.iter().fold(0, |sum, entry| entry.weight(self.config).length.wrapping_add(sum))
            );
            return self.counted_to.map(|end| end.saturating_add(self.ahead.length));
        }
        let mut length = 0_u64;
        // From the newest back to one whose start is known: mostly the newest itself.
        for entry in
            self.entries.iter().rev().filter(|entry| entry.facts.handed_over || entry.report.is_none())
        {
            length = length.saturating_add(self.config.length(entry.facts.intervals));
            match entry.facts.asked() {
                Some(start) => return Some(start.saturating_add(length)),
                None if entry.facts.idle_bus => return None,
                None => {}
            }
        }
        self.counted_to.map(|end| end.saturating_add(length))
    }

    /// Adds a transfer; its place in the order is fixed now. Returns its sequence number, by which the bus
    /// reports it. `id` is the owner's name for it.
    pub fn add(&mut self, id: u64, start: Start, intervals: u64, ticket: K) -> u64 {
        self.push(id, start, intervals, false, ticket)
    }

    /// Adds a transfer of empty intervals that nobody asked for: it takes its place in the count, and what
    /// a continuing stream owes is not served by it.
    pub fn add_filler(&mut self, intervals: u64, ticket: K) -> u64 {
        self.push(0, Start::Asap, intervals, true, ticket)
    }

    #[inline]
    fn push(&mut self, id: u64, start: Start, intervals: u64, filler: bool, ticket: K) -> u64 {
        let sequence = self.front + self.entries.len() as u64;
        let facts = Facts {
            id,
            start,
            intervals,
            filler,
            handed_over: false,
            idle_bus: false,
            doubtful: false,
            placed: None,
        };
        self.ahead.add(facts.weight(self.config));
        self.entries.push_back(Entry { facts, ticket, report: None });
        sequence
    }

    /// Changes an entry, and with it what is ahead.
    fn change<R>(&mut self, sequence: u64, change: impl FnOnce(&mut Entry<K, T>) -> R) -> Option<R> {
        let config = self.config;
        let entry = self.entry(sequence)?;
        let before = entry.weight(config);
        let result = change(entry);
        let after = entry.weight(config);
        self.ahead.remove(before);
        self.ahead.add(after);
        Some(result)
    }

    /// The bus took it. `continuity`: whether it had served everything before it already, whether or not that has
    /// been reported. Returns what the owner remembers of it; `None` if the bus cannot have taken it just now.
    pub fn handed_over(&mut self, sequence: u64, continuity: Continuity) -> Option<&mut K> {
        let index = usize::try_from(sequence.checked_sub(self.front)?).ok()?;
        let Entry { facts, ticket, report: None } = self.entries.get_mut(index)? else { return None };
        if facts.handed_over {
            return None;
        }
        let is_empty = self.at_bus.0 == 0;
        facts.handed_over = true;
        facts.idle_bus = is_empty || continuity != Continuity::Unbroken;
        facts.doubtful = !is_empty && continuity == Continuity::Doubtful;
        if facts.idle_bus && facts.asked().is_none() {
            self.ahead.counts += 1;
        }
        self.at_bus.0 += 1;
        self.at_bus.1 = self.at_bus.1.wrapping_add(facts.intervals);
        Some(ticket)
    }

    /// The bus itself chose this frame for it and asked the system for it: one that will not confirm it. So
    /// its frames are assumed, as if they had been named, and what it left out is known.
    pub fn placed(&mut self, sequence: u64, frame: u64) {
        let placed = Some(frame.saturating_mul(MICROFRAMES_PER_FRAME));
        self.change(sequence, |entry| entry.facts.placed = placed);
    }

    /// It was found out since that the bus may have had nothing left when it got this one.
    pub fn began_anew(&mut self, sequence: u64) {
        self.change(sequence, |Entry { facts, .. }| {
            facts.doubtful |= facts.handed_over && !facts.idle_bus;
            facts.idle_bus |= facts.handed_over;
        });
    }

    /// How many streams began. When this changes, what is counted is counted anew.
    #[must_use]
    pub fn streams(&self) -> u64 {
        self.streams
    }

    /// By how many microframes [`Self::expected_end`] may be wrong.
    #[must_use]
    pub fn uncertainty(&self) -> u64 {
        self.uncertainty
    }

    /// Whether the stream's position is as well known as it will be: not so shortly after it began at an
    /// estimated one.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.segment.is_none()
    }

    /// It is over: the bus gave it back, or never took it.
    ///
    /// # Errors
    /// Hands `payload` back if no such transfer is outstanding: a bus that reports twice.
    #[inline]
    pub fn reported(&mut self, sequence: u64, report: BusReport, payload: T) -> Result<(), T> {
        let index = sequence.checked_sub(self.front).and_then(|index| usize::try_from(index).ok());
        let Some(entry @ Entry { report: None, .. }) = index.and_then(|index| self.entries.get_mut(index))
        else {
            return Err(payload);
        };
        let facts = &entry.facts;
        if facts.handed_over {
            self.at_bus.0 -= 1;
            self.at_bus.1 = self.at_bus.1.wrapping_sub(facts.intervals);
        } else {
            // It takes no frames, and will not.
            self.ahead.remove(facts.weight(self.config));
        }
        entry.report = Some((report, payload));
        Ok(())
    }

    /// The clock found that the stream slid by so many frames without anyone telling: what is counted from
    /// here on is that much later, and a continuing stream lost them.
    pub fn slid(&mut self, frames: i64) {
        let by = frames.saturating_mul(MICROFRAMES_PER_FRAME as i64);
        self.counted_to = self.counted_to.map(|end| end.saturating_add_signed(by));
    }

    /// The sequence number of an outstanding transfer by its owner's name for it.
    #[must_use]
    pub fn find(&self, id: u64) -> Option<u64> {
        let wanted =
            |entry: &Entry<K, T>| entry.facts.id == id && !entry.facts.filler && entry.report.is_none();
        Some(self.front + self.entries.iter().position(wanted)? as u64)
    }

    /// The sequence number of the transfer that is next in order.
    #[must_use]
    pub fn next_to_pop(&self) -> u64 {
        self.front
    }

    /// What the owner remembers of an outstanding transfer.
    pub fn ticket(&mut self, sequence: u64) -> Option<&mut K> {
        self.entry(sequence).map(|entry| &mut entry.ticket)
    }

    fn entry(&mut self, sequence: u64) -> Option<&mut Entry<K, T>> {
        let index = usize::try_from(sequence.checked_sub(self.front)?).ok()?;
        self.entries.get_mut(index)
    }

    /// The next transfer in order, if it is over.
    #[must_use]
    pub fn next_over(&self) -> Option<NextOver<'_, T>> {
        let Entry { facts, report: Some((report, payload)), .. } = self.entries.front()? else { return None };
        let counted = self.counted_to.is_some() && !facts.idle_bus && self.segment.is_none();
        let told = report.first.is_some() || report.estimate.is_some();
        Some(NextOver {
            intervals: facts.intervals,
            seen: report.seen,
            payload,
            wants_estimate: !counted && !told && report.outcome == Outcome::Completed,
            shown: self.segment.as_ref().filter(|_| !facts.idle_bus).map_or(0, Segment::transfers),
        })
    }

    /// What tells best where the next transfer in order began: the intervals from its beginning to the end of one that
    /// follows it and is over, too, and when that was seen. A program that was held up sees many to be over at one time;
    /// the last of them had been so for the shortest time. `follows`: whether that is certain of the transfer with this
    /// ticket.
    pub fn tells_most(&self, follows: impl Fn(&K) -> bool) -> Option<(u64, Time)> {
        let follows =
            |entry: &&Entry<K, T>| !entry.facts.idle_bus && !entry.facts.doubtful && follows(&entry.ticket);
        let first = self.entries.front().into_iter();
        let over = first.chain(self.entries.iter().skip(1).take_while(follows)).map_while(|entry| {
            let (report, _) = entry.report.as_ref()?;
            (report.outcome == Outcome::Completed).then_some((entry.facts.intervals, report.seen))
        });
        let mut intervals = 0;
        let ends = over.map(|(of_one, seen)| {
            intervals += of_one;
            (intervals, seen)
        });
        let began = |(intervals, seen): &(u64, Time)| {
            i128::from(seen.as_nanos()) - i128::from(self.config.length(*intervals)) * 125_000
        };
        ends.min_by_key(began)
    }

    /// It was found out since in which microframe the next transfer in order began.
    pub fn located(&mut self, first: u64) {
        if let Some((report, _)) = self.entries.front_mut().and_then(|entry| entry.report.as_mut()) {
            report.first.get_or_insert(first);
        }
    }

    /// What [`NextOver::wants_estimate`] asked for. `defines_frames` as in [`BusReport`].
    pub fn estimated(&mut self, estimate: Estimate, defines_frames: bool) {
        if let Some((report, _)) = self.entries.front_mut().and_then(|entry| entry.report.as_mut()) {
            report.estimate = Some(estimate);
            report.defines_frames = defines_frames;
        }
    }

    /// The next transfer in order, if it is over.
    pub fn pop(&mut self) -> Option<(Report, K, T)> {
        let mut told = None;
        let (ticket, payload) = self.pop_with(|_, report| told = Some(report))?;
        Some((told?, ticket, payload))
    }

    /// The same, with the report put where it is to lie: it is long, and made for each transfer.
    pub fn pop_with(&mut self, put: impl FnOnce(&mut T, Report)) -> Option<(K, T)> {
        self.write_next(put)?;
        self.front += 1;
        match self.entries.pop_front() {
            Some(Entry { ticket, report: Some((_, payload)), .. }) => Some((ticket, payload)),
            _ => None,
        }
    }

    /// Writes the report of the next transfer in order, if it is over.
    fn write_next(&mut self, put: impl FnOnce(&mut T, Report)) -> Option<()> {
        let Entry { facts, report: Some((report, _)), .. } = self.entries.front()? else { return None };
        let length = self.config.length(facts.intervals);
        if facts.handed_over {
            self.ahead.length = self.ahead.length.wrapping_sub(length);
            self.ahead.counts -= usize::from(facts.begins_a_count());
        }
        let (place, account) = match self.just_followed(facts, report) {
            Some(place) => {
                let end = place.first.map(|first| first.saturating_add(length));
                (self.owed_from, self.counted_to) = (end, end);
                (place, Account::default())
            }
            None => {
                let (facts, report) = (*facts, *report);
                self.account(&facts, report, length)
            }
        };
        let Entry { facts, report: Some((report, payload)), .. } = self.entries.front_mut()? else {
            return None;
        };
        let report = Report {
            id: facts.id,
            outcome: report.outcome,
            requested: facts.start,
            first: place.first,
            source: place.source,
            uncertainty: place.uncertainty.div_ceil(MICROFRAMES_PER_FRAME),
            intervals: facts.intervals,
            period: self.config.period,
            hole: account.hole,
            revision: account.revision,
            gaps_known: self.config.gaps && !account.doubtful,
            seen: report.seen,
        };
        put(payload, report);
        Some(())
    }

    /// The place of a transfer of a running stream that ended well, right behind the one before it, as far as anybody
    /// tells. So it is with nearly all, and nothing has to be found out about them.
    fn just_followed(&self, entry: &Facts, report: &BusReport) -> Option<Place> {
        let first = self.counted_to?;
        let follows = entry.start == Start::Continue
            && entry.handed_over
            && !(entry.idle_bus || entry.filler)
            && entry.placed.is_none()
            && report.outcome == Outcome::Completed
            && self.owed_from == Some(first)
            && self.segment.is_none()
            && !self.config.whole_frames();
        let source = match report.first {
            None if self.uncertainty > 0 => FrameSource::Estimated,
            None => FrameSource::Counted,
            Some(_) => FrameSource::Reported,
        };
        let uncertainty = if report.first.is_some() { 0 } else { self.uncertainty };
        (follows && report.first.is_none_or(|told| told == first)).then_some(Place {
            first: Some(first),
            source,
            uncertainty,
        })
    }

    /// Finds out where any other transfer was, and what was lost before it.
    #[inline(never)]
    fn account(&mut self, entry: &Facts, mut report: BusReport, length: u64) -> (Place, Account) {
        if self.config.whole_frames() {
            report.estimate = report.estimate.map(Estimate::of_whole_frames);
        }
        // What is known of the stream before this one by now is all that will be.
        let before = self.segment.take_if(|segment| entry.idle_bus && segment.may_settle());
        let before = before.and_then(|segment| self.move_along(segment.settle(self.config.period)));
        let mut place = self.place(entry, &report);
        let mut hole = self.hole(entry, &report, place);
        if entry.doubtful
            && let Some((counted, estimate)) = self.counted_to.zip(report.estimate.as_mut())
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
        let doubtful = hole.is_none() && entry.idle_bus && continues && place.uncertainty > 0;
        let begun = Begun {
            id: entry.id,
            first: place.first,
            estimate: report.estimate,
            length,
            hole: hole.as_ref(),
        };
        let nowhere = entry.was_nowhere(&report);
        let settled = if nowhere { None } else { self.settle(entry, place, &begun) };

        let end = place.first.map(|first| first.saturating_add(length));
        self.owed_from = self.owed_after(entry, &report, end);
        if !nowhere {
            self.counted_to = end;
        } else if entry.idle_bus {
            // The new stream that it was to begin is begun by the next.
            self.counted_to = None;
        }
        let revision = settled.and_then(|settled| self.move_along(settled)).or(before);
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
    fn place(&self, entry: &Facts, report: &BusReport) -> Place {
        let exactly = |first, source| Place { first, source, uncertainty: 0 };
        if report.first.is_some() {
            return exactly(report.first, FrameSource::Reported);
        }
        let asked = entry.asked();
        if entry.was_nowhere(report) {
            // One that came too late for its frame was due there all the same.
            return exactly(asked.filter(|_| report.outcome == Outcome::Late), FrameSource::Counted);
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
        let Some(estimate) = report.estimate else { return exactly(asked, FrameSource::Assumed) };
        let off = asked.map(|asked| estimate.first.abs_diff(asked));
        let Estimate { first, uncertainty, .. } = estimate.rounded(self.config.period);
        if report.defines_frames {
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
    fn hole(&self, entry: &Facts, report: &BusReport, place: Place) -> Option<Gap> {
        let continues = entry.start == Start::Continue && entry.handed_over && report.began;
        if !continues || !(self.config.gaps || entry.placed.is_some()) {
            return None;
        }
        let owed = self.owed_from?;
        let after = place.first?.checked_sub(owed)?;
        // Where it may have followed, only a hole that is longer than what may be wrong is one.
        if entry.doubtful && after <= place.uncertainty.saturating_add(self.uncertainty) {
            return None;
        }
        let intervals = after / self.config.period;
        let cause = if entry.idle_bus { GapCause::QueueRanDry } else { GapCause::Late };
        // Its end may be wrong, and so may its beginning: where the stream before it stood.
        let uncertainty = place.uncertainty.saturating_add(self.uncertainty).div_ceil(MICROFRAMES_PER_FRAME);
        run_of_intervals(owed, intervals, self.config.period, uncertainty, cause)
    }

    /// From where a stream that continues after this transfer owes data.
    fn owed_after(&self, entry: &Facts, report: &BusReport, end: Option<u64>) -> Option<u64> {
        if entry.filler {
            return self.owed_from;
        }
        match report.outcome {
            // What the user withdrew is not owed, and neither is what would have followed it.
            Outcome::Cancelled | Outcome::BadStartFrame => None,
            // It failed without having been anywhere: its own frames are owed.
            _ if end.is_none() && entry.start == Start::Continue => self.owed_from,
            // A named frame may have been late because others had it: theirs are not owed again.
            Outcome::Late if matches!(entry.start, Start::At(_)) => end.max(self.owed_from),
            _ => end.or_else(|| Some(entry.asked()?.saturating_add(self.config.length(entry.intervals)))),
        }
    }

    /// Follows a segment that began at an estimated position, and revises that position once.
    fn settle(&mut self, entry: &Facts, place: Place, begun: &Begun<'_>) -> Option<Settled> {
        let named = place.source == FrameSource::Assumed && entry.asked().is_some();
        if entry.idle_bus || self.counted_to.is_none() || named {
            self.uncertainty = 0;
            self.segment = None;
            self.streams += 1;
            if place.source == FrameSource::Estimated {
                self.uncertainty = place.uncertainty;
                self.segment = Segment::new(begun, self.owed_from);
            }
            return None;
        }
        if !self.segment.as_mut()?.follow(begun, self.config.period) {
            return None;
        }
        Some(self.segment.take()?.settle(self.config.period))
    }
}
