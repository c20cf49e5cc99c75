//! Recording samples.
//!
//! Why are completions handed over, and not bytes? Because where a packet is missing the samples are gone, and
//! only who writes them down can say what should stand there: silence, nothing, or a mark. Bytes alone
//! would close the hole without a word.

use std::sync::atomic::{AtomicBool, Ordering};

use isoch_core::PacketStatus;
use isoch_core::audio::StreamingFormat;

use super::meter::RateMeter;
use super::troubles::Troubles;
use super::{StreamOptions, open};
use crate::block::Blocks;
use crate::completion::Completion;
use crate::device::Device;
use crate::endpoint::{IsochIn, Statistics};
use crate::{Direction, Error, Start};

/// What was recorded.
///
/// A *sample frame* is one sample of every channel; the bus's frames are of another kind.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Recorded {
    /// What the data endpoint went through since it was opened.
    pub statistics: Statistics,
    /// Sample frames that arrived in the completions given to the sink.
    pub sample_frames: u64,
    /// Bytes in those at the end of packets that were not a whole sample frame.
    pub bytes_cut: u64,
    /// Whether it was stopped before all that was asked for had come.
    pub stopped: bool,
    /// The device's rate in Hz of bus time, over all packets that arrived well. `None` if there were none.
    pub rate: Option<f64>,
    /// The lowest rate over a second of such packets; the same as `rate` if there was no second of them.
    pub smallest_rate: Option<f64>,
    /// The highest.
    pub largest_rate: Option<f64>,
}

/// Records through one format of a device.
///
/// Dropping it gives the interface back at alternate setting 0.
pub struct Recorder {
    endpoint: IsochIn,
    blocks: Blocks,
    slot_bytes: usize,
    start: Start,
}

impl Recorder {
    /// Opens a format for recording at `rate` Hz; otherwise as [`Player::open`](super::Player::open).
    ///
    /// # Errors
    /// As [`Player::open`](super::Player::open).
    pub fn open(
        device: &Device,
        format: &StreamingFormat,
        rate: u32,
        options: StreamOptions,
    ) -> Result<Recorder, Error> {
        let endpoint = open::open(device, format, rate, Direction::In)?.isoch_in(format.endpoint)?;
        let (layout, _) = open::layout(&options, endpoint.timing(), endpoint.capabilities(), Direction::In)?;
        let blocks = endpoint.register(layout)?;
        let slot_bytes = format.slot_bytes() as usize;
        Ok(Recorder { endpoint, blocks, slot_bytes, start: options.start })
    }

    /// The data endpoint.
    #[must_use]
    pub fn endpoint(&self) -> &IsochIn {
        &self.endpoint
    }

    /// Records until at least `frames` sample frames have come, or for ever; blocks until then.
    ///
    /// `sink` gets the completions in order, and holds up the stream for as long as it takes. The one in which
    /// the last wanted sample frame came is the last it gets, and may have more of them than are wanted; what
    /// is queued behind is cancelled. The first transfer goes where [`StreamOptions::start`] says (as soon as
    /// possible, if this recorder has recorded before), each further one behind the last.
    ///
    /// When `stop` becomes true nothing more is queued, and what is queued still comes.
    ///
    /// # Errors
    /// Always after everything in flight has ended: what `sink` returned; [`Error::Gone`] if the device
    /// was unplugged (`sink` has got all completions); [`Error::Unsupported`] if the bus refused the
    /// start frame; [`Error::Bus`] if it failed a whole queue of transfers, one after the other;
    /// [`Error::ClockStopped`] on a bus whose time only `advance` moves.
    pub fn record(
        &mut self,
        frames: Option<u64>,
        sink: &mut dyn FnMut(&Completion) -> Result<(), Error>,
        stop: &AtomicBool,
    ) -> Result<Recorded, Error> {
        let wanted = frames.unwrap_or(u64::MAX);
        let mut run = Run { slot_bytes: self.slot_bytes, ..Run::default() };
        run.period = self.endpoint.timing().period_microframes();
        let mut start = std::mem::replace(&mut self.start, Start::Asap);
        while wanted > 0
            && !stop.load(Ordering::Relaxed)
            && !run.troubles.are_there()
            && let Some(block) = self.blocks.take().now()
        {
            match self.endpoint.submit(block, std::mem::replace(&mut start, Start::Continue)) {
                Ok(_) => run.in_flight += 1,
                Err(rejected) => run.troubles.fail(rejected.error),
            }
        }
        run.recorded.stopped = run.in_flight == 0 && wanted > 0;
        let patience = run.in_flight;
        while run.in_flight > 0 {
            let done = match self.endpoint.next_completion().wait() {
                Ok(done) => done,
                Err(error) => {
                    run.troubles.fail(error);
                    self.endpoint.abort();
                    while let Some(done) = self.endpoint.next_completion().now() {
                        let _ = sink(&done);
                    }
                    break;
                }
            };
            run.in_flight -= 1;
            if run.over {
                continue;
            }
            run.count(&done);
            run.over |= run.troubles.judge(&done, patience);
            if let Err(error) = sink(&done) {
                run.troubles.fail(error);
                run.over = true;
            }
            run.over |= run.recorded.sample_frames >= wanted;
            if run.over {
                self.endpoint.abort();
            } else if run.troubles.are_there() {
                // What is queued still comes.
            } else if stop.load(Ordering::Relaxed) {
                run.recorded.stopped = true;
            } else {
                match self.endpoint.submit(done.into_block(), Start::Continue) {
                    Ok(_) => run.in_flight += 1,
                    Err(rejected) => run.troubles.fail(rejected.error),
                }
            }
        }
        if let Some(error) = run.troubles.into_error() {
            return Err(error);
        }
        let rates = run.meter.extremes();
        Ok(Recorded {
            statistics: self.endpoint.statistics(),
            rate: run.meter.average(),
            smallest_rate: rates.map(|rates| rates.0),
            largest_rate: rates.map(|rates| rates.1),
            ..run.recorded
        })
    }
}

/// One call of `record`.
#[derive(Default)]
struct Run {
    recorded: Recorded,
    meter: RateMeter,
    slot_bytes: usize,
    period: u64,
    in_flight: usize,
    troubles: Troubles,
    /// Nothing more is wanted.
    over: bool,
}

impl Run {
    fn count(&mut self, done: &Completion) {
        for packet in done.packets() {
            let samples = packet.bytes().len() / self.slot_bytes;
            self.recorded.sample_frames += samples as u64;
            self.recorded.bytes_cut += (packet.bytes().len() % self.slot_bytes) as u64;
            if packet.status() == PacketStatus::Done {
                self.meter.add(samples as u64, self.period);
            }
        }
    }
}
