//! The frame clock of an emulated controller: read from the controller, where its profile has a counter.

use std::sync::atomic::Ordering;
use std::time::Duration;

use isoch_core::Time;
use isoch_core::clock::Quality;

use super::shared::Shared;
use crate::clock::{ClockSource, Host};
use crate::sync::{AtomicU64, Weak};

/// Reads the emulated counter. Holds the bus weakly: a clock that outlives its bus stands still.
pub(super) struct CounterClock {
    pub(super) shared: Weak<Shared>,
    pub(super) host: Host,
    /// In real time a stall moves later frames back in time; what was told before stays the least.
    pub(super) told: AtomicU64,
}

impl ClockSource for CounterClock {
    fn host(&self) -> &Host {
        &self.host
    }

    fn now(&self, at: Time) -> (u64, Duration, Quality) {
        let (microframe, uncertainty, quality) = self.position(at);
        let told = self.told.fetch_max(microframe, Ordering::Relaxed);
        (microframe.max(told), uncertainty, quality)
    }

    fn position(&self, at: Time) -> (u64, Duration, Quality) {
        let microframe = match self.shared.upgrade() {
            Some(shared) => shared.with(|controller| controller.sof().microframe_at(at)),
            None => self.told.load(Ordering::Relaxed),
        };
        (microframe, Duration::ZERO, Quality::Exact)
    }

    fn time_of(&self, microframe: u64) -> (Time, Duration) {
        match self.shared.upgrade() {
            Some(shared) => (shared.with(|controller| controller.sof().time_of(microframe)), Duration::ZERO),
            None => (Time::ZERO, Duration::MAX),
        }
    }
}
