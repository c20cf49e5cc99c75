//! The library under test, and the kernel objects beside it.
//!
//! Why found at run time? Because the same table must run against a `libwinusb.so` that was installed, a
//! `winusb.dll` under Wine and on Windows, and the code as it is linked into a test; the cases cannot tell
//! which.

#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::path::Path;

use crate::functions::{self, FUNCTIONS, Function};

/// Where each function is.
pub struct Library {
    addresses: BTreeMap<&'static str, *const c_void>,
    /// Keeps what the addresses point to.
    _loaded: Option<libloading::Library>,
}

impl Library {
    /// Loads a shared library.
    ///
    /// # Errors
    /// If it cannot be loaded.
    pub fn load(path: &Path) -> Result<Library, String> {
        // SAFETY: it is the library under test; whoever names another file runs its initialisers.
        let loaded = unsafe { libloading::Library::new(path) };
        let loaded = loaded.map_err(|error| format!("{}: {error}", path.display()))?;
        let mut addresses = kernel::addresses();
        for function in FUNCTIONS {
            // SAFETY: only the address is taken; it is called with its declared type.
            let found = unsafe { loaded.get::<*const c_void>(function.name.as_bytes()) };
            if let Ok(symbol) = found {
                // SAFETY: the symbol's own address is the function's.
                addresses.entry(function.name).or_insert(unsafe { symbol.into_raw() }.as_raw_ptr());
            }
        }
        Ok(Library { addresses, _loaded: Some(loaded) })
    }

    /// The functions that are linked into this program.
    #[must_use]
    pub fn linked(symbols: &[(&'static str, *const c_void)]) -> Library {
        let mut addresses = kernel::addresses();
        addresses.extend(symbols.iter().copied());
        Library { addresses, _loaded: None }
    }

    /// What it should export and does not. On Windows a device file is opened otherwise.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let names = FUNCTIONS.iter().map(|function| function.name);
        names.filter(|name| !self.addresses.contains_key(name) && !kernel::MISSING.contains(name)).collect()
    }

    /// Calls a function; `None` if the library does not have it.
    ///
    /// What the arguments point to is what the case says: if the library touches more, that is what is to be
    /// found out.
    pub(crate) fn call(&self, function: &Function, arguments: &[u64]) -> Option<u64> {
        let address = self.addresses.get(function.name)?;
        // SAFETY: the address was found under this name, and points to what its header declares.
        Some(unsafe { (function.call)(*address, arguments) })
    }

    /// The same by name, for what the runner itself needs.
    pub(crate) fn call_named(&self, name: &str, arguments: &[u64]) -> Option<u64> {
        self.call(functions::named(name)?, arguments)
    }

    /// Opens a device file, as a program on this system would.
    pub(crate) fn open(&self, address: &str, scratch: &Path) -> Result<u64, String> {
        kernel::open(self, address, scratch)
    }
}

/// The kernel objects are the library's own.
#[cfg(not(windows))]
mod kernel {
    use super::*;

    pub(super) const MISSING: [&str; 0] = [];

    pub(super) fn addresses() -> BTreeMap<&'static str, *const c_void> {
        BTreeMap::new()
    }

    pub(super) fn open(library: &Library, address: &str, _scratch: &Path) -> Result<u64, String> {
        const READ_WRITE: u64 = 0xc000_0000;
        const OVERLAPPED: u64 = 0x4000_0000;
        let text = std::ffi::CString::new(address).map_err(|error| error.to_string())?;
        let pointer = text.as_ptr().expose_provenance() as u64;
        let handle = library.call_named("WinUsbX_OpenDevice", &[pointer, READ_WRITE, OVERLAPPED]);
        let handle = handle.ok_or("there is no WinUsbX_OpenDevice")?;
        if handle as usize == usize::MAX {
            let error = library.call_named("WinUsbX_GetLastError", &[]).unwrap_or(0);
            return Err(format!("{address} cannot be opened: error {error}"));
        }
        Ok(handle)
    }
}

/// The kernel objects are Windows'; any overlapped file will do, for the library is told which device it
/// means when the file is given to it.
#[cfg(windows)]
mod kernel {
    use super::*;

    pub(super) const MISSING: [&str; 1] = ["WinUsbX_OpenDevice"];

    macro_rules! kernel32 {
        ($($prefixed:literal $name:ident)*) => {
            #[link(name = "kernel32")]
            unsafe extern "system" { $(fn $name();)* }
            fn exported() -> Vec<(&'static str, *const c_void)> {
                vec![$(($prefixed, $name as *const c_void)),*]
            }
        };
    }
    kernel32! {
        "WinUsbX_CloseHandle" CloseHandle
        "WinUsbX_SetEvent" SetEvent
        "WinUsbX_ResetEvent" ResetEvent
        "WinUsbX_WaitForSingleObject" WaitForSingleObject
        "WinUsbX_WaitForMultipleObjects" WaitForMultipleObjects
        "WinUsbX_Sleep" Sleep
        "WinUsbX_GetOverlappedResult" GetOverlappedResult
        "WinUsbX_CancelIoEx" CancelIoEx
        "WinUsbX_CreateIoCompletionPort" CreateIoCompletionPort
        "WinUsbX_GetQueuedCompletionStatus" GetQueuedCompletionStatus
        "WinUsbX_GetQueuedCompletionStatusEx" GetQueuedCompletionStatusEx
        "WinUsbX_PostQueuedCompletionStatus" PostQueuedCompletionStatus
        "WinUsbX_GetLastError" GetLastError
        "WinUsbX_SetLastError" SetLastError
        "WinUsbX_QueryPerformanceCounter" QueryPerformanceCounter
        "WinUsbX_QueryPerformanceFrequency" QueryPerformanceFrequency
    }

    mod declared {
        use std::ffi::{c_char, c_void};
        #[link(name = "kernel32")]
        unsafe extern "system" {
            pub(super) fn CreateEventA(
                security: *const c_void,
                manual_reset: i32,
                initial_state: i32,
                name: *const c_char,
            ) -> *mut c_void;
            pub(super) fn CreateFileA(
                name: *const c_char,
                access: u32,
                sharing: u32,
                security: *const c_void,
                disposition: u32,
                flags: u32,
                template: *mut c_void,
            ) -> *mut c_void;
        }
    }

    extern "system" fn create_event(manual_reset: i32, initial_state: i32) -> *mut c_void {
        // SAFETY: no security attributes and no name is the usual event.
        unsafe { declared::CreateEventA(std::ptr::null(), manual_reset, initial_state, std::ptr::null()) }
    }

    pub(super) fn addresses() -> BTreeMap<&'static str, *const c_void> {
        let own = ("WinUsbX_CreateEvent", create_event as *const c_void);
        exported().into_iter().chain([own]).collect()
    }

    /// The file that `winusb.dll` provides, or else any: it is told which device is meant.
    pub(super) fn open(_library: &Library, _address: &str, scratch: &Path) -> Result<u64, String> {
        const OPEN_EXISTING: u32 = 3;
        const OPEN_ALWAYS: u32 = 4;
        let own = open_file(r"\\.\isoch", OPEN_EXISTING);
        let plain = || open_file(&scratch.join("device").display().to_string(), OPEN_ALWAYS);
        own.or_else(plain).ok_or_else(|| "no overlapped file can be opened".into())
    }

    fn open_file(name: &str, disposition: u32) -> Option<u64> {
        const READ_WRITE: u32 = 0xc000_0000;
        const SHARED: u32 = 3;
        const OVERLAPPED: u32 = 0x4000_0000;
        let text = std::ffi::CString::new(name).ok()?;
        // SAFETY: the name is zero-terminated and outlives the call.
        let handle = unsafe {
            declared::CreateFileA(
                text.as_ptr(),
                READ_WRITE,
                SHARED,
                std::ptr::null(),
                disposition,
                OVERLAPPED,
                std::ptr::null_mut(),
            )
        };
        (handle.addr() != usize::MAX).then(|| handle.expose_provenance() as u64)
    }
}
