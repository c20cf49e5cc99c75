//! Narrow hardware counters, carried on into 64 bits.
//!
//! Why not add a wrap whenever the number gets smaller? Because nobody watches all the time: an 11-bit
//! frame counter wraps every 2.048 s, and a program that pauses for 5 s sees none of its wraps. And
//! because a number may get smaller without a wrap, when two reports cross. So elapsed host time says
//! where the counter should be, and the value nearest to that which agrees with the counter is taken.
//! This holds as long as the two clocks cannot have drifted apart by half a wrap.
//!
//! Widths differ by controller and driver (xHCI MFINDEX: 14 bits of microframes; OHCI: 16 of frames;
//! USB SOF tokens: 11 of frames; EHCI FRINDEX: 13 or 14 of microframes), and some interfaces do not say
//! which they hand on. Then every width is a candidate until the counter itself rules it out.

use crate::time::{MICROFRAMES_PER_FRAME, Time};
use thiserror::Error;

/// The widths, in bits, that known controllers and drivers report.
pub const KNOWN_WIDTHS: [u32; 5] = [11, 13, 14, 16, 32];

/// Largest rate difference between bus and host clock that is reckoned with, in parts per million: USB
/// allows the bus 500 (USB 2.0 §7.1.11, §7.1.12), and host clocks are slewed by up to as much again.
const DRIFT_PPM: i128 = 1000;

/// How late a counter value may be seen while a width is still being learnt, in nanoseconds.
const LEARNING_LATENESS: i128 = 50_000_000;

/// Observations in a row that must contradict a width before it is ruled out.
const STRIKES: u8 = 3;

/// What a counter counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CounterUnit {
    /// 1 ms.
    Frames,
    /// 125 µs.
    Microframes,
}

impl CounterUnit {
    /// The nominal length of one count, in nanoseconds.
    #[must_use]
    pub const fn nanos(self) -> u64 {
        match self {
            CounterUnit::Frames => 1_000_000,
            CounterUnit::Microframes => 125_000,
        }
    }

    /// Microframes in one count.
    #[must_use]
    pub const fn microframes(self) -> u64 {
        match self {
            CounterUnit::Frames => MICROFRAMES_PER_FRAME,
            CounterUnit::Microframes => 1,
        }
    }
}

/// A counter's width and unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Counter {
    /// Width in bits, 1 to 32.
    pub bits: u32,
    /// What it counts.
    pub unit: CounterUnit,
}

impl Counter {
    /// The value nearest to `expected` that this counter shows as `raw`, in its own unit. For whoever knows
    /// from elsewhere where the counter is; an [`Unwrapper`] finds that out from the time.
    ///
    /// `None` if the width is not 1 to 32 bits, `raw` does not fit it, or the value would be negative.
    #[must_use]
    pub fn nearest(self, raw: u32, expected: u64) -> Option<u64> {
        let fits = (1..=32).contains(&self.bits) && i128::from(raw) < 1 << self.bits;
        fits.then(|| nearest(raw, 1 << self.bits, expected.into()))?.try_into().ok()
    }
}

/// A frame's number as a controller's driver counts: some low bits of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    /// Of which it is a value.
    pub counter: Counter,
    /// The value.
    pub value: u32,
}

impl Number {
    /// What to add to the driver's numbers, so that this one is the frame that `microframe` is in, or the next: whole
    /// frames, because a driver's frames begin where this clock's do.
    #[must_use]
    pub fn offset_to(self, microframe: u64) -> i64 {
        let own = microframe.cast_signed();
        let number = u64::from(self.value).saturating_mul(self.counter.unit.microframes()).cast_signed();
        let frame = MICROFRAMES_PER_FRAME as i64;
        let offset = own.saturating_sub(number);
        offset.saturating_add(frame / 2).div_euclid(frame) * frame
    }

    /// The microframe with this number nearest to `expected`.
    #[must_use]
    pub fn nearest(self, expected: u64, offset: i64) -> Option<u64> {
        let unit = self.counter.unit.microframes();
        // Moved out of the way of zero, by whole wraps.
        let wraps = 1_u64.checked_shl(self.counter.bits)?.checked_mul(unit)?.checked_mul(1 << 8)?;
        let drivers = expected.checked_add(wraps)?.checked_add_signed(offset.checked_neg()?)?;
        let value = self.value & u32::MAX.checked_shr(32_u32.checked_sub(self.counter.bits)?)?;
        let found = self.counter.nearest(value, drivers / unit)?.checked_mul(unit)?;
        found.checked_add_signed(offset)?.checked_sub(wraps)
    }
}

/// The value congruent to `raw` that is nearest to `expected`.
fn nearest(raw: u32, modulus: i128, expected: i128) -> i128 {
    let behind = (i128::from(raw) - expected).rem_euclid(modulus);
    if behind * 2 < modulus { expected + behind } else { expected + behind - modulus }
}

/// Why a counter value could not be carried on into 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UnwrapError {
    /// The width is not yet known, and the widths still possible disagree about this value.
    #[error("the counter's width is not yet known: keep observing until it wraps")]
    WidthUnknown,
    /// The counter is wider than it was said to be.
    #[error("the value {raw} does not fit into a counter of {bits} bits")]
    TooWide {
        /// The value.
        raw: u32,
        /// The width it should have had.
        bits: u32,
    },
    /// So much time passed since the last value that the clocks may have drifted apart by half a wrap.
    /// The observation was taken as the start of a new count.
    #[error("too long since the last value: the number of wraps is lost and counting starts anew")]
    TooLongAgo,
    /// The value belongs before the first one observed, and would be negative.
    #[error("the value lies before the first one observed")]
    BeforeOrigin,
    /// No known width explains what was observed. Learning starts anew with this observation.
    #[error("no known counter width explains the values: learning starts anew")]
    NoWidthFits,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    counter: Counter,
    /// The value at the latest observation, unwrapped.
    ticks: i128,
    /// Observations in a row that this width does not explain.
    strikes: u8,
    /// Ruled out for good.
    out: bool,
}

impl Candidate {
    fn new(counter: Counter) -> Self {
        Candidate { counter, ticks: 0, strikes: 0, out: false }
    }

    fn modulus(&self) -> i128 {
        1 << self.counter.bits
    }

    /// The value congruent to `raw` that is nearest to where the counter should be after `elapsed`.
    fn nearest(&self, raw: u32, elapsed: i128) -> i128 {
        nearest(raw, self.modulus(), self.ticks + elapsed / i128::from(self.counter.unit.nanos()))
    }

    /// Whether the clocks may have drifted half a wrap apart in `elapsed` nanoseconds.
    fn lost_after(&self, elapsed: i128) -> bool {
        let half_wrap = self.modulus() * i128::from(self.counter.unit.nanos()) / 2;
        elapsed.abs() * DRIFT_PPM / 1_000_000 >= half_wrap
    }
}

/// Carries a counter of 1 to 32 bits on into 64.
///
/// Values keep their residue: the result modulo 2^width is the counter's own value, and the first result
/// is the first value. A value slightly before the previous one is given as it is, not as a wrap.
#[derive(Clone, Debug)]
pub struct Unwrapper {
    candidates: Vec<Candidate>,
    first: Option<(u32, Time)>,
    last: Time,
}

impl Unwrapper {
    /// For a counter whose width is known. `None` if the width is not 1 to 32 bits.
    #[must_use]
    pub fn new(counter: Counter) -> Option<Self> {
        if !(1..=32).contains(&counter.bits) {
            return None;
        }
        Some(Unwrapper { candidates: vec![Candidate::new(counter)], first: None, last: Time::ZERO })
    }

    /// For a counter whose width is unknown, and perhaps its unit too. It is learnt from the wraps seen,
    /// for which the counter must be observed across one: within [`KNOWN_WIDTHS`], and as long as values
    /// are not seen later than 50 ms.
    #[must_use]
    pub fn learning(unit: Option<CounterUnit>) -> Self {
        let units = [CounterUnit::Frames, CounterUnit::Microframes];
        let candidates = units
            .into_iter()
            .filter(|candidate| unit.is_none_or(|unit| unit == *candidate))
            .flat_map(|unit| KNOWN_WIDTHS.map(|bits| Candidate::new(Counter { bits, unit })))
            .collect();
        Unwrapper { candidates, first: None, last: Time::ZERO }
    }

    /// The counter's width and unit, once one is certain.
    #[must_use]
    pub fn counter(&self) -> Option<Counter> {
        let mut left = self.left();
        let only = left.next()?;
        left.next().is_none().then_some(only.counter)
    }

    fn left(&self) -> impl Iterator<Item = &Candidate> {
        self.candidates.iter().filter(|candidate| !candidate.out)
    }

    /// The 64-bit value of `raw`, seen at host time `at`, in the counter's own unit.
    ///
    /// # Errors
    /// See [`UnwrapError`]. No error needs handling beyond leaving the value out: the next may be good.
    pub fn observe(&mut self, raw: u32, at: Time) -> Result<u64, UnwrapError> {
        if self.candidates.len() == 1 { self.observe_known(raw, at) } else { self.observe_learning(raw, at) }
    }

    fn observe_known(&mut self, raw: u32, at: Time) -> Result<u64, UnwrapError> {
        let Some(candidate) = self.candidates.first_mut() else {
            return Err(UnwrapError::WidthUnknown);
        };
        let bits = candidate.counter.bits;
        if i128::from(raw) >= candidate.modulus() {
            return Err(UnwrapError::TooWide { raw, bits });
        }
        let elapsed = i128::from(at.offset_from(self.last));
        let begun = self.first.is_some();
        if begun && !candidate.lost_after(elapsed) {
            let ticks = candidate.nearest(raw, elapsed);
            let value = u64::try_from(ticks).map_err(|_| UnwrapError::BeforeOrigin)?;
            candidate.ticks = ticks;
            self.last = at;
            return Ok(value);
        }
        candidate.ticks = i128::from(raw);
        self.first = Some((raw, at));
        self.last = at;
        if begun { Err(UnwrapError::TooLongAgo) } else { Ok(u64::from(raw)) }
    }

    fn observe_learning(&mut self, raw: u32, at: Time) -> Result<u64, UnwrapError> {
        let Some((first_raw, first_at)) = self.first else {
            return self.restart(raw, at);
        };
        let elapsed = i128::from(at.offset_from(self.last));
        let total = i128::from(at.offset_from(first_at));
        for candidate in self.candidates.iter_mut().filter(|candidate| !candidate.out) {
            if i128::from(raw) >= candidate.modulus() {
                candidate.out = true;
                continue;
            }
            candidate.ticks = candidate.nearest(raw, elapsed);
            // Compared with the first observation, not with the previous one: what a missed wrap puts
            // wrong stays wrong, while a late observation is followed by one that is in time.
            let unit = i128::from(candidate.counter.unit.nanos());
            let residual = (candidate.ticks - i128::from(first_raw)) * unit - total;
            let tolerance = LEARNING_LATENESS + total.abs() * DRIFT_PPM / 1_000_000;
            if residual.abs() > tolerance {
                candidate.strikes = candidate.strikes.saturating_add(1);
                candidate.out = candidate.strikes >= STRIKES;
            } else {
                candidate.strikes = 0;
            }
        }
        self.last = at;
        if self.left().next().is_none() {
            let _ = self.restart(raw, at);
            return Err(UnwrapError::NoWidthFits);
        }
        let explained = self.left().find(|candidate| candidate.strikes == 0);
        let Some(value) = explained.map(|candidate| (candidate.counter.unit, candidate.ticks)) else {
            return Err(UnwrapError::WidthUnknown);
        };
        let agreed = self.left().all(|candidate| (candidate.counter.unit, candidate.ticks) == value);
        if let Some(counter) = self.counter() {
            self.candidates.retain(|candidate| candidate.counter == counter);
        }
        if !agreed {
            return Err(UnwrapError::WidthUnknown);
        }
        u64::try_from(value.1).map_err(|_| UnwrapError::BeforeOrigin)
    }

    /// Begins learning with this observation.
    fn restart(&mut self, raw: u32, at: Time) -> Result<u64, UnwrapError> {
        self.first = Some((raw, at));
        self.last = at;
        for candidate in &mut self.candidates {
            candidate.ticks = i128::from(raw);
            candidate.strikes = 0;
            candidate.out = i128::from(raw) >= candidate.modulus();
        }
        let mut units = self.left().map(|candidate| candidate.counter.unit);
        match units.next() {
            Some(unit) if units.all(|other| other == unit) => Ok(u64::from(raw)),
            _ => Err(UnwrapError::WidthUnknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UNITS: [CounterUnit; 2] = [CounterUnit::Frames, CounterUnit::Microframes];
    const ORIGIN: u64 = 1 << 62;

    /// What a counter of this kind shows at tick `tick`, and when.
    fn shown(counter: Counter, tick: u64) -> (u32, Time) {
        let raw = tick & ((1u64 << counter.bits) - 1);
        (raw as u32, Time::from_nanos(ORIGIN + tick * counter.unit.nanos()))
    }

    fn counters() -> impl Iterator<Item = Counter> {
        UNITS.into_iter().flat_map(|unit| KNOWN_WIDTHS.map(|bits| Counter { bits, unit }))
    }

    #[test]
    fn every_width_survives_pauses_of_any_number_of_wraps() {
        for counter in counters() {
            let wrap = 1u64 << counter.bits;
            let mut unwrapper = Unwrapper::new(counter).unwrap();
            let mut tick = 3;
            for pause in [0, 1, 7, wrap / 2, wrap - 1, wrap, wrap + 1, 3 * wrap + 5, 17 * wrap - 2, 1] {
                tick += pause;
                let (raw, at) = shown(counter, tick);
                assert_eq!(unwrapper.observe(raw, at), Ok(tick), "{counter:?} after a pause of {pause}");
            }
        }
    }

    #[test]
    fn a_value_slightly_before_the_last_is_no_wrap() {
        for counter in counters() {
            let wrap = 1u64 << counter.bits;
            let mut unwrapper = Unwrapper::new(counter).unwrap();
            for tick in [wrap - 1, wrap + 1, wrap - 2, wrap, wrap - 1, 2 * wrap] {
                let (raw, _) = shown(counter, tick);
                // All seen at nearly the same time, as reports that cross are; the last after a wrap.
                let (_, at) = shown(counter, if tick == 2 * wrap { tick } else { wrap });
                assert_eq!(unwrapper.observe(raw, at), Ok(tick), "{counter:?}");
            }
        }
    }

    #[test]
    fn a_pause_too_long_to_count_its_wraps_is_admitted() {
        let counter = Counter { bits: 11, unit: CounterUnit::Frames };
        let mut unwrapper = Unwrapper::new(counter).unwrap();
        let (raw, at) = shown(counter, 10);
        assert_eq!(unwrapper.observe(raw, at), Ok(10));
        // 1024 frames of doubt at 1000 ppm are reached after 1024 s.
        let (raw, at) = shown(counter, 1_000_000);
        assert_eq!(unwrapper.observe(raw, at), Ok(1_000_000));
        let (raw, at) = shown(counter, 1_000_000 + 1_025_000);
        assert_eq!(unwrapper.observe(raw, at), Err(UnwrapError::TooLongAgo));
        assert!(unwrapper.observe(raw, at).is_ok());
    }

    #[test]
    fn bad_widths_and_values_are_refused() {
        assert!(Unwrapper::new(Counter { bits: 0, unit: CounterUnit::Frames }).is_none());
        assert!(Unwrapper::new(Counter { bits: 33, unit: CounterUnit::Frames }).is_none());
        let mut unwrapper = Unwrapper::new(Counter { bits: 11, unit: CounterUnit::Frames }).unwrap();
        assert_eq!(unwrapper.observe(2048, Time::ZERO), Err(UnwrapError::TooWide { raw: 2048, bits: 11 }));
        assert_eq!(unwrapper.observe(0, Time::ZERO), Ok(0));
        assert_eq!(unwrapper.observe(2047, Time::ZERO), Err(UnwrapError::BeforeOrigin));
        assert_eq!(unwrapper.observe(1, Time::ZERO), Ok(1));
    }

    #[test]
    fn the_nearest_value_is_before_or_behind_the_expected_one() {
        let counter = Counter { bits: 11, unit: CounterUnit::Frames };
        assert_eq!(counter.nearest(5, 1 << 40), Some((1 << 40) + 5));
        assert_eq!(counter.nearest(2047, 1 << 40), Some((1 << 40) - 1));
        assert_eq!(counter.nearest(1023, 0), Some(1023));
        assert_eq!(counter.nearest(1024, 0), None);
        assert_eq!(counter.nearest(2048, 5000), None);
        assert_eq!(Counter { bits: 0, ..counter }.nearest(0, 0), None);
        assert_eq!(Counter { bits: 33, ..counter }.nearest(0, 0), None);
        assert_eq!(Counter { bits: 32, ..counter }.nearest(u32::MAX, 1 << 32), Some((1 << 32) - 1));
        assert_eq!(counter.nearest(0, u64::MAX), None);
    }

    #[test]
    fn an_unknown_width_is_learnt_from_a_wrap_and_never_guessed() {
        for truth in counters().filter(|counter| counter.bits < 32) {
            for unit in [None, Some(truth.unit)] {
                let wrap = 1u64 << truth.bits;
                let mut unwrapper = Unwrapper::learning(unit);
                let start = wrap / 2 + 1;
                // Values 10 ms apart, seen up to 5 ms late.
                let step = 10_000_000 / truth.unit.nanos();
                for index in 0..wrap / step + 8 {
                    let tick = start + index * step;
                    let (raw, at) = shown(truth, tick);
                    let at = at.offset((index * 7919 % 5_000_000) as i64);
                    if let Ok(value) = unwrapper.observe(raw, at) {
                        assert_eq!(value, tick, "{truth:?}, unit {unit:?}");
                    }
                    if let Some(counter) = unwrapper.counter() {
                        assert_eq!(counter, truth, "unit {unit:?}");
                    }
                    if tick < wrap {
                        // Before the wrap, nothing rules out the widest counter.
                        assert_ne!(unwrapper.counter().map(|known| known.bits), Some(truth.bits));
                    }
                }
                assert_eq!(unwrapper.counter(), Some(truth), "unit {unit:?}");
                let (raw, at) = shown(truth, 20 * wrap);
                assert_eq!(unwrapper.observe(raw, at), Ok(20 * wrap));
            }
        }
    }

    #[test]
    fn a_wide_counter_is_known_by_its_numbers_alone() {
        let truth = Counter { bits: 32, unit: CounterUnit::Frames };
        let mut unwrapper = Unwrapper::learning(Some(CounterUnit::Frames));
        let (raw, at) = shown(truth, 70_000);
        assert_eq!(unwrapper.observe(raw, at), Ok(70_000));
        assert_eq!(unwrapper.counter(), Some(truth));
    }

    #[test]
    fn one_very_late_value_rules_nothing_out() {
        let truth = Counter { bits: 11, unit: CounterUnit::Frames };
        let mut unwrapper = Unwrapper::learning(None);
        for tick in (0..6000).step_by(10) {
            let (raw, at) = shown(truth, tick);
            let late = if tick % 500 == 250 { 400_000_000 } else { 0 };
            let _ = unwrapper.observe(raw, at.offset(late));
        }
        assert_eq!(unwrapper.counter(), Some(truth));
    }

    #[test]
    fn values_that_no_counter_shows_start_learning_anew() {
        let mut unwrapper = Unwrapper::learning(None);
        let stuck = (0..100).any(|index| {
            let at = Time::from_nanos(index * 100_000_000);
            unwrapper.observe(70_000, at) == Err(UnwrapError::NoWidthFits)
        });
        assert!(stuck);
    }

    proptest! {
        #[test]
        fn nothing_panics(
            values in prop::collection::vec((any::<u32>(), any::<u64>()), 1..50),
            bits in 1u32..=32,
            learn in any::<bool>(),
        ) {
            let mut unwrapper = if learn {
                Unwrapper::learning(None)
            } else {
                Unwrapper::new(Counter { bits, unit: CounterUnit::Frames }).unwrap()
            };
            for (raw, nanos) in values {
                let _ = unwrapper.observe(raw, Time::from_nanos(nanos));
            }
        }

        #[test]
        fn drift_and_jitter_below_half_a_wrap_do_not_matter(
            bits in prop::sample::select(&KNOWN_WIDTHS[..]),
            ppm in -500i64..=500,
            pauses in prop::collection::vec((0u64..100_000, 0i64..100), 1..50),
        ) {
            let counter = Counter { bits, unit: CounterUnit::Frames };
            let mut unwrapper = Unwrapper::new(counter).unwrap();
            let mut tick = 0u64;
            prop_assert_eq!(unwrapper.observe(0, Time::from_nanos(ORIGIN)), Ok(0));
            for (pause, late_ms) in pauses {
                tick += pause;
                let (raw, _) = shown(counter, tick);
                let nanos = tick as i64 * (1_000_000 + ppm) + late_ms * 1_000_000;
                prop_assert_eq!(unwrapper.observe(raw, Time::from_nanos(ORIGIN).offset(nanos)), Ok(tick));
            }
        }
    }
}
