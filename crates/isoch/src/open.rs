//! From an address to a device.

use std::time::{Duration, Instant};

use crate::address::Address;
use crate::device::{Device, DeviceInformation};
use crate::{Error, Watch, backend};

const BUSES: &str = "the buses here are: virtual";

/// Opens a device by its address.
///
/// | address | what |
/// |---|---|
/// | `virtual:speaker` | a built-in emulated device, on the virtual bus `0`; see [`list`] for the kinds |
/// | `virtual:speaker?save=heard.wav&device_ppm=50` | the same with parameters |
/// | `virtual:BUS/DEVICE` | a device of a virtual bus with a name, made if it does not exist |
/// | `virtual:FILE.toml/DEVICE` | a device of the bus that the file describes (its first, without `/DEVICE`) |
///
/// The parameters `clock=real|manual|on-wait`, `as=PROFILE` and `sof_ppm=N` are for the bus: devices on a
/// bus share them, and with them a frame clock. `virtual:BUS/NAME?kind=speaker` plugs a built-in device in
/// under a name of one's own. Opening does not wait for time to pass.
///
/// # Errors
/// [`Error::Address`] if it cannot be read; [`Error::NotFound`]; whatever the bus says.
pub fn open(address: &str) -> Result<Device, Error> {
    let address = Address::parse(address)?;
    match address.scheme.as_str() {
        #[cfg(feature = "virtual")]
        "virtual" => backend::virtual_bus::open(address),
        other => Err(address.error(format_args!("there is no bus `{other}`; {BUSES}"))),
    }
}

/// Opens a device as soon as it is there; blocks for at most `timeout`.
///
/// # Errors
/// As [`open`]; [`Error::NotFound`] if it was not there in time.
pub fn open_when_present(address: &str, timeout: Duration) -> Result<Device, Error> {
    let arrivals = watch(address)?;
    let deadline = Instant::now().checked_add(timeout);
    loop {
        match open(address) {
            Err(Error::NotFound { address, hint }) => {
                let left =
                    deadline.map_or(timeout, |deadline| deadline.saturating_duration_since(Instant::now()));
                match arrivals.next_event().wait_timeout(left) {
                    Ok(_) => {}
                    Err(Error::TimedOut | Error::ClockStopped) => {
                        return Err(Error::NotFound { address, hint });
                    }
                    Err(error) => return Err(error),
                }
            }
            result => return result,
        }
    }
}

/// Tells of devices that come and go on the bus of an address.
///
/// # Errors
/// As [`open`], for what concerns the bus.
pub fn watch(address: &str) -> Result<Watch, Error> {
    let address = Address::parse(address)?;
    match address.scheme.as_str() {
        #[cfg(feature = "virtual")]
        "virtual" => backend::virtual_bus::watch(address),
        other => Err(address.error(format_args!("there is no bus `{other}`; {BUSES}"))),
    }
}

/// Every device that can be opened now: what is plugged in, and the kinds of emulated devices.
#[must_use]
pub fn list() -> Vec<DeviceInformation> {
    #[cfg(feature = "virtual")]
    let found = backend::virtual_bus::list();
    #[cfg(not(feature = "virtual"))]
    let found = Vec::new();
    found
}

/// The devices that are plugged in now on the bus of an address, which is made if it does not exist.
///
/// Unlike [`open`] it does not need the device that the address means: one that a bus file plugs in later is
/// not listed, and no error.
///
/// # Errors
/// As [`open`], for what concerns the bus; of a built-in device, whatever [`open`] says.
pub fn list_at(address: &str) -> Result<Vec<DeviceInformation>, Error> {
    let address = Address::parse(address)?;
    match address.scheme.as_str() {
        #[cfg(feature = "virtual")]
        "virtual" => backend::virtual_bus::list_at(address),
        other => Err(address.error(format_args!("there is no bus `{other}`; {BUSES}"))),
    }
}
