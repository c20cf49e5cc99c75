//! `CM_Get_Device_Interface_List`: all paths at once.
#![allow(unsafe_code)]
#![allow(non_snake_case, reason = "the functions have their C names")]

use crate::devices;
use crate::guid::Guid;
use crate::paths;
use crate::sys::{ERROR_INSUFFICIENT_BUFFER, ERROR_INVALID_PARAMETER, ERROR_NOT_ENOUGH_MEMORY};
use crate::text::{self, Character};

const CR_SUCCESS: u32 = 0;
const CR_OUT_OF_MEMORY: u32 = 2;
const CR_INVALID_POINTER: u32 = 3;
const CR_INVALID_FLAG: u32 = 4;
const CR_NO_SUCH_DEVNODE: u32 = 0x0D;
const CR_FAILURE: u32 = 0x13;
const CR_BUFFER_SMALL: u32 = 0x1A;
const CR_ACCESS_DENIED: u32 = 0x33;
const CR_NO_SUCH_DEVICE_INTERFACE: u32 = 0x37;

/// Present devices, or all that ever were: here the same.
const KNOWN_FLAGS: u32 = 1;

/// # Safety
/// `guid` is NULL or points to a GUID.
unsafe fn paths<C: Character>(guid: *const Guid, flags: u32) -> Result<Vec<C>, u32> {
    if guid.is_null() {
        return Err(CR_INVALID_POINTER);
    }
    if flags & !KNOWN_FLAGS != 0 {
        return Err(CR_INVALID_FLAG);
    }
    // SAFETY: not NULL, so it points to a GUID.
    let guid = unsafe { guid.read_unaligned() };
    let devices = devices::list().map_err(|_| CR_FAILURE)?;
    Ok(text::list(devices.iter().map(|device| paths::path(&device.address, &guid))))
}

/// # Safety
/// `guid` as above; `length` is NULL or has room for 32 bits.
unsafe fn list_size<C: Character>(length: *mut u32, guid: *const Guid, flags: u32) -> u32 {
    if length.is_null() {
        return CR_INVALID_POINTER;
    }
    // SAFETY: as the caller says.
    match unsafe { paths::<C>(guid, flags) } {
        Ok(characters) => {
            // SAFETY: not NULL, so it has room.
            unsafe { length.write_unaligned(u32::try_from(characters.len()).unwrap_or(u32::MAX)) };
            CR_SUCCESS
        }
        Err(result) => result,
    }
}

/// # Safety
/// `guid` as above; `buffer` is NULL or has room for `room` characters.
unsafe fn list<C: Character>(guid: *const Guid, buffer: *mut C, room: u32, flags: u32) -> u32 {
    if buffer.is_null() || room == 0 {
        return CR_INVALID_POINTER;
    }
    // SAFETY: as the caller says.
    match unsafe { paths::<C>(guid, flags) } {
        Ok(characters) if characters.len() <= room as usize => {
            // SAFETY: there is room for as many.
            unsafe { text::write(buffer, &characters) };
            CR_SUCCESS
        }
        Ok(_) => CR_BUFFER_SMALL,
        Err(result) => result,
    }
}

/// `CM_Get_Device_Interface_List_SizeA`.
///
/// # Safety
/// `guid` is NULL or points to a GUID; `length` is NULL or has room for 32 bits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn winusb_compat_CM_Get_Device_Interface_List_SizeA(
    length: *mut u32,
    guid: *const Guid,
    _device: *const u8,
    flags: u32,
) -> u32 {
    // SAFETY: as the caller says.
    unsafe { list_size::<u8>(length, guid, flags) }
}

/// `CM_Get_Device_Interface_List_SizeW`.
///
/// # Safety
/// As for A.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn winusb_compat_CM_Get_Device_Interface_List_SizeW(
    length: *mut u32,
    guid: *const Guid,
    _device: *const u16,
    flags: u32,
) -> u32 {
    // SAFETY: as the caller says.
    unsafe { list_size::<u16>(length, guid, flags) }
}

/// `CM_Get_Device_Interface_ListA`.
///
/// # Safety
/// `guid` is NULL or points to a GUID; `buffer` is NULL or has room for `room` characters.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn winusb_compat_CM_Get_Device_Interface_ListA(
    guid: *const Guid,
    _device: *const u8,
    buffer: *mut u8,
    room: u32,
    flags: u32,
) -> u32 {
    // SAFETY: as the caller says.
    unsafe { list(guid, buffer, room, flags) }
}

/// `CM_Get_Device_Interface_ListW`.
///
/// # Safety
/// As for A.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn winusb_compat_CM_Get_Device_Interface_ListW(
    guid: *const Guid,
    _device: *const u16,
    buffer: *mut u16,
    room: u32,
    flags: u32,
) -> u32 {
    // SAFETY: as the caller says.
    unsafe { list(guid, buffer, room, flags) }
}

/// `CM_MapCrToWin32Err`: the Win32 code for one of these functions' results.
#[unsafe(no_mangle)]
pub extern "C" fn winusb_compat_CM_MapCrToWin32Err(result: u32, default: u32) -> u32 {
    match result {
        CR_SUCCESS => 0,
        CR_OUT_OF_MEMORY => ERROR_NOT_ENOUGH_MEMORY,
        CR_INVALID_POINTER | CR_INVALID_FLAG => ERROR_INVALID_PARAMETER,
        CR_NO_SUCH_DEVNODE => 0xE000_020B,
        CR_NO_SUCH_DEVICE_INTERFACE => 0xE000_0225,
        CR_BUFFER_SMALL => ERROR_INSUFFICIENT_BUFFER,
        CR_ACCESS_DENIED => 5,
        _ => default,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake;
    use std::ptr::{null, null_mut};

    #[test]
    fn all_paths_at_once() {
        fake::plug(&["virtual:one", "virtual:two"]);
        let guid = Guid::default();
        let mut length = 0;
        // SAFETY: all pointers are to what they should be, or NULL.
        unsafe {
            let size = winusb_compat_CM_Get_Device_Interface_List_SizeA(&mut length, &guid, null(), 0);
            assert_eq!(size, CR_SUCCESS);
            let mut buffer = vec![0xAA; length as usize + 1];
            let mut list = |room| {
                winusb_compat_CM_Get_Device_Interface_ListA(&guid, null(), buffer.as_mut_ptr(), room, 0)
            };
            assert_eq!(list(length - 1), CR_BUFFER_SMALL);
            assert_eq!(list(length), CR_SUCCESS);
            assert_eq!(buffer.pop(), Some(0xAA));
            let text = String::from_utf8(buffer).unwrap();
            let found: Vec<_> = text.split('\0').map(paths::address).collect();
            assert_eq!(found, [Some("virtual:one"), Some("virtual:two"), Some(""), Some("")]);

            fake::plug(&[]);
            winusb_compat_CM_Get_Device_Interface_List_SizeW(&mut length, &guid, null(), 0);
            assert_eq!(length, 1);
            let mut one = [7];
            let list = winusb_compat_CM_Get_Device_Interface_ListW(&guid, null(), one.as_mut_ptr(), 1, 0);
            assert_eq!((list, one), (CR_SUCCESS, [0]));

            let size = winusb_compat_CM_Get_Device_Interface_List_SizeA(&mut length, null(), null(), 0);
            assert_eq!(size, CR_INVALID_POINTER);
            let size = winusb_compat_CM_Get_Device_Interface_List_SizeA(null_mut(), &guid, null(), 0);
            assert_eq!(size, CR_INVALID_POINTER);
            let size = winusb_compat_CM_Get_Device_Interface_List_SizeA(&mut length, &guid, null(), 2);
            assert_eq!(size, CR_INVALID_FLAG);
        }
        assert_eq!(winusb_compat_CM_MapCrToWin32Err(CR_BUFFER_SMALL, 1), ERROR_INSUFFICIENT_BUFFER);
        assert_eq!(winusb_compat_CM_MapCrToWin32Err(CR_FAILURE, 31), 31);
    }
}
