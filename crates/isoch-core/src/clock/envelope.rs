//! The lower envelope of completions.
//!
//! Why not a delay-locked loop, as audio servers use? Because it averages, and lateness does not average
//! out: a completion is never seen early, but with a loaded host one in ten is late by up to 3 ms. A loop
//! slow enough to smooth that takes a minute to learn the rate and still lags by tenths of a millisecond.
//! The *earliest* completions, though, were seen at nearly the fixed latency of the system. So: a line
//! below all of them, as close to them as it can be. (In simulation its 99th percentile is three times
//! better under load than that of a loop with outlier rejection.)
//!
//! Of a window of some 4 s only the earliest observation of each of 32 blocks is kept. The line is the edge
//! of their lower convex hull under the middle of the window, which among all lines below the points is
//! the one with the smallest sum of distances; for exponentially distributed lateness it is the most
//! likely one. (S. B. Moon, P. Skelly, D. Towsley: Estimation and removal of clock skew from network delay
//! measurements, 1999.) Blocks begin short and double, so that a first fit does not wait for the window.

use super::line::{Line, MICROFRAME_NANOS};
use crate::time::Time;

/// Blocks in the window.
pub(crate) const BLOCKS: usize = 32;
/// Length of the first blocks, in microframes: 8 ms.
const SHORTEST_BLOCK: u64 = 64;
/// Length of blocks in a full window, in microframes: 128 ms.
const LONGEST_BLOCK: u64 = 1024;
/// Length of a full window, in microframes: 4.096 s.
pub(crate) const WINDOW: u64 = LONGEST_BLOCK * BLOCKS as u64;

/// Fewer blocks, or shorter, prove no unexpected rate.
const PROOF_BLOCKS: usize = 8;
/// In nanoseconds.
const PROOF_NANOS: f64 = 300e6;
/// Lateness, in nanoseconds, that changes slowly by chance.
const PROOF_MARGIN: f64 = 100_000.0;

/// From which side the truth is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Observations are never early: the line lies before them.
    Late,
    /// Observations are never late: the line lies behind them.
    Early,
}

/// A microframe and a time at or after (or before) which it began.
#[derive(Clone, Copy, Debug)]
struct Observation {
    microframe: u64,
    at: Time,
}

/// What the envelope says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fit {
    /// The line.
    pub(crate) line: Line,
    /// How far off its phase may be at the newest observation, in nanoseconds, as far as the scatter of
    /// the observations tells. Their common latency is not in it.
    pub(crate) spread: f64,
    /// How far off its rate may be, in parts per million.
    pub(crate) rate_error: f64,
    /// Microframes between the first and the last observation used.
    pub(crate) baseline: u64,
}

/// One-sided observations, and the line that bounds them.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    side: Side,
    /// The best observation of each finished block, then of the current one.
    blocks: Vec<Observation>,
    /// In which block the newest is.
    current: u64,
    /// How many blocks were begun since somebody set this to 0.
    pub(crate) begun: u32,
    block_length: u64,
    /// Observations since the window was last empty.
    count: u64,
    newest: u64,
}

impl Envelope {
    pub(crate) fn new(side: Side) -> Self {
        let blocks = Vec::with_capacity(BLOCKS + 1);
        Envelope { side, blocks, current: 0, begun: 0, block_length: SHORTEST_BLOCK, count: 0, newest: 0 }
    }

    /// Forgets everything, without giving up its memory.
    pub(crate) fn clear(&mut self) {
        self.blocks.clear();
        self.block_length = SHORTEST_BLOCK;
        self.count = 0;
    }

    /// How many observations there are.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Whether the window has grown to its full length, or nearly.
    pub(crate) fn is_long(&self) -> bool {
        self.block_length == LONGEST_BLOCK
    }

    /// The best observation of each block: microframe and time.
    pub(crate) fn observations(&self) -> impl Iterator<Item = (u64, Time)> {
        self.blocks.iter().map(|observation| (observation.microframe, observation.at))
    }

    /// Whether an observation at `microframe` would be so far from the previous ones that no line through
    /// both could be trusted to be straight.
    pub(crate) fn is_stale_at(&self, microframe: u64) -> bool {
        self.count > 0 && microframe.abs_diff(self.newest) > WINDOW
    }

    /// Takes an observation. `line` is the best guess so far; only its rate matters.
    #[inline(always)] // of nearly every transfer
    pub(crate) fn observe(&mut self, microframe: u64, at: Time, line: &Line) {
        if self.is_stale_at(microframe) {
            self.clear();
        }
        let observation = Observation { microframe, at };
        let block = microframe / self.block_length;
        self.newest = if self.count == 0 { microframe } else { self.newest.max(microframe) };
        self.count += 1;
        match self.blocks.last_mut() {
            Some(best) if block <= self.current => {
                if better(self.side, line, observation, *best) {
                    *best = observation;
                }
                return;
            }
            _ => {}
        }
        self.begin_block(block, observation, line);
    }

    #[inline(never)]
    fn begin_block(&mut self, block: u64, observation: Observation, line: &Line) {
        self.current = block;
        self.begun = self.begun.saturating_add(1);
        self.blocks.push(observation);
        let oldest_allowed = observation.microframe.saturating_sub(WINDOW);
        self.blocks.retain(|old| old.microframe >= oldest_allowed);
        while self.blocks.len() > BLOCKS {
            if self.block_length < LONGEST_BLOCK {
                self.halve(line);
            } else {
                self.blocks.remove(0);
            }
        }
    }

    /// Numbers all frames `by` microframes higher. Observations whose numbers would be negative cannot be
    /// kept: then all are forgotten.
    pub(crate) fn renumber(&mut self, by: i64) {
        if self.blocks.iter().any(|observation| observation.microframe.checked_add_signed(by).is_none()) {
            self.clear();
        }
        for observation in &mut self.blocks {
            observation.microframe = observation.microframe.saturating_add_signed(by);
        }
        self.newest = self.newest.saturating_add_signed(by);
        self.current = self.newest / self.block_length;
    }

    /// Merges blocks until each is twice as long as before.
    fn halve(&mut self, line: &Line) {
        self.block_length *= 2;
        self.current = self.newest / self.block_length;
        let mut kept: usize = 0;
        for index in 0..self.blocks.len() {
            let Some(&observation) = self.blocks.get(index) else { break };
            let block = observation.microframe / self.block_length;
            let previous = kept.checked_sub(1).and_then(|last| self.blocks.get_mut(last));
            match previous {
                Some(best) if best.microframe / self.block_length == block => {
                    if better(self.side, line, observation, *best) {
                        *best = observation;
                    }
                }
                _ => {
                    self.blocks.swap(kept, index);
                    kept += 1;
                }
            }
        }
        self.blocks.truncate(kept);
    }

    /// The line, its rate within `ppm ± ppm_error` unless the observations prove another, and `may_prove` says that it
    /// is not their positions that are wrong. `None` without observations.
    pub(crate) fn fit(&self, ppm: f64, ppm_error: f64, may_prove: bool) -> Option<Fit> {
        // Distances from a nominal line through the newest block's observation, so that the numbers are
        // small wherever the origins are; turned over if the bound is from the other side.
        let origin = *self.blocks.last()?;
        let sign = if self.side == Side::Late { 1.0 } else { -1.0 };
        let mut points = [(0.0, 0.0); BLOCKS + 1];
        let mut length = 0;
        for (slot, observation) in points.iter_mut().zip(&self.blocks) {
            // None is further from another than the window is long.
            let distance = observation.microframe.wrapping_sub(origin.microframe) as i64;
            let x = distance.saturating_mul(MICROFRAME_NANOS);
            let y = observation.at.offset_from(origin.at).saturating_sub(x);
            *slot = (x as f64, sign * y as f64);
            length += 1;
        }
        let points = points.get_mut(..length)?;
        // The newest block is not finished: while it holds a single late observation it must not turn the
        // line, least of all after a pause, when it stands alone at the end of a long lever.
        let finished = if length > 2 { length - 1 } else { length };
        let (finished, _) = points.split_at_mut(finished);
        if !finished.is_sorted_by(|a, b| a.0 <= b.0) {
            finished.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        let (first, last) = (finished.first()?.0, finished.last()?.0);
        let expected =
            |slope: f64| slope.clamp((sign * ppm - ppm_error) * 1e-6, (sign * ppm + ppm_error) * 1e-6);
        let slope = match middle_edge_slope(finished) {
            None => sign * ppm * 1e-6,
            Some(free) if may_prove && is_proven(finished, free, expected(free)) => free,
            Some(free) => expected(free),
        };
        let level = points.iter().map(|(x, y)| y - slope * x).fold(f64::INFINITY, f64::min);

        let mut excess = [0.0; BLOCKS + 1];
        for (slot, (x, y)) in excess.iter_mut().zip(points.iter()) {
            *slot = y - slope * x - level;
        }
        let excess = excess.get_mut(..length)?;
        let median = match length {
            0 => 0.0,
            _ => *excess.select_nth_unstable_by(length / 2, f64::total_cmp).1,
        };
        let spread = median * (1.0 + 16.0 / length as f64);

        let baseline_nanos = last - first;
        let rate_error =
            if baseline_nanos > 0.0 { (4e6 * spread / baseline_nanos).min(ppm_error) } else { ppm_error };
        let at = origin.at.offset((sign * level) as i64);
        Some(Fit {
            line: Line::new(origin.microframe, at, sign * slope * 1e6),
            spread,
            rate_error,
            baseline: (baseline_nanos / MICROFRAME_NANOS as f64) as u64,
        })
    }
}

/// Whether points that lie on a line of the slope `free` cannot be those of one of the slope `expected`.
///
/// Why is there no hard limit? What a host takes for a second is the host's affair: one that is set right
/// runs 500 ppm beside, and the clock of an emulated machine was measured at its start, however busy that was. A
/// line that must not follow it is soon a frame off.
fn is_proven(points: &[(f64, f64)], free: f64, expected: f64) -> bool {
    let Some((first, last)) = points.first().zip(points.last()) else { return false };
    let baseline = last.0 - first.0;
    if points.len() < PROOF_BLOCKS || baseline < PROOF_NANOS {
        return false;
    }
    let level = points.iter().map(|(x, y)| y - free * x).fold(f64::INFINITY, f64::min);
    let excess = points.iter().map(|(x, y)| y - free * x - level).sum::<f64>() / points.len() as f64;
    (free - expected).abs() * baseline > 4.0 * excess + PROOF_MARGIN
}

/// Whether `a` bounds the line more tightly than `b`.
fn better(side: Side, line: &Line, a: Observation, b: Observation) -> bool {
    let by = a.at.offset_from(b.at).saturating_sub(line.length_between(b.microframe, a.microframe));
    match side {
        Side::Late => by < 0,
        Side::Early => by > 0,
    }
}

/// The slope of the lower convex hull at the mean abscissa of points sorted by abscissa. `None` if all
/// abscissas are the same.
fn middle_edge_slope(points: &[(f64, f64)]) -> Option<f64> {
    let mean = points.iter().map(|point| point.0).sum::<f64>() / points.len() as f64;
    let mut hull = [(0.0, 0.0); BLOCKS + 1];
    let mut length: usize = 0;
    for &point in points {
        while length >= 2 {
            let (a, b) = (*hull.get(length - 2)?, *hull.get(length - 1)?);
            let turn = (b.0 - a.0) * (point.1 - a.1) - (b.1 - a.1) * (point.0 - a.0);
            if turn > 0.0 {
                break;
            }
            length -= 1;
        }
        *hull.get_mut(length)? = point;
        length += 1;
    }
    let hull = hull.get(..length)?;
    let edge = hull.windows(2).find(|edge| matches!(edge, [_, end] if end.0 >= mean && end.0 > edge[0].0))?;
    match edge {
        [a, b] => Some((b.1 - a.1) / (b.0 - a.0)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAR: u64 = 1 << 63;

    fn truth(ppm: f64) -> Line {
        Line::new(1_000_000, Time::from_nanos(FAR), ppm)
    }

    #[test]
    fn a_clean_line_is_found_exactly_and_far_from_the_origin() {
        for side in [Side::Late, Side::Early] {
            for ppm in [-200.0, 0.0, 137.5] {
                let truth = truth(ppm);
                let mut envelope = Envelope::new(side);
                let guess = Line::new(0, Time::ZERO, 0.0);
                for index in 0..2000 {
                    let microframe = 1_000_000 + index * 64;
                    envelope.observe(microframe, truth.time_of(microframe), &guess);
                }
                let fit = envelope.fit(0.0, 500.0, false).unwrap();
                let end = 1_000_000 + 2000 * 64;
                assert!(fit.line.residual(end, truth.time_of(end)).abs() <= 10, "{side:?} {ppm}");
                assert!((fit.line.ppm() - ppm).abs() < 0.01);
                assert!(fit.spread < 100.0);
                assert!(fit.baseline > WINDOW - 3 * LONGEST_BLOCK);
            }
        }
    }

    #[test]
    fn late_observations_do_not_move_the_line() {
        let truth = truth(30.0);
        let mut envelope = Envelope::new(Side::Late);
        for index in 0..1000u64 {
            let microframe = 1_000_000 + index * 64;
            let late = if index % 3 == 0 { 0 } else { 5_000_000 };
            envelope.observe(microframe, truth.time_of(microframe).offset(late), &truth);
        }
        let fit = envelope.fit(0.0, 500.0, false).unwrap();
        let end = 1_000_000 + 1000 * 64;
        assert!(fit.line.residual(end, truth.time_of(end)).abs() <= 10);
    }

    #[test]
    fn the_early_side_mirrors_the_late_one() {
        let truth = truth(-30.0);
        let mut envelope = Envelope::new(Side::Early);
        for index in 0..1000u64 {
            let microframe = 1_000_000 + index * 64;
            let early = if index % 3 == 0 { 0 } else { -5_000_000 };
            envelope.observe(microframe, truth.time_of(microframe).offset(early), &truth);
        }
        let fit = envelope.fit(0.0, 500.0, false).unwrap();
        let end = 1_000_000 + 1000 * 64;
        assert!(fit.line.residual(end, truth.time_of(end)).abs() <= 10);
    }

    #[test]
    fn a_long_pause_empties_the_window() {
        let truth = truth(0.0);
        let mut envelope = Envelope::new(Side::Late);
        for index in 0..100u64 {
            envelope.observe(index * 64, truth.time_of(index * 64), &truth);
        }
        assert_eq!(envelope.count(), 100);
        envelope.observe(100_000, truth.time_of(100_000), &truth);
        assert_eq!(envelope.count(), 1);
        assert!(Envelope::new(Side::Late).fit(0.0, 500.0, false).is_none());
    }

    #[test]
    fn memory_is_bounded_whatever_the_block_size() {
        let truth = truth(0.0);
        for step in [1, 7, 64, 128, 1000, 5000, 40_000] {
            let mut envelope = Envelope::new(Side::Late);
            let capacity = envelope.blocks.capacity();
            for index in 0..5000u64 {
                envelope.observe(index * step, truth.time_of(index * step), &truth);
                assert!(envelope.blocks.len() <= BLOCKS);
            }
            assert_eq!(envelope.blocks.capacity(), capacity);
        }
    }
}
