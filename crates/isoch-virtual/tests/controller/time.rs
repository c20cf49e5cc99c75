//! Idle time, the start-of-frame clock, and the log.

use std::time::{Duration, Instant};

use isoch_core::{Start, Time};
use isoch_virtual::controller::Controller;
use isoch_virtual::profile::Profile;
use isoch_virtual::sof::SofClock;
use proptest::prelude::*;

use crate::rig::{Probe, Rig, rig_descriptors};

#[test]
fn an_idle_bus_jumps() {
    let mut rig = Rig::new("exact");
    let pipes = [rig.open(0x01), rig.open(0x81), rig.open(0x04)];
    let far = 1 << 50;
    let started = Instant::now();
    for pipe in pipes {
        rig.submit(pipe, 0, 8, Start::At(far / 8));
    }
    rig.run_to(far + 64);
    assert_eq!(rig.done().len(), 3);
    assert_eq!(rig.logged().len(), 24);
    // A loop over the frames would take days.
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_microframe_lasts_an_eighth_of_a_millisecond() {
    let clock = SofClock::new(Time::from_nanos(500));
    for (microframe, nanos) in
        [(0, 500), (1, 125_500), (8, 1_000_500), (8_000_000_000, 1_000_000_000_000_500)]
    {
        assert_eq!(clock.time_of(microframe), Time::from_nanos(nanos));
        assert_eq!(clock.microframe_at(Time::from_nanos(nanos)), microframe);
        assert_eq!(clock.microframe_at(Time::from_nanos(nanos + 124_999)), microframe);
    }
    assert_eq!(clock.microframe_at(Time::ZERO), 0);
    assert_eq!(clock.time_of(u64::MAX), Time::MAX);
}

#[test]
fn a_bus_that_runs_fast_does_not_drift_from_what_it_should_be() {
    let mut clock = SofClock::default();
    clock.set_ppm(0, 100.0);
    // 10⁹ frames of 1 ms / 1.0001: in exact arithmetic 999900009999000.0999… ns each 10⁹.
    let microframes = 8_000_000_000u128;
    let exact = (microframes * 125_000 * 1_000_000).div_ceil(1_000_100);
    assert_eq!(clock.time_of(8_000_000_000), Time::from_nanos(exact as u64));
    assert_eq!(clock.microframe_at(Time::from_nanos(exact as u64)), 8_000_000_000);
    assert_eq!(clock.ppm(3), 100.0);
}

#[test]
fn the_rate_changes_where_it_is_told_to() {
    let mut clock = SofClock::default();
    clock.set_ppm(8000, 1000.0);
    clock.set_ppm(16_000, -1000.0);
    assert_eq!(clock.time_of(8000), Time::from_nanos(1_000_000_000));
    assert_eq!(clock.time_of(16_000), Time::from_nanos(1_999_000_999 + 1));
    assert_eq!(clock.time_of(24_000).since(clock.time_of(16_000)), Duration::from_nanos(1_001_001_002));
    // A change before them leaves their rates, and moves their times.
    clock.set_ppm(4000, f64::NAN);
    clock.set_origin(Time::from_nanos(7));
    assert_eq!(clock.time_of(8000), Time::from_nanos(1_000_000_007));
    assert_eq!((clock.ppm(4000), clock.ppm(15_999), clock.ppm(16_000)), (0.0, 1000.0, -1000.0));
}

#[test]
fn a_stretch_moves_what_follows() {
    let mut clock = SofClock::default();
    clock.stretch(Duration::from_millis(3), 80);
    assert_eq!(clock.time_of(79), Time::from_nanos(79 * 125_000));
    assert_eq!(clock.time_of(80), Time::from_nanos(13_000_000));
    // In the hole the bus stands.
    assert_eq!(clock.microframe_at(Time::from_nanos(12_999_999)), 79);
    assert_eq!(clock.microframe_at(Time::from_nanos(13_000_000)), 80);
    clock.stretch(Duration::from_millis(1), 80);
    clock.stretch(Duration::from_millis(1), 40);
    clock.stretch(Duration::from_millis(1), 0);
    assert_eq!(clock.time_of(0), Time::from_nanos(1_000_000));
    assert_eq!(clock.time_of(80), Time::from_nanos(16_000_000));
    assert_eq!(clock.stretched(), Duration::from_millis(6));
}

proptest! {
    #[test]
    fn times_and_microframes_lead_back_to_each_other(
        changes in proptest::collection::vec((0u64..1 << 40, -200.0f64..200.0, 0u64..10_000_000), 0..8),
        at in proptest::collection::vec(0u64..1 << 41, 1..20),
    ) {
        let mut clock = SofClock::new(Time::from_nanos(12345));
        for (microframe, ppm, stretch) in changes {
            clock.set_ppm(microframe, ppm);
            clock.stretch(Duration::from_nanos(stretch), microframe / 2);
        }
        for microframe in at {
            let time = clock.time_of(microframe);
            prop_assert_eq!(clock.microframe_at(time), microframe);
            prop_assert!(clock.time_of(microframe + 1) > time);
            prop_assert_eq!(clock.microframe_at(time.offset(-1)), microframe.saturating_sub(1));
        }
    }
}

#[test]
fn the_controller_has_a_clock() {
    let mut controller = Controller::new(Profile::default());
    controller.sof_mut().set_ppm(0, 50.0);
    assert_eq!(controller.sof().time_of(8000), Time::from_nanos(999_950_003));
    let port = controller.plug("x", Probe::new(rig_descriptors()).0).unwrap();
    assert!(controller.device_mut(port).is_some());
    assert_eq!(controller.device_mut(port).unwrap().facts(), []);
}

#[test]
fn the_log_keeps_the_last_packets() {
    let mut rig = Rig::new("exact");
    let pipe = rig.open(0x01);
    rig.controller.log_mut(rig.port).unwrap().set_capacity(10);
    rig.submit(pipe, 0, 24, Start::At(101));
    rig.run_to(1000);
    let log = rig.controller.log(rig.port).unwrap();
    assert_eq!((log.total(), log.overwritten()), (24, 14));
    assert_eq!(rig.logged(), (822..832).collect::<Vec<_>>());
    for (entry, index) in log.entries().zip(14u8..) {
        assert_eq!((entry.endpoint, entry.length, entry.bytes), (1, 24, None));
        assert_eq!(entry.crc, crc32c::crc32c(&[index; 24]));
    }
    // Larger, then smaller, with what there is.
    rig.controller.log_mut(rig.port).unwrap().set_capacity(16);
    rig.submit(pipe, 1, 4, Start::At(200));
    rig.run_to(2000);
    assert_eq!(rig.logged(), (822..832).chain(1600..1604).collect::<Vec<_>>());
    rig.submit(pipe, 2, 4, Start::At(300));
    rig.run_to(3000);
    rig.controller.log_mut(rig.port).unwrap().set_capacity(3);
    assert_eq!(rig.logged(), [2401, 2402, 2403]);
    rig.submit(pipe, 3, 1, Start::At(400));
    rig.run_to(4000);
    assert_eq!(rig.logged(), [2402, 2403, 3200]);
    rig.controller.log_mut(rig.port).unwrap().clear();
    assert!(rig.logged().is_empty());
    rig.controller.log_mut(rig.port).unwrap().set_capacity(0);
    rig.submit(pipe, 4, 8, Start::At(600));
    rig.run_to(5000);
    assert_eq!(rig.controller.log(rig.port).unwrap().total(), 41);
    assert!(rig.logged().is_empty());
}

#[test]
fn the_log_keeps_bytes_where_asked() {
    let mut rig = Rig::new("exact");
    let pipe = rig.open(0x01);
    let log = rig.controller.log_mut(rig.port).unwrap();
    log.set_capacity(6);
    rig.submit(pipe, 0, 4, Start::At(101));
    rig.run_to(820);
    rig.controller.log_mut(rig.port).unwrap().keep_bytes(true);
    rig.submit(pipe, 1, 4, Start::At(104));
    rig.run_to(900);
    let log = rig.controller.log(rig.port).unwrap();
    let bytes: Vec<Option<u8>> = log.entries().map(|entry| entry.bytes.map(|bytes| bytes[23])).collect();
    assert_eq!(bytes, [None, None, Some(0), Some(1), Some(2), Some(3)]);
    rig.controller.log_mut(rig.port).unwrap().set_capacity(3);
    rig.submit(pipe, 2, 1, Start::At(114));
    rig.run_to(1000);
    let log = rig.controller.log(rig.port).unwrap();
    let bytes: Vec<Option<u8>> = log.entries().map(|entry| entry.bytes.map(|bytes| bytes[23])).collect();
    assert_eq!(bytes, [Some(2), Some(3), Some(0)]);
}

#[test]
fn a_log_of_long_packets_has_their_checksums() {
    use isoch_core::rules::Speed;
    let all = crate::rig::descriptors(Speed::High, &[&[(0x01, crate::rig::ISOCH, 1024, 1)]]);
    let mut controller = Controller::new(Profile::default());
    let port = controller.plug("long", Probe::new(all).0).unwrap();
    let pipe = controller.open_pipe(port, 0x01).unwrap();
    for size in [40, 41, 1024] {
        controller.submit(pipe, 0, crate::rig::block(2, size), Start::Asap).unwrap();
        while controller.run(1000, &mut Vec::new()) < 1000 && controller.next_event_at().is_some() {}
        let last = controller.log(port).unwrap().entries().last().unwrap();
        assert_eq!((last.length, last.crc), (size, crc32c::crc32c(&vec![1; size as usize])));
    }
}
