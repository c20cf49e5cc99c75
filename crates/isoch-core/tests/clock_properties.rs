//! What holds of a frame clock whatever it is told.

use isoch_core::Time;
use isoch_core::clock::{FrameClock, Quality, StreamTrack};
use proptest::prelude::*;
use std::time::Duration;

const ORIGIN: u64 = (1 << 63) - 5_000_000_000;
const MILLISECOND: i64 = 1_000_000;

fn origin() -> Time {
    Time::from_nanos(ORIGIN)
}

/// The clock of a perfect host, eight frames per transfer.
fn disciplined(ppm: f64) -> (FrameClock, StreamTrack, u64) {
    let mut clock = FrameClock::free_run(origin());
    let mut track = StreamTrack::new();
    let mut frame = 0;
    while frame < 8000 {
        frame += 8;
        let nanos = frame as f64 * 1e6 * (1.0 + ppm * 1e-6);
        assert_eq!(clock.completion(&mut track, frame * 8, origin().offset(nanos as i64)), None);
    }
    (clock, track, frame)
}

/// Something that happens to a clock.
#[derive(Clone, Debug)]
enum Event {
    Completion { frame: u64, at: u64 },
    Reading { microframe: u64, before: u64, after: u64 },
    Exact { microframe: u64, at: u64, ppm: f64 },
    Anchor { frame: u64, at: u64 },
    Renumber { own: u64, reported: u64 },
    Now { at: u64 },
}

fn anything() -> impl Strategy<Value = Event> {
    prop_oneof![
        (any::<u64>(), any::<u64>()).prop_map(|(frame, at)| Event::Completion { frame, at }),
        (any::<u64>(), any::<u64>(), any::<u64>()).prop_map(|(microframe, before, after)| Event::Reading {
            microframe,
            before,
            after
        }),
        (any::<u64>(), any::<u64>(), any::<f64>()).prop_map(|(microframe, at, ppm)| Event::Exact {
            microframe,
            at,
            ppm
        }),
        (any::<u64>(), any::<u64>()).prop_map(|(frame, at)| Event::Anchor { frame, at }),
        (any::<u64>(), any::<u64>()).prop_map(|(own, reported)| Event::Renumber { own, reported }),
        any::<u64>().prop_map(|at| Event::Now { at }),
    ]
}

/// Completions and questions of a plausible life: time goes on, lateness is anything up to 30 ms, positions
/// may slip.
fn life() -> impl Strategy<Value = Vec<(u64, u64, i64)>> {
    prop::collection::vec((1u64..40, 0u64..30_000_000, prop_oneof![20 => Just(0i64), 1 => -3i64..4]), 1..400)
}

proptest! {
    #[test]
    fn nothing_panics(events in prop::collection::vec(anything(), 1..60)) {
        let mut clock = FrameClock::free_run(Time::ZERO);
        let mut track = StreamTrack::new();
        for event in events {
            match event {
                Event::Completion { frame, at } => {
                    let _ = clock.completion(&mut track, frame, Time::from_nanos(at));
                }
                Event::Reading { microframe, before, after } => {
                    clock.reading(microframe, Time::from_nanos(before), Time::from_nanos(after));
                }
                Event::Exact { microframe, at, ppm } => clock.exact(microframe, Time::from_nanos(at), ppm),
                Event::Anchor { frame, at } => clock.anchor(frame, Time::from_nanos(at)),
                Event::Renumber { own, reported } => clock.renumber(own, reported),
                Event::Now { at } => {
                    let _ = clock.now(Time::from_nanos(at));
                    let _ = clock.time_of(at);
                    let _ = clock.quality(Time::from_nanos(at));
                }
            }
        }
    }

    #[test]
    fn both_directions_agree_at_every_moment(life in life(), distance in -100_000i64..100_000) {
        let mut clock = FrameClock::free_run(origin());
        let mut track = StreamTrack::new();
        let mut frame = 200_000u64;
        clock.anchor(frame, origin());
        let begin = frame;
        for (frames, late, slip) in life {
            frame += frames;
            let at = origin().offset(((frame - begin) as i64 + slip) * MILLISECOND + late as i64);
            let _ = clock.completion(&mut track, frame * 8, at);
            let asked = frame.saturating_add_signed(distance);
            let (begins, uncertainty) = clock.time_of(asked);
            let stamp = clock.frame_at(begins);
            prop_assert_eq!((stamp.frame, stamp.microframe), (asked, 0));
            prop_assert_eq!(stamp.uncertainty, uncertainty);
            let before = clock.frame_at(begins.offset(-1));
            prop_assert_eq!((before.frame, before.microframe), (asked - 1, 7));
            prop_assert_eq!(clock.time_of_microframe(stamp.microframes()).0, begins);
        }
    }

    #[test]
    fn now_never_runs_backwards_within_a_generation(life in life(), ppm in -400.0..400.0f64) {
        let mut clock = FrameClock::free_run(origin());
        let mut track = StreamTrack::new();
        let mut frame = 0u64;
        let mut time = Time::ZERO;
        let mut told = (0, 0);
        for (frames, late, slip) in life {
            frame += frames;
            let true_end = (frame as i64 + slip) as f64 * 1e6 * (1.0 + ppm * 1e-6);
            time = time.max(origin().offset(true_end as i64 + late as i64));
            let _ = clock.completion(&mut track, frame * 8, time);
            let stamp = clock.now(time);
            if clock.generation() == told.0 {
                prop_assert!(stamp.microframes() >= told.1);
            }
            told = (clock.generation(), stamp.microframes());
            // What holding still adds to the error is stated.
            let plain = clock.frame_at(time);
            let held = stamp.microframes() - plain.microframes();
            prop_assert_eq!(stamp.uncertainty, plain.uncertainty + Duration::from_nanos(held * 125_000));
        }
    }
}

#[test]
fn a_fresh_clock_runs_freely_from_frame_zero() {
    let mut clock = FrameClock::free_run(origin());
    let stamp = clock.now(origin().offset(10 * MILLISECOND + 130_000));
    assert_eq!((stamp.frame, stamp.microframe, stamp.quality), (10, 1, Quality::FreeRun));
    assert!(stamp.uncertainty >= Duration::from_micros(500));
    assert!(clock.now(origin().offset(3_600_000 * MILLISECOND)).uncertainty >= Duration::from_secs(2));
}

#[test]
fn the_first_stream_defines_the_epoch() {
    let mut clock = FrameClock::free_run(origin());
    let _ = clock.now(origin());
    // Asked for frame 20, it began 7.3 ms later than the free-running clock had said.
    let began = origin().offset(27_300_000);
    clock.anchor(20, began);
    assert_eq!(clock.generation(), 1, "frames told before are 7 ms off");
    assert_eq!(clock.now(began).frame, 20);
    let mut track = StreamTrack::new();
    for end in 21..200u64 {
        let seen = began.offset((end as i64 - 20) * MILLISECOND);
        assert_eq!(clock.completion(&mut track, end * 8, seen), None);
    }
    assert_eq!(clock.generation(), 1);
    let (at, uncertainty) = clock.time_of(1000);
    assert!(at.offset_from(began.offset(980 * MILLISECOND)).abs() < 100, "{at:?}");
    assert!(uncertainty < Duration::from_millis(1));
}

#[test]
fn a_stream_without_an_anchor_defines_the_epoch_too() {
    let mut clock = FrameClock::free_run(origin());
    let mut track = StreamTrack::new();
    let _ = clock.now(origin());
    for end in 501..520u64 {
        let _ = clock.completion(&mut track, end * 8, origin().offset(end as i64 * MILLISECOND + 80_000_000));
    }
    assert_eq!(clock.generation(), 1);
    assert_eq!(clock.frame_at(origin().offset(600 * MILLISECOND)).frame, 520);
}

#[test]
fn a_second_anchor_begins_a_new_epoch() {
    let (mut clock, _, frame) = disciplined(120.0);
    let at = clock.time_of(frame).0;
    assert_eq!(clock.quality(at), Quality::Disciplined);
    clock.anchor(3, at);
    assert_eq!((clock.generation(), clock.now(at).frame), (1, 3));
    assert_eq!(clock.quality(at), Quality::FreeRun);
    assert!((clock.rate_ppm() - 120.0).abs() < 0.1, "the rate is kept");
}

#[test]
fn reported_numbers_replace_the_own_ones() {
    let (mut clock, mut track, frame) = disciplined(0.0);
    let at = clock.time_of(frame).0;
    clock.renumber(frame, frame);
    assert_eq!((clock.generation(), clock.quality(at)), (0, Quality::Numbered));
    clock.renumber(frame, 77_000);
    assert_eq!(clock.generation(), 1);
    let stamp = clock.now(at);
    assert_eq!((stamp.frame, stamp.quality), (77_000, Quality::Numbered));
    // The stream goes on under the new numbers, and what was learnt is still known.
    let seen = at.offset(8 * MILLISECOND);
    assert_eq!(clock.completion(&mut track, 77_008 * 8, seen), None);
    assert_eq!((clock.generation(), clock.quality(seen)), (1, Quality::Numbered));
    assert!(clock.time_of(77_008).0.offset_from(seen).abs() < 1000);
}

#[test]
fn numbers_smaller_than_the_window_do_not_shake_the_clock() {
    let (mut clock, mut track, frame) = disciplined(70.0);
    let begin = clock.time_of(frame).0;
    clock.renumber(frame, 77);
    for end in 78..5000u64 {
        let seen = begin.offset((end as i64 - 77) * (MILLISECOND + 70));
        assert_eq!(clock.completion(&mut track, end * 8, seen), None);
        assert!(clock.time_of(end).0.offset_from(seen).abs() < 1000);
        assert_eq!(clock.generation(), 1);
    }
    assert_eq!(clock.quality(begin.offset(4_900 * MILLISECOND)), Quality::Numbered);
}

#[test]
fn an_emulated_controller_is_exact_and_stays_so() {
    let mut clock = FrameClock::free_run(Time::ZERO);
    clock.exact(800, origin(), 50.0);
    let mut track = StreamTrack::new();
    for end in 101..1000u64 {
        let seen = origin().offset((end as i64 - 100) * MILLISECOND + 400_000);
        assert_eq!(clock.completion(&mut track, end * 8, seen), None);
    }
    let (at, uncertainty) = clock.time_of(1_000_100);
    assert_eq!(at, origin().offset(1_000_000 * (MILLISECOND + 50)));
    assert!(uncertainty <= Duration::from_nanos(1));
    assert_eq!(clock.now(at).quality, Quality::Exact);
    assert!((clock.rate_ppm() - 50.0).abs() < 1e-6);
}

#[test]
fn a_bracketed_reading_bounds_the_phase_at_once() {
    let mut clock = FrameClock::free_run(origin());
    let before = origin().offset(5_000_000_000);
    clock.reading(40_003, before, before.offset(20_000));
    let stamp = clock.now(before.offset(10_000));
    assert!(stamp.microframes().abs_diff(40_003) <= 1);
    assert_eq!(stamp.quality, Quality::Register);
    // The microframe began up to 125 µs before the bracket, and in it at the latest.
    let (at, uncertainty) = clock.time_of_microframe(40_003);
    assert!(at.offset(-(uncertainty.as_nanos() as i64)) <= before.offset(-125_000 + 1000));
    assert!(at + uncertainty >= before.offset(19_000));
    assert!(uncertainty < Duration::from_micros(80));
}

#[test]
fn two_streams_share_a_clock_and_only_one_slips() {
    let (mut clock, mut out, frame) = disciplined(0.0);
    let mut input = StreamTrack::new();
    let mut slips = Vec::new();
    for end in frame + 1..frame + 400 {
        let seen = origin().offset(end as i64 * MILLISECOND);
        slips.extend(clock.completion(&mut out, end * 8, seen));
        let counted = if end > frame + 100 { end - 2 } else { end };
        slips.extend(clock.completion(&mut input, counted * 8, seen.offset(20_000)));
    }
    assert_eq!(slips.iter().map(|slip| slip.frames).collect::<Vec<_>>(), [2]);
    assert_eq!((out.frames_slid(), input.frames_slid()), (0, 2));
    assert_eq!(clock.generation(), 1);
}
