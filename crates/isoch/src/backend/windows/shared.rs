//! An open device, as its ports, its clock and its thread share it.
//!
//! One lock guards the state. It is held while the system takes a transfer, and never while anything is told
//! or while a call waits for the device.
#![allow(unsafe_code)]

use std::collections::{HashMap, VecDeque};
use std::thread::ThreadId;
use std::time::Duration;

use isoch_core::rules::Speed;
use isoch_core::rules::descriptors::Configuration;
use isoch_core::{Block, Time};
use windows_sys::Win32::System::IO::CancelIoEx;

use super::clock::{CounterClock, Reading};
use super::codes::ERROR_IO_INCOMPLETE;
use super::library::{BufferHandle, InterfaceHandle, Library};
use super::operation::Operation;
use super::system::{self, Event, Handle};
use crate::backend::{freeing, refusals};
use crate::bus::{DataReport, IsochReports};
use crate::clock::Host;
use crate::sync::{Arc, AtomicBool, Condvar, Mutex, MutexGuard, Ordering, Weak, lock};
use crate::{Direction, Error};

pub(super) struct Shared {
    pub(super) library: &'static Library,
    /// By number; the first is the one that WinUSB opened.
    pub(super) interfaces: Vec<Interface>,
    pub(super) configuration: Configuration,
    pub(super) speed: Speed,
    pub(super) host: Host,
    pub(super) clock: Arc<CounterClock>,
    /// Wakes the thread.
    pub(super) nudge: Event,
    /// The thread that reaps transfers.
    pub(super) thread: std::sync::OnceLock<ThreadId>,
    pub(super) state: Mutex<State>,
    /// Told when pipes and interfaces that were let go are free.
    pub(super) freed: Condvar,
    /// Closed after everything above.
    pub(super) file: Handle,
    /// Tells that it is closed, after it is.
    pub(super) _closed: Closed,
}

/// Dropped last.
pub(super) struct Closed;

impl Drop for Closed {
    fn drop(&mut self) {
        super::opening::closing().end();
    }
}

#[derive(Clone, Copy)]
pub(super) struct Interface {
    pub(super) number: u8,
    pub(super) handle: InterfaceHandle,
}

// SAFETY: WinUSB's handles may be used from any thread (winusb.h's functions are documented for that).
unsafe impl Send for Interface {}
// SAFETY: as above.
unsafe impl Sync for Interface {}

#[derive(Default)]
pub(super) struct State {
    pub(super) pipes: Vec<Pipe>,
    pub(super) next_pipe: u64,
    pub(super) data: Vec<DataFlight>,
    /// Which alternate settings are in force: interface and setting.
    pub(super) settings: Vec<(u8, u8)>,
    /// Interfaces of which that is being changed just now.
    pub(super) changing: Vec<u8>,
    /// Interfaces to put back to setting 0 once nothing is in flight on them.
    pub(super) releasing: Vec<u8>,
    /// Operations that can be used again.
    pub(super) spare: Vec<Operation>,
    /// Until when the thread sleeps.
    pub(super) sleeping_until: Option<Time>,
    /// The device was unplugged.
    pub(super) gone: bool,
    /// Nobody uses the device any more.
    pub(super) closing: bool,
}

/// An isochronous endpoint.
pub(super) struct Pipe {
    pub(super) id: u64,
    pub(super) endpoint: u8,
    pub(super) direction: Direction,
    pub(super) interface: Interface,
    pub(super) reports: Weak<dyn IsochReports>,
    /// The same, once nobody else uses it: until everything has been told.
    pub(super) kept: Option<Arc<dyn IsochReports>>,
    pub(super) flights: VecDeque<Flight>,
    /// What was registered, by its address.
    pub(super) buffers: HashMap<usize, Buffer>,
    /// The frame after the last transfer.
    pub(super) end: Option<u64>,
    pub(super) deadline: Option<Time>,
    /// Something was cancelled, so that transfers may end out of order.
    pub(super) withdrawn: bool,
    /// Its alternate setting is in force no more, or is being changed. Its port knows that, too.
    pub(super) stale: Arc<AtomicBool>,
    /// Nobody uses it any more.
    pub(super) closed: bool,
    pub(super) told_gone: bool,
}

/// Registered memory.
pub(super) struct Buffer(pub(super) BufferHandle);

// SAFETY: as for interfaces.
unsafe impl Send for Buffer {}

/// An isochronous transfer in flight.
pub(super) struct Flight {
    pub(super) id: u64,
    pub(super) block: Block,
    /// What the system has; nothing if it was not even asked because the frame is too far away.
    pub(super) operation: Option<Operation>,
    pub(super) first: u64,
    pub(super) frames: u64,
    /// The frame that ran when it was submitted.
    pub(super) submitted_in: u64,
}

/// A control, bulk or interrupt transfer in flight.
pub(super) struct DataFlight {
    pub(super) operation: Operation,
    pub(super) data: Vec<u8>,
    pub(super) done: Arc<dyn DataReport>,
    pub(super) interface: Interface,
    /// Of a bulk or interrupt transfer.
    pub(super) endpoint: Option<u8>,
    /// When it is to be cancelled.
    pub(super) deadline: Option<Time>,
    /// That time has come.
    pub(super) timed_out: bool,
    pub(super) cancelled: bool,
}

/// How an operation ended.
#[derive(Clone, Copy)]
pub(super) struct End {
    /// What went over the bus, also before it failed; 0 of isochronous transfers.
    pub(super) bytes: usize,
    /// The system's code; 0 if it ended well.
    pub(super) code: u32,
}

impl DataFlight {
    /// Whether it is a bulk or interrupt transfer of this interface.
    pub(super) fn is_on(&self, interface: u8) -> bool {
        self.endpoint.is_some() && self.interface.number == interface
    }

    pub(super) fn cancel(&mut self, shared: &Shared) {
        if !std::mem::replace(&mut self.cancelled, true) {
            shared.cancel(&self.operation, self.interface, self.endpoint);
        }
    }
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// The interface that WinUSB opened first.
    pub(super) fn first(&self) -> Interface {
        self.interfaces[0]
    }

    pub(super) fn interface(&self, number: u8) -> Option<Interface> {
        self.interfaces.iter().copied().find(|interface| interface.number == number)
    }

    /// The interface that has this endpoint in the setting in force.
    pub(super) fn interface_of(&self, state: &State, endpoint: u8) -> Option<Interface> {
        self.interfaces.iter().copied().find(|interface| {
            let setting = state.setting(interface.number);
            let found = self.configuration.interface(interface.number);
            found.and_then(|found| found.alternate(setting)?.endpoint(endpoint)).is_some()
        })
    }

    /// Takes an operation to use.
    pub(super) fn operation(&self, state: &mut State) -> Result<Operation, Error> {
        let mut operation = state.spare.pop().map_or_else(Operation::new, Ok)?;
        operation.prepare();
        Ok(operation)
    }

    /// How an operation ended; `None` if it has not.
    pub(super) fn end_of(&self, interface: Interface, operation: &Operation) -> Option<End> {
        let mut bytes = 0;
        // SAFETY: the OVERLAPPED lives as long as the operation.
        let ended = unsafe {
            (self.library.get_overlapped_result)(interface.handle, operation.overlapped(), &mut bytes, 0)
        };
        let code = if ended == 0 { system::last_error() } else { 0 };
        (code != ERROR_IO_INCOMPLETE).then_some(End { bytes: bytes as usize, code })
    }

    /// Asks the system to cancel an operation. It ends as any other.
    pub(super) fn cancel(&self, operation: &Operation, interface: Interface, endpoint: Option<u8>) {
        // SAFETY: the file is open, and the OVERLAPPED lives as long as the operation.
        let cancelled = unsafe { CancelIoEx(self.file.raw(), operation.overlapped()) };
        // Our own winusb.dll has no part in the system's cancelling, only in its own.
        if cancelled == 0
            && self.library.extensions.is_some()
            && let Some(endpoint) = endpoint
        {
            self.abort(interface, endpoint);
        }
    }

    /// Cancels everything on an endpoint.
    pub(super) fn abort(&self, interface: Interface, endpoint: u8) {
        // SAFETY: the handle is open. An endpoint that is not there is refused.
        unsafe { (self.library.abort_pipe)(interface.handle, endpoint) };
    }

    pub(super) fn unregister(&self, buffers: impl IntoIterator<Item = Buffer>) {
        for buffer in buffers {
            // SAFETY: it was registered, is unregistered once, and nothing is in flight with it.
            unsafe { (self.library.unregister_isoch_buffer)(buffer.0) };
        }
    }

    /// Waits until nothing of what was let go on an interface is left. The thread that reaps transfers must not wait for
    /// itself.
    pub(super) fn wait_until_free<'a>(
        &self,
        state: MutexGuard<'a, State>,
        interface: u8,
    ) -> Result<MutexGuard<'a, State>, Error> {
        let is_being_freed = |state: &State| state.is_being_freed(interface) && !state.gone;
        let may_wait = |_: &State| self.thread.get() != Some(&std::thread::current().id());
        freeing::wait(&self.freed, state, interface, is_being_freed, may_wait)
    }

    /// SET_INTERFACE. The error is the system's code.
    pub(super) fn put_setting(&self, interface: Interface, setting: u8) -> Result<(), u32> {
        // SAFETY: the handle is open.
        let set = unsafe { (self.library.set_current_alternate_setting)(interface.handle, setting) };
        if set == 0 {
            return Err(system::last_error());
        }
        let mut state = self.lock();
        state.settings.retain(|(number, _)| *number != interface.number);
        state.settings.push((interface.number, setting));
        Ok(())
    }

    /// `WinUsb_GetCurrentFrameNumber`. The error is the system's code.
    pub(super) fn read_frame_number(&self) -> Result<Reading, u32> {
        let (mut frame, mut stamp) = (0, 0);
        let before = self.host.now();
        // SAFETY: the handle is open, and both pointers are valid.
        let read =
            unsafe { (self.library.get_current_frame_number)(self.first().handle, &mut frame, &mut stamp) };
        if read == 0 {
            return Err(system::last_error());
        }
        let after = self.host.now();
        let (count, frequency) = system::performance_counter();
        let later = self.host.now();
        // The stamp was taken while the call ran; if it says otherwise, it is of another clock.
        let ago = u64::try_from(
            i128::from(count.wrapping_sub(stamp)) * 1_000_000_000 / i128::from(frequency.max(1)),
        );
        let bounds = ago
            .ok()
            .map(Duration::from_nanos)
            .map(|ago| ((after - ago).max(before), (later - ago).min(after)));
        let (earliest, latest) =
            bounds.filter(|(earliest, latest)| earliest <= latest).unwrap_or((before, after));
        Ok(Reading { frame, earliest, latest })
    }
}

impl State {
    pub(super) fn pipe(&mut self, id: u64) -> Option<&mut Pipe> {
        self.pipes.iter_mut().find(|pipe| pipe.id == id)
    }

    /// The alternate setting in force.
    pub(super) fn setting(&self, interface: u8) -> u8 {
        let found = self.settings.iter().find(|(number, _)| *number == interface);
        found.map_or(0, |(_, setting)| *setting)
    }

    /// An interface's alternate setting is to be changed: until that has happened none of its isochronous endpoints is
    /// opened or used. The pipes that are out of use meanwhile, and what is registered with them: for the setting in
    /// force.
    pub(super) fn begin_change(&mut self, interface: u8) -> Result<(Vec<u64>, Vec<Buffer>), Error> {
        let is_on = |pipe: &Pipe| pipe.interface.number == interface;
        if self.pipes.iter().any(|pipe| is_on(pipe) && !pipe.flights.is_empty())
            || self.data.iter().any(|flight| flight.is_on(interface))
        {
            return Err(refusals::pending(interface));
        }
        self.check_usable(interface)?;
        self.changing.push(interface);
        let (mut pipes, mut buffers) = (Vec::new(), Vec::new());
        for pipe in self.pipes.iter_mut().filter(|pipe| is_on(pipe)) {
            if !pipe.stale.swap(true, Ordering::Relaxed) {
                pipes.push(pipe.id);
            }
            buffers.extend(pipe.buffers.drain().map(|(_, buffer)| buffer));
        }
        Ok((pipes, buffers))
    }

    /// Fails if nothing can begin on an interface, because its alternate setting is being changed.
    pub(super) fn check_usable(&self, interface: u8) -> Result<(), Error> {
        match self.changing.contains(&interface) {
            true => Err(refusals::being_changed(interface)),
            false => Ok(()),
        }
    }

    /// Now it is changed; if `before` is still in force, `pipes` go on.
    pub(super) fn end_change(&mut self, interface: u8, before: u8, pipes: &[u64]) {
        self.changing.retain(|changing| *changing != interface);
        if self.setting(interface) == before {
            let same = self.pipes.iter().filter(|pipe| pipes.contains(&pipe.id));
            same.for_each(|pipe| pipe.stale.store(false, Ordering::Relaxed));
        }
    }

    /// Whether something that was let go on an interface is still to come back.
    fn is_being_freed(&self, interface: u8) -> bool {
        self.releasing.contains(&interface)
            || self.pipes.iter().any(|pipe| pipe.closed && pipe.interface.number == interface)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let mut state = std::mem::take(&mut *self.lock());
        for pipe in &mut state.pipes {
            self.unregister(pipe.buffers.drain().map(|(_, buffer)| buffer));
        }
        for interface in self.interfaces.iter().rev() {
            // SAFETY: nothing uses the handle any more: the thread that reaped the transfers has ended.
            unsafe { (self.library.free)(interface.handle) };
        }
        if !state.data.is_empty() || state.pipes.iter().any(|pipe| !pipe.flights.is_empty()) {
            // The thread ended before its time: the system may still write to these.
            std::mem::forget(state);
        }
    }
}
