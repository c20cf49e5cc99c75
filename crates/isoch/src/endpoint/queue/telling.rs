//! The way up: what the bus reports becomes completions, told in order.

use std::time::Duration;

use isoch_core::clock::StreamTrack;
use isoch_core::ledger::BusReport;
use isoch_core::{
    Block as CoreBlock, FrameSource, MICROFRAMES_PER_FRAME, Outcome, PacketStatus, Report, StartSupport, Time,
};

use super::{Drained, Queue, State, Ticket};
use crate::block::Block;
use crate::bus::{IsochDone, IsochReports};
use crate::completion::{Completion, CompletionSink};
use crate::sync::{Arc, MutexGuard, lock};
use crate::wait::tell;

impl IsochReports for Queue {
    fn completed(&self, done: &mut Vec<IsochDone>) {
        let mut state = lock(&self.state);
        for done in done.drain(..) {
            let report = self.bus_report(&mut state, &done);
            if state.ledger.reported(done.id, report, done.block).is_err() {
                tracing::error!(endpoint = self.address, id = done.id, "a bus reported a transfer twice");
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

    fn bus_report(&self, state: &mut State, done: &IsochDone) -> BusReport {
        let packets = done.block.packets();
        let length = (packets.len() as u64 * self.timing.period_microframes()).saturating_sub(self.silence());
        let estimated = done.first.is_none() && done.outcome == Outcome::Completed;
        BusReport {
            outcome: done.outcome,
            began: packets.iter().any(|packet| packet.status != PacketStatus::Cancelled),
            first: done.first,
            // The end of what was cut short says nothing about its beginning.
            estimate: estimated.then(|| {
                let earliest = self.earliest_start(state, done.id);
                self.clock().estimate_start(done.seen, length, earliest)
            }),
            defines_frames: self.clock().source.is_fresh(),
            seen: done.seen,
        }
    }

    /// Before when a transfer that began a stream cannot have begun: the shortest lead after it was handed
    /// over. (The lead is aimed at the middle of a step of the controller's.)
    fn earliest_start(&self, state: &mut State, sequence: u64) -> Option<Time> {
        let lead = state.placer.lead();
        let step = Duration::from_micros(state.placer.config().start_granule.saturating_mul(125));
        let shortest = lead.lead.saturating_sub(step / 2 + lead.uncertainty);
        Some(state.ledger.ticket(sequence)?.handed_over_at? + shortest)
    }

    pub(super) fn does_not_report(&self) -> bool {
        self.capabilities.frames != FrameSource::Reported
    }

    /// A transfer is over. What was handed over so shortly before its end, or later, that it may have come
    /// too late to follow began a new stream, for all anyone knows.
    fn doubt_next(&self, state: &mut State, done: &Report) {
        if !self.does_not_report() || done.outcome != Outcome::Completed {
            return;
        }
        // It was seen to be over late, by as much as the program was held up: it may have ended before that.
        let ended = match done.end() {
            None => done.seen,
            Some(end) => {
                let uncertainty = done.uncertainty.saturating_mul(MICROFRAMES_PER_FRAME);
                let earliest = end.saturating_sub(uncertainty);
                self.clock().source.time_of(earliest).0.min(done.seen)
            }
        };
        // A controller that slides in silence does so before the queue is quite empty.
        let margin = if self.capabilities.gaps { 1 } else { self.capabilities.lead };
        let mut next = state.ledger.next_to_pop();
        let handed_over_at = loop {
            let Some(ticket) = state.ledger.ticket(next) else { return };
            // What was refused meanwhile was never handed over.
            if let Some(at) = ticket.handed_over_at {
                break at;
            }
            next += 1;
        };
        if handed_over_at + Duration::from_millis(margin) > ended {
            state.ledger.began_anew(next);
        }
    }

    /// The first of the held transfers is over without the bus having had it.
    pub(super) fn report_unserved(&self, state: &mut State, outcome: Outcome) {
        let Some(held) = state.held.pop_front() else { return };
        let intervals = held.block.packets().len() as u64;
        let pool = Some(held.pool);
        let ticket = Ticket { pool, handed_over_in: None, handed_over_at: None, cold_start: None };
        let sequence = state.ledger.add(held.id, held.start, intervals, ticket);
        self.report(state, sequence, held.block, outcome);
    }

    pub(super) fn report(&self, state: &mut State, sequence: u64, mut block: CoreBlock, outcome: Outcome) {
        let status = if outcome == Outcome::Late { PacketStatus::Late } else { PacketStatus::Cancelled };
        block.packets_mut().iter_mut().for_each(|packet| packet.status = status);
        let seen = self.clock().host_now();
        let report =
            BusReport { outcome, began: false, first: None, estimate: None, defines_frames: false, seen };
        let reported = state.ledger.reported(sequence, report, block);
        debug_assert!(reported.is_ok(), "it was just added");
    }

    /// Delivers what is over, in order, without the lock.
    pub(super) fn deliver<'a>(&'a self, mut state: MutexGuard<'a, State>) {
        if state.delivering {
            return;
        }
        state.delivering = true;
        while let Some((report, ticket, block)) = state.ledger.pop() {
            self.doubt_next(&mut state, &report);
            self.learn(&mut state, &report, ticket.cold_start);
            let Some(pool) = ticket.pool else {
                state.filler.push(block);
                continue;
            };
            state.statistics.count(&report, block.packets(), ticket.handed_over_in);
            let sink = Arc::clone(&state.sink);
            state.telling = true;
            drop(state);
            let block = Block::from_parts(block, pool);
            let completion = Completion { block, report, timing: Arc::clone(&self.shared) };
            tell(|| sink.completed(completion));
            state = lock(&self.state);
            state.telling = false;
        }
        state.delivering = false;
        let over = state.is_idle();
        let tell_closed = over && state.gone && !std::mem::replace(&mut state.closed_told, true);
        // One for each, or who comes second waits for ever.
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

    /// What a report teaches about the clock, the lead and the end of the queue.
    fn learn(&self, state: &mut State, report: &Report, cold_start: Option<Time>) {
        if self.capabilities.start == StartSupport::Anchored
            && report.outcome == Outcome::Completed
            && let Some((first, end)) = report.first.zip(report.end())
        {
            let streams = state.ledger.streams();
            if std::mem::replace(&mut state.tracked, streams) != streams {
                state.track = StreamTrack::new();
            }
            let source = &self.clock().source;
            // The clock learns nothing from its own estimate, but where it begins.
            if report.source != FrameSource::Estimated || state.ledger.is_settled() || source.is_fresh() {
                let told_at = end - self.silence();
                if let Some(slip) = source.completed(&mut state.track, first, told_at, report.seen) {
                    state.ledger.slid(slip.frames);
                    // What the ledger counts from here on has the slip in it already.
                    state.track = StreamTrack::new();
                }
                if let Some(submitted_at) = cold_start {
                    state.placer.observe_cold_start(submitted_at, source.time_of(first).0);
                }
            }
        }
        if report.outcome != Outcome::Completed {
            state.recount();
        } else if state.accepted_end.is_none() {
            state.accepted_end = state.ledger.expected_end();
        }
    }
}

/// The sink of an endpoint from which nothing more will come.
struct Nobody;

impl CompletionSink for Nobody {
    fn completed(&self, _: Completion) {}
}
