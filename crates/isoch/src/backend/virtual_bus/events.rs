//! Where a virtual bus's events go: whom they are for is found out under the lock, and told without it.

use isoch_core::Ending;
use isoch_virtual::controller::{DataError, Event, PortId};

use super::device;
use super::shared::State;
use crate::backend::telling::Telling;
use crate::sync::Arc;
use crate::wait::Mailbox;
use crate::{Error, HotplugEvent};

#[derive(Default)]
pub(super) struct Lists {
    pub(super) events: Vec<Event>,
    telling: Telling,
    hotplug: Hotplug,
}

/// Devices that came or went, and who watches.
type Hotplug = Vec<(Vec<Arc<Mailbox<HotplugEvent>>>, HotplugEvent)>;

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
                    if let Some(reports) = self.route_of(done.pipe).map(|route| route.reports.clone()) {
                        let (id, mut block) = (done.token, done.block);
                        let (outcome, first) = (done.outcome, done.first);
                        *block.ending_mut() = Ending { id, outcome, first, seen, ..Ending::default() };
                        lists.telling.isoch(&reports, block);
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
                        lists.telling.data(route.done, data, result);
                    }
                }
                Event::Plugged(port) => self.plugged(port, &mut lists.hotplug),
                Event::Unplugged(port) => self.unplugged(port, &mut lists.telling, &mut lists.hotplug),
            }
        }
        for route in &mut self.routes {
            if route.deadline.is_some_and(|deadline| deadline <= now) {
                route.deadline = None;
                lists.telling.deadline(&route.reports, now);
            }
        }
    }

    pub(super) fn address_of(&self, device: &str) -> String {
        address_of(self.name.as_deref(), device)
    }

    fn plugged(&mut self, port: PortId, hotplug: &mut Hotplug) {
        let mut ports = self.controller.ports();
        let Some((_, name, descriptors)) = ports.find(|(id, ..)| *id == port) else { return };
        let information = device::information(address_of(self.name.as_deref(), name), descriptors);
        let name = name.to_owned();
        drop(ports);
        if !self.names.iter().any(|(_, known)| *known == port) {
            self.names.push((name, port));
        }
        if let Ok(information) = information {
            hotplug.push((self.watching(), HotplugEvent::Arrived(information)));
        }
    }

    fn unplugged(&mut self, port: PortId, telling: &mut Telling, hotplug: &mut Hotplug) {
        let of_port = self.routes.iter().filter(|route| route.port == port);
        of_port.for_each(|route| telling.gone(&route.reports));
        let name = self.names.iter().rev().find(|(_, known)| *known == port).map(|(name, _)| name);
        let address = self.address_of(name.map_or("?", String::as_str));
        hotplug.push((self.watching(), HotplugEvent::Left { address }));
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
    /// Tells everything.
    pub(super) fn tell(&mut self) {
        self.telling.tell();
        for (watchers, event) in self.hotplug.drain(..) {
            watchers.iter().for_each(|watcher| watcher.push(event.clone()));
        }
    }
}
