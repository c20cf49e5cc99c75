//! Gadget zero's source and sink: the device that `usbtest` and every Linux gadget developer know.
//!
//! Why this device, and not one of our own? Because it exists: what is found with the emulated one can be
//! tried on a Raspberry Pi with `modprobe g_zero`, and Linux' own test driver runs against either.
//! Descriptors are byte for byte those of `f_sourcesink`; only the second configuration (loopback, which is
//! the device [`loopback`](super::loopback) here) is left out.
//!
//! | endpoint | what it does |
//! |---|---|
//! | 0x81 bulk IN, 0x82 isochronous IN | source: zeros (`pattern=0`), or byte i is i mod packet mod 63 (`pattern=1`) |
//! | 0x01 bulk OUT, 0x02 isochronous OUT | sink: counts; with `pattern=1` bulk data is compared with the pattern |
//! | vendor request 0x5b OUT, 0x5c IN | stores the data stage, gives it back |

use isoch_core::rules::{Direction, RequestKind, Setup, Speed};

use super::descriptors::{Configuration, DeviceDescriptor, strings, super_speed_object_store};
use super::parameters::{BuildError, Parameters};
use super::shape::{Shape, ShapeOptions};
use crate::device::{BulkIn, BulkOut, BusTime, Descriptors, Device, Stall};

/// Vendor request that stores its data stage (`f_sourcesink`'s control tests).
pub const STORE: u8 = 0x5b;
/// Vendor request that gives the stored bytes back.
pub const RECALL: u8 = 0x5c;
/// What the kernel's gadget keeps at most of a [`STORE`] request, in bytes.
pub const STORE_LIMIT: usize = 4096;

/// What sources send and bulk sinks expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Pattern {
    /// Zeros; sinks compare nothing.
    #[default]
    Zeros,
    /// Byte i is i mod the packet size mod 63; the bulk sink counts packets that differ.
    Mod63,
}

/// How a [`SourceSink`] is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceSinkOptions {
    /// Speed and isochronous endpoints; the interval is 4 unless said otherwise, as in gadget zero.
    pub shape: ShapeOptions,
    /// What is sent and compared.
    pub pattern: Pattern,
    /// Alternate setting 0 without endpoints, so that `usbtest` takes alternate setting 1 by itself.
    pub empty_alternate_setting_0: bool,
}

impl Default for SourceSinkOptions {
    fn default() -> Self {
        SourceSinkOptions {
            shape: ShapeOptions::new(Speed::High),
            pattern: Pattern::Zeros,
            empty_alternate_setting_0: false,
        }
    }
}

/// Gadget zero, 0525:a4a0.
#[derive(Debug)]
pub struct SourceSink {
    descriptors: Descriptors,
    /// One service interval of what the isochronous source sends.
    pattern: Vec<u8>,
    bulk_pattern: Vec<u8>,
    compare: bool,
    stored: Vec<u8>,
    received: Counts,
    sent: Counts,
    bulk_received: Counts,
    bulk_sent: Counts,
    mismatches: i64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    packets: i64,
    bytes: i64,
}

impl Counts {
    fn add(&mut self, bytes: usize) {
        self.packets += 1;
        self.bytes += bytes as i64;
    }
}

impl SourceSink {
    /// A gadget zero.
    ///
    /// # Errors
    /// If the endpoints' numbers are not possible at the speed.
    pub fn new(options: SourceSinkOptions) -> Result<Self, BuildError> {
        let shape = Shape::new(options.shape, 4)?;
        let fill = |length: u16, packet: u16| match options.pattern {
            Pattern::Zeros => vec![0; usize::from(length)],
            Pattern::Mod63 => (0..length).map(|i| (i % packet % 63) as u8).collect(),
        };
        Ok(SourceSink {
            descriptors: descriptors(shape, options.empty_alternate_setting_0),
            pattern: fill(shape.bytes, shape.packet),
            bulk_pattern: fill(shape.bulk_packet(), shape.bulk_packet()),
            compare: options.pattern == Pattern::Mod63,
            stored: Vec::new(),
            received: Counts::default(),
            sent: Counts::default(),
            bulk_received: Counts::default(),
            bulk_sent: Counts::default(),
            mismatches: 0,
        })
    }

    pub(crate) fn from_parameters(parameters: &Parameters<'_>) -> Result<Self, BuildError> {
        let patterns = [("0", Pattern::Zeros), ("1", Pattern::Mod63)];
        SourceSink::new(SourceSinkOptions {
            shape: ShapeOptions::from_parameters(parameters, Speed::High)?,
            pattern: parameters.choice("pattern", &patterns)?.unwrap_or_default(),
            empty_alternate_setting_0: parameters
                .choice("alt0", &[("full", false), ("empty", true)])?
                .unwrap_or(false),
        })
    }
}

fn descriptors(shape: Shape, empty_alternate_setting_0: bool) -> Descriptors {
    const VENDOR_CLASS: [u8; 3] = [0xff, 0, 0];
    // f_sourcesink lists the sink first at full speed, the source first above.
    let order: [u8; 2] = if shape.speed == Speed::Full { [0x00, 0x80] } else { [0x80, 0x00] };
    let mut configuration = Configuration::new(3).interface(0, 0, VENDOR_CLASS);
    if !empty_alternate_setting_0 {
        for direction in order {
            configuration = shape.append_bulk(configuration, direction | 1);
        }
    }
    configuration = configuration.interface(0, 1, VENDOR_CLASS);
    for direction in order {
        configuration = shape.append_bulk(configuration, direction | 1);
    }
    for direction in order {
        configuration = shape.append(configuration, direction | 2);
    }
    let device =
        DeviceDescriptor { usb: shape.usb(), class: VENDOR_CLASS, vendor: 0x0525, product: 0xa4a0 }.bytes();
    Descriptors {
        speed: shape.speed,
        device,
        configuration: configuration.bytes(),
        strings: strings("Source and sink"),
        bos: (shape.speed == Speed::Super).then(super_speed_object_store),
    }
}

impl Device for SourceSink {
    fn descriptors(&self) -> &Descriptors {
        &self.descriptors
    }

    fn control_out(&mut self, setup: Setup, data: &[u8], _now: BusTime) -> Result<(), Stall> {
        let known = setup.kind() == RequestKind::Vendor && setup.direction() == Direction::Out;
        if !known
            || setup.request != STORE
            || setup.value != 0
            || setup.index != 0
            || data.len() > STORE_LIMIT
        {
            return Err(Stall);
        }
        self.stored.clear();
        self.stored.extend_from_slice(data);
        Ok(())
    }

    fn control_in(&mut self, setup: Setup, data: &mut Vec<u8>, _now: BusTime) -> Result<(), Stall> {
        let known = setup.kind() == RequestKind::Vendor && setup.direction() == Direction::In;
        if !known || setup.request != RECALL || setup.value != 0 || setup.index != 0 {
            return Err(Stall);
        }
        let length = usize::from(setup.length).min(self.stored.len());
        data.extend_from_slice(&self.stored[..length]);
        Ok(())
    }

    fn isoch_out(&mut self, _endpoint: u8, data: &[u8], _now: BusTime) {
        self.received.add(data.len());
    }

    fn isoch_in(&mut self, _endpoint: u8, buffer: &mut [u8], _now: BusTime) -> usize {
        let length = buffer.len().min(self.pattern.len());
        buffer[..length].copy_from_slice(&self.pattern[..length]);
        self.sent.add(length);
        length
    }

    fn bulk_out(&mut self, endpoint: u8, data: &[u8], _now: BusTime) -> BulkOut {
        if endpoint != 0x01 {
            return BulkOut::Stall;
        }
        self.bulk_received.add(data.len());
        if self.compare && !self.bulk_pattern.starts_with(data) {
            self.mismatches += 1;
        }
        BulkOut::Ack
    }

    fn bulk_in(&mut self, endpoint: u8, buffer: &mut [u8], _now: BusTime) -> BulkIn {
        if endpoint != 0x81 {
            return BulkIn::Stall;
        }
        let length = buffer.len().min(self.bulk_pattern.len());
        buffer[..length].copy_from_slice(&self.bulk_pattern[..length]);
        self.bulk_sent.add(length);
        BulkIn::Data(length)
    }

    fn facts(&self) -> Vec<(&'static str, i64)> {
        vec![
            ("packets_received", self.received.packets),
            ("bytes_received", self.received.bytes),
            ("packets_sent", self.sent.packets),
            ("bytes_sent", self.sent.bytes),
            ("bulk_bytes_received", self.bulk_received.bytes),
            ("bulk_bytes_sent", self.bulk_sent.bytes),
            ("bulk_mismatches", self.mismatches),
        ]
    }
}
