//! Following a device that plays by its own clock.
//!
//! Why is feedback only looked at when an OUT transfer is over, and not on a thread or in a sink? Because
//! only then are packets laid out: a value that comes in between could not be obeyed any sooner. And why
//! does it begin with the first completion, not with the first transfer? So that it cannot disturb where
//! the stream begins: on buses that learn their clock from the first stream, that is to be the OUT stream.

use isoch_core::audio::{Feedback, StreamingFormat};
use isoch_core::pacer::Pacer;

use super::meter::RateMeter;
use super::{StreamOptions, formats, open};
use crate::block::Blocks;
use crate::device::Device;
use crate::endpoint::IsochIn;
use crate::interface::AlternateSetting;
use crate::{Direction, EndpointTiming, Error, PacketStatus, Start};

/// The endpoint that says how fast the device plays.
pub(super) struct Follower {
    endpoint: IsochIn,
    blocks: Blocks,
    kind: Kind,
    /// Values, or packets of samples, that were obeyed.
    pub(super) seen: u64,
    pub(super) meter: RateMeter,
}

enum Kind {
    Explicit,
    Implicit {
        slot_bytes: usize,
        /// Microframes of a packet there, and of one of the player's.
        period: u64,
        player_period: u64,
        /// Samples and microframes of packets that together are not an interval of the player's yet.
        partly: (u64, u64),
    },
}

impl Follower {
    /// Opens what the format names, if anything.
    pub(super) fn open(
        device: &Device,
        setting: &AlternateSetting,
        format: &StreamingFormat,
        rate: u32,
        timing: &EndpointTiming,
        options: &StreamOptions,
    ) -> Result<Option<Self>, Error> {
        let (endpoint, slot_bytes) = match format.feedback {
            Feedback::None => return Ok(None),
            Feedback::Explicit { endpoint, .. } => (setting.isoch_in(endpoint)?, None),
            Feedback::Implicit { endpoint } => {
                let source = recording_format(device, format, rate, endpoint)?;
                let opened = if source.interface == format.interface {
                    setting.isoch_in(endpoint)?
                } else {
                    open::open(device, &source, rate, Direction::In)?.isoch_in(endpoint)?
                };
                (opened, Some(source.slot_bytes() as usize))
            }
        };
        let kind = match slot_bytes {
            None => Kind::Explicit,
            Some(slot_bytes) => Kind::Implicit {
                slot_bytes,
                period: endpoint.timing().period_microframes(),
                player_period: timing.period_microframes(),
                partly: (0, 0),
            },
        };
        let (layout, _) = open::layout(options, endpoint.timing(), endpoint.capabilities(), Direction::In)?;
        let blocks = endpoint.register(layout)?;
        Ok(Some(Follower { endpoint, blocks, kind, seen: 0, meter: RateMeter::default() }))
    }

    /// Obeys what has arrived, and asks for more. An endpoint that fails changes nothing: the rate stays, and
    /// if the device is gone the data endpoint tells.
    pub(super) fn obey(&mut self, pacer: &mut Pacer) {
        while let Some(done) = self.endpoint.next_completion().now() {
            for packet in done.packets().filter(|packet| packet.status() == PacketStatus::Done) {
                self.packet(packet.bytes(), pacer);
            }
            let _ = self.endpoint.submit(done.into_block(), Start::Asap);
        }
        while let Some(block) = self.blocks.take().now() {
            if self.endpoint.submit(block, Start::Asap).is_err() {
                return;
            }
        }
    }

    fn packet(&mut self, bytes: &[u8], pacer: &mut Pacer) {
        match &mut self.kind {
            // Devices send nothing while they have nothing new to say.
            Kind::Explicit if bytes.is_empty() => {}
            Kind::Explicit => {
                if pacer.feedback(bytes).is_ok() {
                    self.seen += 1;
                    self.meter.note(pacer.hz());
                }
            }
            Kind::Implicit { slot_bytes, period, player_period, partly } => {
                let samples = (bytes.len() / *slot_bytes) as u64;
                self.seen += 1;
                self.meter.add(samples, *period);
                partly.0 += samples;
                partly.1 += *period;
                let intervals = partly.1 / *player_period;
                if intervals > 0 {
                    // Periods are powers of two, so nothing is left of them.
                    pacer.implicit(partly.0 as u32, intervals as u32);
                    *partly = (0, partly.1 % *player_period);
                }
            }
        }
    }

    /// Asks for no more.
    pub(super) fn stop(&mut self) {
        self.endpoint.abort();
        while self.endpoint.next_completion().now().is_some() {}
    }
}

/// A format of the recording endpoint that runs at the same rate, the most similar one if there are several.
fn recording_format(
    device: &Device,
    format: &StreamingFormat,
    rate: u32,
    endpoint: u8,
) -> Result<StreamingFormat, Error> {
    let likeness = |other: &StreamingFormat| {
        (other.channels == format.channels, other.subslot_bytes == format.subslot_bytes)
    };
    let found = formats(device)?.formats.into_iter().filter(|other| {
        other.endpoint == endpoint
            && other.rates.contain(rate) != Some(false)
            && (other.interface != format.interface || other.alternate_setting == format.alternate_setting)
    });
    found.max_by_key(likeness).ok_or_else(|| {
        Error::Unsupported(format!(
            "the rate of this format is told by endpoint {endpoint:#04x}, which does not record at {rate} Hz: \
             choose another rate, or play without feedback"
        ))
    })
}
