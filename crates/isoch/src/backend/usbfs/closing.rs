//! What a process must still do for devices before it ends.
//!
//! Dropping a device waits for nobody: its thread lets it go. But a process that ends takes its threads along, and an
//! interface that was a driver's would be left without one. So the end of the process gives back what is still open, and
//! waits a moment for what is just being let go.
#![allow(unsafe_code)]

use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::shared::Shared;
use crate::sync::{Arc, Condvar, Mutex, Weak, lock};
use crate::wait::InSink;

/// The devices of which something must still happen, by the numbers of their nodes; one for each such thing.
static CLOSING: Mutex<Vec<u64>> = Mutex::new(Vec::new());
static CLOSED: Condvar = Condvar::new();

/// All that are open.
static OPEN: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());

/// The process that opened them. One that it forked has copies of their descriptors, and nothing to give back.
static OWNER: AtomicU32 = AtomicU32::new(0);

/// How long the end of the process, or opening a device that this process is letting go of, waits.
const LONGEST: Duration = Duration::from_secs(2);

/// Something that must still happen before a device is closed.
pub(super) struct Closing {
    device: u64,
}

impl Closing {
    pub(super) fn begin(shared: &Shared) -> Self {
        lock(&CLOSING).push(shared.device);
        Closing { device: shared.device }
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        let mut closing = lock(&CLOSING);
        if let Some(index) = closing.iter().position(|device| *device == self.device) {
            closing.swap_remove(index);
        }
        drop(closing);
        CLOSED.notify_all();
    }
}

/// A device is open: from now on the end of the process sees to it.
pub(super) fn opened(shared: &Arc<Shared>) {
    static AT_EXIT: Once = Once::new();
    AT_EXIT.call_once(|| {
        OWNER.store(std::process::id(), Ordering::Relaxed);
        // SAFETY: the function takes and returns nothing, and does not unwind.
        unsafe { libc::atexit(at_exit) };
    });
    let mut open = lock(&OPEN);
    open.retain(|known| known.strong_count() > 0);
    open.push(Arc::downgrade(shared));
}

/// Waits until this process has let go of a device, for two seconds at most. Not in a sink: it may be what is waited for.
pub(super) fn wait_for(device: u64) {
    if !InSink::here() {
        wait_while(|closing| closing.contains(&device));
    }
}

fn wait_while(is_closing: impl Fn(&Vec<u64>) -> bool) {
    let _ = CLOSED.wait_timeout_while(lock(&CLOSING), LONGEST, |closing| is_closing(closing));
}

extern "C" fn at_exit() {
    if std::process::id() != OWNER.load(Ordering::Relaxed) {
        return;
    }
    let open = std::mem::take(&mut *lock(&OPEN));
    open.iter().filter_map(Weak::upgrade).for_each(|shared| shared.end());
    wait_while(|closing| !closing.is_empty());
}
