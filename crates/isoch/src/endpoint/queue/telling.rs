//! The way up: what the bus reports becomes completions, told in order.

use std::collections::VecDeque;
use std::time::Duration;

use isoch_core::clock::unwrap::Number;
use isoch_core::clock::{Count, StreamTrack};
use isoch_core::ledger::NextOver;
use isoch_core::{
    Block as CoreBlock, Ending, FrameSource, MICROFRAMES_PER_FRAME, Outcome, PacketStatus, Report,
    StartSupport, Time,
};

use super::{ColdStart, Drained, Queue, State, Ticket};
use crate::block::Block;
use crate::bus::IsochReports;
use crate::completion::{Completion, CompletionSink};
use crate::sync::{Arc, MutexGuard, lock};
use crate::wait::tell;

/// Observations of the lead that make it a bound.
const LEARNT: usize = 3;

/// A clock that may be wrong by more does not teach the lead, which is aimed at the middle of a frame.
const LEAD_ERROR: Duration = Duration::from_micros(400);

/// After how many transfers it is asked again whether a lead can be told.
const LEAD_TRIED_EACH: u64 = 4;

impl IsochReports for Queue {
    fn completed(&self, over: &mut VecDeque<CoreBlock>) {
        let mut state = lock(&self.state);
        while let Some(block) = over.pop_front() {
            let id = block.ending().id;
            if state.ledger.reported(id, block).is_err() {
                tracing::error!(endpoint = self.address, id, "a bus reported a transfer twice");
            }
        }
        self.pump(&mut state, None);
        self.deliver(state);
    }

    fn deadline(&self, now: Time) {
        let mut state = lock(&self.state);
        self.pump(&mut state, Some(now));
        self.deliver(state);
    }

    fn gone(&self) {
        self.let_go(Outcome::DeviceGone);
    }
}

impl Queue {
    /// The microframes at the end of a transfer that no controller waits for before it tells: those of a long
    /// period without an interval.
    fn silence(&self) -> u64 {
        self.timing.period_microframes().saturating_sub(MICROFRAMES_PER_FRAME)
    }

    /// Tells the ledger where the next transfer began: by what a witness told, or as far as the clock can tell from
    /// its end.
    #[inline(never)]
    fn locate_next(&self, state: &mut State) {
        if let Some(NextOver { intervals, returned, .. }) = state.ledger.next_over()
            && let Ending { number: Some(number), seen, .. } = *returned.ending()
        {
            self.locate(state, number, intervals, seen);
        }
        if let Some(NextOver { wants_estimate: true, .. }) = state.ledger.next_over() {
            self.estimate(state);
        }
    }

    fn locate(&self, state: &mut State, number: Number, intervals: u64, seen: Time) {
        let length = intervals * self.timing.period_microframes();
        let expected = self.clock().estimate_start(seen, length, (None, None), 1).first;
        if let Some(first) = self.clock().source.numbered(number, expected) {
            state.ledger.located(first);
        }
    }

    #[cold]
    fn estimate(&self, state: &mut State) {
        let Some((intervals, seen)) = state.ledger.tells_most(|ticket| ticket.is_certain) else { return };
        let length = (intervals * self.timing.period_microframes()).saturating_sub(self.silence());
        let bounds = self.start_bounds(state, state.ledger.next_to_pop());
        let estimate = self.clock().estimate_start(seen, length, bounds, state.ledger.shown_by(seen));
        let defines = self.clock().source.is_fresh();
        state.defined_by = defines.then_some((length, seen));
        state.ledger.estimated(estimate, defines);
    }

    /// Between when a transfer that began a stream must have begun: the shortest lead after it was handed over, and the
    /// longest, where that has been learnt. (The lead is aimed at the middle of a step of the controller's.)
    fn start_bounds(&self, state: &mut State, sequence: u64) -> (Option<Time>, Option<Time>) {
        let lead = state.placer.lead();
        let half_step = Duration::from_micros(state.placer.config().start_granule.saturating_mul(125)) / 2;
        let Some(ticket) = state.ledger.ticket(sequence) else { return (None, None) };
        let is_learnt = lead.observations >= LEARNT;
        // From few observations it may be that much more than it is.
        let doubt = if is_learnt { Duration::ZERO } else { half_step };
        let shortest = lead.lead.saturating_sub(half_step + lead.uncertainty + doubt);
        let longest = lead.lead + half_step + lead.uncertainty;
        let earliest = ticket.handed_over_at.map(|at| at + shortest);
        (earliest, ticket.handed_over_by.filter(|_| is_learnt).map(|by| by + longest))
    }

    pub(super) fn does_not_report(&self) -> bool {
        self.capabilities.frames != FrameSource::Reported
    }

    /// How long before the end of what is queued more of it must be handed over to follow for certain: a controller
    /// that slides in silence does so before the queue is quite empty.
    pub(super) fn margin(&self) -> Duration {
        Duration::from_millis(if self.capabilities.gaps { 1 } else { self.capabilities.lead })
    }

    /// A transfer is over. What was handed over so shortly before its end, or later, that it may have come
    /// too late to follow began a new stream, for all anyone knows.
    fn doubt_next(&self, state: &mut State, done: &Report) {
        if !self.does_not_report() || done.outcome != Outcome::Completed {
            return;
        }
        let next = state.ledger.next_to_pop();
        if state.ledger.ticket(next).is_some_and(|ticket| !ticket.is_certain) {
            self.doubt(state, done, next);
        }
    }

    #[cold]
    fn doubt(&self, state: &mut State, done: &Report, mut next: u64) {
        // It was seen to be over late, by as much as the program was held up: it may have ended before that.
        let ended = match done.end() {
            None => done.seen,
            Some(end) => {
                let uncertainty = done.uncertainty.saturating_mul(MICROFRAMES_PER_FRAME);
                let earliest = end.saturating_sub(uncertainty);
                self.clock().source.time_of(earliest).0.min(done.seen)
            }
        };
        let handed_over_at = loop {
            let Some(ticket) = state.ledger.ticket(next).filter(|ticket| !ticket.is_certain) else { return };
            // What was refused meanwhile was never handed over.
            if let Some(at) = ticket.handed_over_at {
                break at;
            }
            next += 1;
        };
        if handed_over_at + self.margin() > ended {
            state.ledger.began_anew(next);
        }
    }

    /// The first of the held transfers is over without the bus having had it.
    pub(super) fn report_unserved(&self, state: &mut State, outcome: Outcome) {
        let Some(held) = state.held.pop_front() else { return };
        let intervals = held.block.packets().len() as u64;
        let pool = Some(held.pool);
        let ticket = Ticket::new(pool);
        let sequence = state.ledger.add(held.id, held.start, intervals, ticket);
        self.report(state, sequence, held.block, outcome);
    }

    pub(super) fn report(&self, state: &mut State, sequence: u64, mut block: CoreBlock, outcome: Outcome) {
        let status = if outcome == Outcome::Late { PacketStatus::Late } else { PacketStatus::Cancelled };
        block.packets_mut().iter_mut().for_each(|packet| (packet.actual, packet.status) = (0, status));
        let seen = self.clock().host_now();
        *block.ending_mut() = Ending { id: sequence, outcome, seen, ..Ending::default() };
        let reported = state.ledger.reported(sequence, block);
        debug_assert!(reported.is_ok(), "it was just added");
    }

    /// Delivers what is over, in order, without the lock.
    pub(super) fn deliver<'a>(&'a self, state: MutexGuard<'a, State>) {
        // Mostly it is a sink that submits, and who told it goes on with that.
        if !state.delivering {
            self.deliver_all(state);
        }
    }

    /// The same, for whoever does it now.
    #[inline(never)]
    fn deliver_all<'a>(&'a self, mut state: MutexGuard<'a, State>) {
        state.delivering = true;
        while let Some(block) = self.next_to_tell(&mut state) {
            let sink = Arc::clone(&state.sink);
            state.telling = true;
            drop(state);
            let completion = Completion { block, timing: Arc::clone(&self.shared) };
            tell(|| sink.completed(completion));
            state = lock(&self.state);
            state.telling = false;
        }
        state.delivering = false;
        let over = state.is_idle();
        let tell_closed = over && state.gone && !std::mem::replace(&mut state.closed_told, true);
        // One for each, or who comes second waits for ever.
        let draining = if over { state.draining } else { 0 };
        // A sink that owns its endpoint must not keep itself alive.
        let sink = tell_closed.then(|| std::mem::replace(&mut state.sink, Arc::new(Nobody)));
        drop(state);
        (0..draining).for_each(|_| self.drained.push(Drained));
        if let Some(sink) = sink {
            tell(|| sink.closed());
        }
    }

    /// The next transfer in order, if it is over, with all that can be told of it.
    #[inline(never)]
    fn next_to_tell(&self, state: &mut State) -> Option<Block> {
        loop {
            let (ticket, block) = match state.ledger.pop_follower() {
                Some((ticket, block)) => {
                    self.learn_follower(state, block.report());
                    (ticket, block)
                }
                None if !state.ledger.is_next_over() => return None,
                None => self.pop_other(state)?,
            };
            let Some(pool) = ticket.pool else {
                state.filler.push(block);
                continue;
            };
            let carried = block.ending().carried;
            state.statistics.count(block.report(), block.packets(), carried, ticket.handed_over_in);
            return Some(Block::from_parts(block, pool));
        }
    }

    /// The next transfer in order, if it is over, whose place has to be found out.
    #[inline(never)]
    fn pop_other(&self, state: &mut State) -> Option<(Ticket, CoreBlock)> {
        let next = state.ledger.next_over()?;
        if next.wants_estimate || next.returned.ending().number.is_some() {
            self.locate_next(state);
        }
        let (ticket, block) = state.ledger.pop()?;
        let report = block.report();
        if let Some((number, first)) = block.ending().number.zip(report.first) {
            self.clock().source.is_number_of(number, first);
        }
        self.doubt_next(state, report);
        self.learn(state, report, ticket.cold_start);
        Some((ticket, block))
    }

    /// What a transfer that just followed teaches. Of a stream that is known as well as it will be, that is its end
    /// alone.
    #[inline(always)]
    fn learn_follower(&self, state: &mut State, report: &Report) {
        self.doubt_next(state, report);
        if state.described != Some(report.source) || state.accepted_end.is_none() {
            self.learn(state, report, None);
            return;
        }
        if let Some((first, end)) = report.first.zip(report.end())
            && !state.ledger.is_next_over()
        {
            self.learn_end(state, first, end - self.silence(), report.seen);
        }
    }

    /// How long before it began the stream that runs was handed over: as soon as the clock knows well enough when that
    /// was, and not from a completion that was late or a clock that is only just beginning to learn.
    fn learn_lead(&self, state: &mut State) {
        let Some(ColdStart { submitted_at, first, .. }) = state.cold_start else { return };
        if state.ledger.uncertainty() > 0 {
            if state.ledger.is_settled() {
                // It will never be known better.
                state.cold_start = None;
            }
            return;
        }
        let source = &self.clock().source;
        let (began, error) = source.time_of(first);
        // Leads are measured by the same completions as positions.
        let other = source.common_error() + source.wander();
        if error.saturating_sub(other) > LEAD_ERROR {
            return;
        }
        state.cold_start = None;
        state.placer.observe_cold_start(submitted_at, began);
        source.keep_lead(&self.timing, state.placer.lead());
        // What waits for its time waits by the old lead.
        self.pump(state, None);
    }

    /// The clock learns when a transfer was seen to be over.
    #[inline(always)] // of nearly every transfer
    fn learn_end(&self, state: &mut State, first: u64, end: u64, seen: Time) {
        if let Some(slip) = self.clock().source.completed(&mut state.track, first, end, seen) {
            if state.may_slide {
                state.ledger.slid(slip.frames);
                state.supplied_until = Time::ZERO;
                state.cold_start = None;
            }
            // What the ledger counts from here on has the slip in it already.
            state.track = StreamTrack::new();
            state.described = None;
        }
    }

    /// What a report teaches about the clock, the lead and the end of the queue.
    #[inline(never)]
    fn learn(&self, state: &mut State, report: &Report, cold_start: Option<Time>) {
        if self.capabilities.start == StartSupport::Anchored
            && report.outcome == Outcome::Completed
            && let Some((first, end)) = report.first.zip(report.end())
        {
            let streams = state.ledger.streams();
            let is_new = std::mem::replace(&mut state.tracked, streams) != streams;
            let is_settled = state.ledger.is_settled();
            let was_settled = std::mem::replace(&mut state.settled, is_settled) || is_new;
            if is_new {
                state.track = StreamTrack::new();
                state.began_certain = matches!(report.source, FrameSource::Reported | FrameSource::Counted);
                state.cold_start = None;
            }
            let source = &self.clock().source;
            if let Some(submitted_at) = cold_start {
                state.cold_start = Some(ColdStart { submitted_at, first, end });
            } else if let Some(start) = &mut state.cold_start {
                // Where it began is revised once; what is counted moves along.
                start.first = start.first.saturating_add_signed(first.wrapping_sub(start.end).cast_signed());
                start.end = end;
            }
            // What was estimated is revised once; and the one with which that happens is still told as before.
            let is_sure = report.source != FrameSource::Estimated || report.uncertainty == 0;
            let is_revised = is_settled && !was_settled;
            let is_steady = is_settled && !is_revised && state.cold_start.is_none();
            state.described = is_steady.then_some(report.source);
            if ((is_sure || is_settled) && !is_revised) || source.is_fresh() {
                state.describe_track(report.source);
                // Of what was seen to be over at one time, the last says most: it had been so for the shortest time.
                let says_most = !state.ledger.is_next_over();
                let defines = state.defined_by.take().filter(|_| source.is_fresh());
                let (told_at, seen) = match defines {
                    Some((length, seen)) => (first + length, seen),
                    None => (end - self.silence(), report.seen),
                };
                if says_most || defines.is_some() {
                    self.learn_end(state, first, told_at, seen);
                }
            }
            // What the clock knows changes slowly, and may never do.
            let begins = cold_start.is_some();
            let is_tried = begins || report.id.is_multiple_of(LEAD_TRIED_EACH);
            if state.cold_start.is_some() && is_tried && !is_revised {
                self.learn_lead(state);
            }
        }
        if report.outcome != Outcome::Completed {
            state.supplied_until = Time::ZERO;
            state.described = None;
            state.recount();
        } else if state.accepted_end.is_none() {
            state.accepted_end = state.ledger.expected_end();
        }
    }
}

impl State {
    /// Tells the clock how the positions of the stream that runs are known.
    fn describe_track(&mut self, source: FrameSource) {
        let count = match source {
            FrameSource::Reported => Count::Told,
            _ if self.may_slide => Count::MaySlide,
            _ if self.began_certain => Count::Certain,
            _ => Count::Unbroken,
        };
        let doubt = if count == Count::Told { 0 } else { self.ledger.uncertainty() };
        self.track.is_known(count, Duration::from_micros(doubt.saturating_mul(125)));
    }
}

/// The sink of an endpoint from which nothing more will come.
struct Nobody;

impl CompletionSink for Nobody {
    fn completed(&self, _: Completion) {}
}

#[cfg(all(test, not(shuttle)))]
mod starvation;
