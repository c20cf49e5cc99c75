//! Running other programs.

use std::borrow::BorrowMut;
use std::ffi::OsStr;
use std::io::Read;
use std::process::{Command, Output, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A command with its arguments.
pub(crate) fn command<A: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    arguments: impl IntoIterator<Item = A>,
) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// What it printed, if it ended well. Otherwise what it said about that.
pub(crate) fn output(mut command: impl BorrowMut<Command>) -> Result<String, String> {
    let command = command.borrow_mut();
    let Output { status, stdout, stderr } =
        command.output().map_err(|error| format!("{} cannot be run: {error}", name(command)))?;
    let text = String::from_utf8_lossy(&stdout).into_owned();
    if status.success() {
        return Ok(text);
    }
    let said = format!("{text}{}", String::from_utf8_lossy(&stderr));
    Err(format!("{} ended with {status}:\n{}", name(command), said.trim_end()))
}

/// Whether a program is there.
pub(crate) fn exists(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

fn name(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// Runs a command for at most so long: its exit status (-1: a signal), and what it said.
pub(crate) fn output_within(mut command: Command, patience: Duration) -> Result<(i32, String), String> {
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|error| format!("{} cannot be run: {error}", name(&command)))?;
    let readers = [child.stdout.take().map(read_all), child.stderr.take().map(read_all)];
    let began = Instant::now();
    let status = loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => break status,
            None if began.elapsed() > patience => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("{} ran for more than {} s", name(&command), patience.as_secs()));
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    let said = readers.into_iter().flatten().filter_map(|reader| reader.join().ok());
    Ok((status.code().unwrap_or(-1), said.collect()))
}

/// Reads to the end beside the program, which would otherwise wait for us.
fn read_all(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
