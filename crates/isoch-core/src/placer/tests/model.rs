//! A controller that cannot start on a frame, an engine that drives a placer for it, and their clock.

use super::super::*;
use crate::MICROFRAMES_PER_FRAME;
use std::collections::VecDeque;

/// A clock that knows when frames begin, give or take.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    /// When frame 0 begins, in truth.
    pub(super) origin: u64,
    /// By how much its answers are off, and how much it says they may be.
    pub(super) error: i64,
    pub(super) uncertainty: Duration,
    pub(super) fresh: bool,
}

impl View {
    pub(super) fn exact(origin: u64) -> Self {
        View { origin, error: 0, uncertainty: Duration::ZERO, fresh: false }
    }

    pub(super) fn true_time(&self, microframe: u64) -> Time {
        Time::from_nanos(self.origin + microframe * MICROFRAME_NANOS)
    }

    pub(super) fn true_microframe(&self, at: Time) -> u64 {
        at.as_nanos().saturating_sub(self.origin) / MICROFRAME_NANOS
    }
}

impl FrameView for View {
    fn time_of(&self, frame: u64) -> (Time, Duration) {
        let time = self.true_time(frame.min(1 << 30) * MICROFRAMES_PER_FRAME);
        (time.offset(self.error), self.uncertainty)
    }

    fn microframe_at(&self, at: Time) -> (u64, u64) {
        (self.true_microframe(at.offset(-self.error)), in_microframes(self.uncertainty))
    }

    fn fresh(&self) -> bool {
        self.fresh
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Queued {
    pub(super) first: u64,
    pub(super) end: u64,
    submitted: Time,
    cold: bool,
}

/// Starts `lead_frames` after the current frame, sometimes up to `jitter_frames` later; counts slots while
/// its queue is not empty.
#[derive(Clone, Debug)]
pub(super) struct Controller {
    pub(super) lead_frames: u64,
    pub(super) jitter_frames: u64,
    pub(super) random: u64,
    pub(super) queue: VecDeque<Queued>,
    pub(super) streams: u64,
}

impl Default for Controller {
    fn default() -> Self {
        Controller { lead_frames: 10, jitter_frames: 0, random: 1, queue: VecDeque::new(), streams: 0 }
    }
}

impl Controller {
    fn next_random(&mut self) -> u64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.random >> 33
    }

    fn submit(&mut self, now: Time, view: &View, length: u64) -> Queued {
        let microframe = view.true_microframe(now);
        let follows = self.queue.back().map(|last| last.end).filter(|&end| end > microframe);
        let first = follows.unwrap_or_else(|| {
            self.streams += 1;
            let jitter = self.next_random() % (self.jitter_frames + 1);
            (microframe / 8 + self.lead_frames + jitter) * 8
        });
        let queued = Queued { first, end: first + length, submitted: now, cold: follows.is_none() };
        self.queue.push_back(queued);
        queued
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Its first microframe, and what was expected.
    Landed(u64, Option<Expected>),
    Refused(Reason),
}

/// An engine: drives a placer with the controller's queue, as the crates above do.
pub(super) struct Run {
    pub(super) placer: Placer,
    pub(super) controller: Controller,
    pub(super) view: View,
    pub(super) now: Time,
    /// How long after its last interval a completion is seen, and a deadline is followed, at most.
    pub(super) latency: u64,
    /// The next microframe, known from the first completion of a stream on.
    end: Option<u64>,
    /// When each request is made.
    pub(super) requests: VecDeque<(Time, Pending)>,
    pub(super) fates: Vec<Fate>,
    /// Intervals of filler so far.
    pub(super) filler: u64,
    hold: Option<Time>,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {:?} {:?} latency {}", self.placer.config, self.controller, self.view, self.latency)
    }
}

impl Run {
    pub(super) fn new(config: PlacerConfig, controller: Controller) -> Self {
        Run {
            placer: Placer::new(config),
            controller,
            view: View::exact(0),
            now: Time::ZERO,
            latency: 50_000,
            end: None,
            requests: VecDeque::new(),
            fates: Vec::new(),
            filler: 0,
            hold: None,
        }
    }

    /// Runs until `until`.
    pub(super) fn advance(&mut self, until: Time) {
        // Wake-ups are bounded: an engine that spins would never end.
        for _ in 0..100_000 {
            self.reap();
            self.decide();
            let completion = self.controller.queue.front().map(|front| self.seen(front));
            let request = self.requests.front().map(|&(time, _)| time).filter(|&time| time > self.now);
            let late = Duration::from_nanos(self.controller.next_random() % (self.latency + 1));
            let hold = self.hold.map(|time| time + late);
            let next = [completion, request, hold].into_iter().flatten().min().unwrap_or(Time::MAX);
            if next > until {
                self.now = until;
                return;
            }
            self.now = next.max(self.now);
        }
        panic!("too many wake-ups");
    }

    fn seen(&self, queued: &Queued) -> Time {
        self.view.true_time(queued.end) + Duration::from_nanos(self.latency)
    }

    fn reap(&mut self) {
        while let Some(front) = self.controller.queue.front().copied()
            && self.seen(&front) <= self.now
        {
            self.controller.queue.pop_front();
            self.view.fresh = false;
            if front.cold {
                self.placer.observe_cold_start(front.submitted, self.view.true_time(front.first));
                // The first completion tells where the stream is; the rest is counted.
                self.end = Some(
                    self.controller.queue.iter().fold(front.end, |end, next| end + (next.end - next.first)),
                );
            }
            if self.controller.queue.is_empty() {
                self.end = None;
            }
        }
    }

    fn decide(&mut self) {
        // Decisions at one moment are bounded: filler without end would fill the host's memory.
        for _ in 0..1_000 {
            let intervals = self.controller.queue.iter().map(|next| next.end - next.first).sum::<u64>()
                / self.placer.config.period;
            let queue = Queue { transfers: self.controller.queue.len(), intervals, end: self.end };
            let head = self.requests.front().filter(|&&(time, _)| time <= self.now).map(|&(_, head)| head);
            let decision = self.placer.decide(self.now, &self.view, queue, head);
            self.hold = self.placer.next_deadline();
            let intervals = match (decision, head) {
                (Decision::Submit { .. }, Some(head)) => head.intervals,
                (Decision::Filler { intervals }, _) => {
                    assert!(intervals > 0 && intervals <= self.placer.config.filler_intervals);
                    self.filler += intervals;
                    intervals
                }
                (Decision::Refuse(reason), Some(_)) => {
                    self.requests.pop_front();
                    self.fates.push(Fate::Refused(reason));
                    continue;
                }
                (Decision::HoldUntil(time), _) => {
                    assert!(time > self.now, "held until {time:?} at {:?}", self.now);
                    assert_eq!(self.hold, Some(time));
                    self.assert_progress_at(time, queue, head);
                    return;
                }
                (Decision::Wait, head) => {
                    assert_eq!(self.hold, None);
                    assert!(head.is_none() || queue.transfers > 0, "nothing will ever wake it");
                    return;
                }
                (unexpected, None) => panic!("{unexpected:?} without a head"),
            };
            let length = intervals * self.placer.config.period;
            let queued = self.controller.submit(self.now, &self.view, length);
            if let Some(horizon) = self.placer.config.horizon {
                let limit = self.view.true_microframe(self.now) + horizon * 8;
                assert!(queued.end <= limit, "beyond the horizon: {queued:?}, {limit}");
            }
            self.end = match self.end {
                Some(end) if queue.transfers > 0 => Some(end + length),
                _ => None,
            };
            if let Decision::Submit { expected, .. } = decision {
                self.requests.pop_front();
                self.fates.push(Fate::Landed(queued.first, expected));
            }
        }
        panic!("too many decisions at {:?}", self.now);
    }

    /// Nothing else happening, the wake-up at the deadline must lead to something else than the same
    /// deadline.
    fn assert_progress_at(&self, mut time: Time, queue: Queue, head: Option<Pending>) {
        for _ in 0..3 {
            let mut placer = self.placer.clone();
            match placer.decide(time, &self.view, queue, head) {
                Decision::HoldUntil(next) => {
                    assert!(next > time, "held at {time:?} until {next:?}");
                    time = next;
                }
                _ => return,
            }
        }
        panic!("held again and again");
    }
}
