//! One boot: its tests one after the other, then what was recorded.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::List;
use super::image::Image;
use super::jobs::Job;
use super::machine::{CONSOLE, Machine};
use super::recorded::Recorded;
use super::report::{Report, Result as Tested};
use crate::wire::{FromGuest, FromHost, Verdict};

/// Longer than a boot takes on a slow machine.
const BOOT: Duration = Duration::from_secs(90);

/// Runs the jobs, and tells how they went. Returns those that the guest did not live to see, or had no time for.
pub(crate) fn run(
    image: &Image,
    folder: &Path,
    list: &List,
    jobs: Vec<Job>,
    report: &mut Report,
) -> Vec<Job> {
    let mut tested: Vec<(Tested, Vec<Value>)> = Vec::new();
    let booted = boot(image, &jobs[0], folder);
    let mut left = jobs.into_iter();
    match booted {
        Ok((mut machine, kernel)) => {
            report.kernel(&kernel);
            let mut alive = true;
            while let Some(job) = (alive && !list.left().is_zero()).then(|| left.next()).flatten() {
                let (result, handed_over, survived) = test(&mut machine, job, list);
                alive = survived;
                tested.push((result, handed_over));
            }
            report.ran_for(machine.uptime());
            // One that is not alive is dropped here, before what it wrote is looked at.
            let ended = Some(machine).filter(|_| alive).map_or(Ok(()), Machine::end);
            if let (Err(error), Some((last, _))) = (ended, tested.last_mut()) {
                last.fail(error);
            }
        }
        Err(error) => {
            // Another boot would end in the same way: none of them is left.
            let failed = |job| Tested::new(job, Verdict::Failed(format!("no boot: {error}")));
            tested.extend(left.by_ref().map(|job| (failed(job), Vec::new())));
        }
    }

    let mut all_well = true;
    for (mut result, handed_over) in tested {
        // What a failed test has handed over is looked at, too: its figures are wanted.
        let is_there = matches!(result.verdict, Verdict::Passed) || !handed_over.is_empty();
        if let Some(look) = result.job.test.host.filter(|_| is_there) {
            let recorded = Recorded::new(folder, list, result.job.controller, &handed_over);
            match look(&recorded).into() {
                Verdict::Passed => {}
                Verdict::Failed(why) => result.fail(why),
                skipped @ Verdict::Skipped(_) => result.verdict = skipped,
            }
            result.said.extend(recorded.said());
        }
        all_well &= report.tell(&result, &folder.join(CONSOLE));
    }
    if all_well {
        // What nobody will look at. A folder that stays does no harm.
        let _ = std::fs::remove_dir_all(folder);
    }
    left.collect()
}

/// Starts the machine and waits for the agent in the guest. Returns the kernel's version, too.
fn boot(image: &Image, first: &Job, folder: &Path) -> std::result::Result<(Machine, String), String> {
    let mut machine = Machine::start(image, first.controller, first.test.command_line, folder)?;
    let deadline = Instant::now() + BOOT;
    loop {
        match machine.hear(deadline)? {
            Some(FromGuest::Ready { kernel }) => return Ok((machine, kernel)),
            Some(_) => {}
            None => return Err(format!("the guest is not there after {} s", BOOT.as_secs())),
        }
    }
}

/// Runs one test: how it went, what it handed over, and whether the guest still lives.
fn test(machine: &mut Machine, job: Job, list: &List) -> (Tested, Vec<Value>, bool) {
    let began = Instant::now();
    let limit = list.amount(job.test.limits).min(list.left());
    let mut result = Tested::new(job, Verdict::Passed);
    let mut handed_over = Vec::new();
    let mut conversation = || {
        machine.tell(&FromHost::Run { test: job.name.into(), full: list.full, limit: limit.as_secs() })?;
        loop {
            match machine.hear(began + limit)? {
                Some(FromGuest::Said(line)) => result.said.push(line),
                Some(FromGuest::HandedOver(value)) => handed_over.push(value),
                Some(FromGuest::Asked(request)) => {
                    let answer = machine.serve(request);
                    machine.tell(&FromHost::Answer(answer))?;
                }
                Some(FromGuest::Ended(verdict)) => return Ok(verdict),
                Some(FromGuest::Ready { .. }) => return Err("the guest began anew".to_owned()),
                None => return Err(format!("not over after {} s", limit.as_secs())),
            }
        }
    };
    let ended = conversation();
    let survived = ended.is_ok();
    result.verdict = ended.unwrap_or_else(Verdict::Failed);
    result.took = began.elapsed();
    (result, handed_over, survived)
}
