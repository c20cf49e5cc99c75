//! How the command fails: one sentence, and an exit status.
//!
//! Why not the library's error alone? Because a script has to tell a mistake in its own words from trouble
//! with a device, and only the command knows which option a value came from.

use std::fmt;

use isoch::Error;

/// Why the command did not do what was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something went wrong: exit status 1.
    Error(String),
    /// What was asked for makes no sense: exit status 2.
    Usage(String),
}

impl Failure {
    pub(crate) fn error(sentence: impl fmt::Display) -> Self {
        Failure::Error(plain(&sentence.to_string()))
    }

    pub(crate) fn usage(sentence: impl fmt::Display) -> Self {
        Failure::Usage(plain(&sentence.to_string()))
    }

    pub(crate) fn exit_status(&self) -> u8 {
        match self {
            Failure::Error(_) => 1,
            Failure::Usage(_) => 2,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Error(sentence) | Failure::Usage(sentence) => f.write_str(sentence),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            // The values of --device, --interface, --alternate-setting and --endpoint.
            Error::Address { .. }
            | Error::NoSuchInterface { .. }
            | Error::NoSuchSetting { .. }
            | Error::NoSuchEndpoint { .. } => Failure::usage(error),
            // The library's advice is for programs.
            Error::Gone => Failure::error("the device was unplugged: plug it in, and start again"),
            Error::ClockStopped => Failure::error(
                "the clock of the device's bus stands still, because only a program can move it: use --clock on-wait or \
                 --clock real (and no clock=manual in the address)",
            ),
            error => Failure::error(error),
        }
    }
}

impl From<isoch::Rejected> for Failure {
    fn from(rejected: isoch::Rejected) -> Self {
        rejected.error.into()
    }
}

/// The operating system's reason without Rust's "(os error 2)".
pub(crate) fn reason(error: &std::io::Error) -> String {
    plain(&error.to_string())
}

fn plain(sentence: &str) -> String {
    let mut parts = sentence.split(" (os error ");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str(part.split_once(')').map_or(part, |(_, rest)| rest));
    }
    text
}
