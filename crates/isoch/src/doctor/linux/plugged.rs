//! The devices that are plugged in, from sysfs.
//!
//! Why not the list that opens devices? It asks the real `/sys` and leaves out what the doctor is asked about:
//! devices without a configuration, or with one that cannot be read.

use std::path::PathBuf;

use isoch_core::rules::descriptors::{Configuration, DescriptorSet};
use isoch_core::rules::{EndpointTiming, Speed};

use super::System;
use crate::backend::usbfs::list::{self, Place};
use crate::backend::usbfs::path;
use crate::device::DeviceInformation;

const DEVICES: &str = "/sys/bus/usb/devices";

/// A device.
pub(super) struct Plugged {
    pub(super) information: DeviceInformation,
    /// By the kernel's name, as `3-1.2`.
    pub(super) port: String,
    pub(super) place: Place,
    /// The configuration in force, or why there is none.
    pub(super) configuration: Result<Configuration, String>,
}

/// An isochronous endpoint: interface, alternate setting, endpoint, and when it is served.
pub(super) struct Isochronous {
    pub(super) interface: u8,
    pub(super) setting: u8,
    pub(super) endpoint: u8,
    pub(super) timing: Result<EndpointTiming, String>,
}

impl Plugged {
    /// Its isochronous endpoints, in all alternate settings.
    pub(super) fn isochronous(&self) -> Vec<Isochronous> {
        let found = self.configuration.iter().flat_map(Configuration::isochronous);
        found
            .map(|(interface, setting, endpoint)| Isochronous {
                interface: interface.number,
                setting: setting.number,
                endpoint: endpoint.address,
                timing: endpoint.timing(self.information.speed).map_err(|error| error.to_string()),
            })
            .collect()
    }

    /// The kernel driver that has an interface.
    pub(super) fn driver(&self, system: &System, interface: u8) -> Option<String> {
        let configuration = self.configuration.as_ref().ok()?.value;
        let name = format!("{}:{configuration}.{interface}", self.port);
        system.link(self.place.sysfs.join(name).join("driver"))
    }
}

/// Whether the kernel has USB at all.
pub(super) fn has_usb(system: &System) -> bool {
    system.exists(DEVICES)
}

/// All of them but root hubs, in order of their places.
pub(super) fn devices(system: &System) -> Vec<Plugged> {
    // Between are root hubs, `usb1`, and interfaces, `1-1:1.0`.
    let mut ports = system.names(DEVICES);
    ports.retain(|name| name.contains('-') && !name.contains(':'));
    ports.into_iter().filter_map(|port| device(system, port)).collect()
}

fn device(system: &System, port: String) -> Option<Plugged> {
    let sysfs = system.resolve(PathBuf::from(DEVICES).join(&port))?;
    let (vendor_id, product_id) =
        (system.hexadecimal(sysfs.join("idVendor"))?, system.hexadecimal(sysfs.join("idProduct"))?);
    let bus: u8 = system.number(sysfs.join("busnum"))?;
    // The root hub's folder is in the controller's.
    let root =
        sysfs.ancestors().find(|folder| folder.file_name().is_some_and(|name| *name == *format!("usb{bus}")));
    let controller = root.and_then(|root| root.parent()).unwrap_or(&sysfs).to_owned();
    let (manufacturer, product) = list::names(
        vendor_id,
        product_id,
        system.words(sysfs.join("manufacturer")).as_deref(),
        system.words(sysfs.join("product")).as_deref(),
    );
    Some(Plugged {
        information: DeviceInformation {
            address: path::address(&port),
            vendor_id,
            product_id,
            speed: speed(&system.text(sysfs.join("speed")).unwrap_or_default()),
            manufacturer,
            product,
            serial_number: system.words(sysfs.join("serial")),
        },
        configuration: configuration(system, &sysfs),
        place: Place {
            bus,
            number: system.number(sysfs.join("devnum"))?,
            controller_driver: system.link(controller.join("driver")),
            controller,
            sysfs,
        },
        port,
    })
}

fn configuration(system: &System, sysfs: &std::path::Path) -> Result<Configuration, String> {
    let value: u8 = system.number(sysfs.join("bConfigurationValue")).unwrap_or(0);
    if value == 0 {
        return Err("it has no configuration in force".into());
    }
    let bytes = system
        .bytes(sysfs.join("descriptors"))
        .map_err(|error| format!("its descriptors cannot be read: {error}"))?;
    let set =
        DescriptorSet::parse(&bytes).map_err(|error| format!("its descriptors are malformed: {error}"))?;
    let mut configurations = set.configurations.into_iter().map(|(configuration, _)| configuration);
    configurations
        .find(|configuration| configuration.value == value)
        .ok_or_else(|| format!("its descriptors have no configuration {value}, which is in force"))
}

/// Megabits per second, as sysfs gives them.
fn speed(text: &str) -> Speed {
    match text {
        "1.5" => Speed::Low,
        "480" => Speed::High,
        "5000" => Speed::Super,
        "10000" | "20000" => Speed::SuperPlus,
        _ => Speed::Full,
    }
}
