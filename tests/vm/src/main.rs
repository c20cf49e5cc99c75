//! A real Linux USB stack in QEMU, and the tests that run on it: `cargo xtask vm`.
//!
//! Why one program for both sides? A test is one story: what the guest does, what the machine around it does
//! meanwhile, and what is found recorded afterwards. So it is one file in `tests/`, and this program is the runner
//! on the host and `/init` in the guest.
#![allow(clippy::print_stdout, reason = "a program that reports")]

#[cfg(target_os = "linux")]
#[macro_use]
mod test;

#[cfg(target_os = "linux")]
mod figures;
#[cfg(target_os = "linux")]
mod guest;
#[cfg(target_os = "linux")]
mod host;
#[cfg(target_os = "linux")]
mod playing;
#[cfg(target_os = "linux")]
mod sound;
#[cfg(target_os = "linux")]
mod tests;
#[cfg(target_os = "linux")]
mod wire;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    if std::process::id() == 1 {
        return guest::run();
    }
    let mut words = std::env::args().skip(1);
    match (words.next().as_deref(), words.next()) {
        (Some(guest::CHILD), Some(test)) => guest::run_child(&test),
        _ => host::run(),
    }
}

#[cfg(not(target_os = "linux"))]
fn main() -> std::process::ExitCode {
    println!("the VM is run on Linux");
    std::process::ExitCode::FAILURE
}
