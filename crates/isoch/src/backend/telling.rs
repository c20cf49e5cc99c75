//! What a bus is to tell, without its lock: the end of transfers, deadlines, that a device is gone.
//!
//! One piece for all buses, because one rule holds for all: what belongs to one endpoint and stands together is
//! told in one go, so that whoever refills a queue does so once for everything that is over.

use std::collections::VecDeque;

use isoch_core::{Block, Time};

use crate::Error;
use crate::bus::{DataReport, IsochReports};
use crate::sync::{Arc, Weak};

/// An event with the one it is for.
enum Due {
    /// So many of [`Telling::done`].
    Isoch(Arc<dyn IsochReports>, usize),
    /// The next of [`Telling::data`].
    Data,
    Deadline(Arc<dyn IsochReports>, Time),
    Gone(Arc<dyn IsochReports>),
}

/// Another transfer that is over: whom to tell, and what.
type DataDone = (Arc<dyn DataReport>, Vec<u8>, Result<usize, Error>);

/// What is to be told, in order. Keeps its room. Whom nobody knows any more, nothing is told.
#[derive(Default)]
pub(super) struct Telling {
    due: VecDeque<Due>,
    /// Isochronous transfers, in order.
    done: VecDeque<Block>,
    batch: VecDeque<Block>,
    /// Other transfers, in order.
    data: VecDeque<DataDone>,
}

impl Telling {
    /// Makes room for so many transfers, so that telling of them allocates nothing.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    pub(super) fn reserve(&mut self, transfers: usize) {
        self.done.reserve(transfers);
        self.batch.reserve(transfers);
    }

    /// An isochronous transfer is over.
    #[inline(always)] // for each transfer
    pub(super) fn isoch(&mut self, reports: &Weak<dyn IsochReports>, over: Block) {
        if let Some(Due::Isoch(last, count)) = self.due.back_mut()
            && std::ptr::addr_eq(Arc::as_ptr(last), reports.as_ptr())
        {
            *count += 1;
        } else {
            let Some(reports) = reports.upgrade() else { return };
            self.due.push_back(Due::Isoch(reports, 1));
        }
        self.done.push_back(over);
    }

    /// A control, bulk or interrupt transfer is over.
    pub(super) fn data(&mut self, done: Arc<dyn DataReport>, data: Vec<u8>, result: Result<usize, Error>) {
        self.due.push_back(Due::Data);
        self.data.push_back((done, data, result));
    }

    /// The time that an endpoint asked for has come.
    pub(super) fn deadline(&mut self, reports: &Weak<dyn IsochReports>, now: Time) {
        self.due.extend(reports.upgrade().map(|reports| Due::Deadline(reports, now)));
    }

    /// An endpoint's device is gone, and everything of its is over.
    pub(super) fn gone(&mut self, reports: &Weak<dyn IsochReports>) {
        self.due.extend(reports.upgrade().map(Due::Gone));
    }

    #[cfg_attr(not(any(windows, all(target_os = "linux", not(shuttle)))), allow(dead_code))]
    pub(super) fn is_empty(&self) -> bool {
        self.due.is_empty()
    }

    /// Tells everything.
    pub(super) fn tell(&mut self) {
        while let Some(next) = self.due.pop_front() {
            match next {
                // Nearly always it is all there is.
                Due::Isoch(reports, count) if count == self.done.len() => reports.completed(&mut self.done),
                Due::Isoch(reports, count) => {
                    self.batch.extend(self.done.drain(..count));
                    reports.completed(&mut self.batch);
                }
                Due::Data => {
                    if let Some((done, data, result)) = self.data.pop_front() {
                        done.done(data, result);
                    }
                }
                Due::Deadline(reports, now) => reports.deadline(now),
                Due::Gone(reports) => reports.gone(),
            }
        }
    }
}
