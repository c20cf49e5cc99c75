//! Instructions, as valgrind's callgrind counts them, by the file they are in; and calls of functions by name.
//!
//! Why by file? Everything that is executed is the work of the program and its library, but for what is in the fake
//! bus, which stands for the kernel.

use std::collections::BTreeMap;
use std::path::Path;

use super::programs::{Programs, Stream};
use crate::process::command;

/// Functions of the C library that take memory from the heap.
const ALLOCATIONS: [&str; 6] = ["malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "memalign"];
/// The file of the fake bus.
const BUS: &str = "libfake_usbfs.so";

/// What was counted, for each transfer or in all.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    /// Instructions by file and function.
    pub(super) instructions: BTreeMap<(String, String), f64>,
    /// Calls from elsewhere than the bus, by function.
    calls: BTreeMap<String, f64>,
}

impl Counts {
    /// For each of the transfers by which the second stream is longer.
    pub(super) fn difference(short: &Counts, long: &Counts, transfers: u32) -> Counts {
        fn each<K: Ord + Clone>(
            short: &BTreeMap<K, f64>,
            long: &BTreeMap<K, f64>,
            by: f64,
        ) -> BTreeMap<K, f64> {
            long.iter()
                .map(|(key, count)| (key.clone(), (count - short.get(key).copied().unwrap_or(0.0)) / by))
                .collect()
        }
        let by = f64::from(transfers);
        Counts {
            instructions: each(&short.instructions, &long.instructions, by),
            calls: each(&short.calls, &long.calls, by),
        }
    }

    /// Instructions in files whose name begins so; all but the bus's with an empty name.
    pub(super) fn instructions(&self, file: &str) -> f64 {
        let wanted = |of: &str| of != BUS && of.starts_with(file);
        self.instructions.iter().filter(|((of, _), _)| wanted(of)).map(|(_, count)| count).sum()
    }

    pub(super) fn allocations(&self) -> f64 {
        ALLOCATIONS.iter().filter_map(|name| self.calls.get(*name)).sum()
    }

    /// How often the clock is looked at.
    pub(super) fn looks(&self) -> f64 {
        self.calls.get("clock_gettime").copied().unwrap_or(0.0)
    }
}

pub(super) fn count(programs: &Programs, program: &Path, stream: Stream) -> Result<Counts, String> {
    let file = programs.folder.join("callgrind.out");
    let mut valgrind = command("valgrind", ["--quiet", "--tool=callgrind"]);
    valgrind.arg(format!("--callgrind-out-file={}", file.display())).envs(programs.environment(stream));
    programs.run(valgrind, program, stream)?;
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(parse(&text))
}

/// Names are told once, and meant by their number from then on.
#[derive(Default)]
struct Names(BTreeMap<String, String>);

impl Names {
    fn of(&mut self, text: &str) -> String {
        let Some((number, name)) = text.strip_prefix('(').and_then(|text| text.split_once(')')) else {
            return text.to_owned();
        };
        let name = name.trim();
        if !name.is_empty() {
            self.0.insert(number.to_owned(), name.to_owned());
        }
        self.0.get(number).cloned().unwrap_or_default()
    }
}

/// The format is told in valgrind's manual, "Callgrind Format Specification".
fn parse(text: &str) -> Counts {
    let mut counts = Counts::default();
    let (mut objects, mut functions) = (Names::default(), Names::default());
    let (mut object, mut function, mut called) = (String::new(), String::new(), String::new());
    // The line after `calls=` tells what the called function cost, which is told there, too.
    let mut is_of_call = false;
    for line in text.lines() {
        match line.split_once('=') {
            Some(("ob", name)) => {
                let path = objects.of(name);
                object = path.rsplit('/').next().unwrap_or_default().to_owned();
            }
            Some(("cob", name)) => drop(objects.of(name)),
            Some(("fn", name)) => function = functions.of(name),
            Some(("cfn", name)) => called = functions.of(name),
            Some(("calls", numbers)) => {
                is_of_call = true;
                let count = numbers.split(' ').next().and_then(|count| count.parse::<f64>().ok());
                if object != BUS {
                    *counts.calls.entry(called.clone()).or_default() += count.unwrap_or(0.0);
                }
            }
            _ if !line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) => {}
            _ if std::mem::take(&mut is_of_call) => {}
            _ => {
                let cost = line.split(' ').nth(1).and_then(|cost| cost.parse::<f64>().ok()).unwrap_or(0.0);
                *counts.instructions.entry((object.clone(), function.clone())).or_default() += cost;
            }
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_callgrinds() {
        let text = "version: 1\nevents: Ir\n\nob=(1) /lib/libusb-1.0.so.0\nfl=(1) io.c\nfn=(1) submit\n10 5\n+2 7\n\
                    cob=(2) /lib/libc.so.6\ncfn=(2) malloc\ncalls=3 0\n* 300\n* 2\n\nob=(2)\nfn=(2)\n0 300\n\
                    ob=(3) /x/libfake_usbfs.so\nfn=(3) ioctl\n0 90\ncfn=(2)\ncalls=1 0\n0 100\n";
        let counts = parse(text);
        assert_eq!(counts.instructions("libusb"), 14.0);
        assert_eq!(counts.instructions("libc"), 300.0);
        assert_eq!(counts.instructions(""), 314.0);
        assert_eq!(counts.allocations(), 3.0);
        let none = Counts::default();
        assert_eq!(Counts::difference(&none, &counts, 2).instructions(""), 157.0);
    }
}
