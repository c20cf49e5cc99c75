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
    /// The system does not allow it to this user.
    #[error("no permission for {what}: {remedy}")]
    Permission {
        /// For what.
        what: String,
        /// What to do.
        remedy: String,
    },
    /// The bus has not enough periodic bandwidth left, or its controller no room for another stream.
    #[error(
        "the bus has no bandwidth for this alternate setting{}: choose a smaller alternate setting, stop another stream, or plug the device into another controller",
        numbers(*needed, *available)
    )]
    NoBandwidth {
        /// Bytes per frame (full speed) or per 125 µs; `None` where the system does not say.
        needed: Option<u64>,
        /// What is left of them.
        available: Option<u64>,
    },
    /// The system's memory for transfers would not do.
    #[error(
        "these blocks need {needed} bytes of transfer memory and {available} are left: {}{remedy}",
        fitting(*fits)
    )]
    Budget {
        /// Bytes asked for.
        needed: u64,
        /// Bytes left.
        available: u64,
        /// Blocks of this layout that would fit.
        fits: u64,
        /// What else can be done, beginning with a separator; empty if nothing.
        remedy: String,
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
    /// The endpoint is of an alternate setting that is in force no more.
    #[error(
        "the endpoint's alternate setting is in force no more: choose it again, and open the endpoint anew"
    )]
    SettingChanged,
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
    #[error("the bus failed the transfer (system code {code}{meaning})", code = .0, meaning = meaning(*.0))]
    Bus(i32),
}

/// How much bandwidth there would have to be, as far as that is known.
fn numbers(needed: Option<u64>, available: Option<u64>) -> String {
    match (needed, available) {
        (Some(needed), Some(available)) => {
            format!(" (it needs {needed} bytes per interval, and {available} are left)")
        }
        _ => String::new(),
    }
}

/// What to do where so many blocks fit.
fn fitting(fits: u64) -> String {
    match fits {
        0 => "not even one fits; use smaller ones".into(),
        fits => format!("use at most {fits} blocks of this size, or smaller ones"),
    }
}

/// What the system said to a call.
#[cfg(all(target_os = "linux", not(shuttle)))]
pub(crate) fn system(what: impl std::fmt::Display, code: rustix::io::Errno) -> Error {
    Error::System { what: what.to_string(), reason: std::io::Error::from(code).to_string() }
}

/// That the system does not allow something.
#[cfg(all(target_os = "linux", not(shuttle)))]
pub(crate) fn permission(what: impl std::fmt::Display, remedy: impl std::fmt::Display) -> Error {
    Error::Permission { what: what.to_string(), remedy: remedy.to_string() }
}

/// What a system's code means for a transfer, and what to do: Linux', as drivers of host controllers use them
/// (`Documentation/driver-api/usb/error-codes.rst`).
fn meaning(code: i32) -> &'static str {
    match code {
        _ if !cfg!(target_os = "linux") => "",
        2 => {
            ": the endpoint's setting is in force no more, because another program changed it; choose it again"
        }
        12 => {
            ": no memory: usbfs' budget or the kernel's memory is used up; use smaller blocks, or raise usbcore.usbfs_memory_mb"
        }
        16 => {
            ": the interface was taken away, by another driver or program or while the machine slept; drop all that was opened from it, and claim it again"
        }
        27 => ": it reaches further ahead than the controller plans; use shorter transfers, or fewer",
        28 => ": the bus has no bandwidth left; choose a smaller alternate setting, or another controller",
        71 | 84 | 62 => ": the device does not answer as it should; look at the cable, or a hub",
        75 => ": the device sent more than it may; make room for the endpoint's longest packet",
        90 => {
            ": a packet is longer than the endpoint takes; send shorter ones, or choose a larger alternate setting"
        }
        108 => ": the system took it back, because the machine slept; submit it again",
        110 => ": the device did not answer in time; try again, or look at the cable",
        113 => ": the device is asleep, or not configured; try again, or open it again",
        _ => "",
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// Every code that the page on Linux explains; and none is explained without a remedy.
    #[test]
    fn codes_have_a_meaning_and_a_remedy() {
        for code in [2, 12, 16, 27, 28, 62, 71, 75, 84, 90, 108, 110, 113] {
            let text = Error::Bus(code).to_string();
            let (meaning, remedy) = text.split_once("; ").unwrap_or_default();
            assert!(meaning.contains(&format!("(system code {code}: ")) && remedy.len() > 10, "{text}");
        }
        assert_eq!(Error::Bus(4000).to_string(), "the bus failed the transfer (system code 4000)");
    }
}
