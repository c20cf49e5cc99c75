//! A stream that slides without a word: the clock finds it, the ledger tells it, once.

use std::time::Duration;

use isoch_core::clock::{FrameClock, StreamTrack};
use isoch_core::ledger::{Continuity, Ledger, LedgerConfig};
use isoch_core::{Block, Ending, Estimate, FrameSource, Start, Time};

const FRAMES: u64 = 8;
const FRAME: Duration = Duration::from_millis(1);

/// Runs a stream of eight-frame transfers, always two queued, that slides by `by` frames before the transfer
/// `at`. Returns the holes told, with their transfers, and how far the last position told is from the truth.
///
/// `renew`: whether a slip begins a new track, as it must where the ledger was told of it.
fn run(by: u64, at: u64, count: u64, renew: bool) -> (Vec<(u64, u64)>, i64) {
    let mut clock = FrameClock::free_run(Time::from_nanos(1 << 40));
    let mut track = StreamTrack::new();
    let config = LedgerConfig { period: 8, frames: FrameSource::Estimated, gaps: true };
    let mut ledger: Ledger<(), Block> = Ledger::new(config);
    let add = |ledger: &mut Ledger<(), Block>, id| {
        let sequence = ledger.add(id, Start::Continue, FRAMES, ());
        ledger.handed_over(sequence, Continuity::Unbroken);
    };
    add(&mut ledger, 0);
    let (mut holes, mut off) = (Vec::new(), 0);
    for id in 0..count {
        add(&mut ledger, id + 1);
        let true_first = 100 + id * FRAMES + if id < at { 0 } else { by };
        let latency = Duration::from_micros(10 + id * 7919 % 40);
        let seen = Time::from_nanos(1 << 40) + FRAME * (true_first + FRAMES) as u32 + latency;
        let estimate = Estimate {
            first: true_first * 8,
            uncertainty: 4,
            late: 0,
            seen,
            not_before: 0,
            not_after: u64::MAX,
        };
        let mut block = Block::new(Box::new(Box::<[u8]>::default()), 1, 0);
        block.push_packet(0, 0);
        *block.ending_mut() = Ending { seen, ..Ending::default() };
        ledger.reported(id, block).unwrap();
        if ledger.next_over().is_some_and(|next| next.wants_estimate) {
            ledger.estimated(estimate, id == 0);
        }
        let ((), block) = ledger.pop().unwrap();
        let told = block.report();
        holes.extend(told.hole.as_ref().map(|hole| (id, hole.intervals)));
        if id == 0 {
            clock.anchor(100, seen - FRAME * FRAMES as u32);
        }
        off = told.first.unwrap() as i64 / 8 - true_first as i64;
        if let Some(slip) = clock.completion(&mut track, told.end().unwrap(), seen) {
            ledger.slid(slip.frames);
            if renew {
                track = StreamTrack::new();
            }
        }
    }
    (holes, off)
}

#[test]
fn a_slide_is_told_once_and_what_follows_is_counted_rightly() {
    for by in [1, 2, 7] {
        let (holes, off) = run(by, 1000, 3000, true);
        assert_eq!(off, 0);
        let [(id, frames)] = holes[..] else { panic!("{by} frames: {holes:?}") };
        assert_eq!(frames, by);
        assert!((1000..1030).contains(&id), "it takes a dozen completions: {id}");
    }
}

#[test]
fn a_track_that_corrects_what_the_ledger_has_corrected_goes_wrong() {
    let (holes, _) = run(3, 1000, 3000, false);
    assert_ne!(holes.len(), 1, "then the ledger's correction would not matter: {holes:?}");
}
