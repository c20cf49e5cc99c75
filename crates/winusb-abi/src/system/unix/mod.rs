//! The kernel objects where there is no Windows: device files, events and completion ports, and requests on them.

mod file;
mod objects;
mod overlapped;
mod port;

use std::cell::Cell;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub(crate) use file::File;
pub(crate) use objects::{Event, Object, close, get_event, get_port, objects, wait_for_objects};
pub(crate) use overlapped::{Overlapped, result};
pub(crate) use port::{Packet, Port};

/// Ticks a second, as on today's Windows.
pub(crate) fn performance_frequency() -> i64 {
    10_000_000
}

/// The system's counter, as if the machine had been up for a day when this library was first asked: so moments before
/// that have a count, too, and none is 0, which programs take for "no time stamp".
pub(crate) fn performance_counter() -> i64 {
    const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    let origin = ORIGIN.get_or_init(Instant::now);
    i64::try_from((A_DAY + origin.elapsed()).as_nanos() / 100).unwrap_or(i64::MAX)
}

thread_local! {
    static LAST_ERROR: Cell<u32> = const { Cell::new(0) };
}

/// This thread's last error.
pub(crate) fn last_error() -> u32 {
    LAST_ERROR.try_with(Cell::get).unwrap_or(0)
}

pub(crate) fn set_last_error(code: u32) {
    let _ = LAST_ERROR.try_with(|last| last.set(code));
}
