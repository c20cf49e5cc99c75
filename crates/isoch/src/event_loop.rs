//! A device's events in a program's own loop.

use std::os::fd::{AsFd, BorrowedFd};

use crate::bus::HandlesEvents;

/// The events of a device: transfers that are over, and moments at which a held transfer is due. From
/// [`Device::take_over_events`](crate::Device::take_over_events); dropping it gives them back to the device's thread.
///
/// Its descriptor becomes readable when [`handle`](Self::handle) has something to do: for `poll`, `epoll`, and whatever
/// is built on them.
pub struct EventLoop {
    events: Box<dyn HandlesEvents>,
}

impl EventLoop {
    pub(crate) fn new(events: Box<dyn HandlesEvents>) -> Self {
        EventLoop { events }
    }

    /// Handles what has happened, and calls completion sinks. Does not wait, but for less than half a millisecond before a
    /// held transfer is due, and does nothing if a sink that it is just calling, or another thread, is in it already.
    pub fn handle(&self) {
        self.events.handle();
    }
}

impl AsFd for EventLoop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.events.descriptor()
    }
}

impl std::fmt::Debug for EventLoop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventLoop").finish_non_exhaustive()
    }
}
