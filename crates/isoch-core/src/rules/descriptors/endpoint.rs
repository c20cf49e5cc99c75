//! Endpoints and their companions.

use super::{RawDescriptor, byte_at, descriptor_type, put, tail, u16_at, u32_at};
use crate::rules::control::Direction;
use crate::rules::timing::{EndpointTiming, Speed, TimingError};

/// How an endpoint moves data (bits 1–0 of `bmAttributes`, USB 2.0 §9.6.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransferType {
    /// Requests and answers.
    Control,
    /// A reserved part of every interval, never repeated.
    Isochronous,
    /// What bandwidth is left, repeated until it arrives.
    Bulk,
    /// A reserved part of every interval, repeated until it arrives.
    Interrupt,
}

/// What paces an isochronous endpoint (bits 3–2 of `bmAttributes`, USB 2.0 §5.12.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Synchronization {
    /// Nothing said.
    None,
    /// A clock of the device's own.
    Asynchronous,
    /// The rate of the data itself.
    Adaptive,
    /// The bus: start of frame.
    Synchronous,
}

/// What an isochronous endpoint is for (bits 5–4 of `bmAttributes`, USB 2.0 Table 9-13).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Usage {
    /// Data.
    Data,
    /// Explicit feedback: tells the rate at which another endpoint wants its data.
    Feedback,
    /// Data whose rate is also the rate another endpoint wants.
    ImplicitFeedback,
    /// Reserved by the specification.
    Reserved,
}

/// The two fields that USB Audio 1.0 appends to endpoints (§4.6.1.1: `bLength` is 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AudioFields {
    /// `bRefresh`: a feedback endpoint is refreshed every 2^`refresh` frames.
    pub refresh: u8,
    /// `bSynchAddress`: the address of the feedback endpoint, 0 if there is none.
    pub synch_address: u8,
}

/// What SuperSpeed adds to an endpoint (USB 3.2 §9.6.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuperSpeedCompanion {
    /// `bMaxBurst`: packets in a burst, less one; 0 to 15.
    pub max_burst: u8,
    /// `bmAttributes`. Isochronous: bits 1–0 bursts in an interval less one, bit 7 set if a
    /// [`SuperSpeedPlusCompanion`] follows.
    pub attributes: u8,
    /// `wBytesPerInterval`: bytes reserved in each interval of a periodic endpoint.
    pub bytes_per_interval: u16,
    /// Bytes behind the known fields.
    pub tail: Vec<u8>,
}

/// What SuperSpeedPlus adds to an isochronous endpoint (USB 3.2 §9.6.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuperSpeedPlusCompanion {
    /// `wReserved`.
    pub reserved: u16,
    /// `dwBytesPerInterval`: bytes reserved in each interval.
    pub bytes_per_interval: u32,
    /// Bytes behind the known fields.
    pub tail: Vec<u8>,
}

/// An endpoint of an alternate setting (USB 2.0 §9.6.6), and what follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `bEndpointAddress`: number in bits 3–0, IN if bit 7 is set.
    pub address: u8,
    /// `bmAttributes`.
    pub attributes: u8,
    /// `wMaxPacketSize`, with the additional transactions of high speed in bits 12–11.
    pub max_packet_size: u16,
    /// `bInterval`; what it counts depends on speed and type, see [`Endpoint::timing`].
    pub interval: u8,
    /// The fields of USB Audio 1.0, where `bLength` is 9 or more.
    pub audio: Option<AudioFields>,
    /// Bytes behind the known fields.
    pub tail: Vec<u8>,
    /// The companion that directly follows.
    pub super_speed: Option<SuperSpeedCompanion>,
    /// The second companion, directly behind the first.
    pub super_speed_plus: Option<SuperSpeedPlusCompanion>,
    /// Class-specific and unknown descriptors that follow, whole, in order.
    pub extra: Vec<Vec<u8>>,
}

impl Endpoint {
    /// An endpoint of the seven standard bytes, without companions.
    #[must_use]
    pub fn new(address: u8, attributes: u8, max_packet_size: u16, interval: u8) -> Self {
        Endpoint {
            address,
            attributes,
            max_packet_size,
            interval,
            audio: None,
            tail: Vec::new(),
            super_speed: None,
            super_speed_plus: None,
            extra: Vec::new(),
        }
    }

    /// Which way its data goes.
    #[must_use]
    pub fn direction(&self) -> Direction {
        Direction::of_endpoint(self.address)
    }

    /// How it moves data.
    #[must_use]
    pub fn transfer_type(&self) -> TransferType {
        match self.attributes & 0x03 {
            0 => TransferType::Control,
            1 => TransferType::Isochronous,
            2 => TransferType::Bulk,
            _ => TransferType::Interrupt,
        }
    }

    /// Whether it is isochronous.
    #[must_use]
    pub fn is_isochronous(&self) -> bool {
        self.transfer_type() == TransferType::Isochronous
    }

    /// What paces it. Only isochronous endpoints say; the others give [`Synchronization::None`].
    #[must_use]
    pub fn synchronization(&self) -> Synchronization {
        match (self.is_isochronous(), (self.attributes >> 2) & 0x03) {
            (true, 1) => Synchronization::Asynchronous,
            (true, 2) => Synchronization::Adaptive,
            (true, 3) => Synchronization::Synchronous,
            _ => Synchronization::None,
        }
    }

    /// What it is for. Only isochronous endpoints say; the others give [`Usage::Data`].
    ///
    /// USB Audio 1.0 devices leave these bits at zero on their feedback endpoints: there, the endpoint that
    /// another one names in [`AudioFields::synch_address`] is the feedback endpoint.
    #[must_use]
    pub fn usage(&self) -> Usage {
        match (self.is_isochronous(), (self.attributes >> 4) & 0x03) {
            (true, 1) => Usage::Feedback,
            (true, 2) => Usage::ImplicitFeedback,
            (true, 3) => Usage::Reserved,
            _ => Usage::Data,
        }
    }

    /// When it is served and how much it carries then, on a device connected at `speed`.
    ///
    /// # Errors
    /// It is not periodic, or a field has a value the specification does not allow at this speed.
    pub fn timing(&self, speed: Speed) -> Result<EndpointTiming, TimingError> {
        EndpointTiming::new(speed, self)
    }

    /// The caller has checked that there are 7 bytes.
    pub(super) fn from_raw(raw: &RawDescriptor<'_>) -> Self {
        let bytes = raw.bytes;
        let audio = match *bytes {
            [_, _, _, _, _, _, _, refresh, synch_address, ..] => Some(AudioFields { refresh, synch_address }),
            _ => None,
        };
        Endpoint {
            audio,
            tail: tail(bytes, if audio.is_some() { 9 } else { 7 }),
            ..Endpoint::new(byte_at(bytes, 2), byte_at(bytes, 3), u16_at(bytes, 4), byte_at(bytes, 6))
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let [low, high] = self.max_packet_size.to_le_bytes();
        let mut fields =
            vec![descriptor_type::ENDPOINT, self.address, self.attributes, low, high, self.interval];
        if let Some(audio) = self.audio {
            fields.extend([audio.refresh, audio.synch_address]);
        }
        put(out, &fields, &self.tail);
        if let Some(companion) = &self.super_speed {
            companion.write(out);
        }
        if let Some(companion) = &self.super_speed_plus {
            companion.write(out);
        }
        self.extra.iter().for_each(|bytes| out.extend_from_slice(bytes));
    }
}

impl SuperSpeedCompanion {
    /// The caller has checked that there are 6 bytes.
    pub(super) fn from_raw(raw: &RawDescriptor<'_>) -> Self {
        SuperSpeedCompanion {
            max_burst: byte_at(raw.bytes, 2),
            attributes: byte_at(raw.bytes, 3),
            bytes_per_interval: u16_at(raw.bytes, 4),
            tail: tail(raw.bytes, 6),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let [low, high] = self.bytes_per_interval.to_le_bytes();
        let fields = [descriptor_type::SUPER_SPEED_COMPANION, self.max_burst, self.attributes, low, high];
        put(out, &fields, &self.tail);
    }
}

impl SuperSpeedPlusCompanion {
    /// The caller has checked that there are 8 bytes.
    pub(super) fn from_raw(raw: &RawDescriptor<'_>) -> Self {
        SuperSpeedPlusCompanion {
            reserved: u16_at(raw.bytes, 2),
            bytes_per_interval: u32_at(raw.bytes, 4),
            tail: tail(raw.bytes, 8),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut fields = vec![descriptor_type::SUPER_SPEED_PLUS_COMPANION];
        fields.extend(self.reserved.to_le_bytes());
        fields.extend(self.bytes_per_interval.to_le_bytes());
        put(out, &fields, &self.tail);
    }
}
