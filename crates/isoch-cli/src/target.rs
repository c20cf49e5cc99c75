//! From arguments to a device and an endpoint.
//!
//! Why is an endpoint found by itself only if there is one choice? Whichever one were taken otherwise, a
//! device that differs a little would get bytes that it takes for something else. A list costs the user one
//! more command, and teaches what the device has.

use std::time::Duration;

use isoch::audio::StreamingFormat;
use isoch::emulated::devices::{KINDS, Kind};
use isoch::rules::descriptors::{AlternateSetting, Endpoint, Interface, Usage};
use isoch::{Device, Direction, EndpointTiming, Error};

use crate::arguments::{DeviceArguments, EndpointArguments};
use crate::failure::Failure;
use crate::files::{Files, bus_file};
use crate::interrupt;
use crate::words::counted;

pub(crate) const SPEAKER: &str = "virtual:speaker";
pub(crate) const MICROPHONE: &str = "virtual:microphone";

/// The files that the device reads and writes.
pub(crate) fn files(arguments: &DeviceArguments, default: &str) -> Result<Files, Failure> {
    let mut files = Files::default();
    files.device(arguments.device.as_deref().unwrap_or(default))?;
    Ok(files)
}

/// Opens the device, with its bus's clock as asked for.
pub(crate) fn open(arguments: &DeviceArguments, default: &str) -> Result<Device, Failure> {
    open_address(arguments.device.as_deref().unwrap_or(default), arguments)
}

/// The same for an address from elsewhere.
pub(crate) fn open_address(address: &str, arguments: &DeviceArguments) -> Result<Device, Failure> {
    let address = with_clock(address, arguments)?;
    let Some(mut left) = arguments.wait else { return Ok(isoch::open(&address)?) };
    // As long as somebody watches an emulated bus it stays the same one.
    let bus = isoch::watch(&address)?;
    let device = loop {
        let now = left.min(LOOK_UP);
        left -= now;
        match isoch::open_when_present(&address, now) {
            Err(Error::NotFound { .. }) if !left.is_zero() && !interrupt::is_over() => {}
            result => break result?,
        }
    };
    drop(bus);
    Ok(device)
}

/// How often it is seen, while waiting for a device, whether Ctrl-C was pressed.
const LOOK_UP: Duration = Duration::from_millis(100);

/// The address with `clock=` in it.
fn with_clock(address: &str, arguments: &DeviceArguments) -> Result<String, Failure> {
    let Some(clock) = arguments.clock else { return Ok(address.into()) };
    let name = clock.name();
    if !address.starts_with("virtual:") {
        return Err(Failure::usage(format_args!(
            "--clock {name} is for emulated devices, and {address} is none: leave it out"
        )));
    }
    let (_, query) = address.split_once('?').unwrap_or((address, ""));
    match query.split('&').find_map(|pair| pair.strip_prefix("clock=")) {
        Some(given) if given == name => Ok(address.into()),
        Some(given) => Err(Failure::usage(format_args!(
            "--clock {name} contradicts clock={given} in the address {address}: leave one of them out"
        ))),
        None if address.contains('?') => Ok(format!("{address}&clock={name}")),
        None => Ok(format!("{address}?clock={name}")),
    }
}

/// An isochronous endpoint of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) interface: u8,
    pub(crate) alternate_setting: u8,
    pub(crate) endpoint: u8,
}

impl EndpointArguments {
    /// Whether an endpoint is one that was asked for.
    pub(crate) fn admit(&self, interface: u8, alternate_setting: u8, endpoint: u8) -> bool {
        let wanted = |asked: Option<u8>, has| asked.is_none_or(|asked| asked == has);
        wanted(self.interface, interface)
            && wanted(self.alternate_setting, alternate_setting)
            // 1 is also 0x81, if that is the direction.
            && self.endpoint.is_none_or(|asked| asked == endpoint || asked == endpoint & 0x0f)
    }

    /// Whether the device has what was named at all.
    pub(crate) fn check(&self, device: &Device, direction: Direction) -> Result<(), Failure> {
        let configuration = device.configuration();
        if let Some(endpoint) = self.endpoint
            && endpoint & 0x80 != 0
            && direction == Direction::Out
        {
            return Err(Failure::usage(format_args!(
                "endpoint {endpoint:#04x} is an IN endpoint: `isoch read` and `isoch record` take from it"
            )));
        }
        let Some(number) = self.interface else { return Ok(()) };
        let Some(interface) = configuration.interface(number) else {
            let available = enumerate(configuration.interfaces.iter().map(|interface| interface.number));
            return Err(Failure::usage(format_args!(
                "the device has no interface {number}; it has {available}"
            )));
        };
        match self.alternate_setting {
            Some(setting) if interface.alternate(setting).is_none() => {
                let available = enumerate(interface.alternates.iter().map(|alternate| alternate.number));
                Err(Failure::usage(format_args!(
                    "interface {number} has no alternate setting {setting}; it has {available}"
                )))
            }
            _ => Ok(()),
        }
    }
}

/// The isochronous endpoint of this direction that was asked for, or the only one.
pub(crate) fn find(
    device: &Device,
    arguments: &EndpointArguments,
    direction: Direction,
) -> Result<Choice, Failure> {
    arguments.check(device, direction)?;
    let speed = device.information().speed;
    let all: Vec<Candidate<'_>> = device
        .configuration()
        .isochronous()
        .filter(|(_, _, endpoint)| endpoint.direction() == direction)
        .map(|found| (found, found.2.timing(speed).ok()))
        .collect();
    if all.is_empty() {
        return Err(Failure::error(format_args!(
            "{} has no isochronous {} endpoint; `isoch describe` shows what it has",
            device.information().address,
            direction
        )));
    }
    let admitted = |((interface, setting, endpoint), _): &&Candidate<'_>| {
        arguments.admit(interface.number, setting.number, endpoint.address)
    };
    let mut choices: Vec<&Candidate<'_>> = all.iter().filter(admitted).collect();
    if choices.is_empty() {
        return Err(Failure::usage(format_args!(
            "the device has no such isochronous {} endpoint; it has{}",
            direction,
            lines(all.iter())
        )));
    }
    if choices.len() > 1 {
        // Nobody means these without naming them.
        choices.retain(|((_, setting, endpoint), timing)| {
            timing.is_some_and(|timing| timing.bytes_per_interval() > 0) && !is_feedback(setting, endpoint)
        });
    }
    match choices[..] {
        [((interface, setting, endpoint), _)] => Ok(Choice {
            interface: interface.number,
            alternate_setting: setting.number,
            endpoint: endpoint.address,
        }),
        _ => Err(Failure::usage(format_args!(
            "there are several isochronous {} endpoints: choose with --interface, -a and -e{}",
            direction,
            lines(if choices.is_empty() { all.iter().collect() } else { choices }.into_iter())
        ))),
    }
}

/// The formats of this direction on what was asked for; none if the device has none at all.
pub(crate) fn admitted(
    formats: &[StreamingFormat],
    arguments: &EndpointArguments,
    direction: Direction,
) -> Result<Vec<StreamingFormat>, Failure> {
    let mut admitted: Vec<_> =
        formats.iter().filter(|format| format.direction == direction).cloned().collect();
    let all = admitted.clone();
    admitted.retain(|format| arguments.admit(format.interface, format.alternate_setting, format.endpoint));
    if admitted.is_empty() && !all.is_empty() {
        let lines: String = all.iter().map(|format| format!("\n  {format}")).collect();
        return Err(Failure::usage(format_args!(
            "the device has no audio there in this direction; it has{lines}"
        )));
    }
    Ok(admitted)
}

type Candidate<'a> = ((&'a Interface, &'a AlternateSetting, &'a Endpoint), Option<EndpointTiming>);

/// Whether an endpoint only tells the rate of another.
fn is_feedback(setting: &AlternateSetting, endpoint: &Endpoint) -> bool {
    let named = setting.endpoints.iter().filter_map(|other| other.audio);
    endpoint.usage() == Usage::Feedback
        || named.into_iter().any(|audio| audio.synch_address == endpoint.address)
}

fn lines<'a>(candidates: impl Iterator<Item = &'a Candidate<'a>>) -> String {
    let mut text = String::new();
    for ((interface, setting, endpoint), timing) in candidates {
        let (interface, setting, address) = (interface.number, setting.number, endpoint.address);
        text.push_str(&format!("\n  --interface {interface} -a {setting} -e {address:#04x}"));
        if let Some(timing) = timing {
            text.push_str(&format!("   {}", describe_timing(timing)));
        }
    }
    text
}

/// The kind of emulated device that an address makes. On the bus of a file the name of a device says nothing
/// of its kind, and its parameters are in the file.
pub(crate) fn kind(address: &str) -> Option<&'static Kind> {
    let (path, query) =
        address.strip_prefix("virtual:").map(|rest| rest.split_once('?').unwrap_or((rest, "")))?;
    if bus_file(path).is_some() {
        return None;
    }
    let given = query.split('&').find_map(|pair| pair.strip_prefix("kind="));
    let name = given.or_else(|| path.rsplit('/').next())?;
    KINDS.iter().find(|kind| kind.name == name)
}

/// "up to 1024 bytes every 125 µs".
pub(crate) fn describe_timing(timing: &EndpointTiming) -> String {
    format!(
        "up to {} every {}",
        counted(timing.bytes_per_interval().into(), "byte"),
        period(timing.period_microframes())
    )
}

/// "125 µs" or "4 ms".
pub(crate) fn period(microframes: u64) -> String {
    match microframes {
        1..8 => format!("{} µs", microframes * 125),
        _ => format!("{} ms", microframes / 8),
    }
}

/// "0, 1 and 2".
fn enumerate(numbers: impl Iterator<Item = u8>) -> String {
    let numbers: Vec<String> = numbers.map(|number| number.to_string()).collect();
    match numbers.split_last() {
        None => "none".into(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_a_bus_file_is_no_kind() {
        let name = |address| kind(address).map(|kind| kind.name);
        assert_eq!(name("virtual:speaker?bits=16"), Some("speaker"));
        assert_eq!(name("virtual:mine/speaker"), Some("speaker"));
        assert_eq!(name("virtual:left?kind=speaker&bits=16"), Some("speaker"));
        assert_eq!(name("virtual:speaker?kind=microphone"), Some("microphone"));
        for none in ["virtual:bus.toml/speaker", "virtual:bus.toml", "virtual:tuba", "usb:1:2"] {
            assert_eq!(name(none), None, "{none}");
        }
    }
}
