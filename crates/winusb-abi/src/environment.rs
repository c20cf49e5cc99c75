//! Environment variables: which device a program gets, and how.
//!
//! Why variables? Because the programs exist already: `isoch run` sets these and starts one.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use isoch::Device;
use isoch::emulated::bus_file;

use crate::codes::win32;
use crate::failure::Failure;

/// The address of the device that a program gets.
const DEVICE: &str = "ISOCH_DEVICE";
/// `real`, `manual` or `on-wait`: what moves an emulated bus's time.
const CLOCK: &str = "ISOCH_CLOCK";
/// A TOML file of faults for the emulated bus.
const FAULTS: &str = "ISOCH_FAULTS";
/// The file that every call is written to, or `stderr`.
pub(crate) const TRACE: &str = "ISOCH_TRACE";

/// What `WinUsbX_ChooseDevice` chose.
static CHOSEN: Mutex<Option<String>> = Mutex::new(None);

fn variable(name: &str) -> Result<Option<String>, Failure> {
    match std::env::var(name) {
        Ok(value) if value.is_empty() => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => {
            Err(Failure::argument(format!("{name} is not valid UTF-8")))
        }
    }
}

/// Chooses the device that a program gets; `None`: the one of the environment again.
pub(crate) fn choose(address: Option<&str>) {
    *CHOSEN.lock().unwrap_or_else(PoisonError::into_inner) = address.map(str::to_owned);
}

/// The address of the device that a program gets, if one was chosen.
pub(crate) fn chosen() -> Result<Option<String>, Failure> {
    match CHOSEN.lock().unwrap_or_else(PoisonError::into_inner).clone() {
        Some(address) => Ok(Some(address)),
        None => variable(DEVICE),
    }
}

/// The address with the clock of the environment, where it names none itself.
pub(crate) fn with_clock(address: &str) -> Result<String, Failure> {
    let Some(clock) = variable(CLOCK)? else { return Ok(address.to_owned()) };
    let names_one = address.split_once('?').is_some_and(|(_, query)| {
        query.split('&').any(|parameter| parameter.split('=').next() == Some("clock"))
    });
    if !address.starts_with("virtual:") || names_one {
        return Ok(address.to_owned());
    }
    let separator = if address.contains('?') { '&' } else { '?' };
    Ok(format!("{address}{separator}clock={clock}"))
}

/// Adds the faults of the environment to the device's bus, which must be an emulated one.
pub(crate) fn add_faults(device: &Device) -> Result<(), Failure> {
    match variable(FAULTS)? {
        Some(file) => add_faults_of(device, Path::new(&file)),
        None => Ok(()),
    }
}

/// Adds the faults of a file to the device's bus.
pub(crate) fn add_faults_of(device: &Device, file: &Path) -> Result<(), Failure> {
    let bus = device
        .virtual_bus()
        .ok_or_else(|| Failure::new(win32::NOT_SUPPORTED, "only an emulated bus can have faults by order"))?;
    let faults = bus_file::load_faults(file).map_err(|error| Failure::argument(error.to_string()))?;
    faults.into_iter().for_each(|fault| bus.fault(fault));
    Ok(())
}
