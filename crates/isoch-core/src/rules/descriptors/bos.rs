//! The binary device object store: capabilities beyond the device descriptor.
//!
//! Why does a capability keep its bytes, unlike the tree of a configuration? Most capabilities belong to
//! somebody else (platforms, billboards, vendors) and are passed on, never built here.

use super::walk::{first, walk};
use super::{
    DescriptorError, DescriptorErrorKind, MAXIMUM_LENGTH, byte_at, descriptor_type, put, tail, u16_at, u32_at,
};

/// A binary device object store (USB 3.2 §9.6.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BinaryObjectStore {
    /// `bNumDeviceCaps`, as declared. It is not checked: what is there counts.
    pub declared_capabilities: u8,
    /// Bytes behind the known fields of the header.
    pub tail: Vec<u8>,
    /// The capabilities, in order.
    pub capabilities: Vec<DeviceCapability>,
}

/// One device capability, at least 3 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceCapability {
    bytes: Vec<u8>,
}

/// What a device capability says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Capability<'a> {
    /// USB 2.0 Extension (USB 3.2 §9.6.2.1).
    Usb2Extension {
        /// `bmAttributes`: bit 1 is link power management.
        attributes: u32,
    },
    /// SuperSpeed USB Device Capability (USB 3.2 §9.6.2.2).
    SuperSpeed {
        /// `bmAttributes`: bit 1 says that it can send latency tolerance messages.
        attributes: u8,
        /// `wSpeedsSupported`: bit 0 low, 1 full, 2 high, 3 Gen 1 speed.
        speeds: u16,
        /// `bFunctionalitySupport`: the lowest speed, as a bit number of `speeds`, at which everything works.
        functionality: u8,
        /// `bU1DevExitLat`, in microseconds.
        u1_exit_latency: u8,
        /// `wU2DevExitLat`, in microseconds.
        u2_exit_latency: u16,
    },
    /// Container ID (USB 3.2 §9.6.2.3).
    ContainerId {
        /// The UUID, in the order of the wire.
        id: [u8; 16],
    },
    /// Any other.
    Other {
        /// `bDevCapabilityType`.
        capability_type: u8,
        /// What follows.
        data: &'a [u8],
    },
}

impl DeviceCapability {
    /// All of it, from `bLength` on.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What it says.
    #[must_use]
    pub fn capability(&self) -> Capability<'_> {
        let bytes = self.bytes.as_slice();
        match byte_at(bytes, 2) {
            0x02 => Capability::Usb2Extension { attributes: u32_at(bytes, 3) },
            0x03 => Capability::SuperSpeed {
                attributes: byte_at(bytes, 3),
                speeds: u16_at(bytes, 4),
                functionality: byte_at(bytes, 6),
                u1_exit_latency: byte_at(bytes, 7),
                u2_exit_latency: u16_at(bytes, 8),
            },
            0x04 => Capability::ContainerId { id: std::array::from_fn(|at| byte_at(bytes, at + 4)) },
            capability_type => {
                Capability::Other { capability_type, data: bytes.get(3..).unwrap_or_default() }
            }
        }
    }
}

impl BinaryObjectStore {
    /// Reads a store from exactly its bytes: `wTotalLength` of them.
    ///
    /// # Errors
    /// Malformed, or something else than capabilities in it.
    pub fn parse(bytes: &[u8]) -> Result<BinaryObjectStore, DescriptorError> {
        if bytes.len() > MAXIMUM_LENGTH {
            return Err(DescriptorError::new(0, DescriptorErrorKind::TooLong { length: bytes.len() }));
        }
        let header = first(bytes, descriptor_type::BINARY_OBJECT_STORE, 5)?;
        let claimed = u16_at(header.bytes, 2);
        if usize::from(claimed) != bytes.len() {
            let kind = DescriptorErrorKind::TotalLength { claimed, actual: bytes.len() };
            return Err(DescriptorError::new(0, kind));
        }
        let mut capabilities = Vec::new();
        for raw in walk(bytes).skip(1) {
            let raw = raw?;
            if raw.descriptor_type != descriptor_type::DEVICE_CAPABILITY {
                let expected = descriptor_type::DEVICE_CAPABILITY;
                let kind = DescriptorErrorKind::UnexpectedType { expected, found: raw.descriptor_type };
                return Err(DescriptorError::new(raw.offset, kind));
            }
            raw.at_least(3)?;
            raw.at_least(match byte_at(raw.bytes, 2) {
                0x02 => 7,
                0x03 => 10,
                0x04 => 20,
                _ => 3,
            })?;
            capabilities.push(DeviceCapability { bytes: raw.bytes.to_vec() });
        }
        Ok(BinaryObjectStore {
            declared_capabilities: byte_at(header.bytes, 4),
            tail: tail(header.bytes, 5),
            capabilities,
        })
    }

    /// Its bytes, `wTotalLength` computed. What was parsed comes back identical.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, &[descriptor_type::BINARY_OBJECT_STORE, 0, 0, self.declared_capabilities], &self.tail);
        self.capabilities.iter().for_each(|capability| out.extend_from_slice(&capability.bytes));
        let total = u16::try_from(out.len()).unwrap_or(u16::MAX).to_le_bytes();
        if let Some(field) = out.get_mut(2..4) {
            field.copy_from_slice(&total);
        }
        out
    }
}
