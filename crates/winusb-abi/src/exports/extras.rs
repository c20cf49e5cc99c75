//! What WinUSB cannot tell: `WinUsbX_`.
//!
//! Every struct begins with its size. One that is smaller than this library fills in is refused; of a larger one only what
//! is known here is read and written, so a program may be newer than the library.

use std::ffi::c_char;
use std::path::Path;

use isoch::{DeviceInformation, Speed};

use super::{call, check_size, read, text, write};
use crate::codes::win32;
use crate::environment;
use crate::failure::Failure;
use crate::session::{Interface, Pipe};
use crate::time;
use crate::trace;
use crate::types::{
    BOOL, HANDLE, WINUSBX_BUS, WINUSBX_DEVICE, WINUSBX_FRAME_CLOCK, WINUSBX_STATISTICS, WINUSBX_VERSION,
};

/// `WinUsbX_Version`: the library's version.
///
/// # Safety
/// `version` is NULL or valid for as many bytes as its field `Size` says.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsbX_Version(version: *mut WINUSBX_VERSION) -> BOOL {
    call("WinUsbX_Version", format_args!(""), || {
        let number = |text: &str| text.parse().unwrap_or(0);
        // SAFETY: by this function's contract.
        unsafe {
            fill(version, "Version", |Size| WINUSBX_VERSION {
                Size,
                Major: number(env!("CARGO_PKG_VERSION_MAJOR")),
                Minor: number(env!("CARGO_PKG_VERSION_MINOR")),
                Patch: number(env!("CARGO_PKG_VERSION_PATCH")),
            })
        }
    })
}

/// `WinUsbX_GetLastErrorText`: why this thread's last failed call of this library failed, as a sentence.
///
/// # Safety
/// `buffer` is NULL or valid for writes of `buffer_length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsbX_GetLastErrorText(buffer: *mut c_char, buffer_length: u32) -> BOOL {
    // Not through `call`: it must not change what it tells.
    if buffer.is_null() || buffer_length == 0 {
        crate::system::set_last_error(win32::INVALID_PARAMETER);
        return crate::types::FALSE;
    }
    let reason = trace::reason();
    let reason = cut(&reason, buffer_length as usize - 1);
    for (index, byte) in reason.as_bytes().iter().chain(&[0]).enumerate() {
        // SAFETY: at most `buffer_length` bytes, by this function's contract.
        unsafe { buffer.add(index).write(*byte as c_char) };
    }
    crate::types::TRUE
}

/// `WinUsbX_ListDevices`: the devices that can be opened; the chosen one alone, if one was chosen.
///
/// # Safety
/// `count` is NULL or valid for a read and a write; `devices` is NULL or valid for `*count` structs.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsbX_ListDevices(devices: *mut WINUSBX_DEVICE, count: *mut u32) -> BOOL {
    call("WinUsbX_ListDevices", format_args!(""), || {
        // SAFETY: by this function's contract.
        let room = unsafe { read(count, "Count")? };
        let room = if devices.is_null() { 0 } else { room as usize };
        let found = listed()?;
        // A program that knows more of the struct than this library has larger elements.
        // SAFETY: by this function's contract there is at least one element.
        let stride = if room == 0 { 0 } else { unsafe { read(devices.cast::<u32>(), "Devices")? } };
        for (index, information) in found.iter().take(room).enumerate() {
            // SAFETY: within the room there is, by this function's contract.
            unsafe {
                let device = devices.byte_add(index * stride as usize);
                fill(device, "Devices", |size| described(information, size))?;
            }
        }
        // SAFETY: by this function's contract.
        unsafe { write(count, "Count", u32::try_from(found.len()).unwrap_or(u32::MAX))? };
        if found.len() > room && !devices.is_null() {
            return Err(Failure::new(
                win32::INSUFFICIENT_BUFFER,
                "there are more devices than there is room for",
            ));
        }
        Ok(())
    })
}

/// What can be opened, as [`WinUsbX_ListDevices`] tells it.
fn listed() -> Result<Vec<DeviceInformation>, Failure> {
    let Some(address) = environment::chosen()? else { return Ok(isoch::list()) };
    let device = match isoch::open(&environment::with_clock(&address)?) {
        Ok(device) => device,
        // Not plugged in: then nothing is.
        Err(isoch::Error::NotFound { .. } | isoch::Error::Gone) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    if address.len() >= described(device.information(), 0).Address.len() {
        return Err(Failure::argument(
            "the address of the device is too long to be listed: put its file nearer",
        ));
    }
    // As it was chosen, so that it can be opened as it was meant.
    let mut information = device.information().clone();
    information.address = address;
    Ok(vec![information])
}

fn described(information: &DeviceInformation, size: u32) -> WINUSBX_DEVICE {
    WINUSBX_DEVICE {
        Size: size,
        VendorId: information.vendor_id,
        ProductId: information.product_id,
        Speed: match information.speed {
            Speed::Low => 1,
            Speed::Full => 2,
            Speed::High => 3,
            Speed::Super => 4,
            Speed::SuperPlus => 5,
        },
        Address: fixed(&information.address),
        Manufacturer: fixed(information.manufacturer.as_deref().unwrap_or_default()),
        Product: fixed(information.product.as_deref().unwrap_or_default()),
        SerialNumber: fixed(information.serial_number.as_deref().unwrap_or_default()),
    }
}

/// A text in so many bytes, cut to fit and ended by NUL.
fn fixed<const N: usize>(text: &str) -> [c_char; N] {
    let mut bytes = [0; N];
    for (to, from) in bytes.iter_mut().zip(cut(text, N.saturating_sub(1)).as_bytes()) {
        *to = *from as c_char;
    }
    bytes
}

/// As much of a text as fits into so many bytes.
fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

/// `WinUsbX_ChooseDevice`: the device that a program gets which names none; NULL: what the environment says.
///
/// # Safety
/// `address` is NULL or a string that ends with NUL.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsbX_ChooseDevice(address: *const c_char) -> BOOL {
    call("WinUsbX_ChooseDevice", format_args!(""), || {
        if address.is_null() {
            environment::choose(None);
            return Ok(());
        }
        // SAFETY: by this function's contract.
        let address = unsafe { text(address, "Address")? };
        trace::note(format_args!("{address}"));
        environment::choose(Some(address));
        Ok(())
    })
}

/// `WinUsbX_ConfigureBus`: adds faults to the emulated bus that a device is on.
///
/// # Safety
/// `bus` is NULL or valid for as many bytes as its field `Size` says; its texts end with NUL.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsbX_ConfigureBus(
    interface_handle: HANDLE,
    bus: *const WINUSBX_BUS,
) -> BOOL {
    call("WinUsbX_ConfigureBus", format_args!("interface {interface_handle:?}"), || {
        let interface = Interface::from_handle(interface_handle)?;
        // SAFETY: by this function's contract.
        let file = unsafe {
            check_size::<WINUSBX_BUS>(read(bus.cast::<u32>(), "Bus")?)?;
            read(bus, "Bus")?.FaultFile
        };
        if file.is_null() {
            return Ok(());
        }
        // SAFETY: by this function's contract.
        let file = unsafe { text(file, "FaultFile")? };
        environment::add_faults_of(interface.session().device(), Path::new(file))
    })
}

/// `WinUsbX_AdvanceClock`: runs an emulated bus for so many frames, with everything that happens in them.
///
/// # Safety
/// None: handles are checked.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsbX_AdvanceClock(interface_handle: HANDLE, frames: u32) -> BOOL {
    call("WinUsbX_AdvanceClock", format_args!("interface {interface_handle:?}, {frames} frames"), || {
        let interface = Interface::from_handle(interface_handle)?;
        let bus = interface.session().device().virtual_bus();
        let bus = bus
            .ok_or_else(|| Failure::new(win32::NOT_SUPPORTED, "only an emulated bus's time can be moved"))?;
        Ok(bus.advance(frames.into())?)
    })
}

/// `WinUsbX_GetFrameClock`: the frame that is running, how it is known, and how it relates to WinUSB's number.
///
/// # Safety
/// `clock` is NULL or valid for as many bytes as its field `Size` says.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsbX_GetFrameClock(
    interface_handle: HANDLE,
    clock: *mut WINUSBX_FRAME_CLOCK,
) -> BOOL {
    call("WinUsbX_GetFrameClock", format_args!("interface {interface_handle:?}"), || {
        let interface = Interface::from_handle(interface_handle)?;
        let session = interface.session();
        let mode = session.device().virtual_bus().map_or(0, |bus| match bus.bus_clock() {
            isoch::BusClock::Real => 0,
            isoch::BusClock::Manual => 1,
            isoch::BusClock::OnWait => 2,
        });
        let stamp = session.frames().current().stamp;
        let quality = match stamp.quality {
            isoch::Quality::Exact | isoch::Quality::Register | isoch::Quality::Numbered => 0,
            isoch::Quality::Disciplined => 1,
            isoch::Quality::Coarse => 2,
            _ => 3,
        };
        // SAFETY: by this function's contract.
        unsafe {
            fill(clock, "Clock", |Size| WINUSBX_FRAME_CLOCK {
                Size,
                Mode: mode,
                Bias: session.frames().bias(),
                Quality: quality,
                Microframe: stamp.microframe.into(),
                Frame: stamp.frame,
                PerformanceCounter: time::ticks(stamp.at),
                UncertaintyNanoseconds: u64::try_from(stamp.uncertainty.as_nanos()).unwrap_or(u64::MAX),
            })
        }
    })
}

/// `WinUsbX_GetStatistics`: what was counted on an isochronous pipe since its alternate setting was selected.
///
/// # Safety
/// `statistics` is NULL or valid for as many bytes as its field `Size` says.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsbX_GetStatistics(
    interface_handle: HANDLE,
    pipe_id: u8,
    statistics: *mut WINUSBX_STATISTICS,
) -> BOOL {
    call("WinUsbX_GetStatistics", format_args!("interface {interface_handle:?}, pipe {pipe_id:#04x}"), || {
        let interface = Interface::from_handle(interface_handle)?;
        let Pipe::Isoch(pipe) = interface.pipe(pipe_id)? else {
            return Err(Failure::argument("only isochronous pipes are counted"));
        };
        let counted =
            pipe.statistics().ok_or_else(|| Failure::argument("the pipe's setting is no longer selected"))?;
        // SAFETY: by this function's contract.
        unsafe { fill(statistics, "Statistics", |Size| counts(Size, &counted)) }
    })
}

fn counts(size: u32, counted: &isoch::Statistics) -> WINUSBX_STATISTICS {
    WINUSBX_STATISTICS {
        Size: size,
        Reserved: 0,
        Submitted: counted.submitted,
        Completed: counted.completed,
        Cancelled: counted.cancelled,
        Failed: counted.late_transfers + counted.failed_transfers,
        PacketsDone: counted.packets_done,
        PacketsLate: counted.packets_late,
        PacketsMissed: counted.packets_missed,
        PacketsFailed: counted.packets_failed,
        Bytes: counted.bytes,
        Gaps: counted.gaps,
        IntervalsLost: counted.intervals_lost,
    }
}

/// Fills a struct of a C caller's, which says its size first.
///
/// # Safety
/// `out` is NULL or valid for as many bytes as its first field says.
unsafe fn fill<T>(out: *mut T, name: &'static str, value: impl FnOnce(u32) -> T) -> Result<(), Failure> {
    // SAFETY: by this function's contract at least the size can be read.
    let size = unsafe { read(out.cast::<u32>(), name)? };
    check_size::<T>(size)?;
    // SAFETY: it is large enough.
    unsafe { write(out, name, value(size)) }
}
