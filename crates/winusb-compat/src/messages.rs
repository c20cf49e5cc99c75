//! `FormatMessage`: what a code means, in our own words.
//!
//! Why a table of few? These are the codes that the functions of libwinusb and of this library set. Why a call
//! failed, with what to do, `WinUsbX_GetLastErrorText` tells much better.
#![allow(unsafe_code)]
#![allow(non_snake_case, reason = "the functions have their C names")]

use std::ffi::c_void;

use crate::memory;
use crate::sys::{
    ERROR_INSUFFICIENT_BUFFER, ERROR_INVALID_PARAMETER, ERROR_MR_MID_NOT_FOUND, ERROR_NOT_SUPPORTED, fail,
};
use crate::text::{self, Character};

const ALLOCATE_BUFFER: u32 = 0x100;
const FROM_SYSTEM: u32 = 0x1000;
/// Texts from elsewhere: a string, a module.
const FROM_ELSEWHERE: u32 = 0xC00;
/// No line breaks.
const MAX_WIDTH_MASK: u32 = 0xFF;

/// An HRESULT that carries a Win32 code has this in its upper half.
const HRESULT_OF_WIN32: u32 = 0x8007;

fn meaning(code: u32) -> Option<&'static str> {
    let code = if code >> 16 == HRESULT_OF_WIN32 { code & 0xFFFF } else { code };
    Some(match code {
        0 => "It worked.",
        1 => "There is no such function.",
        2 => "There is no such device.",
        3 => "There is no such path.",
        5 => "Access is denied: the device is in use, or you lack the rights to it.",
        6 => "The handle is not valid, or not of the kind that is needed.",
        8 | 14 => "There is not enough memory.",
        13 => "The data is not there or not valid.",
        21 => "The device is not ready.",
        22 => "The device does not know the command, or is gone.",
        31 => "The device or the bus failed the request.",
        32 => "Someone else uses it.",
        50 => "This is not supported.",
        80 => "It exists already.",
        87 => "An argument is not valid.",
        120 => "This function is not implemented.",
        121 => "The time given was over.",
        122 => "The buffer is too small.",
        123 => "The name is not valid.",
        170 => "It is in use.",
        183 => "It exists already.",
        206 => "The name is too long.",
        234 => "There is more data.",
        258 => "The wait timed out.",
        259 => "There are no more items.",
        317 => "There is no text for this code.",
        433 => "The device does not exist any more.",
        735 => "What was waited on was closed.",
        995 => "The operation was cancelled.",
        996 => "The operation has not completed yet.",
        997 => "The operation is under way.",
        998 => "The memory cannot be accessed.",
        1167 => "The device is not connected.",
        1168 => "It was not found.",
        1200 => "The device is not one that can be used.",
        1450 => "The system's resources do not suffice.",
        1460 => "The time given was over.",
        1784 => "The buffer that was given is not valid for this.",
        _ => return None,
    })
}

/// # Safety
/// `buffer` has room for `room` characters, or with `ALLOCATE_BUFFER` for a pointer; or is NULL.
unsafe fn format<C: Character>(flags: u32, code: u32, buffer: *mut C, room: u32) -> Result<u32, u32> {
    if buffer.is_null() {
        return Err(ERROR_INVALID_PARAMETER);
    }
    if flags & FROM_SYSTEM == 0 || flags & FROM_ELSEWHERE != 0 {
        return Err(ERROR_NOT_SUPPORTED);
    }
    let meaning = meaning(code).ok_or(ERROR_MR_MID_NOT_FOUND)?;
    let end = if flags & MAX_WIDTH_MASK == MAX_WIDTH_MASK { " " } else { "\r\n" };
    let characters: Vec<C> = text::terminated(&format!("{meaning}{end}"));
    let length = u32::try_from(characters.len() - 1).unwrap_or(0);
    let to = if flags & ALLOCATE_BUFFER != 0 {
        let bytes = characters.len().max(room as usize).saturating_mul(size_of::<C>());
        let memory = memory::allocate(bytes, true).cast::<C>();
        // SAFETY: with this flag there is room for a pointer.
        unsafe { buffer.cast::<*mut C>().write_unaligned(memory) };
        if memory.is_null() {
            return Err(crate::sys::ERROR_NOT_ENOUGH_MEMORY);
        }
        memory
    } else if characters.len() > room as usize {
        return Err(ERROR_INSUFFICIENT_BUFFER);
    } else {
        buffer
    };
    // SAFETY: it was allocated for as many, or has room for as many.
    unsafe { text::write(to, &characters) };
    Ok(length)
}

fn answer(result: Result<u32, u32>) -> u32 {
    result.unwrap_or_else(|code| {
        fail(code);
        0
    })
}

/// `FormatMessageA`. Returns the characters without the NUL, 0 for failure.
///
/// # Safety
/// `buffer` is NULL, or has room for `room` characters, or with `FORMAT_MESSAGE_ALLOCATE_BUFFER` for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn winusb_compat_FormatMessageA(
    flags: u32,
    _source: *const c_void,
    code: u32,
    _language: u32,
    buffer: *mut u8,
    room: u32,
    _arguments: *const c_void,
) -> u32 {
    // SAFETY: as the caller says.
    answer(unsafe { format(flags, code, buffer, room) })
}

/// `FormatMessageW`.
///
/// # Safety
/// As for A.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn winusb_compat_FormatMessageW(
    flags: u32,
    _source: *const c_void,
    code: u32,
    _language: u32,
    buffer: *mut u16,
    room: u32,
    _arguments: *const c_void,
) -> u32 {
    // SAFETY: as the caller says.
    answer(unsafe { format(flags, code, buffer, room) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::WinUsbX_GetLastError;
    use std::ptr::null;

    fn message(flags: u32, code: u32, room: u32) -> Result<String, u32> {
        let mut buffer = [0_u8; 200];
        // SAFETY: the buffer is larger than any room given.
        let length = unsafe {
            winusb_compat_FormatMessageA(flags, null(), code, 0, buffer.as_mut_ptr(), room, null())
        };
        match length as usize {
            0 => Err(WinUsbX_GetLastError()),
            length => Ok(String::from_utf8(buffer[..length].to_vec()).unwrap()),
        }
    }

    #[test]
    fn codes_have_words() {
        assert_eq!(message(FROM_SYSTEM, 995, 200), Ok("The operation was cancelled.\r\n".into()));
        assert_eq!(message(FROM_SYSTEM | 0xFF, 0x8007_0057, 200), Ok("An argument is not valid. ".into()));
        assert_eq!(message(FROM_SYSTEM, 995, 30), Err(ERROR_INSUFFICIENT_BUFFER));
        assert!(message(FROM_SYSTEM, 995, 31).is_ok());
        assert_eq!(message(FROM_SYSTEM, 999_999, 200), Err(ERROR_MR_MID_NOT_FOUND));
        assert_eq!(message(FROM_SYSTEM | 0x800, 5, 200), Err(ERROR_NOT_SUPPORTED));
        assert_eq!(message(0, 5, 200), Err(ERROR_NOT_SUPPORTED));
    }

    #[test]
    fn memory_for_them_can_be_had() {
        let mut memory: *mut u16 = std::ptr::null_mut();
        let flags = FROM_SYSTEM | ALLOCATE_BUFFER;
        // SAFETY: with this flag the buffer is a pointer's place; what comes has as many characters as were told, and is
        // freed once.
        unsafe {
            let place = (&raw mut memory).cast();
            let length = winusb_compat_FormatMessageW(flags, null(), 2, 0, place, 0, null()) as usize;
            let text = String::from_utf16_lossy(std::slice::from_raw_parts(memory, length));
            assert_eq!(text, "There is no such device.\r\n");
            assert_eq!(*memory.add(length), 0);
            memory::winusb_compat_LocalFree(memory.cast());
            let null = winusb_compat_FormatMessageW(flags, null(), 2, 0, std::ptr::null_mut(), 0, null());
            assert_eq!(null, 0);
        }
    }
}
