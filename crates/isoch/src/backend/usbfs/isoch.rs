//! Isochronous endpoints through usbfs.
#![allow(unsafe_code)]

use std::ops::Range;

use isoch_core::ledger::Continuity;
use isoch_core::{Block, Ending, Outcome, Packet, PacketStatus, Pieces, Start, Time};
use rustix::io::Errno;

use super::closing::Closing;
use super::codes;
use super::device::Session;
use super::interfaces::Standing;
use super::memory::MOST_COPIED;
use super::node::Submitted;
use super::shared::{Deadline, Flight, Pipe, Request, Shared, State};
use super::split::{self, Limits};
use super::urb::{IsoPacket, Owner, Spare, TYPE_ISO, Urb};
use crate::bus::{HandedOver, IsochPort};
use crate::sync::Arc;
use crate::{Direction, Error};

pub(super) struct UsbfsPort {
    pub(super) session: Arc<Session>,
    pub(super) pipe: u64,
    /// As [`Pipe::standing`].
    pub(super) standing: Arc<Standing>,
}

impl UsbfsPort {
    fn shared(&self) -> &Arc<Shared> {
        self.session.shared()
    }
}

impl IsochPort for UsbfsPort {
    fn check(&self, _packets: &[Packet]) -> Result<(), Error> {
        self.standing.check()
    }

    fn may_slide(&self) -> bool {
        self.shared().facts.follows_within.is_some()
    }

    fn submit(&self, id: u64, mut block: Block, _start: Start) -> Result<HandedOver, (Block, Error)> {
        let shared = self.shared();
        let intervals = block.packets().len() as u64;
        let mut guard = shared.lock();
        let state = &mut *guard;
        let now = shared.now();
        let last = shared.last_request(state, self.pipe, now);
        let State { pipes, spare, gone, witness, .. } = state;
        let Some(pipe) = pipes.iter_mut().find(|pipe| pipe.id == self.pipe && !*gone) else {
            return Err((block, Error::Gone));
        };
        if let Err(error) = pipe.standing.check() {
            return Err((block, error));
        }
        if let (Last::None, Some(witness)) = (last, witness) {
            witness.begin(pipe.endpoint);
        }
        let (pending, refused) = shared.submit_all(pipe, id, &mut block, spare, now);
        match refused {
            Some(code) if pending == 0 => return Err((block, codes::refusal(code))),
            refused => {
                pipe.flights.push_back(Flight::new(id, block, pending));
                // A part of it is on its way: it comes back, and with it the reason.
                if let Some(code) = refused {
                    shared.cut_short(pipe, code);
                }
            }
        }
        // What was far when this began may not have been any more when the kernel got it.
        let margin = shared.margin() + pipe.interval * intervals;
        let given = shared.now();
        let continuity = match last {
            Last::Far(_) if pipe.due.lasts(margin, given) => Continuity::Unbroken,
            _ => shared.continuity(state, self.pipe, last, given),
        };
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
    Far(Submitted),
    /// It may end any moment.
    Near(Submitted),
}

impl Shared {
    /// What the kernel has of an endpoint before something is submitted. If that is about to end, everything that is
    /// over is taken back first.
    fn last_request(&self, state: &mut State, pipe: u64, now: Time) -> Last {
        let margin = self.margin();
        let Some(Pipe { requests, due, .. }) = state.pipe(pipe) else { return Last::None };
        match requests.back() {
            None => return Last::None,
            Some(last) if due.lasts(margin, now) => return Last::Far(last.submitted),
            Some(_) => self.reap_early(state),
        }
        let Some(pipe) = state.pipe(pipe) else { return Last::None };
        pipe.is_under_way(now);
        match pipe.requests.back() {
            None => Last::None,
            Some(last) if pipe.due.lasts(margin, now) => Last::Far(last.submitted),
            Some(last) => Last::Near(last.submitted),
        }
    }

    /// How long before the end of what the kernel has, in nanoseconds, more of it surely follows.
    fn margin(&self) -> u64 {
        1_000_000 * self.facts.follows_within.unwrap_or(2)
    }

    /// Not all of the last transfer was taken.
    #[cold]
    fn cut_short(&self, pipe: &mut Pipe, code: Errno) {
        if let Some(flight) = pipe.flights.back_mut() {
            let id = flight.id();
            let taken = pipe.requests.iter().filter(|request| request.flight == id);
            let taken = taken.map(|request| request.packets as usize).sum();
            let block = &mut flight.block;
            block.ending_mut().outcome = codes::outcome(-code.raw_os_error(), false);
            // The rest will not be told of, and the block may carry results of the transfer before.
            let rest = block.packets_mut().iter_mut().skip(taken);
            rest.for_each(|packet| (packet.actual, packet.status) = (0, PacketStatus::Cancelled));
            pipe.discard(&self.node, |flight| flight == id);
        }
    }

    /// Whether what was just submitted follows `last`: surely so if that is not over even now. This is how a queue that
    /// ran dry is found out for certain, where the driver goes by that; nothing else tells. `given`: when the kernel had it
    /// at the latest.
    #[inline(never)]
    fn continuity(&self, state: &mut State, pipe: u64, last: Last, given: Time) -> Continuity {
        let continuity = match last {
            Last::None => Continuity::Broken,
            Last::Far(_) | Last::Near(_) if self.facts.follows_within.is_some() => Continuity::Doubtful,
            Last::Far(submitted) | Last::Near(submitted) => {
                self.reap_early(state);
                let margin = self.margin();
                match state.pipe(pipe) {
                    Some(pipe) if pipe.requests.iter().any(|request| request.submitted == submitted) => {
                        Continuity::Unbroken
                    }
                    // The program was stopped meanwhile, for longer than all of it lasts: if this had followed, it would
                    // be over, too.
                    Some(pipe) if pipe.due.is_overdue(margin, given) => Continuity::Broken,
                    // The same, but it is over: it did follow, or the program was stopped twice in this call.
                    Some(pipe) if pipe.requests.is_empty() && matches!(last, Last::Far(_)) => {
                        Continuity::Unbroken
                    }
                    // It ended while the other was submitted.
                    _ => Continuity::Doubtful,
                }
            }
        };
        if state.spare.has_early() {
            self.wake_before(state, Time::ZERO);
        }
        continuity
    }

    /// Takes back what is over; it is told by whoever handles events.
    #[inline(never)]
    fn reap_early(&self, state: &mut State) {
        while let Ok(Some(urb)) = self.node.reap() {
            let seen = self.now();
            state.unlist(&urb, seen);
            state.spare.put_early(urb, seen);
        }
    }

    /// Gives the kernel all of a transfer. Returns how many requests that is; and why not more, if it is not all.
    fn submit_all(
        &self,
        pipe: &mut Pipe,
        id: u64,
        block: &mut Block,
        spare: &mut Spare,
        now: Time,
    ) -> (u32, Option<Errno>) {
        let limits = limits(block.pieces(), self.node.id(), pipe.packets_per_frame);
        let total = block.packets().len();
        if split::fits_whole(block.packets(), limits) {
            return match self.submit_one(pipe, id, block, 0..total, limits, (spare, now)) {
                Ok(()) => (1, None),
                Err(code) => (0, Some(code)),
            };
        }
        self.submit_parts(pipe, id, block, limits, (spare, now))
    }

    /// The same for one that one request cannot carry.
    #[inline(never)]
    fn submit_parts(
        &self,
        pipe: &mut Pipe,
        id: u64,
        block: &mut Block,
        limits: Limits,
        (spare, now): (&mut Spare, Time),
    ) -> (u32, Option<Errno>) {
        let (mut from, mut pending) = (0, 0);
        while from < block.packets().len() {
            let count = split::next(&block.packets()[from..], limits);
            if let Err(code) = self.submit_one(pipe, id, block, from..from + count, limits, (spare, now)) {
                return (pending, Some(code));
            }
            pending += 1;
            from += count;
        }
        (pending, None)
    }

    /// Gives the kernel some packets, in one request.
    #[inline(always)] // into the way of nearly every transfer
    fn submit_one(
        &self,
        pipe: &mut Pipe,
        id: u64,
        block: &mut Block,
        which: Range<usize>,
        limits: Limits,
        (spare, now): (&mut Spare, Time),
    ) -> Result<(), Errno> {
        let (first_packet, packets) = (which.start as u32, which.len() as u32);
        let mut urb = spare.take();
        urb.prepare(TYPE_ISO, pipe.endpoint, Owner::Isoch { pipe: pipe.id, flight: id, first_packet });
        fill(&mut urb, block, which, limits);
        // SAFETY: the buffer is in the block, which stays in the list of flights until all its requests are reaped, or in
        // the request itself.
        match unsafe { self.node.submit(urb) } {
            Ok(submitted) => {
                pipe.requests.push_back(Request { submitted, flight: id, packets });
                pipe.due.submitted(pipe.interval * u64::from(packets), now);
                Ok(())
            }
            Err((urb, code)) => {
                spare.put(urb);
                Err(code)
            }
        }
    }
}

/// What limits requests of this memory to the node with this number. What is not mapped through that is copied.
fn limits(Pieces { bytes, fixed }: Pieces, node: u64, packets_per_frame: usize) -> Limits {
    let areas = fixed == Some(node);
    Limits { bytes: if areas { bytes } else { bytes.min(MOST_COPIED) }, areas, packets_per_frame }
}

/// Puts packets of a block into a request.
#[inline(always)] // as above
fn fill(urb: &mut Urb, block: &mut Block, which: Range<usize>, limits: Limits) {
    let packets = &block.packets()[which.clone()];
    let begin = packets.first().map_or(0, |packet| packet.offset);
    // Whether they lie in memory one directly behind the other, as usbfs takes them.
    let (length, is_one_run) = match block.uniform_length() {
        Some(length) => {
            urb.lay_out_uniform(packets.len(), length);
            (length.wrapping_mul(packets.len() as u32), true)
        }
        None => {
            urb.lay_out(packets.iter().map(|packet| packet.length));
            // Where the next packet lies if they do, and whether one lies elsewhere.
            let (mut next, mut elsewhere) = (begin, 0);
            for packet in packets {
                elsewhere |= packet.offset ^ next;
                next = next.wrapping_add(packet.length);
            }
            (next.wrapping_sub(begin), elsewhere == 0)
        }
    };
    let (begin, length) = (begin as usize, length as usize);
    let end = begin + length;
    let in_one_area = !limits.areas
        || end <= limits.bytes
        || length == 0
        || begin / limits.bytes == (end - 1) / limits.bytes;
    urb.raw.buffer_length = i32::try_from(length).unwrap_or(i32::MAX);
    let is_one_run = (is_one_run || length == 0) && in_one_area;
    match block.bytes_mut().get_mut(begin..end).filter(|_| is_one_run) {
        Some(run) => urb.raw.buffer = run.as_mut_ptr().cast(),
        None => stage(urb, block, which, length),
    }
}

/// Gives a request memory of its own, because its packets do not lie in one run.
#[cold]
fn stage(urb: &mut Urb, block: &Block, which: Range<usize>, length: usize) {
    urb.staged = true;
    urb.staging.clear();
    match Direction::of_endpoint(urb.raw.endpoint) {
        Direction::Out => block.packets()[which].iter().for_each(|packet| {
            urb.staging.extend_from_slice(&block.bytes()[range(packet)]);
        }),
        Direction::In => urb.staging.resize(length, 0),
    }
    urb.raw.buffer = urb.staging.as_mut_ptr().cast();
}

fn range(packet: &Packet) -> Range<usize> {
    let begin = packet.offset as usize;
    begin..begin + packet.length as usize
}

impl Flight {
    /// A transfer of which the kernel has just been given so many requests.
    fn new(id: u64, mut block: Block, pending: u32) -> Self {
        *block.ending_mut() = Ending { id, carried: Some(0), ..Ending::default() };
        Flight { block, pending, cancelled: false }
    }

    pub(super) fn id(&self) -> u64 {
        self.block.ending().id
    }

    /// Takes a request's results into its block. Whether it was the last.
    #[inline(always)] // of each request
    pub(super) fn take_results(
        &mut self,
        urb: &Urb,
        first_packet: u32,
        seen: Time,
        empty_is_unknown: bool,
    ) -> bool {
        let direction = Direction::of_endpoint(urb.raw.endpoint);
        let outcome = codes::outcome(urb.raw.status, self.cancelled);
        let block = &mut self.block;
        let told = urb.packets();
        let all_carried = carried(told);
        let mut bytes = 0_u64;
        if direction == Direction::Out && all_carried && told.len() == block.packets().len() {
            // Drivers differ in what they tell of its length; what was sent was sent whole.
            block.all_carried();
            bytes = u64::from(urb.raw.buffer_length.unsigned_abs());
        } else {
            let view = codes::PacketView { ran: outcome == Outcome::Completed, empty_is_unknown };
            let tell = if direction == Direction::Out { codes::sent } else { codes::received };
            let packets = block.packets_mut().get_mut(first_packet as usize..).unwrap_or_default();
            for (packet, told) in packets.iter_mut().zip(told) {
                tell(packet, told, view);
                bytes += u64::from(packet.actual);
            }
        }
        if urb.staged && direction == Direction::In {
            scatter(urb, block, first_packet as usize);
        }
        let ending = block.ending_mut();
        ending.carried = ending.carried.filter(|_| all_carried).map(|before| before + bytes);
        ending.seen = seen;
        // The first thing that went wrong is why.
        if ending.outcome == Outcome::Completed {
            ending.outcome = outcome;
        }
        self.pending = self.pending.saturating_sub(1);
        if self.pending == 0 && self.block.ending().outcome == Outcome::Cancelled {
            self.was_it_faster();
        }
        self.pending == 0
    }

    /// What was cancelled may have been served before that.
    #[cold]
    fn was_it_faster(&mut self) {
        let block = &mut self.block;
        if block.packets().iter().all(|packet| packet.status != PacketStatus::Cancelled) {
            block.ending_mut().outcome = Outcome::Completed;
        }
    }
}

/// Whether nothing went wrong with any packet. In fours, because a controller that serves each microframe has many.
fn carried(packets: &[IsoPacket]) -> bool {
    let (fours, rest) = packets.as_chunks::<4>();
    let of_fours = fours.iter().fold(0, |all, [a, b, c, d]| all | a.status | b.status | c.status | d.status);
    rest.iter().fold(of_fours, |all, packet| all | packet.status) == 0
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
