//! The examples and the programs in tests/c: built in every way, and run on the emulated bus.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::report::Report;
use super::toolchain::{COMPILERS, Linking, Toolchain};
use crate::install::{make, read, root};
use crate::process::{command, exists, output, output_within};

/// A program, what it is called with, and how it is to end.
struct Run {
    source: &'static str,
    /// `N` stands for the number of transfers.
    arguments: &'static [&'static str],
    status: i32,
    /// Set besides ISOCH_DEVICE and ISOCH_CLOCK.
    faults: bool,
    /// Also under valgrind.
    valgrind: bool,
    /// Builds for Windows, too.
    windows: bool,
}

const RUN: Run = Run { source: "", arguments: &[], status: 0, faults: false, valgrind: false, windows: true };

const RUNS: &[Run] = &[
    Run { source: "tests/c/must_fail.c", status: 1, ..RUN },
    Run { source: "tests/c/layouts.c", ..RUN },
    // The headers are spelled as on Windows, where mingw on Linux does not find them.
    Run { source: "tests/c/template.c", windows: false, ..RUN },
    Run { source: "tests/c/win32_names.c", valgrind: true, windows: false, ..RUN },
    Run { source: "examples/winusb/article.c", valgrind: true, ..RUN },
    Run { source: "examples/winusb/article.c", arguments: &["virtual:article"], ..RUN },
    Run { source: "examples/winusb/asap_stream.c", ..RUN },
    Run { source: "examples/winusb/read_gaps.c", ..RUN },
    Run { source: "examples/winusb/read_gaps.c", status: 3, faults: true, ..RUN },
    Run { source: "tests/c/port_client.c", arguments: &["virtual:article", "N"], valgrind: true, ..RUN },
    Run { source: "tests/c/event_client.c", arguments: &["virtual:article", "N"], valgrind: true, ..RUN },
    Run { source: "tests/c/blocking_client.c", arguments: &["virtual:article", "N"], valgrind: true, ..RUN },
    // Once in real time: threads that really sleep.
    Run { source: "tests/c/blocking_client.c", arguments: &["virtual:article?clock=real", "500"], ..RUN },
];

/// Frames that the emulated host controller misses: what read_gaps is there to find.
const FAULTS: &str = "[[fault]]\nframes = [100, 103]\nkind = \"host_missed\"\n";
/// Transfers of a stress client: once in full, otherwise enough to turn the ring over many times.
const MANY: &str = "100000";
const SOME: &str = "2000";
const FEW: &str = "500";
const PATIENCE: Duration = Duration::from_secs(300);

pub(crate) fn check(prefix: &Path, folder: &Path, long: bool, report: &mut Report) -> Result<(), String> {
    let faults = folder.join("faults.toml");
    std::fs::write(&faults, FAULTS).map_err(|error| error.to_string())?;
    for name in COMPILERS {
        let compiler = match Toolchain::find(name, prefix) {
            Ok(compiler) => compiler,
            Err(reason) => {
                report.skip(&format!("programs with {name}"), &reason);
                continue;
            }
        };
        for language in ["c99", "c++17"] {
            for linking in [Linking::Shared, Linking::Static, Linking::PackageConfig] {
                if linking == Linking::PackageConfig && !exists("pkg-config") {
                    report.skip("programs with pkg-config", "there is no pkg-config");
                    continue;
                }
                let way = Way { compiler: &compiler, language, linking, prefix, faults: &faults };
                let programs = make(&folder.join(format!("{name}-{language}-{linking:?}").to_lowercase()))?;
                // The full number of transfers, and valgrind, for one way: the library is the same in all.
                let full = long || (name == COMPILERS[0] && language == "c99" && linking == Linking::Shared);
                way.check(&programs, full, report);
            }
        }
    }
    report.tell("isoch run", command_run(prefix, folder).err());
    windows(prefix, report);
    Ok(())
}

/// The installed command starts a program that knows neither the library's place nor the device, and traces it.
fn command_run(prefix: &Path, folder: &Path) -> Result<(), String> {
    let trace = folder.join("trace.txt");
    let mut isoch = command(prefix.join("bin/isoch"), ["run", "--clock", "on-wait", "--trace"]);
    isoch.arg(&trace).arg("--").arg(folder.join("gcc-c99-shared/article")).env_remove("LD_LIBRARY_PATH");
    output(isoch)?;
    let text = read(&trace)?;
    let line = |wanted: &str| text.lines().find(|line| line.contains(wanted)).map(str::to_owned);
    // Frames asked for and what was answered, as a person looks for them.
    let write = line("WinUsb_WriteIsochPipe(").ok_or("there is no write in the trace")?;
    let answered = write.contains("asked for frame") && write.contains("error 997");
    if answered { Ok(()) } else { Err(format!("the trace tells too little: {write}")) }
}

/// A way to build.
struct Way<'a> {
    compiler: &'a Toolchain,
    language: &'a str,
    linking: Linking,
    prefix: &'a Path,
    faults: &'a Path,
}

impl Way<'_> {
    fn check(&self, folder: &Path, full: bool, report: &mut Report) {
        let way = format!("{} {} {:?}", self.compiler.compiler, self.language, self.linking).to_lowercase();
        for run in RUNS {
            let source = root().join(run.source);
            let program = folder.join(source.file_stem().unwrap_or_default());
            let words = [run.source, &run.arguments.join(" "), if run.faults { "with faults" } else { "" }];
            let test = words.join(" ").trim_end().to_owned();
            if let Err(error) = self.compiler.build(self.language, self.linking, &source, &program) {
                report.fail(&format!("{way}: {test}"), &error);
                continue;
            }
            let count = if full { MANY } else { SOME };
            report.tell(&format!("{way}: {test}"), self.run(run, &program, count, false).err());
            if full && run.valgrind {
                let test = format!("{way}: {test} under valgrind");
                if exists("valgrind") {
                    report.tell(&test, self.run(run, &program, FEW, true).err());
                } else {
                    report.skip(&test, "there is no valgrind");
                }
            }
        }
    }

    fn run(&self, run: &Run, program: &Path, count: &str, valgrind: bool) -> Result<(), String> {
        let mut words: Vec<PathBuf> = Vec::new();
        if valgrind {
            let leaks =
                ["valgrind", "--quiet", "--leak-check=full", "--error-exitcode=99", "--fair-sched=yes"];
            words.extend(leaks.map(PathBuf::from));
        }
        words.push(program.to_owned());
        words.extend(run.arguments.iter().map(|word| PathBuf::from(if *word == "N" { count } else { word })));
        let mut command = command(&words[0], &words[1..]);
        command.env("ISOCH_DEVICE", "virtual:article").env("ISOCH_CLOCK", "on-wait");
        command.env_remove("ISOCH_FAULTS").env_remove("ISOCH_TRACE");
        if valgrind {
            command.env("ISOCH_VALGRIND", "1");
        }
        if run.faults {
            command.env("ISOCH_FAULTS", self.faults);
        }
        if self.linking != Linking::Static {
            command.env("LD_LIBRARY_PATH", self.prefix.join("lib"));
        }
        let (status, said) = output_within(command, PATIENCE)?;
        if status == run.status {
            return Ok(());
        }
        Err(format!("ended with {status}, not {}:\n{said}", run.status))
    }
}

/// The same sources compile for Windows, with mingw's own headers and only winusbx.h of ours.
fn windows(prefix: &Path, report: &mut Report) {
    let compiler = "x86_64-w64-mingw32-gcc";
    if !exists(compiler) {
        report.skip("programs for Windows", &format!("there is no {compiler}"));
        return;
    }
    let alone = prefix.with_file_name("winusbx-alone");
    let copied = make(&alone)
        .and_then(|folder| {
            let header = prefix.join("include/winusb/winusbx.h");
            std::fs::copy(header, folder.join("winusbx.h")).map_err(|error| error.to_string())
        })
        .err();
    report.tell("winusbx.h alone", copied);
    let mut sources: Vec<&str> = RUNS.iter().filter(|run| run.windows).map(|run| run.source).collect();
    sources.dedup();
    for (headers, folder) in
        [("mingw's winusb.h", alone.as_path()), ("our winusb.h", &prefix.join("include/winusb"))]
    {
        let compile = |source: &&str| {
            let mut cc = command(compiler, ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-c", "-o"]);
            cc.arg(prefix.with_file_name("windows.o")).arg("-I").arg(folder).arg(root().join(source));
            output(cc).err()
        };
        report.tell(&format!("for Windows, {headers}"), sources.iter().filter_map(compile));
    }
}
