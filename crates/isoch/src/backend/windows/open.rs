//! `winusb:` addresses, and opening what they mean.
#![allow(unsafe_code)]

use isoch_core::rules::Speed;
use isoch_core::rules::descriptors::{self, Configuration, DeviceDescriptor};

use super::device::{Session, WindowsDevice};
use super::library::{InterfaceHandle, Library};
use super::list::{self, Found, Way};
use super::opening::Opened;
use super::path::{self, Wanted};
use super::{codes, events, system};
use crate::Error;
use crate::address::Address;
use crate::device::{Device, DeviceInformation};
use crate::sync::Arc;

/// `USB_DEVICE_DESCRIPTOR_TYPE` and its kin.
const DEVICE: u8 = 1;
const CONFIGURATION: u8 = 2;
const STRING: u8 = 3;
/// `DEVICE_SPEED`.
const DEVICE_SPEED: u32 = 1;
/// `HighSpeed`, and everything faster.
const HIGH_SPEED: u8 = 3;

pub(crate) fn open(address: Address) -> Result<Device, Error> {
    let wanted = wanted(&address)?;
    let library = Library::get()?;
    let way = match &wanted {
        Wanted::Path(path) => Way::Path(path.clone()),
        Wanted::Product(_) => found(library, &wanted, &address)?.way,
    };
    open_way(library, &way, address.text)
}

/// The devices that an address may mean; all that are there, if it means a path.
pub(crate) fn list_at(address: Address) -> Result<Vec<DeviceInformation>, Error> {
    wanted(&address)?;
    Ok(list::devices(Library::get()?)?.into_iter().map(|found| found.information).collect())
}

pub(crate) fn list() -> Vec<DeviceInformation> {
    let found = Library::get().and_then(list::devices);
    let found = found.inspect_err(|error| tracing::debug!(%error, "devices of WinUSB cannot be listed"));
    found.unwrap_or_default().into_iter().map(|found| found.information).collect()
}

pub(super) fn wanted(address: &Address) -> Result<Wanted, Error> {
    if let Some((key, _)) = address.parameters.first() {
        return Err(address.error(format_args!("`winusb:` has no parameter `{key}`")));
    }
    path::parse(&address.path).map_err(|reason| address.error(reason))
}

fn found(library: &'static Library, wanted: &Wanted, address: &Address) -> Result<Found, Error> {
    let devices = list::devices(library)?;
    let names: Vec<String> = devices.iter().map(|found| found.information.address.clone()).collect();
    let matching = devices.into_iter().find(|found| {
        let information = &found.information;
        wanted.matches(information.vendor_id, information.product_id, information.serial_number.as_deref())
    });
    matching.ok_or_else(|| Error::NotFound {
        address: address.text.clone(),
        hint: format!(
            "; devices that Windows has given to WinUSB: {} (a device is not among them until the WinUSB driver \
             is installed for it)",
            crate::text::listed(names.into_iter())
        ),
    })
}

/// Opens a device whose way is known.
fn open_way(library: &'static Library, way: &Way, address: String) -> Result<Device, Error> {
    let opened = Opened::new(library, way, &address)?;
    let handle = opened.first();
    let device_bytes = descriptor(library, handle, DEVICE, 0, 0, 18)?;
    let device = DeviceDescriptor::parse(&device_bytes)?;
    let configuration_bytes = configuration(library, handle)?;
    let (configuration, _) = Configuration::parse(&configuration_bytes)?;
    let speed = speed(library, handle, &configuration)?;
    let language = descriptor(library, handle, STRING, 0, 0, 255).ok();
    let language = language.and_then(|bytes| descriptors::decode_languages(&bytes).ok()?.first().copied());
    let string = |index: u8| {
        let language = language.filter(|_| index != 0)?;
        let bytes = descriptor(library, handle, STRING, index, language, 255).ok()?;
        descriptors::decode_string(&bytes).ok()
    };
    let information = DeviceInformation {
        address,
        vendor_id: device.vendor,
        product_id: device.product,
        speed,
        manufacturer: string(device.manufacturer_string),
        product: string(device.product_string),
        serial_number: string(device.serial_number_string),
    };
    let shared = opened.shared(configuration, speed)?;
    // A controller without a readable counter is no reason not to transfer; what needs it will say so.
    if let Err(code) = shared.clock.settle(&shared) {
        tracing::debug!(code, "the frame number cannot be read");
    }
    let session = Arc::new(Session::new(Arc::clone(&shared)));
    let spawned = std::thread::Builder::new().name("isoch winusb".into()).spawn(move || events::run(shared));
    spawned.map_err(|error| Error::System { what: "starting a thread".into(), reason: error.to_string() })?;
    Device::new(Arc::new(WindowsDevice { session, information, device_bytes, configuration_bytes }))
}

/// A descriptor, as far as it fits.
fn descriptor(
    library: &Library,
    handle: InterfaceHandle,
    kind: u8,
    index: u8,
    language: u16,
    room: usize,
) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0_u8; room];
    let mut length = 0;
    // SAFETY: the handle is open, there is room for so many bytes, and the length's pointer is valid.
    let got = unsafe {
        let (to, room) = (bytes.as_mut_ptr(), room as u32);
        (library.get_descriptor)(handle, kind, index, language, to, room, &mut length)
    };
    if got == 0 {
        return Err(match system::last_error() {
            code if codes::is_gone(code) => Error::Gone,
            code => system::error_of(code, "reading the device's descriptors"),
        });
    }
    bytes.truncate(length as usize);
    Ok(bytes)
}

fn configuration(library: &Library, handle: InterfaceHandle) -> Result<Vec<u8>, Error> {
    let head = descriptor(library, handle, CONFIGURATION, 0, 0, 9)?;
    // USB 2.0 §9.6.3: wTotalLength.
    let total = head.get(2..4).map_or(9, |bytes| usize::from(u16::from_le_bytes([bytes[0], bytes[1]])));
    descriptor(library, handle, CONFIGURATION, 0, 0, total.max(9))
}

/// How the device is connected. Windows tells only "full or slower" and "high or faster"; what is faster than
/// high speed has companion descriptors.
fn speed(library: &Library, handle: InterfaceHandle, configuration: &Configuration) -> Result<Speed, Error> {
    let (mut told, mut length) = (0_u8, 1_u32);
    // SAFETY: the handle is open, and there is room for one byte.
    let got = unsafe { (library.query_device_information)(handle, DEVICE_SPEED, &mut length, &mut told) };
    if got == 0 {
        return Err(system::error("asking for the device's speed"));
    }
    if told < HIGH_SPEED {
        return Ok(Speed::Full);
    }
    let of_companions = configuration.endpoints().map(|(.., endpoint)| match endpoint {
        endpoint if endpoint.super_speed_plus.is_some() => Speed::SuperPlus,
        endpoint if endpoint.super_speed.is_some() => Speed::Super,
        _ => Speed::High,
    });
    Ok(of_companions.max().unwrap_or(Speed::High))
}
