//! WAV files, as bytes.
//!
//! Why not a library that gives samples? Because nearly every device wants the very bytes that the file has,
//! and a copy is sure to be one if nothing takes it apart. What remains is a header to read, which here must
//! also be judged (a cut file plays well, up to the cut), and one to write.

mod read;
mod write;

pub(crate) use read::{Converted, WavFile, at_most, open};
pub(crate) use write::WavOutput;

/// What the samples are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WavFormat {
    pub(crate) channels: u16,
    pub(crate) rate: u32,
    /// Bits of a sample as it lies in the file: whole bytes.
    pub(crate) bits: u16,
}

impl WavFormat {
    /// Bytes of one sample of every channel.
    pub(crate) fn slot_bytes(self) -> u64 {
        u64::from(self.channels) * u64::from(self.bits / 8)
    }
}

const PCM: u16 = 1;
const FLOAT: u16 = 3;
const EXTENSIBLE: u16 = 0xfffe;
