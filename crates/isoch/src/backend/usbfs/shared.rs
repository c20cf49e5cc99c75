//! An open device, as its ports, its blocks and its event thread share it.
//!
//! One lock guards the state. It is held while the kernel takes requests or gives them back, takes some off the bus, or
//! moves an interface from its driver to us: usbfs has one lock for each device, too, and would let nothing else in
//! meanwhile. It is never held while anything is told.

use std::collections::VecDeque;
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use isoch_core::Time;
use isoch_core::rules::Speed;
use isoch_core::rules::descriptors::Configuration;

use super::budget::Charge;
use super::closing::Closing;
use super::codes;
use super::controller::Facts;
use super::due::DueEnd;
use super::events::Wakes;
use super::host::Controller;
use super::memory::Mode;
use super::node::{Node, Submitted};
use super::urb::{Owner, Spare, Urb};
use super::witness::Watching;
use crate::Error;
use crate::bus::{DataReport, IsochDone, IsochReports, Number};
use crate::sync::{Arc, AtomicU8, Condvar, Mutex, MutexGuard, Ordering, Weak, lock};

/// What was cancelled is over soon; that is how long something may wait for it.
const LONGEST_DRAIN: Duration = Duration::from_secs(1);

pub(super) struct Shared {
    pub(super) node: Node,
    /// The number of its node.
    pub(super) device: u64,
    /// `USBDEVFS_CAP_*`.
    pub(super) capabilities: u32,
    pub(super) configuration: Configuration,
    pub(super) speed: Speed,
    pub(super) controller: Arc<Controller>,
    pub(super) facts: Facts,
    /// Whether usbmon tells true frames.
    pub(super) is_witnessed: bool,
    /// Which memory the address asked for.
    pub(super) wanted_memory: Option<Mode>,
    /// What wakes whoever handles events.
    pub(super) wakes: Wakes,
    pub(super) state: Mutex<State>,
    /// Told when interfaces that were let go are free, and when somebody else is to handle events.
    pub(super) changed: Condvar,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) pipes: Vec<Pipe>,
    pub(super) next_id: u64,
    pub(super) data: Vec<DataFlight>,
    pub(super) interfaces: Vec<Claimed>,
    /// Who tells the frames of requests, if anybody does.
    pub(super) witness: Option<Watching>,
    /// Requests that the kernel does not have.
    pub(super) spare: Spare,
    /// When whoever handles events wakes by itself; `None` while at work.
    pub(super) sleeping_until: Option<Time>,
    /// The device was unplugged.
    pub(super) gone: bool,
    /// Nobody uses the device any more.
    pub(super) closing: Option<Closing>,
    /// The process ends, and has given everything back.
    pub(super) ended: bool,
    /// Whose events are handled in the program's own loop, not by the thread.
    pub(super) own_loop: bool,
    /// Who handles events just now, or waits for them.
    pub(super) handler: Option<ThreadId>,
}

/// An interface that was claimed.
pub(super) struct Claimed {
    pub(super) number: u8,
    pub(super) setting: u8,
    /// That is being changed just now.
    pub(super) changing: bool,
    /// It was taken away from us. usbfs would claim it again for whoever uses it (`checkintf`), behind the back of
    /// whom it is meant for now: so nobody uses it until it is claimed anew.
    pub(super) taken: bool,
    /// It was a driver of the kernel's before. Such a one is given back together with all of its function, because
    /// drivers take them together.
    pub(super) detached: bool,
    /// The program has it. Not so what was only taken along, and what was let go.
    pub(super) used: bool,
}

impl Claimed {
    /// Whether it is ours to put into setting 0, and not there.
    pub(super) fn is_to_be_put_back(&self) -> bool {
        self.setting != 0 && !self.taken
    }
}

/// An isochronous endpoint.
pub(super) struct Pipe {
    pub(super) id: u64,
    pub(super) endpoint: u8,
    pub(super) interface: u8,
    pub(super) packets_per_frame: usize,
    /// Nanoseconds between packets.
    pub(super) interval: u64,
    pub(super) reports: Weak<dyn IsochReports>,
    /// The same, once nobody else uses it: until everything has been told.
    pub(super) kept: Option<(Arc<dyn IsochReports>, Closing)>,
    pub(super) flights: VecDeque<Flight>,
    /// What the kernel has of it, in the order of submission.
    pub(super) requests: VecDeque<Request>,
    /// When the next of these should be over.
    pub(super) due: DueEnd,
    pub(super) deadline: Option<Deadline>,
    /// Its port knows that, too.
    pub(super) standing: Arc<Standing>,
    /// Nobody uses it any more.
    pub(super) closed: bool,
    pub(super) told_gone: bool,
}

/// Whether an endpoint can be used.
#[derive(Default)]
pub(super) struct Standing(AtomicU8);

impl Standing {
    const IN_FORCE: u8 = 0;
    /// Its alternate setting is in force no more, or is being changed.
    const STALE: u8 = 1;
    /// Its interface was taken away.
    const TAKEN: u8 = 2;

    fn set(&self, standing: u8) {
        self.0.store(standing, Ordering::Relaxed);
    }

    pub(super) fn is_in_force(&self) -> bool {
        self.0.load(Ordering::Relaxed) == Self::IN_FORCE
    }

    /// Fails if it cannot.
    pub(super) fn check(&self) -> Result<(), Error> {
        match self.0.load(Ordering::Relaxed) {
            Self::IN_FORCE => Ok(()),
            Self::STALE => Err(Error::SettingChanged),
            _ => Err(codes::taken()),
        }
    }
}

/// When an endpoint wants to be told the time.
#[derive(Clone, Copy)]
pub(super) struct Deadline {
    pub(super) at: Time,
    /// To a fraction of a frame: whoever waits for it wakes earlier, and looks at the clock until then.
    pub(super) sharp: bool,
}

/// How long before a sharp deadline to wake up: what a timer is late by, mostly.
const WAKE_EARLY: Duration = Duration::from_micros(400);

impl Deadline {
    pub(super) fn wake_up(self) -> Time {
        if self.sharp { self.at - WAKE_EARLY } else { self.at }
    }
}

#[derive(Clone, Copy)]
pub(super) struct Request {
    pub(super) submitted: Submitted,
    pub(super) flight: u64,
    pub(super) packets: u32,
}

/// An isochronous transfer in flight.
pub(super) struct Flight {
    /// What will be told of it, as far as is known.
    pub(super) done: IsochDone,
    /// Requests that the kernel has of it.
    pub(super) pending: u32,
    /// The program wants it back.
    pub(super) cancelled: bool,
}

/// A control, bulk or interrupt transfer in flight.
pub(super) struct DataFlight {
    pub(super) token: u64,
    pub(super) submitted: Option<Submitted>,
    /// The setup packet first, of a control transfer.
    pub(super) data: Vec<u8>,
    pub(super) header: usize,
    /// Bytes of the data that went over the bus in requests that are over.
    pub(super) moved: usize,
    /// Bytes in the request that the kernel has.
    pub(super) asked: usize,
    /// The most bytes in one request.
    pub(super) most: usize,
    pub(super) kind: u8,
    pub(super) endpoint: u8,
    /// Of a bulk or interrupt transfer.
    pub(super) interface: Option<u8>,
    pub(super) done: Arc<dyn DataReport>,
    pub(super) deadline: Option<Time>,
    pub(super) timed_out: bool,
    pub(super) cancelled: bool,
    pub(super) _charge: Charge,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(super) fn now(&self) -> Time {
        self.controller.clock.host.now()
    }

    /// Waits until nothing of what was let go on an interface is left. Whoever handles events must not wait for
    /// them.
    pub(super) fn wait_until_free<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        interface: u8,
    ) -> Result<MutexGuard<'a, State>, Error> {
        let deadline = Instant::now() + LONGEST_DRAIN;
        while self.is_being_freed(&state, interface) && !state.gone {
            let left = deadline.saturating_duration_since(Instant::now());
            let own = state.handler == Some(std::thread::current().id()) || state.own_loop;
            if left.is_zero() || own {
                return Err(Error::Busy {
                    what: format!("interface {interface}"),
                    remedy: "transfers that were cancelled have not come back yet; try again",
                });
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
        Ok(state)
    }

    /// Whether something that was let go on an interface is still to come back.
    fn is_being_freed(&self, state: &State, interface: u8) -> bool {
        let unused = |claimed: &&Claimed| claimed.number == interface && !claimed.used;
        let goes = |claimed: &Claimed| claimed.is_to_be_put_back() || self.is_free(state, claimed);
        state.interfaces.iter().find(unused).is_some_and(goes)
            || state.pipes.iter().any(|pipe| pipe.closed && pipe.interface == interface)
    }

    /// Takes an interface, and those of the same function that a driver of the kernel's has.
    pub(super) fn claim(&self, interface: u8) -> Result<(), Error> {
        let mut state = self.wait_until_free(self.lock(), interface)?;
        if state.gone {
            return Err(Error::Gone);
        }
        // What was taken away meanwhile is to be had anew.
        state.interfaces.retain(|claimed| claimed.used || !claimed.taken);
        let mut taken = Vec::new();
        for number in self.configuration.function_of(interface) {
            let known = state.interfaces.iter().any(|claimed| claimed.number == number);
            let driver = self.node.driver(number);
            let is_drivers = driver.as_deref().is_some_and(|driver| driver != "usbfs");
            if known || (number != interface && !is_drivers) {
                continue;
            }
            let claimed = match is_drivers {
                true => self.node.claim_from_driver(number),
                false => self.node.claim(number),
            };
            if let Err(code) = claimed {
                self.give_back(&taken);
                return Err(codes::claim_error(code, number, driver.as_deref()));
            }
            taken.push((number, is_drivers));
        }
        state.interfaces.extend(taken.into_iter().map(|(number, detached)| Claimed {
            number,
            setting: 0,
            changing: false,
            taken: false,
            detached,
            used: false,
        }));
        if let Some(claimed) = state.interface(interface) {
            claimed.used = true;
        }
        drop(state);
        // Who had it before may have left it in another setting. An interface whose only setting is another
        // one has none to go back to.
        let first = self.configuration.interface(interface).is_some_and(|found| found.alternate(0).is_some());
        if first && self.node.driver(interface).is_some() {
            let _ = self.node.set_interface(interface, 0);
        }
        Ok(())
    }

    pub(super) fn release(&self, interface: u8) {
        if let Err(code) = self.node.release(interface) {
            tracing::debug!(interface, %code, "an interface could not be released");
        }
    }

    /// Lets the kernel's driver have an interface again.
    pub(super) fn reconnect(&self, interface: u8) {
        if let Err(code) = self.node.connect_driver(interface) {
            tracing::debug!(interface, %code, "the kernel's driver did not take an interface back");
        }
    }

    /// Whether an interface that nobody uses goes back now.
    pub(super) fn is_free(&self, state: &State, claimed: &Claimed) -> bool {
        let function = self.configuration.function_of(claimed.number);
        let mut of_function = state.interfaces.iter().filter(|other| function.contains(&other.number));
        !claimed.detached || of_function.all(|other| !other.used)
    }

    /// Gives interfaces back, with whether a driver had them.
    pub(super) fn give_back(&self, interfaces: &[(u8, bool)]) {
        // All are let go before a driver takes the first: it takes its siblings, too. The kernel itself puts them into
        // setting 0 (`usb_unbind_interface`).
        for (number, _) in interfaces {
            self.release(*number);
        }
        for (number, _) in interfaces.iter().filter(|(_, detached)| *detached) {
            self.reconnect(*number);
        }
    }

    /// The process ends: nothing is told any more, because what a program lent us may be gone already, and drivers get
    /// back what was theirs. If nobody uses the device, its thread is at that.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        if state.closing.is_some() {
            return;
        }
        state.ended = true;
        let mut interfaces: Vec<_> =
            state.interfaces.drain(..).map(|claimed| (claimed.number, claimed.detached)).collect();
        drop(state);
        interfaces.sort_unstable();
        self.give_back(&interfaces);
    }

    /// Takes everything that is in flight for the device off the bus.
    pub(super) fn discard_all(&self, state: &mut State) {
        let uncancelled = |pipe: &&mut Pipe| pipe.flights.iter().any(|flight| !flight.cancelled);
        for pipe in state.pipes.iter_mut().filter(uncancelled) {
            pipe.discard(&self.node, |_| true);
        }
        state.data.iter_mut().for_each(|flight| flight.cancel(&self.node));
    }
}

impl Pipe {
    /// At this time nothing more of it was over.
    pub(super) fn is_under_way(&mut self, now: Time) {
        if let Some(first) = self.requests.front() {
            self.due.is_under_way(self.interval * u64::from(first.packets), now);
        }
    }

    /// Takes transfers off the bus, the newest first: what is still in front of them is not disturbed.
    pub(super) fn discard(&mut self, node: &Node, which: impl Fn(u64) -> bool) {
        self.flights
            .iter_mut()
            .filter(|flight| which(flight.id()))
            .for_each(|flight| flight.cancelled = true);
        let requests = self.requests.iter().rev().filter(|request| which(request.flight));
        requests.for_each(|request| node.discard(request.submitted));
    }
}

impl Pipe {
    /// A request of this endpoint's came back: it is the kernel's no more.
    #[inline(always)] // for each request
    pub(super) fn unlist(&mut self, urb: &Urb, seen: Time) {
        let submitted = Submitted::of(urb);
        // They come back in order, but for what is taken off the bus.
        let request = match self.requests.front() {
            Some(first) if first.submitted == submitted => self.requests.pop_front(),
            _ => {
                let index = self.requests.iter().position(|request| request.submitted == submitted);
                index.and_then(|index| self.requests.remove(index))
            }
        };
        if let Some(request) = request {
            self.due.over(self.interval * u64::from(request.packets), seen);
        }
    }

    /// A request came back. If its transfer is over with that, that is given back, too.
    pub(super) fn over(
        &mut self,
        urb: &Urb,
        seen: Time,
        number: Option<Number>,
        empty_is_unknown: bool,
    ) -> Option<IsochDone> {
        let Owner::Isoch { flight: id, first_packet, .. } = urb.owner else { return None };
        let take = |flight: &mut Flight| {
            if first_packet == 0 {
                flight.done.number = number;
            }
            flight.take_results(urb, first_packet, seen, empty_is_unknown)
        };
        match self.flights.front_mut() {
            Some(first) if first.id() == id => {
                let is_over = take(first);
                is_over.then(|| self.flights.pop_front())?
            }
            _ => {
                let index = self.flights.iter().position(|flight| flight.id() == id)?;
                let is_over = self.flights.get_mut(index).is_some_and(take);
                is_over.then(|| self.flights.remove(index))?
            }
        }
        .map(|flight| flight.done)
    }
}

impl DataFlight {
    /// Whether it is a bulk or interrupt transfer of this interface.
    pub(super) fn is_on(&self, interface: u8) -> bool {
        self.interface == Some(interface)
    }

    pub(super) fn cancel(&mut self, node: &Node) {
        if !std::mem::replace(&mut self.cancelled, true)
            && let Some(submitted) = self.submitted
        {
            node.discard(submitted);
        }
    }
}

impl State {
    pub(super) fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub(super) fn pipe(&mut self, id: u64) -> Option<&mut Pipe> {
        self.pipes.iter_mut().find(|pipe| pipe.id == id)
    }

    pub(super) fn interface(&mut self, number: u8) -> Option<&mut Claimed> {
        self.interfaces.iter_mut().find(|claimed| claimed.number == number)
    }

    /// The alternate setting in force.
    pub(super) fn setting(&self, interface: u8) -> u8 {
        let found = self.interfaces.iter().find(|claimed| claimed.number == interface);
        found.map_or(0, |claimed| claimed.setting)
    }

    /// Whether anything is in flight on an interface.
    pub(super) fn is_busy(&self, interface: u8) -> bool {
        self.pipes.iter().any(|pipe| pipe.interface == interface && !pipe.flights.is_empty())
            || self.data.iter().any(|flight| flight.is_on(interface))
    }

    /// An interface's alternate setting is to be changed: until that has happened nothing is opened and nothing begins
    /// on it. The pipes that are out of use meanwhile.
    pub(super) fn begin_change(&mut self, interface: u8) -> Result<Vec<u64>, Error> {
        if self.is_busy(interface) {
            return Err(Error::Busy {
                what: format!("interface {interface}"),
                remedy: "transfers are pending on it; drain or abort them first",
            });
        }
        self.check_usable(interface)?;
        if let Some(claimed) = self.interface(interface) {
            claimed.changing = true;
        }
        let of_interface = self.pipes.iter().filter(|pipe| pipe.interface == interface);
        let pipes = of_interface.filter(|pipe| pipe.standing.is_in_force());
        Ok(pipes
            .map(|pipe| {
                pipe.standing.set(Standing::STALE);
                pipe.id
            })
            .collect())
    }

    /// Now `setting` is in force; if that is what was in force before, `pipes` go on.
    pub(super) fn end_change(&mut self, interface: u8, setting: u8, pipes: &[u64]) {
        let Some(claimed) = self.interface(interface) else { return };
        claimed.changing = false;
        let is_same = std::mem::replace(&mut claimed.setting, setting) == setting;
        if is_same && !claimed.taken {
            let same = self.pipes.iter().filter(|pipe| pipes.contains(&pipe.id));
            same.for_each(|pipe| pipe.standing.set(Standing::IN_FORCE));
        }
    }

    /// An interface was taken away: nothing begins on it any more.
    pub(super) fn take_away(&mut self, interface: u8) {
        if let Some(claimed) = self.interface(interface) {
            claimed.taken = true;
        }
        let pipes = self.pipes.iter().filter(|pipe| pipe.interface == interface);
        pipes.for_each(|pipe| pipe.standing.set(Standing::TAKEN));
    }

    /// Fails if nothing can begin on an interface: it was taken away, or its alternate setting is being changed.
    pub(super) fn check_usable(&self, interface: u8) -> Result<(), Error> {
        match self.interfaces.iter().find(|claimed| claimed.number == interface) {
            Some(Claimed { taken: true, .. }) => Err(codes::taken()),
            Some(Claimed { changing: true, .. }) => Err(Error::Busy {
                what: format!("interface {interface}"),
                remedy: "its alternate setting is being changed; try again",
            }),
            _ => Ok(()),
        }
    }

    /// A request came back: it is the kernel's no more.
    pub(super) fn unlist(&mut self, urb: &Urb, seen: Time) {
        let Owner::Isoch { pipe, .. } = urb.owner else { return };
        if let Some(pipe) = self.pipe(pipe) {
            pipe.unlist(urb, seen);
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.data.is_empty() && self.pipes.iter().all(|pipe| pipe.flights.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;

    impl IsochReports for Nobody {
        fn completed(&self, _: &mut VecDeque<IsochDone>) {}
        fn deadline(&self, _: Time) {}
        fn gone(&self) {}
    }

    fn claimed(number: u8, setting: u8) -> Claimed {
        Claimed { number, setting, changing: false, taken: false, detached: false, used: true }
    }

    fn pipe(id: u64, interface: u8) -> Pipe {
        Pipe {
            id,
            endpoint: 1,
            interface,
            packets_per_frame: 1,
            interval: 1_000_000,
            reports: Weak::<Nobody>::new(),
            kept: None,
            flights: VecDeque::new(),
            requests: VecDeque::new(),
            due: DueEnd::default(),
            deadline: None,
            standing: Arc::default(),
            closed: false,
            told_gone: false,
        }
    }

    fn stale(state: &State) -> Vec<bool> {
        state.pipes.iter().map(|pipe| !pipe.standing.is_in_force()).collect()
    }

    fn state() -> State {
        let pipes = vec![pipe(1, 1), pipe(2, 1), pipe(3, 2)];
        State { pipes, interfaces: vec![claimed(1, 1), claimed(2, 1)], ..State::default() }
    }

    #[test]
    fn pipes_are_stale_once_another_setting_is_in_force() {
        let mut state = state();
        // The device refused setting 2.
        let pipes = state.begin_change(1).unwrap();
        assert_eq!(stale(&state), [true, true, false]);
        state.end_change(1, 1, &pipes);
        assert_eq!(stale(&state), [false; 3]);
        // It took it.
        let pipes = state.begin_change(1).unwrap();
        state.end_change(1, 2, &pipes);
        assert_eq!((stale(&state), state.setting(1)), (vec![true, true, false], 2));
        // Those of the setting before the last stay what they are, though theirs is in force again.
        let pipes = state.begin_change(1).unwrap();
        assert_eq!(pipes, []);
        state.end_change(1, 1, &pipes);
        assert_eq!(stale(&state), [true, true, false]);
    }

    #[test]
    fn nothing_begins_while_a_setting_is_changed() {
        let mut state = state();
        let pipes = state.begin_change(1).unwrap();
        assert!(state.check_usable(1).is_err() && state.check_usable(2).is_ok());
        let error = state.begin_change(1).unwrap_err().to_string();
        assert!(error.contains("is being changed"), "{error}");
        state.end_change(1, 1, &pipes);
        assert!(state.check_usable(1).is_ok());
    }

    #[test]
    fn nothing_begins_on_an_interface_that_was_taken_away() {
        let mut state = state();
        let taken = |result: Result<_, Error>| matches!(result, Err(Error::Bus(16)));
        let pipes = state.begin_change(1).unwrap();
        state.take_away(1);
        state.end_change(1, 1, &pipes);
        assert!(taken(state.check_usable(1)) && taken(state.begin_change(1).map(drop)));
        let refused: Vec<bool> = state.pipes.iter().map(|pipe| taken(pipe.standing.check())).collect();
        assert_eq!(refused, [true, true, false]);
        assert!(state.check_usable(2).is_ok());
        // The next one that claims it has it.
        state.interfaces[0] = claimed(1, 0);
        assert!(state.check_usable(1).is_ok());
    }

    #[test]
    fn a_setting_is_not_changed_under_transfers_of_any_kind() {
        struct Nothing;
        impl DataReport for Nothing {
            fn done(&self, _: Vec<u8>, _: Result<usize, Error>) {}
        }
        let mut state = state();
        state.data.push(DataFlight {
            token: 9,
            submitted: None,
            data: Vec::new(),
            header: 0,
            moved: 0,
            asked: 0,
            most: 0,
            kind: super::super::urb::TYPE_BULK,
            endpoint: 0x81,
            interface: Some(1),
            done: std::sync::Arc::new(Nothing),
            deadline: None,
            timed_out: false,
            cancelled: false,
            _charge: Charge::none(),
        });
        assert!(matches!(state.begin_change(1), Err(Error::Busy { .. })));
        assert_eq!(stale(&state), [false; 3]);
        assert!(state.begin_change(2).is_ok());
    }
}
