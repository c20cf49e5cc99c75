//! System calls, as strace counts them.

use std::path::Path;

use super::programs::{Programs, Stream};
use crate::process::command;

/// How many a program makes, but for what the bus itself does behind its back.
pub(super) fn count(programs: &Programs, program: &Path, stream: Stream) -> Result<f64, String> {
    let summary = programs.folder.join("strace.txt");
    let mut strace = command("strace", ["-f", "-c", "-U", "calls,name", "-o"]);
    strace.arg(&summary);
    for (name, value) in programs.environment(stream) {
        let mut setting = std::ffi::OsString::from(name);
        setting.push("=");
        setting.push(value);
        strace.arg("-E").arg(setting);
    }
    programs.run(strace, program, stream)?;
    let text = std::fs::read_to_string(&summary).map_err(|error| error.to_string())?;
    Ok(total(&text))
}

/// The calls in a summary, without those that only the bus makes.
fn total(summary: &str) -> f64 {
    let calls = summary.lines().filter_map(|line| {
        let (count, name) = line.trim().split_once(char::is_whitespace)?;
        let name = name.trim();
        let count = count.parse::<u32>().ok()?;
        (!["readv", "writev", "total"].contains(&name)).then_some(f64::from(count))
    });
    calls.sum()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_summary() {
        let text = "    calls syscall\n--------- ----------------\n      508 ioctl\n      500 poll\n      500 readv\n        1 execve\n--------- ----------------\n     1509 total\n";
        assert_eq!(super::total(text), 1_009.0);
    }
}
