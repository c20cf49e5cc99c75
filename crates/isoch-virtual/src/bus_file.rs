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
use toml::de::DeTable;

use crate::bus_clock::BusClock;
use crate::device::Device;
use crate::devices::{self, BuildError, KINDS};
use crate::faults::Fault;

mod fault;
mod fields;

use fault::fault;
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
        let directory = path.parent().unwrap_or(Path::new(""));
        read(path, |text| BusFile::parse(text, directory))
    }

    /// Understands the text of a file; relative paths in it are joined to `directory`. Devices are built
    /// once to check them: WAV files are read, and directories tried.
    ///
    /// # Errors
    /// The first mistake, with its line and column.
    pub fn parse(text: &str, directory: &Path) -> Result<Self, BusFileError> {
        let document = document(text)?;
        bus(&document, directory).map_err(|problem| located(text, problem))
    }
}

/// Reads only the faults of a file, for a bus that exists already. A file without any device will do: what
/// its faults are about is then not checked. Where it does describe devices, its faults are about those, as
/// in [`BusFile::load`].
///
/// # Errors
/// As [`BusFile::load`], but for files without devices.
pub fn load_faults(path: &Path) -> Result<Vec<Fault>, BusFileError> {
    let directory = path.parent().unwrap_or(Path::new(""));
    read(path, |text| parse_faults(text, directory))
}

/// The same for the text of a file; relative paths in it are joined to `directory`.
///
/// # Errors
/// As [`BusFile::parse`], but for text without devices.
pub fn parse_faults(text: &str, directory: &Path) -> Result<Vec<Fault>, BusFileError> {
    let document = document(text)?;
    sections(&document, directory).map(|file| file.faults).map_err(|problem| located(text, problem))
}

/// Reads a file and understands its text; mistakes are said to be in that file.
fn read<T>(path: &Path, parse: impl FnOnce(&str) -> Result<T, BusFileError>) -> Result<T, BusFileError> {
    let name = Some(path.display().to_string());
    let read = std::fs::read_to_string(path).map_err(|error| BusFileError {
        path: None,
        line: 0,
        column: 0,
        message: format!("cannot be read ({error}): give the path of a TOML file"),
    });
    read.and_then(|text| parse(&text)).map_err(|error| BusFileError { path: name, ..error })
}

fn document(text: &str) -> Result<Spanned<DeTable<'_>>, BusFileError> {
    DeTable::parse(text).map_err(|error| {
        let message = format!("this is not TOML: {}", error.message().replace('\n', ", "));
        located(text, Problem { at: error.span().unwrap_or(0..0), message })
    })
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
    let file = sections(document, directory)?;
    if file.devices.is_empty() {
        return top(document).problem(format!(
            "there is no device: add [[device]] with kind = one of {}",
            listed(KINDS.iter().map(|kind| kind.name))
        ));
    }
    Ok(file)
}

fn top<'a>(document: &'a Spanned<DeTable<'a>>) -> Fields<'a> {
    Fields::new("the file", document.get_ref(), document.span())
}

/// What the file says, if only of faults.
fn sections(document: &Spanned<DeTable<'_>>, directory: &Path) -> Result<BusFile, Problem> {
    let top = top(document);
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
