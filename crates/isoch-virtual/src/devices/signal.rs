//! What a microphone hears.
//!
//! Why prepared bytes instead of computing each sample? A sine of a whole number of hertz repeats after at
//! most one second, so it is a loop like a file is; a packet is then a copy, and the 10⁹th sample is as
//! exact as the first.

use std::f64::consts::TAU;

use super::audio::Format;

/// What happens at the end of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum End {
    /// It starts again.
    #[default]
    Loop,
    /// Nothing more is heard.
    Silence,
}

/// A signal in the bytes of one format.
#[derive(Debug)]
pub(crate) enum Signal {
    /// Sample n is bytes n × block and following; then as `end` says.
    Bytes { bytes: Vec<u8>, end: End },
    /// Every channel of sample n is n, as far as it fits.
    Counter,
}

impl Signal {
    /// A sine of `frequency` hertz: half of full scale on the left (or only) channel, a quarter on the
    /// right one, so that swapped channels can be told apart.
    pub(crate) fn sine(frequency: u32, rate: u32, format: Format) -> Self {
        let period = rate / greatest_common_divisor(rate, frequency);
        let full_scale = f64::from(i32::MAX >> (32 - u32::from(format.bits)));
        let mut bytes = Vec::with_capacity(period as usize * format.block_bytes());
        for n in 0..period {
            let cycles = u64::from(n) * u64::from(frequency) % u64::from(rate);
            let sine = (cycles as f64 / f64::from(rate) * TAU).sin();
            for channel in 0..format.channels {
                let amplitude = if channel == 0 { 0.5 } else { 0.25 };
                encode((sine * amplitude * full_scale).round() as i32, format.bits, &mut bytes);
            }
        }
        Signal::Bytes { bytes, end: End::Loop }
    }

    /// Writes the samples from number `first` on; `out` is a whole number of samples of all channels.
    pub(crate) fn write(&self, mut first: u64, mut out: &mut [u8], format: Format) {
        let block = format.block_bytes();
        match self {
            Signal::Counter => {
                for samples in out.chunks_exact_mut(block) {
                    for sample in samples.chunks_exact_mut(format.sample_bytes()) {
                        sample.copy_from_slice(&first.to_le_bytes()[..sample.len()]);
                    }
                    first += 1;
                }
            }
            Signal::Bytes { bytes, end } => {
                let length = (bytes.len() / block) as u64;
                while !out.is_empty() {
                    if length == 0 || (*end == End::Silence && first >= length) {
                        return out.fill(format.silence());
                    }
                    let from = (first % length) as usize * block;
                    let count = out.len().min(bytes.len() - from);
                    let (now, later) = out.split_at_mut(count);
                    now.copy_from_slice(&bytes[from..from + count]);
                    first += (count / block) as u64;
                    out = later;
                }
            }
        }
    }
}

/// Appends a signed value as a sample: little-endian, and unsigned if it has 8 bits (PCM8).
pub(crate) fn encode(value: i32, bits: u8, bytes: &mut Vec<u8>) {
    match bits {
        8 => bytes.push((value + 128) as u8),
        _ => bytes.extend_from_slice(&value.to_le_bytes()[..usize::from(bits) / 8]),
    }
}

const fn greatest_common_divisor(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
