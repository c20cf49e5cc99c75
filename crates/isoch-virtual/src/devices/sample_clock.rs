//! A device's own sample clock, off by a few parts per million against the bus.
//!
//! Why integers? An emulated week must not lose a sample, and a test must be able to say how many there
//! were. The clock counts in units of which 8·10¹² make a tick (8000 microframes × 10⁹ parts per billion),
//! so every rate and every deviation divides exactly and nothing is ever rounded twice.

const UNITS_PER_TICK: u64 = 8000 * 1_000_000_000;

/// Counts ticks of a frequency while bus time passes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SampleClock {
    ticks_per_second: u64,
    /// Parts per billion by which the device is faster than the bus.
    deviation: i64,
    fraction: u64,
}

impl SampleClock {
    pub(crate) fn new(ticks_per_second: u64, device_ppm: f64) -> Self {
        SampleClock { ticks_per_second, deviation: (device_ppm * 1000.0).round() as i64, fraction: 0 }
    }

    /// Ticks that fall into the next `microframes`, while the clock is pulled by `pull` parts per billion.
    pub(crate) fn advance(&mut self, microframes: u64, pull: i64) -> u64 {
        let speed = 1_000_000_000_i64.saturating_add(self.deviation).saturating_add(pull).max(0) as u64;
        let per_microframe = self.ticks_per_second.checked_mul(speed);
        let units =
            per_microframe.and_then(|units| units.checked_mul(microframes)?.checked_add(self.fraction));
        if let Some(units) = units {
            self.fraction = units % UNITS_PER_TICK;
            return units / UNITS_PER_TICK;
        }
        // Long pauses and high frequencies only.
        let units = u128::from(self.ticks_per_second) * u128::from(speed) * u128::from(microframes)
            + u128::from(self.fraction);
        self.fraction = (units % u128::from(UNITS_PER_TICK)) as u64;
        u64::try_from(units / u128::from(UNITS_PER_TICK)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_tick_is_lost() {
        for (ticks_per_second, ppm) in
            [(44_100, 0.0), (44_100, 200.0), (96_000, -200.0), (48_000 * 256, 0.125), (1_000_000, -12.5)]
        {
            let mut clock = SampleClock::new(ticks_per_second, ppm);
            // Steps of odd lengths, long ones among them.
            let (mut ticks, mut microframes, mut step) = (0, 0, 1);
            while microframes < 100_000_000 {
                ticks += clock.advance(step, 0);
                microframes += step;
                step = step * 7 % 1_000_003;
            }
            let exact = u128::from(ticks_per_second)
                * (1_000_000_000 + (ppm * 1000.0) as i128) as u128
                * u128::from(microframes)
                / u128::from(UNITS_PER_TICK);
            assert_eq!(u128::from(ticks), exact);
        }
    }
}
