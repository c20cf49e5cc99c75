//! Device files.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use super::Port;
use super::objects::{self, Object, key};
use crate::codes::win32;
use crate::environment;
use crate::failure::Failure;
use crate::session::Session;
use crate::types::{HANDLE, OVERLAPPED};
use crate::waits::Dispatcher;

const GENERIC_READ: u32 = 0x8000_0000;
const GENERIC_WRITE: u32 = 0x4000_0000;
const FILE_FLAG_OVERLAPPED: u32 = 0x4000_0000;

/// A device, opened as a file.
pub(crate) struct File {
    session: Arc<Session>,
    overlapped: bool,
    readable: bool,
    writable: bool,
    /// Signalled by the end of a request that has no event. Changed with the dispatcher locked only.
    signalled: AtomicBool,
    port: OnceLock<(Arc<Port>, usize)>,
}

impl File {
    /// CreateFile, for a device's address.
    pub(crate) fn open(address: &str, access: u32, flags: u32) -> Result<HANDLE, Failure> {
        let device = isoch::open(&environment::with_clock(address)?)?;
        environment::add_faults(&device)?;
        let session = Session::open(device).map_err(|failure| match failure.code {
            // WinUSB is for one program at a time.
            win32::BUSY => Failure { code: win32::ACCESS_DENIED, ..failure },
            _ => failure,
        })?;
        let file = Arc::new(File {
            session,
            overlapped: flags & FILE_FLAG_OVERLAPPED != 0,
            readable: access & GENERIC_READ != 0,
            writable: access & GENERIC_WRITE != 0,
            signalled: AtomicBool::new(false),
            port: OnceLock::new(),
        });
        objects::objects().insert(Arc::new(Object::File(file)))
    }

    /// The file of a handle, whatever it was opened for.
    pub(crate) fn get(handle: HANDLE) -> Result<Arc<File>, Failure> {
        match &*objects::objects().get(handle)? {
            Object::File(file) => Ok(Arc::clone(file)),
            _ => Err(Failure::invalid_handle("the handle is not of a device file")),
        }
    }

    /// The file of a handle that WinUSB can use: one that was opened for overlapped requests.
    pub(crate) fn from_handle(handle: HANDLE) -> Result<Arc<File>, Failure> {
        let file = File::get(handle)?;
        if file.overlapped {
            Ok(file)
        } else {
            Err(Failure::invalid_handle("the device file was not opened with FILE_FLAG_OVERLAPPED"))
        }
    }

    /// What is open on it.
    pub(crate) fn session(&self) -> &Arc<Session> {
        &self.session
    }

    pub(crate) fn is_readable(&self) -> bool {
        self.readable
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.writable
    }

    /// Binds it to a completion port, once for all.
    pub(crate) fn bind(&self, port: Arc<Port>, key: usize) -> Result<(), Failure> {
        self.port
            .set((port, key))
            .map_err(|_| Failure::argument("the file is bound to a completion port already"))
    }

    pub(super) fn port(&self) -> Option<&(Arc<Port>, usize)> {
        self.port.get()
    }

    pub(super) fn is_signalled(&self) -> bool {
        self.signalled.load(Ordering::Relaxed)
    }

    pub(super) fn signal(&self, dispatcher: &Dispatcher) {
        self.signalled.store(true, Ordering::Relaxed);
        dispatcher.wake(key(self));
    }

    pub(super) fn unsignal(&self) {
        let _dispatcher = Dispatcher::lock();
        self.signalled.store(false, Ordering::Relaxed);
    }

    /// CancelIoEx. NULL: everything.
    pub(crate) fn cancel(&self, overlapped: *mut OVERLAPPED) -> Result<(), Failure> {
        if self.session.cancel(overlapped) {
            Ok(())
        } else {
            Err(Failure::new(win32::NOT_FOUND, "no such request is under way on this file"))
        }
    }

    pub(super) fn close(&self) {
        self.session.close();
    }
}
