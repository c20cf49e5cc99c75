//! The built-in virtual bus: an emulated controller, in real or in emulated time.
//!
//! Why is this a back end like any other, below the same boundary? So that what is tested without hardware
//! is the code that runs with it; and so that its profiles can prove the boundary carries the poverty of
//! buses that tell less.

mod clock;
mod device;
mod events;
mod isoch;
mod open;
mod shared;
mod time;

use std::time::Duration;

pub use isoch_virtual::BusClock;
use isoch_virtual::Device as EmulatedDevice;
use isoch_virtual::controller::{Controller, PortId};
use isoch_virtual::faults::Fault;
use isoch_virtual::profile::Profile;

pub(crate) use open::{list, list_at, open, watch};

use crate::clock::FrameClock;
use crate::device::Device;
use crate::sync::Arc;
use crate::{Error, Watch};
use shared::Shared;

/// How to make a [`VirtualBus`].
#[derive(Clone, Debug)]
pub struct VirtualBusBuilder {
    clock: BusClock,
    profile: Profile,
    sof_ppm: f64,
}

impl VirtualBusBuilder {
    /// What moves its time; [`BusClock::Real`] unless told otherwise.
    #[must_use]
    pub fn clock(self, clock: BusClock) -> Self {
        VirtualBusBuilder { clock, ..self }
    }

    /// Which controller under which system it imitates; `Profile::default()` is exact in everything.
    #[must_use]
    pub fn profile(self, profile: Profile) -> Self {
        VirtualBusBuilder { profile, ..self }
    }

    /// How much faster than the host's clock its frames run, in parts per million.
    #[must_use]
    pub fn sof_ppm(self, ppm: f64) -> Self {
        VirtualBusBuilder { sof_ppm: ppm, ..self }
    }

    /// Makes the bus, with nothing plugged in.
    #[must_use]
    pub fn build(self) -> VirtualBus {
        let mut controller = Controller::new(self.profile);
        controller.sof_mut().set_ppm(0, self.sof_ppm);
        VirtualBus { shared: Shared::new(controller, self.clock) }
    }
}

/// A virtual bus: a controller of its own with emulated devices. Cheap to clone.
///
/// Addresses such as `virtual:speaker` make a bus by themselves; a bus made here is for tests and programs
/// that plug devices of their own, script faults, or move time by hand.
#[derive(Clone)]
pub struct VirtualBus {
    pub(crate) shared: Arc<Shared>,
}

impl VirtualBus {
    /// A bus that runs in real time, exact in everything.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A bus with a clock, a profile, a crystal of one's own.
    #[must_use]
    pub fn builder() -> VirtualBusBuilder {
        VirtualBusBuilder { clock: BusClock::Real, profile: Profile::default(), sof_ppm: 0.0 }
    }

    /// What moves its time.
    #[must_use]
    pub fn bus_clock(&self) -> BusClock {
        self.shared.mode
    }

    /// What it imitates.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.shared.with(|controller| controller.profile())
    }

    pub(crate) fn sof_ppm(&self) -> f64 {
        self.shared.with(|controller| controller.sof().ppm(controller.now()))
    }

    /// Plugs a device in, under a name that [`open`](Self::open) and [`unplug`](Self::unplug) know it by.
    ///
    /// # Errors
    /// [`Error::Busy`] if the name is taken; [`Error::Argument`] if its descriptors are malformed.
    pub fn plug(&self, name: &str, device: Box<dyn EmulatedDevice>) -> Result<(), Error> {
        self.shared.plug(name, device)
    }

    /// Plugs one of the built-in devices in: `speaker`, `source-sink` and so on, with parameters as in an
    /// address.
    ///
    /// # Errors
    /// As [`plug`](Self::plug), and [`Error::Argument`] for an unknown kind or parameter.
    pub fn plug_kind(&self, name: &str, kind: &str, parameters: &[(&str, &str)]) -> Result<(), Error> {
        let parameters: Vec<_> = parameters.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let device =
            isoch_virtual::devices::build(kind, &parameters).map_err(|e| Error::Argument(e.to_string()))?;
        self.plug(name, device)
    }

    /// Plugs a device in when the bus reaches a frame. If it cannot be plugged in then (its name is taken, its
    /// descriptors are malformed), that is logged and nothing arrives.
    pub fn plug_at(&self, frame: u64, name: &str, device: Box<dyn EmulatedDevice>) {
        self.shared.change(|controller, _| controller.plug_at(frame, name, device));
    }

    /// Unplugs a device. Everything in flight ends with [`Outcome::DeviceGone`](crate::Outcome::DeviceGone).
    ///
    /// # Errors
    /// [`Error::NotFound`] if no device has the name.
    pub fn unplug(&self, name: &str) -> Result<(), Error> {
        let port = self.plugged(name)?;
        self.shared.change(|controller, events| controller.unplug(port, events));
        Ok(())
    }

    /// Adds a fault.
    pub fn fault(&self, fault: Fault) {
        self.shared.change(|controller, _| controller.add_fault(fault));
    }

    /// Opens a device by the name it was plugged in under.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Descriptor`].
    pub fn open(&self, name: &str) -> Result<Device, Error> {
        let port = self.plugged(name)?;
        device::open(&self.shared, port, self.shared.address_of(name))
    }

    /// Runs the bus for so many frames, with everything that happens in them, on this thread.
    ///
    /// # Errors
    /// [`Error::Unsupported`] on a bus in real time.
    pub fn advance(&self, frames: u64) -> Result<(), Error> {
        self.shared.advance(frames)
    }

    /// The frame that is running on the bus: what faults, [`plug_at`](Self::plug_at) and the packet logs count
    /// in. Under a profile without a frame counter programs do not see it; [`clock`](Self::clock) is what they
    /// see.
    #[must_use]
    pub fn frame(&self) -> u64 {
        self.microframe() / isoch_core::MICROFRAMES_PER_FRAME
    }

    /// The same in microframes.
    #[must_use]
    pub fn microframe(&self) -> u64 {
        self.shared.microframe()
    }

    /// The clock of its controller.
    #[must_use]
    pub fn clock(&self) -> FrameClock {
        self.shared.frame_clock()
    }

    /// Reads a device's packet log: what really passed on the wire, on the device's side.
    ///
    /// # Errors
    /// [`Error::NotFound`] if no device has, or had, the name.
    pub fn log<R>(
        &self,
        name: &str,
        read: impl FnOnce(&mut isoch_virtual::controller::PacketLog) -> R,
    ) -> Result<R, Error> {
        let port = self.port(name)?;
        let found = self.shared.with(|controller| controller.log_mut(port).map(read));
        found.ok_or_else(|| self.not_found(name))
    }

    /// A device's own facts: buffer fill, underruns and the like.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn facts(&self, name: &str) -> Result<Vec<(&'static str, i64)>, Error> {
        let port = self.port(name)?;
        let facts = self.shared.with(|controller| controller.device_mut(port).map(|device| device.facts()));
        facts.ok_or_else(|| self.not_found(name))
    }

    /// How often the bus's own thread was held up by the machine, and for how long altogether. Bus time
    /// stood still then.
    #[must_use]
    pub fn stalls(&self) -> Stalls {
        self.shared.stalls()
    }

    /// Tells of devices that come and go on this bus from now on.
    #[must_use]
    pub fn watch(&self) -> Watch {
        self.shared.watch()
    }

    /// Where a device is plugged in.
    fn plugged(&self, name: &str) -> Result<PortId, Error> {
        let found = self.shared.with(|controller| {
            let mut ports = controller.ports();
            ports.find(|(_, known, _)| *known == name).map(|(port, ..)| port)
        });
        found.ok_or_else(|| self.not_found(name))
    }

    /// Where a device is, or was, plugged in.
    fn port(&self, name: &str) -> Result<PortId, Error> {
        self.shared.port(name).ok_or_else(|| self.not_found(name))
    }

    fn not_found(&self, name: &str) -> Error {
        let names = self
            .shared
            .with(|controller| crate::text::listed(controller.ports().map(|(_, name, _)| name.to_owned())));
        Error::NotFound { address: name.into(), hint: format!("; plugged in: {names}") }
    }
}

impl Default for VirtualBus {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for VirtualBus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "virtual bus ({}, {})", self.profile().name, self.bus_clock())
    }
}

/// How often, and how long, a virtual bus in real time was held up by its machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stalls {
    /// How often.
    pub count: u64,
    /// How long altogether.
    pub total: Duration,
    /// The longest.
    pub longest: Duration,
}
