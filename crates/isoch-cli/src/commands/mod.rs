//! The commands, one file each.

pub(crate) mod describe;
pub(crate) mod doctor;
pub(crate) mod list;
pub(crate) mod play;
pub(crate) mod read;
pub(crate) mod record;
pub(crate) mod run;
pub(crate) mod write;

use std::time::Duration;

use isoch::EndpointTiming;

use crate::arguments::StreamArguments;
use crate::failure::Failure;
use crate::report::{FormatReport, StreamReport};
use crate::target::Choice;

/// How a queue is divided: packets in a transfer, and transfers.
fn layout(arguments: &StreamArguments, timing: &EndpointTiming) -> Result<(u32, u32), Failure> {
    let depth = arguments.depth.0;
    let transfer = arguments.transfer.map_or((depth / 4).max(1), |transfer| transfer.0);
    check_depth(arguments)?;
    let packets = (u64::from(transfer) * 8 / timing.period_microframes()).max(1);
    let frames = (packets * timing.period_microframes()).div_ceil(8);
    // One is on the bus while the next waits.
    let blocks = u64::from(depth).div_ceil(frames).max(2);
    Ok((u32::try_from(packets).unwrap_or(u32::MAX), u32::try_from(blocks).unwrap_or(u32::MAX)))
}

fn check_depth(arguments: &StreamArguments) -> Result<(), Failure> {
    match arguments.transfer {
        Some(transfer) if transfer.0 > arguments.depth.0 => Err(Failure::usage(format_args!(
            "--transfer {} ms is longer than --depth {} ms, which is all transfers together: make the depth at least twice \
             the transfer",
            transfer.0, arguments.depth.0
        ))),
        _ => Ok(()),
    }
}

/// What the report says of an endpoint.
fn stream_report(choice: Choice, timing: &EndpointTiming, format: Option<FormatReport>) -> StreamReport {
    StreamReport {
        interface: choice.interface,
        alternate_setting: choice.alternate_setting,
        endpoint: choice.endpoint,
        direction: if choice.endpoint & 0x80 == 0 { "out" } else { "in" },
        period_microframes: timing.period_microframes(),
        bytes_per_interval: timing.bytes_per_interval(),
        format,
    }
}

/// Service intervals in a time, at least one.
fn intervals(duration: Duration, timing: &EndpointTiming) -> u64 {
    let microframes = u64::try_from(duration.as_micros() / 125).unwrap_or(u64::MAX);
    (microframes / timing.period_microframes()).max(1)
}

/// Samples (of every channel) in a time.
fn samples(duration: Duration, rate: u32) -> u64 {
    u64::try_from(duration.as_micros() * u128::from(rate) / 1_000_000).unwrap_or(u64::MAX)
}
