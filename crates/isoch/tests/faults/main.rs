//! Gap truth: what is reported as lost is what was lost, no more and no less, whatever goes wrong.
//!
//! Random programs run against random faults; an oracle that reads the *device's* log says what the host must
//! have reported. `ISOCH_FAULT_SCRIPTS` sets how many scripts run, `ISOCH_FAULT_SEED` with which to begin:
//!
//! ```text
//! ISOCH_FAULT_SCRIPTS=1000000 cargo test -p isoch --test faults --release -- --nocapture
//! ```

mod degraded;
mod oracle;
mod program;
mod script;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use program::Seen;
use script::Script;

fn variable(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().map_or(otherwise, |text| text.parse().expect("a number"))
}

/// Runs a script; a panic is an error like any other.
fn check(script: &Script) -> Result<Seen, String> {
    let run = if script.profile == "exact" { program::run } else { degraded::run };
    catch_unwind(AssertUnwindSafe(|| run(script))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.or(panic.downcast_ref::<&str>().map(|text| (*text).into())).unwrap_or_default())
    })
}

/// Leaves out whatever is not needed for the script to fail.
fn shrink(mut script: Script) -> Script {
    loop {
        let mut smaller = Vec::new();
        for index in 0..script.faults.len() {
            let mut without = script.clone();
            without.faults.remove(index);
            smaller.push(without);
        }
        for index in 0..script.steps.len() {
            let mut without = script.clone();
            without.steps.remove(index);
            smaller.push(without);
        }
        match smaller.into_iter().find(|candidate| check(candidate).is_err()) {
            Some(found) => script = found,
            None => return script,
        }
    }
}

fn random(seed: u64, profile: &'static str) -> Script {
    if profile == "exact" { Script::random(seed, profile) } else { degraded::script(seed, profile) }
}

/// Runs so many scripts on all processors. Panics with a short script if one fails.
fn run_all(profile: &'static str, count: u64) -> Seen {
    let first = variable("ISOCH_FAULT_SEED", 0);
    let next = AtomicU64::new(first);
    let failed = AtomicBool::new(false);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let worker = || {
        let mut sum = Seen::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count || failed.load(Ordering::Relaxed) {
                return Ok(sum);
            }
            match check(&random(seed, profile)) {
                Ok(seen) => sum = sum.with(seen),
                Err(_) if failed.swap(true, Ordering::Relaxed) => return Ok(sum),
                Err(_) => return Err(random(seed, profile)),
            }
        }
    };
    let results: Vec<Result<Seen, Script>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().map(|worker| worker.join().expect("panics are caught")).collect()
    });
    let mut sum = Seen::default();
    for result in results {
        match result {
            Ok(seen) => sum = sum.with(seen),
            Err(script) => {
                let script = shrink(script);
                let error = check(&script).expect_err("it failed before");
                panic!("{error}\n\n{script}");
            }
        }
    }
    sum
}

impl Seen {
    fn with(self, other: Seen) -> Seen {
        Seen {
            transfers: self.transfers + other.transfers,
            holes: self.holes + other.holes,
            intervals_lost: self.intervals_lost + other.intervals_lost,
            wire_losses: self.wire_losses + other.wire_losses,
        }
    }
}

#[test]
fn reported_gaps_are_the_true_gaps() {
    let count = variable("ISOCH_FAULT_SCRIPTS", 50_000);
    let begun = Instant::now();
    let seen = run_all("exact", count);
    let took = begun.elapsed();
    eprintln!("{count} scripts in {took:.1?} ({:.0}/s): {seen:?}", count as f64 / took.as_secs_f64());
    assert!(seen.transfers > 5 * count && seen.holes > count / 4, "the scripts do too little: {seen:?}");
    assert!(seen.intervals_lost > count && seen.wire_losses > count, "too little goes wrong: {seen:?}");
}

/// Where a bus tells less, as many scripts as a hundredth of those.
fn degraded(profile: &'static str) -> Seen {
    let count = variable("ISOCH_FAULT_SCRIPTS", 200_000) / 100;
    let seen = run_all(profile, count);
    assert!(seen.transfers > 4 * count, "the scripts do too little: {seen:?}");
    seen
}

#[test]
fn a_bus_that_reports_late_has_true_gaps_too() {
    let seen = degraded("usbip-stub");
    assert!(seen.holes > 100, "{seen:?}");
}

#[test]
fn holes_on_a_bus_without_frame_numbers_are_true_within_their_uncertainty() {
    for profile in ["usbfs-uhci", "usbfs-ehci"] {
        let seen = degraded(profile);
        assert!(seen.holes > 100, "{seen:?}");
    }
}

#[test]
fn a_bus_whose_holes_cannot_be_known_tells_of_none() {
    degraded("usbfs-xhci");
}
