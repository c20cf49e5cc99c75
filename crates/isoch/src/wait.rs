//! Waiting: one primitive for completions, free blocks, control transfers and hotplug events.
//!
//! Why not channels from a library? Because of emulated time. On a bus whose clock stands still while
//! the program computes, *waiting is what moves time*: a blocking wait must run the bus, and a channel
//! cannot. So a [`Mailbox`] is a queue with a condition variable and wakers, and [`Next`] is the wait for
//! its next item: `.await` on any runtime, [`Next::wait`] or [`Next::wait_timeout`] on none.

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use isoch_core::Time;

use crate::Error;
use crate::sync::{Arc, Condvar, Mutex, lock, thread_local};

thread_local! {
    /// Whether this thread is inside a completion sink, which nothing can reach before it returns.
    static IN_SINK: Cell<bool> = const { Cell::new(false) };
}

/// This thread is inside a completion sink: what would wait ends with an error instead of a deadlock.
pub(crate) struct InSink {
    before: bool,
}

impl InSink {
    /// Whether this thread is telling a sink.
    pub(crate) fn here() -> bool {
        IN_SINK.with(Cell::get)
    }

    fn enter() -> Self {
        InSink { before: IN_SINK.with(|inside| inside.replace(true)) }
    }
}

impl Drop for InSink {
    fn drop(&mut self) {
        IN_SINK.with(|inside| inside.set(self.before));
    }
}

/// Tells a sink, or whoever is called back. If it panics, everyone else on the bus goes on: nothing of ours is
/// locked here.
pub(crate) fn tell(sink: impl FnOnce()) {
    let _in_sink = InSink::enter();
    if std::panic::catch_unwind(AssertUnwindSafe(sink)).is_err() {
        tracing::error!("a completion sink panicked; what told it goes on without it");
    }
}

/// How a bus with emulated time is driven by those who wait.
pub(crate) trait StepsTime: Send + Sync {
    /// Runs the bus to its next event, at most to `limit`; not at all if, once it is this thread's turn,
    /// what is waited for is `ready`.
    fn step(&self, limit: Option<Time>, ready: &dyn Fn() -> bool) -> Step;
    /// The bus's host time.
    fn now(&self) -> Time;
}

/// What a step of emulated time did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Time went on and something may have happened.
    Advanced,
    /// The limit is reached.
    AtLimit,
    /// Nothing on the bus will ever happen by itself, or only an explicit `advance` moves this clock.
    Stopped,
}

/// How to wait on a bus.
#[derive(Clone)]
pub(crate) enum Waiting {
    /// Other threads do the work; block.
    Real,
    /// The waiting thread does it.
    Emulated(Arc<dyn StepsTime>),
}

/// What can wait in a mailbox.
pub(crate) trait Item {
    /// It was taken by whoever waited for it.
    fn taken(&self) {}
}

/// Wakers kept besides the first.
const MOST_WAKERS: usize = 64;

/// A queue that can be waited on.
pub(crate) struct Mailbox<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
}

struct State<T> {
    items: VecDeque<T>,
    /// The usual case is one task; it needs no list.
    waker: Option<Waker>,
    more_wakers: Vec<Waker>,
    sleeping: usize,
    closed: bool,
}

impl<T: Item> Mailbox<T> {
    pub(crate) fn new() -> Self {
        Mailbox {
            state: Mutex::new(State {
                items: VecDeque::new(),
                waker: None,
                more_wakers: Vec::new(),
                sleeping: 0,
                closed: false,
            }),
            arrived: Condvar::new(),
        }
    }

    /// Makes room for this many items, so that pushing them allocates nothing.
    pub(crate) fn reserve(&self, items: usize) {
        let mut state = lock(&self.state);
        let have = state.items.len();
        state.items.reserve(items.saturating_sub(have));
    }

    pub(crate) fn push(&self, item: T) {
        let mut state = lock(&self.state);
        state.items.push_back(item);
        self.wake(state);
    }

    /// No more items will come: waits end with [`Error::Closed`] once the queue is empty.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        self.wake(state);
    }

    fn wake(&self, mut state: crate::sync::MutexGuard<'_, State<T>>) {
        let first = state.waker.take();
        let more = std::mem::take(&mut state.more_wakers);
        let sleeping = state.sleeping > 0;
        drop(state);
        // Which waiter takes the item is open, so all are woken; the others go back to sleep.
        if sleeping {
            self.arrived.notify_all();
        }
        first.into_iter().chain(more).for_each(Waker::wake);
    }

    pub(crate) fn try_pop(&self) -> Option<T> {
        let item = lock(&self.state).items.pop_front()?;
        item.taken();
        Some(item)
    }

    /// Whether a wait would end now.
    fn is_ready(&self) -> bool {
        let state = lock(&self.state);
        state.closed || !state.items.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.state).items.len()
    }

    /// The next item, or why there will be none; `None` to wait. Leaves `waker` behind in that case.
    fn poll_pop(&self, waker: Option<&Waker>) -> Option<Result<T, Error>> {
        let mut state = lock(&self.state);
        if let Some(item) = state.items.pop_front() {
            drop(state);
            item.taken();
            return Some(Ok(item));
        }
        if state.closed {
            return Some(Err(Error::Closed));
        }
        if let Some(waker) = waker {
            match &state.waker {
                Some(old) if old.will_wake(waker) => {}
                None => state.waker = Some(waker.clone()),
                Some(_) if state.more_wakers.iter().any(|old| old.will_wake(waker)) => {}
                Some(_) => {
                    // Waits that were dropped leave their wakers behind: those still waiting ask again.
                    if state.more_wakers.len() >= MOST_WAKERS {
                        state.more_wakers.drain(..).for_each(Waker::wake);
                    }
                    state.more_wakers.push(waker.clone());
                }
            }
        }
        None
    }

    /// Blocks the thread until an item comes, or until `deadline`.
    fn sleep(&self, deadline: Option<Instant>) -> Result<T, Error> {
        let mut state = lock(&self.state);
        loop {
            if let Some(item) = state.items.pop_front() {
                drop(state);
                item.taken();
                return Ok(item);
            }
            if state.closed {
                return Err(Error::Closed);
            }
            state.sleeping += 1;
            state = match deadline {
                None => self.arrived.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        state.sleeping -= 1;
                        return Err(Error::TimedOut);
                    }
                    let waited = self.arrived.wait_timeout(state, left);
                    waited.unwrap_or_else(std::sync::PoisonError::into_inner).0
                }
            };
            state.sleeping -= 1;
        }
    }

    pub(crate) fn next<'a>(&'a self, waiting: &'a Waiting) -> Next<'a, T> {
        Next { mailbox: self, waiting, yielded: false }
    }
}

/// The wait for the next item of an endpoint, a pool of blocks, a transfer or a watch.
///
/// It is a future for any runtime: dropping it loses nothing, it only stops waiting. Without a runtime,
/// [`wait`](Self::wait) and [`wait_timeout`](Self::wait_timeout) block the thread.
///
/// On a bus with emulated time the wait itself runs the bus (`OnWait`), or, if only `advance` moves the
/// clock (`Manual`), blocking waits that would last end at once with [`Error::ClockStopped`]; `.await`
/// stays pending until some other task advances the clock.
#[must_use = "nothing is waited for until it is awaited or `wait` is called"]
#[allow(private_bounds)]
pub struct Next<'a, T: Item> {
    mailbox: &'a Mailbox<T>,
    waiting: &'a Waiting,
    /// Whether every other task that was ready has had its turn.
    pub(crate) yielded: bool,
}

#[allow(private_bounds)]
impl<T: Item> Next<'_, T> {
    /// The item, if it is there already.
    #[must_use]
    pub fn now(self) -> Option<T> {
        self.mailbox.try_pop()
    }

    /// Blocks until it comes.
    ///
    /// # Errors
    /// [`Error::Closed`] if none will come; [`Error::ClockStopped`] if emulated time stands still;
    /// [`Error::InSink`] if it would last inside a [`CompletionSink`](crate::CompletionSink).
    pub fn wait(self) -> Result<T, Error> {
        self.wait_until(None)
    }

    /// Blocks until it comes, for at most `timeout` (of emulated time on an emulated bus).
    ///
    /// # Errors
    /// As [`wait`](Self::wait), and [`Error::TimedOut`].
    pub fn wait_timeout(self, timeout: Duration) -> Result<T, Error> {
        self.wait_until(Some(timeout))
    }

    fn wait_until(self, timeout: Option<Duration>) -> Result<T, Error> {
        if InSink::here() {
            return self.mailbox.poll_pop(None).unwrap_or(Err(Error::InSink));
        }
        match self.waiting {
            Waiting::Real => {
                self.mailbox.sleep(timeout.and_then(|timeout| Instant::now().checked_add(timeout)))
            }
            Waiting::Emulated(time) => {
                if let Some(ready) = self.mailbox.poll_pop(None) {
                    return ready;
                }
                let limit = timeout.map(|timeout| time.now() + timeout);
                loop {
                    let step = time.step(limit, &|| self.mailbox.is_ready());
                    if let Some(ready) = self.mailbox.poll_pop(None) {
                        return ready;
                    }
                    match step {
                        Step::Advanced => {}
                        Step::AtLimit => return Err(Error::TimedOut),
                        Step::Stopped => return Err(Error::ClockStopped),
                    }
                }
            }
        }
    }
}

impl<T: Item> Future for Next<'_, T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(ready) = self.mailbox.poll_pop(Some(context.waker())) {
            return Poll::Ready(ready);
        }
        let Waiting::Emulated(time) = self.waiting else { return Poll::Pending };
        // Let every other task that is ready run first: time stands still while the program computes.
        if !std::mem::replace(&mut self.yielded, true) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if time.step(None, &|| self.mailbox.is_ready()) == Step::Stopped {
            // Another task may still advance the clock; its events will wake this one.
            return Poll::Pending;
        }
        self.yielded = false;
        if let Some(ready) = self.mailbox.poll_pop(Some(context.waker())) {
            return Poll::Ready(ready);
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
