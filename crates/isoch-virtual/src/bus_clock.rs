//! What moves a bus's time.
//!
//! Why is that said here, where nothing moves? Because bus files say it too, and whoever owns the
//! controller obeys.

use std::fmt;
use std::str::FromStr;

/// What moves a virtual bus's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum BusClock {
    /// The machine's clock, on a thread of the bus's own. If that thread is held up, bus time stands still
    /// meanwhile instead of bursting, and that is counted as a stall.
    #[default]
    Real,
    /// Only the program, frame by frame. A wait that would last ends with an error.
    Manual,
    /// Any wait: time stands still while the program computes, and goes on to the next event whenever it
    /// waits. An hour of stream takes seconds, and nothing is ever late by accident.
    OnWait,
}

/// Text that names no [`BusClock`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no clock {0:?}: use \"real\", \"manual\" or \"on-wait\"")]
pub struct ParseBusClockError(String);

impl FromStr for BusClock {
    type Err = ParseBusClockError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "real" => Ok(BusClock::Real),
            "manual" => Ok(BusClock::Manual),
            "on-wait" => Ok(BusClock::OnWait),
            other => Err(ParseBusClockError(other.into())),
        }
    }
}

impl fmt::Display for BusClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BusClock::Real => "real",
            BusClock::Manual => "manual",
            BusClock::OnWait => "on-wait",
        })
    }
}
