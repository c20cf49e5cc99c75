//! GUIDs and their text.
#![allow(unsafe_code)]

use std::fmt;

use crate::text;

/// Windows' `GUID`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Guid {
    first: u32,
    second: u16,
    third: u16,
    rest: [u8; 8],
}

/// As device interface paths have it: `{dee824ef-729b-4a0e-9c14-b7117d33a817}`.
impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, rest @ ..] = self.rest;
        write!(f, "{{{:08x}-{:04x}-{:04x}-{a:02x}{b:02x}-", self.first, self.second, self.third)?;
        rest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("}")
    }
}

impl Guid {
    fn parse(text: &str) -> Option<Guid> {
        let inner = text.strip_prefix('{')?.strip_suffix('}')?;
        let parts: Vec<&str> = inner.split('-').collect();
        let [first, second, third, fourth, fifth] = parts[..] else { return None };
        let digits = |part: &str, length: usize| {
            let right = part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit());
            right.then(|| u64::from_str_radix(part, 16).ok()).flatten()
        };
        let rest = digits(fourth, 4)? << 48 | digits(fifth, 12)?;
        Some(Guid {
            first: u32::try_from(digits(first, 8)?).ok()?,
            second: u16::try_from(digits(second, 4)?).ok()?,
            third: u16::try_from(digits(third, 4)?).ok()?,
            rest: rest.to_be_bytes(),
        })
    }
}

/// `CLSIDFromString`: `{XXXXXXXX-XXXX-XXXX-XXXX-XXXXXXXXXXXX}` to a GUID. NULL is the GUID of zeros.
///
/// # Safety
/// `text` is NULL or ends with a NUL; `out` is NULL or has room for a GUID.
#[unsafe(no_mangle)]
#[allow(non_snake_case, reason = "its C name")]
pub unsafe extern "C" fn winusb_compat_CLSIDFromString(text: *const u16, out: *mut Guid) -> i32 {
    const E_INVALIDARG: i32 = 0x8007_0057_u32 as i32;
    const CO_E_CLASSSTRING: i32 = 0x8004_01F3_u32 as i32;
    if out.is_null() {
        return E_INVALIDARG;
    }
    // SAFETY: not NULL, so it has room.
    let write = |guid| unsafe { out.write_unaligned(guid) };
    write(Guid::default());
    if text.is_null() {
        return 0;
    }
    // SAFETY: not NULL, so it ends with a NUL.
    let text = unsafe { text::read(text) };
    match text.ok().and_then(|text| Guid::parse(&text)) {
        Some(guid) => {
            write(guid);
            0
        }
        None => CO_E_CLASSSTRING,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let text = "{dee824ef-729b-4a0e-9c14-b7117d33a817}";
        let guid = Guid::parse(text).unwrap();
        assert_eq!(guid.to_string(), text);
        assert_eq!(guid.rest, [0x9c, 0x14, 0xb7, 0x11, 0x7d, 0x33, 0xa8, 0x17]);
        assert_eq!(Guid::parse(&text.to_uppercase()), Some(guid));
        for bad in ["", "{}", &text[1..], &text[..37], &text.replace('d', "g"), &text.replace("4a0e", "+a0e")]
        {
            assert_eq!(Guid::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_c_function() {
        let mut out = Guid::default();
        let mut convert = |text: Option<&str>| {
            let text: Option<Vec<u16>> = text.map(text::terminated);
            // SAFETY: text ends with a NUL or is NULL, out is a GUID.
            let result = unsafe {
                winusb_compat_CLSIDFromString(
                    text.as_ref().map_or(std::ptr::null(), |text| text.as_ptr()),
                    &mut out,
                )
            };
            (result, out)
        };
        assert_eq!(
            convert(Some("{00000001-0002-0003-0405-060708090a0b}")).1.rest,
            [4, 5, 6, 7, 8, 9, 10, 11]
        );
        assert_eq!(convert(None), (0, Guid::default()));
        assert!(convert(Some("1-2-3")).0 < 0);
        // SAFETY: NULL is allowed.
        assert!(unsafe { winusb_compat_CLSIDFromString(std::ptr::null(), std::ptr::null_mut()) } < 0);
    }
}
