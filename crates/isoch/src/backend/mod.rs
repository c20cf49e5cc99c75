//! The buses. Each has the same files: `open` (addresses, listing), `device`, `isoch`, `events`, `clock`.

// Not where a test's scheduler decides who runs: the kernel does not ask it.
#[cfg(all(target_os = "linux", not(shuttle)))]
pub(crate) mod usbfs;
#[cfg(feature = "virtual")]
pub(crate) mod virtual_bus;
// What it decides without the system is tested on every system.
#[cfg(any(windows, test))]
#[cfg_attr(not(windows), allow(dead_code))]
pub(crate) mod windows;

#[cfg(any(windows, all(target_os = "linux", not(shuttle))))]
mod freeing;
#[cfg(any(windows, test, all(target_os = "linux", not(shuttle))))]
pub(crate) mod product;
// The virtual bus, usbfs or Windows; a build may have none of them.
#[cfg(any(feature = "virtual", windows, all(target_os = "linux", not(shuttle))))]
mod refusals;
#[cfg(any(feature = "virtual", windows, all(target_os = "linux", not(shuttle))))]
mod telling;
