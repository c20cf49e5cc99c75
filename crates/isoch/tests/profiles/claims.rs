//! What statistics and capabilities claim, beside what happened.

use super::*;

/// The completions' own sums.
fn count(completions: &[Completion]) -> Statistics {
    let mut counted = Statistics::default();
    for done in completions {
        counted.completed += 1;
        counted.cancelled += u64::from(done.outcome() == Outcome::Cancelled);
        counted.late_transfers += u64::from(done.outcome() == Outcome::Late);
        counted.misplaced += u64::from(done.misplaced().is_some_and(|by| by != 0));
        counted.unknowable += u64::from(done.gap() == GapReport::Unknowable);
        counted.bytes += done.transferred();
        for packet in done.packets() {
            match packet.status() {
                PacketStatus::Done => counted.packets_done += 1,
                PacketStatus::Late => counted.packets_late += 1,
                PacketStatus::Missed => counted.packets_missed += 1,
                PacketStatus::Failed(_) => counted.packets_failed += 1,
                PacketStatus::Unknown => counted.packets_unknown += 1,
                _ => {}
            }
        }
        for gap in done.gaps() {
            counted.gaps += 1;
            counted.intervals_lost += gap.intervals;
            counted.late_submits += u64::from(gap.cause == GapCause::QueueRanDry);
        }
    }
    counted
}

pub(crate) fn statistics_are_those_of_the_completions<D: Side>(profile: &str) {
    let rig = rig::<D>(profile);
    let blocks = rig.endpoint.register(Layout::frames(4).blocks(8)).unwrap();
    let frame = rig.bus.frame();
    fault(&rig, frame + 22..frame + 25, FaultKind::HostMissed);
    fault(&rig, frame + 18..frame + 19, FaultKind::HostLate);
    fault(&rig, frame + 20..frame + 21, FaultKind::CrcError);
    let mut all = Vec::new();
    let mut ids = Vec::new();
    for _ in 0..8 {
        ids.push(rig.submit(take(&blocks), Start::Asap).unwrap());
    }
    rig.bus.advance(30).unwrap();
    rig.endpoint.cancel(ids[7]);
    all.extend(rig.complete_all(8));
    rig.bus.advance(9).unwrap();
    let more = rig.endpoint.register(Layout::frames(4)).unwrap();
    rig.submit(take(&more), Start::Continue).unwrap();
    let refused = rig.now() + 4;
    let overlaps = rig.submit(take(&more), Start::At(refused.saturating_sub(100)));
    all.push(rig.complete());
    let late = overlaps.is_ok();
    if late {
        all.push(rig.complete());
    }
    let statistics = rig.endpoint.statistics();
    let mut expected = count(&all);
    expected.submitted = if late { 10 } else { 9 };
    expected.smallest_lead = statistics.smallest_lead;
    expected.wake_up = statistics.wake_up.clone();
    assert_eq!(statistics, expected);
    assert_eq!(statistics.wake_up.total(), 0, "emulated time stands still while a program wakes up");
    match rig.endpoint.capabilities().results {
        Results::PerPacket => {
            assert!(statistics.packets_missed + statistics.packets_late >= 32);
            assert_eq!(statistics.packets_failed, if is_out::<D>() { 0 } else { 8 });
            assert_eq!(statistics.everything_placed(), Some(false));
        }
        _ => assert_eq!(statistics.packets_done, 0),
    }
}

/// One transfer at a time, each a new stream: after some of them it is known how long before its frame one is to be
/// handed over.
pub(crate) fn single_writes_teach_the_lead<D: Side>(profile: &str) {
    let rig = rig::<D>(profile);
    if rig.endpoint.capabilities().start != StartSupport::Anchored {
        return;
    }
    let mut truth = Truth::new(&rig);
    let blocks = rig.endpoint.register(Layout::frames(4)).unwrap();
    for round in 0..24 {
        let asked = rig.now() + 40 + round % 7;
        rig.submit(take(&blocks), Start::At(asked)).unwrap();
        let done = rig.complete();
        assert_eq!(done.outcome(), Outcome::Completed, "round {round}");
        let first = truth.check(&rig, &done).unwrap();
        if round >= 16 {
            assert_eq!(first as i64 - truth.difference.unwrap(), asked as i64 * 8, "round {round}: {done:?}");
        }
    }
}

pub(crate) fn placement_policies<D: Side>(profile: &str) {
    let policies = [Policy::Lead, Policy::PreRoll { frames: 24 }, Policy::Carrier { depth_frames: 12 }];
    for policy in policies {
        let rig = rig::<D>(profile);
        if rig.endpoint.capabilities().start != StartSupport::Anchored {
            assert!(matches!(rig.endpoint.set_placement(policy), Err(Error::Unsupported(_))));
            continue;
        }
        let mut truth = Truth::new(&rig);
        let blocks = rig.endpoint.register(Layout::frames(4).blocks(4)).unwrap();
        rig.endpoint.set_placement(policy).unwrap();
        for round in 0..6 {
            let asked = rig.now() + 80 + round;
            for _ in 0..2 {
                let start = if blocks.free() == 4 { Start::At(asked) } else { Start::Continue };
                rig.submit(take(&blocks), start).unwrap();
            }
            let done = rig.complete_all(2);
            assert_outcomes(&done, Outcome::Completed);
            let firsts = truth.check_all(&rig, &done);
            assert_chained(&firsts, 32);
            assert_no_gap(&rig, &done[1]);
            let off = firsts[0] as i64 - truth.difference.unwrap() - asked as i64 * 8;
            match policy {
                // Filler up to the frame: that is exact, whatever the clock knows.
                Policy::Carrier { .. } | Policy::PreRoll { .. } => {
                    assert_eq!(off, 0, "{policy:?}, round {round}: {:?}", done[0]);
                }
                Policy::Lead => {
                    let stated =
                        done[0].frame_uncertainty() * 8 + done[0].misplaced().unwrap_or(0).unsigned_abs() * 8;
                    assert!(off.unsigned_abs() <= stated, "round {round}: {off} off: {:?}", done[0]);
                }
            }
            drop(done);
            assert_eq!(blocks.free(), 4);
        }
        let filler = rig.wire().iter().filter(|wire| !is_ours::<D>(wire)).count();
        let sent = 6 * 2 * 4 * PACKETS_PER_FRAME;
        match policy {
            Policy::Lead => assert_eq!(rig.wire().len(), sent, "nothing extra on the wire"),
            _ if is_out::<D>() => assert_eq!(rig.wire().len() - filler, sent),
            _ => assert!(rig.wire().len() > sent),
        }
        // Nothing of the filler is left when the endpoint goes.
        let Rig { bus, endpoint, .. } = rig;
        drop(endpoint);
        let before = common::wire(&bus, D::ADDRESS).len();
        bus.advance(100).unwrap();
        assert_eq!(common::wire(&bus, D::ADDRESS).len(), before);
    }
}

/// Whether a packet is of the program's own, and not filler.
fn is_ours<D: Side>(wire: &Wire) -> bool {
    !is_out::<D>() || !wire.bytes.is_empty()
}

pub(crate) fn the_start_that_is_claimed<D: Side>(profile: &str) {
    let rig = rig::<D>(profile);
    let capabilities = *rig.endpoint.capabilities();
    assert_eq!(capabilities, rig.setting.device().capabilities(D::DIRECTION));
    let blocks = rig.endpoint.register(Layout::frames(2).blocks(4)).unwrap();
    let lead = capabilities.lead;
    match capabilities.start {
        StartSupport::Exact => {
            let now = rig.now();
            rig.submit(take(&blocks), Start::At(now + lead)).unwrap();
            let done = rig.complete();
            assert_eq!(done.outcome(), Outcome::Completed);
            assert_eq!(rig.wire().len(), 16, "with the claimed lead, every packet is served");
            assert_eq!(rig.wire()[0].microframe, (now + lead) * 8);
        }
        StartSupport::Anchored => {
            let mut truth = Truth::new(&rig);
            for _ in 0..3 {
                warm_up(&rig, &mut truth, &blocks);
                rig.bus.advance(20).unwrap();
            }
            rig.submit(take(&blocks), Start::Asap).unwrap();
            let now = rig.bus.frame() as i64;
            let first = truth.check(&rig, &rig.complete()).unwrap();
            assert!(first as i64 / 8 - now <= lead as i64 + 1, "a new stream begins within the claimed lead");
        }
        StartSupport::AsapOnly => {
            let rejected = rig.submit(take(&blocks), Start::At(rig.now() + 100)).unwrap_err();
            assert!(matches!(rejected.error, Error::Unsupported(_)));
        }
    }
}

pub(crate) fn the_results_that_are_claimed<D: Side>(profile: &str) {
    let rig = rig::<D>(profile);
    let mut truth = Truth::new(&rig);
    let capabilities = *rig.endpoint.capabilities();
    let blocks = rig.endpoint.register(Layout::frames(4).blocks(8)).unwrap();
    for _ in 0..8 {
        rig.submit(take(&blocks), Start::Asap).unwrap();
    }
    // Somewhere in the middle, whatever the lead.
    let begin = rig.bus.frame();
    fault(&rig, begin + 20..begin + 22, FaultKind::HostMissed);
    fault(&rig, begin + 25..begin + 26, FaultKind::LostOnWire);
    let done = rig.complete_all(8);
    assert_outcomes(&done, Outcome::Completed);
    done.iter().for_each(|done| {
        if is_out::<D>() && capabilities.results == Results::PerPacket {
            return;
        }
        truth.check(&rig, done);
    });
    let statuses: Vec<PacketStatus> =
        done.iter().flat_map(|done| done.packets().map(|packet| packet.status())).collect();
    let gaps: Vec<_> = done.iter().flat_map(|done| done.gaps().collect::<Vec<_>>()).collect();
    let lost_on_wire = rig.bus.log(DEVICE, |log| log.total_wire_losses()).unwrap();
    assert_eq!(lost_on_wire, if is_out::<D>() { 8 } else { 0 });
    match capabilities.results {
        Results::PerPacket => {
            let missed = statuses.iter().filter(|status| **status == PacketStatus::Missed).count();
            assert_eq!(missed, 16);
            assert!(statuses.iter().all(|s| matches!(s, PacketStatus::Done | PacketStatus::Missed)));
            // The wire loss is in nobody's report.
            assert_eq!(gaps.iter().map(|gap| gap.intervals).sum::<u64>(), 16);
            assert!(gaps.iter().all(|gap| gap.cause == GapCause::HostMissed));
        }
        Results::Whole | Results::None => {
            assert!(statuses.iter().all(|status| *status == PacketStatus::Unknown));
            assert!(gaps.is_empty());
            assert!(done.iter().all(|done| done.gap() == GapReport::Unknowable));
            assert!(done.iter().all(|done| done.transferred() == 0), "nobody said how much was sent");
            assert!(!capabilities.gaps, "gaps cannot be known where results are not");
        }
    }
    for done in &done {
        let lost = done.packets().any(|packet| packet.status().is_lost());
        let known = if lost || capabilities.gaps { done.gap() != GapReport::Unknowable } else { true };
        assert!(known, "{done:?}");
    }
}

pub(crate) fn the_clock_that_is_claimed<D: Side>(profile: &str) {
    let rig = rig::<D>(profile);
    let mut truth = Truth::new(&rig);
    let clock = rig.endpoint.clock().clone();
    let blocks = rig.endpoint.register(Layout::frames(4).blocks(4)).unwrap();
    let mut advanced = 100;
    match rig.endpoint.capabilities().clock {
        ClockSupport::Exact => {
            for step in [0, 1, 7] {
                rig.bus.advance(step).unwrap();
                advanced += step;
                let now = clock.now();
                assert_eq!((now.frame, now.microframe), (advanced, 0));
                assert_eq!((now.quality, now.uncertainty), (Quality::Exact, Duration::ZERO));
            }
        }
        ClockSupport::Estimated => {
            let fresh = clock.now();
            assert_eq!(fresh.quality, Quality::FreeRun, "nothing has run yet");
            assert!(!fresh.uncertainty.is_zero());
            for _ in 0..4 {
                rig.submit(take(&blocks), Start::Asap).unwrap();
            }
            for _ in 0..200 {
                let done = rig.complete();
                truth.check(&rig, &done);
                assert_clock(&rig, &truth);
                rig.submit(done.into_block(), Start::Continue).unwrap();
            }
            assert!(matches!(
                clock.now().quality,
                Quality::Coarse | Quality::Disciplined | Quality::Numbered
            ));
            rig.endpoint.abort();
            rig.bus.advance(3000).unwrap();
            assert_clock(&rig, &truth);
        }
        ClockSupport::None => assert_eq!(clock.now().quality, Quality::FreeRun),
    }
    // Both directions of the translation agree, and time goes forwards.
    let now = clock.now();
    for frame in [now.frame + 1, now.frame + 1000] {
        let (at, _) = clock.time_of(frame);
        assert_eq!(clock.frame_at(at).frame, frame);
        assert!(at > now.at);
    }
    clock.wait_for(now.frame + 3).unwrap();
    assert_eq!(clock.now().frame, now.frame + 3);
}

/// The clock is right within what it says.
fn assert_clock<D: Side>(rig: &Rig<D>, truth: &Truth) {
    let now = rig.endpoint.clock().now();
    let told = (now.frame * 8 + u64::from(now.microframe)) as i64 + truth.difference.unwrap();
    let real = rig.bus.microframe() as i64;
    let allowed = now.uncertainty.as_nanos().div_ceil(125_000) as u64 + 1;
    assert!((told - real).unsigned_abs() <= allowed, "{now:?} is {} microframes off", told - real);
}
