//! The buses. Each has the same files: `open` (addresses, listing), `device`, `isoch`, `events`, `clock`.

#[cfg(feature = "virtual")]
pub(crate) mod virtual_bus;
// What it decides without the system is tested on every system.
#[cfg(any(windows, test))]
#[cfg_attr(not(windows), allow(dead_code))]
pub(crate) mod windows;
