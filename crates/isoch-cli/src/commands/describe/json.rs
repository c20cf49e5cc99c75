//! `isoch describe --json`.

use isoch::audio::{self, Rates, StreamingFormat};
use isoch::rules::descriptors::AlternateSetting;
use isoch::{Device, Direction, Speed};
use serde::Serialize;

use super::{class, release, synchronization, transfer_type, usage};
use crate::report::{CapabilitiesReport, DeviceReport};
use crate::target::period;

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct Described {
    /// Rises when a field changes its name or its meaning.
    schema_version: u32,
    device: DeviceReport,
    usb_version: String,
    device_version: String,
    configuration: u8,
    self_powered: bool,
    maximum_milliamperes: u32,
    interfaces: Vec<DescribedInterface>,
    audio_formats: Vec<DescribedFormat>,
    /// What this bus can do, for each direction with an isochronous endpoint.
    capabilities: DescribedCapabilities,
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<Raw>,
}

#[derive(Debug, Serialize)]
struct DescribedCapabilities {
    out: Option<CapabilitiesReport>,
    #[serde(rename = "in")]
    r#in: Option<CapabilitiesReport>,
}

/// Hexadecimal digits.
#[derive(Debug, Serialize)]
struct Raw {
    device: String,
    configuration: String,
}

#[derive(Debug, Serialize)]
struct DescribedInterface {
    number: u8,
    alternate_settings: Vec<DescribedSetting>,
}

#[derive(Debug, Serialize)]
struct DescribedSetting {
    number: u8,
    class: u8,
    subclass: u8,
    protocol: u8,
    class_name: String,
    endpoints: Vec<DescribedEndpoint>,
}

#[derive(Debug, Serialize)]
struct DescribedEndpoint {
    address: u8,
    direction: &'static str,
    transfer_type: &'static str,
    synchronization: Option<&'static str>,
    usage: Option<&'static str>,
    /// In units of 125 µs; `null` if it is served whenever there is time, or its descriptor makes no sense.
    period_microframes: Option<u64>,
    period: Option<String>,
    bytes_per_interval: Option<u32>,
}

#[derive(Debug, Serialize)]
struct DescribedFormat {
    interface: u8,
    alternate_setting: u8,
    endpoint: u8,
    direction: &'static str,
    channels: u8,
    bits: u8,
    bytes_per_sample: u8,
    sample: String,
    /// In Hz; empty for a range, or if only a clock knows.
    rates: Vec<u32>,
    /// The lowest and the highest, if any between them will do.
    rate_range: Option<[u32; 2]>,
}

fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Out => "out",
        Direction::In => "in",
    }
}

pub(super) fn describe(
    device: &Device,
    formats: &audio::Streaming,
    problem: Option<String>,
    raw: bool,
) -> Described {
    let configuration = device.configuration();
    let speed = device.information().speed;
    let descriptor = device.descriptor();
    let digits = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let capabilities = |direction| {
        let mut endpoints = configuration.isochronous();
        let any = endpoints.any(|(_, _, endpoint)| endpoint.direction() == direction);
        any.then(|| CapabilitiesReport::from(&device.capabilities(direction)))
    };
    let unusable = formats.unsupported.iter().map(|unusable| format!("not usable for audio: {unusable}"));
    Described {
        schema_version: 1,
        device: DeviceReport::new(device, &[]),
        usb_version: release(descriptor.usb_version),
        device_version: release(descriptor.device_version),
        configuration: configuration.value,
        self_powered: configuration.attributes & 0x40 != 0,
        maximum_milliamperes: configuration.maximum_milliamperes(speed),
        interfaces: configuration
            .interfaces
            .iter()
            .map(|interface| DescribedInterface {
                number: interface.number,
                alternate_settings: interface.alternates.iter().map(|one| setting(one, speed)).collect(),
            })
            .collect(),
        audio_formats: formats.formats.iter().map(audio_format).collect(),
        capabilities: DescribedCapabilities {
            out: capabilities(Direction::Out),
            r#in: capabilities(Direction::In),
        },
        warnings: device.warnings().iter().map(ToString::to_string).chain(problem).chain(unusable).collect(),
        raw: raw.then(|| Raw {
            device: digits(&descriptor.to_bytes()),
            configuration: digits(device.configuration_bytes()),
        }),
    }
}

fn setting(setting: &AlternateSetting, speed: Speed) -> DescribedSetting {
    let endpoints = setting.endpoints.iter().map(|endpoint| {
        let timing = endpoint.timing(speed).ok();
        DescribedEndpoint {
            address: endpoint.address,
            direction: direction(endpoint.direction()),
            transfer_type: transfer_type(endpoint),
            synchronization: synchronization(endpoint),
            usage: endpoint.is_isochronous().then(|| usage(endpoint).unwrap_or("data")),
            period_microframes: timing.map(|timing| timing.period_microframes()),
            period: timing.map(|timing| period(timing.period_microframes())),
            bytes_per_interval: timing.map(|timing| timing.bytes_per_interval()),
        }
    });
    DescribedSetting {
        number: setting.number,
        class: setting.class,
        subclass: setting.subclass,
        protocol: setting.protocol,
        class_name: class(setting),
        endpoints: endpoints.collect(),
    }
}

fn audio_format(format: &StreamingFormat) -> DescribedFormat {
    let (rates, rate_range) = match &format.rates {
        Rates::Discrete(rates) => (rates.clone(), None),
        Rates::Range(lowest, highest) => (Vec::new(), Some([*lowest, *highest])),
        Rates::Clock { .. } => (Vec::new(), None),
    };
    DescribedFormat {
        interface: format.interface,
        alternate_setting: format.alternate_setting,
        endpoint: format.endpoint,
        direction: direction(format.direction),
        channels: format.channels,
        bits: format.bits,
        bytes_per_sample: format.subslot_bytes,
        sample: format.sample.to_string(),
        rates,
        rate_range,
    }
}
