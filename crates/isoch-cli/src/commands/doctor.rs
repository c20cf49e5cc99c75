//! `isoch doctor`.
//!
//! Why is a warning no failure? A machine where a stream runs well has some, too: no witness, no real-time threads.
//! The exit status tells what a script has to know: whether something keeps the device from working.

use isoch::doctor::{self, Finding, Report, UdevRule, Verdict};
use serde::Serialize;

use crate::arguments::Doctor;
use crate::failure::Failure;
use crate::output::print;
use crate::report::DeviceReport;
use crate::words::counted;

/// Columns of a line, as in the help.
const WIDTH: usize = 100;
/// Where the words of a finding begin: behind its verdict.
const INDENTATION: usize = 11;

/// `doctor --json`.
#[derive(Debug, Serialize)]
struct Diagnosis {
    /// Rises when a field changes its name or its meaning.
    schema_version: u32,
    /// The worst of all: `ok`, `unknown`, `warning` or `problem`.
    verdict: &'static str,
    /// What concerns every device.
    machine: Vec<Found>,
    devices: Vec<Examined>,
}

#[derive(Debug, Serialize)]
struct Examined {
    device: DeviceReport,
    findings: Vec<Found>,
}

#[derive(Debug, Serialize)]
struct Found {
    topic: &'static str,
    verdict: &'static str,
    what: String,
    remedy: Option<String>,
}

/// `doctor --print-udev-rule --json`.
#[derive(Debug, Serialize)]
struct Rule {
    /// Rises when a field changes its name or its meaning.
    schema_version: u32,
    path: String,
    rule: String,
    reload: String,
}

pub(crate) fn run(arguments: &Doctor) -> Result<u8, Failure> {
    let address = arguments.address.as_deref().or(arguments.device.as_deref());
    if arguments.print_udev_rule {
        let Some(address) = address else {
            return Err(Failure::usage(
                "--print-udev-rule prints the rule for one device: name it, as in `isoch doctor usb:1235:8214 \
                 --print-udev-rule`",
            ));
        };
        let rule = doctor::udev_rule(address)?;
        return print_rule(&rule, arguments.json).map(|()| 0);
    }
    let report = doctor::diagnose(address)?;
    let text = if arguments.json { json(&report)? } else { in_words(&report) };
    print(&text)?;
    Ok(u8::from(report.verdict() == Verdict::Problem))
}

fn print_rule(rule: &UdevRule, as_json: bool) -> Result<(), Failure> {
    if !as_json {
        return print(&rule.to_string());
    }
    let UdevRule { path, rule, reload, .. } = rule.clone();
    document(&Rule { schema_version: 1, path, rule, reload }).and_then(|text| print(&text))
}

fn json(report: &Report) -> Result<String, Failure> {
    let found = |finding: &Finding| Found {
        topic: finding.topic.name(),
        verdict: finding.verdict.name(),
        what: finding.what.clone(),
        remedy: finding.remedy.clone(),
    };
    let examined = report.devices.iter().map(|examined| Examined {
        device: (&examined.device).into(),
        findings: examined.findings.iter().map(found).collect(),
    });
    document(&Diagnosis {
        schema_version: 1,
        verdict: report.verdict().name(),
        machine: report.machine.iter().map(found).collect(),
        devices: examined.collect(),
    })
}

fn document(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(value).map(|text| format!("{text}\n")).map_err(Failure::error)
}

fn in_words(report: &Report) -> String {
    let mut text = String::from("This machine\n");
    report.machine.iter().for_each(|finding| add(&mut text, finding));
    for examined in &report.devices {
        text.push_str(&format!("\n{}\n", examined.device));
        examined.findings.iter().for_each(|finding| add(&mut text, finding));
    }
    let count = |verdict| report.findings().filter(|finding| finding.verdict == verdict).count() as u64;
    let (problems, warnings, unknown) =
        (count(Verdict::Problem), count(Verdict::Warning), count(Verdict::Unknown));
    text.push_str(&format!(
        "\n{}, {}, {unknown} unknown\n",
        counted(problems, "problem"),
        counted(warnings, "warning")
    ));
    text
}

fn add(text: &mut String, finding: &Finding) {
    wrap(text, &format!("  {:9}", finding.verdict), &finding.what);
    if let Some(remedy) = &finding.remedy {
        wrap(text, &" ".repeat(INDENTATION), &format!("→ {remedy}"));
    }
}

/// Adds words behind a first column, in as many lines as they need.
fn wrap(text: &mut String, column: &str, words: &str) {
    let mut line = column.to_owned();
    let mut is_empty = true;
    for word in words.split(' ') {
        if !is_empty && line.chars().count() + word.chars().count() > WIDTH {
            text.push_str(line.trim_end());
            text.push('\n');
            line = " ".repeat(INDENTATION);
        }
        is_empty = false;
        line.push_str(word);
        line.push(' ');
    }
    text.push_str(line.trim_end());
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_no_longer_than_they_should_be_and_lose_no_word() {
        let words = "word ".repeat(60) + &"x".repeat(150) + " end";
        let mut text = String::new();
        wrap(&mut text, "  warning  ", &words);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("  warning  word"), "{text}");
        assert!(lines[1..].iter().all(|line| line.starts_with("           ")), "{text}");
        assert!(lines.iter().filter(|line| line.chars().count() > WIDTH).count() == 1, "{text}");
        assert!(text.split_whitespace().skip(1).eq(words.split_whitespace()), "{text}");
    }
}
