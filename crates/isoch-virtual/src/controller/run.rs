//! Time goes on: what happens in each microframe.
//!
//! Why not microframe by microframe, endpoint by endpoint? Eight endpoints with 8000 packets a second each
//! would spend most of their time finding out whose turn it is. So everything that could change is looked up
//! once, and each pipe serves a whole frame's packets in one go. The price: within a frame, packets of
//! *different* pipes are served pipe after pipe (by port, OUT before IN, then by endpoint), not interleaved by
//! microframe. Within a pipe, and from frame to frame, the order is the bus's.

use isoch_core::rules::Direction;
use isoch_core::{PacketError, PacketStatus};

use super::log::PacketLog;
use super::pipe::{Pipe, align};
use super::{Controller, Event};
use crate::device::{BusTime, Device};

/// Time ends here: sums with it cannot overflow. At 8000 microframes a second that is two million years.
const END_OF_TIME: u64 = 1 << 59;

impl Controller {
    /// The microframe of the next thing that can produce an event, if nothing more is submitted: the end of a
    /// transfer, a scheduled plugging or unplugging, a microframe in which a bulk or interrupt endpoint with
    /// work is tried. `None`: nothing will ever happen by itself.
    #[must_use]
    pub fn next_event_at(&self) -> Option<u64> {
        let pipes = self.pipes.iter().filter(|pipe| !pipe.queue.is_empty()).map(|pipe| {
            let told = pipe.next_done() + self.profile.completion_delay;
            self.faults.held_until(&self.ports[pipe.port].name, Some(pipe.endpoint), told)
        });
        let data = self.next_data_done().saturating_add(self.profile.completion_delay);
        let next = pipes.chain([data, self.next_outside()]).min().unwrap_or(u64::MAX);
        (next < END_OF_TIME).then_some(next.max(self.now))
    }

    /// Lets time go on to `until`, or to the first microframe before it in which at least one event was
    /// produced: the first of all, if something is due already. All events of that microframe are in
    /// `events`. Returns the new [`Controller::now`].
    pub fn run(&mut self, until: u64, events: &mut Vec<Event>) -> u64 {
        let until = until.min(END_OF_TIME);
        let before = events.len();
        loop {
            self.happen(events);
            if events.len() > before || self.now >= until {
                return self.now;
            }
            let ends = self.pipes.iter().map(Pipe::next_done).min().unwrap_or(u64::MAX);
            let next = ends.min(self.next_data_done()).min(self.next_outside());
            self.serve(next.max(self.now + 1).min(until));
        }
    }

    /// What comes next that is not the end of a transfer.
    fn next_outside(&self) -> u64 {
        let told = self.outbox.front().map_or(u64::MAX, |(due, _)| *due);
        let plugged = self.scheduled.front().map_or(u64::MAX, |plug| plug.at);
        told.min(plugged).min(self.faults.next_unplug().unwrap_or(u64::MAX))
    }

    /// Everything that is due now: what was to be told, the ends of transfers, then what is unplugged, then
    /// what is plugged in.
    fn happen(&mut self, events: &mut Vec<Event>) {
        let now = self.now;
        self.deliver(events);
        for position in 0..self.pipes.len() {
            while let Some(pipe) = self.pipes.at_mut(position)
                && pipe.next_done() <= now
            {
                let (port, endpoint) = (pipe.port, pipe.endpoint);
                let Some(mut event) = pipe.finish_first(&self.profile) else { break };
                let due = self.told_at(port, Some(endpoint), now + self.profile.completion_delay);
                event.see_at(due);
                if due <= now {
                    events.push(event);
                } else {
                    self.tell_at(event, due);
                }
            }
        }
        while let Some(fault) = self.faults.take_unplug(now) {
            self.unplug_by_fault(&fault);
        }
        while self.scheduled.front().is_some_and(|plug| plug.at <= now) {
            self.plug_scheduled();
        }
        self.deliver(events);
    }

    fn deliver(&mut self, events: &mut Vec<Event>) {
        while self.outbox.front().is_some_and(|(due, _)| *due <= self.now) {
            events.extend(self.outbox.pop_front().map(|(_, event)| event));
        }
    }

    /// Serves all packets before `stop`; nothing ends in between.
    fn serve(&mut self, stop: u64) {
        let mut at = self.now;
        // A device that rests goes on resting until something is submitted to it.
        let tries_data = self.next_data_done() != u64::MAX;
        let late_status = self.profile.late_status;
        while at < stop {
            let frame = at / 8;
            if frame >= self.faults.next_change() {
                self.faults.advance(frame);
                self.refresh_faults(frame);
            }
            // A pipe that is alone need not give way at the end of each frame.
            let alone = self.pipes.len() <= 1 && !tries_data;
            let end = match alone {
                true => stop.min(self.faults.next_change().saturating_mul(8)),
                false => stop.min(align(at + 1, 8)),
            };
            let mut next = stop;
            for position in 0..self.pipes.len() {
                let Some(pipe) = self.pipes.at_mut(position) else { continue };
                if pipe.next_slot < end {
                    let port = &mut self.ports[pipe.port];
                    if let Some(device) = port.device.as_mut() {
                        serve_pipe(pipe, device.as_mut(), &mut port.log, late_status, end);
                    }
                }
                next = next.min(pipe.next_slot);
            }
            if tries_data {
                self.serve_data(at, end);
                next = end;
            }
            at = next.max(end);
        }
        self.now = stop;
    }
}

/// Serves the packets of one pipe before `end`.
fn serve_pipe(
    pipe: &mut Pipe,
    device: &mut dyn Device,
    log: &mut PacketLog,
    late_status: PacketStatus,
    end: u64,
) {
    while pipe.next_slot < end {
        let Some(transfer) = pipe.queue.get_mut(pipe.serving) else { return };
        let fit = ((end - pipe.next_slot - 1) >> pipe.shift) + 1;
        let count = fit.min(u64::from(transfer.count - transfer.served)) as usize;
        let first = transfer.served as usize;
        let (bytes, packets) = transfer.block.parts_mut();
        let run = Run {
            endpoint: pipe.endpoint,
            slot: pipe.next_slot,
            step: 1 << pipe.shift,
            bytes,
            packets: &mut packets[first..first + count],
        };
        if pipe.faults.any {
            let (late, bad) = run.faulty(pipe.direction, pipe.faults, device, log, late_status);
            transfer.late += late;
            transfer.bad += bad;
        } else if pipe.direction == Direction::Out {
            run.send(device, log);
        } else {
            transfer.bad += run.receive(device, log);
        }
        transfer.served += count as u32;
        pipe.next_slot += (count as u64) << pipe.shift;
        if transfer.served == transfer.count {
            pipe.settle();
        }
    }
}

/// Packets of one transfer, one behind the other.
struct Run<'a> {
    endpoint: u8,
    /// Microframe of the first.
    slot: u64,
    /// Microframes from one to the next.
    step: u64,
    bytes: &'a mut [u8],
    packets: &'a mut [isoch_core::Packet],
}

impl Run<'_> {
    fn send(self, device: &mut dyn Device, log: &mut PacketLog) {
        let mut slot = self.slot;
        for packet in self.packets {
            let start = packet.offset as usize;
            // Checked at submit; a memory that has changed its size since sends nothing.
            let data = self.bytes.get(start..start + packet.length as usize).unwrap_or(&[]);
            device.isoch_out(self.endpoint, data, BusTime { microframe: slot });
            log.record(slot, self.endpoint, data.len() as u32, data);
            packet.actual = packet.length;
            packet.status = PacketStatus::Done;
            slot += self.step;
        }
    }

    /// Returns how many packets failed.
    fn receive(self, device: &mut dyn Device, log: &mut PacketLog) -> u32 {
        let mut slot = self.slot;
        let mut bad = 0;
        for packet in self.packets {
            let start = packet.offset as usize;
            let buffer = self.bytes.get_mut(start..start + packet.length as usize).unwrap_or(&mut []);
            let length = device.isoch_in(self.endpoint, buffer, BusTime { microframe: slot });
            match buffer.get(..length) {
                Some(sent) => {
                    log.record(slot, self.endpoint, length as u32, sent);
                    packet.actual = length as u32;
                    packet.status = PacketStatus::Done;
                }
                None => {
                    log.record(slot, self.endpoint, u32::try_from(length).unwrap_or(u32::MAX), buffer);
                    packet.status = PacketStatus::Failed(PacketError::Babble);
                    bad += 1;
                }
            }
            slot += self.step;
        }
        bad
    }

    /// As `send` and `receive`, with faults. Returns how many packets were late, and how many went wrong in
    /// any way.
    fn faulty(
        self,
        direction: Direction,
        faults: crate::faults::PacketFaults,
        device: &mut dyn Device,
        log: &mut PacketLog,
        late_status: PacketStatus,
    ) -> (u32, u32) {
        let Run { endpoint, mut slot, step, bytes, packets } = self;
        let count = packets.len() as u32;
        if faults.missed || faults.late {
            let status = if faults.missed { PacketStatus::Missed } else { late_status };
            for packet in packets {
                packet.status = status;
            }
            return (if faults.missed { 0 } else { count }, count);
        }
        if direction == Direction::Out {
            if !faults.lost {
                Run { endpoint, slot, step, bytes, packets }.send(device, log);
                return (0, 0);
            }
            for packet in packets {
                log.record_loss(slot, endpoint);
                packet.actual = packet.length;
                packet.status = PacketStatus::Done;
                slot += step;
            }
            return (0, 0);
        }
        if faults.empty && !(faults.crc || faults.babble) {
            for packet in packets {
                log.record(slot, endpoint, 0, &[]);
                packet.status = PacketStatus::Done;
                slot += step;
            }
            return (0, 0);
        }
        let cut = faults.short.map_or(usize::MAX, |length| length as usize);
        let mut bad = 0;
        for packet in packets {
            let start = packet.offset as usize;
            let buffer = bytes.get_mut(start..start + packet.length as usize).unwrap_or(&mut []);
            // The device answers as ever; what becomes of it on the way is not its doing.
            let length = device.isoch_in(endpoint, buffer, BusTime { microframe: slot }).min(cut);
            let sent = buffer.get(..length);
            let logged = u32::try_from(length).unwrap_or(u32::MAX);
            log.record(slot, endpoint, logged, sent.unwrap_or(buffer));
            packet.status = match sent {
                _ if faults.crc => PacketStatus::Failed(PacketError::Crc),
                Some(_) if !faults.babble => PacketStatus::Done,
                _ => PacketStatus::Failed(PacketError::Babble),
            };
            if packet.status == PacketStatus::Done {
                packet.actual = logged;
            } else {
                bad += 1;
            }
            slot += step;
        }
        (0, bad)
    }
}
