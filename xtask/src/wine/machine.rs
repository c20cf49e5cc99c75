//! What the machine must have: Debian's Rust, mingw, Wine, and a prefix for it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::debian::{self, Package};
use crate::process::output;

const PACKAGES: &[Package] = &[
    ("cargo-web", "/usr/bin/cargo"),
    ("rustc-web", "/usr/bin/rustc"),
    ("rust-web-src", "/usr/share/doc/rust-web-src"),
    ("gcc-mingw-w64-x86-64-win32", "/usr/bin/x86_64-w64-mingw32-gcc"),
    ("wine64", "/usr/lib/wine/wine64"),
];

pub(crate) struct Machine {
    /// The repository.
    pub(crate) root: PathBuf,
    /// Where everything is made.
    pub(crate) work: PathBuf,
}

impl Machine {
    pub(crate) fn prepare() -> Result<Self, String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("xtask is not in the repository")?;
        let machine = Machine { root: root.to_owned(), work: root.join("target/wine") };
        std::fs::create_dir_all(&machine.work).map_err(|error| error.to_string())?;
        debian::install(PACKAGES)?;
        machine.make_prefix()?;
        Ok(machine)
    }

    fn make_prefix(&self) -> Result<(), String> {
        let system = self.prefix().join("drive_c/windows/system32");
        let shim = system.join("bcryptprimitives.dll");
        if shim.exists() {
            return Ok(());
        }
        output(self.wine().args(["wineboot", "-i"]))?;
        output(Command::new("/usr/lib/wine/wineserver64").arg("-w").env("WINEPREFIX", self.prefix()))?;
        let source = self.root.join("tests/wine/bcryptprimitives.c");
        output(self.gcc().args(["-shared", "-s"]).arg(source).arg("-o").arg(&shim).arg("-ladvapi32"))?;
        Ok(())
    }

    fn prefix(&self) -> PathBuf {
        self.work.join("prefix")
    }

    /// Wine, for the program that is its first argument.
    pub(crate) fn wine(&self) -> Command {
        let mut wine = Command::new("/usr/lib/wine/wine64");
        // winusb=n: Wine's own winusb.dll would win. winedbg.exe=d: with its crash handler a crash may end with 0.
        wine.env("WINEDLLOVERRIDES", "mscoree,mshtml=;winedbg.exe=d;winusb=n");
        wine.env("WINEPREFIX", self.prefix()).env("WINEDEBUG", "-all");
        wine
    }

    pub(crate) fn gcc(&self) -> Command {
        let mut gcc = Command::new("/usr/bin/x86_64-w64-mingw32-gcc");
        gcc.args(["-O1", "-g", "-Wall", "-Wextra"]);
        gcc
    }

    pub(crate) fn cargo(&self) -> Result<Command, String> {
        debian::cargo(&self.work.join("cargo-home"))
    }
}
