//! Writing WAV files: samples first, the header when it is known.

use std::io::{self, Read, Write};
use std::path::Path;

use isoch::audio::WavConversion;

use super::{EXTENSIBLE, PCM, WavFormat};
use crate::output::Output;

/// The most bytes of samples that a header can tell of, with room for the rest of the file.
const MOST_BYTES: u64 = u32::MAX as u64 - 128;

/// A WAV file that is being written. Without [`WavOutput::finish`] there will be none.
pub(crate) struct WavOutput {
    to: Output,
    format: WavFormat,
    conversion: WavConversion,
    bytes: u64,
    /// How many bytes there may be.
    most: u64,
}

impl WavOutput {
    /// `slots`: how many samples (of every channel) are wanted at most.
    pub(crate) fn new(
        mut to: Output,
        format: WavFormat,
        conversion: WavConversion,
        slots: Option<u64>,
    ) -> io::Result<Self> {
        to.write_all(&header(format, 0))?;
        let slot = format.slot_bytes();
        let wanted = slots.map_or(u64::MAX, |slots| slots.saturating_mul(slot));
        let most = wanted.min(MOST_BYTES - MOST_BYTES % slot);
        Ok(WavOutput { to, format, conversion, bytes: 0, most })
    }

    /// Samples as the device sent them. What is more than wanted is left out.
    pub(crate) fn write(&mut self, samples: &[u8]) -> io::Result<()> {
        match self.conversion {
            WavConversion::InvertTopBit => {
                for byte in samples {
                    self.put(&[byte ^ 0x80])?;
                }
                Ok(())
            }
            WavConversion::ZeroBytesBefore(zeros) => {
                let container = usize::from(self.format.bits / 8);
                for sample in samples.chunks_exact(container + usize::from(zeros)) {
                    self.put(&sample[usize::from(zeros)..])?;
                }
                Ok(())
            }
            WavConversion::Identical | WavConversion::None => self.put(samples),
        }
    }

    /// Silence, as long as so many samples of every channel.
    pub(crate) fn write_silence(&mut self, slots: u64) -> io::Result<()> {
        let bytes = slots.saturating_mul(self.format.slot_bytes()).min(self.most - self.bytes);
        let silence = if self.format.bits == 8 { 0x80 } else { 0 };
        self.bytes += bytes;
        io::copy(&mut io::repeat(silence).take(bytes), &mut self.to).map(|_| ())
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        let room = usize::try_from(self.most - self.bytes).unwrap_or(usize::MAX);
        let taken = &bytes[..bytes.len().min(room)];
        self.bytes += taken.len() as u64;
        self.to.write_all(taken)
    }

    /// Whether the file is as long as it may be.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes == self.most
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes < self.format.slot_bytes()
    }

    pub(crate) fn target(&self) -> &Path {
        self.to.target()
    }

    /// Completes the file and gives it its name.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        // A packet that failed in the middle of a sample leaves a part of one.
        let slot = self.format.slot_bytes();
        let missing = (slot - self.bytes % slot) % slot;
        io::copy(&mut io::repeat(0).take(missing), &mut self.to)?;
        self.bytes += missing;
        if self.bytes % 2 == 1 {
            self.to.write_all(&[0])?;
        }
        let header = header(self.format, self.bytes);
        self.to.rewrite_start(&header)?;
        self.to.finish()
    }
}

/// The header: plain, or extensible where the plain form is not defined (more than 16 bits or 2 channels).
pub(super) fn header(format: WavFormat, bytes: u64) -> Vec<u8> {
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    let extensible = format.bits > 16 || format.channels > 2;
    let length: u32 = if extensible { 40 } else { 16 };
    let slot = u32::try_from(format.slot_bytes()).unwrap_or(u32::MAX);
    let mut header = Vec::with_capacity(68);
    header.extend_from_slice(b"RIFF");
    header.extend((4 + 8 + length + 8).saturating_add(bytes + bytes % 2).to_le_bytes());
    header.extend_from_slice(b"WAVEfmt ");
    header.extend(length.to_le_bytes());
    header.extend(if extensible { EXTENSIBLE } else { PCM }.to_le_bytes());
    header.extend(format.channels.to_le_bytes());
    header.extend(format.rate.to_le_bytes());
    header.extend(format.rate.saturating_mul(slot).to_le_bytes());
    header.extend((slot as u16).to_le_bytes());
    header.extend(format.bits.to_le_bytes());
    if extensible {
        // Speakers from the front left one on, as many as there are channels.
        let speakers = if format.channels <= 18 { (1_u32 << format.channels) - 1 } else { 0 };
        header.extend(22_u16.to_le_bytes());
        header.extend(format.bits.to_le_bytes());
        header.extend(speakers.to_le_bytes());
        header.extend(PCM.to_le_bytes());
        header.extend_from_slice(b"\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71");
    }
    header.extend_from_slice(b"data");
    header.extend(bytes.to_le_bytes());
    header
}
