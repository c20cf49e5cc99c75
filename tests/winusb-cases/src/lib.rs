//! What every `WinUsb_` function answers to which argument.
//!
//! Why a table and not tests in Rust? Because each line is a claim about Windows, and most of Windows is not
//! documented. Somebody who knows better corrects a line, without knowing Rust; and the same lines are tried
//! on every system the library runs on. The language of the files is in this package's README.md.

mod answer;
mod arguments;
pub mod case;
mod expression;
pub mod functions;
mod kinds;
mod left_behind;
pub mod library;
mod memory;
mod read;
mod report;
mod run;
pub mod structs;
mod tokens;
mod variables;

pub use read::Table;
pub use report::{Selection, Summary, counts, list, run_all};
pub use run::run;

/// The files of cases, in the order in which they are read: setups come first.
const FILES: &[(&str, &str)] = &[
    ("setups", include_str!("../cases/setups.cases")),
    ("session", include_str!("../cases/session.cases")),
    ("descriptors", include_str!("../cases/descriptors.cases")),
    ("queries", include_str!("../cases/queries.cases")),
    ("policies", include_str!("../cases/policies.cases")),
    ("bulk", include_str!("../cases/bulk.cases")),
    ("control", include_str!("../cases/control.cases")),
    ("abort-reset-flush", include_str!("../cases/abort-reset-flush.cases")),
    ("alternate-settings", include_str!("../cases/alternate-settings.cases")),
    ("registration", include_str!("../cases/registration.cases")),
    ("isoch-write", include_str!("../cases/isoch-write.cases")),
    ("isoch-read", include_str!("../cases/isoch-read.cases")),
    ("asap", include_str!("../cases/asap.cases")),
    ("frame-numbers", include_str!("../cases/frame-numbers.cases")),
    ("time-sync", include_str!("../cases/time-sync.cases")),
    ("unplug", include_str!("../cases/unplug.cases")),
    ("handles", include_str!("../cases/handles.cases")),
    ("extensions", include_str!("../cases/extensions.cases")),
    ("kernel-objects", include_str!("../cases/kernel-objects.cases")),
];

/// The table as it was when this was built.
///
/// # Errors
/// The first mistake in it.
pub fn table() -> Result<Table, String> {
    let mut table = Table::default();
    for (group, text) in FILES {
        table.read(group, text)?;
    }
    Ok(table)
}

/// The same from a directory, so that a changed line needs no compiler.
///
/// # Errors
/// If a file is missing, or the first mistake.
pub fn table_in(directory: &std::path::Path) -> Result<Table, String> {
    let mut table = Table::default();
    for (group, _) in FILES {
        let path = directory.join(format!("{group}.cases"));
        let text = std::fs::read_to_string(&path);
        table.read(group, &text.map_err(|error| format!("{}: {error}", path.display()))?)?;
    }
    Ok(table)
}
