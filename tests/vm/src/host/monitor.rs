//! QEMU's monitor: JSON objects, a line each (QMP).

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Longer than QEMU takes for anything it is asked here.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Monitor {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
}

impl Monitor {
    pub(crate) fn connect(socket: &Path) -> Result<Monitor, String> {
        let failed = |error: std::io::Error| format!("QEMU's monitor: {error}");
        let writer = UnixStream::connect(socket).map_err(failed)?;
        writer.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        let mut monitor = Monitor { reader: BufReader::new(writer.try_clone().map_err(failed)?), writer };
        monitor.message()?;
        monitor.execute("qmp_capabilities", Value::Null)?;
        Ok(monitor)
    }

    /// Has a command executed.
    pub(crate) fn execute(&mut self, command: &str, arguments: Value) -> Result<Value, String> {
        let message = match arguments {
            Value::Null => json!({ "execute": command }),
            arguments => json!({ "execute": command, "arguments": arguments }),
        };
        self.writer
            .write_all(format!("{message}\n").as_bytes())
            .map_err(|error| format!("{command}: {error}"))?;
        loop {
            let answer = self.message()?;
            if let Some(answer) = answer.get("return") {
                return Ok(answer.clone());
            }
            if let Some(error) = answer.get("error") {
                return Err(format!("QEMU refused {command}: {error}"));
            }
        }
    }

    /// Waits for an event that concerns a device.
    pub(crate) fn wait_for(&mut self, event: &str, device: &str) -> Result<(), String> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let message = self.message()?;
            if message["event"] == event && message["data"]["device"] == device {
                return Ok(());
            }
        }
        Err(format!("QEMU did not tell of {event}"))
    }

    fn message(&mut self) -> Result<Value, String> {
        let mut line = String::new();
        let read = self.reader.read_line(&mut line).map_err(|error| format!("QEMU's monitor: {error}"))?;
        if read == 0 {
            return Err("QEMU closed its monitor".into());
        }
        serde_json::from_str(&line).map_err(|error| format!("QEMU's monitor said `{}`: {error}", line.trim()))
    }
}
