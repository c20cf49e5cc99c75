//! The process is stopped while it streams: a gap is reported in every case where usbmon shows one and in no other, and
//! as long as it was.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::figures::{Random, Readings};
use crate::guest::streaming::{self, Ring, numbered};
use crate::guest::{Guest, Program, Speaker, Usbmon, speaker, witness};
use crate::test::{Controller, Outcome, Test};

pub(crate) const TEST: Test =
    Test { controllers: &Controller::WITH_TRUE_FRAMES, limits: (40, 300), guest, child, ..Test::DEFAULT };

const NAME: &str = "starvation";
/// How long it is stopped, in milliseconds. The first is less than what is queued.
const STOPS: [u64; 3] = [5, 50, 500];
/// Stops of each round that are longer than what is queued: every one makes a hole.
const HOLES: usize = 2;
/// What is queued: blocks of so many frames, and so many blocks.
const QUEUE: (u32, u32) = (4, 6);
/// Frames by which a length may be uncertain: half of them by so many at most, and three of four. What was just being
/// submitted when the program was stopped may have begun at any time until it went on.
const UNCERTAIN: (f64, f64) = (12.0, 24.0);
/// What usbmon shows of a packet that the controller missed (EXDEV).
const MISSED: i32 = -18;
/// Between two stops, so that the stream has settled.
const BETWEEN: Duration = Duration::from_millis(400);
/// The child streams until this file is there, and writes the other.
const END: &str = "/tmp/starvation.end";
const TOLD: &str = "/tmp/starvation.told";

/// A hole before a transfer, as the library tells of it.
#[derive(Serialize, Deserialize, Clone, Debug)]
struct Gap {
    /// The transfer behind it.
    number: u32,
    frames: u64,
    uncertainty: u64,
    /// The length as it was known in the end.
    finally: Option<u64>,
}

/// All that the child tells.
#[derive(Serialize, Deserialize, Default)]
struct Told {
    gaps: Vec<Gap>,
    /// Transfers with packets that the controller missed, and how many.
    missed: BTreeMap<u32, usize>,
}

fn child() -> Outcome {
    let out = streaming::open(streaming::ADDRESS)?;
    let ring = Ring::new(out, QUEUE.0, QUEUE.1)?;
    let mut told = Told::default();
    let mut ids = Vec::new();
    ring.run(
        || fs::exists(END).unwrap_or(true),
        |done, number| {
            let report = done.report();
            ids.push(report.id);
            if let Some(hole) = &report.hole {
                let frames = hole.frames.end - hole.frames.start;
                told.gaps.push(Gap { number, frames, uncertainty: hole.uncertainty, finally: None });
            }
            if let Some(revision) = done.revision() {
                let number = ids.iter().position(|id| *id == revision.id).map(|index| index as u32);
                let frames = revision.is.frames.end - revision.is.frames.start;
                for gap in told.gaps.iter_mut().filter(|gap| Some(gap.number) == number) {
                    gap.finally = Some(frames);
                }
            }
            let missed = done.packets().filter(|packet| packet.status().is_lost()).count();
            if missed > 0 {
                told.missed.insert(number, missed);
            }
        },
    )?;
    fs::write(TOLD, serde_json::to_vec(&told)?)?;
    Ok(())
}

fn guest(guest: &mut Guest) -> Outcome {
    let times = if guest.full { 40 } else { 4 };
    for file in [END, TOLD] {
        let _ = fs::remove_file(file);
    }
    let usbmon = Usbmon::listen(Speaker::wait()?.bus)?;
    let mut streaming = Program::start(&mut guest.child(NAME))?;
    std::thread::sleep(Duration::from_secs(1));
    let mut random = Random::new(NAME);
    for _ in 0..times {
        for stop in STOPS {
            ensure!(streaming.is_running(), "the stream ended by itself");
            streaming.pause(Duration::from_millis(stop))?;
            std::thread::sleep(BETWEEN + Duration::from_millis(random.below(20)));
        }
    }
    fs::write(END, "")?;
    let (status, said) = streaming.end(Duration::from_secs(5))?;
    ensure!(status == 0, "the stream ended with {status}: {said}");
    let told: Told = serde_json::from_slice(&fs::read(TOLD)?)?;
    let transfers = witness::transfers(&usbmon.heard()?, speaker::ENDPOINT);
    judge(guest, &told, &transfers, times)
}

fn judge(guest: &mut Guest, told: &Told, transfers: &[witness::Transfer], times: usize) -> Outcome {
    let bits = guest.controller.frame_bits().ok_or("usbmon does not know this controller's frames")?;
    let holes: Vec<(u32, u64)> = witness::holes(transfers, bits)
        .into_iter()
        .filter_map(|(index, frames)| Some((numbered(&transfers[index].data)?, u64::from(frames))))
        .collect();
    let unseen: Vec<_> =
        holes.iter().filter(|(number, _)| !told.gaps.iter().any(|gap| gap.number == *number)).collect();
    let (mut invented, mut outside, mut equal, mut doubted) = (Vec::new(), Vec::new(), 0_usize, 0);
    for gap in &told.gaps {
        let Some((_, frames)) = holes.iter().find(|(number, _)| *number == gap.number) else {
            // What may have been none, by its own words, or was taken back later, is not invented.
            match gap.finally.unwrap_or(gap.frames) {
                0 => {}
                frames if frames <= gap.uncertainty => doubted += 1,
                _ => invented.push(gap),
            }
            continue;
        };
        if gap.frames.abs_diff(*frames) > gap.uncertainty {
            outside.push((gap, *frames));
        }
        equal += usize::from(gap.finally.unwrap_or(gap.frames) == *frames);
    }
    guest.say(format!(
        "stopped {} times for {STOPS:?} ms with {} ms queued; usbmon shows {} holes, {} were reported; {} not reported, {} \
         reported and not there, {doubted} perhaps there and not there, {} of another length than told, {equal} finally equal",
        times * STOPS.len(),
        QUEUE.0 * QUEUE.1,
        holes.len(),
        told.gaps.len(),
        unseen.len(),
        invented.len(),
        outside.len(),
    ));
    let missed: BTreeMap<u32, usize> = transfers
        .iter()
        .filter_map(|transfer| {
            let missed = transfer.packets.iter().filter(|packet| packet.status == MISSED).count();
            Some((numbered(&transfer.data)?, missed))
        })
        .filter(|(_, missed)| *missed > 0)
        .collect();
    let uncertain: Readings = told.gaps.iter().map(|gap| gap.uncertainty as f64).collect();
    guest.say(format!(
        "uncertainty of these in frames: {uncertain}; {} transfers with missed packets, by usbmon {}",
        told.missed.len(),
        missed.len()
    ));
    for gap in told.gaps.iter().take(6) {
        let seen = holes.iter().find(|(number, _)| *number == gap.number).map_or(0, |(_, frames)| *frames);
        let finally = gap.finally.map_or(String::new(), |frames| format!(", finally {frames}"));
        guest.say(format!("told {} ±{}{finally}; usbmon {seen}", gap.frames, gap.uncertainty));
    }
    ensure!(holes.len() >= HOLES * times, "not every long stop made a hole");
    ensure!(told.missed == missed, "missed packets: told are {:?}, usbmon has {missed:?}", told.missed);
    ensure!(unseen.is_empty(), "{} holes were not reported, first {:?}", unseen.len(), unseen[0]);
    ensure!(
        invented.is_empty(),
        "{} gaps were reported where there is none, first {:?}",
        invented.len(),
        invented[0]
    );
    ensure!(
        outside.is_empty(),
        "{} gaps have another length than told, first {:?}",
        outside.len(),
        outside[0]
    );
    let is_within = |percent, most| uncertain.percentile(percent).is_none_or(|frames| frames <= most);
    ensure!(
        is_within(50.0, UNCERTAIN.0) && is_within(75.0, UNCERTAIN.1),
        "the lengths are too uncertain to say much: {uncertain}"
    );
    // A single one may be, where the machine has other things to do.
    ensure!(
        doubted == 0 || (!guest.full && doubted == 1),
        "{doubted} times there was perhaps a gap, and there was none"
    );
    // A rate is no matter of a few.
    ensure!(
        !guest.full || equal * 100 >= holes.len() * 95,
        "only {equal} of {} are finally equal",
        holes.len()
    );
    Ok(())
}
