//! Windows: isochronous transfers through the system's own `winusb.dll`.
//!
//! **This has never run on real Windows.** It is written from Microsoft's documentation and from what shipping
//! programs do; it is type-checked for Windows, and its transfers run under Wine against this project's own
//! `winusb.dll`. What Wine cannot show is listed in `docs/windows.md`.
//!
//! Why WinUSB, and not a driver of our own? Because it is the one driver that Windows brings, signs and binds by
//! itself to devices that ask for it, and the one with isochronous transfers that a program may use without
//! rights. It takes a start frame and never confirms it: so frames are
//! [`Assumed`](crate::FrameSource::Assumed), and OUT packets [`Unknown`](crate::PacketStatus::Unknown).
//!
//! `frames`, `codes` and `path` decide; they call nothing, and are tested on every system. The other files
//! carry it out.

#[cfg(windows)]
mod clock;
mod codes;
#[cfg(windows)]
mod data;
#[cfg(windows)]
mod device;
#[cfg(windows)]
mod events;
mod frames;
#[cfg(windows)]
mod hub;
#[cfg(windows)]
mod isoch;
#[cfg(windows)]
mod library;
#[cfg(windows)]
mod list;
#[cfg(windows)]
mod memory;
#[cfg(windows)]
mod open;
#[cfg(windows)]
mod opening;
#[cfg(windows)]
mod operation;
mod path;
#[cfg(windows)]
mod shared;
#[cfg(windows)]
mod system;
#[cfg(windows)]
mod watch;

#[cfg(windows)]
pub(crate) use open::{list, list_at, open};
#[cfg(windows)]
pub(crate) use watch::watch;
