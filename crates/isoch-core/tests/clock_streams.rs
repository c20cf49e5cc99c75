//! What streams may teach a clock: those that are sure where they stand everything, those whose beginning was guessed
//! from the clock itself nothing; and what a bus does that is not quite regular is in the stated uncertainty.

use isoch_core::Time;
use isoch_core::clock::{Count, FrameClock, StreamTrack};
use std::time::Duration;

const MILLISECOND: i64 = 1_000_000;

fn origin() -> Time {
    Time::from_nanos(1 << 62)
}

/// When a frame begins.
fn at(frame: u64) -> Time {
    origin().offset(frame as i64 * MILLISECOND)
}

/// Transfers of eight frames, counted `off` frames too high, and seen `late` nanoseconds after their ends.
fn stream(
    clock: &mut FrameClock,
    track: &mut StreamTrack,
    frames: std::ops::Range<u64>,
    off: i64,
    late: impl Fn(u64) -> i64,
) {
    for end in frames.step_by(8).skip(1) {
        clock.completion(track, end.saturating_add_signed(off) * 8, at(end).offset(late(end)));
    }
}

fn known(count: Count, doubt: Duration) -> StreamTrack {
    let mut track = StreamTrack::new();
    track.is_known(count, doubt);
    track
}

/// How far the clock is from the truth, and what it says of that, in nanoseconds.
fn error(clock: &FrameClock, frame: u64) -> (i64, i64) {
    let (begins, uncertainty) = clock.time_of(frame);
    (begins.offset_from(at(frame)), uncertainty.as_nanos() as i64)
}

fn taught() -> FrameClock {
    let mut clock = FrameClock::free_run(origin());
    clock.anchor(0, origin());
    stream(&mut clock, &mut known(Count::Certain, Duration::ZERO), 0..8000, 0, |end| {
        (end as i64 * 7_919) % 40_000
    });
    clock
}

#[test]
fn a_guess_does_not_become_the_truth() {
    let mut clock = taught();
    // One stream after the other, each guessed a frame late, by a clock that says that this may be.
    for begin in (8_100..18_000).step_by(1_100) {
        let mut track = known(Count::Unbroken, Duration::from_millis(1));
        stream(&mut clock, &mut track, begin..begin + 1_000, 1, |_| 0);
        let (off, stated) = error(&clock, begin + 1_000);
        assert!(off.abs() < 150_000 && stated < 400_000, "after {begin}: {off} ±{stated} ns");
    }
}

#[test]
fn a_guess_keeps_an_old_clock_from_getting_worse() {
    let mut clock = taught();
    // Nothing ran for ten minutes; then a stream runs for ten.
    let begin = 600_000;
    let doubt = clock.time_of(begin).1 + Duration::from_micros(100);
    let mut track = known(Count::Unbroken, doubt);
    stream(&mut clock, &mut track, begin..2 * begin, 0, |_| 0);
    let (off, stated) = error(&clock, 2 * begin);
    assert!(off.abs() < stated, "{off} ±{stated} ns");
    assert!(stated < doubt.as_nanos() as i64 + 200_000, "it was ±{doubt:?} and is ±{stated} ns");
}

#[test]
fn a_clock_that_knows_next_to_nothing_begins_anew() {
    // All that was seen of the first stream was seen at once, long after it was over.
    let mut clock = FrameClock::free_run(origin());
    clock.anchor(0, origin());
    stream(&mut clock, &mut known(Count::Certain, Duration::ZERO), 0..72, 0, |end| {
        (120 - end as i64) * MILLISECOND
    });
    let (_, stated) = error(&clock, 72);
    assert!(stated > 16 * MILLISECOND, "{stated}");
    // The second is seen in time; where it stands in the numbers of the first, nobody knows, or hardly better.
    for unsure in [100_000, -100_000] {
        let mut clock = clock.clone();
        let generation = clock.generation();
        let doubt = (clock.time_of(160).1.as_nanos() as i64 + unsure).unsigned_abs();
        let mut track = known(Count::Unbroken, Duration::from_nanos(doubt));
        // Its first completion, once more, is seen late: that puts nothing wrong that is not said.
        clock.completion(&mut track, (168 + 30) * 8, at(168).offset(480 * MILLISECOND));
        let (off, stated) = error(&clock, 1_000);
        assert!((off + 30 * MILLISECOND).abs() < stated, "{off} ±{stated} ns after one");
        stream(&mut clock, &mut track, 168..1_160, 30, |_| 20_000);
        let (off, stated) = error(&clock, 1_160);
        let off = off + 30 * MILLISECOND;
        assert!(
            off.abs() < 100_000 && stated < MILLISECOND,
            "{off} ±{stated} ns by the second stream's count"
        );
        assert_ne!(clock.generation(), generation);
    }
}

#[test]
fn told_numbers_are_believed_wherever_the_clock_is() {
    for off in [-20, -8, -1, 1, 8, 20] {
        let mut clock = taught();
        let mut track = known(Count::Told, Duration::ZERO);
        for begin in (8_000..9_000).step_by(8) {
            stream(&mut clock, &mut track, begin..begin + 9, off, |_| 20_000);
            let (begins, stated) = clock.time_of((begin + 8).saturating_add_signed(off));
            let error = begins.offset_from(at(begin + 8));
            assert!(
                error.unsigned_abs() <= stated.as_nanos() as u64,
                "{off}, {begin}: {error} ns ±{stated:?}"
            );
            if begin > 8_200 {
                assert!(error.abs() < 200_000, "{off}: still {error} ns off at {begin}");
            }
        }
    }
}

#[test]
fn a_host_whose_seconds_are_others_is_followed() {
    for ppm in [-3_000, -1_500, 1_500, 3_000] {
        let mut clock = FrameClock::free_run(origin());
        clock.anchor(0, origin());
        let mut track = known(Count::Certain, Duration::ZERO);
        let drift = |frame: u64| frame as i64 * ppm;
        stream(&mut clock, &mut track, 0..20_000, 0, |end| drift(end) + (end as i64 * 7_919) % 40_000);
        for frame in [19_990, 20_050] {
            let (off, stated) = error(&clock, frame);
            let off = off - drift(frame);
            assert!(off.abs() < 50_000 && off.abs() <= stated, "{ppm} ppm: {off} ±{stated} ns");
        }
    }
}

#[test]
fn lateness_that_comes_and_goes_slowly_is_stated() {
    // In time for two seconds, then half a frame late for a tenth of one, and so on.
    let late = |end: u64| if end % 2_000 < 1_900 { 10_000 } else { 450_000 };
    let mut clock = FrameClock::free_run(origin());
    clock.anchor(0, origin());
    stream(&mut clock, &mut known(Count::Certain, Duration::ZERO), 0..8_000, 0, late);
    let (off, _) = error(&clock, 8_000);
    assert!(off.abs() < 50_000, "{off}");
    let wander = clock.wander();
    assert!(
        wander >= Duration::from_micros(400),
        "whoever looks in the wrong tenth is 440 µs beside, not {wander:?}"
    );
}

#[test]
fn being_earlier_than_a_settled_clock_says_that_it_was_wrong() {
    // A bus that is late by the same for five seconds, and then in time for one transfer.
    let late = |end: u64| if end == 8_000 { 0 } else { 200_000 };
    let mut clock = FrameClock::free_run(origin());
    clock.anchor(0, origin());
    stream(&mut clock, &mut known(Count::Certain, Duration::ZERO), 0..8_008, 0, late);
    let (off, stated) = error(&clock, 8_008);
    assert!(off.abs() <= stated && stated >= 200_000, "{off} ±{stated} ns");
}
