//! Completion ports.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use isoch::EmulatedTime;

use super::objects::key;
use crate::codes::{NtStatus, win32};
use crate::failure::Failure;
use crate::time;
use crate::waits::{self, Dispatcher, Wanted};

/// One entry of a completion port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet {
    pub(crate) key: usize,
    /// Address of the OVERLAPPED, only ever given back.
    pub(crate) overlapped: usize,
    pub(crate) status: NtStatus,
    pub(crate) bytes: usize,
}

/// A queue of completions that threads wait for.
#[derive(Default)]
pub(crate) struct Port {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    packets: VecDeque<Packet>,
    closed: bool,
}

impl Port {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn post(&self, packet: Packet) {
        let dispatcher = Dispatcher::lock();
        self.post_locked(&dispatcher, packet);
    }

    pub(super) fn post_locked(&self, dispatcher: &Dispatcher, packet: Packet) {
        let mut state = self.state();
        // A file stays bound to a port that is closed: nobody could ever take it.
        if !state.closed {
            state.packets.push_back(packet);
        }
        drop(state);
        dispatcher.wake(key(self));
    }

    pub(super) fn has_packets(&self) -> bool {
        !self.state().packets.is_empty()
    }

    pub(super) fn close(&self) {
        let dispatcher = Dispatcher::lock();
        self.state().closed = true;
        dispatcher.wake(key(self));
    }

    /// Takes up to `most` packets, waiting for the first. None at all: timed out.
    pub(crate) fn take(&self, most: usize, milliseconds: u32) -> Result<Vec<Packet>, Failure> {
        match waits::wait(&Packets { port: self, most }, milliseconds) {
            Some(Ok(packets)) => Ok(packets),
            Some(Err(Closed)) => Err(Failure::new(
                win32::ABANDONED_WAIT_0,
                "the completion port was closed while this thread waited",
            )),
            None => Ok(Vec::new()),
        }
    }
}

struct Packets<'a> {
    port: &'a Port,
    most: usize,
}

struct Closed;

impl Wanted for Packets<'_> {
    type Got = Result<Vec<Packet>, Closed>;

    fn keys(&self) -> Vec<usize> {
        vec![key(self.port)]
    }

    fn clocks(&self) -> Vec<EmulatedTime> {
        time::emulated()
    }

    fn is_ready(&self) -> bool {
        let state = self.port.state();
        state.closed || !state.packets.is_empty()
    }

    fn take(&self) -> Option<Self::Got> {
        let mut state = self.port.state();
        if state.packets.is_empty() {
            return state.closed.then_some(Err(Closed));
        }
        let most = self.most.min(state.packets.len());
        Some(Ok(state.packets.drain(..most).collect()))
    }
}
