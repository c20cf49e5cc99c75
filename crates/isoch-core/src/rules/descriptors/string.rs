//! String descriptors (USB 2.0 §9.6.7): UTF-16LE text, and in string 0 the list of languages.

use super::walk::first;
use super::{DescriptorError, descriptor_type};

/// UTF-16 code units that fit: `bLength` has 8 bits, 2 bytes are the header.
const MAXIMUM_UNITS: usize = 126;

/// The 16-bit units of a string descriptor. An odd last byte is ignored: some devices count one too many.
fn units(bytes: &[u8]) -> Result<Vec<u16>, DescriptorError> {
    let raw = first(bytes, descriptor_type::STRING, 2)?;
    let data = raw.bytes.get(2..).unwrap_or_default();
    Ok(data.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair)).collect())
}

/// The text of a string descriptor. What is not valid UTF-16 becomes U+FFFD; trailing NULs, which many
/// devices send, are dropped.
///
/// # Errors
/// Too short, or another descriptor.
pub fn decode_string(bytes: &[u8]) -> Result<String, DescriptorError> {
    let text = String::from_utf16_lossy(&units(bytes)?);
    Ok(text.trim_end_matches('\0').to_owned())
}

/// The languages of string descriptor 0, as LANGIDs (0x0409 is US English).
///
/// # Errors
/// Too short, or another descriptor.
pub fn decode_languages(bytes: &[u8]) -> Result<Vec<u16>, DescriptorError> {
    units(bytes)
}

/// The string descriptor of `text`; `None` if it has more than 126 UTF-16 units.
#[must_use]
pub fn encode_string(text: &str) -> Option<Vec<u8>> {
    encode(text.encode_utf16())
}

/// String descriptor 0 for these LANGIDs; `None` if there are more than 126.
#[must_use]
pub fn encode_languages(languages: &[u16]) -> Option<Vec<u8>> {
    encode(languages.iter().copied())
}

fn encode(units: impl Iterator<Item = u16>) -> Option<Vec<u8>> {
    let mut out = vec![2, descriptor_type::STRING];
    for (count, unit) in units.enumerate() {
        if count == MAXIMUM_UNITS {
            return None;
        }
        out.extend(unit.to_le_bytes());
    }
    let length = u8::try_from(out.len()).ok()?;
    if let Some(first) = out.first_mut() {
        *first = length;
    }
    Some(out)
}
