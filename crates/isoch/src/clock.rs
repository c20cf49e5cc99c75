//! The frame clock of a controller, as programs see it.
//!
//! Why does the clock belong to a controller and not to a device? All devices behind one host controller
//! share its start-of-frame, and programs that pair two devices rely on it: `virtual:speaker` and
//! `virtual:microphone` on one bus give the same frame at the same moment.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use isoch_core::clock::{Quality, Slip, StreamTrack};
use isoch_core::{Estimate, MICROFRAMES_PER_FRAME, Time};

use crate::Error;
use crate::emulated_time::EmulatedTime;
use crate::sync::{Arc, AtomicBool, Mutex, lock};
use crate::wait::{InSink, Step, StepsTime, Waiting};

/// A frame number and the moment it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The frame that was running. Counts 1 ms units at every speed and never wraps.
    pub frame: u64,
    /// The microframe (125 µs) within it, 0 to 7.
    pub microframe: u8,
    /// When that was.
    pub at: Instant,
    /// By how much `at` may be off, either way.
    pub uncertainty: Duration,
    /// How the frame number is known.
    pub quality: Quality,
}

/// What a bus knows of its controller's frames, in the bus's own host time.
pub(crate) trait ClockSource: Send + Sync {
    /// The host's clock.
    fn host(&self) -> &Host;
    /// Which microframe (since frame 0) is running now, how sure that is, and how it is known. Never less
    /// than it said before.
    fn now(&self, at: Time) -> (u64, Duration, Quality) {
        self.position(at)
    }
    /// The same for any time.
    fn position(&self, at: Time) -> (u64, Duration, Quality);
    /// When a microframe begins, and how sure that is.
    fn time_of(&self, microframe: u64) -> (Time, Duration);
    /// Whether no stream ever ran, so that the first one defines the numbering.
    fn is_fresh(&self) -> bool {
        false
    }
    /// A transfer that began in `first` and whose last interval ended with `end`, by the count of its
    /// stream, was seen to be over at `seen`. Tells if the stream slid.
    fn completed(&self, _track: &mut StreamTrack, _first: u64, _end: u64, _seen: Time) -> Option<Slip> {
        None
    }
}

/// The frame clock of one host controller: which frame is now, and when is (or was) another.
///
/// Cheap to clone. All devices of one controller have the same clock. Reading it never waits for time to pass.
#[derive(Clone)]
pub struct FrameClock {
    pub(crate) source: Arc<dyn ClockSource>,
    pub(crate) waiting: Waiting,
}

impl FrameClock {
    /// The frame that is running.
    #[must_use]
    pub fn now(&self) -> Stamp {
        let at = self.host_now();
        let (microframe, uncertainty, quality) = self.source.now(at);
        Stamp {
            frame: microframe / MICROFRAMES_PER_FRAME,
            microframe: (microframe % MICROFRAMES_PER_FRAME) as u8,
            at: self.source.host().instant(at),
            uncertainty,
            quality,
        }
    }

    /// When a frame begins (or began), and by how much that may be off.
    #[must_use]
    pub fn time_of(&self, frame: u64) -> (Instant, Duration) {
        let (time, uncertainty) = self.source.time_of(frame.saturating_mul(MICROFRAMES_PER_FRAME));
        (self.source.host().instant(time), uncertainty)
    }

    /// Which frame is (or was) running at a moment.
    #[must_use]
    pub fn frame_at(&self, at: Instant) -> Stamp {
        let (microframe, uncertainty, quality) = self.source.position(self.source.host().time(at));
        Stamp {
            frame: microframe / MICROFRAMES_PER_FRAME,
            microframe: (microframe % MICROFRAMES_PER_FRAME) as u8,
            at,
            uncertainty,
            quality,
        }
    }

    /// Blocks until a frame begins. Returns at once if it has begun.
    ///
    /// # Errors
    /// [`Error::ClockStopped`] on a bus whose clock only `advance` moves; [`Error::InSink`] if it would last
    /// inside a [`CompletionSink`](crate::CompletionSink).
    pub fn wait_for(&self, frame: u64) -> Result<(), Error> {
        let microframe = frame.saturating_mul(MICROFRAMES_PER_FRAME);
        loop {
            let now = self.host_now();
            let (target, _) = self.source.time_of(microframe);
            if target <= now {
                return Ok(());
            }
            if InSink::here() {
                return Err(Error::InSink);
            }
            match &self.waiting {
                Waiting::Real => std::thread::sleep(target.since(now)),
                Waiting::Emulated(time) => {
                    if time.step(Some(target), &|| false) == Step::Stopped {
                        return Err(Error::ClockStopped);
                    }
                }
            }
        }
    }

    /// The bus's emulated time, for layers that have waits of their own; `None` on a bus in real time.
    #[must_use]
    pub fn emulated_time(&self) -> Option<EmulatedTime> {
        let host = self.source.host();
        host.emulated.as_ref().map(|steps| EmulatedTime::new(host.clone(), Arc::clone(steps)))
    }

    pub(crate) fn host_now(&self) -> Time {
        self.source.host().now()
    }

    pub(crate) fn instant(&self, time: Time) -> Instant {
        self.source.host().instant(time)
    }

    /// Where a transfer of `length` microframes that was seen to be over at `seen` began, as far as the
    /// clock can tell; not before `earliest`.
    pub(crate) fn estimate_start(&self, seen: Time, length: u64, earliest: Option<Time>) -> Estimate {
        let (end, uncertainty, _) = self.source.position(seen);
        let uncertainty = u64::try_from(uncertainty.as_nanos().div_ceil(125_000)).unwrap_or(u64::MAX);
        let not_before = earliest.map_or(0, |earliest| self.source.position(earliest).0);
        Estimate { first: end.saturating_sub(length), uncertainty, not_before }
    }
}

impl std::fmt::Debug for FrameClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.now().fmt(f)
    }
}

/// The host's clock that a bus measures by: the machine's, or an emulated one.
#[derive(Clone)]
pub(crate) struct Host {
    /// The `Instant` of [`Time::ZERO`].
    pub(crate) origin: Instant,
    pub(crate) emulated: Option<Arc<dyn StepsTime>>,
}

impl Host {
    pub(crate) fn now(&self) -> Time {
        match &self.emulated {
            Some(emulated) => emulated.now(),
            None => self.time(Instant::now()),
        }
    }

    pub(crate) fn time(&self, instant: Instant) -> Time {
        Time::ZERO + instant.saturating_duration_since(self.origin)
    }

    pub(crate) fn instant(&self, time: Time) -> Instant {
        // Times come from this clock or lie near it; one so far off that no Instant exists is not useful.
        self.origin.checked_add(time.since(Time::ZERO)).unwrap_or(self.origin)
    }
}

/// A clock inferred from completions, for buses that show no frame counter.
pub(crate) struct EstimatedClock {
    host: Host,
    /// How late completions may be always: what no number of completions can show.
    latency: Duration,
    clock: Mutex<isoch_core::clock::FrameClock>,
    fresh: AtomicBool,
}

impl EstimatedClock {
    pub(crate) fn new(host: Host, latency: Duration) -> Self {
        let clock = isoch_core::clock::FrameClock::free_run(host.now());
        EstimatedClock { host, latency, clock: Mutex::new(clock), fresh: AtomicBool::new(true) }
    }
}

impl ClockSource for EstimatedClock {
    fn host(&self) -> &Host {
        &self.host
    }

    fn now(&self, at: Time) -> (u64, Duration, Quality) {
        let stamp = lock(&self.clock).now(at);
        (stamp.microframes(), stamp.uncertainty + self.latency, stamp.quality)
    }

    fn position(&self, at: Time) -> (u64, Duration, Quality) {
        let stamp = lock(&self.clock).frame_at(at);
        (stamp.microframes(), stamp.uncertainty + self.latency, stamp.quality)
    }

    fn time_of(&self, microframe: u64) -> (Time, Duration) {
        let (time, uncertainty) = lock(&self.clock).time_of_microframe(microframe);
        (time, uncertainty + self.latency)
    }

    fn is_fresh(&self) -> bool {
        self.fresh.load(Ordering::Relaxed)
    }

    fn completed(&self, track: &mut StreamTrack, first: u64, end: u64, seen: Time) -> Option<Slip> {
        let mut clock = lock(&self.clock);
        if self.fresh.swap(false, Ordering::Relaxed) {
            // The first stream: what it calls its first frame is that frame from now on.
            let length = Duration::from_nanos(end.saturating_sub(first).saturating_mul(125_000));
            let began = first.div_euclid(MICROFRAMES_PER_FRAME);
            let into = Duration::from_nanos(first % MICROFRAMES_PER_FRAME * 125_000);
            clock.anchor(began, seen - length - into);
        }
        clock.completion(track, end, seen)
    }
}
