//! The frame clock of a controller, as programs see it.
//!
//! Why does the clock belong to a controller and not to a device? All devices behind one host controller
//! share its start-of-frame, and programs that pair two devices rely on it: `virtual:speaker` and
//! `virtual:microphone` on one bus give the same frame at the same moment.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use isoch_core::clock::unwrap::{Counter, Number};
use isoch_core::clock::{COMPLETION_LATENCY, Quality, Slip, StreamTrack};
use isoch_core::placer::LeadEstimate;
use isoch_core::rules::{EndpointTiming, Speed};
use isoch_core::{Estimate, MICROFRAMES_PER_FRAME, Time};

use crate::Error;
use crate::emulated_time::EmulatedTime;
use crate::sync::{Arc, AtomicBool, AtomicU64, Mutex, lock};
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
    /// What of every stated uncertainty is the same for all completions, as how late they are at least. Where streams
    /// stand is told by completions only, so between two of them it does not matter.
    fn common_error(&self) -> Duration {
        Duration::ZERO
    }
    /// What of every stated uncertainty is how late several completions in a row were at worst.
    fn wander(&self) -> Duration {
        Duration::ZERO
    }
    /// The same for so many; for fewer than it takes to locate a stream, how late any one may be.
    fn wander_of(&self, _completions: u32) -> Duration {
        Duration::ZERO
    }
    /// Whether no stream ever ran, so that the first one defines the numbering.
    fn is_fresh(&self) -> bool {
        false
    }
    /// The microframe that a driver's number means, of those with this number the one nearest to `expected`; `None`
    /// before anyone told what frame had which number ([`ClockSource::is_number_of`]).
    fn numbered(&self, _number: Number, _expected: u64) -> Option<u64> {
        None
    }
    /// This microframe had this number of the driver's. The first to say so counts.
    fn is_number_of(&self, _number: Number, _microframe: u64) {}
    /// How long before the first interval of a new stream it is handed over, as streams of this speed and period before
    /// it have shown.
    fn lead(&self, _timing: &EndpointTiming) -> Option<LeadEstimate> {
        None
    }
    /// Keeps that for streams to come.
    fn keep_lead(&self, _timing: &EndpointTiming, _lead: LeadEstimate) {}
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
    /// clock can tell; not before `earliest`, and not after `latest`. `shown`: at how many moments its stream was seen by
    /// then, the earliest of which will be believed.
    pub(crate) fn estimate_start(
        &self,
        seen: Time,
        length: u64,
        (earliest, latest): (Option<Time>, Option<Time>),
        shown: u32,
    ) -> Estimate {
        let source = &self.source;
        let (end, uncertainty, _) = source.position(seen);
        let uncertainty = uncertainty.saturating_sub(source.common_error() + source.wander());
        let microframes =
            |duration: Duration| u64::try_from(duration.as_nanos().div_ceil(125_000)).unwrap_or(u64::MAX);
        // The bounds are no surer than the clock is, and a controller that wanders goes by late frames.
        let unsure = microframes(uncertainty.saturating_add(source.wander_of(1)));
        let not_before = earliest.map_or(0, |earliest| source.position(earliest).0.saturating_sub(unsure));
        let not_after = latest.map_or(u64::MAX, |latest| source.position(latest).0.saturating_add(unsure));
        let late = microframes(uncertainty.saturating_add(source.wander_of(shown)));
        let uncertainty = microframes(uncertainty);
        let late = late.saturating_sub(uncertainty);
        Estimate { first: end.saturating_sub(length), uncertainty, late, seen, not_before, not_after }
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
    /// The same by the system's clock, in nanoseconds.
    #[cfg(target_os = "linux")]
    began: u64,
    pub(crate) emulated: Option<Arc<dyn StepsTime>>,
}

/// The clock behind `Instant` on Linux, in nanoseconds. Why read it beside `Instant`? Because the difference of two of
/// these is a hundred instructions, and the time is asked for with every transfer.
#[cfg(target_os = "linux")]
fn system_nanos() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

impl Host {
    pub(crate) fn new(origin: Instant, emulated: Option<Arc<dyn StepsTime>>) -> Self {
        Host {
            origin,
            #[cfg(target_os = "linux")]
            began: system_nanos().saturating_sub(origin.elapsed().as_nanos() as u64),
            emulated,
        }
    }

    pub(crate) fn now(&self) -> Time {
        match &self.emulated {
            Some(emulated) => emulated.now(),
            #[cfg(target_os = "linux")]
            None => Time::from_nanos(system_nanos().saturating_sub(self.began)),
            #[cfg(not(target_os = "linux"))]
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

/// A clock inferred from completions, for buses that show no frame counter; better, where somebody reads the
/// controller's own.
pub(crate) struct EstimatedClock {
    pub(crate) host: Host,
    /// How late completions may be always, in nanoseconds: what no number of completions can show. So much at most, as
    /// the controller's devices differ.
    latency: AtomicU64,
    /// So much of that all of them have in common.
    least_latency: AtomicU64,
    clock: Mutex<isoch_core::clock::FrameClock>,
    fresh: AtomicBool,
    /// What is to be added to the driver's numbers (in microframes) to get this clock's.
    numbering: Mutex<Option<i64>>,
    /// Of streams of each speed and period.
    leads: Mutex<Vec<(Speed, u64, LeadEstimate)>>,
    counter: Mutex<Option<ReadCounter>>,
    /// Whether there is one: asked with every transfer.
    has_counter: AtomicBool,
}

/// The controller's own counter.
struct ReadCounter {
    reader: Box<dyn ReadsCounter>,
    /// As [`EstimatedClock::numbering`].
    numbering: Option<i64>,
    /// When it was read last.
    read: Option<Time>,
}

/// Reads a controller's counter of microframes.
pub(crate) trait ReadsCounter: Send {
    fn counter(&self) -> Counter;
    /// Its value, and a time before and after that was read.
    fn read(&self, host: &Host) -> Result<(u32, Time, Time), Error>;
}

/// How often the controller's counter is read, if anyone asks for the time.
const READ_AGAIN: Duration = Duration::from_millis(20);

impl EstimatedClock {
    pub(crate) fn new(host: Host, latency: Duration) -> Self {
        let clock = isoch_core::clock::FrameClock::free_run(host.now());
        EstimatedClock {
            host,
            latency: AtomicU64::new(nanos(latency)),
            least_latency: AtomicU64::new(nanos(latency)),
            clock: Mutex::new(clock),
            fresh: AtomicBool::new(true),
            numbering: Mutex::default(),
            // Room for every period that USB has, at two speeds.
            leads: Mutex::new(Vec::with_capacity(32)),
            counter: Mutex::default(),
            has_counter: AtomicBool::new(false),
        }
    }

    /// Completions of some device may be late, always, by this.
    #[cfg_attr(all(not(test), any(shuttle, not(target_os = "linux"))), allow(dead_code))]
    pub(crate) fn may_be_late(&self, by: Duration) {
        self.latency.fetch_max(nanos(by), Ordering::Relaxed);
        self.least_latency.fetch_min(nanos(by), Ordering::Relaxed);
    }

    /// From now on the controller's counter is read, too. The first to say so counts.
    ///
    /// # Errors
    /// If it cannot be read.
    #[cfg_attr(any(shuttle, not(target_os = "linux")), allow(dead_code))]
    pub(crate) fn read_counter(&self, reader: Box<dyn ReadsCounter>) -> Result<(), Error> {
        let mut counter = lock(&self.counter);
        if counter.is_none() {
            reader.read(&self.host)?;
            *counter = Some(ReadCounter { reader, numbering: None, read: None });
            self.has_counter.store(true, Ordering::Relaxed);
        }
        drop(counter);
        self.refresh();
        Ok(())
    }

    /// Reads the controller's counter, if there is one and that is due.
    #[inline(always)]
    fn refresh(&self) {
        if self.has_counter.load(Ordering::Relaxed) {
            self.read_if_due();
        }
    }

    #[cold]
    fn read_if_due(&self) {
        let mut counter = lock(&self.counter);
        let Some(known) = counter.as_mut() else { return };
        let now = self.host.now();
        if known.read.is_some_and(|read| now < read + READ_AGAIN) {
            return;
        }
        let Ok((value, before, after)) = known.reader.read(&self.host) else {
            // The controller is gone; what was learnt holds for a while.
            *counter = None;
            self.has_counter.store(false, Ordering::Relaxed);
            return;
        };
        known.read = Some(after);
        let mut clock = lock(&self.clock);
        let own = clock.frame_at(before).microframes();
        let number = Number { counter: known.reader.counter(), value };
        let numbering = *known.numbering.get_or_insert_with(|| number.offset_to(own));
        if let Some(microframe) = number.nearest(own, numbering) {
            clock.reading(microframe, before, after);
            self.fresh.store(false, Ordering::Relaxed);
        }
    }

    /// What may be wrong besides what the clock knows of.
    fn error(&self) -> Duration {
        // Whoever reads the counter does not depend on when completions are told.
        if self.has_counter.load(Ordering::Relaxed) { Duration::ZERO } else { duration(&self.latency) }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn duration(nanos: &AtomicU64) -> Duration {
    Duration::from_nanos(nanos.load(Ordering::Relaxed))
}

/// Whether that lead is one of streams like this.
fn is_of((speed, period, _): &(Speed, u64, LeadEstimate), timing: &EndpointTiming) -> bool {
    (*speed, *period) == (timing.speed(), timing.period_microframes())
}

impl ClockSource for EstimatedClock {
    fn host(&self) -> &Host {
        &self.host
    }

    fn now(&self, at: Time) -> (u64, Duration, Quality) {
        self.refresh();
        let mut clock = lock(&self.clock);
        let stamp = clock.now(at);
        (stamp.microframes(), stamp.uncertainty + clock.wander() + self.error(), stamp.quality)
    }

    fn position(&self, at: Time) -> (u64, Duration, Quality) {
        let clock = lock(&self.clock);
        let stamp = clock.frame_at(at);
        (stamp.microframes(), stamp.uncertainty + clock.wander() + self.error(), stamp.quality)
    }

    fn time_of(&self, microframe: u64) -> (Time, Duration) {
        let clock = lock(&self.clock);
        let (time, uncertainty) = clock.time_of_microframe(microframe);
        (time, uncertainty + clock.wander() + self.error())
    }

    fn common_error(&self) -> Duration {
        duration(&self.least_latency).min(self.error()) + COMPLETION_LATENCY
    }

    fn wander(&self) -> Duration {
        lock(&self.clock).wander()
    }

    fn wander_of(&self, completions: u32) -> Duration {
        lock(&self.clock).wander_of(completions)
    }

    fn is_fresh(&self) -> bool {
        self.fresh.load(Ordering::Relaxed)
    }

    fn numbered(&self, number: Number, expected: u64) -> Option<u64> {
        number.nearest(expected, (*lock(&self.numbering))?)
    }

    fn is_number_of(&self, number: Number, microframe: u64) {
        lock(&self.numbering).get_or_insert_with(|| number.offset_to(microframe));
    }

    fn lead(&self, timing: &EndpointTiming) -> Option<LeadEstimate> {
        let leads = lock(&self.leads);
        leads.iter().find(|known| is_of(known, timing)).map(|(.., lead)| *lead)
    }

    fn keep_lead(&self, timing: &EndpointTiming, lead: LeadEstimate) {
        let mut leads = lock(&self.leads);
        match leads.iter_mut().find(|known| is_of(known, timing)) {
            Some((.., known)) => *known = lead,
            None => leads.push((timing.speed(), timing.period_microframes(), lead)),
        }
    }

    fn completed(&self, track: &mut StreamTrack, first: u64, end: u64, seen: Time) -> Option<Slip> {
        self.refresh();
        let mut clock = lock(&self.clock);
        if self.is_fresh() && self.fresh.swap(false, Ordering::Relaxed) {
            // The first stream: what it calls its first frame is that frame from now on.
            let length = Duration::from_nanos(end.saturating_sub(first).saturating_mul(125_000));
            let began = first.div_euclid(MICROFRAMES_PER_FRAME);
            let into = Duration::from_nanos(first % MICROFRAMES_PER_FRAME * 125_000);
            clock.anchor(began, seen - length - into);
        }
        clock.completion(track, end, seen)
    }
}

#[cfg(test)]
mod tests {
    use isoch_core::clock::unwrap::CounterUnit;

    use super::*;

    fn number(bits: u32, unit: CounterUnit, value: u32) -> Number {
        Number { counter: Counter { bits, unit }, value }
    }

    #[test]
    fn a_drivers_numbers_are_carried_on_in_this_clocks() {
        // What this clock calls frame 5000 is 2284 (of ten bits: 236) to the driver.
        let at = |value| number(10, CounterUnit::Frames, value);
        let offset = at(236).offset_to(5000 * 8 + 3);
        assert_eq!(at(236).nearest(5000 * 8 + 3, offset), Some(5000 * 8));
        for frame in [4990, 5000, 5001, 5400, 6100, 900_000] {
            let value = ((236 + 1024 * 8 + frame - 5000) % 1024) as u32;
            for expected in [frame - 100, frame, frame + 100] {
                assert_eq!(at(value).nearest(expected * 8, offset), Some(frame * 8), "{frame} at {expected}");
            }
        }
    }

    #[test]
    fn a_clock_is_as_sure_as_the_least_sure_of_its_devices() {
        let (high, full) = (Duration::from_micros(375), Duration::from_micros(1_250));
        let clock = EstimatedClock::new(Host::new(Instant::now(), None), high);
        assert_eq!((clock.error(), clock.common_error()), (high, high + COMPLETION_LATENCY));
        clock.may_be_late(full);
        assert_eq!((clock.error(), clock.common_error()), (full, high + COMPLETION_LATENCY));
        clock.may_be_late(high);
        assert_eq!(clock.error(), full);
    }

    #[test]
    fn leads_are_kept_for_each_speed() {
        use isoch_core::rules::descriptors::Endpoint;
        let timing =
            |speed, interval| EndpointTiming::new(speed, &Endpoint::new(0x01, 0x01, 192, interval)).unwrap();
        let (full, high) = (timing(Speed::Full, 1), timing(Speed::High, 4));
        assert_eq!(full.period_microframes(), high.period_microframes());
        let clock = EstimatedClock::new(Host::new(Instant::now(), None), Duration::ZERO);
        let lead = |millis| LeadEstimate {
            lead: Duration::from_millis(millis),
            uncertainty: Duration::ZERO,
            observations: 1,
        };
        clock.keep_lead(&full, lead(10));
        assert_eq!(clock.lead(&high), None);
        clock.keep_lead(&high, lead(2));
        clock.keep_lead(&high, lead(3));
        assert_eq!((clock.lead(&full), clock.lead(&high)), (Some(lead(10)), Some(lead(3))));
    }

    #[test]
    fn a_fresh_clock_may_be_behind_the_driver() {
        let early = number(16, CounterUnit::Frames, 60_000);
        let offset = early.offset_to(8);
        assert_eq!(early.nearest(8, offset), Some(8));
        assert_eq!(number(16, CounterUnit::Frames, 60_020).nearest(100, offset), Some(21 * 8));
        let register = number(14, CounterUnit::Microframes, 16_000);
        // To the nearest whole frame: 16,000 microframes are whole frames.
        assert_eq!(register.nearest(10, register.offset_to(10)), Some(8));
        assert_eq!(register.nearest(13, register.offset_to(13)), Some(16));
    }

    #[test]
    fn nonsense_is_nothing() {
        assert_eq!(number(0, CounterUnit::Frames, 5).nearest(100, 0), None);
        assert_eq!(number(40, CounterUnit::Frames, 5).nearest(100, 0), None);
        assert_eq!(number(10, CounterUnit::Frames, 5).nearest(u64::MAX, 0), None);
    }
}
