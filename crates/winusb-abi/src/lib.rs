//! WinUSB's own functions, isochronous transfers included, over every bus of `isoch`.
//!
//! Why a library of Windows' names? Because the programs exist: what was written for `winusb.dll` compiles against
//! the headers in `include/`, links with `-lwinusb` and runs on any bus; on Windows the same crate is a `winusb.dll`.
//!
//! | room | what is in it |
//! |---|---|
//! | `exports/` | the C functions: pointers become references here, and nowhere else |
//! | `session/` | an open device: interfaces, frame numbers, power |
//! | `pipes/` | requests on endpoints: control, bulk and interrupt, isochronous |
//! | `system/` | what a device file and an OVERLAPPED are: Windows', or our own |
//! | `codes`, `types`, `handles`, `completion`, `waits`, `time`, `trace`, `environment` | what all of them use |
//!
//! What is undocumented on Windows is one line each in `codes.rs`, `isoch_core::rules::winusb` or `pipes/policies.rs`.
#![deny(unsafe_op_in_unsafe_fn)]

mod codes;
mod completion;
mod environment;
mod exports;
mod failure;
mod handles;
mod memory;
mod pipes;
mod session;
mod system;
mod time;
mod trace;
pub mod types;
mod waits;

pub use exports::*;
