//! What a device file and an OVERLAPPED are on this system.
//!
//! Why two implementations below one interface? On Windows files, events and completion ports are the kernel's, and
//! this library can only make them move; elsewhere it *is* the kernel that they come from. Everything above (pipes,
//! registrations, frames) is the same. Each of them has
//!
//! - `File`: a device file as the program opened it. `File::from_handle` refuses what is none, or was not opened for
//!   overlapped I/O; `File::session` is what is open on the device it means.
//! - `Overlapped`: an OVERLAPPED under way: `begin` marks it pending and makes its event not signalled; `complete`
//!   fills it in, then signals, and never looks at it again; `refuse` is for a call that fails after all.
//! - `performance_counter`, `performance_frequency`: the system's own.

mod ended;
#[cfg(not(windows))]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(not(windows))]
pub(crate) use unix::*;
#[cfg(windows)]
pub(crate) use windows::*;
