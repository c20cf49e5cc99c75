//! The performance counter: host time as WinUSB tells it, in ticks.
//!
//! Why not simply the system's? Where a bus's time is emulated, time stamps must be emulated as well, or
//! `WinUsb_GetAdjustedFrameNumber` would add real milliseconds to frames that stand still. So the counter reads the
//! emulated clock while a device with one is open, and the system's otherwise.
//!
//! There is one counter, as on Windows, and so it follows one clock: that of the device that was opened first. A time stamp of
//! a device on another emulated bus is another clock's, and adjusting its frame number is refused or wrong.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use isoch::EmulatedTime;

use crate::{system, waits};

/// The emulated clocks of the devices that are open, each once for every device.
static EMULATED: RwLock<Vec<EmulatedTime>> = RwLock::new(Vec::new());

/// How many devices are open whose time is real.
static REAL: AtomicUsize = AtomicUsize::new(0);

/// A device's part in emulated time; ends when it is dropped.
pub(crate) struct OpenClock {
    time: Option<EmulatedTime>,
}

impl OpenClock {
    pub(crate) fn new(time: Option<EmulatedTime>) -> Self {
        match &time {
            Some(time) => {
                EMULATED.write().unwrap_or_else(PoisonError::into_inner).push(time.clone());
                waits::clock_opened();
            }
            None => {
                REAL.fetch_add(1, Ordering::SeqCst);
            }
        }
        OpenClock { time }
    }
}

impl Drop for OpenClock {
    fn drop(&mut self) {
        let Some(time) = &self.time else {
            REAL.fetch_sub(1, Ordering::SeqCst);
            return;
        };
        let mut open = EMULATED.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = open.iter().position(|open| open.is_same(time)) {
            open.remove(index);
        }
    }
}

/// The emulated clocks that waits move, each once.
pub(crate) fn emulated() -> Vec<EmulatedTime> {
    let open = EMULATED.read().unwrap_or_else(PoisonError::into_inner);
    let mut different: Vec<EmulatedTime> = Vec::new();
    for time in open.iter() {
        if !different.iter().any(|known| known.is_same(time)) {
            different.push(time.clone());
        }
    }
    different
}

/// Whether a device is open whose time is real.
pub(crate) fn has_real() -> bool {
    REAL.load(Ordering::SeqCst) > 0
}

/// Ticks of the performance counter per second.
pub(crate) fn frequency() -> i64 {
    anchor().frequency
}

/// The performance counter now.
pub(crate) fn counter() -> i64 {
    let emulated = EMULATED.read().unwrap_or_else(PoisonError::into_inner).first().cloned();
    match emulated {
        Some(time) => ticks(time.now()),
        None => system::performance_counter(),
    }
}

/// The performance counter at a moment.
pub(crate) fn ticks(at: Instant) -> i64 {
    let anchor = anchor();
    let ticks = |time: Duration| {
        let ticks = time.as_nanos() * anchor.frequency.unsigned_abs() as u128 / 1_000_000_000;
        i64::try_from(ticks).unwrap_or(i64::MAX)
    };
    match at.checked_duration_since(anchor.instant) {
        Some(later) => anchor.counter.saturating_add(ticks(later)),
        None => anchor.counter.saturating_sub(ticks(anchor.instant.saturating_duration_since(at))),
    }
}

/// One moment by both clocks.
struct Anchor {
    instant: Instant,
    counter: i64,
    frequency: i64,
}

fn anchor() -> &'static Anchor {
    static ANCHOR: OnceLock<Anchor> = OnceLock::new();
    ANCHOR.get_or_init(|| Anchor {
        instant: Instant::now(),
        counter: system::performance_counter(),
        frequency: system::performance_frequency(),
    })
}
