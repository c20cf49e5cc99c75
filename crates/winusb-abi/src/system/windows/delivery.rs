//! How the kernel is made to tell the end of a request.
//!
//! Why not simply SetEvent? Because only the kernel posts to the completion port that a file is bound to, and only it
//! signals a file. So a request of this library's own ends on the program's file, and carries the program's event and
//! the address of its OVERLAPPED. On a pipe that request is a read, which a message from the other end ends; it is
//! started here and not when the program's request begins, because reads end in the order of their start.

use std::os::windows::io::OwnedHandle;

use super::kernel;
use super::pipe::Server;
use super::request::{self, Request, Scratch, Signal};
use crate::codes::NtStatus;

/// What the program's file is.
pub(super) enum Route {
    /// The client's end of a pipe of ours; this is the server's.
    Pipe(Server),
    /// `NUL`: takes any number of bytes.
    Null,
    /// A file on a disk: takes a write of nothing.
    Disk,
}

/// A file's deliveries, one at a time.
pub(super) struct Delivery {
    /// A handle of our own for the program's file.
    file: OwnedHandle,
    route: Route,
    /// A read that keeps the file not signalled.
    arming: Option<Request>,
    /// Ended, but perhaps not yet written to by the kernel.
    spent: Vec<Request>,
    scratch: Scratch,
}

impl Delivery {
    pub(super) fn new(file: OwnedHandle, route: Route) -> Self {
        Delivery { file, route, arming: None, spent: Vec::new(), scratch: Scratch::NONE }
    }

    /// Whether the program has closed the file: ours is the last handle.
    pub(super) fn is_closed(&self) -> bool {
        kernel::rights_and_handles(kernel::raw(&self.file)).is_none_or(|(_, handles)| handles < 2)
    }

    /// A request without an event begins: the file is not signalled until it is over.
    pub(super) fn unsignal_file(&mut self) {
        if matches!(self.route, Route::Pipe(_)) && self.arming.is_none() {
            let request = Request::new();
            // A read resets the file's state, and this one has no end yet.
            if request::read(&self.file, Signal::NONE, &request, Scratch::NONE) == request::PENDING {
                self.arming = Some(request);
            }
        }
    }

    /// Has the kernel signal the event, or the file, and post the packet.
    pub(super) fn deliver(&mut self, signal: Signal, status: NtStatus, bytes: usize) {
        self.spent.retain(Request::is_under_way);
        let delivered = match &self.route {
            Route::Pipe(_) => self.deliver_by_read(signal, status, bytes),
            Route::Null => self.deliver_by_write(signal, bytes),
            Route::Disk => self.deliver_by_write(signal, 0),
        };
        if !delivered && !signal.event.is_null() {
            // The file takes no such request: at least who waits for the event is told.
            kernel::set(signal.event);
        }
    }

    fn deliver_by_write(&mut self, signal: Signal, bytes: usize) -> bool {
        self.scratch.grow(bytes);
        let request = Request::new();
        let status = request::write(&self.file, signal, &request, self.scratch.first(bytes));
        self.spent.push(request);
        status >= request::SUCCESS
    }

    fn deliver_by_read(&mut self, signal: Signal, status: NtStatus, bytes: usize) -> bool {
        let Route::Pipe(server) = &self.route else { return false };
        let armed = self.arming.take();
        if armed.is_some() {
            // It is the first in the queue of reads, and would get the message that is meant for the next.
            server.send(Scratch::NONE);
        }
        let failed = status.win32() != 0;
        let message = if failed {
            Scratch::NONE
        } else {
            self.scratch.grow(bytes);
            self.scratch.first(bytes)
        };
        let request = Request::new();
        let begun = request::read(&self.file, signal, &request, message);
        if begun != request::PENDING {
            // Nothing more can be done on this pipe.
        } else if status == NtStatus::CANCELLED {
            request::cancel(&self.file, &request);
        } else if failed {
            // A message that does not fit is the one failure that can be had. The byte that is left over must not be
            // the next read's.
            self.scratch.grow(1);
            server.send(self.scratch.first(1));
            let rest = Request::new();
            request::read(&self.file, Signal::NONE, &rest, self.scratch.first(1));
            self.spent.push(rest);
        } else {
            server.send(message);
        }
        self.spent.push(request);
        if let Some(armed) = armed {
            self.spent.push(armed);
            if !signal.event.is_null() {
                // It was not this request that the file was to be signalled for.
                self.unsignal_file();
            }
        }
        begun == request::PENDING
    }
}
