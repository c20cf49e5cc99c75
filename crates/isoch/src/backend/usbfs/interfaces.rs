//! Interfaces: claimed, put to an alternate setting, taken away, given back.
//!
//! Why not each by itself? Because drivers of the kernel's take the interfaces of a function together: who claims one of
//! them takes all that such a driver has, and they go back at once, when the last is let go and nothing is in flight on
//! it.

use super::codes;
use super::shared::{Shared, State};
use crate::Error;
use crate::backend::{freeing, refusals};
use crate::sync::{AtomicU8, MutexGuard, Ordering};

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

impl Shared {
    /// Waits until nothing of what was let go on an interface is left. Whoever handles events must not wait for
    /// them.
    pub(super) fn wait_until_free<'a>(
        &self,
        state: MutexGuard<'a, State>,
        interface: u8,
    ) -> Result<MutexGuard<'a, State>, Error> {
        let is_being_freed = |state: &State| self.is_being_freed(state, interface) && !state.gone;
        let may_wait = |state: &State| state.handler != Some(std::thread::current().id()) && !state.own_loop;
        freeing::wait(&self.changed, state, interface, is_being_freed, may_wait)
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
        for (interface, _) in interfaces {
            if let Err(code) = self.node.release(*interface).or_else(codes::not_ours_any_more) {
                tracing::warn!(interface, %code, "an interface could not be given back");
            }
        }
        for (interface, _) in interfaces.iter().filter(|(_, detached)| *detached) {
            match self.node.connect_driver(*interface) {
                Ok(true) => {}
                Ok(false) => tracing::warn!(interface, "no driver of the kernel's took an interface back"),
                Err(code) => {
                    if let Err(code) = codes::not_ours_any_more(code) {
                        tracing::warn!(interface, %code, "an interface was not offered to the kernel's drivers");
                    }
                }
            }
        }
    }
}

impl State {
    pub(super) fn interface(&mut self, number: u8) -> Option<&mut Claimed> {
        self.interfaces.iter_mut().find(|claimed| claimed.number == number)
    }

    /// The alternate setting in force.
    pub(super) fn setting(&self, interface: u8) -> u8 {
        let found = self.interfaces.iter().find(|claimed| claimed.number == interface);
        found.map_or(0, |claimed| claimed.setting)
    }

    /// An interface's alternate setting is to be changed: until that has happened nothing is opened and nothing begins
    /// on it. The pipes that are out of use meanwhile.
    pub(super) fn begin_change(&mut self, interface: u8) -> Result<Vec<u64>, Error> {
        if self.is_busy(interface) {
            return Err(refusals::pending(interface));
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
            Some(Claimed { changing: true, .. }) => Err(refusals::being_changed(interface)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use isoch_core::Time;

    use super::super::budget::Charge;
    use super::super::due::DueEnd;
    use super::super::shared::{DataFlight, Pipe};
    use super::*;
    use crate::bus::{DataReport, IsochReports};
    use crate::sync::{Arc, Weak};

    struct Nobody;

    impl IsochReports for Nobody {
        fn completed(&self, _: &mut VecDeque<isoch_core::Block>) {}
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
