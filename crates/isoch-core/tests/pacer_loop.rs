//! A host and an asynchronous sink, for an hour of frames: does the sink's buffer keep its level?

use isoch_core::pacer::{Pacer, SampleRate, encode_10_14, encode_16_16};
use std::collections::VecDeque;

const HOUR: u64 = 3_600_000;

#[derive(Clone, Copy, Debug)]
struct Case {
    hz: u32,
    ppm: i64,
    /// The sink measures over 2^k frames.
    k: u32,
    /// Microframes in the service interval: 8 with 10.14 values, less with 16.16.
    interval: u64,
    feedback: bool,
}

/// Samples that the sink has played by the end of microframe `microframes`, times `scale`, rounded down.
fn played(case: Case, microframes: u64, scale: u64) -> u64 {
    let rate = i128::from(case.hz) * i128::from(1_000_000 + case.ppm);
    let samples = rate * i128::from(microframes) * i128::from(scale) / (8000 * 1_000_000);
    u64::try_from(samples).unwrap()
}

/// The least and the greatest number of samples in the sink's buffer, which begins at 0.
fn levels(case: Case) -> (i64, i64) {
    let mut pacer = Pacer::new(SampleRate::hz(case.hz).unwrap(), case.interval).unwrap();
    let mut received = 0u64;
    let (mut least, mut most) = (0, 0);
    // Values take four frames to arrive, and are in effect two frames later: what was queued is queued.
    let mut in_flight: VecDeque<(u64, Vec<u8>)> = VecDeque::new();
    for frame in 0..HOUR {
        if in_flight.front().is_some_and(|(due, _)| *due <= frame) {
            let (_, packet) = in_flight.pop_front().unwrap();
            pacer.feedback(&packet).unwrap();
        }
        for _ in 0..8 / case.interval {
            received += u64::from(pacer.next_interval());
        }
        let end = frame + 1;
        if case.feedback && end % (1 << case.k) == 0 {
            // A sink counts its own clock, finer than samples, and never loses a fraction of it.
            let (begin, units) = (end - (1 << case.k), 1 << case.k);
            let packet = if case.interval == 8 {
                let count = |frame: u64| played(case, frame * 8, 1 << 14) / units;
                encode_10_14(count(end) - count(begin), 1 << 14).unwrap().to_vec()
            } else {
                let count = |frame: u64| played(case, frame * 8, 1 << 16) / (units * 8);
                encode_16_16(count(end) - count(begin), 1 << 16).unwrap().to_vec()
            };
            in_flight.push_back((frame + 6, packet));
        }
        let level = received as i64 - played(case, end * 8, 1) as i64;
        (least, most) = (least.min(level), most.max(level));
    }
    (least, most)
}

#[test]
fn feedback_keeps_the_level_for_an_hour() {
    for hz in [44_100, 96_000] {
        for ppm in [-200, 200] {
            for (k, interval) in [(0, 8), (5, 8), (9, 8), (3, 1), (9, 4)] {
                let case = Case { hz, ppm, k, interval, feedback: true };
                let (least, most) = levels(case);
                // Nominal until the first value is in effect; that error stays. Then only rounding: a sample
                // here and there, and the fractions that are being measured.
                let delay = ((1u64 << k) + 6) as f64;
                let initial = delay * f64::from(hz) / 1000.0 * 200e-6;
                let bound = initial.ceil() as i64 + 3;
                assert!(least >= -bound && most <= bound, "{case:?}: {least} to {most}, bound {bound}");
            }
        }
    }
}

#[test]
fn without_feedback_it_does_not() {
    let (least, most) = levels(Case { hz: 48_000, ppm: 200, k: 0, interval: 8, feedback: false });
    assert_eq!((least, most), (-34_560, 0));
}

#[test]
fn implicit_feedback_keeps_it_too() {
    for ppm in [-200i64, 200] {
        let case = Case { hz: 44_100, ppm, k: 0, interval: 8, feedback: false };
        let mut pacer = Pacer::new(SampleRate::hz(case.hz).unwrap(), 8).unwrap();
        let (mut received, mut recorded) = (0u64, 0u64);
        for frame in 0..HOUR {
            // Eight IN packets come together, eight frames late.
            if frame % 8 == 0 && frame >= 16 {
                for past in frame - 16..frame - 8 {
                    let end = played(case, (past + 1) * 8, 1);
                    pacer.implicit((end - recorded) as u32, 1);
                    recorded = end;
                }
            }
            received += u64::from(pacer.next_interval());
            let level = received as i64 - played(case, (frame + 1) * 8, 1) as i64;
            assert!(level.abs() <= 50, "{case:?}: {level} at frame {frame}");
        }
    }
}
