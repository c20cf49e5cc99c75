//! How it is printed: as the documentation has it.

use std::fmt::Write;

use super::callgrind::Counts;

/// One kind of stream, with both. Each with its system calls.
pub(super) struct Row {
    pub(super) packets: u32,
    pub(super) batch: u32,
    pub(super) libusb: (Counts, f64),
    pub(super) isoch: (Counts, f64),
}

impl Row {
    pub(super) fn ratio(&self) -> f64 {
        self.isoch.0.instructions("") / self.libusb.0.instructions("")
    }
}

/// What is printed of one library.
type Figure = fn(&(Counts, f64)) -> f64;

pub(super) fn of(rows: &[Row]) -> String {
    let figures: [(&str, usize, Figure); 5] = [
        ("instructions", 0, |(counts, _)| counts.instructions("")),
        ("of these in the C library", 0, |(counts, _)| counts.instructions("libc.")),
        ("system calls", 2, |(_, calls)| *calls),
        ("looks at the clock", 2, |(counts, _)| counts.looks()),
        ("heap allocations", 2, |(counts, _)| counts.allocations()),
    ];
    let mut text = String::from(
        "| packets | over at a wake-up | for each transfer | libusb | isoch | |\n|---|---|---|---|---|---|\n",
    );
    for row in rows {
        for (name, digits, figure) in figures {
            let (theirs, ours) = (figure(&row.libusb), figure(&row.isoch));
            let ratio = if digits == 0 { format!("{:.2}", ours / theirs) } else { String::new() };
            let _ = writeln!(
                text,
                "| {} | {} | {name} | {} | {} | {ratio} |",
                row.packets,
                row.batch,
                number(theirs, digits),
                number(ours, digits)
            );
        }
    }
    text
}

/// The difference of two counts may be a little less than nothing: that is printed as nothing.
fn number(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    match text.strip_prefix('-') {
        Some(rest) if rest.bytes().all(|byte| matches!(byte, b'0' | b'.')) => rest.into(),
        _ => text,
    }
}

/// Where ours go, the most first.
pub(super) fn profile(row: &Row) -> String {
    let mut text = format!("{} packets, {} over at a wake-up:\n", row.packets, row.batch);
    let mut all: Vec<_> = row.isoch.0.instructions.iter().collect();
    all.sort_by(|a, b| b.1.total_cmp(a.1));
    for ((file, function), count) in all.into_iter().take(40) {
        let _ = writeln!(text, "{count:8.1} {file}: {function}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_has_no_sign() {
        assert_eq!(number(-0.004, 2), "0.00");
        assert_eq!(number(-0.4, 0), "0");
        assert_eq!(number(-0.006, 2), "-0.01");
        assert_eq!(number(2.25, 2), "2.25");
    }
}
