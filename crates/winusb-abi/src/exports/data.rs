//! Reads, writes and control requests.

use std::sync::Arc;

use isoch::Direction;

use super::{call, write};
use crate::completion::{self, Ran};
use crate::failure::Failure;
use crate::memory::CallerMemory;
use crate::pipes::DataPipe;
use crate::session::{Interface, Pipe};
use crate::types::{BOOL, HANDLE, OVERLAPPED, WINUSB_SETUP_PACKET};

/// `WinUsb_ReadPipe`: reads from a bulk or interrupt pipe.
///
/// # Safety
/// Pointers are NULL or valid; `buffer` and `overlapped` until the request is over.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsb_ReadPipe(
    interface_handle: HANDLE,
    pipe_id: u8,
    buffer: *mut u8,
    buffer_length: u32,
    length_transferred: *mut u32,
    overlapped: *mut OVERLAPPED,
) -> BOOL {
    let arguments = format_args!(
        "interface {interface_handle:?}, pipe {pipe_id:#04x}, {buffer_length} bytes, overlapped {overlapped:?}"
    );
    call("WinUsb_ReadPipe", arguments, || {
        // SAFETY: this function's contract.
        let memory = unsafe { memory(buffer, buffer_length) }?;
        let transfer = Transfer { length: length_transferred, overlapped };
        // SAFETY: this function's contract.
        unsafe { data(interface_handle, pipe_id, Direction::In, memory, &transfer) }
    })
}

/// `WinUsb_WritePipe`: writes to a bulk or interrupt pipe.
///
/// # Safety
/// Pointers are NULL or valid; `Buffer` (which is only read) and `overlapped` until the request is over.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsb_WritePipe(
    interface_handle: HANDLE,
    pipe_id: u8,
    buffer: *mut u8,
    buffer_length: u32,
    length_transferred: *mut u32,
    overlapped: *mut OVERLAPPED,
) -> BOOL {
    let arguments = format_args!(
        "interface {interface_handle:?}, pipe {pipe_id:#04x}, {buffer_length} bytes, overlapped {overlapped:?}"
    );
    call("WinUsb_WritePipe", arguments, || {
        // SAFETY: this function's contract.
        let memory = unsafe { memory(buffer, buffer_length) }?;
        let transfer = Transfer { length: length_transferred, overlapped };
        // SAFETY: this function's contract.
        unsafe { data(interface_handle, pipe_id, Direction::Out, memory, &transfer) }
    })
}

/// `WinUsb_ControlTransfer`: a request to endpoint 0.
///
/// # Safety
/// Pointers are NULL or valid; `buffer` and `overlapped` until the request is over.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsb_ControlTransfer(
    interface_handle: HANDLE,
    setup_packet: WINUSB_SETUP_PACKET,
    buffer: *mut u8,
    buffer_length: u32,
    length_transferred: *mut u32,
    overlapped: *mut OVERLAPPED,
) -> BOOL {
    let WINUSB_SETUP_PACKET { RequestType, Request, Value, Index, Length } = setup_packet;
    let arguments = format_args!(
        "interface {interface_handle:?}, [{RequestType:#04x} {Request:#04x} {Value:#06x} {Index:#06x} {Length}], \
         {buffer_length} bytes, overlapped {overlapped:?}"
    );
    call("WinUsb_ControlTransfer", arguments, || {
        let interface = Interface::from_handle(interface_handle)?;
        // SAFETY: this function's contract.
        let memory = unsafe { memory(buffer, buffer_length) }?;
        let transfer = Transfer { length: length_transferred, overlapped };
        transfer.check(buffer_length > 0)?;
        let control = interface.control();
        let setup = control.setup(setup_packet, memory.len())?;
        let result = completion::run(Arc::clone(interface.file()), overlapped, |finish| {
            control.request(setup, memory, finish)
        });
        // SAFETY: this function's contract.
        unsafe { transfer.tell(result) }
    })
}

/// `WinUsb_AbortPipe`: cancels everything that is under way on a pipe.
///
/// # Safety
/// None: handles are checked.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsb_AbortPipe(interface_handle: HANDLE, pipe_id: u8) -> BOOL {
    call("WinUsb_AbortPipe", format_args!("interface {interface_handle:?}, pipe {pipe_id:#04x}"), || {
        abort(&*Interface::from_handle(interface_handle)?, pipe_id)
    })
}

/// `WinUsb_AbortPipeAsync`: the same; the OVERLAPPED is completed.
///
/// # Safety
/// `overlapped` is NULL or valid until the request is over.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsb_AbortPipeAsync(
    interface_handle: HANDLE,
    pipe_id: u8,
    overlapped: *mut OVERLAPPED,
) -> BOOL {
    call(
        "WinUsb_AbortPipeAsync",
        format_args!("interface {interface_handle:?}, pipe {pipe_id:#04x}, overlapped {overlapped:?}"),
        || {
            let interface = Interface::from_handle(interface_handle)?;
            completion::at_once(interface.file(), overlapped, || abort(&interface, pipe_id))
        },
    )
}

/// `WinUsb_ResetPipe`: clears a stall, and the data toggle.
///
/// # Safety
/// None: handles are checked.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsb_ResetPipe(interface_handle: HANDLE, pipe_id: u8) -> BOOL {
    call("WinUsb_ResetPipe", format_args!("interface {interface_handle:?}, pipe {pipe_id:#04x}"), || {
        reset(&*Interface::from_handle(interface_handle)?, pipe_id, std::ptr::null_mut())
    })
}

/// `WinUsb_ResetPipeAsync`: the same, without waiting for the device if there is an OVERLAPPED.
///
/// # Safety
/// `overlapped` is NULL or valid until the request is over.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsb_ResetPipeAsync(
    interface_handle: HANDLE,
    pipe_id: u8,
    overlapped: *mut OVERLAPPED,
) -> BOOL {
    call(
        "WinUsb_ResetPipeAsync",
        format_args!("interface {interface_handle:?}, pipe {pipe_id:#04x}, overlapped {overlapped:?}"),
        || reset(&*Interface::from_handle(interface_handle)?, pipe_id, overlapped),
    )
}

/// `WinUsb_FlushPipe`: forgets what a device sent more than reads asked for.
///
/// # Safety
/// None: handles are checked.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsb_FlushPipe(interface_handle: HANDLE, pipe_id: u8) -> BOOL {
    call("WinUsb_FlushPipe", format_args!("interface {interface_handle:?}, pipe {pipe_id:#04x}"), || {
        match Interface::from_handle(interface_handle)?.pipe(pipe_id)? {
            Pipe::Data(pipe) => pipe.flush(),
            // Nothing is kept there: programs flush every IN pipe when they reset a device.
            Pipe::Isoch(_) if Direction::of_endpoint(pipe_id) == Direction::In => Ok(()),
            Pipe::Isoch(_) => Err(Failure::argument("an OUT pipe has nothing to flush")),
            Pipe::Control(_) => Err(no_data_pipe(pipe_id)),
        }
    })
}

/// Where a call tells how many bytes it moved.
struct Transfer {
    length: *mut u32,
    overlapped: *mut OVERLAPPED,
}

impl Transfer {
    /// A blocking call has nowhere else to tell it.
    fn check(&self, required: bool) -> Result<(), Failure> {
        match required && self.overlapped.is_null() && self.length.is_null() {
            true => Err(Failure::null("LengthTransferred (which may be, with an OVERLAPPED only)")),
            false => Ok(()),
        }
    }

    /// # Safety
    /// `length` is NULL or valid for a write.
    unsafe fn tell(&self, ran: Ran) -> Result<(), Failure> {
        // Of a request under way the OVERLAPPED will tell; of one that failed it is what was moved before.
        if let Some(bytes) = ran.bytes.filter(|_| !self.length.is_null()) {
            // SAFETY: this function's contract.
            unsafe { write(self.length, "LengthTransferred", u32::try_from(bytes).unwrap_or(u32::MAX)) }?;
        }
        ran.result
    }
}

/// # Safety
/// `address` is NULL, or valid for `length` bytes until the request is over.
unsafe fn memory(address: *mut u8, length: u32) -> Result<CallerMemory, Failure> {
    if address.is_null() && length > 0 {
        return Err(Failure::null("Buffer"));
    }
    // SAFETY: this function's contract.
    Ok(unsafe { CallerMemory::new(address, length as usize) })
}

/// # Safety
/// The pointers in `transfer` are NULL or valid.
unsafe fn data(
    handle: HANDLE,
    pipe: u8,
    direction: Direction,
    memory: CallerMemory,
    transfer: &Transfer,
) -> Result<(), Failure> {
    let interface = Interface::from_handle(handle)?;
    let pipe = data_pipe(&interface, pipe)?;
    transfer.check(true)?;
    pipe.check(direction, memory.len())?;
    let result = completion::run(Arc::clone(interface.file()), transfer.overlapped, |finish| {
        pipe.submit(memory, finish)
    });
    // SAFETY: this function's contract.
    unsafe { transfer.tell(result) }
}

fn data_pipe(interface: &Interface, address: u8) -> Result<Arc<DataPipe>, Failure> {
    match interface.pipe(address)? {
        Pipe::Data(pipe) => Ok(pipe),
        Pipe::Control(_) | Pipe::Isoch(_) => Err(no_data_pipe(address)),
    }
}

fn no_data_pipe(address: u8) -> Failure {
    Failure::argument(format!(
        "pipe {address:#04x} is neither bulk nor interrupt: use WinUsb_ControlTransfer or the isochronous functions"
    ))
}

fn abort(interface: &Interface, address: u8) -> Result<(), Failure> {
    match interface.pipe(address)? {
        Pipe::Control(pipe) => pipe.abort(),
        Pipe::Data(pipe) => pipe.abort(),
        Pipe::Isoch(pipe) => pipe.abort(),
    }
    Ok(())
}

fn reset(interface: &Interface, address: u8, overlapped: *mut OVERLAPPED) -> Result<(), Failure> {
    match interface.pipe(address)? {
        Pipe::Data(pipe) => {
            completion::run(Arc::clone(interface.file()), overlapped, |finish| pipe.reset(finish)).result
        }
        Pipe::Isoch(pipe) => completion::at_once(interface.file(), overlapped, || pipe.reset()),
        Pipe::Control(_) => Err(Failure::argument("endpoint 0 cannot be halted, and so not be reset")),
    }
}
