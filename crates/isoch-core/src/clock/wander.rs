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
    /// How late the earliest of a group was at worst: of the current groups, and of those before them.
    late: [i64; 2],
    /// How early a completion was at worst.
    early: [i64; 2],
}

impl Wander {
    pub(crate) fn new() -> Self {
        Wander { earliest: i64::MAX, count: 0, groups: 0, late: [0; 2], early: [0; 2] }
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
        self.late[0] = self.late[0].max(self.earliest);
        (self.earliest, self.count) = (i64::MAX, 0);
        self.groups += 1;
        if self.groups == GROUPS {
            self.late = [0, self.late[0]];
            self.early = [0, self.early[0]];
            self.groups = 0;
        }
    }

    /// A completion was seen so many nanoseconds before a line that was thought to be below all of them.
    pub(crate) fn is_early(&mut self, by: i64) {
        self.early[0] = self.early[0].max(by.min(LONGEST.as_nanos() as i64));
    }

    /// How late all of eight may be.
    pub(crate) fn late(&self) -> Duration {
        nanos(self.late)
    }

    /// How late the line may be.
    pub(crate) fn early(&self) -> Duration {
        nanos(self.early)
    }
}

fn nanos(worst: [i64; 2]) -> Duration {
    Duration::from_nanos(worst[0].max(worst[1]).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_time_among_eight_is_enough() {
        let mut wander = Wander::new();
        (0..800).for_each(|index| wander.observe(if index % 8 == 5 { 30_000 } else { 900_000 }));
        assert_eq!(wander.late().as_nanos(), 30_000);
    }

    #[test]
    fn eight_late_ones_are_remembered_for_some_seconds() {
        let mut wander = Wander::new();
        (0..8).for_each(|_| wander.observe(700_000));
        (0..8 * GROUPS).for_each(|_| wander.observe(10_000));
        assert_eq!(wander.late().as_nanos(), 700_000);
        (0..8 * GROUPS).for_each(|_| wander.observe(10_000));
        assert_eq!(wander.late().as_nanos(), 10_000);
    }

    #[test]
    fn who_is_held_up_does_not_wander() {
        let mut wander = Wander::new();
        (0..100).for_each(|index| wander.observe(100_000_000 - index * 900_000));
        assert_eq!(wander.late().as_nanos(), 0);
        wander.is_early(i64::MAX);
        assert_eq!(wander.early(), LONGEST);
    }
}
