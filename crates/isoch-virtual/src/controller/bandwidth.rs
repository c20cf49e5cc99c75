//! How much of each microframe periodic endpoints may take.
//!
//! Why no schedule that spreads long periods over microframes? Every endpoint here is served from phase 0,
//! so that a frame number alone tells when; the worst microframe is then the one in which all are due, and
//! its load is a sum. A real host fits somewhat more, and counts overheads that are left out here.

use isoch_core::rules::{Direction, Speed};

use super::walk::{Kind, Setting};

/// Which devices share bandwidth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Full,
    High,
    Super,
    SuperPlus,
}

impl Class {
    pub(super) fn of(speed: Speed) -> Self {
        match speed {
            Speed::Low | Speed::Full => Class::Full,
            Speed::High => Class::High,
            Speed::Super => Class::Super,
            Speed::SuperPlus => Class::SuperPlus,
        }
    }

    /// Bytes that periodic endpoints may have in a microframe (full speed: in a frame).
    pub(super) fn limit(self) -> u32 {
        match self {
            // USB 2.0 §5.6.4: 90 % of 1500 bytes, and 80 % of 7500.
            Class::Full => 1500 * 90 / 100,
            Class::High => 7500 * 80 / 100,
            // USB 3.2 §8.12.6: 90 % of the bus interval.
            Class::Super => 62_500 * 90 / 100,
            Class::SuperPlus => 125_000 * 90 / 100,
        }
    }
}

/// Bytes in the worst microframe (full speed: frame), on each of the bus's pairs of wires: USB 2 has one
/// that both directions share, SuperSpeed has one for each direction (USB 3.2 §3.1.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load([u32; 2]);

impl Load {
    /// What the periodic endpoints of `setting` take.
    pub(super) fn of(speed: Speed, setting: &Setting) -> Self {
        let mut load = Load::default();
        for endpoint in setting.endpoints.iter().filter(|endpoint| endpoint.kind != Kind::Bulk) {
            let wires = match (Class::of(speed), endpoint.direction()) {
                (Class::Super | Class::SuperPlus, Direction::In) => 1,
                _ => 0,
            };
            // A low-speed byte takes eight times as long.
            let bytes =
                if speed == Speed::Low { endpoint.payload.saturating_mul(8) } else { endpoint.payload };
            load.0[wires] = load.0[wires].saturating_add(bytes);
        }
        load
    }

    pub(super) fn plus(self, other: Load) -> Load {
        Load([self.0[0].saturating_add(other.0[0]), self.0[1].saturating_add(other.0[1])])
    }

    pub(super) fn minus(self, other: Load) -> Load {
        Load([self.0[0].saturating_sub(other.0[0]), self.0[1].saturating_sub(other.0[1])])
    }

    /// Whether this fits beside `used`; if not, what is needed and what is left on the wires that are full.
    pub(super) fn fits(self, used: Load, class: Class) -> Result<(), (u32, u32)> {
        for (needed, used) in self.0.into_iter().zip(used.0) {
            let available = class.limit().saturating_sub(used);
            if needed > available {
                return Err((needed, available));
            }
        }
        Ok(())
    }
}
