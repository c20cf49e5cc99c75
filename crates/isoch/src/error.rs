//! What can go wrong, and what to do about it.
//!
//! Why one enum and not an error per function? A user who opens a device and streams to it meets most of
//! these on one path and handles few of them by kind; what matters more is that each text says what to
//! do. Kinds that programs do handle carry the numbers they need.

use isoch_core::rules::descriptors::DescriptorError;
use isoch_core::rules::layout::{LayoutError, StartError};
use isoch_core::rules::timing::TimingError;
use thiserror::Error;

/// An error of this crate.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// An address that cannot be read.
    #[error("the address `{address}` is not valid: {reason}")]
    Address {
        /// As it was given.
        address: String,
        /// What is wrong, and what is possible.
        reason: String,
    },
    /// Nothing answers to the address.
    #[error("no device answers to `{address}`{hint}")]
    NotFound {
        /// As it was given.
        address: String,
        /// What there is instead, beginning with a separator.
        hint: String,
    },
    /// The device has no such interface.
    #[error("the device has no interface {interface}; it has {available}")]
    NoSuchInterface {
        /// As asked for.
        interface: u8,
        /// A list of what there is.
        available: String,
    },
    /// The interface has no such alternate setting.
    #[error("interface {interface} has no alternate setting {setting}; it has {available}")]
    NoSuchSetting {
        /// The interface.
        interface: u8,
        /// As asked for.
        setting: u8,
        /// A list of what there is.
        available: String,
    },
    /// The alternate setting has no such endpoint, or not of the kind asked for.
    #[error(
        "alternate setting {setting} of interface {interface} has no {wanted} endpoint {endpoint:#04x}; it has {available}"
    )]
    NoSuchEndpoint {
        /// The interface.
        interface: u8,
        /// The alternate setting.
        setting: u8,
        /// As asked for.
        endpoint: u8,
        /// "isochronous OUT" and the like.
        wanted: &'static str,
        /// A list of what there is.
        available: String,
    },
    /// Another handle, program or driver has it, or transfers are pending.
    #[error("{what} is in use: {remedy}")]
    Busy {
        /// What.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The bus has not enough periodic bandwidth left.
    #[error(
        "the bus has no bandwidth for this alternate setting: it needs {needed} bytes per interval and {available} are left; choose a smaller alternate setting or stop another stream"
    )]
    NoBandwidth {
        /// Bytes per frame (full speed) or per 125 µs.
        needed: u64,
        /// What is left of them.
        available: u64,
    },
    /// The system's memory for transfers would not do.
    #[error(
        "these blocks need {needed} bytes of transfer memory and {available} are left: use at most {fits} blocks of this size, or smaller ones"
    )]
    Budget {
        /// Bytes asked for.
        needed: u64,
        /// Bytes left.
        available: u64,
        /// Blocks of this layout that would fit.
        fits: u64,
    },
    /// The device's descriptors are malformed.
    #[error("the device's descriptors are malformed: {0}")]
    Descriptor(#[from] DescriptorError),
    /// The endpoint's descriptor makes no sense for its speed.
    #[error("the endpoint cannot be used: {0}")]
    Timing(#[from] TimingError),
    /// The start frame is taken, or the endpoint is not served in it.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The packets do not fit the block or the endpoint.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// What was asked for is not possible on this bus, or with this block.
    #[error("{0}")]
    Unsupported(String),
    /// An argument that cannot be meant.
    #[error("{0}")]
    Argument(String),
    /// The device answered with STALL.
    #[error("the device refused the request (STALL): it does not support it, or not now")]
    Stall,
    /// The transfer was cancelled.
    #[error("the transfer was cancelled")]
    Cancelled,
    /// The device was unplugged.
    #[error("the device was unplugged: open it again when it is back (open_when_present waits for it)")]
    Gone,
    /// The time given was not enough.
    #[error("timed out")]
    TimedOut,
    /// Emulated time stands still: nothing this wait could end with will happen.
    #[error(
        "the bus's clock stands still, so this wait would never end: submit something first, or call `advance` (manual clock)"
    )]
    ClockStopped,
    /// A completion sink waited for something that cannot happen before the sink returns.
    #[error("a completion sink cannot wait: take what is there with `now`, or hand over to another thread")]
    InSink,
    /// The endpoint, pool or watch waited on is closed.
    #[error("closed")]
    Closed,
    /// A file or the operating system.
    #[error("{what}: {reason}")]
    System {
        /// What was being done.
        what: String,
        /// What the system said.
        reason: String,
    },
    /// The bus failed a transfer, with the system's own code.
    #[error("the bus failed the transfer (system code {0})")]
    Bus(i32),
}
