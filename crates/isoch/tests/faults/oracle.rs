//! What must be reported: from what was asked, when, and what the device's log has.
//!
//! It knows the rules of an exact bus in its own words, and not the ledger's: every transfer has a place that
//! follows from its start; each of its intervals was owed until it was withdrawn; a stream that continues owed
//! what lies between. What was owed and neither passed on the wire nor was lost there, the host knows it did
//! not serve. A packet in the log that nobody owed shows that these rules are wrong.

use std::ops::Range;

use isoch::emulated::faults::{Fault, FaultKind};
use isoch::{GapCause, Start};

/// A run of lost frames. `cause` of those before a transfer is left open.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lost {
    pub(crate) frames: Range<u64>,
    pub(crate) intervals: u64,
    pub(crate) cause: Option<GapCause>,
}

struct Transfer {
    start: Start,
    /// `None`: submitted to a device that was gone.
    place: Option<Place>,
}

#[derive(Clone, Copy)]
struct Place {
    first: u64,
    count: u64,
    /// Intervals before this could not be served any more when it was submitted.
    free_from: u64,
    /// When it was cancelled.
    cancelled_at: Option<u64>,
    /// When its device went away while it was pending.
    gone_at: Option<u64>,
}

/// Where a transfer began (`None`: nowhere), and what was lost before and in it.
pub(crate) type Verdict = (Option<u64>, Vec<Lost>);

/// The oracle of an exact bus.
pub(crate) struct Oracle<'a> {
    period: u64,
    faults: &'a [Fault],
    transfers: Vec<Transfer>,
    /// The microframe behind the last interval of the queue.
    tail: u64,
}

impl<'a> Oracle<'a> {
    pub(crate) fn new(period: u64, faults: &'a [Fault]) -> Self {
        Oracle { period, faults, transfers: Vec::new(), tail: 0 }
    }

    pub(crate) fn tail(&self) -> u64 {
        self.tail
    }

    fn unplugged(&self) -> u64 {
        let unplugs = self.faults.iter().filter(|fault| fault.kind == FaultKind::Unplug);
        unplugs.map(|fault| fault.frames.start * 8).min().unwrap_or(u64::MAX)
    }

    fn done_at(&self, place: &Place) -> u64 {
        place.first + (place.count - 1) * self.period + self.period.min(8)
    }

    fn is_late(&self, place: &Place) -> bool {
        place.first + (place.count - 1) * self.period < place.free_from
    }

    /// Whether the bus still works on it.
    fn pends(&self, place: &Place, now: u64) -> bool {
        self.done_at(place) > now
            && !self.is_late(place)
            && place.cancelled_at.is_none()
            && place.gone_at.is_none()
    }

    fn places(&self) -> impl Iterator<Item = &Place> {
        self.transfers.iter().filter_map(|transfer| transfer.place.as_ref())
    }

    /// A transfer was accepted in microframe `now`.
    pub(crate) fn submitted(&mut self, now: u64, start: Start, count: u64) {
        if now >= self.unplugged() {
            self.transfers.push(Transfer { start, place: None });
            return;
        }
        let running = self.places().any(|place| self.pends(place, now));
        let first = match start {
            Start::At(frame) => (frame * 8).next_multiple_of(self.period),
            _ if running => self.tail,
            // Two frames, and then on a boundary of both.
            _ => (now + 16).next_multiple_of(self.period.max(8)),
        };
        let free_from = if running { self.tail.max(now) } else { now };
        let place = Place { first, count, free_from, cancelled_at: None, gone_at: None };
        if !self.is_late(&place) {
            self.tail = first + count * self.period;
        }
        self.transfers.push(Transfer { start, place: Some(place) });
    }

    /// One transfer was cancelled.
    pub(crate) fn cancelled(&mut self, index: usize, now: u64) {
        self.notice_unplug(now);
        let Some(place) = self.transfers[index].place else { return };
        if self.pends(&place, now) {
            self.transfers[index].place = Some(Place { cancelled_at: Some(now), ..place });
        }
    }

    pub(crate) fn aborted(&mut self, now: u64) {
        for index in 0..self.transfers.len() {
            self.cancelled(index, now);
        }
    }

    fn notice_unplug(&mut self, now: u64) {
        let unplugged = self.unplugged();
        if now < unplugged {
            return;
        }
        for index in 0..self.transfers.len() {
            let Some(place) = self.transfers[index].place else { continue };
            if self.pends(&place, unplugged) {
                self.transfers[index].place = Some(Place { gone_at: Some(unplugged), ..place });
            }
        }
    }

    /// Why the controller does not serve an interval in this frame.
    fn fault_in(&self, frame: u64) -> GapCause {
        let missed = |fault: &Fault| fault.kind == FaultKind::HostMissed && fault.frames.contains(&frame);
        if self.faults.iter().any(missed) { GapCause::HostMissed } else { GapCause::Late }
    }

    /// What must be reported of each transfer.
    ///
    /// `passed` are the microframes of all packets that went over the wire, or were lost on it, in order.
    pub(crate) fn verdict(mut self, passed: &[u64]) -> Result<Vec<Verdict>, String> {
        self.notice_unplug(u64::MAX);
        let mut passed: Vec<(u64, bool)> = passed.iter().map(|at| (*at, false)).collect();
        let mut verdict = Vec::with_capacity(self.transfers.len());
        let mut owed_from = None;
        for transfer in &self.transfers {
            let Some(place) = transfer.place else {
                verdict.push((None, Vec::new()));
                continue;
            };
            let alive_until = place.cancelled_at.or(place.gone_at).unwrap_or(u64::MAX);
            let mut lost = Vec::new();
            if let Some(owed) = owed_from.filter(|owed| *owed < place.first)
                && transfer.start == Start::Continue
                && place.first < alive_until
            {
                let slots = (owed..place.first).step_by(self.period as usize);
                self.runs(slots, |_| (true, None), &mut passed, &mut lost);
            }
            let last = place.first + (place.count - 1) * self.period;
            let slots = (place.first..=last).step_by(self.period as usize);
            let owed_slots = slots.take_while(|slot| *slot < alive_until.max(place.free_from));
            let cause = |slot: u64| match slot < place.free_from {
                true => (false, Some(GapCause::Late)),
                false => (true, Some(self.fault_in(slot / 8))),
            };
            self.runs(owed_slots, cause, &mut passed, &mut lost);
            let end = Some(last + self.period);
            let lost_late = lost.iter().filter(|run| run.cause == Some(GapCause::Late));
            let all_late = lost_late.map(|run| run.intervals).sum::<u64>() == place.count;
            owed_from = match (place.cancelled_at, transfer.start) {
                (Some(_), _) => None,
                // It may have been late because others had its frames.
                (None, Start::At(_)) if all_late => owed_from.max(end),
                (None, _) => end,
            };
            verdict.push((Some(place.first), lost));
        }
        match passed.iter().find(|(_, claimed)| !claimed) {
            Some((slot, _)) => Err(format!("a packet passed in microframe {slot} and nobody owed it")),
            None => Ok(verdict),
        }
    }

    /// Those of `slots` in which nothing passed, as runs of one cause. `cause` also tells whether anything
    /// that passed there can have been this transfer's.
    fn runs(
        &self,
        slots: impl Iterator<Item = u64>,
        cause: impl Fn(u64) -> (bool, Option<GapCause>),
        passed: &mut [(u64, bool)],
        lost: &mut Vec<Lost>,
    ) {
        let mut after = None;
        for slot in slots {
            let from = passed.partition_point(|(at, _)| *at < slot);
            let free = passed[from..].iter_mut().take_while(|(at, _)| *at == slot).find(|(_, taken)| !taken);
            let (in_time, cause) = cause(slot);
            if let Some((_, claimed)) = free.filter(|_| in_time) {
                *claimed = true;
                continue;
            }
            match lost.last_mut() {
                Some(run) if after == Some(slot) && run.cause == cause => {
                    run.frames.end = slot / 8 + 1;
                    run.intervals += 1;
                }
                _ => lost.push(Lost { frames: slot / 8..slot / 8 + 1, intervals: 1, cause }),
            }
            after = Some(slot + self.period);
        }
    }
}
