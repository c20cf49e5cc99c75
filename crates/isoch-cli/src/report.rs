//! What became of a stream, as JSON.
//!
//! Why structures of their own, and not the library's made serialisable? The library's types follow its
//! code, and this is a file format that other programs read: a field keeps its name and its meaning, or
//! [`SCHEMA_VERSION`] rises. Nothing here is computed from what was asked; what the bus did not tell is
//! `null`.

use isoch::{
    Capabilities, ClockSupport, Device, DeviceInformation, FrameSource, Lengths, Results, StartSupport,
    Statistics,
};
use serde::Serialize;

use crate::tally::{FailureRecord, GapRecord, Tally};

/// Rises when a field changes its name or its meaning; new fields do not raise it.
pub(crate) const SCHEMA_VERSION: u32 = 1;

/// The whole report.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The version of this format.
    pub(crate) schema_version: u32,
    /// `play`, `record`, `write` or `read`.
    pub(crate) command: &'static str,
    /// How it went, in a word.
    pub(crate) result: Verdict,
    /// What ended it, if it was an error.
    pub(crate) error: Option<String>,
    /// Whether it was ended by a signal, as Ctrl-C.
    pub(crate) interrupted: bool,
    /// The device.
    pub(crate) device: DeviceReport,
    /// The endpoint, and what went over it.
    pub(crate) stream: StreamReport,
    /// What this bus can do and tell for this endpoint.
    pub(crate) capabilities: CapabilitiesReport,
    /// The frame that was asked for; `null` for "as soon as possible".
    pub(crate) requested_frame: Option<u64>,
    /// The first frame that was used; `null` if the bus does not tell.
    pub(crate) first_frame: Option<u64>,
    /// The frame after the last one used.
    pub(crate) next_frame: Option<u64>,
    /// From the first to the next, lost ones included.
    pub(crate) frame_count: Option<u64>,
    /// How the frames are known, at worst: `reported`, `counted`, `estimated` or `assumed`.
    pub(crate) frame_source: Option<&'static str>,
    /// By how many frames they may be wrong, at worst.
    pub(crate) uncertainty: u64,
    /// `frame_count` in seconds of bus time.
    pub(crate) duration_seconds: Option<f64>,
    /// Transfers that ended, in whatever way.
    pub(crate) transfers: u64,
    /// Packets (one in each service interval) in them.
    pub(crate) packets: u64,
    /// Bytes that went over the bus, as far as it tells.
    pub(crate) bytes: u64,
    /// Bytes handed to the bus (OUT), or room offered to it (IN).
    pub(crate) bytes_handed_over: u64,
    /// Lost frames, in order. Neighbours with the same cause are one.
    pub(crate) gaps: Vec<GapReport>,
    /// How many there were altogether.
    pub(crate) gap_count: u64,
    /// How many of those are not in `gaps`, to bound its size.
    pub(crate) gaps_left_out: u64,
    /// Service intervals lost in all gaps.
    pub(crate) intervals_lost: u64,
    /// Where packets went wrong on the bus: the first runs of frames, as far as the bus tells.
    pub(crate) failures: Vec<FailureReport>,
    /// Transfers of which the bus does not tell whether anything was lost.
    pub(crate) unknowable: u64,
    /// Transfers that did not begin on the frame that was asked for.
    pub(crate) misplaced: u64,
    /// Packets handed over too late.
    pub(crate) late: u64,
    /// Packets that the host controller missed.
    pub(crate) missed: u64,
    /// Packets that went wrong on the bus.
    pub(crate) failed: u64,
    /// Packets that were cancelled before their interval.
    pub(crate) cancelled: u64,
    /// Packets of which the bus does not tell what became of them.
    pub(crate) unknown: u64,
    /// Transfers that came after the queue had run dry.
    pub(crate) late_submits: u64,
    /// Transfers that the bus failed as a whole.
    pub(crate) failed_transfers: u64,
    /// Transfers whose start frame was too far away.
    pub(crate) refused_transfers: u64,
    /// The fewest frames between handing a transfer over and its first frame, where both are known.
    pub(crate) smallest_lead: Option<u64>,
    /// From the host learning of a completion to this program taking it. Empty on emulated time.
    pub(crate) wake_up: WakeUpReport,
    /// How often the machine held up the emulated bus: its time stood still then. `null` on a real bus.
    pub(crate) emulator_stalls: Option<StallsReport>,
}

/// How a stream went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// Everything is known to be where and when it should.
    Placed,
    /// Nothing is known to be lost, and this bus cannot tell.
    Unverifiable,
    /// Something was lost.
    Lost,
    /// An error ended it.
    Failed,
}

/// A device.
#[derive(Debug, Serialize)]
pub(crate) struct DeviceReport {
    address: String,
    vendor_id: u16,
    product_id: u16,
    speed: String,
    manufacturer: Option<String>,
    product: Option<String>,
    serial_number: Option<String>,
    /// What an emulated device counted on its side of the wire.
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    facts: serde_json::Map<String, serde_json::Value>,
}

impl DeviceReport {
    pub(crate) fn new(device: &Device, facts: &[(&'static str, i64)]) -> Self {
        let facts = facts.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        DeviceReport { facts, ..device.information().into() }
    }
}

impl From<&DeviceInformation> for DeviceReport {
    fn from(information: &DeviceInformation) -> Self {
        DeviceReport {
            address: information.address.clone(),
            vendor_id: information.vendor_id,
            product_id: information.product_id,
            speed: information.speed.to_string(),
            manufacturer: information.manufacturer.clone(),
            product: information.product.clone(),
            serial_number: information.serial_number.clone(),
            facts: serde_json::Map::new(),
        }
    }
}

/// An endpoint and what went over it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct StreamReport {
    pub(crate) interface: u8,
    pub(crate) alternate_setting: u8,
    /// With the direction in bit 7.
    pub(crate) endpoint: u8,
    /// `out` or `in`.
    pub(crate) direction: &'static str,
    /// From one service interval to the next, in units of 125 µs.
    pub(crate) period_microframes: u64,
    /// The most bytes in one.
    pub(crate) bytes_per_interval: u32,
    /// The samples, if it was audio.
    pub(crate) format: Option<FormatReport>,
}

/// Samples.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct FormatReport {
    /// Per second.
    pub(crate) rate: u32,
    pub(crate) bits: u8,
    pub(crate) channels: u8,
}

/// A run of lost frames.
#[derive(Debug, Serialize)]
pub(crate) struct GapReport {
    /// `null` if the bus tells that something was lost, and not where.
    first_frame: Option<u64>,
    frame_count: u64,
    /// Service intervals lost in them.
    intervals: u64,
    /// `queue_ran_dry`, `late` or `host_missed`.
    cause: &'static str,
    /// By how many frames its length may be wrong.
    uncertainty: u64,
}

impl From<&GapRecord> for GapReport {
    fn from(gap: &GapRecord) -> Self {
        GapReport {
            first_frame: gap.placed.then_some(gap.frames.start),
            frame_count: gap.frames.end - gap.frames.start,
            intervals: gap.intervals,
            cause: match gap.cause {
                isoch::GapCause::QueueRanDry => "queue_ran_dry",
                isoch::GapCause::Late => "late",
                isoch::GapCause::HostMissed => "host_missed",
                _ => "other",
            },
            uncertainty: gap.uncertainty,
        }
    }
}

/// A run of frames in which packets failed.
#[derive(Debug, Serialize)]
pub(crate) struct FailureReport {
    first_frame: u64,
    frame_count: u64,
    packets: u64,
}

impl From<&FailureRecord> for FailureReport {
    fn from(run: &FailureRecord) -> Self {
        FailureReport {
            first_frame: run.frames.start,
            frame_count: run.frames.end - run.frames.start,
            packets: run.packets,
        }
    }
}

/// What a bus can do and tell.
#[derive(Debug, Serialize)]
pub(crate) struct CapabilitiesReport {
    /// `exact`, `anchored` or `asap_only`.
    start: &'static str,
    /// How frames are known at best.
    frames: &'static str,
    /// `per_packet` or `full_then_short`.
    lengths: &'static str,
    /// `per_packet`, `whole` or `none`.
    results: &'static str,
    /// Whether lost frames can be known.
    gaps: bool,
    /// `exact`, `estimated` or `none`.
    clock: &'static str,
    /// How many frames ahead a transfer may start; `null`: any.
    horizon: Option<u64>,
    /// The fewest frames from now to a start that can be served.
    lead: u64,
}

impl From<&Capabilities> for CapabilitiesReport {
    fn from(capabilities: &Capabilities) -> Self {
        CapabilitiesReport {
            start: match capabilities.start {
                StartSupport::Exact => "exact",
                StartSupport::Anchored => "anchored",
                StartSupport::AsapOnly => "asap_only",
            },
            frames: source(capabilities.frames),
            lengths: match capabilities.lengths {
                Lengths::PerPacket => "per_packet",
                Lengths::FullThenShort => "full_then_short",
            },
            results: match capabilities.results {
                Results::PerPacket => "per_packet",
                Results::Whole => "whole",
                Results::None => "none",
            },
            gaps: capabilities.gaps,
            clock: match capabilities.clock {
                ClockSupport::Exact => "exact",
                ClockSupport::Estimated => "estimated",
                ClockSupport::None => "none",
            },
            horizon: capabilities.horizon,
            lead: capabilities.lead,
        }
    }
}

/// The word for how frames are known.
pub(crate) fn source(source: FrameSource) -> &'static str {
    match source {
        FrameSource::Reported => "reported",
        FrameSource::Counted => "counted",
        FrameSource::Estimated => "estimated",
        FrameSource::Assumed => "assumed",
        _ => "other",
    }
}

/// How long completions lay before they were taken.
#[derive(Debug, Serialize)]
pub(crate) struct WakeUpReport {
    count: u64,
    longest_microseconds: f64,
    /// By powers of two of a microsecond; empty ones are left out.
    histogram: Vec<WakeUpBucket>,
}

#[derive(Debug, Serialize)]
struct WakeUpBucket {
    /// `null`: without limit.
    below_microseconds: Option<u64>,
    count: u64,
}

impl WakeUpReport {
    fn new(statistics: &Statistics) -> Self {
        let histogram = &statistics.wake_up;
        let last = histogram.counts.len() - 1;
        let counts = histogram.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        WakeUpReport {
            count: histogram.total(),
            longest_microseconds: histogram.longest.as_secs_f64() * 1e6,
            histogram: counts
                .map(|(index, count)| WakeUpBucket {
                    below_microseconds: (index < last).then(|| 1 << index),
                    count: *count,
                })
                .collect(),
        }
    }
}

/// How often, and how long, an emulated bus was held up.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct StallsReport {
    pub(crate) count: u64,
    pub(crate) total_milliseconds: f64,
    pub(crate) longest_milliseconds: f64,
}

impl StallsReport {
    pub(crate) fn of(device: &Device) -> Option<Self> {
        let stalls = device.emulator_stalls()?;
        Some(StallsReport {
            count: stalls.count,
            total_milliseconds: stalls.total.as_secs_f64() * 1e3,
            longest_milliseconds: stalls.longest.as_secs_f64() * 1e3,
        })
    }
}

/// What a report is made of.
pub(crate) struct Parts<'a> {
    pub(crate) command: &'static str,
    pub(crate) verdict: Verdict,
    pub(crate) error: Option<String>,
    pub(crate) device: DeviceReport,
    pub(crate) stream: StreamReport,
    pub(crate) capabilities: &'a Capabilities,
    pub(crate) requested_frame: Option<u64>,
    pub(crate) tally: &'a Tally,
    pub(crate) statistics: &'a Statistics,
    pub(crate) emulator_stalls: Option<StallsReport>,
}

impl Report {
    pub(crate) fn new(parts: Parts<'_>) -> Self {
        let tally = parts.tally;
        let frames = tally.frames();
        let frame_count = frames.as_ref().map(|frames| frames.end - frames.start);
        Report {
            schema_version: SCHEMA_VERSION,
            command: parts.command,
            result: parts.verdict,
            error: parts.error,
            interrupted: crate::interrupt::stopped(),
            device: parts.device,
            stream: parts.stream,
            capabilities: parts.capabilities.into(),
            requested_frame: parts.requested_frame,
            first_frame: frames.as_ref().map(|frames| frames.start),
            next_frame: frames.as_ref().map(|frames| frames.end),
            frame_count,
            frame_source: tally.source().map(source),
            uncertainty: tally.uncertainty,
            duration_seconds: frame_count.map(|frames| frames as f64 / 1e3),
            transfers: tally.transfers,
            packets: tally.packets,
            bytes: tally.bytes,
            bytes_handed_over: tally.bytes_handed_over,
            gaps: tally.gaps().iter().map(GapReport::from).collect(),
            gap_count: tally.gap_count,
            gaps_left_out: tally.gap_count.saturating_sub(tally.gaps().len() as u64),
            intervals_lost: tally.intervals_lost,
            failures: tally.failures().iter().map(FailureReport::from).collect(),
            unknowable: tally.unknowable,
            misplaced: tally.misplaced,
            late: tally.late,
            missed: tally.missed,
            failed: tally.failed,
            cancelled: tally.cancelled,
            unknown: tally.unknown,
            late_submits: tally.late_submits,
            failed_transfers: tally.failed_transfers,
            refused_transfers: tally.refused_transfers,
            smallest_lead: parts.statistics.smallest_lead,
            wake_up: WakeUpReport::new(parts.statistics),
            emulator_stalls: parts.emulator_stalls,
        }
    }
}
