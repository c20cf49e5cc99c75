//! The end of a request: told through an OVERLAPPED, or to a call that waits for it.
//!
//! Why are both one type? So that pipes know one way to end a request, exactly once. A blocking call is a request
//! whose end its own thread waits for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use isoch::EmulatedTime;

use crate::codes::NtStatus;
use crate::failure::Failure;
use crate::system;
use crate::types::{INFINITE, OVERLAPPED};
use crate::waits::{self, Dispatcher, Wanted};

/// Whom to tell that a request is over. Must be used: a program waits for it.
#[must_use]
pub(crate) enum Finish {
    Overlapped(system::Overlapped),
    Blocking(Arc<Blocking>),
}

impl Finish {
    pub(crate) fn complete(self, status: NtStatus, bytes: usize) {
        match self {
            Finish::Overlapped(overlapped) => overlapped.complete(status, bytes),
            Finish::Blocking(blocking) => blocking.complete(status, bytes),
        }
    }

    /// Whether it is the request of this OVERLAPPED; NULL stands for any that has one.
    pub(crate) fn is_of(&self, wanted: *mut OVERLAPPED) -> bool {
        match self {
            Finish::Overlapped(overlapped) => wanted.is_null() || overlapped.address() == wanted as usize,
            Finish::Blocking(_) => false,
        }
    }
}

/// A blocking call that waits for its request.
pub(crate) struct Blocking {
    clock: Option<EmulatedTime>,
    status: AtomicU32,
    bytes: AtomicUsize,
}

impl Blocking {
    fn new(file: &system::File) -> Arc<Self> {
        Arc::new(Blocking {
            clock: file.session().emulated_time(),
            status: AtomicU32::new(NtStatus::PENDING.0),
            bytes: AtomicUsize::new(0),
        })
    }

    fn complete(&self, status: NtStatus, bytes: usize) {
        let dispatcher = Dispatcher::lock();
        self.bytes.store(bytes, Ordering::Relaxed);
        self.status.store(status.0, Ordering::Release);
        dispatcher.wake(self.key());
    }

    fn key(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }

    /// Waits for its end: how it ended, and the bytes transferred.
    pub(crate) fn wait(&self) -> (NtStatus, usize) {
        waits::wait(self, INFINITE).unwrap_or((NtStatus::UNSUCCESSFUL, 0))
    }
}

impl Wanted for Blocking {
    type Got = (NtStatus, usize);

    fn keys(&self) -> Vec<usize> {
        vec![self.key()]
    }

    fn clocks(&self) -> Vec<EmulatedTime> {
        self.clock.iter().cloned().collect()
    }

    fn is_ready(&self) -> bool {
        self.status.load(Ordering::Acquire) != NtStatus::PENDING.0
    }

    fn take(&self) -> Option<(NtStatus, usize)> {
        self.is_ready()
            .then(|| (NtStatus(self.status.load(Ordering::Acquire)), self.bytes.load(Ordering::Relaxed)))
    }
}

/// How a call that runs a request ends: with the bytes moved so far, unless the request is under way.
pub(crate) struct Ran {
    pub(crate) bytes: Option<usize>,
    pub(crate) result: Result<(), Failure>,
}

/// Runs a request, with the program's OVERLAPPED or blocking without one.
///
/// `submit` starts it and sees to it that its end is told, exactly once. It cannot fail: whatever can be judged from
/// the arguments was judged before, and the rest is told as the request's end. A request that has an OVERLAPPED is
/// always pending, even if it is over already: some programs test for nothing else.
pub(crate) fn run(file: Arc<system::File>, overlapped: *mut OVERLAPPED, submit: impl FnOnce(Finish)) -> Ran {
    if !overlapped.is_null() {
        let result = match system::Overlapped::begin(file, overlapped) {
            Ok(begun) => {
                submit(Finish::Overlapped(begun));
                Err(Failure::pending())
            }
            Err(failure) => Err(failure),
        };
        return Ran { bytes: None, result };
    }
    let blocking = Blocking::new(&file);
    submit(Finish::Blocking(Arc::clone(&blocking)));
    let (status, bytes) = blocking.wait();
    let result = match status.win32() {
        0 => Ok(()),
        code => Err(Failure::new(code, ended(status))),
    };
    Ran { bytes: Some(bytes), result }
}

/// Does something that is over at once, as a request: nothing is done for an OVERLAPPED that cannot be completed, and
/// what is refused is refused by the call.
pub(crate) fn at_once(
    file: &Arc<system::File>,
    overlapped: *mut OVERLAPPED,
    work: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    if overlapped.is_null() {
        return work();
    }
    let begun = system::Overlapped::begin(Arc::clone(file), overlapped)?;
    if let Err(failure) = work() {
        begun.refuse();
        return Err(failure);
    }
    begun.complete(NtStatus::SUCCESS, 0);
    Err(Failure::pending())
}

/// What a status means, for those who read it.
pub(crate) fn ended(status: NtStatus) -> &'static str {
    match status {
        NtStatus::CANCELLED => "the request was cancelled",
        NtStatus::IO_TIMEOUT => "the device did not finish the request in the time of PIPE_TRANSFER_TIMEOUT",
        NtStatus::NO_SUCH_DEVICE => "the device was unplugged",
        NtStatus::INVALID_PARAMETER => {
            "the request was refused: its start frame is too far away, or there is no stream to continue"
        }
        NtStatus::INSUFFICIENT_RESOURCES => "the system has not enough memory for the request",
        NtStatus::NOT_SUPPORTED => "the bus cannot do that",
        _ => "the request failed: the device stalled, or no packet was served",
    }
}
