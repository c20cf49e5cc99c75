//! The thread of an open device: waits for transfers to end, and tells whom they are for.
//!
//! Why events, and not an I/O completion port? A port hands over one packet for each transfer, but which
//! transfers failed, and why, is only told by `WinUsb_GetOverlappedResult`; a port cannot be waited on together
//! with deadlines that move; and only the system itself can complete I/O to one, which our own winusb.dll (the
//! one that these tests run on) is not. Windows waits for 64 events at most, but transfers of one endpoint end
//! in order: so it is enough to wait for the first of each endpoint (there are at most 30), and for what was
//! cancelled. Everything that has ended by then is told in one go.

use std::time::Duration;

use isoch_core::rules::winusb;
use isoch_core::{Block, Ending, Outcome, Time};
use windows_sys::Win32::Foundation::HANDLE;

use super::operation::Operation;
use super::shared::{Buffer, DataFlight, End, Flight, Pipe, Shared, State};
use super::system::{self, MOST_EVENTS};
use super::{codes, frames};
use crate::backend::telling::Telling;
use crate::sync::Arc;
use crate::{Direction, Error};

/// How often to look, if there are more events than can be waited for.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// What is to be told, or done, without the lock.
#[derive(Default)]
struct Lists {
    telling: Telling,
    /// Pipes that nobody uses any more, and what was registered for them.
    finished_pipes: Vec<(u64, Vec<Buffer>)>,
    /// Interfaces to put back to setting 0.
    released: Vec<u8>,
    events: Vec<HANDLE>,
}

/// What the thread does until nobody uses the device.
pub(super) fn run(shared: Arc<Shared>) {
    let _ = shared.thread.set(std::thread::current().id());
    let mut lists = Lists::default();
    loop {
        let now = shared.host.now();
        let mut state = shared.lock();
        let next = shared.collect(&mut state, &mut lists, now);
        if lists.is_empty() {
            if state.closing && state.is_idle() {
                return;
            }
            state.sleeping_until = Some(next);
            let complete = lists.wait_set(&shared, &state);
            drop(state);
            let next = if complete { next } else { next.min(now + LOOK_AGAIN) };
            let at_most = (next != Time::MAX).then(|| next.since(shared.host.now()));
            system::wait_for_any(&lists.events, at_most);
            shared.lock().sleeping_until = None;
        } else {
            drop(state);
            lists.tell(&shared);
        }
    }
}

impl Shared {
    /// Takes out everything that is over. Returns when something is due by itself.
    fn collect(&self, state: &mut State, lists: &mut Lists, now: Time) -> Time {
        if state.closing {
            self.cancel_all(state);
        }
        let State { pipes, data, spare, gone, .. } = state;
        for pipe in pipes.iter_mut() {
            self.reap(pipe, spare, gone, lists, now);
        }
        self.reap_data(data, spare, gone, lists);
        let gone = *gone;
        let mut next = Time::MAX;
        for flight in data.iter_mut() {
            match flight.deadline {
                Some(deadline) if deadline <= now => {
                    flight.deadline = None;
                    flight.timed_out = !flight.cancelled;
                    flight.cancel(self);
                }
                Some(deadline) => next = next.min(deadline),
                None => {}
            }
        }
        for pipe in pipes.iter_mut() {
            if let Some(deadline) = pipe.deadline {
                if deadline <= now {
                    pipe.deadline = None;
                    lists.telling.deadline(&pipe.reports, now);
                } else {
                    next = next.min(deadline);
                }
            }
            if !pipe.flights.is_empty() {
                continue;
            }
            pipe.withdrawn = false;
            if pipe.closed {
                let buffers = pipe.buffers.drain().map(|(_, buffer)| buffer).collect();
                lists.finished_pipes.push((pipe.id, buffers));
            } else if gone && !pipe.told_gone {
                pipe.told_gone = true;
                lists.telling.gone(&pipe.reports);
            }
        }
        let busy = |interface: &u8| {
            state.pipes.iter().any(|pipe| pipe.interface.number == *interface)
                || state.data.iter().any(|flight| flight.is_on(*interface))
        };
        lists.released.extend(state.releasing.iter().copied().filter(|interface| !busy(interface)));
        next
    }

    /// Takes out what has ended on a pipe.
    fn reap(
        &self,
        pipe: &mut Pipe,
        spare: &mut Vec<Operation>,
        gone: &mut bool,
        lists: &mut Lists,
        now: Time,
    ) {
        let mut index = 0;
        while let Some(flight) = pipe.flights.get(index) {
            let end = match &flight.operation {
                Some(operation) => self.end_of(pipe.interface, operation),
                None => Some(End { bytes: 0, code: winusb::ERROR_INVALID_PARAMETER }),
            };
            match end {
                Some(End { code, .. }) => {
                    let Some(flight) = pipe.flights.remove(index) else { return };
                    *gone |= codes::is_gone(code);
                    let done = finish(pipe.direction, flight, code, now, spare);
                    if done.ending().outcome == Outcome::BadStartFrame && pipe.flights.is_empty() {
                        pipe.end = None;
                    }
                    lists.telling.isoch(&pipe.reports, done);
                }
                // Those behind it have not ended either, unless something was cancelled.
                None if pipe.withdrawn => index += 1,
                None => return,
            }
        }
    }

    fn reap_data(
        &self,
        data: &mut Vec<DataFlight>,
        spare: &mut Vec<Operation>,
        gone: &mut bool,
        lists: &mut Lists,
    ) {
        let mut index = 0;
        while let Some(flight) = data.get(index) {
            let Some(end) = self.end_of(flight.interface, &flight.operation) else {
                index += 1;
                continue;
            };
            let mut flight = data.remove(index);
            *gone |= codes::is_gone(end.code);
            spare.push(flight.operation);
            flight.data.truncate(end.bytes);
            let result = match codes::data_error(end.code) {
                _ if end.code == 0 => Ok(flight.data.len()),
                Error::Cancelled if flight.timed_out => Err(Error::TimedOut),
                error => Err(error),
            };
            lists.telling.data(flight.done, flight.data, result);
        }
    }

    /// Nobody uses the device any more: cancels what is left, once.
    fn cancel_all(&self, state: &mut State) {
        for pipe in state.pipes.iter_mut().filter(|pipe| !pipe.withdrawn && !pipe.flights.is_empty()) {
            pipe.withdrawn = true;
            self.abort(pipe.interface, pipe.endpoint);
        }
        state.data.iter_mut().for_each(|flight| flight.cancel(self));
    }
}

/// What a transfer that has ended with `code` is told as. What the system used can be used again.
fn finish(
    direction: Direction,
    mut flight: Flight,
    code: u32,
    seen: Time,
    spare: &mut Vec<Operation>,
) -> Block {
    let was_late = frames::was_late(flight.first, flight.frames, flight.submitted_in);
    let mut outcome = codes::outcome(code, was_late && direction == Direction::Out);
    match (direction, &flight.operation) {
        (Direction::In, Some(operation)) => {
            for (packet, told) in flight.block.packets_mut().iter_mut().zip(&operation.packets) {
                packet.status = codes::in_packet(told.status, outcome);
                packet.actual = told.length.min(packet.length);
            }
            outcome = codes::refined(outcome, flight.block.packets().iter().map(|packet| packet.status));
        }
        _ => {
            for packet in flight.block.packets_mut() {
                packet.status = codes::out_packet(outcome);
                packet.actual = 0;
            }
        }
    }
    spare.extend(flight.operation);
    // The frame was asked for and is not confirmed: `first` is for what the system told.
    *flight.block.ending_mut() = Ending { id: flight.id, outcome, seen, ..Ending::default() };
    flight.block
}

impl State {
    fn is_idle(&self) -> bool {
        self.data.is_empty() && self.pipes.iter().all(|pipe| pipe.flights.is_empty())
    }
}

impl Lists {
    fn is_empty(&self) -> bool {
        self.telling.is_empty() && self.finished_pipes.is_empty() && self.released.is_empty()
    }

    /// The events to wait for. They live until they are collected, which only this thread does. Returns whether
    /// all could be taken.
    fn wait_set(&mut self, shared: &Shared, state: &State) -> bool {
        self.events.clear();
        self.events.push(shared.nudge.raw());
        for pipe in &state.pipes {
            let waited_for = if pipe.withdrawn { pipe.flights.len() } else { 1 };
            let operations =
                pipe.flights.iter().take(waited_for).filter_map(|flight| flight.operation.as_ref());
            self.events.extend(operations.map(Operation::event));
        }
        for (index, flight) in state.data.iter().enumerate() {
            let is_first = !state.data[..index].iter().any(|before| before.endpoint == flight.endpoint);
            if is_first || flight.cancelled {
                self.events.push(flight.operation.event());
            }
        }
        let complete = self.events.len() <= MOST_EVENTS;
        self.events.truncate(MOST_EVENTS);
        complete
    }

    /// Tells and does everything.
    fn tell(&mut self, shared: &Shared) {
        self.telling.tell();
        for (pipe, buffers) in self.finished_pipes.drain(..) {
            shared.unregister(buffers);
            // What is dropped with it is, without the lock.
            let finished: Vec<_> = shared.lock().pipes.extract_if(.., |known| known.id == pipe).collect();
            drop(finished);
        }
        for interface in self.released.drain(..) {
            // A device that is gone, or has no setting 0, is left alone.
            if let Some(interface) = shared.interface(interface)
                && shared.lock().setting(interface.number) != 0
            {
                let _ = shared.put_setting(interface, 0);
            }
            shared.lock().releasing.retain(|known| *known != interface);
        }
        shared.freed.notify_all();
    }
}
