//! The frame clock of one host controller.
//!
//! Why estimate, when the controller has a frame counter? Because user space may not read it: usbfs has no
//! call for it, and the registers need root. What every program sees is when its transfers complete, and
//! how many frames they took. A completion is never seen early, so the line below all completions
//! (`envelope.rs`) is the controller's clock as the host sees it, late by the fixed latency of the
//! system, and far better than any single completion. Where a bus does tell frame numbers or lets a
//! program read the counter, the same clock takes those and says so in its [`Quality`].
//!
//! Why does a clock never jump, not even when the stream it learnt from does? Because all devices of a
//! controller share its frames: a stream that slid ([`slip`]) has a wrong count, the frames have not
//! moved. What depends on the count is invalid then, which [`FrameClock::generation`] shows.
//!
//! Nothing here reads a clock: the time is always a parameter. All times must be of one monotonic clock.

pub(crate) mod envelope;
pub(crate) mod line;
pub(crate) mod readings;
pub mod slip;
pub mod unwrap;
pub(crate) mod wander;

use crate::time::{MICROFRAMES_PER_FRAME, Time};
use envelope::{Envelope, Side, WINDOW};
use line::{Line, MICROFRAME_NANOS};
use readings::Readings;
use slip::Verdict;
pub use slip::{Count, Slip, StreamTrack};
use std::time::Duration;
use wander::{GROUP, Wander};

/// Half a frame, in nanoseconds: the phase of a clock that has seen nothing is this uncertain, and a
/// completion this much too late is suspect.
const HALF_FRAME: f64 = 500_000.0;

/// How late even the earliest completions may be seen: interrupt moderation (xHCI: 40 µs) and the way through
/// the kernel. No fit can see it; it is part of every stated uncertainty.
pub const COMPLETION_LATENCY: Duration = Duration::from_micros(60);
const LATENCY_ALLOWANCE: f64 = COMPLETION_LATENCY.as_nanos() as f64;

/// What is added to the uncertainty of a fit over *n* completions, times *n*, in nanoseconds: a few
/// completions may by chance all be late by the same.
const FEW_COMPLETIONS: f64 = 2_000_000.0;

/// Blocks of the envelope (128 ms each) after which a full window is fitted anew. What the rates may do in
/// between is in the stated uncertainty, which grows from one fit to the next.
const FIT_AFTER: u32 = 4;

/// Earliness, in nanoseconds, that is worth a new fit at once.
const WORTH_A_FIT: i64 = 1_000;

/// Completions before the first fit.
const LOCK_COUNT: u64 = 8;

/// Completions before it is looked at how far they wander from the line.
const WANDER_AFTER: u64 = 32;
/// Completions after which the line is so straight that what was thought of the first of them is forgotten.
const WANDER_SURE: u64 = 256;

/// Rate difference between a controller and a host clock before anything is known, in parts per million:
/// USB allows the controller 500 (USB 2.0 §7.1.11), crystals of hosts are below 100.
const UNKNOWN_PPM: f64 = 600.0;

/// By how much a known rate may wander while no stream runs, in parts per million. An assumption: crystals
/// change by some 0.5 ppm per kelvin at most, and hosts slew their clocks by a few ppm in steady state.
const HOLDOVER_PPM: f64 = 5.0;

/// A clock less certain than this has no claim to [`Quality::Disciplined`], in nanoseconds.
const DISCIPLINED_LIMIT: f64 = 250_000.0;

/// A clock less certain than this places nothing to any use, in nanoseconds.
const USELESS: f64 = 16_000_000.0;

/// Earliness beyond the stated uncertainty that is suspect, in nanoseconds.
const EARLY_MARGIN: f64 = 100_000.0;

/// How a clock knows its frames, from worst to best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Quality {
    /// No stream has run yet. Frames are consistent within this clock, their phase on the bus is
    /// unknown, and they drift by the difference of the crystals.
    FreeRun,
    /// From a few completions, or after a pause so long that the clock may have drifted: the frame may
    /// be off by one, see the uncertainty.
    Coarse,
    /// From some 4 s of completions: the frame is right, the microframe within one.
    Disciplined,
    /// As disciplined, and the numbers are the controller's own, or go with them.
    Numbered,
    /// From reading the controller's frame counter.
    Register,
    /// The controller is emulated and tells its time.
    Exact,
}

/// A frame and a time, and how sure that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The frame.
    pub frame: u64,
    /// The microframe in it, 0 to 7.
    pub microframe: u8,
    /// The time at which it is that frame.
    pub at: Time,
    /// By how much the bus may be ahead or behind.
    pub uncertainty: Duration,
    /// How it is known.
    pub quality: Quality,
}

impl Stamp {
    /// Frame and microframe in one number.
    #[must_use]
    pub fn microframes(&self) -> u64 {
        self.frame.saturating_mul(MICROFRAMES_PER_FRAME).saturating_add(u64::from(self.microframe))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    FreeRun,
    Completions,
    Register,
    Exact,
}

/// A line, and what is known of its errors.
#[derive(Clone, Copy, Debug)]
struct Estimate {
    source: Source,
    line: Line,
    /// Uncertainty at `valid_at`, in nanoseconds.
    uncertainty: f64,
    /// By how much it grows with time from there, in parts per million.
    growth: f64,
    valid_at: Time,
}

impl Estimate {
    fn uncertainty_at(&self, at: Time) -> f64 {
        let away = at.offset_from(self.valid_at).unsigned_abs() as f64;
        self.uncertainty + away * self.growth * 1e-6
    }
}

/// What a rate may be, in parts per million.
#[derive(Clone, Copy, Debug)]
struct Rate {
    ppm: f64,
    error: f64,
}

const UNKNOWN_RATE: Rate = Rate { ppm: 0.0, error: UNKNOWN_PPM };

/// The frame clock of one host controller.
///
/// Positions are in microframes: frame × 8 + microframe, at every speed. They are the clock's own numbers
/// unless the bus numbers them ([`FrameClock::renumber`]).
#[derive(Clone, Debug)]
pub struct FrameClock {
    estimate: Estimate,
    completions: Envelope,
    wander: Wander,
    /// By how much the positions may all be wrong that completions were observed at, in nanoseconds.
    doubt: f64,
    /// The doubt of the stream that began this epoch: by definition there is none.
    pardoned: Option<f64>,
    readings: Readings,
    /// What the rate of completions is known to be before the fit.
    rate: Rate,
    /// Whether a full window of completions was ever seen in this generation's phase.
    settled: bool,
    numbered: bool,
    generation: u64,
    /// The latest position that [`FrameClock::now`] told.
    told: Option<u64>,
}

impl FrameClock {
    /// A clock that nothing has disciplined yet: frame 0 begins at `started`.
    #[must_use]
    pub fn free_run(started: Time) -> Self {
        FrameClock {
            estimate: free_run_estimate(0, started),
            completions: Envelope::new(Side::Late),
            wander: Wander::new(),
            doubt: 0.0,
            pardoned: None,
            readings: Readings::new(),
            rate: UNKNOWN_RATE,
            settled: false,
            numbered: false,
            generation: 0,
            told: None,
        }
    }

    /// Begins a new epoch: `frame` begins at about `at`, to half a frame. The first stream of a fresh clock
    /// defines it, and a controller that was reset or resumed needs a new one. All that was learnt but
    /// the rate is forgotten. The generation changes, unless nothing contradicts the old epoch.
    pub fn anchor(&mut self, frame: u64, at: Time) {
        self.rate = self.known_rate();
        self.forget();
        self.numbered = false;
        let mut estimate = free_run_estimate(frame.saturating_mul(MICROFRAMES_PER_FRAME), at);
        estimate.line = Line::new(frame.saturating_mul(MICROFRAMES_PER_FRAME), at, self.rate.ppm);
        self.adopt(estimate, at);
    }

    /// The frame that this clock calls `own` is number `reported` on the controller: from now on, the
    /// controller's numbers are used. The generation changes if they differ.
    pub fn renumber(&mut self, own: u64, reported: u64) {
        let frames = i128::from(reported) - i128::from(own);
        let microframes = frames * i128::from(MICROFRAMES_PER_FRAME);
        let by = microframes.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64;
        self.numbered = true;
        if by == 0 {
            return;
        }
        self.estimate.line = self.estimate.line.renumbered(by);
        self.completions.renumber(by);
        self.readings.renumber(by);
        if self.completions.count() == 0 {
            self.rate = self.known_rate();
        }
        self.next_generation();
    }

    /// A transfer completed whose last service interval ended at the position `end_microframe` (by the
    /// count of its stream) and was seen at `seen_at`, the earliest time the program knows.
    ///
    /// Says if the stream has slid since. The clock corrects the stream's later positions itself (see
    /// [`StreamTrack::frames_slid`]), and its generation changes. Slips to an earlier frame can be told
    /// from a bad first guess only after the clock has been disciplined.
    ///
    /// A stream whose count is [certain](Count::Certain) is not judged but believed: if its completions do not
    /// come when the clock says, the clock is wrong. One whose beginning was estimated from this clock teaches it
    /// nothing that it does not know better.
    pub fn completion(
        &mut self,
        track: &mut StreamTrack,
        end_microframe: u64,
        seen_at: Time,
    ) -> Option<Slip> {
        let microframe = track.corrected(end_microframe);
        if !self.believes(track, microframe, seen_at) {
            return None;
        }
        let residual = self.estimate.line.residual(microframe, seen_at);
        let certain = match track.count() {
            Count::Told => true,
            Count::Certain => !self.numbered,
            Count::MaySlide | Count::Unbroken => false,
        };
        let verdict = match self.estimate.source {
            Source::FreeRun => Verdict::Punctual,
            _ if certain => Verdict::Punctual,
            // Within what is in time however sure the clock is: so it is with nearly all.
            _ if track.is_surely_punctual(
                end_microframe,
                residual,
                EARLY_MARGIN as i64,
                HALF_FRAME as i64,
            ) =>
            {
                Verdict::Punctual
            }
            _ => self.judge(track, end_microframe, residual, seen_at),
        };
        match verdict {
            Verdict::Punctual => {}
            Verdict::SetAside => {
                if track.count() != Count::MaySlide {
                    self.wander.observe(residual);
                }
                return None;
            }
            Verdict::Slipped(slip) => {
                self.next_generation();
                return Some(slip);
            }
            Verdict::ClockIsLate => {
                // The stated uncertainty was wrong; half a frame holds until there is a new fit.
                self.learn_anew(self.estimate.uncertainty_at(seen_at).max(HALF_FRAME), seen_at);
                return None;
            }
        }
        if self.completions.is_stale_at(microframe) {
            self.rate = self.known_rate();
        }
        self.completions.observe(microframe, seen_at, &self.estimate.line);
        if self.settled {
            self.wander.is_early(-residual);
        }
        let mut late = residual;
        if self.is_fit_due(residual) {
            self.fit_completions(seen_at, certain);
            late = self.estimate.line.residual(microframe, seen_at);
        }
        // A line through few points says little of how far others are from it.
        let count = self.completions.count();
        if count == WANDER_SURE {
            self.wander.begin_anew();
        }
        if count >= WANDER_AFTER {
            self.wander.observe(late);
        }
        None
    }

    /// Whether a stream's positions can teach the clock anything, and if they are others than it learnt from so far,
    /// forgets those.
    fn believes(&mut self, track: &StreamTrack, microframe: u64, seen_at: Time) -> bool {
        let stated = track.doubt();
        let doubt = if self.pardoned == Some(stated) { 0.0 } else { stated };
        let known = || self.estimate.uncertainty_at(seen_at);
        if track.count() == Count::Told && !self.numbered {
            // From now on the clock goes by the controller's numbers, wherever it was before.
            let off = self.estimate.line.residual(microframe, seen_at).unsigned_abs() as f64;
            let known = known();
            if off > known.max(HALF_FRAME) {
                self.next_generation();
            }
            self.numbered = true;
            self.learn_anew(known + off, seen_at);
        } else if doubt == self.doubt {
            return true;
        } else if self.estimate.source != Source::FreeRun {
            // Where it began was taken from this clock. It cannot make that surer, and learning from it would make a
            // wrong guess the truth. But it can keep a clock from getting worse that is worse already.
            let known = known();
            if known.min(doubt) >= USELESS && !self.numbered {
                // Nothing will make such a clock any use again, as after a long pause behind a short stream. So frames are
                // counted as this stream counts them, as soon as enough of it was seen: how that goes with how they
                // were counted before, nobody knows.
                self.learn_anew(known, seen_at);
                self.next_generation();
                self.pardoned = Some(stated);
                self.doubt = 0.0;
                return true;
            }
            if known < doubt {
                return false;
            }
            self.learn_anew(known, seen_at);
        }
        self.doubt = doubt;
        true
    }

    /// Forgets where completions were seen; the line stays until there is another, this uncertain.
    fn learn_anew(&mut self, uncertainty: f64, seen_at: Time) {
        self.rate = self.known_rate();
        self.completions.clear();
        self.settled = false;
        self.estimate.uncertainty = uncertainty;
        self.estimate.valid_at = seen_at;
    }

    fn judge(&self, track: &mut StreamTrack, counted: u64, residual: i64, seen_at: Time) -> Verdict {
        let uncertainty = self.estimate.uncertainty_at(seen_at);
        let early = if self.settled { uncertainty + EARLY_MARGIN } else { f64::INFINITY };
        track.judge(counted, residual, early as i64, uncertainty.max(HALF_FRAME) as i64, seen_at)
    }

    /// Whether the completion just observed may move the line by as much as matters. Why not fit at each? A fit
    /// costs as much as the transfer does otherwise; and in a full window one that is not earlier than the line
    /// tells nothing but, in time, something of the rate.
    fn is_fit_due(&mut self, residual: i64) -> bool {
        let steady = self.settled && self.completions.is_long();
        let due = !steady || residual < -WORTH_A_FIT || self.completions.begun >= FIT_AFTER;
        if due {
            self.completions.begun = 0;
        }
        due
    }

    /// `certain`: it is not the stream that may have slid.
    #[inline(never)] // once in many transfers
    fn fit_completions(&mut self, seen_at: Time, certain: bool) {
        if self.completions.count() < LOCK_COUNT {
            return;
        }
        let Some(fit) = self.completions.fit(self.rate.ppm, self.rate.error, certain) else { return };
        if fit.baseline >= WINDOW / 10 * 9 {
            self.rate = UNKNOWN_RATE;
            self.settled = true;
        }
        let few = FEW_COMPLETIONS / self.completions.count() as f64;
        let mut uncertainty =
            LATENCY_ALLOWANCE + fit.spread.max(self.wander.early().as_nanos() as f64) + few + self.doubt;
        let growth = fit.rate_error + HOLDOVER_PPM;
        let mut line = fit.line;
        if self.estimate.source != Source::FreeRun {
            let before = self.estimate.uncertainty_at(seen_at);
            let by_the_same = self.estimate.source == Source::Completions && self.doubt == 0.0;
            if !by_the_same && before <= uncertainty {
                return; // what is known better stays
            }
            // Late completions are no reason to leave what was certain before, as they may just be late.
            let position = line.microframe_at(seen_at);
            let later = self.estimate.line.residual(position, line.time_of(position)) as f64;
            if later > before {
                // But they may be right: then so much is missing.
                if certain {
                    uncertainty += later - before;
                }
                let at = line.time_of(position).offset((before - later) as i64);
                line = Line::new(position, at, line.ppm());
            }
        }
        self.adopt(
            Estimate { source: Source::Completions, line, uncertainty, growth, valid_at: seen_at },
            seen_at,
        );
    }

    /// The controller's counter was read and showed `microframe` (unwrapped, in this clock's numbers), some
    /// time between `before` and `after`.
    pub fn reading(&mut self, microframe: u64, before: Time, after: Time) {
        if self.estimate.source == Source::Exact {
            return;
        }
        let (before, after) = (before.min(after), before.max(after));
        let proof = self.readings.observe(microframe, before, after, &self.estimate.line, UNKNOWN_PPM);
        let estimate = Estimate {
            source: Source::Register,
            line: proof.line,
            uncertainty: proof.phase_error,
            growth: proof.rate_error + HOLDOVER_PPM,
            valid_at: after,
        };
        self.adopt(estimate, after);
    }

    /// The controller is emulated and says that `microframe` begins at `at`, and that its microframes are
    /// `ppm` parts per million longer than 125 µs of host time.
    pub fn exact(&mut self, microframe: u64, at: Time, ppm: f64) {
        let line = Line::new(microframe, at, ppm);
        self.numbered = true;
        self.adopt(Estimate { source: Source::Exact, line, uncertainty: 1.0, growth: 0.0, valid_at: at }, at);
    }

    /// The frame at `at`. From one call to the next the frame never gets smaller within a
    /// [generation](Self::generation), even if the clock has learnt meanwhile that it was ahead; what that
    /// adds to the error is in the stated uncertainty.
    pub fn now(&mut self, at: Time) -> Stamp {
        let estimated = self.estimate.line.microframe_at(at);
        let position = self.told.map_or(estimated, |told| told.max(estimated));
        self.told = Some(position);
        let ahead = (position - estimated).saturating_mul(MICROFRAME_NANOS as u64);
        let mut stamp = self.stamp(position, at);
        stamp.uncertainty = stamp.uncertainty.saturating_add(Duration::from_nanos(ahead));
        stamp
    }

    /// The frame at a time in the past or the future, by what is known now.
    #[must_use]
    pub fn frame_at(&self, at: Time) -> Stamp {
        self.stamp(self.estimate.line.microframe_at(at), at)
    }

    /// When `frame` begins: its first nanosecond, and how uncertain that is. [`Self::frame_at`] of this time
    /// is this frame again. Saturates at the ends of [`Time`].
    #[must_use]
    pub fn time_of(&self, frame: u64) -> (Time, Duration) {
        self.time_of_microframe(frame.saturating_mul(MICROFRAMES_PER_FRAME))
    }

    /// When the microframe at this position begins, and how uncertain that is.
    #[must_use]
    pub fn time_of_microframe(&self, position: u64) -> (Time, Duration) {
        let at = self.estimate.line.time_of(position);
        (at, nanoseconds(self.estimate.uncertainty_at(at)))
    }

    /// How late several completions in a row were at worst. Not part of any uncertainty that this clock states, which is
    /// that of the line below all of them: who takes a position from a few, or asks when frames are on a bus that
    /// serves them late, adds it.
    #[must_use]
    pub fn wander(&self) -> Duration {
        self.wander_of(GROUP)
    }

    /// The same for so many completions in a row: the more there are, the less late the earliest of them is. For fewer
    /// than eight, how late any one may be by the bus's doing.
    #[must_use]
    pub fn wander_of(&self, completions: u32) -> Duration {
        match self.estimate.source {
            // Those do not come from completions.
            Source::Exact | Source::Register => Duration::ZERO,
            Source::FreeRun | Source::Completions if completions < GROUP => self.wander.late_one(),
            Source::FreeRun | Source::Completions => self.wander.late(completions),
        }
    }

    /// By how much frames are longer than 1 ms of host time, in parts per million. Frozen while no
    /// stream runs.
    #[must_use]
    pub fn rate_ppm(&self) -> f64 {
        self.estimate.line.ppm()
    }

    /// By how much [`Self::rate_ppm`] may be off, in parts per million: the rate at which the uncertainty
    /// grows while nothing is observed.
    #[must_use]
    pub fn rate_error_ppm(&self) -> f64 {
        self.estimate.growth
    }

    /// Changes whenever frame numbers told before no longer mean the same: a new epoch, new numbers, a
    /// correction larger than was stated possible, a stream that slid. What was placed by an older
    /// generation must be placed anew.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// How the frame is known at `at`.
    #[must_use]
    pub fn quality(&self, at: Time) -> Quality {
        let sure = self.estimate.uncertainty_at(at) <= DISCIPLINED_LIMIT;
        match self.estimate.source {
            Source::FreeRun => Quality::FreeRun,
            Source::Exact => Quality::Exact,
            Source::Register if sure => Quality::Register,
            Source::Completions if sure && self.settled && self.numbered => Quality::Numbered,
            Source::Completions if sure && self.settled => Quality::Disciplined,
            Source::Register | Source::Completions => Quality::Coarse,
        }
    }

    fn stamp(&self, position: u64, at: Time) -> Stamp {
        Stamp {
            frame: position / MICROFRAMES_PER_FRAME,
            microframe: (position % MICROFRAMES_PER_FRAME) as u8,
            at,
            uncertainty: nanoseconds(self.estimate.uncertainty_at(at)),
            quality: self.quality(at),
        }
    }

    /// Goes over to a new estimate. If it contradicts the old one, frames told before meant others.
    fn adopt(&mut self, estimate: Estimate, at: Time) {
        let position = estimate.line.microframe_at(at);
        let moved = self.estimate.line.residual(position, estimate.line.time_of(position));
        let possible = self.estimate.uncertainty_at(at) + estimate.uncertainty;
        if moved.unsigned_abs() as f64 > possible.max(HALF_FRAME) {
            self.next_generation();
        }
        self.estimate = estimate;
    }

    fn next_generation(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.told = None;
    }

    /// What the rate must still be when completions have to be fitted anew.
    fn known_rate(&self) -> Rate {
        Rate { ppm: self.rate_ppm(), error: self.estimate.growth.clamp(HOLDOVER_PPM, UNKNOWN_PPM) }
    }

    fn forget(&mut self) {
        self.completions.clear();
        self.readings.clear();
        self.settled = false;
        self.doubt = 0.0;
    }
}

fn free_run_estimate(microframe: u64, at: Time) -> Estimate {
    Estimate {
        source: Source::FreeRun,
        line: Line::new(microframe, at, 0.0),
        uncertainty: HALF_FRAME,
        growth: UNKNOWN_PPM,
        valid_at: at,
    }
}

fn nanoseconds(nanos: f64) -> Duration {
    Duration::from_nanos(nanos as u64)
}
