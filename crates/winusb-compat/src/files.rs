//! Opening devices, events, and the milliseconds since some time.
#![allow(unsafe_code)]
#![allow(non_snake_case, reason = "the functions have their C names")]

use std::ffi::{CString, c_void};

use crate::devices;
use crate::paths;
use crate::sys::{
    self, Bool, ERROR_FILE_EXISTS, ERROR_FILE_NOT_FOUND, ERROR_INVALID_NAME, ERROR_INVALID_PARAMETER,
    ERROR_NOT_SUPPORTED, Handle, INVALID_HANDLE,
};
use crate::text::{self, Character};

/// The device that a path of Windows' means: the one that was chosen, which is then the only one listed.
fn only_device() -> Result<String, u32> {
    match &devices::list()?[..] {
        [device] => Ok(device.address.clone()),
        _ => Err(ERROR_FILE_NOT_FOUND),
    }
}

/// The address as it is listed: programs change the case of paths.
fn listed(address: &str) -> String {
    let as_listed = || {
        let devices = devices::list().ok()?;
        devices.into_iter().find(|device| device.address.eq_ignore_ascii_case(address))
    };
    // None of the addresses' schemes has a capital letter.
    let changed = address.starts_with(|first: char| first.is_ascii_uppercase());
    changed.then(as_listed).flatten().map_or_else(|| address.to_owned(), |device| device.address)
}

/// # Safety
/// `name` is NULL or ends with a NUL.
unsafe fn create_file<C: Character>(name: *const C, access: u32, disposition: u32, flags: u32) -> Handle {
    let check = match disposition {
        // OPEN_EXISTING, and those two that open what there is.
        2..=4 => Ok(()),
        1 => Err(ERROR_FILE_EXISTS),
        _ => Err(ERROR_INVALID_PARAMETER),
    };
    // SAFETY: as the caller says.
    let name = check.and_then(|()| unsafe { text::read(name) });
    let address = name.and_then(|name| match paths::address(&name) {
        Some(address) => Ok(listed(address)),
        None => only_device(),
    });
    let address = address.and_then(|address| CString::new(address).map_err(|_| ERROR_INVALID_NAME));
    match address {
        // SAFETY: a CString ends with a NUL.
        Ok(address) => unsafe { sys::WinUsbX_OpenDevice(address.as_ptr(), access, flags) },
        Err(code) => {
            sys::fail(code);
            INVALID_HANDLE
        }
    }
}

/// `CreateFileA`: opens a device by its path or its address.
///
/// # Safety
/// `name` is NULL or ends with a NUL. The rest is not looked at.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn winusb_compat_CreateFileA(
    name: *const u8,
    access: u32,
    _share: u32,
    _security: *const c_void,
    disposition: u32,
    flags: u32,
    _template: Handle,
) -> Handle {
    // SAFETY: as the caller says.
    unsafe { create_file(name, access, disposition, flags) }
}

/// `CreateFileW`.
///
/// # Safety
/// As `CreateFileA`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn winusb_compat_CreateFileW(
    name: *const u16,
    access: u32,
    _share: u32,
    _security: *const c_void,
    disposition: u32,
    flags: u32,
    _template: Handle,
) -> Handle {
    // SAFETY: as the caller says.
    unsafe { create_file(name, access, disposition, flags) }
}

fn create_event(manual_reset: Bool, initial_state: Bool, has_name: bool) -> Handle {
    if has_name {
        // Silently making another event than the one that was named would leave someone waiting.
        sys::fail(ERROR_NOT_SUPPORTED);
        return std::ptr::null_mut();
    }
    sys::WinUsbX_CreateEvent(manual_reset, initial_state)
}

/// `CreateEventA`. An event with a name is refused with `ERROR_NOT_SUPPORTED`.
#[unsafe(no_mangle)]
pub extern "C" fn winusb_compat_CreateEventA(
    _security: *const c_void,
    manual_reset: Bool,
    initial_state: Bool,
    name: *const u8,
) -> Handle {
    create_event(manual_reset, initial_state, !name.is_null())
}

/// `CreateEventW`. An event with a name is refused with `ERROR_NOT_SUPPORTED`.
#[unsafe(no_mangle)]
pub extern "C" fn winusb_compat_CreateEventW(
    _security: *const c_void,
    manual_reset: Bool,
    initial_state: Bool,
    name: *const u16,
) -> Handle {
    create_event(manual_reset, initial_state, !name.is_null())
}

/// `GetTickCount64`: milliseconds of the performance counter, so that it is emulated where that is.
#[unsafe(no_mangle)]
pub extern "C" fn winusb_compat_GetTickCount64() -> u64 {
    let (mut counter, mut frequency) = (0, 0);
    // SAFETY: both point to 64 bits.
    unsafe {
        sys::WinUsbX_QueryPerformanceCounter(&mut counter);
        sys::WinUsbX_QueryPerformanceFrequency(&mut frequency);
    }
    // A counter may have begun anywhere, below 0 too: the difference of two is what counts.
    counter.div_euclid((frequency / 1000).max(1)) as u64
}

/// `GetTickCount`: the same in 32 bits, which wrap after 49.7 days.
#[unsafe(no_mangle)]
pub extern "C" fn winusb_compat_GetTickCount() -> u32 {
    winusb_compat_GetTickCount64() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake;
    use crate::sys::WinUsbX_GetLastError;
    use std::ptr::null;

    fn open(name: &str, disposition: u32) -> Result<String, u32> {
        let name: Vec<u8> = text::terminated(name);
        // SAFETY: the name ends with a NUL.
        let file =
            unsafe { winusb_compat_CreateFileA(name.as_ptr(), 0, 0, null(), disposition, 0, INVALID_HANDLE) };
        if file == INVALID_HANDLE { Err(WinUsbX_GetLastError()) } else { Ok(fake::opened()) }
    }

    #[test]
    fn paths_and_addresses_open() {
        assert_eq!(open("virtual:article", 3), Ok("virtual:article".into()));
        assert_eq!(open(r"\\?\isoch#virtual:article#{0}", 3), Ok("virtual:article".into()));
        assert_eq!(open(r"\\?\ISOCH#VIRTUAL:ARTICLE#{0}", 3), Ok("virtual:article".into()));
        assert_eq!(open("VIRTUAL:NONE", 3), Err(ERROR_FILE_NOT_FOUND));
        assert_eq!(open("virtual:none", 3), Err(ERROR_FILE_NOT_FOUND));
        assert_eq!(open(r"\\?\usb#vid_1209&pid_0006#1#{0}", 3), Ok("virtual:article".into()));
        fake::plug(&["virtual:article", "virtual:speaker"]);
        assert_eq!(open(r"\\.\my_device", 3), Err(ERROR_FILE_NOT_FOUND));
        assert_eq!(open("virtual:article", 1), Err(ERROR_FILE_EXISTS));
        assert_eq!(open("virtual:article", 5), Err(ERROR_INVALID_PARAMETER));
        let wide: Vec<u16> = text::terminated("virtual:article");
        // SAFETY: the name ends with a NUL, or is NULL.
        unsafe {
            let file = winusb_compat_CreateFileW(wide.as_ptr(), 0, 0, null(), 3, 0, INVALID_HANDLE);
            assert_ne!(file, INVALID_HANDLE);
            let file = winusb_compat_CreateFileW(null(), 0, 0, null(), 3, 0, INVALID_HANDLE);
            assert_eq!((file, WinUsbX_GetLastError()), (INVALID_HANDLE, ERROR_INVALID_PARAMETER));
        }
    }

    #[test]
    fn events_have_no_names() {
        assert!(!winusb_compat_CreateEventA(null(), 1, 0, null()).is_null());
        assert!(winusb_compat_CreateEventA(null(), 1, 0, c"name".as_ptr().cast()).is_null());
        assert_eq!(WinUsbX_GetLastError(), ERROR_NOT_SUPPORTED);
        assert!(winusb_compat_CreateEventW(null(), 1, 0, [0].as_ptr()).is_null());
    }

    #[test]
    fn ticks_are_milliseconds() {
        assert_eq!(winusb_compat_GetTickCount64(), 1234);
        assert_eq!(winusb_compat_GetTickCount(), 1234);
    }
}
