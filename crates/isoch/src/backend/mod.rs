//! The buses. Each has the same files: `open` (addresses, listing), `device`, `isoch`, `events`, `clock`.

#[cfg(feature = "virtual")]
pub(crate) mod virtual_bus;
