//! The words of a line.
//!
//! Why not TOML? A case is a sequence of calls, and a call with seven arguments as a table of seven keys is
//! a screen where it should be a line. People who know what Windows does should be able to read a case like
//! C, and to correct it in one place.

use std::fmt;

/// A word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// A name.
    Name(String),
    /// A number.
    Number(i128),
    /// What stands in quotes.
    Text(String),
    /// Punctuation.
    Sign(&'static str),
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Token::Name(name) => f.write_str(name),
            Token::Number(number) => write!(f, "{number}"),
            Token::Text(text) => write!(f, "{text:?}"),
            Token::Sign(sign) => f.write_str(sign),
        }
    }
}

/// Longer signs first.
const SIGNS: [&str; 18] =
    ["=>", "==", "!=", "<=", ">=", "..", "<", ">", "=", "(", ")", "[", "]", ",", ".", "&", "|", "+"];
const MORE_SIGNS: [&str; 2] = ["-", "*"];

/// The words of a line, or what is wrong with it.
pub(crate) fn tokens(line: &str) -> Result<Vec<Token>, String> {
    let mut found = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if first == '"' {
            let end = rest[1..].find('"').ok_or("a quote is not closed")?;
            found.push(Token::Text(rest[1..=end].into()));
            end + 2
        } else if first.is_ascii_digit() {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
            found.push(Token::Number(number(&rest[..end])?));
            end
        } else if first.is_ascii_alphabetic() || first == '_' {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            found.push(Token::Name(rest[..end].into()));
            end
        } else {
            let mut signs = SIGNS.iter().chain(&MORE_SIGNS);
            let sign = signs.find(|sign| rest.starts_with(**sign));
            let sign = sign.ok_or_else(|| format!("{first:?} means nothing here"))?;
            found.push(Token::Sign(sign));
            sign.len()
        };
        rest = rest[length..].trim_start();
    }
    Ok(found)
}

fn number(text: &str) -> Result<i128, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => i128::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| format!("{text} is no number"))
}
