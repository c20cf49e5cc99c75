//! Every kind of fault: what the host is told, what the device saw, and that both end with the range.

use isoch_core::{Outcome, PacketError, PacketStatus, Start};
use isoch_virtual::controller::{Event, IsochDone, WireLoss};
use isoch_virtual::faults::{Fault, FaultKind};

use crate::rig::{Probe, Rig, rig_descriptors, statuses, summary};

use PacketStatus::{Done, Failed, Late, Missed};

/// Two frames before the fault, two in it, two behind it: in one transfer of frames 102 to 107.
fn transfer_through(kind: FaultKind, endpoint: u8) -> (Rig, IsochDone) {
    let mut rig = Rig::new("exact");
    let pipe = rig.open(endpoint);
    rig.fault(104..106, kind);
    rig.submit(pipe, 0, 48, Start::At(102));
    rig.run_to(2000);
    let done = rig.done().pop().unwrap();
    assert_eq!(done.outcome, Outcome::Completed);
    (rig, done)
}

fn through(middle: PacketStatus) -> Vec<PacketStatus> {
    [[Done; 16], [middle; 16], [Done; 16]].concat()
}

fn actual(done: &IsochDone) -> Vec<u32> {
    done.block.packets().iter().map(|packet| packet.actual).collect()
}

fn around(middle: u32) -> Vec<u32> {
    [[24; 16], [middle; 16], [24; 16]].concat()
}

const OUTSIDE: [std::ops::Range<u64>; 2] = [816..832, 848..864];

#[test]
fn missed_and_late_intervals_are_told_and_not_served() {
    for (kind, status) in [(FaultKind::HostMissed, Missed), (FaultKind::HostLate, Late)] {
        for endpoint in [0x01, 0x81] {
            let (rig, done) = transfer_through(kind, endpoint);
            assert_eq!(statuses(&done), through(status));
            assert_eq!(actual(&done), around(0));
            assert_eq!(rig.logged(), Vec::from_iter(OUTSIDE.into_iter().flatten()));
            let seen = rig.seen.lock().unwrap();
            assert_eq!(seen.out.len() + seen.asked.len(), 32);
        }
    }
}

#[test]
fn what_is_lost_on_the_wire_is_done_for_the_host_and_missing_for_the_device() {
    let (rig, done) = transfer_through(FaultKind::LostOnWire, 0x01);
    assert_eq!(statuses(&done), through(Done));
    assert_eq!(actual(&done), around(24));
    assert_eq!(rig.logged(), Vec::from_iter(OUTSIDE.into_iter().flatten()));
    assert_eq!(rig.seen.lock().unwrap().out.len(), 32);
    let log = rig.controller.log(rig.port).unwrap();
    let lost = (832..848).map(|microframe| WireLoss { microframe, endpoint: 1 });
    assert!(log.wire_losses().eq(lost));
    assert_eq!((log.total(), log.total_wire_losses()), (32, 16));
    // It concerns OUT packets only.
    let (rig, _) = transfer_through(FaultKind::LostOnWire, 0x81);
    assert_eq!(rig.logged().len(), 48);
}

#[test]
fn damaged_packets_were_sent_and_bring_nothing() {
    for (kind, error) in [(FaultKind::CrcError, PacketError::Crc), (FaultKind::Babble, PacketError::Babble)] {
        let (rig, done) = transfer_through(kind, 0x81);
        assert_eq!(statuses(&done), through(Failed(error)));
        assert_eq!(actual(&done), around(0));
        assert_eq!(rig.seen.lock().unwrap().asked.len(), 48);
        let (rig, done) = transfer_through(kind, 0x01);
        assert_eq!(statuses(&done), through(Done));
        assert_eq!(rig.logged().len(), 48);
    }
}

#[test]
fn short_and_empty_packets_are_no_failures() {
    let (rig, done) = transfer_through(FaultKind::Short(5), 0x81);
    assert_eq!((statuses(&done), actual(&done)), (through(Done), around(5)));
    let log = rig.controller.log(rig.port).unwrap();
    assert_eq!(log.entries().map(|entry| entry.length).collect::<Vec<_>>(), around(5));
    let (rig, done) = transfer_through(FaultKind::Empty, 0x81);
    assert_eq!((statuses(&done), actual(&done)), (through(Done), around(0)));
    assert_eq!(rig.logged().len(), 48);
    let (_, done) = transfer_through(FaultKind::Short(5000), 0x81);
    assert_eq!(actual(&done), around(24));
}

#[test]
fn a_fault_hits_only_whom_it_names() {
    let mut rig = Rig::new("exact");
    let (out, input) = (rig.open(0x01), rig.open(0x81));
    let kind = FaultKind::HostMissed;
    let named = |device: &str, endpoint| Some((device.to_owned(), endpoint));
    for (device, endpoint) in [named("rig", Some(0x81)), named("other", None)].into_iter().flatten() {
        rig.controller.add_fault(Fault { frames: 102..103, kind, device: Some(device), endpoint });
    }
    rig.submit(out, 0, 8, Start::At(102));
    rig.submit(input, 1, 8, Start::At(102));
    rig.run_to(2000);
    let done = rig.done();
    assert_eq!(statuses(&done[0]), vec![Done; 8]);
    assert_eq!(statuses(&done[1]), vec![Missed; 8]);
}

#[test]
fn faults_can_be_added_under_way_and_begin_with_a_frame() {
    let mut rig = Rig::new("exact");
    let pipe = rig.open(0x01);
    rig.submit(pipe, 0, 80, Start::At(101));
    rig.run_to(820);
    rig.fault(50..60, FaultKind::HostMissed);
    rig.fault(102..103, FaultKind::HostMissed);
    rig.fault(105..107, FaultKind::HostLate);
    rig.fault(106..108, FaultKind::HostMissed);
    rig.run_to(2000);
    let all = statuses(&rig.done()[0]);
    let runs: Vec<(PacketStatus, usize)> =
        all.chunk_by(|a, b| a == b).map(|run| (run[0], run.len())).collect();
    // 102 had begun: what is left of it is hit. Missed wins over late.
    assert_eq!(runs, [(Done, 12), (Missed, 4), (Done, 16), (Late, 8), (Missed, 16), (Done, 24)]);
}

#[test]
fn a_stalled_host_learns_of_everything_afterwards_and_in_order() {
    let mut rig = Rig::new("exact");
    let (out, input) = (rig.open(0x01), rig.open(0x81));
    rig.fault(103..110, FaultKind::HostStalled);
    rig.fault(110..112, FaultKind::HostStalled);
    for token in 0..4 {
        rig.submit(out, token, 16, if token == 0 { Start::At(100) } else { Start::Continue });
        rig.submit(input, token + 10, 16, if token == 0 { Start::At(100) } else { Start::Continue });
    }
    assert_eq!(rig.controller.run(5000, &mut rig.events), 816);
    assert_eq!(rig.done().len(), 2);
    assert_eq!(rig.controller.next_event_at(), Some(112 * 8));
    assert_eq!(rig.controller.run(5000, &mut rig.events), 112 * 8);
    let done = rig.done();
    assert!(done.iter().all(|done| done.seen == 112 * 8 && done.outcome == Outcome::Completed));
    let tokens: Vec<u64> = done.iter().map(|done| done.token).collect();
    assert_eq!(tokens, [1, 11, 2, 12, 3, 13]);
    // The bus did not wait.
    assert_eq!(rig.logged().len(), 128);
    assert_eq!(rig.logged().last(), Some(&863));
    // The queue ran dry at 864 without the host knowing.
    rig.submit(out, 5, 8, Start::Continue);
    rig.run_to(3000);
    assert_eq!(rig.done()[0].first, Some(112 * 8 + 16));
}

#[test]
fn who_waits_for_one_endpoint_hears_of_the_others() {
    let mut rig = Rig::new("exact");
    let (out, input) = (rig.open(0x01), rig.open(0x81));
    let kind = FaultKind::HostStalled;
    rig.controller.add_fault(Fault { frames: 101..110, kind, device: None, endpoint: Some(0x01) });
    rig.controller.add_fault(Fault { frames: 101..105, kind, device: None, endpoint: Some(0x81) });
    rig.submit(out, 0, 8, Start::At(101));
    rig.submit(input, 1, 8, Start::At(102));
    rig.controller.submit_data(rig.port, 0x02, 2, vec![1]).unwrap();
    let mut told = Vec::new();
    while rig.controller.run(5000, &mut rig.events) < 5000 {
        told.push((rig.controller.now(), rig.events.len()));
        rig.events.clear();
    }
    assert_eq!(told, [(801, 1), (840, 1), (880, 1)]);
}

#[test]
fn unplugging_by_a_fault_is_told_like_any_other() {
    let mut rig = Rig::new("exact");
    let pipe = rig.open(0x01);
    let (other, _) = Probe::new(rig_descriptors());
    rig.controller.plug("other", other).unwrap();
    rig.run_to(808);
    rig.events.clear();
    let device = Some("rig".to_owned());
    rig.controller.add_fault(Fault { frames: 103..103, kind: FaultKind::Unplug, device, endpoint: None });
    let (twin, _) = Probe::new(rig_descriptors());
    rig.controller.plug_at(103, "rig", twin);
    rig.fault(103..105, FaultKind::HostStalled);
    rig.submit(pipe, 0, 80, Start::At(102));
    assert_eq!(rig.controller.run(5000, &mut rig.events), 105 * 8);
    let [Event::Isoch(done), Event::Unplugged(gone), Event::Plugged(new)] = &rig.events[..] else {
        panic!("{:?}", rig.events);
    };
    assert_eq!((done.outcome, done.seen, *gone), (Outcome::DeviceGone, 840, rig.port));
    assert!(*new > rig.port);
    assert_eq!(rig.logged(), Vec::from_iter(816..824));
    assert_eq!(rig.controller.ports().count(), 2);
}

#[test]
fn a_transfer_that_ends_with_the_device_has_ended() {
    let mut rig = Rig::new("exact");
    let pipe = rig.open(0x01);
    rig.fault(103..104, FaultKind::Unplug);
    rig.submit(pipe, 0, 8, Start::At(102));
    rig.submit(pipe, 1, 8, Start::At(103));
    rig.controller.run(5000, &mut rig.events);
    assert!(matches!(rig.events.pop(), Some(Event::Unplugged(_))));
    let expected = [(0, Outcome::Completed, Some(816), 824), (1, Outcome::DeviceGone, Some(824), 824)];
    assert_eq!(summary(&rig.done()), expected);
}
