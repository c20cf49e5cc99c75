//! What a user is told when it cannot be: too little memory, no permission, another program has the device.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::guest::{ERROR, Guest, LOST, Program, SOMEBODY, Speaker, USBFS_MEMORY, Usbmon, streaming};
use crate::sound;
use crate::test::{Outcome, Test};

pub(crate) const TEST: Test = Test { programs: &["isoch"], guest, ..Test::DEFAULT };

const SOUND: &str = "/tmp/refusals.wav";

fn guest(guest: &mut Guest) -> Outcome {
    sound::write_wav(SOUND.as_ref(), &vec![0; sound::RATE / 10])?;
    let speaker = Speaker::wait()?;

    fs::write(USBFS_MEMORY, "1")?;
    // Half a minute is more than a MiB of samples.
    let usbmon = Usbmon::listen(speaker.bus)?;
    let said = refused(&mut play(&["--depth", "30s"]))?;
    let nothing_sent = usbmon.heard()?.iter().all(|event| !event.is_isochronous);
    tell(guest, "usbfs_memory_mb=1 and 30 s queued", said, &["smaller ones", "usbfs_memory_mb"])?;
    ensure!(nothing_sent, "something was submitted before the budget was known");
    played(&mut play(&[]))?;

    fs::set_permissions(speaker.node(), fs::Permissions::from_mode(0o600))?;
    let said = refused(play(&[]).uid(SOMEBODY).gid(SOMEBODY))?;
    tell(guest, "a node of root's", said, &["no permission", "--print-udev-rule"])?;
    fs::set_permissions(speaker.node(), fs::Permissions::from_mode(0o666))?;
    // What usbfs needs no root for; there is no witness then.
    played(play(&[]).uid(SOMEBODY).gid(SOMEBODY))?;

    let held = isoch::open(streaming::ADDRESS)?.interface(1)?;
    tell(
        guest,
        "another program has it",
        refused(&mut play(&[]))?,
        &["interface 1 is in use", "another program"],
    )?;
    drop(held);
    played(&mut play(&[]))?;

    let mut nobody = Command::new("/bin/isoch");
    let said = refused(nobody.args(["play", SOUND, "--quiet", "--device", "usb:1234:5678"]))?;
    tell(guest, "not plugged in", said, &["no device answers", "46f4:0002"])
}

fn play(more: &[&str]) -> Command {
    let mut isoch = Command::new("/bin/isoch");
    isoch.args(["play", SOUND, "--quiet", "--device", streaming::ADDRESS]).args(more);
    isoch
}

/// What it says when it cannot.
fn refused(isoch: &mut Command) -> Result<String, String> {
    Program::expect(isoch, &[ERROR]).map(|(_, said)| said)
}

/// That frames were lost is another test's matter.
fn played(isoch: &mut Command) -> Result<(), String> {
    Program::expect(isoch, &[0, LOST]).map(drop)
}

/// Shows it, and looks for the words that must be in it.
fn tell(guest: &mut Guest, case: &str, said: String, words: &[&str]) -> Outcome {
    guest.say(format!("{case}: {}", said.trim()));
    for word in words {
        ensure!(said.contains(word), "{case}: it does not say `{word}`: {said}");
    }
    Ok(())
}
