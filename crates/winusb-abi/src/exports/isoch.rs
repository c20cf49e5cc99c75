//! The isochronous functions.

use std::sync::Arc;

use isoch::rules::winusb::{self, Transfer};

use super::{call, check_size, read, write};
use crate::codes::win32;
use crate::completion;
use crate::failure::Failure;
use crate::memory::CallerMemory;
use crate::pipes::{IsochRequest, PacketDescriptors, Registration, ReportMemory, Start};
use crate::session::{Interface, Pipe};
use crate::trace;
use crate::types::{BOOL, HANDLE, OVERLAPPED, USBD_ISO_PACKET_DESCRIPTOR, WINUSBX_ISOCH_TRANSFER};

/// `WinUsb_RegisterIsochBuffer`: binds memory to an isochronous pipe of the alternate setting in force.
///
/// # Safety
/// `buffer` is NULL or valid for reads and writes of `buffer_length` bytes until it is unregistered;
/// `isoch_buffer_handle` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsb_RegisterIsochBuffer(
    interface_handle: HANDLE,
    pipe_id: u8,
    buffer: *mut u8,
    buffer_length: u32,
    isoch_buffer_handle: *mut HANDLE,
) -> BOOL {
    let arguments = format_args!(
        "interface {interface_handle:?}, pipe {pipe_id:#04x}, {buffer_length} bytes at {buffer:?}"
    );
    call("WinUsb_RegisterIsochBuffer", arguments, || {
        let interface = Interface::from_handle(interface_handle)?;
        if isoch_buffer_handle.is_null() {
            return Err(Failure::null("IsochBufferHandle"));
        }
        let Pipe::Isoch(pipe) = interface.pipe(pipe_id)? else {
            return Err(winusb::Refusal::NotIsochronous.into());
        };
        winusb::check_registration(if buffer.is_null() { 0 } else { buffer_length })?;
        let file = interface.file();
        // The access bits of the two control codes behind this function.
        let (allowed, needed) = match pipe.direction() {
            isoch::Direction::Out => (file.is_writable(), "GENERIC_WRITE"),
            isoch::Direction::In => (file.is_readable(), "GENERIC_READ"),
        };
        if !allowed {
            return Err(Failure::new(
                win32::ACCESS_DENIED,
                format!("the device file was opened without {needed}"),
            ));
        }
        // SAFETY: by this function's contract.
        let memory = unsafe { CallerMemory::new(buffer, buffer_length as usize) };
        let handle = Registration::register(file, pipe, memory)?;
        // SAFETY: by this function's contract.
        unsafe { write(isoch_buffer_handle, "IsochBufferHandle", handle) }
    })
}

/// `WinUsb_UnregisterIsochBuffer`: blocks until no transfer uses the buffer.
///
/// # Safety
/// None: handles are checked.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsb_UnregisterIsochBuffer(isoch_buffer_handle: HANDLE) -> BOOL {
    let arguments = format_args!("buffer {isoch_buffer_handle:?}");
    call("WinUsb_UnregisterIsochBuffer", arguments, || Registration::unregister(isoch_buffer_handle))
}

/// `WinUsb_WriteIsochPipe`: a write that begins on `*frame_number`, which becomes the frame that follows.
///
/// # Safety
/// `frame_number` is NULL or valid for a read and a write; `overlapped` is NULL or valid until the request is over.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsb_WriteIsochPipe(
    buffer_handle: HANDLE,
    offset: u32,
    length: u32,
    frame_number: *mut u32,
    overlapped: *mut OVERLAPPED,
) -> BOOL {
    let arguments =
        format_args!("buffer {buffer_handle:?}, offset {offset}, length {length}, overlapped {overlapped:?}");
    call("WinUsb_WriteIsochPipe", arguments, || {
        let registration = Registration::from_handle(buffer_handle)?;
        let transfer = registration.pipe().rules().check_write(registration.length(), offset, length)?;
        // SAFETY: by this function's contract.
        let start = unsafe { start_at(frame_number, &transfer)? };
        let request = IsochRequest { start, transfer, packets: None, report: None };
        run(registration, request, None, overlapped, |next| {
            // SAFETY: not NULL, or `start_at` had refused it.
            unsafe { frame_number.write_unaligned(next) }
        })
    })
}

/// `WinUsb_ReadIsochPipe`: a read that begins on `*frame_number`, which becomes the frame that follows.
///
/// # Safety
/// As [`WinUsb_WriteIsochPipe`]; `packets` is NULL or valid for writes of `number_of_packets` descriptors until the
/// request is over.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsb_ReadIsochPipe(
    buffer_handle: HANDLE,
    offset: u32,
    length: u32,
    frame_number: *mut u32,
    number_of_packets: u32,
    packets: *mut USBD_ISO_PACKET_DESCRIPTOR,
    overlapped: *mut OVERLAPPED,
) -> BOOL {
    let arguments = format_args!(
        "buffer {buffer_handle:?}, offset {offset}, length {length}, {number_of_packets} packets, overlapped {overlapped:?}"
    );
    call("WinUsb_ReadIsochPipe", arguments, || {
        let registration = Registration::from_handle(buffer_handle)?;
        let rules = registration.pipe().rules();
        let transfer = rules.check_read(registration.length(), offset, length, number_of_packets)?;
        // SAFETY: by this function's contract.
        let (packets, start) =
            unsafe { (descriptors(packets, number_of_packets)?, start_at(frame_number, &transfer)?) };
        let request = IsochRequest { start, transfer, packets: Some(packets), report: None };
        run(registration, request, None, overlapped, |next| {
            // SAFETY: not NULL, or `start_at` had refused it.
            unsafe { frame_number.write_unaligned(next) }
        })
    })
}

/// `WinUsb_WriteIsochPipeAsap`: a write behind what is pending; if nothing is, or it came too late for that, as soon as
/// possible, or not at all with `continue_stream`.
///
/// # Safety
/// `overlapped` is NULL or valid until the request is over.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsb_WriteIsochPipeAsap(
    buffer_handle: HANDLE,
    offset: u32,
    length: u32,
    continue_stream: BOOL,
    overlapped: *mut OVERLAPPED,
) -> BOOL {
    let arguments = format_args!(
        "buffer {buffer_handle:?}, offset {offset}, length {length}, continue {continue_stream}, overlapped {overlapped:?}"
    );
    call("WinUsb_WriteIsochPipeAsap", arguments, || {
        let registration = Registration::from_handle(buffer_handle)?;
        let transfer = registration.pipe().rules().check_write(registration.length(), offset, length)?;
        let start = asap(continue_stream);
        let request = IsochRequest { start, transfer, packets: None, report: None };
        run(registration, request, None, overlapped, |_| {})
    })
}

/// `WinUsb_ReadIsochPipeAsap`: as [`WinUsb_WriteIsochPipeAsap`], for a read.
///
/// # Safety
/// As [`WinUsb_ReadIsochPipe`].
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsb_ReadIsochPipeAsap(
    buffer_handle: HANDLE,
    offset: u32,
    length: u32,
    continue_stream: BOOL,
    number_of_packets: u32,
    packets: *mut USBD_ISO_PACKET_DESCRIPTOR,
    overlapped: *mut OVERLAPPED,
) -> BOOL {
    let arguments = format_args!(
        "buffer {buffer_handle:?}, offset {offset}, length {length}, continue {continue_stream}, {number_of_packets} packets, \
         overlapped {overlapped:?}"
    );
    call("WinUsb_ReadIsochPipeAsap", arguments, || {
        let registration = Registration::from_handle(buffer_handle)?;
        let rules = registration.pipe().rules();
        let transfer = rules.check_read(registration.length(), offset, length, number_of_packets)?;
        // SAFETY: by this function's contract.
        let packets = unsafe { descriptors(packets, number_of_packets)? };
        let start = asap(continue_stream);
        let request = IsochRequest { start, transfer, packets: Some(packets), report: None };
        run(registration, request, None, overlapped, |_| {})
    })
}

/// `WinUsbX_SubmitIsoch`: a transfer with a length for each packet, a result for each packet, and a report.
///
/// # Safety
/// `transfer` is NULL or points to a transfer whose pointers are NULL or valid until the request is over; its
/// `PacketLengths` are read during the call only. `overlapped` as in [`WinUsb_WriteIsochPipe`].
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsbX_SubmitIsoch(
    buffer_handle: HANDLE,
    transfer: *mut WINUSBX_ISOCH_TRANSFER,
    overlapped: *mut OVERLAPPED,
) -> BOOL {
    call("WinUsbX_SubmitIsoch", format_args!("buffer {buffer_handle:?}, overlapped {overlapped:?}"), || {
        let registration = Registration::from_handle(buffer_handle)?;
        // SAFETY: by this function's contract; the size comes first and says how much there is.
        let asked = unsafe {
            check_size::<WINUSBX_ISOCH_TRANSFER>(read(transfer.cast::<u32>(), "Transfer")?)?;
            read(transfer, "Transfer")?
        };
        let start = match asked.Start {
            0 => Start::At(asked.FrameNumber),
            1 => Start::Asap,
            2 => Start::Continue,
            other => return Err(Failure::argument(format!("Start is 0, 1 or 2, not {other}"))),
        };
        // SAFETY: by this function's contract.
        let (request, lengths) = unsafe { extended(&registration, &asked, start)? };
        run(registration, request, lengths.as_deref(), overlapped, |next| {
            if asked.Start == 0 {
                // SAFETY: it could be read above.
                unsafe { (&raw mut (*transfer).FrameNumber).write_unaligned(next) }
            }
        })
    })
}

/// The transfer that a struct asks for, and the lengths of its packets, if it gives them.
///
/// # Safety
/// As [`WinUsbX_SubmitIsoch`].
unsafe fn extended(
    registration: &Registration,
    asked: &WINUSBX_ISOCH_TRANSFER,
    start: Start,
) -> Result<(IsochRequest, Option<Vec<u32>>), Failure> {
    let (length, rules) = (registration.length(), registration.pipe().rules());
    let reads = registration.pipe().direction() == isoch::Direction::In;
    let (transfer, lengths) = if reads {
        if !asked.PacketLengths.is_null() {
            return Err(Failure::argument(
                "PacketLengths are for OUT pipes: a read offers every packet its full room",
            ));
        }
        (rules.check_read(length, asked.Offset, asked.Length, asked.NumberOfPackets)?, None)
    } else if asked.PacketLengths.is_null() {
        (rules.check_write(length, asked.Offset, asked.Length)?, None)
    } else {
        let transfer =
            rules.check_packet_lengths(length, asked.Offset, asked.Length, asked.NumberOfPackets)?;
        // Not more than the rules allow packets in a transfer, so this is no large allocation.
        let lengths: Vec<u32> = (0..asked.NumberOfPackets as usize)
            // SAFETY: by the contract there are as many lengths as packets.
            .map(|index| unsafe { asked.PacketLengths.add(index).read_unaligned() })
            .collect();
        if lengths.iter().map(|length| u64::from(*length)).sum::<u64>() != u64::from(asked.Length) {
            return Err(Failure::argument("the PacketLengths do not add up to Length"));
        }
        (transfer, Some(lengths))
    };
    if asked.Packets.is_null() && reads {
        return Err(Failure::null("Packets"));
    }
    if !asked.Packets.is_null() && asked.NumberOfPackets != transfer.packets {
        let packets = transfer.packets;
        return Err(Failure::argument(format!(
            "NumberOfPackets does not match Length, which is {packets} packets"
        )));
    }
    // SAFETY: by the contract.
    let (packets, report) = unsafe {
        let packets =
            (!asked.Packets.is_null()).then(|| PacketDescriptors::new(asked.Packets, transfer.packets));
        let report = if asked.Report.is_null() { None } else { Some(ReportMemory::new(asked.Report)?) };
        (packets, report)
    };
    Ok((IsochRequest { start, transfer, packets, report }, lengths))
}

fn asap(continue_stream: BOOL) -> Start {
    if continue_stream == 0 { Start::Asap } else { Start::Continue }
}

/// # Safety
/// `frame_number` is NULL or valid for a read.
unsafe fn start_at(frame_number: *mut u32, transfer: &Transfer) -> Result<Start, Failure> {
    // SAFETY: by this function's contract.
    let frame = unsafe { read(frame_number, "FrameNumber")? };
    trace::note(format_args!("asked for frame {frame}, {} frames", transfer.frames));
    Ok(Start::At(frame))
}

/// # Safety
/// `packets` is NULL or valid for writes of `count` descriptors until the request is over.
unsafe fn descriptors(
    packets: *mut USBD_ISO_PACKET_DESCRIPTOR,
    count: u32,
) -> Result<PacketDescriptors, Failure> {
    if packets.is_null() {
        return Err(Failure::null("IsoPacketDescriptors"));
    }
    // SAFETY: by this function's contract.
    Ok(unsafe { PacketDescriptors::new(packets, count) })
}

/// Starts an accepted transfer. `tell_next` gets the frame that follows it before anything is judged by the clock.
fn run(
    registration: Arc<Registration>,
    request: IsochRequest,
    lengths: Option<&[u32]>,
    overlapped: *mut OVERLAPPED,
    tell_next: impl FnOnce(u32),
) -> Result<(), Failure> {
    let (file, pipe) = (registration.file()?, Arc::clone(registration.pipe()));
    let next = match request.start {
        Start::At(frame) => Some(request.transfer.frame_number_out(frame)),
        Start::Asap | Start::Continue => None,
    };
    let using = registration.begin()?;
    let prepared = pipe.prepare(&using, &request, lengths)?;
    completion::run(file, overlapped, |finish| {
        if let Some(next) = next {
            tell_next(next);
        }
        prepared.submit(using, request, finish);
    })
    // The number of bytes is 0 for isochronous transfers; packet descriptors tell more.
    .result
}
