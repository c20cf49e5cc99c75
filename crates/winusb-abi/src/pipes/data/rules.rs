//! The queue of a pipe: which request is on the bus, what the bus is asked next, what an answer means.
//!
//! Why does WinUSB have a queue of its own, when every bus has one? Because a request may take several transfers, which
//! no other request's may come between, and because what follows a stall must fail until the program resets the pipe.
//! So one request at a time is on the bus, unless the program sets RAW_IO.
//!
//! Nothing here touches a bus or tells anybody: what is to be done comes out as steps, in order.

mod cancel;
mod raw;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use isoch::Direction;

use super::request::{Bytes, Request, Shape, Surplus};
use crate::codes::NtStatus;
use crate::pipes::policies::{AUTO_CLEAR_STALL, Policies, RAW_IO};
use raw::Raw;

/// A transfer's name.
pub(super) type Transfer = u64;

/// Something to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<F> {
    Read {
        transfer: Transfer,
        length: usize,
        timeout: Option<Duration>,
    },
    Write {
        transfer: Transfer,
        bytes: Vec<u8>,
        timeout: Option<Duration>,
    },
    /// CLEAR_FEATURE(ENDPOINT_HALT).
    ClearHalt {
        transfer: Transfer,
    },
    /// Cancel a transfer, if it is still under way.
    Cancel {
        transfer: Transfer,
    },
    /// Tell the end of a request. Its memory is not used any more.
    End {
        finish: F,
        status: NtStatus,
        bytes: usize,
    },
}

/// The state of a pipe. `M` is the program's memory, `F` whom to tell.
#[derive(Debug)]
pub(super) struct Rules<M, F> {
    shape: Shape,
    pub(super) policies: Policies,
    /// In the order of submission. The first one is on the bus; none is, only if there is none.
    queue: VecDeque<Request<M, F>>,
    on_bus: Option<OnBus>,
    raw: Vec<Raw<M, F>>,
    resets: Vec<(Transfer, F)>,
    surplus: Surplus,
    /// Something failed, and the pipe was not reset since.
    halted: bool,
    closed: bool,
    steps: VecDeque<Step<F>>,
    next: Transfer,
}

#[derive(Clone, Copy, Debug)]
struct OnBus {
    transfer: Transfer,
    asked: usize,
}

impl<M: Bytes, F> Rules<M, F> {
    pub(super) fn new(shape: Shape, policies: Policies) -> Self {
        Rules {
            shape,
            policies,
            queue: VecDeque::new(),
            on_bus: None,
            raw: Vec::new(),
            resets: Vec::new(),
            surplus: Surplus::default(),
            halted: false,
            closed: false,
            steps: VecDeque::new(),
            next: 0,
        }
    }

    pub(super) fn next_step(&mut self) -> Option<Step<F>> {
        self.steps.pop_front()
    }

    /// Whether requests are under way.
    pub(super) fn is_busy(&self) -> bool {
        !self.queue.is_empty() || !self.raw.is_empty() || !self.resets.is_empty()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether a request of this length can be told from the policies to be impossible.
    pub(super) fn accepts(&self, length: usize) -> bool {
        !self.policies.is_on(RAW_IO) || self.shape.is_raw_length(length)
    }

    /// ReadPipe, WritePipe.
    pub(super) fn submit(&mut self, memory: M, finish: F, now: Instant) {
        let length = memory.len();
        if self.closed {
            self.end(finish, NtStatus::CANCELLED, 0);
        } else if self.shape.direction == Direction::In && length == 0 {
            // Documented with ALLOW_PARTIAL_READS; that it is so without, and past a stall, is not.
            self.end(finish, NtStatus::SUCCESS, 0);
        } else if !self.accepts(length) {
            self.end(finish, NtStatus::INVALID_PARAMETER, 0);
        } else if self.policies.is_on(RAW_IO) {
            self.submit_raw(Request::new(memory, finish));
        } else {
            self.queue.push_back(Request::new(memory, finish));
            self.advance(now);
        }
    }

    /// ResetPipe.
    pub(super) fn reset(&mut self, finish: F) {
        if self.closed {
            return self.end(finish, NtStatus::CANCELLED, 0);
        }
        let transfer = self.new_transfer();
        self.resets.push((transfer, finish));
        self.steps.push_back(Step::ClearHalt { transfer });
    }

    /// FlushPipe: forgets what reads left over.
    pub(super) fn flush(&mut self) {
        self.surplus = Surplus::default();
    }

    /// A transfer is over: the bytes that were received, or how many were sent.
    pub(super) fn done(
        &mut self,
        transfer: Transfer,
        data: &[u8],
        result: Result<(), NtStatus>,
        now: Instant,
    ) {
        if let Some(on_bus) = self.on_bus.filter(|on_bus| on_bus.transfer == transfer) {
            self.on_bus = None;
            self.first_done(on_bus.asked, data, result);
            self.advance(now);
        } else if let Some(index) = self.resets.iter().position(|(reset, _)| *reset == transfer) {
            let (_, finish) = self.resets.remove(index);
            self.halted &= result.is_err();
            self.end(finish, result.err().unwrap_or(NtStatus::SUCCESS), 0);
        } else {
            self.raw_done(transfer, data, result);
        }
    }

    fn first_done(&mut self, asked: usize, data: &[u8], result: Result<(), NtStatus>) {
        let Some(request) = self.queue.front_mut() else { return };
        if let Some(failed) = request.failed {
            // The pipe was reset for it, or could not be.
            self.halted |= result.is_err();
            return self.end_first(failed);
        }
        let received = match self.shape.direction {
            Direction::In => request.received(data, asked, &mut self.surplus, &self.policies),
            Direction::Out => {
                request.sent(data.len(), asked);
                Ok(())
            }
        };
        match (result, received) {
            (Ok(()), Ok(())) => {}
            // The device sent more than it may. It did not stall, so nothing else fails for it (not documented).
            (Ok(()), Err(status)) => self.end_first(status),
            (Err(status), _) if is_of_pipe(status) => self.first_failed(status),
            (Err(status), _) => self.end_first(status),
        }
    }

    /// The first request failed on the bus, and the pipe with it.
    fn first_failed(&mut self, status: NtStatus) {
        // Documented for reads; a failed write resets nothing.
        if self.shape.direction == Direction::In && self.policies.is_on(AUTO_CLEAR_STALL) {
            let transfer = self.new_transfer();
            if let Some(request) = self.queue.front_mut() {
                request.failed = Some(status);
            }
            self.on_bus = Some(OnBus { transfer, asked: 0 });
            self.steps.push_back(Step::ClearHalt { transfer });
        } else {
            self.halted = true;
            self.end_first(status);
        }
    }

    /// Gives the bus what the first request needs next; ends requests that need nothing.
    fn advance(&mut self, now: Instant) {
        while self.on_bus.is_none() {
            let Some(request) = self.queue.front_mut() else { return };
            let over = match (request.is_over(self.shape, &self.policies), request.cancelled, self.halted) {
                (true, _, _) => Err(NtStatus::SUCCESS),
                (false, true, _) => Err(NtStatus::CANCELLED),
                (false, false, true) => Err(NtStatus::UNSUCCESSFUL),
                (false, false, false) => {
                    if self.shape.direction == Direction::In {
                        request.take_surplus(&mut self.surplus, &self.policies);
                    }
                    match request.is_over(self.shape, &self.policies) {
                        true => Err(NtStatus::SUCCESS),
                        false => request.time(&self.policies, now),
                    }
                }
            };
            match over {
                Ok(timeout) => self.start_first(timeout),
                Err(status) => self.end_first(status),
            }
        }
    }

    fn start_first(&mut self, timeout: Option<Duration>) {
        let transfer = self.new_transfer();
        let Some(request) = self.queue.front() else { return };
        let (asked, step) = match self.shape.direction {
            Direction::In => {
                let length = request.ask(self.shape);
                (length, Step::Read { transfer, length, timeout })
            }
            Direction::Out => {
                let bytes = request.send(self.shape);
                (bytes.len(), Step::Write { transfer, bytes, timeout })
            }
        };
        self.on_bus = Some(OnBus { transfer, asked });
        self.steps.push_back(step);
    }

    fn end_first(&mut self, status: NtStatus) {
        if let Some(Request { finish, done, .. }) = self.queue.pop_front() {
            self.end(finish, status, done);
        }
    }

    fn end(&mut self, finish: F, status: NtStatus, bytes: usize) {
        self.steps.push_back(Step::End { finish, status, bytes });
    }

    fn new_transfer(&mut self) -> Transfer {
        self.next += 1;
        self.next
    }
}

/// Whether what ended a transfer like this leaves the pipe halted. Documented for AUTO_CLEAR_STALL: anything but a
/// cancelled request (which one that timed out is) and a device that is gone.
fn is_of_pipe(status: NtStatus) -> bool {
    !matches!(status, NtStatus::CANCELLED | NtStatus::IO_TIMEOUT | NtStatus::NO_SUCH_DEVICE)
}
