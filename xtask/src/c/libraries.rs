//! What the installed libraries export, and their pages.

use std::collections::BTreeSet;
use std::path::Path;

use super::report::Report;
use crate::install::{exported, files, root};
use crate::process::{command, exists, output};

const LIBRARIES: [(&str, &str, &str); 2] = [
    ("winusb", "WINUSB_1.0", "crates/winusb-abi/winusb.map"),
    ("winusb-compat", "WINUSB_COMPAT_1.0", "crates/winusb-compat/winusb-compat.map"),
];

pub(crate) fn check(prefix: &Path, report: &mut Report) {
    for (name, version, map) in LIBRARIES {
        let shared = prefix.join(format!("lib/lib{name}.so.1.0"));
        let dynamic = ["-D", "--defined-only", "--with-symbol-versions"].map(Into::into);
        let what = format!("lib{name}.so.1 exports its functions with {version}, and nothing else");
        let suffix = format!("@@{version}");
        // The version itself is a symbol, too.
        let wanted = |name: String| if name == version { None } else { Some(format!("{name}{suffix}")) };
        report.tell(&what, difference(map, dynamic, &shared, &wanted, version));
        let archive = prefix.join(format!("lib/lib{name}.a"));
        let global = ["-g", "--defined-only", "--no-sort"].map(Into::into);
        let what = format!("lib{name}.a has no other global symbol than its functions");
        report.tell(&what, difference(map, global, &archive, &Some, version));
    }
    report.tell(
        "the table of cases against the shared library",
        cases(&prefix.join("lib/libwinusb.so.1")).err(),
    );
    if !exists("groff") {
        report.skip("manual pages", "there is no groff");
        return;
    }
    for section in ["man1", "man3"] {
        let folder = prefix.join("share/man").join(section);
        let pages = files(&folder).unwrap_or_default();
        let mut reasons: Vec<String> =
            pages.iter().filter_map(|name| warnings(&folder.join(name), section == "man3")).collect();
        if pages.is_empty() {
            reasons.push("there are no pages".to_owned());
        }
        report.tell(&format!("{section}: {} pages", pages.len()), reasons);
    }
}

/// What groff has to say about a page; about warnings only if the page is written here.
fn warnings(page: &Path, strict: bool) -> Option<String> {
    let mut groff = command("groff", ["-man", "-Tutf8", "-z"]);
    if strict {
        groff.arg("-ww");
    }
    match groff.arg(page).output() {
        Ok(output) if output.status.success() && output.stderr.is_empty() => None,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Some(format!("{}: {} {said}", page.display(), output.status))
        }
        Err(error) => Some(format!("groff: {error}")),
    }
}

/// What each function answers to which argument.
fn cases(library: &Path) -> Result<(), String> {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let mut cases = command(cargo, ["run", "--quiet", "--package", "winusb-cases", "--", "--library"]);
    let said = output(cases.arg(library).current_dir(root()))?;
    println!("      {}", said.trim_end().lines().last().unwrap_or_default());
    Ok(())
}

/// What `nm` shows and the version script does not name, or the other way round.
fn difference(
    map: &str,
    arguments: [std::ffi::OsString; 3],
    file: &Path,
    wanted: &dyn Fn(String) -> Option<String>,
    version: &str,
) -> Option<String> {
    let names = match exported(&root().join(map)) {
        Ok(names) => names,
        Err(error) => return Some(error),
    };
    let wanted: BTreeSet<String> = names.into_iter().filter_map(wanted).collect();
    let mut nm = command("nm", arguments);
    nm.arg(file);
    let text = match output(nm) {
        Ok(text) => text,
        Err(error) => return Some(error),
    };
    let symbol = |line: &str| line.split(' ').next_back().filter(|name| !name.is_empty()).map(str::to_owned);
    let found: BTreeSet<String> = text
        .lines()
        .filter(|line| !line.ends_with(':'))
        .filter_map(symbol)
        .filter(|name| name != version && *name != format!("{version}@@{version}"))
        .collect();
    let list = |names: BTreeSet<&String>| names.into_iter().cloned().collect::<Vec<_>>().join(", ");
    let missing = list(wanted.difference(&found).collect());
    let surplus = list(found.difference(&wanted).collect());
    let differs = !missing.is_empty() || !surplus.is_empty();
    differs.then(|| format!("missing: {missing}\ntoo much: {surplus}"))
}
