//! Linux.

mod controller;
mod device;
mod machine;
mod plugged;
mod stream;
mod system;
#[cfg(test)]
mod tests;

pub(super) use system::System;

use super::{Examined, Finding, Report, Topic, UdevRule};
use crate::Error;
use crate::address::Address;
use crate::backend::usbfs::path::Wanted;
use crate::backend::usbfs::{self, Options};
use crate::text::listed;
use plugged::Plugged;

/// The machine, and every device with isochronous endpoints.
pub(super) fn machine(system: &System) -> Report {
    let devices = plugged::devices(system);
    let isochronous = devices.iter().filter(|device| !device.isochronous().is_empty());
    Report {
        machine: machine::findings(system, &devices, &Options::default()),
        devices: isochronous.map(|device| examine(system, device, &Options::default())).collect(),
    }
}

/// The machine, and one device. What its address asks for and cannot have keeps the device from opening, or its blocks
/// from being registered: so that is a problem, where it only could be better for others.
pub(super) fn device(system: &System, address: &Address) -> Result<Report, Error> {
    let (wanted, asked) = usbfs::check(address.clone())?;
    let devices = plugged::devices(system);
    let mut report = Report { machine: machine::findings(system, &devices, &asked), devices: Vec::new() };
    match find(&wanted, &devices) {
        Some(device) => {
            let mut examined = examine(system, device, &asked);
            // Only of the device that was asked for: opening one wakes it.
            examined.findings.extend(device::zero_copy(system, device, asked.memory));
            report.devices.push(examined);
        }
        None if plugged::has_usb(system) => report.machine.push(missing(&address.text, &devices)),
        // What there is to say was said.
        None => {}
    }
    Ok(report)
}

/// The rule for a device; one that is named by its numbers need not be there.
pub(super) fn udev_rule(system: &System, address: &Address) -> Result<UdevRule, Error> {
    let (wanted, _) = usbfs::check(address.clone())?;
    let devices = plugged::devices(system);
    let found = find(&wanted, &devices).map(|device| &device.information);
    match (&wanted, found) {
        (Wanted::Product(wanted), _) => Ok(UdevRule::new(wanted.vendor, wanted.product)),
        (Wanted::Port(_), Some(device)) => Ok(UdevRule::new(device.vendor_id, device.product_id)),
        (Wanted::Port(_), None) => Err(Error::NotFound {
            address: address.text.clone(),
            hint: ": name it by its numbers, as in `usb:1235:8214`".into(),
        }),
    }
}

fn find<'a>(wanted: &Wanted, devices: &'a [Plugged]) -> Option<&'a Plugged> {
    devices.iter().find(|Plugged { information, port, .. }| {
        let serial = information.serial_number.as_deref();
        wanted.matches(information.vendor_id, information.product_id, serial, port)
    })
}

fn missing(address: &str, devices: &[Plugged]) -> Finding {
    let there = devices.iter().map(|Plugged { information, .. }| {
        let (vendor, product) = (information.vendor_id, information.product_id);
        format!("{} ({vendor:04x}:{product:04x})", information.address)
    });
    Finding::problem(
        Topic::Device,
        format!("no device answers to {address}; plugged in: {}", listed(there)),
        "plug it in; `isoch list` shows what there is",
    )
}

fn examine(system: &System, device: &Plugged, asked: &Options) -> Examined {
    let mut findings = device::findings(system, device);
    findings.extend(stream::findings(system, device));
    findings.extend(controller::findings(system, device, asked.witness));
    Examined { device: device.information.clone(), findings }
}
