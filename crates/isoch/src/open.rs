//! From an address to a device.

use std::time::{Duration, Instant};

use crate::address::Address;
use crate::device::{Device, DeviceInformation};
use crate::{Error, Watch, backend};

/// For an address of a bus that is not here.
pub(crate) fn no_such_bus(address: &Address) -> Error {
    match address.scheme.as_str() {
        "usb" if cfg!(not(target_os = "linux")) => address.error("the bus `usb` exists on Linux only"),
        "winusb" if cfg!(not(windows)) => address.error("the bus `winusb` exists on Windows only"),
        "virtual" => address.error("this program was built without the virtual bus"),
        other => {
            let buses = [
                ("virtual", cfg!(feature = "virtual")),
                ("usb", cfg!(all(target_os = "linux", not(shuttle)))),
                ("winusb", cfg!(windows)),
            ];
            let buses = buses.into_iter().filter_map(|(name, is_here)| is_here.then_some(name));
            let buses = crate::text::listed(buses);
            address.error(format_args!("there is no bus `{other}`; the buses here are: {buses}"))
        }
    }
}

/// Opens a device by its address.
///
/// | address | what |
/// |---|---|
/// | `virtual:speaker` | a built-in emulated device, on the virtual bus `0`; see [`list`] for the kinds |
/// | `virtual:speaker?save=heard.wav&device_ppm=50` | the same with parameters |
/// | `virtual:BUS/DEVICE` | a device of a virtual bus with a name, made if it does not exist |
/// | `virtual:FILE.toml/DEVICE` | a device of the bus that the file describes (its first, without `/DEVICE`) |
/// | `usb:1235:8214`, `usb:1235:8214:SERIAL` | Linux only: the device with these numbers, through usbfs |
/// | `usb:3-1.2` | Linux only: what is plugged in there, by the kernel's name: the bus, and the ports on the way |
/// | `winusb:1235:8214` | Windows only: the first device with these numbers that has the WinUSB driver |
/// | `winusb:1235:8214:SERIAL` | the one of them with this serial number |
/// | `winusb:\\?\usb#…` | Windows only: a device-interface path, as `SetupDiGetDeviceInterfaceDetail` gives it |
///
/// The parameters `clock=real|manual|on-wait`, `as=PROFILE` and `sof_ppm=N` are for the bus: devices on a
/// bus share them, and with them a frame clock. `virtual:BUS/NAME?kind=speaker` plugs a built-in device in
/// under a name of one's own. Opening does not wait for time to pass.
///
/// Those of `usb:` are `memory=mmap|copy` (whether the controller reaches the memory of blocks itself, or the kernel
/// copies it; measured unless said) and `priority=1…99` (real-time priority, `SCHED_FIFO`, of the thread that handles
/// the device's events), and `witness=usbmon|registers`, for those who may read the kernel's debugging interfaces:
/// usbmon tells the frame of every transfer (UHCI and OHCI controllers), the registers of xHCI the frame that is now.
///
/// # Errors
/// [`Error::Address`] if it cannot be read; [`Error::NotFound`]; whatever the bus says.
pub fn open(address: &str) -> Result<Device, Error> {
    let address = Address::parse(address)?;
    match address.scheme.as_str() {
        #[cfg(feature = "virtual")]
        "virtual" => backend::virtual_bus::open(address),
        #[cfg(all(target_os = "linux", not(shuttle)))]
        "usb" => backend::usbfs::open(address),
        #[cfg(windows)]
        "winusb" => backend::windows::open(address),
        _ => Err(no_such_bus(&address)),
    }
}

/// Opens a device whose node (`/dev/bus/usb/BBB/DDD`) somebody else has opened for reading and writing: a portal, a
/// service, a parent process. Linux only.
///
/// # Errors
/// [`Error::Argument`] if it is something else; as [`open`] otherwise.
#[cfg(all(target_os = "linux", not(shuttle)))]
pub fn open_descriptor(node: std::os::fd::OwnedFd) -> Result<Device, Error> {
    backend::usbfs::open_descriptor(node)
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
        #[cfg(all(target_os = "linux", not(shuttle)))]
        "usb" => backend::usbfs::watch(address),
        #[cfg(windows)]
        "winusb" => backend::windows::watch(address),
        _ => Err(no_such_bus(&address)),
    }
}

/// Every device that can be opened now: what is plugged in, and the kinds of emulated devices.
#[must_use]
pub fn list() -> Vec<DeviceInformation> {
    let buses: &[fn() -> Vec<DeviceInformation>] = &[
        #[cfg(all(target_os = "linux", not(shuttle)))]
        backend::usbfs::list,
        #[cfg(windows)]
        backend::windows::list,
        #[cfg(feature = "virtual")]
        backend::virtual_bus::list,
    ];
    buses.iter().flat_map(|list| list()).collect()
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
        #[cfg(all(target_os = "linux", not(shuttle)))]
        "usb" => backend::usbfs::list_at(address),
        #[cfg(windows)]
        "winusb" => backend::windows::list_at(address),
        _ => Err(no_such_bus(&address)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_a_bus_that_is_not_here_says_where_it_is() {
        for address in ["winusb:1235:8214", r"winusb:\\?\usb#vid_1235&pid_8214#1#{0}"] {
            for error in [open(address).err(), watch(address).err(), list_at(address).err()] {
                let error = error.map(|error| error.to_string()).unwrap_or_default();
                assert!(cfg!(windows) || error.contains("exists on Windows only"), "{error}");
            }
        }
        let error = open("serial:1").unwrap_err().to_string();
        assert!(error.contains("there is no bus `serial`; the buses here are:"), "{error}");
    }
}
