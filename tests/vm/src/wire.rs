//! What guest and host tell each other while a test runs: JSON, a line each, over a virtio port.
//!
//! The host asks for one test after the other; the guest may ask for what only the machine around it can do.

use serde::{Deserialize, Serialize};

/// The name of the virtio port.
pub(crate) const PORT: &str = "talk";

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromHost {
    Run {
        test: String,
        full: bool,
        /// Seconds after which the guest is killed.
        limit: u64,
    },
    /// What was asked for is done, or why not.
    Answer(Result<(), String>),
    PowerOff,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromGuest {
    Ready {
        kernel: String,
    },
    /// A line for the report.
    Said(String),
    /// Something for the test's part on the host.
    HandedOver(serde_json::Value),
    Asked(Request),
    Ended(Verdict),
}

/// What a guest can ask for.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Pull the speaker's plug. Its recording ends.
    Unplug,
    /// Plug it in again. A new recording begins.
    Replug,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Verdict {
    Passed,
    Failed(String),
    Skipped(String),
}

impl From<crate::test::Outcome> for Verdict {
    fn from(outcome: crate::test::Outcome) -> Self {
        match outcome {
            Ok(()) => Verdict::Passed,
            Err(error) if error.is::<crate::test::Skip>() => Verdict::Skipped(error.to_string()),
            Err(error) => Verdict::Failed(error.to_string()),
        }
    }
}
