//! Parameters of devices as text, and what is wrong with them as sentences.
//!
//! Why text, when every device has a typed options struct? Because parameters arrive from addresses
//! (`virtual:speaker?device_ppm=50`), from TOML files and from command lines, and all three should refuse
//! the same mistake with the same words: what was given, what exists.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::Kind;

/// Why a device could not be built. Each is a sentence that says what exists or what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// No device of this kind.
    #[error("there is no device of kind '{kind}'; there are: {known}")]
    UnknownKind {
        /// What was asked for.
        kind: String,
        /// The kinds that exist, separated by commas.
        known: String,
    },
    /// The kind does not have this parameter.
    #[error("a {kind} has no parameter '{parameter}'; it has: {known}")]
    UnknownParameter {
        /// The kind of device.
        kind: &'static str,
        /// What was given.
        parameter: String,
        /// The parameters that exist, separated by commas.
        known: String,
    },
    /// A parameter was given twice.
    #[error("the parameter '{parameter}' is given twice; give it once")]
    Repeated {
        /// The parameter.
        parameter: String,
    },
    /// A value is not one that the parameter takes.
    #[error("'{value}' is no value for '{parameter}': it takes {takes}")]
    Value {
        /// The parameter.
        parameter: String,
        /// What was given.
        value: String,
        /// What would be accepted.
        takes: String,
    },
    /// Each value is fine, but not with the others.
    #[error("{sentence}")]
    Combination {
        /// The parameter to change.
        parameter: &'static str,
        /// What does not fit, and what would.
        sentence: String,
    },
    /// A file could not be read or written.
    #[error("'{parameter}': {path}: {problem}")]
    File {
        /// The parameter that named it.
        parameter: &'static str,
        /// The path, as given.
        path: String,
        /// What happened and what to do.
        problem: String,
    },
}

impl BuildError {
    /// The parameter to change, if it is about one.
    #[must_use]
    pub fn parameter(&self) -> Option<&str> {
        match self {
            BuildError::UnknownKind { .. } => None,
            BuildError::UnknownParameter { parameter, .. }
            | BuildError::Repeated { parameter }
            | BuildError::Value { parameter, .. } => Some(parameter),
            BuildError::Combination { parameter, .. } | BuildError::File { parameter, .. } => Some(parameter),
        }
    }
}

/// The given parameters of one device, checked against those its kind has.
pub(crate) struct Parameters<'a> {
    given: &'a [(String, String)],
}

impl<'a> Parameters<'a> {
    /// Refuses names that the kind does not have, and repetitions.
    pub(crate) fn new(kind: &Kind, given: &'a [(String, String)]) -> Result<Self, BuildError> {
        for (position, (name, _)) in given.iter().enumerate() {
            if !kind.parameters.iter().any(|parameter| parameter.name == name) {
                return Err(BuildError::UnknownParameter {
                    kind: kind.name,
                    parameter: name.clone(),
                    known: listed(kind.parameters.iter().map(|parameter| parameter.name)),
                });
            }
            if given[..position].iter().any(|(earlier, _)| earlier == name) {
                return Err(BuildError::Repeated { parameter: name.clone() });
            }
        }
        Ok(Parameters { given })
    }

    /// The text of a parameter.
    pub(crate) fn text(&self, name: &str) -> Option<&'a str> {
        self.given.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// A number in a range; hexadecimal with `0x`.
    pub(crate) fn number<T>(&self, name: &str, range: RangeInclusive<T>) -> Result<Option<T>, BuildError>
    where
        T: Copy + PartialOrd + Display + FromStr + TryFrom<u64>,
    {
        let Some(text) = self.text(name) else { return Ok(None) };
        let parsed = match text.strip_prefix("0x") {
            Some(hexadecimal) => u64::from_str_radix(hexadecimal, 16).ok().and_then(|n| T::try_from(n).ok()),
            None => text.parse().ok(),
        };
        match parsed.filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => Err(wrong(name, text, format!("a number from {} to {}", range.start(), range.end()))),
        }
    }

    /// A decimal fraction in a range.
    pub(crate) fn fraction(&self, name: &str, range: RangeInclusive<f64>) -> Result<Option<f64>, BuildError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match text.parse().ok().filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => Err(wrong(name, text, format!("a number from {} to {}", range.start(), range.end()))),
        }
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(&self, name: &str, choices: &[(&str, T)]) -> Result<Option<T>, BuildError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match choices.iter().find(|(word, _)| *word == text) {
            Some((_, value)) => Ok(Some(*value)),
            None => Err(wrong(name, text, alternatives(choices.iter().map(|(word, _)| *word)))),
        }
    }

    /// Some of a few numbers, separated by commas; the result is in the order of `known`, without repeats.
    pub(crate) fn selection<T>(&self, name: &str, known: &[T]) -> Result<Option<Vec<T>>, BuildError>
    where
        T: Copy + PartialEq + Display + FromStr,
    {
        let Some(text) = self.text(name) else { return Ok(None) };
        let mut chosen = Vec::new();
        for item in text.split(',').map(str::trim) {
            match item.parse().ok().filter(|number| known.contains(number)) {
                Some(number) => chosen.push(number),
                None => {
                    let list = listed(known.iter().map(ToString::to_string));
                    return Err(wrong(name, item, format!("one or more of {list}, separated by commas")));
                }
            }
        }
        Ok(Some(known.iter().copied().filter(|number| chosen.contains(number)).collect()))
    }
}

/// An error about a value.
pub(crate) fn wrong(parameter: &str, value: &str, takes: impl Into<String>) -> BuildError {
    BuildError::Value { parameter: parameter.into(), value: value.into(), takes: takes.into() }
}

/// "a, b, c", or "none".
pub(crate) fn listed(items: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let mut list = String::new();
    for item in items {
        if !list.is_empty() {
            list.push_str(", ");
        }
        list.push_str(item.as_ref());
    }
    if list.is_empty() { "none".into() } else { list }
}

/// "a or b or c".
pub(crate) fn alternatives<'a>(items: impl Iterator<Item = &'a str>) -> String {
    items.collect::<Vec<_>>().join(" or ")
}
