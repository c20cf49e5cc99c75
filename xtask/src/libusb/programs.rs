//! The two programs and the bus they run on.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::install::{files, make, root};
use crate::process::{command, output};

/// What a stream is like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    pub(super) packets: u32,
    pub(super) depth: u32,
    pub(super) batch: u32,
    pub(super) transfers: u32,
}

pub(crate) struct Programs {
    pub(super) folder: PathBuf,
    pub(crate) libusb: PathBuf,
    pub(crate) isoch: PathBuf,
    /// What looks at either while it runs.
    pub(crate) watch: PathBuf,
    bus: PathBuf,
}

impl Programs {
    pub(crate) fn build() -> Result<Self, String> {
        let folder = make(&root().join("target/libusb"))?;
        let sources = root().join("benches/libusb");
        let (bus, watch) = (folder.join("libfake_usbfs.so"), folder.join("libwatch.so"));
        let parts = sources.join("fake");
        let of_bus =
            files(&parts)?.into_iter().filter(|name| name.ends_with(".c")).map(|name| parts.join(name));
        shared(&bus, of_bus)?;
        shared(&watch, [sources.join("watch.c")])?;
        let libusb = folder.join("libusb_stream");
        let mut cc = compiler();
        cc.arg(sources.join("libusb_stream.c")).arg("-o").arg(&libusb).arg("-lusb-1.0");
        output(cc)?;
        Ok(Programs { libusb, isoch: isoch(&folder)?, folder, watch, bus })
    }

    /// A program, or one that runs it, on the bus.
    pub(super) fn run(&self, mut before: Command, program: &Path, stream: Stream) -> Result<String, String> {
        before.arg(program).arg("/dev/bus/usb/001/002");
        before.args([stream.packets, stream.transfers, stream.depth].map(|number| number.to_string()));
        output(before)
    }

    /// What puts the bus under a program.
    pub(super) fn environment(&self, stream: Stream) -> [(&'static str, OsString); 2] {
        [("LD_PRELOAD", self.bus.clone().into()), ("FAKE_BATCH", stream.batch.to_string().into())]
    }
}

/// A library to load before others. The compiler must not find functions of the C library in what is written out: these
/// take their place, or would be counted.
fn shared(library: &Path, sources: impl IntoIterator<Item = PathBuf>) -> Result<(), String> {
    let mut cc = compiler();
    cc.args(["-shared", "-fPIC", "-fno-builtin", "-fno-tree-loop-distribute-patterns", "-o"]).arg(library);
    output(cc.args(sources)).map(drop)
}

fn compiler() -> Command {
    command("gcc", ["-std=gnu11", "-O2", "-g", "-Wall", "-Wextra", "-Werror"])
}

/// Ours, with the C library's functions for system calls: rustix makes its own otherwise, which nothing can replace.
fn isoch(folder: &Path) -> Result<PathBuf, String> {
    let target = folder.join("cargo");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.args([
        "build",
        "--quiet",
        "--release",
        "--package",
        "isoch-benches",
        "--bin",
        "isoch_stream",
        "--target-dir",
    ]);
    cargo.arg(&target).env("RUSTFLAGS", "--cfg=rustix_use_libc").current_dir(root());
    output(cargo)?;
    Ok(target.join("release/isoch_stream"))
}
