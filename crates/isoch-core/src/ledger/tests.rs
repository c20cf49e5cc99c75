use super::*;
use crate::block::Packet;
use crate::status::{Gap, GapCause, GapReport, PacketError, PacketStatus};

mod properties;

/// A bus that tells where transfers went.
pub(super) fn reporting(period: u64) -> Ledger<(), Back> {
    Ledger::new(LedgerConfig { period, frames: FrameSource::Reported, gaps: true })
}

/// A bus that tells nothing of frames.
pub(super) fn silent(period: u64) -> Ledger<(), Back> {
    Ledger::new(LedgerConfig { period, frames: FrameSource::Estimated, gaps: true })
}

pub(super) fn at_bus(ledger: &mut Ledger<(), Back>, id: u64, start: Start, intervals: u64) -> u64 {
    let sequence = ledger.add(id, start, intervals, ());
    ledger.handed_over(sequence, Continuity::Unbroken);
    sequence
}

/// What comes back with a transfer, and the estimate that the clock will give if it is asked for one.
#[derive(Clone, Debug)]
pub(super) struct Back {
    pub(super) ending: Ending,
    pub(super) began: bool,
    pub(super) estimate: Option<Estimate>,
    pub(super) defines_frames: bool,
    pub(super) told: Report,
}

impl Returned for Back {
    fn ending(&self) -> &Ending {
        &self.ending
    }
    fn ending_mut(&mut self) -> &mut Ending {
        &mut self.ending
    }
    fn began(&self) -> bool {
        self.began
    }
    fn report_mut(&mut self) -> &mut Report {
        &mut self.told
    }
}

pub(super) fn report(outcome: Outcome, first: Option<u64>) -> Back {
    let ending = Ending { outcome, first, ..Ending::default() };
    Back { ending, began: true, estimate: None, defines_frames: false, told: Report::default() }
}

fn estimate(first: u64, uncertainty: u64) -> Estimate {
    Estimate { first, uncertainty, late: 0, seen: Time::ZERO, not_before: 0, not_after: u64::MAX }
}

pub(super) fn estimated(first: u64, uncertainty: u64) -> Back {
    Back { estimate: Some(estimate(first, uncertainty)), ..report(Outcome::Completed, None) }
}

/// With another name.
pub(super) fn named(id: u64, end: &Back) -> Back {
    Back { ending: Ending { id, ..end.ending }, ..end.clone() }
}

/// The next in order, with the clock asked for what it is asked for. Each is seen to be over at another moment.
pub(super) fn pop(ledger: &mut Ledger<(), Back>) -> Option<Back> {
    let next = ledger.next_over()?;
    let estimate = next.returned.estimate.filter(|_| next.wants_estimate);
    let defines_frames = next.returned.defines_frames;
    if let Some(estimate) = estimate {
        let seen = Time::from_nanos(ledger.next_to_pop());
        ledger.estimated(Estimate { seen, ..estimate }, defines_frames);
    }
    // What one way tells of a transfer that just follows, the other does.
    let popped = if ledger.next_to_pop().is_multiple_of(2) { ledger.pop_follower() } else { None };
    popped.or_else(|| ledger.pop()).map(|((), back)| back)
}

/// Hands a transfer over, reports it and pops it.
fn run(ledger: &mut Ledger<(), Back>, start: Start, intervals: u64, end: Back) -> Report {
    let sequence = at_bus(ledger, 0, start, intervals);
    finish(ledger, sequence, end)
}

fn finish(ledger: &mut Ledger<(), Back>, sequence: u64, end: Back) -> Report {
    ledger.reported(sequence, end).expect("it was outstanding");
    pop(ledger).expect("it was reported").told
}

fn ran(first: u64) -> Back {
    report(Outcome::Completed, Some(first))
}

fn withdrawn(outcome: Outcome) -> Back {
    Back { began: false, ..report(outcome, None) }
}

fn lost(frames: std::ops::Range<u64>, intervals: u64, cause: GapCause) -> Option<Gap> {
    Some(Gap { frames, intervals, uncertainty: 0, cause })
}

#[test]
fn transfers_come_out_in_the_order_they_went_in() {
    let mut ledger = reporting(8);
    let sequences: Vec<u64> = (0..4).map(|id| at_bus(&mut ledger, id, Start::Asap, 2)).collect();
    for index in [2, 3, 1] {
        assert!(ledger.reported(sequences[index], ran(16 * index as u64)).is_ok());
        assert!(ledger.pop().is_none(), "the first is not over");
    }
    assert_eq!(ledger.at_bus(), (1, 2));
    assert!(ledger.reported(sequences[0], ran(0)).is_ok());
    let order: Vec<(u64, Option<u64>)> =
        std::iter::from_fn(|| ledger.pop()).map(|((), back)| (back.told.id, back.told.first)).collect();
    assert_eq!(order, [(0, Some(0)), (1, Some(16)), (2, Some(32)), (3, Some(48))]);
    assert!(ledger.is_empty());
}

#[test]
fn what_was_reported_is_not_taken_again() {
    let mut ledger = reporting(8);
    let sequence = at_bus(&mut ledger, 7, Start::Asap, 2);
    let taken = |ledger: &mut Ledger<(), Back>, sequence, id| {
        ledger.reported(sequence, named(id, &ran(0))).map_err(|back| back.ending.id)
    };
    assert_eq!(taken(&mut ledger, sequence + 1, 5), Err(5), "never added");
    assert_eq!(taken(&mut ledger, sequence, 1), Ok(()));
    assert_eq!(taken(&mut ledger, sequence, 2), Err(2), "reported, not popped");
    assert_eq!(ledger.at_bus(), (0, 0));
    assert_eq!(ledger.find(7), None);
    assert_eq!(ledger.pop().map(|((), back)| back.ending.id), Some(1));
    assert_eq!(taken(&mut ledger, sequence, 3), Err(3), "popped");
    assert_eq!(ledger.at_bus(), (0, 0));
}

#[test]
fn a_stream_that_continues_owes_every_interval_in_between() {
    let mut ledger = reporting(2);
    assert_eq!(run(&mut ledger, Start::At(10), 4, ran(80)).hole, None);
    // It stands at 88; the bus could go on at 100 only.
    let late = run(&mut ledger, Start::Continue, 4, ran(100));
    assert_eq!(late.hole, lost(11..13, 6, GapCause::QueueRanDry));
    assert_eq!(run(&mut ledger, Start::Continue, 4, ran(108)).hole, None);
}

#[test]
fn named_starts_and_new_streams_owe_nothing_before_them() {
    for start in [Start::At(50), Start::Asap] {
        let mut ledger = reporting(8);
        run(&mut ledger, Start::At(10), 4, ran(80));
        assert_eq!(run(&mut ledger, start, 4, ran(400)).hole, None);
    }
}

#[test]
fn a_queue_that_slid_without_running_dry_was_late() {
    let mut ledger = reporting(8);
    let first = at_bus(&mut ledger, 0, Start::Asap, 1);
    let second = at_bus(&mut ledger, 1, Start::Continue, 1);
    finish(&mut ledger, first, ran(80));
    assert_eq!(finish(&mut ledger, second, ran(104)).hole, lost(11..13, 2, GapCause::Late));
}

#[test]
fn after_what_was_withdrawn_nothing_is_owed() {
    for outcome in [Outcome::Cancelled, Outcome::BadStartFrame] {
        let mut ledger = reporting(8);
        run(&mut ledger, Start::At(10), 2, ran(80));
        let gone = run(&mut ledger, Start::Continue, 2, withdrawn(outcome));
        assert_eq!((gone.first, gone.hole), (None, None));
        assert_eq!(run(&mut ledger, Start::Continue, 2, ran(800)).hole, None);
        // From there on, it is owed again.
        let hole = run(&mut ledger, Start::Continue, 2, ran(824)).hole;
        assert_eq!(hole, lost(102..103, 1, GapCause::QueueRanDry));
    }
}

#[test]
fn the_hole_before_a_transfer_is_told_if_it_began_before_it_was_cancelled() {
    let cancelled = |began| Back { began, ..report(Outcome::Cancelled, Some(120)) };
    for (began, hole) in [(true, lost(11..15, 4, GapCause::QueueRanDry)), (false, None)] {
        let mut ledger = reporting(8);
        run(&mut ledger, Start::At(10), 1, ran(80));
        assert_eq!(run(&mut ledger, Start::Continue, 9, cancelled(began)).hole, hole);
    }
}

#[test]
fn a_late_transfer_owes_what_follows_it() {
    let mut ledger = reporting(8);
    let late = run(&mut ledger, Start::At(10), 2, report(Outcome::Late, Some(80)));
    assert_eq!((late.frames(), late.hole), (Some(10..12), None));
    let hole = run(&mut ledger, Start::Continue, 2, ran(160)).hole;
    assert_eq!(hole, lost(12..20, 8, GapCause::QueueRanDry));
}

#[test]
fn a_transfer_late_because_others_had_its_frames_makes_none_of_them_owed() {
    let mut ledger = reporting(8);
    run(&mut ledger, Start::Asap, 40, ran(16));
    run(&mut ledger, Start::At(10), 13, report(Outcome::Late, Some(80)));
    assert_eq!(run(&mut ledger, Start::Continue, 4, ran(42 * 8)).hole, None);
    // What continues a stream is late by itself, and is followed by what follows it.
    run(&mut ledger, Start::Continue, 4, report(Outcome::Late, Some(2 * 8)));
    let hole = run(&mut ledger, Start::Continue, 4, ran(9 * 8)).hole;
    assert_eq!(hole, lost(6..9, 3, GapCause::QueueRanDry));
}

#[test]
fn a_transfer_that_failed_without_a_place_still_owes_its_intervals() {
    let failed = report(Outcome::Failed(-27), None);
    let mut ledger = reporting(8);
    run(&mut ledger, Start::At(10), 2, ran(80));
    run(&mut ledger, Start::Continue, 3, failed.clone());
    let hole = run(&mut ledger, Start::Continue, 2, ran(160)).hole;
    assert_eq!(hole, lost(12..20, 8, GapCause::QueueRanDry));
    // What a named start skipped is not owed, its own intervals are.
    run(&mut ledger, Start::At(40), 3, failed.clone());
    assert_eq!(run(&mut ledger, Start::Continue, 1, ran(400)).hole, lost(43..50, 7, GapCause::QueueRanDry));
    run(&mut ledger, Start::Asap, 3, failed);
    assert_eq!(run(&mut ledger, Start::Continue, 1, ran(800)).hole, None);
}

#[test]
fn what_the_bus_failed_at_once_takes_no_frames() {
    let mut ledger = silent(8);
    let sequences: Vec<u64> = (0..3).map(|id| at_bus(&mut ledger, id, Start::Continue, 2)).collect();
    finish(&mut ledger, sequences[0], Back { defines_frames: true, ..estimated(80, 2) });
    assert_eq!(finish(&mut ledger, sequences[1], withdrawn(Outcome::Failed(-27))).first, None);
    let told = finish(&mut ledger, sequences[2], estimated(96, 2));
    assert_eq!((told.first, told.hole), (Some(96), None));
    // One that was to begin a new stream leaves that to the next.
    let sequences: Vec<u64> = (0..2).map(|id| at_bus(&mut ledger, id, Start::Continue, 2)).collect();
    finish(&mut ledger, sequences[0], withdrawn(Outcome::Failed(-27)));
    let told = finish(&mut ledger, sequences[1], estimated(160, 2));
    assert_eq!((told.first, told.source), (Some(160), FrameSource::Estimated));
    assert_eq!(told.hole.map(|hole| hole.intervals), Some(6));
}

#[test]
fn filler_serves_nothing_that_is_owed() {
    let mut ledger = reporting(8);
    run(&mut ledger, Start::At(10), 2, ran(80));
    let filler = ledger.add_filler(4, ());
    ledger.handed_over(filler, Continuity::Unbroken);
    assert_eq!(ledger.find(0), None, "nobody asked for it by name");
    finish(&mut ledger, filler, ran(96));
    let hole = run(&mut ledger, Start::Continue, 2, ran(128)).hole;
    assert_eq!(hole, lost(12..16, 4, GapCause::QueueRanDry));
}

#[test]
fn where_gaps_cannot_be_known_no_hole_is_told() {
    let config = LedgerConfig { period: 8, frames: FrameSource::Reported, gaps: false };
    let mut ledger = Ledger::new(config);
    run(&mut ledger, Start::At(10), 2, ran(80));
    let told = run(&mut ledger, Start::Continue, 2, ran(160));
    assert_eq!((told.hole.clone(), told.gap(&[])), (None, GapReport::Unknowable));
}

#[test]
fn a_stream_that_never_ran_dry_is_counted_on() {
    let mut ledger = silent(8);
    let sequences: Vec<u64> = (0..3).map(|id| at_bus(&mut ledger, id, Start::Asap, 4)).collect();
    let define = Back { defines_frames: true, ..estimated(803, 4) };
    let told: Vec<Report> =
        sequences.iter().map(|&sequence| finish(&mut ledger, sequence, define.clone())).collect();
    let places: Vec<_> = told.iter().map(|told| (told.first, told.source, told.uncertainty)).collect();
    let counted = |first| (Some(first), FrameSource::Counted, 0);
    assert_eq!(places, [counted(800), counted(832), counted(864)]);
    assert_eq!(ledger.expected_end(), Some(896));
}

#[test]
fn the_first_stream_of_a_clock_defines_its_frames_and_no_other_does() {
    for (defines_frames, source, uncertainty) in
        [(true, FrameSource::Counted, 0), (false, FrameSource::Estimated, 1)]
    {
        let mut ledger = silent(8);
        let told = run(&mut ledger, Start::Asap, 4, Back { defines_frames, ..estimated(800, 9) });
        assert_eq!((told.first, told.source, told.uncertainty), (Some(800), source, uncertainty));
        let mut ledger = silent(8);
        let told = run(&mut ledger, Start::At(100), 4, Back { defines_frames, ..estimated(804, 5) });
        assert_eq!((told.first, told.source, told.uncertainty), (Some(800), source, uncertainty));
        // The clock is believed, not the wish.
        let mut ledger = silent(8);
        let told = run(&mut ledger, Start::At(100), 4, Back { defines_frames, ..estimated(824, 5) });
        assert_eq!((told.first, told.source), (Some(824), FrameSource::Estimated));
        assert_eq!(told.misplaced(), Some(3));
    }
}

#[test]
fn what_the_system_never_confirms_is_assumed_while_the_queue_lasts() {
    let config = LedgerConfig { period: 8, frames: FrameSource::Assumed, gaps: false };
    let mut ledger = Ledger::new(config);
    let named = at_bus(&mut ledger, 0, Start::At(100), 4);
    let behind = at_bus(&mut ledger, 1, Start::Continue, 4);
    let blind = report(Outcome::Completed, None);
    let told = finish(&mut ledger, named, blind.clone());
    assert_eq!((told.frames(), told.source), (Some(100..104), FrameSource::Assumed));
    assert_eq!(told.misplaced(), None);
    assert_eq!(finish(&mut ledger, behind, blind.clone()).frames(), Some(104..108));
    // The queue ran dry: where the next began, nobody knows, nor where those behind it are.
    let first = at_bus(&mut ledger, 2, Start::Continue, 4);
    let second = at_bus(&mut ledger, 3, Start::Continue, 4);
    assert_eq!(finish(&mut ledger, first, blind.clone()).frames(), None);
    assert_eq!(finish(&mut ledger, second, blind.clone()).frames(), None);
    assert_eq!(run(&mut ledger, Start::At(300), 4, blind).frames(), Some(300..304));
}

#[test]
fn what_never_reached_the_bus_takes_no_frames() {
    for mut ledger in [reporting(8), silent(8)] {
        let first = at_bus(&mut ledger, 0, Start::At(10), 2);
        let held = ledger.add(1, Start::Continue, 50, ());
        assert_eq!(ledger.expected_end(), Some(80 + 16 + 400));
        assert!(ledger.reported(held, withdrawn(Outcome::Cancelled)).is_ok());
        assert_eq!(ledger.expected_end(), Some(96));
        let behind = at_bus(&mut ledger, 2, Start::Asap, 2);
        assert_eq!(ledger.expected_end(), Some(112));
        let define = Back { defines_frames: true, ..estimated(80, 2) };
        finish(&mut ledger, first, define);
        let told = pop(&mut ledger).expect("in its turn").told;
        assert_eq!((told.first, told.hole.clone()), (None, None));
        assert_eq!(finish(&mut ledger, behind, estimated(96, 2)).first, Some(96));
    }
}

#[test]
fn a_transfer_refused_as_late_was_due_where_it_was_asked_to_start() {
    let mut ledger = silent(8);
    run(&mut ledger, Start::At(10), 2, Back { defines_frames: true, ..estimated(80, 2) });
    let refused = ledger.add(1, Start::At(20), 3, ());
    let told = finish(&mut ledger, refused, withdrawn(Outcome::Late));
    let packets = [packet(PacketStatus::Late); 3];
    assert_eq!(told.gaps(&packets).next(), lost(20..23, 3, GapCause::Late));
    // It did not move the count: what runs on behind the first is behind the first.
    assert_eq!(ledger.expected_end(), Some(96));
}

#[test]
fn a_transfer_cancelled_before_it_ran_says_nothing_of_where_a_new_stream_is() {
    let mut ledger = silent(8);
    run(&mut ledger, Start::At(10), 2, Back { defines_frames: true, ..estimated(80, 2) });
    let cancelled = at_bus(&mut ledger, 1, Start::Asap, 4);
    let behind = at_bus(&mut ledger, 2, Start::Asap, 4);
    assert_eq!(finish(&mut ledger, cancelled, withdrawn(Outcome::Cancelled)).first, None);
    let told = finish(&mut ledger, behind, estimated(803, 5));
    assert_eq!((told.first, told.source, told.uncertainty), (Some(800), FrameSource::Estimated, 1));
}

#[test]
fn a_queue_known_dry_before_its_last_transfer_was_reaped_is_a_new_stream() {
    let mut ledger = silent(8);
    let first = at_bus(&mut ledger, 0, Start::At(10), 2);
    let unreaped = at_bus(&mut ledger, 1, Start::Continue, 2);
    finish(&mut ledger, first, Back { defines_frames: true, ..estimated(80, 2) });
    let next = ledger.add(2, Start::Continue, 2, ());
    ledger.handed_over(next, Continuity::Broken);
    assert_eq!(ledger.expected_end(), None, "it begins wherever the bus begins");
    finish(&mut ledger, unreaped, estimated(700, 5));
    let told = finish(&mut ledger, next, estimated(400, 3));
    assert_eq!((told.first, told.source), (Some(400), FrameSource::Estimated));
    assert_eq!(told.hole.map(|hole| hole.intervals), Some(50 - 14));
}

/// A stream of four-frame transfers that ends at frame 10, a hole, and further transfers that begin in frame
/// `resumed`, seen to end so many microframes late each. Returns what is told of those.
fn resumed(resumed: u64, lateness: &[u64]) -> Vec<Report> {
    let mut ledger = silent(8);
    run(&mut ledger, Start::At(6), 4, Back { defines_frames: true, ..estimated(48, 2) });
    let transfers = (0u64..).zip(lateness);
    transfers
        .map(|(index, late)| {
            let next = at_bus(&mut ledger, index, Start::Continue, 4);
            // Another is always queued behind it, so that the queue never runs dry.
            let told = finish_keeping_busy(&mut ledger, next, estimated((resumed + 4 * index) * 8 + late, 9));
            assert_eq!(told.id, index);
            told
        })
        .collect()
}

/// As `finish`, but the bus does not count as idle: what is handed over next was handed over in time.
fn finish_keeping_busy(ledger: &mut Ledger<(), Back>, sequence: u64, end: Back) -> Report {
    let told = finish(ledger, sequence, end);
    ledger.at_bus.0 = 1;
    told
}

#[test]
fn a_hole_of_uncertain_length_is_revised_once_and_rightly() {
    let told = resumed(20, &[30, 11, 9, 2, 14, 6, 40, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let was = Gap { frames: 10..24, intervals: 14, uncertainty: 1, cause: GapCause::QueueRanDry };
    assert_eq!(told[0].hole, Some(was.clone()));
    assert!(told[1..].iter().all(|told| told.hole.is_none()), "it is told once");
    let revisions: Vec<(usize, &Revision)> = told
        .iter()
        .enumerate()
        .filter_map(|(index, told)| Some((index, told.revision.as_deref()?)))
        .collect();
    let is = Gap { frames: 10..20, intervals: 10, uncertainty: 1, cause: GapCause::QueueRanDry };
    assert_eq!(revisions, [(7, &Revision { id: 0, was, is })]);
    // What follows is counted from the revised start.
    assert_eq!(told[8].first, Some((20 + 8 * 4) * 8));
}

#[test]
fn where_ends_wander_more_transfers_are_waited_for() {
    // A stream that begins in frame 20 behind a hole of ten, seen so late. After how many its beginning is revised.
    let revised_after = |uncertainty, late: fn(u64) -> u64, stated: fn(u64) -> u64| {
        let mut ledger = silent(8);
        run(&mut ledger, Start::At(6), 4, Back { defines_frames: true, ..estimated(48, 2) });
        (0..100).find_map(|index| {
            let next = at_bus(&mut ledger, index, Start::Continue, 4);
            let mut end = estimated((20 + 4 * index) * 8 + late(index), uncertainty);
            end.estimate = end.estimate.map(|estimate| Estimate { late: stated(index), ..estimate });
            let told = finish_keeping_busy(&mut ledger, next, end);
            let revision = told.revision?;
            Some((index + 1, revision.is.frames, revision.is.uncertainty))
        })
    };
    // They are less late in the end, and only one frame is left.
    let less_late = revised_after(1, |index| 12 - index / 3, |index| if index < 30 { 13 } else { 3 });
    assert_eq!(less_late, Some((31, 10..20, 0)));
    // Perhaps they are, but for all anyone knows they are not.
    assert_eq!(revised_after(1, |index| 12 - index.min(7), |_| 13), Some((64, 10..20, 1)));
    assert_eq!(revised_after(1, |_| 12, |_| 13), None, "what was told at first is as good as it gets");
    // Where it is not the ends that are unsure, nothing is gained by waiting.
    assert_eq!(revised_after(9, |index| 9 - index.min(7), |_| 1), Some((8, 10..20, 1)));
}

#[test]
fn what_runs_dry_while_it_is_waited_for_is_settled_with_what_is_known() {
    for (transfers, revised) in [(7, false), (20, true)] {
        let mut ledger = silent(8);
        run(&mut ledger, Start::At(6), 4, Back { defines_frames: true, ..estimated(48, 2) });
        let wandering = |first| {
            let mut end = estimated(first, 1);
            end.estimate = end.estimate.map(|estimate| Estimate { late: 13, ..estimate });
            end
        };
        for index in 0..transfers {
            let next = at_bus(&mut ledger, index, Start::Continue, 4);
            let late = if index == 0 { 12 } else { 2 };
            let told = finish_keeping_busy(&mut ledger, next, wandering((20 + 4 * index) * 8 + late));
            assert_eq!(told.revision, None);
        }
        // Another hole of ten frames.
        ledger.at_bus.0 = 0;
        let told = run(&mut ledger, Start::Continue, 4, wandering((30 + 4 * transfers) * 8 + 2));
        let begins = told.revision.map(|revision| (revision.id, revision.is.frames.end));
        assert_eq!(begins, revised.then_some((0, 20)));
        let hole = told.hole.expect("it ran dry");
        assert_eq!(hole.intervals, if revised { 10 } else { 9 }, "counted from where it was known to end");
    }
}

#[test]
fn what_may_have_followed_is_a_hole_that_may_be_none() {
    // By when it was seen and handed over it began eight frames late; in truth, so late.
    for truly in [0, 8] {
        let mut ledger = silent(8);
        run(&mut ledger, Start::At(6), 4, Back { defines_frames: true, ..estimated(48, 2) });
        let told: Vec<Report> = (0..8)
            .map(|index| {
                let sequence = ledger.add(index, Start::Continue, 4, ());
                ledger.at_bus.0 = 1;
                let continuity = if index == 0 { Continuity::Doubtful } else { Continuity::Unbroken };
                ledger.handed_over(sequence, continuity);
                let began = 10 + 4 * index + if index == 0 { 8 } else { truly };
                let mut end = estimated(began * 8 + 1, 1);
                end.estimate = end.estimate.map(|estimate| Estimate { not_before: 18 * 8 - 2, ..estimate });
                finish_keeping_busy(&mut ledger, sequence, end)
            })
            .collect();
        let hole = told[0].hole.clone().expect("it seems to be one");
        assert_eq!((hole.frames, hole.uncertainty, told[0].uncertainty), (10..18, 8, 8));
        let finally =
            told[7].revision.clone().map(|revision| (revision.is.intervals, revision.is.uncertainty));
        assert_eq!(finally, Some((truly, 0)));
    }
}

#[test]
fn a_hole_that_was_right_at_once_is_not_revised() {
    let told = resumed(20, &[0, 30, 11, 9, 2, 14, 6, 40, 8, 0, 0, 0]);
    assert_eq!(told[0].hole.as_ref().map(|hole| hole.frames.clone()), Some(10..20));
    assert!(told.iter().all(|told| told.revision.is_none()));
}

#[test]
fn a_hole_that_never_was_is_revised_to_nothing() {
    let told = resumed(10, &[20, 17, 1, 9, 9, 9, 9, 9, 9]);
    let revision = told[7].revision.clone().expect("it was believed to be three frames");
    assert_eq!((revision.was.frames, revision.is.frames, revision.is.intervals), (10..12, 10..10, 0));
}

#[test]
fn another_dry_queue_leaves_the_first_hole_as_it_was() {
    let mut ledger = silent(8);
    run(&mut ledger, Start::At(6), 4, Back { defines_frames: true, ..estimated(48, 2) });
    for restart in 1..30 {
        let told = run(&mut ledger, Start::Continue, 4, estimated(restart * 800 + 3, 9));
        assert_eq!((told.first, told.source), (Some(restart * 800), FrameSource::Estimated));
        assert!(told.hole.is_some() && told.revision.is_none());
    }
}

#[test]
fn a_stream_that_slid_lost_the_frames_in_between() {
    let mut ledger = silent(8);
    let define = Back { defines_frames: true, ..estimated(80, 2) };
    let sequences: Vec<u64> = (0..4).map(|id| at_bus(&mut ledger, id, Start::Continue, 2)).collect();
    finish(&mut ledger, sequences[0], define.clone());
    ledger.slid(3);
    let told = finish(&mut ledger, sequences[1], define.clone());
    assert_eq!((told.first, told.hole), (Some(96 + 24), lost(12..15, 3, GapCause::Late)));
    assert_eq!(finish(&mut ledger, sequences[2], define.clone()).hole, None);
    ledger.slid(-1);
    let told = finish(&mut ledger, sequences[3], define);
    assert_eq!((told.first, told.hole), (Some(96 + 24 + 32 - 8), None));
}

pub(super) fn packet(status: PacketStatus) -> Packet {
    Packet { offset: 0, length: 1, actual: 0, status }
}

#[test]
fn runs_of_lost_packets_are_told_one_by_one_and_as_one() {
    use PacketStatus::{Done, Failed, Late, Missed, Pending, Unknown};
    let statuses =
        [Late, Late, Missed, Done, Failed(PacketError::Crc), Missed, Missed, Unknown, Pending, Late];
    let packets = statuses.map(packet);
    for (period, expected) in [
        (1, [(10..11, 2), (10..11, 1), (10..11, 2), (11..12, 1)]),
        (4, [(10..11, 2), (11..12, 1), (12..14, 2), (14..15, 1)]),
        (8, [(10..12, 2), (12..13, 1), (15..17, 2), (19..20, 1)]),
        (32, [(10..15, 2), (18..19, 1), (30..35, 2), (46..47, 1)]),
    ] {
        let mut ledger = reporting(period);
        let told = run(&mut ledger, Start::At(10), 10, ran(80));
        let gaps: Vec<_> = told.gaps(&packets).map(|gap| (gap.frames, gap.intervals, gap.cause)).collect();
        let causes = [GapCause::Late, GapCause::HostMissed, GapCause::HostMissed, GapCause::Late];
        let with_causes: Vec<_> =
            expected.iter().zip(causes).map(|((frames, n), cause)| (frames.clone(), *n, cause)).collect();
        assert_eq!(gaps, with_causes, "period {period}");
        let GapReport::Lost(all) = told.gap(&packets) else { panic!("some are lost") };
        assert_eq!((all.frames, all.intervals), (10..expected[3].0.end, 6));
    }
}

#[test]
fn the_frames_used_end_with_the_last_period() {
    for (period, intervals, frames) in
        [(1, 8, 10..11), (1, 9, 10..12), (2, 5, 10..12), (4, 1, 10..11), (8, 3, 10..13), (32, 2, 10..18)]
    {
        let told = run(&mut reporting(period), Start::At(10), intervals, ran(80));
        assert_eq!(told.frames(), Some(frames.clone()), "{intervals} of period {period}");
        assert_eq!(told.next_frame(), Some(frames.end));
    }
}

/// A bus that puts every transfer on a frame itself, and is never told more.
#[test]
fn what_a_bus_chose_is_assumed_and_what_it_left_out_is_known() {
    let mut ledger =
        Ledger::<(), Back>::new(LedgerConfig { period: 8, frames: FrameSource::Assumed, gaps: false });
    let mut run = |start, frame| {
        let sequence = at_bus(&mut ledger, 0, start, 4);
        ledger.placed(sequence, frame);
        assert_eq!(ledger.expected_end(), Some((frame + 4) * 8));
        finish(&mut ledger, sequence, report(Outcome::Completed, None))
    };
    let told = run(Start::Asap, 105);
    assert_eq!((told.frames(), told.source, told.hole), (Some(105..109), FrameSource::Assumed, None));
    let told = run(Start::Continue, 109);
    assert_eq!((told.frames(), told.source, told.hole), (Some(109..113), FrameSource::Assumed, None));
    let told = run(Start::Continue, 120);
    assert_eq!(told.frames(), Some(120..124));
    assert_eq!(told.hole, lost(113..120, 7, GapCause::QueueRanDry));
    // A pause is no gap to one that only wants to be soon.
    assert_eq!(run(Start::Asap, 150).hole, None);
    assert_eq!(run(Start::Continue, 154).hole, None);
}
