//! Writes on random frames: where each was asked to begin, where the library says it began, and where it began by
//! usbmon, whose numbers are the controller's own.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use isoch::{Completion, Outcome as Ended, Policy, Quality, Start};

use crate::figures::Random;
use crate::guest::streaming::{self, Ring, numbered};
use crate::guest::{Guest, Speaker, Usbmon, speaker, witness};
use crate::test::{Controller, Outcome, Test};

pub(crate) const TEST: Test =
    Test { controllers: &Controller::WITH_TRUE_FRAMES, limits: (60, 800), guest, ..Test::DEFAULT };

/// How the library is to know frames, how it places, and whether that claims to be exact.
struct Level {
    name: &'static str,
    parameters: &'static str,
    /// Whether a stream runs before, after which the queue is empty: its numbers begin with what runs first.
    learns: bool,
    policies: &'static [(&'static str, Policy, bool)],
}

const LEAD: Policy = Policy::Lead;
const PRE_ROLL: Policy = Policy::PreRoll { frames: 16 };
const CARRIER: Policy = Policy::Carrier { depth_frames: 24 };
const LEVELS: [Level; 3] = [
    // A stream that never stops is counted on.
    Level { name: "counted", parameters: "", learns: false, policies: &[("carrier", CARRIER, true)] },
    // Where each stream begins is seen from its completions.
    Level {
        name: "estimated",
        parameters: "",
        learns: true,
        policies: &[("lead", LEAD, false), ("pre-roll", PRE_ROLL, false), ("carrier", CARRIER, false)],
    },
    // The kernel tells.
    Level {
        name: "numbered",
        parameters: "?witness=usbmon",
        learns: true,
        policies: &[("lead", LEAD, false), ("pre-roll", PRE_ROLL, true), ("carrier", CARRIER, true)],
    },
];
/// Of the writes that claim to be exact so many percent are: in the ordinary list, where the machine may have other
/// things to do, and in the full one.
const EXACT: (f64, f64) = (80.0, 99.0);
/// Frames from now to the one that is asked for: at least, and how many more.
const AHEAD: (u64, u64) = (45, 20);
/// Frames of the stream from which the clock learns, if it does not know enough earlier.
const LEARNING: u64 = 6000;
/// Streams from which the lead is learnt.
const BEGINNINGS: usize = 8;
/// Writes that are shown one by one.
const ROWS: usize = 4;
/// The writes are numbered from here; the stream has smaller numbers.
const FIRST: u32 = 1 << 15;

/// A write, as the library tells of it.
struct Told {
    requested: u64,
    /// The frame it began on, and by how many that may be wrong. `None`: it says that it was not in time.
    began: Option<(u64, u64)>,
    /// How it ended, and how its frames are known.
    ending: String,
}

impl Told {
    fn new(requested: u64, done: &Completion) -> Told {
        let served = done.outcome() == Ended::Completed;
        let began = done.frames().filter(|_| served).map(|frames| (frames.start, done.frame_uncertainty()));
        let ending = format!("{:?} {} ±{}", done.outcome(), done.frame_source(), done.frame_uncertainty());
        Told { requested, began, ending }
    }
}

fn guest(guest: &mut Guest) -> Outcome {
    let writes = if guest.full { 1000 } else { 50 };
    // Ends with an error only after all policies have been tried.
    let mut wrong = Vec::new();
    for level in &LEVELS {
        let ring = Ring::new(streaming::open(&format!("{}{}", streaming::ADDRESS, level.parameters))?, 8, 8)?;
        let mut numbering = if level.learns { Some(learn(guest, &ring)?) } else { None };
        for (name, policy, claims) in level.policies {
            let usbmon = Usbmon::listen(Speaker::wait()?.bus)?;
            let told = write(&ring, *policy, name, writes)?;
            let transfers = witness::transfers(&usbmon.heard()?, speaker::ENDPOINT);
            let seen = seen(&transfers);
            if *policy == CARRIER
                && let Some(bits) = guest.controller.frame_bits()
            {
                // The library cannot help these, it must only notice them.
                let holes = witness::holes(&transfers, bits);
                guest.say(format!("{}, {name}: the carrier was interrupted before {holes:?}", level.name));
            }
            if numbering.is_none() {
                let pairs =
                    told.iter().zip(FIRST..).filter_map(|(told, number)| Some((number, told.began?.0)));
                numbering = Some(Numbering::new(guest.controller, pairs, &seen)?);
            }
            let title = format!("{}, {name}", level.name);
            let numbering = numbering.as_ref().ok_or("there are no numbers")?;
            // Behind another stream, what is asked for may come too late for all of them: the clock may be ahead. That is
            // said, and counts in the full list.
            let wanted = match (guest.full, level.learns) {
                (true, _) => EXACT.1,
                (false, false) => EXACT.0,
                (false, true) => 0.0,
            };
            let verdict = judge(guest, &title, &told, &seen, numbering, claims.then_some(wanted));
            // Estimates depend on what else the machine does, and on QEMU's UHCI, which serves frames in bursts, on more
            // than that: they are shown.
            if *claims || (guest.full && guest.controller == Controller::Ohci) {
                wrong.extend(verdict);
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ").into()) }
}

/// usbmon's frames of the blocks that were sent, by their numbers.
fn seen(transfers: &[witness::Transfer]) -> BTreeMap<u32, i64> {
    let of =
        |transfer: &witness::Transfer| Some((numbered(&transfer.data)?, i64::from(transfer.start_frame)));
    transfers.iter().filter_map(of).collect()
}

/// A stream from which the clock learns. Returns how the library's numbers go with the controller's.
fn learn(guest: &mut Guest, ring: &Ring) -> Result<Numbering, Box<dyn Error + Send + Sync>> {
    let usbmon = Usbmon::listen(Speaker::wait()?.bus)?;
    let clock = ring.out.clock().clone();
    let mut left = LEARNING;
    let mut told = BTreeMap::new();
    let until = || {
        left = left.saturating_sub(8);
        left == 0 || clock.now().quality >= Quality::Disciplined
    };
    ring.run(until, |done, number| {
        if let Some(frames) = done.frames() {
            told.insert(number, frames.start);
        }
    })?;
    let seen = seen(&witness::transfers(&usbmon.heard()?, speaker::ENDPOINT));
    // How long the controller takes to begin is learnt whenever a stream begins.
    for _ in 0..BEGINNINGS {
        std::thread::sleep(Duration::from_millis(37));
        let mut left = 12;
        let until = || {
            left -= 1;
            left == 0
        };
        ring.run(until, |_, _| ())?;
    }
    let numbering = Numbering::new(guest.controller, told.into_iter(), &seen)?;
    guest.say(format!("{} transfers to learn from; then the clock is {:?}", seen.len(), clock.now().quality));
    Ok(numbering)
}

/// The library's frame numbers have a beginning of their own: so far are usbmon's from them.
struct Numbering {
    distance: i64,
    modulus: i64,
}

impl Numbering {
    /// From numbered blocks and the frames that the library told of them: the distance that most have.
    fn new(
        controller: Controller,
        told: impl Iterator<Item = (u32, u64)>,
        seen: &BTreeMap<u32, i64>,
    ) -> Result<Numbering, String> {
        let bits = controller.frame_bits().ok_or("usbmon does not know this controller's frames")?;
        let modulus = 1_i64 << bits;
        let mut distances: BTreeMap<i64, usize> = BTreeMap::new();
        for (number, frame) in told {
            if let Some(seen) = seen.get(&number) {
                *distances.entry((seen - frame as i64).rem_euclid(modulus)).or_default() += 1;
            }
        }
        let most = distances.iter().max_by_key(|(_, count)| **count);
        most.map(|(distance, _)| Numbering { distance: *distance, modulus }).ok_or("nothing was sent".into())
    }

    /// How far after a frame of the library's a frame of usbmon's is.
    fn after(&self, seen: i64, frame: u64) -> i64 {
        let after = (seen - frame as i64 - self.distance).rem_euclid(self.modulus);
        if after > self.modulus / 2 { after - self.modulus } else { after }
    }
}

/// Writes, each to a frame in the future.
fn write(ring: &Ring, policy: Policy, name: &str, writes: u32) -> Result<Vec<Told>, isoch::Error> {
    ring.out.set_placement(policy)?;
    let mut random = Random::new(name);
    let mut told = Vec::new();
    for number in 0..writes {
        let mut block = ring.blocks.take().wait_timeout(streaming::PATIENCE)?;
        streaming::number(&mut block, FIRST + number);
        let now = ring.out.clock().now();
        let requested = now.frame + AHEAD.0 + random.below(AHEAD.1);
        ring.out.submit(block, Start::At(requested))?;
        told.push(Told::new(requested, &ring.next()?));
    }
    Ok(told)
}

/// A table, and what is wrong in it.
fn judge(
    guest: &mut Guest,
    title: &str,
    told: &[Told],
    seen: &BTreeMap<u32, i64>,
    numbering: &Numbering,
    wanted: Option<f64>,
) -> Option<String> {
    let pairs: Vec<(&Told, Option<i64>)> =
        told.iter().zip(FIRST..).map(|(told, number)| (told, seen.get(&number).copied())).collect();
    let off = |seen: i64, frame: u64| numbering.after(seen, frame);
    let mut count = Count::default();
    for (number, (told, seen)) in pairs.iter().enumerate() {
        if number < ROWS {
            let from = |frame: u64| seen.map_or("not seen".into(), |seen| format!("{:+}", off(seen, frame)));
            guest.say(format!(
                "{title}: asked for {}, {}{}; usbmon's frame is {} from the one asked for",
                told.requested,
                told.ending,
                told.began.map_or(String::new(), |(frame, _)| format!(" in {frame}")),
                from(told.requested)
            ));
        }
        match (told.began, seen) {
            (None, None) => count.late += 1,
            (None, Some(seen)) => {
                count.late += 1;
                count.lies.push(format!("{number} is said to be late and began in {seen}"));
            }
            (Some((began, _)), None) => {
                count.lies.push(format!("{number} is said to have begun in {began} and was not seen"));
            }
            (Some((began, uncertainty)), Some(seen)) => {
                let (from_requested, from_told) = (off(*seen, told.requested), off(*seen, began));
                count.exact += u32::from(from_requested == 0);
                count.reported += u32::from(from_requested != 0 && began != told.requested);
                count.certain += u32::from(uncertainty == 0);
                if from_told.unsigned_abs() > uncertainty {
                    count.lies.push(format!(
                        "{number}: asked for {}, told {began} ±{uncertainty}, began {from_told} beside",
                        told.requested
                    ));
                }
            }
        }
    }
    let percent = f64::from(count.exact) * 100.0 / told.len().max(1) as f64;
    guest.say(format!(
        "{title}: {} writes: {} exact ({percent:.1} %), {} beside and said so, {} late and said so, {} misplaced and not \
         reported; {} told as certain",
        told.len(),
        count.exact,
        count.reported,
        count.late,
        count.lies.len(),
        count.certain,
    ));
    match count.lies.first() {
        Some(first) => Some(format!("{title}: {} times it is not as told, first {first}", count.lies.len())),
        None if wanted.is_some_and(|wanted| percent < wanted) => {
            Some(format!("{title}: only {percent:.1} % are exact"))
        }
        None => None,
    }
}

#[derive(Default)]
struct Count {
    exact: u32,
    /// Not on the frame, and told with the frame that it was.
    reported: u32,
    late: u32,
    /// Told without uncertainty.
    certain: u32,
    lies: Vec<String>,
}
