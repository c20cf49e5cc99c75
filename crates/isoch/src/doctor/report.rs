//! What was found.

use std::fmt;

use crate::DeviceInformation;

/// How good or bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It cannot be seen from here.
    Unknown,
    /// It works, and not as well as it could.
    Warning,
    /// It does not work.
    Problem,
}

impl Verdict {
    /// `ok`, `unknown`, `warning` or `problem`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Unknown => "unknown",
            Verdict::Warning => "warning",
            Verdict::Problem => "problem",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Topic {
    /// The operating system.
    System,
    /// A whole bus.
    Bus,
    /// Whether a device is there.
    Device,
    /// The rights to a device.
    Node,
    /// Who else has a device's interfaces.
    Drivers,
    /// What can be streamed, and how much.
    Endpoints,
    /// The memory for transfers.
    Memory,
    /// Whether that memory is best mapped or copied.
    ZeroCopy,
    /// The host controller, and what it can promise about frames.
    Controller,
    /// Who could tell the true frames.
    Witness,
    /// The right to run before others.
    RealTime,
    /// The processor's speed.
    Processor,
    /// What is switched off to save power.
    Power,
}

impl Topic {
    /// Its name: `zero_copy`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Topic::System => "system",
            Topic::Bus => "bus",
            Topic::Device => "device",
            Topic::Node => "node",
            Topic::Drivers => "drivers",
            Topic::Endpoints => "endpoints",
            Topic::Memory => "memory",
            Topic::ZeroCopy => "zero_copy",
            Topic::Controller => "controller",
            Topic::Witness => "witness",
            Topic::RealTime => "real_time",
            Topic::Processor => "processor",
            Topic::Power => "power",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What it is about.
    pub topic: Topic,
    /// How good or bad it is.
    pub verdict: Verdict,
    /// What was found, in words.
    pub what: String,
    /// What can be done about it.
    pub remedy: Option<String>,
}

impl Finding {
    fn new(topic: Topic, verdict: Verdict, what: impl Into<String>, remedy: Option<String>) -> Self {
        Finding { topic, verdict, what: what.into(), remedy }
    }

    pub(super) fn ok(topic: Topic, what: impl Into<String>) -> Self {
        Finding::new(topic, Verdict::Ok, what, None)
    }

    pub(super) fn unknown(topic: Topic, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Finding::new(topic, Verdict::Unknown, what, Some(remedy.into()))
    }

    #[cfg(all(target_os = "linux", not(shuttle)))]
    pub(super) fn warning(topic: Topic, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Finding::new(topic, Verdict::Warning, what, Some(remedy.into()))
    }

    pub(super) fn problem(topic: Topic, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Finding::new(topic, Verdict::Problem, what, Some(remedy.into()))
    }
}

/// A device, and what was found of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Examined {
    /// The device.
    pub device: DeviceInformation,
    /// What concerns it alone.
    pub findings: Vec<Finding>,
}

/// All that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// What concerns every device.
    pub machine: Vec<Finding>,
    /// Devices.
    pub devices: Vec<Examined>,
}

impl Report {
    pub(super) fn of_bus(finding: Finding) -> Self {
        Report { machine: vec![finding], devices: Vec::new() }
    }

    /// All findings, the machine's first.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.machine.iter().chain(self.devices.iter().flat_map(|device| &device.findings))
    }

    /// The worst of them.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.findings().map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok)
    }
}
