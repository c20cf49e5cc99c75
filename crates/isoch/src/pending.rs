//! Control, bulk and interrupt transfers that call back.
//!
//! Why beside [`DataTransfer`](crate::DataTransfer), which anyone can wait for? For the same reason for which
//! isochronous endpoints have sinks: a layer above (the C library's OVERLAPPED) must act the moment a transfer
//! ends, on whichever thread learns of it, and has no thread of its own to wait on.

use crate::Error;
use crate::bus::{BusDevice, DataReport, DataRequest};
use crate::sync::{Arc, Mutex, lock};
use crate::wait::tell;

/// A transfer that was started with a callback. Dropping it changes nothing; the transfer goes on.
///
/// The callback, `done`, is called exactly once: from the thread that learns of the transfer's end, which may be
/// the caller's before the call that starts it has returned. Like a [`CompletionSink`](crate::CompletionSink) it
/// must not block: a wait of this crate that would last ends with [`Error::InSink`]. It may start further
/// transfers and drop whatever it likes. If it panics, the panic is caught and logged.
#[derive(Clone)]
pub struct PendingTransfer {
    bus: Arc<dyn BusDevice>,
    end: Arc<dyn DataReport>,
}

impl PendingTransfer {
    pub(crate) fn start(
        bus: &Arc<dyn BusDevice>,
        request: DataRequest,
        done: impl FnOnce(Vec<u8>, Result<usize, Error>) + Send + 'static,
    ) -> Self {
        let pending = PendingTransfer::new(bus, done);
        bus.submit_data(request, Arc::clone(&pending.end));
        pending
    }

    /// A transfer that is over before it began.
    pub(crate) fn refused(
        bus: &Arc<dyn BusDevice>,
        error: Error,
        done: impl FnOnce(Vec<u8>, Result<usize, Error>) + Send + 'static,
    ) -> Self {
        let pending = PendingTransfer::new(bus, done);
        pending.end.done(Vec::new(), Err(error));
        pending
    }

    fn new(
        bus: &Arc<dyn BusDevice>,
        done: impl FnOnce(Vec<u8>, Result<usize, Error>) + Send + 'static,
    ) -> Self {
        let end = Arc::new(Callback { done: Mutex::new(Some(Box::new(done))) });
        PendingTransfer { bus: Arc::clone(bus), end }
    }

    /// Cancels it. Its end is still told: with [`Error::Cancelled`], or as it was if it was faster; often before
    /// this returns. Does nothing if it is over.
    pub fn cancel(&self) {
        self.bus.cancel_data(&self.end);
    }
}

impl std::fmt::Debug for PendingTransfer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a transfer of {:?}", self.bus.information())
    }
}

type Done = Box<dyn FnOnce(Vec<u8>, Result<usize, Error>) + Send>;

/// Calls back once.
struct Callback {
    done: Mutex<Option<Done>>,
}

impl DataReport for Callback {
    fn done(&self, data: Vec<u8>, result: Result<usize, Error>) {
        let done = lock(&self.done).take();
        debug_assert!(done.is_some(), "a bus told the end of a transfer twice");
        if let Some(done) = done {
            tell(|| done(data, result));
        }
    }
}
