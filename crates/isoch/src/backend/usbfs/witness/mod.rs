//! Witnesses: who else saw in which frame a transfer was.
//!
//! Why optional, when they know what the rest has to infer? They are debugging interfaces: they need rights
//! that no ordinary program has, and they cost a system call for each transfer or more. What they are good
//! for is to number the clock's frames as the controller does, and to prove that what was inferred is true.
//!
//! | witness | knows | of which controllers |
//! |---|---|---|
//! | [`Usbmon`] | the frame each transfer began in, after it | those of which [`Facts`](super::controller::Facts) says so |
//! | [`Registers`] | the microframe that is now | xHCI |

mod follow;
mod registers;
mod usbmon;
mod watching;

pub(crate) use follow::Follower;
pub(crate) use registers::{DEBUGFS, Registers, folder, register};
pub(crate) use usbmon::{Completion, Usbmon, node};
pub(super) use watching::Watching;
