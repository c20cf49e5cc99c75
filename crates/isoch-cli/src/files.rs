//! Which files a run reads and writes: none may be another.
//!
//! Why before anything is opened? Because what is written replaces what was there. A report in the place of
//! the file that was played is a loss that no later error makes good, and a device that saves what it hears
//! is a writer, too, though its file is named in an address.

use std::path::{Path, PathBuf};

use isoch::emulated::bus_file::BusFile;

use crate::failure::Failure;

/// The files of a run, each with what it was named for.
#[derive(Debug, Default)]
pub(crate) struct Files {
    known: Vec<Named>,
}

#[derive(Debug)]
struct Named {
    /// As it was given.
    path: PathBuf,
    /// The same for whatever leads to the same file; the standard output is `-`.
    place: PathBuf,
    role: String,
    written: bool,
}

impl Files {
    /// The file is only read.
    pub(crate) fn read(&mut self, path: &Path, role: &str) -> Result<(), Failure> {
        // The standard input is nobody's file.
        if path == Path::new("-") { Ok(()) } else { self.add(path, role, false) }
    }

    /// The file is to be written.
    pub(crate) fn write(&mut self, path: &Path, role: &str) -> Result<(), Failure> {
        self.add(path, role, true)
    }

    /// What the devices of an address read and write.
    pub(crate) fn device(&mut self, address: &str) -> Result<(), Failure> {
        let Some(rest) = address.strip_prefix("virtual:") else { return Ok(()) };
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let given = query.split('&').filter_map(|pair| pair.split_once('='));
        self.parameters(given, "the device's")?;
        let Some(file) = bus_file(path) else { return Ok(()) };
        self.read(file, "the file of the bus")?;
        // If it cannot be read, opening the device says why.
        let Ok(bus) = BusFile::load(file) else { return Ok(()) };
        for device in &bus.devices {
            let given = device.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            self.parameters(given, &format!("the device {}'s", device.name))?;
        }
        Ok(())
    }

    fn parameters<'a>(
        &mut self,
        given: impl Iterator<Item = (&'a str, &'a str)>,
        whose: &str,
    ) -> Result<(), Failure> {
        for (name, value) in given {
            let role = format!("{whose} {name}=");
            match name {
                "save" => self.write(Path::new(value), &role)?,
                "file" => self.read(Path::new(value), &role)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn add(&mut self, path: &Path, role: &str, written: bool) -> Result<(), Failure> {
        // A pipe, a terminal, /dev/null: nothing there is replaced.
        if path != Path::new("-") && path.metadata().is_ok_and(|found| !found.is_file()) {
            return Ok(());
        }
        let new = Named { path: path.into(), place: place(path), role: role.into(), written };
        let other =
            self.known.iter().find(|known| known.place == new.place && (known.written || new.written));
        if let Some(other) = other {
            let name = match path == Path::new("-") {
                true => "the standard output".into(),
                false => other.path.to_string_lossy(),
            };
            let (first, second) = (&other.role, &new.role);
            return Err(Failure::usage(match other.written && new.written {
                true => format!(
                    "{name} is to be written twice, as {first} and as {second}: give each output a place of its own"
                ),
                false => format!(
                    "{name} is to be read and written, as {first} and as {second}: give each a file of its own"
                ),
            }));
        }
        self.known.push(new);
        Ok(())
    }
}

/// The file of a bus that the path of an address names, as the library finds it: `FILE.toml` or
/// `FILE.toml/DEVICE`. Where a directory's name ends like that, too, the file is the one that exists.
pub(crate) fn bus_file(path: &str) -> Option<&Path> {
    let ends = path.match_indices(".toml").map(|(at, found)| at + found.len());
    let ends = ends.filter(|end| path[*end..].is_empty() || path[*end..].starts_with('/'));
    let first = ends.clone().next()?;
    let end = ends.filter(|end| Path::new(&path[..*end]).is_file()).last().unwrap_or(first);
    Some(Path::new(&path[..end]))
}

/// One name for a file, whatever way leads to it, and whether it exists yet or not.
fn place(path: &Path) -> PathBuf {
    if path == Path::new("-") {
        return path.into();
    }
    if let Ok(place) = path.canonicalize() {
        return place;
    }
    let Some(name) = path.file_name() else { return path.into() };
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    match directory.unwrap_or(Path::new(".")).canonicalize() {
        Ok(directory) => directory.join(name),
        Err(_) => path.into(),
    }
}
