//! Device files: what a program opened with CreateFile.
//!
//! Why are they kept when the last interface handle is freed? Because what a program opened stays open until it closes
//! it: it may initialise it again, and until then the device is in use. Nothing tells that it was closed, so it is looked
//! for: now and then, and whenever another file is used for the first time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::delivery::{Delivery, Route};
use super::{imports, kernel, pipe};
use crate::codes::win32;
use crate::environment;
use crate::failure::Failure;
use crate::session::Session;
use crate::types::{HANDLE, OVERLAPPED};

const FILE_DEVICE_NAMED_PIPE: u32 = 0x11;
const FILE_DEVICE_NULL: u32 = 0x15;
const FILE_DEVICE_DISK: [u32; 4] = [0x07, 0x08, 0x14, 0x24];
const FILE_READ_DATA: u32 = 1;
const FILE_WRITE_DATA: u32 = 2;

/// How often it is looked whether a program has closed a file.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What is open. Nothing is called while this is locked.
static FILES: Mutex<Vec<Arc<File>>> = Mutex::new(Vec::new());
/// Locked while a file is opened; whether there is a thread that looks after them.
static OPENING: Mutex<bool> = Mutex::new(false);

/// A file that a program opened, and the device it means.
pub(crate) struct File {
    session: Arc<Session>,
    /// The program's own handle: it may be closed at any time.
    handle: usize,
    readable: bool,
    writable: bool,
    delivery: Mutex<Delivery>,
}

impl File {
    /// The file of a handle that WinUSB can use: one that was opened for overlapped requests.
    pub(crate) fn from_handle(handle: HANDLE) -> Result<Arc<File>, Failure> {
        match kernel::is_overlapped(handle) {
            Some(true) => {}
            Some(false) => {
                return Err(Failure::invalid_handle("the file was not opened with FILE_FLAG_OVERLAPPED"));
            }
            None => return Err(Failure::invalid_handle("the handle is not of an open file")),
        }
        let mut is_watched = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
        // Another handle may have the number of one that was closed.
        close_what_is_closed();
        if let Some(file) = files().iter().find(|file| file.handle == handle.addr()) {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(File::open(handle)?);
        files().push(Arc::clone(&file));
        if !*is_watched {
            imports::redirect();
            *is_watched = std::thread::Builder::new().name("isoch-files".to_owned()).spawn(watch).is_ok();
        }
        Ok(file)
    }

    fn open(handle: HANDLE) -> Result<File, Failure> {
        let invalid = || Failure::invalid_handle("the handle is not of an open file");
        let (rights, _) = kernel::rights_and_handles(handle).ok_or_else(invalid)?;
        let (readable, writable) = (rights & FILE_READ_DATA != 0, rights & FILE_WRITE_DATA != 0);
        let copy = kernel::duplicate(handle).ok_or_else(invalid)?;
        let kind = kernel::device_type(handle).ok_or_else(invalid)?;
        match kind {
            FILE_DEVICE_NAMED_PIPE
                if kernel::name(handle).is_none_or(|name| name.trim_start_matches('\\') != pipe::name()) =>
            {
                return Err(denied(
                    "the pipe is not of this process: another one has the path that was opened",
                ));
            }
            FILE_DEVICE_NAMED_PIPE if !(readable && writable) => {
                return Err(denied("open the device for reading and writing"));
            }
            FILE_DEVICE_NAMED_PIPE | FILE_DEVICE_NULL => {}
            kind if FILE_DEVICE_DISK.contains(&kind) => {}
            _ => {
                return Err(Failure::invalid_handle(
                    r"the handle is not of a device that this DLL knows: open \\.\isoch, or NUL",
                ));
            }
        }
        // First: without a device the pipe stays as it is, and the program can try again.
        let session = open_session()?;
        let route = match kind {
            FILE_DEVICE_NAMED_PIPE => {
                let server = pipe::claim(handle, &copy);
                Route::Pipe(server.ok_or_else(|| denied("the pipe was not opened by way of CreateFile"))?)
            }
            FILE_DEVICE_NULL => Route::Null,
            _ => Route::Disk,
        };
        Ok(File {
            session,
            handle: handle.addr(),
            readable,
            writable,
            delivery: Mutex::new(Delivery::new(copy, route)),
        })
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

    pub(super) fn delivery(&self) -> MutexGuard<'_, Delivery> {
        self.delivery.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn files() -> MutexGuard<'static, Vec<Arc<File>>> {
    FILES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// CancelIoEx on a handle, if it is of a file of ours: whether there was anything to cancel.
pub(super) fn cancel(handle: HANDLE, overlapped: *mut OVERLAPPED) -> Option<bool> {
    let file = files().iter().find(|file| file.handle == handle.addr()).map(Arc::clone)?;
    Some(file.session.cancel(overlapped))
}

/// Cancels everything on the files that their program has closed.
fn close_what_is_closed() {
    let open = files().clone();
    for file in open.iter().filter(|file| file.delivery().is_closed()) {
        files().retain(|other| !Arc::ptr_eq(other, file));
        file.session.close();
    }
}

/// Looks after the files, for as long as the process lives.
fn watch() {
    loop {
        std::thread::sleep(LOOK_AGAIN);
        close_what_is_closed();
    }
}

fn denied(reason: &'static str) -> Failure {
    Failure::new(win32::ACCESS_DENIED, reason)
}

/// Opens the device that was chosen, or the first there is.
fn open_session() -> Result<Arc<Session>, Failure> {
    let address = match environment::chosen()? {
        Some(address) => address,
        None => isoch::list().into_iter().next().map(|device| device.address).ok_or_else(|| {
            Failure::new(
                win32::FILE_NOT_FOUND,
                "there is no device: set ISOCH_DEVICE, for example to virtual:speaker",
            )
        })?,
    };
    let device = isoch::open(&environment::with_clock(&address)?)?;
    environment::add_faults(&device)?;
    Session::open(device).map_err(|failure| match failure.code {
        // WinUSB is for one program at a time.
        win32::BUSY => Failure { code: win32::ACCESS_DENIED, ..failure },
        _ => failure,
    })
}
