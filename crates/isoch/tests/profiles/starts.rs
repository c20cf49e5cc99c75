//! Where transfers begin, and what is told of the frames between them.

use super::*;

pub(crate) fn an_interface_is_claimed_once<D: Side>(profile: &str) {
    let rig = rig::<D>(profile);
    let device = rig.setting.device().clone();
    assert!(matches!(device.interface(0), Err(Error::Busy { .. })));
    assert!(matches!(rig.bus.open(DEVICE).unwrap().interface(0), Err(Error::Busy { .. })));
    assert!(matches!(device.interface(1), Err(Error::NoSuchInterface { interface: 1, .. })));
    assert!(matches!(D::open_at(&rig.setting, D::ADDRESS), Err(Error::Busy { .. })));
    let other = D::open_at(&rig.setting, D::ADDRESS ^ 0x80);
    assert!(matches!(other, Err(Error::NoSuchEndpoint { .. })), "the other direction's endpoint");

    let interface = rig.setting.interface().clone();
    assert!(matches!(interface.alternate_setting(7), Err(Error::NoSuchSetting { setting: 7, .. })));
    let blocks = rig.endpoint.register(Layout::frames(4)).unwrap();
    rig.submit(take(&blocks), Start::Asap).unwrap();
    rig.bus.advance(0).unwrap();
    assert!(matches!(interface.alternate_setting(0), Err(Error::Busy { .. })), "a transfer is pending");
    rig.endpoint.abort();
    let Rig { bus, setting, endpoint, .. } = rig;
    drop((setting, endpoint));
    let idle = interface.alternate_setting(0).unwrap();
    let Err(Error::NoSuchEndpoint { available, .. }) = D::open_at(&idle, D::ADDRESS) else {
        panic!("setting 0 has no isochronous endpoint");
    };
    assert!(available.contains("bulk"), "{available}");
    drop((interface, idle));
    let setting = bus.open(DEVICE).unwrap().interface(0).unwrap().alternate_setting(1).unwrap();
    D::open_at(&setting, D::ADDRESS).unwrap();
}

pub(crate) fn completions_come_in_order_and_once<D: Side>(profile: &str) {
    let rig = rig::<D>(profile);
    let mut truth = Truth::new(&rig);
    let blocks = rig.endpoint.register(Layout::frames(2).blocks(6)).unwrap();
    let mut submitted = Vec::new();
    let mut completed = Vec::new();
    for _ in 0..5 {
        while let Some(block) = blocks.take().now() {
            submitted.push(rig.submit(block, Start::Asap).unwrap());
        }
        assert_eq!(rig.endpoint.in_flight() + blocks.free(), 6);
        for _ in 0..6 {
            let done = rig.complete();
            assert_eq!(done.outcome(), Outcome::Completed);
            truth.check(&rig, &done);
            completed.push(done.id());
        }
        assert!(rig.endpoint.next_completion().now().is_none());
    }
    assert_eq!(submitted, completed);
    assert_eq!((blocks.free(), rig.endpoint.in_flight()), (6, 0));
}

pub(crate) fn named_frames_are_kept<D: Side>(profile: &str) {
    let rig = rig::<D>(profile);
    let mut truth = Truth::new(&rig);
    let exact = rig.endpoint.capabilities().start == StartSupport::Exact;
    let blocks = rig.endpoint.register(Layout::frames(2).blocks(8)).unwrap();
    for round in 0..4 {
        let start = rig.now() + 40;
        let asked = [start, start + 2, start + 4, start + 60, start + 62];
        for frame in asked {
            rig.submit(take(&blocks), Start::At(frame)).unwrap();
        }
        let done = rig.complete_all(asked.len());
        assert_outcomes(&done, Outcome::Completed);
        let firsts = truth.check_all(&rig, &done);
        assert_chained(&firsts[..3], 16);
        assert_chained(&firsts[3..], 16);
        for ((done, first), asked) in done.iter().zip(firsts).zip(asked) {
            if exact {
                assert_eq!(first, asked * 8, "round {round}: exactly the frame that was named");
                assert_eq!(done.frames(), Some(asked..asked + 2));
            }
            let told = done.frames().unwrap().start;
            let assumed = done.frame_source() == FrameSource::Assumed;
            let misplaced = (!assumed).then_some(told as i64 - asked as i64);
            assert_eq!(done.misplaced(), misplaced);
            // A frame that was asked for and not reached must show, or be in doubt.
            let off = (first as i64 / 8 - truth.difference.unwrap() / 8 - asked as i64).unsigned_abs();
            assert!(
                off <= misplaced.unwrap_or(0).unsigned_abs() + done.frame_uncertainty(),
                "round {round}: {off} frames off: {done:?}"
            );
            // Frames that an explicit start skips are owed to nobody.
            assert_no_gap(&rig, done);
        }
    }
}

pub(crate) fn a_chain_has_no_gap<D: Side>(profile: &str) {
    for start in [Start::Asap, Start::Continue] {
        let rig = rig::<D>(profile);
        let mut truth = Truth::new(&rig);
        let blocks = rig.endpoint.register(Layout::frames(4).blocks(4)).unwrap();
        let mut firsts = Vec::new();
        for _ in 0..4 {
            rig.submit(take(&blocks), start).unwrap();
        }
        for _ in 0..20 {
            let done = rig.complete();
            assert_no_gap(&rig, &done);
            firsts.extend(truth.check(&rig, &done));
            rig.submit(done.into_block(), start).unwrap();
        }
        firsts.extend(truth.check_all(&rig, &rig.complete_all(4)));
        assert_eq!(firsts.len(), 24);
        assert_chained(&firsts, 32);
        assert_eq!(rig.endpoint.statistics().late_submits, 0);
    }
}

pub(crate) fn a_long_queue_is_held_back_and_has_no_gap<D: Side>(profile: &str) {
    let rig = rig::<D>(profile);
    let mut truth = Truth::new(&rig);
    let blocks = rig.endpoint.register(Layout::frames(250).blocks(8)).unwrap();
    for _ in 0..8 {
        rig.submit(take(&blocks), Start::Asap).unwrap();
    }
    assert_eq!(rig.endpoint.in_flight(), 8);
    let done = rig.complete_all(8);
    assert_outcomes(&done, Outcome::Completed);
    assert_chained(&truth.check_all(&rig, &done), 2000);
    done.iter().for_each(|done| assert_no_gap(&rig, done));
}

pub(crate) fn a_dry_queue_tells_its_hole<D: Side>(profile: &str) {
    let rig = rig::<D>(profile);
    let mut truth = Truth::new(&rig);
    let known = rig.endpoint.capabilities().gaps;
    let blocks = rig.endpoint.register(Layout::frames(2).blocks(4)).unwrap();
    for pause in [0, 1, 7, 30] {
        warm_up(&rig, &mut truth, &blocks);
        let owed = truth.end.unwrap();
        rig.bus.advance(pause).unwrap();
        rig.submit(take(&blocks), Start::Continue).unwrap();
        let done = rig.complete();
        let first = truth.check(&rig, &done).unwrap();
        let hole = first - owed;
        match done.gap() {
            GapReport::Lost(gap) => {
                assert!(known);
                assert_eq!(gap.cause, GapCause::QueueRanDry);
                let error = gap.intervals.abs_diff(hole);
                assert!(error <= gap.uncertainty * 8, "{gap:?} for a hole of {hole} microframes");
                assert_eq!(rig.endpoint.capabilities().frames == FrameSource::Reported, gap.uncertainty == 0);
            }
            GapReport::None => {
                let allowed = done.frame_uncertainty() * 8;
                assert!(known && hole <= allowed, "a hole of {hole} microframes is not told: {done:?}");
            }
            GapReport::Unknowable => assert!(!known, "this bus says that it knows of gaps"),
        }
        drop(done);
        // The stream goes on, and what was uncertain of the hole may become known.
        let mut revisions = Vec::new();
        for _ in 0..4 {
            rig.submit(take(&blocks), Start::Continue).unwrap();
        }
        for _ in 0..20 {
            let done = rig.complete();
            truth.check(&rig, &done);
            revisions.extend(done.revision().cloned());
            rig.submit(done.into_block(), Start::Continue).unwrap();
        }
        truth.check_all(&rig, &rig.complete_all(4));
        for revision in revisions {
            assert!(revision.was != revision.is);
        }
    }
}

pub(crate) fn asap_after_a_pause_is_no_gap<D: Side>(profile: &str) {
    let rig = rig::<D>(profile);
    let mut truth = Truth::new(&rig);
    let blocks = rig.endpoint.register(Layout::frames(2).blocks(4)).unwrap();
    for pause in [0, 5, 40] {
        warm_up(&rig, &mut truth, &blocks);
        rig.bus.advance(pause).unwrap();
        rig.submit(take(&blocks), Start::Asap).unwrap();
        let done = rig.complete();
        truth.check(&rig, &done).unwrap();
        assert_no_gap(&rig, &done);
    }
}

/// Some controllers move what comes just before the queue runs dry, and tell nobody.
pub(crate) fn a_continuation_at_the_last_moment_is_told_right<D: Side>(profile: &str) {
    for left in 0..6 {
        let rig = rig::<D>(profile);
        let mut truth = Truth::new(&rig);
        let warming = rig.endpoint.register(Layout::frames(2).blocks(4)).unwrap();
        let blocks = rig.endpoint.register(Layout::frames(10).blocks(2)).unwrap();
        warm_up(&rig, &mut truth, &warming);
        let before = rig.wire().len();
        rig.submit(take(&blocks), Start::Asap).unwrap();
        while rig.wire().len() == before {
            rig.bus.advance(1).unwrap();
        }
        let end = rig.wire()[before].microframe / 8 + 10;
        rig.bus.advance(end - left - rig.bus.frame()).unwrap();
        rig.submit(take(&blocks), Start::Continue).unwrap();
        let done = rig.complete_all(2);
        let firsts = truth.check_all(&rig, &done);
        let hole = firsts[1] - firsts[0] - 80;
        match done[1].gap() {
            GapReport::Lost(gap) => assert!(gap.intervals.abs_diff(hole) <= gap.uncertainty * 8),
            GapReport::None => assert!(hole <= done[1].frame_uncertainty() * 8, "{hole}: {:?}", done[1]),
            GapReport::Unknowable => {
                assert!(
                    !rig.endpoint.capabilities().gaps || done[1].frame_uncertainty() > 0,
                    "{:?}",
                    done[1]
                );
            }
        }
    }
}

/// The queue runs dry, and the program goes on before it has heard of that.
pub(crate) fn a_program_that_is_held_up_is_told_right<D: Side>(profile: &str) {
    let rig = rig::<D>(profile);
    let mut truth = Truth::new(&rig);
    let blocks = rig.endpoint.register(Layout::frames(4).blocks(8)).unwrap();
    warm_up(&rig, &mut truth, &blocks);
    let begin = rig.bus.frame();
    fault(&rig, begin + 1..begin + 60, FaultKind::HostStalled);
    rig.submit(take(&blocks), Start::Asap).unwrap();
    rig.submit(take(&blocks), Start::Continue).unwrap();
    rig.bus.advance(40).unwrap();
    assert_eq!(rig.endpoint.in_flight(), 2, "nothing was told yet");
    for _ in 0..4 {
        rig.submit(take(&blocks), Start::Continue).unwrap();
    }
    let done = rig.complete_all(6);
    assert_outcomes(&done, Outcome::Completed);
    // What is estimated is as late as the program heard of it, and says so.
    let firsts: Vec<u64> = done.iter().map(|done| truth.first(&rig, done).unwrap()).collect();
    for (done, first) in done.iter().zip(&firsts) {
        let told = done.report().first.unwrap() as i64 + truth.difference.unwrap();
        let off = told.abs_diff(*first as i64);
        assert!(off <= done.frame_uncertainty() * 8, "off by {off} microframes: {done:?}");
    }
    let hole = firsts[2] - firsts[1] - 32;
    assert!(hole > 0);
    match done[2].gap() {
        GapReport::Lost(gap) => {
            assert!(gap.intervals.abs_diff(hole) <= gap.uncertainty * 8, "{hole} microframes: {gap:?}");
            assert!(gap.uncertainty == 0 || rig.endpoint.capabilities().frames != FrameSource::Reported);
        }
        // It may have been none, as far as anyone knows.
        GapReport::Unknowable => {
            assert_ne!(rig.endpoint.capabilities().frames, FrameSource::Reported, "{hole} microframes");
        }
        GapReport::None => panic!("a hole of {hole} microframes is called none"),
    }
}

/// Where a stream began is seen late, and revised once; what was believed until then must not teach the clock.
pub(crate) fn a_beginning_that_was_seen_late_moves_no_clock<D: Side>(profile: &str) {
    let rig = rig::<D>(profile);
    let mut truth = Truth::new(&rig);
    let blocks = rig.endpoint.register(Layout::frames(2).blocks(6)).unwrap();
    // No more streams than that, or the lead would tell where they begin.
    warm_up(&rig, &mut truth, &blocks);
    let difference = |rig: &Rig<D>| rig.now() as i64 - rig.bus.frame() as i64;
    let before = difference(&rig);
    for _ in 0..2 {
        rig.bus.advance(30).unwrap();
        for _ in 0..6 {
            rig.submit(take(&blocks), Start::Asap).unwrap();
        }
        let begin = rig.bus.frame();
        fault(&rig, begin + 1..begin + 18, FaultKind::HostStalled);
        for _ in 0..24 {
            let done = rig.complete();
            rig.submit(done.into_block(), Start::Asap).unwrap();
        }
        rig.complete_all(6);
    }
    let moved = difference(&rig) - before;
    assert!(moved.abs() <= 1, "the clock moved by {moved} frames");
}

pub(crate) fn transfers_of_parts_of_frames_are_counted_right<D: Side>(profile: &str) {
    for packets in [1, 4, 12, 15] {
        let rig = rig::<D>(profile);
        let mut truth = Truth::new(&rig);
        let blocks = rig.endpoint.register(Layout::packets(packets).blocks(16)).unwrap();
        for round in 0..3 {
            for index in 0..16 {
                let start =
                    if round == 1 && index == 0 { Start::At(rig.now() + 40) } else { Start::Continue };
                rig.submit(take(&blocks), start).unwrap();
            }
            truth.check_all(&rig, &rig.complete_all(16));
            rig.bus.advance(7).unwrap();
        }
    }
}

pub(crate) fn packet_lengths_are_sent_or_refused<D: Side>(profile: &str) {
    let rig = rig::<D>(profile);
    let blocks = rig.endpoint.register(Layout::packets(8)).unwrap();
    let lengths = [100, 1024, 8, 1023, 512, 9];
    let mut block = take(&blocks);
    block.set_packet_lengths(&lengths).unwrap();
    match (rig.endpoint.capabilities().lengths, rig.submit(block, Start::Asap)) {
        (Lengths::PerPacket, result) => {
            result.unwrap();
            let done = rig.complete();
            let wire: Vec<usize> = rig.wire().iter().map(|wire| wire.bytes.len()).collect();
            assert_eq!(wire, lengths.map(|length| length as usize));
            assert_eq!(done.packets().map(|packet| packet.transferred()).collect::<Vec<_>>(), wire);
            for (packet, wire) in done.packets().zip(rig.wire()) {
                assert_eq!(packet.bytes(), wire.bytes);
            }
            drop(done);
            let mut empty = take(&blocks);
            empty.set_packet_lengths(&[0, 0]).unwrap();
            rig.submit(empty, Start::Asap).unwrap();
            assert_eq!(rig.complete().transferred(), 0);
        }
        (Lengths::FullThenShort, Err(rejected)) => {
            assert!(matches!(rejected.error, Error::Unsupported(_)));
            assert_eq!(rejected.block.packets().len(), lengths.len(), "the block is as it was");
            assert_eq!(rig.endpoint.in_flight(), 0);
        }
        (claimed, result) => panic!("{claimed:?}, and yet {result:?}"),
    }
    // Full packets and a short last one are possible everywhere.
    let mut block = take(&blocks);
    block.set_length(3 * PACKET + 100).unwrap();
    rig.submit(block, Start::Asap).unwrap();
    assert_eq!(rig.complete().outcome(), Outcome::Completed);
    let wire = rig.wire();
    let last: Vec<usize> = wire[wire.len() - 4..].iter().map(|wire| wire.bytes.len()).collect();
    assert_eq!(last, [PACKET, PACKET, PACKET, 100]);
    // More than an interval carries is not.
    assert!(matches!(take(&blocks).set_packet_lengths(&[1025]), Err(Error::Layout(_))));
    assert!(matches!(take(&blocks).set_packet_lengths(&[1; 9]), Err(Error::Layout(_))));
    assert!(matches!(take(&blocks).set_length(0), Err(Error::Layout(_))));
}
