//! What layers above need that have waits and handles of their own: the setting in force, emulated time, the bus
//! behind a device, transfers that call back.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{DEVICE, Rig, bus, bus_with};
use isoch::{
    BusClock, Completion, CompletionSink, EmulatedStep, EmulatedTime, Error, Layout, Out, Start, VirtualBus,
};

#[test]
fn the_setting_in_force_is_known_without_asking() {
    let bus = bus_with("exact", BusClock::Manual, "loopback", &[]);
    let device = bus.open(DEVICE).unwrap();
    let interface = device.interface(0).unwrap();
    assert_eq!(interface.setting_in_force().number(), 0);
    let chosen = interface.alternate_setting(1).unwrap();
    assert_eq!(interface.setting_in_force().number(), 1);
    assert!(matches!(interface.alternate_setting(9), Err(Error::NoSuchSetting { .. })));
    let endpoint = interface.setting_in_force().isoch_out(0x02).unwrap();
    drop((chosen, interface));
    assert_eq!(endpoint.setting().interface().setting_in_force().number(), 1, "whoever holds it");
    drop(endpoint);
    assert_eq!(device.interface(0).unwrap().setting_in_force().number(), 0, "it was let go of in between");
    // What the device refused is not in force.
    let interface = device.interface(0).unwrap_or_else(|error| panic!("{error}"));
    bus.unplug(DEVICE).unwrap();
    assert!(matches!(interface.alternate_setting(1), Err(Error::Gone)));
    assert_eq!(interface.setting_in_force().number(), 0);
}

#[derive(Default)]
struct Counts {
    told: AtomicUsize,
    inside: Mutex<Option<(EmulatedTime, Vec<EmulatedStep>)>>,
}

impl CompletionSink for Counts {
    fn completed(&self, _completion: Completion) {
        self.told.fetch_add(1, Ordering::SeqCst);
        if let Some((time, steps)) = self.inside.lock().unwrap().as_mut() {
            steps.push(time.step(None, &|| false));
        }
    }
}

#[test]
fn a_wait_of_ones_own_runs_the_bus() {
    let rig = Rig::<Out>::new("exact", BusClock::OnWait);
    let time = rig.endpoint.clock().emulated_time().unwrap();
    let counts = Arc::new(Counts::default());
    *counts.inside.lock().unwrap() = Some((time.clone(), Vec::new()));
    rig.endpoint.set_sink(Arc::clone(&counts) as _);
    let blocks = rig.endpoint.register(Layout::frames(4).blocks(2)).unwrap();
    let began = rig.now();
    assert_eq!(time.now(), rig.endpoint.clock().now().at, "one scale");
    assert_eq!(time.step(None, &|| false), EmulatedStep::Stopped, "nothing will happen");
    for start in [10, 20] {
        rig.submit(blocks.take().now().unwrap(), Start::At(began + start)).unwrap();
    }
    let told = || counts.told.load(Ordering::SeqCst);
    assert_eq!(time.step(None, &|| true), EmulatedStep::Advanced, "what is ready needs no time");
    assert_eq!((rig.now(), told()), (began, 0));
    let limit = rig.endpoint.clock().time_of(began + 7).0;
    assert_eq!(time.step(Some(limit), &|| told() > 0), EmulatedStep::AtLimit);
    assert_eq!((rig.now(), told(), time.now()), (began + 7, 0, limit));
    while told() < 1 {
        assert_eq!(time.step(None, &|| told() > 0), EmulatedStep::Advanced);
    }
    assert_eq!(rig.now(), began + 14);
    rig.endpoint.drain().unwrap();
    assert_eq!((rig.now(), told()), (began + 24, 2));
    // A limit without anything to happen before it: a sleep.
    let limit = time.now() + Duration::from_millis(1000);
    assert_eq!(time.step(Some(limit), &|| false), EmulatedStep::AtLimit);
    assert_eq!(rig.now(), began + 1024);
    let (_, steps) = counts.inside.lock().unwrap().take().unwrap();
    assert_eq!(steps, [EmulatedStep::Stopped; 2], "inside a sink time stands still");
}

#[test]
fn emulated_time_is_that_of_one_bus() {
    let (first, second) = (bus("exact", BusClock::OnWait), bus("usbfs-xhci", BusClock::Manual));
    let times = [first.clock().emulated_time().unwrap(), second.clock().emulated_time().unwrap()];
    assert!(times[0].is_same(&first.clock().emulated_time().unwrap()));
    assert!(!times[0].is_same(&times[1]));
    assert!(VirtualBus::new().clock().emulated_time().is_none(), "real time is no one's to step");
    let limit = times[1].now() + Duration::from_millis(5);
    assert_eq!(times[1].step(Some(limit), &|| false), EmulatedStep::Stopped, "only `advance` moves it");
    second.advance(3).unwrap();
    assert_eq!(limit - times[1].now(), Duration::from_millis(2));
    drop(first);
    assert_eq!(times[0].step(None, &|| false), EmulatedStep::Stopped, "a bus that is gone");
}

#[test]
fn the_bus_behind_a_device() {
    let device = isoch::open("virtual:layers/speaker?clock=manual").unwrap();
    let bus = device.virtual_bus().unwrap();
    assert_eq!(bus.bus_clock(), BusClock::Manual);
    bus.advance(7).unwrap();
    assert_eq!(device.clock().now().frame, 7);
    let text = "[[fault]]\nframe = 9\nkind = \"unplug\"\n";
    for fault in isoch::emulated::bus_file::parse_faults(text, std::path::Path::new("")).unwrap() {
        bus.fault(fault);
    }
    assert!(bus.log("speaker", |log| log.entries().count()).is_ok());
    bus.advance(3).unwrap();
    assert!(matches!(device.interface(1).unwrap().alternate_setting(1), Err(Error::Gone)));
    // Whoever has the bus keeps it.
    drop(device);
    assert_eq!(bus.frame(), 10);
    let again = isoch::open("virtual:layers/speaker").unwrap();
    assert_eq!(again.clock().now().frame, 10);
}
