//! The devices that are plugged in.
//!
//! nusb reads them from sysfs. It opens nothing and no descriptor of its is shared: what it reports is copied.

use std::path::{Path, PathBuf};

use isoch_core::rules::Speed;
use nusb::MaybeFuture;
use usb_ids::FromId;

use super::path;
use crate::Error;
use crate::device::DeviceInformation;

/// A device that is plugged in.
pub(crate) struct Found {
    pub(crate) information: DeviceInformation,
    pub(crate) place: Place,
}

/// Where a device is.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Its folder in sysfs.
    pub(crate) sysfs: PathBuf,
    /// The number of its bus, as in usbmon.
    pub(crate) bus: u8,
    /// Its number on the bus.
    pub(crate) number: u8,
    /// The host controller's folder in sysfs.
    pub(crate) controller: PathBuf,
    /// The host controller's driver, as `xhci_hcd`.
    pub(crate) controller_driver: Option<String>,
}

impl Place {
    /// The device node.
    pub(crate) fn node(&self) -> PathBuf {
        PathBuf::from(format!("/dev/bus/usb/{:03}/{:03}", self.bus, self.number))
    }
}

/// Everything that is plugged in, root hubs left out. Nothing on a machine without USB.
pub(crate) fn devices() -> Result<Vec<Found>, Error> {
    if !Path::new("/sys/bus/usb/devices").exists() {
        return Ok(Vec::new());
    }
    let failed =
        |error: nusb::Error| Error::System { what: "listing USB devices".into(), reason: error.to_string() };
    let buses: Vec<_> = nusb::list_buses().wait().map_err(failed)?.collect();
    let devices = nusb::list_devices().wait().map_err(failed)?;
    Ok(devices
        .map(|device| {
            let bus = buses.iter().find(|bus| bus.busnum() == device.busnum());
            found(&device, bus)
        })
        .collect())
}

fn found(device: &nusb::DeviceInfo, bus: Option<&nusb::BusInfo>) -> Found {
    let sysfs = device.sysfs_path().to_owned();
    let port = sysfs.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let (manufacturer, product) =
        names(device.vendor_id(), device.product_id(), device.manufacturer_string(), device.product_string());
    let information = DeviceInformation {
        address: path::address(port),
        vendor_id: device.vendor_id(),
        product_id: device.product_id(),
        speed: device.speed().map_or(Speed::Full, speed),
        manufacturer,
        product,
        serial_number: device.serial_number().map(str::to_owned),
    };
    // The root hub's folder is in the controller's.
    let root = bus.and_then(|bus| bus.root_hub().sysfs_path().parent());
    let place = Place {
        bus: device.busnum(),
        number: device.device_address(),
        controller: root.map_or_else(|| PathBuf::from(device.bus_id()), PathBuf::from),
        controller_driver: bus.and_then(|bus| bus.driver()).map(str::to_owned),
        sysfs,
    };
    Found { information, place }
}

/// The names of a maker and a product: what the device says itself, or else what is generally known.
pub(crate) fn names(
    vendor_id: u16,
    product_id: u16,
    manufacturer: Option<&str>,
    product: Option<&str>,
) -> (Option<String>, Option<String>) {
    let known = usb_ids::Device::from_vid_pid(vendor_id, product_id);
    let vendor = usb_ids::Vendor::from_id(vendor_id).map(usb_ids::Vendor::name);
    let text = |own: Option<&str>, known: Option<&str>| {
        own.filter(|own| !own.trim().is_empty()).or(known).map(str::to_owned)
    };
    (text(manufacturer, vendor), text(product, known.map(usb_ids::Device::name)))
}

fn speed(speed: nusb::Speed) -> Speed {
    match speed {
        nusb::Speed::Low => Speed::Low,
        nusb::Speed::High => Speed::High,
        nusb::Speed::Super => Speed::Super,
        nusb::Speed::SuperPlus => Speed::SuperPlus,
        _ => Speed::Full,
    }
}
