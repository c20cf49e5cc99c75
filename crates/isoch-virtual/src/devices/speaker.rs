//! A loudspeaker of audio class 1, full speed, with a clock of its own.
//!
//! Why model the buffer, when the samples could simply be written to a file? Because a host that sends
//! exactly 48 samples per frame sounds perfect in a file, and on a real speaker drops out every few
//! minutes. This one drains its buffer by its own clock (`device_ppm`), asks for what it needs through an
//! explicit feedback endpoint, and counts what went wrong.
//!
//! Interface 1 has alternate settings for every format on offer ([`Offer::formats`] gives the order), data
//! endpoint 0x01, and, unless `sync=adaptive`, feedback endpoint 0x81.

use std::path::PathBuf;

use isoch_core::rules::Setup;

use super::audio::{Format, Offer, RateControl, Streaming};
use super::parameters::{BuildError, Parameters, wrong};
use super::playback::Playback;
use super::wav::{Destination, Recording};
use crate::device::{BusTime, Descriptors, Device, Stall};

/// Where samples go.
pub const DATA_ENDPOINT: u8 = 0x01;
/// Where an asynchronous speaker says how many it wants.
pub const FEEDBACK_ENDPOINT: u8 = 0x81;

/// Who follows whom (USB 2.0 §5.12.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Synchronization {
    /// The device has its own clock; the host follows its feedback.
    #[default]
    Asynchronous,
    /// The device follows the rate at which samples arrive.
    Adaptive,
}

/// How a [`Speaker`] is made.
#[derive(Clone, Debug, PartialEq)]
pub struct SpeakerOptions {
    /// Formats and rates.
    pub offer: Offer,
    /// Who follows whom.
    pub synchronization: Synchronization,
    /// How much faster the device's clock is than the bus, in parts per million, −1000 to 1000.
    pub device_ppm: f64,
    /// Milliseconds of buffer, 4 to 1000; playing starts when it is half full.
    pub buffer: u16,
    /// `bRefresh`, 1 to 9: feedback is new every 2^n frames.
    pub refresh: u8,
    /// A WAV file for what arrives (feature `wav`): written beside it and renamed when the stream ends; a
    /// second stream overwrites it.
    pub save: Option<PathBuf>,
}

impl Default for SpeakerOptions {
    fn default() -> Self {
        SpeakerOptions {
            offer: Offer::default(),
            synchronization: Synchronization::Asynchronous,
            device_ppm: 0.0,
            buffer: 20,
            refresh: 3,
            save: None,
        }
    }
}

/// The speaker, 1209:0001.
#[derive(Debug)]
pub struct Speaker {
    descriptors: Descriptors,
    formats: Vec<Format>,
    rate: RateControl,
    options: SpeakerOptions,
    destination: Option<Destination>,
    /// The format of the alternate setting, while it is not 0.
    streaming: Option<Format>,
    /// The buffer of this stream, or of the last one.
    playback: Option<Playback>,
    /// Bytes of a sample that the last packet cut.
    cut: usize,
    recording: Option<Recording>,
    packets: i64,
    bytes: i64,
    saved: i64,
    save_failures: i64,
}

impl Speaker {
    /// A speaker.
    ///
    /// # Errors
    /// If an option is out of its range, or the directory of `save` cannot be written to.
    pub fn new(options: SpeakerOptions) -> Result<Self, BuildError> {
        options.offer.check()?;
        if !(-1000.0..=1000.0).contains(&options.device_ppm) {
            let given = options.device_ppm.to_string();
            return Err(wrong("device_ppm", &given, "a number from -1000 to 1000"));
        }
        if !(4..=1000).contains(&options.buffer) {
            return Err(wrong("buffer", &options.buffer.to_string(), "a number from 4 to 1000"));
        }
        if !(1..=9).contains(&options.refresh) {
            return Err(wrong("refresh", &options.refresh.to_string(), "a number from 1 to 9"));
        }
        let asynchronous = options.synchronization == Synchronization::Asynchronous;
        let descriptors = Streaming {
            product: 0x0001,
            name: "Speaker",
            terminals: [0x0101, 0x0301],
            link: 1,
            endpoint: DATA_ENDPOINT,
            attributes: if asynchronous { 0x05 } else { 0x09 },
            feedback: asynchronous.then_some((FEEDBACK_ENDPOINT, options.refresh)),
            offer: &options.offer,
        }
        .descriptors();
        Ok(Speaker {
            descriptors,
            formats: options.offer.formats(),
            rate: RateControl::new(DATA_ENDPOINT, &options.offer),
            destination: options.save.clone().map(Destination::new).transpose()?,
            options,
            streaming: None,
            playback: None,
            cut: 0,
            recording: None,
            packets: 0,
            bytes: 0,
            saved: 0,
            save_failures: 0,
        })
    }

    pub(crate) fn from_parameters(parameters: &Parameters<'_>) -> Result<Self, BuildError> {
        let usual = SpeakerOptions::default();
        let synchronizations =
            [("async", Synchronization::Asynchronous), ("adaptive", Synchronization::Adaptive)];
        Speaker::new(SpeakerOptions {
            offer: Offer::from_parameters(parameters)?,
            synchronization: parameters.choice("sync", &synchronizations)?.unwrap_or_default(),
            device_ppm: parameters.fraction("device_ppm", -1000.0..=1000.0)?.unwrap_or(0.0),
            buffer: parameters.number("buffer", 4..=1000)?.unwrap_or(usual.buffer),
            refresh: parameters.number("refresh", 1..=9)?.unwrap_or(usual.refresh),
            save: parameters.text("save").map(PathBuf::from),
        })
    }

    fn start(&mut self, format: Format, now: BusTime) {
        self.streaming = Some(format);
        let adaptive = self.options.synchronization == Synchronization::Adaptive;
        let SpeakerOptions { device_ppm, buffer, refresh, .. } = self.options;
        self.playback = Some(Playback::new(self.rate.rate, device_ppm, buffer, adaptive, refresh, now));
        self.cut = 0;
        self.packets = 0;
        self.bytes = 0;
    }

    fn finish_file(&mut self) {
        if let Some(recording) = self.recording.take() {
            match recording.finish() {
                Ok(()) => self.saved += 1,
                Err(_) => self.save_failures += 1,
            }
        }
    }

    /// Files begin with the first bytes of a stream: one that was only opened leaves the last file alone.
    fn save(&mut self, format: Format, data: &[u8]) {
        let Some(destination) = &self.destination else { return };
        if self.recording.is_none() && !data.is_empty() {
            match destination.create(format, self.rate.rate) {
                Ok(recording) => self.recording = Some(recording),
                Err(_) => return self.give_up_saving(),
            }
        }
        if let Some(recording) = &mut self.recording
            && recording.write(data).is_err()
        {
            self.give_up_saving();
        }
    }

    /// Half a file would look like a whole one: drop it, and stay silent for the rest of the program.
    fn give_up_saving(&mut self) {
        self.save_failures += 1;
        self.destination = None;
        self.recording = None;
    }
}

impl Device for Speaker {
    fn descriptors(&self) -> &Descriptors {
        &self.descriptors
    }

    fn control_out(&mut self, setup: Setup, data: &[u8], now: BusTime) -> Result<(), Stall> {
        let changed = self.rate.set(setup, data)?;
        if let (true, Some(format)) = (changed, self.streaming) {
            // A file has one rate, a buffer too: what comes now is a new stream.
            self.finish_file();
            self.start(format, now);
        }
        Ok(())
    }

    fn control_in(&mut self, setup: Setup, data: &mut Vec<u8>, _now: BusTime) -> Result<(), Stall> {
        self.rate.get(setup, data)
    }

    fn alternate_setting(&mut self, interface: u8, setting: u8, now: BusTime) {
        if interface != 1 {
            return;
        }
        self.finish_file();
        match self.formats.get(usize::from(setting).wrapping_sub(1)) {
            Some(&format) => self.start(format, now),
            None => self.streaming = None,
        }
    }

    fn isoch_out(&mut self, endpoint: u8, data: &[u8], now: BusTime) {
        let (Some(format), DATA_ENDPOINT) = (self.streaming, endpoint) else { return };
        self.packets += 1;
        self.bytes += data.len() as i64;
        let bytes = self.cut + data.len();
        self.cut = bytes % format.block_bytes();
        if let Some(playback) = &mut self.playback {
            playback.arrive(bytes / format.block_bytes(), now);
        }
        self.save(format, data);
    }

    fn isoch_in(&mut self, endpoint: u8, buffer: &mut [u8], now: BusTime) -> usize {
        let (Some(_), FEEDBACK_ENDPOINT, Some(playback)) = (self.streaming, endpoint, self.playback.as_mut())
        else {
            return 0;
        };
        let value = playback.feedback(now).to_le_bytes();
        let length = buffer.len().min(3);
        buffer[..length].copy_from_slice(&value[..length]);
        length
    }

    fn released(&mut self, _now: BusTime) {
        self.streaming = None;
        self.finish_file();
    }

    fn facts(&self) -> Vec<(&'static str, i64)> {
        let mut facts = vec![
            ("rate_hertz", i64::from(self.rate.rate)),
            ("packets_received", self.packets),
            ("bytes_received", self.bytes),
        ];
        if let Some(playback) = &self.playback {
            let counts = playback.counts;
            let (least, most) = counts.fill.unwrap_or((0, 0));
            facts.extend([
                ("samples_received", counts.received),
                ("samples_played", counts.played),
                ("underruns", counts.underruns),
                ("overruns", counts.overruns),
                ("samples_overflowed", counts.overflowed),
                ("fill_samples", playback.fill()),
                ("fill_least", least),
                ("fill_most", most),
            ]);
        }
        if self.options.save.is_some() {
            facts.extend([("files_saved", self.saved), ("files_failed", self.save_failures)]);
        }
        facts
    }
}
