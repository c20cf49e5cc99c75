//! What a hub knows of the device on one of its ports: how fast it is connected.
//!
//! Why ask the hub, and not the device? A device is opened by one program at a time, and a list is not to lack
//! the devices that are at work.
#![allow(unsafe_code)]

use isoch_core::rules::Speed;
use windows_sys::Win32::Devices::Properties::DEVPKEY_Device_Address;
use windows_sys::Win32::Devices::Usb::{
    GUID_DEVINTERFACE_USB_HUB, IOCTL_USB_GET_NODE_CONNECTION_INFORMATION_EX,
    IOCTL_USB_GET_NODE_CONNECTION_INFORMATION_EX_V2,
};
use windows_sys::Win32::System::IO::DeviceIoControl;

use super::list::{self, Node};
use super::system::{self, Calls, Handle};

/// `USB_NODE_CONNECTION_INFORMATION_EX`: packed; pipes follow that are not asked for.
#[repr(C, packed)]
#[derive(Clone, Copy, Default)]
struct Connection {
    port: u32,
    device_descriptor: [u8; 18],
    configuration: u8,
    speed: u8,
    is_hub: u8,
    address: u16,
    open_pipes: u32,
    status: u32,
    // Room for a pipe: the system refuses less than the whole structure.
    pipe: [u8; 11],
}

/// `USB_NODE_CONNECTION_INFORMATION_EX_V2`.
#[repr(C, packed)]
#[derive(Clone, Copy, Default)]
struct ConnectionV2 {
    port: u32,
    length: u32,
    protocols: u32,
    flags: u32,
}

/// `SupportedUsbProtocols.Usb300`
const USB_300: u32 = 4;
/// `DeviceIsOperatingAtSuperSpeedOrHigher`
const AT_SUPER_SPEED: u32 = 1;
/// `DeviceIsOperatingAtSuperSpeedPlusOrHigher`
const AT_SUPER_SPEED_PLUS: u32 = 4;

/// How fast a device is connected.
pub(super) fn speed(device: Node) -> Option<Speed> {
    let port = device.property(&DEVPKEY_Device_Address)?;
    let port = u32::from_le_bytes(port.get(..4)?.try_into().ok()?);
    let hub = device.parent()?.identifier()?;
    let path = list::interface_path(&hub, &GUID_DEVINTERFACE_USB_HUB)?;
    let hub = system::open_file(&path, Calls::Waiting).ok()?;
    let mut second = ConnectionV2 { port, length: 16, protocols: USB_300, flags: 0 };
    // Before Windows 8 there was no such request, and no SuperSpeed.
    if ask(&hub, IOCTL_USB_GET_NODE_CONNECTION_INFORMATION_EX_V2, &mut second).is_some() {
        if second.flags & AT_SUPER_SPEED_PLUS != 0 {
            return Some(Speed::SuperPlus);
        }
        if second.flags & AT_SUPER_SPEED != 0 {
            return Some(Speed::Super);
        }
    }
    let mut first = Connection { port, ..Connection::default() };
    ask(&hub, IOCTL_USB_GET_NODE_CONNECTION_INFORMATION_EX, &mut first)?;
    // USB_DEVICE_SPEED
    Some(match first.speed {
        0 => Speed::Low,
        1 => Speed::Full,
        2 => Speed::High,
        _ => Speed::Super,
    })
}

/// A request that takes and gives the same structure, of plain numbers.
fn ask<T: Copy>(hub: &Handle, request: u32, about: &mut T) -> Option<()> {
    let (structure, length) = (std::ptr::from_mut(about).cast(), size_of::<T>() as u32);
    let mut given = 0;
    // SAFETY: the structure is valid for reading and writing, any bytes are a value of it.
    let done = unsafe {
        let none = std::ptr::null_mut();
        DeviceIoControl(hub.raw(), request, structure, length, structure, length, &mut given, none)
    };
    (done != 0).then_some(())
}
