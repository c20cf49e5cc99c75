//! Choosing a format, and saying what there is instead.

use super::{Rates, SampleFormat, Streaming, StreamingFormat};
use crate::rules::Direction;
use std::fmt;

/// What somebody wants to stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// OUT plays, IN records.
    pub direction: Direction,
    /// Channels.
    pub channels: u8,
    /// Bits of a sample.
    pub bits: u8,
    /// Whether samples are floating point.
    pub float: bool,
    /// Samples per second, in Hz.
    pub rate: u32,
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = match self.direction {
            Direction::Out => "playback",
            Direction::In => "recording",
        };
        let float = if self.float { " floating point" } else { "" };
        let channels = super::counted(self.channels, "channel");
        write!(f, "{direction} of {channels}, {} bits{float}, {} Hz", self.bits, self.rate)
    }
}

/// Nothing fits. Its `Display` says what was wanted and lists what there is, line by line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoMatch {
    /// What was wanted.
    pub wanted: Wanted,
    /// The formats of that direction, a line each.
    pub supported: Vec<String>,
    /// The alternate settings that cannot be used, and why, a line each.
    pub unsupported: Vec<String>,
}

impl fmt::Display for NoMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no {}.", self.wanted)?;
        if self.supported.is_empty() {
            f.write_str(" The device offers nothing in this direction")?;
        } else {
            f.write_str(" The device offers:")?;
        }
        for line in &self.supported {
            write!(f, "\n  {line}")?;
        }
        if !self.unsupported.is_empty() {
            f.write_str("\nNot usable:")?;
        }
        for line in &self.unsupported {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}

impl std::error::Error for NoMatch {}

/// The format for what is wanted: these channels and bits exactly, at this rate.
///
/// Among several, a rate that is listed comes before one that only a clock knows, samples that are
/// [identical](super::WavConversion::Identical) to a WAV file's before others, then the first of the
/// descriptors. Where the format has [`Rates::Clock`], the clock must still be asked.
///
/// # Errors
///
/// [`NoMatch`], with everything that there is.
pub fn choose(streaming: &Streaming, wanted: Wanted) -> Result<&StreamingFormat, NoMatch> {
    let cost = |format: &&StreamingFormat| {
        let identical = format.wav_conversion(u16::from(wanted.bits), wanted.float);
        (matches!(format.rates, Rates::Clock { .. }), identical != super::WavConversion::Identical)
    };
    let same_direction = || streaming.formats.iter().filter(|format| format.direction == wanted.direction);
    same_direction().filter(|format| fits(format, wanted)).min_by_key(cost).ok_or_else(|| NoMatch {
        wanted,
        supported: same_direction().map(ToString::to_string).collect(),
        unsupported: streaming.unsupported.iter().map(ToString::to_string).collect(),
    })
}

fn fits(format: &StreamingFormat, wanted: Wanted) -> bool {
    let sample = match format.sample {
        SampleFormat::Pcm | SampleFormat::Pcm8 => !wanted.float,
        SampleFormat::Float => wanted.float,
        SampleFormat::Other(_) => false,
    };
    sample
        && format.channels == wanted.channels
        && format.bits == wanted.bits
        && format.rates.contain(wanted.rate) != Some(false)
}
