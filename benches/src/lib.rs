//! What the benches share: how figures are taken and printed.
//!
//! Why not criterion for all? It measures one call again and again; here one run is a whole stream, and
//! the figure is how much bus time fits into a second.

// On Windows the C library has no files and events of its own: there are the system's.
#[cfg(not(windows))]
pub mod layers;

use std::time::{Duration, Instant};

/// Runs `run` several times and prints the median of its figure, with the spread.
pub fn figure(name: &str, unit: &str, mut run: impl FnMut() -> f64) -> f64 {
    let mut figures: Vec<f64> = (0..7).map(|_| run()).collect();
    figures.sort_by(f64::total_cmp);
    let median = figures[figures.len() / 2];
    print(format_args!(
        "{name}: {median:.0} {unit} (median of {}; {:.0} to {:.0})",
        figures.len(),
        figures[0],
        figures[figures.len() - 1]
    ));
    median
}

/// How long a thing took.
pub fn timed<R>(run: impl FnOnce() -> R) -> (R, Duration) {
    let started = Instant::now();
    let result = run();
    (result, started.elapsed())
}

/// Prints a line of results.
#[allow(clippy::print_stdout)]
pub fn print(line: std::fmt::Arguments<'_>) {
    println!("{line}");
}

/// CPU time of the whole process, all threads, user and system: the sum of fields 14 and 15 of
/// `/proc/self/stat` (proc(5)), in ticks of 10 ms. Zero where there is no such file.
#[must_use]
pub fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The command's name, field 2, may hold anything up to the last parenthesis.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}
