//! Manual pages, one per function, from the files in `crates/winusb-abi/man`.
//!
//! Why not written as roff? The synopsis must be what the header says, and what all pages have in common must be
//! the same words. Here the prototype is taken from the header, and each page's file says only what is its own.

use std::fmt::Write;
use std::path::Path;

use serde::Deserialize;

use super::{files, read, write};

const HEADERS: [&str; 2] = ["winusb.h", "winusbx.h"];
const DOCUMENTATION: &str = "https://learn.microsoft.com/windows/win32/api/winusb/nf-winusb-";

#[derive(Debug, Deserialize)]
struct Pages {
    page: Vec<Page>,
}

/// What a page's table may say. Names in `backquotes` are printed bold; an empty line is a new paragraph.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    name: String,
    /// What it does, after "NAME -".
    summary: String,
    description: String,
    #[serde(default)]
    arguments: Vec<(String, String)>,
    /// What it returns, if not a BOOL.
    returns: Option<String>,
    /// Codes and when they are set.
    #[serde(default)]
    errors: Vec<(u32, String)>,
    /// Whether it waits, and what ends that.
    waits: String,
    /// What is not as on Windows.
    differences: Option<String>,
    /// Where its behaviour is from, if not the function's own page.
    source: Option<String>,
    /// A few lines of C.
    example: Option<String>,
    #[serde(default)]
    see: Vec<String>,
}

/// Writes all pages, and fails if a function has none.
pub(crate) fn install(root: &Path, to: &Path) -> Result<(), String> {
    let include = root.join("crates/winusb-abi/include/winusb");
    let mut prototypes = Vec::new();
    for header in HEADERS {
        prototypes.extend(self::prototypes(header, &read(&include.join(header))?));
    }
    let codes = codes(&read(&include.join("winusbtypes.h"))?);
    let folder = root.join("crates/winusb-abi/man");
    let mut pages: Vec<Page> = Vec::new();
    for name in files(&folder)?.iter().filter(|name| name.ends_with(".toml")) {
        let file: Pages =
            toml::from_str(&read(&folder.join(name))?).map_err(|error| format!("{name}: {error}"))?;
        pages.extend(file.page);
    }
    for prototype in &prototypes {
        let mut found = pages.iter().filter(|page| page.name == prototype.name);
        let page = found.next().ok_or_else(|| format!("{} has no manual page", prototype.name))?;
        if found.next().is_some() {
            return Err(format!("{} has two manual pages", page.name));
        }
        if let Some(name) = page.see.iter().find(|name| !pages.iter().any(|page| page.name == **name)) {
            return Err(format!("{}: there is no page {name}", page.name));
        }
        check_arguments(page, prototype)?;
        write(&to.join(format!("{}.3", page.name)), &roff(page, prototype, &codes)?)?;
    }
    match pages.iter().find(|page| !prototypes.iter().any(|prototype| prototype.name == page.name)) {
        Some(page) => Err(format!("{} is in no header", page.name)),
        None => Ok(()),
    }
}

/// A function as its header declares it.
#[derive(Debug)]
struct Prototype {
    header: &'static str,
    name: String,
    /// `BOOL`
    returns: String,
    /// `ULONG Offset`
    parameters: Vec<String>,
}

fn prototypes(header: &'static str, text: &str) -> Vec<Prototype> {
    let mut code = String::new();
    for part in text.split("/*") {
        code.push_str(part.split_once("*/").map_or(part, |(_, code)| code));
    }
    let parse = |statement: &str| {
        let (before, rest) = statement.split_once(" WINAPI ")?;
        let (name, parameters) = rest.split_once('(')?;
        let parameters = parameters.strip_suffix(')')?.split(',');
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        Some(Prototype {
            header,
            name: name.to_owned(),
            returns: before.lines().last()?.trim().to_owned(),
            parameters: parameters.map(words).collect(),
        })
    };
    code.split(';').filter_map(parse).collect()
}

/// `ERROR_` names by number.
fn codes(text: &str) -> Vec<(u32, String)> {
    let parse = |line: &str| {
        let mut words = line.strip_prefix("#define ERROR_")?.split(' ');
        let name = format!("ERROR_{}", words.next()?);
        Some((words.next()?.strip_suffix('L')?.parse().ok()?, name))
    };
    text.lines().filter_map(parse).collect()
}

/// Each parameter is explained, by its own name.
fn check_arguments(page: &Page, prototype: &Prototype) -> Result<(), String> {
    let name = |parameter: &String| {
        parameter.rsplit([' ', '*']).next().map(str::to_owned).filter(|name| name != "void")
    };
    let declared: Vec<String> = prototype.parameters.iter().filter_map(name).collect();
    let explained: Vec<&String> = page.arguments.iter().map(|(name, _)| name).collect();
    if declared.iter().eq(explained.iter().copied()) {
        return Ok(());
    }
    Err(format!("{}: the header has {declared:?}, its page {explained:?}", page.name))
}

fn roff(page: &Page, prototype: &Prototype, codes: &[(u32, String)]) -> Result<String, String> {
    let mut out = String::new();
    let version = env!("CARGO_PKG_VERSION");
    let mut line = |text: &str| {
        out.push_str(text);
        out.push('\n');
    };
    line(&format!(".TH {} 3 \"\" \"libwinusb {version}\" \"WinUSB\"", page.name));
    // Nothing hyphenated, nothing stretched: names are long.
    line(".nh\n.ad l\n.SH NAME");
    line(&format!("{} \\- {}", page.name, prose(&page.summary)));
    line(".SH SYNOPSIS\n.nf");
    line(&format!("\\fB#include <{}>\\fP\n", prototype.header));
    let parameters = prototype.parameters.join(",\n    ");
    let declaration = format!("{} {}(\n    {parameters});", prototype.returns, page.name);
    let declaration = if parameters == "void" { declaration.replace("\n    ", "") } else { declaration };
    line(&format!("\\fB{}\\fP", escape(&declaration)));
    line(".fi");
    line(".SH DESCRIPTION");
    line(&prose(&page.description));
    if !page.arguments.is_empty() {
        line(".SS Arguments");
        for (name, text) in &page.arguments {
            line(&format!(".TP\n.I {name}\n{}", prose(text)));
        }
    }
    line(".SH RETURN VALUE");
    let boolean = "`TRUE` for success. `FALSE` for failure: `GetLastError`(), or `WinUsbX_GetLastError`(3), tells the \
                   code, and `WinUsbX_GetLastErrorText`(3) the reason.";
    line(&prose(page.returns.as_deref().unwrap_or(boolean)));
    if !page.errors.is_empty() {
        line(".SH ERRORS");
        for (code, text) in &page.errors {
            let known = codes.iter().find(|(number, _)| number == code);
            let (_, name) =
                known.ok_or_else(|| format!("{}: code {code} is not in winusbtypes.h", page.name))?;
            line(&format!(".TP\n.BR {name} \" ({code})\"\n{}", prose(text)));
        }
    }
    line(".SH BLOCKING AND CANCELLATION");
    line(&prose(&page.waits));
    if let Some(differences) = &page.differences {
        line(".SH DIFFERENCES FROM WINDOWS");
        line(&prose(differences));
    }
    if let Some(example) = &page.example {
        line(".SH EXAMPLES\n.nf");
        line(&escape(example.trim_end()));
        line(".fi");
    }
    line(".SH SOURCE");
    let source = match &page.source {
        Some(source) => source.clone(),
        None if page.name.starts_with("WinUsb_") => format!("{DOCUMENTATION}{}", page.name.to_lowercase()),
        None => "An addition of this library.".into(),
    };
    // An address may be broken behind a slash.
    line(&escape(&source).replace('/', "/\\:"));
    line(".SH SEE ALSO");
    let mut also = String::new();
    for name in &page.see {
        let _ = writeln!(also, ".BR {name} (3),");
    }
    line(&format!("{also}.BR isoch (1)"));
    Ok(out)
}

/// Text with names in backquotes, and paragraphs.
fn prose(text: &str) -> String {
    let mut out = String::new();
    for (number, part) in text.trim().split('`').enumerate() {
        let part = escape(part);
        // Names are not to be broken at the end of a line.
        out.push_str(&if number % 2 == 1 { format!("\\fB{part}\\fP") } else { part });
    }
    let lines: Vec<&str> = out.lines().map(str::trim).collect();
    lines.into_iter().map(|line| if line.is_empty() { ".PP" } else { line }).collect::<Vec<_>>().join("\n")
}

/// What roff would take for its own.
fn escape(text: &str) -> String {
    let escaped = text.replace('\\', "\\e").replace('-', "\\-");
    let line = |line: &str| {
        if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_owned() }
    };
    escaped.lines().map(line).collect::<Vec<_>>().join("\n") + if text.ends_with('\n') { "\n" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prototypes_are_read() {
        let text = "/* A; comment( */\n#define X 1\nBOOL WINAPI One(ULONG A,\n   const HANDLE *B);\nvoid WINAPI Two(void);";
        let found = prototypes("x.h", text);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].returns.as_str(), found[0].name.as_str()), ("BOOL", "One"));
        assert_eq!(found[0].parameters, ["ULONG A", "const HANDLE *B"]);
        assert_eq!(found[1].parameters, ["void"]);
    }

    #[test]
    fn text_becomes_roff() {
        assert_eq!(prose("a `b-c`\n\nd\\e\n.f"), "a \\fBb\\-c\\fP\n.PP\nd\\ee\n\\&.f");
    }
}
