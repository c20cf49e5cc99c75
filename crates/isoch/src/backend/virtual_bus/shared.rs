//! The bus that all its devices, endpoints and clocks share: the controller, and who is to be told what.
//!
//! Why two locks? `state` guards the controller and is never held while anything is told, so that sinks may
//! submit. `running` is held by whoever moves time, until what happened has been told: so that time
//! stands still while the program reacts.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use isoch_core::Time;
use isoch_virtual::Device as EmulatedDevice;
use isoch_virtual::controller::{Controller, Event, OpenError, PipeId, PlugError, PortId};

use super::clock::CounterClock;
use super::events::Lists;
use super::time::{self, Alarm};
use super::{BusClock, Stalls, device};
use crate::bus::{DataReport, IsochReports};
use crate::clock::{ClockSource, EstimatedClock, FrameClock, Host};
use crate::sync::{Arc, AtomicU64, AtomicUsize, Mutex, MutexGuard, Ordering, Weak, lock};
use crate::wait::{Mailbox, StepsTime, Waiting};
use crate::{ClockSupport, Direction, Error, HotplugEvent, Watch};

pub(crate) struct Shared {
    pub(super) mode: BusClock,
    pub(super) host: Host,
    pub(super) state: Mutex<State>,
    /// Whoever moves time holds this, with lists to reuse.
    pub(super) running: Mutex<Lists>,
    /// Wakes the bus's thread.
    pub(super) alarm: Arc<Alarm>,
    /// How many threads tell events at this moment without moving time.
    pub(super) telling: AtomicUsize,
    pub(super) waiting: OnceLock<Waiting>,
    pub(super) clock: OnceLock<FrameClock>,
}

pub(super) struct State {
    pub(super) controller: Controller,
    /// What addresses call the bus; they do not know one that a program made for itself.
    pub(super) name: Option<String>,
    /// By rising pipe.
    pub(super) routes: Vec<Route>,
    pub(super) data: Vec<DataRoute>,
    pub(super) next_token: u64,
    /// Every device ever plugged in, oldest first.
    pub(super) names: Vec<(String, PortId)>,
    pub(super) claims: Vec<(PortId, u8)>,
    pub(super) handles: Vec<PortId>,
    pub(super) watchers: Vec<std::sync::Weak<Mailbox<HotplugEvent>>>,
    pub(super) stalls: Stalls,
    /// Until which microframe the bus's thread sleeps.
    pub(super) sleeping_until: Option<u64>,
}

pub(super) struct Route {
    pub(super) pipe: PipeId,
    pub(super) port: PortId,
    pub(super) reports: Weak<dyn IsochReports>,
    pub(super) deadline: Option<Time>,
}

pub(super) struct DataRoute {
    pub(super) token: u64,
    pub(super) port: PortId,
    pub(super) endpoint: u8,
    pub(super) done: Arc<dyn DataReport>,
    pub(super) deadline: Option<Time>,
    /// It was cancelled because of its deadline.
    pub(super) timed_out: bool,
}

impl Shared {
    pub(super) fn new(controller: Controller, mode: BusClock) -> Arc<Self> {
        let clock_support = controller.profile().capabilities(Direction::Out).clock;
        // On a real bus of this kind the round trip is measured.
        let latency = Duration::from_micros(125 * controller.profile().completion_delay);
        let shared = Arc::new_cyclic(|weak: &Weak<Shared>| {
            let emulated: Option<Arc<dyn StepsTime>> = match mode {
                BusClock::Real => None,
                BusClock::Manual | BusClock::OnWait => Some(Arc::new(time::Stepper(weak.clone()))),
            };
            Shared {
                mode,
                host: Host::new(Instant::now(), emulated),
                state: Mutex::new(State {
                    controller,
                    name: None,
                    routes: Vec::new(),
                    data: Vec::new(),
                    next_token: 0,
                    names: Vec::new(),
                    claims: Vec::new(),
                    handles: Vec::new(),
                    watchers: Vec::new(),
                    stalls: Stalls::default(),
                    sleeping_until: None,
                }),
                running: Mutex::new(Lists::default()),
                alarm: Arc::new(Alarm::new()),
                telling: AtomicUsize::new(0),
                waiting: OnceLock::new(),
                clock: OnceLock::new(),
            }
        });
        let waiting = match &shared.host.emulated {
            None => Waiting::Real,
            Some(time) => Waiting::Emulated(Arc::clone(time)),
        };
        let source: Arc<dyn ClockSource> = match clock_support {
            ClockSupport::Exact => Arc::new(CounterClock {
                shared: Arc::downgrade(&shared),
                host: shared.host.clone(),
                told: AtomicU64::new(0),
            }),
            ClockSupport::Estimated | ClockSupport::None => {
                Arc::new(EstimatedClock::new(shared.host.clone(), latency))
            }
        };
        let _ = shared.waiting.set(waiting.clone());
        let _ = shared.clock.set(FrameClock { source, waiting });
        #[cfg(not(shuttle))]
        if mode == BusClock::Real {
            let (bus, alarm) = (Arc::downgrade(&shared), Arc::clone(&shared.alarm));
            let thread = std::thread::Builder::new().name("isoch virtual bus".into());
            let spawned = thread.spawn(move || time::run_real(&bus, &alarm));
            if let Err(error) = spawned {
                tracing::error!(%error, "the virtual bus has no thread: its time stands still");
            }
        }
        shared
    }

    /// What addresses call it.
    pub(super) fn set_name(&self, name: &str) {
        self.lock().name = Some(name.to_owned());
    }

    /// The address of a device that is, or was, plugged in here.
    pub(super) fn address_of(&self, device: &str) -> String {
        self.lock().address_of(device)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(super) fn waiting(&self) -> &Waiting {
        self.waiting.get().unwrap_or_else(|| unreachable!("set when it was made"))
    }

    pub(super) fn frame_clock(&self) -> FrameClock {
        self.clock.get().unwrap_or_else(|| unreachable!("set when it was made")).clone()
    }

    /// Looks at the controller.
    pub(super) fn with<R>(&self, look: impl FnOnce(&mut Controller) -> R) -> R {
        look(&mut self.lock().controller)
    }

    /// The microframe that is running.
    pub(super) fn microframe(&self) -> u64 {
        let state = self.lock();
        match self.mode {
            BusClock::Real => state.controller.sof().microframe_at(self.host.now()),
            BusClock::Manual | BusClock::OnWait => state.controller.now(),
        }
    }

    /// Changes something now, and tells what came of it.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut Controller, &mut Vec<Event>) -> R) -> R {
        let mut lists = Lists::default();
        let mut state = self.lock();
        self.catch_up(&mut state);
        let result = change(&mut state.controller, &mut lists.events);
        state.route(&mut lists);
        self.nudge(&state);
        // Said before the lock is let go: whoever waits meanwhile must not take the bus for idle.
        self.telling.fetch_add(1, Ordering::SeqCst);
        drop(state);
        lists.tell();
        self.telling.fetch_sub(1, Ordering::SeqCst);
        result
    }

    pub(super) fn plug(&self, name: &str, emulated: Box<dyn EmulatedDevice>) -> Result<(), Error> {
        let mut lists = Lists::default();
        let mut state = self.lock();
        self.catch_up(&mut state);
        let port = state.controller.plug(name, emulated).map_err(|error| match error {
            PlugError::NameTaken(name) => Error::Busy {
                what: format!("the name `{name}`"),
                remedy: "unplug that device first, or choose another name",
            },
            other => Error::Argument(other.to_string()),
        })?;
        state.names.push((name.to_owned(), port));
        // The arrival is an event of now.
        let now = state.controller.now();
        state.controller.run(now, &mut lists.events);
        state.route(&mut lists);
        drop(state);
        lists.tell();
        Ok(())
    }

    pub(super) fn port(&self, name: &str) -> Option<PortId> {
        self.lock().names.iter().rev().find(|(known, _)| known == name).map(|(_, port)| *port)
    }

    pub(super) fn claim(&self, port: PortId, interface: u8) -> Result<(), Error> {
        let mut state = self.lock();
        if state.claims.contains(&(port, interface)) {
            return Err(Error::Busy {
                what: format!("interface {interface}"),
                remedy: "another handle of this device has claimed it; drop that first",
            });
        }
        state.claims.push((port, interface));
        Ok(())
    }

    pub(super) fn release(&self, port: PortId, interface: u8) {
        self.lock().claims.retain(|claim| *claim != (port, interface));
    }

    pub(super) fn opened(&self, port: PortId) {
        self.lock().handles.push(port);
    }

    /// A handle is gone. With the last one the device is let go.
    pub(super) fn closed(&self, port: PortId) {
        let mut state = self.lock();
        if let Some(index) = state.handles.iter().position(|handle| *handle == port) {
            state.handles.swap_remove(index);
        }
        if !state.handles.contains(&port) {
            self.catch_up(&mut state);
            state.controller.released(port);
        }
    }

    pub(super) fn open_pipe(
        &self,
        port: PortId,
        endpoint: u8,
        reports: Weak<dyn IsochReports>,
    ) -> Result<PipeId, OpenError> {
        let mut state = self.lock();
        let pipe = state.controller.open_pipe(port, endpoint)?;
        let index = state.routes.partition_point(|route| route.pipe < pipe);
        state.routes.insert(index, Route { pipe, port, reports, deadline: None });
        Ok(pipe)
    }

    pub(super) fn close_pipe(&self, pipe: PipeId) {
        self.change(|controller, events| controller.close_pipe(pipe, events));
        self.lock().routes.retain(|route| route.pipe != pipe);
    }

    pub(super) fn wake_at(&self, pipe: PipeId, deadline: Time) {
        let mut state = self.lock();
        if let Some(route) = state.route_of(pipe) {
            route.deadline = Some(deadline);
        }
        self.nudge(&state);
    }

    pub(super) fn submit_data(
        &self,
        port: PortId,
        endpoint: u8,
        data: Vec<u8>,
        timeout: Option<Duration>,
        done: Arc<dyn DataReport>,
    ) {
        let mut state = self.lock();
        self.catch_up(&mut state);
        let token = state.next_token;
        state.next_token += 1;
        match state.controller.submit_data(port, endpoint, token, data) {
            Ok(()) => {
                let now = match self.mode {
                    BusClock::Real => self.host.now(),
                    BusClock::Manual | BusClock::OnWait => state.time(),
                };
                // One beyond all time is none.
                let deadline = timeout.map(|timeout| now + timeout).filter(|deadline| *deadline < Time::MAX);
                state.data.push(DataRoute { token, port, endpoint, done, deadline, timed_out: false });
                self.nudge(&state);
            }
            Err(error) => {
                drop(state);
                done.done(Vec::new(), Err(device::data_error(error)));
            }
        }
    }

    pub(super) fn cancel_data(&self, port: PortId, done: &Arc<dyn DataReport>) {
        let token = {
            let state = self.lock();
            let mut routes = state.data.iter();
            routes.find(|route| Arc::ptr_eq(&route.done, done)).map(|route| route.token)
        };
        if let Some(token) = token {
            self.change(|controller, events| controller.cancel_data(port, token, events));
        }
    }

    /// Cancels the bulk and interrupt transfers on an interface.
    pub(super) fn cancel_data_on(&self, port: PortId, interface: u8) {
        let tokens: Vec<u64> = {
            let state = self.lock();
            let addresses = state.controller.endpoints_of(port, interface);
            // What a device that is gone left behind has ended and is only to be told.
            let concerned =
                |endpoint| addresses.as_ref().is_none_or(|addresses| addresses.contains(&endpoint));
            let routes = state.data.iter().filter(|route| route.port == port && concerned(route.endpoint));
            routes.map(|route| route.token).collect()
        };
        if !tokens.is_empty() {
            self.change(|controller, events| {
                for token in tokens {
                    controller.cancel_data(port, token, events);
                }
            });
        }
    }

    pub(super) fn watch(self: &Arc<Self>) -> Watch {
        let events = std::sync::Arc::new(Mailbox::new());
        self.lock().watchers.push(std::sync::Arc::downgrade(&events));
        Watch::new(events, self.waiting().clone(), Arc::clone(self) as _)
    }

    pub(super) fn stalls(&self) -> Stalls {
        self.lock().stalls
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The bus's thread has nothing left to run.
        self.alarm.ring();
    }
}

impl State {
    /// The time up to which everything has happened.
    pub(super) fn time(&self) -> Time {
        self.controller.sof().time_of(self.controller.now())
    }

    pub(super) fn route_of(&mut self, pipe: PipeId) -> Option<&mut Route> {
        let index = self.routes.binary_search_by_key(&pipe, |route| route.pipe).ok()?;
        self.routes.get_mut(index)
    }
}
