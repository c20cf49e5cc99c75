//! An open device, as its ports, its blocks and its event thread share it.
//!
//! One lock guards the state. It is held while the kernel takes requests or gives them back, takes some off the bus, or
//! moves an interface from its driver to us: usbfs has one lock for each device, too, and would let nothing else in
//! meanwhile. It is never held while anything is told.

use std::collections::VecDeque;
use std::thread::ThreadId;
use std::time::Duration;

use isoch_core::clock::unwrap::Number;
use isoch_core::rules::Speed;
use isoch_core::rules::descriptors::Configuration;
use isoch_core::{Block, Time};

use super::budget::Charge;
use super::closing::Closing;
use super::controller::Facts;
use super::due::DueEnd;
use super::events::Wakes;
use super::host::Controller;
use super::interfaces::{Claimed, Standing};
use super::memory::Mode;
use super::node::{Node, Submitted};
use super::urb::{Owner, Spare, Urb};
use super::witness::Watching;
use crate::bus::{DataReport, IsochReports};
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, Weak, lock};

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
    /// With what will be told of it, as far as is known.
    pub(super) block: Block,
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
    ) -> Option<Block> {
        let Owner::Isoch { flight: id, first_packet, .. } = urb.owner else { return None };
        let take = |flight: &mut Flight| {
            if first_packet == 0 {
                flight.block.ending_mut().number = number;
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
        .map(|flight| flight.block)
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

    /// Whether anything is in flight on an interface.
    pub(super) fn is_busy(&self, interface: u8) -> bool {
        self.pipes.iter().any(|pipe| pipe.interface == interface && !pipe.flights.is_empty())
            || self.data.iter().any(|flight| flight.is_on(interface))
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
