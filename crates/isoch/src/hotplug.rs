//! Devices that come and go.

use std::any::Any;
use std::sync::Arc;

use crate::device::DeviceInformation;
use crate::wait::{Item, Mailbox, Next, Waiting};

/// A device came or went.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HotplugEvent {
    /// A device was plugged in.
    Arrived(DeviceInformation),
    /// A device was unplugged.
    Left {
        /// The address it had.
        address: String,
    },
}

impl Item for HotplugEvent {}

/// Tells of devices that come and go, from the moment it was made.
pub struct Watch {
    events: Arc<Mailbox<HotplugEvent>>,
    waiting: Waiting,
    // What watches a bus uses it: one that exists only by its name must not begin anew meanwhile.
    _bus: crate::sync::Arc<dyn Any + Send + Sync>,
}

impl Watch {
    pub(crate) fn new(
        events: Arc<Mailbox<HotplugEvent>>,
        waiting: Waiting,
        bus: crate::sync::Arc<dyn Any + Send + Sync>,
    ) -> Self {
        Watch { events, waiting, _bus: bus }
    }

    /// The next event: `.await` it, or [`Next::wait`] for it.
    pub fn next_event(&self) -> Next<'_, HotplugEvent> {
        self.events.next(&self.waiting)
    }
}
