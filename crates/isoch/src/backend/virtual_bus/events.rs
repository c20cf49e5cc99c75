//! Where a virtual bus's events go: whom they are for is found out under the lock, and told without it.

use isoch_core::Time;
use isoch_virtual::controller::{DataError, Event, PortId};

use super::device;
use super::shared::State;
use crate::bus::{DataReport, IsochDone, IsochReports};
use crate::sync::Arc;
use crate::wait::Mailbox;
use crate::{Error, HotplugEvent};

#[derive(Default)]
pub(super) struct Lists {
    pub(super) events: Vec<Event>,
    due: Vec<Due>,
    batch: Vec<IsochDone>,
}

/// An event with the one it is for.
pub(super) enum Due {
    Isoch(Arc<dyn IsochReports>, IsochDone),
    Data(Arc<dyn DataReport>, Vec<u8>, Result<usize, Error>),
    Deadline(Arc<dyn IsochReports>, Time),
    Gone(Arc<dyn IsochReports>),
    Hotplug(Vec<Arc<Mailbox<HotplugEvent>>>, HotplugEvent),
}

impl State {
    /// Finds out whom the events are for.
    pub(super) fn route(&mut self, lists: &mut Lists) {
        for (name, error) in self.controller.take_plug_failures() {
            tracing::error!(name, %error, "a device could not be plugged in at its frame");
        }
        let now = self.time();
        for route in &mut self.data {
            if route.deadline.is_some_and(|deadline| deadline <= now) {
                route.deadline = None;
                route.timed_out = self.controller.cancel_data(route.port, route.token, &mut lists.events);
            }
        }
        for event in lists.events.drain(..) {
            match event {
                Event::Isoch(done) => {
                    let seen = self.controller.sof().time_of(done.seen);
                    if let Some(reports) = self.route_of(done.pipe).and_then(|route| route.reports.upgrade())
                    {
                        let done = IsochDone {
                            id: done.token,
                            block: done.block,
                            outcome: done.outcome,
                            first: done.first,
                            seen,
                        };
                        lists.due.push(Due::Isoch(reports, done));
                    }
                }
                Event::Data(done) => {
                    let found = self
                        .data
                        .iter()
                        .position(|route| route.token == done.token && route.port == done.port);
                    if let Some(index) = found {
                        let route = self.data.swap_remove(index);
                        let mut data = done.data;
                        data.truncate(done.transferred);
                        let result = match done.result {
                            Ok(()) => Ok(done.transferred),
                            Err(DataError::Cancelled) if route.timed_out => Err(Error::TimedOut),
                            Err(error) => Err(device::data_error(error)),
                        };
                        lists.due.push(Due::Data(route.done, data, result));
                    }
                }
                Event::Plugged(port) => self.plugged(port, &mut lists.due),
                Event::Unplugged(port) => self.unplugged(port, &mut lists.due),
            }
        }
        for route in &mut self.routes {
            if route.deadline.is_some_and(|deadline| deadline <= now) {
                route.deadline = None;
                if let Some(reports) = route.reports.upgrade() {
                    lists.due.push(Due::Deadline(reports, now));
                }
            }
        }
    }

    pub(super) fn address_of(&self, device: &str) -> String {
        address_of(self.name.as_deref(), device)
    }

    fn plugged(&mut self, port: PortId, due: &mut Vec<Due>) {
        let mut ports = self.controller.ports();
        let Some((_, name, descriptors)) = ports.find(|(id, ..)| *id == port) else { return };
        let information = device::information(address_of(self.name.as_deref(), name), descriptors);
        let name = name.to_owned();
        drop(ports);
        if !self.names.iter().any(|(_, known)| *known == port) {
            self.names.push((name, port));
        }
        if let Ok(information) = information {
            due.push(Due::Hotplug(self.watching(), HotplugEvent::Arrived(information)));
        }
    }

    fn unplugged(&mut self, port: PortId, due: &mut Vec<Due>) {
        let of_port = self.routes.iter().filter(|route| route.port == port);
        due.extend(of_port.filter_map(|route| route.reports.upgrade()).map(Due::Gone));
        let name = self.names.iter().rev().find(|(_, known)| *known == port).map(|(name, _)| name);
        let address = self.address_of(name.map_or("?", String::as_str));
        due.push(Due::Hotplug(self.watching(), HotplugEvent::Left { address }));
    }

    fn watching(&mut self) -> Vec<Arc<Mailbox<HotplugEvent>>> {
        self.watchers.retain(|watcher| watcher.strong_count() > 0);
        self.watchers.iter().filter_map(std::sync::Weak::upgrade).collect()
    }
}

fn address_of(bus: Option<&str>, device: &str) -> String {
    match bus {
        Some(bus) => format!("virtual:{bus}/{device}"),
        None => format!("virtual:{device}"),
    }
}

impl Lists {
    /// Tells everything, transfers of one endpoint in one go where they stand together.
    pub(super) fn tell(&mut self) {
        let mut due = self.due.drain(..).peekable();
        while let Some(next) = due.next() {
            match next {
                Due::Isoch(reports, done) => {
                    self.batch.push(done);
                    while let Some(Due::Isoch(..)) = due
                        .peek()
                        .filter(|next| matches!(next, Due::Isoch(other, _) if Arc::ptr_eq(other, &reports)))
                    {
                        if let Some(Due::Isoch(_, done)) = due.next() {
                            self.batch.push(done);
                        }
                    }
                    reports.completed(&mut self.batch);
                }
                Due::Data(done, data, result) => done.done(data, result),
                Due::Deadline(reports, now) => reports.deadline(now),
                Due::Gone(reports) => reports.gone(),
                Due::Hotplug(watchers, event) => {
                    watchers.iter().for_each(|watcher| watcher.push(event.clone()));
                }
            }
        }
    }
}
