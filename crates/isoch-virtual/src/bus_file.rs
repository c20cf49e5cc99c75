//! A bus described by a TOML file: its devices, its clock, what goes wrong and when.
//!
//! Why not serde's derived structs? Because a file like this is written by hand, and its mistakes are
//! discovered by people who want to get on: each error should name the line and column, say what exists and
//! what to do. Serde's messages speak of types and variants, and stop at what a type can express; here half
//! the checks are about other parts of the file (a fault on a device that does not exist).
//!
//! ```toml
//! clock = "on-wait"            # or "real", "manual"
//! sof_ppm = 30                 # the bus runs 30 ppm faster than the host
//!
//! [[device]]
//! name = "left"                # default: the kind
//! kind = "speaker"
//! plug_at = 0                  # frame
//! device_ppm = -50             # everything else is a parameter of the kind
//! save = "left.wav"            # relative to this file
//!
//! [[fault]]
//! frames = [100, 103]          # frames 100, 101 and 102; or: frame = 100
//! kind = "lost_on_wire"
//! device = "left"
//! endpoint = 0x01
//! ```

use std::fmt;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::bus_clock::BusClock;
use crate::device::Device;
use crate::devices::{self, BuildError, KINDS};
use crate::faults::{Fault, FaultKind};

mod fields;

use fields::{Fields, Problem, listed};

/// A bus, as a file describes it. Everything in it has been checked; devices can be built.
#[derive(Clone, Debug, PartialEq)]
pub struct BusFile {
    /// Which host controller is imitated; not checked here, because profiles are the controller's.
    pub profile: Option<String>,
    /// How time passes, if the file says so.
    pub clock: Option<BusClock>,
    /// How much faster the bus' clock is than the host's, in parts per million.
    pub sof_ppm: f64,
    /// The devices, in the order of the file.
    pub devices: Vec<BusDevice>,
    /// What goes wrong, in the order of the file.
    pub faults: Vec<Fault>,
}

/// A device of a [`BusFile`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusDevice {
    /// The name of its port; no two are the same.
    pub name: String,
    /// One of [`KINDS`].
    pub kind: String,
    /// The frame in which it is plugged in.
    pub plug_at: u64,
    /// Its parameters; relative paths have been joined to the directory of the file.
    pub parameters: Vec<(String, String)>,
}

impl BusDevice {
    /// Builds the device.
    ///
    /// # Errors
    /// The file was checked, but directories and WAV files can change since: see [`devices::build`].
    pub fn build(&self) -> Result<Box<dyn Device>, BuildError> {
        devices::build(&self.kind, &self.parameters)
    }
}

/// What is wrong with a file, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusFileError {
    /// The file, if it was read from one.
    pub path: Option<String>,
    /// Line, from 1; 0 if it is about no place in the file.
    pub line: usize,
    /// Column in characters, from 1; 0 if it is about no place in the file.
    pub column: usize,
    /// The sentence.
    pub message: String,
}

impl fmt::Display for BusFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.path, self.line) {
            (Some(path), 0) => write!(f, "{path}: {}", self.message),
            (Some(path), line) => write!(f, "{path}:{line}:{}: {}", self.column, self.message),
            (None, 0) => f.write_str(&self.message),
            (None, line) => write!(f, "line {line}, column {}: {}", self.column, self.message),
        }
    }
}

impl std::error::Error for BusFileError {}

impl BusFile {
    /// Reads a file. Relative paths in it belong to the directory it is in.
    ///
    /// # Errors
    /// If it cannot be read, or as [`BusFile::parse`].
    pub fn load(path: &Path) -> Result<Self, BusFileError> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| BusFileError {
            path: Some(name.clone()),
            line: 0,
            column: 0,
            message: format!("cannot be read ({error}): give the path of a TOML file that describes a bus"),
        })?;
        let directory = path.parent().unwrap_or(Path::new(""));
        BusFile::parse(&text, directory).map_err(|error| BusFileError { path: Some(name), ..error })
    }

    /// Understands the text of a file; relative paths in it are joined to `directory`. Devices are built
    /// once to check them: WAV files are read, and directories tried.
    ///
    /// # Errors
    /// The first mistake, with its line and column.
    pub fn parse(text: &str, directory: &Path) -> Result<Self, BusFileError> {
        let document = DeTable::parse(text).map_err(|error| {
            let message = format!("this is not TOML: {}", error.message().replace('\n', ", "));
            located(text, Problem { at: error.span().unwrap_or(0..0), message })
        })?;
        bus(&document, directory).map_err(|problem| located(text, problem))
    }
}

/// Gives a problem its line and column.
fn located(text: &str, problem: Problem) -> BusFileError {
    let mut start = problem.at.start.min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let before = &text[..start];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    BusFileError {
        path: None,
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
        message: problem.message,
    }
}

fn bus(document: &Spanned<DeTable<'_>>, directory: &Path) -> Result<BusFile, Problem> {
    let top = Fields::new("the file", document.get_ref(), document.span());
    top.only(&["profile", "clock", "sof_ppm", "device", "fault"])?;
    let profile = top.text("profile")?.map(|(profile, _)| profile);
    let clock = top.choice(
        "clock",
        &[("real", BusClock::Real), ("manual", BusClock::Manual), ("on-wait", BusClock::OnWait)],
    )?;
    let sof_ppm = top.number("sof_ppm", -10_000.0..=10_000.0)?.unwrap_or(0.0);
    let mut devices: Vec<(BusDevice, Vec<u8>)> = Vec::new();
    for (table, at) in top.tables("device")? {
        let device = device(table, at, directory, &devices)?;
        devices.push(device);
    }
    let mut faults = Vec::new();
    for (table, at) in top.tables("fault")? {
        faults.push(fault(table, at, &devices)?);
    }
    if devices.is_empty() {
        return top.problem(format!(
            "there is no device: add [[device]] with kind = one of {}",
            listed(KINDS.iter().map(|kind| kind.name))
        ));
    }
    let devices = devices.into_iter().map(|(device, _)| device).collect();
    Ok(BusFile { profile, clock, sof_ppm, devices, faults })
}

/// A device, and the addresses of its endpoints.
fn device(
    table: &DeTable<'_>,
    at: Range<usize>,
    directory: &Path,
    earlier: &[(BusDevice, Vec<u8>)],
) -> Result<(BusDevice, Vec<u8>), Problem> {
    let fields = Fields::new("[[device]]", table, at.clone());
    let kinds: Vec<(&str, _)> = KINDS.iter().map(|kind| (kind.name, kind)).collect();
    let Some(kind) = fields.choice("kind", &kinds)? else {
        return fields.problem(format!(
            "a device needs a kind: add kind = one of {}",
            listed(KINDS.iter().map(|kind| kind.name))
        ));
    };
    let (name, name_at) = fields.text("name")?.unwrap_or((kind.name.to_owned(), at));
    let usable = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || !name.chars().all(usable) {
        let message = format!("'{name}' cannot stand in an address: use letters, digits, '-', '_' and '.'");
        return Err(Problem { at: name_at, message });
    }
    if earlier.iter().any(|(device, _)| device.name == name) {
        let message = format!("there is already a device named '{name}': give this one a name of its own");
        return Err(Problem { at: name_at, message });
    }
    let plug_at = fields.whole("plug_at", 0..=u64::from(u32::MAX))?.unwrap_or(0);
    let mut known = vec!["name", "kind", "plug_at"];
    known.extend(kind.parameters.iter().map(|parameter| parameter.name));
    fields.only(&known)?;
    let mut parameters = Vec::new();
    for parameter in kind.parameters {
        let Some(mut value) = fields.parameter(parameter.name)? else { continue };
        if parameter.is_path {
            value = directory.join(value).display().to_string();
        }
        let parameter = (parameter.name.to_owned(), value);
        let writer = earlier.iter().find(|(device, _)| device.parameters.contains(&parameter));
        if let ("save", Some((device, _))) = (parameter.0.as_str(), writer) {
            let message = format!("'{}' saves to this file already: give each its own", device.name);
            return fields.problem_at("save", message);
        }
        parameters.push(parameter);
    }
    let device = BusDevice { name, kind: kind.name.to_owned(), plug_at, parameters };
    let built = device.build().map_err(|error| Problem {
        at: fields.place(error.parameter().unwrap_or("kind")),
        message: error.to_string(),
    })?;
    Ok((device, endpoints(&built.descriptors().configuration)))
}

/// The addresses of all endpoints of a configuration.
fn endpoints(configuration: &[u8]) -> Vec<u8> {
    let mut addresses = Vec::new();
    let mut rest = configuration;
    while let [length, descriptor_type, address, ..] = *rest {
        if descriptor_type == 0x05 && !addresses.contains(&address) {
            addresses.push(address);
        }
        rest = rest.get(usize::from(length).max(2)..).unwrap_or_default();
    }
    addresses
}

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

fn fault(table: &DeTable<'_>, at: Range<usize>, devices: &[(BusDevice, Vec<u8>)]) -> Result<Fault, Problem> {
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
    if !addresses.contains(&address) {
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
