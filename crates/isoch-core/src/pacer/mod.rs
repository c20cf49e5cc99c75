//! How many samples go into the next interval.
//!
//! Why not `rate / 1000` per frame, with a fractional part in floating point? Because 44.1 kHz is 44 samples in
//! nine frames of ten and 45 in the tenth, and any rounding adds up: after a day it is an audible click, or a
//! buffer that has run over. Here the remainder is exact, for any rate in any interval, for as long
//! as it runs. And full packets are no way out: always sending the endpoint's maximum is 4 % too fast.
//!
//! A sink with a clock of its own says how fast it plays, explicitly ([`Pacer::feedback`], a feedback endpoint) or
//! by what it records ([`Pacer::implicit`]); the intervals after that follow it.

mod feedback;
mod mirror;

pub use feedback::{Feedback, FeedbackDecoder, FeedbackError, FeedbackFormat, encode_10_14, encode_16_16};
use mirror::Mirror;
use thiserror::Error;

/// Microframes in a second.
const MICROFRAMES_PER_SECOND: u128 = 8000;

/// Feedback values are multiples of this fraction of a sample, per microframe (10.14 per frame), or of a
/// multiple of it.
const FEEDBACK_RESOLUTION: u128 = 1 << 20;

/// The longest service interval there is, in microframes (`bInterval` 16: USB 2.0 §9.6.6).
const LONGEST_INTERVAL: u64 = 1 << 15;

/// Why a rate cannot be paced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PacerError {
    /// A rate's numerator or denominator is 0.
    #[error("a sample rate needs a numerator and a denominator other than 0")]
    BadRate,
    /// The interval is 0 or longer than USB has them.
    #[error("an interval of {microframes} microframes: USB has 1 to 32768")]
    BadInterval {
        /// Its length in microframes.
        microframes: u64,
    },
    /// More samples per interval than can be counted.
    #[error("more than 2^31 samples in an interval")]
    TooFast,
    /// No sample ever fits.
    #[error("an endpoint that takes no sample in an interval")]
    NoCapacity,
}

/// Samples per second, as a fraction. A sample is one of all channels together (an audio frame).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SampleRate {
    numerator: u32,
    denominator: u32,
}

impl SampleRate {
    /// `numerator / denominator` samples per second, such as 44 100 000 / 1001.
    ///
    /// # Errors
    /// [`PacerError::BadRate`] if one of them is 0.
    pub const fn new(numerator: u32, denominator: u32) -> Result<Self, PacerError> {
        if numerator == 0 || denominator == 0 {
            return Err(PacerError::BadRate);
        }
        Ok(SampleRate { numerator, denominator })
    }

    /// A whole number of samples per second.
    ///
    /// # Errors
    /// [`PacerError::BadRate`] if it is 0.
    pub const fn hz(hz: u32) -> Result<Self, PacerError> {
        SampleRate::new(hz, 1)
    }

    /// Above the fraction line.
    #[must_use]
    pub const fn numerator(self) -> u32 {
        self.numerator
    }

    /// Below the fraction line.
    #[must_use]
    pub const fn denominator(self) -> u32 {
        self.denominator
    }
}

/// Deals out samples to intervals.
#[derive(Clone, Debug)]
pub struct Pacer {
    interval: u128,
    /// Fractions of a sample in a sample: nominal rate and feedback values are both whole numbers of them.
    unit: u128,
    /// Fractions of a sample per interval.
    step: u128,
    /// Fractions of a sample that are due; less than one sample.
    remainder: u128,
    /// Samples that are due and did not fit; negative if more were sent than were due (implicit feedback).
    backlog: i64,
    capacity: u32,
    dropped: u64,
    decoder: FeedbackDecoder,
    mirror: Option<Box<Mirror>>,
}

impl Pacer {
    /// For `rate`, and a service interval of `interval` microframes (at full speed: frames × 8).
    ///
    /// # Errors
    /// See [`PacerError`].
    pub fn new(rate: SampleRate, interval: u64) -> Result<Self, PacerError> {
        if !(1..=LONGEST_INTERVAL).contains(&interval) {
            return Err(PacerError::BadInterval { microframes: interval });
        }
        let interval = u128::from(interval);
        let per_second = u128::from(rate.denominator) * MICROFRAMES_PER_SECOND;
        let unit = least_common_multiple(per_second, FEEDBACK_RESOLUTION);
        let step = u128::from(rate.numerator) * interval * (unit / per_second);
        // Feedback may ask for half as much again.
        if step / unit >= 1 << 31 {
            return Err(PacerError::TooFast);
        }
        Ok(Pacer {
            interval,
            unit,
            step,
            remainder: 0,
            backlog: 0,
            capacity: u32::MAX,
            dropped: 0,
            decoder: FeedbackDecoder::new(rate),
            mirror: None,
        })
    }

    /// Never more than `max_samples_per_interval`: what the endpoint takes. What does not fit goes into the
    /// intervals after; of that no more than would fill one is kept, the rest is [dropped](Self::dropped).
    ///
    /// # Errors
    /// [`PacerError::NoCapacity`] if it is 0.
    pub fn with_capacity(mut self, max_samples_per_interval: u32) -> Result<Self, PacerError> {
        if max_samples_per_interval == 0 {
            return Err(PacerError::NoCapacity);
        }
        self.capacity = max_samples_per_interval;
        Ok(self)
    }

    /// The number of samples for the next interval.
    pub fn next_interval(&mut self) -> u32 {
        // Also where another size was received: the phase of the rate goes on underneath it, so that
        // guesses stay what they would have been.
        let total = self.remainder + self.step;
        self.remainder = total % self.unit;
        let paced = u32::try_from(total / self.unit).unwrap_or(u32::MAX);
        let due = match &mut self.mirror {
            Some(mirror) => mirror.next(paced),
            None => paced,
        };
        self.backlog = self.backlog.saturating_add(i64::from(due));
        let samples = self.backlog.clamp(0, i64::from(self.capacity));
        self.backlog -= samples;
        self.limit_backlog();
        samples as u32
    }

    /// The number of samples in the next `intervals` intervals together, which are skipped. Same as that many
    /// calls of [`Pacer::next_interval`], in constant time; with implicit feedback, as if nothing more were
    /// received, and what was received is forgotten. Saturates at `u64::MAX`.
    pub fn advance(&mut self, intervals: u64) -> u64 {
        if intervals == 0 {
            return 0;
        }
        if let Some(mirror) = &mut self.mirror {
            **mirror = Mirror::new();
        }
        let count = u128::from(intervals);
        let fractions = self.remainder + (self.step % self.unit) * count;
        self.remainder = fractions % self.unit;
        let due = (self.step / self.unit) * count + fractions / self.unit;
        // Intervals are filled as long as something is due. That sum needs no loop: if the rate exceeds the
        // capacity every interval is full, and if not, no interval is due more than the capacity, so that
        // the backlog only ever shrinks.
        let due = i128::try_from(due).unwrap_or(i128::MAX).saturating_add(i128::from(self.backlog));
        let room = i128::from(intervals) * i128::from(self.capacity);
        let samples = due.clamp(0, room);
        self.backlog = (due - samples).clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64;
        self.limit_backlog();
        u64::try_from(samples).unwrap_or(u64::MAX)
    }

    fn limit_backlog(&mut self) {
        let excess = self.backlog.saturating_sub(i64::from(self.capacity)).max(0);
        self.backlog -= excess;
        self.dropped = self.dropped.saturating_add(excess.unsigned_abs());
    }

    /// Samples that were due and never sent, because the rate (nominal, or asked for by feedback) is more than
    /// the endpoint takes.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The sink's feedback endpoint sent this packet: the rate of the intervals from now on. What is not a
    /// plausible value changes nothing, and is counted.
    ///
    /// # Errors
    /// See [`FeedbackError`].
    pub fn feedback(&mut self, packet: &[u8]) -> Result<Feedback, FeedbackError> {
        let feedback = self.decoder.decode(packet)?;
        self.step = feedback.per_microframe(self.unit) * self.interval;
        Ok(feedback)
    }

    /// How many feedback packets were ignored.
    #[must_use]
    pub fn feedback_ignored(&self) -> u64 {
        self.decoder.ignored()
    }

    /// The sink's own IN stream brought `samples` in `intervals` of this pacer's intervals: the OUT intervals
    /// that belong to them carry as many. Turns implicit feedback on. At most 256 intervals are
    /// remembered either way: a stream that is further behind is taken to have stopped.
    pub fn implicit(&mut self, samples: u32, intervals: u32) {
        let mirror = self.mirror.get_or_insert_with(|| Box::new(Mirror::new()));
        let (samples, count) = (u64::from(samples), u64::from(intervals));
        // Of more than can be remembered, the newest.
        for index in count.saturating_sub(mirror::DEPTH as u64)..count {
            let share = samples * (index + 1) / count - samples * index / count;
            let correction = mirror.received(share as u32);
            self.backlog = self.backlog.saturating_add(correction);
        }
    }

    /// Whether, with implicit feedback, the size of the next interval is known rather than guessed.
    #[must_use]
    pub fn implicit_is_ready(&self) -> bool {
        self.mirror.as_ref().is_some_and(|mirror| mirror.is_ready())
    }

    /// The rate now, in samples per second of bus time: nominal or by feedback.
    #[must_use]
    pub fn hz(&self) -> f64 {
        self.step as f64 / self.unit as f64 / self.interval as f64 * MICROFRAMES_PER_SECOND as f64
    }
}

fn least_common_multiple(a: u128, b: u128) -> u128 {
    let (mut divisor, mut rest) = (a, b);
    while rest != 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    a / divisor.max(1) * b
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
