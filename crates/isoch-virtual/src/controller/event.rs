//! What the controller tells its owner, and why it refuses.
//!
//! Why events in a vector and not callbacks? The owner must be free to call the controller again from
//! whatever it does with a completion, and a callback would hold the controller borrowed.

use isoch_core::{Block, Outcome};

use super::{PipeId, PortId};

/// Something that happened on the bus.
#[derive(Debug)]
pub enum Event {
    /// An isochronous transfer ended.
    Isoch(IsochDone),
    /// A bulk or interrupt transfer ended.
    Data(DataDone),
    /// A device appeared.
    Plugged(PortId),
    /// A device is gone; everything that was pending on it has been handed back before.
    Unplugged(PortId),
}

impl Event {
    /// The host learns of it in this microframe.
    pub(super) fn see_at(&mut self, microframe: u64) {
        match self {
            Event::Isoch(done) => done.seen = microframe,
            Event::Data(done) => done.seen = microframe,
            Event::Plugged(_) | Event::Unplugged(_) => {}
        }
    }
}

/// An isochronous transfer that ended. Its packets' results are in its block.
#[derive(Debug)]
pub struct IsochDone {
    /// Where it was submitted.
    pub pipe: PipeId,
    /// The owner's name for it.
    pub token: u64,
    /// Its memory, and the results of its packets.
    pub block: Block,
    /// How it ended as a whole.
    pub outcome: Outcome,
    /// Microframe of its first interval, where the profile tells it and the transfer was given one.
    pub first: Option<u64>,
    /// Microframe at which the host learns of its end.
    pub seen: u64,
}

/// A bulk or interrupt transfer that ended.
#[derive(Debug)]
pub struct DataDone {
    /// The port it was for.
    pub port: PortId,
    /// The endpoint address.
    pub endpoint: u8,
    /// The owner's name for it.
    pub token: u64,
    /// The memory that was submitted.
    pub data: Vec<u8>,
    /// Bytes that went over the bus.
    pub transferred: usize,
    /// How it ended.
    pub result: Result<(), DataError>,
    /// Microframe at which the host learns of its end.
    pub seen: u64,
}

/// Why a device cannot be plugged in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlugError {
    /// Another device has this name.
    #[error("a device named {0:?} is plugged in already: unplug it first, or choose another name")]
    NameTaken(String),
    /// A host could not enumerate the device.
    #[error("the device's descriptors are wrong: {0}")]
    Descriptors(String),
}

/// Why a control request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The device, or a fault, answered with STALL.
    #[error("the device answered with STALL: it does not know the request, or not with these values")]
    Stall,
    /// The device is not plugged in.
    #[error("the device is gone")]
    Gone,
    /// The direction or the length in the setup packet is not that of the call.
    #[error("the setup packet names another direction or length than the call")]
    Malformed,
    /// It would change an alternate setting, and the host refuses that.
    #[error(transparent)]
    Setting(SettingError),
}

/// Why an alternate setting cannot be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingError {
    /// The descriptors have no such interface, or not with this setting.
    #[error("the device has no such alternate setting")]
    NoSuchSetting,
    /// Its periodic endpoints do not fit beside those already active.
    #[error(
        "the setting needs {needed} bytes of periodic bandwidth in one interval and {available} are free"
    )]
    NoBandwidth {
        /// Bytes that the setting's isochronous and interrupt endpoints need in the worst microframe (low
        /// and full speed: frame).
        needed: u32,
        /// Bytes that are free in that microframe (frame).
        available: u32,
    },
    /// Transfers are pending on the interface.
    #[error("transfers are pending on the interface: wait for them or abort them first")]
    Busy,
    /// The device is not plugged in.
    #[error("the device is gone")]
    Gone,
    /// The device, or a fault, answered with STALL.
    #[error("the device answered with STALL")]
    Stall,
}

/// Why an isochronous endpoint cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// No current alternate setting has this endpoint.
    #[error("no current alternate setting has this endpoint")]
    NoSuchEndpoint,
    /// It is not isochronous.
    #[error("the endpoint is not isochronous")]
    NotIsochronous,
    /// It is open already.
    #[error("the endpoint is open already")]
    AlreadyOpen,
    /// The device is not plugged in.
    #[error("the device is gone")]
    Gone,
    /// The emulated controller has no room for another pipe.
    #[error("the emulated controller has no room for another pipe: close some first")]
    TooMany,
}

/// Why a transfer was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The pipe was closed, by its owner or by a change of alternate setting.
    #[error("the pipe is closed")]
    Stale,
    /// The device is not plugged in.
    #[error("the device is gone")]
    Gone,
    /// A packet is longer than the endpoint allows.
    #[error("packet {index} has {length} bytes and the endpoint allows {limit}")]
    TooLong {
        /// Which packet.
        index: u32,
        /// Its length in bytes.
        length: u32,
        /// What the endpoint allows, in bytes.
        limit: u32,
    },
    /// The block has no packets.
    #[error("the transfer has no packets")]
    NoPackets,
    /// The imitated system cannot send packets of these lengths: only full ones, then one short one.
    #[error("packet {index} is short and not the last: this system sends full packets, then a short one")]
    Lengths {
        /// The first packet that is short.
        index: u32,
    },
}

/// Why a bulk or interrupt transfer was not taken, or how it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// No current alternate setting has this bulk or interrupt endpoint.
    #[error("no current alternate setting has this bulk or interrupt endpoint")]
    NoSuchEndpoint,
    /// The endpoint is halted.
    #[error("the endpoint is halted: clear the halt first")]
    Stall,
    /// The device is gone.
    #[error("the device is gone")]
    Gone,
    /// It was cancelled.
    #[error("the transfer was cancelled")]
    Cancelled,
    /// The device sent more than there was room for.
    #[error("the device sent more than there was room for")]
    Babble,
}
