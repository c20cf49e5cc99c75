//! When requests should be over, by what came back before.
//!
//! Why guess? To save system calls: usbfs says that *something* is over, not how much. After taking back what
//! the clock says is over, it is cheaper to wait again than to ask for one that is not there. A wrong guess costs
//! one call and nothing else.

use isoch_core::Time;

/// How fast the guess follows a bus that is slower than this machine's clock: 500 millionths, the most that USB
/// allows (USB 2.0 §7.1.11).
const SLOWEST: u64 = 2_000;

/// What will be over so soon is asked for, in nanoseconds: by then the call is made.
const SOON: u64 = 60_000;

/// What the kernel has of an endpoint, as a time. Lengths are in nanoseconds: this is asked for each request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DueEnd {
    /// When what came before the first request should have been over: the earliest moment that fits all that was
    /// seen, or when the first was submitted.
    last: Option<Time>,
    /// The length of all requests.
    queued: u64,
}

impl DueEnd {
    /// A request of this length was submitted.
    pub(super) fn submitted(&mut self, length: u64, now: Time) {
        self.last.get_or_insert(now);
        self.queued = self.queued.saturating_add(length);
    }

    /// The first request, of this length, was seen to be over.
    pub(super) fn over(&mut self, length: u64, seen: Time) {
        self.queued = self.queued.saturating_sub(length);
        self.last = match self.last {
            _ if self.queued == 0 => None,
            Some(last) => Some(after(last, length + length / SLOWEST).min(seen)),
            None => Some(seen),
        };
    }

    /// The first request, of this length, is certainly not over yet: so what came before it was over, and it began, less
    /// than its length ago. Without that, a stream would for ever count as begun when it was submitted, which is a lead
    /// too early, and one on a bus slower than any should be as ending earlier and earlier.
    pub(super) fn is_under_way(&mut self, length: u64, now: Time) {
        let begun = Time::from_nanos(now.as_nanos().saturating_sub(length));
        self.last = self.last.map(|last| last.max(begun));
    }

    /// Whether the next one, of this length, should be over.
    pub(super) fn is_over(&self, length: u64, now: Time) -> bool {
        self.last.is_some_and(|last| after(last, length) <= after(now, SOON))
    }

    /// Whether all of it should have been over for so long.
    pub(super) fn is_overdue(&self, margin: u64, now: Time) -> bool {
        self.last.is_some_and(|last| after(after(last, self.queued), margin) < now)
    }

    /// Whether the last one is still to come for so long at least.
    pub(super) fn lasts(&self, margin: u64, now: Time) -> bool {
        self.last.is_some_and(|last| after(last, self.queued) > after(now, margin))
    }
}

fn after(time: Time, nanoseconds: u64) -> Time {
    Time::from_nanos(time.as_nanos().saturating_add(nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: u64 = 1_000_000;

    fn at(microseconds: u64) -> Time {
        Time::from_nanos(microseconds * 1_000)
    }

    #[test]
    fn one_after_the_other_is_not_asked_for_twice() {
        let mut due = DueEnd::default();
        due.submitted(MILLISECOND, at(0));
        for frame in 1..1_000 {
            let seen = at(frame * 1_000 + 20 + frame % 7);
            due.submitted(MILLISECOND, seen);
            due.over(MILLISECOND, seen);
            assert!(!due.is_over(MILLISECOND, after(seen, 900_000)));
        }
    }

    #[test]
    fn after_a_pause_all_that_is_over_is_asked_for() {
        let mut due = DueEnd::default();
        (0..20).for_each(|_| due.submitted(MILLISECOND, at(0)));
        due.over(MILLISECOND, at(1_000));
        // Nobody looked while ten more ended.
        let now = at(11_010);
        let mut asked = 0;
        while due.is_over(MILLISECOND, now) {
            due.over(MILLISECOND, now);
            asked += 1;
        }
        assert_eq!(asked, 10);
        assert!(due.lasts(MILLISECOND * 8, now) && !due.lasts(MILLISECOND * 9, now));
        assert!(!due.is_overdue(0, now) && !due.is_overdue(MILLISECOND, at(21_000)));
        assert!(due.is_overdue(MILLISECOND, at(21_020)));
    }

    #[test]
    fn what_is_not_over_shows_how_long_the_rest_lasts() {
        // Begun ten milliseconds after it was submitted, with 24 queued, of which 11 are wanted to be sure.
        let mut due = DueEnd::default();
        (0..4).for_each(|_| due.submitted(6 * MILLISECOND, at(0)));
        let mut followed = 0;
        for frame in (16..400).step_by(6) {
            let now = at(frame * 1_000 + 20);
            due.over(6 * MILLISECOND, now);
            let sure = due.lasts(11 * MILLISECOND, now);
            due.is_under_way(6 * MILLISECOND, now);
            assert!(due.lasts(11 * MILLISECOND, now), "{frame}");
            assert!(!due.lasts(18 * MILLISECOND, now), "no more than is queued");
            followed += usize::from(sure);
            due.submitted(6 * MILLISECOND, now);
        }
        // Once it is known, it stays known.
        assert_eq!(followed, 63);
    }

    #[test]
    fn an_empty_queue_begins_anew() {
        let mut due = DueEnd::default();
        due.submitted(MILLISECOND, at(0));
        due.over(MILLISECOND, at(1_000));
        assert!(!due.is_over(MILLISECOND, at(60_000)) && !due.lasts(0, at(0)));
        // A stream begins after it was asked for: what it lasts is not less.
        due.submitted(MILLISECOND, at(60_000));
        assert!(due.lasts(0, at(60_500)));
    }
}
