//! The command `isoch`: isochronous USB on named frames, from the shell.
//!
//! Why so thin? Whatever is worth doing must be possible from a program. What stands here is what programs
//! do not need: arguments, progress, reports and pictures, and sentences instead of error values. A stream
//! goes from a command in [`commands`] through [`session`] to its report.

mod arguments;
mod commands;
mod failure;
mod files;
mod interrupt;
mod output;
mod plot;
mod progress;
mod report;
mod session;
mod summary;
mod tally;
mod target;
mod timeline;
mod wav;
mod words;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use arguments::{Arguments, Command};
use failure::Failure;

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            // If nobody listens, the exit status still tells.
            let _ = writeln!(std::io::stderr(), "isoch: {failure}");
            ExitCode::from(failure.exit_status())
        }
    }
}

fn run(command: Command) -> Result<u8, Failure> {
    match command {
        Command::List(arguments) => commands::list::run(&arguments).map(|()| 0),
        Command::Describe(arguments) => commands::describe::run(&arguments).map(|()| 0),
        Command::Doctor(arguments) => commands::doctor::run(&arguments),
        Command::Play(arguments) => commands::play::run(&arguments),
        Command::Record(arguments) => commands::record::run(&arguments),
        Command::Write(arguments) => commands::write::run(&arguments),
        Command::Read(arguments) => commands::read::run(&arguments),
        Command::Run(arguments) => commands::run::run(&arguments),
        Command::Completions { shell } => completions(shell).map(|()| 0),
        Command::Man { directory } => manual(directory.as_deref()).map(|()| 0),
    }
}

fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "isoch", &mut script);
    output::print(&String::from_utf8_lossy(&script))
}

fn manual(directory: Option<&Path>) -> Result<(), Failure> {
    let Some(directory) = directory else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Arguments::command()).render(&mut page).map_err(Failure::error)?;
        return output::print(&String::from_utf8_lossy(&page));
    };
    let written = std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(Arguments::command(), directory));
    written.map_err(|error| output::cannot_write(directory, &error))
}
