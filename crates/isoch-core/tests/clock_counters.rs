//! Every counter width, in frames and in microframes, over 2³⁴ frames: half a year of wraps.
//!
//! What an unwrapper does between two values depends on their distance and the time between them only, so it
//! is enough to look at every wrap that is jumped to, at both sides, from every distance that may be jumped.

use isoch_core::Time;
use isoch_core::clock::unwrap::{Counter, CounterUnit, KNOWN_WIDTHS, Unwrapper};

const END: u64 = 1 << 34;
const ORIGIN: u64 = 1 << 60;

/// What a counter shows at `tick`, and when: the bus runs `ppm` millionths slow against the host.
fn shown(counter: Counter, tick: u64, ppm: i128) -> (u32, Time) {
    let nominal = i128::from(tick) * i128::from(counter.unit.nanos());
    let nanos = i128::from(ORIGIN) + nominal + nominal * ppm / 1_000_000;
    ((tick & ((1 << counter.bits) - 1)) as u32, Time::from_nanos(nanos as u64))
}

fn counters() -> impl Iterator<Item = Counter> {
    let units = [CounterUnit::Frames, CounterUnit::Microframes];
    units.into_iter().flat_map(|unit| KNOWN_WIDTHS.map(|bits| Counter { bits, unit }))
}

/// Follows `counter` from `first` to the end; returns how many values were looked at.
fn follow(counter: Counter, unwrapper: &mut Unwrapper, first: u64, ppm: i128) -> u64 {
    let wrap = 1u64 << counter.bits;
    let end = END * 8 / counter.unit.microframes();
    // After 450 wraps unseen, clocks 500 ppm apart are less than a quarter of a wrap apart.
    let longest = (450 * wrap).min(end / 64);
    let (mut tick, mut looked, mut mixed) = (first, 0, 1u64);
    while tick < end {
        mixed = mixed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let jump = 1 + (mixed >> 16) % longest;
        // To the last value before a wrap, the first after it, or anywhere.
        tick = match mixed >> 62 {
            0 => (tick + jump).next_multiple_of(wrap) - 1,
            1 => (tick + jump).next_multiple_of(wrap),
            2 => tick + 1,
            _ => tick + jump,
        };
        let (raw, at) = shown(counter, tick, ppm);
        assert_eq!(unwrapper.observe(raw, at), Ok(tick), "{counter:?} at {ppm} ppm");
        looked += 1;
    }
    looked
}

#[test]
fn every_width_is_right_to_the_end_of_time() {
    for counter in counters() {
        for ppm in [-500, 0, 500] {
            let mut unwrapper = Unwrapper::new(counter).unwrap();
            let (raw, at) = shown(counter, 5, ppm);
            assert_eq!(unwrapper.observe(raw, at), Ok(5));
            let looked = follow(counter, &mut unwrapper, 5, ppm);
            assert!(looked > 8, "{counter:?}: {looked}");
        }
    }
}

#[test]
fn a_width_that_was_learnt_is_right_to_the_end_of_time() {
    for counter in counters().filter(|counter| counter.bits < 32) {
        let mut unwrapper = Unwrapper::learning(None);
        let step = 8 / counter.unit.microframes() * 10;
        let mut tick = 5;
        while unwrapper.counter().is_none() {
            tick += step;
            let (raw, at) = shown(counter, tick, 0);
            let _ = unwrapper.observe(raw, at);
            assert!(tick < 4 << counter.bits, "{counter:?} is not learnt");
        }
        assert_eq!(unwrapper.counter(), Some(counter));
        // Learning counts from the value that it began with.
        let (raw, at) = shown(counter, tick, 0);
        assert_eq!(unwrapper.observe(raw, at), Ok(tick), "{counter:?}");
        follow(counter, &mut unwrapper, tick, 0);
    }
}
