//! `usb:` addresses, and opening what they mean.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;

use isoch_core::rules::Speed;
use isoch_core::rules::descriptors::Configuration;
use rustix::fs::{Mode as FileMode, OFlags};
use rustix::io::Errno;

use super::closing;
use super::controller::Kind;
use super::device::{Session, UsbfsDevice};
use super::events::Wakes;
use super::host::Controller;
use super::list::{self, Found, Place};
use super::memory::Mode;
use super::node::Node;
use super::path::{self, Wanted};
use super::shared::{Shared, State};
use super::witness::{Registers, Watching};
use crate::address::Address;
use crate::device::{Device, DeviceInformation};
use crate::sync::{Arc, Condvar, Mutex};
use crate::{Error, error};

/// All that a device node tells: a device descriptor, and its configurations.
const MOST_DESCRIPTOR_BYTES: u64 = 1 << 20;
/// USB 2.0 §9.6.1.
const DEVICE_DESCRIPTOR: usize = 18;

/// What an address asks for besides the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Options {
    memory: Option<Mode>,
    priority: Option<u8>,
    witness: Option<Witness>,
}

/// Who is to tell frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Witness {
    Usbmon,
    Registers,
}

pub(crate) fn open(mut address: Address) -> Result<Device, Error> {
    let (wanted, options) = wanted(&mut address)?;
    let Found { information, place } = found(&wanted, &address)?;
    let file = open_node(&place, &address.text)?;
    let information = DeviceInformation { address: address.text, ..information };
    open_file(file, Some(place), Some(information), options)
}

/// A device node that somebody else opened.
pub(crate) fn open_descriptor(file: OwnedFd) -> Result<Device, Error> {
    open_file(file, None, None, Options::default())
}

/// The devices that an address may mean, and all others.
pub(crate) fn list_at(mut address: Address) -> Result<Vec<DeviceInformation>, Error> {
    wanted(&mut address)?;
    Ok(list::devices()?.into_iter().map(|found| found.information).collect())
}

pub(crate) fn list() -> Vec<DeviceInformation> {
    let found = list::devices();
    let found = found.inspect_err(|error| tracing::debug!(%error, "USB devices cannot be listed"));
    found.unwrap_or_default().into_iter().map(|found| found.information).collect()
}

fn wanted(address: &mut Address) -> Result<(Wanted, Options), Error> {
    let memory = match address.take("memory").as_deref() {
        None => None,
        Some("mmap") => Some(Mode::Mapped),
        Some("copy") => Some(Mode::Copied),
        Some(other) => {
            return Err(address.error(format_args!("`memory={other}`: it is `mmap` or `copy`")));
        }
    };
    let priority = match address.take("priority") {
        None => None,
        Some(text) => match text.parse() {
            Ok(priority @ 1..=99_u8) => Some(priority),
            _ => return Err(address.error(format_args!("`priority={text}`: it is a number from 1 to 99"))),
        },
    };
    let witness = match address.take("witness").as_deref() {
        None | Some("off") => None,
        Some("usbmon") => Some(Witness::Usbmon),
        Some("registers") => Some(Witness::Registers),
        Some(other) => {
            return Err(
                address.error(format_args!("`witness={other}`: it is `usbmon`, `registers` or `off`"))
            );
        }
    };
    if let Some((key, _)) = address.parameters.first() {
        return Err(address.error(format_args!(
            "`usb:` has no parameter `{key}`; it has `memory`, `priority` and `witness`"
        )));
    }
    let wanted = path::parse(&address.path).map_err(|reason| address.error(reason))?;
    Ok((wanted, Options { memory, priority, witness }))
}

pub(super) fn check(mut address: Address) -> Result<(), Error> {
    wanted(&mut address).map(drop)
}

fn found(wanted: &Wanted, address: &Address) -> Result<Found, Error> {
    let devices = list::devices()?;
    let names: Vec<String> = devices
        .iter()
        .map(|Found { information, .. }| {
            format!("{} ({:04x}:{:04x})", information.address, information.vendor_id, information.product_id)
        })
        .collect();
    let matching = devices.into_iter().find(|Found { information, .. }| {
        let port = information.address.trim_start_matches("usb:");
        wanted.matches(
            information.vendor_id,
            information.product_id,
            information.serial_number.as_deref(),
            port,
        )
    });
    matching.ok_or_else(|| Error::NotFound {
        address: address.text.clone(),
        hint: format!("; plugged in: {}", crate::text::listed(names.into_iter())),
    })
}

fn open_node(place: &Place, address: &str) -> Result<OwnedFd, Error> {
    let node = place.node();
    let attempt = || rustix::fs::open(&node, OFlags::RDWR | OFlags::CLOEXEC, FileMode::empty());
    attempt().map_err(|code| match code {
        Errno::ACCESS | Errno::PERM => error::permission(
            node.display(),
            format_args!("`isoch doctor {address} --print-udev-rule` prints the rule that gives it to you"),
        ),
        Errno::NOENT | Errno::NODEV | Errno::NXIO => Error::NotFound {
            address: address.into(),
            hint: format!("; the system knows it, but not its node {}", node.display()),
        },
        code => error::system(format_args!("opening {}", node.display()), code),
    })
}

fn open_file(
    file: OwnedFd,
    place: Option<Place>,
    information: Option<DeviceInformation>,
    options: Options,
) -> Result<Device, Error> {
    // What this process has just let go of may still be on its way.
    closing::wait();
    let mut file = File::from(file);
    let mut bytes = Vec::new();
    let read = std::io::Read::by_ref(&mut file).take(MOST_DESCRIPTOR_BYTES).read_to_end(&mut bytes);
    read.map_err(|reason| Error::System {
        what: "reading the device's descriptors".into(),
        reason: reason.to_string(),
    })?;
    let node = Node::new(file.into());
    let (place, listed) = match (place, information) {
        (Some(place), Some(information)) => (Some(place), Some(information)),
        _ => found_by_numbers(&node)?,
    };
    let device_bytes = bytes.get(..DEVICE_DESCRIPTOR).unwrap_or(&bytes).to_vec();
    let configuration_bytes = configuration_in_force(&node, &bytes)?;
    let (configuration, _) = Configuration::parse(&configuration_bytes)?;
    let speed = node.speed().and_then(speed).or(listed.as_ref().map(|listed| listed.speed));
    let speed = speed.unwrap_or(Speed::Full);
    let information = match listed {
        Some(information) => DeviceInformation { speed, ..information },
        None => unlisted(&device_bytes, speed)?,
    };
    let driver = place.as_ref().and_then(|place| place.controller_driver.as_deref());
    let path =
        place.as_ref().map_or_else(|| information.address.clone().into(), |place| place.controller.clone());
    let controller = Controller::of(&path, driver, speed);
    let facts = Kind::of_driver(driver).facts(speed);
    let witness = match (options.witness, &place) {
        (Some(Witness::Usbmon), Some(place)) => {
            let counter = facts.start_frame.ok_or_else(|| {
                Error::Unsupported(format!(
                    "usbmon tells no true frames of this controller ({}): leave `witness=usbmon` out",
                    controller.kind.name()
                ))
            })?;
            Some(Watching::new(place.bus, place.number, counter)?)
        }
        (Some(Witness::Registers), Some(place)) => {
            let registers = Registers::open(controller.kind, &place.controller)?;
            controller.clock.read_counter(Box::new(registers))?;
            None
        }
        _ => None,
    };
    let shared = Arc::new(Shared {
        is_witnessed: witness.is_some(),
        capabilities: node.capabilities(),
        wakes: Wakes::new(&node)?,
        node,
        configuration,
        speed,
        facts,
        controller,
        wanted_memory: options.memory,
        state: Mutex::new(State { witness, ..State::default() }),
        changed: Condvar::new(),
    });
    let session = Session::start(shared, options.priority)?;
    Device::new(Arc::new(UsbfsDevice { session, information, device_bytes, configuration_bytes, place }))
}

/// Which of the devices that are plugged in a node belongs to.
fn found_by_numbers(node: &Node) -> Result<(Option<Place>, Option<DeviceInformation>), Error> {
    let (bus, number) = node.numbers().map_err(|code| match code {
        Errno::NOTTY | Errno::BADF => {
            Error::Argument("this descriptor is not an open device node of usbfs".into())
        }
        code => error::system("asking a device for its number", code),
    })?;
    let devices = list::devices().unwrap_or_default();
    let found = devices.into_iter().find(|found| (found.place.bus, found.place.number) == (bus, number));
    Ok(found.map_or((None, None), |found| (Some(found.place), Some(found.information))))
}

/// A device of which sysfs knows nothing.
fn unlisted(device: &[u8], speed: Speed) -> Result<DeviceInformation, Error> {
    let device = isoch_core::rules::descriptors::DeviceDescriptor::parse(device)?;
    Ok(DeviceInformation {
        address: format!("usb:{:04x}:{:04x}", device.vendor, device.product),
        vendor_id: device.vendor,
        product_id: device.product,
        speed,
        manufacturer: None,
        product: None,
        serial_number: None,
    })
}

/// The configuration in force, of all that the node tells.
fn configuration_in_force(node: &Node, bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let mut rest = bytes.get(DEVICE_DESCRIPTOR..).unwrap_or_default();
    let mut all = Vec::new();
    // USB 2.0 §9.6.3: wTotalLength and bConfigurationValue.
    while let [_, 2, low, high, _, value, ..] = rest {
        let length = usize::from(u16::from_le_bytes([*low, *high])).clamp(9, rest.len().max(9));
        let Some((one, others)) = rest.split_at_checked(length) else { break };
        all.push((*value, one));
        rest = others;
    }
    let in_force = match all.as_slice() {
        [only] => Some(only),
        _ => {
            let value = node.configuration();
            let value =
                value.map_err(|code| error::system("asking the device for its configuration", code))?;
            all.iter().find(|(known, _)| *known == value)
        }
    };
    in_force.map(|(_, bytes)| bytes.to_vec()).ok_or_else(|| {
        Error::Unsupported(
            "the device has no configuration in force: choose one, as in `echo 1 > \
             /sys/bus/usb/devices/BUS-PORT/bConfigurationValue`"
                .into(),
        )
    })
}

/// `enum usb_device_speed` (`include/uapi/linux/usb/ch9.h`).
fn speed(number: u32) -> Option<Speed> {
    match number {
        1 => Some(Speed::Low),
        2 => Some(Speed::Full),
        // 4 is wireless USB, which looked like high speed.
        3 | 4 => Some(Speed::High),
        5 => Some(Speed::Super),
        6 => Some(Speed::SuperPlus),
        _ => None,
    }
}
