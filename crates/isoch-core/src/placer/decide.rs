//! The decisions.
//!
//! Why are all limits compared as *times*, and not as frame numbers against the current frame? Because
//! what is answered is a time to wake up at. If `now >= time` decides, then the wake-up at that time is
//! certain to decide otherwise, whatever the clock's rounding: no wake-up is lost and none repeats.

use super::{
    Decision, Expected, FrameView, Pending, Placer, Policy, Queue, Reason, Tail, frames, in_microframes,
    microframes,
};
use crate::{MICROFRAMES_PER_FRAME, Start, StartSupport, Time};
use std::time::Duration;

/// How long a queue takes to be seen empty after its last interval: the interrupt, and the thread that
/// reaps.
const DRAIN_FRAMES: u64 = 2;
/// What waking up, and hearing of a completion, may take at most in a pre-roll.
const REPORT_FRAMES: u64 = 2;

impl Placer {
    /// What to do now, with `queue` at the bus and `head` first in line behind it.
    ///
    /// Ask again at once after a submission, filler or refusal; and when a transfer completes, is added or
    /// is cancelled; and when [`Decision::HoldUntil`]'s time has come. Never answers with a time that is
    /// not after `now`.
    pub fn decide(
        &mut self,
        now: Time,
        view: &impl FrameView,
        queue: Queue,
        head: Option<Pending>,
    ) -> Decision {
        let step = Step { now, view, queue };
        let decision = match head {
            Some(head) => self.place(&step, head),
            None if self.carrying => self.carry(&step, None),
            None => Decision::Wait,
        };
        self.deadline = None;
        match decision {
            Decision::Submit { .. } => self.submitted(),
            Decision::Filler { intervals } => {
                self.tail = Tail::Filler;
                self.allowance = self.allowance.saturating_sub(intervals);
                self.start();
            }
            Decision::HoldUntil(time) => self.deadline = Some(time),
            Decision::Wait | Decision::Refuse(_) => {}
        }
        decision
    }

    /// Whether `head` simply follows what is queued, far from any limit: then it counts as submitted, as after
    /// [`Decision::Submit`], and nothing has to be decided. No clock is needed to see it; and most transfers of a
    /// stream are like that.
    pub fn follows(&mut self, queue: Queue, head: Pending) -> bool {
        let asks_for_no_frame = !matches!(head.start, Start::At(_));
        let follows = asks_for_no_frame
            && queue.transfers > 0
            // It ends no later than if none of it had begun.
            && queue.intervals.saturating_add(head.intervals) <= self.most;
        if follows {
            self.deadline = None;
            self.submitted();
        }
        follows
    }

    fn submitted(&mut self) {
        self.tail = Tail::User;
        self.allowance = 0;
        self.start();
    }

    fn place<V: FrameView>(&mut self, step: &Step<'_, V>, head: Pending) -> Decision {
        let most = self.most;
        if head.intervals > most {
            return Decision::Refuse(Reason::TooLong { most });
        }
        match (self.config.start, head.start) {
            (StartSupport::Exact, Start::At(frame)) => self.place_exactly(step, frame, head),
            (StartSupport::AsapOnly, Start::At(_)) => Decision::Refuse(Reason::NotPossible),
            (StartSupport::Anchored, Start::At(frame)) if step.queue.transfers == 0 => {
                self.start_cold(step, frame)
            }
            (StartSupport::Anchored, Start::At(frame)) => self.place_behind(step, frame, head),
            (_, Start::Asap | Start::Continue) => self.follow(step, head),
        }
    }

    /// As soon as possible, or right behind what is queued: held back by the horizon only.
    fn follow<V: FrameView>(&self, step: &Step<'_, V>, head: Pending) -> Decision {
        let exact = self.config.start == StartSupport::Exact;
        if step.queue.transfers == 0 {
            let how = if exact { head.start } else { Start::Asap };
            let anchored = self.config.start == StartSupport::Anchored;
            // A fresh clock has no frame numbers yet, so there is nothing to expect.
            let expected = (anchored && !step.view.fresh()).then(|| {
                let (microframe, uncertainty) = step.view.microframe_at(step.now);
                let lead = self.lead();
                Expected {
                    microframe: microframe.saturating_add(in_microframes(lead.lead)),
                    uncertainty: uncertainty
                        .saturating_add(in_microframes(lead.uncertainty))
                        .saturating_add(self.config.start_granule.div_ceil(2)),
                }
            });
            return Decision::Submit { how, expected };
        }
        let how = if exact { head.start } else { Start::Continue };
        let expected = step.queue.end.filter(|&end| exact || !step.ran_dry(end)).map(certain);
        match self.hold_behind(step, head.intervals) {
            Some(held) => held,
            None => Decision::Submit { how, expected },
        }
    }

    /// On a bus that starts on frames, lateness is the controller's to decide, by its clock.
    fn place_exactly<V: FrameView>(&self, step: &Step<'_, V>, frame: u64, head: Pending) -> Decision {
        let first = first_microframe(frame);
        if let Some(end) = step.queue.end.filter(|&end| first < end) {
            return Decision::Refuse(Reason::Overlap { next_free: frame_from(end) });
        }
        match self.horizon_hold(step, first.saturating_add(self.length(head.intervals))) {
            Some(held) => held,
            None => Decision::Submit { how: Start::At(frame), expected: Some(certain(first)) },
        }
    }

    /// A named frame, and an idle endpoint.
    fn start_cold<V: FrameView>(&mut self, step: &Step<'_, V>, frame: u64) -> Decision {
        let lead = self.lead();
        let (start, view_uncertainty) = step.time_of(frame);
        let fresh = step.view.fresh();
        let needed = match self.config.policy {
            // The first stream of a fresh clock is where it is by definition: no filler could make it
            // more exact. It still waits for its time, so that frames ahead of now stay time ahead of now.
            Policy::PreRoll { .. } if fresh => None,
            Policy::Lead => None,
            Policy::PreRoll { .. } | Policy::Carrier { .. } => Some(self.needed_filler(view_uncertainty)),
        };
        let Some(needed) = needed else { return self.start_just_in_time(step, frame, fresh) };

        let latest = step.now + lead.lead + frames(needed.least);
        if latest > start {
            if fresh {
                return Decision::Submit {
                    how: Start::Asap,
                    expected: Some(certain(first_microframe(frame))),
                };
            }
            return late(step, frame, lead.lead + lead.uncertainty + frames(needed.least));
        }
        if matches!(self.config.policy, Policy::PreRoll { .. }) {
            let ahead = lead.lead + frames(needed.preferred);
            if step.now + ahead < start {
                return Decision::HoldUntil(start - ahead);
            }
            let room = start.since(step.now + lead.lead + frames(needed.margin));
            self.allowance = whole_microframes(room) / self.config.period;
        }
        self.filler(u64::MAX)
    }

    /// A cold start, its lead before the frame.
    fn start_just_in_time<V: FrameView>(&self, step: &Step<'_, V>, frame: u64, fresh: bool) -> Decision {
        let lead = self.lead();
        let (start, view_uncertainty) = step.time_of(frame);
        let landing = step.now + lead.lead;
        if landing < start {
            return Decision::HoldUntil(start - lead.lead);
        }
        let first = first_microframe(frame);
        if fresh {
            return Decision::Submit { how: Start::Asap, expected: Some(certain(first)) };
        }
        // Submitted in the middle of a step of the start grid, half a step is what may go wrong.
        let half = microframes(self.config.start_granule) / 2;
        let overdue = landing.since(start);
        if overdue >= half {
            return late(step, frame, lead.lead + half);
        }
        let doubt = lead.uncertainty.saturating_add(view_uncertainty).saturating_add(overdue);
        let steps = match doubt.checked_sub(half) {
            None | Some(Duration::ZERO) => 0,
            Some(excess) => in_microframes(excess).div_ceil(self.config.start_granule),
        };
        let uncertainty = steps.saturating_mul(self.config.start_granule);
        Decision::Submit { how: Start::Asap, expected: Some(Expected { microframe: first, uncertainty }) }
    }

    /// A named frame, and a stream that runs.
    fn place_behind<V: FrameView>(&mut self, step: &Step<'_, V>, frame: u64, head: Pending) -> Decision {
        let Some(end) = step.queue.end else { return self.place_behind_unknown(step) };
        let slot = self.slot_from(end, first_microframe(frame));
        if slot < end {
            let next_free = frame_from(end);
            return Decision::Refuse(match self.tail {
                Tail::User => Reason::Overlap { next_free },
                // Nothing of the user's is in the way: the frame was asked for too late to be kept free.
                Tail::Filler => {
                    Reason::Late { by: next_free.saturating_sub(frame).max(1), earliest: next_free }
                }
            });
        }
        if slot >= first_microframe(frame.saturating_add(1)) && slot != u64::MAX {
            return Decision::Refuse(Reason::OffPhase { next: slot / MICROFRAMES_PER_FRAME });
        }
        let ran_dry = step.ran_dry(end);
        if slot == end {
            let late = || late(step, frame, self.lead().lead);
            return if ran_dry { late() } else { self.follow(step, head) };
        }
        if ran_dry && self.config.policy != Policy::Lead {
            return Decision::Wait;
        }
        // At the end of all frames, a slot may be cut short.
        let gap = ((slot - end) / self.config.period).max(1);
        let lead = self.lead();
        let (_, view_uncertainty) = step.time_of(frame);
        match self.config.policy {
            Policy::Lead => {
                let half = microframes(self.config.start_granule) / 2;
                self.restart(step, end, frame, lead.lead, half)
            }
            Policy::PreRoll { .. } => {
                let needed = self.needed_filler(view_uncertainty);
                let ahead = lead.lead + frames(needed.preferred);
                let bridged = in_microframes(ahead + lead.uncertainty + frames(DRAIN_FRAMES + 1));
                if slot - end > bridged {
                    let spare = frames(needed.preferred - needed.least);
                    return self.restart(step, end, frame, ahead, spare);
                }
                self.hold_behind(step, gap.min(self.piece())).unwrap_or_else(|| self.filler(gap))
            }
            Policy::Carrier { .. } => self.carry(step, Some(gap)),
        }
    }

    /// Lets the queue drain, to start again `ahead` of the frame, or up to `spare` later.
    fn restart<V: FrameView>(
        &self,
        step: &Step<'_, V>,
        end: u64,
        frame: u64,
        ahead: Duration,
        spare: Duration,
    ) -> Decision {
        let (start, _) = step.time_of(frame);
        let (drained, drained_uncertainty) = step.time_of(frame_from(end));
        let drained = drained + drained_uncertainty + frames(DRAIN_FRAMES);
        if drained + ahead > start {
            let after = in_microframes(ahead + drained_uncertainty + frames(DRAIN_FRAMES));
            return Decision::Refuse(Reason::GapTooShort {
                next_free: frame_from(end),
                next_restart: frame_from(end.saturating_add(after)).saturating_add(1),
            });
        }
        if step.now + ahead < start {
            return Decision::HoldUntil(start - ahead);
        }
        // It should have drained by now. A completion wakes us; without one, say so when it is too late.
        let last = start + spare;
        if step.now + ahead <= last {
            let wake = last - ahead + Duration::from_nanos(1);
            return if wake > step.now { Decision::HoldUntil(wake) } else { Decision::Wait };
        }
        late(step, frame, ahead)
    }

    /// A named frame, a stream that runs, and nobody knows yet where: a completion will tell.
    fn place_behind_unknown<V: FrameView>(&self, step: &Step<'_, V>) -> Decision {
        match self.config.policy {
            Policy::Lead => Decision::Wait,
            Policy::PreRoll { .. } => {
                let piece = self.piece().min(self.allowance);
                if self.tail == Tail::User || piece == 0 || self.hold_behind(step, piece).is_some() {
                    return Decision::Wait;
                }
                self.filler(piece)
            }
            Policy::Carrier { .. } => self.carry(step, None),
        }
    }

    /// Keeps the carrier's depth queued, with at most `gap` intervals before somebody else's turn.
    fn carry<V: FrameView>(&self, step: &Step<'_, V>, gap: Option<u64>) -> Decision {
        let Policy::Carrier { depth_frames } = self.config.policy else { return Decision::Wait };
        let piece = self.piece();
        let depth = first_microframe(depth_frames).max(self.length(piece).saturating_mul(2));
        if step.queue.transfers > 0 {
            match step.queue.end {
                Some(end) if step.ran_dry(end) => return Decision::Wait,
                Some(end) => {
                    let (due, uncertainty) = step.time_of(end.saturating_sub(depth) / MICROFRAMES_PER_FRAME);
                    // The early side: too late is a torn stream.
                    let due = due - uncertainty;
                    if step.now < due {
                        return Decision::HoldUntil(due);
                    }
                }
                None if self.length(step.queue.intervals) >= depth => return Decision::Wait,
                None => {}
            }
            if let Some(held) = self.hold_behind(step, piece.min(gap.unwrap_or(u64::MAX))) {
                return held;
            }
        }
        self.filler(gap.unwrap_or(u64::MAX))
    }

    fn filler(&self, at_most: u64) -> Decision {
        Decision::Filler { intervals: self.piece().min(at_most) }
    }

    /// The intervals of one piece of filler.
    fn piece(&self) -> u64 {
        self.config.filler_intervals.min(self.most).max(1)
    }

    /// How many microframes so many intervals take.
    fn length(&self, intervals: u64) -> u64 {
        intervals.saturating_mul(self.config.period)
    }

    /// The longest transfer that can be submitted within the horizon and still in time.
    pub(super) fn most_intervals(&self) -> u64 {
        let Some(horizon) = self.config.horizon else { return u64::MAX };
        let lead = match self.config.start {
            StartSupport::Exact => in_microframes(self.lead().lead),
            _ => self.longest_lead(),
        };
        first_microframe(horizon).saturating_sub(lead) / self.config.period
    }

    /// The latest that a cold start begins, in microframes.
    fn longest_lead(&self) -> u64 {
        let lead = self.lead();
        in_microframes(lead.lead.saturating_add(lead.uncertainty)).saturating_add(self.config.start_granule)
    }

    /// Whether `intervals` more behind the queue must wait for the horizon.
    fn hold_behind<V: FrameView>(&self, step: &Step<'_, V>, intervals: u64) -> Option<Decision> {
        match step.queue.end {
            Some(end) => self.horizon_hold(step, end.saturating_add(self.length(intervals))),
            // It ends no later than if none of it had begun.
            None => (step.queue.transfers > 0 && step.queue.intervals.saturating_add(intervals) > self.most)
                .then_some(Decision::Wait),
        }
    }

    /// Whether something that ends before microframe `end` must wait for the horizon.
    fn horizon_hold<V: FrameView>(&self, step: &Step<'_, V>, end: u64) -> Option<Decision> {
        let frame = frame_from(end).checked_sub(self.config.horizon?)?;
        let (time, uncertainty) = step.time_of(frame);
        let time = time + uncertainty;
        (step.now < time).then_some(Decision::HoldUntil(time))
    }

    /// The first service interval at or after `target`, on the grid of a stream whose next is `end`.
    fn slot_from(&self, end: u64, target: u64) -> u64 {
        let period = self.config.period;
        match target.checked_sub(end) {
            Some(after) => end.saturating_add(after.div_ceil(period).saturating_mul(period)),
            None => end - (end - target) / period * period,
        }
    }

    /// How many frames of filler lie between a cold start and the frame it is for.
    fn needed_filler(&self, view_uncertainty: Duration) -> Needed {
        let doubt = self.lead().uncertainty.saturating_add(view_uncertainty);
        let half = self.config.start_granule.div_ceil(2);
        let margin = in_microframes(doubt).saturating_add(half).div_ceil(MICROFRAMES_PER_FRAME);
        // One piece completes and tells where the stream is; the other keeps it alive meanwhile.
        let pieces = self.length(self.piece()).saturating_mul(2).div_ceil(MICROFRAMES_PER_FRAME);
        let least = pieces.saturating_add(margin);
        let wanted = match self.config.policy {
            Policy::PreRoll { frames } => frames,
            Policy::Lead | Policy::Carrier { .. } => 0,
        };
        Needed { margin, least, preferred: wanted.max(least.saturating_add(REPORT_FRAMES)) }
    }
}

/// What one decision looks at.
struct Step<'a, V> {
    now: Time,
    view: &'a V,
    queue: Queue,
}

impl<V: FrameView> Step<'_, V> {
    /// The view's answer, with an uncertainty that sums of durations cannot overflow on.
    fn time_of(&self, frame: u64) -> (Time, Duration) {
        let (time, uncertainty) = self.view.time_of(frame);
        (time, uncertainty.min(Duration::from_secs(3_600)))
    }

    /// Whether a queue that ends at `end` must have run dry, although not all of it has been reaped: what
    /// follows it now is a new stream, without any error from the system.
    fn ran_dry(&self, end: u64) -> bool {
        let (time, uncertainty) = self.time_of(frame_from(end));
        !self.view.fresh() && self.now > time + uncertainty
    }
}

/// Frames of filler.
struct Needed {
    /// By how many frames the stream may begin late.
    margin: u64,
    /// Fewer are not enough to learn where the stream is.
    least: u64,
    /// To begin with. At least the wake-up's slack more than the least.
    preferred: u64,
}

fn late<V: FrameView>(step: &Step<'_, V>, frame: u64, ahead: Duration) -> Decision {
    let (microframe, uncertainty) = step.view.microframe_at(step.now);
    let reached = microframe.saturating_add(uncertainty).saturating_add(in_microframes(ahead));
    let earliest = frame_from(reached).max(frame.saturating_add(1));
    Decision::Refuse(Reason::Late { by: earliest - frame, earliest })
}

fn certain(microframe: u64) -> Expected {
    Expected { microframe, uncertainty: 0 }
}

fn first_microframe(frame: u64) -> u64 {
    frame.saturating_mul(MICROFRAMES_PER_FRAME)
}

/// The first frame that begins at or after a microframe.
fn frame_from(microframe: u64) -> u64 {
    microframe.div_ceil(MICROFRAMES_PER_FRAME)
}

fn whole_microframes(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos() / u128::from(super::MICROFRAME_NANOS)).unwrap_or(u64::MAX)
}
