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

use crate::block::Ending;
use crate::status::{FrameSource, Outcome, Start};
use crate::time::{MICROFRAMES_PER_FRAME, Time};
use progress::{Account, End, Estimated, Place, Progress};

mod progress;
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

/// What comes back with a transfer: its block. How it ended lies in it, and so will what is told of it, because both are
/// long, and written for each transfer.
pub trait Returned {
    /// How it ended.
    fn ending(&self) -> &Ending;
    /// The same, for what is found out since.
    fn ending_mut(&mut self) -> &mut Ending;
    /// Whether its first interval had come by then. A transfer that was withdrawn before that never
    /// continued anything.
    fn began(&self) -> bool;
    /// What is told of it.
    fn report_mut(&mut self) -> &mut Report;
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
    /// When the end was seen that it goes by.
    pub seen: Time,
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
    /// What came back with it.
    pub returned: &'a T,
    /// Whether only an estimate can tell where it was, or may tell it better. Most transfers just follow another; so
    /// nothing is estimated before it is asked for.
    pub wants_estimate: bool,
}

struct Entry<K, T> {
    facts: Facts,
    ticket: K,
    /// Once it is over.
    returned: Option<T>,
}

/// What is known of a transfer before it is over.
#[derive(Clone, Copy)]
struct Facts {
    id: u64,
    start: Start,
    intervals: u64,
    /// The microframes that it keeps the next one waiting for.
    length: u64,
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
    fn weight(&self) -> Ahead {
        match self.facts.handed_over || self.returned.is_none() {
            true => self.facts.weight(),
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

    /// Whether it follows the one before it, as far as anybody knew before it was over.
    #[inline(always)]
    fn just_follows(&self) -> bool {
        self.start == Start::Continue
            && self.handed_over
            && !self.idle_bus
            && !self.filler
            && self.placed.is_none()
    }

    fn weight(&self) -> Ahead {
        Ahead { length: self.length, counts: usize::from(self.begins_a_count()) }
    }

    /// Whether it never had a place on the bus.
    fn was_nowhere(&self, end: &End) -> bool {
        match end.outcome {
            Outcome::BadStartFrame => true,
            Outcome::Failed(_) => !end.began,
            _ => !self.handed_over,
        }
    }
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
    /// Where the stream stands behind what was popped.
    progress: Progress,
    /// Of the next transfer in order.
    estimated: Option<Estimated>,
}

impl<K, T: Returned> Ledger<K, T> {
    /// An empty ledger.
    #[must_use]
    pub fn new(config: LedgerConfig) -> Self {
        let config = LedgerConfig { period: config.period.max(1), ..config };
        Ledger {
            config,
            entries: VecDeque::new(),
            front: 0,
            at_bus: (0, 0),
            ahead: Ahead::default(),
            progress: Progress::new(config),
            estimated: None,
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
                self.entries.iter().fold(0, |sum, entry| entry.weight().length.wrapping_add(sum))
            );
            return self.progress.counted_to().map(|end| end.saturating_add(self.ahead.length));
        }
        let mut length = 0_u64;
        // From the newest back to one whose start is known: mostly the newest itself.
        for entry in
            self.entries.iter().rev().filter(|entry| entry.facts.handed_over || entry.returned.is_none())
        {
            length = length.saturating_add(entry.facts.length);
            match entry.facts.asked() {
                Some(start) => return Some(start.saturating_add(length)),
                None if entry.facts.idle_bus => return None,
                None => {}
            }
        }
        self.progress.counted_to().map(|end| end.saturating_add(length))
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
            length: self.config.length(intervals),
            filler,
            handed_over: false,
            idle_bus: false,
            doubtful: false,
            placed: None,
        };
        self.ahead.add(facts.weight());
        self.entries.push_back(Entry { facts, ticket, returned: None });
        sequence
    }

    /// Changes an entry, and with it what is ahead.
    fn change<R>(&mut self, sequence: u64, change: impl FnOnce(&mut Entry<K, T>) -> R) -> Option<R> {
        let entry = self.entry(sequence)?;
        let before = entry.weight();
        let result = change(entry);
        let after = entry.weight();
        self.ahead.remove(before);
        self.ahead.add(after);
        Some(result)
    }

    /// The bus took it. `continuity`: whether it had served everything before it already, whether or not that has
    /// been reported. Returns what the owner remembers of it; `None` if the bus cannot have taken it just now.
    pub fn handed_over(&mut self, sequence: u64, continuity: Continuity) -> Option<&mut K> {
        let index = usize::try_from(sequence.checked_sub(self.front)?).ok()?;
        let Entry { facts, ticket, returned: None } = self.entries.get_mut(index)? else { return None };
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
        self.progress.streams()
    }

    /// By how many microframes [`Self::expected_end`] may be wrong.
    #[must_use]
    pub fn uncertainty(&self) -> u64 {
        self.progress.uncertainty()
    }

    /// Whether the stream's position is as well known as it will be: not so shortly after it began at an
    /// estimated one.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.progress.is_settled()
    }

    /// It is over: the bus gave it back, or never took it.
    ///
    /// # Errors
    /// Hands `over` back if no such transfer is outstanding: a bus that reports twice.
    #[inline]
    pub fn reported(&mut self, sequence: u64, over: T) -> Result<(), T> {
        let index = sequence.checked_sub(self.front).and_then(|index| usize::try_from(index).ok());
        let Some(Entry { facts, returned: returned @ None, .. }) =
            index.and_then(|index| self.entries.get_mut(index))
        else {
            return Err(over);
        };
        if facts.handed_over {
            self.at_bus.0 -= 1;
            self.at_bus.1 = self.at_bus.1.wrapping_sub(facts.intervals);
        } else {
            // It takes no frames, and will not.
            self.ahead.remove(facts.weight());
        }
        *returned = Some(over);
        Ok(())
    }

    /// The clock found that the stream slid by so many frames without anyone telling: what is counted from
    /// here on is that much later, and a continuing stream lost them.
    pub fn slid(&mut self, frames: i64) {
        self.progress.slid(frames);
    }

    /// The sequence number of an outstanding transfer by its owner's name for it.
    #[must_use]
    pub fn find(&self, id: u64) -> Option<u64> {
        let wanted =
            |entry: &Entry<K, T>| entry.facts.id == id && !entry.facts.filler && entry.returned.is_none();
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
    #[inline]
    pub fn next_over(&self) -> Option<NextOver<'_, T>> {
        let Entry { facts, returned: Some(returned), .. } = self.entries.front()? else { return None };
        let counted = self.progress.counted_to().is_some() && !facts.idle_bus && self.progress.is_settled();
        let ending = returned.ending();
        let told = ending.first.is_some() || self.estimated.is_some();
        Some(NextOver {
            intervals: facts.intervals,
            returned,
            wants_estimate: !counted && !told && ending.outcome == Outcome::Completed,
        })
    }

    /// Whether the next transfer in order is over.
    #[must_use]
    #[inline]
    pub fn is_next_over(&self) -> bool {
        self.entries.front().is_some_and(|entry| entry.returned.is_some())
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
            let ending = entry.returned.as_ref()?.ending();
            (ending.outcome == Outcome::Completed).then_some((entry.facts.intervals, ending.seen))
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

    /// At how many moments the stream of the next transfer in order was seen to be where it is, with this one.
    #[must_use]
    pub fn shown_by(&self, seen: Time) -> u32 {
        let begins = self.entries.front().is_none_or(|entry| entry.facts.idle_bus);
        if begins { 1 } else { self.progress.shown_by(seen) }
    }

    /// It was found out since in which microframe the next transfer in order began.
    pub fn located(&mut self, first: u64) {
        if let Some(returned) = self.entries.front_mut().and_then(|entry| entry.returned.as_mut()) {
            returned.ending_mut().first.get_or_insert(first);
        }
    }

    /// The microframe of the next transfer's first interval as far as the clock can tell from its end: what
    /// [`NextOver::wants_estimate`] asked for. `defines_frames`: its stream is the first one ever on its clock, and so
    /// defines what the frames are called.
    pub fn estimated(&mut self, estimate: Estimate, defines_frames: bool) {
        self.estimated = Some(Estimated { estimate, defines_frames });
    }

    /// The next transfer in order with its report in it, if it is over and just followed the one before it: so it is
    /// with nearly all. For any other there is [`Self::pop`].
    #[inline(always)]
    pub fn pop_follower(&mut self) -> Option<(K, T)> {
        let Entry { facts, returned: Some(returned), .. } = self.entries.front_mut()? else { return None };
        let place = self.progress.follow(facts, returned.ending())?;
        self.ahead.length = self.ahead.length.wrapping_sub(facts.length);
        write_report(facts, self.config, place, Account::default(), returned);
        self.take_next()
    }

    /// The next transfer in order, if it is over, with its report in it.
    pub fn pop(&mut self) -> Option<(K, T)> {
        let Entry { facts, returned: Some(returned), .. } = self.entries.front_mut()? else { return None };
        if facts.handed_over {
            self.ahead.remove(facts.weight());
        }
        let (place, account) = match self.progress.follow(facts, returned.ending()) {
            Some(place) => (place, Account::default()),
            None => {
                let Ending { outcome, first, .. } = *returned.ending();
                let estimated = self.estimated.take().filter(|_| outcome == Outcome::Completed);
                self.progress.account(facts, End { outcome, began: returned.began(), first, estimated })
            }
        };
        write_report(facts, self.config, place, account, returned);
        self.take_next()
    }

    #[inline(always)]
    fn take_next(&mut self) -> Option<(K, T)> {
        self.front += 1;
        match self.entries.pop_front() {
            Some(Entry { ticket, returned: Some(returned), .. }) => Some((ticket, returned)),
            _ => None,
        }
    }
}

#[inline(always)]
fn write_report(
    facts: &Facts,
    config: LedgerConfig,
    place: Place,
    account: Account,
    returned: &mut impl Returned,
) {
    let Ending { outcome, seen, .. } = *returned.ending();
    let report = returned.report_mut();
    report.id = facts.id;
    report.outcome = outcome;
    report.requested = facts.start;
    report.first = place.first;
    report.source = place.source;
    report.uncertainty = place.uncertainty.div_ceil(MICROFRAMES_PER_FRAME);
    report.intervals = facts.intervals;
    report.period = config.period;
    report.hole = account.hole;
    report.revision = account.revision;
    report.gaps_known = config.gaps && !account.doubtful;
    report.seen = seen;
}
