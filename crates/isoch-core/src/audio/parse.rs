//! From the bytes of a configuration descriptor to formats.
//!
//! Why a walker of its own, beside the one for configurations? That one finds interfaces and endpoints and
//! steps over what a class put between them; here it is the other way round, and the order matters:
//! a class descriptor belongs to whatever standard descriptor came before it.

use super::{
    AudioVersion, Feedback, Rates, SampleFormat, Streaming, StreamingFormat, Synchronisation, Unsupported,
    UnsupportedReason,
};
use crate::rules::Direction;
use std::fmt;

const CONFIGURATION: u8 = 0x02;
const INTERFACE: u8 = 0x04;
const ENDPOINT: u8 = 0x05;
const CLASS_INTERFACE: u8 = 0x24;
const CLASS_ENDPOINT: u8 = 0x25;
const AUDIO: u8 = 0x01;
const AUDIO_CONTROL: u8 = 0x01;
const AUDIO_STREAMING: u8 = 0x02;

/// A descriptor that is not one: from here on nothing can be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Malformed {
    /// Where, in bytes from the start of the configuration descriptor.
    pub offset: usize,
    /// Its `bLength`, if there is one: less than 2, or more than the bytes that are left.
    pub length: Option<u8>,
    /// The bytes that are left.
    pub left: usize,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Malformed { offset, length, left } = self;
        match length {
            Some(length) => {
                write!(f, "the descriptor at byte {offset} says it has {length} bytes, of {left} left")
            }
            None if *offset == 0 => f.write_str("not a configuration descriptor"),
            None => write!(f, "the configuration ends at byte {offset}, before its own total length"),
        }
    }
}

impl std::error::Error for Malformed {}

/// Finds the streaming formats in a configuration descriptor with all that follows it (`wTotalLength`
/// bytes; more are ignored).
///
/// # Errors
///
/// [`Malformed`] where the chain of descriptors breaks. What a single descriptor gets wrong only costs its
/// alternate setting, which is then in [`Streaming::unsupported`].
pub fn streaming_formats(configuration: &[u8]) -> Result<Streaming, Malformed> {
    let settings = settings(configuration)?;
    let mut found = Streaming::default();
    for setting in settings.iter().filter(|setting| setting.is(AUDIO_STREAMING)) {
        // Alternate setting 0 is where nothing streams (UAC1 §4.5.1).
        if setting.endpoints.is_empty() {
            continue;
        }
        match formats(setting, &settings) {
            Ok(formats) => found.formats.extend(formats),
            Err(reason) => found.unsupported.push(Unsupported {
                interface: setting.interface,
                alternate_setting: setting.alternate_setting,
                reason,
            }),
        }
    }
    Ok(found)
}

/// One descriptor: its bytes, and where they are.
#[derive(Clone, Copy)]
struct Descriptor<'a> {
    offset: usize,
    bytes: &'a [u8],
}

impl Descriptor<'_> {
    fn kind(&self) -> u8 {
        self.bytes[1]
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    fn word(&self, at: usize) -> Option<u16> {
        Some(u16::from_le_bytes([self.byte(at)?, self.byte(at + 1)?]))
    }

    fn rate(&self, at: usize) -> Option<u32> {
        Some(u32::from(self.word(at)?) | u32::from(self.byte(at + 2)?) << 16)
    }
}

/// An alternate setting with what belongs to it.
struct Setting<'a> {
    offset: usize,
    interface: u8,
    alternate_setting: u8,
    class: u8,
    subclass: u8,
    protocol: u8,
    class_descriptors: Vec<Descriptor<'a>>,
    endpoints: Vec<Endpoint>,
}

impl<'a> Setting<'a> {
    fn is(&self, subclass: u8) -> bool {
        self.class == AUDIO && self.subclass == subclass
    }

    /// The class descriptor of a subtype (`bDescriptorSubtype`).
    fn class_descriptor(&self, subtype: u8) -> Option<Descriptor<'a>> {
        self.class_descriptors.iter().copied().find(|found| found.byte(2) == Some(subtype))
    }
}

struct Endpoint {
    address: u8,
    attributes: u8,
    max_packet: u16,
    interval: u8,
    /// `bRefresh` and `bSynchAddress`, of the nine bytes of UAC1 (§4.6.1.1).
    refresh_and_synch: Option<(u8, u8)>,
    /// `bmAttributes` of the class descriptor behind it.
    class_attributes: u8,
}

impl Endpoint {
    fn is_isochronous(&self) -> bool {
        self.attributes & 0x03 == 1
    }

    /// Bits 5–4 (USB 2.0 §9.6.6): 0 data, 1 feedback, 2 data that is implicit feedback.
    fn usage(&self) -> u8 {
        (self.attributes >> 4) & 0x03
    }

    fn direction(&self) -> Direction {
        Direction::of_endpoint(self.address)
    }

    fn max_packet_bytes(&self) -> u32 {
        let transactions = 1 + ((u32::from(self.max_packet) >> 11) & 0x03);
        (u32::from(self.max_packet) & 0x07ff) * transactions
    }

    fn synch_address(&self) -> Option<u8> {
        self.refresh_and_synch.map(|(_, synch)| synch).filter(|&synch| synch != 0)
    }

    /// Whether this data endpoint names `other` as the one it is synchronised by. The direction follows
    /// from its purpose; some devices leave it out of `bSynchAddress`.
    fn is_synchronised_by(&self, other: &Endpoint) -> bool {
        self.direction() != other.direction()
            && self.synch_address().is_some_and(|synch| synch & 0x0f == other.address & 0x0f)
    }
}

fn settings(configuration: &[u8]) -> Result<Vec<Setting<'_>>, Malformed> {
    let left = configuration.len();
    let (Some(&CONFIGURATION), Some(&[low, high])) =
        (configuration.get(1), configuration.get(2..4).and_then(|total| total.first_chunk::<2>()))
    else {
        return Err(Malformed { offset: 0, length: None, left });
    };
    let total = usize::from(u16::from_le_bytes([low, high]));
    if total < 9 {
        return Err(Malformed { offset: 0, length: None, left });
    }
    let bytes = configuration.get(..total).unwrap_or(configuration);

    let mut settings: Vec<Setting<'_>> = Vec::new();
    let mut offset = 0;
    while let Some(&length) = bytes.get(offset) {
        let left = bytes.len() - offset;
        let Some(found) = bytes.get(offset..offset + usize::from(length)).filter(|_| length >= 2) else {
            return Err(Malformed { offset, length: Some(length), left });
        };
        add(&mut settings, Descriptor { offset, bytes: found });
        offset += usize::from(length);
    }
    if bytes.len() < total {
        return Err(Malformed { offset, length: None, left: 0 });
    }
    Ok(settings)
}

/// Files a descriptor with the setting it belongs to. One too short for its kind is left out: what is
/// missing then is said where it is needed.
fn add<'a>(settings: &mut Vec<Setting<'a>>, descriptor: Descriptor<'a>) {
    match (descriptor.kind(), descriptor.bytes) {
        (INTERFACE, &[_, _, interface, alternate_setting, _, class, subclass, protocol, ..]) => {
            settings.push(Setting {
                offset: descriptor.offset,
                interface,
                alternate_setting,
                class,
                subclass,
                protocol,
                class_descriptors: Vec::new(),
                endpoints: Vec::new(),
            });
        }
        (ENDPOINT, &[_, _, address, attributes, low, high, interval, ref rest @ ..]) => {
            let refresh_and_synch = rest.first_chunk().map(|&[refresh, synch]| (refresh, synch));
            if let Some(setting) = settings.last_mut() {
                setting.endpoints.push(Endpoint {
                    address,
                    attributes,
                    max_packet: u16::from_le_bytes([low, high]),
                    interval,
                    refresh_and_synch,
                    class_attributes: 0,
                });
            }
        }
        (CLASS_INTERFACE, _) => {
            if let Some(setting) = settings.last_mut() {
                setting.class_descriptors.push(descriptor);
            }
        }
        // EP_GENERAL (UAC1 §4.6.1.2, UAC2 §4.10.1.2): bmAttributes is its fourth byte in both.
        (CLASS_ENDPOINT, &[_, _, 0x01, attributes, ..]) => {
            let last = settings.last_mut().and_then(|setting| setting.endpoints.last_mut());
            if let Some(endpoint) = last {
                endpoint.class_attributes = attributes;
            }
        }
        _ => {}
    }
}

/// What `AS_GENERAL` and `FORMAT_TYPE` say.
struct Format {
    version: AudioVersion,
    samples: Vec<SampleFormat>,
    channels: u8,
    subslot_bytes: u8,
    bits: u8,
    rates: Rates,
}

fn formats(
    setting: &Setting<'_>,
    settings: &[Setting<'_>],
) -> Result<Vec<StreamingFormat>, UnsupportedReason> {
    let format = match setting.protocol {
        0x00 => format_of_one(setting)?,
        0x20 => format_of_two(setting, settings)?,
        protocol => return Err(UnsupportedReason::Protocol(protocol)),
    };
    if format.channels == 0
        || format.subslot_bytes == 0
        || format.bits == 0
        || u32::from(format.bits) > u32::from(format.subslot_bytes) * 8
    {
        return Err(UnsupportedReason::SampleSize);
    }
    let data = data_endpoint(setting).ok_or(UnsupportedReason::NoDataEndpoint)?;
    if data.max_packet_bytes() == 0 {
        return Err(UnsupportedReason::EmptyEndpoint);
    }
    let synchronisation = match (data.attributes >> 2) & 0x03 {
        0 => Synchronisation::None,
        1 => Synchronisation::Asynchronous,
        2 => Synchronisation::Adaptive,
        _ => Synchronisation::Synchronous,
    };
    let of = |&sample: &SampleFormat| StreamingFormat {
        version: format.version,
        interface: setting.interface,
        alternate_setting: setting.alternate_setting,
        endpoint: data.address,
        direction: data.direction(),
        channels: format.channels,
        subslot_bytes: format.subslot_bytes,
        bits: format.bits,
        sample,
        rates: format.rates.clone(),
        rate_control: format.version == AudioVersion::One && data.class_attributes & 0x01 != 0,
        feedback: feedback(data, setting, settings),
        synchronisation,
        interval: data.interval,
        max_packet_bytes: data.max_packet_bytes(),
        max_packets_only: data.class_attributes & 0x80 != 0,
    };
    Ok(format.samples.iter().map(of).collect())
}

/// UAC1: `AS_GENERAL` §4.5.2, `FORMAT_TYPE` Formats1 §2.2.5.
fn format_of_one(setting: &Setting<'_>) -> Result<Format, UnsupportedReason> {
    let general = setting.class_descriptor(0x01);
    let tag = general.and_then(|general| general.word(5));
    let tag = tag.ok_or(UnsupportedReason::NoGeneral(offset_of(general, setting)))?;
    let found = setting.class_descriptor(0x02);
    let incomplete = UnsupportedReason::NoFormatType(offset_of(found, setting));
    let found = found.ok_or(incomplete)?;
    let byte = |at| found.byte(at).ok_or(incomplete);
    match byte(3)? {
        1 => {}
        kind => return Err(UnsupportedReason::FormatType(kind)),
    }
    let (channels, subslot_bytes, bits) = (byte(4)?, byte(5)?, byte(6)?);
    let rate = |index: usize| found.rate(8 + 3 * index).ok_or(incomplete);
    let rates = match byte(7)? {
        // Continuous: the lowest and the highest.
        0 => match (rate(0)?, rate(1)?) {
            (lowest, highest) if lowest > highest || highest == 0 => {
                return Err(UnsupportedReason::NoRates);
            }
            (lowest, highest) => Rates::Range(lowest, highest),
        },
        count => {
            let rates = (0..usize::from(count)).map(rate).collect::<Result<Vec<_>, _>>()?;
            // Some devices fill up their list with zeros.
            let rates: Vec<_> = rates.into_iter().filter(|&rate| rate != 0).collect();
            if rates.is_empty() {
                return Err(UnsupportedReason::NoRates);
            }
            Rates::Discrete(rates)
        }
    };
    let sample = match tag {
        1 => SampleFormat::Pcm,
        2 => SampleFormat::Pcm8,
        3 => SampleFormat::Float,
        other => SampleFormat::Other(other),
    };
    Ok(Format { version: AudioVersion::One, samples: vec![sample], channels, subslot_bytes, bits, rates })
}

/// UAC2: `AS_GENERAL` §4.9.2, `FORMAT_TYPE` Formats2 §2.3.1.6, format bits Formats2 §A.2.1.
fn format_of_two(setting: &Setting<'_>, settings: &[Setting<'_>]) -> Result<Format, UnsupportedReason> {
    let general = setting.class_descriptor(0x01);
    let incomplete = UnsupportedReason::NoGeneral(offset_of(general, setting));
    let general = general.ok_or(incomplete)?;
    let terminal = general.byte(3).ok_or(incomplete)?;
    match general.byte(5).ok_or(incomplete)? {
        1 => {}
        kind => return Err(UnsupportedReason::FormatType(kind)),
    }
    let (low, high) = general.word(6).zip(general.word(8)).ok_or(incomplete)?;
    let bits_of_formats = u32::from(low) | u32::from(high) << 16;
    let channels = general.byte(10).ok_or(incomplete)?;
    let known = [
        SampleFormat::Pcm,
        SampleFormat::Pcm8,
        SampleFormat::Float,
        SampleFormat::Other(4),
        SampleFormat::Other(5),
    ];
    let samples: Vec<_> = (0..)
        .zip(known)
        .filter(|(bit, _)| bits_of_formats >> bit & 1 == 1)
        .map(|(_, sample)| sample)
        .collect();
    if samples.is_empty() {
        return Err(UnsupportedReason::Formats(bits_of_formats));
    }
    let found = setting.class_descriptor(0x02);
    let (subslot_bytes, bits) = found
        .and_then(|found| found.byte(4).zip(found.byte(5)))
        .ok_or(UnsupportedReason::NoFormatType(offset_of(found, setting)))?;
    let rates = clock_of(terminal, settings);
    Ok(Format { version: AudioVersion::Two, samples, channels, subslot_bytes, bits, rates })
}

/// The clock behind a terminal: `bCSourceID` of an input terminal (UAC2 §4.7.2.4) or of an output terminal
/// (§4.7.2.5).
fn clock_of(terminal: u8, settings: &[Setting<'_>]) -> Rates {
    let controls = settings.iter().filter(|setting| setting.is(AUDIO_CONTROL) && setting.protocol == 0x20);
    let mut interface = 0;
    for control in controls {
        interface = control.interface;
        for descriptor in control.class_descriptors.iter().filter(|found| found.byte(3) == Some(terminal)) {
            let entity = match descriptor.byte(2) {
                Some(0x02) => descriptor.byte(7),
                Some(0x03) => descriptor.byte(8),
                _ => None,
            };
            if entity.is_some() {
                return Rates::Clock { interface, entity };
            }
        }
    }
    Rates::Clock { interface, entity: None }
}

/// The endpoint with the samples. UAC1 devices mark their feedback endpoint only by being named in
/// another's `bSynchAddress`.
fn data_endpoint<'a>(setting: &'a Setting<'_>) -> Option<&'a Endpoint> {
    let named = |candidate: &Endpoint| {
        setting.endpoints.iter().any(|other| other.usage() != 1 && other.is_synchronised_by(candidate))
    };
    let mut data = setting.endpoints.iter().filter(|found| found.is_isochronous() && found.usage() != 1);
    // Two that name each other are both data.
    data.clone().find(|candidate| !named(candidate)).or_else(|| data.next())
}

fn feedback(data: &Endpoint, setting: &Setting<'_>, settings: &[Setting<'_>]) -> Feedback {
    let others = || {
        let opposite =
            |endpoint: &&Endpoint| endpoint.is_isochronous() && endpoint.direction() != data.direction();
        setting.endpoints.iter().filter(opposite)
    };
    let named = others().find(|other| data.is_synchronised_by(other));
    if let Some(endpoint) = named.or_else(|| others().find(|other| other.usage() == 1)) {
        let refresh = endpoint.refresh_and_synch.map(|(refresh, _)| refresh);
        return Feedback::Explicit {
            endpoint: endpoint.address,
            interval: endpoint.interval,
            refresh_log2: refresh.filter(|&refresh| refresh != 0),
            max_packet_bytes: endpoint.max_packet_bytes(),
        };
    }
    // Only a sink that runs on its own clock needs to be told: a source tells by what it sends.
    let asynchronous_sink = data.direction() == Direction::Out && (data.attributes >> 2) & 0x03 == 1;
    let streams = settings.iter().filter(|other| other.is(AUDIO_STREAMING));
    let implicit = streams.flat_map(|other| &other.endpoints).find(|other| {
        other.is_isochronous()
            && other.direction() == Direction::In
            && (other.usage() == 2 || data.is_synchronised_by(other))
    });
    match implicit {
        Some(endpoint) if asynchronous_sink => Feedback::Implicit { endpoint: endpoint.address },
        _ => Feedback::None,
    }
}

fn offset_of(descriptor: Option<Descriptor<'_>>, setting: &Setting<'_>) -> usize {
    descriptor.map_or(setting.offset, |descriptor| descriptor.offset)
}
