//! Where transfers go, and how they end.

use isoch_core::{Outcome, PacketStatus, Start};
use isoch_virtual::controller::{Event, OpenError, SubmitError};

use crate::rig::{Probe, Rig, block, rig_descriptors, statuses, summary};

use Outcome::{Cancelled, Completed, DeviceGone};

#[test]
fn three_transfers_of_eighty_packets_use_the_thirty_frames_they_name() {
    let mut rig = Rig::new("exact");
    let pipe = rig.open(0x01);
    for (token, frame) in [(0, 105), (1, 115), (2, 125)] {
        rig.submit(pipe, token, 80, Start::At(frame));
    }
    rig.run_to(200 * 8);
    let done = rig.done();
    let expected = [
        (0, Completed, Some(105 * 8), 115 * 8),
        (1, Completed, Some(115 * 8), 125 * 8),
        (2, Completed, Some(125 * 8), 135 * 8),
    ];
    assert_eq!(summary(&done), expected);
    for done in &done {
        assert!(done.block.packets().iter().all(|p| p.status == PacketStatus::Done && p.actual == 24));
    }
    assert_eq!(rig.logged(), (105 * 8..135 * 8).collect::<Vec<_>>());
    let seen = rig.seen.lock().unwrap();
    assert_eq!(seen.out.len(), 240);
    assert!(seen.out.iter().zip(0u64..).all(|((microframe, endpoint, bytes), index)| {
        *microframe == 840 + index && *endpoint == 1 && *bytes == vec![(index % 80) as u8; 24]
    }));
}

#[test]
fn asap_transfers_follow_one_another_without_a_gap() {
    let mut rig = Rig::new("exact");
    let pipe = rig.open(0x81);
    rig.run_to(803);
    rig.submit(pipe, 0, 5, Start::Asap);
    rig.submit(pipe, 1, 8, Start::Asap);
    rig.submit(pipe, 2, 3, Start::Continue);
    rig.run_to(2000);
    // Two frames from 803, rounded up to a frame.
    let expected =
        [(0, Completed, Some(824), 829), (1, Completed, Some(829), 837), (2, Completed, Some(837), 840)];
    let done = rig.done();
    assert_eq!(summary(&done), expected);
    assert_eq!(rig.seen.lock().unwrap().asked, (824..840).map(|m| (m, 0x81)).collect::<Vec<_>>());
    assert_eq!(&done[1].block.bytes()[..25], [vec![829u64 as u8; 24], vec![830u64 as u8]].concat());
}

#[test]
fn run_stops_where_something_happened() {
    let mut rig = Rig::new("exact");
    let pipe = rig.open(0x01);
    rig.submit(pipe, 0, 8, Start::At(102));
    rig.submit(pipe, 1, 8, Start::At(104));
    assert_eq!(rig.controller.next_event_at(), Some(103 * 8));
    assert_eq!(rig.controller.run(5000, &mut rig.events), 103 * 8);
    assert_eq!(rig.events.len(), 1);
    // Between them, time stops where it is told to.
    assert_eq!(rig.controller.run(103 * 8 + 5, &mut rig.events), 103 * 8 + 5);
    assert_eq!(rig.controller.run(5000, &mut rig.events), 105 * 8);
    assert_eq!(rig.controller.run(5000, &mut rig.events), 5000);
    assert_eq!(rig.controller.next_event_at(), None);
    assert_eq!(rig.controller.run(4000, &mut rig.events), 5000, "time does not go back");
}

#[test]
fn small_steps_and_big_ones_come_to_the_same() {
    let trace = |step: u64| {
        let mut rig = Rig::new("exact");
        let (out, long, input) = (rig.open(0x01), rig.open(0x04), rig.open(0x81));
        rig.submit(out, 0, 21, Start::At(102));
        rig.submit(long, 1, 7, Start::At(103));
        rig.submit(input, 2, 40, Start::Asap);
        let mut at = 800;
        while at < 1200 {
            at += step;
            rig.run_to(at);
        }
        let mut log: Vec<_> = {
            let log = rig.controller.log(rig.port).unwrap();
            log.entries().map(|e| (e.microframe, e.endpoint, e.length, e.crc)).collect()
        };
        log.sort_unstable();
        let done = rig.done();
        (summary(&done), log)
    };
    let whole = trace(400);
    assert_eq!(whole.1.len(), 21 + 7 + 40);
    for step in [1, 3, 8, 50] {
        assert_eq!(trace(step), whole, "in steps of {step}");
    }
}

#[test]
fn late_packets_are_dropped_and_the_rest_keep_their_frames() {
    let mut rig = Rig::new("exact");
    let pipe = rig.open(0x01);
    rig.run_to(804);
    rig.submit(pipe, 0, 16, Start::At(100));
    rig.run_to(2000);
    let done = rig.done();
    assert_eq!(summary(&done), [(0, Completed, Some(800), 816)]);
    let (late, served) = (vec![PacketStatus::Late; 4], vec![PacketStatus::Done; 12]);
    assert_eq!(statuses(&done[0]), [late, served].concat());
    assert_eq!(rig.logged(), (804..816).collect::<Vec<_>>());
}

#[test]
fn a_transfer_that_is_late_as_a_whole_ends_at_once() {
    let mut rig = Rig::new("exact");
    let pipe = rig.open(0x01);
    rig.submit(pipe, 7, 8, Start::At(99));
    assert_eq!(rig.controller.run(5000, &mut rig.events), 800);
    let done = rig.done();
    assert_eq!(summary(&done), [(7, Outcome::Late, Some(792), 800)]);
    assert_eq!(statuses(&done[0]), vec![PacketStatus::Late; 8]);
    assert!(rig.logged().is_empty());
    // It began no stream.
    rig.submit(pipe, 8, 8, Start::Continue);
    rig.run_to(2000);
    assert_eq!(rig.done()[0].first, Some(816));
}

#[test]
fn what_overlaps_a_queued_transfer_is_late() {
    let mut rig = Rig::new("exact");
    let pipe = rig.open(0x01);
    rig.submit(pipe, 0, 16, Start::At(110));
    rig.submit(pipe, 1, 16, Start::At(111));
    rig.submit(pipe, 2, 8, Start::At(105));
    rig.submit(pipe, 3, 8, Start::Continue);
    rig.run_to(2000);
    let done = rig.done();
    let expected = [
        (0, Completed, Some(880), 896),
        (1, Completed, Some(888), 904),
        (2, Outcome::Late, Some(840), 904),
        (3, Completed, Some(904), 912),
    ];
    assert_eq!(summary(&done), expected);
    assert_eq!(statuses(&done[1]), [vec![PacketStatus::Late; 8], vec![PacketStatus::Done; 8]].concat());
    assert_eq!(rig.logged(), (880..912).collect::<Vec<_>>());
}

#[test]
fn long_periods_start_on_their_phase() {
    let mut rig = Rig::new("exact");
    // bInterval 4: every frame; bInterval 7: every eighth.
    let (frame, eighth) = (rig.open(0x04), rig.open(0x05));
    rig.submit(frame, 0, 3, Start::At(105));
    rig.submit(eighth, 1, 3, Start::At(105));
    rig.run_to(2000);
    let expected = [(0, Completed, Some(840), 864), (1, Completed, Some(112 * 8), 129 * 8)];
    assert_eq!(summary(&rig.done()), expected);
    assert_eq!(rig.logged(), [840, 848, 856, 896, 960, 1024]);
    rig.submit(eighth, 2, 1, Start::Asap);
    rig.run_to(3000);
    assert_eq!(rig.done()[0].first, Some(2048));
}

#[test]
fn a_cancelled_transfer_leaves_the_others_where_they_are() {
    let mut rig = Rig::new("exact");
    let pipe = rig.open(0x01);
    for token in 0..4 {
        rig.submit(pipe, token, 8, if token == 0 { Start::At(102) } else { Start::Continue });
    }
    rig.run_to(818);
    let mut events = Vec::new();
    assert!(rig.controller.cancel(pipe, 2, &mut events));
    assert!(events.is_empty(), "others are before it");
    assert!(!rig.controller.cancel(pipe, 2, &mut events), "it is cancelled already");
    assert!(!rig.controller.cancel(pipe, 99, &mut events));
    assert!(rig.controller.cancel(pipe, 0, &mut events));
    assert_eq!(events.len(), 1);
    rig.events.append(&mut events);
    rig.run_to(2000);
    let done = rig.done();
    let expected = [
        (0, Cancelled, Some(816), 818),
        (1, Completed, Some(824), 832),
        (2, Cancelled, Some(832), 832),
        (3, Completed, Some(840), 848),
    ];
    assert_eq!(summary(&done), expected);
    assert_eq!(statuses(&done[0]), [vec![PacketStatus::Done; 2], vec![PacketStatus::Cancelled; 6]].concat());
    assert_eq!(statuses(&done[2]), vec![PacketStatus::Cancelled; 8]);
    let served: Vec<u64> = [816..818, 824..832, 840..848].into_iter().flatten().collect();
    assert_eq!(rig.logged(), served);
}

#[test]
fn what_was_cancelled_does_not_wait_for_what_was_cancelled_before_it() {
    let mut rig = Rig::new("exact");
    let pipe = rig.open(0x01);
    for (token, frame) in [(0, 105), (1, 110), (2, 120)] {
        rig.submit(pipe, token, 40, Start::At(frame));
    }
    let mut events = Vec::new();
    // The later first: when it is cancelled, the other still runs.
    assert!(rig.controller.cancel(pipe, 2, &mut events) && rig.controller.cancel(pipe, 1, &mut events));
    rig.run_to(110 * 8);
    let expected = [
        (0, Completed, Some(105 * 8), 110 * 8),
        (1, Cancelled, Some(110 * 8), 110 * 8),
        (2, Cancelled, Some(120 * 8), 110 * 8),
    ];
    assert_eq!(summary(&rig.done()), expected);
    // Nothing is left, so a new stream begins.
    rig.submit(pipe, 3, 8, Start::Continue);
    rig.run_to(200 * 8);
    assert_eq!(summary(&rig.done()), [(3, Completed, Some(112 * 8), 113 * 8)]);
}

#[test]
fn abort_brings_everything_back_in_order() {
    let mut rig = Rig::new("exact");
    let pipe = rig.open(0x01);
    for token in 0..3 {
        rig.submit(pipe, token, 8, Start::Asap);
    }
    rig.run_to(828);
    rig.controller.abort(pipe, &mut rig.events);
    let expected =
        [(0, Completed, Some(816), 824), (1, Cancelled, Some(824), 828), (2, Cancelled, Some(832), 828)];
    assert_eq!(summary(&rig.done()), expected);
    assert_eq!(rig.controller.next_event_at(), None);
    // The stream is dead: the next transfer begins another.
    rig.submit(pipe, 3, 8, Start::Continue);
    rig.run_to(2000);
    assert_eq!(summary(&rig.done()), [(3, Completed, Some(848), 856)]);
    assert_eq!(rig.logged(), (816..828).chain(848..856).collect::<Vec<_>>());
}

#[test]
fn unplugging_ends_everything_and_a_new_device_has_a_new_port() {
    let mut rig = Rig::new("exact");
    let pipe = rig.open(0x01);
    rig.submit(pipe, 0, 80, Start::At(101));
    rig.submit(pipe, 1, 80, Start::Continue);
    rig.controller.submit_data(rig.port, 0x82, 9, vec![0; 64]).unwrap();
    rig.seen.lock().unwrap().naks = u32::MAX;
    rig.run_to(812);
    let mut events = Vec::new();
    rig.controller.unplug(rig.port, &mut events);
    rig.controller.unplug(rig.port, &mut events);
    assert_eq!(events.len(), 4);
    assert!(matches!(events.pop(), Some(Event::Unplugged(port)) if port == rig.port));
    assert!(matches!(events.pop(), Some(Event::Data(data)) if data.token == 9 && data.result.is_err()));
    rig.events = events;
    let done = rig.done();
    assert_eq!(summary(&done), [(0, DeviceGone, Some(808), 812), (1, DeviceGone, Some(888), 812)]);
    assert_eq!(
        statuses(&done[0])[..5],
        [[PacketStatus::Done; 4].as_slice(), &[PacketStatus::Cancelled]].concat()
    );
    assert_eq!(rig.seen.lock().unwrap().released, 1);
    assert_eq!(rig.controller.ports().count(), 0);
    assert_eq!(rig.controller.log(rig.port).unwrap().total(), 4);

    let refused = rig.controller.submit(pipe, 2, block(8, 24), Start::Asap);
    assert_eq!(refused.unwrap_err().1, SubmitError::Gone);
    let (device, _) = Probe::new(rig_descriptors());
    let again = rig.controller.plug("rig", device).unwrap();
    assert_ne!(again, rig.port);
    let refused = rig.controller.submit(pipe, 2, block(8, 24), Start::Asap);
    assert_eq!(refused.unwrap_err().1, SubmitError::Gone);
    rig.controller.close_pipe(pipe, &mut rig.events);
    let refused = rig.controller.submit(pipe, 2, block(8, 24), Start::Asap);
    assert_eq!(refused.unwrap_err().1, SubmitError::Stale);
}

#[test]
fn a_device_comes_back_by_itself_where_that_was_planned() {
    let mut rig = Rig::new("exact");
    let (device, _) = Probe::new(rig_descriptors());
    let (twin, _) = Probe::new(rig_descriptors());
    rig.controller.plug_at(120, "other", device);
    rig.controller.plug_at(120, "rig", twin);
    assert_eq!(rig.controller.next_event_at(), Some(960));
    assert_eq!(rig.controller.run(5000, &mut rig.events), 960);
    assert!(matches!(rig.events[..], [Event::Plugged(_)]));
    assert_eq!(rig.controller.take_plug_failures().len(), 1, "the name is taken");
    let names: Vec<&str> = rig.controller.ports().map(|(_, name, _)| name).collect();
    assert_eq!(names, ["rig", "other"]);
}

#[test]
fn stale_and_random_ids_are_refused() {
    let mut rig = Rig::new("exact");
    let first = rig.open(0x01);
    assert_eq!(rig.controller.open_pipe(rig.port, 0x01), Err(OpenError::AlreadyOpen));
    assert_eq!(rig.controller.open_pipe(rig.port, 0x07), Err(OpenError::NoSuchEndpoint));
    assert_eq!(rig.controller.open_pipe(rig.port, 0x82), Err(OpenError::NotIsochronous));
    rig.controller.close_pipe(first, &mut rig.events);
    let mut used = vec![first];
    for _ in 0..1000 {
        let pipe = rig.open(0x01);
        assert!(!used.contains(&pipe));
        used.push(pipe);
        rig.controller.close_pipe(pipe, &mut rig.events);
    }
    let current = rig.open(0x01);
    rig.submit(current, 0, 8, Start::Asap);
    for stale in used {
        let refused = rig.controller.submit(stale, 0, block(8, 24), Start::Asap);
        assert_eq!(refused.unwrap_err().1, SubmitError::Stale);
        assert!(!rig.controller.cancel(stale, 0, &mut rig.events));
        rig.controller.abort(stale, &mut rig.events);
        rig.controller.close_pipe(stale, &mut rig.events);
    }
    assert!(rig.events.is_empty());
    // A change of the setting closes what is open.
    rig.controller.abort(current, &mut rig.events);
    rig.controller.set_alternate_setting(rig.port, 0, 0).unwrap();
    let refused = rig.controller.submit(current, 0, block(8, 24), Start::Asap);
    assert_eq!(refused.unwrap_err().1, SubmitError::Stale);
}

#[test]
fn what_the_endpoint_cannot_carry_is_refused_with_the_block() {
    let mut rig = Rig::new("exact");
    let pipe = rig.open(0x01);
    let (same, error) = rig.controller.submit(pipe, 0, block(8, 25), Start::Asap).unwrap_err();
    assert_eq!(error, SubmitError::TooLong { index: 0, length: 25, limit: 24 });
    assert_eq!(same.packets().len(), 8);
    let (_, error) = rig.controller.submit(pipe, 0, block(0, 24), Start::Asap).unwrap_err();
    assert_eq!(error, SubmitError::NoPackets);
    let mut outside = block(1, 24);
    outside.packets_mut()[0].offset = u32::MAX;
    assert!(rig.controller.submit(pipe, 0, outside, Start::Asap).is_err());
    // Empty packets are packets.
    rig.controller.submit(pipe, 0, block(8, 0), Start::Asap).unwrap();
    rig.run_to(2000);
    assert_eq!(rig.logged().len(), 8);
}

#[test]
fn a_device_that_claims_more_than_it_was_asked_for_babbles() {
    let mut rig = Rig::new("exact");
    let pipe = rig.open(0x81);
    rig.seen.lock().unwrap().claim = Some(usize::MAX);
    rig.submit(pipe, 0, 8, Start::Asap);
    rig.run_to(2000);
    let done = rig.done();
    let babble = PacketStatus::Failed(isoch_core::PacketError::Babble);
    assert_eq!(done[0].outcome, Completed);
    assert!(done[0].block.packets().iter().all(|packet| packet.status == babble && packet.actual == 0));
}

#[test]
fn ends_of_time_do_no_harm() {
    let mut rig = Rig::new("exact");
    let pipe = rig.open(0x05);
    rig.submit(pipe, 0, 64, Start::At(u64::MAX));
    rig.submit(pipe, 1, 64, Start::At((1 << 56) - 1));
    rig.controller.plug_at(u64::MAX, "never", Probe::new(rig_descriptors()).0);
    let mut events = Vec::new();
    rig.controller.run(u64::MAX, &mut events);
    assert!(matches!(&events[..], [Event::Isoch(done)] if done.outcome == Outcome::BadStartFrame));
    rig.controller.run(u64::MAX, &mut events);
    rig.submit(pipe, 2, 64, Start::Continue);
    rig.submit(pipe, 3, 64, Start::Asap);
    rig.controller.submit_data(rig.port, 0x82, 3, vec![0; 8]).unwrap();
    rig.controller.run(u64::MAX, &mut events);
    rig.controller.abort(pipe, &mut events);
}
