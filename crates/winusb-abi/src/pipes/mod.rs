//! Pipes: requests on endpoints.
//!
//! Why three kinds? What WinUSB does for a bulk pipe (queueing, surplus bytes, short packets, time-outs), for the
//! control pipe (the interface's number in wIndex) and for an isochronous one (frames, registered memory) has nothing
//! in common but how a request ends.

mod control;
mod data;
mod isoch;
mod policies;

pub(crate) use control::ControlPipe;
pub(crate) use data::DataPipe;
pub(crate) use isoch::{IsochPipe, IsochRequest, PacketDescriptors, Registration, ReportMemory, Start};
pub(crate) use policies::{Kind, Policies};
