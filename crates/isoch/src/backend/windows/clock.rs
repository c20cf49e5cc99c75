//! The frame clock of a controller under Windows: its own counter, read through WinUSB.
//!
//! Why a line through the readings, when the counter can be read at any time? Because programs also ask when
//! a frame *will* begin, and which one ran in the past; and because a counter of frames says nothing of the
//! microframe. Each reading bounds the line from both sides, so a few of them show where frames begin.
//!
//! Each device has a line of its own. The counter is the controller's, so devices of one controller agree in
//! their numbers.

use std::time::Duration;

use isoch_core::clock::unwrap::{Counter, CounterUnit, Unwrapper};
use isoch_core::clock::{FrameClock as Line, Quality};
use isoch_core::{MICROFRAMES_PER_FRAME, Time};

use super::shared::Shared;
use crate::clock::{ClockSource, Host};
use crate::sync::{Mutex, Weak, lock};

/// A line that was not checked against the counter for so long is, before it is used.
const STALE: Duration = Duration::from_millis(50);
/// The last microframe of a frame begins so long after its first.
const WITHIN_A_FRAME: Duration = Duration::from_micros(875);

/// What one call of `WinUsb_GetCurrentFrameNumber` told.
#[derive(Clone, Copy)]
pub(super) struct Reading {
    /// 32 bits of the controller's count.
    pub(super) frame: u32,
    /// It was read not before this,
    pub(super) earliest: Time,
    /// and not after this.
    pub(super) latest: Time,
}

/// Reads the controller's counter. Holds the device weakly: a clock that outlives its device runs on by what
/// it knew.
pub(super) struct CounterClock {
    shared: Weak<Shared>,
    host: Host,
    counting: Mutex<Counting>,
}

struct Counting {
    unwrapper: Option<Unwrapper>,
    line: Line,
    read_at: Option<Time>,
    /// The microframe that was told last.
    told: u64,
}

impl CounterClock {
    pub(super) fn new(shared: Weak<Shared>, host: Host) -> Self {
        let unwrapper = Unwrapper::new(Counter { bits: 32, unit: CounterUnit::Frames });
        let line = Line::free_run(host.now());
        let counting = Mutex::new(Counting { unwrapper, line, read_at: None, told: 0 });
        CounterClock { shared, host, counting }
    }

    /// The frame that is running, as the controller counts. The error is the system's code.
    pub(super) fn read(&self, shared: &Shared) -> Result<u64, u32> {
        let reading = shared.read_frame_number()?;
        let mut counting = lock(&self.counting);
        Ok(counting.take(reading))
    }

    /// Reads the counter until it is seen to change, for a few milliseconds at most: so that the beginning of
    /// frames is known from the start.
    pub(super) fn settle(&self, shared: &Shared) -> Result<(), u32> {
        let began = self.host.now();
        loop {
            self.read(shared)?;
            let now = self.host.now();
            let uncertainty = lock(&self.counting).line.frame_at(now).uncertainty;
            if uncertainty < Duration::from_micros(100) || now.since(began) > Duration::from_millis(3) {
                return Ok(());
            }
        }
    }

    fn refresh(&self) {
        let stale = |read_at: Time| self.host.now().since(read_at) > STALE;
        if lock(&self.counting).read_at.is_none_or(stale)
            && let Some(shared) = self.shared.upgrade()
        {
            // Of a device that is gone, the line is all there is.
            let _ = self.read(&shared);
        }
    }
}

impl Counting {
    fn take(&mut self, reading: Reading) -> u64 {
        let unwrapped = self
            .unwrapper
            .as_mut()
            .and_then(|unwrapper| unwrapper.observe(reading.frame, reading.latest).ok());
        let frame = unwrapped.unwrap_or(u64::from(reading.frame));
        // Some microframe of this frame was running; that its first one was is true of a time a little
        // earlier.
        let earliest = reading.earliest - WITHIN_A_FRAME;
        self.line.reading(frame.saturating_mul(MICROFRAMES_PER_FRAME), earliest, reading.latest);
        self.read_at = Some(reading.latest);
        frame
    }
}

impl ClockSource for CounterClock {
    fn host(&self) -> &Host {
        &self.host
    }

    fn now(&self, at: Time) -> (u64, Duration, Quality) {
        let shared = self.shared.upgrade();
        let read = shared.and_then(|shared| self.read(&shared).ok());
        let mut counting = lock(&self.counting);
        let stamp = counting.line.now(at);
        // The line may be a little behind the counter.
        let least = read.map_or(0, |frame| frame.saturating_mul(MICROFRAMES_PER_FRAME));
        counting.told = counting.told.max(stamp.microframes()).max(least);
        (counting.told, stamp.uncertainty, stamp.quality)
    }

    fn position(&self, at: Time) -> (u64, Duration, Quality) {
        self.refresh();
        let stamp = lock(&self.counting).line.frame_at(at);
        (stamp.microframes(), stamp.uncertainty, stamp.quality)
    }

    fn time_of(&self, microframe: u64) -> (Time, Duration) {
        self.refresh();
        lock(&self.counting).line.time_of_microframe(microframe)
    }
}
