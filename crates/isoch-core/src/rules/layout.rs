//! Packet layouts: which bytes of a block go into which service interval.
//!
//! Why functions over a block and not a builder? A block's packet table is allocated once and refilled for
//! every transfer, so a layout must neither allocate nor leave a half-filled table behind: each function
//! here checks everything first and only then touches the block. On an error the block is as it was.
//!
//! | layout | for |
//! |---|---|
//! | [`full_then_short`] | a byte length, as WinUSB has it: full packets, the last one short |
//! | [`full_packets`] | IN: room for everything an interval can bring |
//! | [`at_stride`] | IN with a length per packet: packet *n* always at *n* × bytes per interval |
//! | [`packed`] | OUT with a length per packet: packet after packet, without holes |
//! | [`filler`] | intervals that carry nothing |

use super::timing::{EndpointTiming, OffPhase};
use crate::block::Block;
use crate::time::MICROFRAMES_PER_FRAME;

/// Why packets cannot be laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// A transfer has at least one packet.
    #[error(
        "a transfer of no packets takes no time: lay out at least one, of length 0 if nothing is to be sent"
    )]
    NoPackets,
    /// The endpoint reserves no bandwidth.
    #[error(
        "the endpoint carries 0 bytes in an interval: select an alternate setting that reserves bandwidth"
    )]
    NoBandwidth,
    /// A packet is longer than an interval carries.
    #[error(
        "packet {packet} has {length} bytes, but the endpoint carries at most {maximum} in an interval: \
         split the data or select another alternate setting"
    )]
    PacketTooLong {
        /// Which packet, counted from 0.
        packet: usize,
        /// Its length in bytes.
        length: u32,
        /// Bytes an interval carries.
        maximum: u32,
    },
    /// The block's packet table is too small.
    #[error(
        "{packets} packets do not fit a block made for {capacity}: register blocks for more packets, or send less at once"
    )]
    TooManyPackets {
        /// Packets wanted.
        packets: u64,
        /// Packets the block has room for.
        capacity: usize,
    },
    /// The packets reach beyond the block's memory.
    #[error(
        "the packets end at byte {end}, but the block has {memory}: register larger blocks, or send less at once"
    )]
    BeyondMemory {
        /// The byte after the last.
        end: u64,
        /// Bytes of the block.
        memory: usize,
    },
}

/// Why a transfer cannot start where it was asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Frames of it are already taken by a transfer before it.
    #[error(
        "frame {start} is taken by an earlier transfer: start in frame {next_free} or later, or use Continue"
    )]
    Overlap {
        /// The frame asked for.
        start: u64,
        /// The first frame that is free.
        next_free: u64,
    },
    /// No bus will ever get there, and its microframes could not be counted.
    #[error("frame {start} never comes: start at most some seconds after the current frame of the clock")]
    NeverComes {
        /// The frame asked for.
        start: u64,
    },
    /// The endpoint's period is longer than a frame, and this frame has no interval.
    #[error(transparent)]
    OffPhase(#[from] OffPhase),
}

/// Two million years: beyond it, microframes and what is added to them would not fit 64 bits.
const LAST_FRAME: u64 = 1 << 56;

/// Lays out `length` bytes from `offset` on as full packets and, if something is left, a short last one.
/// Returns how many packets that is.
///
/// # Errors
/// See [`LayoutError`]; a `length` of 0 has no packets.
pub fn full_then_short(
    block: &mut Block,
    timing: &EndpointTiming,
    offset: u32,
    length: u32,
) -> Result<u32, LayoutError> {
    let stride = bandwidth(timing)?;
    let packets = packets_for_bytes(timing, u64::from(length)).unwrap_or(0);
    fits(block, packets, u64::from(offset) + u64::from(length))?;
    let end = offset + length; // fits in the memory, whose packets are addressed with 32 bits
    block.clear();
    let mut at = offset;
    while at < end {
        let packet = stride.min(end - at);
        block.push_packet(at, packet);
        at += packet;
    }
    Ok(packets as u32) // no more packets than bytes
}

/// Lays out `packets` packets from `offset` on, each with room for all that an interval can bring.
///
/// # Errors
/// See [`LayoutError`].
pub fn full_packets(
    block: &mut Block,
    timing: &EndpointTiming,
    offset: u32,
    packets: u32,
) -> Result<(), LayoutError> {
    let stride = bandwidth(timing)?;
    fits(block, u64::from(packets), u64::from(offset) + u64::from(stride) * u64::from(packets))?;
    block.clear();
    (0..packets).for_each(|packet| {
        block.push_packet(offset + packet * stride, stride);
    });
    Ok(())
}

/// Lays out one packet per length, packet *n* at `offset` + *n* × bytes per interval.
///
/// For IN: a packet's place does not depend on the lengths before it, so a reader finds interval *n* without
/// adding up. The bytes between a short packet and the next stay untouched.
///
/// # Errors
/// See [`LayoutError`].
pub fn at_stride(
    block: &mut Block,
    timing: &EndpointTiming,
    offset: u32,
    lengths: &[u32],
) -> Result<(), LayoutError> {
    let stride = u64::from(bandwidth(timing)?);
    let last = lengths.last().copied().unwrap_or(0);
    allowed(timing, lengths)?;
    let before_last = stride * (lengths.len() as u64).saturating_sub(1);
    fits(block, lengths.len() as u64, u64::from(offset) + before_last + u64::from(last))?;
    block.clear();
    for (packet, length) in (0u64..).zip(lengths) {
        // `fits` has compared the end of the last packet with the memory: no offset is cut here.
        block.push_packet((u64::from(offset) + packet * stride) as u32, *length);
    }
    Ok(())
}

/// Lays out one packet per length, one directly behind the other from `offset` on.
///
/// For OUT: the data stands in the block as one run of bytes, however it is cut.
///
/// # Errors
/// See [`LayoutError`].
pub fn packed(
    block: &mut Block,
    timing: &EndpointTiming,
    offset: u32,
    lengths: &[u32],
) -> Result<(), LayoutError> {
    let total = allowed(timing, lengths)?;
    fits(block, lengths.len() as u64, u64::from(offset) + total)?;
    block.clear();
    let mut at = offset;
    for length in lengths {
        block.push_packet(at, *length);
        at += length;
    }
    Ok(())
}

/// Lays out `packets` packets of no bytes: the intervals pass, and carry nothing.
///
/// OUT only: they do appear on the wire, as zero-length packets.
///
/// # Errors
/// [`LayoutError::NoPackets`] or [`LayoutError::TooManyPackets`].
pub fn filler(block: &mut Block, packets: u32) -> Result<(), LayoutError> {
    fits(block, u64::from(packets), 0)?;
    block.clear();
    (0..packets).for_each(|_| {
        block.push_packet(0, 0);
    });
    Ok(())
}

/// Checks that every length fits an interval, and adds them up.
fn allowed(timing: &EndpointTiming, lengths: &[u32]) -> Result<u64, LayoutError> {
    let maximum = timing.bytes_per_interval();
    match lengths.iter().position(|length| *length > maximum) {
        Some(packet) => {
            let length = lengths.get(packet).copied().unwrap_or(0);
            Err(LayoutError::PacketTooLong { packet, length, maximum })
        }
        None => Ok(lengths.iter().map(|length| u64::from(*length)).sum()),
    }
}

/// Bytes of an interval, if there are any.
fn bandwidth(timing: &EndpointTiming) -> Result<u32, LayoutError> {
    match timing.bytes_per_interval() {
        0 => Err(LayoutError::NoBandwidth),
        bytes => Ok(bytes),
    }
}

/// Checks packets and their end against the block.
fn fits(block: &Block, packets: u64, end: u64) -> Result<(), LayoutError> {
    let (capacity, memory) = (block.packet_capacity(), block.bytes().len());
    if packets == 0 {
        return Err(LayoutError::NoPackets);
    }
    if packets > capacity as u64 {
        return Err(LayoutError::TooManyPackets { packets, capacity });
    }
    // A packet's offset has 32 bits, whatever the memory has.
    if end > memory as u64 || end > u64::from(u32::MAX) {
        return Err(LayoutError::BeyondMemory { end, memory });
    }
    Ok(())
}

/// Packets that `bytes` bytes take. `None` if the endpoint carries nothing.
#[must_use]
pub fn packets_for_bytes(timing: &EndpointTiming, bytes: u64) -> Option<u64> {
    match timing.bytes_per_interval() {
        0 => None,
        stride => Some(bytes.div_ceil(u64::from(stride))),
    }
}

/// The most bytes of `frames` frames. `None` where [`EndpointTiming::packets_in_frames`] is, or too many.
#[must_use]
pub fn bytes_for_frames(timing: &EndpointTiming, frames: u64) -> Option<u64> {
    timing.packets_in_frames(frames)?.checked_mul(u64::from(timing.bytes_per_interval()))
}

/// The interval after `packets` intervals, the first of which starts in microframe `start`. At the end of
/// 64 bits: `u64::MAX`.
#[must_use]
pub fn next_microframe(timing: &EndpointTiming, start: u64, packets: u64) -> u64 {
    start.saturating_add(packets.saturating_mul(timing.period_microframes()))
}

/// The first frame that is free after `packets` packets from microframe `start` on.
///
/// A frame in which a packet starts is used whole, even where microframes of it are left. An interval longer
/// than a frame uses all the frames it spans.
#[must_use]
pub fn next_frame(timing: &EndpointTiming, start: u64, packets: u64) -> u64 {
    if packets == 0 {
        return start / MICROFRAMES_PER_FRAME;
    }
    let last = next_microframe(timing, start, packets - 1) / MICROFRAMES_PER_FRAME;
    let next = next_microframe(timing, start, packets) / MICROFRAMES_PER_FRAME;
    next.max(last + 1)
}

/// Frames that `packets` packets from microframe `start` on use, the first and the last one included.
#[must_use]
pub fn frames_used(timing: &EndpointTiming, start: u64, packets: u64) -> u64 {
    next_frame(timing, start, packets) - start / MICROFRAMES_PER_FRAME
}

/// Checks that a transfer may start in `frame`, and tells the microframe of its first interval.
///
/// `phase` is any microframe in which the endpoint is known to be served (0 if its period divides a frame);
/// `next_free` is the first frame after the last accepted transfer, if there is one.
///
/// # Errors
/// See [`StartError`].
pub fn check_start(
    timing: &EndpointTiming,
    phase: u64,
    frame: u64,
    next_free: Option<u64>,
) -> Result<u64, StartError> {
    match next_free {
        _ if frame > LAST_FRAME => Err(StartError::NeverComes { start: frame }),
        Some(next_free) if frame < next_free => Err(StartError::Overlap { start: frame, next_free }),
        _ => Ok(timing.first_in_frame(frame, phase)?),
    }
}
