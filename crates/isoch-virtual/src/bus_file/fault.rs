//! What a bus file says of faults.
//!
//! Why so much about so few fields? Because a fault that concerns nothing is silent: a typing error in a name, or
//! an IN endpoint for what happens to OUT packets, would let a test pass that tests nothing.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::BusDevice;
use super::fields::{self, Fields, Problem, listed};
use crate::faults::{Fault, FaultKind};

/// What a kind of fault concerns.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Concerns {
    /// Isochronous packets both ways.
    Packets,
    /// Isochronous OUT packets.
    Out,
    /// Isochronous IN packets.
    In,
    /// Whole devices.
    Devices,
    /// The host.
    Host,
}

/// A fault. Where no devices are described it may be about any.
pub(super) fn fault(
    table: &DeTable<'_>,
    at: Range<usize>,
    devices: &[(BusDevice, Vec<u8>)],
) -> Result<Fault, Problem> {
    let fields = Fields::new("[[fault]]", table, at);
    fields.only(&["kind", "frame", "frames", "device", "endpoint", "bytes"])?;
    let kinds = [
        ("host_missed", (FaultKind::HostMissed, Concerns::Packets)),
        ("host_late", (FaultKind::HostLate, Concerns::Packets)),
        ("host_stalled", (FaultKind::HostStalled, Concerns::Host)),
        ("lost_on_wire", (FaultKind::LostOnWire, Concerns::Out)),
        ("crc_error", (FaultKind::CrcError, Concerns::In)),
        ("short", (FaultKind::Short(0), Concerns::In)),
        ("empty", (FaultKind::Empty, Concerns::In)),
        ("babble", (FaultKind::Babble, Concerns::In)),
        ("control_stall", (FaultKind::ControlStall, Concerns::Devices)),
        ("unplug", (FaultKind::Unplug, Concerns::Devices)),
    ];
    let Some((mut kind, concerns)) = fields.choice("kind", &kinds)? else {
        let list = listed(kinds.iter().map(|(name, _)| *name));
        return fields.problem(format!("a fault needs a kind: add kind = one of {list}"));
    };
    let frames = frames(&fields)?;
    let bytes = fields.whole("bytes", 0..=49_152)?;
    match (kind, bytes) {
        (FaultKind::Short(_), Some(bytes)) => kind = FaultKind::Short(bytes as u32),
        (FaultKind::Short(_), None) => {
            return fields.problem("a short packet needs a length: add bytes = what is left of it".into());
        }
        (_, Some(_)) => {
            return fields.problem_at("bytes", "only kind = \"short\" takes bytes: leave it out".into());
        }
        (_, None) => {}
    }
    let device = fields.text("device")?.map(|(device, _)| device);
    let endpoint = fields.whole("endpoint", 0..=255)?.map(|address| address as u8);
    if concerns == Concerns::Host && device.is_some() {
        let message = "host_stalled holds up the whole host program: leave device out";
        return fields.problem_at("device", message.into());
    }
    let mut addresses: Vec<u8> = Vec::new();
    match &device {
        Some(name) => match devices.iter().find(|(device, _)| device.name == *name) {
            Some((_, endpoints)) => addresses.clone_from(endpoints),
            None if devices.is_empty() => {}
            None => {
                let list = listed(devices.iter().map(|(device, _)| device.name.as_str()));
                let message = format!("there is no device named '{name}'; there are: {list}");
                return fields.problem_at("device", message);
            }
        },
        None => devices.iter().for_each(|(_, endpoints)| addresses.extend(endpoints)),
    }
    let Some(address) = endpoint else { return Ok(Fault { frames, kind, device, endpoint }) };
    let wrong = |message: String| fields.problem_at("endpoint", message);
    match concerns {
        Concerns::Host => return wrong("host_stalled holds up all endpoints: leave endpoint out".into()),
        Concerns::Devices => return wrong("this happens to whole devices: leave endpoint out".into()),
        Concerns::Out if address & 0x80 != 0 => {
            return wrong(format!(
                "{address:#04x} is an IN endpoint, and this happens to OUT packets: use crc_error for IN"
            ));
        }
        Concerns::In if address & 0x80 == 0 => {
            return wrong(format!(
                "{address:#04x} is an OUT endpoint, and this happens to IN packets: use lost_on_wire for OUT"
            ));
        }
        _ => {}
    }
    if !devices.is_empty() && !addresses.contains(&address) {
        addresses.sort_unstable();
        addresses.dedup();
        let list = listed(addresses.iter().map(|address| format!("{address:#04x}")));
        return wrong(format!("there is no endpoint {address:#04x}; there are: {list}"));
    }
    Ok(Fault { frames, kind, device, endpoint })
}

/// `frame = a`, or `frames = [a, b]` for the frames from a up to, and without, b.
fn frames(fields: &Fields<'_>) -> Result<Range<u64>, Problem> {
    const LAST: u64 = u32::MAX as u64;
    let one = fields.whole("frame", 0..=LAST)?;
    let Some(value) = fields.value("frames") else {
        return match one {
            Some(frame) => Ok(frame..frame + 1),
            None => fields.problem("a fault needs to know when: add frame = N, or frames = [N, M]".into()),
        };
    };
    if one.is_some() {
        return fields.problem_at("frames", "give frame or frames, not both".into());
    }
    let number = |value: &DeValue<'_>| fields::whole(value).filter(|frame| *frame <= LAST);
    let range = match value.get_ref() {
        DeValue::Array(items) if items.len() == 2 => {
            number(items[0].get_ref()).zip(number(items[1].get_ref()))
        }
        _ => None,
    };
    match range {
        Some((first, end)) if first < end => Ok(first..end),
        Some((first, end)) => {
            let message = format!(
                "frames = [{first}, {end}] is empty: the second number is the first frame after the fault, \
                 so it must be {} or more",
                first + 1
            );
            fields.problem_at("frames", message)
        }
        None => {
            let message = format!("frames takes two whole numbers from 0 to {LAST}: frames = [100, 110]");
            fields.problem_at("frames", message)
        }
    }
}
