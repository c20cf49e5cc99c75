//! A process ends with the speaker open and a stream under way: the kernel's driver, which had it before, has it again.

use std::time::Duration;

use crate::guest::streaming::{self, Ring};
use crate::guest::{Guest, Program, Speaker};
use crate::test::{Outcome, Test};

pub(crate) const TEST: Test = Test { modules: &["snd_usb_audio"], guest, child, ..Test::DEFAULT };

const NAME: &str = "leaving";
const DRIVER: &str = "snd-usb-audio";
const INTERFACES: [u8; 2] = [0, 1];

fn child() -> Outcome {
    let ring = Ring::new(streaming::open(streaming::ADDRESS)?, 4, 8)?;
    ring.fill(&mut 0)?;
    ring.next()?;
    // As whatever a program has in a static is never dropped.
    std::mem::forget(ring);
    Ok(())
}

fn guest(guest: &mut Guest) -> Outcome {
    let speaker = Speaker::wait()?;
    guest.load("snd_usb_audio")?;
    speaker.wait_for_driver(DRIVER, &INTERFACES)?;
    let (status, said) = Program::run(&mut guest.child(NAME), Duration::from_secs(10))?;
    ensure!(status == 0, "it ended with {status}: {said}");
    // At once: the process has waited for it.
    for interface in INTERFACES {
        let driver = speaker.driver(interface);
        ensure!(driver.as_deref() == Some(DRIVER), "interface {interface} has {driver:?} afterwards");
    }
    guest.say("a process ended in the midst of a stream, and snd-usb-audio has the speaker again");
    Ok(())
}
