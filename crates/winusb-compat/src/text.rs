//! Text from and to C programs: bytes (UTF-8) in the functions ending in A, UTF-16 in those ending in W.
//!
//! Why a trait? So that each function stands once, and its two faces cannot come to differ.
#![allow(unsafe_code)]

use crate::sys::{ERROR_FILENAME_EXCED_RANGE, ERROR_INVALID_NAME, ERROR_INVALID_PARAMETER};

/// The longest text that is taken, in characters: the longest path Windows has.
const LONGEST: usize = 32_767;

/// `CHAR` or `WCHAR`.
pub(crate) trait Character: Copy + Default + PartialEq {
    fn encode(text: &str) -> Vec<Self>;
    fn decode(text: &[Self]) -> Option<String>;
}

impl Character for u8 {
    fn encode(text: &str) -> Vec<u8> {
        text.as_bytes().to_vec()
    }

    fn decode(text: &[u8]) -> Option<String> {
        String::from_utf8(text.to_vec()).ok()
    }
}

impl Character for u16 {
    fn encode(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    fn decode(text: &[u16]) -> Option<String> {
        String::from_utf16(text).ok()
    }
}

/// The text at `pointer`, or the code of what is wrong with it.
///
/// # Safety
/// `pointer` is NULL or points to characters that end with a NUL.
pub(crate) unsafe fn read<C: Character>(pointer: *const C) -> Result<String, u32> {
    if pointer.is_null() {
        return Err(ERROR_INVALID_PARAMETER);
    }
    let mut characters = Vec::new();
    loop {
        // SAFETY: no NUL has come up to here, so the caller's text goes on at least to this character.
        let character = unsafe { pointer.add(characters.len()).read_unaligned() };
        if character == C::default() {
            break;
        }
        if characters.len() == LONGEST {
            return Err(ERROR_FILENAME_EXCED_RANGE);
        }
        characters.push(character);
    }
    C::decode(&characters).ok_or(ERROR_INVALID_NAME)
}

/// Writes `characters` to `to`.
///
/// # Safety
/// `to` has room for them.
pub(crate) unsafe fn write<C: Character>(to: *mut C, characters: &[C]) {
    let bytes = std::mem::size_of_val(characters);
    // SAFETY: the caller has room for as many characters; as bytes they need no alignment, and what was just made here
    // does not overlap the caller's memory.
    unsafe { std::ptr::copy_nonoverlapping(characters.as_ptr().cast::<u8>(), to.cast::<u8>(), bytes) };
}

/// With its NUL.
pub(crate) fn terminated<C: Character>(text: &str) -> Vec<C> {
    let mut characters = C::encode(text);
    characters.push(C::default());
    characters
}

/// A list of texts: each with its NUL, and one more at the end.
pub(crate) fn list<C: Character>(texts: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<C> {
    let mut characters: Vec<C> = texts.into_iter().flat_map(|text| terminated(text.as_ref())).collect();
    characters.push(C::default());
    characters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_with_its_mistakes() {
        let read_bytes = |bytes: &[u8]| {
            // SAFETY: each ends with a NUL.
            unsafe { read(bytes.as_ptr()) }
        };
        assert_eq!(read_bytes(b"virtual:article\0"), Ok("virtual:article".into()));
        assert_eq!(read_bytes(b"\0"), Ok(String::new()));
        assert_eq!(read_bytes(b"\xff\0"), Err(ERROR_INVALID_NAME));
        assert_eq!(read_bytes(&[&[b'a'; 40_000][..], b"\0"].concat()), Err(ERROR_FILENAME_EXCED_RANGE));
        let wide: Vec<u16> = "größer\0".encode_utf16().collect();
        // SAFETY: they end with a NUL, and the last is NULL.
        let (good, lone, null) =
            unsafe { (read(wide.as_ptr()), read([0xD800_u16, 0].as_ptr()), read(std::ptr::null::<u16>())) };
        assert_eq!(good, Ok("größer".into()));
        assert_eq!(lone, Err(ERROR_INVALID_NAME));
        assert_eq!(null, Err(ERROR_INVALID_PARAMETER));
    }

    #[test]
    fn lists_end_twice() {
        assert_eq!(list::<u8>(["a", "bc"]), b"a\0bc\0\0");
        assert_eq!(list::<u16>([""; 0]), [0]);
    }
}
