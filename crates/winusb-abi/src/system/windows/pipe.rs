//! The pipe that a program opens in place of a device.
//!
//! Why are there several instances of it before anyone asks? A program may open its device, close it and open it again
//! without this library hearing of it; what is left over is made new at the next occasion. Why the number of the process
//! in its name? Every process that has this DLL offers one, and must get its own.
#![allow(unsafe_code)]

use std::os::windows::io::{FromRawHandle, OwnedHandle};
use std::ptr::{null, null_mut};
use std::sync::{Mutex, PoisonError};

use windows_sys::Win32::Foundation::{HANDLE, INVALID_HANDLE_VALUE};
use windows_sys::Win32::Storage::FileSystem::{FILE_FLAG_OVERLAPPED, PIPE_ACCESS_DUPLEX};
use windows_sys::Win32::System::Pipes::{
    CreateNamedPipeW, PIPE_READMODE_MESSAGE, PIPE_REJECT_REMOTE_CLIENTS, PIPE_TYPE_MESSAGE,
    PIPE_UNLIMITED_INSTANCES, PeekNamedPipe, SetNamedPipeHandleState,
};

use super::kernel;
use super::request::{self, Request, Scratch, Signal};

/// How many times a program can open a device before it calls this library.
const OFFERED: usize = 4;
/// For the one byte that tells which instance a program has opened.
const BUFFER: u32 = 512;

static OFFER: Mutex<Vec<Server>> = Mutex::new(Vec::new());

/// The server's end of an instance.
pub(super) struct Server {
    pipe: OwnedHandle,
    /// For the ends of requests that only we wait for.
    quiet: OwnedHandle,
}

impl Server {
    fn new() -> Option<Self> {
        let name: Vec<u16> = format!(r"\\.\pipe\{}", name()).encode_utf16().chain([0]).collect();
        let mode = PIPE_TYPE_MESSAGE | PIPE_READMODE_MESSAGE | PIPE_REJECT_REMOTE_CLIENTS;
        let open = PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED;
        // SAFETY: the name ends with NUL, and the handle is new and ours alone.
        let pipe = unsafe {
            let pipe = CreateNamedPipeW(
                name.as_ptr(),
                open,
                mode,
                PIPE_UNLIMITED_INSTANCES,
                BUFFER,
                BUFFER,
                0,
                null(),
            );
            (pipe != INVALID_HANDLE_VALUE).then(|| OwnedHandle::from_raw_handle(pipe))?
        };
        Some(Server { pipe, quiet: kernel::event()? })
    }

    /// Sends a message, which ends a read of the client's.
    pub(super) fn send(&self, message: Scratch) {
        let request = Request::new();
        let signal = Signal { event: kernel::raw(&self.quiet), packet: null() };
        if request::write(&self.pipe, signal, &request, message) == request::PENDING {
            // The client has a read under way, so this has an end.
            kernel::wait(&self.quiet);
        }
    }

    /// How many bytes its client has sent; `None`: the client came and went.
    fn received(&self) -> Option<u32> {
        let mut available = 0;
        // SAFETY: the handle is open, and the pointer valid for a write.
        let ok = unsafe {
            PeekNamedPipe(kernel::raw(&self.pipe), null_mut(), 0, null_mut(), &mut available, null_mut()) != 0
        };
        // A pipe that nobody has opened yet cannot be peeked at either.
        ok.then_some(available)
    }
}

/// The pipe's name: of this process only.
pub(super) fn name() -> String {
    format!("isoch-winusb-{}", std::process::id())
}

/// Makes sure that the pipe can be opened.
pub(super) fn offer() {
    fill(&mut OFFER.lock().unwrap_or_else(PoisonError::into_inner));
}

fn fill(offer: &mut Vec<Server>) {
    while offer.len() < OFFERED {
        let Some(server) = Server::new() else { return };
        offer.push(server);
    }
}

/// Takes the instance that a program has opened out of the offer.
pub(super) fn claim(client: HANDLE, file: &OwnedHandle) -> Option<Server> {
    let mode = PIPE_READMODE_MESSAGE;
    // SAFETY: the pointers are valid, or null, which is "leave it".
    unsafe { SetNamedPipeHandleState(client, &mode, null(), null()) };
    let quiet = kernel::event()?;
    let mut scratch = Scratch::NONE;
    scratch.grow(1);
    let mut offer = OFFER.lock().unwrap_or_else(PoisonError::into_inner);
    let (request, signal) = (Request::new(), Signal { event: kernel::raw(&quiet), packet: null() });
    if request::write(file, signal, &request, scratch.first(1)) == request::PENDING {
        kernel::wait(&quiet);
    }
    let index = offer.iter().position(|server| server.received().is_some_and(|bytes| bytes > 0))?;
    let server = offer.swap_remove(index);
    let request = Request::new();
    let signal = Signal { event: kernel::raw(&server.quiet), packet: null() };
    if request::read(&server.pipe, signal, &request, scratch.first(1)) == request::PENDING {
        kernel::wait(&server.quiet);
    }
    // What was opened and closed again cannot be told from what was never opened: make all of them new but those that
    // a program has open at the moment.
    offer.retain(|server| server.received().is_some());
    fill(&mut offer);
    Some(server)
}
