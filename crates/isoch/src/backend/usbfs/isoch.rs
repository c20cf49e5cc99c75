//! Isochronous endpoints through usbfs.
#![allow(unsafe_code)]

use isoch_core::ledger::Continuity;
use isoch_core::{Block, Outcome, Packet, PacketStatus, Pieces, Start, Time};
use rustix::io::Errno;

use super::closing::Closing;
use super::codes;
use super::device::Session;
use super::memory::MOST_COPIED;
use super::node::Submitted;
use super::shared::{Deadline, Flight, Pipe, Request, Shared, State};
use super::split::{self, Limits};
use super::urb::{IsoPacket, Owner, Spare, TYPE_ISO, Urb};
use crate::bus::{HandedOver, IsochPort};
use crate::sync::{Arc, AtomicBool, Ordering};
use crate::{Direction, Error};

pub(super) struct UsbfsPort {
    pub(super) session: Arc<Session>,
    pub(super) pipe: u64,
    /// As [`Pipe::stale`].
    pub(super) stale: Arc<AtomicBool>,
}

impl UsbfsPort {
    fn shared(&self) -> &Arc<Shared> {
        self.session.shared()
    }
}

impl IsochPort for UsbfsPort {
    fn check(&self, _packets: &[Packet]) -> Result<(), Error> {
        if self.stale.load(Ordering::Relaxed) { Err(Error::SettingChanged) } else { Ok(()) }
    }

    fn may_slide(&self) -> bool {
        self.shared().facts.follows_within.is_some()
    }

    fn submit(&self, id: u64, block: Block, _start: Start) -> Result<HandedOver, (Block, Error)> {
        let shared = self.shared();
        let mut guard = shared.lock();
        let state = &mut *guard;
        let now = shared.now();
        let last = shared.last_request(state, self.pipe, now);
        let State { pipes, spare, early, gone, witness, .. } = state;
        let Some(pipe) = pipes.iter_mut().find(|pipe| pipe.id == self.pipe && !*gone) else {
            return Err((block, Error::Gone));
        };
        if pipe.is_stale() {
            return Err((block, Error::SettingChanged));
        }
        if let (Last::None, Some(witness)) = (last, witness) {
            witness.begin(pipe.endpoint);
        }
        let mut flight = Flight {
            id,
            block,
            pending: 0,
            number: None,
            cancelled: false,
            outcome: Outcome::Completed,
            carried: Some(0),
        };
        let code = match shared.submit_all(pipe, &mut flight, spare, now) {
            Ok(()) => None,
            Err(code) if flight.pending == 0 => return Err((flight.block, codes::refusal(code))),
            // A part of it is on its way: it comes back, and with it the reason.
            Err(code) => Some(code),
        };
        pipe.flights.push_back(flight);
        early.reserve(pipe.requests.len());
        if let Some(code) = code {
            let taken = pipe.requests.iter().filter(|request| request.flight == id);
            let taken = taken.map(|request| request.packets as usize).sum();
            if let Some(flight) = pipe.flights.back_mut() {
                flight.outcome = codes::outcome(-code.raw_os_error(), false);
                // The rest will not be told of, and the block may carry results of the transfer before.
                let rest = flight.block.packets_mut().iter_mut().skip(taken);
                rest.for_each(|packet| (packet.actual, packet.status) = (0, PacketStatus::Cancelled));
            }
            pipe.discard(&shared.node, |flight| flight == id);
        }
        let continuity = shared.continuity(state, self.pipe, last);
        if !state.early.is_empty() {
            shared.wake_before(state, Time::ZERO);
        }
        Ok(HandedOver { continuity: Some(continuity), at: Some(now), ..HandedOver::default() })
    }

    fn cancel(&self, id: u64) {
        let shared = self.shared();
        if let Some(pipe) = shared.lock().pipe(self.pipe) {
            pipe.discard(&shared.node, |flight| flight == id);
        }
    }

    fn abort(&self) {
        let shared = self.shared();
        if let Some(pipe) = shared.lock().pipe(self.pipe) {
            pipe.discard(&shared.node, |_| true);
        }
    }

    fn wake_at(&self, deadline: Time, sharp: bool) {
        let shared = self.shared();
        let mut state = shared.lock();
        let deadline = Deadline { at: deadline, sharp };
        if let Some(pipe) = state.pipe(self.pipe) {
            pipe.deadline = Some(deadline);
        }
        shared.wake_before(&state, deadline.wake_up());
    }
}

impl Drop for UsbfsPort {
    fn drop(&mut self) {
        let shared = self.shared();
        let mut state = shared.lock();
        if let Some(pipe) = state.pipe(self.pipe) {
            pipe.closed = true;
            let kept = pipe.reports.upgrade().filter(|_| !pipe.flights.is_empty());
            pipe.kept = kept.map(|kept| (kept, Closing::begin(shared)));
            pipe.deadline = None;
            pipe.discard(&shared.node, |_| true);
        }
        shared.wake_before(&state, Time::ZERO);
    }
}

/// The end of what the kernel had of an endpoint before a transfer.
#[derive(Clone, Copy)]
enum Last {
    /// It had nothing: a new stream begins.
    None,
    /// It ends so late that what is submitted now surely follows.
    Far,
    /// It may end any moment.
    Near(Submitted),
}

impl Shared {
    /// What the kernel has of an endpoint before something is submitted. If that is about to end, everything that is
    /// over is taken back first.
    fn last_request(&self, state: &mut State, pipe: u64, now: Time) -> Last {
        let margin = 1_000_000 * self.facts.follows_within.unwrap_or(2);
        match state.pipe(pipe) {
            Some(pipe) if pipe.requests.is_empty() => return Last::None,
            Some(pipe) if pipe.due.lasts(margin, now) => return Last::Far,
            _ => self.reap_early(state),
        }
        if let Some(pipe) = state.pipe(pipe)
            && let Some(first) = pipe.requests.front()
        {
            let length = pipe.interval * u64::from(first.packets);
            pipe.due.is_under_way(length, now);
            if pipe.due.lasts(margin, now) {
                return Last::Far;
            }
        }
        match state.pipe(pipe).and_then(|pipe| pipe.requests.back()) {
            Some(request) => Last::Near(request.submitted),
            None => Last::None,
        }
    }

    /// Whether what was just submitted follows `last`: surely so if that is not over even now. This is how a queue that
    /// ran dry is found out for certain, where the driver goes by that; nothing else tells.
    fn continuity(&self, state: &mut State, pipe: u64, last: Last) -> Continuity {
        match last {
            Last::None => Continuity::Broken,
            Last::Far => Continuity::Unbroken,
            Last::Near(_) if self.facts.follows_within.is_some() => Continuity::Doubtful,
            Last::Near(submitted) => {
                self.reap_early(state);
                let mut requests = state.pipe(pipe).into_iter().flat_map(|pipe| &pipe.requests);
                match requests.any(|request| request.submitted == submitted) {
                    true => Continuity::Unbroken,
                    // It ended while the other was submitted.
                    false => Continuity::Doubtful,
                }
            }
        }
    }

    /// Takes back what is over; it is told by whoever handles events.
    fn reap_early(&self, state: &mut State) {
        while let Ok(Some(urb)) = self.node.reap() {
            let seen = self.now();
            state.unlist(&urb, seen);
            state.early.push_back((urb, seen));
        }
    }

    /// Gives the kernel all of a transfer. On an error, what `pending` says has been given.
    fn submit_all(
        &self,
        pipe: &mut Pipe,
        flight: &mut Flight,
        spare: &mut Spare,
        now: Time,
    ) -> Result<(), Errno> {
        let limits = limits(flight.block.pieces(), self.node.id(), pipe.packets_per_frame);
        let total = flight.block.packets().len();
        let mut from = 0;
        while from < total {
            let count = split::next(&flight.block.packets()[from..], limits);
            let mut urb = spare.take();
            let owner = Owner::Isoch { pipe: pipe.id, flight: flight.id, first_packet: from as u32 };
            urb.prepare(TYPE_ISO, pipe.endpoint, owner);
            fill(&mut urb, &mut flight.block, from..from + count, limits);
            // SAFETY: the buffer is in the block, which stays in the list of flights until all its requests are
            // reaped, or in the request itself.
            match unsafe { self.node.submit(urb) } {
                Ok(submitted) => {
                    pipe.requests.push_back(Request { submitted, flight: flight.id, packets: count as u32 });
                    pipe.due.submitted(pipe.interval * count as u64, now);
                    flight.pending += 1;
                }
                Err((urb, code)) => {
                    spare.put(urb);
                    return Err(code);
                }
            }
            from += count;
        }
        Ok(())
    }
}

/// What limits requests of this memory to the node with this number. What is not mapped through that is copied.
fn limits(Pieces { bytes, fixed }: Pieces, node: u64, packets_per_frame: usize) -> Limits {
    let areas = fixed == Some(node);
    Limits { bytes: if areas { bytes } else { bytes.min(MOST_COPIED) }, areas, packets_per_frame }
}

/// `-EXDEV`.
const NOT_RUN: u32 = (-Errno::XDEV.raw_os_error()).cast_unsigned();

/// Puts packets of a block into a request.
fn fill(urb: &mut Urb, block: &mut Block, which: std::ops::Range<usize>, limits: Limits) {
    let direction = Direction::of_endpoint(urb.raw.endpoint);
    let (bytes, packets) = block.parts_mut();
    let packets = &packets[which];
    let begin = packets.first().map_or(0, |packet| packet.offset);
    // Where the next packet lies, if they lie one directly behind the other, as usbfs takes them; and whether one lies
    // elsewhere.
    let (mut next, mut elsewhere) = (begin, 0);
    for (packet, raw) in packets.iter().zip(&mut urb.raw.packets) {
        elsewhere |= packet.offset ^ next;
        next = next.wrapping_add(packet.length);
        // The status is what usbcore sets; a kernel that gives a request back before it has run leaves it.
        *raw = IsoPacket { length: packet.length, actual_length: 0, status: NOT_RUN };
    }
    let (begin, length) = (begin as usize, next.wrapping_sub(begin) as usize);
    let end = begin + length;
    let in_one_area = !limits.areas
        || end <= limits.bytes
        || length == 0
        || begin / limits.bytes == (end - 1) / limits.bytes;
    let is_one_run = elsewhere == 0 || length == 0;
    if is_one_run && in_one_area && begin + length <= bytes.len() {
        urb.raw.buffer = bytes[begin..].as_mut_ptr().cast();
    } else {
        urb.staged = true;
        urb.staging.clear();
        match direction {
            Direction::Out => packets.iter().for_each(|packet| {
                urb.staging.extend_from_slice(&bytes[range(packet)]);
            }),
            Direction::In => urb.staging.resize(length, 0),
        }
        urb.raw.buffer = urb.staging.as_mut_ptr().cast();
    }
    urb.raw.number_of_packets = packets.len() as i32;
    urb.raw.buffer_length = i32::try_from(length).unwrap_or(i32::MAX);
}

fn range(packet: &Packet) -> std::ops::Range<usize> {
    let begin = packet.offset as usize;
    begin..begin + packet.length as usize
}

/// Takes a request's results into its block.
pub(super) fn take_results(urb: &Urb, flight: &mut Flight, first_packet: u32, empty_is_unknown: bool) {
    let direction = Direction::of_endpoint(urb.raw.endpoint);
    let outcome = codes::outcome(urb.raw.status, flight.cancelled);
    let view = codes::PacketView { ran: outcome == Outcome::Completed, empty_is_unknown };
    let packets = flight.block.packets_mut().get_mut(first_packet as usize..).unwrap_or_default();
    let told = packets.iter_mut().zip(urb.packets());
    let (mut bytes, mut trouble) = (0_u64, 0);
    match direction {
        Direction::Out => {
            bytes = u64::from(urb.raw.buffer_length.unsigned_abs());
            told.for_each(|(packet, told)| {
                codes::sent(packet, told, view);
                trouble |= told.status;
            });
        }
        Direction::In => told.for_each(|(packet, told)| {
            codes::received(packet, told, view);
            trouble |= told.status;
            bytes += u64::from(packet.actual);
        }),
    }
    flight.carried = flight.carried.filter(|_| trouble == 0).map(|before| before + bytes);
    if urb.staged && direction == Direction::In {
        scatter(urb, &mut flight.block, first_packet as usize);
    }
    // The first thing that went wrong is why.
    if flight.outcome == Outcome::Completed {
        flight.outcome = outcome;
    }
}

/// Brings what arrived to where it belongs in the block.
fn scatter(urb: &Urb, block: &mut Block, first_packet: usize) {
    let (bytes, packets) = block.parts_mut();
    let mut from = 0;
    for packet in packets.iter().skip(first_packet).take(urb.packets().len()) {
        if let Some(arrived) = urb.staging.get(from..from + packet.actual as usize) {
            let at = packet.offset as usize;
            bytes[at..at + arrived.len()].copy_from_slice(arrived);
        }
        from += packet.length as usize;
    }
}

impl Flight {
    /// How it ended, once nothing of it is pending.
    pub(super) fn end(&self) -> Outcome {
        let served = |packet: &Packet| packet.status != PacketStatus::Cancelled;
        match self.outcome {
            // It was faster.
            Outcome::Cancelled if self.block.packets().iter().all(served) => Outcome::Completed,
            outcome => outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_mapped_elsewhere_is_copied() {
        let seen = |fixed, node| {
            let limits = limits(Pieces { bytes: 1 << 20, fixed }, node, 8);
            (limits.bytes, limits.areas)
        };
        assert_eq!(seen(Some(7), 7), (1 << 20, true));
        assert_eq!(seen(Some(7), 8), (MOST_COPIED, false));
        assert_eq!(seen(None, 7), (MOST_COPIED, false));
        let little = limits(Pieces { bytes: 4096, fixed: Some(7) }, 8, 1);
        assert_eq!((little.bytes, little.areas), (4096, false));
    }
}
