//! Which devices there are that WinUSB drives.
//!
//! Why not with nusb, or with SetupAPI? nusb links to winusb.dll, which this bus must not do (see
//! `library.rs`), and does not tell device-interface paths. Of the system's own two interfaces, cfgmgr32 is the
//! shorter one, and the one that also tells of devices that come and go.
//!
//! A device-interface path is found by its class, and each device has a class of its own: the one that its
//! driver's installation (or the device itself, in its Microsoft OS descriptors) registered under
//! `DeviceInterfaceGUIDs`.
#![allow(unsafe_code)]

use isoch_core::rules::Speed;
use windows_sys::Win32::Devices::DeviceAndDriverInstallation::{
    CM_GET_DEVICE_INTERFACE_LIST_PRESENT, CM_GETIDLIST_FILTER_PRESENT, CM_GETIDLIST_FILTER_SERVICE,
    CM_Get_DevNode_PropertyW, CM_Get_Device_ID_List_SizeW, CM_Get_Device_ID_ListW, CM_Get_Device_IDW,
    CM_Get_Device_Interface_List_SizeW, CM_Get_Device_Interface_ListW, CM_Get_Parent,
    CM_LOCATE_DEVNODE_NORMAL, CM_Locate_DevNodeW, CM_Open_DevNode_Key, CM_REGISTRY_HARDWARE, CR_SUCCESS,
    RegDisposition_OpenExisting,
};
use windows_sys::Win32::Devices::Properties::DEVPKEY_Device_BusReportedDeviceDesc;
use windows_sys::Win32::Foundation::DEVPROPKEY;
use windows_sys::Win32::System::Registry::{KEY_READ, RegCloseKey, RegQueryValueExW};
use windows_sys::core::GUID;

use super::hub;
use super::library::{Library, ListedDevice};
use super::path::{self, Instance};
use super::system::{self, wide};
use crate::Error;
use crate::device::DeviceInformation;

/// A device that was found.
pub(super) struct Found {
    pub(super) way: Way,
    pub(super) information: DeviceInformation,
}

/// How to open a device.
#[derive(Clone, Debug)]
pub(super) enum Way {
    /// By a device-interface path.
    Path(String),
    /// By an address of our own winusb.dll.
    Emulated(String),
}

/// Every device that can be opened.
pub(super) fn devices(library: &Library) -> Result<Vec<Found>, Error> {
    match &library.extensions {
        Some(extensions) => emulated(extensions),
        None => installed(),
    }
}

/// What our own winusb.dll lists.
fn emulated(extensions: &super::library::Extensions) -> Result<Vec<Found>, Error> {
    let size = size_of::<ListedDevice>() as u32;
    let empty = ListedDevice {
        size,
        vendor: 0,
        product: 0,
        speed: 0,
        address: [0; 256],
        manufacturer: [0; 128],
        name: [0; 128],
        serial: [0; 128],
    };
    let mut devices = vec![empty; 64];
    let mut count = devices.len() as u32;
    // SAFETY: there is room for so many devices, and each says its size.
    if unsafe { (extensions.list_devices)(devices.as_mut_ptr(), &mut count) } == 0 {
        return Err(system::error("listing emulated devices"));
    }
    devices.truncate(count as usize);
    let some = |bytes: &[u8]| Some(text(bytes)).filter(|text| !text.is_empty());
    let found = |device: ListedDevice| {
        let serial_number = some(&device.serial);
        let information = DeviceInformation {
            address: path::address(device.vendor, device.product, serial_number.as_deref()),
            vendor_id: device.vendor,
            product_id: device.product,
            speed: match device.speed {
                1 => Speed::Low,
                2 => Speed::Full,
                3 => Speed::High,
                4 => Speed::Super,
                _ => Speed::SuperPlus,
            },
            manufacturer: some(&device.manufacturer),
            product: some(&device.name),
            serial_number,
        };
        Found { way: Way::Emulated(text(&device.address)), information }
    };
    Ok(devices.into_iter().map(found).collect())
}

/// Text up to its first zero.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// The devices that Windows has given to the WinUSB driver.
fn installed() -> Result<Vec<Found>, Error> {
    let service = wide("WinUSB");
    let flags = CM_GETIDLIST_FILTER_SERVICE | CM_GETIDLIST_FILTER_PRESENT;
    let identifiers = multi_text(|room, length| {
        // SAFETY: the texts end with zeros, and there is room for what is said to be.
        unsafe {
            match room {
                None => CM_Get_Device_ID_List_SizeW(length, service.as_ptr(), flags),
                Some(room) => CM_Get_Device_ID_ListW(service.as_ptr(), room, *length, flags),
            }
        }
    });
    let identifiers = identifiers
        .map_err(|code| Error::System { what: "listing devices".into(), reason: format!("code {code}") })?;
    Ok(identifiers.iter().filter_map(|identifier| device(identifier)).collect())
}

/// One of them; `None` if it is no USB device, or has no interface that can be opened.
fn device(identifier: &str) -> Option<Found> {
    let instance = Instance::parse(identifier)?;
    let node = Node::of(identifier)?;
    let path = node.interface_classes().iter().find_map(|class| interface_path(identifier, class))?;
    // A function of a composite device: the device itself is its parent, and has the serial number.
    let whole = if instance.is_function { node.parent()? } else { node };
    let serial_number = match instance.is_function {
        true => Instance::parse(&whole.identifier()?)?.serial,
        false => instance.serial,
    };
    // Several functions of one device differ in their paths only.
    let address = match instance.is_function {
        true => format!("winusb:{path}"),
        false => path::address(instance.vendor, instance.product, serial_number.as_deref()),
    };
    let information = DeviceInformation {
        address,
        vendor_id: instance.vendor,
        product_id: instance.product,
        speed: hub::speed(whole)?,
        manufacturer: None,
        product: whole.text(&DEVPKEY_Device_BusReportedDeviceDesc),
        serial_number,
    };
    Some(Found { way: Way::Path(path), information })
}

/// A node of the device tree.
#[derive(Clone, Copy)]
pub(super) struct Node(u32);

impl Node {
    fn of(identifier: &str) -> Option<Self> {
        let identifier = wide(identifier);
        let mut node = 0;
        // SAFETY: the text ends with a zero, and the pointer is valid.
        let code = unsafe { CM_Locate_DevNodeW(&mut node, identifier.as_ptr(), CM_LOCATE_DEVNODE_NORMAL) };
        (code == CR_SUCCESS).then_some(Node(node))
    }

    pub(super) fn parent(self) -> Option<Self> {
        let mut parent = 0;
        // SAFETY: the pointer is valid.
        (unsafe { CM_Get_Parent(&mut parent, self.0, 0) } == CR_SUCCESS).then_some(Node(parent))
    }

    pub(super) fn identifier(self) -> Option<String> {
        // MAX_DEVICE_ID_LEN
        let mut room = [0_u16; 201];
        // SAFETY: there is room for so many characters.
        let code = unsafe { CM_Get_Device_IDW(self.0, room.as_mut_ptr(), room.len() as u32, 0) };
        (code == CR_SUCCESS).then(|| up_to_zero(&room))
    }

    /// A property, as it is stored.
    pub(super) fn property(self, key: &DEVPROPKEY) -> Option<Vec<u8>> {
        let mut bytes = vec![0_u8; 512];
        let (mut kind, mut length) = (0, bytes.len() as u32);
        // SAFETY: there is room for so many bytes, and the pointers are valid.
        let code =
            unsafe { CM_Get_DevNode_PropertyW(self.0, key, &mut kind, bytes.as_mut_ptr(), &mut length, 0) };
        bytes.truncate(length as usize);
        (code == CR_SUCCESS).then_some(bytes)
    }

    fn text(self, key: &DEVPROPKEY) -> Option<String> {
        Some(up_to_zero(&characters(&self.property(key)?))).filter(|text| !text.is_empty())
    }

    /// The classes of its interfaces, from its part of the registry.
    fn interface_classes(self) -> Vec<GUID> {
        let mut key = std::ptr::null_mut();
        // SAFETY: the pointer is valid.
        let code = unsafe {
            CM_Open_DevNode_Key(
                self.0,
                KEY_READ,
                0,
                RegDisposition_OpenExisting,
                &mut key,
                CM_REGISTRY_HARDWARE,
            )
        };
        if code != CR_SUCCESS {
            return Vec::new();
        }
        let value = |name: &str| {
            let name = wide(name);
            let mut bytes = vec![0_u8; 2048];
            let mut length = bytes.len() as u32;
            // SAFETY: the key is open, the name ends with a zero, there is room for so many bytes.
            let code = unsafe {
                let (none, kind) = (std::ptr::null(), std::ptr::null_mut());
                RegQueryValueExW(key, name.as_ptr(), none, kind, bytes.as_mut_ptr(), &mut length)
            };
            bytes.truncate(length as usize);
            (code == 0).then(|| texts(&characters(&bytes)))
        };
        // Installations write one or the other.
        let names = value("DeviceInterfaceGUIDs").or_else(|| value("DeviceInterfaceGUID"));
        // SAFETY: the key was opened above.
        unsafe { RegCloseKey(key) };
        names.unwrap_or_default().iter().filter_map(|name| path::class(name)).map(GUID::from_u128).collect()
    }
}

/// The path of a device's interface of a class.
pub(super) fn interface_path(identifier: &str, class: &GUID) -> Option<String> {
    let identifier = wide(identifier);
    let paths = multi_text(|room, length| {
        let (class, device, flags) = (class, identifier.as_ptr(), CM_GET_DEVICE_INTERFACE_LIST_PRESENT);
        // SAFETY: the texts end with zeros, and there is room for what is said to be.
        unsafe {
            match room {
                None => CM_Get_Device_Interface_List_SizeW(length, class, device, flags),
                Some(room) => CM_Get_Device_Interface_ListW(class, device, room, *length, flags),
            }
        }
    });
    paths.ok()?.into_iter().next()
}

/// Calls for the length of a list of texts, then for the list. The error is the configuration manager's code.
fn multi_text(mut call: impl FnMut(Option<*mut u16>, &mut u32) -> u32) -> Result<Vec<String>, u32> {
    loop {
        let mut length = 0;
        let code = call(None, &mut length);
        if code != CR_SUCCESS {
            return Err(code);
        }
        let mut room = vec![0_u16; length as usize + 1];
        match call(Some(room.as_mut_ptr()), &mut length) {
            CR_SUCCESS => return Ok(texts(&room)),
            // CR_BUFFER_SMALL: a device came in between.
            0x1A => {}
            code => return Err(code),
        }
    }
}

fn characters(bytes: &[u8]) -> Vec<u16> {
    bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect()
}

fn up_to_zero(characters: &[u16]) -> String {
    let end = characters.iter().position(|character| *character == 0).unwrap_or(characters.len());
    String::from_utf16_lossy(&characters[..end])
}

/// Texts with a zero behind each.
fn texts(characters: &[u16]) -> Vec<String> {
    let texts = characters.split(|character| *character == 0).filter(|text| !text.is_empty());
    texts.map(String::from_utf16_lossy).collect()
}
