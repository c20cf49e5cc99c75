//! Playing samples.
//!
//! Why does the player read its source itself, instead of being written to? Because how much is needed is only
//! known when a transfer is laid out, by the rate that holds then; and a source that is asked late is heard
//! late, so what is read ahead should be what is queued, and nothing else.

use std::io::{ErrorKind, Read};
use std::sync::atomic::{AtomicBool, Ordering};

use isoch_core::PacketStatus;
use isoch_core::audio::StreamingFormat;
use isoch_core::pacer::{Pacer, SampleRate};

use super::follow::Follower;
use super::troubles::Troubles;
use super::{StreamOptions, open};
use crate::block::{Block, Blocks};
use crate::completion::Completion;
use crate::device::Device;
use crate::endpoint::{IsochOut, Statistics};
use crate::{Direction, Error, Start};

/// What was played.
///
/// A *sample frame* is one sample of every channel; the bus's frames are of another kind.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Played {
    /// What the data endpoint went through since it was opened.
    pub statistics: Statistics,
    /// Sample frames that the bus says were sent.
    pub sample_frames: u64,
    /// Sample frames that were handed to the bus, which does not say what became of them.
    pub sample_frames_unknown: u64,
    /// Sample frames that were not sent, or went wrong: late, missed, failed, cancelled.
    pub sample_frames_lost: u64,
    /// Bytes at the end of the source that were not a whole sample frame, and so not sent.
    pub bytes_dropped: u64,
    /// Whether it was stopped before the source came to its end.
    pub stopped: bool,
    /// Feedback values that were obeyed; with implicit feedback, packets.
    pub feedback_values: u64,
    /// Feedback values that made no sense, and changed nothing.
    pub feedback_ignored: u64,
    /// The lowest rate the device asked for, in Hz: by a feedback value; with implicit feedback, counted over
    /// a second. `None` without feedback.
    pub smallest_rate: Option<f64>,
    /// The highest.
    pub largest_rate: Option<f64>,
    /// Sample frames that the device asked for beyond what the endpoint carries. They stay in the source: the
    /// stream is that much slower than the device.
    pub sample_frames_refused: u64,
}

/// Plays through one format of a device.
///
/// Dropping it gives the interface back at alternate setting 0, which is how devices learn of a stream's end.
pub struct Player {
    // Before the setting's other users, so that nothing is pending when the claim ends.
    endpoint: IsochOut,
    follower: Option<Follower>,
    blocks: Blocks,
    pacer: Pacer,
    slot_bytes: u32,
    /// Packets of a full transfer.
    packets: u32,
    start: Start,
    /// Room for the lengths of a transfer, and for the blocks of the first queue.
    lengths: Vec<u32>,
    first: Vec<Block>,
}

impl Player {
    /// Opens a format for playing at `rate` Hz.
    ///
    /// Claims its interface, puts it to the format's alternate setting, sets the rate where the device has a
    /// control for it (and only then speaks to the control interface, class 2.0), and registers blocks.
    /// A format with implicit feedback also has its recording interface claimed and put to a setting, unless
    /// [`StreamOptions::feedback`] is off. Blocks until the device has answered; nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the device, the endpoint or the bus cannot do that, with the reason;
    /// [`Error::Busy`] if an interface is claimed; [`Error::NoBandwidth`]; as [`Interface::alternate_setting`]
    /// and [`IsochEndpoint::register`].
    ///
    /// [`Interface::alternate_setting`]: crate::Interface::alternate_setting
    /// [`IsochEndpoint::register`]: crate::IsochEndpoint::register
    pub fn open(
        device: &Device,
        format: &StreamingFormat,
        rate: u32,
        options: StreamOptions,
    ) -> Result<Player, Error> {
        let setting = open::open(device, format, rate, Direction::Out)?;
        let endpoint = setting.isoch_out(format.endpoint)?;
        let timing = *endpoint.timing();
        let (layout, packets) = open::layout(&options, &timing, endpoint.capabilities(), Direction::Out)?;
        let slot_bytes = format.slot_bytes();
        let pacer = pacer(rate, timing.period_microframes(), timing.bytes_per_interval() / slot_bytes)?;
        let follower = if options.feedback {
            Follower::open(device, &setting, format, rate, &timing, &options)?
        } else {
            None
        };
        let blocks = endpoint.register(layout)?;
        Ok(Player {
            first: Vec::with_capacity(blocks.free()),
            lengths: Vec::with_capacity(packets as usize),
            endpoint,
            follower,
            blocks,
            pacer,
            slot_bytes,
            packets,
            start: options.start,
        })
    }

    /// The data endpoint.
    #[must_use]
    pub fn endpoint(&self) -> &IsochOut {
        &self.endpoint
    }

    /// Plays `source`, bytes in the device's own layout, to its end, and blocks until all of it was sent.
    ///
    /// Each packet carries the whole sample frames that are due in its interval. The whole first queue is read
    /// before anything is sent, then the first transfer goes where [`StreamOptions::start`] says (as soon
    /// as possible, if this player has played before), each further one behind the last. A source that is slower
    /// than the device leaves the queue dry; that is reported as a gap. `on_done` gets every completion of the
    /// data endpoint, in order, and holds up the stream for as long as it takes.
    ///
    /// When `stop` becomes true nothing more is queued, and what is queued is still sent. It is looked at
    /// before each transfer; a source that blocks must be woken otherwise.
    ///
    /// # Errors
    /// Always after everything in flight has ended and was given to `on_done`: [`Error::Gone`] if the
    /// device was unplugged; [`Error::System`] if the source fails (what it gave before is played);
    /// [`Error::Unsupported`] if the bus refused the start frame; [`Error::Bus`] if it failed a whole queue of
    /// transfers, one after the other; [`Error::ClockStopped`] on a bus whose time only `advance` moves.
    pub fn play(
        &mut self,
        source: &mut dyn Read,
        on_done: &mut dyn FnMut(&Completion),
        stop: &AtomicBool,
    ) -> Result<Played, Error> {
        let mut source = Source { reader: source, ended: false, error: None, dropped: 0 };
        let mut run = Run::default();
        self.first.clear();
        while !stop.load(Ordering::Relaxed)
            && let Some(mut block) = self.blocks.take().now()
            && self.fill(&mut block, &mut source)?
        {
            self.first.push(block);
        }
        let mut start = std::mem::replace(&mut self.start, Start::Asap);
        let patience = self.first.len();
        run.played.stopped = patience == 0 && !source.ended;
        for block in self.first.drain(..) {
            match self.endpoint.submit(block, std::mem::replace(&mut start, Start::Continue)) {
                Ok(_) => run.in_flight += 1,
                Err(rejected) => {
                    run.troubles.fail(rejected.error);
                    break;
                }
            }
        }
        while run.in_flight > 0 {
            let done = match self.endpoint.next_completion().wait() {
                Ok(done) => done,
                Err(error) => {
                    run.troubles.fail(error);
                    self.endpoint.abort();
                    while let Some(done) = self.endpoint.next_completion().now() {
                        run.count(&done, self.slot_bytes);
                        on_done(&done);
                    }
                    break;
                }
            };
            run.count(&done, self.slot_bytes);
            on_done(&done);
            if run.troubles.judge(&done, patience) {
                self.endpoint.abort();
            }
            if let Some(follower) = &mut self.follower {
                follower.obey(&mut self.pacer);
            }
            if run.troubles.are_there() || source.ended {
                continue;
            }
            if stop.load(Ordering::Relaxed) {
                run.played.stopped = true;
                continue;
            }
            let mut block = done.into_block();
            match self.fill(&mut block, &mut source) {
                Ok(true) => match self.endpoint.submit(block, Start::Continue) {
                    Ok(_) => run.in_flight += 1,
                    Err(rejected) => run.troubles.fail(rejected.error),
                },
                Ok(false) => {}
                Err(error) => run.troubles.fail(error),
            }
        }
        if let Some(follower) = &mut self.follower {
            follower.stop();
        }
        match run.troubles.into_error().or(source.error) {
            Some(error) => Err(error),
            None => Ok(self.played(run.played, source.dropped)),
        }
    }

    fn played(&self, played: Played, bytes_dropped: u64) -> Played {
        let rates = self.follower.as_ref().and_then(|follower| follower.meter.extremes());
        Played {
            statistics: self.endpoint.statistics(),
            bytes_dropped,
            feedback_values: self.follower.as_ref().map_or(0, |follower| follower.seen),
            feedback_ignored: self.pacer.feedback_ignored(),
            smallest_rate: rates.map(|rates| rates.0),
            largest_rate: rates.map(|rates| rates.1),
            sample_frames_refused: self.pacer.dropped(),
            ..played
        }
    }

    /// Lays out the next transfer and fills it. False if nothing is left to send.
    fn fill(&mut self, block: &mut Block, source: &mut Source<'_>) -> Result<bool, Error> {
        if source.ended {
            return Ok(false);
        }
        self.lengths.clear();
        let mut due = 0;
        for _ in 0..self.packets {
            let length = self.pacer.next_interval() * self.slot_bytes;
            self.lengths.push(length);
            due += length as usize;
        }
        let slot_bytes = self.slot_bytes as usize;
        let mut left = source.fill(block.bytes_mut().get_mut(..due).unwrap_or_default(), slot_bytes);
        if left < due {
            if left == 0 {
                return Ok(false);
            }
            // The end: packets as long as there is something for them, the last one perhaps short.
            let mut used = 0;
            for length in &mut self.lengths {
                *length = (*length).min(left as u32);
                left -= *length as usize;
                used += 1;
                if left == 0 {
                    break;
                }
            }
            self.lengths.truncate(used);
        }
        block.set_packet_lengths(&self.lengths)?;
        Ok(true)
    }
}

/// The pacer for an endpoint that takes `capacity` sample frames in an interval of `period` microframes.
fn pacer(rate: u32, period: u64, capacity: u32) -> Result<Pacer, Error> {
    let unpaceable = |error| Error::Unsupported(format!("{rate} Hz cannot be played: {error}"));
    let needed = (u64::from(rate) * period).div_ceil(8000);
    if needed > u64::from(capacity) {
        return Err(Error::Unsupported(format!(
            "{rate} Hz needs packets of {needed} samples and the endpoint takes {capacity}: choose a lower \
             rate or another format"
        )));
    }
    let rate = SampleRate::hz(rate).map_err(unpaceable)?;
    Pacer::new(rate, period).and_then(|pacer| pacer.with_capacity(capacity)).map_err(unpaceable)
}

/// The source of samples, and how it ended.
struct Source<'a> {
    reader: &'a mut dyn Read,
    ended: bool,
    error: Option<Error>,
    dropped: u64,
}

impl Source<'_> {
    /// Reads until `bytes` is full or the source has ended. Returns how many bytes came: all, or a whole
    /// number of slots.
    fn fill(&mut self, bytes: &mut [u8], slot_bytes: usize) -> usize {
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.reader.read(rest) {
                Ok(0) => {
                    self.ended = true;
                    break;
                }
                // A reader that claims more than there was room for is not believed.
                Ok(read) => filled = (filled + read).min(bytes.len()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.ended = true;
                    let what = "reading the samples to play".into();
                    self.error = Some(Error::System { what, reason: error.to_string() });
                    break;
                }
            }
        }
        let cut = filled % slot_bytes;
        self.dropped += cut as u64;
        filled - cut
    }
}

/// One call of `play`.
#[derive(Default)]
struct Run {
    played: Played,
    in_flight: usize,
    troubles: Troubles,
}

impl Run {
    fn count(&mut self, done: &Completion, slot_bytes: u32) {
        self.in_flight = self.in_flight.saturating_sub(1);
        for packet in done.packets() {
            let samples = packet.length() as u64 / u64::from(slot_bytes);
            match packet.status() {
                PacketStatus::Done => self.played.sample_frames += samples,
                PacketStatus::Unknown => self.played.sample_frames_unknown += samples,
                _ => self.played.sample_frames_lost += samples,
            }
        }
    }
}
