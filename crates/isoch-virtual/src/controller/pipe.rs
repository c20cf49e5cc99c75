//! Pipes: the queue of one isochronous endpoint, and which microframe each of its transfers gets.
//!
//! Why is the microframe fixed at submit and not found when the time comes? Because that is what host
//! controllers do (their schedule is memory), and because it makes "late" a plain comparison: a packet whose
//! microframe is over when its transfer is handed in cannot be served.

use std::collections::VecDeque;

use isoch_core::rules::Direction;
use isoch_core::{Block, Lengths, Outcome, PacketStatus, Results, Start};

use super::walk::Endpoint;
use super::{Event, IsochDone, PipeId, SubmitError};
use crate::faults::PacketFaults;
use crate::profile::{Lateness, Profile};

/// `-EFBIG`: what Linux answers to a transfer that reaches beyond its controller's schedule.
const BEYOND_SCHEDULE: i32 = -27;

/// A transfer in a queue.
#[derive(Debug)]
pub(super) struct Transfer {
    pub(super) token: u64,
    pub(super) block: Block,
    /// Microframe of its first packet.
    pub(super) start: u64,
    /// Packets dealt with: the next to serve.
    pub(super) served: u32,
    pub(super) count: u32,
    /// Packets found late, and packets not well transferred (late ones too).
    pub(super) late: u32,
    pub(super) bad: u32,
    /// When it ends.
    pub(super) done_at: u64,
    /// Its outcome, if that was decided before it ran.
    pub(super) fate: Option<Outcome>,
}

impl Transfer {
    /// Whether it waits for nothing but the transfers before it.
    fn only_waits(&self) -> bool {
        self.fate.is_some() || self.late == self.count
    }

    /// Ends it here: what was not served is not going to be.
    fn give_up(&mut self, fate: Outcome) {
        if self.only_waits() {
            return;
        }
        self.fate = Some(fate);
        let served = self.served as usize;
        for packet in self.block.packets_mut().iter_mut().skip(served) {
            packet.status = PacketStatus::Cancelled;
        }
        self.served = self.count;
    }
}

/// An open isochronous endpoint.
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) id: PipeId,
    pub(super) port: usize,
    pub(super) endpoint: u8,
    pub(super) direction: Direction,
    /// Bytes of one interval.
    limit: u32,
    /// The interval is `1 << shift` microframes.
    pub(super) shift: u32,
    /// In order of completion. Those before `serving` have no packets left.
    pub(super) queue: VecDeque<Transfer>,
    pub(super) serving: usize,
    /// Microframe of the next packet to serve; `u64::MAX` if there is none.
    pub(super) next_slot: u64,
    /// Microframe behind the last packet of the queue.
    tail: u64,
    pub(super) faults: PacketFaults,
    /// The device was unplugged.
    pub(super) gone: bool,
}

impl Pipe {
    pub(super) fn new(id: PipeId, port: usize, endpoint: &Endpoint, faults: PacketFaults) -> Self {
        Pipe {
            id,
            port,
            endpoint: endpoint.address,
            direction: endpoint.direction(),
            limit: endpoint.payload,
            shift: endpoint.period.trailing_zeros(),
            queue: VecDeque::with_capacity(16),
            serving: 0,
            next_slot: u64::MAX,
            tail: 0,
            faults,
            gone: false,
        }
    }

    /// When the first of its queue ends; `u64::MAX` if it is empty.
    pub(super) fn next_done(&self) -> u64 {
        self.queue.front().map_or(u64::MAX, |transfer| transfer.done_at)
    }

    /// What can be said against a transfer before asking when it would run.
    pub(super) fn check(&self, profile: &Profile, block: &Block) -> Result<(), SubmitError> {
        if self.gone {
            return Err(SubmitError::Gone);
        }
        let packets = block.packets();
        let size = block.bytes().len() as u64;
        if packets.is_empty() || u32::try_from(packets.len()).is_err() {
            return Err(SubmitError::NoPackets);
        }
        for (packet, index) in packets.iter().zip(0..) {
            let inside = u64::from(packet.offset) + u64::from(packet.length) <= size;
            if packet.length > self.limit || !inside {
                return Err(SubmitError::TooLong { index, length: packet.length, limit: self.limit });
            }
        }
        if self.direction == Direction::Out && profile.lengths == Lengths::FullThenShort {
            let all_but_last = &packets[..packets.len() - 1];
            if let Some(index) = all_but_last.iter().position(|packet| packet.length < self.limit) {
                return Err(SubmitError::Lengths { index: index as u32 });
            }
        }
        Ok(())
    }

    /// Gives a transfer that was checked its place.
    pub(super) fn queue(&mut self, profile: &Profile, now: u64, token: u64, mut block: Block, start: Start) {
        for packet in block.packets_mut() {
            packet.actual = 0;
            packet.status = PacketStatus::Pending;
        }
        let count = block.packets().len() as u32;
        let behind = self.queue.back().map_or(now, |last| last.done_at.max(now));
        let mut transfer = Transfer {
            token,
            block,
            start: now,
            served: 0,
            count,
            late: 0,
            bad: 0,
            done_at: behind,
            fate: None,
        };
        match self.place(profile, now, count, start) {
            Err(fate) => transfer.give_up(fate),
            Ok(slot) => self.schedule(profile, now, &mut transfer, slot),
        }
        self.queue.push_back(transfer);
        self.settle();
    }

    /// Whether transfers are queued that have not ended.
    fn running(&self, now: u64) -> bool {
        self.queue.back().is_some_and(|last| last.done_at > now)
    }

    /// The microframe of a transfer's first packet.
    fn place(&self, profile: &Profile, now: u64, count: u32, start: Start) -> Result<u64, Outcome> {
        let cold = align(now + profile.cold_lead, (1 << self.shift).max(8));
        let slot = match start {
            Start::At(frame) if profile.honours_start => {
                let reachable = profile.window.is_none_or(|window| frame.abs_diff(now / 8) < window);
                // Far beyond any bus's life, and sums of it would overflow.
                if !reachable || frame >= 1 << 56 {
                    return Err(Outcome::BadStartFrame);
                }
                align(frame * 8, 1 << self.shift)
            }
            _ if !self.running(now) => cold,
            _ if profile.lateness == Lateness::Slide && self.tail < now + profile.reach => cold,
            _ => self.tail,
        };
        let end = slot + (u64::from(count) << self.shift);
        if profile.horizon.is_some_and(|horizon| end.div_ceil(8) > now / 8 + horizon) {
            return Err(Outcome::Failed(BEYOND_SCHEDULE));
        }
        Ok(slot)
    }

    fn schedule(&mut self, profile: &Profile, now: u64, transfer: &mut Transfer, slot: u64) {
        let count = transfer.count;
        let period = 1u64 << self.shift;
        // Neither what is over nor what another transfer has can be served.
        let free = if self.running(now) { self.tail.max(now) } else { now };
        let late = free.saturating_sub(slot).div_ceil(period).min(u64::from(count)) as u32;
        transfer.start = slot;
        transfer.served = late;
        transfer.late = late;
        transfer.bad = late;
        for packet in &mut transfer.block.packets_mut()[..late as usize] {
            packet.status = profile.late_status;
        }
        if late == count {
            return;
        }
        // No controller waits for the silent frames of a long interval before it tells.
        let mut done_at = slot + (u64::from(count - 1) << self.shift) + period.min(8);
        self.tail = slot + (u64::from(count) << self.shift);
        if profile.whole_frames {
            done_at = align(done_at, 8);
            self.tail = align(self.tail, 8);
        }
        transfer.done_at = done_at;
    }

    /// Finds the next packet to serve.
    pub(super) fn settle(&mut self) {
        while self.queue.get(self.serving).is_some_and(|transfer| transfer.served == transfer.count) {
            self.serving += 1;
        }
        self.next_slot = match self.queue.get(self.serving) {
            Some(transfer) => transfer.start + (u64::from(transfer.served) << self.shift),
            None => u64::MAX,
        };
    }

    /// Takes out the first transfer, which has ended, as the host will see it.
    pub(super) fn finish_first(&mut self, profile: &Profile) -> Option<Event> {
        let transfer = self.queue.pop_front()?;
        self.serving = self.serving.saturating_sub(1);
        self.settle();
        Some(self.finish(profile, transfer))
    }

    fn finish(&self, profile: &Profile, mut transfer: Transfer) -> Event {
        let outcome = match transfer.fate {
            Some(fate) => fate,
            None if profile.late_fails && transfer.late == transfer.count => Outcome::Late,
            None => match profile.all_bad {
                Some(code) if transfer.bad == transfer.count => Outcome::Failed(code),
                _ => Outcome::Completed,
            },
        };
        let ran = matches!(outcome, Outcome::Completed | Outcome::Cancelled | Outcome::DeviceGone);
        if ran && self.direction == Direction::Out && profile.out_results != Results::PerPacket {
            for packet in transfer.block.packets_mut() {
                packet.actual = 0;
                packet.status = PacketStatus::Unknown;
            }
        }
        let placed = !matches!(transfer.fate, Some(Outcome::BadStartFrame | Outcome::Failed(_)));
        Event::Isoch(IsochDone {
            pipe: self.id,
            token: transfer.token,
            block: transfer.block,
            outcome,
            first: (profile.tells_first && placed).then_some(transfer.start),
            seen: transfer.done_at,
        })
    }

    /// Cancels one transfer that has not ended. If others are before it, it comes back behind them: in
    /// order, whatever happens.
    pub(super) fn cancel(
        &mut self,
        profile: &Profile,
        now: u64,
        token: u64,
        events: &mut Vec<Event>,
    ) -> bool {
        let found = self.queue.iter().position(|t| t.token == token && t.done_at > now && !t.only_waits());
        let Some(index) = found else { return false };
        let behind = index.checked_sub(1).map_or(now, |before| self.queue[before].done_at.max(now));
        self.queue[index].give_up(Outcome::Cancelled);
        // It ends with what is before it, and so do those behind it that only waited for it.
        for transfer in self.queue.iter_mut().skip(index).take_while(|transfer| transfer.only_waits()) {
            transfer.done_at = behind;
        }
        self.settle();
        while self.queue.front().is_some_and(|first| first.done_at <= now || first.only_waits()) {
            self.end_first_now(profile, now, events);
        }
        true
    }

    /// Ends everything queued.
    pub(super) fn end_all(&mut self, profile: &Profile, now: u64, fate: Outcome, events: &mut Vec<Event>) {
        for transfer in &mut self.queue {
            if transfer.done_at > now {
                transfer.give_up(fate);
            }
        }
        self.settle();
        while !self.queue.is_empty() {
            self.end_first_now(profile, now, events);
        }
    }

    fn end_first_now(&mut self, profile: &Profile, now: u64, events: &mut Vec<Event>) {
        if let Some(mut event) = self.finish_first(profile) {
            event.see_at(now);
            events.push(event);
        }
    }
}

/// The first multiple of `unit`, a power of two, at or after `microframe`.
pub(super) fn align(microframe: u64, unit: u64) -> u64 {
    microframe.saturating_add(unit - 1) & !(unit - 1)
}

/// How many bits of a [`PipeId`] are its place; the rest count how often the place was used.
const PLACE_BITS: u32 = 12;

impl PipeId {
    fn place(self) -> usize {
        (self.0 & ((1 << PLACE_BITS) - 1)) as usize
    }
}

/// All pipes. A place is used again with a new count, so an old id never means a new pipe.
#[derive(Debug, Default)]
pub(super) struct Pipes {
    places: Vec<Option<Pipe>>,
    /// The id the next pipe in each place gets; `None` when its count is used up.
    next_ids: Vec<Option<PipeId>>,
    free: Vec<usize>,
    /// Places of pipes to be served: by port, OUT before IN, then by endpoint.
    order: Vec<usize>,
}

impl Pipes {
    /// The id of the next pipe; `None` if there is no room.
    pub(super) fn next_id(&mut self) -> Option<PipeId> {
        if self.free.is_empty() {
            let place = self.places.len();
            if place >= 1 << PLACE_BITS {
                return None;
            }
            self.places.push(None);
            self.next_ids.push(Some(PipeId(place as u32)));
            self.free.push(place);
        }
        self.free.last().and_then(|place| self.next_ids[*place])
    }

    /// Opens a pipe that has the id that [`Pipes::next_id`] gave.
    pub(super) fn insert(&mut self, pipe: Pipe) {
        let Some(place) = self.free.pop() else { return };
        let key = |pipe: &Pipe| (pipe.port, pipe.direction == Direction::In, pipe.endpoint);
        let new = key(&pipe);
        self.places[place] = Some(pipe);
        let places = &self.places;
        let at = self.order.partition_point(|other| places[*other].as_ref().is_some_and(|p| key(p) < new));
        self.order.insert(at, place);
    }

    pub(super) fn contains(&self, id: PipeId) -> bool {
        let pipe = self.places.get(id.place());
        pipe.is_some_and(|pipe| pipe.as_ref().is_some_and(|pipe| pipe.id == id))
    }

    pub(super) fn get_mut(&mut self, id: PipeId) -> Option<&mut Pipe> {
        self.places.get_mut(id.place())?.as_mut().filter(|pipe| pipe.id == id)
    }

    pub(super) fn remove(&mut self, id: PipeId) -> Option<Pipe> {
        self.get_mut(id)?;
        let place = id.place();
        self.order.retain(|other| *other != place);
        self.next_ids[place] = id.0.checked_add(1 << PLACE_BITS).map(PipeId);
        if self.next_ids[place].is_some() {
            self.free.push(place);
        }
        self.places[place].take()
    }

    /// The device of this pipe is gone: it is served no more.
    pub(super) fn retire(&mut self, id: PipeId) {
        let place = id.place();
        if let Some(pipe) = self.get_mut(id) {
            pipe.gone = true;
            self.order.retain(|other| *other != place);
        }
    }

    /// The pipes to be served, in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Pipe> {
        self.order.iter().filter_map(|place| self.places[*place].as_ref())
    }

    /// How many pipes are served.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// The pipe at this position of the order.
    #[inline]
    pub(super) fn at_mut(&mut self, position: usize) -> Option<&mut Pipe> {
        let place = *self.order.get(position)?;
        self.places[place].as_mut()
    }
}
