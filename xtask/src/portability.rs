//! `cargo xtask portability`: type-checks the workspace for systems that cannot be run here, and lints it for
//! Windows.
//!
//! To type-check, no linker and no system library is needed. A build script that compiles C would need both, so there
//! is none.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::debian::{self, Package};

/// What is checked: the target, and why.
const TARGETS: &[(&str, &str)] = &[
    ("x86_64-pc-windows-gnu", "Windows, as Wine runs it"),
    ("x86_64-pc-windows-msvc", "Windows, as most people build for it"),
    ("aarch64-apple-darwin", "macOS"),
    ("aarch64-linux-android", "Android"),
];
/// Lints see only the code of the system they run for.
const LINTED: &str = "x86_64-pc-windows-gnu";

/// What lints are to say. The allowed one does not see a `const` behind the macro of Windows' thread locals.
const LINTS: &[&str] = &["--", "-D", "warnings", "-A", "clippy::missing_const_for_thread_local"];

/// Compiler and source are of one version.
const PACKAGES: &[Package] = &[
    ("rustc-web", "/usr/bin/rustc"),
    ("cargo-web", "/usr/bin/cargo"),
    ("rust-web-src", "/usr/lib/rustlib/src/rust/library/std/Cargo.toml"),
    ("rust-web-clippy", "/usr/bin/cargo-clippy"),
];

/// Checks all targets, or those named.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    if let Some(unknown) = arguments.iter().find(|name| !TARGETS.iter().any(|(target, _)| target == name)) {
        let known: Vec<_> = TARGETS.iter().map(|(target, _)| *target).collect();
        return Err(format!(
            "there is no target `{unknown}` here: name some of {}, or none",
            known.join(", ")
        ));
    }
    debian::install(PACKAGES)?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no workspace around this crate")?;
    let mut failed = 0;
    let wanted = |target: &str| arguments.is_empty() || arguments.iter().any(|name| name == target);
    for (target, what) in TARGETS.iter().filter(|(target, _)| wanted(target)) {
        // Lints type-check, too.
        let check = match *target == LINTED {
            true => cargo(root, "clippy", target, LINTS)?,
            false => cargo(root, "check", target, &[])?,
        };
        failed += report(&format!("{target} ({what})"), check);
    }
    if failed == 0 { Ok(()) } else { Err(format!("{failed} failed")) }
}

/// Runs a check and prints how it went. Returns how many failed: 0 or 1.
fn report(name: &str, mut check: Command) -> u32 {
    let started = Instant::now();
    let passed = check.status().is_ok_and(|status| status.success());
    let word = if passed { "ok" } else { "FAILED" };
    println!("{word}: {name} ({} s)", started.elapsed().as_secs());
    u32::from(!passed)
}

/// A command of cargo, for a target and its standard library.
fn cargo(root: &Path, command: &str, target: &str, more: &[&str]) -> Result<Command, String> {
    let ours = root.join("target/portability");
    let mut cargo = debian::cargo(&ours.join("cargo-home"))?;
    cargo
        .current_dir(root)
        .args([command, "--quiet", "--workspace", "--all-targets", "-Z", "build-std=std,panic_abort"])
        .args(["--target", target, "--target-dir"])
        .arg(&ours)
        .args(more);
    Ok(cargo)
}
