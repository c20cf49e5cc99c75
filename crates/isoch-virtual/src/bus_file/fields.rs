//! The fields of one table of a bus file, asked for by name and type.
//!
//! Why this small layer? So that "wrong type", "out of range" and "no such key" are said in the same way
//! everywhere, each with the place of the value it is about.

use std::fmt::Display;
use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

/// A mistake and where it is, in bytes from the start of the text.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) at: Range<usize>,
    pub(super) message: String,
}

/// A table and its place.
pub(super) struct Fields<'a> {
    /// What the table is called in sentences.
    name: &'static str,
    table: &'a DeTable<'a>,
    at: Range<usize>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(name: &'static str, table: &'a DeTable<'a>, at: Range<usize>) -> Self {
        Fields { name, table, at }
    }

    /// A problem with the table.
    pub(super) fn problem<T>(&self, message: String) -> Result<T, Problem> {
        Err(Problem { at: self.at.clone(), message })
    }

    /// A problem with the value of a key.
    pub(super) fn problem_at<T>(&self, key: &str, message: String) -> Result<T, Problem> {
        Err(Problem { at: self.place(key), message })
    }

    /// Where the value of a key is; the table, if it has none.
    pub(super) fn place(&self, key: &str) -> Range<usize> {
        self.value(key).map_or(self.at.clone(), Spanned::span)
    }

    pub(super) fn value(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.table.get(key)
    }

    /// Refuses keys that are not in the list.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Problem> {
        let unknown = self.table.keys().filter(|key| !known.contains(&key.get_ref().as_ref()));
        // The table is sorted by name; the first in the file is what a reader looks for.
        match unknown.min_by_key(|key| key.span().start) {
            None => Ok(()),
            Some(key) => {
                let list = listed(known);
                let message = format!("{} has no '{}'; it has: {list}", self.name, key.get_ref());
                Err(Problem { at: key.span(), message })
            }
        }
    }

    fn wrong<T>(&self, key: &str, takes: impl Display) -> Result<T, Problem> {
        let given = self.value(key).map_or("nothing", |value| value.get_ref().type_str());
        self.problem_at(key, format!("'{key}' takes {takes}, this is {} {given}", article(given)))
    }

    /// A text, and its place.
    pub(super) fn text(&self, key: &str) -> Result<Option<(String, Range<usize>)>, Problem> {
        let Some(value) = self.value(key) else { return Ok(None) };
        match value.get_ref().as_str() {
            Some(text) => Ok(Some((text.to_owned(), value.span()))),
            None => self.wrong(key, "a text in quotes"),
        }
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Result<Option<T>, Problem> {
        let Some((text, at)) = self.text(key)? else { return Ok(None) };
        match choices.iter().find(|(word, _)| *word == text) {
            Some((_, value)) => Ok(Some(*value)),
            None => {
                let list = listed(choices.iter().map(|(word, _)| *word));
                Err(Problem { at, message: format!("there is no {key} '{text}'; there are: {list}") })
            }
        }
    }

    /// A whole number in a range.
    pub(super) fn whole(&self, key: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, Problem> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let takes = format!("a whole number from {} to {}", range.start(), range.end());
        if !value.get_ref().is_integer() {
            return self.wrong(key, takes);
        }
        match whole(value.get_ref()).filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => self.problem_at(key, format!("'{key}' takes {takes}")),
        }
    }

    /// A number in a range, with or without a fraction.
    pub(super) fn number(&self, key: &str, range: RangeInclusive<f64>) -> Result<Option<f64>, Problem> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let takes = format!("a number from {} to {}", range.start(), range.end());
        let number = match value.get_ref() {
            DeValue::Integer(integer) => integer_value(integer).map(|number| number as f64),
            DeValue::Float(float) => float.as_str().parse().ok(),
            _ => return self.wrong(key, takes),
        };
        match number.filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => self.problem_at(key, format!("'{key}' takes {takes}")),
        }
    }

    /// A device's parameter as the text that its address would have: a list becomes one with commas.
    pub(super) fn parameter(&self, key: &str) -> Result<Option<String>, Problem> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let text = match value.get_ref() {
            DeValue::Array(items) => {
                let texts: Option<Vec<String>> = items.iter().map(|item| scalar(item.get_ref())).collect();
                texts.map(|texts| texts.join(","))
            }
            value => scalar(value),
        };
        match text {
            Some(text) => Ok(Some(text)),
            None => self.wrong(key, "a text, a number, or a list of them"),
        }
    }

    /// The tables of `[[key]]`, with their places.
    pub(super) fn tables(&self, key: &str) -> Result<Vec<(&'a DeTable<'a>, Range<usize>)>, Problem> {
        let Some(value) = self.value(key) else { return Ok(Vec::new()) };
        let tables = match value.get_ref() {
            DeValue::Array(items) => items
                .iter()
                .map(|item| item.get_ref().as_table().map(|table| (table, item.span())))
                .collect::<Option<Vec<_>>>(),
            _ => None,
        };
        match tables {
            Some(tables) => Ok(tables),
            None => self.problem_at(key, format!("there can be several: write [[{key}]], in two brackets")),
        }
    }
}

/// A whole number that is not negative.
pub(super) fn whole(value: &DeValue<'_>) -> Option<u64> {
    value.as_integer().and_then(integer_value).and_then(|number| u64::try_from(number).ok())
}

fn integer_value(integer: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(integer) => integer_value(integer).map(|number| number.to_string()),
        DeValue::Float(float) => Some(float.as_str().to_owned()),
        _ => None,
    }
}

fn article(noun: &str) -> &'static str {
    if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

/// "a, b, c".
pub(super) fn listed(items: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    items.into_iter().map(|item| item.as_ref().to_owned()).collect::<Vec<_>>().join(", ")
}
