//! The kernel objects, where there is no Windows: device files, events, completion ports, waits, the last error.
//!
//! Why here, and not in the library with Win32's names? An OVERLAPPED means nothing without them: completing one *is*
//! signalling an event and posting to a port. `libwinusb-compat` puts Win32's names and manners on top.

use std::ffi::c_char;
use std::sync::Arc;

use super::session::overlapped_result;
use super::{call, text, value, write};
use crate::codes::{NtStatus, win32};
use crate::failure::Failure;
use crate::system::{self, Event, File, Object, Packet, Port, objects};
use crate::types::{BOOL, HANDLE, OVERLAPPED, OVERLAPPED_ENTRY};
use crate::{time, waits};

const INVALID_HANDLE_VALUE: HANDLE = -1_isize as HANDLE;
/// `MAXIMUM_WAIT_OBJECTS`.
const MOST_OBJECTS: u32 = 64;
const WAIT_OBJECT_0: u32 = 0;
const WAIT_TIMEOUT: u32 = 258;
const WAIT_FAILED: u32 = u32::MAX;

/// Opens a device by its address, for one program at a time; INVALID_HANDLE_VALUE if it cannot be.
///
/// # Safety
/// `address` is NULL or a string that ends with NUL.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsbX_OpenDevice(
    address: *const c_char,
    desired_access: u32,
    flags_and_attributes: u32,
) -> HANDLE {
    let arguments = format_args!("access {desired_access:#x}, flags {flags_and_attributes:#x}");
    let opened = value("WinUsbX_OpenDevice", arguments, || {
        // SAFETY: by this function's contract.
        let address = unsafe { text(address, "Address")? };
        crate::trace::note(format_args!("{address}"));
        File::open(address, desired_access, flags_and_attributes)
    });
    opened.unwrap_or(INVALID_HANDLE_VALUE)
}

/// Closes a device file, an event or a port. Requests on a device file are cancelled, and told before this returns.
///
/// # Safety
/// None: handles are checked.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsbX_CloseHandle(handle: HANDLE) -> BOOL {
    call("WinUsbX_CloseHandle", format_args!("{handle:?}"), || system::close(handle))
}

/// Makes an event; NULL if there are too many handles.
///
/// # Safety
/// None.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsbX_CreateEvent(manual_reset: BOOL, initial_state: BOOL) -> HANDLE {
    let arguments = format_args!("manual reset {manual_reset}, initially {initial_state}");
    let made = value("WinUsbX_CreateEvent", arguments, || {
        objects().insert(Arc::new(Object::Event(Event::new(manual_reset != 0, initial_state != 0))))
    });
    made.unwrap_or(std::ptr::null_mut())
}

/// Signals an event.
///
/// # Safety
/// None: handles are checked.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsbX_SetEvent(event: HANDLE) -> BOOL {
    call("WinUsbX_SetEvent", format_args!("{event:?}"), || system::get_event(event).map(|event| event.set()))
}

/// Makes an event not signalled.
///
/// # Safety
/// None: handles are checked.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsbX_ResetEvent(event: HANDLE) -> BOOL {
    call("WinUsbX_ResetEvent", format_args!("{event:?}"), || {
        system::get_event(event).map(|event| event.reset())
    })
}

/// Waits for an event, or for the end of a request on a device file.
///
/// # Safety
/// None: handles are checked.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsbX_WaitForSingleObject(handle: HANDLE, milliseconds: u32) -> u32 {
    let arguments = format_args!("{handle:?}, {milliseconds} ms");
    let waited = value("WinUsbX_WaitForSingleObject", arguments, || {
        system::wait_for_objects(&[handle], false, milliseconds).map(answer)
    });
    waited.unwrap_or(WAIT_FAILED)
}

/// Waits for one of several objects, or for all.
///
/// # Safety
/// `handles` is NULL or valid for reads of `count` handles.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsbX_WaitForMultipleObjects(
    count: u32,
    handles: *const HANDLE,
    wait_all: BOOL,
    milliseconds: u32,
) -> u32 {
    let arguments = format_args!("{count} objects, all {wait_all}, {milliseconds} ms");
    let waited = value("WinUsbX_WaitForMultipleObjects", arguments, || {
        if handles.is_null() || !(1..=MOST_OBJECTS).contains(&count) {
            return Err(Failure::argument(format!("a wait is for 1 to {MOST_OBJECTS} handles")));
        }
        // SAFETY: by this function's contract, and at most 64 of them.
        let handles = (0..count as usize).map(|index| unsafe { handles.add(index).read_unaligned() });
        system::wait_for_objects(&handles.collect::<Vec<_>>(), wait_all != 0, milliseconds).map(answer)
    });
    waited.unwrap_or(WAIT_FAILED)
}

/// What a wait returns for the object that ended it, if one did.
fn answer(ended: Option<usize>) -> u32 {
    ended.map_or(WAIT_TIMEOUT, |index| WAIT_OBJECT_0 + index as u32)
}

/// Lets time pass: the bus's, where that is emulated.
///
/// # Safety
/// None.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsbX_Sleep(milliseconds: u32) {
    waits::pause(milliseconds);
}

/// How a request on a device file ended.
///
/// # Safety
/// As [`WinUsb_GetOverlappedResult`](super::WinUsb_GetOverlappedResult).
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsbX_GetOverlappedResult(
    file: HANDLE,
    overlapped: *mut OVERLAPPED,
    bytes_transferred: *mut u32,
    wait: BOOL,
) -> BOOL {
    let arguments = format_args!("file {file:?}, overlapped {overlapped:?}, wait {wait}");
    call("WinUsbX_GetOverlappedResult", arguments, || {
        let file = File::get(file)?;
        // SAFETY: by this function's contract.
        unsafe { overlapped_result(&file, overlapped, bytes_transferred, wait) }
    })
}

/// Cancels one request on a device file; NULL: all of them. Their ends are still told.
///
/// # Safety
/// None: the OVERLAPPED is only compared.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsbX_CancelIoEx(file: HANDLE, overlapped: *mut OVERLAPPED) -> BOOL {
    let arguments = format_args!("file {file:?}, overlapped {overlapped:?}");
    call("WinUsbX_CancelIoEx", arguments, || File::get(file)?.cancel(overlapped))
}

/// Makes a completion port, or binds a device file to one.
///
/// # Safety
/// None: handles are checked.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsbX_CreateIoCompletionPort(
    file: HANDLE,
    existing_port: HANDLE,
    completion_key: usize,
    _threads: u32,
) -> HANDLE {
    let arguments = format_args!("file {file:?}, port {existing_port:?}, key {completion_key:#x}");
    let port = value("WinUsbX_CreateIoCompletionPort", arguments, || {
        if file == INVALID_HANDLE_VALUE {
            if !existing_port.is_null() {
                return Err(Failure::argument("there is no file to bind to the port"));
            }
            return objects().insert(Arc::new(Object::Port(Port::new())));
        }
        let file = File::from_handle(file)?;
        if !existing_port.is_null() {
            file.bind(system::get_port(existing_port)?, completion_key)?;
            return Ok(existing_port);
        }
        let port = Port::new();
        let handle = objects().insert(Arc::new(Object::Port(Arc::clone(&port))))?;
        if let Err(failure) = file.bind(port, completion_key) {
            system::close(handle)?;
            return Err(failure);
        }
        Ok(handle)
    });
    port.unwrap_or(std::ptr::null_mut())
}

/// Takes one completion from a port. FALSE with `*overlapped` set: it is of a request that failed.
///
/// # Safety
/// The pointers are NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsbX_GetQueuedCompletionStatus(
    port: HANDLE,
    bytes_transferred: *mut u32,
    completion_key: *mut usize,
    overlapped: *mut *mut OVERLAPPED,
    milliseconds: u32,
) -> BOOL {
    let arguments = format_args!("port {port:?}, {milliseconds} ms");
    call("WinUsbX_GetQueuedCompletionStatus", arguments, || {
        if bytes_transferred.is_null() || completion_key.is_null() || overlapped.is_null() {
            return Err(Failure::argument("an output pointer is NULL"));
        }
        // SAFETY: by this function's contract.
        unsafe { write(overlapped, "lpOverlapped", std::ptr::null_mut())? };
        let packets = system::get_port(port)?.take(1, milliseconds)?;
        let Some(packet) = packets.first() else { return Err(timed_out()) };
        // SAFETY: by this function's contract.
        unsafe {
            write(bytes_transferred, "lpNumberOfBytesTransferred", bytes(packet))?;
            write(completion_key, "lpCompletionKey", packet.key)?;
            write(overlapped, "lpOverlapped", packet.overlapped as *mut OVERLAPPED)?;
        }
        match packet.status.win32() {
            0 => Ok(()),
            code => Err(Failure::new(code, crate::completion::ended(packet.status))),
        }
    })
}

/// Takes several completions from a port at once. `alertable` has no meaning here.
///
/// # Safety
/// `entries` is NULL or valid for writes of `count` entries, `removed` NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsbX_GetQueuedCompletionStatusEx(
    port: HANDLE,
    entries: *mut OVERLAPPED_ENTRY,
    count: u32,
    removed: *mut u32,
    milliseconds: u32,
    _alertable: BOOL,
) -> BOOL {
    let arguments = format_args!("port {port:?}, up to {count}, {milliseconds} ms");
    call("WinUsbX_GetQueuedCompletionStatusEx", arguments, || {
        if entries.is_null() || removed.is_null() || count == 0 {
            return Err(Failure::argument("there is no room for entries, or an output pointer is NULL"));
        }
        let packets = system::get_port(port)?.take(count as usize, milliseconds)?;
        for (index, packet) in packets.iter().enumerate() {
            let entry = OVERLAPPED_ENTRY {
                lpCompletionKey: packet.key,
                lpOverlapped: packet.overlapped as *mut OVERLAPPED,
                Internal: packet.status.0 as usize,
                dwNumberOfBytesTransferred: bytes(packet),
            };
            // SAFETY: at most `count` of them, by this function's contract.
            unsafe { entries.add(index).write_unaligned(entry) };
        }
        // SAFETY: by this function's contract.
        unsafe { write(removed, "ulNumEntriesRemoved", packets.len() as u32)? };
        if packets.is_empty() { Err(timed_out()) } else { Ok(()) }
    })
}

/// Posts a completion of the program's own.
///
/// # Safety
/// None: the OVERLAPPED is only given back.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsbX_PostQueuedCompletionStatus(
    port: HANDLE,
    bytes_transferred: u32,
    completion_key: usize,
    overlapped: *mut OVERLAPPED,
) -> BOOL {
    let arguments =
        format_args!("port {port:?}, {bytes_transferred} bytes, key {completion_key:#x}, {overlapped:?}");
    call("WinUsbX_PostQueuedCompletionStatus", arguments, || {
        let (overlapped, bytes) = (overlapped as usize, bytes_transferred as usize);
        system::get_port(port)?.post(Packet {
            key: completion_key,
            overlapped,
            status: NtStatus::SUCCESS,
            bytes,
        });
        Ok(())
    })
}

/// This thread's last error.
///
/// # Safety
/// None.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsbX_GetLastError() -> u32 {
    system::last_error()
}

/// Sets this thread's last error.
///
/// # Safety
/// None.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsbX_SetLastError(code: u32) {
    system::set_last_error(code);
}

/// The performance counter; emulated time while a device is open on a bus that emulates it.
///
/// # Safety
/// `count` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsbX_QueryPerformanceCounter(count: *mut i64) -> BOOL {
    // SAFETY: by this function's contract.
    call("WinUsbX_QueryPerformanceCounter", format_args!(""), || unsafe {
        write(count, "lpPerformanceCount", time::counter())
    })
}

/// Ticks of the performance counter per second.
///
/// # Safety
/// `frequency` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsbX_QueryPerformanceFrequency(frequency: *mut i64) -> BOOL {
    // SAFETY: by this function's contract.
    call("WinUsbX_QueryPerformanceFrequency", format_args!(""), || unsafe {
        write(frequency, "lpFrequency", time::frequency())
    })
}

fn bytes(packet: &Packet) -> u32 {
    u32::try_from(packet.bytes).unwrap_or(u32::MAX)
}

fn timed_out() -> Failure {
    Failure::new(win32::WAIT_TIMEOUT, "no completion came in time")
}
