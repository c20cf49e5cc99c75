//! Placement against a small model of a controller, on a simulated clock.
//!
//! Why a model of its own, where `isoch-virtual` has an emulated controller? That crate stands above this
//! one; and the few rules that matter here (a lead, slots counted while the queue is not empty, a dry
//! queue starts again without a word) fit on a page that can be checked by eye.

mod model;
mod properties;

use super::*;
use model::{Controller, Run, View};

const MILLISECOND: u64 = 1_000_000;

fn at_millis(millis: u64) -> Time {
    Time::from_nanos(millis * MILLISECOND)
}

/// A clock on which frame 0 begins at the origin.
fn view() -> View {
    View::exact(0)
}

fn anchored(policy: Policy) -> PlacerConfig {
    PlacerConfig { policy, ..PlacerConfig::new(StartSupport::Anchored, 8) }
}

fn at(frame: u64, intervals: u64) -> Option<Pending> {
    Some(Pending { start: Start::At(frame), intervals })
}

fn running(end: u64) -> Queue {
    Queue { transfers: 1, intervals: 8, end: Some(end) }
}

#[test]
fn an_exact_bus_is_asked_for_the_frame() {
    let mut placer = Placer::new(PlacerConfig::new(StartSupport::Exact, 8));
    let decision = placer.decide(at_millis(100), &view(), Queue::default(), at(5_000_000, 4));
    let expected = Some(Expected { microframe: 40_000_000, uncertainty: 0 });
    assert_eq!(decision, Decision::Submit { how: Start::At(5_000_000), expected });
    // Late is for the controller to say.
    let decision = placer.decide(at_millis(100), &view(), Queue::default(), at(99, 4));
    assert!(matches!(decision, Decision::Submit { how: Start::At(99), .. }));
    let decision = placer.decide(at_millis(100), &view(), running(110 * 8 + 4), at(110, 4));
    assert_eq!(decision, Decision::Refuse(Reason::Overlap { next_free: 111 }));
}

#[test]
fn the_horizon_counts_to_the_end_of_a_transfer() {
    let config = PlacerConfig { horizon: Some(256), ..PlacerConfig::new(StartSupport::Exact, 8) };
    let mut placer = Placer::new(config);
    let decision = placer.decide(at_millis(100), &view(), Queue::default(), at(350, 10));
    assert_eq!(decision, Decision::HoldUntil(at_millis(360 - 256)));
    assert_eq!(placer.next_deadline(), Some(at_millis(104)));
    let decision = placer.decide(at_millis(104), &view(), Queue::default(), at(350, 10));
    assert!(matches!(decision, Decision::Submit { how: Start::At(350), .. }));
    assert_eq!(placer.next_deadline(), None);

    let follow = |start| Some(Pending { start, intervals: 10 });
    for start in [Start::Asap, Start::Continue] {
        let decision = placer.decide(at_millis(100), &view(), running(350 * 8), follow(start));
        assert_eq!(decision, Decision::HoldUntil(at_millis(104)));
        let decision = placer.decide(at_millis(104), &view(), running(350 * 8), follow(start));
        let expected = Some(Expected { microframe: 350 * 8, uncertainty: 0 });
        assert_eq!(decision, Decision::Submit { how: start, expected });
    }
    let decision = placer.decide(at_millis(100), &view(), Queue::default(), at(350, 250));
    assert_eq!(decision, Decision::Refuse(Reason::TooLong { most: 246 }));
}

#[test]
fn a_bus_without_frames_refuses_them() {
    let mut placer = Placer::new(PlacerConfig::new(StartSupport::AsapOnly, 8));
    let decision = placer.decide(at_millis(1), &view(), Queue::default(), at(90, 1));
    assert_eq!(decision, Decision::Refuse(Reason::NotPossible));
    let head = Some(Pending { start: Start::Asap, intervals: 1 });
    let decision = placer.decide(at_millis(1), &view(), Queue::default(), head);
    assert_eq!(decision, Decision::Submit { how: Start::Asap, expected: None });
}

#[test]
fn the_first_stream_of_a_fresh_clock_defines_its_epoch() {
    for policy in [Policy::Lead, Policy::PreRoll { frames: 20 }] {
        let mut placer = Placer::new(anchored(policy));
        let fresh = View { fresh: true, ..view() };
        let decision = placer.decide(at_millis(100), &fresh, Queue::default(), at(150, 4));
        assert_eq!(decision, Decision::HoldUntil(Time::from_nanos(140_500_000)));
        // Also where a clock that knows more would call it late.
        for now in [141, 149, 400] {
            let decision = placer.decide(at_millis(now), &fresh, Queue::default(), at(150, 4));
            let expected = Some(Expected { microframe: 1_200, uncertainty: 0 });
            assert_eq!(decision, Decision::Submit { how: Start::Asap, expected });
        }
    }
}

#[test]
fn lead_submits_in_the_middle_of_a_frame_or_not_at_all() {
    let mut placer = Placer::new(anchored(Policy::Lead));
    for submitted in [10, 30, 50] {
        let submitted = Time::from_nanos(submitted * MILLISECOND + 300_000);
        placer.observe_cold_start(submitted, submitted + Duration::from_micros(9_700));
    }
    assert_eq!(placer.lead().lead, Duration::from_micros(9_500));
    let mut decide =
        |micros: u64| placer.decide(Time::from_nanos(micros * 1_000), &view(), Queue::default(), at(200, 4));
    assert_eq!(decide(100_000), Decision::HoldUntil(Time::from_nanos(190_500_000)));
    let sure = Some(Expected { microframe: 1_600, uncertainty: 0 });
    assert_eq!(decide(190_500), Decision::Submit { how: Start::Asap, expected: sure });
    // Near the edge of the frame it says that it may be one off.
    let unsure = Some(Expected { microframe: 1_600, uncertainty: 8 });
    assert_eq!(decide(190_990), Decision::Submit { how: Start::Asap, expected: unsure });
    assert_eq!(decide(191_010), Decision::Refuse(Reason::Late { by: 1, earliest: 201 }));
}

#[test]
fn lead_lets_a_stream_drain_and_says_when_the_gap_is_too_short() {
    let mut placer = Placer::new(anchored(Policy::Lead));
    let mut decide = |now, queue, frame| placer.decide(at_millis(now), &view(), queue, at(frame, 4));
    let expected = Some(Expected { microframe: 880, uncertainty: 0 });
    assert_eq!(decide(100, running(880), 110), Decision::Submit { how: Start::Continue, expected });
    assert_eq!(decide(100, running(880), 109), Decision::Refuse(Reason::Overlap { next_free: 110 }));
    let too_short = Reason::GapTooShort { next_free: 110, next_restart: 123 };
    assert_eq!(decide(100, running(880), 115), Decision::Refuse(too_short));
    assert_eq!(decide(100, running(880), 123), Decision::HoldUntil(Time::from_nanos(113_500_000)));
    // The queue should be empty by then. If nobody reaped it, a later moment decides.
    assert_eq!(decide(114, running(880), 123), Decision::HoldUntil(Time::from_nanos(114_000_001)));
    assert!(matches!(decide(115, running(880), 123), Decision::Refuse(Reason::Late { .. })));
    // A stream that just began, and nobody knows where.
    let unknown = Queue { end: None, ..running(0) };
    assert_eq!(decide(100, unknown, 123), Decision::Wait);
}

#[test]
fn a_queue_that_must_have_run_dry_is_not_continued() {
    for policy in [Policy::Lead, Policy::PreRoll { frames: 20 }, Policy::Carrier { depth_frames: 20 }] {
        let mut placer = Placer::new(anchored(policy));
        let decision = placer.decide(at_millis(120), &view(), running(880), at(110, 4));
        assert!(matches!(decision, Decision::Refuse(Reason::Late { .. })), "{decision:?}");
        let head = Some(Pending { start: Start::Continue, intervals: 4 });
        let decision = placer.decide(at_millis(120), &view(), running(880), head);
        assert_eq!(decision, Decision::Submit { how: Start::Continue, expected: None });
    }
}

#[test]
fn an_endpoint_with_a_phase_is_served_in_its_own_intervals() {
    let config = |period| PlacerConfig { period, ..anchored(Policy::PreRoll { frames: 20 }) };
    // Every fourth microframe, the second of each four: frame 102 is first served in its microframe 2.
    let mut placer = Placer::new(config(4));
    let decision = placer.decide(at_millis(100), &view(), running(102 * 8 + 2), at(102, 1));
    assert!(matches!(decision, Decision::Submit { how: Start::Continue, .. }));
    let decision = placer.decide(at_millis(100), &view(), running(102 * 8 + 2), at(103, 1));
    assert_eq!(decision, Decision::Filler { intervals: 2 });
    // Every other frame.
    let mut placer = Placer::new(config(16));
    let decision = placer.decide(at_millis(100), &view(), running(102 * 8), at(105, 1));
    assert_eq!(decision, Decision::Refuse(Reason::OffPhase { next: 106 }));
}

#[test]
fn the_lead_is_learned_from_cold_starts() {
    let micros = |micros: u64| Time::from_nanos(micros * 1_000);
    // UHCI: ten frames after the current one, at whatever phase.
    let mut placer = Placer::new(anchored(Policy::Lead));
    for phase in [20, 400, 970, 610, 333] {
        placer.observe_cold_start(micros(5_000 + phase), micros(15_000));
    }
    let lead = placer.lead();
    assert_eq!((lead.lead, lead.observations), (Duration::from_micros(9_500), 5));
    assert!(lead.uncertainty < Duration::from_micros(100));
    // xHCI with 20 microframes, rounded up to a frame: between 2.5 and 3.5 ms.
    let mut placer = Placer::new(anchored(Policy::Lead));
    for phase in 0..8 {
        let submitted = phase * 125 + 60;
        let first: u64 = (phase + 20_u64).div_ceil(8) * 1_000;
        placer.observe_cold_start(micros(submitted), micros(first));
    }
    let lead = placer.lead();
    let off = lead.lead.abs_diff(Duration::from_micros(3_000));
    assert!(off <= Duration::from_micros(125) && lead.uncertainty < Duration::from_micros(200), "{lead:?}");
    // One preempted submission changes nothing; an absurd one is not even counted.
    placer.observe_cold_start(micros(0), micros(30_000));
    placer.observe_cold_start(micros(0), micros(3_000_000));
    assert_eq!(LeadEstimate { observations: 9, ..lead }, placer.lead());
    // A controller that starts at once, seen by a clock that errs.
    let mut placer = Placer::new(anchored(Policy::Lead));
    for early in [10, 0, 20] {
        placer.observe_cold_start(micros(1_000 + early), micros(1_000));
    }
    assert_eq!(placer.lead().lead, Duration::ZERO);
}

#[test]
fn a_carrier_runs_until_it_is_stopped() {
    let controller = Controller { lead_frames: 10, jitter_frames: 1, ..Controller::default() };
    let mut run = Run::new(anchored(Policy::Carrier { depth_frames: 20 }), controller);
    run.advance(at_millis(50));
    assert_eq!(run.filler, 0, "nothing was asked for");
    run.placer.start();
    run.advance(at_millis(550));
    // 500 ms less the lead, and the depth with a piece too many at most.
    assert!((480..=525).contains(&run.filler), "{}", run.filler);
    assert_eq!(run.controller.streams, 1, "it never ran dry");
    run.placer.stop();
    run.advance(at_millis(600));
    let filler = run.filler;
    run.advance(at_millis(700));
    assert_eq!(run.filler, filler);
    assert!(run.controller.queue.is_empty());
}

#[test]
fn reasons_say_what_to_do() {
    assert_eq!(
        Reason::Late { by: 3, earliest: 120 }.to_string(),
        "3 frames too late: a request made now reaches frame 120 or later"
    );
    assert!(
        Reason::GapTooShort { next_free: 1, next_restart: 9 }.to_string().contains("frame 1 (no gap), 9")
    );
}
