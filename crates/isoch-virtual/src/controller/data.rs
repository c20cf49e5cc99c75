//! Bulk and interrupt transfers.
//!
//! Why so plain? They are here because devices have them beside their isochronous endpoints (a MIDI port, a
//! volume knob), not to measure them. A bulk endpoint is tried in every microframe (full speed: frame) with as
//! many packets as fit an empty bus (USB 2.0 §5.8.4), an interrupt endpoint once per interval. A device
//! whose endpoints all answered with NAK, and that cannot answer otherwise until the host does something, is left
//! in peace until then: nobody could see the difference, except that time can stand still.

use std::collections::VecDeque;

use isoch_core::rules::{Direction, Speed};

use super::pipe::align;
use super::walk::{Endpoint, Kind};
use super::{Controller, DataDone, DataError, Event, PortId};
use crate::device::{BulkIn, BulkOut, BusTime, Device};

#[derive(Debug)]
struct Transfer {
    token: u64,
    data: Vec<u8>,
    transferred: usize,
}

/// A bulk or interrupt endpoint of a current setting.
#[derive(Debug)]
pub(super) struct DataEndpoint {
    endpoint: Endpoint,
    /// How many packets it may carry in one slot.
    packets: u32,
    pub(super) halted: bool,
    /// Its last answer was NAK, and nothing that could change that has happened since.
    resting: bool,
    queue: VecDeque<Transfer>,
}

impl DataEndpoint {
    pub(super) fn new(speed: Speed, endpoint: Endpoint) -> Self {
        let packets = match (endpoint.kind, speed) {
            (Kind::Bulk, Speed::Low | Speed::Full) => 19,
            (Kind::Bulk, Speed::High) => 13,
            (Kind::Bulk, Speed::Super | Speed::SuperPlus) => 48,
            _ => endpoint.payload.checked_div(endpoint.max_packet).unwrap_or(1).max(1),
        };
        DataEndpoint { endpoint, packets, halted: false, resting: false, queue: VecDeque::new() }
    }

    pub(super) fn address(&self) -> u8 {
        self.endpoint.address
    }

    pub(super) fn stir(&mut self) {
        self.resting = false;
    }

    /// Whether trying it would be in vain.
    pub(super) fn rests(&self) -> bool {
        self.resting || !self.is_pending()
    }

    pub(super) fn is_pending(&self) -> bool {
        !self.queue.is_empty()
    }

    /// When something may have ended here, if nothing more is submitted.
    fn next_done(&self, now: u64) -> u64 {
        match self.queue.is_empty() {
            true => u64::MAX,
            false => align(now, self.endpoint.period) + self.endpoint.period.min(8),
        }
    }

    /// Ends the first transfer.
    fn finish_first(&mut self, port: PortId, seen: u64, result: Result<(), DataError>) -> Option<Event> {
        let Transfer { token, data, transferred } = self.queue.pop_front()?;
        Some(Event::Data(DataDone { port, endpoint: self.address(), token, data, transferred, result, seen }))
    }

    /// One packet of the first transfer. `None`: not now; else whether that ended it.
    fn packet(&mut self, device: &mut dyn Device, now: BusTime) -> Option<Result<bool, DataError>> {
        let size = self.endpoint.max_packet as usize;
        let transfer = self.queue.front_mut()?;
        let end = transfer.data.len().min(transfer.transferred + size);
        let part = &mut transfer.data[transfer.transferred..end];
        let length = part.len();
        let moved = match self.endpoint.direction() {
            Direction::Out => match device.bulk_out(self.endpoint.address, part, now) {
                BulkOut::Ack => length,
                BulkOut::Nak => return None,
                BulkOut::Stall => return Some(Err(DataError::Stall)),
            },
            Direction::In => match device.bulk_in(self.endpoint.address, part, now) {
                BulkIn::Data(moved) if moved > length => return Some(Err(DataError::Babble)),
                BulkIn::Data(moved) => moved,
                BulkIn::Nak => return None,
                BulkIn::Stall => return Some(Err(DataError::Stall)),
            },
        };
        transfer.transferred += moved;
        // A short packet ends a transfer (USB 2.0 §5.8.3), and so does its last byte.
        Some(Ok(moved < size || transfer.transferred == transfer.data.len()))
    }
}

impl Controller {
    /// Queues a bulk or interrupt transfer: OUT: the bytes to send, none for one empty packet; IN: as many
    /// bytes of room as `data` has.
    ///
    /// # Errors
    /// If the device is gone, has no such endpoint now, or the endpoint is halted.
    pub fn submit_data(
        &mut self,
        port: PortId,
        endpoint: u8,
        token: u64,
        data: Vec<u8>,
    ) -> Result<(), DataError> {
        let port = self.port_mut(port).ok_or(DataError::Gone)?;
        let endpoint = port.data_endpoint(endpoint).ok_or(DataError::NoSuchEndpoint)?;
        if endpoint.halted {
            return Err(DataError::Stall);
        }
        endpoint.resting = false;
        endpoint.queue.push_back(Transfer { token, data, transferred: 0 });
        self.pending_data += 1;
        Ok(())
    }

    /// Cancels the first bulk or interrupt transfer of this name; its bytes so far count. One that has ended and
    /// was not told yet is told now, as it ended. Returns whether one was cancelled.
    pub fn cancel_data(&mut self, port: PortId, token: u64, events: &mut Vec<Event>) -> bool {
        let (now, id) = (self.now, port);
        for endpoint in self.port_mut(port).into_iter().flat_map(|port| &mut port.data) {
            let Some(index) = endpoint.queue.iter().position(|transfer| transfer.token == token) else {
                continue;
            };
            if let Some(Transfer { token, data, transferred }) = endpoint.queue.remove(index) {
                // The next may ask for another length.
                endpoint.resting = false;
                let (endpoint, result) = (endpoint.address(), Err(DataError::Cancelled));
                let done = DataDone { port: id, endpoint, token, data, transferred, result, seen: now };
                events.push(Event::Data(done));
                self.pending_data -= 1;
                return true;
            }
        }
        self.hand_over(
            events,
            |event| matches!(event, Event::Data(done) if done.port == port && done.token == token),
        );
        false
    }

    /// The first microframe at whose beginning a bulk or interrupt transfer may have ended.
    pub(super) fn next_data_done(&self) -> u64 {
        if self.pending_data == 0 {
            return u64::MAX;
        }
        let ports = self.live.iter().map(|index| &self.ports[*index]);
        ports
            .filter(|port| !port.rests())
            .flat_map(|port| &port.data)
            .map(|endpoint| endpoint.next_done(self.now))
            .min()
            .unwrap_or(u64::MAX)
    }

    /// Tries every bulk and interrupt endpoint with work whose slot lies in these microframes.
    pub(super) fn serve_data(&mut self, from: u64, to: u64) {
        for position in 0..self.live.len() {
            let index = self.live[position];
            let id = PortId(index as u32);
            if self.ports[index].rests() {
                continue;
            }
            for number in 0..self.ports[index].data.len() {
                let port = &mut self.ports[index];
                let (Some(device), Some(endpoint)) = (port.device.as_mut(), port.data.get_mut(number)) else {
                    continue;
                };
                let period = endpoint.endpoint.period;
                let slot = align(from, period);
                if slot >= to || !endpoint.is_pending() {
                    continue;
                }
                let address = endpoint.address();
                let mut done = Vec::new();
                let seen = slot + period.min(8);
                let mut moved = false;
                for _ in 0..endpoint.packets {
                    match endpoint.packet(device.as_mut(), BusTime { microframe: slot }) {
                        None => {
                            endpoint.resting = endpoint.is_pending() && !device.changes_by_itself();
                            break;
                        }
                        Some(Ok(false)) => {}
                        Some(Ok(true)) => done.extend(endpoint.finish_first(id, seen, Ok(()))),
                        Some(Err(error)) => {
                            done.extend(endpoint.finish_first(id, seen, Err(error)));
                            endpoint.halted |= error == DataError::Stall;
                            // A halted endpoint serves nothing until the host clears the halt.
                            while endpoint.halted && endpoint.is_pending() {
                                done.extend(endpoint.finish_first(id, seen, Err(error)));
                            }
                            break;
                        }
                    }
                    moved = true;
                }
                if moved {
                    // Others may be answered now that were not before.
                    for other in port.data.iter_mut().filter(|other| other.address() != address) {
                        other.stir();
                    }
                }
                self.pending_data -= done.len();
                for event in done {
                    self.tell(index, Some(address), event, seen + self.profile.completion_delay);
                }
            }
        }
    }

    /// Ends all bulk and interrupt transfers of a port.
    pub(super) fn end_data(&mut self, port: PortId, error: DataError, events: &mut Vec<Event>) {
        let now = self.now;
        let Some(entry) = self.port_mut(port) else { return };
        let before = events.len();
        for endpoint in &mut entry.data {
            while let Some(event) = endpoint.finish_first(port, now, Err(error)) {
                events.push(event);
            }
        }
        self.pending_data -= events.len() - before;
    }
}
