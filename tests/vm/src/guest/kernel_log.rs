//! What the kernel says while a test runs.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;

/// What no program of ours may make the kernel say.
const COMPLAINTS: &[&str] =
    &["BUG:", "WARNING:", "Oops", "Call Trace", "general protection", "blocked for more than", "soft lockup"];

pub(super) struct KernelLog {
    file: File,
    lines: Vec<String>,
}

impl KernelLog {
    /// Without what was said before.
    pub(super) fn from_now() -> std::io::Result<Self> {
        let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        let mut file = OpenOptions::new().read(true).custom_flags(flags).open("/dev/kmsg")?;
        file.seek(SeekFrom::End(0))?;
        Ok(KernelLog { file, lines: Vec::new() })
    }

    /// The first complaint that was logged since.
    pub(super) fn complaint(&mut self) -> Option<String> {
        // One record for each read, until there are no more: `level,number,time,flags;text`.
        let mut record = [0; 8192];
        while let Ok(length @ 1..) = self.file.read(&mut record) {
            let text = String::from_utf8_lossy(&record[..length]);
            let text = text.split_once(';').map_or(text.as_ref(), |(_, text)| text);
            self.lines.push(text.lines().next().unwrap_or_default().to_owned());
        }
        self.lines.iter().find(|line| COMPLAINTS.iter().any(|sign| line.contains(sign))).cloned()
    }

    /// Prints it all to the console, which the host keeps.
    pub(super) fn show(&self) {
        self.lines.iter().for_each(|line| println!("kernel: {line}"));
    }
}
