//! usbmon beside an open device: the frame of each request that comes back.

use isoch_core::clock::unwrap::{Counter, Number};

use super::{Completion, Follower, Usbmon};
use crate::Error;

pub(in super::super) struct Watching {
    usbmon: Usbmon,
    follower: Follower,
    device: u8,
    counter: Counter,
}

impl Watching {
    /// # Errors
    /// As [`Usbmon::open`].
    pub(in super::super) fn new(bus: u8, device: u8, counter: Counter) -> Result<Self, Error> {
        Ok(Watching { usbmon: Usbmon::open(bus, device)?, follower: Follower::new(), device, counter })
    }

    /// The kernel has nothing of this endpoint: what it gets now is counted anew.
    pub(in super::super) fn begin(&mut self, endpoint: u8) {
        self.drain();
        self.follower.begin(self.device, endpoint);
    }

    /// A request of so many packets came back. To be told of each, in order.
    pub(in super::super) fn over(&mut self, endpoint: u8, packets: usize) -> Option<Number> {
        self.drain();
        let packets = u32::try_from(packets).ok()?;
        let Completion { start_frame, .. } = self.follower.take(self.device, endpoint, packets)?;
        let mask = u32::MAX.checked_shr(32_u32.checked_sub(self.counter.bits)?)?;
        Some(Number { counter: self.counter, value: start_frame.cast_unsigned() & mask })
    }

    fn drain(&mut self) {
        if let Err(error) = self.usbmon.drain(&mut self.follower) {
            tracing::debug!(%error, "usbmon tells no more");
            self.follower.dropped();
        }
    }
}
