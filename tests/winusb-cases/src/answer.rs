//! What came back from a call, and what should have.

use crate::functions::Outcome;

/// What came back.
pub(crate) struct Answer {
    pub(crate) got: u64,
    pub(crate) error: u64,
    pub(crate) outcome: Outcome,
}

/// What should come back.
pub(crate) enum Wanted<'a> {
    Success,
    Value(u64),
    Failure(u64, &'a [u32]),
}

impl Answer {
    fn is_invalid(&self) -> bool {
        self.outcome == Outcome::Handle && self.got as usize == usize::MAX
    }

    pub(crate) fn is(&self, wanted: &Wanted<'_>) -> bool {
        match wanted {
            Wanted::Value(value) => self.got == *value,
            Wanted::Failure(value, codes) => {
                let known = codes.is_empty() || codes.iter().any(|code| u64::from(*code) == self.error);
                self.got == *value && known
            }
            Wanted::Success => match self.outcome {
                Outcome::Truth => self.got == 1,
                Outcome::Pointer | Outcome::Handle => self.got != 0 && !self.is_invalid(),
                Outcome::Number | Outcome::Nothing => true,
            },
        }
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.outcome, self.got) {
            (Outcome::Truth, 1) => f.write_str("TRUE"),
            (Outcome::Truth, 0) => write!(f, "FALSE {}", self.error),
            (Outcome::Pointer | Outcome::Handle, 0) => write!(f, "NULL {}", self.error),
            _ if self.is_invalid() => write!(f, "INVALID {}", self.error),
            (_, got) => write!(f, "{got} ({got:#x})"),
        }
    }
}

impl std::fmt::Display for Wanted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Wanted::Success => f.write_str("success"),
            Wanted::Value(1) => f.write_str("TRUE (1)"),
            Wanted::Value(value) => write!(f, "{value} ({value:#x})"),
            Wanted::Failure(value, codes) => {
                f.write_str(if *value == 0 { "FALSE or NULL" } else { "INVALID" })?;
                let codes: Vec<String> = codes.iter().map(u32::to_string).collect();
                if codes.is_empty() { Ok(()) } else { write!(f, " {}", codes.join(" or ")) }
            }
        }
    }
}
