//! What is told of the tests, on the terminal and in a file.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use super::List;
use super::jobs::Job;
use crate::wire::Verdict;

/// How one test went.
pub(crate) struct Result {
    pub(crate) job: Job,
    pub(crate) verdict: Verdict,
    pub(crate) said: Vec<String>,
    pub(crate) took: Duration,
}

impl Result {
    pub(crate) fn new(job: Job, verdict: Verdict) -> Self {
        Result { job, verdict, said: Vec::new(), took: Duration::ZERO }
    }

    pub(crate) fn fail(&mut self, why: String) {
        self.verdict = Verdict::Failed(match &self.verdict {
            Verdict::Failed(first) => format!("{first}; then {why}"),
            _ => why,
        });
    }
}

/// Lines of the guest's console that a failure shows.
const TAIL: usize = 15;

pub(crate) struct Report {
    file: Option<File>,
    kernel: String,
    passed: u32,
    failed: u32,
    skipped: u32,
    /// Of all boots together.
    ran: Duration,
}

impl Report {
    pub(crate) fn new(list: &List) -> std::result::Result<Report, String> {
        let file = list
            .output
            .as_ref()
            .map(|path| File::create(path).map_err(|error| format!("{}: {error}", path.display())));
        let zero = Duration::ZERO;
        let mut report = Report {
            file: file.transpose()?,
            kernel: String::new(),
            passed: 0,
            failed: 0,
            skipped: 0,
            ran: zero,
        };
        let list = if list.full { "the full list" } else { "the ordinary list" };
        report.line(&format!("{list}, {}", today()));
        Ok(report)
    }

    /// Which kernel it is; told once.
    pub(crate) fn kernel(&mut self, kernel: &str) {
        if self.kernel != kernel {
            self.kernel = kernel.to_owned();
            self.line(&format!("kernel {kernel}"));
        }
    }

    pub(crate) fn ran_for(&mut self, uptime: Duration) {
        self.ran += uptime;
    }

    /// Counts a result and prints it. Whether all is well.
    pub(crate) fn tell(&mut self, result: &Result, console: &Path) -> bool {
        let title = result.job.title();
        let seconds = format!("{:.1} s", result.took.as_secs_f32());
        let well = match (&result.verdict, result.job.test.must_fail) {
            (Verdict::Failed(why), Some(sign)) if why.contains(sign) => {
                self.line(&format!("pass  {title} fails, as it must ({sign})"));
                true
            }
            (Verdict::Failed(why), Some(_)) => {
                self.line(&format!("FAIL  {title} did not fail as it must, but otherwise: {why}"));
                false
            }
            (_, Some(_)) => {
                self.line(&format!("FAIL  {title} must fail, and did not: no result can be trusted"));
                false
            }
            (Verdict::Passed, None) => {
                self.line(&format!("pass  {title} ({seconds})"));
                true
            }
            (Verdict::Skipped(why), None) => {
                self.line(&format!("skip  {title}: {why}"));
                true
            }
            (Verdict::Failed(why), None) => {
                self.line(&format!(
                    "FAIL  {title} ({seconds}): {}",
                    why.trim_end().replace('\n', "\n      ")
                ));
                false
            }
        };
        for line in &result.said {
            self.line(&format!("      {line}"));
        }
        if !well {
            let log = std::fs::read(console).unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            let lines: Vec<&str> = log.lines().collect();
            self.line(&format!("      the guest's console is in {}; it ends with", console.display()));
            for line in &lines[lines.len().saturating_sub(TAIL)..] {
                self.line(&format!("      | {}", line.trim_end()));
            }
        }
        match (&result.verdict, well) {
            (_, false) => self.failed += 1,
            (Verdict::Skipped(_), true) => self.skipped += 1,
            (_, true) => self.passed += 1,
        }
        well
    }

    /// There was no time left for it.
    pub(crate) fn not_begun(&mut self, job: Job) {
        self.line(&format!("FAIL  {}: not begun, the time of the list is over", job.title()));
        self.failed += 1;
    }

    /// The last lines. Whether nothing failed.
    pub(crate) fn end(mut self, took: Duration) -> std::result::Result<bool, String> {
        self.line(&format!("took {} s, for {} of which QEMU ran", took.as_secs(), self.ran.as_secs()));
        self.line(&format!("{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped));
        Ok(self.failed == 0)
    }

    fn line(&mut self, line: &str) {
        println!("{line}");
        if let Some(file) = &mut self.file {
            // The terminal has it anyway.
            let _ = writeln!(file, "{line}");
        }
    }
}

/// As in 2025-12-31. A machine that does not tell has none.
fn today() -> String {
    let said = std::process::Command::new("date").args(["-u", "+%F"]).output();
    said.map(|said| String::from_utf8_lossy(&said.stdout).trim().to_owned()).unwrap_or_default()
}
