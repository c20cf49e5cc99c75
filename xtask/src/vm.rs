//! `cargo xtask vm [--full] [--output FILE] [--shell] [NAME…]`: a real Linux USB stack in QEMU, and our tests on it.
//!
//! Here is only what the tests stand on: Debian's packages, the kernel, the project's programs. The rest is the
//! program in `tests/vm`, which is the runner and, in the guest, the agent.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::c::toolchain::{Linking, Toolchain};
use crate::debian::{self, Package};
use crate::install::{files, install, make, root};
use crate::libusb::{self, programs::Programs};
use crate::process::{command, output};

const PACKAGES: &[Package] = &[
    ("qemu-system-x86", "/usr/bin/qemu-system-x86_64"),
    ("busybox-static", "/bin/busybox"),
    ("kmod", "/sbin/depmod"),
    ("xz-utils", "/usr/bin/xz"),
    // aplay, as a player that is not ours.
    ("alsa-utils", "/usr/bin/aplay"),
];
/// A package without content that needs the newest kernel.
const KERNEL: &str = "linux-image-amd64";

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err(
            "the emulated machine is a PC that runs this machine's programs: only for Linux on x86-64".into(),
        );
    }
    debian::install(PACKAGES)?;
    debian::install(libusb::COMPARED)?;
    let work = make(&root().join("target/vm"))?;
    let kernel = kernel(&make(&work.join("kernel"))?)?;
    let prefix = work.join("prefix");
    // Optimised a little, which is enough here, and it is what the workspace's tests have built already.
    install(&prefix, true)?;
    let programs = programs(&prefix, &make(&work.join("programs"))?)?;
    // It ends with this program, also with one that is killed, and QEMU with it.
    let mut runner = Command::new("setpriv");
    runner.args(["--pdeathsig", "KILL"]).arg(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    runner.args(["run", "--quiet", "--package", "isoch-vm", "--", "--work"]);
    runner.arg(&work).arg("--kernel").arg(&kernel).arg("--programs").arg(&programs);
    runner.arg("--libraries").arg(prefix.join("lib")).args(arguments);
    match runner.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err("not all is well".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// The newest kernel package that Debian has, unpacked; without Debian's server, one that was fetched before.
fn kernel(folder: &Path) -> Result<PathBuf, String> {
    let fetch = || debian::needed_by(KERNEL, "linux-image-").and_then(|name| debian::unpack(&name, folder));
    // A machine may have no lists yet, or old ones, which name a kernel that the server has no more.
    let fetched = fetch().or_else(|_| debian::update().and_then(|_| fetch()));
    fetched.or_else(|error| {
        let before =
            files(folder)?.into_iter().map(|name| folder.join(name)).rfind(|path| path.join("boot").exists());
        before.ok_or_else(|| format!("no kernel: {error}"))
    })
}

/// The command and the C programs, in one folder.
fn programs(prefix: &Path, folder: &Path) -> Result<PathBuf, String> {
    // The last three are what the comparison with libusb runs.
    let compared = Programs::build()?;
    for from in [&prefix.join("bin/isoch"), &compared.libusb, &compared.isoch, &compared.watch] {
        let to = folder.join(from.file_name().unwrap_or_default());
        // Most of a program is for debuggers, and the guest would have to hold it in memory.
        output(command("strip", ["--strip-debug", "-o"]).arg(&to).arg(from))?;
    }
    let compiler = Toolchain::find("gcc", prefix)?;
    let sources = root().join("tests/vm/c");
    for name in files(&sources)?.iter().filter(|name| name.ends_with(".c")) {
        let program = folder.join(name.trim_end_matches(".c"));
        compiler.build("c99", Linking::Shared, &sources.join(name), &program)?;
    }
    Ok(folder.to_owned())
}
