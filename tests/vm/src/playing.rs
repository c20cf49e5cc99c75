//! A program plays a sound, and everybody agrees on what became of it: the program, usbmon, and QEMU's recording.
//!
//! Why may it be played again? A busy machine emulates the controller late, and a late controller leaves packets out.
//! Then the program must say so, usbmon says which, and the recording lacks exactly these. That is tested whenever it
//! happens; a sound that arrived whole is wanted besides.

use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::guest::{Guest, Speaker, Usbmon, speaker, witness};
use crate::host::Recorded;
use crate::sound::{self, Sample};
use crate::test::{Failure, Outcome};

/// What became of one attempt, by usbmon: the samples that were left out.
#[derive(Serialize, Deserialize)]
struct Attempt {
    number: usize,
    lost: Vec<Range<usize>>,
}

/// What a program says of itself.
pub(crate) struct Said {
    /// Whether it says that anything was lost; `None` if it has no way to say it.
    pub(crate) lost: Option<bool>,
    /// Whether it played to the end.
    pub(crate) all: bool,
    /// A line for the report.
    pub(crate) line: String,
}

fn sound(name: &str, attempt: usize, full: bool) -> Vec<Sample> {
    sound::played(&format!("{name} {attempt}"), full)
}

/// The part in the guest. `program` plays the file and tells how it went.
pub(crate) fn play(
    guest: &mut Guest,
    name: &str,
    mut program: impl FnMut(&mut Guest, &Path) -> Result<Said, Failure>,
) -> Outcome {
    let path = Path::new("/tmp").join(name).with_extension("wav");
    let mut attempts = Vec::new();
    for number in 0.. {
        let played = sound(name, number, guest.full);
        sound::write_wav(&path, &sound::with_silence(&played))?;
        let usbmon = Usbmon::listen(Speaker::wait()?.bus)?;
        let said = program(guest, &path)?;
        let transfers = witness::transfers(&usbmon.heard()?, speaker::ENDPOINT);
        guest.say(said.line);
        let mut whole = false;
        if said.all {
            let lost = witness::lost(&transfers, &played)?;
            whole = lost.is_empty();
            if let Some((said, bits)) = said.lost.zip(guest.controller.frame_bits()) {
                let holes = witness::holes(&transfers, bits);
                let is_so = !whole || !holes.is_empty();
                ensure!(
                    said == is_so,
                    "it says lost: {said}; usbmon says samples {lost:?}, frames before {holes:?}"
                );
            }
            attempts.push(Attempt { number, lost });
        }
        if whole || !guest.has_time() {
            break;
        }
    }
    guest.hand_over(attempts)
}

/// The part on the host.
pub(crate) fn compare(recorded: &Recorded<'_>, name: &str) -> Outcome {
    let attempts: Vec<Attempt> = recorded.handed_over()?;
    for Attempt { number, lost } in &attempts {
        recorded.expect_without(&sound(name, *number, recorded.full()), lost)?;
    }
    ensure!(
        attempts.iter().any(|attempt| attempt.lost.is_empty()),
        "played {} times, and the emulated controller was never in time: is the machine too busy?",
        attempts.len()
    );
    Ok(())
}
