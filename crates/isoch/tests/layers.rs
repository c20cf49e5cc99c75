//! What layers above need that have waits and handles of their own: the setting in force, emulated time, the bus
//! behind a device, transfers that call back.

mod common;

use common::{DEVICE, bus_with};
use isoch::{BusClock, Error};

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
