//! The start-of-frame clock: which host time each microframe begins at.
//!
//! Why not a period that is added up? A crystal that is off by a few millionths makes a period that is no
//! whole number of nanoseconds, and adding up the rounded one drifts. Here every time is computed from the
//! beginning of the segment it lies in, so the error stays below a nanosecond per *change*, however long a
//! segment lasts.

use std::time::Duration;

use isoch_core::Time;

/// Nanoseconds in a microframe by the bus's own clock.
const MICROFRAME_NANOS: u128 = 125_000;
/// One, in parts per billion.
const BILLION: i64 = 1_000_000_000;
/// Faster or slower than this is no crystal; it also keeps the arithmetic in range.
const PPM_LIMIT: f64 = 500_000.0;

/// A run of microframes of constant length.
#[derive(Clone, Copy, Debug)]
struct Segment {
    /// Its first microframe.
    microframe: u64,
    /// When that begins.
    time: Time,
    /// How much faster the bus clock runs than the host's, in parts per billion.
    ppb: i64,
    /// How long the bus stood still before it.
    stretch: Duration,
}

impl Segment {
    /// Rounded up, so that [`Segment::microframe_at`] of the result is `microframe` again.
    fn time_of(&self, microframe: u64) -> Time {
        let count = u128::from(microframe.saturating_sub(self.microframe));
        let nanos = (count * MICROFRAME_NANOS * BILLION as u128).div_ceil((BILLION + self.ppb) as u128);
        Time::from_nanos(self.time.as_nanos().saturating_add(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    fn microframe_at(&self, time: Time) -> u64 {
        let nanos = u128::from(time.as_nanos().saturating_sub(self.time.as_nanos()));
        let count = nanos * (BILLION + self.ppb) as u128 / (MICROFRAME_NANOS * BILLION as u128);
        self.microframe.saturating_add(u64::try_from(count).unwrap_or(u64::MAX))
    }
}

/// Converts between microframes and host time.
#[derive(Clone, Debug)]
pub struct SofClock {
    /// Never empty, by rising microframe; the first begins at microframe 0.
    segments: Vec<Segment>,
}

impl Default for SofClock {
    fn default() -> Self {
        SofClock::new(Time::ZERO)
    }
}

impl SofClock {
    /// A clock whose microframe 0 begins at `origin`, exactly as fast as the host's.
    #[must_use]
    pub fn new(origin: Time) -> Self {
        SofClock { segments: vec![Segment { microframe: 0, time: origin, ppb: 0, stretch: Duration::ZERO }] }
    }

    /// Moves microframe 0, and everything after it, so that it begins at `origin`.
    pub fn set_origin(&mut self, origin: Time) {
        self.segments[0].time = origin;
        self.recompute(1);
    }

    /// When `microframe` begins.
    #[must_use]
    pub fn time_of(&self, microframe: u64) -> Time {
        self.segments[self.segment_of(microframe)].time_of(microframe)
    }

    /// The microframe that is running at `time` (0 before the origin). While the bus stands still, the one
    /// before the stretch.
    #[must_use]
    pub fn microframe_at(&self, time: Time) -> u64 {
        let after = self.segments.partition_point(|segment| segment.time <= time);
        let Some(index) = after.checked_sub(1) else { return 0 };
        let microframe = self.segments[index].microframe_at(time);
        match self.segments.get(after) {
            Some(next) => microframe.min(next.microframe - 1),
            None => microframe,
        }
    }

    /// From `microframe` on, up to the next change already made, the bus clock runs `ppm` millionths faster
    /// than the host's (slower if negative). Kept to a thousandth of that; beyond ±500 000 it is cut.
    pub fn set_ppm(&mut self, microframe: u64, ppm: f64) {
        let ppm = if ppm.is_finite() { ppm.clamp(-PPM_LIMIT, PPM_LIMIT) } else { 0.0 };
        let index = self.split(microframe);
        self.segments[index].ppb = (ppm * 1000.0).round() as i64;
        self.recompute(index + 1);
    }

    /// How much faster than the host's the bus clock runs in `microframe`, in millionths.
    #[must_use]
    pub fn ppm(&self, microframe: u64) -> f64 {
        self.segments[self.segment_of(microframe)].ppb as f64 / 1000.0
    }

    /// The bus stands still for `by` before `microframe`: it, and all after it, begin that much later.
    /// For when the emulator's own thread was held up: frames then come late instead of in a burst.
    pub fn stretch(&mut self, by: Duration, microframe: u64) {
        let index = self.split(microframe);
        let segment = &mut self.segments[index];
        segment.stretch = segment.stretch.saturating_add(by);
        if index == 0 {
            segment.time = segment.time + by;
        }
        self.recompute(index.max(1));
    }

    /// By how much the clock was stretched altogether.
    #[must_use]
    pub fn stretched(&self) -> Duration {
        self.segments.iter().fold(Duration::ZERO, |sum, segment| sum.saturating_add(segment.stretch))
    }

    fn segment_of(&self, microframe: u64) -> usize {
        // The last one nearly always.
        let last = self.segments.len() - 1;
        if self.segments[last].microframe <= microframe {
            return last;
        }
        self.segments.partition_point(|segment| segment.microframe <= microframe) - 1
    }

    /// The segment that begins exactly at `microframe`, made if necessary.
    fn split(&mut self, microframe: u64) -> usize {
        let index = self.segment_of(microframe);
        let segment = self.segments[index];
        if segment.microframe == microframe {
            return index;
        }
        let time = segment.time_of(microframe);
        self.segments.insert(index + 1, Segment { microframe, time, stretch: Duration::ZERO, ..segment });
        index + 1
    }

    /// Sets the times of the segments from `first` on, by those before them.
    fn recompute(&mut self, first: usize) {
        for index in first..self.segments.len() {
            let segment = self.segments[index];
            self.segments[index].time =
                self.segments[index - 1].time_of(segment.microframe) + segment.stretch;
        }
    }
}
