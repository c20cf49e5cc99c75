//! SetupAPI: a set of devices, its interfaces one by one, and the path of each.
#![allow(unsafe_code)]
#![allow(non_snake_case, reason = "the functions have their C names")]

use std::ffi::c_void;

use crate::devices::{self, Device};
use crate::guid::Guid;
use crate::paths;
use crate::sets::{self, Set};
use crate::sys::{
    Bool, ERROR_INSUFFICIENT_BUFFER, ERROR_INVALID_DATA, ERROR_INVALID_PARAMETER, ERROR_INVALID_USER_BUFFER,
    ERROR_NO_MORE_ITEMS, Handle, INVALID_HANDLE, answer, fail,
};
use crate::text::{self, Character};

/// `SP_DEVINFO_DATA`. Read and written without regard to alignment: on Windows it is packed where pointers have
/// 32 bits.
#[cfg_attr(target_pointer_width = "32", repr(C, packed))]
#[cfg_attr(not(target_pointer_width = "32"), repr(C))]
#[derive(Clone, Copy, Debug)]
pub struct DeviceInformationData {
    size: u32,
    class: Guid,
    instance: u32,
    reserved: usize,
}

/// `SP_DEVICE_INTERFACE_DATA`; `reserved` is the device's number in its set, from 1.
#[cfg_attr(target_pointer_width = "32", repr(C, packed))]
#[cfg_attr(not(target_pointer_width = "32"), repr(C))]
#[derive(Clone, Copy, Debug)]
pub struct InterfaceData {
    size: u32,
    class: Guid,
    flags: u32,
    reserved: usize,
}

const DIGCF_ALLCLASSES: u32 = 4;
const DIGCF_DEVICEINTERFACE: u32 = 0x10;
const SPINT_ACTIVE: u32 = 1;
/// Where the path begins in `SP_DEVICE_INTERFACE_DETAIL_DATA`.
const PATH_OFFSET: usize = 4;

/// `sizeof(SP_DEVICE_INTERFACE_DETAIL_DATA)`: programs put it into `cbSize`, and Windows looks.
const fn detail_size<C>() -> usize {
    if cfg!(target_pointer_width = "32") { PATH_OFFSET + size_of::<C>() } else { 8 }
}

/// The whole, if it has the size it should have.
///
/// # Safety
/// `pointer` is NULL or points to a `T` that begins with its size.
unsafe fn read_sized<T>(pointer: *const T) -> Result<T, u32> {
    if pointer.is_null() {
        return Err(ERROR_INVALID_PARAMETER);
    }
    // SAFETY: it points to a T, which begins with 32 bits; the whole is read if it says that it is one.
    unsafe {
        if pointer.cast::<u32>().read_unaligned() as usize != size_of::<T>() {
            return Err(ERROR_INVALID_PARAMETER);
        }
        Ok(pointer.read_unaligned())
    }
}

/// The device with this number, which the caller may have changed.
fn device(set: &Set, number: usize) -> Result<&Device, u32> {
    number.checked_sub(1).and_then(|index| set.devices.get(index)).ok_or(ERROR_INVALID_PARAMETER)
}

/// Writes what is known of the device with this number, if that is wanted.
///
/// # Safety
/// `out` is NULL or points to a `DeviceInformationData`.
unsafe fn write_information(out: *mut DeviceInformationData, set: &Set, number: usize) -> Result<(), u32> {
    if out.is_null() {
        return Ok(());
    }
    // SAFETY: it is not NULL.
    unsafe {
        let mut data = read_sized(out)?;
        data.class = if set.interfaces { Guid::default() } else { set.class.unwrap_or_default() };
        data.instance = u32::try_from(number).unwrap_or(0);
        data.reserved = 0;
        out.write_unaligned(data);
    }
    Ok(())
}

/// # Safety
/// `class` is NULL or points to a GUID.
unsafe fn class_devices(class: *const Guid, flags: u32) -> Result<Handle, u32> {
    // SAFETY: not NULL, so it points to a GUID.
    let class = (!class.is_null()).then(|| unsafe { class.read_unaligned() });
    if class.is_none() && flags & DIGCF_ALLCLASSES == 0 {
        return Err(ERROR_INVALID_PARAMETER);
    }
    // With this flag the GUID is not looked at.
    let class = if flags & DIGCF_ALLCLASSES != 0 { None } else { class };
    let interfaces = flags & DIGCF_DEVICEINTERFACE != 0;
    Ok(sets::insert(Set { devices: devices::list()?, class, interfaces }))
}

/// `SetupDiGetClassDevsA`.
///
/// # Safety
/// `class` is NULL or points to a GUID. The enumerator is not looked at.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn winusb_compat_SetupDiGetClassDevsA(
    class: *const Guid,
    _enumerator: *const u8,
    _parent: Handle,
    flags: u32,
) -> Handle {
    // SAFETY: as the caller says.
    let set = unsafe { class_devices(class, flags) };
    set.unwrap_or_else(|code| {
        fail(code);
        INVALID_HANDLE
    })
}

/// `SetupDiGetClassDevsW`.
///
/// # Safety
/// As for A.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn winusb_compat_SetupDiGetClassDevsW(
    class: *const Guid,
    _enumerator: *const u16,
    parent: Handle,
    flags: u32,
) -> Handle {
    // SAFETY: as the caller says.
    unsafe { winusb_compat_SetupDiGetClassDevsA(class, std::ptr::null(), parent, flags) }
}

/// `SetupDiDestroyDeviceInfoList`.
#[unsafe(no_mangle)]
pub extern "C" fn winusb_compat_SetupDiDestroyDeviceInfoList(set: Handle) -> Bool {
    answer(sets::remove(set))
}

/// `SetupDiEnumDeviceInfo`: the devices of a set, from number 0.
///
/// # Safety
/// `out` is NULL or points to an `SP_DEVINFO_DATA`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn winusb_compat_SetupDiEnumDeviceInfo(
    set: Handle,
    index: u32,
    out: *mut DeviceInformationData,
) -> Bool {
    let enumerate = || {
        let set = sets::get(set)?;
        // SAFETY: as the caller says. Its size is judged before the number.
        unsafe { read_sized(out) }?;
        if index as usize >= set.devices.len() {
            return Err(ERROR_NO_MORE_ITEMS);
        }
        // SAFETY: as the caller says.
        unsafe { write_information(out, &set, index as usize + 1) }
    };
    answer(enumerate())
}

/// `SetupDiEnumDeviceInterfaces`: the interfaces of a set, or of one device of it, from number 0. Each device has
/// one of whatever class is asked for.
///
/// # Safety
/// `device` is NULL or points to an `SP_DEVINFO_DATA`, `class` to a GUID, `out` to an `SP_DEVICE_INTERFACE_DATA`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn winusb_compat_SetupDiEnumDeviceInterfaces(
    set: Handle,
    device: *const DeviceInformationData,
    class: *const Guid,
    index: u32,
    out: *mut InterfaceData,
) -> Bool {
    let enumerate = || {
        let set = sets::get(set)?;
        if class.is_null() {
            return Err(ERROR_INVALID_PARAMETER);
        }
        // SAFETY: as the caller says, and class is not NULL.
        let (class, mut data) = unsafe { (class.read_unaligned(), read_sized(out)?) };
        let number = if device.is_null() {
            index as usize + 1
        } else {
            // SAFETY: as the caller says.
            let device = unsafe { read_sized(device) }?;
            if index > 0 {
                return Err(ERROR_NO_MORE_ITEMS);
            }
            device.instance as usize
        };
        let of_this_class = set.class.is_none_or(|known| known == class);
        if !set.interfaces || !of_this_class || number > set.devices.len() {
            return Err(ERROR_NO_MORE_ITEMS);
        }
        self::device(&set, number)?;
        (data.class, data.flags, data.reserved) = (class, SPINT_ACTIVE, number);
        // SAFETY: read_sized has found it to be one.
        unsafe { out.write_unaligned(data) };
        Ok(())
    };
    answer(enumerate())
}

/// # Safety
/// As for the two functions below.
unsafe fn interface_detail<C: Character>(
    set: Handle,
    interface: *const InterfaceData,
    detail: *mut c_void,
    room: u32,
    required: *mut u32,
    out: *mut DeviceInformationData,
) -> Result<(), u32> {
    let set = sets::get(set)?;
    // SAFETY: as the caller says.
    let interface = unsafe { read_sized(interface) }?;
    let number = interface.reserved;
    let path: Vec<C> = text::terminated(&paths::path(&device(&set, number)?.address, &{ interface.class }));
    if detail.is_null() && room > 0 {
        return Err(ERROR_INVALID_USER_BUFFER);
    }
    if !detail.is_null() {
        // SAFETY: where there is room for its size, that can be read.
        let size = (room >= 4).then(|| unsafe { detail.cast::<u32>().read_unaligned() } as usize);
        if (room as usize) < detail_size::<C>() || size != Some(detail_size::<C>()) {
            return Err(ERROR_INVALID_USER_BUFFER);
        }
    }
    let needed = (PATH_OFFSET + size_of_val(&path[..])).max(detail_size::<C>());
    if !required.is_null() {
        // SAFETY: not NULL, so it has room for 32 bits.
        unsafe { required.write_unaligned(u32::try_from(needed).unwrap_or(u32::MAX)) };
    }
    // SAFETY: as the caller says. Windows tells of the device also where the path does not fit.
    unsafe { write_information(out, &set, number) }?;
    if (room as usize) < needed {
        return Err(ERROR_INSUFFICIENT_BUFFER);
    }
    // SAFETY: there is room for the path behind its offset.
    unsafe { text::write(detail.cast::<u8>().add(PATH_OFFSET).cast::<C>(), &path) };
    Ok(())
}

/// `SetupDiGetDeviceInterfaceDetailA`: the path. Without a buffer: how many bytes it needs, and
/// `ERROR_INSUFFICIENT_BUFFER`.
///
/// # Safety
/// `interface` is NULL or points to an `SP_DEVICE_INTERFACE_DATA`, `detail` to `room` bytes, `required` to 32 bits,
/// `out` to an `SP_DEVINFO_DATA`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn winusb_compat_SetupDiGetDeviceInterfaceDetailA(
    set: Handle,
    interface: *const InterfaceData,
    detail: *mut c_void,
    room: u32,
    required: *mut u32,
    out: *mut DeviceInformationData,
) -> Bool {
    // SAFETY: as the caller says.
    answer(unsafe { interface_detail::<u8>(set, interface, detail, room, required, out) })
}

/// `SetupDiGetDeviceInterfaceDetailW`.
///
/// # Safety
/// As for A.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn winusb_compat_SetupDiGetDeviceInterfaceDetailW(
    set: Handle,
    interface: *const InterfaceData,
    detail: *mut c_void,
    room: u32,
    required: *mut u32,
    out: *mut DeviceInformationData,
) -> Bool {
    // SAFETY: as the caller says.
    answer(unsafe { interface_detail::<u16>(set, interface, detail, room, required, out) })
}

/// A property's type and text.
fn property<C: Character>(device: &Device, property: u32) -> Result<(u32, Vec<C>), u32> {
    const REG_SZ: u32 = 1;
    const REG_MULTI_SZ: u32 = 7;
    let known = |text: &str| (!text.is_empty()).then(|| (REG_SZ, text::terminated(text)));
    let found = match property {
        // SPDRP_DEVICEDESC
        0 => known(if device.product.is_empty() { "USB device" } else { &device.product }),
        // SPDRP_HARDWAREID
        1 => {
            let id = format!(r"USB\VID_{:04X}&PID_{:04X}", device.vendor_id, device.product_id);
            Some((REG_MULTI_SZ, text::list([id])))
        }
        // SPDRP_SERVICE
        4 => known("WinUSB"),
        // SPDRP_MFG
        0xB => known(&device.manufacturer),
        // SPDRP_FRIENDLYNAME
        0xC => known(&device.product),
        _ => None,
    };
    found.ok_or(ERROR_INVALID_DATA)
}

/// # Safety
/// As for the two functions below.
unsafe fn registry_property<C: Character>(
    set: Handle,
    device: *const DeviceInformationData,
    property: u32,
    kind: *mut u32,
    buffer: *mut u8,
    room: u32,
    required: *mut u32,
) -> Result<(), u32> {
    let set = sets::get(set)?;
    // SAFETY: as the caller says.
    let device = unsafe { read_sized(device) }?;
    let (found, characters) = self::property::<C>(self::device(&set, device.instance as usize)?, property)?;
    let bytes = size_of_val(&characters[..]);
    // SAFETY: what is not NULL has room for 32 bits.
    unsafe {
        if !required.is_null() {
            required.write_unaligned(u32::try_from(bytes).unwrap_or(u32::MAX));
        }
        if !kind.is_null() {
            kind.write_unaligned(found);
        }
    }
    if buffer.is_null() || (room as usize) < bytes {
        return Err(ERROR_INSUFFICIENT_BUFFER);
    }
    // SAFETY: there is room for as many bytes.
    unsafe { text::write(buffer.cast::<C>(), &characters) };
    Ok(())
}

/// `SetupDiGetDeviceRegistryPropertyA`: the description, the hardware id, the service, the maker or the name.
///
/// # Safety
/// `device` is NULL or points to an `SP_DEVINFO_DATA`, `kind` and `required` to 32 bits, `buffer` to `room` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn winusb_compat_SetupDiGetDeviceRegistryPropertyA(
    set: Handle,
    device: *const DeviceInformationData,
    property: u32,
    kind: *mut u32,
    buffer: *mut u8,
    room: u32,
    required: *mut u32,
) -> Bool {
    // SAFETY: as the caller says.
    answer(unsafe { registry_property::<u8>(set, device, property, kind, buffer, room, required) })
}

/// `SetupDiGetDeviceRegistryPropertyW`.
///
/// # Safety
/// As for A.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn winusb_compat_SetupDiGetDeviceRegistryPropertyW(
    set: Handle,
    device: *const DeviceInformationData,
    property: u32,
    kind: *mut u32,
    buffer: *mut u8,
    room: u32,
    required: *mut u32,
) -> Bool {
    // SAFETY: as the caller says.
    answer(unsafe { registry_property::<u16>(set, device, property, kind, buffer, room, required) })
}

#[cfg(test)]
mod tests;
