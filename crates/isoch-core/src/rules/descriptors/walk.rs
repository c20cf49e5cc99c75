//! One descriptor after the other.
//!
//! Why an iterator of results that stops at the first error, and not one that skips? Behind a wrong
//! `bLength` every further boundary is a guess.

use super::{DescriptorError, DescriptorErrorKind};

/// One descriptor where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawDescriptor<'a> {
    /// Bytes before it in the input.
    pub offset: usize,
    /// `bDescriptorType`.
    pub descriptor_type: u8,
    /// All of it, from `bLength` on: at least 2 bytes, exactly `bLength`.
    pub bytes: &'a [u8],
}

impl RawDescriptor<'_> {
    /// Checks that the fields of its type are there.
    pub(super) fn at_least(&self, needed: u8) -> Result<(), DescriptorError> {
        if self.bytes.len() < usize::from(needed) {
            let kind = DescriptorErrorKind::TooShort {
                descriptor_type: self.descriptor_type,
                length: self.bytes.len() as u8,
                needed,
            };
            return Err(DescriptorError::new(self.offset, kind));
        }
        Ok(())
    }
}

/// Walks over descriptors that stand one after the other. See [`walk`].
#[derive(Clone, Debug)]
pub struct Walk<'a> {
    bytes: &'a [u8],
    offset: usize,
}

/// Walks over `bytes`, descriptor by descriptor (USB 2.0 §9.5: each starts with `bLength`, `bDescriptorType`).
///
/// The slices yielded cover the input without a hole. After an error the walk ends.
#[must_use]
pub fn walk(bytes: &[u8]) -> Walk<'_> {
    Walk { bytes, offset: 0 }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Result<RawDescriptor<'a>, DescriptorError>;

    fn next(&mut self) -> Option<Self::Item> {
        let offset = self.offset;
        let rest = self.bytes.get(offset..).filter(|rest| !rest.is_empty())?;
        // Whatever comes of this one, nothing behind an error can be trusted.
        self.offset = self.bytes.len();
        let fail = |kind| Some(Err(DescriptorError::new(offset, kind)));
        let have = rest.len();
        let (length, descriptor_type) = match *rest {
            [length, ..] if length < 2 => return fail(DescriptorErrorKind::LengthBelowHeader { length }),
            [length, descriptor_type, ..] => (usize::from(length), descriptor_type),
            _ => return fail(DescriptorErrorKind::Truncated { needed: 2, have }),
        };
        let Some(bytes) = rest.get(..length) else {
            return fail(DescriptorErrorKind::Truncated { needed: length, have });
        };
        self.offset = offset + length;
        Some(Ok(RawDescriptor { offset, descriptor_type, bytes }))
    }
}

impl std::iter::FusedIterator for Walk<'_> {}

/// The first descriptor of `bytes`, which must be of type `expected` and have `needed` bytes.
pub(super) fn first(bytes: &[u8], expected: u8, needed: u8) -> Result<RawDescriptor<'_>, DescriptorError> {
    let missing = DescriptorErrorKind::Truncated { needed: usize::from(needed), have: bytes.len() };
    let raw = walk(bytes).next().unwrap_or(Err(DescriptorError::new(0, missing)))?;
    if raw.descriptor_type != expected {
        let kind = DescriptorErrorKind::UnexpectedType { expected, found: raw.descriptor_type };
        return Err(DescriptorError::new(0, kind));
    }
    raw.at_least(needed)?;
    Ok(raw)
}
