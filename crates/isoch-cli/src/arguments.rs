//! The command line.
//!
//! Why are values read here, and not where they are used? A wrong value is the user's mistake of *now*: it
//! must be told before a device is opened or a file made, in the words of the option it was given to, and
//! with the exit status of a wrong usage. So every option has a type that cannot hold a wrong value.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueHint};

const EXIT_STATUS: &str = "\
Exit status:
  0  everything was placed, or this bus cannot tell (the summary says which)
  1  an error
  2  wrong usage
  3  frames were lost: gaps, late, misplaced or failed packets";

const EXAMPLES: &str = "\
Examples:
  isoch list
  isoch play song.wav --device 'virtual:speaker?save=heard.wav' --plot song.svg
  isoch record take.wav --for 3s
  isoch write data.bin --device virtual:article --at +20 --report report.json

Every command works on emulated devices, without hardware: `isoch list` names them.";

/// What the long help of list and describe says of emulated devices.
const EMULATED: &str = "\
Emulated devices live in one process: every run of isoch has virtual buses of its own, so what one run \
plays no other can record.";

/// What the help of doctor says of what it does.
const DOCTOR: &str = "\
It looks at rights, drivers, memory, the host controller and the kernel, changes nothing and disturbs no \
stream. Each line is ok, a warning, a problem, or unknown, with what to do behind an arrow: some things only \
root sees.

Exit status:
  0  there is no problem
  1  there is one, or an error
  2  wrong usage

Example:
  isoch doctor usb:1235:8214 --print-udev-rule | sudo tee /etc/udev/rules.d/70-isoch.rules";

/// What the help of run says of what it does.
const RUN: &str = "\
The device is opened once to see whether it can be. Then the program runs with ISOCH_DEVICE, and with \
ISOCH_CLOCK, ISOCH_FAULTS and ISOCH_TRACE as asked for; it finds libwinusb if that was installed with this \
command. The device is the one that it finds when it looks for devices; a program that names its device itself \
keeps to that.

Exit status:
  the program's; before it starts:
  1  an error
  2  wrong usage

Example:
  isoch run --clock on-wait --trace stderr -- ./article";

const SPEAKER: &str = "The device; `isoch list` shows addresses [default: virtual:speaker]";
const ARTICLE: &str = "The device; `isoch list` shows addresses [default: virtual:article]";
const MICROPHONE: &str = "The device; `isoch list` shows addresses [default: virtual:microphone]";

/// Isochronous USB: start on a named frame, and learn which frames were lost.
#[derive(Debug, Parser)]
#[command(name = "isoch", version, propagate_version = true, after_help = EXAMPLES, after_long_help = EXAMPLES)]
#[command(arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the devices that can be opened
    List(List),
    /// Say in words what a device's descriptors offer
    Describe(Describe),
    /// Say what would keep a device from streaming well, and what to do about it
    Doctor(Doctor),
    /// Play a WAV file on an audio device
    Play(Play),
    /// Record a WAV file from an audio device
    Record(Record),
    /// Write raw bytes to an isochronous OUT endpoint
    Write(Write),
    /// Read raw bytes from an isochronous IN endpoint
    Read(Read),
    /// Run a program for WinUSB on a device
    Run(Run),
    /// Print a completion script for a shell
    #[command(
        after_help = "For bash: isoch completions bash > ~/.local/share/bash-completion/completions/isoch"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write all pages to a directory
    Man {
        /// Where to write isoch.1, isoch-play.1 and so on
        #[arg(value_name = "DIRECTORY", value_hint = ValueHint::DirPath)]
        directory: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
#[command(after_help = EMULATED)]
pub(crate) struct List {
    /// Only the devices on the bus of this address, such as virtual:FILE.toml
    #[arg(value_name = "ADDRESS")]
    pub(crate) address: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = EMULATED, mut_arg("device", |device| device.help(SPEAKER)))]
pub(crate) struct Describe {
    /// The same as --device
    #[arg(value_name = "ADDRESS", conflicts_with = "device")]
    pub(crate) address: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Print the descriptors' bytes, too
    #[arg(long)]
    pub(crate) raw: bool,
    #[command(flatten)]
    pub(crate) device: DeviceArguments,
}

#[derive(Debug, Args)]
#[command(after_help = DOCTOR)]
pub(crate) struct Doctor {
    /// The device; without one, every device that is plugged in and has isochronous endpoints
    #[arg(value_name = "ADDRESS", conflicts_with = "device")]
    pub(crate) address: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Only print the rule that gives the device to whoever sits at this machine (Linux)
    #[arg(long)]
    pub(crate) print_udev_rule: bool,
    /// The same as ADDRESS
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) device: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_STATUS, mut_arg("device", |device| device.help(SPEAKER)))]
pub(crate) struct Play {
    /// The WAV file: 8, 16, 24 or 32 bits, with channels and a rate that the device has
    #[arg(value_name = "FILE.wav", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) device: DeviceArguments,
    #[command(flatten)]
    pub(crate) endpoint: EndpointArguments,
    #[command(flatten)]
    pub(crate) stream: StreamArguments,
}

#[derive(Debug, Args)]
#[command(
    after_help = "What --rate, --bits and --channels leave open is 48000 Hz, 16 bits, 2 channels if the device has that, or \
                  else the first that it has.\nWhere packets were lost there is silence as long as they, so that later \
                  sounds stay in their places;\nthe report tells where. After Ctrl-C, or an error, what was recorded is \
                  kept as a whole WAV file.\n\nExit status:\n  0  nothing was lost\n  1  an error\n  2  wrong usage\n  \
                  3  frames were lost: gaps, late, misplaced or failed packets",
    mut_arg("device", |device| device.help(MICROPHONE))
)]
pub(crate) struct Record {
    /// The WAV file to write
    #[arg(value_name = "FILE.wav", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Samples per second
    #[arg(long, value_name = "HZ", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate: Option<u32>,
    /// Bits per sample
    #[arg(long, value_name = "BITS", value_parser = clap::value_parser!(u8).range(1..=32))]
    pub(crate) bits: Option<u8>,
    /// Channels
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) channels: Option<u8>,
    #[command(flatten)]
    pub(crate) device: DeviceArguments,
    #[command(flatten)]
    pub(crate) endpoint: EndpointArguments,
    #[command(flatten)]
    pub(crate) stream: StreamArguments,
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_STATUS, mut_arg("device", |device| device.help(SPEAKER)))]
pub(crate) struct Write {
    /// The bytes to write; - is the standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Bytes in each service interval, except perhaps the last [default: all it carries]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) packet: Option<u32>,
    #[command(flatten)]
    pub(crate) device: DeviceArguments,
    #[command(flatten)]
    pub(crate) endpoint: EndpointArguments,
    #[command(flatten)]
    pub(crate) stream: StreamArguments,
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_STATUS, mut_arg("device", |device| device.help(MICROPHONE)))]
pub(crate) struct Read {
    /// Where the bytes go, packet after packet; - is the standard output
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) device: DeviceArguments,
    #[command(flatten)]
    pub(crate) endpoint: EndpointArguments,
    #[command(flatten)]
    pub(crate) stream: StreamArguments,
}

#[derive(Debug, Args)]
#[command(after_help = RUN, mut_arg("device", |device| device.help(ARTICLE)))]
pub(crate) struct Run {
    /// The program, and its arguments
    #[arg(last = true, required = true, value_name = "PROGRAM [ARGUMENT]", value_hint = ValueHint::CommandWithArguments)]
    pub(crate) command: Vec<OsString>,
    /// Faults for the emulated bus: a TOML file of fault tables
    #[arg(long, value_name = "FILE.toml", value_hint = ValueHint::FilePath)]
    pub(crate) fault: Option<PathBuf>,
    /// Write every call and what came of it to a file; stderr is the standard error
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) trace: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) device: DeviceArguments,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Device")]
pub(crate) struct DeviceArguments {
    /// The device; `isoch list` shows addresses. Each command says which is its default.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) device: Option<String>,
    /// What moves an emulated bus's time: the machine's clock, or this program's waits (every run is then
    /// the same, and as fast as it can be)
    #[arg(long, value_name = "CLOCK")]
    pub(crate) clock: Option<Clock>,
    /// Wait this long for the device if it is not plugged in, in ms, s, min or h
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) wait: Option<Duration>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Endpoint (found by itself if there is only one choice)")]
pub(crate) struct EndpointArguments {
    /// The interface
    #[arg(long, value_name = "NUMBER")]
    pub(crate) interface: Option<u8>,
    /// Its alternate setting
    #[arg(short, long, value_name = "NUMBER")]
    pub(crate) alternate_setting: Option<u8>,
    /// The endpoint, as 0x81 or 1
    #[arg(short, long, value_name = "NUMBER", value_parser = endpoint)]
    pub(crate) endpoint: Option<u8>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Stream")]
pub(crate) struct StreamArguments {
    /// Start on this frame; +N is N frames from now; asap is as soon as the bus can
    #[arg(long, value_name = "FRAME|+N|asap", default_value = "asap")]
    pub(crate) at: At,
    /// How much is queued at the bus, in ms, s or frames
    #[arg(long, value_name = "TIME", default_value = "64ms")]
    pub(crate) depth: Frames,
    /// How much each transfer carries, in ms, s or frames [default: a quarter of the depth]
    #[arg(long, value_name = "TIME")]
    pub(crate) transfer: Option<Frames>,
    /// Stop after this long, in ms, s, min or h
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    pub(crate) duration: Option<Duration>,
    /// Write a report: totals, each gap, and the frames in which packets failed (of gaps and failures the
    /// first 1000); - is the standard output
    #[arg(long, value_name = "FILE.json", value_hint = ValueHint::FilePath)]
    pub(crate) report: Option<PathBuf>,
    /// Draw a time line of the frames; - is the standard output
    #[arg(long, value_name = "FILE.svg", value_hint = ValueHint::FilePath)]
    pub(crate) plot: Option<PathBuf>,
    /// No progress and no summary, only errors
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// What moves an emulated bus's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Clock {
    Real,
    OnWait,
}

impl Clock {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Clock::Real => "real",
            Clock::OnWait => "on-wait",
        }
    }
}

/// Where a stream starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// As soon as the bus can.
    Asap,
    /// On this frame.
    Frame(u64),
    /// So many frames from now.
    After(u64),
}

impl FromStr for At {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |digits: &str| {
            let takes = "it takes a frame number, as 1200; +N for N frames from now; or asap";
            digits.parse::<u32>().map(u64::from).map_err(|_| takes.to_owned())
        };
        match text.strip_prefix('+') {
            _ if text == "asap" => Ok(At::Asap),
            Some(digits) if digits.starts_with(|c: char| c.is_ascii_digit()) => number(digits).map(At::After),
            Some(_) => number("").map(At::After),
            None => number(text).map(At::Frame),
        }
    }
}

/// A number of frames: milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frames(pub(crate) u32);

impl FromStr for Frames {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || "it takes whole milliseconds up to 60 s, as 8ms, 0.5s or 8frames".to_owned();
        let digits = text.strip_suffix("frames").or_else(|| text.strip_suffix("frame"));
        let duration = match digits {
            Some(digits) => time(&format!("{}ms", digits.trim_end())),
            None => time(text),
        };
        let duration = duration.map_err(|_| bad())?;
        let frames = u32::try_from(duration.as_millis()).map_err(|_| bad())?;
        let whole = Duration::from_millis(u64::from(frames)) == duration;
        if whole && (1..=60_000).contains(&frames) { Ok(Frames(frames)) } else { Err(bad()) }
    }
}

/// A time with its unit.
fn time(text: &str) -> Result<Duration, String> {
    let bad = || "it takes a time with its unit, as 500ms, 10s, 1.5min or 2h".to_owned();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
    let (number, unit) = text.split_at(split);
    let seconds = match unit.trim() {
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(bad()),
    };
    let number: f64 = number.parse().map_err(|_| bad())?;
    // Rounded to microseconds: 0.1 s is a hundred milliseconds, not a bit more.
    let microseconds = (number * seconds * 1e6).round();
    if !(1.0..=1e15).contains(&microseconds) {
        return Err(bad());
    }
    Ok(Duration::from_micros(microseconds as u64))
}

/// An endpoint's address or number.
fn endpoint(text: &str) -> Result<u8, String> {
    let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u8::from_str_radix(digits, 16),
        None => text.parse(),
    };
    let known = parsed.ok().filter(|address| address & 0x70 == 0 && address & 0x0f != 0);
    known.ok_or_else(|| "it takes an endpoint's address, as 0x81, or its number, 1 to 15".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn times_have_units() {
        assert_eq!("8ms".parse(), Ok(Frames(8)));
        assert_eq!("0.1s".parse(), Ok(Frames(100)));
        assert_eq!("12 frames".parse(), Ok(Frames(12)));
        assert_eq!("1frame".parse(), Ok(Frames(1)));
        for bad in ["", "8", "ms", "0ms", "0.5ms", "1.5frames", "61s", "-1ms", "1e3ms", "8 parsecs", "....s"]
        {
            assert!(bad.parse::<Frames>().is_err(), "{bad}");
        }
        let bad: Result<Frames, String> = "0frames".parse();
        assert!(bad.is_err_and(|message| message.contains("8frames")));
        assert_eq!(time("1.5min"), Ok(Duration::from_secs(90)));
        assert_eq!(time("2h"), Ok(Duration::from_secs(7200)));
        for bad in ["10", "0s", "99999999999999999999h", "s", "inf s", "nan"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn starts_and_endpoints() {
        assert_eq!("asap".parse(), Ok(At::Asap));
        assert_eq!("+20".parse(), Ok(At::After(20)));
        assert_eq!("1200".parse(), Ok(At::Frame(1200)));
        for bad in ["", "+", "++1", "-1", "soon", "1.5", "99999999999"] {
            assert!(bad.parse::<At>().is_err(), "{bad}");
        }
        assert_eq!(endpoint("0x81"), Ok(0x81));
        assert_eq!(endpoint("2"), Ok(2));
        for bad in ["0", "16", "0x80", "300", "x", "0x"] {
            assert!(endpoint(bad).is_err(), "{bad}");
        }
    }
}
