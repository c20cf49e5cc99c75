//! The line to the host.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::wire::{FromGuest, FromHost, PORT};

pub(super) struct Talk {
    reader: BufReader<File>,
    writer: File,
}

impl Talk {
    pub(super) fn open() -> Result<Talk, String> {
        let path = port()?;
        let failed = |error: std::io::Error| format!("{}: {error}", path.display());
        let writer = OpenOptions::new().read(true).write(true).open(&path).map_err(failed)?;
        let reader = BufReader::new(writer.try_clone().map_err(failed)?);
        Ok(Talk { reader, writer })
    }

    pub(super) fn tell(&mut self, message: &FromGuest) -> Result<(), String> {
        let text = serde_json::to_string(message).map_err(|error| error.to_string())?;
        // In one piece: each write is a turn of QEMU's.
        self.writer.write_all(format!("{text}\n").as_bytes()).map_err(|error| format!("the host: {error}"))
    }

    pub(super) fn hear(&mut self) -> Result<FromHost, String> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(1..) => {
                serde_json::from_str(&line).map_err(|error| format!("the host said `{line}`: {error}"))
            }
            Ok(0) => Err("the host is gone".into()),
            Err(error) => Err(format!("the host: {error}")),
        }
    }
}

/// The node of the port by its name.
fn port() -> Result<PathBuf, String> {
    let began = Instant::now();
    loop {
        let ports = fs::read_dir("/sys/class/virtio-ports").into_iter().flatten().filter_map(Result::ok);
        for port in ports {
            let node = PathBuf::from("/dev").join(port.file_name());
            let named = fs::read_to_string(port.path().join("name")).is_ok_and(|name| name.trim() == PORT);
            if named && node.exists() {
                return Ok(node);
            }
        }
        if began.elapsed() > Duration::from_secs(5) {
            return Err("there is no line to the host".into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
