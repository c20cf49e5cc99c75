//! The emulated machine: QEMU, its monitor, and the line to the agent in the guest.
//!
//! Why without the machine's own virtualisation? It is not there on most machines that test, and where it is, times
//! would differ.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::image::Image;
use super::monitor::Monitor;
use crate::test::Controller;
use crate::wire::{FromGuest, FromHost, PORT, Request};

/// The speaker's identifier in QEMU.
const SPEAKER: &str = "speaker";
/// Its buffer, in bytes: with QEMU's own, packets are lost whenever the host is late.
const BUFFER: u32 = 4 << 20;
const QEMU: &str = "qemu-system-x86_64";
/// QEMU opens its sockets at once, and ends soon after the guest has.
const PATIENCE: Duration = Duration::from_secs(10);

/// The current recording, and the name of those before a replug.
pub(crate) const HEARD: &str = "heard";
pub(crate) const PACKETS: &str = "packets";
pub(crate) const CONSOLE: &str = "console.log";

pub(crate) struct Machine {
    qemu: Child,
    monitor: Monitor,
    talk: UnixStream,
    messages: Receiver<FromGuest>,
    folder: PathBuf,
    /// How many recordings are over.
    recordings: u32,
    began: Instant,
    // Its sockets: the path of one may not be long.
    _sockets: tempfile::TempDir,
}

fn command(image: &Image, controller: Controller, append: &str) -> Command {
    // It ends with the runner, also with one that is killed.
    let mut qemu = Command::new("setpriv");
    qemu.args(["--pdeathsig", "KILL"]);
    if is_real_time_allowed() {
        qemu.args(REAL_TIME).arg(DEVICES_PRIORITY);
    } else {
        qemu.args(["nice", "--adjustment=-15"]);
    }
    qemu.arg(QEMU);
    qemu.args(["-M", "q35,accel=tcg", "-cpu", "qemu64,+rdrand", "-m", "512", "-smp", "1"]);
    qemu.args(["-display", "none", "-vga", "none", "-nic", "none", "-no-reboot", "-nodefaults"]);
    qemu.arg("-kernel").arg(&image.kernel).arg("-initrd").arg(&image.initramfs);
    let name = controller.name();
    qemu.args([
        "-append",
        &format!(
            "console=ttyS0 quiet loglevel=4 panic=-1 random.trust_cpu=on isoch.controller={name} {append}"
        ),
    ]);
    qemu.args(["-device", &format!("{},id=host", controller.device())]);
    // With QEMU's own mixer, samples would be resampled.
    qemu.args(["-audiodev", &format!("wav,id=recorder,path={HEARD}.wav,out.mixing-engine=off")]);
    qemu.args(["-device", &speaker().to_string()]);
    qemu
}

/// A controller that is emulated late leaves packets out, and a guest that does not run sees all of them late: so what
/// else this machine does comes second, where that is allowed. But the devices come before the guest's processor, which
/// would never let them in: two of them can be busy on two processors.
const DEVICES_PRIORITY: &str = "5";
const PROCESSOR_PRIORITY: &str = "4";

const REAL_TIME: [&str; 2] = ["chrt", "--fifo"];

fn is_real_time_allowed() -> bool {
    let [chrt, fifo] = REAL_TIME;
    let tried = Command::new(chrt).args([fifo, DEVICES_PRIORITY, "true"]).output();
    tried.is_ok_and(|output| output.status.success())
}

/// The threads of the guest's processors yield to the others.
fn yield_to_devices(monitor: &mut Monitor) -> Result<(), String> {
    let processors = monitor.execute("query-cpus-fast", Value::Null)?;
    for processor in processors.as_array().into_iter().flatten() {
        let thread = processor["thread-id"].to_string();
        let [chrt, fifo] = REAL_TIME;
        // Where it is not allowed, none of them is before the others.
        let _ = Command::new(chrt).args([fifo, "--pid", PROCESSOR_PRIORITY, &thread]).output();
    }
    Ok(())
}

fn speaker() -> Value {
    json!({
        "driver": "usb-audio", "id": SPEAKER, "audiodev": "recorder", "buffer": BUFFER, "bus": "host.0",
        "pcap": format!("{PACKETS}.pcap"),
    })
}

impl Machine {
    /// Switches it on. What it records goes into the folder.
    pub(crate) fn start(
        image: &Image,
        controller: Controller,
        command_line: &str,
        folder: &Path,
    ) -> Result<Machine, String> {
        let failed = |error: std::io::Error| format!("cannot start QEMU: {error}");
        fs::create_dir_all(folder).map_err(failed)?;
        let sockets = tempfile::tempdir().map_err(failed)?;
        let socket = |name: &str| sockets.path().join(name);
        let mut qemu = command(image, controller, command_line);
        let server =
            |name: &str| format!("socket,id={name},path={},server=on,wait=off", socket(name).display());
        qemu.args(["-chardev", &server("monitor"), "-mon", "chardev=monitor,mode=control"]);
        qemu.args(["-device", "virtio-serial-pci", "-chardev", &server(PORT)]);
        qemu.args(["-device", &format!("virtserialport,chardev={PORT},name={PORT}")]);
        qemu.args(["-serial", &format!("file:{CONSOLE}")]);
        let said = fs::File::create(folder.join("qemu.log")).map_err(failed)?;
        let errors = said.try_clone().map_err(failed)?;
        let mut qemu = qemu
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(said)
            .stderr(errors)
            .spawn()
            .map_err(failed)?;
        let began = Instant::now();
        let mut connected = || {
            while !(socket("monitor").exists() && socket(PORT).exists()) {
                let ended = qemu.try_wait().map_err(failed)?;
                if ended.is_some() || began.elapsed() > PATIENCE {
                    let said = fs::read_to_string(folder.join("qemu.log")).unwrap_or_default();
                    return Err(format!("QEMU did not start: {}", said.trim()));
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            let talk = UnixStream::connect(socket(PORT)).map_err(failed)?;
            let messages = messages(talk.try_clone().map_err(failed)?);
            let mut monitor = Monitor::connect(&socket("monitor"))?;
            if is_real_time_allowed() {
                yield_to_devices(&mut monitor)?;
            }
            Ok((monitor, talk, messages))
        };
        match connected() {
            Ok((monitor, talk, messages)) => Ok(Machine {
                qemu,
                monitor,
                talk,
                messages,
                folder: folder.to_owned(),
                recordings: 0,
                began,
                _sockets: sockets,
            }),
            Err(error) => {
                let _ = qemu.kill();
                let _ = qemu.wait();
                Err(error)
            }
        }
    }

    /// How long it has been on.
    pub(crate) fn uptime(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn tell(&mut self, message: &FromHost) -> Result<(), String> {
        let text = serde_json::to_string(message).map_err(|error| error.to_string())?;
        self.talk.write_all(format!("{text}\n").as_bytes()).map_err(|error| format!("the guest: {error}"))
    }

    /// The guest's next message; `None` if there is none in time. An error is its end.
    pub(crate) fn hear(&mut self, deadline: Instant) -> Result<Option<FromGuest>, String> {
        match self.messages.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(message) => Ok(Some(message)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err("the guest crashed".into()),
        }
    }

    /// Does what the guest asks for.
    pub(crate) fn serve(&mut self, request: Request) -> Result<(), String> {
        match request {
            Request::Unplug => {
                self.monitor.execute("device_del", json!({ "id": SPEAKER }))?;
                self.monitor.wait_for("DEVICE_DELETED", SPEAKER)?;
                self.recordings += 1;
                for (name, kind) in [(HEARD, "wav"), (PACKETS, "pcap")] {
                    let to = self.folder.join(format!("{name}-{:03}.{kind}", self.recordings));
                    fs::rename(self.folder.join(format!("{name}.{kind}")), to)
                        .map_err(|error| format!("the recording: {error}"))?;
                }
                Ok(())
            }
            Request::Replug => self.monitor.execute("device_add", speaker()).map(drop),
        }
    }

    /// Lets it end by itself, so that its recordings are complete.
    pub(crate) fn end(mut self) -> Result<(), String> {
        self.tell(&FromHost::PowerOff)?;
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if self.qemu.try_wait().map_err(|error| error.to_string())?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err("the guest did not power off".into())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended; after `wait` it is gone either way.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// Reads beside everything else, so that a wait for the guest can have an end.
fn messages(from: UnixStream) -> Receiver<FromGuest> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let message = serde_json::from_str(&line)
                .unwrap_or_else(|error| FromGuest::Said(format!("the guest said `{line}`: {error}")));
            if sender.send(message).is_err() {
                break;
            }
        }
    });
    receiver
}

/// The same machine with a shell instead of tests, on this terminal.
pub(crate) fn shell(image: &Image, controller: Controller) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut qemu = command(image, controller, "isoch.shell");
    qemu.args(["-serial", "mon:stdio"]).current_dir(folder.path());
    let status = qemu.status().map_err(|error| format!("cannot start QEMU: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("QEMU ended with {status}")) }
}
