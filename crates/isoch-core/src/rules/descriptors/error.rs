//! What can be wrong with descriptors.

use super::descriptor_type;

/// Descriptors that cannot be used, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("descriptor at byte {offset}: {kind}")]
pub struct DescriptorError {
    /// Where the descriptor at fault starts, counted from the first byte of the input. Never beyond its end.
    pub offset: usize,
    /// What is wrong with it.
    pub kind: DescriptorErrorKind,
}

impl DescriptorError {
    pub(super) fn new(offset: usize, kind: DescriptorErrorKind) -> Self {
        DescriptorError { offset, kind }
    }

    /// The same error in an input that starts `by` bytes earlier.
    pub(super) fn moved(self, by: usize) -> Self {
        DescriptorError { offset: self.offset.saturating_add(by), kind: self.kind }
    }
}

/// What is wrong with a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DescriptorErrorKind {
    /// The input ends inside it.
    #[error("{needed} bytes are needed and only {have} are left: the device sent too little, read it again")]
    Truncated {
        /// Bytes it needs.
        needed: usize,
        /// Bytes left in the input from its offset on.
        have: usize,
    },
    /// `bLength` does not even cover `bLength` and `bDescriptorType`.
    #[error("bLength is {length}, but a descriptor has at least 2 bytes")]
    LengthBelowHeader {
        /// `bLength`.
        length: u8,
    },
    /// `bLength` is less than its type's fields take.
    #[error("bLength is {length}, but {} needs at least {needed} bytes", name(*.descriptor_type))]
    TooShort {
        /// `bDescriptorType`.
        descriptor_type: u8,
        /// `bLength`.
        length: u8,
        /// What the type needs.
        needed: u8,
    },
    /// Another type belongs here.
    #[error("{} belongs here, found type {found:#04x}", name(*.expected))]
    UnexpectedType {
        /// The type that belongs here.
        expected: u8,
        /// The type found.
        found: u8,
    },
    /// `wTotalLength` and the input differ.
    #[error("wTotalLength says {claimed} bytes, there are {actual}")]
    TotalLength {
        /// `wTotalLength`.
        claimed: u16,
        /// Bytes of input.
        actual: usize,
    },
    /// Longer than `wTotalLength` can say.
    #[error("the input has {length} bytes, but descriptors never have more than 65535")]
    TooLong {
        /// Bytes of input.
        length: usize,
    },
    /// An endpoint belongs to no interface.
    #[error("an endpoint stands before any interface")]
    EndpointBeforeInterface,
    /// Two endpoints of one alternate setting have the same address.
    #[error("endpoint {address:#04x} appears twice in one alternate setting")]
    DuplicateEndpoint {
        /// `bEndpointAddress`.
        address: u8,
    },
    /// The same alternate setting appears twice.
    #[error("interface {interface} has alternate setting {alternate} twice")]
    DuplicateAlternateSetting {
        /// `bInterfaceNumber`.
        interface: u8,
        /// `bAlternateSetting`.
        alternate: u8,
    },
    /// Endpoint number 0, or reserved bits set.
    #[error("{address:#04x} is no endpoint address: the number is 1 to 15, and bits 6 to 4 are 0")]
    EndpointAddress {
        /// `bEndpointAddress`.
        address: u8,
    },
    /// A companion follows no endpoint.
    #[error("{} stands before any endpoint of its interface", name(*.descriptor_type))]
    CompanionWithoutEndpoint {
        /// `bDescriptorType`.
        descriptor_type: u8,
    },
}

/// Something the device should not do and that harms nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Warning {
    /// `bNumEndpoints` and the endpoints that follow differ. Devices exist that count endpoint 0, or copy an
    /// interface and forget the number.
    #[error(
        "interface {interface} alternate setting {alternate} declares {declared} endpoints and has {found}"
    )]
    EndpointCount {
        /// `bInterfaceNumber`.
        interface: u8,
        /// `bAlternateSetting`.
        alternate: u8,
        /// `bNumEndpoints`.
        declared: u8,
        /// How many there are.
        found: usize,
    },
    /// `bNumInterfaces` and the interfaces that follow differ.
    #[error("the configuration declares {declared} interfaces and has {found}")]
    InterfaceCount {
        /// `bNumInterfaces`.
        declared: u8,
        /// How many there are.
        found: usize,
    },
    /// A companion does not directly follow its endpoint (USB 3.2 §9.6.7), or is a second one. It is kept as
    /// an unknown descriptor, and its values are not used.
    #[error(
        "the companion at byte {offset} does not directly follow endpoint {address:#04x} and is not used"
    )]
    StrayCompanion {
        /// Where it stands.
        offset: usize,
        /// The endpoint before it.
        address: u8,
    },
    /// A device or configuration descriptor inside a configuration, kept as an unknown descriptor.
    #[error("the descriptor of type {descriptor_type:#04x} at byte {offset} does not belong here")]
    OutOfPlace {
        /// Where it stands.
        offset: usize,
        /// `bDescriptorType`.
        descriptor_type: u8,
    },
}

/// A descriptor type in words.
fn name(kind: u8) -> &'static str {
    match kind {
        descriptor_type::DEVICE => "a device descriptor",
        descriptor_type::CONFIGURATION => "a configuration descriptor",
        descriptor_type::STRING => "a string descriptor",
        descriptor_type::INTERFACE => "an interface descriptor",
        descriptor_type::ENDPOINT => "an endpoint descriptor",
        descriptor_type::INTERFACE_ASSOCIATION => "an interface association",
        descriptor_type::BINARY_OBJECT_STORE => "a binary device object store",
        descriptor_type::DEVICE_CAPABILITY => "a device capability",
        descriptor_type::SUPER_SPEED_COMPANION => "a SuperSpeed endpoint companion",
        descriptor_type::SUPER_SPEED_PLUS_COMPANION => "a SuperSpeedPlus isochronous endpoint companion",
        _ => "a descriptor of this type",
    }
}
