//! What the bus allows: pure functions over descriptors, intervals and packets.
//!
//! Two rule sets, because two contracts exist. [`timing`] and [`layout`] say what USB itself allows;
//! [`winusb`] says what Windows' `WinUsb_*Isoch*` functions accept on top of that, so that the C library
//! and the Windows bus refuse the same calls for the same reasons.

pub mod control;
pub mod descriptors;
pub mod layout;
pub mod timing;
pub mod winusb;

pub use control::{Direction, Recipient, RequestKind, Setup};
pub use descriptors::{Configuration, DescriptorError, DeviceDescriptor, Endpoint};
pub use layout::{LayoutError, StartError};
pub use timing::{EndpointTiming, OffPhase, Speed, TimingError};
