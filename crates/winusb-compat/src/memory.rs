//! Windows' two oldest ways to get memory, over the C library's one.
//!
//! Why the C library's, and not Rust's? The program gives it back without saying how much it was.
#![allow(unsafe_code)]
#![allow(non_snake_case, reason = "the functions have their C names")]

use std::ffi::c_void;

use crate::sys::{Bool, ERROR_INVALID_HANDLE, ERROR_NOT_ENOUGH_MEMORY, Handle, TRUE, fail};

unsafe extern "C" {
    safe fn malloc(bytes: usize) -> *mut c_void;
    safe fn calloc(count: usize, bytes: usize) -> *mut c_void;
    fn free(memory: *mut c_void);
}

/// There is one heap.
const HEAP: Handle = std::ptr::without_provenance_mut(0x4EA9_0000);
const HEAP_ZERO_MEMORY: u32 = 8;
const LMEM_ZEROINIT: u32 = 0x40;

pub(crate) fn allocate(bytes: usize, zero: bool) -> *mut c_void {
    // No bytes are memory, too, on Windows.
    let bytes = bytes.max(1);
    let memory = if zero { calloc(1, bytes) } else { malloc(bytes) };
    if memory.is_null() {
        fail(ERROR_NOT_ENOUGH_MEMORY);
    }
    memory
}

/// `GetProcessHeap`.
#[unsafe(no_mangle)]
pub extern "C" fn winusb_compat_GetProcessHeap() -> Handle {
    HEAP
}

/// `HeapAlloc`.
#[unsafe(no_mangle)]
pub extern "C" fn winusb_compat_HeapAlloc(heap: Handle, flags: u32, bytes: usize) -> *mut c_void {
    if heap != HEAP {
        fail(ERROR_INVALID_HANDLE);
        return std::ptr::null_mut();
    }
    allocate(bytes, flags & HEAP_ZERO_MEMORY != 0)
}

/// `HeapFree`.
///
/// # Safety
/// `memory` is NULL or from `HeapAlloc`, and is not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn winusb_compat_HeapFree(heap: Handle, _flags: u32, memory: *mut c_void) -> Bool {
    if heap != HEAP {
        return fail(ERROR_INVALID_HANDLE);
    }
    // SAFETY: as the caller says, it is NULL or came from malloc or calloc.
    unsafe { free(memory) };
    TRUE
}

/// `LocalAlloc`.
#[unsafe(no_mangle)]
pub extern "C" fn winusb_compat_LocalAlloc(flags: u32, bytes: usize) -> *mut c_void {
    allocate(bytes, flags & LMEM_ZEROINIT != 0)
}

/// `LocalFree`: also for what `FormatMessage` allocated. Returns NULL.
///
/// # Safety
/// `memory` is NULL or from `LocalAlloc` or `FormatMessage`, and is not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn winusb_compat_LocalFree(memory: *mut c_void) -> *mut c_void {
    // SAFETY: as the caller says, it is NULL or came from malloc or calloc.
    unsafe { free(memory) };
    std::ptr::null_mut()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_comes_and_goes() {
        let memory =
            winusb_compat_HeapAlloc(winusb_compat_GetProcessHeap(), HEAP_ZERO_MEMORY, 100).cast::<u8>();
        // SAFETY: there are 100 bytes; it is freed once.
        unsafe {
            assert!(std::slice::from_raw_parts(memory, 100).iter().all(|byte| *byte == 0));
            assert_eq!(winusb_compat_HeapFree(HEAP, 0, memory.cast()), TRUE);
            assert!(winusb_compat_LocalFree(winusb_compat_LocalAlloc(0, 0)).is_null());
        }
        assert!(winusb_compat_HeapAlloc(std::ptr::null_mut(), 0, 1).is_null());
        assert!(std::hint::black_box(winusb_compat_LocalAlloc(0, usize::MAX)).is_null());
    }
}
