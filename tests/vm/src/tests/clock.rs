//! The frame clock while a stream runs, idle and with a busy processor: what it says of each moment, beside what
//! usbmon's completions show.
//!
//! A completion is never seen before the frame it ends with is over, so the earliest ones of some seconds are the
//! controller's clock. Where the controller's driver knows frames, their numbers must go with the library's besides.

use std::time::{Duration, Instant};

use isoch::Quality;
use rustix::time::{ClockId, clock_gettime};

use crate::figures::Readings;
use crate::guest::streaming::{self, Ring, numbered};
use crate::guest::{Guest, Load, Speaker, Usbmon, speaker, witness};
use crate::test::{Outcome, Test};

pub(crate) const TEST: Test = Test { limits: (60, 200), guest, ..Test::DEFAULT };

/// Between two looks at the clock.
const LOOK: Duration = Duration::from_millis(50);
/// Completions this near to a moment show the controller's clock there.
const NEAR: Duration = Duration::from_secs(2);
/// By how much the earliest of them may be late: the way of an interrupt.
const WITNESS: f64 = 60.0;

/// What the clock said.
struct Look {
    frame: u64,
    /// When the frame begins, by CLOCK_MONOTONIC.
    begins: Duration,
    uncertainty: Duration,
}

fn guest(guest: &mut Guest) -> Outcome {
    let seconds = if guest.full { 60 } else { 5 };
    let mut wrong = Vec::new();
    for busy in [false, true] {
        let what = if busy { "busy" } else { "idle" };
        let load = busy.then(|| Load::start(2));
        let one = one(guest, what, Duration::from_secs(seconds));
        drop(load);
        let one = one?;
        // Where the machine has other things to do, a busy guest shows those.
        if guest.full || !busy {
            wrong.extend(one.map(|wrong| format!("{what}: {wrong}")));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ").into()) }
}

fn one(
    guest: &mut Guest,
    what: &str,
    length: Duration,
) -> Result<Option<String>, Box<dyn std::error::Error + Send + Sync>> {
    let usbmon = Usbmon::listen(Speaker::wait()?.bus)?;
    let ring = Ring::new(streaming::open(streaming::ADDRESS)?, 8, 8)?;
    let clock = ring.out.clock().clone();
    let began = Instant::now();
    let zero = monotonic().checked_sub(began.elapsed()).ok_or("the machine has just started")?;
    let (mut looks, mut next_look, mut numbers) = (Vec::new(), began, Vec::new());
    ring.run(
        || {
            if Instant::now() >= next_look {
                next_look += LOOK;
                let now = clock.now();
                let (begins, uncertainty) = clock.time_of(now.frame);
                // Before the first completion its numbers mean nothing yet, and it says so.
                if now.quality > Quality::FreeRun {
                    looks.push(Look { frame: now.frame, begins: zero + (begins - began), uncertainty });
                }
            }
            began.elapsed() > length
        },
        |done, number| numbers.extend(done.frames().map(|frames| (number, frames.start))),
    )?;
    drop(ring);
    let transfers = witness::transfers(&usbmon.heard()?, speaker::ENDPOINT);

    let mut wrong = Vec::new();
    if let Some(bits) = guest.controller.frame_bits() {
        let modulus = 1_i64 << bits;
        let mut distances = std::collections::BTreeMap::new();
        let pairs = transfers.iter().filter_map(|transfer| {
            let number = numbered(&transfer.data)?;
            Some((transfer.start_frame, numbers.iter().find(|(known, _)| *known == number)?.1))
        });
        for (theirs, ours) in pairs {
            *distances.entry((i64::from(theirs) - ours as i64).rem_euclid(modulus)).or_insert(0_u32) += 1;
        }
        let holes = witness::holes(&transfers, bits).len();
        guest.say(format!(
            "{what}: {} transfers, usbmon's frame less ours (times): {distances:?}; {holes} holes",
            numbers.len()
        ));
        if distances.len() != 1 && holes == 0 {
            wrong.push("the numbers do not go together".to_owned());
        }
    }
    let (mut errors, mut stated, mut uncovered) = (Readings::default(), Readings::default(), 0);
    let truth = Truth::new(&transfers, &numbers);
    let mut first = None;
    for look in &looks {
        let Some(begins) = truth.begins(look) else { continue };
        let error = micros(look.begins) - begins;
        let uncertainty = micros(look.uncertainty);
        errors.add(error.abs());
        stated.add(uncertainty);
        if error.abs() > uncertainty + WITNESS {
            uncovered += 1;
            let at = micros(look.begins) - looks.first().map_or(0.0, |look| micros(look.begins));
            first.get_or_insert(format!(
                "{error:.0} µs beside where it says ±{uncertainty:.0} µs, {:.1} s on",
                at / 1e6
            ));
        }
    }
    guest.say(format!(
        "{what}: a frame takes {:.3} µs; {} looks, error in µs: {errors}; stated: {stated}; {uncovered} not covered",
        truth.frame,
        errors.count()
    ));
    if errors.count() * 2 < looks.len() {
        wrong.push("too few of its words could be judged".to_owned());
    }
    let allowed = if guest.full { 0 } else { looks.len() / 10 };
    wrong.extend(
        first.filter(|_| uncovered > allowed).map(|first| {
            format!("{uncovered} times its uncertainty does not cover its error, first {first}")
        }),
    );
    Ok((!wrong.is_empty()).then(|| wrong.join("; ")))
}

/// When the library's frames really began, as the earliest completions around show.
struct Truth {
    /// Ends of transfers, in the library's frames, and when usbmon saw them, in microseconds.
    ends: Vec<(u64, f64)>,
    /// Microseconds of a frame: the clocks of controller and guest differ.
    frame: f64,
}

impl Truth {
    fn new(transfers: &[witness::Transfer], numbers: &[(u32, u64)]) -> Truth {
        let end = |transfer: &witness::Transfer| {
            let number = numbered(&transfer.data)?;
            let (_, first) = numbers.iter().find(|(known, _)| *known == number)?;
            Some((first + transfer.packets.len() as u64, micros(transfer.completed)))
        };
        let ends: Vec<_> = transfers.iter().filter_map(end).collect();
        let frame = Self::frame(&ends).unwrap_or(NOMINAL);
        Truth { ends, frame }
    }

    /// From the earliest completion of the first quarter to that of the last.
    fn frame(ends: &[(u64, f64)]) -> Option<f64> {
        let quarter = ends.len() / 4;
        let late = |(end, at): &(u64, f64)| at - *end as f64 * NOMINAL;
        let earliest = |some: &[(u64, f64)]| some.iter().copied().min_by(|a, b| late(a).total_cmp(&late(b)));
        let (first, last) = earliest(&ends[..quarter]).zip(earliest(&ends[ends.len() - quarter..]))?;
        Some((last.1 - first.1) / last.0.checked_sub(first.0).filter(|frames| *frames > 0)? as f64)
    }

    /// In microseconds; `None` if too few completions are near.
    fn begins(&self, look: &Look) -> Option<f64> {
        let near = NEAR.as_millis() as u64;
        let near = self.ends.iter().filter(|(end, _)| end.abs_diff(look.frame) < near);
        // As if each had ended at this frame.
        let there: Readings =
            near.map(|(end, at)| at + (look.frame as f64 - *end as f64) * self.frame).collect();
        if there.count() < 16 { None } else { there.min() }
    }
}

/// Microseconds of a frame.
const NOMINAL: f64 = 1000.0;

fn monotonic() -> Duration {
    let time = clock_gettime(ClockId::Monotonic);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
