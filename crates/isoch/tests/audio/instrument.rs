//! A class 2.0 interface at high speed, whose rate belongs to a clock entity, and a test of following it.
//!
//! Why another device, when there is a speaker? Because half of the ways to be told a rate are not
//! its: 16.16 values per microframe, several packets in a frame, and no values at all, but a recording
//! stream to keep pace with.

use isoch::audio::{self, AudioVersion, Feedback, Player, StreamOptions};
use isoch::emulated::{BusClock, BusTime, Descriptors, Device, Stall};
use isoch::{Direction, Error, Setup, Speed, VirtualBus};

use crate::rig::{fact, format};

#[derive(Clone, Copy, Debug)]
struct Kind {
    implicit: bool,
    /// `bInterval` of the data endpoints.
    interval: u8,
    ppm: i64,
    /// Its clock runs at 48 kHz and nothing else.
    fixed: bool,
}

struct Instrument {
    kind: Kind,
    descriptors: Descriptors,
    rate: u32,
    /// When the first packet came, and how many samples in all.
    began: Option<u64>,
    received: i64,
    least: i64,
    most: i64,
    recorded: u64,
    told: (u64, u64),
}

impl Instrument {
    fn new(kind: Kind) -> Self {
        let descriptors = Descriptors {
            speed: Speed::High,
            device: vec![18, 1, 0, 2, 0xef, 2, 1, 64, 9, 0x12, 0x77, 0, 0, 1, 0, 0, 0, 1],
            configuration: configuration(kind),
            strings: Vec::new(),
            bos: None,
        };
        Instrument {
            kind,
            descriptors,
            rate: 48_000,
            began: None,
            received: 0,
            least: 0,
            most: 0,
            recorded: 0,
            told: (0, 0),
        }
    }

    /// Samples of its clock in so many microframes, times `scale`.
    fn clock(&self, microframes: u64, scale: u64) -> u64 {
        let per_second = i128::from(self.rate) * i128::from(1_000_000 + self.kind.ppm);
        let samples = per_second * i128::from(microframes) * i128::from(scale) / 8_000_000_000;
        u64::try_from(samples).unwrap()
    }
}

impl Device for Instrument {
    fn descriptors(&self) -> &Descriptors {
        &self.descriptors
    }

    fn control_out(&mut self, setup: Setup, data: &[u8], _: BusTime) -> Result<(), Stall> {
        match (setup.request_type, setup.request, setup.value, setup.index, self.kind.fixed) {
            (0x21, 1, 0x0100, 0x0500, false) => {
                self.rate = u32::from_le_bytes(data.try_into().map_err(|_| Stall)?);
                Ok(())
            }
            _ => Err(Stall),
        }
    }

    fn control_in(&mut self, setup: Setup, data: &mut Vec<u8>, _: BusTime) -> Result<(), Stall> {
        match (setup.request_type, setup.request, setup.value, setup.index) {
            (0xa1, 1, 0x0100, 0x0500) => data.extend(self.rate.to_le_bytes()),
            _ => return Err(Stall),
        }
        Ok(())
    }

    fn isoch_out(&mut self, _: u8, data: &[u8], now: BusTime) {
        let began = *self.began.get_or_insert(now.microframe);
        let interval = 1 << (self.kind.interval - 1);
        self.received += data.len() as i64 / 4;
        let played = self.clock(now.microframe - began + interval, 1) as i64;
        self.least = self.least.min(self.received - played);
        self.most = self.most.max(self.received - played);
    }

    fn isoch_in(&mut self, endpoint: u8, buffer: &mut [u8], now: BusTime) -> usize {
        if endpoint == 0x82 {
            // What nobody fetched in its interval is gone.
            let interval = 1 << (self.kind.interval - 1);
            let before = self.clock(now.microframe - interval, 1);
            let samples = self.clock(now.microframe, 1) - before.max(self.recorded);
            self.recorded = before.max(self.recorded) + samples;
            return (samples as usize * 4).min(buffer.len() / 4 * 4);
        }
        // Of what could not be said in 16.16 bits nothing is forgotten.
        let elapsed = now.microframe - self.told.0;
        let value = (self.clock(now.microframe, 1 << 16) - self.told.1) / elapsed.max(1);
        self.told = (now.microframe, self.told.1 + value * elapsed);
        buffer[..4].copy_from_slice(&(value as u32).to_le_bytes());
        4
    }

    fn facts(&self) -> Vec<(&'static str, i64)> {
        vec![("least", self.least), ("most", self.most), ("rate", i64::from(self.rate))]
    }
}

/// Clock source 5 behind a speaker (terminals 1, 2) and a microphone (3, 4).
fn configuration(kind: Kind) -> Vec<u8> {
    let bytes = if kind.interval == 1 { 13 * 4 } else { 97 * 4 };
    let streaming = |interface, link, endpoint, attributes, feedback: &[u8]| {
        let endpoints = if feedback.is_empty() { 1 } else { 2 };
        [
            &[9, 4, interface, 0, 0, 1, 2, 0x20, 0][..],
            &[9, 4, interface, 1, endpoints, 1, 2, 0x20, 0],
            &[16, 0x24, 1, link, 0, 1, 1, 0, 0, 0, 2, 3, 0, 0, 0, 0],
            &[6, 0x24, 2, 1, 2, 16],
            &[7, 5, endpoint, attributes, bytes as u8, (bytes >> 8) as u8, kind.interval],
            &[8, 0x25, 1, 0, 0, 0, 0, 0],
            feedback,
        ]
        .concat()
    };
    let feedback = &[7, 5, 0x81, 0x11, 4, 0, 4][..];
    let (feedback, usage) = if kind.implicit { (&[][..], 0x25) } else { (feedback, 0x05) };
    let mut configuration = [
        &[9, 2, 0, 0, 3, 1, 0, 0x80, 50, 8, 0x0b, 0, 3, 1, 0, 0x20, 0][..],
        &[9, 4, 0, 0, 0, 1, 1, 0x20, 0],
        &[9, 0x24, 1, 0, 2, 8, 75, 0, 0],
        &[8, 0x24, 0x0a, 5, 1, 3, 0, 0],
        &[17, 0x24, 2, 1, 1, 1, 0, 5, 2, 3, 0, 0, 0, 0, 0, 0, 0],
        &[12, 0x24, 3, 2, 1, 3, 0, 1, 5, 0, 0, 0],
        &[17, 0x24, 2, 3, 1, 2, 0, 5, 2, 3, 0, 0, 0, 0, 0, 0, 0],
        &[12, 0x24, 3, 4, 1, 1, 0, 3, 5, 0, 0, 0],
        &streaming(1, 1, 0x01, 0x05, feedback),
        &streaming(2, 4, 0x82, usage, &[]),
    ]
    .concat();
    let length = configuration.len() as u16;
    configuration[2..4].copy_from_slice(&length.to_le_bytes());
    configuration
}

fn plug(kind: Kind) -> (VirtualBus, isoch::Device) {
    let bus = VirtualBus::builder().clock(BusClock::OnWait).build();
    bus.plug("instrument", Box::new(Instrument::new(kind))).unwrap();
    let device = bus.open("instrument").unwrap();
    (bus, device)
}

#[test]
fn every_way_to_tell_a_rate_is_followed() {
    for (implicit, interval, ppm) in
        [(false, 1, 200), (false, 4, -200), (true, 1, -200), (true, 4, 200), (true, 2, 200), (false, 2, 200)]
    {
        let kind = Kind { implicit, interval, ppm, fixed: false };
        for feedback in [true, false] {
            let (bus, device) = plug(kind);
            let format = format(&device, Direction::Out, 44_100, 16, 2);
            assert_eq!(format.version, AudioVersion::Two);
            assert_eq!(matches!(format.feedback, Feedback::Implicit { endpoint: 0x82 }), implicit);
            let options = StreamOptions { feedback, ..StreamOptions::default() };
            let mut player = Player::open(&device, &format, 44_100, options).unwrap();
            assert_eq!(fact(&bus, "instrument", "rate"), 44_100);
            let minute = vec![0; 44_100 * 4 * 60];
            let played = player.play(&mut &minute[..], &mut |_| {}, &false.into()).unwrap();
            assert_eq!((played.sample_frames, played.statistics.gaps), (44_100 * 60, 0));
            let (least, most) = (fact(&bus, "instrument", "least"), fact(&bus, "instrument", "most"));
            // 200 ppm of a minute are 529 samples.
            let (followed, drifted) = (least > -60 && most < 60, least < -400 || most > 400);
            assert_eq!((followed, drifted), (feedback, !feedback), "{kind:?}: {least} to {most}");
            let device_rate = 44_100.0 * (1.0 + ppm as f64 / 1e6);
            let near = |rate: Option<f64>| (rate.unwrap() - device_rate).abs() < 1.5;
            if feedback {
                assert!(near(played.smallest_rate) && near(played.largest_rate), "{kind:?}: {played:?}");
            }
            // Whatever was claimed is free again.
            drop(player);
            device.interface(1).unwrap();
            device.interface(2).unwrap();
        }
    }
}

#[test]
fn a_fixed_clock_says_so() {
    let (_bus, device) = plug(Kind { implicit: false, interval: 4, ppm: 0, fixed: true });
    let format = format(&device, Direction::Out, 48_000, 16, 2);
    let open = |rate| Player::open(&device, &format, rate, StreamOptions::default());
    assert!(open(48_000).is_ok());
    let error = open(44_100).err().unwrap();
    assert!(error.to_string().contains("refuses to run at 44100 Hz"), "{error}");
}

#[test]
fn an_implicit_source_that_is_in_use_is_named() {
    let (_bus, device) = plug(Kind { implicit: true, interval: 4, ppm: 0, fixed: false });
    let format = format(&device, Direction::Out, 48_000, 16, 2);
    let held = device.interface(2).unwrap();
    let open = |feedback| {
        let options = StreamOptions { feedback, ..StreamOptions::default() };
        Player::open(&device, &format, 48_000, options)
    };
    let error = open(true).err().unwrap();
    assert!(matches!(&error, Error::Busy { what, .. } if what == "interface 2"), "{error}");
    assert!(open(false).is_ok());
    drop(held);
    assert!(open(true).is_ok());
    assert_eq!(audio::formats(&device).unwrap().formats.len(), 2);
}
