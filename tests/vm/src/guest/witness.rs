//! What usbmon heard of one isochronous OUT endpoint, put together.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use super::usbmon::{Event, Kind};
use crate::sound::{self, SAMPLE_BYTES, Sample};

/// A transfer as the kernel knows it.
#[derive(Clone, Debug)]
pub(crate) struct Transfer {
    pub(crate) completed: Duration,
    /// The frame of its first packet, where the controller's driver knows it.
    pub(crate) start_frame: i32,
    pub(crate) packets: Vec<Sent>,
    /// The data of all packets.
    pub(crate) data: Vec<u8>,
}

/// A packet of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    /// 0: it went over the bus.
    pub(crate) status: i32,
    /// Bytes it was to carry.
    pub(crate) length: usize,
}

impl Transfer {
    /// The frame after its last packet, on an endpoint that is served in each.
    pub(crate) fn end_frame(&self) -> i32 {
        self.start_frame.wrapping_add(self.packets.len() as i32)
    }
}

/// The completed transfers of an endpoint in the order of their completion.
pub(crate) fn transfers(events: &[Event], endpoint: u8) -> Vec<Transfer> {
    let mut pending: Vec<&Event> = Vec::new();
    let mut transfers = Vec::new();
    for event in events.iter().filter(|event| event.is_isochronous && event.endpoint == endpoint) {
        match event.kind {
            Kind::Submitted => pending.push(event),
            // The kernel uses an id again as soon as it is free.
            Kind::Failed => pending.retain(|submitted| submitted.id != event.id),
            Kind::Completed => {
                let Some(index) = pending.iter().position(|submitted| submitted.id == event.id) else {
                    continue;
                };
                let submitted = pending.remove(index);
                let packets = submitted.packets.iter().zip(&event.packets);
                transfers.push(Transfer {
                    completed: event.at,
                    start_frame: event.start_frame,
                    packets: packets
                        .map(|(asked, done)| Sent { status: done.status, length: asked.length as usize })
                        .collect(),
                    data: submitted.data.clone(),
                });
            }
        }
    }
    transfers
}

/// Which samples of `played` were submitted and did not go over the bus. It fails if not all of `played` was
/// submitted, in one piece.
pub(crate) fn lost(transfers: &[Transfer], played: &[Sample]) -> Result<Vec<Range<usize>>, String> {
    let (mut samples, mut sent) = (Vec::new(), Vec::new());
    for transfer in transfers {
        let mut data = transfer.data.as_slice();
        for packet in &transfer.packets {
            let (bytes, rest) = data.split_at_checked(packet.length).ok_or("usbmon did not keep all data")?;
            data = rest;
            samples.extend(sound::samples(bytes));
            sent.resize(sent.len() + packet.length / SAMPLE_BYTES, packet.status == 0);
        }
    }
    let first = sound::compare(played, &samples).map_err(|error| format!("what was submitted: {error}"))?;
    let sent = &sent[first..first + played.len()];
    let mut lost: Vec<Range<usize>> = Vec::new();
    for sample in (0..sent.len()).filter(|sample| !sent[*sample]) {
        match lost.last_mut() {
            Some(last) if last.end == sample => last.end += 1,
            _ => lost.push(sample..sample + 1),
        }
    }
    Ok(lost)
}

/// Frames between transfers of a stream in which nothing was sent: the index of the transfer behind them, and how many.
/// Only where the controller's driver knows frames; of its numbers only so many bits are the controller's.
pub(crate) fn holes(transfers: &[Transfer], bits: u32) -> Vec<(usize, u32)> {
    let modulus = 1_i64 << bits;
    let hole = |pair: &[Transfer]| {
        (i64::from(pair[1].start_frame) - i64::from(pair[0].end_frame())).rem_euclid(modulus) as u32
    };
    transfers
        .windows(2)
        .zip(1..)
        .map(|(pair, index)| (index, hole(pair)))
        .filter(|(_, hole)| *hole > 0)
        .collect()
}

/// The library's frame numbers have a beginning of their own: so far are the driver's from them.
pub(crate) struct Numbering {
    distance: i64,
    modulus: i64,
}

impl Numbering {
    /// From the driver's frames of transfers, and the frames that the library told with their uncertainty: the distance
    /// that most of these allow, and of several such the one that most have. `None` without any.
    pub(crate) fn new(bits: u32, told: impl Iterator<Item = (i32, u64, u64)>) -> Option<Numbering> {
        let from = |distance| Numbering { distance, modulus: 1_i64 << bits };
        let told: Vec<_> = told.collect();
        let mut distances: BTreeMap<i64, usize> = BTreeMap::new();
        for (seen, frame, _) in &told {
            *distances.entry(from(0).after(*seen, *frame)).or_default() += 1;
        }
        let allowed = |distance: i64| {
            let is_allowed = |(seen, frame, uncertainty): &&(i32, u64, u64)| {
                from(distance).after(*seen, *frame).unsigned_abs() <= *uncertainty
            };
            told.iter().filter(is_allowed).count()
        };
        distances
            .iter()
            .max_by_key(|(distance, count)| (allowed(**distance), **count))
            .map(|(distance, _)| from(*distance))
    }

    /// How far after a frame of the library's a frame of the driver's is.
    pub(crate) fn after(&self, seen: i32, frame: u64) -> i64 {
        let after = (i64::from(seen) - frame as i64 - self.distance).rem_euclid(self.modulus);
        if after > self.modulus / 2 { after - self.modulus } else { after }
    }
}
