//! What a device can stream, and how long a stream the memory for transfers holds.

use isoch_core::MICROFRAMES_PER_FRAME;
use isoch_core::rules::EndpointTiming;

use super::plugged::{Isochronous, Plugged};
use super::{Finding, System, Topic, machine};
use crate::backend::usbfs::cost;

/// What `isoch play` and the others queue, in milliseconds, if nobody says otherwise.
const USUAL_DEPTH: u64 = 64;
/// With less a stream hardly survives the program's being held up once.
const LEAST_DEPTH: u64 = 16;

/// Microframes in a block of 8 ms, as usual as any; longer where an endpoint has fewer packets than that.
const BLOCK: u64 = 64;

/// An alternate setting and its isochronous endpoints.
struct Setting {
    interface: u8,
    number: u8,
    endpoints: Vec<(u8, Result<EndpointTiming, String>)>,
}

impl Setting {
    /// What all of its endpoints take of the memory for transfers in a millisecond, in blocks that are mapped: these
    /// take more than copied ones.
    fn memory(&self) -> u64 {
        let timings = self.endpoints.iter().filter_map(|(_, timing)| timing.as_ref().ok());
        let of_blocks = |timing: &EndpointTiming| {
            let period = timing.period_microframes().max(1);
            let microframes = period.max(BLOCK);
            let packets = usize::try_from(microframes / period).unwrap_or(usize::MAX);
            let bytes = packets.saturating_mul(timing.bytes_per_interval() as usize);
            (cost(bytes, 1, 1, packets) * MICROFRAMES_PER_FRAME).div_ceil(microframes)
        };
        timings.map(of_blocks).sum()
    }

    fn name(&self) -> String {
        format!("interface {}, alternate setting {}", self.interface, self.number)
    }
}

pub(super) fn findings(system: &System, device: &Plugged) -> Vec<Finding> {
    if let Err(reason) = &device.configuration {
        let configure = device.place.sysfs.join("bConfigurationValue");
        let remedy =
            format!("unplug it, and plug it in again; or `echo 1 > {}`, as root", configure.display());
        return vec![Finding::problem(Topic::Endpoints, reason.clone(), remedy)];
    }
    let settings = settings(device.isochronous());
    let Some(largest) = settings.iter().max_by_key(|setting| setting.memory()) else {
        return vec![Finding::warning(
            Topic::Endpoints,
            "it has no isochronous endpoints",
            "`isoch describe` shows what it has; control, bulk and interrupt transfers work",
        )];
    };
    let mut findings: Vec<Finding> = settings.iter().map(bandwidth).collect();
    findings.extend(memory(system, largest));
    findings
}

fn settings(endpoints: Vec<Isochronous>) -> Vec<Setting> {
    let mut settings: Vec<Setting> = Vec::new();
    for found in endpoints {
        let known = settings
            .iter_mut()
            .find(|known| (known.interface, known.number) == (found.interface, found.setting));
        let endpoint = (found.endpoint, found.timing);
        match known {
            Some(setting) => setting.endpoints.push(endpoint),
            None => settings.push(Setting {
                interface: found.interface,
                number: found.setting,
                endpoints: vec![endpoint],
            }),
        }
    }
    settings
}

fn bandwidth(setting: &Setting) -> Finding {
    let broken = setting.endpoints.iter().any(|(_, timing)| timing.is_err());
    let endpoints = setting.endpoints.iter().map(|(address, timing)| {
        let direction = if address & 0x80 == 0 { "OUT" } else { "IN" };
        match timing {
            Ok(timing) => {
                let (bytes, period) = (u64::from(timing.bytes_per_interval()), timing.period_microframes());
                let per_second = bytes * 8000 / period;
                format!(
                    "{address:#04x} {direction} {bytes} bytes every {}, {}",
                    time(period),
                    rate(per_second)
                )
            }
            Err(reason) => format!("{address:#04x} {direction}: {reason}"),
        }
    });
    let what = format!("{}: {}", setting.name(), endpoints.collect::<Vec<_>>().join("; "));
    match broken {
        true => Finding::warning(Topic::Endpoints, what, "none: the device's descriptors are wrong"),
        false => Finding::ok(Topic::Endpoints, what),
    }
}

fn memory(system: &System, largest: &Setting) -> Option<Finding> {
    let megabytes = machine::megabytes(system).filter(|megabytes| *megabytes > 0)?;
    let per_millisecond = largest.memory();
    let milliseconds = megabytes.saturating_mul(1 << 20).checked_div(per_millisecond)?;
    let what = format!(
        "{megabytes} MiB hold {milliseconds} ms of its largest stream ({}), if no other program has any of it",
        largest.name()
    );
    Some(match milliseconds {
        0..LEAST_DEPTH => Finding::problem(Topic::Memory, what, machine::RAISE),
        LEAST_DEPTH..USUAL_DEPTH => Finding::warning(
            Topic::Memory,
            format!("{what}; usual are {USUAL_DEPTH} ms"),
            format!("{}; or use `--depth`", machine::RAISE),
        ),
        _ => Finding::ok(Topic::Memory, what),
    })
}

/// "125 µs" or "4 ms".
fn time(microframes: u64) -> String {
    match microframes {
        ..8 => format!("{} µs", microframes * 125),
        _ => format!("{} ms", microframes / 8),
    }
}

fn rate(bytes: u64) -> String {
    match bytes {
        ..10_000_000 => format!("{} kB/s", bytes / 1000),
        _ => format!("{:.1} MB/s", bytes as f64 / 1e6),
    }
}
