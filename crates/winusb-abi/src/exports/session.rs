//! Initialize, Free, GetAssociatedInterface, GetOverlappedResult.

use std::sync::PoisonError;

use super::{call, write};
use crate::codes::win32;
use crate::completion;
use crate::failure::Failure;
use crate::session::{Interface, PowerPolicies};
use crate::system;
use crate::types::{BOOL, HANDLE, OVERLAPPED};

/// `WinUsb_Initialize`: a handle for the first interface of an open device file.
///
/// # Safety
/// `interface_handle` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsb_Initialize(
    device_handle: HANDLE,
    interface_handle: *mut HANDLE,
) -> BOOL {
    call("WinUsb_Initialize", format_args!("file {device_handle:?}"), || {
        let file = system::File::from_handle(device_handle)?;
        if interface_handle.is_null() {
            return Err(Failure::null("InterfaceHandle"));
        }
        let session = file.session();
        session.check_present()?;
        let interface = session.interface(&file, 0)?;
        // Policies begin at their defaults.
        *session.power.lock().unwrap_or_else(PoisonError::into_inner) = PowerPolicies::default();
        let handle = interface.into_handle()?;
        // SAFETY: by this function's contract.
        unsafe { write(interface_handle, "InterfaceHandle", handle) }
    })
}

/// `WinUsb_Free`: releases an interface handle. What is under way goes on.
///
/// # Safety
/// None: handles are checked.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsb_Free(interface_handle: HANDLE) -> BOOL {
    call("WinUsb_Free", format_args!("interface {interface_handle:?}"), || Interface::free(interface_handle))
}

/// `WinUsb_GetAssociatedInterface`: a handle for a further interface; index 0 is the one after the first.
///
/// # Safety
/// `associated_interface_handle` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsb_GetAssociatedInterface(
    interface_handle: HANDLE,
    associated_interface_index: u8,
    associated_interface_handle: *mut HANDLE,
) -> BOOL {
    let arguments = format_args!("interface {interface_handle:?}, index {associated_interface_index}");
    call("WinUsb_GetAssociatedInterface", arguments, || {
        let interface = Interface::from_handle(interface_handle)?;
        if associated_interface_handle.is_null() {
            return Err(Failure::null("AssociatedInterfaceHandle"));
        }
        let Some(index) = associated_interface_index.checked_add(1) else {
            return Err(Failure::argument("AssociatedInterfaceIndex 255 is too large"));
        };
        let associated = interface.session().interface(interface.file(), usize::from(index))?;
        let handle = associated.into_handle()?;
        // SAFETY: by this function's contract.
        unsafe { write(associated_interface_handle, "AssociatedInterfaceHandle", handle) }
    })
}

/// `WinUsb_GetOverlappedResult`: how a request ended; with `wait`, after it has.
///
/// # Safety
/// `overlapped` is NULL or the OVERLAPPED of a request; `bytes_transferred` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsb_GetOverlappedResult(
    interface_handle: HANDLE,
    overlapped: *mut OVERLAPPED,
    bytes_transferred: *mut u32,
    wait: BOOL,
) -> BOOL {
    let arguments = format_args!("interface {interface_handle:?}, overlapped {overlapped:?}, wait {wait}");
    call("WinUsb_GetOverlappedResult", arguments, || {
        let interface = Interface::from_handle(interface_handle)?;
        // SAFETY: by this function's contract.
        unsafe { overlapped_result(interface.file(), overlapped, bytes_transferred, wait) }
    })
}

/// How a request on a file ended.
///
/// # Safety
/// As [`WinUsb_GetOverlappedResult`].
pub(super) unsafe fn overlapped_result(
    file: &system::File,
    overlapped: *mut OVERLAPPED,
    bytes_transferred: *mut u32,
    wait: BOOL,
) -> Result<(), Failure> {
    if bytes_transferred.is_null() {
        return Err(Failure::null("lpNumberOfBytesTransferred"));
    }
    let Some((status, bytes)) = system::result(file, overlapped, wait != 0)? else {
        return Err(Failure::new(win32::IO_INCOMPLETE, "the request is still under way"));
    };
    // SAFETY: by this function's contract.
    unsafe {
        write(bytes_transferred, "lpNumberOfBytesTransferred", u32::try_from(bytes).unwrap_or(u32::MAX))?
    };
    match status.win32() {
        0 => Ok(()),
        code => Err(Failure::new(code, completion::ended(status))),
    }
}
