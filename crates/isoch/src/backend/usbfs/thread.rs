//! The thread that handles a device's events.
#![allow(unsafe_code)]

use std::sync::mpsc;

use super::shared::Shared;
use crate::sync::Arc;
use crate::{Error, error};

/// Starts it; with real-time priority (`SCHED_FIFO`, 1 to 99) if one is given.
pub(super) fn start(shared: &Arc<Shared>, priority: Option<u8>) -> Result<(), Error> {
    let (tell, told) = mpsc::channel();
    let shared = Arc::clone(shared);
    let body = move || {
        let ready = priority.map_or(Ok(()), set_priority);
        let failed = ready.is_err();
        let _ = tell.send(ready);
        if !failed {
            super::events::run(&shared);
            // Until the device is closed, the end of the process waits.
            let closing = shared.lock().closing.take();
            drop(shared);
            drop(closing);
        }
    };
    let spawned = std::thread::Builder::new().name("isoch-usbfs".into()).spawn(body);
    spawned.map_err(|error| Error::System {
        what: "starting the event thread".into(),
        reason: error.to_string(),
    })?;
    told.recv().unwrap_or(Ok(()))
}

fn set_priority(priority: u8) -> Result<(), Error> {
    let parameters = libc::sched_param { sched_priority: priority.into() };
    // SAFETY: the structure is valid; 0 is the calling thread.
    if unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &parameters) } == 0 {
        return Ok(());
    }
    let failed = std::io::Error::last_os_error();
    if failed.raw_os_error() != Some(libc::EPERM) {
        return Err(Error::System {
            what: format!("giving the event thread priority {priority}"),
            reason: failed.to_string(),
        });
    }
    Err(error::permission(
        format_args!("real-time priority {priority}"),
        format_args!(
            "allow it with `ulimit -r {priority}`, or for good with what `isoch doctor` says of real-time rights; or leave \
             `priority` out"
        ),
    ))
}
