//! Linux: devices through usbfs, the device nodes under `/dev/bus/usb`.
//!
//! Why not libusb, or nusb? Neither has what this is for: libusb always lets a late stream slide and tells
//! nobody, nusb has no isochronous transfers, and both own the descriptor and the order of completions. usbfs
//! takes no start frame and reports none, so what a program can know of frames must be inferred from when
//! each transfer is handed over and comes back; that needs the whole path in one hand. (nusb lists the
//! devices; its descriptors are never shared.)
//!
//! `node` makes the system calls. `controller`, `path`, `split`, `due` and `codes` decide; they call nothing.

mod budget;
mod closing;
mod codes;
pub(crate) mod controller;
mod data;
mod device;
mod due;
mod events;
#[cfg(test)]
mod header;
mod host;
mod interfaces;
mod isoch;
pub(crate) mod list;
mod memory;
mod node;
mod open;
pub(crate) mod path;
mod shared;
mod split;
mod thread;
mod urb;
mod watch;
pub(crate) mod witness;

pub(crate) use budget::{USUAL_MEGABYTES, cost};
pub(crate) use memory::{Mode, measure_at};
pub(crate) use open::{Options, Witness, check, list, list_at, open, open_descriptor};
pub(crate) use watch::watch;
