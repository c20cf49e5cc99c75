//! `virtual:` addresses, and the buses they make.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};

use isoch_virtual::bus_file::BusFile;
use isoch_virtual::devices;
use isoch_virtual::profile::Profile;

use super::shared::Shared;
use super::{BusClock, VirtualBus, device};
use crate::address::Address;
use crate::device::{Device, DeviceInformation};
use crate::{Error, Watch};

/// Buses by name. They live as long as someone uses them.
///
/// A lock of std's in every build: shuttle's belong to one explored schedule, and this outlives them.
static BUSES: Mutex<BusesByName> = Mutex::new(BTreeMap::new());
type BusesByName = BTreeMap<String, Weak<Shared>>;

fn buses_by_name() -> MutexGuard<'static, BusesByName> {
    BUSES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What an address asks of a bus.
struct Wanted {
    bus: String,
    device: Option<String>,
    clock: Option<BusClock>,
    profile: Option<Profile>,
    sof_ppm: Option<f64>,
}

pub(crate) fn open(mut address: Address) -> Result<Device, Error> {
    if file_in(&address.path).is_some() {
        return open_file(address);
    }
    let wanted = wanted(&mut address)?;
    let Some(name) = wanted.device.clone().filter(|name| !name.is_empty()) else {
        return Err(address.error(format_args!("it names no device; {}", kinds())));
    };
    let bus = bus(&address, &wanted, |_| Ok(()))?;
    if bus.shared.port(&name).is_none() || !is_plugged(&bus, &name) {
        // A built-in kind is plugged in when it is first asked for.
        let kind = address.take("kind").unwrap_or_else(|| name.clone());
        if !devices::KINDS.iter().any(|known| known.name == kind) {
            return Err(Error::NotFound { address: address.text.clone(), hint: format!("; {}", kinds()) });
        }
        let built = devices::build(&kind, &address.parameters).map_err(|error| address.error(error))?;
        match bus.plug(&name, built) {
            // Another thread was faster.
            Err(Error::Busy { .. }) if is_plugged(&bus, &name) => {}
            plugged => plugged?,
        }
    } else if !address.parameters.is_empty() {
        return Err(address.error(format_args!(
            "`{name}` is plugged in already: its parameters can only be given when it is first opened"
        )));
    }
    open_on(&bus, &name, address.text)
}

fn is_plugged(bus: &VirtualBus, name: &str) -> bool {
    bus.shared.with(|controller| controller.ports().any(|(_, known, _)| known == name))
}

fn open_on(bus: &VirtualBus, name: &str, text: String) -> Result<Device, Error> {
    let port = bus.shared.port(name).ok_or(Error::Gone)?;
    device::open(&bus.shared, port, text)
}

pub(crate) fn watch(mut address: Address) -> Result<Watch, Error> {
    if file_in(&address.path).is_some() {
        return Ok(file_bus(&mut address)?.0.watch());
    }
    let wanted = wanted(&mut address)?;
    Ok(bus(&address, &wanted, |_| Ok(()))?.watch())
}

pub(crate) fn list() -> Vec<DeviceInformation> {
    let mut found = Vec::new();
    for shared in buses() {
        found.extend(on_bus(&VirtualBus { shared }));
    }
    for kind in devices::KINDS {
        if let Ok(built) = devices::build(kind.name, &[]) {
            let address = format!("virtual:{}", kind.name);
            found.extend(device::information(address, built.descriptors()).ok());
        }
    }
    found
}

pub(crate) fn list_at(mut address: Address) -> Result<Vec<DeviceInformation>, Error> {
    if file_in(&address.path).is_some() {
        return Ok(on_bus(&file_bus(&mut address)?.0));
    }
    let name = wanted(&mut address.clone())?.bus;
    // A bus without a file has what is opened on it.
    let device = open(address)?;
    let shared = buses_by_name().get(&name).and_then(Weak::upgrade);
    let found = shared.map_or_else(Vec::new, |shared| on_bus(&VirtualBus { shared }));
    drop(device);
    Ok(found)
}

/// What is plugged in on a bus.
fn on_bus(bus: &VirtualBus) -> Vec<DeviceInformation> {
    let listed: Vec<_> = bus.shared.with(|controller| {
        controller.ports().map(|(_, device, descriptors)| (device.to_owned(), descriptors.clone())).collect()
    });
    let information = |(name, descriptors): (String, _)| {
        device::information(bus.shared.address_of(&name), &descriptors).ok()
    };
    listed.into_iter().filter_map(information).collect()
}

fn buses() -> Vec<crate::sync::Arc<Shared>> {
    let mut buses = buses_by_name();
    buses.retain(|_, bus| bus.strong_count() > 0);
    buses.values().filter_map(Weak::upgrade).collect()
}

fn kinds() -> String {
    format!("the built-in devices are {}", crate::text::listed(devices::KINDS.iter().map(|kind| kind.name)))
}

fn wanted(address: &mut Address) -> Result<Wanted, Error> {
    let path = address.path.clone();
    let (bus, device) = match path.split_once('/') {
        Some((bus, device)) => (Some(bus.to_owned()), device.to_owned()),
        None => (None, path),
    };
    let clock = address.take("clock").map(|text| text.parse::<BusClock>()).transpose();
    let clock = clock.map_err(|error| address.error(error))?;
    let profile = match address.take("as") {
        None => None,
        Some(name) => Some(profile(address, &name)?),
    };
    let sof_ppm = match address.take("sof_ppm") {
        None => None,
        Some(text) => match text.parse::<f64>() {
            Ok(ppm) if ppm.abs() <= 10_000.0 => Some(ppm),
            _ => return Err(address.error("sof_ppm is a number of parts per million from -10000 to 10000")),
        },
    };
    let bus = bus.unwrap_or_else(|| "0".into());
    Ok(Wanted { bus, device: Some(device), clock, profile, sof_ppm })
}

/// The bus of that name. If it does not exist it is made and furnished; if it does it must be as wanted.
fn bus(
    address: &Address,
    wanted: &Wanted,
    furnish: impl FnOnce(&VirtualBus) -> Result<(), Error>,
) -> Result<VirtualBus, Error> {
    let mut buses = buses_by_name();
    if let Some(shared) = buses.get(&wanted.bus).and_then(Weak::upgrade) {
        let bus = VirtualBus { shared };
        let conflict = wanted.clock.is_some_and(|clock| clock != bus.bus_clock())
            || wanted.profile.is_some_and(|profile| profile.name != bus.profile().name)
            // The bus keeps thousandths.
            || wanted.sof_ppm.is_some_and(|ppm| (bus.sof_ppm() - ppm).abs() > 0.001);
        if conflict {
            return Err(address.error(format_args!(
                "bus `{}` is in use with another clock or profile ({bus:?}); name a bus of your own, as in `virtual:MYBUS/{}`",
                wanted.bus,
                wanted.device.as_deref().unwrap_or("speaker"),
            )));
        }
        return Ok(bus);
    }
    let mut builder = VirtualBus::builder().clock(wanted.clock.unwrap_or_default());
    builder = builder.profile(wanted.profile.unwrap_or_default());
    let bus = builder.sof_ppm(wanted.sof_ppm.unwrap_or(0.0)).build();
    bus.shared.set_name(&wanted.bus);
    furnish(&bus)?;
    buses.insert(wanted.bus.clone(), std::sync::Arc::downgrade(&bus.shared));
    Ok(bus)
}

/// The file that a path names, and the device in it: `FILE.toml` or `FILE.toml/DEVICE`. Where a directory's
/// name ends like that, too, the file is the one that exists.
fn file_in(path: &str) -> Option<(&str, Option<&str>)> {
    let ends = path.match_indices(".toml").map(|(at, found)| at + found.len());
    let ends = ends.filter(|end| path[*end..].is_empty() || path[*end..].starts_with('/'));
    let first = ends.clone().next()?;
    let end = ends.filter(|end| Path::new(&path[..*end]).is_file()).last().unwrap_or(first);
    let device = path[end..].strip_prefix('/').filter(|name| !name.is_empty());
    Some((&path[..end], device))
}

/// `virtual:FILE.toml` or `virtual:FILE.toml/DEVICE`.
fn open_file(mut address: Address) -> Result<Device, Error> {
    let (bus, name, known) = file_bus(&mut address)?;
    if !is_plugged(&bus, &name) {
        let hint =
            format!("; the file describes {known}; `{name}` is none of them, or is not plugged in now");
        return Err(Error::NotFound { address: address.text, hint });
    }
    open_on(&bus, &name, address.text)
}

/// The file's bus, which is made when it is first asked for; the device that the address names, and a list of
/// those that the file describes.
fn file_bus(address: &mut Address) -> Result<(VirtualBus, String, String), Error> {
    let (path, device) = file_in(&address.path).unwrap_or((&address.path, None));
    let (path, device) = (Path::new(path).to_owned(), device.map(str::to_owned));
    let file = BusFile::load(&path).map_err(|error| address.error(error))?;
    let mut wanted = wanted(address)?;
    // The same file is the same bus, whatever way leads to it.
    let canonical = path.canonicalize().unwrap_or(path);
    wanted.bus = canonical.display().to_string();
    wanted.clock = wanted.clock.or(file.clock);
    if let (None, Some(name)) = (wanted.profile, &file.profile) {
        wanted.profile = Some(profile(address, name)?);
    }
    wanted.sof_ppm = wanted.sof_ppm.or(Some(file.sof_ppm));
    if let Some((key, _)) = address.parameters.first() {
        return Err(address.error(format_args!("`{key}` belongs into the file: it describes the devices")));
    }
    let Some(name) = device.or_else(|| file.devices.first().map(|device| device.name.clone())) else {
        return Err(address.error("the file describes no device: add one with [[device]]"));
    };
    let bus = bus(address, &wanted, |bus| {
        for entry in &file.devices {
            let built = entry.build().map_err(|error| address.error(error))?;
            match entry.plug_at {
                0 => bus.plug(&entry.name, built)?,
                frame => bus.plug_at(frame, &entry.name, built),
            }
        }
        file.faults.iter().for_each(|fault| bus.fault(fault.clone()));
        Ok(())
    })?;
    let known = crate::text::listed(file.devices.iter().map(|device| &device.name));
    Ok((bus, name, known))
}

fn profile(address: &Address, name: &str) -> Result<Profile, Error> {
    Profile::named(name).ok_or_else(|| {
        let known = crate::text::listed(Profile::NAMES.iter());
        address.error(format_args!("there is no profile `{name}`; there are {known}"))
    })
}
