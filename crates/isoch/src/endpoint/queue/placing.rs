//! The way down: what is accepted goes to the bus, when it is due.
//!
//! Why is that not the bus's business? Because when to hand a transfer over to a bus that cannot start on a
//! frame follows from the clock and the queue, not from the system; one [`Placer`](placer::Placer) serves
//! all of them. An exact bus without a horizon needs none of it.

use std::time::Duration;

use isoch_core::ledger::Continuity;
use isoch_core::placer::{self, Decision, FrameView, Pending, Policy, Reason};
use isoch_core::rules::layout;
use isoch_core::{Capabilities, ClockSupport, MICROFRAMES_PER_FRAME, Outcome, Start, StartSupport, Time};

use super::{FILLER_BLOCKS, Handing, Held, Queue, State, Ticket};
use crate::block::Pool;
use crate::sync::{Arc, lock};
use crate::{Direction, Error};

/// By how much a clock may move while what was computed from it is still used. What is found to be wrong by more
/// is a new stream, or a slip.
const CLOCK_MOVES: Duration = Duration::from_millis(1);

/// A hand-over that lasts longer was interrupted.
const LONGEST_HAND_OVER: Duration = Duration::from_micros(250);

impl Queue {
    /// How named frames are reached on a bus that cannot start on one.
    pub(crate) fn set_placement(&self, policy: Policy) -> Result<(), Error> {
        if self.capabilities.start != StartSupport::Anchored {
            return Err(Error::Unsupported(
                "placement policies are for buses that anchor transfers; this one needs none".into(),
            ));
        }
        let mut state = lock(&self.state);
        if policy != Policy::Lead && state.filler.is_empty() {
            let packets = u32::try_from(state.placer.config().filler_intervals).unwrap_or(u32::MAX);
            let bytes = match self.direction {
                Direction::Out => 0,
                Direction::In => packets as usize * self.timing.bytes_per_interval() as usize,
            };
            self.bus.check_budget(FILLER_BLOCKS as usize, bytes, packets as usize)?;
            state.filler = self.allocate(FILLER_BLOCKS, packets, bytes)?;
            state.reserve();
        }
        state.placer.set_policy(policy);
        Ok(())
    }

    /// Whether the bus takes transfers as they come: an exact one without a horizon.
    fn takes_everything(&self) -> bool {
        self.capabilities.start == StartSupport::Exact && self.capabilities.horizon.is_none()
    }

    /// Hands a transfer over that simply follows what the bus has. That is the usual case, and so spared the way
    /// through the list of those held. Gives back what there is more to decide on.
    pub(super) fn follow(&self, state: &mut State, held: Held) -> Option<Held> {
        if !state.held.is_empty() || state.port.is_none() {
            return Some(held);
        }
        let (mut how, mut now) = (held.start, None);
        if !self.takes_everything() {
            let (transfers, intervals) = state.ledger.at_bus();
            let queue = placer::Queue { transfers, intervals, end: None };
            let head = Pending { start: how, intervals: held.block.packets().len() as u64 };
            if !state.placer.follows(queue, head) {
                return Some(held);
            }
            if self.capabilities.start != StartSupport::Exact {
                how = Start::Continue;
            }
            now = (!state.bus_tells).then(|| self.clock().host_now());
        }
        self.hand_over(state, held, how, now);
        None
    }

    /// Hands over to the bus what is due.
    pub(super) fn pump(&self, state: &mut State, now: Option<Time>) {
        if !state.held.is_empty() || state.placer.is_carrying() {
            self.hand_over_due(state, now);
        }
    }

    /// The same, where something is held. Mostly nothing is.
    #[inline(never)]
    fn hand_over_due(&self, state: &mut State, now: Option<Time>) {
        let now = now.or_else(|| (!self.takes_everything()).then(|| self.clock().host_now()));
        loop {
            if let Some(outcome) = state.held.front().and_then(|held| held.withdrawn) {
                self.report_unserved(state, outcome);
                continue;
            }
            if state.port.is_none() {
                return;
            }
            let Some(now) = now else {
                let Some(held) = state.held.pop_front() else { return };
                let how = held.start;
                self.hand_over(state, held, how, None);
                continue;
            };
            match self.decide(state, now) {
                Decision::Submit { how, .. } => {
                    let Some(held) = state.held.pop_front() else { return };
                    self.hand_over(state, held, how, Some(now));
                }
                Decision::Filler { intervals } => {
                    if !self.fill(state, intervals, now) {
                        return;
                    }
                }
                Decision::HoldUntil(deadline) => {
                    let sharp = state.ledger.at_bus().0 == 0;
                    if let Some(port) = &state.port {
                        port.wake_at(deadline, sharp);
                    }
                    return;
                }
                Decision::Wait => return,
                Decision::Refuse(reason) => {
                    tracing::debug!(endpoint = self.address, %reason, "a transfer cannot be placed");
                    let Some(held) = state.held.front_mut() else { return };
                    held.withdrawn = Some(match reason {
                        Reason::Late { .. } | Reason::Overlap { .. } | Reason::GapTooShort { .. } => {
                            Outcome::Late
                        }
                        _ => Outcome::BadStartFrame,
                    });
                }
            }
        }
    }

    fn decide(&self, state: &mut State, now: Time) -> Decision {
        let (transfers, intervals) = state.ledger.at_bus();
        let end = if transfers == 0 { None } else { state.ledger.expected_end() };
        let head = state
            .held
            .front()
            .map(|held| Pending { start: held.start, intervals: held.block.packets().len() as u64 });
        state.placer.decide(now, self, placer::Queue { transfers, intervals, end }, head)
    }

    fn hand_over(&self, state: &mut State, held: Held, how: Start, now: Option<Time>) {
        let intervals = held.block.packets().len() as u64;
        let timing = if state.bus_tells { Timing::default() } else { self.timed(state, now) };
        let ticket = timing.ticket(Some(held.pool), now);
        let sequence = state.ledger.add(held.id, held.start, intervals, ticket);
        let ran_dry = timing.ran_dry;
        self.give_to_bus(state, Handing { sequence, block: held.block, start: how, ran_dry });
    }

    /// Hands over empty intervals. Returns whether it could.
    fn fill(&self, state: &mut State, intervals: u64, now: Time) -> bool {
        let Some(mut block) = state.filler.pop() else { return false };
        let most = state.placer.config().filler_intervals;
        let packets = u32::try_from(intervals.min(most)).unwrap_or(u32::MAX);
        let laid_out = match self.direction {
            Direction::Out => layout::filler(&mut block, packets),
            Direction::In => layout::full_packets(&mut block, &self.timing, 0, packets),
        };
        debug_assert!(laid_out.is_ok(), "a filler block holds what a placer asks for at most");
        let intervals = block.packets().len() as u64;
        let timing = self.timed(state, Some(now));
        let sequence = state.ledger.add_filler(intervals, timing.ticket(None, Some(now)));
        let ran_dry = timing.ran_dry;
        self.give_to_bus(state, Handing { sequence, block, start: Start::Asap, ran_dry });
        true
    }

    /// Finds out if the bus must have served all it had by then although not all of that was reaped: what follows it is a
    /// new stream, without any error from the system.
    fn timed(&self, state: &mut State, now: Option<Time>) -> Timing {
        let idle = state.ledger.at_bus().0 == 0;
        let mut timing = Timing::default();
        if let Some(now) = now.filter(|_| !idle && self.does_not_report()) {
            timing.is_certain = now + self.margin() < state.supplied_until;
            timing.ran_dry = !timing.is_certain && self.ran_dry(state, now);
        }
        timing.is_cold = idle || timing.ran_dry;
        if timing.is_cold {
            state.supplied_until = Time::ZERO;
        }
        timing
    }

    /// Whether all that the bus had must be over by now. If not: until when it certainly is not, which then need not be
    /// asked for each transfer.
    fn ran_dry(&self, state: &mut State, now: Time) -> bool {
        let Some(end) = state.ledger.expected_end() else { return false };
        let (time, uncertainty) = self.clock().source.time_of(end);
        let counted = Duration::from_micros(state.ledger.uncertainty().saturating_mul(125));
        let doubt = counted.saturating_add(uncertainty).saturating_add(CLOCK_MOVES);
        state.supplied_until = time - doubt;
        now > time + uncertainty
    }

    #[inline(always)] // into the way of nearly every transfer
    fn give_to_bus(&self, state: &mut State, handing: Handing) {
        let Handing { sequence, block, start, ran_dry } = handing;
        let taken = match &state.port {
            Some(port) => port.submit(sequence, block, start),
            None => Err((block, Error::Gone)),
        };
        match taken {
            Ok(handed_over) => {
                // A bus that can find out knows better than the clock.
                state.bus_tells = handed_over.continuity.is_some();
                let by_clock = if ran_dry { Continuity::Broken } else { Continuity::Unbroken };
                let continuity = handed_over.continuity.unwrap_or(by_clock);
                if let Some(ticket) = state.ledger.handed_over(sequence, continuity) {
                    ticket.handed_over_in = handed_over.now;
                    ticket.handed_over_at = handed_over.at.or(ticket.handed_over_at);
                    if handed_over.continuity.is_some() {
                        ticket.is_certain = true;
                        let began = continuity == Continuity::Broken;
                        ticket.cold_start = ticket.handed_over_at.filter(|_| began);
                    }
                    if let Some(at) = ticket.cold_start {
                        let by = self.clock().host_now();
                        ticket.handed_over_by = Some(by);
                        // When the driver looked at its clock must be known to tell its lead.
                        ticket.cold_start = Some(at).filter(|at| by.since(*at) < LONGEST_HAND_OVER);
                    }
                }
                if let Some(frame) = handed_over.placed {
                    state.ledger.placed(sequence, frame);
                }
            }
            Err((block, error)) => {
                tracing::debug!(endpoint = self.address, %error, "the bus did not take a transfer");
                let outcome = match error {
                    Error::Gone => {
                        // The next is refused, or who submits again what comes back would do so in a circle.
                        state.gone = true;
                        Outcome::DeviceGone
                    }
                    Error::SettingChanged => Outcome::Cancelled,
                    Error::Bus(code) => Outcome::Failed(code),
                    _ => Outcome::Failed(0),
                };
                self.report(state, sequence, block, outcome);
            }
        }
    }
}

/// What the clock says of a transfer that is about to be handed over.
#[derive(Clone, Copy, Default)]
struct Timing {
    /// The bus must have served all it had.
    ran_dry: bool,
    /// It certainly had not.
    is_certain: bool,
    /// A stream begins.
    is_cold: bool,
}

impl Timing {
    fn ticket(self, pool: Option<Arc<Pool>>, now: Option<Time>) -> Ticket {
        Ticket {
            handed_over_at: now,
            is_certain: self.is_certain,
            cold_start: now.filter(|_| self.is_cold),
            ..Ticket::new(pool)
        }
    }
}

impl FrameView for Queue {
    fn time_of(&self, frame: u64) -> (Time, Duration) {
        let source = &self.clock().source;
        let (time, uncertainty) = source.time_of(frame.saturating_mul(MICROFRAMES_PER_FRAME));
        (time, uncertainty.saturating_sub(source.common_error()))
    }

    fn microframe_at(&self, at: Time) -> (u64, u64) {
        let (microframe, uncertainty, _) = self.clock().source.position(at);
        let uncertainty = u64::try_from(uncertainty.as_nanos().div_ceil(125_000)).unwrap_or(u64::MAX);
        (microframe, uncertainty)
    }

    fn fresh(&self) -> bool {
        self.clock().source.is_fresh()
    }
}

/// What the bus can do, plus what a placer makes of it: a bus that only starts as soon as possible, with
/// any clock at all, can be anchored.
pub(crate) fn anchored(of_bus: Capabilities) -> Capabilities {
    let anchors = of_bus.start == StartSupport::AsapOnly && of_bus.clock != ClockSupport::None;
    Capabilities { start: if anchors { StartSupport::Anchored } else { of_bus.start }, ..of_bus }
}
