//! The frame clock while a stream runs, idle and with a busy processor: what it says of each moment, beside what
//! usbmon's completions show.
//!
//! A completion is never seen before the frame it ends with is over, so the earliest ones of some seconds are the
//! controller's clock. Their frames are those of the controller's driver, where it knows them, and the library's must go
//! with these. Elsewhere it is shown how the packets that QEMU wrote down keep time by the library's frames.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use isoch::Quality;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::figures::Readings;
use crate::guest::streaming::{self, Ring, numbered};
use crate::guest::witness::{Numbering, Transfer};
use crate::guest::{Guest, Load, Speaker, Usbmon, speaker, witness};
use crate::host::Recorded;
use crate::test::{Failure, Outcome, Test};

pub(crate) const TEST: Test = Test { limits: (60, 200), guest, host: Some(host), ..Test::DEFAULT };

/// The blocks of each stream have numbers that no other test's have.
const IDLE: u32 = 20_000;
const BUSY: u32 = 40_000;

/// Between two looks at the clock.
const LOOK: Duration = Duration::from_millis(50);
/// Completions this near to a moment show the controller's clock there.
const NEAR: Duration = Duration::from_secs(2);
/// By how much the earliest of them may be late: the way of an interrupt.
const WITNESS: f64 = 60.0;

/// What the library said of a transfer.
#[derive(Serialize, Deserialize)]
struct Label {
    number: u32,
    /// Its first frame, and by how many that may be wrong.
    frame: u64,
    uncertainty: u64,
}

/// What the clock said.
struct Look {
    frame: u64,
    /// When the frame begins, by CLOCK_MONOTONIC.
    begins: Duration,
    uncertainty: Duration,
}

fn guest(guest: &mut Guest) -> Outcome {
    // Where no driver knows frames there is less to compare with.
    let seconds = match guest.full {
        true if guest.controller.frame_bits().is_some() => 60,
        true => 15,
        false => 5,
    };
    let (mut wrong, mut labels) = (Vec::new(), Vec::new());
    for (what, numbers) in [("idle", IDLE), ("busy", BUSY)] {
        let load = (numbers == BUSY).then(|| Load::start(2));
        let one = one(guest, what, numbers, Duration::from_secs(seconds));
        drop(load);
        let (one, told) = one?;
        // Where the machine has other things to do, a busy guest shows those.
        if guest.full || numbers == IDLE {
            wrong.extend(one.map(|wrong| format!("{what}: {wrong}")));
            labels.push(told);
        }
    }
    if guest.controller.frame_bits().is_none() {
        guest.hand_over(labels)?;
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ").into()) }
}

fn one(
    guest: &mut Guest,
    what: &str,
    numbers: u32,
    length: Duration,
) -> Result<(Option<String>, Vec<Label>), Failure> {
    let usbmon = Usbmon::listen(Speaker::wait()?.bus)?;
    let ring = Ring::new(streaming::open(streaming::ADDRESS)?, 8, 8)?.numbered_from(numbers);
    let clock = ring.out.clock().clone();
    let began = Instant::now();
    let zero = monotonic().checked_sub(began.elapsed()).ok_or("the machine has just started")?;
    let (mut looks, mut next_look, mut told) = (Vec::new(), began, Vec::new());
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
        |done, number| {
            let uncertainty = done.frame_uncertainty();
            told.extend(done.frames().map(|frames| Label { number, frame: frames.start, uncertainty }));
        },
    )?;
    drop(ring);
    let transfers = witness::transfers(&usbmon.heard()?, speaker::ENDPOINT);
    let labels: BTreeMap<u32, &Label> = told.iter().map(|label| (label.number, label)).collect();
    let label = |transfer: &Transfer| labels.get(&numbered(&transfer.data)?).copied();
    let pairs: Vec<_> = transfers.iter().filter_map(|transfer| Some((transfer, label(transfer)?))).collect();

    let mut wrong = Vec::new();
    let mut ends = Vec::new();
    if let Some(bits) = guest.controller.frame_bits() {
        let numbering = Numbering::new(
            bits,
            pairs.iter().map(|(transfer, label)| (transfer.start_frame, label.frame, label.uncertainty)),
        )
        .ok_or("nothing was sent")?;
        let mut beside = BTreeMap::new();
        let mut outside = 0;
        for (transfer, label) in &pairs {
            let after = numbering.after(transfer.start_frame, label.frame);
            *beside.entry(after).or_insert(0_u32) += 1;
            outside += u32::from(after.unsigned_abs() > label.uncertainty);
            ends.push((label.frame as i64 + after, *transfer));
        }
        let holes = witness::holes(&transfers, bits).len();
        guest.say(format!(
            "{what}: {} transfers, usbmon's frame less ours (times): {beside:?}; {holes} holes; {outside} not within what \
             was stated",
            pairs.len()
        ));
        if outside > 0 || (holes == 0 && beside.len() > 1) {
            wrong.push("the numbers do not go together".to_owned());
        }
    } else {
        // Nobody in the guest knows them: QEMU's packets show whether they are right.
        ends.extend(pairs.iter().map(|(transfer, label)| (label.frame as i64, *transfer)));
    }
    let truth = Truth::new(&ends);
    let (mut errors, mut stated, mut uncovered) = (Readings::default(), Readings::default(), 0);
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
    let expected = length.as_secs_f64() / LOOK.as_secs_f64();
    if (errors.count() as f64) < 0.8 * expected {
        wrong.push(format!("only {} of its words could be judged, of {expected:.0}", errors.count()));
    }
    // Where no driver knows frames, the truth is only the library's own count.
    let is_judged = guest.controller.frame_bits().is_some();
    let allowed = if guest.full { 0 } else { looks.len() / 10 };
    wrong.extend(
        first.filter(|_| is_judged && uncovered > allowed).map(|first| {
            format!("{uncovered} times its uncertainty does not cover its error, first {first}")
        }),
    );
    Ok(((!wrong.is_empty()).then(|| wrong.join("; ")), told))
}

/// When the library's frames really began, as the earliest completions around show.
struct Truth {
    /// Ends of transfers, as frames, and when usbmon saw them, in microseconds.
    ends: Vec<(i64, f64)>,
    /// Microseconds of a frame: the clocks of controller and guest differ.
    frame: f64,
}

impl Truth {
    /// From transfers with their first frames.
    fn new(transfers: &[(i64, &Transfer)]) -> Truth {
        let end = |(first, transfer): &(i64, &Transfer)| {
            (first + transfer.packets.len() as i64, micros(transfer.completed))
        };
        let ends: Vec<_> = transfers.iter().map(end).collect();
        let frame = Self::frame(&ends).unwrap_or(NOMINAL);
        Truth { ends, frame }
    }

    /// From the earliest completion of the first quarter to that of the last.
    fn frame(ends: &[(i64, f64)]) -> Option<f64> {
        let quarter = ends.len() / 4;
        let late = |(end, at): &(i64, f64)| at - *end as f64 * NOMINAL;
        let earliest = |some: &[(i64, f64)]| some.iter().copied().min_by(|a, b| late(a).total_cmp(&late(b)));
        let (first, last) = earliest(&ends[..quarter]).zip(earliest(&ends[ends.len() - quarter..]))?;
        Some((last.1 - first.1) / Some(last.0 - first.0).filter(|frames| *frames > 0)? as f64)
    }

    /// In microseconds; `None` if too few completions are near.
    fn begins(&self, look: &Look) -> Option<f64> {
        let (near, frame) = (NEAR.as_millis() as u64, look.frame as i64);
        let near = self.ends.iter().filter(|(end, _)| end.abs_diff(frame) < near);
        // As if each had ended at this frame.
        let there: Readings = near.map(|(end, at)| at + (frame - end) as f64 * self.frame).collect();
        if there.count() < 16 { None } else { there.min() }
    }
}

/// Where no driver knows frames: how QEMU's packets keep time by the library's, from one second to the next.
fn host(recorded: &Recorded<'_>) -> Outcome {
    if recorded.controller.frame_bits().is_some() {
        return Ok(());
    }
    let mut times = BTreeMap::new();
    for packet in recorded.packets_to(speaker::ENDPOINT)? {
        if let Some(number) = numbered(&packet.data) {
            times.entry(number).or_insert(micros(packet.at));
        }
    }
    for labels in recorded.handed_over::<Vec<Vec<Label>>>()? {
        // A packet is never early: the earliest of a second show where its frames are.
        let mut seconds: BTreeMap<u64, (f64, u64)> = BTreeMap::new();
        let mut late = Vec::new();
        for label in &labels {
            let at = times.get(&label.number).ok_or("QEMU has no packet of a block")?;
            let at = at - label.frame as f64 * NOMINAL;
            late.push(at);
            let second = seconds.entry(label.frame / 1000).or_insert((at, 0));
            *second = (second.0.min(at), second.1.max(label.uncertainty));
        }
        let least = late.iter().copied().fold(f64::INFINITY, f64::min);
        let late: Readings = late.into_iter().map(|at| at - least).collect();
        let doubt: Readings = labels.iter().map(|label| label.uncertainty as f64).collect();
        recorded.say(format!(
            "{} blocks; QEMU's packets behind the earliest, in µs: {late}; stated in frames: {doubt}",
            labels.len()
        ));
        for ((_, (before, _)), (second, (after, uncertainty))) in seconds.iter().zip(seconds.iter().skip(1)) {
            let (moved, most) = (after - before, (1 + uncertainty) as f64 * NOMINAL);
            // Shown, and not judged: QEMU's xHCI, held up, slides, and nothing tells when.
            if !(-most..most).contains(&moved) {
                recorded.say(format!(
                    "from second {second} on, packets are {moved:.0} µs later by the frames that were told"
                ));
            }
        }
    }
    Ok(())
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
