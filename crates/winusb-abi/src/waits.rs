//! Waiting: until something is signalled, or a request is over.
//!
//! Why one lock for all of it? Because waiting for *all* of several objects must take them in one step, which is
//! what Windows has its dispatcher lock for; it is held for a few instructions for each transfer, never for a packet.
//! Why not the crate's own waits? Because a program waits here for events of its own, too. What is the same: where
//! time is emulated, *waiting is what moves it*, so a wait runs the bus.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use isoch::{EmulatedStep, EmulatedTime};

use crate::time;
use crate::types::INFINITE;

/// Guards whatever can be waited for. Nothing is called while it is held.
static DISPATCHER: Mutex<Dispatcher> = Mutex::new(Dispatcher { sleepers: Vec::new(), clocks_opened: 0 });

/// How long a wait on emulated time that stands still sleeps before it looks whether another thread started something.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

pub(crate) struct Dispatcher {
    sleepers: Vec<Sleeper>,
    /// How many emulated clocks were ever opened: who sleeps for want of one looks again when that changes.
    clocks_opened: u64,
}

struct Sleeper {
    keys: Vec<usize>,
    bell: Arc<Condvar>,
}

impl Dispatcher {
    pub(crate) fn lock() -> MutexGuard<'static, Dispatcher> {
        DISPATCHER.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes whoever waits for what has this key.
    pub(crate) fn wake(&self, key: usize) {
        for sleeper in self.sleepers.iter().filter(|sleeper| sleeper.keys.contains(&key)) {
            sleeper.bell.notify_all();
        }
    }
}

/// An emulated clock was opened: those who sleep may have to move it.
pub(crate) fn clock_opened() {
    let mut dispatcher = Dispatcher::lock();
    dispatcher.clocks_opened += 1;
    dispatcher.sleepers.iter().for_each(|sleeper| sleeper.bell.notify_all());
}

/// What is waited for. Its methods are called with the dispatcher locked.
pub(crate) trait Wanted {
    type Got;
    /// Keys that [`Dispatcher::wake`] is called with when it may have become ready.
    fn keys(&self) -> Vec<usize>;
    /// The emulated clocks that may bring it about.
    fn clocks(&self) -> Vec<EmulatedTime>;
    /// Whether [`take`](Self::take) would give something.
    fn is_ready(&self) -> bool;
    /// Takes it, if it is ready.
    fn take(&self) -> Option<Self::Got>;
}

/// Waits for at most so many milliseconds, of emulated time where time is emulated. `None`: timed out.
pub(crate) fn wait<W: Wanted>(wanted: &W, milliseconds: u32) -> Option<W::Got> {
    if let Some(got) = take(wanted) {
        return Some(got);
    }
    if milliseconds == 0 {
        return None;
    }
    let timeout = (milliseconds != INFINITE).then(|| Duration::from_millis(milliseconds.into()));
    let clocks = loop {
        let opened = Dispatcher::lock().clocks_opened;
        let clocks = wanted.clocks();
        if !clocks.is_empty() || timeout.is_none() && !time::emulated().is_empty() {
            break clocks;
        }
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        // A wait without end may have begun before the device was opened that it waits for: then it is what must
        // move that one's time.
        match sleep(wanted, deadline, timeout.is_none().then_some(opened)) {
            None if deadline.is_none() => {}
            got => return got,
        }
    };
    // A clock that only `advance` moves stands still here: then real time is the limit.
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let limits: Vec<_> =
        clocks.iter().map(|clock| timeout.and_then(|timeout| clock.now().checked_add(timeout))).collect();
    loop {
        let mut stopped = true;
        let mut at_limit = false;
        for (clock, limit) in clocks.iter().zip(&limits) {
            match clock.step(*limit, &|| ready(wanted)) {
                EmulatedStep::Advanced => stopped = false,
                EmulatedStep::AtLimit => at_limit = true,
                EmulatedStep::Stopped => {}
            }
            if let Some(got) = take(wanted) {
                return Some(got);
            }
        }
        // A program may wait with the handle of another device: then that one's bus must go on.
        if stopped && timeout.is_none() {
            for clock in time::emulated() {
                stopped &= clock.step(None, &|| ready(wanted)) != EmulatedStep::Advanced;
            }
        }
        if !stopped {
            continue;
        }
        let now = Instant::now();
        // Emulated time goes by in an instant: what a real device does takes its time.
        if at_limit && !time::has_real() || deadline.is_some_and(|deadline| now >= deadline) {
            return None;
        }
        let again = deadline.map_or(now + LOOK_AGAIN, |deadline| deadline.min(now + LOOK_AGAIN));
        if let Some(got) = sleep(wanted, Some(again), None) {
            return Some(got);
        }
    }
}

fn take<W: Wanted>(wanted: &W) -> Option<W::Got> {
    let _dispatcher = Dispatcher::lock();
    wanted.take()
}

fn ready<W: Wanted>(wanted: &W) -> bool {
    let _dispatcher = Dispatcher::lock();
    wanted.is_ready()
}

/// Sleeps in real time; ends when more emulated clocks were opened than `opened`.
fn sleep<W: Wanted>(wanted: &W, deadline: Option<Instant>, opened: Option<u64>) -> Option<W::Got> {
    let mut dispatcher = Dispatcher::lock();
    let bell = Arc::new(Condvar::new());
    dispatcher.sleepers.push(Sleeper { keys: wanted.keys(), bell: Arc::clone(&bell) });
    let got = loop {
        if let Some(got) = wanted.take() {
            break Some(got);
        }
        if opened.is_some_and(|opened| dispatcher.clocks_opened != opened) {
            break None;
        }
        dispatcher = match deadline {
            None => bell.wait(dispatcher).unwrap_or_else(PoisonError::into_inner),
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break None;
                }
                bell.wait_timeout(dispatcher, left).unwrap_or_else(PoisonError::into_inner).0
            }
        };
    };
    dispatcher.sleepers.retain(|sleeper| !Arc::ptr_eq(&sleeper.bell, &bell));
    got
}

/// Lets so many milliseconds pass.
#[cfg_attr(windows, expect(dead_code, reason = "Windows has its own"))]
pub(crate) fn pause(milliseconds: u32) {
    struct Never;
    impl Wanted for Never {
        type Got = ();
        fn keys(&self) -> Vec<usize> {
            Vec::new()
        }
        fn clocks(&self) -> Vec<EmulatedTime> {
            time::emulated()
        }
        fn is_ready(&self) -> bool {
            false
        }
        fn take(&self) -> Option<()> {
            None
        }
    }
    if milliseconds == 0 {
        std::thread::yield_now();
    }
    wait(&Never, milliseconds);
}
