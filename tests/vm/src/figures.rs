//! Figures of many readings.

use std::fmt;

/// Readings, of which the middle and the worst are wanted.
#[derive(Clone, Default)]
pub(crate) struct Readings(Vec<f64>);

impl Readings {
    pub(crate) fn add(&mut self, reading: f64) {
        self.0.push(reading);
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The reading that so many of a hundred do not exceed; `None` without readings.
    pub(crate) fn percentile(&self, percent: f64) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        // The nearest rank: a value that was read, never one between two.
        let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).copied()
    }

    pub(crate) fn max(&self) -> Option<f64> {
        self.0.iter().copied().max_by(f64::total_cmp)
    }

    pub(crate) fn min(&self) -> Option<f64> {
        self.0.iter().copied().min_by(f64::total_cmp)
    }
}

impl FromIterator<f64> for Readings {
    fn from_iter<I: IntoIterator<Item = f64>>(readings: I) -> Self {
        Readings(readings.into_iter().collect())
    }
}

impl fmt::Display for Readings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.percentile(50.0), self.percentile(99.0), self.max()) {
            (Some(middle), Some(most), Some(max)) => {
                write!(f, "p50 {middle:.1}, p99 {most:.1}, max {max:.1}")
            }
            _ => f.write_str("no readings"),
        }
    }
}

/// Random numbers for a test, the same in every run.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: &str) -> Self {
        // FNV-1a: any hash that does not change with the compiler.
        let hash = |state: u64, byte: u8| (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Random(seed.bytes().fold(0xcbf2_9ce4_8422_2325, hash))
    }

    pub(crate) fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_readings() {
        let readings: Readings = (1..=200).rev().map(f64::from).collect();
        assert_eq!(readings.percentile(50.0), Some(100.0));
        assert_eq!(readings.percentile(99.0), Some(198.0));
        assert_eq!((readings.min(), readings.max()), (Some(1.0), Some(200.0)));
        assert_eq!(Readings::default().percentile(50.0), None);
    }
}
