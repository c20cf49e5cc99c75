//! Writes on random frames: where each was asked to begin, where the library says it began, and where it began by
//! usbmon, whose numbers are the controller's own.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use isoch::{Completion, Outcome as Ended, Quality, Start};

use crate::figures::Random;
use crate::guest::streaming::{self, Ring, numbered};
use crate::guest::witness::Numbering;
use crate::guest::{Guest, Speaker, Usbmon, speaker, witness};
use crate::test::{Controller, Failure, Outcome, Test};

pub(crate) const TEST: Test = Test {
    controllers: &Controller::WITH_TRUE_FRAMES,
    limits: (100, 500),
    guest,
    host: Some(|recorded| recorded.keep("placement", "csv", &recorded.handed_over::<String>()?)),
    ..Test::DEFAULT
};

/// How the library is to know frames, and how it places.
struct Level {
    name: &'static str,
    parameters: &'static str,
    /// Whether a stream runs before, after which the queue is empty: its numbers begin with what runs first.
    learns: bool,
    policies: &'static [Policy],
}

struct Policy {
    name: &'static str,
    places: isoch::Policy,
    /// Whether it claims to be, at this level.
    is_exact: bool,
}

impl Policy {
    const LEAD: Policy = Policy { name: "lead", places: isoch::Policy::Lead, is_exact: false };
    const PRE_ROLL: Policy =
        Policy { name: "pre-roll", places: isoch::Policy::PreRoll { frames: 16 }, is_exact: false };
    const CARRIER: Policy = Policy { name: "carrier", places: CARRIER, is_exact: false };

    const fn exact(self) -> Policy {
        Policy { is_exact: true, ..self }
    }
}

const CARRIER: isoch::Policy = isoch::Policy::Carrier { depth_frames: 24 };
const LEVELS: [Level; 3] = [
    // A stream that never stops is counted on.
    Level { name: "counted", parameters: "", learns: false, policies: &[Policy::CARRIER.exact()] },
    // Where each stream begins is seen from its completions.
    Level {
        name: "estimated",
        parameters: "",
        learns: true,
        policies: &[Policy::LEAD, Policy::PRE_ROLL, Policy::CARRIER],
    },
    // The kernel tells.
    Level {
        name: "numbered",
        parameters: "?witness=usbmon",
        learns: true,
        policies: &[Policy::LEAD, Policy::PRE_ROLL.exact(), Policy::CARRIER.exact()],
    },
];
/// Of the writes that claim to be exact so many percent are: in the ordinary list, where the machine may have other
/// things to do and which may try again, and in the full one.
const EXACT: (f64, f64) = (80.0, 99.0);
/// Writes with a policy in the ordinary list, and in the full one: if it does not claim to be exact, and if it does.
const WRITES: (u32, u32, u32) = (50, 200, 1000);
/// Frames from now to the one that is asked for: at least, and how many more.
const AHEAD: (u64, u64) = (45, 20);
/// Frames of the stream from which the clock learns, if it does not know enough earlier.
const LEARNING: u64 = 6000;
/// Streams from which the lead is learnt.
const BEGINNINGS: usize = 8;
/// Writes that are shown one by one; the table that is kept has all.
const ROWS: usize = 4;
const COLUMNS: &str = "level,policy,write,asked for,ending,told,uncertainty,usbmon\n";
/// The writes are numbered from here; the stream has smaller numbers.
const FIRST: u32 = 1 << 15;

/// A write, as the library tells of it.
struct Told {
    requested: u64,
    ending: Ending,
    /// The same in words.
    words: String,
}

enum Ending {
    /// In this frame, which may be wrong by so many.
    Began(u64, u64),
    /// It was not in time, and nothing was sent.
    Late,
    /// Nothing that can happen to a write here.
    Other,
}

impl Told {
    fn new(requested: u64, done: &Completion) -> Told {
        let uncertainty = done.frame_uncertainty();
        let ending = match (done.outcome(), done.frames()) {
            (Ended::Completed, Some(frames)) => Ending::Began(frames.start, uncertainty),
            (Ended::Late | Ended::BadStartFrame, _) => Ending::Late,
            _ => Ending::Other,
        };
        Told { requested, ending, words: format!("{:?} {}", done.outcome(), done.frame_source()) }
    }
}

/// What is found out. It is told only after everything has been tried.
struct Findings {
    /// Every write, as a line of the table that is kept.
    table: String,
    wrong: Vec<String>,
}

fn guest(guest: &mut Guest) -> Outcome {
    let mut findings = Findings { table: COLUMNS.to_owned(), wrong: Vec::new() };
    guest.say(format!("rows are {}", COLUMNS.trim()));
    for level in &LEVELS {
        if let Err(error) = try_level(guest, level, &mut findings) {
            findings.wrong.push(format!("{}: {error}", level.name));
        }
    }
    guest.hand_over(findings.table)?;
    if findings.wrong.is_empty() { Ok(()) } else { Err(findings.wrong.join("; ").into()) }
}

fn try_level(guest: &mut Guest, level: &Level, findings: &mut Findings) -> Outcome {
    let bits = guest.controller.frame_bits().ok_or("usbmon does not know this controller's frames")?;
    let ring = Ring::new(streaming::open(&format!("{}{}", streaming::ADDRESS, level.parameters))?, 8, 8)?;
    let numbering = if level.learns { Some(learn(guest, &ring, bits)?) } else { None };
    let mut trial = Trial { level, ring, bits, numbering };
    let wanted = if guest.full { EXACT.1 } else { EXACT.0 };
    for policy in level.policies {
        let is_enough = |exact: &Result<Option<f64>, Failure>| {
            exact.as_ref().is_ok_and(|percent| percent.is_none_or(|percent| percent >= wanted))
        };
        let mut exact = trial.once(guest, policy, findings);
        if !guest.full && !is_enough(&exact) {
            exact = trial.once(guest, policy, findings);
        }
        let wrong = match exact {
            Err(error) => error.to_string(),
            Ok(Some(percent)) if !is_enough(&exact) => format!("only {percent:.1} % are exact"),
            Ok(_) => continue,
        };
        findings.wrong.push(format!("{}, {}: {wrong}", level.name, policy.name));
    }
    Ok(())
}

/// A stream on which the policies of a level are tried.
struct Trial<'a> {
    level: &'a Level,
    ring: Ring,
    bits: u32,
    numbering: Option<Numbering>,
}

impl Trial<'_> {
    /// Tries a policy. Returns how many percent of its writes were exact, if it claims that they are.
    fn once(
        &mut self,
        guest: &mut Guest,
        policy: &Policy,
        findings: &mut Findings,
    ) -> Result<Option<f64>, Failure> {
        let title = format!("{}, {}", self.level.name, policy.name);
        let writes = match (guest.full, policy.is_exact) {
            (false, _) => WRITES.0,
            (true, false) => WRITES.1,
            (true, true) => WRITES.2,
        };
        let usbmon = Usbmon::listen(Speaker::wait()?.bus)?;
        let told = write(&self.ring, policy, writes)?;
        let transfers = witness::transfers(&usbmon.heard()?, speaker::ENDPOINT);
        let seen = seen(&transfers);
        let mut claims = policy.is_exact;
        if policy.places == CARRIER {
            // The library cannot help these, it must only notice them; and what is only counted is an estimate from there on.
            let holes = witness::holes(&transfers, self.bits);
            guest.say(format!("{title}: the carrier was interrupted before {holes:?}"));
            claims &= self.level.learns || holes.is_empty();
        }
        if self.numbering.is_none() {
            let began = told.iter().zip(FIRST..).filter_map(|(told, number)| match told.ending {
                Ending::Began(frame, uncertainty) => Some((*seen.get(&number)?, frame, uncertainty)),
                _ => None,
            });
            self.numbering = Numbering::new(self.bits, began);
        }
        let numbering = self.numbering.as_ref().ok_or("nothing was sent")?;
        let rows = rows(&told, &seen, numbering);
        for row in &rows {
            findings.table += &format!("{},{},{row}\n", self.level.name, policy.name);
        }
        rows.iter().take(ROWS).for_each(|row| guest.say(format!("{title}: {row}")));
        let count = Count::new(&told, &seen, numbering, claims);
        guest.say(format!("{title}: {count}"));
        // Where no exactness is claimed, nothing may be told wrong either.
        let wrong = count.failed().into_iter().chain(count.untrue());
        findings.wrong.extend(wrong.map(|wrong| format!("{title}: {wrong}")));
        Ok(claims.then(|| count.percent()))
    }
}

/// usbmon's frames of the blocks that were sent, by their numbers.
fn seen(transfers: &[witness::Transfer]) -> BTreeMap<u32, i32> {
    let of = |transfer: &witness::Transfer| Some((numbered(&transfer.data)?, transfer.start_frame));
    transfers.iter().filter_map(of).collect()
}

/// A stream from which the clock learns. Returns how the library's numbers go with the controller's.
fn learn(guest: &mut Guest, ring: &Ring, bits: u32) -> Result<Numbering, Failure> {
    let usbmon = Usbmon::listen(Speaker::wait()?.bus)?;
    let clock = ring.out.clock().clone();
    let mut left = LEARNING;
    let mut told = Vec::new();
    let until = || {
        left = left.saturating_sub(8);
        left == 0 || clock.now().quality >= Quality::Disciplined
    };
    ring.run(until, |done, number| {
        if let Some(frames) = done.frames() {
            told.push((number, frames.start, done.frame_uncertainty()));
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
    let told = told
        .into_iter()
        .filter_map(|(number, frame, uncertainty)| Some((*seen.get(&number)?, frame, uncertainty)));
    let numbering = Numbering::new(bits, told).ok_or("nothing was sent")?;
    guest.say(format!("{} transfers to learn from; then the clock is {:?}", seen.len(), clock.now().quality));
    Ok(numbering)
}

/// Writes, each to a frame in the future.
fn write(ring: &Ring, policy: &Policy, writes: u32) -> Result<Vec<Told>, isoch::Error> {
    ring.out.set_placement(policy.places)?;
    let mut random = Random::new(policy.name);
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

/// The writes one by one, as the columns of the table have them.
fn rows(told: &[Told], seen: &BTreeMap<u32, i32>, numbering: &Numbering) -> Vec<String> {
    let row = |(told, number): (&Told, u32)| {
        // In the library's numbers.
        let in_ours =
            |seen: &i32| told.requested.saturating_add_signed(numbering.after(*seen, told.requested));
        let seen = seen.get(&number).map(|seen| in_ours(seen).to_string());
        let (began, uncertainty) = match told.ending {
            Ending::Began(frame, uncertainty) => (frame.to_string(), uncertainty.to_string()),
            _ => Default::default(),
        };
        let seen = seen.unwrap_or_default();
        format!("{},{},{},{began},{uncertainty},{seen}", number - FIRST, told.requested, told.words)
    };
    told.iter().zip(FIRST..).map(row).collect()
}

/// What became of writes: each is in one of these.
#[derive(Default)]
struct Count {
    exact: usize,
    /// Not on the frame, and told with the frame that it was.
    beside: usize,
    /// Not on the frame, told as if it were, and within the uncertainty that was stated.
    doubted: usize,
    late: usize,
    /// Not as it was told.
    lies: Vec<String>,
    /// Ended in another way.
    other: Vec<String>,
    /// Of the exact ones: told with an uncertainty, where none is claimed.
    uncertain: usize,
}

impl Count {
    fn new(told: &[Told], seen: &BTreeMap<u32, i32>, numbering: &Numbering, claims: bool) -> Count {
        let mut count = Count::default();
        for (told, number) in told.iter().zip(FIRST..) {
            let write = number - FIRST;
            match (&told.ending, seen.get(&number)) {
                (Ending::Other, _) => count.other.push(format!("write {write}: {}", told.words)),
                (Ending::Late, None) => count.late += 1,
                (Ending::Late, Some(seen)) => {
                    count.lies.push(format!("write {write} is said to be late and began in {seen}"));
                }
                (Ending::Began(began, _), None) => {
                    count
                        .lies
                        .push(format!("write {write} is said to have begun in {began} and was not seen"));
                }
                (Ending::Began(began, uncertainty), Some(seen)) => {
                    let from_requested = numbering.after(*seen, told.requested);
                    let from_told = numbering.after(*seen, *began);
                    // Who claims to be exact may not have been wrong, whatever it adds.
                    let may_be_wrong = if claims { 0 } else { *uncertainty };
                    if from_told.unsigned_abs() > may_be_wrong {
                        count.lies.push(format!(
                            "write {write}: asked for {}, told {began} ±{uncertainty}, began {from_told} beside that",
                            told.requested
                        ));
                    } else if from_requested == 0 {
                        count.exact += 1;
                        count.uncertain += usize::from(claims && *uncertainty > 0);
                    } else if *began != told.requested {
                        count.beside += 1;
                    } else {
                        count.doubted += 1;
                    }
                }
            }
        }
        count
    }

    fn all(&self) -> usize {
        self.exact + self.beside + self.doubted + self.late + self.lies.len() + self.other.len()
    }

    fn percent(&self) -> f64 {
        self.exact as f64 * 100.0 / self.all().max(1) as f64
    }

    /// What must not be, whoever tells it.
    fn failed(&self) -> Option<String> {
        self.other.first().map(|first| format!("{} writes failed, first {first}", self.other.len()))
    }

    /// What should not have been told so.
    fn untrue(&self) -> Option<String> {
        if let Some(first) = self.lies.first() {
            return Some(format!("{} times it is not as told, first {first}", self.lies.len()));
        }
        let uncertain = self.uncertain;
        (uncertain > 0).then(|| format!("{uncertain} exact ones have an uncertainty, and none is claimed"))
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} writes: {} exact ({:.1} %), {} beside and said so, {} beside within what was stated, {} late and said so, {} \
             misplaced and not reported, {} failed",
            self.all(),
            self.exact,
            self.percent(),
            self.beside,
            self.doubted,
            self.late,
            self.lies.len(),
            self.other.len(),
        )
    }
}
