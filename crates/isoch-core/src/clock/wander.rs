//! How far completions wander from the line below them.
//!
//! Why is that not in the spread of the envelope? Because the envelope keeps the best of every 128 ms, and a
//! stream that has to be located is seen at eight moments, at first, to show where it is. A controller may be late by a part of a
//! frame for longer than that and then be in time again (an emulated one whose timer is set anew from the
//! moment at which it ran is), and all eight agree on a wrong position. So: how late was the *earliest* of
//! eight, at worst? Of sixteen, and of thirty-two? By that a stream can be located for certain on such a bus, too: it takes
//! more of its transfers. And a completion that is earlier than the line shows that until then all of them were late, by
//! as much at least; what happened once may happen again.

use std::time::Duration;

/// Completions in the smallest group: as many as a new stream has, at least, to show where it is.
pub(crate) const GROUP: u32 = 8;
/// Sizes of groups, each twice the one before.
const LEVELS: usize = 3;

/// Completions after which what was seen before the last so many is forgotten: some seconds.
const REMEMBERED: u32 = 512;
/// The same for what was seen before a line was straight.
const REMEMBERED_AT_FIRST: u32 = REMEMBERED / 4;

/// A frame, in nanoseconds.
const FRAME: i64 = 1_000_000;
/// A bus that keeps time is not this late again and again.
const WANDERS: i64 = FRAME / 4;

/// A completion later than this shows a program that was held up, and no bus that wanders.
const LONGEST: Duration = Duration::from_millis(2);

#[derive(Clone, Debug)]
pub(crate) struct Wander {
    /// The earliest of the current group of each level.
    earliest: [i64; LEVELS],
    /// Completions seen since what is older was put aside.
    count: u32,
    /// How late the earliest of a group was at worst, at each level: of these, and of those before them.
    late: [[i64; LEVELS]; 2],
    /// How late the last of a group was, and how late two of these in a row were at worst, as above.
    sample: i64,
    samples: [i64; 2],
    /// How early a completion was at worst.
    early: [i64; 2],
}

/// How late nothing was yet.
const NEVER: i64 = i64::MIN;

impl Wander {
    pub(crate) fn new() -> Self {
        Wander {
            earliest: [i64::MAX; LEVELS],
            count: 0,
            late: [[NEVER; LEVELS]; 2],
            sample: 0,
            samples: [0; 2],
            early: [0; 2],
        }
    }

    /// A completion was seen so many nanoseconds after the line.
    pub(crate) fn observe(&mut self, residual: i64) {
        if residual > LONGEST.as_nanos() as i64 {
            return;
        }
        let [earliest, ..] = &mut self.earliest;
        *earliest = residual.min(*earliest);
        self.count += 1;
        if self.count.is_multiple_of(GROUP) {
            self.group_is_full(residual);
        }
    }

    fn group_is_full(&mut self, residual: i64) {
        // A program that was held up once makes one late, and not the next that is looked at, too.
        let [now, _] = &mut self.samples;
        *now = self.sample.min(residual).max(*now);
        self.sample = residual;
        let mut earliest = i64::MAX;
        let mut size = GROUP;
        for (of_level, late) in self.earliest.iter_mut().zip(&mut self.late[0]) {
            earliest = earliest.min(*of_level);
            *of_level = earliest;
            if !self.count.is_multiple_of(size) {
                break;
            }
            *late = earliest.max(*late);
            *of_level = i64::MAX;
            size *= 2;
        }
        if self.count >= REMEMBERED {
            self.put_aside(0);
        }
    }

    /// What was seen is older than what comes, of which there are `count` already.
    fn put_aside(&mut self, count: u32) {
        self.late = [[NEVER; LEVELS], self.late[0]];
        self.early = [0, self.early[0]];
        self.samples = [0, self.samples[0]];
        self.count = count;
    }

    /// The line was not straight so far: what was seen is soon forgotten.
    pub(crate) fn begin_anew(&mut self) {
        self.earliest = [i64::MAX; LEVELS];
        self.put_aside(REMEMBERED - REMEMBERED_AT_FIRST);
    }

    /// A completion was seen so many nanoseconds before a line that was thought to be below all of them.
    pub(crate) fn is_early(&mut self, by: i64) {
        self.early[0] = self.early[0].max(by.min(LONGEST.as_nanos() as i64));
    }

    /// How late all of so many in a row may be. Any twice as many as a group has contain a whole one; fewer than that are
    /// thought to be no worse than the smallest.
    pub(crate) fn late(&self, completions: u32) -> Duration {
        let is_in_it = |level: &usize| *level == 0 || completions >= (2 * GROUP) << *level;
        // A size of which there was no whole group yet says nothing.
        let late = (0..LEVELS).rev().filter(is_in_it).find_map(|level| {
            let late = self.late.iter().filter_map(|late| late.get(level)).max();
            late.copied().filter(|late| *late != NEVER)
        });
        Duration::from_nanos(late.unwrap_or(0).max(0).unsigned_abs())
    }

    /// How late any one may be, if it is the bus that is late: one that wanders is late by up to a frame and a little, and
    /// then has two at once.
    pub(crate) fn late_one(&self) -> Duration {
        let [now, before] = self.samples;
        let worst = now.max(before);
        let late = if worst > WANDERS { worst.max(FRAME) + WANDERS } else { worst };
        Duration::from_nanos(late.unsigned_abs())
    }

    /// How late the line may be.
    pub(crate) fn early(&self) -> Duration {
        let [now, before] = self.early;
        Duration::from_nanos(now.max(before).unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_time_among_eight_is_enough() {
        let mut wander = Wander::new();
        (0..800).for_each(|index| wander.observe(if index % 8 == 5 { 30_000 } else { 900_000 }));
        assert_eq!(wander.late(8).as_nanos(), 30_000);
    }

    #[test]
    fn the_more_there_are_the_less_late_is_the_earliest() {
        // Twenty take turns in being late, by more and more.
        let mut wander = Wander::new();
        (0..400).for_each(|index| wander.observe(index % 20 * 50_000));
        let late = |completions| wander.late(completions).as_micros();
        assert_eq!([8, 15, 31, 32, 63, 64, 1000].map(late), [600, 600, 600, 200, 200, 0, 0]);
        assert!(wander.late_one().as_micros() > 1_000, "it wanders, so one may be a frame late");
    }

    #[test]
    fn what_no_group_was_large_enough_for_is_no_better_than_the_next() {
        let mut wander = Wander::new();
        (0..8).for_each(|_| wander.observe(300_000));
        assert_eq!(wander.late(64).as_nanos(), 300_000);
    }

    #[test]
    fn eight_late_ones_are_remembered_for_some_seconds() {
        let mut wander = Wander::new();
        (0..8).for_each(|_| wander.observe(700_000));
        (0..REMEMBERED).for_each(|_| wander.observe(10_000));
        assert_eq!(wander.late(8).as_nanos(), 700_000);
        (0..REMEMBERED).for_each(|_| wander.observe(10_000));
        assert_eq!(wander.late(8).as_nanos(), 10_000);
    }

    #[test]
    fn what_a_crooked_line_showed_is_forgotten_sooner() {
        let mut wander = Wander::new();
        (0..64).for_each(|_| wander.observe(700_000));
        wander.begin_anew();
        assert_eq!(wander.late(64).as_nanos(), 700_000, "nothing better is known yet");
        (0..REMEMBERED_AT_FIRST).for_each(|_| wander.observe(10_000));
        assert_eq!(wander.late(64).as_nanos(), 10_000);
    }

    #[test]
    fn one_that_keeps_time_is_late_when_the_program_is_held_up_only() {
        let mut wander = Wander::new();
        (0..800).for_each(|index| wander.observe(if index % 24 == 7 { 1_900_000 } else { 90_000 }));
        assert_eq!(wander.late_one().as_nanos(), 90_000);
    }

    #[test]
    fn who_is_held_up_does_not_wander() {
        let mut wander = Wander::new();
        (0..100).for_each(|index| wander.observe(100_000_000 - index * 900_000));
        assert_eq!(wander.late(8).as_nanos(), 0);
        wander.is_early(i64::MAX);
        assert_eq!(wander.early(), LONGEST);
    }
}
