//! The project's own chores: `cargo xtask TASK`.
//!
//! Why not shell scripts? They would need a shell's error handling, and these run where cargo runs.
#![allow(clippy::print_stdout, reason = "a program that reports")]

mod c;
mod debian;
mod install;
mod libusb;
mod portability;
mod process;
mod vm;
mod wine;

use std::process::ExitCode;

/// The tasks: name, what it does, the function.
type Task = (&'static str, &'static str, fn(&[String]) -> Result<(), String>);
const TASKS: &[Task] = &[
    ("c", "install into target/c/prefix, then build and run the C programs", c::run),
    ("install", "install the C libraries and the command: --prefix DIR [--debug]", install::run),
    ("libusb", "count what a transfer costs with libusb and with isoch: [--check] [--profile]", libusb::run),
    ("portability", "type-check everything for the systems that cannot be run here", portability::run),
    (
        "vm",
        "run the tests of tests/vm on a real Linux USB stack: [--full] [--output FILE] [--shell] [NAME]",
        vm::run,
    ),
    ("wine", "build winusb.dll for Windows and run its programs under Wine", wine::run),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let task = arguments.first().and_then(|name| TASKS.iter().find(|(task, ..)| task == name));
    let Some((name, _, run)) = task else {
        println!("usage: cargo xtask TASK");
        TASKS.iter().for_each(|(name, purpose, _)| println!("  {name:<12} {purpose}"));
        return ExitCode::FAILURE;
    };
    match run(&arguments[1..]) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}
