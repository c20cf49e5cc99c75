//! The runner on the host: what to test, on which machines, and how it went.

mod boot;
mod cpio;
mod image;
mod jobs;
mod kernel;
mod libraries;
mod machine;
mod modules;
mod monitor;
mod pcap;
mod recorded;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use image::Sources;
use jobs::Job;
use report::Report;

pub(crate) use pcap::Packet;
pub(crate) use recorded::Recorded;

/// What the program was called with.
struct Arguments {
    /// Where everything is made and kept.
    work: PathBuf,
    /// A kernel package, unpacked.
    kernel: PathBuf,
    /// Where the project's programs are, and where its libraries.
    programs: PathBuf,
    libraries: PathBuf,
    full: bool,
    /// Instead of tests: a shell in the guest.
    shell: bool,
    /// Where to keep the report.
    output: Option<PathBuf>,
    /// Parts of the names of what is to run; all if there is none.
    names: Vec<String>,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
        let mut paths = [const { None::<PathBuf> }; 5];
        let (mut full, mut shell, mut names) = (false, false, Vec::new());
        while let Some(word) = words.next() {
            let option = ["--work", "--kernel", "--programs", "--libraries", "--output"]
                .iter()
                .position(|name| *name == word);
            match (option, word.as_str()) {
                (Some(option), _) => {
                    paths[option] =
                        Some(words.next().ok_or_else(|| format!("{word} is followed by a path"))?.into());
                }
                (None, "--full") => full = true,
                (None, "--shell") => shell = true,
                (None, option) if option.starts_with('-') => {
                    return Err(format!("there is no {option}: [--full] [--output FILE] [--shell] [NAME…]"));
                }
                (None, _) => names.push(word),
            }
        }
        let [Some(work), Some(kernel), Some(programs), Some(libraries), output] = paths else {
            return Err("call it with `cargo xtask vm`, which builds what it needs".into());
        };
        Ok(Arguments { work, kernel, programs, libraries, full, shell, output, names })
    }
}

pub(crate) fn run() -> ExitCode {
    match Arguments::parse(std::env::args().skip(1)).and_then(|arguments| run_tests(&arguments)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("vm: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all went well.
fn run_tests(arguments: &Arguments) -> Result<bool, String> {
    let jobs = jobs::choose(arguments.full, &arguments.names)?;
    let sources =
        Sources { kernel: &arguments.kernel, programs: &arguments.programs, libraries: &arguments.libraries };
    let image = image::make(&sources, &arguments.work)?;
    if arguments.shell {
        let controller = jobs.first().map_or(crate::test::Controller::Uhci, |job| job.controller);
        return machine::shell(&image, controller).map(|()| true);
    }
    let mut report = Report::new(arguments.full, arguments.output.as_deref())?;
    let boots = arguments.work.join("boots");
    let _ = std::fs::remove_dir_all(&boots);
    let mut waiting = jobs::boots(jobs);
    let mut number = 0;
    while let Some(jobs) = waiting.pop_front() {
        number += 1;
        let folder = boots.join(format!("{number:02}-{}", jobs[0].controller.name()));
        let left: Vec<Job> = boot::run(&image, &folder, arguments.full, jobs, &mut report)?;
        // The guest did not survive a test: what comes after it gets a new one.
        if !left.is_empty() {
            waiting.push_front(left);
        }
    }
    report.end()
}
