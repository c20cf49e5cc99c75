//! The control pipe of an interface.
//!
//! Why does each interface have one, when a device has one endpoint 0? Because WinUSB puts the interface's number into
//! requests that are for an interface, and keeps a time-out for each. The requests of all of them meet on the bus.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};

use isoch::rules::{Direction, Recipient, Setup};
use isoch::{Device, Error, PendingTransfer};

use crate::codes::NtStatus;
use crate::completion::Finish;
use crate::failure::Failure;
use crate::memory::CallerMemory;
use crate::pipes::policies::Policies;
use crate::session::Requests;
use crate::types::{OVERLAPPED, WINUSB_SETUP_PACKET};

/// Bytes of one request ("WinUsb_ControlTransfer": 4 KB).
const LARGEST_REQUEST: usize = 4096;

/// Control requests of one interface.
pub(crate) struct ControlPipe {
    me: Weak<ControlPipe>,
    device: Device,
    interface: u8,
    state: Mutex<State>,
    /// Rung when nobody is being told of the end of a request.
    quiet: Condvar,
}

struct State {
    closed: bool,
    policies: Policies,
    next: u64,
    requests: Vec<Request>,
    /// How many threads are telling the end of a request.
    telling: usize,
}

struct Request {
    number: u64,
    memory: CallerMemory,
    direction: Direction,
    finish: Finish,
    /// `None` until the bus has it.
    pending: Option<PendingTransfer>,
    cancelled: bool,
}

impl ControlPipe {
    pub(crate) fn new(device: &Device, interface: u8) -> Arc<Self> {
        Arc::new_cyclic(|me| ControlPipe {
            me: Weak::clone(me),
            device: device.clone(),
            interface,
            state: Mutex::new(State {
                closed: false,
                policies: Policies::of_control(),
                next: 0,
                requests: Vec::new(),
                telling: 0,
            }),
            quiet: Condvar::new(),
        })
    }

    /// What a program's setup packet asks of the bus, with a buffer of so many bytes.
    pub(crate) fn setup(&self, packet: WINUSB_SETUP_PACKET, buffer: usize) -> Result<Setup, Failure> {
        self.check_open()?;
        setup(packet, buffer, self.interface)
    }

    pub(crate) fn check_open(&self) -> Result<(), Failure> {
        match self.state().closed {
            true => Err(Failure::invalid_handle("the device file is closed")),
            false => Ok(()),
        }
    }

    /// Starts a request with `setup.length` bytes, which `memory` has room for.
    pub(crate) fn request(&self, setup: Setup, memory: CallerMemory, finish: Finish) {
        let Some(me) = self.me.upgrade() else { return finish.complete(NtStatus::CANCELLED, 0) };
        let direction = setup.direction();
        let mut data = vec![0; usize::from(setup.length)];
        if direction == Direction::Out {
            memory.read(0, &mut data);
        }
        let mut state = self.state();
        if state.closed {
            drop(state);
            return finish.complete(NtStatus::CANCELLED, 0);
        }
        let number = state.next;
        state.next += 1;
        let timeout = state.policies.timeout();
        state.requests.push(Request { number, memory, direction, finish, pending: None, cancelled: false });
        drop(state);
        let done = move |data: Vec<u8>, result| me.done(number, &data, result);
        let pending = self.device.start_control(setup, data, timeout, done);
        let mut state = self.state();
        let closed = state.closed;
        match state.requests.iter_mut().find(|request| request.number == number) {
            // Cancelled while it was being started.
            Some(request) if request.cancelled => {}
            Some(request) => {
                request.pending = Some(pending);
                return;
            }
            // Over already, or its file was closed meanwhile.
            None if closed => {}
            None => return,
        }
        drop(state);
        pending.cancel();
    }

    fn done(&self, number: u64, data: &[u8], result: Result<usize, Error>) {
        let mut state = self.state();
        let Some(index) = state.requests.iter().position(|request| request.number == number) else { return };
        let request = state.requests.remove(index);
        if request.direction == Direction::In {
            request.memory.write(0, data);
        }
        state.telling += 1;
        drop(state);
        let status = result.map_or_else(|error| NtStatus::of_error(&error), |_| NtStatus::SUCCESS);
        request.finish.complete(status, data.len());
        self.state().telling -= 1;
        self.quiet.notify_all();
    }

    /// AbortPipe: cancels all requests.
    pub(crate) fn abort(&self) {
        self.cancel_those(|_| true);
    }

    pub(crate) fn set_policy(&self, policy: u32, value: &[u8]) -> Result<(), Failure> {
        self.state().policies.set(policy, value)
    }

    pub(crate) fn policy(&self, policy: u32) -> Result<([u8; 4], usize), Failure> {
        self.state().policies.get(policy)
    }

    /// They are as at first: for a new handle of the interface.
    pub(crate) fn forget_policies(&self) {
        self.state().policies = Policies::of_control();
    }

    fn cancel_those(&self, concerned: impl Fn(&Finish) -> bool) -> bool {
        let mut found = false;
        let mut pending = Vec::new();
        for request in self.state().requests.iter_mut().filter(|request| concerned(&request.finish)) {
            found = true;
            request.cancelled = true;
            pending.extend(request.pending.clone());
        }
        // Newest first: none of them begins because another ended.
        pending.iter().rev().for_each(PendingTransfer::cancel);
        found
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Requests for ControlPipe {
    fn cancel(&self, overlapped: *mut OVERLAPPED) -> bool {
        self.cancel_those(|finish| finish.is_of(overlapped))
    }

    fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let requests = std::mem::take(&mut state.requests);
        drop(state);
        for request in requests.into_iter().rev() {
            request.finish.complete(NtStatus::CANCELLED, 0);
            request.pending.iter().for_each(PendingTransfer::cancel);
        }
        let state = self.quiet.wait_while(self.state(), |state| state.telling > 0);
        drop(state.unwrap_or_else(PoisonError::into_inner));
    }
}

/// The rules of WinUsb_ControlTransfer.
fn setup(packet: WINUSB_SETUP_PACKET, buffer: usize, interface: u8) -> Result<Setup, Failure> {
    // What the smaller of both says: seen in programs, which mostly pass equal ones.
    let length = usize::from(packet.Length).min(buffer);
    if length > LARGEST_REQUEST {
        let reason = format!("{length} bytes in one control transfer: WinUSB allows 4096, so split the data");
        return Err(Failure::argument(reason));
    }
    let mut setup = Setup {
        request_type: packet.RequestType,
        request: packet.Request,
        value: packet.Value,
        index: packet.Index,
        length: u16::try_from(length).unwrap_or(u16::MAX),
    };
    if setup.recipient() == Recipient::Interface {
        // Documented as "need not be set"; a program's own value is overwritten.
        setup.index = setup.index & 0xff00 | u16::from(interface);
    }
    Ok(setup)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::win32;

    fn packet(request_type: u8, index: u16, length: u16) -> WINUSB_SETUP_PACKET {
        WINUSB_SETUP_PACKET { RequestType: request_type, Request: 1, Value: 2, Index: index, Length: length }
    }

    #[test]
    fn a_request_for_an_interface_goes_to_this_one() {
        for (request_type, index) in
            [(0x01, 0x1203), (0x21, 0x1203), (0xc1, 0x1203), (0x80, 0x12ff), (0x82, 0x12ff)]
        {
            assert_eq!(
                setup(packet(request_type, 0x12ff, 0), 0, 3).unwrap().index,
                index,
                "{request_type:#x}"
            );
        }
    }

    #[test]
    fn the_smaller_length_counts_up_to_4096() {
        let length = |length, buffer| setup(packet(0x80, 0, length), buffer, 0).map(|setup| setup.length);
        assert_eq!(length(18, 64).unwrap(), 18);
        assert_eq!(length(64, 18).unwrap(), 18);
        assert_eq!(length(0xffff, 4096).unwrap(), 4096);
        assert_eq!(length(4096, usize::MAX).unwrap(), 4096);
        assert_eq!(length(4097, 4097).unwrap_err().code, win32::INVALID_PARAMETER);
    }
}
