//! Running many cases, and saying what came of it.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::case::{Action, Call, Case, Expected, Mark};
use crate::functions::FUNCTIONS;
use crate::library::Library;
use crate::{Table, run};

/// No case waits for the machine, only for emulated time: one that takes so long hangs.
const HANGS: Duration = Duration::from_secs(60);

/// Which cases to run, and how much to say.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Only those whose name contains this.
    pub only: Option<String>,
    /// Say each case's name before it runs.
    pub verbose: bool,
}

/// What came of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Cases that did what they should.
    pub passed: usize,
    /// Cases that did not.
    pub failed: usize,
    /// Cases that this system cannot run.
    pub skipped: usize,
}

impl Selection {
    fn contains(&self, case: &Case) -> bool {
        self.only.as_ref().is_none_or(|only| case.name.contains(only.as_str()) || case.group == *only)
    }
}

/// Runs the cases that are selected, and prints those that fail.
///
/// # Errors
/// If the output cannot be written, or there is no room for temporary files.
pub fn run_all(
    library: &Library,
    table: &Table,
    selection: &Selection,
    out: &mut impl Write,
) -> io::Result<Summary> {
    let mut summary = Summary::default();
    for name in library.missing() {
        summary.failed += 1;
        writeln!(out, "FAIL  the library does not export {name}")?;
    }
    let position = Arc::new(AtomicUsize::new(0));
    watch(&position, table.cases.iter().map(|case| case.name.clone()).collect());
    for (case, index) in table.cases.iter().zip(1..) {
        if !selection.contains(case) {
            continue;
        }
        if case.off_windows && cfg!(windows) {
            summary.skipped += 1;
            writeln!(out, "skip  {}: about objects that are Windows' own here", case.name)?;
            continue;
        }
        if selection.verbose {
            writeln!(out, "      {}", case.name)?;
            out.flush()?;
        }
        position.store(index, Ordering::Relaxed);
        let scratch = tempfile::tempdir()?;
        match run(library, case, scratch.path()) {
            Ok(()) => summary.passed += 1,
            Err(what) => {
                summary.failed += 1;
                let letter = case.mark.letter();
                writeln!(
                    out,
                    "FAIL  {} [{letter} {}] {}.cases {what}",
                    case.name, case.sections, case.group
                )?;
            }
        }
    }
    position.store(0, Ordering::Relaxed);
    if summary.skipped > 0 {
        writeln!(out, "{} skipped", summary.skipped)?;
    }
    Ok(summary)
}

/// Ends the program if one case runs for too long: its name is all that can be told.
fn watch(position: &Arc<AtomicUsize>, names: Vec<String>) {
    let position = Arc::clone(position);
    std::thread::spawn(move || {
        let mut before = 0;
        loop {
            std::thread::sleep(HANGS);
            let now = position.load(Ordering::Relaxed);
            if now != 0 && now == before {
                let name = names.get(now - 1).map_or("a case", String::as_str);
                let _ = writeln!(io::stderr(), "FAIL  {name} hangs: it has not ended for a minute");
                std::process::exit(3);
            }
            before = now;
        }
    });
}

/// One line per case.
///
/// # Errors
/// If the output cannot be written.
pub fn list(table: &Table, selection: &Selection, out: &mut impl Write) -> io::Result<()> {
    for case in table.cases.iter().filter(|case| selection.contains(case)) {
        let functions: Vec<_> = case.checked().iter().map(|function| function.name).collect();
        let letter = case.mark.letter();
        writeln!(out, "{:<48} {letter} {:<16} {}", case.name, case.sections, functions.join(" "))?;
    }
    Ok(())
}

/// How many cases there are, by mark and by function.
///
/// # Errors
/// If the output cannot be written.
pub fn counts(table: &Table, out: &mut impl Write) -> io::Result<()> {
    let mut by_function: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for case in &table.cases {
        for function in case.checked() {
            let entry = by_function.entry(function.name).or_default();
            entry.0 += 1;
            entry.1 += usize::from(fails(case, function.name));
        }
    }
    for function in FUNCTIONS {
        let (all, failures) = by_function.get(function.name).copied().unwrap_or_default();
        if function.is_windows() || all > 0 {
            writeln!(out, "{:<44} {all:>4} cases, {failures:>4} with a failure", function.name)?;
        }
    }
    let marks = Mark::ALL.map(|mark| {
        let count = table.cases.iter().filter(|case| case.mark == mark).count();
        format!("{} {count}", mark.letter())
    });
    writeln!(out, "{} cases: {}", table.cases.len(), marks.join(", "))
}

/// Whether a case expects a failure of this function.
fn fails(case: &Case, name: &str) -> bool {
    case.steps.iter().any(|step| match &step.action {
        Action::Call(Call { function, expected: Some(expected), .. }) => {
            // 997 is the good answer of an overlapped call.
            let failure = match expected {
                Expected::False(codes) => codes != &[997],
                Expected::Null(_) | Expected::Invalid(_) => true,
                Expected::True | Expected::Value(_) => false,
            };
            function.name == name && failure
        }
        _ => false,
    })
}

impl Table {
    /// The functions of Windows for which no case expects a failure, or none a success.
    #[must_use]
    pub fn untried(&self) -> Vec<String> {
        let mut found = Vec::new();
        for function in FUNCTIONS.iter().filter(|function| function.is_windows()) {
            let cases: Vec<_> = self
                .cases
                .iter()
                .filter(|case| case.checked().iter().any(|checked| checked.name == function.name))
                .collect();
            let never_fails = function.name == "WinUsb_Free";
            if cases.iter().all(|case| fails(case, function.name)) && !never_fails {
                found.push(format!("no case sees {} succeed", function.name));
            }
            if !cases.iter().any(|case| fails(case, function.name)) {
                found.push(format!("no case sees {} fail", function.name));
            }
        }
        found
    }
}
