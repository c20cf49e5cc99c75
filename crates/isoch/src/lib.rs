//! Isochronous USB from user space: write on a named frame, know the frame, learn what was lost.
//!
//! ```
//! use isoch::{Layout, Start};
//!
//! # fn main() -> Result<(), isoch::Error> {
//! let device = isoch::open("virtual:speaker?clock=on-wait")?;
//! let out = device.interface(1)?.alternate_setting(1)?.isoch_out(0x01)?;
//! let blocks = out.register(Layout::frames(4).blocks(8))?;
//!
//! let mut frame = out.clock().now().frame + 20;
//! for _ in 0..8 {
//!     let mut block = blocks.take().wait()?;
//!     block.bytes_mut().fill(0x55);
//!     out.submit(block, Start::At(frame))?;
//!     frame += 4;
//! }
//! for _ in 0..8 {
//!     let done = out.next_completion().wait()?;
//!     println!("{:?}, {}, {:?}", done.frames(), done.frame_source(), done.gap());
//! }
//! # Ok(())
//! # }
//! ```
#![deny(unsafe_code)]
// A build without any bus must compile, and then nothing uses what buses fill in.
#![cfg_attr(not(feature = "virtual"), allow(dead_code, unused_imports))]

mod address;
pub mod audio;
mod backend;
mod block;
mod bus;
mod clock;
mod completion;
mod device;
pub mod doctor;
mod emulated_time;
mod endpoint;
mod error;
#[cfg(unix)]
mod event_loop;
mod hotplug;
mod interface;
mod open;
mod pending;
mod stream;
mod sync;
mod text;
mod transfer;
mod wait;

pub use isoch_core::clock::Quality;
pub use isoch_core::pacer;
pub use isoch_core::placer::Policy;
pub use isoch_core::rules::{self, Direction, EndpointTiming, Setup, Speed};
pub use isoch_core::{
    Capabilities, ClockSupport, FrameSource, Gap, GapCause, GapReport, Lengths, Outcome, Packet, PacketError,
    PacketStatus, Report, Results, Revision, Start, StartSupport,
};

pub use block::{Block, Blocks, Layout, Take};
pub use clock::{FrameClock, Stamp};
pub use completion::{Completion, CompletionSink, PacketResult, TransferId};
pub use device::{Device, DeviceInformation};
pub use emulated_time::{EmulatedStep, EmulatedTime};
pub use endpoint::{
    EndpointDirection, Histogram, In, IsochEndpoint, IsochIn, IsochOut, Out, Rejected, Statistics,
};
pub use error::Error;
#[cfg(unix)]
pub use event_loop::EventLoop;
pub use hotplug::{HotplugEvent, Watch};
pub use interface::{AlternateSetting, Interface};
#[cfg(all(target_os = "linux", not(shuttle)))]
pub use open::open_descriptor;
pub use open::{list, list_at, open, open_when_present, watch};
pub use pending::PendingTransfer;
pub use stream::Stream;
pub use transfer::{DataEndpoint, DataTransfer};
pub use wait::Next;

#[cfg(feature = "virtual")]
pub use backend::virtual_bus::{BusClock, Stalls, VirtualBus, VirtualBusBuilder};
/// The emulated controller and its devices: faults, profiles, and the trait for devices of one's own.
#[cfg(feature = "virtual")]
pub use isoch_virtual as emulated;

/// The README's example is compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
