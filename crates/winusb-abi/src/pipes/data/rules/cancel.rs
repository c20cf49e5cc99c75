//! The end of requests that the bus has not ended: cancelled, aborted, closed.

use super::{Rules, Step, Transfer};
use crate::codes::NtStatus;
use crate::pipes::data::request::{Bytes, Request};

impl<M: Bytes, F> Rules<M, F> {
    /// AbortPipe: cancels all requests. They end in order.
    pub(in crate::pipes::data) fn abort(&mut self) {
        let raw = self.raw.iter_mut().map(|raw| &mut raw.request);
        self.queue.iter_mut().chain(raw).for_each(|request| request.cancelled = true);
        self.cancel_raw(|_| true);
        self.cancel_first();
    }

    /// Cancels some requests. Tells whether there were any.
    pub(in crate::pipes::data) fn cancel(&mut self, concerned: impl Fn(&F) -> bool) -> bool {
        let mut found = self.cancel_raw(&concerned);
        // What is not on the bus is over at once.
        let mut index = 1;
        while index < self.queue.len() {
            match concerned(&self.queue[index].finish) {
                true => {
                    found = true;
                    if let Some(Request { finish, done, .. }) = self.queue.remove(index) {
                        self.end(finish, NtStatus::CANCELLED, done);
                    }
                }
                false => index += 1,
            }
        }
        if let Some(first) = self.queue.front_mut().filter(|first| concerned(&first.finish)) {
            found = true;
            first.cancelled = true;
            self.cancel_first();
        }
        for (transfer, _) in self.resets.iter().filter(|(_, finish)| concerned(finish)) {
            found = true;
            self.steps.push_back(Step::Cancel { transfer: *transfer });
        }
        found
    }

    fn cancel_first(&mut self) {
        let resetting = self.queue.front().is_some_and(|request| request.failed.is_some());
        // One that failed ends as failed, when the pipe was reset for it.
        if let Some(on_bus) = self.on_bus.filter(|_| !resetting) {
            self.steps.push_back(Step::Cancel { transfer: on_bus.transfer });
        }
    }

    /// All requests end now, whatever the bus says; no memory is used any more.
    pub(in crate::pipes::data) fn close(&mut self) {
        self.closed = true;
        // Nothing more begins.
        self.steps.retain(|step| matches!(step, Step::Cancel { .. } | Step::End { .. }));
        let queued = std::mem::take(&mut self.queue).into_iter();
        let raw = std::mem::take(&mut self.raw);
        let resets = std::mem::take(&mut self.resets);
        let mut transfers: Vec<Transfer> = self.on_bus.take().iter().map(|on_bus| on_bus.transfer).collect();
        transfers.extend(raw.iter().flat_map(|raw| &raw.transfers).map(|on_bus| on_bus.transfer));
        transfers.extend(resets.iter().map(|(transfer, _)| *transfer));
        for request in queued.chain(raw.into_iter().map(|raw| raw.request)) {
            self.end(request.finish, NtStatus::CANCELLED, request.done);
        }
        for (_, finish) in resets {
            self.end(finish, NtStatus::CANCELLED, 0);
        }
        self.steps.extend(transfers.into_iter().rev().map(|transfer| Step::Cancel { transfer }));
    }
}
