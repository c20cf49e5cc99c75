//! An instrument: a converter of some MS/s behind a FIFO, at high speed.
//!
//! Why counters instead of measurements? So that a client can prove what it lost, and where. A jump of the
//! packet number is a packet that the device sent and the client never got (the wire, or the host); a jump
//! of the sample number without one is a FIFO that ran over because the host did not ask in time. Each
//! packet also says in which microframe the device sent it, so the host's frame numbers can be checked
//! against the device's.
//!
//! A packet of endpoint 0x81 is a header and samples, all little-endian; each sample is its own number:
//!
//! | offset | bytes | |
//! |---|---|---|
//! | 0 | 4 | number of the first sample in this packet (the next one, if it has none) |
//! | 4 | 4 | frame number: the low 11 bits are those of the start of frame (USB 2.0 §8.4.3) |
//! | 8 | 4 | number of this packet since the start |
//! | 12 | 1 | microframe, 0 to 7 |
//! | 13 | 1 | flags: bit 0, samples were lost in the FIFO just before this packet |
//! | 14 | 2 | number of samples that follow |
//! | 16 | 4 each | samples |
//!
//! | endpoint | |
//! |---|---|
//! | 0x82 bulk IN | the log: lines of text, ending in a line feed |
//! | 0x83 interrupt IN | status every `status` ms: u32 samples taken, u32 samples lost, u16 samples in the FIFO, u8 1 if running, u8 0 |
//! | vendor request 0x01 IN | u32 frame number, u8 microframe, u8 1 if running, u16 0 |
//! | vendor request 0x02 OUT | `wValue` 1 starts, 0 stops |

use isoch_core::rules::{RequestKind, Setup, Speed};

use super::descriptors::{Configuration, DeviceDescriptor, Endpoint, strings};
use super::parameters::{BuildError, Parameters, wrong};
use super::sample_clock::SampleClock;
use crate::device::{BulkIn, BusTime, Descriptors, Device, Stall};

/// Bytes before the samples of a packet.
pub const HEADER: usize = 16;
/// Vendor request: what frame is it?
pub const READ_FRAME: u8 = 0x01;
/// Vendor request: start or stop.
pub const RUN: u8 = 0x02;
/// Samples that wait when the host does not ask.
pub const FIFO: u64 = 4096;
/// Bytes of log that wait to be read; then lines are left out.
const LOG_LIMIT: usize = 64 * 1024;

const ISOCHRONOUS: u8 = 0x81;
const LOG: u8 = 0x82;
const STATUS: u8 = 0x83;

/// How a [`Sample`] is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleOptions {
    /// Samples per second.
    pub rate: u32,
    /// `wMaxPacketSize`, 20 to 1024 bytes, every microframe.
    pub packet: u16,
    /// Milliseconds between status reports, 1 to 1000.
    pub status: u16,
    /// How much faster the device's clock is than the bus, in parts per million, −1000 to 1000.
    pub device_ppm: f64,
    /// Runs as soon as alternate setting 1 is selected; otherwise when request [`RUN`] says so.
    pub starts_by_itself: bool,
}

impl Default for SampleOptions {
    fn default() -> Self {
        SampleOptions { rate: 1_000_000, packet: 1024, status: 10, device_ppm: 0.0, starts_by_itself: true }
    }
}

/// The instrument, 1209:0005.
#[derive(Debug)]
pub struct Sample {
    descriptors: Descriptors,
    options: SampleOptions,
    running: Option<Running>,
    log: Vec<u8>,
    next_status: u64,
    packets: u32,
    lost: u64,
    taken: u64,
    waiting: u64,
}

#[derive(Debug)]
struct Running {
    clock: SampleClock,
    /// Up to when samples have been taken.
    now: u64,
    /// The number of the next sample to send.
    next: u64,
    /// Samples were lost since the last packet.
    overrun: bool,
}

impl Sample {
    /// An instrument.
    ///
    /// # Errors
    /// If an option is out of its range, or the rate is more than the packets carry.
    pub fn new(options: SampleOptions) -> Result<Self, BuildError> {
        let SampleOptions { rate, packet, status, device_ppm, .. } = options;
        if !(20..=1024).contains(&packet) {
            return Err(wrong("packet", &packet.to_string(), "a number from 20 to 1024"));
        }
        if !(1..=1000).contains(&status) {
            return Err(wrong("status", &status.to_string(), "a number from 1 to 1000"));
        }
        if !(-1000.0..=1000.0).contains(&device_ppm) {
            return Err(wrong("device_ppm", &device_ppm.to_string(), "a number from -1000 to 1000"));
        }
        // One in a hundred is left free, to catch up after a missed microframe.
        let most = (u32::from(packet) - HEADER as u32) / 4 * 7920;
        if rate == 0 || rate > most {
            let sentence = format!(
                "rate={rate} does not fit: packets of {packet} bytes carry 1 to {most} samples per second"
            );
            return Err(BuildError::Combination { parameter: "rate", sentence });
        }
        const VENDOR_CLASS: [u8; 3] = [0xff, 0, 0];
        let device = DeviceDescriptor { usb: 0x0200, class: VENDOR_CLASS, vendor: 0x1209, product: 0x0005 };
        let configuration = Configuration::new(1)
            .interface(0, 0, VENDOR_CLASS)
            .endpoint(Endpoint::bulk(LOG, 512))
            .endpoint(Endpoint::interrupt(STATUS, 12, 4))
            .interface(0, 1, VENDOR_CLASS)
            .endpoint(Endpoint::isochronous(ISOCHRONOUS, packet, 1))
            .endpoint(Endpoint::bulk(LOG, 512))
            .endpoint(Endpoint::interrupt(STATUS, 12, 4));
        Ok(Sample {
            descriptors: Descriptors {
                speed: Speed::High,
                device: device.bytes(),
                configuration: configuration.bytes(),
                strings: strings("Instrument"),
                bos: None,
            },
            options,
            running: None,
            log: Vec::new(),
            next_status: 0,
            packets: 0,
            lost: 0,
            taken: 0,
            waiting: 0,
        })
    }

    pub(crate) fn from_parameters(parameters: &Parameters<'_>) -> Result<Self, BuildError> {
        let usual = SampleOptions::default();
        Sample::new(SampleOptions {
            rate: parameters.number("rate", 1..=u32::MAX)?.unwrap_or(usual.rate),
            packet: parameters.number("packet", 20..=1024)?.unwrap_or(usual.packet),
            status: parameters.number("status", 1..=1000)?.unwrap_or(usual.status),
            device_ppm: parameters.fraction("device_ppm", -1000.0..=1000.0)?.unwrap_or(0.0),
            starts_by_itself: parameters
                .choice("start", &[("setting", true), ("request", false)])?
                .unwrap_or(true),
        })
    }

    fn start(&mut self, now: BusTime) {
        let clock = SampleClock::new(u64::from(self.options.rate), self.options.device_ppm);
        self.running = Some(Running { clock, now: now.microframe, next: 0, overrun: false });
        (self.packets, self.lost, self.taken, self.waiting) = (0, 0, 0, 0);
        self.note(now, "started");
    }

    fn stop(&mut self, now: BusTime) {
        if self.running.take().is_some() {
            self.note(now, "stopped");
        }
    }

    fn note(&mut self, now: BusTime, what: &str) {
        if self.log.len() < LOG_LIMIT {
            let line = format!("frame {}.{}: {what}\n", now.frame(), now.microframe % 8);
            self.log.extend_from_slice(line.as_bytes());
        }
    }

    /// Takes samples up to now; what does not fit into the FIFO pushes out the oldest.
    fn follow(&mut self, now: BusTime) {
        let Some(running) = &mut self.running else { return };
        let elapsed = now.microframe.saturating_sub(running.now);
        running.now = running.now.max(now.microframe);
        self.taken += running.clock.advance(elapsed, 0);
        self.waiting = self.taken - running.next;
        let lost = self.waiting.saturating_sub(FIFO);
        if lost > 0 {
            running.next += lost;
            running.overrun = true;
            self.waiting -= lost;
            self.lost += lost;
            self.note(now, &format!("{lost} samples lost in the FIFO"));
        }
    }
}

impl Device for Sample {
    fn descriptors(&self) -> &Descriptors {
        &self.descriptors
    }

    fn control_out(&mut self, setup: Setup, _data: &[u8], now: BusTime) -> Result<(), Stall> {
        match (setup.kind(), setup.request, setup.value) {
            (RequestKind::Vendor, RUN, 0) => self.stop(now),
            (RequestKind::Vendor, RUN, 1) if self.running.is_none() => self.start(now),
            (RequestKind::Vendor, RUN, 1) => {}
            _ => return Err(Stall),
        }
        Ok(())
    }

    fn control_in(&mut self, setup: Setup, data: &mut Vec<u8>, now: BusTime) -> Result<(), Stall> {
        if (setup.kind(), setup.request) != (RequestKind::Vendor, READ_FRAME) {
            return Err(Stall);
        }
        let mut answer = [0; 8];
        answer[..4].copy_from_slice(&(now.frame() as u32).to_le_bytes());
        answer[4] = (now.microframe % 8) as u8;
        answer[5] = u8::from(self.running.is_some());
        data.extend_from_slice(&answer[..usize::from(setup.length).min(8)]);
        Ok(())
    }

    fn alternate_setting(&mut self, _interface: u8, setting: u8, now: BusTime) {
        self.stop(now);
        if setting == 1 && self.options.starts_by_itself {
            self.start(now);
        }
    }

    fn isoch_in(&mut self, endpoint: u8, buffer: &mut [u8], now: BusTime) -> usize {
        if endpoint != ISOCHRONOUS || buffer.len() < HEADER {
            return 0;
        }
        self.follow(now);
        let Some(running) = &mut self.running else { return 0 };
        let room = buffer.len().min(usize::from(self.options.packet)) - HEADER;
        let count = self.waiting.min(room as u64 / 4) as usize;
        buffer[..4].copy_from_slice(&(running.next as u32).to_le_bytes());
        buffer[4..8].copy_from_slice(&(now.frame() as u32).to_le_bytes());
        buffer[8..12].copy_from_slice(&self.packets.to_le_bytes());
        buffer[12] = (now.microframe % 8) as u8;
        buffer[13] = u8::from(std::mem::take(&mut running.overrun));
        buffer[14..16].copy_from_slice(&(count as u16).to_le_bytes());
        let length = HEADER + count * 4;
        let mut number = running.next as u32;
        for sample in buffer[HEADER..length].chunks_exact_mut(4) {
            sample.copy_from_slice(&number.to_le_bytes());
            number = number.wrapping_add(1);
        }
        running.next += count as u64;
        self.waiting -= count as u64;
        self.packets = self.packets.wrapping_add(1);
        length
    }

    fn bulk_in(&mut self, endpoint: u8, buffer: &mut [u8], now: BusTime) -> BulkIn {
        match endpoint {
            LOG if self.log.is_empty() => BulkIn::Nak,
            LOG => {
                let length = buffer.len().min(self.log.len()).min(512);
                buffer[..length].copy_from_slice(&self.log[..length]);
                self.log.drain(..length);
                BulkIn::Data(length)
            }
            STATUS if now.frame() < self.next_status => BulkIn::Nak,
            STATUS => {
                self.next_status = now.frame() + u64::from(self.options.status);
                self.follow(now);
                let mut status = [0; 12];
                status[..4].copy_from_slice(&(self.taken as u32).to_le_bytes());
                status[4..8].copy_from_slice(&(self.lost as u32).to_le_bytes());
                status[8..10].copy_from_slice(&(self.waiting as u16).to_le_bytes());
                status[10] = u8::from(self.running.is_some());
                let length = buffer.len().min(status.len());
                buffer[..length].copy_from_slice(&status[..length]);
                BulkIn::Data(length)
            }
            _ => BulkIn::Stall,
        }
    }

    fn released(&mut self, now: BusTime) {
        self.stop(now);
    }

    fn facts(&self) -> Vec<(&'static str, i64)> {
        vec![
            ("packets_sent", i64::from(self.packets)),
            ("samples_taken", self.taken as i64),
            ("samples_lost", self.lost as i64),
            ("samples_waiting", self.waiting as i64),
        ]
    }
}
