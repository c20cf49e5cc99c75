//! Endpoint timing: when an endpoint is served and how much it carries then.
//!
//! Why one period in microframes for every speed, when full speed counts frames? Because `bInterval` means
//! four different things, and everything downstream (layouts, placement, frame accounting) would have to
//! know which. Here it is decoded once. Both a frame (1 ms) and a microframe (125 µs) exist at every speed:
//! a full speed endpoint merely has periods of 8 microframes and more.

use std::fmt;
use std::str::FromStr;

use super::descriptors::{Endpoint, TransferType};
use crate::time::MICROFRAMES_PER_FRAME;

/// How fast a device is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Speed {
    /// 1.5 Mbit/s; no isochronous endpoints.
    Low,
    /// 12 Mbit/s; intervals are counted in frames.
    Full,
    /// 480 Mbit/s; intervals are counted in microframes.
    High,
    /// 5 Gbit/s.
    Super,
    /// 10 Gbit/s and more.
    SuperPlus,
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Speed::Low => "low speed",
            Speed::Full => "full speed",
            Speed::High => "high speed",
            Speed::Super => "SuperSpeed",
            Speed::SuperPlus => "SuperSpeedPlus",
        })
    }
}

/// A word that names no speed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no USB speed: use low, full, high, super or super-plus")]
pub struct ParseSpeedError(String);

impl FromStr for Speed {
    type Err = ParseSpeedError;

    /// Reads "full", "fs", "full speed", "super+" and the like, in any case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut word = text.trim().to_ascii_lowercase();
        word.retain(|character| !matches!(character, ' ' | '-' | '_'));
        match word.strip_suffix("speed").unwrap_or(&word) {
            "low" | "ls" => Ok(Speed::Low),
            "full" | "fs" => Ok(Speed::Full),
            "high" | "hs" => Ok(Speed::High),
            "super" | "ss" => Ok(Speed::Super),
            "superplus" | "super+" | "superspeedplus" | "superspeed+" | "ssp" | "ss+" => Ok(Speed::SuperPlus),
            _ => Err(ParseSpeedError(text.to_owned())),
        }
    }
}

/// Why an endpoint has no timing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimingError {
    /// Control and bulk endpoints are served whenever there is time left.
    #[error("the endpoint is neither isochronous nor interrupt, so it has no service interval")]
    NotPeriodic,
    /// Low speed has no isochronous transfers.
    #[error("low speed has no isochronous endpoints: the descriptor is wrong or the speed is")]
    LowSpeedIsochronous,
    /// `bInterval` out of range.
    #[error("bInterval is {interval}, but this endpoint at {speed} allows 1 to {maximum}")]
    Interval {
        /// `bInterval`.
        interval: u8,
        /// The speed it was read at.
        speed: Speed,
        /// The largest value allowed.
        maximum: u8,
    },
    /// `wMaxPacketSize` out of range.
    #[error("wMaxPacketSize says {bytes} bytes, but this endpoint at {speed} allows at most {maximum}")]
    MaxPacketSize {
        /// Its low 11 bits.
        bytes: u16,
        /// The speed it was read at.
        speed: Speed,
        /// The largest value allowed.
        maximum: u16,
    },
    /// Bits 12–11 of `wMaxPacketSize` are 3.
    #[error("wMaxPacketSize {value:#06x} asks for 4 transactions in a microframe, but there are at most 3")]
    ReservedTransactions {
        /// `wMaxPacketSize`.
        value: u16,
    },
    /// `bMaxBurst` out of range.
    #[error("bMaxBurst is {max_burst}, but a burst has at most 16 packets (bMaxBurst 15)")]
    MaxBurst {
        /// `bMaxBurst`.
        max_burst: u8,
    },
    /// The `Mult` field is 3.
    #[error("the Mult field of the SuperSpeed companion is 3, but an interval has at most 3 bursts (Mult 2)")]
    ReservedMult,
    /// A SuperSpeedPlus companion is announced and missing.
    #[error("the SuperSpeed companion announces a SuperSpeedPlus companion (bit 7), but none follows it")]
    MissingSuperSpeedPlusCompanion,
    /// `dwBytesPerInterval` out of range.
    #[error("dwBytesPerInterval is {bytes}, but an interval carries at most 16777215 bytes")]
    BytesPerInterval {
        /// `dwBytesPerInterval`.
        bytes: u32,
    },
}

/// When a periodic endpoint is served, and how much it carries then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EndpointTiming {
    speed: Speed,
    period_microframes: u64,
    bytes_per_interval: u32,
    max_packet_size: u32,
}

/// The largest `dwBytesPerInterval` (USB 3.2 §9.6.8; the limit is the one in Microsoft's usbspec.h).
const MAXIMUM_SUPER_SPEED_PLUS_BYTES: u32 = 0x00ff_ffff;

impl EndpointTiming {
    /// The timing of `endpoint`, and of the companions it carries, on a device connected at `speed`.
    ///
    /// An endpoint that reserves nothing (`wMaxPacketSize` or `wBytesPerInterval` 0) is legal and gets
    /// `bytes_per_interval() == 0`; the layouts refuse it.
    ///
    /// # Errors
    /// It is not periodic, or a field has a value the specification does not allow at this speed.
    pub fn new(speed: Speed, endpoint: &Endpoint) -> Result<EndpointTiming, TimingError> {
        let isochronous = match endpoint.transfer_type() {
            TransferType::Isochronous if speed == Speed::Low => return Err(TimingError::LowSpeedIsochronous),
            TransferType::Isochronous => true,
            TransferType::Interrupt => false,
            TransferType::Control | TransferType::Bulk => return Err(TimingError::NotPeriodic),
        };
        let period_microframes = period(speed, isochronous, endpoint.interval)?;
        // USB 2.0 §9.6.6: bits 10-0 are the size of a packet, whatever the others say.
        let bytes = endpoint.max_packet_size & 0x07ff;
        let maximum = match (speed, isochronous) {
            (Speed::Low, _) => 8,                         // USB 2.0 §5.7.3
            (Speed::Full, false) => 64,                   // USB 2.0 §5.7.3
            (Speed::Full, true) => 1023,                  // USB 2.0 §5.6.3
            (Speed::High, _) => 1024,                     // USB 2.0 §5.6.3, §5.7.3
            (Speed::Super | Speed::SuperPlus, _) => 1024, // USB 3.2 §9.6.6
        };
        if bytes > maximum {
            return Err(TimingError::MaxPacketSize { bytes, speed, maximum });
        }
        let max_packet_size = u32::from(bytes);
        let bytes_per_interval = match speed {
            // One transaction in a frame; bits 12-11 say nothing at these speeds (USB 2.0 §9.6.6).
            Speed::Low | Speed::Full => max_packet_size,
            Speed::High => max_packet_size * transactions(endpoint.max_packet_size)?,
            Speed::Super | Speed::SuperPlus => super_speed_bytes(endpoint, max_packet_size, isochronous)?,
        };
        Ok(EndpointTiming { speed, period_microframes, bytes_per_interval, max_packet_size })
    }

    /// The speed it was computed for.
    #[must_use]
    pub fn speed(&self) -> Speed {
        self.speed
    }

    /// From one service interval to the next, in microframes (125 µs). Never 0; either a divisor of 8 or a
    /// multiple of it.
    #[must_use]
    pub fn period_microframes(&self) -> u64 {
        self.period_microframes
    }

    /// The most bytes of one service interval: what the descriptors reserve.
    #[must_use]
    pub fn bytes_per_interval(&self) -> u32 {
        self.bytes_per_interval
    }

    /// The most bytes of one bus transaction: the low 11 bits of `wMaxPacketSize`.
    #[must_use]
    pub fn max_packet_size(&self) -> u32 {
        self.max_packet_size
    }

    /// Service intervals in every frame: 8, 4, 2 or 1. `None` if a period is longer than a frame.
    #[must_use]
    pub fn packets_per_frame(&self) -> Option<u32> {
        if self.period_microframes > MICROFRAMES_PER_FRAME {
            return None;
        }
        u32::try_from(MICROFRAMES_PER_FRAME / self.period_microframes).ok()
    }

    /// Service intervals in `frames` frames that start with an interval. `None` if that is no whole number
    /// (a period longer than a frame, and `frames` no multiple of it) or does not fit.
    #[must_use]
    pub fn packets_in_frames(&self, frames: u64) -> Option<u64> {
        let microframes = frames.checked_mul(MICROFRAMES_PER_FRAME)?;
        (microframes % self.period_microframes == 0).then_some(microframes / self.period_microframes)
    }

    /// The most bytes of one frame. `None` if a period is longer than a frame.
    #[must_use]
    pub fn bytes_per_frame(&self) -> Option<u64> {
        Some(u64::from(self.packets_per_frame()?) * u64::from(self.bytes_per_interval))
    }

    /// The first interval at or after `microframe`, where intervals start at `phase`, `phase` + period, and
    /// so on (and before: only `phase` modulo the period matters). At the end of 64 bits: `u64::MAX`.
    #[must_use]
    pub fn align_up(&self, microframe: u64, phase: u64) -> u64 {
        let period = self.period_microframes;
        let late = (microframe % period + period - phase % period) % period;
        if late == 0 { microframe } else { microframe.saturating_add(period - late) }
    }

    /// The microframe of the first interval in `frame`, where intervals start at `phase`.
    ///
    /// # Errors
    /// [`OffPhase`]: the period is longer than a frame and no interval starts in this one. Periods up to a
    /// frame always have one.
    pub fn first_in_frame(&self, frame: u64, phase: u64) -> Result<u64, OffPhase> {
        let start = frame.saturating_mul(MICROFRAMES_PER_FRAME);
        let first = self.align_up(start, phase);
        let next = first / MICROFRAMES_PER_FRAME;
        if next == frame { Ok(first) } else { Err(OffPhase { next }) }
    }
}

/// A frame in which an endpoint with a long period is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the endpoint is not served in that frame: its next interval starts in frame {next}, ask for that")]
pub struct OffPhase {
    /// The first frame after it in which the endpoint is served.
    pub next: u64,
}

/// Microframes from one interval to the next.
fn period(speed: Speed, isochronous: bool, interval: u8) -> Result<u64, TimingError> {
    // USB 2.0 Table 9-13: interrupt endpoints at low and full speed count frames, all others are exponents.
    let counted = speed <= Speed::Full && !isochronous;
    let maximum = if counted { 255 } else { 16 };
    if interval == 0 || interval > maximum {
        return Err(TimingError::Interval { interval, speed, maximum });
    }
    if counted {
        // What the device asks for. Host controllers poll at the next lower power of two.
        return Ok(u64::from(interval) * MICROFRAMES_PER_FRAME);
    }
    let unit = if speed <= Speed::Full { MICROFRAMES_PER_FRAME } else { 1 };
    Ok(unit << (interval - 1)) // USB 2.0 Table 9-13, USB 3.2 §9.6.6: 2^(bInterval-1)
}

/// Transactions in a microframe at high speed.
fn transactions(max_packet_size: u16) -> Result<u32, TimingError> {
    match (max_packet_size >> 11) & 0x03 {
        3 => Err(TimingError::ReservedTransactions { value: max_packet_size }), // USB 2.0 §9.6.6: 11b reserved
        additional => Ok(1 + u32::from(additional)),
    }
}

/// Bytes of an interval from SuperSpeed on.
fn super_speed_bytes(
    endpoint: &Endpoint,
    max_packet_size: u32,
    isochronous: bool,
) -> Result<u32, TimingError> {
    // A device without the companion breaks USB 3.2 §9.6.7; one packet is what it can carry at least.
    let Some(companion) = &endpoint.super_speed else { return Ok(max_packet_size) };
    // USB 3.2 §9.6.7, bmAttributes bit 7: the SuperSpeedPlus companion replaces Mult and wBytesPerInterval.
    if isochronous && companion.attributes & 0x80 != 0 {
        let Some(plus) = &endpoint.super_speed_plus else {
            return Err(TimingError::MissingSuperSpeedPlusCompanion);
        };
        let bytes = plus.bytes_per_interval; // USB 3.2 §9.6.8
        if bytes > MAXIMUM_SUPER_SPEED_PLUS_BYTES {
            return Err(TimingError::BytesPerInterval { bytes });
        }
        return Ok(bytes);
    }
    let max_burst = companion.max_burst;
    if max_burst > 15 {
        return Err(TimingError::MaxBurst { max_burst }); // USB 3.2 §9.6.7: 0 to 15
    }
    let mult = if isochronous { u32::from(companion.attributes & 0x03) } else { 0 };
    if mult > 2 {
        return Err(TimingError::ReservedMult); // USB 3.2 §9.6.7: 0 to 2
    }
    // USB 3.2 §9.6.7: what an interval can carry, 49 152 bytes at most. A device that reserves more than it
    // can send is held to what it can send, as Linux does.
    let possible = max_packet_size * (u32::from(max_burst) + 1) * (mult + 1);
    Ok(u32::from(companion.bytes_per_interval).min(possible))
}
