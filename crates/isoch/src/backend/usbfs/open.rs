//! `usb:` addresses, and opening what they mean.

use std::os::fd::{AsFd, OwnedFd};

use isoch_core::rules::Speed;
use isoch_core::rules::descriptors::Configuration;
use rustix::fs::{Mode as FileMode, OFlags};
use rustix::io::Errno;

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
use super::{closing, codes};
use crate::address::Address;
use crate::device::{Device, DeviceInformation};
use crate::sync::{Arc, Condvar, Mutex};
use crate::{Error, error};

/// All that a device node tells: a device descriptor, and its configurations.
const MOST_DESCRIPTOR_BYTES: usize = 1 << 20;
/// USB 2.0 §9.6.1.
const DEVICE_DESCRIPTOR: usize = 18;

/// What an address asks for besides the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) memory: Option<Mode>,
    pub(crate) priority: Option<u8>,
    pub(crate) witness: Option<Witness>,
}

/// Who is to tell frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Witness {
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

/// Whom an address means, and what else it asks for; an error if there is anything wrong with it.
pub(crate) fn check(mut address: Address) -> Result<(Wanted, Options), Error> {
    wanted(&mut address)
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
    let node = Node::new(file);
    // Whatever else it may be is not read: that could take for ever.
    let numbers = node.numbers().map_err(not_a_node)?;
    let device = node.device();
    // What this process has just let go of may still be on its way.
    closing::wait_for(device);
    let bytes = descriptors(&node).map_err(|code| error::system("reading the device's descriptors", code))?;
    let (place, listed) = match (place, information) {
        (Some(place), Some(information)) => (Some(place), Some(information)),
        _ => found_by_numbers(numbers),
    };
    let device_bytes = bytes.get(..DEVICE_DESCRIPTOR).unwrap_or(&bytes).to_vec();
    let number = number_in_force(&node, place.as_ref())?;
    let configuration_bytes = configuration_in_force(&bytes, number)?.to_vec();
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
        device,
        configuration,
        speed,
        facts,
        controller,
        wanted_memory: options.memory,
        state: Mutex::new(State { witness, ..State::default() }),
        changed: Condvar::new(),
    });
    let session = Session::start(Arc::clone(&shared), options.priority)?;
    closing::opened(&shared);
    Device::new(Arc::new(UsbfsDevice { session, information, device_bytes, configuration_bytes, place }))
}

/// Why a descriptor does not say which device it is.
fn not_a_node(code: Errno) -> Error {
    match code {
        // usbfs takes no call from who may not write (`usbdev_do_ioctl`).
        Errno::PERM => Error::Argument(
            "this descriptor is not open for writing, and usbfs needs that to receive, too: open it for reading and \
             writing"
                .into(),
        ),
        Errno::NODEV => Error::Gone,
        Errno::NOTTY | Errno::BADF | Errno::INVAL | Errno::OPNOTSUPP => {
            Error::Argument("this descriptor is not an open device node of usbfs".into())
        }
        code => error::system("asking a device for its number", code),
    }
}

/// All that a node tells, from the beginning: somebody else may have read from it before.
fn descriptors(node: impl AsFd) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    while bytes.len() < MOST_DESCRIPTOR_BYTES {
        match rustix::io::pread(&node, &mut piece, bytes.len() as u64) {
            Ok(0) => break,
            Ok(length) => bytes.extend_from_slice(&piece[..length]),
            Err(Errno::INTR) => {}
            Err(code) => return Err(code),
        }
    }
    Ok(bytes)
}

/// Which of the devices that are plugged in has these numbers.
fn found_by_numbers(numbers: (u8, u8)) -> (Option<Place>, Option<DeviceInformation>) {
    let devices = list::devices().unwrap_or_default();
    let found = devices.into_iter().find(|found| (found.place.bus, found.place.number) == numbers);
    found.map_or((None, None), |found| (Some(found.place), Some(found.information)))
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

/// The number of the configuration in force, if one is: as the system knows it, or else the device.
fn number_in_force(node: &Node, place: Option<&Place>) -> Result<Option<u8>, Error> {
    let text = place.map(|place| std::fs::read_to_string(place.sysfs.join("bConfigurationValue")));
    match text {
        // It is empty where there is none.
        Some(Ok(text)) => Ok(text.trim().parse().ok()),
        _ => match node.configuration() {
            Ok(value) => Ok(Some(value).filter(|value| *value > 0)),
            Err(code) if codes::is_gone(code) => Err(Error::Gone),
            Err(code) => Err(error::system("asking the device for its configuration", code)),
        },
    }
}

/// The configuration with this number, of all that the node tells.
fn configuration_in_force(bytes: &[u8], number: Option<u8>) -> Result<&[u8], Error> {
    let mut rest = bytes.get(DEVICE_DESCRIPTOR..).unwrap_or_default();
    // USB 2.0 §9.6.3: wTotalLength and bConfigurationValue.
    while let [_, 2, low, high, _, value, ..] = rest {
        let length = usize::from(u16::from_le_bytes([*low, *high])).clamp(9, rest.len().max(9));
        let Some((one, others)) = rest.split_at_checked(length) else { break };
        if Some(*value) == number {
            return Ok(one);
        }
        rest = others;
    }
    Err(Error::Unsupported(
        "the device has no configuration in force: choose one, as in `echo 1 > \
         /sys/bus/usb/devices/BUS-PORT/bConfigurationValue`, as root"
            .into(),
    ))
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

#[cfg(test)]
mod tests {
    use std::io::{Seek, SeekFrom, Write};

    use super::*;

    #[test]
    fn what_is_no_device_node_is_refused_and_not_waited_for() {
        let (reading, _writing) = std::io::pipe().expect("a pipe");
        let file = tempfile::tempfile().expect("a file");
        for other in [OwnedFd::from(reading), OwnedFd::from(file)] {
            let error = open_descriptor(other).unwrap_err().to_string();
            assert!(error.contains("not an open device node"), "{error}");
        }
        let error = not_a_node(Errno::PERM).to_string();
        assert!(error.contains("open it for reading and writing"), "{error}");
        assert!(matches!(not_a_node(Errno::NODEV), Error::Gone));
    }

    #[test]
    fn only_a_configuration_in_force_is_taken() {
        let one = |value| [9, 2, 9, 0, 0, value, 0, 0x80, 50];
        let both = [&[0; DEVICE_DESCRIPTOR][..], &one(1), &one(3)].concat();
        let found = |number| configuration_in_force(&both, number).ok();
        assert_eq!(found(Some(3)), Some(&one(3)[..]));
        assert_eq!(found(Some(1)), Some(&one(1)[..]));
        assert_eq!((found(Some(2)), found(None)), (None, None));
        // The only one is not in force for that.
        let only = &both[..DEVICE_DESCRIPTOR + 9];
        let error = configuration_in_force(only, None).unwrap_err().to_string();
        assert!(
            error.contains("no configuration in force") && error.contains("bConfigurationValue"),
            "{error}"
        );
        assert!(configuration_in_force(&[], Some(1)).is_err());
        // Cut off in the midst of what it claims to be.
        assert_eq!(configuration_in_force(&both[..both.len() - 2], Some(3)).ok(), None);
    }

    #[test]
    fn the_system_knows_which_configuration_is_in_force() {
        let sysfs = tempfile::tempdir().expect("a folder");
        let place = Place {
            sysfs: sysfs.path().to_owned(),
            bus: 1,
            number: 2,
            controller: "controller".into(),
            controller_driver: None,
        };
        // Asking this for anything fails.
        let node = Node::new(tempfile::tempfile().expect("a file").into());
        for (text, number) in [("3\n", Some(3)), ("\n", None), ("", None), ("0\n", Some(0))] {
            std::fs::write(sysfs.path().join("bConfigurationValue"), text).expect("it can be written");
            assert_eq!(number_in_force(&node, Some(&place)).ok(), Some(number), "{text:?}");
        }
        assert!(number_in_force(&node, None).is_err());
    }

    #[test]
    fn descriptors_are_read_from_the_beginning() {
        let mut file = tempfile::tempfile().expect("a file");
        let wanted: Vec<u8> = (0..10_000_u16).map(|n| n as u8).collect();
        file.write_all(&wanted).expect("it can be written");
        file.seek(SeekFrom::Start(500)).expect("it can be sought");
        assert_eq!(descriptors(&file), Ok(wanted));
        assert_eq!(file.stream_position().ok(), Some(500), "its owner may go on");
    }
}
