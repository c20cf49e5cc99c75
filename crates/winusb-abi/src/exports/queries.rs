//! Descriptors, pipes and alternate settings.

mod walk;

use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;

use isoch::rules::descriptors::{AlternateSetting, Endpoint, TransferType, descriptor_type};
use isoch::rules::{Setup, Speed};

use super::{call, read, value, write};
use crate::codes::win32;
use crate::completion;
use crate::failure::Failure;
use crate::memory::CallerMemory;
use crate::session::Interface;
use crate::types::{
    BOOL, HANDLE, OVERLAPPED, USB_INTERFACE_DESCRIPTOR, WINUSB_PIPE_INFORMATION, WINUSB_PIPE_INFORMATION_EX,
};
use walk::Walk;

/// `InformationType` of `WinUsb_QueryDeviceInformation`.
const DEVICE_SPEED: u32 = 1;
/// Low and full speed, as the page says; the header would have 1 and 2.
const FULL_SPEED_OR_LESS: u8 = 1;
/// High speed and more: a SuperSpeed device was seen to give it, too.
const HIGH_SPEED_OR_MORE: u8 = 3;

/// `WinUsb_GetDescriptor`: as much of a descriptor as there is room for.
///
/// # Safety
/// `buffer` is NULL or valid for `buffer_length` bytes; `length_transferred` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsb_GetDescriptor(
    interface_handle: HANDLE,
    descriptor_type: u8,
    index: u8,
    language_id: u16,
    buffer: *mut u8,
    buffer_length: u32,
    length_transferred: *mut u32,
) -> BOOL {
    let arguments = format_args!(
        "interface {interface_handle:?}, type {descriptor_type:#04x}, index {index}, language {language_id:#06x}, \
         {buffer_length} bytes"
    );
    call("WinUsb_GetDescriptor", arguments, || {
        let interface = Interface::from_handle(interface_handle)?;
        if length_transferred.is_null() {
            return Err(Failure::null("LengthTransferred"));
        }
        if buffer.is_null() && buffer_length > 0 {
            return Err(Failure::null("Buffer"));
        }
        // SAFETY: by this function's contract.
        let memory = unsafe { CallerMemory::new(buffer, buffer_length as usize) };
        let length = descriptor(&interface, (descriptor_type, index), language_id, memory)?;
        // SAFETY: by this function's contract.
        unsafe { write(length_transferred, "LengthTransferred", u32::try_from(length).unwrap_or(u32::MAX)) }
    })
}

fn descriptor(
    interface: &Interface,
    kind: (u8, u8),
    language: u16,
    memory: CallerMemory,
) -> Result<usize, Failure> {
    let device = interface.session().device();
    // What WinUSB has kept since it was initialised, it does not ask the device for.
    match kind {
        (descriptor_type::DEVICE, 0) => return Ok(memory.write(0, &device.descriptor().to_bytes())),
        (descriptor_type::CONFIGURATION, 0) => return Ok(memory.write(0, device.configuration_bytes())),
        _ => {}
    }
    const GET_DESCRIPTOR: u8 = 6;
    let setup = Setup {
        request_type: 0x80,
        request: GET_DESCRIPTOR,
        value: u16::from_be_bytes([kind.0, kind.1]),
        index: language,
        length: u16::try_from(memory.len()).unwrap_or(u16::MAX),
    };
    let control = interface.control();
    control.check_open()?;
    let ran = completion::run(Arc::clone(interface.file()), ptr::null_mut(), |finish| {
        control.request(setup, memory, finish)
    });
    ran.result.map(|()| ran.bytes.unwrap_or(0))
}

/// `WinUsb_QueryInterfaceSettings`: the descriptor of an alternate setting of the interface.
///
/// # Safety
/// `interface_descriptor` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsb_QueryInterfaceSettings(
    interface_handle: HANDLE,
    alternate_interface_number: u8,
    interface_descriptor: *mut USB_INTERFACE_DESCRIPTOR,
) -> BOOL {
    let arguments =
        format_args!("interface {interface_handle:?}, alternate setting {alternate_interface_number}");
    call("WinUsb_QueryInterfaceSettings", arguments, || {
        let interface = Interface::from_handle(interface_handle)?;
        let found = interface.descriptor()?.alternate(alternate_interface_number).ok_or_else(|| {
            let reason = format!("the interface has no alternate setting {alternate_interface_number}");
            Failure::new(win32::NO_MORE_ITEMS, reason)
        })?;
        let descriptor = USB_INTERFACE_DESCRIPTOR {
            bLength: u8::try_from(9 + found.tail.len()).unwrap_or(u8::MAX),
            bDescriptorType: descriptor_type::INTERFACE,
            bInterfaceNumber: interface.number(),
            bAlternateSetting: found.number,
            bNumEndpoints: found.declared_endpoints,
            bInterfaceClass: found.class,
            bInterfaceSubClass: found.subclass,
            bInterfaceProtocol: found.protocol,
            iInterface: found.string,
        };
        // SAFETY: by this function's contract.
        unsafe { write(interface_descriptor, "UsbAltInterfaceDescriptor", descriptor) }
    })
}

/// `WinUsb_QueryDeviceInformation`: how fast the device is.
///
/// # Safety
/// `buffer_length` is NULL or valid; `buffer` is NULL or valid for as many bytes as that says.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsb_QueryDeviceInformation(
    interface_handle: HANDLE,
    information_type: u32,
    buffer_length: *mut u32,
    buffer: *mut c_void,
) -> BOOL {
    let arguments = format_args!("interface {interface_handle:?}, type {information_type}");
    call("WinUsb_QueryDeviceInformation", arguments, || {
        let interface = Interface::from_handle(interface_handle)?;
        if information_type != DEVICE_SPEED {
            return Err(Failure::argument("the only InformationType is DEVICE_SPEED (1)"));
        }
        // SAFETY: by this function's contract.
        let room = unsafe { read(buffer_length, "BufferLength") }?;
        if room < 1 {
            return Err(Failure::new(win32::INSUFFICIENT_BUFFER, "DEVICE_SPEED has 1 byte"));
        }
        let speed = match interface.session().device().information().speed {
            Speed::Low | Speed::Full => FULL_SPEED_OR_LESS,
            Speed::High | Speed::Super | Speed::SuperPlus => HIGH_SPEED_OR_MORE,
        };
        // SAFETY: by this function's contract, there is room for one byte.
        unsafe { write(buffer.cast::<u8>(), "Buffer", speed) }?;
        // SAFETY: by this function's contract.
        unsafe { write(buffer_length, "BufferLength", 1) }
    })
}

/// `WinUsb_QueryPipe`: a pipe of any alternate setting of the interface, by its place there.
///
/// # Safety
/// `pipe_information` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsb_QueryPipe(
    interface_handle: HANDLE,
    alternate_interface_number: u8,
    pipe_index: u8,
    pipe_information: *mut WINUSB_PIPE_INFORMATION,
) -> BOOL {
    let arguments = format_args!(
        "interface {interface_handle:?}, alternate setting {alternate_interface_number}, index {pipe_index}"
    );
    call("WinUsb_QueryPipe", arguments, || {
        let all = pipe(interface_handle, alternate_interface_number, pipe_index)?;
        let information = WINUSB_PIPE_INFORMATION {
            PipeType: all.PipeType,
            PipeId: all.PipeId,
            MaximumPacketSize: all.MaximumPacketSize,
            Interval: all.Interval,
        };
        // SAFETY: by this function's contract.
        unsafe { write(pipe_information, "PipeInformation", information) }
    })
}

/// `WinUsb_QueryPipeEx`: the same, with MaximumBytesPerInterval.
///
/// # Safety
/// `pipe_information` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsb_QueryPipeEx(
    interface_handle: HANDLE,
    alternate_interface_number: u8,
    pipe_index: u8,
    pipe_information: *mut WINUSB_PIPE_INFORMATION_EX,
) -> BOOL {
    let arguments = format_args!(
        "interface {interface_handle:?}, alternate setting {alternate_interface_number}, index {pipe_index}"
    );
    call("WinUsb_QueryPipeEx", arguments, || {
        let information = pipe(interface_handle, alternate_interface_number, pipe_index)?;
        // SAFETY: by this function's contract.
        unsafe { write(pipe_information, "PipeInformationEx", information) }
    })
}

fn pipe(handle: HANDLE, setting: u8, index: u8) -> Result<WINUSB_PIPE_INFORMATION_EX, Failure> {
    let interface = Interface::from_handle(handle)?;
    let setting = interface
        .descriptor()?
        .alternate(setting)
        .ok_or_else(|| Failure::argument(format!("the interface has no alternate setting {setting}")))?;
    let endpoint = endpoint(setting, index)?;
    Ok(information(endpoint, interface.session().device().information().speed))
}

fn endpoint(setting: &AlternateSetting, index: u8) -> Result<&Endpoint, Failure> {
    setting.endpoints.get(usize::from(index)).ok_or_else(|| {
        let count = setting.endpoints.len();
        Failure::new(win32::NO_MORE_ITEMS, format!("alternate setting {} has {count} pipes", setting.number))
    })
}

fn information(endpoint: &Endpoint, speed: Speed) -> WINUSB_PIPE_INFORMATION_EX {
    WINUSB_PIPE_INFORMATION_EX {
        PipeType: match endpoint.transfer_type() {
            TransferType::Control => 0,
            TransferType::Isochronous => 1,
            TransferType::Bulk => 2,
            TransferType::Interrupt => 3,
        },
        PipeId: endpoint.address,
        // Without the additional transactions of high speed (not documented; the kernel's structure has them).
        MaximumPacketSize: endpoint.max_packet_size & 0x07ff,
        Interval: endpoint.interval,
        // 0 for what has no interval, and for an endpoint whose descriptors make no sense.
        MaximumBytesPerInterval: endpoint.timing(speed).map_or(0, |timing| timing.bytes_per_interval()),
    }
}

/// `WinUsb_GetCurrentAlternateSetting`: without asking the device.
///
/// # Safety
/// `setting_number` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsb_GetCurrentAlternateSetting(
    interface_handle: HANDLE,
    setting_number: *mut u8,
) -> BOOL {
    call("WinUsb_GetCurrentAlternateSetting", format_args!("interface {interface_handle:?}"), || {
        let number = Interface::from_handle(interface_handle)?.alternate_setting()?;
        // SAFETY: by this function's contract.
        unsafe { write(setting_number, "SettingNumber", number) }
    })
}

/// `WinUsb_SetCurrentAlternateSetting`: also if it is the current one.
///
/// # Safety
/// None: handles are checked.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsb_SetCurrentAlternateSetting(
    interface_handle: HANDLE,
    setting_number: u8,
) -> BOOL {
    let arguments = format_args!("interface {interface_handle:?}, alternate setting {setting_number}");
    call("WinUsb_SetCurrentAlternateSetting", arguments, || {
        Interface::from_handle(interface_handle)?.set_alternate_setting(setting_number)
    })
}

/// `WinUsb_SetCurrentAlternateSettingAsync`: the same; the OVERLAPPED is completed.
///
/// # Safety
/// `overlapped` is NULL or valid until the request is over.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsb_SetCurrentAlternateSettingAsync(
    interface_handle: HANDLE,
    setting_number: u8,
    overlapped: *mut OVERLAPPED,
) -> BOOL {
    let arguments = format_args!(
        "interface {interface_handle:?}, alternate setting {setting_number}, overlapped {overlapped:?}"
    );
    call("WinUsb_SetCurrentAlternateSettingAsync", arguments, || {
        let interface = Interface::from_handle(interface_handle)?;
        completion::at_once(interface.file(), overlapped, || interface.set_alternate_setting(setting_number))
    })
}

/// `WinUsb_ParseConfigurationDescriptor`: the first interface descriptor at `start_position` or after it that matches;
/// -1 matches anything. NULL if there is none.
///
/// # Safety
/// `configuration_descriptor` is NULL or valid for as many bytes as its `wTotalLength` says.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsb_ParseConfigurationDescriptor(
    configuration_descriptor: *mut c_void,
    start_position: *mut c_void,
    interface_number: i32,
    alternate_setting: i32,
    interface_class: i32,
    interface_sub_class: i32,
    interface_protocol: i32,
) -> *mut USB_INTERFACE_DESCRIPTOR {
    let fields =
        [interface_number, alternate_setting, interface_class, interface_sub_class, interface_protocol];
    let found = value("WinUsb_ParseConfigurationDescriptor", format_args!("fields {fields:?}"), || {
        let header = configuration_descriptor.cast::<[u8; 4]>();
        // SAFETY: by this function's contract. It is a configuration descriptor, whatever it says of itself.
        let [_, _, low, high] = unsafe { read(header, "ConfigurationDescriptor") }?;
        let length = usize::from(u16::from_le_bytes([low, high]));
        // SAFETY: by this function's contract.
        let place = unsafe {
            find(configuration_descriptor, length, start_position, |walk, start| {
                walk.interface(start, fields)
            })
        }?;
        Ok(place)
    });
    found.unwrap_or(ptr::null_mut()).cast()
}

/// `WinUsb_ParseDescriptors`: the first descriptor of a type at `start_position` or after it. NULL if there is none.
///
/// # Safety
/// `descriptor_buffer` is NULL or valid for `total_length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsb_ParseDescriptors(
    descriptor_buffer: *mut c_void,
    total_length: u32,
    start_position: *mut c_void,
    descriptor_type: i32,
) -> *mut c_void {
    let arguments = format_args!("{total_length} bytes, type {descriptor_type}");
    let found = value("WinUsb_ParseDescriptors", arguments, || {
        let length = total_length as usize;
        // SAFETY: by this function's contract.
        unsafe {
            find(descriptor_buffer, length, start_position, |walk, start| {
                walk.of_type(start, descriptor_type)
            })
        }
    });
    found.unwrap_or(ptr::null_mut())
}

/// # Safety
/// `buffer` is NULL or valid for `length` bytes.
unsafe fn find(
    buffer: *mut c_void,
    length: usize,
    start: *mut c_void,
    search: impl FnOnce(&Walk<&dyn Fn(usize, &mut [u8]) -> usize>, usize) -> Option<usize>,
) -> Result<*mut c_void, Failure> {
    if buffer.is_null() {
        return Err(Failure::null("the buffer"));
    }
    // SAFETY: by this function's contract; it is only read, here.
    let memory = unsafe { CallerMemory::new(buffer.cast(), length) };
    let start = (start as usize).checked_sub(buffer as usize);
    let bytes = |place: usize, bytes: &mut [u8]| memory.read(place, bytes);
    let found = start.and_then(|start| search(&Walk::new(length, &bytes), start));
    let found = found.ok_or_else(|| {
        Failure::new(win32::NO_MORE_ITEMS, "no such descriptor lies at the start position or behind it")
    })?;
    // SAFETY: it was read there, so it lies in the buffer.
    Ok(unsafe { buffer.byte_add(found) })
}
