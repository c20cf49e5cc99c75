//! One boot: its tests one after the other, then what was recorded.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::image::Image;
use super::jobs::Job;
use super::machine::{CONSOLE, Machine};
use super::recorded::Recorded;
use super::report::{Report, Result as Tested};
use crate::wire::{FromGuest, FromHost, Verdict};

/// Longer than a boot takes on a slow machine.
const BOOT: Duration = Duration::from_secs(90);

/// Runs the jobs, and tells how they went. Returns those that the guest did not live to see.
pub(crate) fn run(
    image: &Image,
    folder: &Path,
    full: bool,
    jobs: Vec<Job>,
    report: &mut Report,
) -> std::result::Result<Vec<Job>, String> {
    let mut machine = Machine::start(image, jobs[0].controller, folder)?;
    let mut tested: Vec<(Tested, Vec<Value>)> = Vec::new();
    let mut alive = match ready(&mut machine) {
        Ok(kernel) => {
            report.kernel(&kernel);
            true
        }
        Err(error) => {
            // Nothing can be tried: the first says so, and the others will meet the same.
            let failed = |job: &Job| Tested::new(*job, Verdict::Failed(format!("no boot: {error}")));
            tested.extend(jobs.iter().map(|job| (failed(job), Vec::new())));
            false
        }
    };
    let mut left = jobs.into_iter();
    while let Some(job) = alive.then(|| left.next()).flatten() {
        let (result, handed_over, survived) = test(&mut machine, job, full);
        alive = survived;
        tested.push((result, handed_over));
    }
    let uptime = machine.uptime();
    let ended = if alive { machine.end() } else { Ok(()) };
    if let (Err(error), Some((last, _))) = (ended, tested.last_mut()) {
        last.fail(error);
    }
    report.ran_for(uptime);

    let mut all_well = true;
    for (mut result, handed_over) in tested {
        let look = result.job.test.host.filter(|_| matches!(result.verdict, Verdict::Passed));
        if let Some(look) = look {
            let recorded = Recorded::new(folder, full, &handed_over);
            result.verdict = look(&recorded).into();
            result.said.extend(recorded.said());
        }
        all_well &= report.tell(&result, &folder.join(CONSOLE));
    }
    if all_well {
        // What nobody will look at. A folder that stays does no harm.
        let _ = std::fs::remove_dir_all(folder);
    }
    Ok(left.collect())
}

/// Waits for the agent in the guest. Returns the kernel's version.
fn ready(machine: &mut Machine) -> std::result::Result<String, String> {
    let deadline = Instant::now() + BOOT;
    loop {
        match machine.hear(deadline)? {
            Some(FromGuest::Ready { kernel }) => return Ok(kernel),
            Some(_) => {}
            None => return Err(format!("the guest is not there after {} s", BOOT.as_secs())),
        }
    }
}

/// Runs one test: how it went, what it handed over, and whether the guest still lives.
fn test(machine: &mut Machine, job: Job, full: bool) -> (Tested, Vec<Value>, bool) {
    let began = Instant::now();
    let (short, long) = job.test.limits;
    let limit = Duration::from_secs(if full { long } else { short });
    let mut result = Tested::new(job, Verdict::Passed);
    let mut handed_over = Vec::new();
    let mut conversation = || {
        machine.tell(&FromHost::Run { test: job.name.into(), full, limit: limit.as_secs() })?;
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
