//! What readings of the controller's own counter prove.
//!
//! Why no fit here? A reading that showed microframe *m* between two looks at the host's clock says that *m*
//! began before the second and *m* + 1 after the first. These are bounds, not samples with noise: if both
//! are kept, so is the truth, however late the program was. Where the line may still lie between them is
//! computed, and its middle taken.

use super::envelope::{BLOCKS, Envelope, Side};
use super::line::{Line, MICROFRAME_NANOS};
use crate::time::Time;

/// Readings, as bounds from both sides.
#[derive(Clone, Debug)]
pub(crate) struct Readings {
    began_before: Envelope,
    ended_after: Envelope,
}

/// Where the line is, as far as the readings prove it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Proof {
    /// The middle.
    pub(crate) line: Line,
    /// How far the truth may be from it at the newest reading, in nanoseconds.
    pub(crate) phase_error: f64,
    /// How far its rate may be off, in parts per million.
    pub(crate) rate_error: f64,
}

/// Offsets from a nominal line: nanoseconds along the bus, nanoseconds beyond it on the host.
#[derive(Clone, Copy)]
struct Points {
    points: [(f64, f64); BLOCKS + 1],
    length: usize,
}

impl Points {
    /// Those of `envelope`, from a nominal line through `microframe` at `at`.
    fn new(envelope: &Envelope, microframe: u64, at: Time) -> Self {
        let nominal = Line::new(microframe, at, 0.0);
        let mut points = Points { points: [(0.0, 0.0); BLOCKS + 1], length: 0 };
        for (slot, (position, seen)) in points.points.iter_mut().zip(envelope.observations()) {
            let bus = (i128::from(position) - i128::from(microframe)) * i128::from(MICROFRAME_NANOS);
            *slot = (bus as f64, nominal.residual(position, seen) as f64);
            points.length += 1;
        }
        points
    }

    fn iter(&self) -> impl Iterator<Item = &(f64, f64)> {
        self.points.iter().take(self.length)
    }
}

impl Readings {
    pub(crate) fn new() -> Self {
        Readings { began_before: Envelope::new(Side::Late), ended_after: Envelope::new(Side::Early) }
    }

    pub(crate) fn clear(&mut self) {
        self.began_before.clear();
        self.ended_after.clear();
    }

    pub(crate) fn renumber(&mut self, by: i64) {
        self.began_before.renumber(by);
        self.ended_after.renumber(by);
    }

    /// Takes a reading, and says where the line is; the rate is within `ppm_limit` of nominal. `guess` is the
    /// best guess so far; only its rate matters.
    pub(crate) fn observe(
        &mut self,
        microframe: u64,
        before: Time,
        after: Time,
        guess: &Line,
        ppm_limit: f64,
    ) -> Proof {
        for _ in 0..2 {
            self.began_before.observe(microframe, after, guess);
            self.ended_after.observe(microframe.saturating_add(1), before, guess);
            if let Some(proof) = self.proof(microframe, after, ppm_limit) {
                return proof;
            }
            // No line fits them all: the counter or the clock was set. Only this one counts then.
            self.clear();
        }
        Proof {
            line: Line::new(microframe, after, 0.0),
            phase_error: after.since(before).as_nanos() as f64 + MICROFRAME_NANOS as f64,
            rate_error: ppm_limit,
        }
    }

    fn proof(&self, microframe: u64, at: Time, ppm_limit: f64) -> Option<Proof> {
        let upper = Points::new(&self.began_before, microframe, at);
        let lower = Points::new(&self.ended_after, microframe, at);

        // Between a bound from below and a later one from above the line cannot rise more steeply than they
        // do, nor less steeply the other way round.
        let (mut least, mut most) = (-ppm_limit * 1e-6, ppm_limit * 1e-6);
        for above in upper.iter() {
            for below in lower.iter() {
                let slope = (above.1 - below.1) / (above.0 - below.0);
                if above.0 > below.0 {
                    most = most.min(slope);
                } else if above.0 < below.0 {
                    least = least.max(slope);
                }
            }
        }
        // Each bound, carried to the newest reading by the rate that carries it farthest.
        let carried = |(bus, host): &(f64, f64), towards: f64, back: f64| {
            host - bus * if *bus <= 0.0 { towards } else { back }
        };
        let latest = upper.iter().map(|point| carried(point, most, least)).fold(f64::INFINITY, f64::min);
        let earliest =
            lower.iter().map(|point| carried(point, least, most)).fold(f64::NEG_INFINITY, f64::max);
        if least > most || earliest > latest {
            return None;
        }
        let middle = (latest + earliest) / 2.0;
        Some(Proof {
            line: Line::new(microframe, at.offset(middle as i64), (least + most) / 2.0 * 1e6),
            phase_error: (latest - earliest) / 2.0,
            rate_error: (most - least) / 2.0 * 1e6,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: f64 = 600.0;

    fn at(nanos: i64) -> Time {
        Time::from_nanos(1 << 62).offset(nanos)
    }

    #[test]
    fn one_reading_bounds_the_phase_and_not_the_rate() {
        let mut readings = Readings::new();
        let proof = readings.observe(1000, at(0), at(15_000), &Line::new(0, at(0), 0.0), LIMIT);
        // It began after -125 µs and before 15 µs.
        assert!((proof.phase_error - 70_000.0).abs() < 100.0, "{proof:?}");
        assert!((proof.line.residual(1000, at(-55_000))).abs() < 100);
        assert!((proof.rate_error - LIMIT).abs() < 1e-6);
    }

    #[test]
    fn readings_at_the_edges_of_a_microframe_prove_the_most() {
        let mut readings = Readings::new();
        let truth = Line::new(0, at(0), 100.0);
        let mut proof = None;
        for index in 0..40u64 {
            let microframe = index * 1000;
            let begins = truth.time_of(microframe);
            let ends = truth.time_of(microframe + 1);
            // Just after it began, and just before it ended.
            readings.observe(microframe, begins, begins.offset(1000), &truth, LIMIT);
            proof = Some(readings.observe(microframe, ends.offset(-1000), ends, &truth, LIMIT));
        }
        let proof = proof.unwrap();
        assert!(proof.phase_error <= 1100.0, "{proof:?}");
        assert!(proof.rate_error < 1.0);
        assert!((proof.line.ppm() - 100.0).abs() <= proof.rate_error);
        let error = proof.line.residual(39_000, truth.time_of(39_000));
        assert!(error.abs() as f64 <= proof.phase_error + 1.0);
    }

    #[test]
    fn contradictions_start_anew() {
        let mut readings = Readings::new();
        let guess = Line::new(0, at(0), 0.0);
        readings.observe(1000, at(0), at(10_000), &guess, LIMIT);
        let proof = readings.observe(1000, at(1_000_000), at(1_010_000), &guess, LIMIT);
        assert!(proof.line.residual(1000, at(942_500)).abs() < 100, "{proof:?}");
    }
}
