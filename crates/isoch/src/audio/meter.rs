//! The rate of a stream, measured.
//!
//! Why over a second, and not packet by packet? A packet of 44 samples is 44 000 Hz and one of 45 is
//! 45 000 Hz, and neither is a rate of the device. Over a second the count is right to one sample.

/// Microframes of a second.
const WINDOW: u64 = 8000;

/// Counts sample frames against bus time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RateMeter {
    samples: u64,
    microframes: u64,
    /// The second that has begun.
    window: (u64, u64),
    extremes: Option<(f64, f64)>,
}

impl RateMeter {
    /// An interval of `microframes` brought `samples`.
    pub(super) fn add(&mut self, samples: u64, microframes: u64) {
        self.samples += samples;
        self.microframes += microframes;
        self.window.0 += samples;
        self.window.1 += microframes;
        if self.window.1 >= WINDOW {
            let (samples, microframes) = std::mem::take(&mut self.window);
            self.note(hz(samples, microframes));
        }
    }

    /// A rate that was told, not counted.
    pub(super) fn note(&mut self, hz: f64) {
        let (least, most) = self.extremes.unwrap_or((hz, hz));
        self.extremes = Some((least.min(hz), most.max(hz)));
    }

    /// The rate of all that was counted, in sample frames per second of bus time.
    pub(super) fn average(&self) -> Option<f64> {
        (self.microframes > 0).then(|| hz(self.samples, self.microframes))
    }

    /// The smallest and the largest rate noted; the average if nothing was counted for a second.
    pub(super) fn extremes(&self) -> Option<(f64, f64)> {
        self.extremes.or_else(|| self.average().map(|hz| (hz, hz)))
    }
}

fn hz(samples: u64, microframes: u64) -> f64 {
    samples as f64 * WINDOW as f64 / microframes as f64
}

#[cfg(test)]
mod tests {
    use super::RateMeter;

    #[test]
    fn a_rate_is_counted_over_seconds() {
        let mut meter = RateMeter::default();
        assert_eq!((meter.average(), meter.extremes()), (None, None));
        for frame in 0..2500_u64 {
            meter.add(if frame % 10 == 9 { 45 } else { 44 }, 8);
        }
        assert_eq!(meter.average(), Some(44_100.0));
        assert_eq!(meter.extremes(), Some((44_100.0, 44_100.0)));
        (0..1000).for_each(|_| meter.add(48, 8));
        let (least, most) = meter.extremes().unwrap();
        assert!(least == 44_100.0 && most > 44_100.0, "{least} {most}");
    }
}
