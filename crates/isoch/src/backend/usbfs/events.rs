//! What happens on a device: requests that are over, deadlines, the end.
//!
//! Why poll, and not a blocking reap? A blocking reap can be woken by nothing else, and placement needs to wake by the
//! clock, to a fraction of a millisecond. A thread does it, unless the program has a loop of its own
//! ([`EventLoop`](crate::EventLoop)): that gets one descriptor, in which epoll has the device, the nudge and, because a
//! descriptor has no time-out, a timer. The thread needs none, which saves a call each time it waits for the clock.

use std::num::NonZeroU64;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use isoch_core::{Outcome, Time};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, epoll, eventfd, poll};
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

use super::codes;
use super::node::Node;
use super::shared::{Shared, State};
use super::urb::{Owner, Urb};
use crate::bus::DataReport;
use crate::sync::{Arc, Mutex, lock};
use crate::{Error, backend::telling::Telling, error};

/// Which descriptor woke a program's own loop.
const DEVICE: u64 = 0;
const TIMER: u64 = 1;
const NUDGE: u64 = 2;

/// How often it is looked after what the kernel still has of a device that is gone.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// What wakes whoever handles a device's events.
pub(super) struct Wakes {
    nudge: OwnedFd,
    /// The device, the nudge and a timer in one, for a program's own loop.
    epoll: OwnedFd,
    timer: OwnedFd,
    /// What the timer is set to.
    set_to: Mutex<Time>,
}

/// What is to be told, or done, without the lock. Keeps its room.
#[derive(Default)]
pub(super) struct Lists {
    telling: Telling,
    /// Interfaces to give back, and whether a driver had them.
    released: Vec<(u8, bool)>,
    /// Interfaces to put back to setting 0.
    idle: Vec<u8>,
    /// Pipes that nobody uses any more.
    finished: Vec<u64>,
    /// The next deadline, if that is so near that sleeping would miss it.
    near: Time,
}

impl Lists {
    pub(super) fn told(&mut self, done: Arc<dyn DataReport>, data: Vec<u8>, result: Result<usize, Error>) {
        self.telling.data(done, data, result);
    }

    fn is_empty(&self) -> bool {
        self.telling.is_empty()
            && self.released.is_empty()
            && self.idle.is_empty()
            && self.finished.is_empty()
    }
}

impl Wakes {
    pub(super) fn new(device: impl AsFd) -> Result<Self, Error> {
        let make = || -> Result<Self, Errno> {
            let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
            let timer =
                timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
            let nudge = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
            // usbfs is "writable" when a request can be taken back (devio.c, `usbdev_poll`).
            epoll::add(&epoll, &device, epoll::EventData::new_u64(DEVICE), epoll::EventFlags::OUT)?;
            epoll::add(&epoll, &timer, epoll::EventData::new_u64(TIMER), epoll::EventFlags::IN)?;
            epoll::add(&epoll, &nudge, epoll::EventData::new_u64(NUDGE), epoll::EventFlags::IN)?;
            Ok(Wakes { epoll, timer, nudge, set_to: Mutex::new(Time::MAX) })
        };
        make().map_err(|code| error::system("watching the device", code))
    }

    /// The device wakes nobody any more.
    fn forget(&self, device: impl AsFd) {
        // Forgotten already is forgotten.
        let _ = epoll::delete(&self.epoll, device);
    }

    /// The one descriptor.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// Wakes whoever waits.
    pub(super) fn nudge(&self) {
        // If it is full, it is nudged.
        let _ = rustix::io::write(&self.nudge, &1_u64.to_ne_bytes());
    }

    /// Waits for what wakes us, at most until `next`. Whether the device, if it is still there, has something.
    fn wait(&self, device: Option<&Node>, next: Time, now: Time) -> bool {
        let timeout = (next != Time::MAX).then(|| timespec(next.since(now)));
        let other = device.map_or(self.nudge.as_fd(), AsFd::as_fd);
        let mut both =
            [PollFd::new(&self.nudge, PollFlags::IN), PollFd::from_borrowed_fd(other, PollFlags::OUT)];
        let asked = 1 + usize::from(device.is_some());
        // A signal is as good as a nudge.
        let woken = poll(&mut both[..asked], timeout.as_ref());
        let [nudge, device] = both.map(|wake| woken.is_ok() && !wake.revents().is_empty());
        if nudge {
            let _ = rustix::io::read(&self.nudge, &mut [0; 8]);
        }
        device
    }

    /// What woke a program's own loop: whether the device has something.
    fn look(&self) -> bool {
        let mut space = [const { std::mem::MaybeUninit::<epoll::Event>::uninit() }; 3];
        let Ok((events, _)) = epoll::wait(&self.epoll, &mut space, Some(&timespec(Duration::ZERO))) else {
            return false;
        };
        let mut device = false;
        for event in events.iter() {
            match event.data.u64() {
                DEVICE => device = true,
                TIMER => {
                    let _ = rustix::io::read(&self.timer, &mut [0; 8]);
                    *lock(&self.set_to) = Time::MAX;
                }
                _ => {
                    let _ = rustix::io::read(&self.nudge, &mut [0; 8]);
                }
            }
        }
        device
    }

    /// Sets the timer, if it is not set so already.
    fn wake_at(&self, deadline: Time, now: Time) {
        let mut set_to = lock(&self.set_to);
        if *set_to == deadline {
            return;
        }
        *set_to = deadline;
        let after = match deadline {
            Time::MAX => Duration::ZERO,
            // Zero would mean never.
            deadline => deadline.since(now).max(Duration::from_nanos(1)),
        };
        let value = Itimerspec { it_interval: timespec(Duration::ZERO), it_value: timespec(after) };
        let _ = timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &value);
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

/// What the thread does until nobody uses the device, and nothing is left to be done.
pub(super) fn run(shared: &Shared) {
    // A wait may be late by a twentieth of a millisecond otherwise, so that others wake at the same time.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    let mut lists = Lists::default();
    let here = std::thread::current().id();
    let mut state = shared.lock();
    loop {
        while state.own_loop && state.closing.is_none() && !state.ended {
            state.handler = None;
            shared.changed.notify_all();
            let waited = shared.changed.wait(state);
            state = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        state.handler = Some(here);
        let now = shared.time_for(&state);
        let next = shared.collect(&mut state, &mut lists, now);
        if state.ended {
            return;
        }
        if lists.is_empty() {
            if lists.near != Time::MAX {
                drop(state);
                shared.wait_closely(lists.near);
                state = shared.lock();
                continue;
            }
            if state.closing.is_some() && state.is_idle() && state.interfaces.is_empty() {
                state.handler = None;
                return;
            }
            state.sleeping_until = Some(next);
            let device = (!state.gone).then_some(&shared.node);
            drop(state);
            let is_over = shared.wakes.wait(device, next, now);
            let woken = shared.now();
            state = shared.lock();
            state.sleeping_until = None;
            if state.ended {
                return;
            }
            if is_over || state.gone {
                shared.reap(&mut state, &mut lists, woken);
            }
        }
        drop(state);
        shared.tell(&mut lists);
        state = shared.lock();
    }
}

impl Shared {
    /// Wakes whoever handles events, if that would not happen before this time by itself.
    pub(super) fn wake_before(&self, state: &State, deadline: Time) {
        if state.sleeping_until.is_some_and(|until| deadline < until) {
            self.wakes.nudge();
        }
    }

    /// Tells what has happened, in the program's own loop, and sees to it that the descriptor becomes readable when
    /// there is more.
    pub(super) fn handle(&self, lists: &mut Lists) {
        let is_over = self.wakes.look();
        let mut state = self.lock();
        state.handler = Some(std::thread::current().id());
        state.sleeping_until = None;
        let mut now = self.now();
        if !state.ended && (is_over || state.gone) {
            self.reap(&mut state, lists, now);
        }
        loop {
            let next = self.collect(&mut state, lists, now);
            if state.ended {
                return;
            }
            if lists.is_empty() && lists.near == Time::MAX {
                state.sleeping_until = Some(next);
                state.handler = None;
                drop(state);
                self.wakes.wake_at(next, now);
                return;
            }
            drop(state);
            if lists.is_empty() {
                self.wait_closely(lists.near);
            }
            self.tell(lists);
            state = self.lock();
            now = self.now();
        }
    }

    /// A part of a millisecond at most, and only before a stream is begun.
    fn wait_closely(&self, deadline: Time) {
        while self.now() < deadline {
            std::hint::spin_loop();
        }
    }

    /// Takes back what is over. `woken`: when usbfs said that something is.
    fn reap(&self, state: &mut State, lists: &mut Lists, woken: Time) {
        lists.telling.reserve(state.pipes.iter().map(|pipe| pipe.flights.len()).sum());
        self.take_early(state, lists);
        let mut seen = woken;
        loop {
            match self.node.reap() {
                Ok(Some(urb)) => self.over(state, urb, seen, true, lists),
                Ok(None) => {
                    state.pipes.iter_mut().for_each(|pipe| pipe.is_under_way(seen));
                    return;
                }
                Err(code) => {
                    if codes::is_gone(code) {
                        self.unplugged(state);
                    }
                    return;
                }
            }
            if !state.gone && !state.is_due(seen) {
                return;
            }
            seen = self.now();
        }
    }

    /// What was taken back while something was submitted.
    fn take_early(&self, state: &mut State, lists: &mut Lists) {
        while let Some((urb, seen)) = state.spare.take_early() {
            self.over(state, urb, seen, false, lists);
        }
    }

    /// A request is over. `is_listed`: it still counts as the kernel's.
    fn over(&self, state: &mut State, mut urb: Box<Urb>, seen: Time, is_listed: bool, lists: &mut Lists) {
        if urb.raw.status < 0 {
            self.find_out_why(state, &mut urb);
        }
        match urb.owner {
            Owner::Data { token } => self.data_over(state, token, &urb, lists),
            Owner::Isoch { pipe, .. } => {
                let State { pipes, gone, witness, .. } = state;
                // Of each, in order, also of those that nobody asks for any more.
                let number =
                    witness.as_mut().and_then(|witness| witness.over(urb.raw.endpoint, urb.packets().len()));
                if let Some(pipe) = pipes.iter_mut().find(|known| known.id == pipe) {
                    if is_listed {
                        pipe.unlist(&urb, seen);
                    }
                    if let Some(block) = pipe.over(&urb, seen, number, self.facts.empty_is_unknown) {
                        *gone |= block.ending().outcome == Outcome::DeviceGone;
                        lists.telling.isoch(&pipe.reports, block);
                    }
                }
            }
        }
        state.spare.put(urb);
    }

    /// Asks why the kernel took a request back, if nobody had cancelled it.
    #[cold]
    fn find_out_why(&self, state: &mut State, urb: &mut Urb) {
        let found = match urb.owner {
            Owner::Data { token } => {
                let flight = state.data.iter().find(|known| known.token == token);
                flight.map(|flight| (flight.interface, flight.cancelled))
            }
            Owner::Isoch { pipe, flight, .. } => {
                let pipe = state.pipes.iter().find(|known| known.id == pipe);
                pipe.and_then(|pipe| {
                    let flight = pipe.flights.iter().find(|known| known.id() == flight)?;
                    Some((Some(pipe.interface), flight.cancelled))
                })
            }
        };
        let Some((interface, false)) = found else { return };
        // An interface that nobody has is not ours either; of a device as a whole nobody takes anything away.
        let is_ours = || interface.is_none_or(|number| self.node.driver(number).as_deref() == Some("usbfs"));
        let why = codes::taken_back(codes::errno(urb.raw.status), || self.node.is_attached(), is_ours);
        urb.raw.status = -why.raw_os_error();
        if let (Errno::BUSY, Some(interface)) = (why, interface) {
            state.take_away(interface);
        }
    }

    /// The device is gone. What the kernel still has of it comes back while it takes the device out (`usbdev_remove`),
    /// and is the kernel's until then; but the node is "hung up" from now on, and would wake us all the time.
    fn unplugged(&self, state: &mut State) {
        state.gone = true;
        self.changed.notify_all();
        self.wakes.forget(&self.node);
    }

    /// The time, if anything is due at some time; otherwise any will do.
    fn time_for(&self, state: &State) -> Time {
        let waits =
            state.gone || !state.data.is_empty() || state.pipes.iter().any(|pipe| pipe.deadline.is_some());
        if waits { self.now() } else { Time::ZERO }
    }

    /// Finds out what is due by itself by `now`. Returns when the next will be.
    fn collect(&self, state: &mut State, lists: &mut Lists, now: Time) -> Time {
        lists.near = Time::MAX;
        self.take_early(state, lists);
        if state.closing.is_some() {
            self.discard_all(state);
            state.interfaces.iter_mut().for_each(|claimed| claimed.used = false);
        }
        let mut next = if state.gone && !state.is_idle() { now + LOOK_AGAIN } else { Time::MAX };
        for flight in &mut state.data {
            match flight.deadline {
                Some(deadline) if deadline <= now => {
                    flight.deadline = None;
                    flight.timed_out = !flight.cancelled;
                    flight.cancel(&self.node);
                }
                Some(deadline) => next = next.min(deadline),
                None => {}
            }
        }
        let gone = state.gone;
        for pipe in &mut state.pipes {
            match pipe.deadline {
                Some(deadline) if deadline.at <= now => {
                    pipe.deadline = None;
                    lists.telling.deadline(&pipe.reports, now);
                }
                Some(deadline) if deadline.wake_up() <= now => lists.near = lists.near.min(deadline.at),
                Some(deadline) => next = next.min(deadline.wake_up()),
                None => {}
            }
            if !pipe.flights.is_empty() {
                continue;
            }
            if pipe.closed {
                lists.finished.push(pipe.id);
            } else if gone && !std::mem::replace(&mut pipe.told_gone, true) {
                lists.telling.gone(&pipe.reports);
            }
        }
        self.collect_released(state, lists);
        next
    }

    /// Interfaces that nobody uses any more, and on which nothing is in flight.
    fn collect_released(&self, state: &State, lists: &mut Lists) {
        if state.interfaces.iter().all(|claimed| claimed.used) {
            return;
        }
        for claimed in state.interfaces.iter().filter(|claimed| !claimed.used) {
            if state.is_busy(claimed.number) {
                continue;
            }
            if self.is_free(state, claimed) {
                lists.released.push((claimed.number, claimed.detached));
            } else if claimed.is_to_be_put_back() {
                lists.idle.push(claimed.number);
            }
        }
        // Drivers take the siblings of what they are offered: the first is the control interface.
        lists.released.sort_unstable();
    }

    /// Tells and does what was collected, without the lock.
    fn tell(&self, lists: &mut Lists) {
        lists.telling.tell();
        if !lists.is_empty() {
            self.let_go(lists);
        }
    }

    /// Gives back what nobody uses any more.
    #[inline(never)]
    fn let_go(&self, lists: &mut Lists) {
        self.give_back(&lists.released);
        for number in &lists.idle {
            // A device that is gone, or has no setting 0, is left alone.
            let _ = self.node.set_interface(*number, 0);
        }
        let mut state = self.lock();
        // What is dropped with them is, without the lock.
        let finished: Vec<_> = state.pipes.extract_if(.., |pipe| lists.finished.contains(&pipe.id)).collect();
        state
            .interfaces
            .retain(|claimed| !lists.released.iter().any(|(number, _)| *number == claimed.number));
        for number in lists.idle.drain(..) {
            if let Some(claimed) = state.interface(number) {
                claimed.setting = 0;
            }
        }
        lists.finished.clear();
        lists.released.clear();
        drop(state);
        drop(finished);
        self.changed.notify_all();
    }
}

impl State {
    /// Whether the clock says that more is over. Of other transfers nobody can tell; usbfs will say so.
    fn is_due(&self, now: Time) -> bool {
        self.pipes.iter().any(|pipe| {
            pipe.requests
                .front()
                .is_some_and(|request| pipe.due.is_over(pipe.interval * u64::from(request.packets), now))
        })
    }
}
