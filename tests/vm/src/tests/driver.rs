//! The kernel's sound driver has the speaker: it is taken from it with its control interface, given back, and its card
//! works again; also while somebody's program plays on it. And the driver takes it back in the midst of a stream.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::harness;
use crate::guest::streaming::{self, Ring};
use crate::guest::{Guest, LOST, Program, Speaker};
use crate::sound;
use crate::test::{Outcome, Test};

pub(crate) const TEST: Test = Test {
    modules: &["snd_usb_audio"],
    programs: &["isoch", "aplay"],
    files: harness::TEST.files,
    guest,
    ..Test::DEFAULT
};

const SOUND: &str = "/tmp/driver.wav";
const LONG: &str = "/tmp/driver-long.wav";
/// What the card is doing.
const STREAM: &str = "/proc/asound/card0/pcm0p/sub0/status";
const DRIVER: &str = "snd-usb-audio";
const CARD: &str = "/proc/asound/card0";
const INTERFACES: [u8; 2] = [0, 1];
/// The driver takes an interface within this time.
const PATIENCE: Duration = Duration::from_secs(2);
const BLOCKS: u32 = 8;

fn guest(guest: &mut Guest) -> Outcome {
    sound::write_wav(SOUND.as_ref(), &vec![0; sound::RATE / 5])?;
    let speaker = Speaker::wait()?;
    guest.load("snd_usb_audio")?;
    speaker.wait_for_driver(DRIVER, &INTERFACES)?;

    // As a program, which ends.
    let mut isoch = Command::new("/bin/isoch");
    Program::expect(isoch.args(["play", SOUND, "--quiet", "--device", streaming::ADDRESS]), &[0, LOST])?;
    speaker.wait_for_driver(DRIVER, &INTERFACES)?;
    card_works()?;
    guest.say("isoch play takes the speaker from snd-usb-audio and gives it back; aplay plays on it");

    // As a library, in a process that goes on.
    let out = streaming::open(streaming::ADDRESS)?;
    for interface in INTERFACES {
        let driver = speaker.driver(interface);
        ensure!(driver.as_deref() == Some("usbfs"), "interface {interface} has {driver:?} while it is ours");
    }
    ensure!(!Path::new(CARD).exists(), "half of the card is still there");
    drop(out);
    speaker.wait_for_driver(DRIVER, &INTERFACES)?;
    card_works()?;

    played_on(guest, &speaker)?;
    stolen(guest, &speaker)?;
    speaker.wait_for_driver(DRIVER, &INTERFACES)?;
    card_works()?;
    Ok(())
}

/// Somebody binds the driver by hand while a stream runs: it ends, with an error, and everything comes back.
fn stolen(guest: &mut Guest, speaker: &Speaker) -> Outcome {
    let name = speaker.folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let ring = Ring::new(streaming::open(streaming::ADDRESS)?, 4, BLOCKS)?;
    let mut next = 0;
    ring.fill(&mut next)?;
    let mut all = 0;
    while all < BLOCKS as usize {
        let done = ring.next()?;
        all += 1;
        drop(done);
        ring.fill(&mut next)?;
    }
    for interface in INTERFACES.iter().rev() {
        fs::write("/sys/bus/usb/drivers/usbfs/unbind", format!("{name}:1.{interface}"))?;
    }
    fs::write(format!("/sys/bus/usb/drivers/{DRIVER}/bind"), format!("{name}:1.0"))?;
    let (mut outcomes, mut refused) = (Vec::new(), None);
    let began = Instant::now();
    // All that was under way comes back; then nothing more is taken.
    while (ring.blocks.free() < BLOCKS as usize || refused.is_none()) && began.elapsed() < PATIENCE {
        if refused.is_none() {
            refused = ring.fill(&mut next).err().map(|error| error.to_string());
        }
        match ring.out.next_completion().wait_timeout(Duration::from_millis(100)) {
            Ok(done) => {
                let outcome = format!("{:?}", done.outcome());
                if outcomes.last() != Some(&outcome) {
                    outcomes.push(outcome);
                }
            }
            Err(isoch::Error::TimedOut) => {}
            Err(error) => refused = refused.or(Some(error.to_string())),
        }
    }
    guest.say(format!(
        "the driver was bound by hand in the midst of a stream: {outcomes:?}, then {refused:?}"
    ));
    ensure!(ring.blocks.free() == BLOCKS as usize, "{} of {BLOCKS} blocks are back", ring.blocks.free());
    ensure!(
        outcomes.iter().any(|outcome| outcome != "Completed") || refused.is_some(),
        "nobody said that the stream is over"
    );
    Ok(())
}

/// Somebody's program plays on the card: the speaker is taken from it, too, and it ends with an error.
fn played_on(guest: &mut Guest, speaker: &Speaker) -> Outcome {
    sound::write_wav(LONG.as_ref(), &vec![0; sound::RATE * 20])?;
    let mut aplay = Program::start(Command::new("/bin/aplay").args(["--quiet", "--device=hw:0", LONG]))?;
    let began = Instant::now();
    while !fs::read_to_string(STREAM)?.contains("RUNNING") {
        ensure!(aplay.is_running() && began.elapsed() < PATIENCE, "aplay does not play");
        std::thread::sleep(Duration::from_millis(10));
    }
    let isoch = |words: &[&str]| Program::expect(Command::new("/bin/isoch").args(words), &[0, LOST]);
    let (_, said) = isoch(&["doctor", streaming::ADDRESS])?;
    let drivers = said.lines().find(|line| line.contains(DRIVER)).unwrap_or_default().trim();
    guest.say(format!("while aplay plays, isoch doctor says: {drivers}"));
    ensure!(drivers.contains("interfaces 0 and 1"), "isoch doctor does not name the driver: {said}");
    ensure!(aplay.is_running(), "aplay did not live to see isoch play");
    let (status, said) = isoch(&["play", SOUND, "--device", streaming::ADDRESS])?;
    guest.say(format!("isoch play ends with {status}: {}", said.trim().replace('\n', " / ")));
    let (status, said) = aplay.end(PATIENCE)?;
    guest.say(format!("aplay ends with {status}: {}", said.trim().replace('\n', " / ")));
    ensure!(status > 0, "aplay ended with {status}, as if it had played: {said}");
    speaker.wait_for_driver(DRIVER, &INTERFACES)?;
    card_works()
}

fn card_works() -> Outcome {
    // The driver has the interfaces before it makes a card of them.
    let began = Instant::now();
    while !Path::new(CARD).exists() {
        ensure!(began.elapsed() < PATIENCE, "the driver made no card");
        std::thread::sleep(Duration::from_millis(10));
    }
    Program::expect(Command::new("/bin/aplay").args(["--quiet", "--device=hw:0", SOUND]), &[0])?;
    Ok(())
}
