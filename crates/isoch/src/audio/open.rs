//! From a format to an open endpoint.
//!
//! Why is the alternate setting chosen before the rate is set? Because the rate of class 1.0 is a control of
//! the data endpoint, which exists only in its setting (UAC1 §5.2.3.2.3.1); devices that are asked
//! earlier answer with STALL. Class 2.0 does not mind: its rate belongs to a clock.

use std::time::Duration;

use isoch_core::audio::{AudioVersion, Rates, StreamingFormat, request};
use isoch_core::{Capabilities, Lengths, MICROFRAMES_PER_FRAME};

use super::StreamOptions;
use crate::block::Layout;
use crate::device::Device;
use crate::interface::AlternateSetting;
use crate::{Direction, EndpointTiming, Error};

/// Claims the format's interface, puts it to the format's setting, and sets the rate.
pub(super) fn open(
    device: &Device,
    format: &StreamingFormat,
    rate: u32,
    direction: Direction,
) -> Result<AlternateSetting, Error> {
    if format.direction != direction {
        let needs = if direction == Direction::Out { "playback" } else { "recording" };
        return Err(Error::Argument(format!("{needs} is not what this format is for: {format}")));
    }
    if rate == 0 || format.rates.contain(rate) == Some(false) {
        return Err(Error::Unsupported(format!(
            "{rate} Hz is not on offer: use one of its rates, {}",
            format.rates
        )));
    }
    if format.max_packets_only && direction == Direction::Out {
        return Err(Error::Unsupported(
            "this setting takes full packets only, so it cannot be sent samples at a rate: choose another"
                .into(),
        ));
    }
    if format.slot_bytes() == 0 {
        return Err(Error::Argument("a format without channels or bytes carries no samples".into()));
    }
    let setting = device.interface(format.interface)?.alternate_setting(format.alternate_setting)?;
    set_rate(device, format, rate)?;
    Ok(setting)
}

/// Sets the sampling frequency where there is a control for it, and makes sure that the device took it.
fn set_rate(device: &Device, format: &StreamingFormat, rate: u32) -> Result<(), Error> {
    let taken = match (format.version, &format.rates) {
        (AudioVersion::One, _) => {
            if !format.rate_control {
                return Ok(());
            }
            let (setup, data) = request::set_endpoint_rate(format.endpoint, rate).ok_or_else(|| {
                Error::Unsupported(format!("{rate} Hz is more than audio class 1.0 can say"))
            })?;
            device.control_out(setup, &data).wait().map_err(|error| refused(error, rate))?;
            let answer = device.control_in(request::get_endpoint_rate(format.endpoint)).wait();
            told(answer)?.and_then(|answer| request::endpoint_rate(&answer))
        }
        (_, &Rates::Clock { interface, entity: Some(entity) }) => {
            let current = || {
                let answer = device.control_in(request::get_clock_rate(interface, entity)).wait();
                Ok::<_, Error>(told(answer)?.and_then(|answer| request::clock_rate(&answer)))
            };
            // Many clocks are fixed, and answer any attempt to set them with STALL, even to what they are.
            if current()? == Some(rate) {
                return Ok(());
            }
            let (setup, data) = request::set_clock_rate(interface, entity, rate);
            device.control_out(setup, &data).wait().map_err(|error| refused(error, rate))?;
            current()?
        }
        _ => None,
    };
    match taken {
        Some(taken) if taken != rate => Err(Error::Unsupported(format!(
            "the device was set to {rate} Hz and says that it runs at {taken} Hz: play at that rate"
        ))),
        _ => Ok(()),
    }
}

fn refused(error: Error, rate: u32) -> Error {
    match error {
        Error::Stall => Error::Unsupported(format!(
            "the device refuses to run at {rate} Hz (STALL): choose another rate or format"
        )),
        other => other,
    }
}

/// An answer, if the device gives one: reading a rate back is optional.
fn told(answer: Result<Vec<u8>, Error>) -> Result<Option<Vec<u8>>, Error> {
    match answer {
        Err(Error::Stall) => Ok(None),
        answer => answer.map(Some),
    }
}

/// How the queue of an endpoint is cut into transfers.
pub(super) fn layout(
    options: &StreamOptions,
    timing: &EndpointTiming,
    capabilities: &Capabilities,
    direction: Direction,
) -> Result<(Layout, u32), Error> {
    let period = timing.period_microframes().max(1);
    let one_packet = direction == Direction::Out && capabilities.lengths == Lengths::FullThenShort;
    if one_packet && period < MICROFRAMES_PER_FRAME {
        return Err(Error::Unsupported(
            "this bus sends full packets and one short last one, in whole frames: an endpoint with several \
             packets in a frame cannot be sent samples at a rate. Use another bus"
                .into(),
        ));
    }
    let transfer = options.transfer.unwrap_or(options.depth / 4);
    let frames = transfer.as_millis().clamp(1, u128::from(u32::MAX)) as u64;
    let packets = if one_packet { 1 } else { (frames * MICROFRAMES_PER_FRAME / period).max(1) };
    let length = Duration::from_micros(125).as_nanos() * u128::from(packets * period);
    // One is on the bus while the next waits: with fewer than two there is a gap after each.
    let blocks = options.depth.as_nanos().div_ceil(length).clamp(2, u128::from(u32::MAX)) as u32;
    let packets = u32::try_from(packets).unwrap_or(u32::MAX);
    Ok((Layout::packets(packets).blocks(blocks), packets))
}
