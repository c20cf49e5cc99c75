//! What the system tells of handles, and what else it is asked for, with Rust's types.
//!
//! Why ntdll's functions where kernel32 has some for the same? It has none that tells how a file was opened, what it is,
//! or how many handles it has.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr::{null, null_mut};

use windows_sys::Win32::Foundation::{
    DUPLICATE_SAME_ACCESS, DuplicateHandle, HANDLE, INVALID_HANDLE_VALUE, UNICODE_STRING,
};
use windows_sys::Win32::System::Threading::{
    CreateEventW, GetCurrentProcess, ResetEvent, SetEvent, WaitForSingleObject,
};

use super::request::{SUCCESS, StatusBlock};

#[repr(C)]
struct ObjectAttributes {
    length: u32,
    root: HANDLE,
    name: *const UNICODE_STRING,
    attributes: u32,
    security: *const c_void,
    quality: *const c_void,
}

#[link(name = "ntdll")]
unsafe extern "system" {
    fn NtQueryInformationFile(
        file: HANDLE,
        block: *mut StatusBlock,
        out: *mut c_void,
        length: u32,
        class: u32,
    ) -> i32;
    fn NtQueryVolumeInformationFile(
        file: HANDLE,
        block: *mut StatusBlock,
        out: *mut c_void,
        length: u32,
        class: u32,
    ) -> i32;
    fn NtQueryObject(handle: HANDLE, class: u32, out: *mut c_void, length: u32, got: *mut u32) -> i32;
    fn NtCreateSymbolicLinkObject(
        link: *mut HANDLE,
        access: u32,
        attributes: *const ObjectAttributes,
        target: *const UNICODE_STRING,
    ) -> i32;
}

/// One integer that the system knows of a file.
fn query_file(handle: HANDLE, class: u32) -> Option<u32> {
    let (mut block, mut value) = (StatusBlock::default(), 0_u32);
    // SAFETY: both pointers are valid for their lengths; a handle that is none is refused.
    let status = unsafe { NtQueryInformationFile(handle, &mut block, (&raw mut value).cast(), 4, class) };
    (status == SUCCESS).then_some(value)
}

/// Whether a file was opened for overlapped requests; `None`: it is no file.
pub(super) fn is_overlapped(handle: HANDLE) -> Option<bool> {
    const FILE_MODE_INFORMATION: u32 = 16;
    const FILE_SYNCHRONOUS_IO: u32 = 0x30;
    query_file(handle, FILE_MODE_INFORMATION).map(|mode| mode & FILE_SYNCHRONOUS_IO == 0)
}

/// The name of a file, from the root of its device.
pub(super) fn name(handle: HANDLE) -> Option<String> {
    const FILE_NAME_INFORMATION: u32 = 9;
    #[repr(C)]
    struct Name {
        length: u32,
        text: [u16; 512],
    }
    let mut name = Name { length: 0, text: [0; 512] };
    let mut block = StatusBlock::default();
    let (out, size) = ((&raw mut name).cast(), size_of::<Name>() as u32);
    // SAFETY: the pointers are valid for their lengths.
    let status = unsafe { NtQueryInformationFile(handle, &mut block, out, size, FILE_NAME_INFORMATION) };
    let text = name.text.get(..name.length as usize / 2)?;
    (status == SUCCESS).then(|| String::from_utf16_lossy(text))
}

/// `FILE_DEVICE_…`: what kind of device a file is on.
pub(super) fn device_type(handle: HANDLE) -> Option<u32> {
    const FILE_FS_DEVICE_INFORMATION: u32 = 4;
    let (mut block, mut information) = (StatusBlock::default(), [0_u32; 2]);
    let out = (&raw mut information).cast();
    // SAFETY: the pointers are valid for their lengths.
    let status =
        unsafe { NtQueryVolumeInformationFile(handle, &mut block, out, 8, FILE_FS_DEVICE_INFORMATION) };
    (status == SUCCESS).then_some(information[0])
}

/// The rights that a handle has, and how many handles its object has.
pub(super) fn rights_and_handles(handle: HANDLE) -> Option<(u32, u32)> {
    const OBJECT_BASIC_INFORMATION: u32 = 0;
    let mut information = [0_u32; 14];
    // SAFETY: the structure has 56 bytes: attributes, rights, handles, pointers, and so on.
    let status = unsafe {
        NtQueryObject(handle, OBJECT_BASIC_INFORMATION, (&raw mut information).cast(), 56, null_mut())
    };
    (status == SUCCESS).then_some((information[1], information[2]))
}

/// A name of the system's that leads to another, until the process ends.
pub(super) fn link(from: &str, to: &str) -> bool {
    const OBJ_CASE_INSENSITIVE: u32 = 0x40;
    const SYMBOLIC_LINK_QUERY: u32 = 1;
    let mut from: Vec<u16> = from.encode_utf16().collect();
    let mut to: Vec<u16> = to.encode_utf16().collect();
    let text = |text: &mut Vec<u16>| {
        let length = u16::try_from(text.len() * 2).ok()?;
        Some(UNICODE_STRING { Length: length, MaximumLength: length, Buffer: text.as_mut_ptr() })
    };
    let (Some(from), Some(to)) = (text(&mut from), text(&mut to)) else { return false };
    let attributes = ObjectAttributes {
        length: size_of::<ObjectAttributes>() as u32,
        root: null_mut(),
        name: &from,
        attributes: OBJ_CASE_INSENSITIVE,
        security: null(),
        quality: null(),
    };
    let mut link = null_mut();
    // SAFETY: all pointers are valid for the call. The handle is kept for as long as the process lives.
    unsafe { NtCreateSymbolicLinkObject(&mut link, SYMBOLIC_LINK_QUERY, &attributes, &to) == SUCCESS }
}

/// A second handle of the same object.
pub(super) fn duplicate(handle: HANDLE) -> Option<OwnedHandle> {
    let mut copy = null_mut();
    // SAFETY: a handle that is none is refused; the copy is ours alone.
    unsafe {
        let this = GetCurrentProcess();
        let done = DuplicateHandle(this, handle, this, &mut copy, 0, 0, DUPLICATE_SAME_ACCESS) != 0;
        (done && copy != INVALID_HANDLE_VALUE).then(|| OwnedHandle::from_raw_handle(copy))
    }
}

/// An event that is reset by hand.
pub(super) fn event() -> Option<OwnedHandle> {
    // SAFETY: the handle is new, and ours alone.
    unsafe {
        let event = CreateEventW(null(), 1, 0, null());
        (!event.is_null()).then(|| OwnedHandle::from_raw_handle(event))
    }
}

/// Whether the handle is of an event that may be set.
pub(super) fn reset(event: &OwnedHandle) -> bool {
    // SAFETY: the handle is open.
    unsafe { ResetEvent(event.as_raw_handle()) != 0 }
}

pub(super) fn set(event: HANDLE) {
    // SAFETY: a handle that is none is refused.
    unsafe { SetEvent(event) };
}

pub(super) fn raw(handle: &OwnedHandle) -> HANDLE {
    handle.as_raw_handle()
}

/// What a wait that is satisfied takes with it: an event that resets itself.
pub(super) fn take(handle: HANDLE) {
    // SAFETY: a handle that is none is refused.
    unsafe { WaitForSingleObject(handle, 0) };
}

/// Waits for an event of our own.
pub(super) fn wait(event: &OwnedHandle) {
    // SAFETY: the handle is open.
    unsafe { WaitForSingleObject(event.as_raw_handle(), u32::MAX) };
}
