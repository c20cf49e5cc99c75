//! What an emulated device is to the controller.
//!
//! Why a trait of packets and not of transfers? A real device never sees a transfer: it sees a token in a
//! microframe. Devices written against this trait cannot know how the host queues, so they cannot help it.
//!
//! Standard requests (descriptors, configuration, alternate settings, halt) are answered by the
//! controller's port from [`Descriptors`]; a device sees class and vendor requests only.

use isoch_core::rules::{Setup, Speed};

/// A moment on the bus, as a device sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct BusTime {
    /// Microframes since the controller started; a frame is eight of them.
    pub microframe: u64,
}

impl BusTime {
    /// The frame this lies in.
    #[must_use]
    pub const fn frame(self) -> u64 {
        self.microframe / 8
    }
}

/// The descriptors of a device, as bytes; the port answers GET_DESCRIPTOR from them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptors {
    /// How the device connects.
    pub speed: Speed,
    /// The device descriptor, 18 bytes.
    pub device: Vec<u8>,
    /// The configuration descriptor with everything below it.
    pub configuration: Vec<u8>,
    /// Strings 1, 2, 3 … (English, United States).
    pub strings: Vec<String>,
    /// The binary object store, if the device has one.
    pub bos: Option<Vec<u8>>,
}

/// The device answers a control request, or an endpoint, with STALL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall;

/// A device's answer to an OUT packet of a bulk or interrupt endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BulkOut {
    /// Taken.
    Ack,
    /// Not now; the host tries again.
    Nak,
    /// The endpoint is halted.
    Stall,
}

/// A device's answer to an IN token of a bulk or interrupt endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BulkIn {
    /// This many bytes were written to the buffer; fewer than its length is a short packet.
    Data(usize),
    /// Nothing now; the host tries again.
    Nak,
    /// The endpoint is halted.
    Stall,
}

/// An emulated device. All methods are called in bus-time order, one at a time.
#[allow(unused_variables)]
pub trait Device: Send {
    /// Its descriptors. Constant while plugged in.
    fn descriptors(&self) -> &Descriptors;

    /// A class or vendor request with an OUT data stage, or none. `data` has `setup.length` bytes.
    ///
    /// # Errors
    /// [`Stall`] for a request the device does not know.
    fn control_out(&mut self, setup: Setup, data: &[u8], now: BusTime) -> Result<(), Stall> {
        Err(Stall)
    }

    /// A class or vendor request with an IN data stage: up to `setup.length` bytes appended to `data`.
    ///
    /// # Errors
    /// [`Stall`] for a request the device does not know.
    fn control_in(&mut self, setup: Setup, data: &mut Vec<u8>, now: BusTime) -> Result<(), Stall> {
        Err(Stall)
    }

    /// An interface was put to an alternate setting that its descriptors have.
    fn alternate_setting(&mut self, interface: u8, setting: u8, now: BusTime) {}

    /// An isochronous OUT packet arrived. Nobody hears an answer.
    fn isoch_out(&mut self, endpoint: u8, data: &[u8], now: BusTime) {}

    /// The host asks for an isochronous packet: writes up to `buffer.len()` bytes, returns how many.
    /// `buffer.len()` is what the host asked for, at most what the endpoint's descriptor allows.
    fn isoch_in(&mut self, endpoint: u8, buffer: &mut [u8], now: BusTime) -> usize {
        0
    }

    /// A bulk or interrupt OUT packet arrived.
    fn bulk_out(&mut self, endpoint: u8, data: &[u8], now: BusTime) -> BulkOut {
        BulkOut::Stall
    }

    /// The host asks for a bulk or interrupt packet of up to `buffer.len()` bytes.
    fn bulk_in(&mut self, endpoint: u8, buffer: &mut [u8], now: BusTime) -> BulkIn {
        BulkIn::Stall
    }

    /// Whether a bulk or interrupt endpoint that answered with NAK may answer otherwise though neither a bulk or
    /// interrupt packet nor a control request has reached the device meanwhile: because of time, of isochronous
    /// packets, or of something outside. If not, the controller need not keep asking, and a wait for it in
    /// emulated time can tell that it would never end.
    fn changes_by_itself(&self) -> bool {
        true
    }

    /// The last program let go of the device, or it was unplugged: finish files.
    fn released(&mut self, now: BusTime) {}

    /// Facts to show beside a stream's statistics (buffer fill, underruns …), as name and value.
    fn facts(&self) -> Vec<(&'static str, i64)> {
        Vec::new()
    }
}
