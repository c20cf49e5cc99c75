//! Policies of pipes and of power.

use std::sync::PoisonError;

use super::{call, read, write};
use crate::failure::Failure;
use crate::memory::CallerMemory;
use crate::pipes::{Kind, Policies};
use crate::session::{Interface, Pipe};
use crate::types::{BOOL, HANDLE};

/// The size of the largest policy.
const LARGEST: usize = 4;

/// `WinUsb_SetPipePolicy`.
///
/// # Safety
/// `value` is NULL or valid for `value_length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsb_SetPipePolicy(
    interface_handle: HANDLE,
    pipe_id: u8,
    policy_type: u32,
    value_length: u32,
    value: *mut std::ffi::c_void,
) -> BOOL {
    let arguments = format_args!(
        "interface {interface_handle:?}, pipe {pipe_id:#04x}, policy {policy_type:#x}, {value_length} bytes"
    );
    call("WinUsb_SetPipePolicy", arguments, || {
        let pipe = Interface::from_handle(interface_handle)?.pipe(pipe_id)?;
        let mut bytes = [0; LARGEST + 1];
        // SAFETY: this function's contract.
        let value = unsafe { bytes_of(value, value_length, &mut bytes) }?;
        match pipe {
            Pipe::Control(pipe) => pipe.set_policy(policy_type, value),
            Pipe::Data(pipe) => pipe.set_policy(policy_type, value),
            Pipe::Isoch(pipe) => {
                Policies::new(Kind::Isoch, pipe.maximum_transfer_size()).set(policy_type, value)
            }
        }
    })
}

/// `WinUsb_GetPipePolicy`.
///
/// # Safety
/// `value_length` is NULL or valid, `value` is NULL or valid for as many bytes as that says.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsb_GetPipePolicy(
    interface_handle: HANDLE,
    pipe_id: u8,
    policy_type: u32,
    value_length: *mut u32,
    value: *mut std::ffi::c_void,
) -> BOOL {
    let arguments =
        format_args!("interface {interface_handle:?}, pipe {pipe_id:#04x}, policy {policy_type:#x}");
    call("WinUsb_GetPipePolicy", arguments, || {
        let policy = match Interface::from_handle(interface_handle)?.pipe(pipe_id)? {
            Pipe::Control(pipe) => pipe.policy(policy_type),
            Pipe::Data(pipe) => pipe.policy(policy_type),
            Pipe::Isoch(pipe) => Policies::new(Kind::Isoch, pipe.maximum_transfer_size()).get(policy_type),
        }?;
        // SAFETY: this function's contract.
        unsafe { give(policy, value_length, value) }
    })
}

/// `WinUsb_SetPowerPolicy`.
///
/// # Safety
/// `value` is NULL or valid for `value_length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsb_SetPowerPolicy(
    interface_handle: HANDLE,
    policy_type: u32,
    value_length: u32,
    value: *mut std::ffi::c_void,
) -> BOOL {
    let arguments =
        format_args!("interface {interface_handle:?}, policy {policy_type:#x}, {value_length} bytes");
    call("WinUsb_SetPowerPolicy", arguments, || {
        let interface = Interface::from_handle(interface_handle)?;
        let mut bytes = [0; LARGEST + 1];
        // SAFETY: this function's contract.
        let value = unsafe { bytes_of(value, value_length, &mut bytes) }?;
        interface.session().power.lock().unwrap_or_else(PoisonError::into_inner).set(policy_type, value)
    })
}

/// `WinUsb_GetPowerPolicy`.
///
/// # Safety
/// `value_length` is NULL or valid, `value` is NULL or valid for as many bytes as that says.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsb_GetPowerPolicy(
    interface_handle: HANDLE,
    policy_type: u32,
    value_length: *mut u32,
    value: *mut std::ffi::c_void,
) -> BOOL {
    call(
        "WinUsb_GetPowerPolicy",
        format_args!("interface {interface_handle:?}, policy {policy_type:#x}"),
        || {
            let interface = Interface::from_handle(interface_handle)?;
            let policy =
                interface.session().power.lock().unwrap_or_else(PoisonError::into_inner).get(policy_type)?;
            // SAFETY: this function's contract.
            unsafe { give(policy, value_length, value) }
        },
    )
}

/// A policy's bytes as the program gave them; of one that is longer than any policy, one byte too many.
///
/// # Safety
/// `value` is NULL or valid for `length` bytes.
unsafe fn bytes_of(
    value: *mut std::ffi::c_void,
    length: u32,
    bytes: &mut [u8; LARGEST + 1],
) -> Result<&[u8], Failure> {
    if value.is_null() {
        return Err(Failure::null("Value"));
    }
    // SAFETY: this function's contract; it is only read, here.
    let count = unsafe { CallerMemory::new(value.cast(), length as usize) }.read(0, bytes);
    Ok(&bytes[..count])
}

/// # Safety
/// `length` is NULL or valid, `value` is NULL or valid for as many bytes as that says.
unsafe fn give(
    (bytes, size): ([u8; LARGEST], usize),
    length: *mut u32,
    value: *mut std::ffi::c_void,
) -> Result<(), Failure> {
    // SAFETY: this function's contract.
    let room = unsafe { read(length, "ValueLength") }? as usize;
    if value.is_null() {
        return Err(Failure::null("Value"));
    }
    if room < size {
        // Documented as "invalid parameter" for power policies; for pipes it is not.
        return Err(Failure::argument(format!("ValueLength is {room}, but the policy has {size} bytes")));
    }
    // SAFETY: this function's contract.
    unsafe { CallerMemory::new(value.cast(), room) }.write(0, &bytes[..size]);
    // SAFETY: this function's contract.
    unsafe { write(length, "ValueLength", size as u32) }
}
