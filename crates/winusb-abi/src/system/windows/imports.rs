//! CancelIoEx and CancelIo for files of ours.
//!
//! Why are other modules' imports changed? The system cancels requests that it knows, and it knows none of ours. A read
//! of our own under the OVERLAPPED's address would be found, but such a read cannot end in any other way than
//! "cancelled", and a program that polls would see that for a moment after every transfer. So calls are led here first.
//! kernel32 itself imports both functions: with its import changed, programs that look them up by name get here too.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_void};
use std::sync::OnceLock;

use windows_sys::Win32::Foundation::HMODULE;
use windows_sys::Win32::System::LibraryLoader::{
    GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS, GET_MODULE_HANDLE_EX_FLAG_PIN, GetModuleHandleA,
    GetModuleHandleExA, GetProcAddress,
};
use windows_sys::Win32::System::Memory::{PAGE_READWRITE, VirtualProtect};
use windows_sys::Win32::System::ProcessStatus::K32EnumProcessModules;
use windows_sys::Win32::System::Threading::GetCurrentProcess;

use super::file;
use crate::codes::win32;
use crate::types::{BOOL, FALSE, HANDLE, OVERLAPPED, TRUE};

type CancelIoEx = unsafe extern "system" fn(HANDLE, *mut OVERLAPPED) -> BOOL;
type CancelIo = unsafe extern "system" fn(HANDLE) -> BOOL;

/// The system's own.
struct Originals {
    cancel_io_ex: CancelIoEx,
    cancel_io: CancelIo,
}

static ORIGINALS: OnceLock<Option<Originals>> = OnceLock::new();

/// Keeps this module loaded until the process ends: its threads are at work, and programs have its pipes open.
pub(super) fn stay() -> HMODULE {
    let mut this = std::ptr::null_mut();
    let flags = GET_MODULE_HANDLE_EX_FLAG_PIN | GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS;
    let address: CancelIo = cancel_io;
    // SAFETY: with this flag the "name" is an address in the module, and the out pointer is valid.
    unsafe { GetModuleHandleExA(flags, address as *const u8, &mut this) };
    this
}

/// Leads all modules' calls here.
pub(super) fn redirect() {
    let this = stay();
    let replacements: [(&CStr, *const c_void); 2] = [
        (c"CancelIoEx", cancel_io_ex as CancelIoEx as *const c_void),
        (c"CancelIo", cancel_io as CancelIo as *const c_void),
    ];
    ORIGINALS.get_or_init(|| {
        // SAFETY: they are functions of these types, wherever they exist.
        unsafe {
            Some(Originals {
                cancel_io_ex: std::mem::transmute::<*const c_void, CancelIoEx>(system(
                    c"kernelbase",
                    c"CancelIoEx",
                )?),
                cancel_io: std::mem::transmute::<*const c_void, CancelIo>(system(
                    c"kernelbase",
                    c"CancelIo",
                )?),
            })
        }
    });
    if ORIGINALS.get().is_none_or(Option::is_none) {
        return;
    }
    let mut changes = Vec::new();
    for (name, replacement) in replacements {
        changes.extend(
            [c"kernel32", c"kernelbase"]
                .iter()
                .filter_map(|module| Some((system(module, name)?, replacement))),
        );
    }
    for module in modules().into_iter().filter(|module| *module != this) {
        // SAFETY: a loaded module; none is unloaded by anyone who calls WinUSB for the first time.
        unsafe { change_imports(module.cast(), &changes) };
    }
}

fn system(module: &CStr, name: &CStr) -> Option<*const c_void> {
    // SAFETY: both names end with NUL; the modules are always loaded.
    unsafe {
        let module = GetModuleHandleA(module.as_ptr().cast());
        (!module.is_null())
            .then(|| GetProcAddress(module, name.as_ptr().cast()))?
            .map(|function| function as _)
    }
}

fn modules() -> Vec<HMODULE> {
    let mut modules = vec![std::ptr::null_mut(); 1024];
    let mut bytes = 0;
    let room = (modules.len() * size_of::<HMODULE>()) as u32;
    // SAFETY: the pointers are valid for as many bytes as is said.
    let ok =
        unsafe { K32EnumProcessModules(GetCurrentProcess(), modules.as_mut_ptr(), room, &mut bytes) != 0 };
    modules.truncate(if ok { bytes as usize / size_of::<HMODULE>() } else { 0 });
    modules
}

/// Replaces addresses in a module's import tables (PE format, "The .idata Section").
///
/// # Safety
/// `module` is the address of a loaded module.
unsafe fn change_imports(module: *const u8, changes: &[(*const c_void, *const c_void)]) {
    const DIRECTORIES: usize = if cfg!(target_pointer_width = "64") { 24 + 112 } else { 24 + 96 };
    const DESCRIPTOR: usize = 20;
    const FIRST_THUNK: usize = 16;
    // SAFETY: the loader has checked the module's headers, which lie where these offsets say.
    unsafe {
        let at = |offset: usize| module.add(offset).cast::<u32>().read_unaligned() as usize;
        let headers = at(0x3c);
        // The second directory is that of imports.
        let mut descriptor = at(headers + DIRECTORIES + 8);
        if descriptor == 0 {
            return;
        }
        while at(descriptor + FIRST_THUNK) != 0 {
            let mut import = module.add(at(descriptor + FIRST_THUNK)).cast::<*const c_void>().cast_mut();
            while !(*import).is_null() {
                if let Some((_, to)) = changes.iter().find(|(from, _)| *from == *import) {
                    replace(import, *to);
                }
                import = import.add(1);
            }
            descriptor += DESCRIPTOR;
        }
    }
}

/// # Safety
/// `import` is an entry of an import table.
unsafe fn replace(import: *mut *const c_void, to: *const c_void) {
    let mut protection = 0;
    // SAFETY: by this function's contract; a table is protected against writes by the page.
    unsafe {
        let size = size_of::<*const c_void>();
        if VirtualProtect(import.cast(), size, PAGE_READWRITE, &mut protection) != 0 {
            import.write_volatile(to);
            VirtualProtect(import.cast(), size, protection, &mut protection);
        }
    }
}

fn originals() -> Option<&'static Originals> {
    ORIGINALS.get().and_then(Option::as_ref)
}

unsafe extern "system" fn cancel_io_ex(handle: HANDLE, overlapped: *mut OVERLAPPED) -> BOOL {
    match (file::cancel(handle, overlapped), originals()) {
        (Some(true), _) => TRUE,
        // SAFETY: the program's own call, passed on.
        (None, Some(originals)) => unsafe { (originals.cancel_io_ex)(handle, overlapped) },
        (Some(false) | None, _) => {
            super::set_last_error(win32::NOT_FOUND);
            FALSE
        }
    }
}

/// Windows' own cancels what the calling thread has begun; here it is everything.
unsafe extern "system" fn cancel_io(handle: HANDLE) -> BOOL {
    match (file::cancel(handle, std::ptr::null_mut()), originals()) {
        // SAFETY: the program's own call, passed on.
        (None, Some(originals)) => unsafe { (originals.cancel_io)(handle) },
        _ => TRUE,
    }
}
