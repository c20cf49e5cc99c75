//! Devices that this process is letting go of.
//!
//! Dropping a device waits for nobody: its thread lets it go. But a process that ends takes its threads along, and an
//! interface that was a driver's would be left without one. So the end of the process waits a moment for them.
#![allow(unsafe_code)]

use std::sync::Once;
use std::time::Duration;

use crate::sync::{Condvar, Mutex, lock};

/// What must still happen, of all devices.
static CLOSING: Mutex<usize> = Mutex::new(0);
static CLOSED: Condvar = Condvar::new();

/// How long the end of the process, or opening a device that this process has, waits.
const LONGEST: Duration = Duration::from_secs(2);

/// Something that must still happen before a device is closed.
pub(super) struct Closing(());

impl Closing {
    pub(super) fn begin() -> Self {
        static AT_EXIT: Once = Once::new();
        // SAFETY: the function takes and returns nothing, and does not unwind.
        AT_EXIT.call_once(|| unsafe {
            libc::atexit(wait_at_exit);
        });
        *lock(&CLOSING) += 1;
        Closing(())
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        *lock(&CLOSING) -= 1;
        CLOSED.notify_all();
    }
}

/// Waits until all are closed, for two seconds at most.
pub(super) fn wait() {
    let _ = CLOSED.wait_timeout_while(lock(&CLOSING), LONGEST, |closing| *closing > 0);
}

extern "C" fn wait_at_exit() {
    wait();
}
