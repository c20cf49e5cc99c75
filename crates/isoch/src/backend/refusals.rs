//! What every bus refuses, in the same words.
//!
//! Why does not what is above the buses refuse it? Because whether an endpoint is open, or a setting in force, is decided
//! by what each bus guards with its own lock, together with what it then does.

use crate::Error;

pub(super) fn already_open(endpoint: u8) -> Error {
    Error::Busy {
        what: format!("endpoint {endpoint:#04x}"),
        remedy: "it is open already; drop the other handle first",
    }
}

pub(super) fn not_in_force(endpoint: u8) -> Error {
    Error::Unsupported(format!("endpoint {endpoint:#04x} is not in an alternate setting that is in force"))
}

fn busy(interface: u8, remedy: &'static str) -> Error {
    Error::Busy { what: format!("interface {interface}"), remedy }
}

pub(super) fn pending(interface: u8) -> Error {
    busy(interface, "transfers are pending on it; drain or abort them first")
}

/// The emulated buses change a setting at once, and have nothing that is still to come back.
#[cfg(any(windows, all(target_os = "linux", not(shuttle))))]
pub(super) fn being_changed(interface: u8) -> Error {
    busy(interface, "its alternate setting is being changed; try again")
}

#[cfg(any(windows, all(target_os = "linux", not(shuttle))))]
pub(super) fn being_freed(interface: u8) -> Error {
    busy(interface, "transfers that were cancelled have not come back yet; try again")
}
