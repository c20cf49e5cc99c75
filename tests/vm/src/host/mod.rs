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

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use image::Sources;
use jobs::Job;
use report::Report;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

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

/// The list that is run: how much of everything, until when, and where what is kept of it goes.
pub(crate) struct List {
    pub(crate) full: bool,
    began: Instant,
    output: Option<PathBuf>,
}

impl List {
    /// Seconds that the ordinary list and the full one may take; what has not begun by then has failed.
    const LIMITS: (u64, u64) = (600, 2_400);

    /// Of two numbers of seconds, that of this list.
    fn amount(&self, (ordinary, full): (u64, u64)) -> Duration {
        Duration::from_secs(if self.full { full } else { ordinary })
    }

    fn left(&self) -> Duration {
        self.amount(Self::LIMITS).saturating_sub(self.began.elapsed())
    }
}

/// Nobody else makes an image or keeps recordings here meanwhile. Given up with the file, however this program ends.
fn lock(work: &Path) -> Result<File, String> {
    let path = work.join("lock");
    let file = File::create(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => Err(format!("another run is at work in {}", work.display())),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// Whether all went well.
fn run_tests(arguments: &Arguments) -> Result<bool, String> {
    let jobs = jobs::choose(arguments.full, &arguments.names)?;
    let _lock = lock(&arguments.work)?;
    let sources =
        Sources { kernel: &arguments.kernel, programs: &arguments.programs, libraries: &arguments.libraries };
    let image = image::make(&sources, &arguments.work)?;
    if arguments.shell {
        let controller = jobs.first().map_or(crate::test::Controller::Uhci, |job| job.controller);
        return machine::shell(&image, controller).map(|()| true);
    }
    let list = List { full: arguments.full, began: Instant::now(), output: arguments.output.clone() };
    let mut report = Report::new(&list)?;
    let boots = arguments.work.join("boots");
    let _ = std::fs::remove_dir_all(&boots);
    let mut waiting = jobs::boots(jobs);
    let mut number = 0;
    while let Some(jobs) = waiting.pop_front() {
        if list.left().is_zero() {
            jobs.into_iter().for_each(|job| report.not_begun(job));
            continue;
        }
        number += 1;
        let folder = boots.join(format!("{number:02}-{}", jobs[0].controller.name()));
        let left: Vec<Job> = boot::run(&image, &folder, &list, jobs, &mut report);
        // The guest did not survive a test: what comes after it gets a new one.
        if !left.is_empty() {
            waiting.push_front(left);
        }
    }
    report.end(list.began.elapsed())
}
