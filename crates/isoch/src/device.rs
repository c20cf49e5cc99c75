//! Devices: what they are, and control transfers.

use std::time::Duration;

use isoch_core::rules::descriptors::{Configuration, DeviceDescriptor, Warning};
use isoch_core::rules::{Setup, Speed};

use crate::bus::{BusDevice, DataRequest, DataTarget};
use crate::clock::FrameClock;
use crate::interface::Interface;
use crate::pending::PendingTransfer;
use crate::sync::{Arc, Mutex, lock};
use crate::text::listed;
use crate::transfer::DataTransfer;
use crate::{Capabilities, Direction, Error};

/// What is known of a device before it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceInformation {
    /// The address to open it by.
    pub address: String,
    /// `idVendor`.
    pub vendor_id: u16,
    /// `idProduct`.
    pub product_id: u16,
    /// How it is connected.
    pub speed: Speed,
    /// Its own name for its maker.
    pub manufacturer: Option<String>,
    /// Its own name for itself.
    pub product: Option<String>,
    /// Its serial number.
    pub serial_number: Option<String>,
}

impl std::fmt::Display for DeviceInformation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}  {:04x}:{:04x}  {}", self.address, self.vendor_id, self.product_id, self.speed)?;
        for text in [&self.manufacturer, &self.product].into_iter().flatten() {
            write!(f, "  {text}")?;
        }
        Ok(())
    }
}

/// An open device. Cheap to clone; the device is let go when the last clone, and everything opened from it,
/// is dropped.
#[derive(Clone)]
pub struct Device {
    shared: Arc<Shared>,
}

struct Shared {
    bus: Arc<dyn BusDevice>,
    descriptor: DeviceDescriptor,
    configuration: Configuration,
    warnings: Vec<Warning>,
    claimed: Mutex<Vec<u8>>,
}

impl Device {
    pub(crate) fn new(bus: Arc<dyn BusDevice>) -> Result<Self, Error> {
        let descriptor = DeviceDescriptor::parse(bus.device_bytes())?;
        let (configuration, warnings) = Configuration::parse(bus.configuration_bytes())?;
        let claimed = Mutex::new(Vec::new());
        Ok(Device { shared: Arc::new(Shared { bus, descriptor, configuration, warnings, claimed }) })
    }

    pub(crate) fn bus(&self) -> &Arc<dyn BusDevice> {
        &self.shared.bus
    }

    /// What is known of it.
    #[must_use]
    pub fn information(&self) -> &DeviceInformation {
        self.shared.bus.information()
    }

    /// Its device descriptor.
    #[must_use]
    pub fn descriptor(&self) -> &DeviceDescriptor {
        &self.shared.descriptor
    }

    /// The configuration in force.
    #[must_use]
    pub fn configuration(&self) -> &Configuration {
        &self.shared.configuration
    }

    /// The configuration in force, as the device sent it.
    #[must_use]
    pub fn configuration_bytes(&self) -> &[u8] {
        self.shared.bus.configuration_bytes()
    }

    /// What is odd in its configuration, and harmless.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.shared.warnings
    }

    /// What isochronous transfers of this direction can do on its bus.
    #[must_use]
    pub fn capabilities(&self, direction: Direction) -> Capabilities {
        crate::endpoint::anchored(self.shared.bus.capabilities(direction))
    }

    /// The frame clock of the controller it is attached to.
    #[must_use]
    pub fn clock(&self) -> FrameClock {
        self.shared.bus.clock()
    }

    /// How often the machine held up the emulated bus this device is on, and for how long: bus time stood
    /// still then. `None` on a real bus.
    #[cfg(feature = "virtual")]
    #[must_use]
    pub fn emulator_stalls(&self) -> Option<crate::Stalls> {
        self.virtual_bus().map(|bus| bus.stalls())
    }

    /// The emulated bus it is on, however it was opened: to advance its clock, add faults, read what passed on
    /// the wire. `None` on a real bus.
    #[cfg(feature = "virtual")]
    #[must_use]
    pub fn virtual_bus(&self) -> Option<crate::VirtualBus> {
        self.shared.bus.virtual_bus()
    }

    /// What an emulated device counted on its side of the wire: bytes received, buffer fill, underruns and
    /// the like. Empty for a real device, and for one that was unplugged.
    #[must_use]
    pub fn emulated_facts(&self) -> Vec<(&'static str, i64)> {
        self.shared.bus.facts()
    }

    /// Takes the device's events over into a loop of the program's own: from now on nothing completes but in
    /// [`EventLoop::handle`](crate::EventLoop::handle), until what this returns is dropped. Waits of other threads
    /// end there, too; a blocking wait on the loop's own thread would never end. This waits until no sink of the device
    /// is being called any more, unless it is called from one.
    ///
    /// # Errors
    /// [`Error::Unsupported`] on a bus that has no such events (all but `usb:`); [`Error::Busy`] if another loop has
    /// them.
    #[cfg(unix)]
    pub fn take_over_events(&self) -> Result<crate::EventLoop, Error> {
        self.shared.bus.take_over_events().map(crate::EventLoop::new)
    }

    /// Whether it is still there, as far as its bus knows: one that was unplugged stays gone, also when it comes back.
    #[must_use]
    pub fn is_present(&self) -> bool {
        self.shared.bus.is_present()
    }

    /// Claims an interface for this handle. It is given back, at alternate setting 0, when everything
    /// obtained from it is dropped.
    ///
    /// # Errors
    /// [`Error::NoSuchInterface`]; [`Error::Busy`] if this handle or another program has it.
    pub fn interface(&self, number: u8) -> Result<Interface, Error> {
        let Some(interface) = self.configuration().interface(number) else {
            let available = listed(self.configuration().interfaces.iter().map(|i| i.number));
            return Err(Error::NoSuchInterface { interface: number, available });
        };
        let interface = interface.number;
        {
            let mut claimed = lock(&self.shared.claimed);
            if claimed.contains(&interface) {
                return Err(Error::Busy {
                    what: format!("interface {interface}"),
                    remedy: "it was claimed through this device already; drop what was obtained from it first",
                });
            }
            claimed.push(interface);
        }
        self.shared.bus.claim(interface).inspect_err(|_| self.forget(interface))?;
        Ok(Interface::new(self.clone(), interface))
    }

    /// Gives an interface back; called when the last user of it is gone.
    pub(crate) fn release(&self, interface: u8) {
        self.shared.bus.release(interface);
        self.forget(interface);
    }

    fn forget(&self, interface: u8) {
        lock(&self.shared.claimed).retain(|claimed| *claimed != interface);
    }

    /// A control request with data from the device: up to `setup.length` bytes.
    ///
    /// Alternate settings are chosen with [`Interface::alternate_setting`], not with a request of one's own.
    pub fn control_in(&self, setup: Setup) -> DataTransfer<Vec<u8>> {
        let setup = Setup { request_type: setup.request_type | 0x80, ..setup };
        let data = vec![0; usize::from(setup.length)];
        DataTransfer::submit(self.bus(), DataTarget::Control(setup), data, DataTransfer::received)
    }

    /// A control request with data to the device, or none. `setup.length` is taken from `data`; more than
    /// 65535 bytes end with [`Error::Argument`].
    pub fn control_out(&self, setup: Setup, data: &[u8]) -> DataTransfer<usize> {
        let Ok(length) = u16::try_from(data.len()) else {
            return DataTransfer::refused(self.bus(), too_long(), DataTransfer::sent);
        };
        let setup = Setup { request_type: setup.request_type & 0x7f, length, ..setup };
        DataTransfer::submit(self.bus(), DataTarget::Control(setup), data.to_vec(), DataTransfer::sent)
    }

    /// A control request in the direction that `setup` says, which calls back at the end. `data` is what to send,
    /// or room for the answer; `setup.length` is taken from it, and more than 65535 bytes end with
    /// [`Error::Argument`]. `done` gets the bytes that were sent or that arrived, and how it ended. After
    /// `timeout` the bus cancels it, and it ends with [`Error::TimedOut`]; an emulated device answers at once. See
    /// [`PendingTransfer`] for what `done` may do.
    pub fn start_control(
        &self,
        setup: Setup,
        data: Vec<u8>,
        timeout: Option<Duration>,
        done: impl FnOnce(Vec<u8>, Result<usize, Error>) + Send + 'static,
    ) -> PendingTransfer {
        let Ok(length) = u16::try_from(data.len()) else {
            return PendingTransfer::refused(self.bus(), too_long(), done);
        };
        let target = DataTarget::Control(Setup { length, ..setup });
        PendingTransfer::start(self.bus(), DataRequest { target, data, timeout }, done)
    }
}

fn too_long() -> Error {
    Error::Argument("a control request carries at most 65535 bytes: split the data".into())
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.information().fmt(f)
    }
}
