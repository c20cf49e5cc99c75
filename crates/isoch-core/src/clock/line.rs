//! A straight line between bus time and host time.
//!
//! Why integers, where the fit is done in floating point? Because `u64` nanoseconds far from the origin
//! have no room in an `f64`, and because both directions must round so that they undo each other: the
//! microframe at the time at which microframe *m* begins is *m*, always. So the length of a microframe is
//! a fixed-point number, and there are no approximations beyond the nanosecond.

use crate::time::{Time, signed_distance};

/// The nominal length of a microframe, in nanoseconds.
pub(crate) const MICROFRAME_NANOS: i64 = 125_000;

/// Fractional bits of [`Line::length`].
const FRACTION: u32 = 32;

/// Largest deviation from the nominal rate that a line takes on, in parts per million. Far beyond what
/// USB allows (500), but finite, whatever is observed.
const MAX_PPM: f64 = 10_000.0;

/// Where microframes begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// This microframe …
    microframe: u64,
    /// … begins at this time.
    at: Time,
    /// Nanoseconds in a microframe, times 2^32.
    length: i64,
}

impl Line {
    /// A line through one point. `ppm`: by how much a microframe is longer than nominal on the host clock.
    pub(crate) fn new(microframe: u64, at: Time, ppm: f64) -> Self {
        let ppm = if ppm.is_finite() { ppm.clamp(-MAX_PPM, MAX_PPM) } else { 0.0 };
        let nominal = MICROFRAME_NANOS << FRACTION;
        Line { microframe, at, length: nominal + (nominal as f64 * ppm * 1e-6) as i64 }
    }

    /// By how much a microframe is longer than nominal on the host clock, in parts per million.
    pub(crate) fn ppm(&self) -> f64 {
        let nominal = MICROFRAME_NANOS << FRACTION;
        (self.length - nominal) as f64 / nominal as f64 * 1e6
    }

    /// When `microframe` begins: the first nanosecond in it. Saturates at the ends of [`Time`].
    pub(crate) fn time_of(&self, microframe: u64) -> Time {
        let scaled = self.scaled(self.microframe, microframe);
        let nanos = (scaled + (1 << FRACTION) - 1) >> FRACTION; // rounded up
        let at = i128::from(self.at.as_nanos()) + nanos;
        Time::from_nanos(u64::try_from(at).unwrap_or(if at < 0 { 0 } else { u64::MAX }))
    }

    /// From one microframe to another, in nanoseconds times 2^32.
    fn scaled(&self, from: u64, to: u64) -> i128 {
        i128::from(signed_distance(from, to)) * i128::from(self.length)
    }

    /// The microframe at `at`. Saturates at microframe 0.
    pub(crate) fn microframe_at(&self, at: Time) -> u64 {
        let nanos = i128::from(at.as_nanos()) - i128::from(self.at.as_nanos());
        let microframe =
            i128::from(self.microframe) + (nanos << FRACTION).div_euclid(i128::from(self.length));
        microframe.clamp(0, i128::from(u64::MAX)) as u64
    }

    /// Nanoseconds from the beginning of one microframe to that of another; negative if that is earlier.
    pub(crate) fn length_between(&self, from: u64, to: u64) -> i64 {
        let nanos = self.scaled(from, to) >> FRACTION;
        i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
    }

    /// How much later than the line `at` is for the beginning of `microframe`, in nanoseconds.
    pub(crate) fn residual(&self, microframe: u64, at: Time) -> i64 {
        at.offset_from(self.time_of(microframe))
    }

    /// The same line with its frames numbered `by` microframes higher.
    pub(crate) fn renumbered(&self, by: i64) -> Self {
        Line { microframe: self.microframe.saturating_add_signed(by), ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_directions_undo_each_other(
            start in 0u64..1 << 40,
            at in 1u64 << 61..1 << 63,
            ppm in -1000.0..1000.0f64,
            distance in -1i64 << 40..1 << 40,
        ) {
            let line = Line::new(start, Time::from_nanos(at), ppm);
            let microframe = start.saturating_add_signed(distance);
            let begins = line.time_of(microframe);
            prop_assert_eq!(line.microframe_at(begins), microframe);
            if microframe > 0 {
                prop_assert_eq!(line.microframe_at(begins.offset(-1)), microframe - 1);
            }
        }

        #[test]
        fn nothing_panics(start: u64, at: u64, ppm: f64, microframe: u64, nanos: u64, by: i64) {
            let line = Line::new(start, Time::from_nanos(at), ppm).renumbered(by);
            let _ = line.time_of(microframe);
            let _ = line.microframe_at(Time::from_nanos(nanos));
            let _ = line.residual(microframe, Time::from_nanos(nanos));
            prop_assert!(line.ppm().abs() <= MAX_PPM + 1.0);
        }
    }

    #[test]
    fn a_rate_is_kept_over_a_year() {
        let line = Line::new(0, Time::ZERO, 40.0);
        let year = 365 * 86_400 * 8000;
        let exact = year * 125_000 / 1_000_000 * 1_000_040;
        assert!(line.time_of(year).offset_from(Time::from_nanos(exact)).abs() < 100);
        assert!((line.ppm() - 40.0).abs() < 1e-6);
    }
}
