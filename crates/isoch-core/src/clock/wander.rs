//! How far completions wander from the line below them.
//!
//! Why is that not in the spread of the envelope? Because the envelope keeps the best of every 128 ms, and a
//! stream that has to be located has eight transfers to show where it is. A controller may be late by a part of a
//! frame for longer than that and then be in time again (an emulated one whose timer is set anew from the
//! moment at which it ran is), and all eight agree on a wrong position. So: how late was the *earliest* of
//! eight, at worst? And a completion that is earlier than the line shows that until then all of them were late, by
//! as much at least; what happened once may happen again.

use std::time::Duration;

/// As many completions as a new stream has to show where it is.
const GROUP: u32 = 8;

/// Groups after which what was seen before the last so many is forgotten: some seconds.
const GROUPS: u32 = 64;

/// A completion later than this shows a program that was held up, and no bus that wanders.
const LONGEST: Duration = Duration::from_millis(2);

#[derive(Clone, Debug)]
pub(crate) struct Wander {
    /// The earliest of the current group, and how many are in it.
    earliest: i64,
    count: u32,
    groups: u32,
    /// The worst of the current groups, and of those before them.
    worst: [i64; 2],
}

impl Wander {
    pub(crate) fn new() -> Self {
        Wander { earliest: i64::MAX, count: 0, groups: 0, worst: [0; 2] }
    }

    /// A completion was seen so many nanoseconds after the line.
    pub(crate) fn observe(&mut self, residual: i64) {
        if residual > LONGEST.as_nanos() as i64 {
            return;
        }
        self.earliest = self.earliest.min(residual);
        self.count += 1;
        if self.count < GROUP {
            return;
        }
        self.show(self.earliest);
        (self.earliest, self.count) = (i64::MAX, 0);
        self.groups += 1;
        if self.groups == GROUPS {
            self.worst = [0, self.worst[0]];
            self.groups = 0;
        }
    }

    /// So far from the truth a settled line has been.
    pub(crate) fn show(&mut self, nanos: i64) {
        self.worst[0] = self.worst[0].max(nanos.min(LONGEST.as_nanos() as i64));
    }

    /// How far off completions may be, in nanoseconds.
    pub(crate) fn nanos(&self) -> f64 {
        self.worst[0].max(self.worst[1]) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_time_among_eight_is_enough() {
        let mut wander = Wander::new();
        (0..800).for_each(|index| wander.observe(if index % 8 == 5 { 30_000 } else { 900_000 }));
        assert_eq!(wander.nanos() as i64, 30_000);
    }

    #[test]
    fn eight_late_ones_are_remembered_for_some_seconds() {
        let mut wander = Wander::new();
        (0..8).for_each(|_| wander.observe(700_000));
        (0..8 * GROUPS).for_each(|_| wander.observe(10_000));
        assert_eq!(wander.nanos() as i64, 700_000);
        (0..8 * GROUPS).for_each(|_| wander.observe(10_000));
        assert_eq!(wander.nanos() as i64, 10_000);
    }

    #[test]
    fn who_is_held_up_does_not_wander() {
        let mut wander = Wander::new();
        (0..100).for_each(|index| wander.observe(100_000_000 - index * 900_000));
        assert_eq!(wander.nanos() as i64, 0);
        wander.show(i64::MAX);
        assert_eq!(wander.nanos() as i64, 2_000_000);
    }
}
