//! Where a test that hangs, hangs: printed to the console before the host loses its patience.

use std::fs;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Barks unless it is dropped in time.
pub(super) struct Watchdog {
    _alive: Sender<()>,
}

impl Watchdog {
    pub(super) fn after(patience: Duration) -> Watchdog {
        let (alive, waiting) = channel();
        std::thread::spawn(move || {
            if waiting.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
                bark();
            }
        });
        Watchdog { _alive: alive }
    }
}

/// What every thread of every program of ours is waiting for.
fn bark() {
    let processes =
        fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    // The kernel's own have no program.
    for process in processes.filter(|process| fs::read_link(process.join("exe")).is_ok()) {
        let tasks = fs::read_dir(process.join("task")).into_iter().flatten().filter_map(Result::ok);
        for task in tasks.map(|entry| entry.path()) {
            let read = |name: &str| fs::read_to_string(task.join(name)).unwrap_or_default().trim().to_owned();
            println!("watchdog: {} {} in {}", task.display(), read("comm"), read("syscall"));
            read("stack").lines().for_each(|line| println!("watchdog:   {line}"));
        }
    }
}
