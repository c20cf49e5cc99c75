//! Where the fields of each struct are.
//!
//! Why computed and not `#[repr(C)]` structs? Because a case names a field by its text, and one description
//! then serves for finding the field and for the size; the tests below hold the sizes against the table that
//! was made with C compilers (research page §2.1).

use crate::functions::Kind;

/// A struct: its name in cases and its fields.
#[derive(Debug)]
pub struct Struct {
    /// As it is written in cases.
    pub name: &'static str,
    /// No padding between fields.
    packed: bool,
    /// Whether it is only written by the library: it begins as garbage, to see that every field is written.
    pub output: bool,
    fields: &'static [(&'static str, Width)],
}

/// The width of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Width {
    /// Bytes.
    Of(usize),
    /// A pointer or handle.
    Pointer,
    /// So many characters.
    Text(usize),
}
use Width::{Of, Pointer, Text};

impl Width {
    fn size(self) -> usize {
        match self {
            Of(size) | Text(size) => size,
            Pointer => size_of::<usize>(),
        }
    }

    fn alignment(self) -> usize {
        if let Text(_) = self { 1 } else { self.size() }
    }
}

const INTERFACE_DESCRIPTOR: &[(&str, Width)] = &[
    ("bLength", Of(1)),
    ("bDescriptorType", Of(1)),
    ("bInterfaceNumber", Of(1)),
    ("bAlternateSetting", Of(1)),
    ("bNumEndpoints", Of(1)),
    ("bInterfaceClass", Of(1)),
    ("bInterfaceSubClass", Of(1)),
    ("bInterfaceProtocol", Of(1)),
    ("iInterface", Of(1)),
];

const FRAME_AND_COUNTER: &[(&str, Width)] = &[
    ("TimeTrackingHandle", Pointer),
    ("InputFrameNumber", Of(4)),
    ("InputMicroFrameNumber", Of(4)),
    ("QueryPerformanceCounterAtInputFrameOrMicroFrame", Of(8)),
    ("QueryPerformanceCounterFrequency", Of(8)),
    ("PredictedAccuracyInMicroSeconds", Of(4)),
    ("CurrentGenerationID", Of(4)),
    ("CurrentQueryPerformanceCounter", Of(8)),
    ("CurrentHardwareFrameNumber", Of(4)),
    ("CurrentHardwareMicroFrameNumber", Of(4)),
    ("CurrentUSBFrameNumber", Of(4)),
];

const REPORT: &[(&str, Width)] = &[
    ("Size", Of(4)),
    ("Outcome", Of(4)),
    ("FrameSource", Of(4)),
    ("FirstFrame", Of(4)),
    ("NextFrame", Of(4)),
    ("FrameUncertainty", Of(4)),
    ("Gap", Of(4)),
    ("GapFirstFrame", Of(4)),
    ("GapFrames", Of(4)),
    ("GapUncertainty", Of(4)),
    ("GapCause", Of(4)),
    ("BytesTransferred", Of(4)),
];

const STATISTICS: &[(&str, Width)] = &[
    ("Size", Of(4)),
    ("Reserved", Of(4)),
    ("Submitted", Of(8)),
    ("Completed", Of(8)),
    ("Cancelled", Of(8)),
    ("Failed", Of(8)),
    ("PacketsDone", Of(8)),
    ("PacketsLate", Of(8)),
    ("PacketsMissed", Of(8)),
    ("PacketsFailed", Of(8)),
    ("Bytes", Of(8)),
    ("Gaps", Of(8)),
    ("IntervalsLost", Of(8)),
];

const TRANSFER: &[(&str, Width)] = &[
    ("Size", Of(4)),
    ("Offset", Of(4)),
    ("Length", Of(4)),
    ("Start", Of(4)),
    ("FrameNumber", Of(4)),
    ("NumberOfPackets", Of(4)),
    ("PacketLengths", Pointer),
    ("Packets", Pointer),
    ("Report", Pointer),
];

const fn natural(name: &'static str, fields: &'static [(&'static str, Width)]) -> Struct {
    Struct { name, packed: false, output: false, fields }
}

const fn written(name: &'static str, fields: &'static [(&'static str, Width)]) -> Struct {
    Struct { name, packed: false, output: true, fields }
}

const fn packed(name: &'static str, fields: &'static [(&'static str, Width)]) -> Struct {
    Struct { name, packed: true, output: false, fields }
}

/// All structs.
pub static STRUCTS: &[Struct] = &[
    written(
        "PIPE_INFORMATION",
        &[("PipeType", Of(4)), ("PipeId", Of(1)), ("MaximumPacketSize", Of(2)), ("Interval", Of(1))],
    ),
    written(
        "PIPE_INFORMATION_EX",
        &[
            ("PipeType", Of(4)),
            ("PipeId", Of(1)),
            ("MaximumPacketSize", Of(2)),
            ("Interval", Of(1)),
            ("MaximumBytesPerInterval", Of(4)),
        ],
    ),
    written("ISO_PACKET", &[("Offset", Of(4)), ("Length", Of(4)), ("Status", Of(4))]),
    Struct { name: "INTERFACE_DESCRIPTOR", packed: true, output: true, fields: INTERFACE_DESCRIPTOR },
    natural(
        "OVERLAPPED",
        &[
            ("Internal", Pointer),
            ("InternalHigh", Pointer),
            ("Offset", Of(4)),
            ("OffsetHigh", Of(4)),
            ("hEvent", Pointer),
        ],
    ),
    natural(
        "OVERLAPPED_ENTRY",
        &[
            ("lpCompletionKey", Pointer),
            ("lpOverlapped", Pointer),
            ("Internal", Pointer),
            ("dwNumberOfBytesTransferred", Of(4)),
        ],
    ),
    packed("START_TRACKING", &[("TimeTrackingHandle", Pointer), ("IsStartupDelayTolerable", Of(1))]),
    packed("STOP_TRACKING", &[("TimeTrackingHandle", Pointer)]),
    packed("FRAME_AND_COUNTER", FRAME_AND_COUNTER),
    natural("VERSION", &[("Size", Of(4)), ("Major", Of(4)), ("Minor", Of(4)), ("Patch", Of(4))]),
    natural(
        "DEVICE",
        &[
            ("Size", Of(4)),
            ("VendorId", Of(2)),
            ("ProductId", Of(2)),
            ("Speed", Of(4)),
            ("Address", Text(256)),
            ("Manufacturer", Text(128)),
            ("Product", Text(128)),
            ("SerialNumber", Text(128)),
        ],
    ),
    natural("BUS", &[("Size", Of(4)), ("FaultFile", Pointer)]),
    natural(
        "FRAME_CLOCK",
        &[
            ("Size", Of(4)),
            ("Mode", Of(4)),
            ("Bias", Of(4)),
            ("Quality", Of(4)),
            ("Microframe", Of(4)),
            ("Frame", Of(8)),
            ("PerformanceCounter", Of(8)),
            ("UncertaintyNanoseconds", Of(8)),
        ],
    ),
    natural("STATISTICS", STATISTICS),
    natural("TRANSFER", TRANSFER),
    natural("REPORT", REPORT),
];

/// The struct of this name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Struct> {
    STRUCTS.iter().find(|known| known.name == name)
}

/// The struct that a parameter takes, if it takes one.
#[must_use]
pub fn of(kind: Kind) -> Option<&'static Struct> {
    named(match kind {
        Kind::PipeInformation => "PIPE_INFORMATION",
        Kind::PipeInformationEx => "PIPE_INFORMATION_EX",
        Kind::InterfaceDescriptor => "INTERFACE_DESCRIPTOR",
        Kind::Packets => "ISO_PACKET",
        Kind::Overlapped => "OVERLAPPED",
        Kind::Entries => "OVERLAPPED_ENTRY",
        Kind::StartTracking => "START_TRACKING",
        Kind::StopTracking => "STOP_TRACKING",
        Kind::FrameAndCounter => "FRAME_AND_COUNTER",
        Kind::Version => "VERSION",
        Kind::Devices => "DEVICE",
        Kind::Bus => "BUS",
        Kind::FrameClock => "FRAME_CLOCK",
        Kind::Statistics => "STATISTICS",
        Kind::Transfer => "TRANSFER",
        _ => return None,
    })
}

impl Struct {
    /// Bytes of one.
    #[must_use]
    pub fn size(&self) -> usize {
        let end = self.places().last().map_or(0, |(_, at, width)| at + width.size());
        let largest = self.fields.iter().map(|(_, width)| width.alignment()).max().unwrap_or(1);
        if self.packed { end } else { end.next_multiple_of(largest) }
    }

    /// Where a field is, and how wide.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<(usize, usize)> {
        self.places().find(|(known, ..)| *known == name).map(|(_, at, width)| (at, width.size()))
    }

    fn places(&self) -> impl Iterator<Item = (&'static str, usize, Width)> {
        let packed = self.packed;
        self.fields.iter().scan(0, move |end, (name, width)| {
            let at = if packed { *end } else { usize::next_multiple_of(*end, width.alignment()) };
            *end = at + width.size();
            Some((*name, at, *width))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of §2.1, for pointers of 8 and of 4 bytes.
    #[test]
    fn sizes_are_those_of_the_c_compilers() {
        let sizes = [
            ("PIPE_INFORMATION", 12, 12),
            ("PIPE_INFORMATION_EX", 16, 16),
            ("ISO_PACKET", 12, 12),
            ("INTERFACE_DESCRIPTOR", 9, 9),
            ("OVERLAPPED", 32, 20),
            ("START_TRACKING", 9, 5),
            ("STOP_TRACKING", 8, 4),
            ("FRAME_AND_COUNTER", 60, 56),
        ];
        for (name, wide, narrow) in sizes {
            let expected = if size_of::<usize>() == 8 { wide } else { narrow };
            assert_eq!(named(name).map(Struct::size), Some(expected), "{name}");
        }
    }

    #[test]
    fn fields_are_where_the_table_has_them() {
        let at = |name: &str, field: &str| named(name).and_then(|found| found.field(field));
        assert_eq!(at("PIPE_INFORMATION_EX", "MaximumPacketSize"), Some((6, 2)));
        assert_eq!(at("PIPE_INFORMATION_EX", "Interval"), Some((8, 1)));
        if size_of::<usize>() == 8 {
            assert_eq!(at("FRAME_AND_COUNTER", "CurrentUSBFrameNumber"), Some((56, 4)));
            assert_eq!(at("OVERLAPPED", "hEvent"), Some((24, 8)));
        }
    }
}
