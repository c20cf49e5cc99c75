//! Requests of this library's own, which the kernel ends on a program's file.
//!
//! Why ntdll's functions, and not ReadFile and WriteFile? Those put their result into the OVERLAPPED that they post; here
//! the OVERLAPPED is the program's, and the result belongs to a request that the program never sees.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::ptr::{null, null_mut};

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::System::Memory::{MEM_COMMIT, MEM_RESERVE, PAGE_READWRITE, VirtualAlloc};

pub(super) const SUCCESS: i32 = 0;
pub(super) const PENDING: i32 = 0x103;

/// `IO_STATUS_BLOCK`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct StatusBlock {
    pub(super) status: usize,
    information: usize,
}

type TransferCall = unsafe extern "system" fn(
    file: HANDLE,
    event: HANDLE,
    routine: *const c_void,
    context: *const c_void,
    block: *mut StatusBlock,
    buffer: *mut c_void,
    length: u32,
    offset: *const i64,
    key: *const u32,
) -> i32;

#[link(name = "ntdll")]
unsafe extern "system" {
    fn NtReadFile(
        _: HANDLE,
        _: HANDLE,
        _: *const c_void,
        _: *const c_void,
        _: *mut StatusBlock,
        _: *mut c_void,
        _: u32,
        _: *const i64,
        _: *const u32,
    ) -> i32;
    fn NtWriteFile(
        _: HANDLE,
        _: HANDLE,
        _: *const c_void,
        _: *const c_void,
        _: *mut StatusBlock,
        _: *mut c_void,
        _: u32,
        _: *const i64,
        _: *const u32,
    ) -> i32;
    fn NtCancelIoFileEx(file: HANDLE, request: *mut StatusBlock, block: *mut StatusBlock) -> i32;
}

/// A request that the kernel may still write to.
pub(super) struct Request {
    block: *mut StatusBlock,
}

// SAFETY: it is the only owner of its memory, which any thread may read and free.
unsafe impl Send for Request {}

impl Request {
    pub(super) fn new() -> Self {
        Request { block: Box::into_raw(Box::new(StatusBlock { status: PENDING as usize, information: 0 })) }
    }

    /// Whether the kernel may still write to it.
    pub(super) fn is_under_way(&self) -> bool {
        // SAFETY: the memory is ours until it is dropped; volatile because the kernel writes to it.
        unsafe { (&raw const (*self.block).status).read_volatile() as i32 == PENDING }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if !self.is_under_way() {
            // SAFETY: it came from a box, and the kernel has written its last word.
            drop(unsafe { Box::from_raw(self.block) });
        }
        // Otherwise the kernel keeps 16 bytes.
    }
}

/// Memory for the bytes of requests of our own: they are read and written, and mean nothing.
#[derive(Clone, Copy)]
pub(super) struct Scratch {
    address: *mut c_void,
    length: u32,
}

// SAFETY: it is never freed, and Rust never looks at it.
unsafe impl Send for Scratch {}

impl Scratch {
    pub(super) const NONE: Scratch = Scratch { address: null_mut(), length: 0 };
    /// More is not moved for the sake of a packet's count.
    const LARGEST: usize = 16 << 20;

    /// Makes room for so many bytes. What was smaller is never freed: the kernel may be using it.
    pub(super) fn grow(&mut self, length: usize) {
        let length = length.clamp(1, Self::LARGEST).next_power_of_two().max(4096);
        if length > self.length as usize {
            // SAFETY: new memory.
            let address = unsafe { VirtualAlloc(null(), length, MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE) };
            if !address.is_null() {
                *self = Scratch { address, length: length as u32 };
            }
        }
    }

    /// The first bytes of it, as many as there are.
    pub(super) fn first(self, length: usize) -> Scratch {
        Scratch { length: u32::try_from(length).unwrap_or(u32::MAX).min(self.length), ..self }
    }
}

/// What a request of our own tells when it is over.
#[derive(Clone, Copy)]
pub(super) struct Signal {
    /// An event, or null for the file.
    pub(super) event: HANDLE,
    /// The OVERLAPPED of the packet, or null for no packet.
    pub(super) packet: *const c_void,
}

impl Signal {
    pub(super) const NONE: Signal = Signal { event: null_mut(), packet: null() };
}

pub(super) fn read(file: &OwnedHandle, signal: Signal, request: &Request, scratch: Scratch) -> i32 {
    transfer(NtReadFile, file, signal, request, scratch)
}

pub(super) fn write(file: &OwnedHandle, signal: Signal, request: &Request, scratch: Scratch) -> i32 {
    transfer(NtWriteFile, file, signal, request, scratch)
}

fn transfer(
    call: TransferCall,
    file: &OwnedHandle,
    signal: Signal,
    request: &Request,
    scratch: Scratch,
) -> i32 {
    let offset = 0;
    // SAFETY: scratch memory is never freed and holds nothing, a request's block lives until it is over, and the
    // kernel takes `packet` as a number.
    let status = unsafe {
        call(
            file.as_raw_handle(),
            signal.event,
            null(),
            signal.packet,
            request.block,
            scratch.address,
            scratch.length,
            &offset,
            null(),
        )
    };
    if status < 0 {
        // SAFETY: a request that was refused is not looked at by the kernel.
        unsafe { (*request.block).status = status as usize };
    }
    status
}

/// Cancels a request of our own.
pub(super) fn cancel(file: &OwnedHandle, request: &Request) {
    let mut block = StatusBlock::default();
    // SAFETY: both blocks are valid; the request's own is written to by its end only. If the request is over there is
    // nothing to cancel.
    unsafe { NtCancelIoFileEx(file.as_raw_handle(), request.block, &mut block) };
}
