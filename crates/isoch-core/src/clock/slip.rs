//! Streams that slid against the bus.
//!
//! Why not believe the count of packets? Because a queue that nearly runs dry may slide by a frame without
//! any error: older xHCI drivers re-time late transfers, and controllers without contiguous frame
//! identifiers are told to send as soon as possible. Then the completions come later than the count says,
//! by whole frames, for good. Jitter is late too, but neither for long nor by whole frames. So a slip is
//! a run of completions all of which are half a frame or more off, whose earliest, in both halves of
//! the run, agree on the same whole number of frames.
//!
//! Completions that are *earlier* than the clock allows cannot come from jitter at all: either the count is
//! ahead of the bus, or the clock is wrong, and then it must find its phase anew.

use crate::time::{MICROFRAMES_PER_FRAME, Time};
use std::time::Duration;

/// A frame, in nanoseconds.
const FRAME_NANOS: i64 = 1_000_000;
/// Completions in a run that proves a slip.
const RUN: u32 = 12;
/// Over how long they must be seen at least. Completions that a stalled program finds all at once prove
/// nothing.
const RUN_TIME: Duration = Duration::from_millis(40);
/// A run of this many that proves no slip begins again.
const LONGEST_RUN: u32 = 24;
/// How far from a whole number of frames the earliest of a run may be, in nanoseconds.
const WHOLE_FRAME_TOLERANCE: i64 = FRAME_NANOS / 4;
/// Completions in time, one after the other, that end a run of early ones. (A single one in time ends a
/// run of late ones.)
const PUNCTUAL_AGAIN: u32 = 4;

/// A stream slid against the frames it was counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slip {
    /// By how many frames it now runs later than counted; negative if earlier.
    pub frames: i64,
    /// When the first completion that shows it was seen.
    pub at: Time,
    /// The end of the last transfer that was still where it was counted, in microframes: the slip happened
    /// after it.
    pub after: u64,
}

/// How a stream's positions are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Count {
    /// Counted; but it may slide without a word.
    #[default]
    MaySlide,
    /// Counted, and interval follows interval.
    Unbroken,
    /// So it does, from a beginning that defined what the clock's frames are called.
    Certain,
    /// The controller's own numbers are told.
    Told,
}

/// What a clock knows of one stream whose completions it is given: by how much its count is off, and
/// whether it is just slipping. One per endpoint, kept for as long as its count goes on; a new count
/// (after a restart, or after the clock's [`generation`](super::FrameClock::generation) changed by other
/// than a slip of this stream) begins with a new one.
#[derive(Clone, Debug, Default)]
pub struct StreamTrack {
    /// What its positions must be corrected by, in microframes.
    shift: i64,
    count: Count,
    /// In nanoseconds.
    doubt: f64,
    run: Run,
    /// The end of the last transfer that was in time.
    good: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Run {
    count: u32,
    punctual: u32,
    early: bool,
    first_seen: Time,
    earliest: [i64; 2],
}

/// How a completion compares with the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// In time: the clock may learn from it.
    Punctual,
    /// Set aside until the run it belongs to is understood.
    SetAside,
    /// The stream slid.
    Slipped(Slip),
    /// Completions keep coming earlier than the clock allows, and not by whole frames.
    ClockIsLate,
}

impl StreamTrack {
    /// A stream whose count is right so far.
    #[must_use]
    pub fn new() -> Self {
        StreamTrack::default()
    }

    /// Says how the positions are known that follow, and by how much they may all be wrong.
    pub fn is_known(&mut self, count: Count, doubt: Duration) {
        (self.count, self.doubt) = (count, doubt.as_nanos() as f64);
    }

    pub(crate) fn count(&self) -> Count {
        self.count
    }

    /// By how many nanoseconds the positions may all be wrong.
    pub(crate) fn doubt(&self) -> f64 {
        self.doubt
    }

    /// By how many frames the stream has slid in all since it began. What is counted without regard to
    /// slips is that much too small.
    #[must_use]
    pub fn frames_slid(&self) -> i64 {
        self.shift / MICROFRAMES_PER_FRAME as i64
    }

    /// The position on the clock of the counted position `microframe`.
    pub(crate) fn corrected(&self, microframe: u64) -> u64 {
        microframe.saturating_add_signed(self.shift)
    }

    /// Whether a completion is in time that is surely neither early nor late, and if so, takes it.
    #[inline(always)]
    pub(crate) fn is_surely_punctual(&mut self, counted: u64, residual: i64, early: i64, late: i64) -> bool {
        let is_punctual = residual > -early && residual < late && self.run.count == 0;
        if is_punctual {
            self.good = counted;
        }
        is_punctual
    }

    /// Judges a completion whose residual against the clock is `residual` nanoseconds, where down to
    /// `-early` and up to `late` is in time.
    pub(crate) fn judge(
        &mut self,
        counted: u64,
        residual: i64,
        early: i64,
        late: i64,
        seen_at: Time,
    ) -> Verdict {
        if residual > -early && residual < late {
            if self.run.count > 0 && self.run.early && self.run.punctual + 1 < PUNCTUAL_AGAIN {
                self.run.punctual += 1;
                return Verdict::SetAside;
            }
            self.run.count = 0;
            self.good = counted;
            return Verdict::Punctual;
        }
        let is_early = residual < 0;
        if self.run.count == 0 || self.run.early != is_early {
            self.run =
                Run { early: is_early, first_seen: seen_at, earliest: [i64::MAX; 2], ..Run::default() };
        }
        let run = &mut self.run;
        let [first_half, second_half] = &mut run.earliest;
        let half = if run.count < RUN / 2 { first_half } else { second_half };
        *half = residual.min(*half);
        run.count += 1;
        run.punctual = 0;
        if run.count < RUN || seen_at.since(run.first_seen) < RUN_TIME {
            return Verdict::SetAside;
        }

        let [first_half, second_half] = run.earliest;
        let (earliest, latest) = (first_half.min(second_half), first_half.max(second_half));
        let frames = earliest.saturating_add(FRAME_NANOS / 2).div_euclid(FRAME_NANOS);
        let whole = |nanos: i64| {
            nanos.saturating_sub(frames.saturating_mul(FRAME_NANOS)).saturating_abs() <= WHOLE_FRAME_TOLERANCE
        };
        if frames != 0 && whole(earliest) && whole(latest) {
            let slip = Slip { frames, at: run.first_seen, after: self.good };
            self.shift = self.shift.saturating_add(frames.saturating_mul(MICROFRAMES_PER_FRAME as i64));
            self.run.count = 0;
            return Verdict::Slipped(slip);
        }
        if run.count < LONGEST_RUN {
            return Verdict::SetAside;
        }
        self.run.count = 0;
        if is_early { Verdict::ClockIsLate } else { Verdict::SetAside }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EARLY: i64 = 200_000;
    const LATE: i64 = 500_000;

    fn feed(track: &mut StreamTrack, residuals: impl IntoIterator<Item = i64>, spacing: u64) -> Vec<Verdict> {
        let judged = residuals.into_iter().zip(0u64..);
        let verdict = |(residual, index): (i64, u64)| {
            track.judge(index * 64, residual, EARLY, LATE, Time::from_nanos(index * spacing))
        };
        judged.map(verdict).collect()
    }

    fn slips(verdicts: &[Verdict]) -> Vec<i64> {
        let slip = |verdict: &Verdict| match verdict {
            Verdict::Slipped(slip) => Some(slip.frames),
            _ => None,
        };
        verdicts.iter().filter_map(slip).collect()
    }

    #[test]
    fn whole_frames_that_stay_are_a_slip() {
        for frames in [1, 5, -1, -5, 300] {
            let mut track = StreamTrack::new();
            let residuals =
                (0..30).map(|index| if index < 10 { 20_000 } else { frames * FRAME_NANOS + 30_000 });
            let verdicts = feed(&mut track, residuals, 8_000_000);
            assert_eq!(slips(&verdicts).first(), Some(&frames));
            assert_eq!(track.frames_slid() % frames, 0);
            let Some(Verdict::Slipped(slip)) = verdicts.get(10 + RUN as usize - 1) else {
                panic!("not found after {RUN} completions")
            };
            assert_eq!((slip.at, slip.after), (Time::from_nanos(80_000_000), 9 * 64));
        }
    }

    #[test]
    fn a_punctual_completion_ends_a_late_run() {
        let residuals = (0..1000).map(|index| if index % 11 == 0 { 0 } else { FRAME_NANOS });
        assert_eq!(slips(&feed(&mut StreamTrack::new(), residuals, 8_000_000)), []);
    }

    #[test]
    fn half_frames_are_no_slip() {
        let residuals = [500_000 + FRAME_NANOS; 100];
        assert_eq!(slips(&feed(&mut StreamTrack::new(), residuals, 8_000_000)), []);
    }

    #[test]
    fn a_shift_that_grows_is_no_slip() {
        let residuals = (0..24).map(|index| FRAME_NANOS + index * 60_000);
        assert_eq!(slips(&feed(&mut StreamTrack::new(), residuals, 8_000_000)), []);
    }

    #[test]
    fn completions_found_all_at_once_prove_nothing() {
        let residuals = [3 * FRAME_NANOS; 23];
        assert_eq!(slips(&feed(&mut StreamTrack::new(), residuals, 10_000)), []);
    }

    #[test]
    fn steady_earliness_by_less_than_a_frame_blames_the_clock() {
        let verdicts = feed(&mut StreamTrack::new(), [-300_000; 24], 8_000_000);
        assert_eq!(verdicts.last(), Some(&Verdict::ClockIsLate));
    }

    #[test]
    fn nothing_overflows() {
        let mut track = StreamTrack::new();
        for residual in [i64::MIN, i64::MAX] {
            let _ = feed(&mut track, [residual; 100], 8_000_000);
            let _ = track.corrected(u64::MAX);
        }
    }
}
