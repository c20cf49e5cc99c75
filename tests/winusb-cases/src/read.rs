//! Reading files of cases.
//!
//! Why is everything checked that can be checked, before anything runs? Because a case that is read wrongly
//! passes for the wrong reason. An unknown function, a missing argument, a case without a check, two cases of
//! one name: each is an error with its line, and none is skipped.

use std::collections::BTreeMap;

use crate::case::{Action, Call, Case, Expression, Fill, Mark, Step};
use crate::expression::Words;
use crate::tokens::{Token, tokens};
use crate::{functions, structs};

/// Cases, and the setups that they begin with.
#[derive(Debug, Default)]
pub struct Table {
    /// The cases, in the order of the files.
    pub cases: Vec<Case>,
    setups: BTreeMap<String, Vec<Step>>,
}

/// What a step belongs to.
enum Open {
    Nothing,
    Setup(String),
    Case,
}

impl Table {
    /// Reads a file; its setups are known to the files that follow.
    ///
    /// # Errors
    /// The first mistake: file, line, what is wrong.
    pub fn read(&mut self, group: &str, text: &str) -> Result<(), String> {
        let mut open = Open::Nothing;
        for (line, number) in text.lines().zip(1..) {
            let content = without_comment(line);
            if content.trim().is_empty() {
                continue;
            }
            let result = if content.starts_with(' ') {
                self.steps(&open, content, number)
            } else {
                self.head(group, content, number).map(|opened| open = opened)
            };
            result.map_err(|what| format!("{group}.cases:{number}: {what}"))?;
        }
        let unchecked = self.cases.iter().find(|case| case.group == group && !is_checked(case));
        match unchecked {
            Some(case) => {
                Err(format!("{group}.cases:{}: {} checks nothing: add `=>` or `check`", case.line, case.name))
            }
            None => Ok(()),
        }
    }

    /// `setup NAME [from OTHER]`, or `case NAME [MARK SECTIONS] [off-windows] [from SETUP][: STEPS]`.
    fn head(&mut self, group: &str, content: &str, line: usize) -> Result<Open, String> {
        let (head, steps) = match content.split_once(": ") {
            Some((head, steps)) => (head, Some(steps)),
            None => (content.trim_end(), None),
        };
        if let Some(rest) = head.strip_prefix("setup ") {
            let (name, base) =
                rest.split_once(" from ").map_or((rest, None), |(name, base)| (name, Some(base)));
            let name = name.trim().to_owned();
            let steps_before = self.base(base)?;
            if self.setups.insert(name.clone(), steps_before).is_some() {
                return Err(format!("there is a setup {name} already"));
            }
            return Ok(Open::Setup(name));
        }
        let rest = head.strip_prefix("case ").ok_or("a line begins with `case`, `setup` or spaces")?;
        let (name, rest) = rest.split_once('[').ok_or("a mark is missing: `case NAME [D §1.1]`")?;
        let (mark, rest) = rest.split_once(']').ok_or("`]` is missing behind the mark")?;
        let (letter, sections) = mark.split_once(' ').ok_or("sections are missing: `[D §1.1]`")?;
        let mark = Mark::ALL.into_iter().find(|mark| mark.letter() == letter);
        let mark = mark.ok_or_else(|| format!("there is no mark {letter}; there are D, C, I and X"))?;
        if !sections.starts_with('§') && !sections.starts_with("winusbx.h") {
            return Err(format!("{sections} is no section: write §, or winusbx.h"));
        }
        let (off_windows, rest) = match rest.trim().strip_prefix("off-windows") {
            Some(rest) => (true, rest.trim()),
            None => (false, rest.trim()),
        };
        let base = match rest.strip_prefix("from ") {
            Some(base) => Some(base),
            None if rest.is_empty() => None,
            None => return Err(format!("`{rest}` means nothing here: `from SETUP`?")),
        };
        let name = name.trim().to_owned();
        if name.is_empty() || name.contains(|c: char| !c.is_ascii_alphanumeric() && c != '-') {
            return Err(format!("{name:?} is no name: letters, digits and `-`"));
        }
        if let Some(other) = self.cases.iter().find(|case| case.name == name) {
            return Err(format!("{}.cases:{} has this name, too", other.group, other.line));
        }
        self.cases.push(Case {
            steps: self.base(base)?,
            name,
            group: group.into(),
            line,
            mark,
            sections: sections.into(),
            off_windows,
        });
        if let Some(steps) = steps {
            self.steps(&Open::Case, steps, line)?;
        }
        Ok(Open::Case)
    }

    fn base(&self, name: Option<&str>) -> Result<Vec<Step>, String> {
        let Some(name) = name else { return Ok(Vec::new()) };
        self.setups.get(name.trim()).cloned().ok_or_else(|| format!("there is no setup {name}"))
    }

    /// Steps, separated by `;`.
    fn steps(&mut self, open: &Open, content: &str, line: usize) -> Result<(), String> {
        for text in content.split(';').map(str::trim) {
            let step = Step { text: text.into(), line, action: action(text)? };
            match open {
                Open::Nothing => return Err("a step before the first case".into()),
                Open::Setup(name) => self.setups.entry(name.clone()).or_default().push(step),
                Open::Case => self.cases.last_mut().ok_or("no case")?.steps.push(step),
            }
        }
        Ok(())
    }
}

/// Whether the case's own lines, not only its setup, check anything.
fn is_checked(case: &Case) -> bool {
    case.steps.iter().any(|step| match &step.action {
        Action::Call(call) => call.expected.is_some(),
        action => matches!(action, Action::Check { .. }),
    })
}

fn without_comment(line: &str) -> &str {
    line.split_once('#').map_or(line, |(content, _)| content)
}

fn action(text: &str) -> Result<Action, String> {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    if word == "open" {
        let (name, device) = rest.split_once(' ').ok_or("open NAME DEVICE")?;
        return Ok(Action::Open { name: name.into(), device: device.trim().into() });
    }
    if let ("memory", Some((name, bytes))) = (word, rest.split_once('=')) {
        let bytes: Result<Vec<u8>, _> =
            bytes.split_whitespace().map(|byte| u8::from_str_radix(byte, 16)).collect();
        let bytes = bytes.map_err(|error| format!("bytes are two hexadecimal digits each: {error}"))?;
        let size = Expression::Number(bytes.len() as i128);
        return Ok(Action::Memory { name: name.trim().into(), size, fill: Fill::Bytes(bytes) });
    }
    let all = tokens(text)?;
    let mut words = Words::new(&all);
    let action = match word {
        "memory" | "struct" | "overlapped" | "fault" | "check" => {
            words.next();
            plain(word, &mut words)?
        }
        _ => call_or_assignment(&mut words)?,
    };
    words.end()?;
    Ok(action)
}

fn plain(word: &str, words: &mut Words<'_>) -> Result<Action, String> {
    Ok(match word {
        "memory" => {
            let (name, size) = (words.name()?, words.expression()?);
            let fill = if words.take_word("counting") { Fill::Counting } else { Fill::Garbage };
            Action::Memory { name, size, fill }
        }
        "struct" => {
            let (name, kind) = (words.name()?, words.name()?);
            let kind = structs::named(&kind).ok_or_else(|| format!("there is no struct {kind}"))?;
            let count = if words.is_empty() { Expression::Number(1) } else { words.expression()? };
            Action::Struct { name, kind, count }
        }
        "overlapped" => {
            let name = words.name()?;
            let event = !words.take_word("without_event");
            Action::Overlapped { name, event }
        }
        "fault" => {
            let kind = words.name()?;
            let first = words.expression()?;
            let end = match words.take("..") {
                true => words.expression()?,
                false => Expression::Binary(Box::new(first.clone()), '+', Box::new(Expression::Number(1))),
            };
            let endpoint = if words.take_word("endpoint") { Some(words.expression()?) } else { None };
            let bytes = if words.take_word("bytes") { Some(words.expression()?) } else { None };
            Action::Fault { kind, frames: (first, end), endpoint, bytes }
        }
        _ => {
            let left = words.expression()?;
            Action::Check { left, comparison: words.comparison()?, right: words.expression()? }
        }
    })
}

fn call_or_assignment(words: &mut Words<'_>) -> Result<Action, String> {
    let name = words.name()?;
    if words.take("(") {
        return call(&name, None, words);
    }
    let place = words.place_of(name)?;
    words.demand("=")?;
    if let Some(Token::Name(next)) = words.peek()
        && next.starts_with("WinUsb")
    {
        words.next();
        words.demand("(")?;
        return call(next, Some(place.name), words);
    }
    Ok(Action::Assign { place, value: words.expression()? })
}

fn call(name: &str, result: Option<String>, words: &mut Words<'_>) -> Result<Action, String> {
    let function = functions::named(name).ok_or_else(|| format!("there is no function {name}"))?;
    let mut arguments = Vec::new();
    for (index, (parameter, kind)) in function.parameters.iter().enumerate() {
        if index > 0 {
            words.demand(",").map_err(|_| format!("{name} takes {} arguments", function.parameters.len()))?;
        }
        let argument = words.argument(*kind).map_err(|what| format!("{parameter} of {name}: {what}"))?;
        arguments.push(argument);
    }
    words.demand(")").map_err(|_| format!("{name} takes {} arguments", function.parameters.len()))?;
    let expected = if words.take("=>") { Some(words.expected()?) } else { None };
    Ok(Action::Call(Call { function, arguments, result, expected }))
}
