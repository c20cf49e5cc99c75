//! Nothing of ours: the kernel's own driver plays through the emulated controller, the recording has what was
//! played, and usbmon's frames rise by the packets. If this fails, no other test says anything.

use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::figures::Readings;
use crate::guest::{Guest, Program, Speaker, Usbmon, speaker, witness};
use crate::host::Recorded;
use crate::sound::{self, Sample};
use crate::test::{Outcome, Test};

pub(crate) const TEST: Test = Test {
    modules: &["snd_usb_audio"],
    programs: &["aplay"],
    files: &["/usr/share/alsa/alsa.conf", "/usr/share/alsa/pcm", "/usr/share/alsa/cards"],
    guest: |guest| play(guest, SEED),
    host: Some(|recorded| {
        let lost = recorded.handed_over::<Vec<_>>()?;
        recorded.expect_without(&sound::played(SEED, recorded.full()), &lost)?;
        packets(recorded, &lost)
    }),
    ..Test::DEFAULT
};

const SEED: &str = "harness";

pub(super) fn play(guest: &mut Guest, seed: &str) -> Outcome {
    let file = Path::new("/tmp/harness.wav");
    let played = sound::played(seed, guest.full);
    sound::write_wav(file, &sound::with_silence(&played))?;
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
    guest.hand_over(witness::lost(&transfers, &played)?)?;
    if guest.controller.frame_bits().is_some() {
        for pair in transfers.windows(2) {
            let (end, next) = (pair[0].end_frame(), pair[1].start_frame);
            ensure!(end == next, "after frames {} to {end} came {next}", pair[0].start_frame);
        }
    }
    Ok(())
}

/// QEMU's packets carried the same, by its clock a frame apart: each may be late, and never early.
fn packets(recorded: &Recorded<'_>, lost: &[Range<usize>]) -> Outcome {
    let sound = sound::without(&sound::played(SEED, recorded.full()), lost)?;
    let packets: Vec<(Duration, Vec<Sample>)> = recorded
        .packets_to(speaker::ENDPOINT)?
        .map(|packet| (packet.at, sound::samples(&packet.data).collect()))
        .collect();
    let heard: Vec<Sample> = packets.iter().flat_map(|(_, samples)| samples.iter().copied()).collect();
    let first = sound::compare(&sound, &heard).map_err(|error| format!("packets: {error}"))?;
    // The packets that carry the sound alone: before and after it there may be others.
    let mut place = 0;
    let mut times = Vec::new();
    for (at, samples) in &packets {
        if place >= first && place + samples.len() <= first + sound.len() {
            times.push(at.as_secs_f64() * 1000.0);
        }
        place += samples.len();
    }
    let apart: Readings = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let (begin, end) = times.first().zip(times.last()).ok_or("no packet carries the sound alone")?;
    let frames = end - begin;
    recorded.say(format!(
        "QEMU's packets are the same; {} of them in {frames:.1} ms, apart in ms: {apart}",
        times.len()
    ));
    // One that is late is the nearer to the next: only together they keep time.
    let lost: usize = lost.iter().map(ExactSizeIterator::len).sum();
    let expected = (times.len() - 1 + lost / sound::PER_FRAME) as f64;
    ensure!(
        (expected - LATE..expected + LATE).contains(&frames),
        "{} packets took {frames:.1} ms",
        times.len()
    );
    ensure!(apart.max().is_some_and(|most| most < LATE), "two packets are far apart: {apart}");
    Ok(())
}

/// Milliseconds by which QEMU may serve a frame late, on a machine that has other things to do.
const LATE: f64 = 50.0;
