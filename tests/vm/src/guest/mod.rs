//! The agent in the guest: `/init`, which runs the tests that the host names.

mod as_found;
mod init;
mod kernel_log;
mod load;
mod modules;
mod process;
pub(crate) mod speaker;
pub(crate) mod streaming;
mod talk;
mod uevents;
mod usbmon;
mod watchdog;
pub(crate) mod witness;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

pub(crate) use as_found::{SLEEP_DELAY, SLEEP_LEVEL, USBFS_MEMORY};
pub(crate) use load::Load;
pub(crate) use modules::FOLDER as MODULES;
pub(crate) use process::{ERROR, LOST, Program, SOMEBODY, status_kilobytes};
pub(crate) use speaker::Speaker;
pub(crate) use uevents::UEvents;
pub(crate) use usbmon::Usbmon;

use crate::test::{Controller, Outcome};
use crate::tests::TESTS;
use crate::wire::{FromGuest, FromHost, Request, Verdict};
use as_found::AsFound;
use kernel_log::KernelLog;
use talk::Talk;
use watchdog::Watchdog;

/// What a test's part in the guest works with.
pub(crate) struct Guest {
    /// Whether the full list runs.
    pub(crate) full: bool,
    pub(crate) controller: Controller,
    /// Until when a test may try again.
    enough: Instant,
    as_found: AsFound,
    talk: Talk,
}

impl Guest {
    /// Adds a line to the report.
    pub(crate) fn say(&mut self, line: impl Into<String>) {
        // Without the host there is no report.
        let _ = self.talk.tell(&FromGuest::Said(line.into()));
    }

    /// Gives something to the test's part on the host.
    pub(crate) fn hand_over(&mut self, value: impl serde::Serialize) -> Outcome {
        Ok(self.talk.tell(&FromGuest::HandedOver(serde_json::to_value(value)?))?)
    }

    /// Has the host do something to the machine.
    pub(crate) fn ask(&mut self, request: Request) -> Outcome {
        self.talk.tell(&FromGuest::Asked(request))?;
        match self.talk.hear()? {
            FromHost::Answer(answer) => Ok(answer?),
            other => Err(format!("the host answered {other:?}").into()),
        }
    }

    /// Whether there is time to try once more what did not come about.
    pub(crate) fn has_time(&self) -> bool {
        Instant::now() < self.enough
    }

    /// Loads a kernel module, and what it needs.
    pub(crate) fn load(&self, module: &str) -> Result<(), String> {
        modules::load(module)
    }

    /// Unloads a kernel module that nobody uses.
    pub(crate) fn unload(&self, module: &str) -> Result<(), String> {
        modules::unload(module)
    }

    /// This program again, for a test's [`child`](crate::test::Test::child).
    pub(crate) fn child(&self, test: &str) -> Command {
        let mut command = Command::new("/init");
        command.args([CHILD, test]);
        command
    }

    /// Runs the test as it stands, whatever it does to this program.
    fn test(&mut self, name: &str) -> Outcome {
        let (_, test) =
            TESTS.iter().find(|(test, _)| *test == name).ok_or_else(|| format!("no test {name}"))?;
        let mut log = KernelLog::from_now()?;
        let caught = catch_unwind(AssertUnwindSafe(|| (test.guest)(self)));
        let outcome = caught.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(format!("panicked: {}", text.unwrap_or("without a word")).into())
        });
        let outcome = outcome.and(self.clean_up());
        let complaint = log.complaint();
        if outcome.is_err() {
            log.show();
        }
        match complaint {
            Some(complaint) => outcome.and(Err(format!("the kernel complained: {complaint}").into())),
            None => outcome,
        }
    }

    /// As the next test expects it: the speaker is there, nobody has it, and the system is as it was.
    fn clean_up(&mut self) -> Outcome {
        if modules::is_loaded("snd_usb_audio") {
            self.unload("snd_usb_audio")?;
        }
        if Speaker::find().is_none() {
            self.ask(Request::Replug)?;
        }
        Ok(self.as_found.restore(&Speaker::wait()?)?)
    }
}

/// The word that makes this program a test's child.
pub(crate) const CHILD: &str = "child";

pub(crate) fn run_child(name: &str) -> ExitCode {
    let test = TESTS.iter().find(|(test, _)| *test == name);
    match test.map_or_else(|| Err("no such test".into()), |(_, test)| (test.child)()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

pub(crate) fn run() -> ExitCode {
    // The kernel panics when this program ends, and QEMU ends then: the host sees it at once.
    match serve() {
        Ok(()) => init::power_off(),
        Err(error) => println!("agent: {error}"),
    }
    ExitCode::FAILURE
}

fn serve() -> Outcome {
    init::mount()?;
    let words = std::fs::read_to_string("/proc/cmdline")?;
    // Of several the last counts, as with the kernel's own.
    let controller =
        words.split_whitespace().filter_map(|word| word.strip_prefix("isoch.controller=")).next_back();
    let controller =
        controller.and_then(Controller::from_name).ok_or("the command line names no controller")?;
    modules::load("usbmon")?;
    modules::load(controller.module())?;
    if words.split_whitespace().any(|word| word == "isoch.shell") {
        return init::shell();
    }
    modules::load("virtio_pci")?;
    modules::load("virtio_console")?;
    let as_found = AsFound::remember(&Speaker::wait()?)?;
    let mut guest = Guest { full: false, controller, enough: Instant::now(), as_found, talk: Talk::open()? };
    let kernel = std::fs::read_to_string("/proc/sys/kernel/version")?;
    let kernel =
        format!("{} {}", std::fs::read_to_string("/proc/sys/kernel/osrelease")?.trim(), kernel.trim());
    guest.talk.tell(&FromGuest::Ready { kernel })?;
    loop {
        match guest.talk.hear()? {
            FromHost::Run { test, full, limit } => {
                let limit = Duration::from_secs(limit);
                (guest.full, guest.enough) = (full, Instant::now() + limit.mul_f64(0.8));
                let watchdog = Watchdog::after(limit.mul_f64(0.9));
                println!("agent: {test}");
                let verdict: Verdict = guest.test(&test).into();
                drop(watchdog);
                println!("agent: {test}: {verdict:?}");
                guest.talk.tell(&FromGuest::Ended(verdict))?;
            }
            FromHost::PowerOff => return Ok(()),
            FromHost::Answer(_) => return Err("the host answers nothing that was asked".into()),
        }
    }
}
