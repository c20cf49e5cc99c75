//! `cargo xtask libusb [--check] [--profile]`: what a transfer costs with libusb and with isoch, doing the same work on
//! the same bus.
//!
//! Why a bus that exists in the process only (`benches/libusb/fake`)? Because what is compared are two libraries, not
//! two moments of a machine: instructions, system calls and allocations are counted, and come out the same each time.
//! Each figure is the difference between a longer and a shorter stream: how a stream begins and ends is in neither.

mod callgrind;
pub(crate) mod programs;
mod strace;
mod table;

use crate::debian::{self, Package};
use callgrind::Counts;
use programs::{Programs, Stream};
use table::Row;

/// What the programs are built with, and what counts their system calls.
pub(crate) const COMPARED: &[Package] = &[
    ("gcc", "/usr/bin/gcc"),
    ("libc6-dev", "/usr/include/stdio.h"),
    ("libusb-1.0-0-dev", "/usr/include/libusb-1.0/libusb.h"),
    ("strace", "/usr/bin/strace"),
];
/// What counts their instructions.
const COUNTED: &[Package] = &[("valgrind", "/usr/bin/valgrind")];

/// Packets of a transfer, transfers in flight, transfers that are over when the program is woken.
const CASES: [(u32, u32, u32); 4] = [(8, 8, 1), (8, 8, 4), (32, 5, 1), (32, 5, 4)];
/// Transfers of the shorter stream: by then the clock is settled, which takes some seconds of bus time.
const SHORT: u32 = 2_000;
/// Transfers between the two.
const MORE: u32 = 1_000;
/// What is asked with `--check`.
const MOST: f64 = 0.5;

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let has = |option: &str| arguments.iter().any(|argument| argument == option);
    if let Some(unknown) =
        arguments.iter().find(|argument| !["--check", "--profile"].contains(&argument.as_str()))
    {
        return Err(format!("there is no {unknown}; there are --check and --profile"));
    }
    if !cfg!(target_os = "linux") {
        return Err("usbfs is Linux's".into());
    }
    debian::install(COMPARED)?;
    debian::install(COUNTED)?;
    let programs = Programs::build()?;
    let mut rows = Vec::new();
    for (packets, depth, batch) in CASES {
        let stream = |transfers| Stream { packets, depth, batch, transfers };
        let [libusb, isoch] = [&programs.libusb, &programs.isoch].map(|program| {
            let counted = |transfers| callgrind::count(&programs, program, stream(transfers));
            let calls = |transfers| strace::count(&programs, program, stream(transfers));
            let counts = Counts::difference(&counted(SHORT)?, &counted(SHORT + MORE)?, MORE);
            let calls = (calls(SHORT + MORE)? - calls(SHORT)?) / f64::from(MORE);
            Ok::<_, String>((counts, calls))
        });
        rows.push(Row { packets, batch, libusb: libusb?, isoch: isoch? });
    }
    println!("{}", table::of(&rows));
    if has("--profile") {
        rows.iter().for_each(|row| println!("{}", table::profile(row)));
    }
    let worst = rows.iter().map(Row::ratio).fold(0.0, f64::max);
    match has("--check") && worst > MOST {
        true => Err(format!("isoch takes up to {worst:.2} of libusb's instructions; the goal is {MOST}")),
        false => Ok(()),
    }
}
