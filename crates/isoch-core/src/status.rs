//! The words in which every bus reports.
//!
//! Why so many, where libusb has a status and a length? Because buses differ in what they *know*. A
//! result that a bus does not give must not be filled in with what was asked (libusb on Windows returns
//! the requested length as the sent one): here not knowing has values of its own.

use std::fmt;
use std::ops::Range;

/// When a transfer begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// In the first interval of this frame. Frames between the previous transfer and this one are not
    /// owed, so they are no gap. Too late, its packets are late: never moved to another frame.
    At(u64),
    /// As soon as the bus can. Behind transfers that are still queued it follows without a gap; after a
    /// pause it begins a new stream, and the pause is no gap.
    Asap,
    /// The interval after the previous transfer. If the queue ran dry in between, the stream goes on as
    /// soon as the bus can, and every frame in between is reported as lost.
    Continue,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PacketStatus {
    /// Not yet known.
    Pending,
    /// Served. OUT: the host sent all of it (nobody acknowledges isochronous data, so this does not say
    /// that the device got it). IN: `actual` bytes arrived, perhaps fewer than there was room for.
    Done,
    /// Not served: it was handed over after its interval had begun.
    Late,
    /// Not served: the host controller missed its interval.
    Missed,
    /// Served, and went wrong on the bus.
    Failed(PacketError),
    /// Not served, because its transfer was cancelled.
    Cancelled,
    /// The system does not say.
    Unknown,
}

impl PacketStatus {
    /// Whether the host is known to have left the packet's interval unserved against the user's will.
    #[must_use]
    pub fn is_lost(self) -> bool {
        matches!(self, PacketStatus::Late | PacketStatus::Missed)
    }
}

/// Why a packet that was served failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PacketError {
    /// The checksum did not match.
    Crc,
    /// The device did not answer, or not in the right form.
    NoResponse,
    /// The device sent more than its descriptor allows.
    Babble,
    /// The host's memory could not keep up.
    HostOverrun,
    /// Something else, by the system's own code.
    Other(i32),
}

/// How a transfer ended, as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// It ran. Its packets tell the rest.
    Completed,
    /// It was cancelled; packets that ran before that keep their results.
    Cancelled,
    /// All of it came too late: no packet was served.
    Late,
    /// The bus refused its start frame: too far from now.
    BadStartFrame,
    /// The device was unplugged; packets that ran before that keep their results.
    DeviceGone,
    /// The bus failed it, by the system's own code.
    Failed(i32),
}

/// How the frames of a transfer are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FrameSource {
    /// The bus told them.
    Reported,
    /// Counted on, interval by interval, from a transfer whose frames are known, in a queue that never
    /// ran dry in between.
    Counted,
    /// Computed from the clock; the uncertainty is stated beside it.
    Estimated,
    /// The system took the frames that were asked for and will never confirm them.
    Assumed,
}

impl fmt::Display for FrameSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FrameSource::Reported => "reported",
            FrameSource::Counted => "counted",
            FrameSource::Estimated => "estimated",
            FrameSource::Assumed => "assumed",
        })
    }
}

/// Why frames were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GapCause {
    /// The queue was empty: the next transfer was submitted too late to follow the previous one.
    QueueRanDry,
    /// A transfer was handed over after its first interval had begun.
    Late,
    /// The host controller missed the interval.
    HostMissed,
}

impl fmt::Display for GapCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            GapCause::QueueRanDry => "the queue ran dry",
            GapCause::Late => "submitted too late",
            GapCause::HostMissed => "the host controller missed them",
        })
    }
}

/// A run of frames in which service intervals were owed and, as far as the host knows, not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The frames. At least one interval of each was lost.
    pub frames: Range<u64>,
    /// How many service intervals were lost in them (fewer than all where only a part of a frame was).
    pub intervals: u64,
    /// By how many frames its length may be wrong; 0 where the bus reports frames.
    pub uncertainty: u64,
    /// Why.
    pub cause: GapCause,
}

/// Whether frames were lost before or in a transfer.
///
/// Frames skipped by an explicit [`Start::At`] are no gap. Loss on the wire of an OUT packet is invisible
/// to every host and never part of this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GapReport {
    /// Nothing was lost.
    None,
    /// This was lost: from the first lost frame to the last, with all intervals counted. Where a transfer
    /// has several gaps, they can be listed one by one.
    Lost(Gap),
    /// The system does not tell enough to know.
    Unknowable,
}

/// How a bus starts transfers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StartSupport {
    /// On the named frame.
    Exact,
    /// Not by itself: a placer puts transfers on frames by lead or filler, and measures where they landed.
    Anchored,
    /// As soon as possible and behind one another, no more.
    AsapOnly,
}

/// Which packet lengths a bus can send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lengths {
    /// Any length for every packet.
    PerPacket,
    /// Full packets, then a short last one.
    FullThenShort,
}

/// What a bus tells of a finished OUT transfer. (For IN, every bus tells each packet.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Results {
    /// Each packet's status and length.
    PerPacket,
    /// Only that the transfer ended well.
    Whole,
    /// Nothing that can be relied on.
    None,
}

/// How well a bus knows its current frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClockSupport {
    /// It reads the controller's frame counter.
    Exact,
    /// It is inferred from completions; ask the clock for its uncertainty.
    Estimated,
    /// Not at all.
    None,
}

/// What a bus can do for one endpoint, and what it tells. Never more than it can keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// How transfers start.
    pub start: StartSupport,
    /// How the frames of completed transfers are known in a stream that never ran dry.
    pub frames: FrameSource,
    /// Which packet lengths can be sent.
    pub lengths: Lengths,
    /// What is told of each packet.
    pub results: Results,
    /// Whether lost frames can be known.
    pub gaps: bool,
    /// How the current frame is known.
    pub clock: ClockSupport,
    /// How many frames ahead of now a transfer may start or end at the bus; the library holds back what
    /// is further away. `None`: any.
    pub horizon: Option<u64>,
    /// The smallest number of frames between now and a start that the bus can still serve.
    pub lead: u64,
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = match self.start {
            StartSupport::Exact => "exact",
            StartSupport::Anchored => "anchored",
            StartSupport::AsapOnly => "as soon as possible only",
        };
        let lengths = match self.lengths {
            Lengths::PerPacket => "per packet",
            Lengths::FullThenShort => "full, then one short",
        };
        let results = match self.results {
            Results::PerPacket => "per packet",
            Results::Whole => "whole transfer",
            Results::None => "none",
        };
        let clock = match self.clock {
            ClockSupport::Exact => "exact",
            ClockSupport::Estimated => "estimated",
            ClockSupport::None => "none",
        };
        let gaps = if self.gaps { "reported" } else { "unknowable" };
        write!(
            f,
            "start: {start} · frames: {} · lengths: {lengths} · results: {results} · gaps: {gaps} · clock: {clock}",
            self.frames
        )
    }
}
