//! An emulated USB host controller, and devices that feel like devices.
//!
//! Why emulate a *controller* and not just mock the API? Because what makes isochronous programs fail
//! is what controllers do with transfers that are early, late, overlapping or after a dry queue. That
//! behaviour stands here once, with profiles that imitate how Windows, EHCI and xHCI differ; the library
//! above it is the same code that runs on real buses.
//!
//! Nothing here starts a thread or reads a clock: whoever owns a [`controller::Controller`] advances it.
#![forbid(unsafe_code)]

mod bus_clock;
#[cfg(feature = "toml")]
pub mod bus_file;
pub mod controller;
pub mod device;
pub mod devices;
pub mod faults;
pub mod profile;
pub mod sof;

pub use bus_clock::{BusClock, ParseBusClockError};
pub use device::{BulkIn, BulkOut, BusTime, Descriptors, Device, Stall};
