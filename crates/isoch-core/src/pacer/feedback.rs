//! Feedback values: how fast an asynchronous sink really plays.
//!
//! Why not trust the format that the speed prescribes? Because devices get it wrong, and a value read with
//! the wrong point is wrong by a power of two: noise or silence. USB 2.0 §5.12.4.2 has 10.14 samples per
//! *frame* in 3 bytes at full speed and 16.16 (12.13 earlier) per *microframe* in 4 bytes at high
//! speed; devices of either kind send the other, in 3 or 4 bytes. As the nominal rate is known and no sink
//! is far off it, the position of the point is found as Linux's audio driver finds it: it is the one that
//! brings the value into −25 % … +50 % of nominal. That range spans a factor of two, so there is just one.

use super::SampleRate;
use thiserror::Error;

/// Bits behind the point of a 16.16 value.
const POINT: u32 = 16;

/// Shifts that some known format needs, relative to 16.16 per microframe. Linux tries all; a value that
/// needs more than these is noise.
const SHIFTS: std::ops::RangeInclusive<i8> = -4..=6;

/// How the device writes its feedback values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FeedbackFormat {
    /// 10.14 samples per frame: full speed.
    TenFourteenPerFrame,
    /// 16.16 samples per microframe: high speed.
    SixteenSixteenPerMicroframe,
    /// Against the specification: to be multiplied by two to this power to become 16.16 per microframe.
    Shifted(i8),
}

impl FeedbackFormat {
    fn from_shift(shift: i8) -> Self {
        match shift {
            0 => FeedbackFormat::SixteenSixteenPerMicroframe,
            -1 => FeedbackFormat::TenFourteenPerFrame,
            other => FeedbackFormat::Shifted(other),
        }
    }
}

/// A feedback value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feedback {
    /// As the device sent it.
    pub raw: u32,
    /// The format in which it makes sense.
    pub format: FeedbackFormat,
    shift: i8,
}

impl Feedback {
    /// Samples per second that it stands for.
    #[must_use]
    pub fn hz(&self) -> f64 {
        f64::from(self.raw) * f64::from(self.shift).exp2() / 65_536.0 * 8000.0
    }

    /// Samples per microframe times `scale`, rounded down. Exact if `scale` is a multiple of 2^20.
    pub(super) fn per_microframe(&self, scale: u128) -> u128 {
        let exponent = POINT as i32 - i32::from(self.shift);
        (u128::from(self.raw) * scale) >> exponent.clamp(0, 127)
    }
}

/// Why a feedback packet was not obeyed. The rate stays as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FeedbackError {
    /// Shorter than any feedback value. Devices send empty packets while they have nothing to say.
    #[error("a feedback packet of {length} bytes: at least 3 are needed")]
    TooShort {
        /// Its length in bytes.
        length: usize,
    },
    /// Zero, which devices send before they have measured anything.
    #[error("a feedback value of zero")]
    Zero,
    /// Not within −25 % … +50 % of the nominal rate in any format (or not in the format found before, which
    /// is then forgotten).
    #[error("the feedback value {raw:#x} is not within -25 % to +50 % of the nominal rate")]
    OutOfRange {
        /// The value.
        raw: u32,
    },
}

/// Reads the feedback packets of one endpoint.
#[derive(Clone, Debug)]
pub struct FeedbackDecoder {
    nominal: SampleRate,
    shift: Option<i8>,
    ignored: u64,
}

impl FeedbackDecoder {
    /// For a sink whose nominal rate is `nominal`.
    #[must_use]
    pub fn new(nominal: SampleRate) -> Self {
        FeedbackDecoder { nominal, shift: None, ignored: 0 }
    }

    /// How many packets were not obeyed.
    #[must_use]
    pub fn ignored(&self) -> u64 {
        self.ignored
    }

    /// The format the device was found to use.
    #[must_use]
    pub fn format(&self) -> Option<FeedbackFormat> {
        self.shift.map(FeedbackFormat::from_shift)
    }

    /// Reads a packet: 3 bytes as 24 bits, of longer ones the first 4 as 28 bits, little-endian (as Linux's
    /// audio driver does).
    ///
    /// # Errors
    /// See [`FeedbackError`]. Each is counted, and none needs handling: feedback comes again.
    pub fn decode(&mut self, packet: &[u8]) -> Result<Feedback, FeedbackError> {
        let result = self.try_decode(packet);
        self.ignored = self.ignored.saturating_add(u64::from(result.is_err()));
        result
    }

    fn try_decode(&mut self, packet: &[u8]) -> Result<Feedback, FeedbackError> {
        let raw = match *packet {
            [a, b, c] => u32::from_le_bytes([a, b, c, 0]),
            [a, b, c, d, ..] => u32::from_le_bytes([a, b, c, d & 0x0f]),
            _ => return Err(FeedbackError::TooShort { length: packet.len() }),
        };
        if raw == 0 {
            return Err(FeedbackError::Zero);
        }
        let shift = match self.shift {
            Some(shift) => Some(shift).filter(|shift| self.in_range(raw, *shift)),
            None => SHIFTS.into_iter().find(|shift| self.in_range(raw, *shift)),
        };
        self.shift = shift;
        let shift = shift.ok_or(FeedbackError::OutOfRange { raw })?;
        Ok(Feedback { raw, format: FeedbackFormat::from_shift(shift), shift })
    }

    /// Whether `raw`, shifted, is within −25 % … +50 % of nominal.
    fn in_range(&self, raw: u32, shift: i8) -> bool {
        // Both sides in samples per second, times 2^24 and the rate's denominator.
        let up = (8 + i32::from(shift)).clamp(0, 32) as u32;
        let value = (u128::from(raw) << up) * 8000 * u128::from(self.nominal.denominator());
        let nominal = u128::from(self.nominal.numerator()) << (POINT + 8);
        value * 4 >= nominal * 3 && value * 2 <= nominal * 3
    }
}

/// `samples / frames` in 10.14, for a full-speed feedback endpoint: samples per frame, rounded to the
/// nearest. `None` if it does not fit (1024 samples and above) or `frames` is 0.
#[must_use]
pub fn encode_10_14(samples: u64, frames: u64) -> Option<[u8; 3]> {
    let value = fixed_point(samples, frames, 14)?;
    match value.to_le_bytes() {
        [a, b, c, 0] => Some([a, b, c]),
        _ => None,
    }
}

/// `samples / microframes` in 16.16, for a high-speed feedback endpoint: samples per microframe, rounded to
/// the nearest. `None` if it does not fit (65536 samples and above) or `microframes` is 0.
#[must_use]
pub fn encode_16_16(samples: u64, microframes: u64) -> Option<[u8; 4]> {
    fixed_point(samples, microframes, 16).map(u32::to_le_bytes)
}

fn fixed_point(numerator: u64, denominator: u64, bits: u32) -> Option<u32> {
    let doubled = (u128::from(numerator) << (bits + 1)).checked_div(u128::from(denominator))?;
    u32::try_from((doubled + 1) >> 1).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hz(rate: u32) -> SampleRate {
        SampleRate::hz(rate).unwrap()
    }

    #[test]
    fn the_specified_formats_are_read_as_the_kernel_reads_them() {
        let mut decoder = FeedbackDecoder::new(hz(48_000));
        let full = decoder.decode(&[0x00, 0x00, 0x0c]).unwrap();
        assert_eq!(full.format, FeedbackFormat::TenFourteenPerFrame);
        assert_eq!(full.hz(), 48_000.0);

        let mut decoder = FeedbackDecoder::new(hz(48_000));
        let high = decoder.decode(&[0x00, 0x00, 0x06, 0x00]).unwrap();
        assert_eq!(high.format, FeedbackFormat::SixteenSixteenPerMicroframe);
        assert_eq!(high.hz(), 48_000.0);
        assert_eq!(high.per_microframe(1 << 20), 6 << 20);
    }

    #[test]
    fn devices_with_the_wrong_format_are_understood() {
        // 48 kHz in every format seen in the field.
        let formats: [(u32, i8); 7] = [
            (48 << 14, -1), // 10.14 per frame
            (6 << 16, 0),   // 16.16 per microframe
            (48 << 16, -3), // 16.16 per frame
            (6 << 14, 2),   // 10.14 per microframe
            (6 << 13, 3),   // 12.13 per microframe
            (48 << 10, 3),  // 10.10 per frame, not padded to 10.14
            (48 << 13, 0),  // 12.13 per frame
        ];
        for (raw, shift) in formats {
            let mut decoder = FeedbackDecoder::new(hz(48_000));
            let feedback = decoder.decode(&raw.to_le_bytes()).unwrap();
            assert_eq!((feedback.shift, feedback.hz()), (shift, 48_000.0), "{raw:#x}");
            assert_eq!(feedback.per_microframe(1 << 20), 6 << 20);
        }
    }

    #[test]
    fn what_is_short_zero_or_out_of_range_is_counted_and_ignored() {
        let mut decoder = FeedbackDecoder::new(hz(48_000));
        for length in 0..3 {
            assert_eq!(decoder.decode(&[1, 2, 3][..length]), Err(FeedbackError::TooShort { length }));
        }
        assert_eq!(decoder.decode(&[0, 0, 0]), Err(FeedbackError::Zero));
        assert_eq!(decoder.decode(&[1, 0, 0]), Err(FeedbackError::OutOfRange { raw: 1 }));
        assert_eq!(decoder.ignored(), 5);
        assert_eq!(decoder.format(), None);
    }

    #[test]
    fn the_range_is_minus_25_to_plus_50_percent_and_a_value_outside_reopens_the_search() {
        let nominal = 48u32 << 14;
        let packet = |value: u32| value.to_le_bytes();
        let mut decoder = FeedbackDecoder::new(hz(48_000));
        assert!(decoder.decode(&packet(nominal)).is_ok());
        for inside in [nominal / 4 * 3, nominal / 2 * 3] {
            assert!(decoder.decode(&packet(inside)).is_ok(), "{inside}");
        }
        for outside in [nominal / 4 * 3 - 1, nominal / 2 * 3 + 1] {
            assert_eq!(decoder.decode(&packet(outside)), Err(FeedbackError::OutOfRange { raw: outside }));
            assert_eq!(decoder.format(), None);
            assert!(decoder.decode(&packet(nominal)).is_ok());
        }
        // The device was set to the other format meanwhile: one value is lost.
        assert!(decoder.decode(&packet(6 << 14)).is_err());
        assert!(decoder.decode(&packet(6 << 14)).is_ok());
        assert_eq!(decoder.format(), Some(FeedbackFormat::Shifted(2)));
    }

    #[test]
    fn values_are_written_as_specified() {
        assert_eq!(encode_10_14(48, 1), Some([0x00, 0x00, 0x0c]));
        assert_eq!(encode_16_16(6, 1), Some([0x00, 0x00, 0x06, 0x00]));
        assert_eq!(encode_10_14(441, 10), Some([0x66, 0x06, 0x0b]));
        assert_eq!(encode_16_16(44_100, 8000), Some([0x33, 0x83, 0x05, 0x00]));
        assert_eq!(encode_10_14(1023, 1), Some([0x00, 0xc0, 0xff]));
        assert_eq!(encode_10_14(1024, 1), None);
        assert_eq!(encode_16_16(65_536, 1), None);
        assert_eq!(encode_16_16(1, 0), None);
        assert_eq!(encode_10_14(u64::MAX, 1), None);
    }

    proptest! {
        #[test]
        fn nothing_panics(packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..6), 0..20),
                          numerator: u32, denominator: u32) {
            let Ok(rate) = SampleRate::new(numerator, denominator) else { return Ok(()) };
            let mut decoder = FeedbackDecoder::new(rate);
            for packet in packets {
                if let Ok(feedback) = decoder.decode(&packet) {
                    let ratio = feedback.hz() / (f64::from(numerator) / f64::from(denominator));
                    prop_assert!((0.7499..=1.5001).contains(&ratio));
                }
            }
        }

        #[test]
        fn what_is_written_is_read(rate in 4000u32..768_000, ppm in -1000i64..=1000) {
            let samples = (i64::from(rate) * (1_000_000 + ppm)) as u64;
            let mut decoder = FeedbackDecoder::new(hz(rate));
            let packet = encode_16_16(samples, 8_000_000_000).unwrap();
            let read = decoder.decode(&packet).unwrap();
            prop_assert_eq!(read.format, FeedbackFormat::SixteenSixteenPerMicroframe);
            prop_assert!((read.hz() - samples as f64 / 1e6).abs() <= 8000.0 / 65_536.0 / 2.0 + 1e-6);
            let mut decoder = FeedbackDecoder::new(hz(rate));
            let packet = encode_10_14(samples, 1_000_000_000).unwrap();
            let read = decoder.decode(&packet).unwrap();
            prop_assert_eq!(read.format, FeedbackFormat::TenFourteenPerFrame);
            prop_assert!((read.hz() - samples as f64 / 1e6).abs() <= 1000.0 / 16_384.0 / 2.0 + 1e-6);
        }
    }
}
