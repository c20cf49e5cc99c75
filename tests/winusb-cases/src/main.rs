//! Runs the table of cases against a library.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use winusb_cases::library::Library;
use winusb_cases::{Selection, Table, counts, list, run_all, table, table_in};

/// What every WinUsb_ function answers to which argument: tries the table against a library.
#[derive(Parser)]
struct Arguments {
    /// The library, if not the one that the system finds
    #[arg(long, value_name = "FILE", default_value = if cfg!(windows) { "winusb.dll" } else { "libwinusb.so.1" })]
    library: PathBuf,
    /// A directory of files of cases, if not those this program was built with
    #[arg(long, value_name = "DIRECTORY")]
    cases: Option<PathBuf>,
    /// Only the cases whose name contains this, or of the group of this name
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Print the cases, and run none
    #[arg(long)]
    list: bool,
    /// Print how many cases there are, and run none
    #[arg(long)]
    count: bool,
    /// Print each case's name before it runs
    #[arg(long)]
    verbose: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(what) => {
            let _ = writeln!(std::io::stderr(), "winusb-cases: {what}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool, String> {
    let table: Table = match &arguments.cases {
        Some(directory) => table_in(directory)?,
        None => table()?,
    };
    let selection = Selection { only: arguments.only.clone(), verbose: arguments.verbose };
    let mut out = std::io::stdout().lock();
    if arguments.list {
        list(&table, &selection, &mut out).map_err(|error| error.to_string())?;
        return Ok(true);
    }
    if arguments.count {
        counts(&table, &mut out).map_err(|error| error.to_string())?;
        return Ok(true);
    }
    let library = Library::load(&arguments.library)?;
    let summary = run_all(&library, &table, &selection, &mut out).map_err(|error| error.to_string())?;
    if arguments.only.is_none() {
        counts(&table, &mut out).map_err(|error| error.to_string())?;
    }
    if summary.passed + summary.failed == 0 {
        return Err("no case was run: --list prints their names".into());
    }
    writeln!(out, "{} passed, {} failed", summary.passed, summary.failed)
        .map_err(|error| error.to_string())?;
    Ok(summary.failed == 0)
}
