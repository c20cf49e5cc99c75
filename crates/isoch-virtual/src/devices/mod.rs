//! Emulated devices: built by name and parameters, or by typed options.
//!
//! Why whole devices and not scripted answers? A program that works with a script works with that script.
//! These have descriptors that real drivers accept, requests that real classes define, clocks that really
//! drift, and buffers that really run dry; a program that works with them has met the problem.

pub mod article;
pub mod audio;
pub mod descriptors;
pub mod loopback;
pub mod microphone;
mod parameters;
mod playback;
pub mod sample;
mod sample_clock;
mod shape;
mod signal;
pub mod source_sink;
pub mod speaker;
mod wav;

pub use article::Article;
pub use audio::{Format, Offer};
pub use loopback::{Loopback, LoopbackOptions};
pub use microphone::{Microphone, MicrophoneOptions, Source};
pub use parameters::BuildError;
pub use sample::{Sample, SampleOptions};
pub use shape::ShapeOptions;
pub use signal::End;
pub use source_sink::{Pattern, SourceSink, SourceSinkOptions};
pub use speaker::{Speaker, SpeakerOptions, Synchronization};

use crate::device::Device;
use parameters::{Parameters, listed};

/// A kind of device, for help and for checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its name in addresses and files.
    pub name: &'static str,
    /// What it is, in one line.
    pub description: &'static str,
    /// What it may be given.
    pub parameters: &'static [Parameter],
}

/// A parameter of a kind of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it takes, as shown in help.
    pub takes: &'static str,
    /// What it does, with its default.
    pub description: &'static str,
    /// Whether it is a path: relative ones belong to the directory of the file that gives them.
    pub is_path: bool,
}

const fn parameter(name: &'static str, takes: &'static str, description: &'static str) -> Parameter {
    Parameter { name, takes, description, is_path: false }
}

const SPEED: Parameter = parameter("speed", "full|high|super", "how it connects (default high)");
const PACKET: Parameter =
    parameter("packet", "BYTES", "bytes of one isochronous transaction (default the most)");
const MULT: Parameter = parameter("mult", "0..2", "additional transactions per interval (default 0)");
const BURST: Parameter = parameter("burst", "0..15", "bMaxBurst at SuperSpeed (default 0)");
const BYTES: Parameter = parameter("bytes", "BYTES", "wBytesPerInterval at SuperSpeed (default the most)");

const DEVICE_PPM: Parameter = parameter(
    "device_ppm",
    "PPM",
    "how much faster the device's clock is than the bus, -1000 to 1000 (default 0)",
);
const RATES: Parameter = parameter("rates", "HZ,HZ,...", "sampling frequencies on offer (default all)");
const BITS: Parameter =
    parameter("bits", "BITS,...", "bits per sample on offer, of 8,16,24,32 (default all)");
const CHANNELS: Parameter = parameter("channels", "1|2|1,2", "channel counts on offer (default 1,2)");

/// Every kind of device there is.
pub const KINDS: &[Kind] = &[
    Kind {
        name: "source-sink",
        description: "gadget zero (0525:a4a0): sends a pattern, swallows everything, bulk and isochronous",
        parameters: &[
            SPEED,
            parameter("pattern", "0|1", "zeros, or byte i is i mod packet mod 63 (default 0)"),
            parameter(
                "alt0",
                "full|empty",
                "alternate setting 0 with or without bulk endpoints (default full)",
            ),
            parameter("interval", "1..16", "bInterval of the isochronous endpoints (default 4)"),
            PACKET,
            MULT,
            BURST,
            BYTES,
        ],
    },
    Kind {
        name: "loopback",
        description: "what comes OUT goes back IN, packet by packet, a fixed number of frames later",
        parameters: &[
            SPEED,
            parameter("delay", "FRAMES", "frames from OUT to IN, 1 to 1000 (default 1)"),
            parameter("interval", "1..16", "bInterval of the isochronous endpoints (default 1)"),
            PACKET,
            MULT,
            BURST,
            BYTES,
        ],
    },
    Kind {
        name: "speaker",
        description: "an audio class 1 loudspeaker with its own clock, explicit feedback and a real buffer",
        parameters: &[
            Parameter {
                is_path: true,
                ..parameter("save", "FILE.wav", "where to save what arrives; a second stream overwrites it")
            },
            DEVICE_PPM,
            parameter("sync", "async|adaptive", "feedback endpoint, or following the host (default async)"),
            RATES,
            BITS,
            CHANNELS,
            parameter("buffer", "MS", "milliseconds of buffer, 4 to 1000 (default 20)"),
            parameter("refresh", "1..9", "feedback is new every 2^n frames (default 3)"),
        ],
    },
    Kind {
        name: "microphone",
        description: "an audio class 1 microphone that plays a file or a signal at its own clock's rate",
        parameters: &[
            Parameter {
                is_path: true,
                ..parameter("file", "FILE.wav", "what it hears; it then offers the file's format only")
            },
            parameter("end", "loop|silence", "what happens at the end of the file (default loop)"),
            parameter(
                "signal",
                "sine|counter",
                "without a file: a sine, right at half of left, or each sample's own number (default sine)",
            ),
            parameter("frequency", "HZ", "of the sine, 1 to 20000 (default 1000)"),
            DEVICE_PPM,
            RATES,
            BITS,
            CHANNELS,
        ],
    },
    Kind {
        name: "sample",
        description: "a high-speed instrument whose packets prove what was lost: sample, packet and frame numbers",
        parameters: &[
            parameter("rate", "HZ", "samples per second (default 1000000)"),
            parameter("packet", "BYTES", "bytes per microframe, 20 to 1024 (default 1024)"),
            parameter("status", "MS", "milliseconds between status reports, 1 to 1000 (default 10)"),
            parameter(
                "start",
                "setting|request",
                "runs with alternate setting 1, or when told to (default setting)",
            ),
            DEVICE_PPM,
        ],
    },
    Kind {
        name: "article",
        description: "the device of Microsoft's WinUSB article: 1024 bytes per microframe, OUT and IN",
        parameters: &[],
    },
];

/// Builds a device from its kind and parameters, as addresses and files give them.
///
/// # Errors
/// A sentence that says what exists, if the kind, a parameter or a value does not; or what is wrong with a
/// file that a parameter names.
pub fn build(kind: &str, parameters: &[(String, String)]) -> Result<Box<dyn Device>, BuildError> {
    let Some(known) = KINDS.iter().find(|known| known.name == kind) else {
        return Err(BuildError::UnknownKind {
            kind: kind.into(),
            known: listed(KINDS.iter().map(|known| known.name)),
        });
    };
    let parameters = Parameters::new(known, parameters)?;
    Ok(match known.name {
        "source-sink" => Box::new(SourceSink::from_parameters(&parameters)?),
        "loopback" => Box::new(Loopback::from_parameters(&parameters)?),
        "speaker" => Box::new(Speaker::from_parameters(&parameters)?),
        "microphone" => Box::new(Microphone::from_parameters(&parameters)?),
        "sample" => Box::new(Sample::from_parameters(&parameters)?),
        _ => Box::new(Article::new()),
    })
}
