//! Nothing of ours: the kernel's own driver plays through the emulated controller, the recording has what was
//! played, and usbmon's frames rise by the packets. If this fails, no other test says anything.

use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::guest::{Guest, Program, Speaker, Usbmon, speaker, witness};
use crate::host::{Packet, Recorded};
use crate::sound::{self, Sample};
use crate::test::{Controller, Outcome, Test};

pub(crate) const TEST: Test = Test {
    modules: &["snd_usb_audio"],
    programs: &["aplay"],
    files: &["/usr/share/alsa/alsa.conf", "/usr/share/alsa/pcm", "/usr/share/alsa/cards"],
    guest: |guest| play(guest, SEED),
    host: Some(|recorded| {
        let lost = recorded.handed_over::<Vec<_>>()?;
        recorded.expect_without(&played(SEED, recorded.full), &lost)?;
        packets(recorded, &lost)
    }),
    ..Test::DEFAULT
};

const SEED: &str = "harness";

pub(super) fn played(seed: &str, full: bool) -> Vec<Sample> {
    sound::noise(seed, if full { 10 } else { 1 } * sound::RATE)
}

pub(super) fn play(guest: &mut Guest, seed: &str) -> Outcome {
    let file = Path::new("/tmp/harness.wav");
    let sound = sound::with_silence(&played(seed, guest.full));
    sound::write_wav(file, &sound)?;
    let speaker = Speaker::wait()?;
    guest.load("snd_usb_audio")?;
    let usbmon = Usbmon::listen(speaker.bus)?;
    let mut aplay = Command::new("/bin/aplay");
    let (status, said) =
        Program::run(aplay.args(["--quiet", "--device=hw:0"]).arg(file), Duration::from_secs(20))?;
    let events = usbmon.heard()?;
    ensure!(status == 0, "aplay ended with {status}: {said}");

    let transfers = witness::transfers(&events, speaker::ENDPOINT);
    let packets: usize = transfers.iter().map(|transfer| transfer.packets.len()).sum();
    guest.say(format!("aplay: {} transfers with {packets} packets", transfers.len()));
    guest.hand_over(witness::lost(&transfers, &played(seed, guest.full))?)?;
    if Controller::WITH_TRUE_FRAMES.contains(&guest.controller) {
        for pair in transfers.windows(2) {
            let (end, next) = (pair[0].end_frame(), pair[1].start_frame);
            ensure!(end == next, "after frames {} to {end} came {next}", pair[0].start_frame);
        }
    }
    Ok(())
}

/// QEMU's packets carried the same, a frame apart.
fn packets(recorded: &Recorded<'_>, lost: &[Range<usize>]) -> Outcome {
    let is_sound =
        |packet: &Packet| packet.is_isochronous && !packet.is_answer && packet.endpoint == speaker::ENDPOINT;
    let packets: Vec<_> = recorded.packets()?.into_iter().filter(is_sound).collect();
    let sound = played(SEED, recorded.full);
    let data: Vec<u8> = packets.iter().flat_map(|packet| packet.data.iter().copied()).collect();
    let heard: Vec<Sample> = sound::samples(&data).collect();
    let first = sound::compare(&sound::without(&sound, lost)?, &heard)
        .map_err(|error| format!("packets: {error}"))?;
    // The packets of the sound alone: before and after it there may be others.
    let (from, length) = (first / sound::PER_FRAME, sound.len() / sound::PER_FRAME);
    let of_sound = packets.get(from..from + length - lost.len()).ok_or("too few packets")?;
    if let [begin, .., end] = of_sound {
        let took = end.at.saturating_sub(begin.at).as_secs_f64() * 1000.0;
        recorded.say(format!("QEMU's packets are the same; {} of them in {took:.1} ms", of_sound.len()));
    }
    Ok(())
}
