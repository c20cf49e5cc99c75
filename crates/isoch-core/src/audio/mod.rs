//! Which sample formats a USB Audio Class device streams, and through which endpoints.
//!
//! Why not just take the first alternate setting with an isochronous endpoint? Because a setting fixes
//! channels, sample width and rates, and a device has several; sent to the wrong one, good samples are
//! noise, and nothing on the bus says so. And why are unusable settings listed, not dropped? Because "no
//! 24-bit stereo" can mean that the device has none, or that its descriptor is broken: who asks wants to
//! know which.
//!
//! Class versions 1.0 and 2.0 are read, format type I (uncompressed samples). Version 2.0 leaves the rates
//! out of its descriptors: they are asked of a clock entity, see [`Rates::Clock`] and [`request`].
//!
//! "UAC1 §x" is the *Device Class Definition for Audio Devices* 1.0, "UAC2 §x" its release 2.0, "Formats1"
//! and "Formats2" are the companion *Data Formats* documents.

mod choose;
mod parse;
pub mod request;
mod samples;
#[cfg(test)]
mod tests;

pub use choose::{NoMatch, Wanted, choose};
pub use parse::{Malformed, streaming_formats};
pub use samples::WavConversion;

use crate::rules::Direction;
use std::fmt;

/// The release of the audio class that an interface follows (`bInterfaceProtocol`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AudioVersion {
    /// 1.0.
    One,
    /// 2.0.
    Two,
}

/// How a sample is written in its subslot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SampleFormat {
    /// Two's complement, little-endian, left-justified in the subslot (Formats1 §2.2.5).
    Pcm,
    /// Unsigned with an offset of 128, as 8-bit WAV files are (Formats1 §2.2.5, `PCM8`).
    Pcm8,
    /// IEEE 754, 32 bits.
    Float,
    /// Another, by its UAC1 `wFormatTag`: 4 A-law, 5 µ-law (Formats1 §A.1.1). UAC2's format bits are
    /// translated to these tags.
    Other(u16),
}

impl fmt::Display for SampleFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SampleFormat::Pcm => f.write_str("PCM"),
            SampleFormat::Pcm8 => f.write_str("unsigned PCM"),
            SampleFormat::Float => f.write_str("floating point"),
            SampleFormat::Other(4) => f.write_str("A-law"),
            SampleFormat::Other(5) => f.write_str("µ-law"),
            SampleFormat::Other(tag) => write!(f, "format {tag:#06x}"),
        }
    }
}

/// The sample rates of a setting, in Hz.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rates {
    /// These.
    Discrete(Vec<u32>),
    /// Any from the first to the second.
    Range(u32, u32),
    /// UAC2: not in the descriptors. Ask the clock for its range, [`request::clock_range`].
    Clock {
        /// The AudioControl interface to ask.
        interface: u8,
        /// The clock source or selector behind the terminal of this stream; `None` if the descriptors do
        /// not lead to one.
        entity: Option<u8>,
    },
}

impl Rates {
    /// Whether `rate` is among them; `None` if the descriptors do not say.
    #[must_use]
    pub fn contain(&self, rate: u32) -> Option<bool> {
        match self {
            Rates::Discrete(rates) => Some(rates.contains(&rate)),
            Rates::Range(lowest, highest) => Some((*lowest..=*highest).contains(&rate)),
            Rates::Clock { .. } => None,
        }
    }
}

impl fmt::Display for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rates::Discrete(rates) => {
                for (index, rate) in rates.iter().enumerate() {
                    write!(f, "{}{rate}", if index == 0 { "" } else { ", " })?;
                }
                f.write_str(" Hz")
            }
            Rates::Range(lowest, highest) => write!(f, "{lowest} to {highest} Hz"),
            Rates::Clock { entity: Some(entity), .. } => write!(f, "rates of clock {entity}"),
            Rates::Clock { entity: None, .. } => f.write_str("unknown rates"),
        }
    }
}

/// Whose clock an endpoint follows (bits 3–2 of `bmAttributes`; USB 2.0 §5.12.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Synchronisation {
    /// Not said.
    None,
    /// The device's own: a sink must say how much it wants, by feedback.
    Asynchronous,
    /// The data's: a sink plays as fast as it is sent.
    Adaptive,
    /// The bus's frames.
    Synchronous,
}

impl fmt::Display for Synchronisation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Synchronisation::None => "unsynchronised",
            Synchronisation::Asynchronous => "asynchronous",
            Synchronisation::Adaptive => "adaptive",
            Synchronisation::Synchronous => "synchronous",
        })
    }
}

/// Where a stream's rate is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Feedback {
    /// Nowhere.
    None,
    /// By an endpoint of the same alternate setting (USB 2.0 §5.12.4.2).
    Explicit {
        /// Its address.
        endpoint: u8,
        /// Its `bInterval`.
        interval: u8,
        /// UAC1 `bRefresh`: a new value every 2^this frames (UAC1 §4.6.2.1). `None` where there is none;
        /// `interval` tells then.
        refresh_log2: Option<u8>,
        /// The bytes of its packets, at most.
        max_packet_bytes: u32,
    },
    /// By how much a data endpoint of the other direction carries.
    Implicit {
        /// That endpoint's address.
        endpoint: u8,
    },
}

/// One format that one alternate setting can stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamingFormat {
    /// The release of the audio class it is described by.
    pub version: AudioVersion,
    /// The AudioStreaming interface.
    pub interface: u8,
    /// The alternate setting to select.
    pub alternate_setting: u8,
    /// The data endpoint's address.
    pub endpoint: u8,
    /// OUT plays, IN records.
    pub direction: Direction,
    /// Channels, interleaved.
    pub channels: u8,
    /// Bytes that one sample of one channel takes (`bSubframeSize`, `bSubslotSize`).
    pub subslot_bytes: u8,
    /// Bits of those that are used, from the top.
    pub bits: u8,
    /// How samples are written.
    pub sample: SampleFormat,
    /// The rates it can run at.
    pub rates: Rates,
    /// Whether the rate is set at the endpoint, [`request::set_endpoint_rate`] (UAC1 §4.6.1.2, D0).
    pub rate_control: bool,
    /// Where its rate is told.
    pub feedback: Feedback,
    /// Whose clock it follows.
    pub synchronisation: Synchronisation,
    /// The endpoint's `bInterval`: a packet every 2^(this − 1) frames or, at high speed and above,
    /// microframes.
    pub interval: u8,
    /// The most bytes of one service interval, additional transactions included.
    pub max_packet_bytes: u32,
    /// Whether every packet must be of full size (UAC1 §4.6.1.2, D7).
    pub max_packets_only: bool,
}

impl StreamingFormat {
    /// The bytes of one sample of all channels (an *audio slot*, Formats1 §2.2.2).
    #[must_use]
    pub fn slot_bytes(&self) -> u32 {
        u32::from(self.channels) * u32::from(self.subslot_bytes)
    }
}

/// "1 channel", "2 channels".
fn counted(count: u8, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

impl fmt::Display for StreamingFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "interface {} alternate setting {}, endpoint {:#04x} {}: {}, {} bits {} in {}, {}, {}",
            self.interface,
            self.alternate_setting,
            self.endpoint,
            self.direction,
            counted(self.channels, "channel"),
            self.bits,
            self.sample,
            counted(self.subslot_bytes, "byte"),
            self.rates,
            self.synchronisation,
        )
    }
}

/// An alternate setting of an audio streaming interface that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// The interface.
    pub interface: u8,
    /// Its alternate setting.
    pub alternate_setting: u8,
    /// Why.
    pub reason: UnsupportedReason,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "interface {} alternate setting {}: {}",
            self.interface, self.alternate_setting, self.reason
        )
    }
}

/// Why an alternate setting cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UnsupportedReason {
    /// `bInterfaceProtocol` names a release of the class that is not known here.
    Protocol(u8),
    /// It has endpoints, but none that carries isochronous data.
    NoDataEndpoint,
    /// Its data endpoint carries no bytes.
    EmptyEndpoint,
    /// No `AS_GENERAL` descriptor, or one too short, at this offset of the configuration.
    NoGeneral(usize),
    /// No `FORMAT_TYPE` descriptor, or one too short, at this offset of the configuration.
    NoFormatType(usize),
    /// A format type other than I.
    FormatType(u8),
    /// UAC2: no bit of `bmFormats` is one that is known here.
    Formats(u32),
    /// No channels, no bytes per sample, or more bits than these hold.
    SampleSize,
    /// The list of rates is empty, or upside down.
    NoRates,
}

impl fmt::Display for UnsupportedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UnsupportedReason::Protocol(protocol) => {
                write!(f, "audio class protocol {protocol:#04x} is not supported (1.0 and 2.0 are)")
            }
            UnsupportedReason::NoDataEndpoint => f.write_str("no isochronous data endpoint"),
            UnsupportedReason::EmptyEndpoint => f.write_str("the data endpoint has packets of 0 bytes"),
            UnsupportedReason::NoGeneral(offset) => {
                write!(f, "no complete AS_GENERAL descriptor (byte {offset} of the configuration)")
            }
            UnsupportedReason::NoFormatType(offset) => {
                write!(f, "no complete FORMAT_TYPE descriptor (byte {offset} of the configuration)")
            }
            UnsupportedReason::FormatType(kind) => {
                write!(f, "format type {kind} is not supported (type I, uncompressed samples, is)")
            }
            UnsupportedReason::Formats(bits) => write!(f, "formats {bits:#010x} are not known"),
            UnsupportedReason::SampleSize => f.write_str("its sample size makes no sense"),
            UnsupportedReason::NoRates => f.write_str("it lists no sample rate"),
        }
    }
}

/// What a configuration's audio streaming interfaces offer.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Streaming {
    /// The formats, in the order of the descriptors.
    pub formats: Vec<StreamingFormat>,
    /// The settings that carry something else, or are broken.
    pub unsupported: Vec<Unsupported>,
}
