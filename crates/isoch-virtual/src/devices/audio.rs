//! What speakers and microphones of audio class 1 have in common: formats, descriptors, the rate control.
//!
//! Why audio class 1 and full speed? Because a frame is an interval there, 44.1 kHz does not fit into
//! frames evenly, and every system has a driver for it: the smallest device on which pacing, feedback and
//! frame accounting all matter. "UAC1" below is "Universal Serial Bus Device Class Definition for Audio
//! Devices", release 1.0; its formats are in a separate document, "UAC1 Data Formats".

use isoch_core::rules::{Recipient, RequestKind, Setup, Speed};

use super::descriptors::{Configuration, DeviceDescriptor, Endpoint, append_descriptor, strings};
use super::parameters::{BuildError, Parameters, listed, wrong};
use crate::device::{Descriptors, Stall};

/// Sampling frequencies that audio devices can offer, in hertz.
pub const RATES: [u32; 6] = [8_000, 16_000, 32_000, 44_100, 48_000, 96_000];
/// Bits per sample that audio devices can offer.
pub const BITS: [u8; 4] = [8, 16, 24, 32];
/// Channels that audio devices can offer.
pub const CHANNELS: [u8; 2] = [1, 2];

/// What one alternate setting carries. 8-bit samples are unsigned (format tag PCM8), the others signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Bits per sample: 8, 16, 24 or 32.
    pub bits: u8,
    /// Samples taken at one time: 1 or 2.
    pub channels: u8,
}

impl Format {
    /// Bytes of one sample of one channel (`bSubframeSize`).
    #[must_use]
    pub const fn sample_bytes(self) -> usize {
        self.bits as usize / 8
    }

    /// Bytes of the samples of all channels.
    #[must_use]
    pub const fn block_bytes(self) -> usize {
        self.sample_bytes() * self.channels as usize
    }

    /// The byte that silence is made of.
    #[must_use]
    pub const fn silence(self) -> u8 {
        if self.bits == 8 { 0x80 } else { 0 }
    }
}

/// The formats and rates that a device offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Sampling frequencies in hertz, of [`RATES`].
    pub rates: Vec<u32>,
    /// Bits per sample, of [`BITS`].
    pub bits: Vec<u8>,
    /// Channel counts, of [`CHANNELS`].
    pub channels: Vec<u8>,
}

impl Default for Offer {
    fn default() -> Self {
        Offer { rates: RATES.into(), bits: BITS.into(), channels: CHANNELS.into() }
    }
}

impl Offer {
    pub(crate) fn from_parameters(parameters: &Parameters<'_>) -> Result<Self, BuildError> {
        let all = Offer::default();
        Ok(Offer {
            rates: parameters.selection("rates", &RATES)?.unwrap_or(all.rates),
            bits: parameters.selection("bits", &BITS)?.unwrap_or(all.bits),
            channels: parameters.selection("channels", &CHANNELS)?.unwrap_or(all.channels),
        })
    }

    /// The offer, if audio devices can make it.
    pub(crate) fn check(&self) -> Result<(), BuildError> {
        fn known<T: PartialEq + ToString>(name: &str, given: &[T], known: &[T]) -> Result<(), BuildError> {
            let list = listed(known.iter().map(ToString::to_string));
            match given.iter().find(|item| !known.contains(item)) {
                Some(item) => Err(wrong(name, &item.to_string(), list)),
                None if given.is_empty() => Err(wrong(name, "", format!("one or more of {list}"))),
                None => Ok(()),
            }
        }
        known("rates", &self.rates, &RATES)?;
        known("bits", &self.bits, &BITS)?;
        known("channels", &self.channels, &CHANNELS)
    }

    /// The formats in the order of their alternate settings, which start at 1: fewer bits first, then
    /// fewer channels. With everything on offer 16-bit stereo is alternate setting 4.
    #[must_use]
    pub fn formats(&self) -> Vec<Format> {
        let with = |bits| self.channels.iter().map(move |&channels| Format { bits, channels });
        self.bits.iter().flat_map(|&bits| with(bits)).collect()
    }

    /// The rate after power-up: 48 kHz where offered.
    pub(crate) fn first_rate(&self) -> u32 {
        if self.rates.contains(&48_000) { 48_000 } else { self.rates[0] }
    }

    /// The most samples (of all channels) in a packet: those of the fastest clock in a frame, and one more.
    fn most_samples(&self) -> u16 {
        let fastest = self.rates.iter().copied().max().unwrap_or(0);
        most_samples(fastest) as u16
    }
}

/// The most samples in a packet at a rate: those of a frame, rounded up, and one more for a fast device.
pub(crate) const fn most_samples(rate: u32) -> u32 {
    rate.div_ceil(1000) + 1
}

/// What differs between the descriptors of a speaker and a microphone.
pub(crate) struct Streaming<'a> {
    pub(crate) product: u16,
    pub(crate) name: &'static str,
    /// Terminal types of input and output terminal (UAC1 terminal types §2).
    pub(crate) terminals: [u16; 2],
    /// The terminal that the streaming interface is linked to: 1 is the input terminal, 2 the output one.
    pub(crate) link: u8,
    /// The data endpoint: its address and synchronisation type (`bmAttributes`).
    pub(crate) endpoint: u8,
    pub(crate) attributes: u8,
    /// The feedback endpoint's address and `bRefresh`.
    pub(crate) feedback: Option<(u8, u8)>,
    pub(crate) offer: &'a Offer,
}

impl Streaming<'_> {
    pub(crate) fn descriptors(&self) -> Descriptors {
        let device = DeviceDescriptor { usb: 0x0200, class: [0; 3], vendor: 0x1209, product: self.product };
        let mut configuration = Configuration::new(1)
            .interface(0, 0, [0x01, 0x01, 0])
            .raw(&self.control_interface())
            .interface(1, 0, [0x01, 0x02, 0]);
        for (format, setting) in self.offer.formats().into_iter().zip(1..) {
            configuration = self.setting(configuration, setting, format);
        }
        Descriptors {
            speed: Speed::Full,
            device: device.bytes(),
            configuration: configuration.bytes(),
            strings: strings(self.name),
            bos: None,
        }
    }

    /// The class-specific part of the AudioControl interface (UAC1 §4.3.2): header and two terminals.
    fn control_interface(&self) -> Vec<u8> {
        let channels = self.offer.channels.iter().copied().max().unwrap_or(1);
        // Left and right front, or one channel without a place.
        let places = if channels == 2 { 0x03 } else { 0x00 };
        let [input, output] = self.terminals.map(u16::to_le_bytes);
        let mut units = Vec::new();
        append_descriptor(&mut units, 0x24, &[0x02, 1, input[0], input[1], 0, channels, places, 0, 0, 0]);
        append_descriptor(&mut units, 0x24, &[0x03, 2, output[0], output[1], 0, 1, 0]);
        let [low, high] = ((9 + units.len()) as u16).to_le_bytes();
        let mut bytes = Vec::new();
        append_descriptor(&mut bytes, 0x24, &[0x01, 0x00, 0x01, low, high, 1, 1]);
        bytes.extend_from_slice(&units);
        bytes
    }

    /// An alternate setting of the AudioStreaming interface (UAC1 §4.5, §4.6; Data Formats §2.2.5).
    fn setting(&self, configuration: Configuration, setting: u8, format: Format) -> Configuration {
        let tag = if format.bits == 8 { 0x02 } else { 0x01 };
        let mut types = vec![0x02, 0x01, format.channels, format.sample_bytes() as u8, format.bits];
        types.push(self.offer.rates.len() as u8);
        for rate in &self.offer.rates {
            types.extend_from_slice(&rate.to_le_bytes()[..3]);
        }
        let data = Endpoint {
            address: self.endpoint,
            attributes: self.attributes,
            maximum_packet_size: self.offer.most_samples() * format.block_bytes() as u16,
            interval: 1,
        };
        let configuration = configuration
            .interface(1, setting, [0x01, 0x02, 0])
            .class_specific(0x24, &[0x01, self.link, 1, tag, 0])
            .class_specific(0x24, &types)
            .audio_endpoint(data, 0, self.feedback.map_or(0, |(address, _)| address))
            // Sampling frequency control, nothing else (UAC1 §4.6.1.2).
            .class_specific(0x25, &[0x01, 0x01, 0, 0, 0]);
        let Some((address, refresh)) = self.feedback else { return configuration };
        // UAC1 §4.6.2.1; usage "feedback" as USB 2.0 §9.6.6 has it, which UAC1 is too old to know.
        let feedback = Endpoint { address, attributes: 0x11, maximum_packet_size: 3, interval: 1 };
        configuration.audio_endpoint(feedback, refresh, 0)
    }
}

/// The sampling frequency control of an endpoint (UAC1 §5.2.3.2.3.1).
#[derive(Debug)]
pub(crate) struct RateControl {
    endpoint: u8,
    rates: Vec<u32>,
    pub(crate) rate: u32,
}

impl RateControl {
    pub(crate) fn new(endpoint: u8, offer: &Offer) -> Self {
        RateControl { endpoint, rates: offer.rates.clone(), rate: offer.first_rate() }
    }

    fn is_for_us(&self, setup: Setup) -> bool {
        setup.kind() == RequestKind::Class
            && setup.recipient() == Recipient::Endpoint
            && setup.value == 0x0100
            && setup.index == u16::from(self.endpoint)
    }

    /// SET_CUR; a rate that is not offered is answered with STALL, so that nobody plays at the wrong
    /// pitch. (Other devices round; a host finds out either way by GET_CUR.) True if the rate changed.
    pub(crate) fn set(&mut self, setup: Setup, data: &[u8]) -> Result<bool, Stall> {
        let (true, 0x01, &[low, middle, high]) = (self.is_for_us(setup), setup.request, data) else {
            return Err(Stall);
        };
        let rate = u32::from_le_bytes([low, middle, high, 0]);
        if !self.rates.contains(&rate) {
            return Err(Stall);
        }
        Ok(std::mem::replace(&mut self.rate, rate) != rate)
    }

    /// GET_CUR, GET_MIN and GET_MAX.
    pub(crate) fn get(&self, setup: Setup, data: &mut Vec<u8>) -> Result<(), Stall> {
        let value = match setup.request {
            0x81 => Some(self.rate),
            0x82 => self.rates.iter().copied().min(),
            0x83 => self.rates.iter().copied().max(),
            _ => None,
        };
        let (true, Some(value)) = (self.is_for_us(setup), value) else { return Err(Stall) };
        data.extend_from_slice(&value.to_le_bytes()[..usize::from(setup.length).min(3)]);
        Ok(())
    }
}
