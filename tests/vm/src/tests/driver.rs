//! The kernel's sound driver has the speaker: it is taken from it with its control interface, given back, and its card
//! works again. And the driver takes it back in the midst of a stream.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::guest::streaming::{self, Ring};
use crate::guest::{Guest, Program, Speaker};
use crate::sound;
use crate::test::{Outcome, Test};

pub(crate) const TEST: Test = Test {
    modules: &["snd_usb_audio"],
    programs: &["isoch", "aplay"],
    files: &["/usr/share/alsa/alsa.conf", "/usr/share/alsa/pcm", "/usr/share/alsa/cards"],
    guest,
    ..Test::DEFAULT
};

const SOUND: &str = "/tmp/driver.wav";
const DRIVER: &str = "snd-usb-audio";
const INTERFACES: [u8; 2] = [0, 1];
/// The driver takes an interface within this time.
const PATIENCE: Duration = Duration::from_secs(2);
const BLOCKS: u32 = 8;

fn guest(guest: &mut Guest) -> Outcome {
    sound::write_wav(SOUND.as_ref(), &vec![0; sound::RATE / 5])?;
    let speaker = Speaker::wait()?;
    guest.load("snd_usb_audio")?;
    wait_for(&speaker, DRIVER)?;

    // As a program, which ends.
    let mut isoch = Command::new("/bin/isoch");
    run(isoch.args(["play", SOUND, "--quiet", "--device", streaming::ADDRESS]))?;
    wait_for(&speaker, DRIVER)?;
    card_works()?;
    guest.say("isoch play takes the speaker from snd-usb-audio and gives it back; aplay plays on it");

    // As a library, in a process that goes on.
    let out = streaming::open(streaming::ADDRESS)?;
    for interface in INTERFACES {
        let driver = speaker.driver(interface);
        ensure!(driver.as_deref() == Some("usbfs"), "interface {interface} has {driver:?} while it is ours");
    }
    ensure!(!Path::new("/proc/asound/card0").exists(), "half of the card is still there");
    drop(out);
    wait_for(&speaker, DRIVER)?;
    card_works()?;

    stolen(guest, &speaker)?;
    wait_for(&speaker, DRIVER)?;
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
        if outcomes.iter().filter(|outcome| *outcome != "Completed").count() > 0
            && ring.blocks.free() == BLOCKS as usize
        {
            break;
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

fn wait_for(speaker: &Speaker, driver: &str) -> Result<(), String> {
    let began = Instant::now();
    let has = |interface: &u8| speaker.driver(*interface).as_deref() == Some(driver);
    while !INTERFACES.iter().all(has) {
        if began.elapsed() > PATIENCE {
            let drivers = INTERFACES.map(|interface| speaker.driver(interface));
            return Err(format!("the interfaces have {drivers:?}, not {driver}"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn card_works() -> Result<(), String> {
    run(Command::new("/bin/aplay").args(["--quiet", "--device=hw:0", SOUND]))
}

fn run(command: &mut Command) -> Result<(), String> {
    let (status, said) = Program::run(command, Duration::from_secs(10))?;
    // 3: frames were lost, which is another test's matter.
    if [0, 3].contains(&status) { Ok(()) } else { Err(format!("{command:?} ended with {status}: {said}")) }
}
