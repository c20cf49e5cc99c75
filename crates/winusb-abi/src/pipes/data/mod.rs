//! Bulk and interrupt pipes.
//!
//! Why is the I/O apart from the rules? A bus may tell the end of a transfer inside the call that starts it, and
//! whoever is told may be waiting for this very pipe. So the rules are changed under a lock that nothing is called
//! under, say what is to be done as steps, and one thread at a time does them, in order: whoever comes meanwhile, be it
//! from inside one of its own steps, leaves it to that thread. Nothing recurses.

mod request;
mod rules;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use isoch::rules::Setup;
use isoch::rules::descriptors::Endpoint;
use isoch::{
    AlternateSetting, DataEndpoint, Device, Direction, EmulatedTime, Error, In, Out, PendingTransfer,
};

use crate::codes::NtStatus;
use crate::completion::Finish;
use crate::failure::Failure;
use crate::memory::CallerMemory;
use crate::pipes::policies::{CONTROL_TIMEOUT, Kind, LARGEST_TRANSFER, Policies};
use crate::session::Requests;
use crate::types::OVERLAPPED;
use request::Shape;
use rules::{Rules, Step, Transfer};

/// A bulk or interrupt pipe of an alternate setting in force.
pub(crate) struct DataPipe {
    me: Weak<DataPipe>,
    address: u8,
    direction: Direction,
    device: Device,
    /// `None`: the machine's.
    time: Option<EmulatedTime>,
    state: Mutex<State>,
    /// Rung when no thread does steps any more.
    quiet: Condvar,
}

struct State {
    rules: Rules<CallerMemory, Finish>,
    /// Transfers whose end was not told; `None` while they are being started.
    transfers: Vec<(Transfer, Option<PendingTransfer>)>,
    /// `None` once it is closed: it keeps the interface.
    bus: Option<Bus>,
    /// Whether a thread does the steps.
    pumping: bool,
}

#[derive(Clone)]
enum Bus {
    In(Arc<DataEndpoint<In>>),
    Out(Arc<DataEndpoint<Out>>),
}

impl DataPipe {
    pub(crate) fn open(setting: &AlternateSetting, endpoint: &Endpoint) -> Result<Arc<Self>, Failure> {
        let direction = endpoint.direction();
        let bus = match direction {
            Direction::In => Bus::In(Arc::new(setting.data_in(endpoint.address)?)),
            Direction::Out => Bus::Out(Arc::new(setting.data_out(endpoint.address)?)),
        };
        let device = setting.device().clone();
        let rules = Rules::new(
            Shape::new(direction, endpoint.max_packet_size),
            Policies::new(Kind::of(direction), LARGEST_TRANSFER),
        );
        Ok(Arc::new_cyclic(|me| DataPipe {
            me: Weak::clone(me),
            address: endpoint.address,
            direction,
            time: device.clock().emulated_time(),
            device,
            state: Mutex::new(State { rules, transfers: Vec::new(), bus: Some(bus), pumping: false }),
            quiet: Condvar::new(),
        }))
    }

    pub(crate) fn address(&self) -> u8 {
        self.address
    }

    /// Whether requests are under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.state().rules.is_busy()
    }

    /// Fails if a request of this direction and length is refused whatever the device does.
    pub(crate) fn check(&self, direction: Direction, length: usize) -> Result<(), Failure> {
        if direction != self.direction {
            let reason = format!("pipe {:#04x} is an {} pipe", self.address, self.direction);
            return Err(Failure::argument(reason));
        }
        let state = self.state();
        if state.rules.is_closed() {
            return Err(Failure::invalid_handle("the pipe's device file or alternate setting is closed"));
        }
        if state.rules.accepts(length) {
            return Ok(());
        }
        Err(Failure::argument(format!(
            "with RAW_IO a request has at most MAXIMUM_TRANSFER_SIZE bytes, and a read a multiple of \
             MaximumPacketSize; this one has {length}"
        )))
    }

    /// ReadPipe, WritePipe: which of them is the pipe's direction.
    pub(crate) fn submit(&self, memory: CallerMemory, finish: Finish) {
        let now = self.now();
        self.state().rules.submit(memory, finish, now);
        self.pump();
    }

    /// AbortPipe. What the bus gives back at once has been told when this returns.
    pub(crate) fn abort(&self) {
        self.state().rules.abort();
        self.pump();
    }

    /// ResetPipe: clears the halt.
    pub(crate) fn reset(&self, finish: Finish) {
        self.state().rules.reset(finish);
        self.pump();
    }

    /// FlushPipe: forgets what earlier reads left over.
    pub(crate) fn flush(&self) -> Result<(), Failure> {
        match self.direction {
            Direction::In => self.state().rules.flush(),
            // As programs have seen it fail; the code is not documented.
            Direction::Out => return Err(Failure::argument("an OUT pipe has nothing to flush")),
        }
        Ok(())
    }

    pub(crate) fn set_policy(&self, policy: u32, value: &[u8]) -> Result<(), Failure> {
        self.state().rules.policies.set(policy, value)
    }

    pub(crate) fn policy(&self, policy: u32) -> Result<([u8; 4], usize), Failure> {
        self.state().rules.policies.get(policy)
    }

    /// They are as at first, and nothing is kept of earlier reads: for a new handle of the interface.
    pub(crate) fn forget_policies(&self) {
        let mut state = self.state();
        state.rules.policies = Policies::new(Kind::of(self.direction), LARGEST_TRANSFER);
        state.rules.flush();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time that time-outs are measured in: the bus's.
    fn now(&self) -> Instant {
        self.time.as_ref().map_or_else(Instant::now, EmulatedTime::now)
    }

    /// Does what is to be done, unless a thread is at it.
    fn pump(&self) {
        let mut state = self.state();
        if state.pumping {
            return;
        }
        state.pumping = true;
        while let Some(step) = state.rules.next_step() {
            drop(state);
            self.take(step);
            state = self.state();
        }
        state.pumping = false;
        drop(state);
        self.quiet.notify_all();
    }

    fn take(&self, step: Step<Finish>) {
        match step {
            Step::End { finish, status, bytes } => finish.complete(status, bytes),
            Step::Cancel { transfer } => {
                let pending = {
                    let state = self.state();
                    let found = state.transfers.iter().find(|(name, _)| *name == transfer);
                    found.and_then(|(_, pending)| pending.clone())
                };
                if let Some(pending) = pending {
                    pending.cancel();
                }
            }
            Step::Read { transfer, length, timeout } => self.start(transfer, |bus, done| match bus {
                Bus::In(endpoint) => Some(endpoint.start_read(length, timeout, done)),
                Bus::Out(_) => None,
            }),
            Step::Write { transfer, bytes, timeout } => self.start(transfer, |bus, done| match bus {
                Bus::In(_) => None,
                Bus::Out(endpoint) => Some(endpoint.start_write(bytes, timeout, done)),
            }),
            Step::ClearHalt { transfer } => self.start(transfer, |_, done| {
                let index = u16::from(self.address);
                let setup = Setup { request_type: 0x02, request: 1, value: 0, index, length: 0 };
                let timeout = Duration::from_millis(CONTROL_TIMEOUT.into());
                Some(self.device.start_control(setup, Vec::new(), Some(timeout), done))
            }),
        }
    }

    /// Starts a transfer. While it is under way, it keeps the pipe.
    fn start(&self, transfer: Transfer, start: impl FnOnce(Bus, Done) -> Option<PendingTransfer>) {
        let mut state = self.state();
        let (Some(bus), Some(me)) = (state.bus.clone(), self.me.upgrade()) else { return };
        state.transfers.push((transfer, None));
        drop(state);
        let pending = start(bus, Box::new(move |data, result| me.done(transfer, &data, result)));
        let mut state = self.state();
        if let Some(entry) = state.transfers.iter_mut().find(|(name, _)| *name == transfer) {
            entry.1 = pending;
        }
    }

    fn done(&self, transfer: Transfer, data: &[u8], result: Result<usize, Error>) {
        let now = self.now();
        let mut state = self.state();
        state.transfers.retain(|(name, _)| *name != transfer);
        let result = result.map(|_| ()).map_err(|error| NtStatus::of_error(&error));
        state.rules.done(transfer, data, result, now);
        drop(state);
        self.pump();
    }
}

type Done = Box<dyn FnOnce(Vec<u8>, Result<usize, Error>) + Send>;

impl Requests for DataPipe {
    fn cancel(&self, overlapped: *mut OVERLAPPED) -> bool {
        let found = self.state().rules.cancel(|finish| finish.is_of(overlapped));
        self.pump();
        found
    }

    fn close(&self) {
        self.state().rules.close();
        self.pump();
        // Another thread may be telling an end.
        let state = self.quiet.wait_while(self.state(), |state| state.pumping);
        let bus = state.unwrap_or_else(PoisonError::into_inner).bus.take();
        // Giving the interface back calls the bus.
        drop(bus);
    }
}
