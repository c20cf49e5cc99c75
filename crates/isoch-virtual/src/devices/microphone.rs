//! A microphone of audio class 1, full speed, with a clock of its own.
//!
//! Why not send the same number of samples in every packet? Because no real microphone does: at 44.1 kHz
//! nine packets have 44 samples and one has 45, and a device that is 100 ppm fast slips in one more every
//! few hundred packets. Programs that count packets instead of samples go wrong only then.
//!
//! The packet of a frame carries what was sampled in the frame before it. If the host does not ask in a
//! frame, that frame's samples are gone, as with devices that prepare one packet per start of frame; the
//! signal moves on, so the hole can be heard and counted. Data endpoint 0x81 in interface 1.

use std::path::PathBuf;

use isoch_core::rules::Setup;

use super::audio::{Format, Offer, RateControl, Streaming};
use super::parameters::{BuildError, Parameters, wrong};
use super::sample_clock::SampleClock;
use super::signal::{End, Signal};
use super::wav::{self, Sound};
use crate::device::{BusTime, Descriptors, Device, Stall};

/// Where samples come from.
pub const DATA_ENDPOINT: u8 = 0x81;

/// What the microphone hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A sine of this many hertz, 1 to 20000: half of full scale on the left or only channel, a quarter on
    /// the right one.
    Sine(u32),
    /// Each sample is its own number (little-endian, its low bits), the same in all channels: proves that
    /// nothing is missing.
    Counter,
    /// A WAV file (feature `wav`). The microphone then offers the file's format only.
    File {
        /// Where it is.
        path: PathBuf,
        /// What happens at its end.
        end: End,
    },
}

/// How a [`Microphone`] is made.
#[derive(Clone, Debug, PartialEq)]
pub struct MicrophoneOptions {
    /// Formats and rates.
    pub offer: Offer,
    /// How much faster the device's clock is than the bus, in parts per million, −1000 to 1000.
    pub device_ppm: f64,
    /// What it hears.
    pub source: Source,
}

impl Default for MicrophoneOptions {
    fn default() -> Self {
        MicrophoneOptions { offer: Offer::default(), device_ppm: 0.0, source: Source::Sine(1000) }
    }
}

/// The microphone, 1209:0004.
#[derive(Debug)]
pub struct Microphone {
    descriptors: Descriptors,
    formats: Vec<Format>,
    rate: RateControl,
    device_ppm: f64,
    source: Source,
    /// The signal for the current format and rate.
    signal: Signal,
    stream: Option<Stream>,
    packets: i64,
    samples_sent: i64,
    samples_lost: i64,
}

#[derive(Debug)]
struct Stream {
    format: Format,
    clock: SampleClock,
    /// The frame of the last packet.
    last: Option<u64>,
    /// The number of the next sample.
    position: u64,
}

impl Microphone {
    /// A microphone.
    ///
    /// # Errors
    /// If an option is out of its range, or the file cannot be read or has a format that is not offered.
    pub fn new(mut options: MicrophoneOptions) -> Result<Self, BuildError> {
        options.offer.check()?;
        if !(-1000.0..=1000.0).contains(&options.device_ppm) {
            let given = options.device_ppm.to_string();
            return Err(wrong("device_ppm", &given, "a number from -1000 to 1000"));
        }
        let mut signal = Signal::Counter;
        match &options.source {
            Source::Sine(frequency) if !(1..=20_000).contains(frequency) => {
                return Err(wrong("frequency", &frequency.to_string(), "a number from 1 to 20000"));
            }
            Source::Sine(_) | Source::Counter => {}
            Source::File { path, end } => {
                let sound = wav::read(path)?;
                options.offer = only(&options.offer, &sound, path)?;
                signal = Signal::Bytes { bytes: sound.bytes, end: *end };
            }
        }
        let descriptors = Streaming {
            product: 0x0004,
            name: "Microphone",
            terminals: [0x0201, 0x0101],
            link: 2,
            endpoint: DATA_ENDPOINT,
            attributes: 0x05,
            feedback: None,
            offer: &options.offer,
        }
        .descriptors();
        Ok(Microphone {
            descriptors,
            formats: options.offer.formats(),
            rate: RateControl::new(DATA_ENDPOINT, &options.offer),
            device_ppm: options.device_ppm,
            source: options.source,
            signal,
            stream: None,
            packets: 0,
            samples_sent: 0,
            samples_lost: 0,
        })
    }

    pub(crate) fn from_parameters(parameters: &Parameters<'_>) -> Result<Self, BuildError> {
        let combination =
            |parameter, sentence: &str| Err(BuildError::Combination { parameter, sentence: sentence.into() });
        let sine = parameters.choice("signal", &[("sine", true), ("counter", false)])?;
        let frequency = parameters.number("frequency", 1..=20_000)?;
        let end = parameters.choice("end", &[("loop", End::Loop), ("silence", End::Silence)])?;
        let source = match (parameters.text("file"), sine, frequency, end) {
            (Some(path), None, None, end) => Source::File { path: path.into(), end: end.unwrap_or_default() },
            (Some(_), Some(_), _, _) => {
                return combination("signal", "it plays a file or a signal: leave out file or signal");
            }
            (_, _, Some(_), _) if sine == Some(false) || parameters.text("file").is_some() => {
                return combination("frequency", "only signal=sine has a frequency: leave frequency out");
            }
            (None, _, _, Some(_)) => {
                return combination("end", "only a file has an end: give file, or no end");
            }
            (_, Some(false), _, _) => Source::Counter,
            (_, _, frequency, _) => Source::Sine(frequency.unwrap_or(1000)),
        };
        Microphone::new(MicrophoneOptions {
            offer: Offer::from_parameters(parameters)?,
            device_ppm: parameters.fraction("device_ppm", -1000.0..=1000.0)?.unwrap_or(0.0),
            source,
        })
    }

    fn start(&mut self, format: Format) {
        match self.source {
            Source::Sine(frequency) => self.signal = Signal::sine(frequency, self.rate.rate, format),
            Source::Counter => self.signal = Signal::Counter,
            // The only format there is.
            Source::File { .. } => {}
        }
        let clock = SampleClock::new(u64::from(self.rate.rate), self.device_ppm);
        self.stream = Some(Stream { format, clock, last: None, position: 0 });
        self.packets = 0;
        self.samples_sent = 0;
        self.samples_lost = 0;
    }
}

/// The file's format, if it is on offer.
fn only(offer: &Offer, sound: &Sound, path: &std::path::Path) -> Result<Offer, BuildError> {
    let Sound { rate, format: Format { bits, channels }, .. } = *sound;
    if offer.rates.contains(&rate) && offer.bits.contains(&bits) && offer.channels.contains(&channels) {
        return Ok(Offer { rates: vec![rate], bits: vec![bits], channels: vec![channels] });
    }
    Err(BuildError::File {
        parameter: "file",
        path: path.display().to_string(),
        problem: format!(
            "{bits} bits, {channels} channels, {rate} Hz is not on offer: allow it with rates, bits and \
             channels, or leave those out"
        ),
    })
}

impl Device for Microphone {
    fn descriptors(&self) -> &Descriptors {
        &self.descriptors
    }

    fn control_out(&mut self, setup: Setup, data: &[u8], _now: BusTime) -> Result<(), Stall> {
        let changed = self.rate.set(setup, data)?;
        if let (true, Some(stream)) = (changed, &self.stream) {
            self.start(stream.format);
        }
        Ok(())
    }

    fn control_in(&mut self, setup: Setup, data: &mut Vec<u8>, _now: BusTime) -> Result<(), Stall> {
        self.rate.get(setup, data)
    }

    fn alternate_setting(&mut self, interface: u8, setting: u8, _now: BusTime) {
        if interface != 1 {
            return;
        }
        match self.formats.get(usize::from(setting).wrapping_sub(1)) {
            Some(&format) => self.start(format),
            None => self.stream = None,
        }
    }

    fn isoch_in(&mut self, endpoint: u8, buffer: &mut [u8], now: BusTime) -> usize {
        let (Some(stream), DATA_ENDPOINT) = (&mut self.stream, endpoint) else { return 0 };
        let frame = now.frame();
        let frames = stream.last.map_or(1, |last| frame.saturating_sub(last));
        if frames == 0 {
            return 0;
        }
        stream.last = Some(frame);
        let missed = stream.clock.advance((frames - 1) * 8, 0);
        let sampled = stream.clock.advance(8, 0);
        let block = stream.format.block_bytes();
        let sent = sampled.min((buffer.len() / block) as u64);
        let length = sent as usize * block;
        self.signal.write(stream.position + missed, &mut buffer[..length], stream.format);
        stream.position += missed + sampled;
        self.packets += 1;
        self.samples_sent += sent as i64;
        self.samples_lost += (missed + sampled - sent) as i64;
        length
    }

    fn released(&mut self, _now: BusTime) {
        self.stream = None;
    }

    fn facts(&self) -> Vec<(&'static str, i64)> {
        vec![
            ("rate_hertz", i64::from(self.rate.rate)),
            ("packets_sent", self.packets),
            ("samples_sent", self.samples_sent),
            ("samples_lost", self.samples_lost),
        ]
    }
}
