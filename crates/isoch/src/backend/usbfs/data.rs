//! Control, bulk and interrupt transfers through usbfs.
//!
//! Why in pieces? A request's memory is one piece of the kernel's, or a list of pages where the controller takes
//! one; and it counts against a budget that isochronous streams need. So a long transfer is carried by one request
//! after the other, and ends with the first that is short, as the transfer would.
#![allow(unsafe_code)]

use isoch_core::Time;
use isoch_core::rules::descriptors::TransferType;
use rustix::io::Errno;

use super::budget::{self, Charge};
use super::memory::MOST_COPIED;
use super::node::capability;
use super::shared::{DataFlight, Shared, State};
use super::urb::{Owner, Spare, TYPE_BULK, TYPE_CONTROL, TYPE_INTERRUPT, Urb};
use super::{codes, events};
use crate::Error;
use crate::backend::refusals;
use crate::bus::{DataReport, DataRequest, DataTarget};
use crate::sync::Arc;

/// USB 2.0 §9.3: the bytes of a setup packet.
const SETUP: usize = 8;
/// USB 2.0 §9.3.1: in `bmRequestType`, whom a request is for; an interface, whose number is in `wIndex`.
const RECIPIENT: u8 = 0x1f;
const TO_INTERFACE: u8 = 1;
/// The most bytes in a request where the controller takes a list of pages.
const MOST_SCATTERED: usize = 1 << 20;

/// Starts a transfer. Its end is told to `done`, exactly once.
pub(super) fn submit(shared: &Arc<Shared>, request: DataRequest, done: Arc<dyn DataReport>) {
    if let DataTarget::Control(setup) = request.target
        && setup.is_clear_halt()
    {
        // The host's side has a state of its own, which only this call clears. It waits for the device, up to five
        // seconds; nothing else does, and that is said where it is offered.
        let endpoint = setup.index as u8;
        let cleared = shared.node.clear_halt(endpoint);
        let cleared = cleared.map_err(|code| codes::clear_halt_error(code, endpoint));
        return done.done(Vec::new(), cleared.map(|()| 0));
    }
    if let Err(error) = begin(shared, request, &done) {
        done.done(Vec::new(), Err(error));
    }
}

fn begin(shared: &Shared, request: DataRequest, done: &Arc<dyn DataReport>) -> Result<(), Error> {
    let mut state = shared.lock();
    if state.gone {
        return Err(Error::Gone);
    }
    let token = state.id();
    let deadline = request.timeout.map(|timeout| shared.now() + timeout);
    let mut data = request.data;
    let (kind, endpoint, interface, packet) = match request.target {
        DataTarget::Control(setup) => {
            let (value, index, length) =
                (setup.value.to_le_bytes(), setup.index.to_le_bytes(), setup.length.to_le_bytes());
            let packet = [setup.request_type, setup.request]
                .into_iter()
                .chain(value.into_iter().chain(index).chain(length));
            data.splice(0..0, packet);
            if setup.request_type & RECIPIENT == TO_INTERFACE {
                state.check_usable(setup.index as u8)?;
            }
            (TYPE_CONTROL, 0, None, 1)
        }
        DataTarget::Endpoint(endpoint) => {
            let found = shared.kind_of(&state, endpoint);
            let (interface, kind, packet) = found.ok_or_else(|| refusals::not_in_force(endpoint))?;
            state.check_usable(interface)?;
            (kind, endpoint, Some(interface), packet)
        }
    };
    let charge = Charge::new(budget::cost(data.len().min(MOST_SCATTERED), 0, 1, 0));
    let mut flight = DataFlight {
        token,
        submitted: None,
        data,
        header: if kind == TYPE_CONTROL { SETUP } else { 0 },
        moved: 0,
        asked: 0,
        most: most_bytes(kind, packet, shared.capabilities),
        kind,
        endpoint,
        interface,
        done: Arc::clone(done),
        deadline,
        timed_out: false,
        cancelled: false,
        _charge: charge,
    };
    shared.submit_next(&mut flight, &mut state.spare).map_err(codes::refusal)?;
    state.data.push(flight);
    shared.wake_before(&state, deadline.unwrap_or(Time::MAX));
    Ok(())
}

/// Cancels whatever was submitted with this `done`.
pub(super) fn cancel(shared: &Shared, done: &Arc<dyn DataReport>) {
    let mut state = shared.lock();
    if let Some(flight) = state.data.iter_mut().find(|flight| Arc::ptr_eq(&flight.done, done)) {
        flight.cancel(&shared.node);
    }
}

impl Shared {
    /// The interface that has a bulk or interrupt endpoint in the setting in force, which kind that is, and how long
    /// its packets are.
    fn kind_of(&self, state: &State, endpoint: u8) -> Option<(u8, u8, usize)> {
        self.configuration.interfaces.iter().find_map(|interface| {
            let setting = interface.alternate(state.setting(interface.number))?;
            let found = setting.endpoint(endpoint)?;
            let kind = match found.transfer_type() {
                TransferType::Bulk => TYPE_BULK,
                TransferType::Interrupt => TYPE_INTERRUPT,
                _ => return None,
            };
            // USB 2.0 §9.6.6: the bits above say how many there are in a microframe.
            Some((interface.number, kind, usize::from(found.max_packet_size & 0x7ff)))
        })
    }

    /// Gives the kernel the next piece of a transfer.
    fn submit_next(&self, flight: &mut DataFlight, spare: &mut Spare) -> Result<(), Errno> {
        let left = &mut flight.data[flight.moved..];
        let length = left.len().min(flight.most);
        let buffer_length = i32::try_from(length).map_err(|_| Errno::INVAL)?;
        let mut urb = spare.take();
        urb.prepare(flight.kind, flight.endpoint, Owner::Data { token: flight.token });
        urb.raw.buffer = left.as_mut_ptr().cast();
        urb.raw.buffer_length = buffer_length;
        flight.asked = length - flight.header;
        // SAFETY: the data stays in the list of flights until the request is reaped; moving the vector does not
        // move its bytes.
        match unsafe { self.node.submit(urb) } {
            Ok(submitted) => {
                flight.submitted = Some(submitted);
                Ok(())
            }
            Err((urb, code)) => {
                spare.put(urb);
                Err(code)
            }
        }
    }

    /// A request of a transfer is over: goes on with the next, or ends it.
    pub(super) fn data_over(&self, state: &mut State, token: u64, urb: &Urb, lists: &mut events::Lists) {
        let Some(index) = state.data.iter().position(|flight| flight.token == token) else { return };
        let State { data, spare, gone, .. } = state;
        let flight = &mut data[index];
        flight.submitted = None;
        let moved = usize::try_from(urb.raw.actual_length).unwrap_or(0).min(flight.asked);
        flight.moved += moved;
        let mut status = codes::errno(urb.raw.status);
        let is_well = urb.raw.status == 0;
        let total = flight.data.len() - flight.header;
        if is_well && moved == flight.asked && flight.moved < total && !flight.cancelled {
            match self.submit_next(flight, spare) {
                Ok(()) => return,
                Err(code) => status = code,
            }
        } else if is_well {
            return finish(data.remove(index), None, lists);
        }
        *gone |= codes::is_gone(status);
        finish(data.remove(index), Some(status), lists);
    }
}

/// The most bytes in a request: whole packets, because a shorter one would end the transfer.
fn most_bytes(kind: u8, packet: usize, capabilities: u32) -> usize {
    let most = match kind {
        // A control transfer is one request.
        TYPE_CONTROL => return usize::MAX,
        TYPE_BULK if capabilities & capability::BULK_SCATTER_GATHER != 0 => MOST_SCATTERED,
        _ => MOST_COPIED,
    };
    most - most % packet.max(1)
}

fn finish(mut flight: DataFlight, failed: Option<Errno>, lists: &mut events::Lists) {
    flight.data.truncate(flight.header + flight.moved);
    flight.data.drain(..flight.header);
    let result = match failed {
        None => Ok(flight.moved),
        Some(code) => Err(match codes::data_error(code) {
            Error::Cancelled if flight.timed_out => Error::TimedOut,
            // Nobody asked for it: the system went to sleep, or the interface was taken away.
            Error::Cancelled if !flight.cancelled => Error::Bus(code.raw_os_error()),
            error => error,
        }),
    };
    lists.told(flight.done, flight.data, result);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_whole_packets() {
        assert_eq!(most_bytes(TYPE_CONTROL, 64, 0), usize::MAX);
        assert_eq!(most_bytes(TYPE_BULK, 512, 0), MOST_COPIED);
        assert_eq!(most_bytes(TYPE_BULK, 512, capability::BULK_SCATTER_GATHER), MOST_SCATTERED);
        // Of a slow mouse, and of descriptors that make no sense.
        for packet in [1, 3, 7, 60, 1023, 0x7ff, 0] {
            let most = most_bytes(TYPE_INTERRUPT, packet, 0);
            assert!(
                most > MOST_COPIED / 2 && most <= MOST_COPIED && most.is_multiple_of(packet.max(1)),
                "{packet}"
            );
        }
    }
}
