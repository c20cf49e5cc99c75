//! What a change of alternate setting does to what was opened before it.

mod common;

use common::{DEVICE, bus_with};
use isoch::emulated::faults::{Fault, FaultKind};
use isoch::{
    BusClock, Device, Error, Interface, IsochOut, Layout, Outcome, Policy, Rejected, Start, VirtualBus,
};

const OUT: u8 = 0x02;

/// The interface of a loopback device, on a bus that imitates another.
fn interface(profile: &str) -> (VirtualBus, Device, Interface) {
    let bus = bus_with(profile, BusClock::OnWait, "loopback", &[]);
    let device = bus.open(DEVICE).unwrap();
    let interface = device.interface(0).unwrap();
    (bus, device, interface)
}

fn submit(endpoint: &IsochOut) -> Result<isoch::TransferId, Rejected> {
    let blocks = endpoint.register(Layout::frames(1).blocks(1)).unwrap();
    endpoint.submit(blocks.take().now().unwrap(), Start::Asap)
}

#[test]
fn an_endpoint_of_another_setting_says_so_and_the_device_is_not_gone() {
    for profile in ["exact", "usbfs-xhci", "winusb"] {
        let (_bus, _device, interface) = interface(profile);
        let stale = interface.alternate_setting(1).unwrap().isoch_out(OUT).unwrap();
        interface.alternate_setting(0).unwrap();
        for _ in 0..2 {
            let rejected = submit(&stale).unwrap_err();
            assert!(matches!(rejected.error, Error::SettingChanged), "{profile}: {rejected}");
        }
        // Its setting is in force again; but it was closed meanwhile.
        let again = interface.alternate_setting(1).unwrap().isoch_out(OUT).unwrap();
        assert!(matches!(submit(&stale).unwrap_err().error, Error::SettingChanged), "{profile}");
        submit(&again).unwrap();
        assert_eq!(again.next_completion().wait().unwrap().outcome(), Outcome::Completed, "{profile}");
    }
}

#[test]
fn an_endpoint_goes_on_where_its_setting_stays_in_force() {
    let (bus, _device, interface) = interface("exact");
    let endpoint = interface.alternate_setting(1).unwrap().isoch_out(OUT).unwrap();
    interface.alternate_setting(1).unwrap();
    submit(&endpoint).unwrap();
    endpoint.drain().unwrap();
    // The device refuses to change it.
    let frames = endpoint.clock().now().frame..u64::MAX;
    bus.fault(Fault { frames, kind: FaultKind::ControlStall, device: Some(DEVICE.into()), endpoint: None });
    assert!(matches!(interface.alternate_setting(0), Err(Error::Stall)));
    submit(&endpoint).unwrap();
    endpoint.drain().unwrap();
}

#[test]
fn what_was_still_held_ends_as_cancelled() {
    let (_bus, _device, interface) = interface("usbfs-xhci");
    let endpoint = interface.alternate_setting(1).unwrap().isoch_out(OUT).unwrap();
    endpoint.set_placement(Policy::Lead).unwrap();
    submit(&endpoint).unwrap();
    endpoint.next_completion().wait().unwrap();
    let blocks = endpoint.register(Layout::frames(1).blocks(1)).unwrap();
    let far = endpoint.clock().now().frame + 500;
    endpoint.submit(blocks.take().now().unwrap(), Start::At(far)).unwrap();
    // The bus has nothing of it yet, so nothing is pending there.
    interface.alternate_setting(0).unwrap();
    assert_eq!(endpoint.next_completion().wait().unwrap().outcome(), Outcome::Cancelled);
    assert!(matches!(submit(&endpoint).unwrap_err().error, Error::SettingChanged));
}

/// The setting that is in force may have an endpoint of the same address, with longer packets.
#[test]
fn a_setting_that_is_in_force_no_more_opens_nothing() {
    let (_bus, _device, interface) = interface("exact");
    let before = interface.alternate_setting(1).unwrap();
    interface.alternate_setting(0).unwrap();
    assert!(matches!(before.isoch_out(OUT), Err(Error::SettingChanged)));
    assert!(matches!(before.bulk_in(0x81), Err(Error::SettingChanged)));
    interface.alternate_setting(1).unwrap();
    assert!(before.isoch_out(OUT).is_ok(), "it is in force again");
}
