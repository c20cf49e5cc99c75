//! The eight bytes of a control request (USB 2.0 §9.3).

/// Which way data goes, seen from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Host to device.
    Out,
    /// Device to host.
    In,
}

impl Direction {
    /// The direction of an endpoint address (bit 7).
    #[must_use]
    pub const fn of_endpoint(address: u8) -> Self {
        if address & 0x80 == 0 { Direction::Out } else { Direction::In }
    }
}

impl std::fmt::Display for Direction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Direction::Out => "OUT",
            Direction::In => "IN",
        })
    }
}

/// Who defined a request (bits 6–5 of `bmRequestType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestKind {
    /// USB itself.
    Standard,
    /// A device class.
    Class,
    /// The vendor.
    Vendor,
    /// Reserved by the specification.
    Reserved,
}

/// Whom a request is for (bits 4–0 of `bmRequestType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Recipient {
    /// The device.
    Device,
    /// An interface; the low byte of `wIndex` is its number.
    Interface,
    /// An endpoint; the low byte of `wIndex` is its address.
    Endpoint,
    /// Something else.
    Other,
}

/// A control request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Setup {
    /// `bmRequestType`.
    pub request_type: u8,
    /// `bRequest`.
    pub request: u8,
    /// `wValue`.
    pub value: u16,
    /// `wIndex`.
    pub index: u16,
    /// `wLength`: bytes of the data stage.
    pub length: u16,
}

impl Setup {
    /// The direction of the data stage.
    #[must_use]
    pub const fn direction(self) -> Direction {
        if self.request_type & 0x80 == 0 { Direction::Out } else { Direction::In }
    }

    /// Who defined the request.
    #[must_use]
    pub const fn kind(self) -> RequestKind {
        match (self.request_type >> 5) & 3 {
            0 => RequestKind::Standard,
            1 => RequestKind::Class,
            2 => RequestKind::Vendor,
            _ => RequestKind::Reserved,
        }
    }

    /// Whom it is for.
    #[must_use]
    pub const fn recipient(self) -> Recipient {
        match self.request_type & 0x1f {
            0 => Recipient::Device,
            1 => Recipient::Interface,
            2 => Recipient::Endpoint,
            _ => Recipient::Other,
        }
    }

    /// Whether it is CLEAR_FEATURE(ENDPOINT_HALT) (USB 2.0 §9.4.1). Systems have a call of their own for it, which
    /// also clears the host's side.
    #[must_use]
    pub fn is_clear_halt(self) -> bool {
        self.kind() == RequestKind::Standard
            && self.recipient() == Recipient::Endpoint
            && self.request == 1
            && self.value == 0
    }
}
