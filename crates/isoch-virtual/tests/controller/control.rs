//! Standard requests, alternate settings, bandwidth.

use isoch_core::Start;
use isoch_core::rules::{Setup, Speed};
use isoch_virtual::Descriptors;
use isoch_virtual::controller::{ControlError, Controller, PlugError, SettingError};
use isoch_virtual::faults::{Fault, FaultKind};
use isoch_virtual::profile::Profile;

use crate::rig::{BULK, Endpoint, INTERRUPT, ISOCH, Probe, Rig, descriptors, rig_descriptors};

fn setup(request_type: u8, request: u8, value: u16, index: u16, length: u16) -> Setup {
    Setup { request_type, request, value, index, length }
}

fn ask(rig: &mut Rig, setup: Setup) -> Result<Vec<u8>, ControlError> {
    let mut data = vec![1, 2, 3];
    rig.controller.control_in(rig.port, setup, &mut data).map(|()| data)
}

fn tell(rig: &mut Rig, request_type: u8, request: u8, value: u16, index: u16) -> Result<(), ControlError> {
    rig.controller.control_out(rig.port, setup(request_type, request, value, index, 0), &[])
}

#[test]
fn descriptors_come_from_the_port() {
    let mut rig = Rig::new("exact");
    let all = rig_descriptors();
    let get = |rig: &mut Rig, value, length| ask(rig, setup(0x80, 6, value, 0, length));
    assert_eq!(get(&mut rig, 0x0100, 64).unwrap(), all.device);
    assert_eq!(get(&mut rig, 0x0100, 8).unwrap(), all.device[..8]);
    assert_eq!(get(&mut rig, 0x0200, 9).unwrap(), all.configuration[..9]);
    assert_eq!(get(&mut rig, 0x0200, 4096).unwrap(), all.configuration);
    assert_eq!(get(&mut rig, 0x0300, 255).unwrap(), [4, 3, 9, 4]);
    assert_eq!(get(&mut rig, 0x0301, 255).unwrap(), b"\x0c\x03I\0s\0o\0c\0h\0");
    assert_eq!(get(&mut rig, 0x0302, 255).unwrap(), b"\x0c\x03R\0i\0g\0 \0\x6a\x26");
    // A high-speed device has a qualifier, with no configuration for the other speed.
    assert_eq!(get(&mut rig, 0x0600, 255).unwrap(), [10, 6, 0, 2, 0xef, 2, 1, 64, 0, 0]);
    for missing in [0x0101, 0x0201, 0x0303, 0x03ee, 0x0700, 0x0f00, 0x2200] {
        assert_eq!(get(&mut rig, missing, 255), Err(ControlError::Stall), "{missing:#06x}");
    }
    // A report descriptor is the device's.
    assert_eq!(ask(&mut rig, setup(0x81, 6, 0x2200, 0, 4)).unwrap(), [7; 4]);
}

#[test]
fn what_a_full_speed_or_super_speed_device_has_differs() {
    let full = descriptors(Speed::Full, &[&[]]);
    let bos = Some(vec![5, 15, 5, 0, 0]);
    let fast = Descriptors { bos: bos.clone(), ..descriptors(Speed::Super, &[&[]]) };
    let mut controller = Controller::new(Profile::default());
    for (name, all) in [("full", full), ("super", fast)] {
        let port = controller.plug(name, Probe::new(all.clone()).0).unwrap();
        let mut data = Vec::new();
        let qualifier = controller.control_in(port, setup(0x80, 6, 0x0600, 0, 10), &mut data);
        assert_eq!(qualifier, Err(ControlError::Stall), "{name}");
        let found = controller.control_in(port, setup(0x80, 6, 0x0f00, 0, 255), &mut data);
        assert_eq!(found.is_ok().then_some(data), all.bos, "{name}");
    }
}

#[test]
fn configuration_and_interface_can_be_asked_and_set() {
    let mut rig = Rig::new("exact");
    let configuration = setup(0x80, 8, 0, 0, 1);
    let interface = setup(0x81, 10, 0, 0, 1);
    assert_eq!(ask(&mut rig, configuration).unwrap(), [1]);
    assert_eq!(ask(&mut rig, interface).unwrap(), [1]);
    tell(&mut rig, 0x01, 11, 0, 0).unwrap();
    assert_eq!(ask(&mut rig, interface).unwrap(), [0]);
    assert_eq!(ask(&mut rig, setup(0x81, 10, 0, 1, 1)), Err(ControlError::Stall));
    assert_eq!(tell(&mut rig, 0x01, 11, 3, 0), Err(ControlError::Stall));
    assert_eq!(tell(&mut rig, 0x01, 11, 0, 1), Err(ControlError::Stall));
    tell(&mut rig, 0x01, 11, 1, 0).unwrap();
    assert_eq!(rig.seen.lock().unwrap().settings, [(0, 1), (0, 0), (0, 1)]);

    tell(&mut rig, 0x00, 9, 0, 0).unwrap();
    assert_eq!(ask(&mut rig, configuration).unwrap(), [0]);
    assert_eq!(ask(&mut rig, interface), Err(ControlError::Stall));
    assert!(rig.controller.open_pipe(rig.port, 0x01).is_err());
    assert!(rig.controller.submit_data(rig.port, 0x02, 0, vec![]).is_err());
    assert_eq!(tell(&mut rig, 0x00, 9, 2, 0), Err(ControlError::Stall));
    tell(&mut rig, 0x00, 9, 1, 0).unwrap();
    assert_eq!(ask(&mut rig, interface).unwrap(), [0], "configuring begins with setting 0");
    tell(&mut rig, 0x00, 5, 77, 0).unwrap();
}

#[test]
fn status_and_halt() {
    let mut rig = Rig::new("exact");
    assert_eq!(ask(&mut rig, setup(0x80, 0, 0, 0, 2)).unwrap(), [1, 0], "self-powered");
    assert_eq!(ask(&mut rig, setup(0x81, 0, 0, 0, 2)).unwrap(), [0, 0]);
    assert_eq!(ask(&mut rig, setup(0x82, 0, 0, 0x09, 2)), Err(ControlError::Stall));
    let halted = setup(0x82, 0, 0, 0x82, 2);
    assert_eq!(ask(&mut rig, halted).unwrap(), [0, 0]);
    tell(&mut rig, 0x02, 3, 0, 0x82).unwrap();
    assert_eq!(ask(&mut rig, halted).unwrap(), [1, 0]);
    tell(&mut rig, 0x02, 1, 0, 0x82).unwrap();
    assert_eq!(ask(&mut rig, halted).unwrap(), [0, 0]);
    // An isochronous endpoint has no halt to set.
    assert_eq!(tell(&mut rig, 0x02, 3, 0, 0x01), Err(ControlError::Stall));
    tell(&mut rig, 0x02, 1, 0, 0x01).unwrap();
    assert_eq!(tell(&mut rig, 0x02, 1, 0, 0x0f), Err(ControlError::Stall));
    assert!(rig.seen.lock().unwrap().requests.is_empty());
}

#[test]
fn the_rest_is_the_devices() {
    let mut rig = Rig::new("exact");
    // It answers with more than was asked for.
    assert_eq!(ask(&mut rig, setup(0xc0, 0x5c, 0, 0, 2)).unwrap(), [7, 7]);
    let out = setup(0x21, 1, 0x0100, 0, 2);
    assert_eq!(rig.controller.control_out(rig.port, out, &[1, 2]), Ok(()));
    assert_eq!(rig.controller.control_out(rig.port, out, &[0xff, 2]), Err(ControlError::Stall));
    assert_eq!(rig.controller.control_out(rig.port, out, &[1]), Err(ControlError::Malformed));
    let wrong = rig.controller.control_in(rig.port, out, &mut Vec::new());
    assert_eq!(wrong, Err(ControlError::Malformed));
    assert_eq!(rig.seen.lock().unwrap().requests.len(), 3);
    rig.controller.released(rig.port);
    assert_eq!(rig.seen.lock().unwrap().released, 1);
    rig.controller.unplug(rig.port, &mut rig.events);
    assert_eq!(rig.controller.control_out(rig.port, out, &[1, 2]), Err(ControlError::Gone));
    assert_eq!(rig.controller.set_alternate_setting(rig.port, 0, 0), Err(SettingError::Gone));
}

#[test]
fn a_fault_stalls_control_requests_in_its_frames() {
    let mut rig = Rig::new("exact");
    let kind = FaultKind::ControlStall;
    let fault = Fault { frames: 101..103, kind, device: Some("rig".into()), endpoint: None };
    rig.controller.add_fault(fault);
    let question = setup(0x80, 6, 0x0100, 0, 18);
    for (microframe, works) in [(807, true), (808, false), (823, false), (824, true)] {
        rig.run_to(microframe);
        assert_eq!(ask(&mut rig, question).is_ok(), works, "{microframe}");
        assert_eq!(rig.controller.set_alternate_setting(rig.port, 0, 1).is_ok(), works, "{microframe}");
    }
}

#[test]
fn a_setting_in_use_cannot_be_changed() {
    let mut rig = Rig::new("exact");
    let pipe = rig.open(0x01);
    rig.submit(pipe, 0, 8, Start::Asap);
    assert_eq!(rig.controller.set_alternate_setting(rig.port, 0, 0), Err(SettingError::Busy));
    assert_eq!(tell(&mut rig, 0x01, 11, 0, 0), Err(ControlError::Setting(SettingError::Busy)));
    assert_eq!(tell(&mut rig, 0x00, 9, 1, 0), Err(ControlError::Setting(SettingError::Busy)));
    rig.controller.abort(pipe, &mut rig.events);
    rig.controller.submit_data(rig.port, 0x02, 1, vec![1]).unwrap();
    assert_eq!(rig.controller.set_alternate_setting(rig.port, 0, 0), Err(SettingError::Busy));
    rig.run_to(900);
    // The same setting again leaves pipes open.
    rig.controller.set_alternate_setting(rig.port, 0, 1).unwrap();
    rig.submit(pipe, 1, 8, Start::Asap);
    rig.controller.abort(pipe, &mut rig.events);
    assert_eq!(rig.controller.set_alternate_setting(rig.port, 0, 9), Err(SettingError::NoSuchSetting));
    rig.controller.set_alternate_setting(rig.port, 0, 0).unwrap();
}

#[test]
fn what_has_ended_and_was_not_told_is_pending() {
    let mut rig = Rig::new("usbip-stub");
    let pipe = rig.open(0x01);
    rig.submit(pipe, 0, 1, Start::Asap);
    rig.run_to(910);
    assert_eq!(rig.logged(), [896]);
    assert_eq!(rig.controller.set_alternate_setting(rig.port, 0, 2), Err(SettingError::Busy));
    rig.run_to(1000);
    assert_eq!(rig.done().len(), 1);
    rig.controller.set_alternate_setting(rig.port, 0, 2).unwrap();
}

#[test]
fn periodic_bandwidth_is_limited_by_speed() {
    let cases: [(Speed, Endpoint, u32, u32); 4] = [
        (Speed::Full, (1, ISOCH, 500, 1), 500, 1350),
        (Speed::High, (1, ISOCH, 0x1400, 1), 3072, 6000),
        (Speed::Super, (1, ISOCH, 0x0400, 1), 1024, 56_250),
        (Speed::SuperPlus, (1, ISOCH, 0x0400, 1), 1024, 112_500),
    ];
    let mut controller = Controller::new(Profile::default());
    for (speed, endpoint, needed, limit) in cases {
        let fits = limit / needed;
        let mut last = None;
        for index in 0..=fits {
            let all = descriptors(speed, &[&[], &[endpoint, (2, BULK, 8, 0)], &[(0x83, INTERRUPT, 8, 1)]]);
            let port = controller.plug(&format!("{speed:?} {index}"), Probe::new(all).0).unwrap();
            let refused = SettingError::NoBandwidth { needed, available: limit - fits * needed };
            let expected = if index < fits { Ok(()) } else { Err(refused) };
            assert_eq!(controller.set_alternate_setting(port, 0, 1), expected, "{speed:?} {index}");
            // Its own bandwidth does not stand in its way.
            if index < fits {
                controller.set_alternate_setting(port, 0, 1).unwrap();
            } else {
                let data = controller.control_out(port, setup(0x01, 11, 1, 0, 0), &[]);
                assert_eq!(data, Err(ControlError::Setting(refused)));
                last = Some(port);
            }
        }
        let first = controller.ports().find(|(_, name, _)| *name == format!("{speed:?} 0")).unwrap().0;
        controller.unplug(first, &mut Vec::new());
        controller.set_alternate_setting(last.unwrap(), 0, 1).unwrap();
    }
}

#[test]
fn devices_that_no_host_could_enumerate_are_refused() {
    let plug = |all: Descriptors| Controller::new(Profile::default()).plug("x", Probe::new(all).0);
    let good = descriptors(Speed::High, &[&[], &[(0x01, ISOCH, 24, 1), (0x81, INTERRUPT, 8, 4)]]);
    assert!(plug(good.clone()).is_ok());
    let bend = |change: &dyn Fn(&mut Descriptors)| {
        let mut all = good.clone();
        change(&mut all);
        plug(all)
    };
    let endpoint = 9 + 9 + 9;
    let changes: [&dyn Fn(&mut Descriptors); 14] = [
        &|all| all.device.truncate(17),
        &|all| all.configuration.truncate(5),
        &|all| all.configuration[2] += 1,
        &|all| all.configuration[9] = 0,
        &|all| all.configuration[9] = 200,
        &|all| all.configuration[9 + 4] = 1,
        &|all| all.configuration[18 + 4] = 1,
        &|all| all.configuration[18 + 4] = 3,
        &|all| all.configuration[18 + 3] = 0,
        &|all| all.configuration[endpoint + 2] = 0x81,
        &|all| all.configuration[endpoint + 2] = 0,
        &|all| all.configuration[endpoint + 5] = 0x18,
        &|all| all.configuration[endpoint + 6] = 17,
        &|all| all.speed = Speed::Low,
    ];
    for (change, index) in changes.iter().zip(0..) {
        assert!(matches!(bend(change), Err(PlugError::Descriptors(_))), "{index}");
    }
    assert!(matches!(bend(&|all| all.speed = Speed::Super), Err(PlugError::Descriptors(_))));
    let mut controller = Controller::new(Profile::default());
    controller.plug("x", Probe::new(good.clone()).0).unwrap();
    assert_eq!(controller.plug("x", Probe::new(good).0), Err(PlugError::NameTaken("x".into())));
}
