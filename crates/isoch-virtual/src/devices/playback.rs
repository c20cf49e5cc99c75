//! A speaker's buffer: packets fill it on the bus' clock, the device's own clock drains it.
//!
//! Why count samples and not keep them? What makes playback fail is how many there are, not what they
//! say; so an emulated hour takes a second, and the numbers are exact. Time passes only when the bus comes
//! by (a packet, a feedback token): in between nobody can look.
//!
//! The device measures its clock as real ones do, by counting a master clock of 256 ticks per sample
//! against the bus' frames, and adds a correction that brings the buffer back to half full.

use super::audio::most_samples;
use super::sample_clock::SampleClock;
use crate::device::BusTime;

/// Master clock ticks per sample.
const TICKS_PER_SAMPLE: u64 = 256;
/// In how many frames the feedback would bring the buffer to half full, if the host heard at once. Slow
/// enough to be stable with hosts that queue some hundred frames ahead.
const SETTLING_FRAMES: i64 = 512;
/// How far an adaptive device lets itself be pulled, in parts per billion.
const PULL_LIMIT: i64 = 5_000_000;

/// The buffer of one stream.
#[derive(Debug)]
pub(crate) struct Playback {
    rate: u32,
    clock: SampleClock,
    adaptive: bool,
    refresh: u8,
    /// Up to when the clock has been followed.
    now: BusTime,
    /// Ticks of the sample that is being played.
    ticks: u64,
    capacity: i64,
    target: i64,
    fill: i64,
    draining: bool,
    /// It ran dry, and nothing came since: an underrun if something comes, else just the end.
    dry: bool,
    window: Window,
    feedback: u32,
    pub(crate) counts: Counts,
}

/// What feedback is measured over.
#[derive(Debug)]
struct Window {
    began: BusTime,
    ticks: u64,
}

/// What happened to a stream, in samples (of all channels) and events.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) received: i64,
    pub(crate) played: i64,
    pub(crate) underruns: i64,
    pub(crate) overruns: i64,
    pub(crate) overflowed: i64,
    /// Least and most in the buffer since it first began to drain.
    pub(crate) fill: Option<(i64, i64)>,
}

impl Playback {
    /// An empty buffer of `milliseconds`; `refresh` is `bRefresh`.
    pub(crate) fn new(
        rate: u32,
        device_ppm: f64,
        milliseconds: u16,
        adaptive: bool,
        refresh: u8,
        now: BusTime,
    ) -> Self {
        let capacity = i64::from(rate) * i64::from(milliseconds) / 1000;
        Playback {
            rate,
            clock: SampleClock::new(u64::from(rate) * TICKS_PER_SAMPLE, device_ppm),
            adaptive,
            refresh,
            now,
            ticks: 0,
            capacity,
            target: capacity / 2,
            fill: 0,
            draining: false,
            dry: false,
            window: Window { began: now, ticks: 0 },
            feedback: ((u64::from(rate) << 14) / 1000) as u32,
            counts: Counts::default(),
        }
    }

    /// Samples in the buffer when last looked at.
    pub(crate) fn fill(&self) -> i64 {
        self.fill
    }

    /// Samples arrive in one packet.
    pub(crate) fn arrive(&mut self, samples: usize, now: BusTime) {
        self.follow(now);
        let samples = samples as i64;
        if samples == 0 {
            return;
        }
        if std::mem::take(&mut self.dry) {
            self.counts.underruns += 1;
        }
        self.counts.received += samples;
        let fits = samples.min(self.capacity - self.fill);
        if fits < samples {
            self.counts.overruns += 1;
            self.counts.overflowed += samples - fits;
        }
        self.fill += fits;
        self.draining |= self.fill >= self.target;
        self.note_fill();
    }

    /// The feedback value: samples per frame, 10.14 (USB 2.0 §5.12.4.2). It is new every 2^`bRefresh`
    /// frames; a host that asks in between hears the same again.
    pub(crate) fn feedback(&mut self, now: BusTime) -> u32 {
        self.follow(now);
        let elapsed = now.microframe.saturating_sub(self.window.began.microframe);
        if elapsed >= 8 << self.refresh {
            // Ticks per frame / 256 × 2^14.
            let measured = (self.window.ticks * 64 * 8 / elapsed) as i64;
            let error = if self.draining { self.target - self.fill } else { 0 };
            let correction = ((error << 14) / SETTLING_FRAMES).clamp(-(1 << 14), 1 << 14);
            // Never more than fits into a packet.
            let most = i64::from(most_samples(self.rate)) << 14;
            self.feedback = (measured + correction).clamp(0, most) as u32;
            self.window = Window { began: now, ticks: 0 };
        }
        self.feedback
    }

    /// Plays up to now.
    fn follow(&mut self, now: BusTime) {
        let elapsed = now.microframe.saturating_sub(self.now.microframe);
        if elapsed == 0 {
            return;
        }
        self.now = now;
        let ticks = self.clock.advance(elapsed, self.pull());
        self.window.ticks += ticks;
        self.ticks += ticks;
        let samples = (self.ticks / TICKS_PER_SAMPLE) as i64;
        self.ticks %= TICKS_PER_SAMPLE;
        if !self.draining {
            return;
        }
        let played = samples.min(self.fill);
        self.fill -= played;
        self.counts.played += played;
        if played < samples {
            // Ran dry: silence until half full again.
            self.draining = false;
            self.dry = true;
        } else {
            self.note_fill();
        }
    }

    /// How an adaptive device bends its clock towards what arrives.
    fn pull(&self) -> i64 {
        if !self.adaptive || !self.draining {
            return 0;
        }
        let samples_per_second = i64::from(self.rate);
        ((self.fill - self.target) * 1_000_000_000_000 / (SETTLING_FRAMES * samples_per_second))
            .clamp(-PULL_LIMIT, PULL_LIMIT)
    }

    fn note_fill(&mut self) {
        if self.draining {
            let (least, most) = self.counts.fill.unwrap_or((self.fill, self.fill));
            self.counts.fill = Some((least.min(self.fill), most.max(self.fill)));
        }
    }
}
