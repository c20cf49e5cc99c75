//! Builds winusb.dll and the programs that use it.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::machine::Machine;
use super::programs::Program;
use crate::process::output;

const TARGET: &str = "x86_64-pc-windows-gnu";

pub(crate) struct Build<'a> {
    machine: &'a Machine,
    /// Where cargo builds.
    target: PathBuf,
    /// Where winusb.dll and what is linked with it are.
    library: PathBuf,
    /// Where the programs stand, with a winusb.dll beside them.
    programs: PathBuf,
}

impl<'a> Build<'a> {
    pub(crate) fn new(machine: &'a Machine) -> Result<Self, String> {
        let target = machine.work.join("build");
        output(cargo(machine, &target, "build")?.args(["--package", "winusb-abi"]))?;
        let programs = machine.work.join("programs");
        std::fs::create_dir_all(&programs).map_err(|error| error.to_string())?;
        let library = target.join(TARGET).join("debug");
        let (from, to) = (library.join("winusb.dll"), programs.join("winusb.dll"));
        if is_newer(&from, &to) {
            std::fs::copy(&from, &to).map_err(|error| format!("{}: {error}", from.display()))?;
        }
        Ok(Build { machine, target, library, programs })
    }

    /// The winusb.dll that the programs use, by the name that they know it by: Wine's drive Z is the system's root.
    pub(crate) fn library(&self) -> String {
        let path = self.programs.join("winusb.dll");
        format!("Z:{}", path.display()).replace('/', "\\")
    }

    /// The program, made anew if anything it is made of has changed.
    pub(crate) fn program(&self, program: &Program) -> Result<PathBuf, String> {
        let source = self.machine.root.join(program.source);
        if program.source.ends_with(".rs") {
            return self.rust_program(program.source);
        }
        let executable = self.programs.join(source.with_extension("exe").file_name().unwrap_or_default());
        let import_library = self.library.join("libwinusb.dll.a");
        let headers = ["tests/wine", "tests/c", "crates/winusb-abi/include/winusb"];
        let made_of = headers.iter().flat_map(|folder| files(&self.machine.root.join(folder), "h"));
        let made_of = made_of.chain([source.clone(), import_library.clone()]);
        if made_of.into_iter().any(|file| is_newer(&file, &executable)) {
            let mut gcc = self.machine.gcc();
            gcc.arg(&source).arg("-o").arg(&executable);
            gcc.arg("-I").arg(self.machine.root.join("tests/wine"));
            // Windows' own headers come first, as for every program there; ours has what WinUSB lacks.
            gcc.arg("-idirafter").arg(self.machine.root.join("crates/winusb-abi/include/winusb"));
            gcc.arg(import_library).args(["-lsetupapi", "-lcfgmgr32", "-lole32", "-lntdll"]);
            output(&mut gcc)?;
        }
        Ok(executable)
    }

    /// A program in Rust: `FOLDER/tests/NAME.rs`, or the only program of the package in FOLDER.
    fn rust_program(&self, source: &str) -> Result<PathBuf, String> {
        let folder = |rest: &str| source.split_once(rest).map(|(folder, _)| self.machine.root.join(folder));
        let mut cargo = if let Some(test) = source.split("/tests/").nth(1) {
            let mut cargo = cargo(self.machine, &self.target, "test")?;
            cargo.args(["--no-run", "--test", test.trim_end_matches(".rs")]);
            cargo.current_dir(folder("/tests/").unwrap_or_default());
            cargo
        } else {
            let mut cargo = cargo(self.machine, &self.target, "build")?;
            cargo.current_dir(folder("/src/").unwrap_or_default());
            cargo
        };
        let messages = output(cargo.args(["--message-format", "json"]))?;
        // One message a line; of what was built, only this is a program.
        let found =
            messages.lines().rev().find_map(|line| line.split_once("\"executable\":\"")?.1.split('"').next());
        found.map(PathBuf::from).ok_or_else(|| format!("cargo does not say where it put {source}"))
    }
}

/// A command of cargo that builds for Windows.
fn cargo(machine: &Machine, target: &Path, command: &str) -> Result<std::process::Command, String> {
    let mut cargo = machine.cargo()?;
    cargo.args([command, "--quiet", "-Z", "build-std=std,panic_unwind", "--target", TARGET, "--target-dir"]);
    cargo.arg(target).current_dir(&machine.root);
    Ok(cargo)
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
}

/// Whether `to` must be made anew from `from`.
fn is_newer(from: &Path, to: &Path) -> bool {
    let time = |path: &Path| std::fs::metadata(path).and_then(|data| data.modified()).ok();
    time(to).is_none_or(|made| time(from).is_some_and(|changed: SystemTime| changed > made))
}
