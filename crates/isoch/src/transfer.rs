//! Control, bulk and interrupt transfers.
//!
//! Why not blocks, as for isochronous endpoints? These transfers are acknowledged and retried, so nothing
//! is lost when one is late, and they are few; owning a vector each keeps them as simple as they are
//! elsewhere. What they share with isochronous transfers is the wait.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use isoch_core::rules::Setup;

use crate::Error;
use crate::bus::{BusDevice, DataReport, DataRequest, DataTarget};
use crate::endpoint::{EndpointDirection, In, Out};
use crate::interface::AlternateSetting;
use crate::pending::PendingTransfer;
use crate::sync::Arc;
use crate::wait::{Item, Mailbox};

/// The end of a transfer: its data, and how many bytes of them went over the bus.
pub(crate) type DataEnd = (Vec<u8>, Result<usize, Error>);
impl Item for DataEnd {}

impl DataReport for Mailbox<DataEnd> {
    fn done(&self, data: Vec<u8>, result: Result<usize, Error>) {
        self.push((data, result));
    }
}

/// A control, bulk or interrupt transfer under way: `.await` it, or [`wait`](Self::wait) for it.
///
/// It is under way from the moment it is made. Dropping it cancels it.
#[must_use = "dropping a transfer cancels it"]
pub struct DataTransfer<T> {
    bus: Arc<dyn BusDevice>,
    end: Arc<Mailbox<DataEnd>>,
    finish: fn(Vec<u8>, usize) -> T,
    over: bool,
    /// Of a bulk or interrupt transfer: letting go of the interface would cancel it.
    setting: Option<AlternateSetting>,
}

impl<T> DataTransfer<T> {
    pub(crate) fn submit(
        bus: &Arc<dyn BusDevice>,
        target: DataTarget,
        data: Vec<u8>,
        finish: fn(Vec<u8>, usize) -> T,
    ) -> Self {
        let end = Arc::new(Mailbox::new());
        bus.submit_data(DataRequest { target, data, timeout: None }, Arc::clone(&end) as _);
        DataTransfer { bus: Arc::clone(bus), end, finish, over: false, setting: None }
    }

    /// A transfer that is over before it began.
    pub(crate) fn refused(bus: &Arc<dyn BusDevice>, error: Error, finish: fn(Vec<u8>, usize) -> T) -> Self {
        let end = Arc::new(Mailbox::new());
        end.push((Vec::new(), Err(error)));
        DataTransfer { bus: Arc::clone(bus), end, finish, over: false, setting: None }
    }

    /// Blocks until it is over.
    ///
    /// # Errors
    /// [`Error::Stall`], [`Error::Gone`], [`Error::Cancelled`], [`Error::Bus`]; [`Error::ClockStopped`] on a
    /// bus whose emulated time stands still.
    pub fn wait(mut self) -> Result<T, Error> {
        let end = self.end.next(self.bus.waiting()).wait();
        self.ended(end)
    }

    /// Blocks until it is over; cancels it after `timeout`.
    ///
    /// # Errors
    /// As [`wait`](Self::wait), and [`Error::TimedOut`].
    pub fn wait_timeout(mut self, timeout: Duration) -> Result<T, Error> {
        let end = self.end.next(self.bus.waiting()).wait_timeout(timeout);
        self.ended(end)
    }

    fn ended(&mut self, end: Result<DataEnd, Error>) -> Result<T, Error> {
        let (data, result) = end?;
        self.over = true;
        Ok((self.finish)(data, result?))
    }
}

impl DataTransfer<Vec<u8>> {
    pub(crate) fn received(mut data: Vec<u8>, transferred: usize) -> Vec<u8> {
        data.truncate(transferred);
        data
    }
}

impl DataTransfer<usize> {
    pub(crate) fn sent(_: Vec<u8>, transferred: usize) -> usize {
        transferred
    }
}

impl<T> Future for DataTransfer<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = {
            let mut next = self.end.next(self.bus.waiting());
            // Each poll makes the wait anew, so it has had its turn to yield already.
            next.yielded = true;
            Pin::new(&mut next).poll(context)
        };
        polled.map(|end| self.ended(end))
    }
}

impl<T> Drop for DataTransfer<T> {
    fn drop(&mut self) {
        if !self.over {
            let end: Arc<dyn DataReport> = Arc::clone(&self.end) as _;
            self.bus.cancel_data(&end);
        }
    }
}

/// A bulk or interrupt endpoint.
///
/// When the last user of its interface is gone, what was started with a callback is cancelled.
pub struct DataEndpoint<D> {
    setting: AlternateSetting,
    address: u8,
    direction: PhantomData<D>,
}

impl<D: EndpointDirection> DataEndpoint<D> {
    pub(crate) fn new(setting: AlternateSetting, address: u8) -> Self {
        DataEndpoint { setting, address, direction: PhantomData }
    }

    /// The endpoint's address, with the direction in bit 7.
    #[must_use]
    pub fn address(&self) -> u8 {
        self.address
    }

    fn submit<T>(&self, data: Vec<u8>, finish: fn(Vec<u8>, usize) -> T) -> DataTransfer<T> {
        let target = DataTarget::Endpoint(self.address);
        let mut transfer = DataTransfer::submit(self.setting.device().bus(), target, data, finish);
        transfer.setting = Some(self.setting.clone());
        transfer
    }

    fn start(
        &self,
        data: Vec<u8>,
        timeout: Option<Duration>,
        done: impl FnOnce(Vec<u8>, Result<usize, Error>) + Send + 'static,
    ) -> PendingTransfer {
        let request = DataRequest { target: DataTarget::Endpoint(self.address), data, timeout };
        PendingTransfer::start(self.setting.device().bus(), request, done)
    }

    /// Clears a halt (CLEAR_FEATURE(ENDPOINT_HALT), USB 2.0 §9.4.5), after [`Error::Stall`].
    ///
    /// On Linux this itself waits until the device has answered (up to five seconds, if it does not): the system has no
    /// other call for it.
    pub fn clear_halt(&self) -> DataTransfer<usize> {
        let setup =
            Setup { request_type: 0x02, request: 1, value: 0, index: u16::from(self.address), length: 0 };
        self.setting.device().control_out(setup, &[])
    }
}

impl DataEndpoint<Out> {
    /// Sends bytes, in packets as large as the endpoint takes: none at all as one packet without data. Gives how
    /// many were sent.
    pub fn write(&self, data: Vec<u8>) -> DataTransfer<usize> {
        self.submit(data, DataTransfer::sent)
    }

    /// As [`write`](Self::write), and calls back at the end: `done` gets the bytes that were sent (all of them, or
    /// those before it failed) and how it ended. After `timeout` of the bus's time the bus cancels it, and it
    /// ends with [`Error::TimedOut`]. See [`PendingTransfer`] for what `done` may do.
    pub fn start_write(
        &self,
        data: Vec<u8>,
        timeout: Option<Duration>,
        done: impl FnOnce(Vec<u8>, Result<usize, Error>) + Send + 'static,
    ) -> PendingTransfer {
        self.start(data, timeout, done)
    }
}

impl DataEndpoint<In> {
    /// Receives up to `length` bytes; a short packet ends it.
    pub fn read(&self, length: usize) -> DataTransfer<Vec<u8>> {
        self.submit(vec![0; length], DataTransfer::received)
    }

    /// As [`read`](Self::read), and calls back at the end: `done` gets the bytes that arrived, also before it
    /// failed, and how it ended. After `timeout` of the bus's time the bus cancels it, and it ends with
    /// [`Error::TimedOut`]. See [`PendingTransfer`] for what `done` may do.
    pub fn start_read(
        &self,
        length: usize,
        timeout: Option<Duration>,
        done: impl FnOnce(Vec<u8>, Result<usize, Error>) + Send + 'static,
    ) -> PendingTransfer {
        self.start(vec![0; length], timeout, done)
    }
}
