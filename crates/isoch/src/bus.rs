//! The boundary that every bus fills.
//!
//! Why trait objects and not generics or `cfg`? The bus is chosen at run time by an address, and a
//! virtual bus must stand beside a real one in the same program; one indirect call per *transfer* costs
//! nothing. Why so small? A bus only moves transfers and tells what it knows. Order, frames, gaps,
//! placement and waiting are the same for all and live above ([`crate::endpoint`]).
//!
//! Locks are taken downwards only: an endpoint may call its bus while it is locked, so a bus that calls back
//! through [`IsochReports`] or [`DataReport`] must not hold a lock that a method of these traits takes.

use std::collections::VecDeque;
use std::time::Duration;

use isoch_core::ledger::Continuity;
use isoch_core::rules::Setup;
use isoch_core::{Block, Capabilities, Memory, Packet, Start, Time};

use crate::clock::FrameClock;
use crate::device::DeviceInformation;
use crate::sync::{Arc, Weak};
use crate::wait::Waiting;
use crate::{Direction, Error};

/// An open device on some bus.
pub(crate) trait BusDevice: Send + Sync {
    /// What is known of it without asking it.
    fn information(&self) -> &DeviceInformation;

    /// The raw device descriptor.
    fn device_bytes(&self) -> &[u8];

    /// The raw configuration descriptor in force.
    fn configuration_bytes(&self) -> &[u8];

    /// Takes an interface for this program.
    fn claim(&self, interface: u8) -> Result<(), Error>;

    /// Gives it back, at alternate setting 0. Cancels the bulk and interrupt transfers that are under way on it.
    fn release(&self, interface: u8);

    /// SET_INTERFACE. Blocks until the device has answered.
    fn set_alternate_setting(&self, interface: u8, setting: u8) -> Result<(), Error>;

    /// Starts a control, bulk or interrupt transfer; its end is told to `done`, exactly once. Waits for nothing, except to
    /// clear a halt, where the system has only a call that does.
    fn submit_data(&self, request: DataRequest, done: Arc<dyn DataReport>);

    /// Cancels whatever was submitted with this `done`. Its end is still told: as cancelled, or as it was if it
    /// had ended before.
    fn cancel_data(&self, done: &Arc<dyn DataReport>);

    /// What isochronous transfers of this direction can do here.
    fn capabilities(&self, direction: Direction) -> Capabilities;

    /// Opens an isochronous endpoint of an alternate setting that is in force.
    fn open_isoch(&self, endpoint: u8, reports: Weak<dyn IsochReports>) -> Result<Box<dyn IsochPort>, Error>;

    /// Memory for one block of so many bytes for so many packets, that the bus can reach.
    fn allocate(&self, bytes: usize, _packets: usize) -> Result<Box<dyn Memory>, Error> {
        Ok(Box::new(vec![0_u8; bytes].into_boxed_slice()))
    }

    /// Fails if `blocks` blocks of `bytes` bytes and `packets` packets are more than the system allows.
    fn check_budget(&self, _blocks: usize, _bytes: usize, _packets: usize) -> Result<(), Error> {
        Ok(())
    }

    /// The frame clock of the controller it is attached to.
    fn clock(&self) -> FrameClock;

    /// How to wait for it.
    fn waiting(&self) -> &Waiting;

    /// Whether it is still there, as far as the bus knows.
    fn is_present(&self) -> bool {
        true
    }

    /// Hands its events over to the program's own loop.
    #[cfg(unix)]
    fn take_over_events(&self) -> Result<Box<dyn HandlesEvents>, Error> {
        Err(Error::Unsupported("this bus has no events that a program could handle in its own loop".into()))
    }

    /// The emulated bus it is on; `None` on a real one.
    #[cfg(feature = "virtual")]
    fn virtual_bus(&self) -> Option<crate::VirtualBus> {
        None
    }

    /// What an emulated device counted; nothing on a real bus.
    fn facts(&self) -> Vec<(&'static str, i64)> {
        Vec::new()
    }
}

/// The events of a device, in a loop of the program's. Dropping it gives them back to the bus's own thread.
#[cfg(unix)]
pub(crate) trait HandlesEvents: Send + Sync {
    /// Readable when something is to be handled.
    fn descriptor(&self) -> std::os::fd::BorrowedFd<'_>;
    /// Handles what has happened, without waiting.
    fn handle(&self);
}

/// One open isochronous endpoint, as its bus sees it. Dropping it gives everything back.
pub(crate) trait IsochPort: Send + Sync {
    /// What the bus does not take, of what can be judged from a transfer's packets alone.
    fn check(&self, _packets: &[Packet]) -> Result<(), Error> {
        Ok(())
    }

    /// Whether a stream may come to lie later than it is counted, without anyone telling.
    fn may_slide(&self) -> bool {
        true
    }

    /// Hands a transfer over. `Start::At` is only used where the bus starts on frames. What the packets say of their
    /// results is of their last transfer: the bus writes it anew for each.
    ///
    /// What depends on time is reported later; an error here means that the bus never had it.
    fn submit(&self, id: u64, block: Block, start: Start) -> Result<HandedOver, (Block, Error)>;

    /// Cancels one transfer; it is reported as cancelled, or as completed if it was faster.
    fn cancel(&self, id: u64);

    /// Cancels all, newest first.
    fn abort(&self);

    /// Asks for [`IsochReports::deadline`] at that time (or a little later). The last call counts. `sharp`: a stream is to
    /// be begun then, on a frame that it misses if it is begun half a millisecond later.
    fn wake_at(&self, deadline: Time, sharp: bool);
}

/// What a bus knows the moment it took a transfer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HandedOver {
    /// The frame that was running, if the bus can tell without asking the system.
    pub(crate) now: Option<u64>,
    /// The frame it was put on, where the bus chose that itself and the system will not confirm it.
    pub(crate) placed: Option<u64>,
    /// Whether it follows the transfer before it, where the bus can find out.
    pub(crate) continuity: Option<Continuity>,
    /// When that was, if the bus had to look at the clock.
    pub(crate) at: Option<Time>,
}

/// Where a bus reports the end of isochronous transfers, in batches where it can.
pub(crate) trait IsochReports: Send + Sync {
    /// These are over; how they ended lies in them ([`Block::ending`]). Drains the list; its room is the bus's to keep.
    fn completed(&self, over: &mut VecDeque<Block>);
    /// The time asked for with [`IsochPort::wake_at`] has come.
    fn deadline(&self, now: Time);
    /// The device is gone. Everything that was in flight has been reported.
    fn gone(&self);
}

/// A control, bulk or interrupt transfer.
pub(crate) struct DataRequest {
    pub(crate) target: DataTarget,
    /// OUT: what to send. IN: as long as there is room for.
    pub(crate) data: Vec<u8>,
    /// After this time (the bus's, real or emulated) the bus cancels it and reports [`Error::TimedOut`].
    pub(crate) timeout: Option<Duration>,
}

/// Whom a [`DataRequest`] is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum DataTarget {
    Control(Setup),
    /// Address of a bulk or interrupt endpoint.
    Endpoint(u8),
}

/// Where a bus reports the end of a control, bulk or interrupt transfer.
pub(crate) trait DataReport: Send + Sync {
    /// It is over: the data that went over the bus, also if it failed, and how many bytes that is.
    fn done(&self, data: Vec<u8>, result: Result<usize, Error>);
}
