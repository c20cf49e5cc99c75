//! The same stream with libusb and with isoch, on a real kernel: system calls and heap allocations for each transfer,
//! how long it takes from waking up to having resubmitted, and what is lost while the processors are busy.
//!
//! The figures are for the documentation. What must hold besides: every stream comes to its end, ours allocates
//! nothing, and makes fewer system calls than libusb's.

use std::process::Command;
use std::time::Duration;

use serde::Deserialize;

use crate::guest::{Guest, Load, Program, Speaker, Usbmon, speaker, witness};
use crate::test::{Controller, Failure, Outcome, Test};

pub(crate) const TEST: Test = Test {
    // Where usbmon tells true frames, so that holes are seen by somebody else.
    controllers: &[Controller::Uhci],
    programs: &["libusb_stream", "isoch_stream", "libwatch.so", "strace"],
    full_only: true,
    limits: (180, 1_200),
    guest,
    ..Test::DEFAULT
};

/// What both programs keep queued, in milliseconds.
const QUEUED: u32 = 32;
/// Packets of a transfer: one a millisecond.
const LENGTHS: [u32; 2] = [1, 8];
/// System calls are counted in streams of so many milliseconds: strace makes each of them slow.
const TRACED: u32 = 10_000;
const SEEN: &str = "/tmp/watch.json";
const CALLS: &str = "/tmp/strace.txt";
const OURS: &str = "/bin/isoch_stream";
/// libusb's address is the device node; so is ours, and as a second line ours with a real-time event thread.
const PROGRAMS: [(&str, &str, bool); 3] =
    [("libusb", "/bin/libusb_stream", false), ("isoch", OURS, false), ("isoch ?priority=50", OURS, true)];

/// What `libwatch.so` saw, after the first transfers.
#[derive(Deserialize)]
struct Watched {
    transfers: u64,
    allocations: u64,
    /// Resubmissions that were timed.
    delays: u64,
    p50: f64,
    p99_9: f64,
    longest: f64,
}

/// Transfers that it does not look at.
const FIRST: u64 = 100;

/// What the programs say of themselves at their end.
#[derive(Deserialize)]
struct Played {
    transfers: u64,
    failed_transfers: u64,
}

fn guest(guest: &mut Guest) -> Outcome {
    let milliseconds = if guest.full { 60_000 } else { 1_500 };
    // It ends with an error only after everything has been tried.
    let mut wrong = Vec::new();
    for packets in LENGTHS {
        let mut calls = Vec::new();
        for (name, program, has_priority) in PROGRAMS {
            let title = format!("{name}, {packets} ms");
            let stream = Stream { program, has_priority, packets, milliseconds };
            // A priority matters where there is something else to do.
            if !has_priority {
                match stream.calm(guest, &title) {
                    Ok(counted) => calls.push(counted),
                    Err(error) => wrong.push(format!("{title}: {error}")),
                }
            }
            if let Err(error) = stream.busy(guest, &title) {
                wrong.push(format!("{title}, busy: {error}"));
            }
        }
        if let [libusb, isoch] = calls[..]
            && guest.full
            && isoch >= libusb
        {
            wrong.push(format!("{packets} ms: {isoch:.2} system calls, libusb {libusb:.2}"));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ").into()) }
}

#[derive(Clone, Copy)]
struct Stream {
    program: &'static str,
    has_priority: bool,
    packets: u32,
    milliseconds: u32,
}

impl Stream {
    /// With nothing else to do. Returns the system calls for each transfer.
    fn calm(self, guest: &mut Guest, title: &str) -> Result<f64, Failure> {
        let calm = self.watched()?;
        let (calls, which) = Stream { milliseconds: self.milliseconds.min(TRACED), ..self }.calls()?;
        guest.say(format!(
            "{title}: {calls:.2} system calls ({which}), {:.2} allocations; from waking up to having resubmitted p50 {:.0} µs, \
             p99.9 {:.0} µs, longest {:.0} µs",
            calm.allocations as f64 / calm.transfers as f64,
            calm.p50,
            calm.p99_9,
            calm.longest
        ));
        if self.program == OURS && calm.allocations > 0 {
            return Err(format!("the stream allocated {} times", calm.allocations).into());
        }
        Ok(calls)
    }

    /// With the processors busy. Holes are those that usbmon shows.
    fn busy(self, guest: &mut Guest, title: &str) -> Outcome {
        let bits = guest.controller.frame_bits().ok_or("usbmon does not know this controller's frames")?;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let usbmon = Usbmon::listen(Speaker::wait()?.bus)?;
        let load = Load::start(2 * processors);
        let watched = self.watched();
        drop(load);
        let transfers = witness::transfers(&usbmon.heard()?, speaker::ENDPOINT);
        let holes = witness::holes(&transfers, bits);
        let frames: u32 = holes.iter().map(|(_, frames)| frames).sum();
        let busy = watched?;
        guest.say(format!(
            "{title}, busy: p50 {:.0} µs, p99.9 {:.0} µs, longest {:.0} µs; {} holes of {frames} frames",
            busy.p50,
            busy.p99_9,
            busy.longest,
            holes.len()
        ));
        Ok(())
    }

    fn transfers(self) -> u64 {
        u64::from(self.milliseconds / self.packets)
    }

    /// Runs it through another command, or by itself, to the end of its stream.
    fn run(self, mut command: Command) -> Outcome {
        let address = match self.has_priority {
            true => "usb:46f4:0002?priority=50".to_owned(),
            false => Speaker::wait()?.node().to_string_lossy().into_owned(),
        };
        let numbers = [u64::from(self.packets), self.transfers(), u64::from(QUEUED / self.packets)];
        command.arg(address).args(numbers.map(|number| number.to_string()));
        let patience = Duration::from_millis(u64::from(self.milliseconds) * 3 + 10_000);
        let (status, said) = Program::run(&mut command, patience)?;
        // Its status tells of packets, too, which a busy machine's controller misses.
        let played: Played = serde_json::from_str(said.trim())
            .map_err(|error| format!("it ended with {status}: {said} ({error})"))?;
        let asked = self.transfers();
        ensure!(
            (played.transfers, played.failed_transfers) == (asked, 0),
            "of {asked} transfers {} are over, {} failed",
            played.transfers,
            played.failed_transfers
        );
        Ok(())
    }

    fn watched(self) -> Result<Watched, Failure> {
        let _ = std::fs::remove_file(SEEN);
        let mut command = Command::new(self.program);
        command.env("LD_PRELOAD", "/bin/libwatch.so").env("WATCH_FILE", SEEN);
        self.run(command)?;
        let seen = std::fs::read(SEEN).map_err(|error| format!("{SEEN}: {error}"))?;
        let watched: Watched = serde_json::from_slice(&seen)?;
        let expected = self.transfers().saturating_sub(FIRST);
        ensure!(
            watched.transfers == expected && watched.delays * 100 >= expected * 99,
            "of {expected} transfers {} were seen, and {} timed",
            watched.transfers,
            watched.delays
        );
        Ok(watched)
    }

    /// System calls for each transfer, and which.
    fn calls(self) -> Result<(f64, String), Failure> {
        let mut command = Command::new("/bin/strace");
        command.args(["-f", "-c", "-U", "calls,name", "-o", CALLS, self.program]);
        self.run(command)?;
        let text = std::fs::read_to_string(CALLS)?;
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
        let each = names.map(|name| (name, count(name) / self.transfers() as f64));
        let which = each.iter().filter(|(_, calls)| *calls >= 0.01);
        let which: Vec<_> = which.map(|(name, calls)| format!("{name} {calls:.2}")).collect();
        Ok((each.iter().map(|(_, calls)| calls).sum(), which.join(", ")))
    }
}
