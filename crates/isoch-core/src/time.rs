//! Host time and bus time.
//!
//! Why not `std::time::Instant`? An `Instant` can neither be made from a number nor printed as one, so
//! emulated time, recorded traces and tests would each need a fake. [`Time`] is a plain count of
//! nanoseconds on one host clock; the `isoch` crate converts it at its public edge.

use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

/// Microframes (125 µs) in a frame (1 ms). A frame is 1 ms at every speed (USB 2.0 §5.12.4.1.1; USB 3.2
/// calls 125 µs a bus interval).
pub const MICROFRAMES_PER_FRAME: u64 = 8;

/// A moment on the host's monotonic clock: nanoseconds since an origin that the clock's owner chose.
///
/// Only times of the same clock may be compared. Arithmetic saturates instead of wrapping.
///
/// Kept as one more than the nanoseconds, so that an `Option<Time>` is no longer than a `Time`: each transfer has some.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(NonZeroU64);

impl Time {
    /// The origin.
    pub const ZERO: Time = Time(NonZeroU64::MIN);
    /// Later than everything.
    pub const MAX: Time = Time(NonZeroU64::MAX);

    /// The moment `nanos` nanoseconds after the origin; [`Time::MAX`] for more than there are before it.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        match NonZeroU64::new(nanos.wrapping_add(1)) {
            Some(kept) => Time(kept),
            None => Time::MAX,
        }
    }

    /// Nanoseconds since the origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0.get() - 1
    }

    /// How long `self` is after `earlier`; zero if it is not.
    #[must_use]
    pub const fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }

    /// `self - other` in nanoseconds, negative if `self` is the earlier.
    #[must_use]
    pub fn offset_from(self, other: Time) -> i64 {
        signed_distance(other.0.get(), self.0.get())
    }

    /// `self` moved by a signed number of nanoseconds.
    #[must_use]
    pub const fn offset(self, nanos: i64) -> Time {
        Time::from_nanos(self.as_nanos().saturating_add_signed(nanos))
    }
}

/// `to - from`, or as much of it as fits.
pub(crate) fn signed_distance(from: u64, to: u64) -> i64 {
    let distance = to.wrapping_sub(from).cast_signed();
    match (to < from, distance < 0) {
        (false, true) => i64::MAX,
        (true, false) => i64::MIN,
        _ => distance,
    }
}

impl Default for Time {
    fn default() -> Self {
        Time::ZERO
    }
}

impl std::ops::Add<Duration> for Time {
    type Output = Time;
    fn add(self, duration: Duration) -> Time {
        Time(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl std::ops::Sub<Duration> for Time {
    type Output = Time;
    fn sub(self, duration: Duration) -> Time {
        Time::from_nanos(
            self.as_nanos().saturating_sub(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.as_nanos();
        write!(f, "{}.{:09}s", nanos / 1_000_000_000, nanos % 1_000_000_000)
    }
}
