//! Programs that a test runs.

use std::fs;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Exit statuses of `isoch play`: it could not play, and frames were lost.
pub(crate) const ERROR: i32 = 1;
pub(crate) const LOST: i32 = 3;
/// A user who is not root.
pub(crate) const SOMEBODY: u32 = 1000;
/// Longer than a program takes that a test only waits for.
const PATIENCE: Duration = Duration::from_secs(25);

/// A running program. It is killed when this is dropped.
pub(crate) struct Program {
    name: String,
    child: Child,
    readers: Vec<JoinHandle<String>>,
}

impl Program {
    /// Starts it with its output kept.
    pub(crate) fn start(command: &mut Command) -> Result<Program, String> {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let name = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("{name}: {error}"))?;
        let readers = [child.stdout.take().map(read_all), child.stderr.take().map(read_all)];
        Ok(Program { name, child, readers: readers.into_iter().flatten().collect() })
    }

    /// Runs it to its end: its exit status (-1: a signal) and what it said.
    pub(crate) fn run(command: &mut Command, patience: Duration) -> Result<(i32, String), String> {
        Program::start(command)?.end(patience)
    }

    /// The same; its exit status is one of these.
    pub(crate) fn expect(command: &mut Command, statuses: &[i32]) -> Result<(i32, String), String> {
        let (status, said) = Program::run(command, PATIENCE)?;
        match statuses.contains(&status) {
            true => Ok((status, said)),
            false => Err(format!("{command:?} ended with {status}: {said}")),
        }
    }

    /// Waits for its end.
    pub(crate) fn end(mut self, patience: Duration) -> Result<(i32, String), String> {
        let began = Instant::now();
        loop {
            match self.child.try_wait().map_err(|error| error.to_string())? {
                Some(status) => {
                    let said = self.readers.drain(..).filter_map(|reader| reader.join().ok()).collect();
                    return Ok((status.code().unwrap_or(-1), said));
                }
                None if began.elapsed() > patience => {
                    return Err(format!("{} ran for more than {} s", self.name, patience.as_secs()));
                }
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Holds it back for so long.
    pub(crate) fn pause(&self, length: Duration) -> Result<(), String> {
        self.signal(Signal::STOP)?;
        std::thread::sleep(length);
        self.signal(Signal::CONT)
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<(), String> {
        kill_process(self.pid(), signal).map_err(|error| format!("{}: {error}", self.name))
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended; after `wait` it is gone either way.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_all(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// A line of this program's own /proc/self/status, in kilobytes.
pub(crate) fn status_kilobytes(field: &str) -> Result<u64, String> {
    let status = fs::read_to_string("/proc/self/status").map_err(|error| error.to_string())?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| format!("the kernel does not tell {field}"))
}
