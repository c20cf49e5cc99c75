//! `isoch describe`.
//!
//! Why words, when lsusb shows every field? A field has to be looked up: `bInterval 4` is a period of 1 ms
//! on one device and of 8 ms on another. Who wants to stream needs what follows from the fields: how often,
//! how many bytes, which samples, and what this bus makes of it. `--raw` has the bytes.

mod json;

use std::fmt::Write;

use crate::arguments::Describe;
use crate::failure::Failure;
use crate::output::print;
use crate::target::{self, describe_timing};
use crate::words::counted;
use isoch::audio::{self, StreamingFormat};
use isoch::rules::descriptors::{AlternateSetting, Endpoint, Synchronization, TransferType, Usage};
use isoch::{Device, Direction, Speed};

pub(crate) fn run(arguments: &Describe) -> Result<(), Failure> {
    let device = match &arguments.address {
        Some(address) => target::open_address(address, &arguments.device)?,
        None => target::open(&arguments.device, target::SPEAKER)?,
    };
    // Broken audio descriptors are no reason to keep the rest back.
    let (formats, audio_problem) = match audio::formats(&device) {
        Ok(streaming) => (streaming, None),
        Err(problem) => (audio::Streaming::default(), Some(problem.to_string())),
    };
    if arguments.json {
        let described = json::describe(&device, &formats, audio_problem, arguments.raw);
        let text = serde_json::to_string_pretty(&described).map_err(Failure::error)?;
        return print(&format!("{text}\n"));
    }
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = in_words(&mut text, &device, &formats, audio_problem.as_deref());
    if arguments.raw {
        text.push_str("\nDevice descriptor\n");
        hexadecimal(&mut text, &device.descriptor().to_bytes());
        text.push_str("\nConfiguration descriptor\n");
        hexadecimal(&mut text, device.configuration_bytes());
    }
    print(&text)
}

fn in_words(
    text: &mut String,
    device: &Device,
    formats: &audio::Streaming,
    audio_problem: Option<&str>,
) -> std::fmt::Result {
    let information = device.information();
    let descriptor = device.descriptor();
    let configuration = device.configuration();
    let speed = information.speed;
    let name = information.product.as_deref().unwrap_or("Device without a name");
    write!(text, "{name}")?;
    if let Some(maker) = &information.manufacturer {
        write!(text, " by {maker}")?;
    }
    writeln!(text)?;
    writeln!(text, "  address        {}", information.address)?;
    let (vendor, product) = (information.vendor_id, information.product_id);
    writeln!(
        text,
        "  product        {vendor:04x}:{product:04x}, release {}",
        release(descriptor.device_version)
    )?;
    if let Some(serial) = &information.serial_number {
        writeln!(text, "  serial number  {serial}")?;
    }
    writeln!(text, "  connected at   {speed} (USB {})", release(descriptor.usb_version))?;
    let powered = if configuration.attributes & 0x40 == 0 { "bus-powered" } else { "self-powered" };
    let current = configuration.maximum_milliamperes(speed);
    writeln!(text, "  configuration  {}, {powered}, at most {current} mA", configuration.value)?;
    for interface in &configuration.interfaces {
        writeln!(text)?;
        let class = interface.alternates.first().map_or_else(String::new, class);
        writeln!(text, "Interface {}: {class}", interface.number)?;
        for setting in &interface.alternates {
            let none = if setting.endpoints.is_empty() { ": no endpoints" } else { "" };
            writeln!(text, "  alternate setting {}{none}", setting.number)?;
            for endpoint in &setting.endpoints {
                writeln!(text, "    {}", endpoint_in_words(endpoint, speed))?;
            }
            let of_setting = |format: &&StreamingFormat| {
                (format.interface, format.alternate_setting) == (interface.number, setting.number)
            };
            for format in formats.formats.iter().filter(of_setting) {
                writeln!(text, "      {}", samples_in_words(format))?;
            }
        }
    }
    for unusable in &formats.unsupported {
        writeln!(text, "\nNot usable for audio: {unusable}")?;
    }
    for direction in [Direction::Out, Direction::In] {
        if configuration.isochronous().any(|(_, _, endpoint)| endpoint.direction() == direction) {
            let capabilities = device.capabilities(direction);
            writeln!(text, "\nIsochronous {} on this bus", direction)?;
            for part in capabilities.to_string().split(" · ") {
                let (what, how) = part.split_once(": ").unwrap_or((part, ""));
                writeln!(text, "  {what:16}{how}")?;
            }
            writeln!(text, "  nearest start   frame now + {}", capabilities.lead)?;
            if let Some(horizon) = capabilities.horizon {
                writeln!(text, "  farthest start  frame now + {horizon}")?;
            }
        }
    }
    if configuration.isochronous().next().is_none() {
        writeln!(text, "\nIt has no isochronous endpoints.")?;
    }
    parameters(text, &information.address)?;
    for warning in device.warnings() {
        writeln!(text, "\nOdd, and harmless: {warning}")?;
    }
    if let Some(problem) = audio_problem {
        writeln!(text, "\nIts audio formats are not known: {problem}")?;
    }
    Ok(())
}

/// What may follow the address of an emulated device.
fn parameters(text: &mut String, address: &str) -> std::fmt::Result {
    let Some(kind) = target::kind(address) else { return Ok(()) };
    writeln!(text, "\nEmulated: {}", kind.description)?;
    let name = kind.name;
    writeln!(text, "  Parameters follow the address, as in virtual:{name}?clock=on-wait&as=winusb")?;
    let of_bus = [
        ("clock", "real|on-wait", "what moves the time of its bus (default real)"),
        (
            "as",
            "PROFILE",
            "which real bus it behaves like: winusb, usbfs-xhci, usbip-stub ... (default exact)",
        ),
        ("sof_ppm", "PPM", "how much faster than the host's clock its frames run (default 0)"),
    ];
    let of_kind = kind.parameters.iter().map(|p| (p.name, p.takes, p.description));
    for (name, takes, description) in of_kind.chain(of_bus) {
        writeln!(text, "    {:26}{description}", format!("{name}={takes}"))?;
    }
    Ok(())
}

/// 0x0210 is 2.1.
fn release(bcd: u16) -> String {
    match bcd & 0x0f {
        0 => format!("{:x}.{:x}", bcd >> 8, bcd >> 4 & 0x0f),
        third => format!("{:x}.{:x}.{third:x}", bcd >> 8, bcd >> 4 & 0x0f),
    }
}

fn class(setting: &AlternateSetting) -> String {
    let name = match (setting.class, setting.subclass) {
        (1, 1) => "audio control",
        (1, 2) => "audio streaming",
        (1, 3) => "MIDI streaming",
        (1, _) => "audio",
        (2 | 10, _) => "communications",
        (3, _) => "human interface",
        (8, _) => "mass storage",
        (9, _) => "hub",
        (14, 1) => "video control",
        (14, 2) => "video streaming",
        (14, _) => "video",
        (0xe0, _) => "wireless controller",
        (0xfe, _) => "application-specific",
        (0xff, _) => "vendor-specific",
        _ => return format!("class {:#04x}", setting.class),
    };
    name.into()
}

fn transfer_type(endpoint: &Endpoint) -> &'static str {
    match endpoint.transfer_type() {
        TransferType::Control => "control",
        TransferType::Isochronous => "isochronous",
        TransferType::Bulk => "bulk",
        TransferType::Interrupt => "interrupt",
    }
}

fn synchronization(endpoint: &Endpoint) -> Option<&'static str> {
    match endpoint.synchronization() {
        Synchronization::None => None,
        Synchronization::Asynchronous => Some("asynchronous"),
        Synchronization::Adaptive => Some("adaptive"),
        Synchronization::Synchronous => Some("synchronous"),
    }
}

fn usage(endpoint: &Endpoint) -> Option<&'static str> {
    match endpoint.usage() {
        Usage::Data => None,
        Usage::Feedback => Some("feedback"),
        Usage::ImplicitFeedback => Some("implicit feedback"),
        Usage::Reserved => Some("reserved usage"),
    }
}

fn endpoint_in_words(endpoint: &Endpoint, speed: Speed) -> String {
    let (kind, direction) = (transfer_type(endpoint), endpoint.direction());
    let mut text = format!("endpoint {:#04x}  {kind} {direction}", endpoint.address);
    match endpoint.transfer_type() {
        TransferType::Isochronous | TransferType::Interrupt => match endpoint.timing(speed) {
            Ok(timing) => text.push_str(&format!(", {}", describe_timing(&timing))),
            Err(problem) => text.push_str(&format!(": {problem}")),
        },
        _ => text.push_str(&format!(
            ", packets of {}",
            counted((endpoint.max_packet_size & 0x07ff).into(), "byte")
        )),
    }
    for more in [synchronization(endpoint), usage(endpoint)].into_iter().flatten() {
        text.push_str(&format!(", {more}"));
    }
    text
}

fn samples_in_words(format: &StreamingFormat) -> String {
    let purpose = if format.direction == Direction::Out { "plays" } else { "records" };
    let channels = counted(format.channels.into(), "channel");
    let container = match (u32::from(format.subslot_bytes) * 8, u32::from(format.bits)) {
        (room, bits) if room == bits => String::new(),
        (room, _) => format!(" in {room}"),
    };
    format!(
        "{purpose} {channels}, {}{container}, {}, {}",
        counted(format.bits.into(), "bit"),
        format.sample,
        format.rates
    )
}

fn hexadecimal(text: &mut String, bytes: &[u8]) {
    for (index, line) in bytes.chunks(16).enumerate() {
        let _ = write!(text, "  {:04x} ", index * 16);
        for byte in line {
            let _ = write!(text, " {byte:02x}");
        }
        text.push('\n');
    }
}
