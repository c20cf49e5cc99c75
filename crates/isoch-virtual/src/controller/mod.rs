//! The emulated host controller: ports, pipes, and what happens in each microframe.
//!
//! Why no thread, no clock and no callback? Because the same controller runs in real time, one frame per
//! call in a test, or through an hour in a second. Its owner says how far time has gone
//! ([`Controller::run`]) and gets back what happened by then.
//!
//! | file | has |
//! |---|---|
//! | `mod` | devices come and go, pipes are opened |
//! | `pipe` | which microframe a transfer gets, how it ends |
//! | `run` | what happens as time goes on |
//! | `control`, `bandwidth` | standard requests, alternate settings |
//! | `data` | bulk and interrupt transfers |
//! | `log` | what passed on the wire |

mod bandwidth;
mod control;
mod data;
mod event;
mod log;
mod pipe;
mod port;
mod run;
mod walk;

use std::collections::VecDeque;

use isoch_core::{Block, Outcome, Start};

pub use event::{
    ControlError, DataDone, DataError, Event, IsochDone, OpenError, PlugError, SettingError, SubmitError,
};
pub use log::{Logged, PacketLog, WireLoss};

use crate::faults::{Fault, FaultScript};
use crate::profile::Profile;
use crate::sof::SofClock;
use crate::{BusTime, Descriptors, Device};
use pipe::{Pipe, Pipes};
use port::Port;
use walk::Kind;

/// A place where a device is, or was, plugged in. Never used again for another device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortId(u32);

/// An open isochronous endpoint. Never used again for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PipeId(u32);

/// A device that will be plugged in.
struct Scheduled {
    /// Microframe.
    at: u64,
    name: String,
    device: Box<dyn Device>,
}

/// The emulated controller. See the module's comment.
pub struct Controller {
    profile: Profile,
    /// Microframe; everything before it has happened.
    now: u64,
    sof: SofClock,
    /// All there ever were; a [`PortId`] is an index.
    ports: Vec<Port>,
    /// Those with a device.
    live: Vec<usize>,
    pipes: Pipes,
    faults: FaultScript,
    /// By rising microframe.
    scheduled: VecDeque<Scheduled>,
    plug_failures: Vec<(String, PlugError)>,
    /// What the host will learn of, and when; by rising microframe.
    outbox: VecDeque<(u64, Event)>,
    /// Bulk and interrupt transfers queued, on all ports.
    pending_data: usize,
}

impl Controller {
    /// A controller in microframe 0 with nothing plugged in.
    #[must_use]
    pub fn new(profile: Profile) -> Self {
        Controller {
            profile,
            now: 0,
            sof: SofClock::default(),
            ports: Vec::new(),
            live: Vec::new(),
            pipes: Pipes::default(),
            faults: FaultScript::default(),
            scheduled: VecDeque::new(),
            plug_failures: Vec::new(),
            outbox: VecDeque::new(),
            pending_data: 0,
        }
    }

    /// What it imitates.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// The current microframe. Everything before it has happened; nothing in it has.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.now
    }

    /// Which host time each microframe has.
    #[must_use]
    pub fn sof(&self) -> &SofClock {
        &self.sof
    }

    /// The same, to change.
    pub fn sof_mut(&mut self) -> &mut SofClock {
        &mut self.sof
    }

    /// Plugs a device in, enumerated and configured. [`Event::Plugged`] follows with the next
    /// [`Controller::run`].
    ///
    /// # Errors
    /// If the name is taken, or a host could not make sense of the descriptors.
    pub fn plug(&mut self, name: &str, device: Box<dyn Device>) -> Result<PortId, PlugError> {
        if self.live.iter().any(|index| self.ports[*index].name == name) {
            return Err(PlugError::NameTaken(name.to_owned()));
        }
        let walked = walk::walk(device.descriptors()).map_err(PlugError::Descriptors)?;
        let index = self.ports.len();
        let id = PortId(index as u32);
        self.ports.push(Port::new(name, device, walked));
        self.live.push(index);
        self.tell(index, None, Event::Plugged(id), self.now);
        Ok(id)
    }

    /// Plugs a device in at the beginning of `frame`, or now if that is over. If it cannot be plugged in then,
    /// [`Controller::take_plug_failures`] tells why.
    pub fn plug_at(&mut self, frame: u64, name: &str, device: Box<dyn Device>) {
        let at = frame.saturating_mul(8);
        let position = self.scheduled.partition_point(|other| other.at <= at);
        self.scheduled.insert(position, Scheduled { at, name: name.to_owned(), device });
    }

    /// The names of devices that could not be plugged in when their time came, and why; each is told once.
    pub fn take_plug_failures(&mut self) -> Vec<(String, PlugError)> {
        std::mem::take(&mut self.plug_failures)
    }

    fn plug_scheduled(&mut self) {
        if let Some(Scheduled { name, device, .. }) = self.scheduled.pop_front()
            && let Err(error) = self.plug(&name, device)
        {
            self.plug_failures.push((name, error));
        }
    }

    /// Unplugs a device. What is pending on it comes back as gone, then [`Event::Unplugged`]. Its pipes stay
    /// open and refuse everything until they are closed; its log stays.
    pub fn unplug(&mut self, port: PortId, events: &mut Vec<Event>) {
        let now = self.now;
        let index = port.0 as usize;
        if self.port(port).is_none() {
            return;
        }
        let pipes: Vec<PipeId> =
            self.pipes.iter().filter(|pipe| pipe.port == index).map(|pipe| pipe.id).collect();
        self.hand_over(events, |event| match event {
            Event::Isoch(done) => pipes.contains(&done.pipe),
            Event::Data(done) => done.port == port,
            Event::Plugged(other) | Event::Unplugged(other) => *other == port,
        });
        for id in pipes {
            if let Some(pipe) = self.pipes.get_mut(id) {
                pipe.end_all(&self.profile, now, Outcome::DeviceGone, events);
            }
            self.pipes.retire(id);
        }
        self.end_data(port, DataError::Gone, events);
        self.live.retain(|live| *live != index);
        if let Some(mut device) = self.ports[index].device.take() {
            device.released(BusTime { microframe: now });
        }
        self.ports[index].log.trim();
        events.push(Event::Unplugged(port));
    }

    /// Unplugs the devices that a fault names. The host learns of it as soon as it learns of anything.
    fn unplug_by_fault(&mut self, fault: &Fault) {
        let named = |port: &Port| fault.device.as_ref().is_none_or(|name| *name == port.name);
        let hit: Vec<usize> = self.live.iter().copied().filter(|index| named(&self.ports[*index])).collect();
        for index in hit {
            let mut events = Vec::new();
            self.unplug(PortId(index as u32), &mut events);
            let endpoints = self.ports[index].walked.endpoints().map(Some).chain([None]);
            let due = endpoints.map(|endpoint| self.told_at(index, endpoint, self.now)).max();
            for mut event in events {
                event.see_at(due.unwrap_or(self.now));
                self.tell_at(event, due.unwrap_or(self.now));
            }
        }
    }

    /// The devices plugged in: where, their names, their descriptors.
    pub fn ports(&self) -> impl Iterator<Item = (PortId, &str, &Descriptors)> {
        self.live.iter().filter_map(|index| {
            let port = &self.ports[*index];
            let device = port.device.as_ref()?;
            Some((PortId(*index as u32), port.name.as_str(), device.descriptors()))
        })
    }

    /// A device that is plugged in.
    pub fn device_mut(&mut self, port: PortId) -> Option<&mut dyn Device> {
        let entry = self.port_mut(port)?;
        entry.stir();
        match entry.device.as_mut() {
            Some(device) => Some(device.as_mut()),
            None => None,
        }
    }

    /// The addresses of the endpoints that an interface of a device has in its current setting; `None` if the
    /// device is gone.
    #[must_use]
    pub fn endpoints_of(&self, port: PortId, interface: u8) -> Option<Vec<u8>> {
        self.port(port).map(|port| port.endpoints_of(interface))
    }

    /// Adds a fault. What lies before the current frame has no effect, and neither have stalls of the host on
    /// what has happened already.
    pub fn add_fault(&mut self, fault: Fault) {
        self.faults.add(fault, self.now / 8);
    }

    /// What passed at a port, also after its device is gone.
    #[must_use]
    pub fn log(&self, port: PortId) -> Option<&PacketLog> {
        self.ports.get(port.0 as usize).map(|port| &port.log)
    }

    /// The same, to set what it keeps.
    pub fn log_mut(&mut self, port: PortId) -> Option<&mut PacketLog> {
        self.ports.get_mut(port.0 as usize).map(|port| &mut port.log)
    }

    /// The last program let go of a device: tells it.
    pub fn released(&mut self, port: PortId) {
        let now = BusTime { microframe: self.now };
        if let Some(device) = self.device_mut(port) {
            device.released(now);
        }
    }

    /// Opens an isochronous endpoint of a current alternate setting.
    ///
    /// # Errors
    /// If it is none, is open, or the device is gone.
    pub fn open_pipe(&mut self, port: PortId, endpoint: u8) -> Result<PipeId, OpenError> {
        let index = port.0 as usize;
        let entry = self.port(port).ok_or(OpenError::Gone)?;
        let found = entry.endpoint(endpoint).ok_or(OpenError::NoSuchEndpoint)?;
        if found.kind != Kind::Isochronous {
            return Err(OpenError::NotIsochronous);
        }
        if self.pipes.iter().any(|pipe| pipe.port == index && pipe.endpoint == endpoint) {
            return Err(OpenError::AlreadyOpen);
        }
        let faults = self.faults.packets(&entry.name, endpoint, self.now / 8);
        let id = self.pipes.next_id().ok_or(OpenError::TooMany)?;
        self.ports[index].log.reserve();
        self.pipes.insert(Pipe::new(id, index, &found, faults));
        Ok(id)
    }

    /// Aborts what is pending and closes the pipe. Nothing happens if it is closed.
    pub fn close_pipe(&mut self, pipe: PipeId, events: &mut Vec<Event>) {
        self.abort(pipe, events);
        self.pipes.remove(pipe);
    }

    /// Whether a pipe is open: neither its owner nor a change of the alternate setting closed it.
    #[must_use]
    pub fn is_open(&self, pipe: PipeId) -> bool {
        self.pipes.contains(pipe)
    }

    /// Queues a transfer. Whatever depends on time comes with its event.
    ///
    /// # Errors
    /// The block comes back if the pipe is closed, the device is gone, there are no packets, or a packet is
    /// longer than the endpoint (or, by its length, than the imitated system) allows.
    pub fn submit(
        &mut self,
        pipe: PipeId,
        token: u64,
        block: Block,
        start: Start,
    ) -> Result<(), (Block, SubmitError)> {
        let Some(pipe) = self.pipes.get_mut(pipe) else { return Err((block, SubmitError::Stale)) };
        if let Err(error) = pipe.check(&self.profile, &block) {
            return Err((block, error));
        }
        pipe.queue(&self.profile, self.now, token, block, start);
        Ok(())
    }

    /// Cancels a transfer that has not ended: packets served keep their results, the rest is cancelled, and
    /// what is queued behind it keeps its microframes. Returns whether there was one. Completions come in
    /// order: behind transfers that still run, it comes back when they have.
    pub fn cancel(&mut self, pipe: PipeId, token: u64, events: &mut Vec<Event>) -> bool {
        let mut ended = Vec::new();
        let Some(entry) = self.pipes.get_mut(pipe) else { return false };
        let found = entry.cancel(&self.profile, self.now, token, &mut ended);
        if !ended.is_empty() {
            self.hand_over_pipe(pipe, events);
            events.append(&mut ended);
        }
        found
    }

    /// Cancels everything that is pending on a pipe, at once.
    pub fn abort(&mut self, pipe: PipeId, events: &mut Vec<Event>) {
        self.hand_over_pipe(pipe, events);
        if let Some(entry) = self.pipes.get_mut(pipe) {
            entry.end_all(&self.profile, self.now, Outcome::Cancelled, events);
        }
    }

    fn port(&self, port: PortId) -> Option<&Port> {
        self.ports.get(port.0 as usize).filter(|port| port.device.is_some())
    }

    fn port_mut(&mut self, port: PortId) -> Option<&mut Port> {
        self.ports.get_mut(port.0 as usize).filter(|port| port.device.is_some())
    }

    /// What the pipes' packets suffer from `frame` on.
    fn refresh_faults(&mut self, frame: u64) {
        for position in 0..self.pipes.len() {
            if let Some(pipe) = self.pipes.at_mut(position) {
                pipe.faults = self.faults.packets(&self.ports[pipe.port].name, pipe.endpoint, frame);
            }
        }
    }

    /// When the host learns of something on this port (and endpoint) of which it would at `microframe`.
    fn told_at(&self, port: usize, endpoint: Option<u8>, microframe: u64) -> u64 {
        self.faults.held_until(&self.ports[port].name, endpoint, microframe)
    }

    fn tell(&mut self, port: usize, endpoint: Option<u8>, mut event: Event, microframe: u64) {
        let due = self.told_at(port, endpoint, microframe);
        event.see_at(due);
        self.tell_at(event, due);
    }

    fn tell_at(&mut self, event: Event, due: u64) {
        let later = self.outbox.iter().rev().take_while(|(other, _)| *other > due).count();
        self.outbox.insert(self.outbox.len() - later, (due, event));
    }

    fn hand_over_pipe(&mut self, pipe: PipeId, events: &mut Vec<Event>) {
        self.hand_over(events, |event| matches!(event, Event::Isoch(done) if done.pipe == pipe));
    }

    /// Tells now what was to be told later: something that ended after it is about to be told.
    fn hand_over(&mut self, events: &mut Vec<Event>, concerned: impl Fn(&Event) -> bool) {
        for _ in 0..self.outbox.len() {
            let Some((due, mut event)) = self.outbox.pop_front() else { return };
            if concerned(&event) {
                event.see_at(due.min(self.now));
                events.push(event);
            } else {
                self.outbox.push_back((due, event));
            }
        }
    }
}
