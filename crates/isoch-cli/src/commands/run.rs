//! `isoch run`.
//!
//! Why a command for what a few variables do? A program that finds no device prints a number, or nothing at
//! all. Here the address is tried first, and what is wrong with it is said in words. And nobody has to know the
//! variables' names, or where the library is.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use isoch::emulated::bus_file;

use crate::arguments::Run;
use crate::failure::{Failure, reason};
use crate::files::{self, Files};
use crate::target;

/// The device that the C examples are for.
const ARTICLE: &str = "virtual:article";

pub(crate) fn run(arguments: &Run) -> Result<u8, Failure> {
    let address = arguments.device.device.as_deref().unwrap_or(ARTICLE);
    let mut files = Files::default();
    files.device(address)?;
    if let Some(file) = &arguments.fault {
        files.read(file, "--fault")?;
    }
    let trace = arguments.trace.as_deref().filter(|file| *file != Path::new("stderr"));
    if let Some(program) = arguments.command.first() {
        files.read(Path::new(program), "the program")?;
    }
    if let Some(file) = trace {
        files.write(file, "--trace")?;
    }
    let device = target::open(&arguments.device, ARTICLE)?;
    if let Some(file) = &arguments.fault {
        bus_file::load_faults(file).map_err(Failure::usage)?;
        if device.virtual_bus().is_none() {
            return Err(Failure::usage(format_args!(
                "--fault is for emulated devices, and {address} is none: leave it out"
            )));
        }
    }
    if arguments.device.wait.is_some() && device.virtual_bus().is_some() {
        return Err(Failure::usage(
            "--wait is for devices that somebody plugs in, and the program gets an emulated bus of its own: leave it out",
        ));
    }
    // The program is to have it for itself.
    drop(device);
    if let Some(file) = trace {
        // The library appends; a run has a trace of its own.
        std::fs::File::create(file).map_err(|error| crate::output::cannot_write(file, &error))?;
    }
    let mut words = arguments.command.iter();
    let Some(program) = words.next() else { return Err(Failure::usage("name a program to run")) };
    let mut command = Command::new(program);
    command.args(words).env("ISOCH_DEVICE", address_anywhere(address)?);
    if let Some(clock) = arguments.device.clock {
        command.env("ISOCH_CLOCK", clock.name());
    }
    if let Some(file) = &arguments.fault {
        command.env("ISOCH_FAULTS", anywhere(file)?);
    }
    if let Some(file) = trace {
        command.env("ISOCH_TRACE", anywhere(file)?);
    } else if let Some(stderr) = &arguments.trace {
        command.env("ISOCH_TRACE", stderr);
    }
    if let Some(paths) = library_path() {
        command.env(LIBRARY_PATH, paths);
    }
    let error = replace(command)?;
    Err(Failure::error(format_args!(
        "{} cannot be started ({}): give the path of a program, and its arguments behind it",
        program.to_string_lossy(),
        reason(&error)
    )))
}

/// The same file, also for a program that is in another directory by the time it opens its device.
fn anywhere(file: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(file)
        .map_err(|error| Failure::error(format_args!("{}: {}", file.display(), reason(&error))))
}

/// The same device; the file that describes its bus is found from everywhere.
fn address_anywhere(address: &str) -> Result<String, Failure> {
    let Some(rest) = address.strip_prefix("virtual:") else { return Ok(address.into()) };
    let (path, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
    match files::bus_file(path) {
        Some(_) => Ok(format!("virtual:{}{query}", anywhere(Path::new(path))?.display())),
        None => Ok(address.into()),
    }
}

const LIBRARY_PATH: &str = if cfg!(target_os = "macos") { "DYLD_LIBRARY_PATH" } else { "LD_LIBRARY_PATH" };

/// Where programs are to look for libraries first, if libwinusb was installed beside this command. On Windows they
/// look beside themselves first: winusb.dll has to be there.
fn library_path() -> Option<OsString> {
    let name = if cfg!(target_os = "macos") { "libwinusb.dylib" } else { "libwinusb.so.1" };
    let command = env::current_exe().ok()?.canonicalize().ok()?;
    let folder: PathBuf = command.parent()?.parent()?.join("lib");
    if cfg!(windows) || !folder.join(name).is_file() {
        return None;
    }
    let known = env::var_os(LIBRARY_PATH).filter(|known| !known.is_empty());
    let known = known.iter().flat_map(env::split_paths).collect::<Vec<_>>();
    env::join_paths([folder].into_iter().chain(known)).ok()
}

/// Becomes the program, so that signals and its exit status are its own. Returns only if that fails.
#[cfg(unix)]
fn replace(mut command: Command) -> Result<std::io::Error, Failure> {
    use std::os::unix::process::CommandExt;
    Ok(command.exec())
}

#[cfg(not(unix))]
fn replace(mut command: Command) -> Result<std::io::Error, Failure> {
    match command.status() {
        Ok(status) => std::process::exit(status.code().unwrap_or(1)),
        Err(error) => Ok(error),
    }
}
