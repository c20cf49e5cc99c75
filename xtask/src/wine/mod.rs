//! `cargo xtask wine [NAME…]`: winusb.dll and its programs, built for Windows and run under Wine.
//!
//! Why a negative control? A crash can end with 0 under Wine, and a test that is not
//! run cannot fail: so programs that must fail run first.

mod build;
mod machine;
mod programs;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use machine::Machine;
use programs::{PROGRAMS, Program};

/// Longer than any program takes on a slow machine.
const TIME_LIMIT: Duration = Duration::from_secs(60);
/// A program's code for "this cannot be tested here"; its last line says why.
const SKIPPED: i32 = 77;

enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let began = Instant::now();
    let machine = Machine::prepare()?;
    let build = build::Build::new(&machine)?;
    println!("built in {:.1} s", began.elapsed().as_secs_f32());

    for (control, sign) in programs::CONTROLS {
        match test(&machine, &build, control) {
            Outcome::Failed(why) if why.contains(sign) => {
                println!("pass  {} fails, as it must ({})", control.name, first_line(&why))
            }
            Outcome::Failed(why) => {
                return Err(format!("{} did not fail as it must, but otherwise: {why}", control.name));
            }
            Outcome::Passed => {
                return Err(format!("{} must fail, and passed: no result can be trusted", control.name));
            }
            Outcome::Skipped(why) => {
                return Err(format!("{} must fail, and was not run: {why}", control.name));
            }
        }
    }

    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    let wanted = |program: &&Program| {
        arguments.is_empty() || arguments.iter().any(|name| program.name.contains(name.as_str()))
    };
    if !PROGRAMS.iter().any(|program| wanted(&program)) {
        return Err(format!("no program is called {}", arguments.join(" or ")));
    }
    for program in PROGRAMS.iter().filter(wanted) {
        let began = Instant::now();
        let outcome = test(&machine, &build, program);
        let seconds = began.elapsed().as_secs_f32();
        match outcome {
            Outcome::Passed => {
                passed += 1;
                println!("pass  {} ({seconds:.1} s)", program.name);
            }
            Outcome::Skipped(why) => {
                skipped += 1;
                println!("skip  {}: {why}", program.name);
            }
            Outcome::Failed(why) => {
                failed += 1;
                println!(
                    "FAIL  {} ({seconds:.1} s): {}",
                    program.name,
                    why.trim_end().replace('\n', "\n      ")
                );
            }
        }
    }
    println!(
        "{passed} passed, {failed} failed, {skipped} skipped, in {:.1} s",
        began.elapsed().as_secs_f32()
    );
    if failed > 0 { Err(format!("{failed} failed")) } else { Ok(()) }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn test(machine: &Machine, build: &build::Build<'_>, program: &Program) -> Outcome {
    if !machine.root.join(program.source).exists() {
        return Outcome::Failed(format!("{} does not exist", program.source));
    }
    let executable = match build.program(program) {
        Ok(executable) => executable,
        Err(error) => return Outcome::Failed(error),
    };
    let mut command = machine.wine();
    command.arg(&executable).args(program.arguments).envs(program.variables.iter().copied());
    command.env("ISOCH_WINUSB_DLL", build.library()).current_dir(&machine.root);
    match run_with_limit(&mut command, &executable.with_extension("log")) {
        Err(error) => Outcome::Failed(error),
        Ok((Some(0), _)) => Outcome::Passed,
        Ok((Some(SKIPPED), output)) => {
            Outcome::Skipped(output.lines().last().unwrap_or("no reason given").to_owned())
        }
        Ok((Some(code), output)) => Outcome::Failed(format!("exit code {code}\n{output}")),
        Ok((None, output)) => Outcome::Failed(format!("killed by a signal\n{output}")),
    }
}

/// Runs it with its output in a file: a pipe would stay open for as long as anything that Wine started.
fn run_with_limit(command: &mut Command, log: &std::path::Path) -> Result<(Option<i32>, String), String> {
    let open = || std::fs::File::create(log).map_err(|error| format!("{}: {error}", log.display()));
    let output = open()?;
    let errors = output.try_clone().map_err(|error| error.to_string())?;
    command.stdin(Stdio::null()).stdout(output).stderr(errors);
    let mut child = command.spawn().map_err(|error| format!("cannot start Wine: {error}"))?;
    let deadline = Instant::now() + TIME_LIMIT;
    let read = || String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()).into_owned();
    loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => return Ok((status.code(), read())),
            None if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(10)),
            None => {
                // The process may have ended meanwhile: either way it is gone after `wait`.
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("not over after {} s\n{}", TIME_LIMIT.as_secs(), read()));
            }
        }
    }
}
