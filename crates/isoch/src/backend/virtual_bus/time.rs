//! What moves a virtual bus's time: its own thread, `advance`, or whoever waits.

use std::cell::Cell;
#[cfg(not(shuttle))]
use std::time::Duration;

use isoch_core::{MICROFRAMES_PER_FRAME, Time};
use isoch_virtual::sof::SofClock;

use super::BusClock;
use super::events::Lists;
use super::shared::{Shared, State};
use crate::Error;
use crate::sync::{Condvar, Mutex, Ordering, Weak, lock, thread_local};
use crate::wait::{Step, StepsTime};

/// Being later than this counts as a stall of the machine: the bus then stands still instead of bursting.
#[cfg(not(shuttle))]
const STALL: Duration = Duration::from_millis(2);

thread_local! {
    /// Whether this thread is inside a step, so that a sink that waits gets an error instead of a deadlock.
    static STEPPING: Cell<bool> = const { Cell::new(false) };
}

/// What wakes the bus's thread. Apart from the bus, so that the thread keeps nothing alive while it sleeps.
pub(super) struct Alarm {
    rung: Mutex<bool>,
    bell: Condvar,
}

impl Alarm {
    pub(super) fn new() -> Self {
        Alarm { rung: Mutex::new(false), bell: Condvar::new() }
    }

    pub(super) fn ring(&self) {
        *lock(&self.rung) = true;
        self.bell.notify_one();
    }

    /// Sleeps until it rings, or for so long.
    #[cfg(not(shuttle))]
    fn sleep(&self, at_most: Option<Duration>) {
        let mut rung = lock(&self.rung);
        if !*rung {
            rung = match at_most {
                None => self.bell.wait(rung).unwrap_or_else(std::sync::PoisonError::into_inner),
                Some(at_most) => {
                    let woken = self.bell.wait_timeout(rung, at_most);
                    woken.unwrap_or_else(std::sync::PoisonError::into_inner).0
                }
            };
        }
        *rung = false;
    }
}

/// The bus's thread.
#[cfg(not(shuttle))]
pub(super) fn run_real(bus: &Weak<Shared>, alarm: &Alarm) {
    while let Some(shared) = bus.upgrade() {
        let sleep = shared.run_what_is_due();
        drop(shared);
        alarm.sleep(sleep);
    }
}

impl Shared {
    /// In real time the controller runs when something is due; before anything new it must know what time
    /// it is. (What is due already is left to the bus's thread.)
    pub(super) fn catch_up(&self, state: &mut State) {
        if self.mode == BusClock::Real {
            let now = state.controller.sof().microframe_at(self.host.now());
            if state.controller.next_event_at().is_none_or(|due| due > now) {
                let mut none = Vec::new();
                state.controller.run(now, &mut none);
                debug_assert!(none.is_empty(), "nothing was due");
            }
        }
    }

    /// Wakes the bus's thread if it would sleep for too long.
    pub(super) fn nudge(&self, state: &State) {
        if self.mode != BusClock::Real {
            return;
        }
        if let (Some(until), Some(due)) = (state.sleeping_until, state.next_due())
            && due < until
        {
            self.alarm.ring();
        }
    }

    pub(super) fn advance(&self, frames: u64) -> Result<(), Error> {
        if self.mode == BusClock::Real {
            return Err(Error::Unsupported(
                "this bus runs in real time: only a bus with a manual or on-wait clock can be advanced"
                    .into(),
            ));
        }
        let Some(_turn) = Turn::take() else { return Err(Error::ClockStopped) };
        let mut lists = lock(&self.running);
        let until = self.lock().controller.now().saturating_add(frames.saturating_mul(MICROFRAMES_PER_FRAME));
        let mut reached = self.lock().controller.now();
        while reached < until {
            let before = std::mem::replace(&mut reached, self.run(&mut lists, until));
            // The controller has an end of time of its own.
            if reached == before && self.lock().next_due().is_none_or(|due| due > reached) {
                break;
            }
        }
        Ok(())
    }

    /// Runs to the next event, at most to `until`, and tells it. Returns the microframe reached.
    fn run(&self, lists: &mut Lists, until: u64) -> u64 {
        let mut state = self.lock();
        let target = state.next_deadline().map_or(until, |deadline| deadline.min(until));
        let target = target.max(state.controller.now());
        let reached = state.controller.run(target, &mut lists.events);
        state.route(lists);
        drop(state);
        lists.tell();
        reached
    }

    /// One turn of the bus's thread: tells what is due. Returns for how long nothing will be.
    #[cfg(not(shuttle))]
    fn run_what_is_due(&self) -> Option<Duration> {
        let mut lists = lock(&self.running);
        loop {
            let mut state = self.lock();
            let now = self.host.now();
            let Some(due) = state.next_due() else {
                state.sleeping_until = Some(u64::MAX);
                return None;
            };
            let late = now.since(state.controller.sof().time_of(due));
            if late > STALL {
                let at = due.max(state.controller.now());
                state.controller.sof_mut().stretch(late, at);
                state.stalls.count += 1;
                state.stalls.total += late;
                state.stalls.longest = state.stalls.longest.max(late);
            }
            let sof = state.controller.sof();
            let until = sof.microframe_at(now);
            if due > until {
                let sleep = sof.time_of(due).since(now);
                state.sleeping_until = Some(due);
                return Some(sleep);
            }
            drop(state);
            self.run(&mut lists, until);
        }
    }
}

/// The first microframe that does not begin before `time`.
fn not_before(sof: &SofClock, time: Time) -> u64 {
    let microframe = sof.microframe_at(time);
    if sof.time_of(microframe) < time { microframe + 1 } else { microframe }
}

impl State {
    /// The microframe of the earliest deadline.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        let placed = self.routes.iter().filter_map(|route| route.deadline);
        let timed = self.data.iter().filter_map(|route| route.deadline);
        let deadline = placed.chain(timed).min()?;
        Some(not_before(self.controller.sof(), deadline))
    }

    /// The microframe of whatever is next.
    pub(super) fn next_due(&self) -> Option<u64> {
        match (self.controller.next_event_at(), self.next_deadline()) {
            (Some(event), Some(deadline)) => Some(event.min(deadline)),
            (event, deadline) => event.or(deadline),
        }
    }
}

/// This thread is moving time.
struct Turn;

impl Turn {
    fn take() -> Option<Turn> {
        (!STEPPING.with(|stepping| stepping.replace(true))).then_some(Turn)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        STEPPING.with(|stepping| stepping.set(false));
    }
}

/// Emulated time, for those who wait.
pub(super) struct Stepper(pub(super) Weak<Shared>);

impl StepsTime for Stepper {
    fn step(&self, limit: Option<Time>, ready: &dyn Fn() -> bool) -> Step {
        let Some(shared) = self.0.upgrade() else { return Step::Stopped };
        let Some(_turn) = Turn::take() else { return Step::Stopped };
        let mut lists = lock(&shared.running);
        if ready() {
            return Step::Advanced;
        }
        let (now, due, limit, telling) = {
            let state = shared.lock();
            let limit = limit.map(|limit| not_before(state.controller.sof(), limit));
            let telling = shared.telling.load(Ordering::SeqCst) > 0;
            (state.controller.now(), state.next_due(), limit, telling)
        };
        let due = due.map(|due| due.max(now));
        // With a manual clock, only what is due without time passing.
        let target = if shared.mode == BusClock::Manual { due.filter(|due| *due <= now) } else { due };
        match (target, limit) {
            (Some(target), limit) if limit.is_none_or(|limit| target <= limit) => {
                shared.run(&mut lists, target);
                Step::Advanced
            }
            // Another thread is about to tell something: perhaps what is waited for.
            _ if telling => {
                crate::sync::yield_now();
                Step::Advanced
            }
            (_, Some(limit)) if shared.mode == BusClock::OnWait => {
                shared.run(&mut lists, limit);
                Step::AtLimit
            }
            _ => Step::Stopped,
        }
    }

    fn now(&self) -> Time {
        match self.0.upgrade() {
            Some(shared) => shared.with(|controller| controller.sof().time_of(controller.now())),
            None => Time::ZERO,
        }
    }
}
