//! Descriptors: what a device says about itself, read without losing a byte.
//!
//! Why not keep the bytes and look fields up when asked? Because the same tree is read from devices and
//! written by emulated ones, and a field that only exists as an offset can be read but not built. Why not
//! a tree alone, then? Because class drivers need what standard USB does not know: bytes between, behind
//! and inside the standard descriptors. So everything unknown is kept where it stood, and
//! [`Configuration::to_bytes`] rebuilds the input, byte for byte, from the tree (not from a copy of it).
//!
//! Devices are wrong in many small ways. What would make an endpoint ambiguous is a [`DescriptorError`];
//! what the common operating systems shrug at is a [`Warning`] beside the result.

mod bos;
mod configuration;
mod device;
mod endpoint;
mod error;
mod function;
mod parse;
mod string;
mod walk;

pub use bos::{BinaryObjectStore, Capability, DeviceCapability};
pub use configuration::{AlternateSetting, Configuration, Interface, InterfaceAssociation};
pub use device::{DescriptorSet, DeviceDescriptor};
pub use endpoint::{
    AudioFields, Endpoint, SuperSpeedCompanion, SuperSpeedPlusCompanion, Synchronization, TransferType, Usage,
};
pub use error::{DescriptorError, DescriptorErrorKind, Warning};
pub use string::{decode_languages, decode_string, encode_languages, encode_string};
pub use walk::{RawDescriptor, Walk, walk};

/// Descriptor types (USB 2.0 Table 9-5; USB 3.2 §9.4).
pub mod descriptor_type {
    /// The device.
    pub const DEVICE: u8 = 0x01;
    /// A configuration.
    pub const CONFIGURATION: u8 = 0x02;
    /// A string.
    pub const STRING: u8 = 0x03;
    /// An alternate setting of an interface.
    pub const INTERFACE: u8 = 0x04;
    /// An endpoint.
    pub const ENDPOINT: u8 = 0x05;
    /// Interfaces that belong together.
    pub const INTERFACE_ASSOCIATION: u8 = 0x0b;
    /// The binary device object store.
    pub const BINARY_OBJECT_STORE: u8 = 0x0f;
    /// A device capability in the binary device object store.
    pub const DEVICE_CAPABILITY: u8 = 0x10;
    /// What SuperSpeed adds to an endpoint.
    pub const SUPER_SPEED_COMPANION: u8 = 0x30;
    /// What SuperSpeedPlus adds to an isochronous endpoint.
    pub const SUPER_SPEED_PLUS_COMPANION: u8 = 0x31;
}

/// The longest input taken: `wTotalLength` has 16 bits.
pub const MAXIMUM_LENGTH: usize = 0xffff;

/// Two little-endian bytes at `at`; zero bytes where there are none (callers have checked the length).
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([byte_at(bytes, at), byte_at(bytes, at + 1)])
}

/// Four little-endian bytes at `at`.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

/// The byte at `at`, or zero.
fn byte_at(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

/// What follows the fields that are known: USB 2.0 §9.5 lets a descriptor be longer than its type says.
fn tail(bytes: &[u8], known: usize) -> Vec<u8> {
    bytes.get(known..).unwrap_or_default().to_vec()
}

/// `bLength` for `known` bytes of fields and a tail. Parsed descriptors always fit; one built by hand with
/// a tail that is too long is cut by [`put`].
fn put(out: &mut Vec<u8>, fields: &[u8], tail: &[u8]) {
    let room = usize::from(u8::MAX).saturating_sub(fields.len() + 1);
    let tail = tail.get(..room).unwrap_or(tail);
    out.push((fields.len() + 1 + tail.len()).min(usize::from(u8::MAX)) as u8);
    out.extend_from_slice(fields);
    out.extend_from_slice(tail);
}
