//! What comes OUT goes back IN, packet by packet.
//!
//! Why with a fixed delay, and not first in, first out? Because then the frame a packet left in and the
//! frame it returns in prove each other: a host that is one frame off sees every packet one delay off, and
//! a host that misses an IN interval loses exactly that packet, as it would on a wire. A plain queue would
//! hide both by handing out the backlog later.

use std::collections::VecDeque;

use isoch_core::rules::Speed;

use super::descriptors::{Configuration, DeviceDescriptor, strings, super_speed_object_store};
use super::parameters::{BuildError, Parameters};
use super::shape::{Shape, ShapeOptions};
use crate::device::{BulkIn, BulkOut, BusTime, Descriptors, Device};

/// Bytes that isochronous packets on their way back may take together.
const QUEUE_LIMIT: u64 = 64 << 20;
/// Bulk packets that wait to be read; then OUT is answered with NAK.
const BULK_LIMIT: usize = 64;

/// How a [`Loopback`] is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoopbackOptions {
    /// Speed and isochronous endpoints; the interval is 1 unless said otherwise.
    pub shape: ShapeOptions,
    /// Frames from OUT to IN, 1 to 1000. Not 0: within a frame only the controller knows which comes first.
    pub delay: u16,
}

impl Default for LoopbackOptions {
    fn default() -> Self {
        LoopbackOptions { shape: ShapeOptions::new(Speed::High), delay: 1 }
    }
}

/// The loopback device, 1209:0007: alternate setting 1 has bulk 0x01 and 0x81 and isochronous 0x02 and
/// 0x82; alternate setting 0 has the bulk endpoints only.
#[derive(Debug)]
pub struct Loopback {
    descriptors: Descriptors,
    /// Microframes from OUT to IN.
    delay: u64,
    period: u64,
    isochronous: Packets,
    bulk: Packets,
    received: i64,
    returned: i64,
    /// Packets whose interval passed without being asked for.
    expired: i64,
    /// Packets that found the queue full.
    refused: i64,
}

impl Loopback {
    /// A loopback device.
    ///
    /// # Errors
    /// If the endpoints' numbers are not possible at the speed, or the delay would hold more than 64 MiB.
    pub fn new(options: LoopbackOptions) -> Result<Self, BuildError> {
        const VENDOR_CLASS: [u8; 3] = [0xff, 0, 0];
        let shape = Shape::new(options.shape, 1)?;
        let delay = u64::from(options.delay) * 8;
        // Two more than are due in a delay: the one that arrives and the one that leaves.
        let packets = delay / shape.period() + 2;
        if !(1..=1000).contains(&options.delay) || packets * u64::from(shape.bytes) > QUEUE_LIMIT {
            let sentence = format!(
                "delay={} does not work: it takes 1 to 1000 frames, and at most 64 MiB of packets",
                options.delay
            );
            return Err(BuildError::Combination { parameter: "delay", sentence });
        }
        let mut configuration = Configuration::new(1).interface(0, 0, VENDOR_CLASS);
        for setting in 0..=1 {
            if setting == 1 {
                configuration = configuration.interface(0, 1, VENDOR_CLASS);
            }
            configuration = shape.append_bulk(configuration, 0x81);
            configuration = shape.append_bulk(configuration, 0x01);
        }
        configuration = shape.append(configuration, 0x82);
        configuration = shape.append(configuration, 0x02);
        let device =
            DeviceDescriptor { usb: shape.usb(), class: VENDOR_CLASS, vendor: 0x1209, product: 0x0007 };
        Ok(Loopback {
            descriptors: Descriptors {
                speed: shape.speed,
                device: device.bytes(),
                configuration: configuration.bytes(),
                strings: strings("Loopback"),
                bos: (shape.speed == Speed::Super).then(super_speed_object_store),
            },
            delay,
            period: shape.period(),
            isochronous: Packets::new(packets as usize),
            bulk: Packets::new(BULK_LIMIT),
            received: 0,
            returned: 0,
            expired: 0,
            refused: 0,
        })
    }

    pub(crate) fn from_parameters(parameters: &Parameters<'_>) -> Result<Self, BuildError> {
        Loopback::new(LoopbackOptions {
            shape: ShapeOptions::from_parameters(parameters, Speed::High)?,
            delay: parameters.number("delay", 1..=1000)?.unwrap_or(1),
        })
    }

    /// Drops packets whose interval is over.
    fn expire(&mut self, now: BusTime) {
        while self.isochronous.first_due().is_some_and(|due| due + self.period <= now.microframe) {
            self.isochronous.drop_first();
            self.expired += 1;
        }
    }
}

impl Device for Loopback {
    fn descriptors(&self) -> &Descriptors {
        &self.descriptors
    }

    fn alternate_setting(&mut self, _interface: u8, _setting: u8, _now: BusTime) {
        self.isochronous.clear();
        self.bulk.clear();
    }

    fn isoch_out(&mut self, _endpoint: u8, data: &[u8], now: BusTime) {
        self.received += 1;
        self.expire(now);
        if !self.isochronous.push(now.microframe + self.delay, data) {
            self.refused += 1;
        }
    }

    fn isoch_in(&mut self, _endpoint: u8, buffer: &mut [u8], now: BusTime) -> usize {
        self.expire(now);
        if self.isochronous.first_due().is_none_or(|due| due > now.microframe) {
            return 0;
        }
        self.returned += 1;
        self.isochronous.pop(buffer)
    }

    fn bulk_out(&mut self, endpoint: u8, data: &[u8], _now: BusTime) -> BulkOut {
        match endpoint {
            0x01 if self.bulk.push(0, data) => BulkOut::Ack,
            0x01 => BulkOut::Nak,
            _ => BulkOut::Stall,
        }
    }

    fn bulk_in(&mut self, endpoint: u8, buffer: &mut [u8], _now: BusTime) -> BulkIn {
        match endpoint {
            0x81 if self.bulk.first_due().is_some() => BulkIn::Data(self.bulk.pop(buffer)),
            0x81 => BulkIn::Nak,
            _ => BulkIn::Stall,
        }
    }

    fn changes_by_itself(&self) -> bool {
        false
    }

    fn facts(&self) -> Vec<(&'static str, i64)> {
        vec![
            ("packets_received", self.received),
            ("packets_returned", self.returned),
            ("packets_expired", self.expired),
            ("packets_refused", self.refused),
            ("packets_waiting", self.isochronous.headers.len() as i64),
        ]
    }
}

/// A queue of packets in two rings that grow to the most they held and then never allocate.
#[derive(Debug)]
struct Packets {
    limit: usize,
    /// When each is due, in microframes, and its bytes.
    headers: VecDeque<(u64, usize)>,
    bytes: VecDeque<u8>,
}

impl Packets {
    fn new(limit: usize) -> Self {
        Packets { limit, headers: VecDeque::new(), bytes: VecDeque::new() }
    }

    fn clear(&mut self) {
        self.headers.clear();
        self.bytes.clear();
    }

    fn push(&mut self, due: u64, data: &[u8]) -> bool {
        if self.headers.len() == self.limit {
            return false;
        }
        self.headers.push_back((due, data.len()));
        self.bytes.extend(data);
        true
    }

    fn first_due(&self) -> Option<u64> {
        self.headers.front().map(|&(due, _)| due)
    }

    fn drop_first(&mut self) {
        if let Some((_, length)) = self.headers.pop_front() {
            self.bytes.drain(..length);
        }
    }

    /// Copies as much of the first packet as fits and drops it.
    fn pop(&mut self, buffer: &mut [u8]) -> usize {
        let Some(&(_, length)) = self.headers.front() else { return 0 };
        let wanted = length.min(buffer.len());
        let (front, back) = self.bytes.as_slices();
        let from_front = wanted.min(front.len());
        buffer[..from_front].copy_from_slice(&front[..from_front]);
        buffer[from_front..wanted].copy_from_slice(&back[..wanted - from_front]);
        self.drop_first();
        wanted
    }
}
