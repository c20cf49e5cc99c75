//! Ctrl-C: the first ends the stream, the second the program.
//!
//! Why not just die? What was sent and what was lost is worth most when something is wrong and a user
//! gives up. So the first signal asks the stream to drain and report; a second one means it.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::output;

/// Whether the stream is to end, for whatever reason.
static STOP: AtomicBool = AtomicBool::new(false);
/// Whether a signal is the reason.
static SIGNALLED: AtomicBool = AtomicBool::new(false);

/// Whether the stream is to end, as the library looks at it.
pub(crate) fn stop() -> &'static AtomicBool {
    &STOP
}

/// Whether the stream is to end.
pub(crate) fn is_over() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// Ends the stream: all that was wanted is there.
pub(crate) fn enough() {
    STOP.store(true, Ordering::Relaxed);
}

/// Whether a signal ended the stream.
pub(crate) fn stopped() -> bool {
    SIGNALLED.load(Ordering::Relaxed)
}

/// From now on signals end the stream. Without this a signal ends the program, as usual.
pub(crate) fn catch() {
    // If it cannot be set up Ctrl-C ends the program at once, which is no reason not to begin.
    let _ = ctrlc::set_handler(|| {
        enough();
        if SIGNALLED.swap(true, Ordering::Relaxed) {
            output::abandon_all();
            // As a shell reports a program that SIGINT ended.
            std::process::exit(130);
        }
    });
}
