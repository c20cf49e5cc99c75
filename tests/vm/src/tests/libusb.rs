//! The same stream with libusb and with isoch, on a real kernel: system calls and heap allocations for each transfer,
//! how long it takes from waking up to having resubmitted, and what is lost while the processors are busy.
//!
//! The figures are for the documentation. What must hold is said at the end of each.

use std::process::Command;
use std::time::Duration;

use serde::Deserialize;

use crate::guest::{Guest, Load, Program, Speaker, Usbmon, speaker, witness};
use crate::test::{Controller, Outcome, Test};

pub(crate) const TEST: Test = Test {
    // Where usbmon tells true frames, so that holes are seen by somebody else.
    controllers: &[Controller::Uhci],
    programs: &["libusb_stream", "isoch_stream", "libwatch.so", "strace"],
    full_only: true,
    limits: (180, 1_800),
    guest,
    ..Test::DEFAULT
};

/// What both programs keep queued, in milliseconds.
const QUEUED: u32 = 32;
/// Packets of a transfer: one a millisecond.
const LENGTHS: [u32; 2] = [1, 8];
const SEEN: &str = "/tmp/watch.json";
const CALLS: &str = "/tmp/strace.txt";
/// libusb's address is the device node; so is ours, and as a second line ours with a real-time event thread.
const PROGRAMS: [(&str, &str, bool); 3] = [
    ("libusb", "/bin/libusb_stream", false),
    ("isoch", "/bin/isoch_stream", false),
    ("isoch ?priority=50", "/bin/isoch_stream", true),
];

/// What `libwatch.so` saw.
#[derive(Deserialize)]
struct Watched {
    transfers: u64,
    allocations: u64,
    p50: f64,
    p99_9: f64,
    longest: f64,
}

fn guest(guest: &mut Guest) -> Outcome {
    let milliseconds = if guest.full { 60_000 } else { 1_500 };
    for packets in LENGTHS {
        for (name, program, has_priority) in PROGRAMS {
            let stream = Stream { program, has_priority, packets, milliseconds };
            let calm = stream.watched()?;
            let calls = Stream { milliseconds: stream.milliseconds.min(10_000), ..stream }.calls()?;
            let (loaded, holes) = stream.under_load(guest)?;
            let allocations = calm.allocations as f64 / calm.transfers as f64;
            guest.say(format!(
                "{name}, {packets} ms: {calls:.2} system calls, {allocations:.2} allocations; from waking up to having \
                 resubmitted p50 {:.0} µs, p99.9 {:.0} µs, longest {:.0} µs; busy: p50 {:.0}, p99.9 {:.0}, longest {:.0} \
                 µs; {} holes of {} frames",
                calm.p50, calm.p99_9, calm.longest, loaded.p50, loaded.p99_9, loaded.longest, holes.0, holes.1
            ));
            if program == PROGRAMS[1].1 {
                ensure!(calm.allocations == 0, "a stream allocated {} times", calm.allocations);
            }
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Stream {
    program: &'static str,
    has_priority: bool,
    packets: u32,
    milliseconds: u32,
}

impl Stream {
    /// Runs it through another command, or by itself.
    fn run(self, mut command: Command) -> Result<(), String> {
        let address = match self.has_priority {
            true => "usb:46f4:0002?priority=50".to_owned(),
            false => Speaker::wait()?.node().to_string_lossy().into_owned(),
        };
        let numbers = [self.packets, self.milliseconds / self.packets, QUEUED / self.packets];
        command.arg(address).args(numbers.map(|number| number.to_string()));
        let patience = Duration::from_millis(u64::from(self.milliseconds) * 3 + 10_000);
        let (status, said) = Program::run(&mut command, patience)?;
        // A stream that lost something says so.
        if status == 0 || said.contains("\"transfers\"") { Ok(()) } else { Err(said) }
    }

    fn watched(self) -> Result<Watched, String> {
        let _ = std::fs::remove_file(SEEN);
        let mut command = Command::new(self.program);
        command.env("LD_PRELOAD", "/bin/libwatch.so").env("WATCH_FILE", SEEN);
        self.run(command)?;
        let seen = std::fs::read(SEEN).map_err(|error| format!("{SEEN}: {error}"))?;
        serde_json::from_slice(&seen).map_err(|error| error.to_string())
    }

    /// System calls for each transfer.
    fn calls(self) -> Result<f64, String> {
        let mut command = Command::new("/bin/strace");
        command.args(["-f", "-c", "-U", "calls,name", "-o", CALLS, self.program]);
        self.run(command)?;
        let text = std::fs::read_to_string(CALLS).map_err(|error| format!("{CALLS}: {error}"))?;
        let count = |name: &str| {
            let mut lines = text.lines().filter_map(|line| line.trim().split_once(char::is_whitespace));
            lines
                .find(|(_, of)| of.trim() == name)
                .and_then(|(count, _)| count.parse::<f64>().ok())
                .unwrap_or(0.0)
        };
        // Those of a stream that runs; what begins and ends it would be more than half of a short one's.
        let names = [
            "ioctl",
            "poll",
            "ppoll",
            "epoll_wait",
            "epoll_pwait",
            "epoll_pwait2",
            "read",
            "write",
            "timerfd_settime",
            "futex",
            "clock_gettime",
            "nanosleep",
            "clock_nanosleep",
        ];
        Ok(names.iter().map(|name| count(name)).sum::<f64>() / f64::from(self.milliseconds / self.packets))
    }

    /// With the processors busy: what was seen, and by usbmon's account the holes and their frames.
    fn under_load(self, guest: &Guest) -> Result<(Watched, (usize, u32)), String> {
        let bits = guest.controller.frame_bits().ok_or("usbmon does not know this controller's frames")?;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let usbmon = Usbmon::listen(Speaker::wait()?.bus)?;
        let load = Load::start(2 * processors);
        let watched = self.watched();
        drop(load);
        let transfers = witness::transfers(&usbmon.heard()?, speaker::ENDPOINT);
        let holes = witness::holes(&transfers, bits);
        Ok((watched?, (holes.len(), holes.iter().map(|(_, frames)| frames).sum())))
    }
}
