//! The system's winusb.dll, and every function of it that is called here.
//!
//! Why not link to it? Because a program that is linked to `winusb.dll` gets whichever file of that name lies
//! beside it, and this project builds one: the bus would then speak to itself. So the library is loaded by
//! its absolute path in the system's directory, and one of ours is refused there. `ISOCH_WINUSB_DLL` names
//! another file by its absolute path; that is how this bus is tested where there is no real device.
//!
//! The functions for time synchronisation (Windows 10) are not used: the frame number and its time stamp that
//! Windows 8.1 gives are enough for the clock.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_void};
use std::os::windows::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use windows_sys::Win32::Foundation::{HANDLE, HMODULE};
use windows_sys::Win32::System::IO::OVERLAPPED;
use windows_sys::Win32::System::LibraryLoader::{
    GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS, GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT, GetModuleHandleExW,
    GetProcAddress, LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR, LOAD_LIBRARY_SEARCH_SYSTEM32, LoadLibraryExW,
};
use windows_sys::Win32::System::SystemInformation::GetSystemDirectoryW;
use windows_sys::core::BOOL;

use super::system;
use crate::Error;

/// Names another winusb.dll, by its absolute path.
const OVERRIDE: &str = "ISOCH_WINUSB_DLL";

/// `WINUSB_INTERFACE_HANDLE`.
pub(super) type InterfaceHandle = *mut c_void;
/// `WINUSB_ISOCH_BUFFER_HANDLE`.
pub(super) type BufferHandle = *mut c_void;

/// `WINUSB_SETUP_PACKET`: packed, passed by value.
#[repr(C, packed)]
#[derive(Clone, Copy)]
pub(super) struct SetupPacket {
    pub(super) request_type: u8,
    pub(super) request: u8,
    pub(super) value: u16,
    pub(super) index: u16,
    pub(super) length: u16,
}

/// `USBD_ISO_PACKET_DESCRIPTOR`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct PacketDescriptor {
    pub(super) offset: u32,
    pub(super) length: u32,
    pub(super) status: u32,
}

/// `WINUSBX_DEVICE`: how this project's own winusb.dll lists its devices.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct ListedDevice {
    pub(super) size: u32,
    pub(super) vendor: u16,
    pub(super) product: u16,
    pub(super) speed: u32,
    pub(super) address: [u8; 256],
    pub(super) manufacturer: [u8; 128],
    pub(super) name: [u8; 128],
    pub(super) serial: [u8; 128],
}

type ListDevices = unsafe extern "system" fn(*mut ListedDevice, *mut u32) -> BOOL;
pub(super) type ChooseDevice = unsafe extern "system" fn(*const c_char) -> BOOL;

/// What only this project's own winusb.dll has.
pub(super) struct Extensions {
    pub(super) list_devices: ListDevices,
    pub(super) choose_device: ChooseDevice,
}

/// Any function of a library.
type Function = unsafe extern "system" fn() -> isize;

macro_rules! functions {
    ($($field:ident = $name:literal ($($argument:ty),*);)*) => {
        /// The functions.
        pub(super) struct Library {
            $(pub(super) $field: unsafe extern "system" fn($($argument),*) -> BOOL,)*
            /// Only with `ISOCH_WINUSB_DLL`.
            pub(super) extensions: Option<Extensions>,
        }

        /// Finds them all.
        fn resolve(module: HMODULE, extensions: Option<Extensions>, path: &Path) -> Result<Library, Error> {
            Ok(Library {
                $($field: {
                    let found = symbol(module, $name).ok_or_else(|| missing(path, $name))?;
                    // SAFETY: the function of this name has this signature (winusb.h), and a function pointer
                    // may be carried as one of another type.
                    unsafe {
                        std::mem::transmute::<Function, unsafe extern "system" fn($($argument),*) -> BOOL>(found)
                    }
                },)*
                extensions,
            })
        }
    };
}

functions! {
    initialize = c"WinUsb_Initialize" (HANDLE, *mut InterfaceHandle);
    free = c"WinUsb_Free" (InterfaceHandle);
    get_associated_interface = c"WinUsb_GetAssociatedInterface" (InterfaceHandle, u8, *mut InterfaceHandle);
    get_descriptor = c"WinUsb_GetDescriptor" (InterfaceHandle, u8, u8, u16, *mut u8, u32, *mut u32);
    query_interface_settings = c"WinUsb_QueryInterfaceSettings" (InterfaceHandle, u8, *mut [u8; 9]);
    query_device_information = c"WinUsb_QueryDeviceInformation" (InterfaceHandle, u32, *mut u32, *mut u8);
    get_current_alternate_setting = c"WinUsb_GetCurrentAlternateSetting" (InterfaceHandle, *mut u8);
    set_current_alternate_setting = c"WinUsb_SetCurrentAlternateSetting" (InterfaceHandle, u8);
    get_overlapped_result = c"WinUsb_GetOverlappedResult" (InterfaceHandle, *const OVERLAPPED, *mut u32, BOOL);
    control_transfer = c"WinUsb_ControlTransfer"
        (InterfaceHandle, SetupPacket, *mut u8, u32, *mut u32, *mut OVERLAPPED);
    read_pipe = c"WinUsb_ReadPipe" (InterfaceHandle, u8, *mut u8, u32, *mut u32, *mut OVERLAPPED);
    write_pipe = c"WinUsb_WritePipe" (InterfaceHandle, u8, *const u8, u32, *mut u32, *mut OVERLAPPED);
    abort_pipe = c"WinUsb_AbortPipe" (InterfaceHandle, u8);
    reset_pipe = c"WinUsb_ResetPipe" (InterfaceHandle, u8);
    get_current_frame_number = c"WinUsb_GetCurrentFrameNumber" (InterfaceHandle, *mut u32, *mut i64);
    register_isoch_buffer = c"WinUsb_RegisterIsochBuffer"
        (InterfaceHandle, u8, *mut u8, u32, *mut BufferHandle);
    unregister_isoch_buffer = c"WinUsb_UnregisterIsochBuffer" (BufferHandle);
    write_isoch_pipe = c"WinUsb_WriteIsochPipe" (BufferHandle, u32, u32, *mut u32, *mut OVERLAPPED);
    read_isoch_pipe = c"WinUsb_ReadIsochPipe"
        (BufferHandle, u32, u32, *mut u32, u32, *mut PacketDescriptor, *mut OVERLAPPED);
}

impl Library {
    /// The library, loaded when it is first asked for and never unloaded.
    pub(super) fn get() -> Result<&'static Library, Error> {
        static LOADED: OnceLock<Result<Library, Error>> = OnceLock::new();
        LOADED.get_or_init(load).as_ref().map_err(Error::clone)
    }
}

fn load() -> Result<Library, Error> {
    if is_ours(own_module()) {
        return Err(Error::Unsupported(
            "isoch's own winusb.dll serves emulated devices only: on top of another winusb.dll, or of itself, it would \
             call itself"
                .into(),
        ));
    }
    let named = std::env::var_os(OVERRIDE).filter(|name| !name.is_empty()).map(PathBuf::from);
    let path = match &named {
        Some(path) if path.is_absolute() => path.clone(),
        Some(path) => {
            return Err(Error::Argument(format!(
                "{OVERRIDE} is `{}`: give the absolute path of a winusb.dll",
                path.display()
            )));
        }
        None => system_directory()?.join("winusb.dll"),
    };
    let wide: Vec<u16> = path.as_os_str().encode_wide().chain([0]).collect();
    // SAFETY: `wide` ends with a zero. The path is absolute, and what the library needs in turn is looked for
    // beside it and in the system's directory only.
    let module = unsafe {
        let flags = LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR | LOAD_LIBRARY_SEARCH_SYSTEM32;
        LoadLibraryExW(wide.as_ptr(), std::ptr::null_mut(), flags)
    };
    if module.is_null() {
        return Err(system::error(format_args!("loading `{}`", path.display())));
    }
    let ours = is_ours(module);
    if ours && named.is_none() {
        return Err(Error::Unsupported(format!(
            "`{}` is isoch's own winusb.dll, not the system's: put it beside the programs that are to use it \
             and restore the system's file (or name it in {OVERRIDE} for a test)",
            path.display()
        )));
    }
    let extensions = if ours { Some(extensions(module, &path)?) } else { None };
    resolve(module, extensions, &path)
}

/// Whether a module is this project's own winusb.dll.
fn is_ours(module: HMODULE) -> bool {
    !module.is_null() && symbol(module, c"WinUsbX_Version").is_some()
}

/// The module that this code is in: a program, or a library such as our own winusb.dll.
fn own_module() -> HMODULE {
    let mut module = std::ptr::null_mut();
    let flags = GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT;
    let address: fn() -> HMODULE = own_module;
    // SAFETY: with this flag the "name" is an address in the module, and the pointer is valid.
    unsafe { GetModuleHandleExW(flags, address as *const u16, &mut module) };
    module
}

fn extensions(module: HMODULE, path: &Path) -> Result<Extensions, Error> {
    let find = |name: &CStr| symbol(module, name).ok_or_else(|| missing(path, name));
    let (list_devices, choose_device) = (find(c"WinUsbX_ListDevices")?, find(c"WinUsbX_ChooseDevice")?);
    // SAFETY: the functions of these names have these signatures (winusbx.h).
    unsafe {
        Ok(Extensions {
            list_devices: std::mem::transmute::<Function, ListDevices>(list_devices),
            choose_device: std::mem::transmute::<Function, ChooseDevice>(choose_device),
        })
    }
}

fn symbol(module: HMODULE, name: &CStr) -> Option<Function> {
    // SAFETY: the module is loaded, and stays so; the name ends with a zero.
    unsafe { GetProcAddress(module, name.as_ptr().cast()) }
}

fn missing(path: &Path, name: &CStr) -> Error {
    Error::Unsupported(format!(
        "`{}` has no {}: isochronous transfers through WinUSB need Windows 8.1 or later",
        path.display(),
        name.to_string_lossy()
    ))
}

fn system_directory() -> Result<PathBuf, Error> {
    // MAX_PATH; the system's directory is never deeper.
    let mut room = [0_u16; 260];
    // SAFETY: there is room for so many characters.
    let length = unsafe { GetSystemDirectoryW(room.as_mut_ptr(), room.len() as u32) } as usize;
    match room.get(..length) {
        Some(name) if length > 0 => Ok(PathBuf::from(String::from_utf16_lossy(name))),
        _ => Err(system::error("looking for the system's directory")),
    }
}
