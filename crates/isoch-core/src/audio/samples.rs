//! How the samples of a WAV file become the samples of a stream.
//!
//! Why not a converter? Because for nearly every file and device the bytes are the same, and a copy that
//! can be trusted to be one is worth more than a conversion that might not be. Here stands only which of
//! the two it is.

use super::{SampleFormat, StreamingFormat};

/// What must happen to the samples of a WAV file before a stream can carry them. Backwards, to the samples
/// of a stream that become a WAV file, it is the inverse of the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WavConversion {
    /// Nothing: the bytes are the same. 8-bit WAV (unsigned) and [`SampleFormat::Pcm8`]; 9 to 32 bits WAV
    /// (signed, little-endian, left-justified in whole bytes) and [`SampleFormat::Pcm`] in as many bytes;
    /// 32-bit floating point and [`SampleFormat::Float`].
    Identical,
    /// Each byte's top bit is inverted: 8-bit WAV is unsigned, 8-bit [`SampleFormat::Pcm`] is signed.
    InvertTopBit,
    /// So many zero bytes go before each sample: it is left-justified in a wider subslot.
    ZeroBytesBefore(u8),
    /// Samples would lose bits, or be something else.
    None,
}

impl StreamingFormat {
    /// What makes WAV samples of `bits` bits (`float`: of floating point) into this format.
    #[must_use]
    pub fn wav_conversion(&self, bits: u16, float: bool) -> WavConversion {
        let container = bits.div_ceil(8);
        let subslot = u16::from(self.subslot_bytes);
        if bits > u16::from(self.bits) {
            return WavConversion::None;
        }
        match (self.sample, float, bits) {
            (SampleFormat::Float, true, 32) if subslot == 4 => WavConversion::Identical,
            (SampleFormat::Pcm8, false, 1..=8) if subslot == 1 => WavConversion::Identical,
            (SampleFormat::Pcm, false, 1..=8) if subslot == 1 => WavConversion::InvertTopBit,
            (SampleFormat::Pcm, false, 9..=32) if subslot == container => WavConversion::Identical,
            (SampleFormat::Pcm, false, 9..=32) if subslot > container => {
                // Both fit into a byte: subslots do.
                WavConversion::ZeroBytesBefore(self.subslot_bytes - container as u8)
            }
            _ => WavConversion::None,
        }
    }
}
