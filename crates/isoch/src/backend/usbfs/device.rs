//! Devices behind usbfs.

use isoch_core::rules::EndpointTiming;
use isoch_core::rules::descriptors::TransferType;
use isoch_core::{Capabilities, ClockSupport, FrameSource, Lengths, Memory, Results, StartSupport};

use super::budget::{self, Charge};
use super::closing::Closing;
use super::events::Lists;
use super::isoch::UsbfsPort;
use super::list::Place;
use super::memory::{CopiedMemory, MOST_COPIED, MappedMemory, Mode};
use super::shared::{Pipe, Shared};
use super::split::{self, Limits};
use super::{codes, data};
use crate::bus::{BusDevice, DataReport, DataRequest, HandlesEvents, IsochPort, IsochReports};
use crate::clock::FrameClock;
use crate::device::DeviceInformation;
use crate::sync::{Arc, Mutex, Weak, lock};
use crate::wait::Waiting;
use crate::{Direction, Error};

/// Keeps the device's thread at work. With the last of these the device is let go, as soon as everything that
/// was in flight has come back; nobody waits for that.
pub(super) struct Session {
    shared: Arc<Shared>,
}

impl Session {
    /// Begins to handle the device's events, on a thread.
    pub(super) fn start(shared: Arc<Shared>, priority: Option<u8>) -> Result<Arc<Self>, Error> {
        super::thread::start(&shared, priority)?;
        Ok(Arc::new(Session { shared }))
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.shared.lock().closing = Some(Closing::begin());
        self.shared.changed.notify_all();
        self.shared.wakes.nudge();
    }
}

pub(super) struct UsbfsDevice {
    pub(super) session: Arc<Session>,
    pub(super) information: DeviceInformation,
    pub(super) device_bytes: Vec<u8>,
    pub(super) configuration_bytes: Vec<u8>,
    pub(super) place: Option<Place>,
}

impl UsbfsDevice {
    fn shared(&self) -> &Arc<Shared> {
        self.session.shared()
    }

    /// The requests that a block becomes at most.
    fn requests(&self, bytes: usize, packets: usize) -> usize {
        let limits = Limits { bytes: MOST_COPIED, areas: false, packets_per_frame: 8 };
        split::most_requests(packets, bytes / packets.max(1), limits)
    }
}

impl BusDevice for UsbfsDevice {
    fn information(&self) -> &DeviceInformation {
        &self.information
    }

    fn device_bytes(&self) -> &[u8] {
        &self.device_bytes
    }

    fn configuration_bytes(&self) -> &[u8] {
        &self.configuration_bytes
    }

    fn claim(&self, interface: u8) -> Result<(), Error> {
        self.shared().claim(interface)
    }

    fn release(&self, interface: u8) {
        let shared = self.shared();
        let mut state = shared.lock();
        let of_interface = state.data.iter_mut().filter(|flight| flight.is_on(interface));
        of_interface.for_each(|flight| flight.cancel(&shared.node));
        if let Some(claimed) = state.interface(interface) {
            claimed.used = false;
        }
        drop(state);
        shared.wakes.nudge();
    }

    fn set_alternate_setting(&self, interface: u8, setting: u8) -> Result<(), Error> {
        let shared = self.shared();
        let mut state = shared.wait_until_free(shared.lock(), interface)?;
        if state.gone {
            return Err(Error::Gone);
        }
        for pipe in state.pipes.iter_mut().filter(|pipe| pipe.interface == interface) {
            if !pipe.flights.is_empty() {
                return Err(Error::Busy {
                    what: format!("interface {interface}"),
                    remedy: "transfers are pending on it; drain or abort them first",
                });
            }
            pipe.stale = true;
        }
        drop(state);
        let put = shared.node.set_interface(interface, setting);
        put.map_err(|code| codes::setting_error(code, interface, setting))?;
        if let Some(claimed) = shared.lock().interface(interface) {
            claimed.setting = setting;
        }
        Ok(())
    }

    fn submit_data(&self, request: DataRequest, done: Arc<dyn DataReport>) {
        data::submit(self.shared(), request, done);
    }

    fn cancel_data(&self, done: &Arc<dyn DataReport>) {
        data::cancel(self.shared(), done);
    }

    fn capabilities(&self, _direction: Direction) -> Capabilities {
        let facts = self.shared().facts;
        // What runs dry is known, and what is late is told; where that is uncertain, each completion says so.
        Capabilities {
            start: StartSupport::AsapOnly,
            frames: if self.shared().is_witnessed { FrameSource::Reported } else { FrameSource::Estimated },
            lengths: Lengths::PerPacket,
            results: Results::PerPacket,
            gaps: true,
            clock: ClockSupport::Estimated,
            horizon: Some(facts.horizon),
            lead: facts.lead,
        }
    }

    fn open_isoch(&self, endpoint: u8, reports: Weak<dyn IsochReports>) -> Result<Box<dyn IsochPort>, Error> {
        let shared = self.shared();
        let mut state = shared.lock();
        if state.gone {
            return Err(Error::Gone);
        }
        if state.pipes.iter().any(|pipe| pipe.endpoint == endpoint && !pipe.closed && !pipe.stale) {
            return Err(Error::Busy {
                what: format!("endpoint {endpoint:#04x}"),
                remedy: "it is open already; drop the other handle first",
            });
        }
        let found = shared.configuration.interfaces.iter().find_map(|interface| {
            let setting = interface.alternate(state.setting(interface.number))?;
            let found = setting.endpoint(endpoint)?;
            (found.transfer_type() == TransferType::Isochronous).then_some((interface.number, found))
        });
        let (interface, found) = found.ok_or_else(|| {
            Error::Unsupported(format!(
                "endpoint {endpoint:#04x} is not in an alternate setting that is in force"
            ))
        })?;
        let period = EndpointTiming::new(shared.speed, found)?.period_microframes();
        let id = state.id();
        state.pipes.push(Pipe {
            id,
            endpoint,
            interface,
            packets_per_frame: usize::try_from(8 / period.clamp(1, 8)).unwrap_or(1),
            interval: 125_000 * period,
            reports,
            kept: None,
            flights: Default::default(),
            requests: Default::default(),
            due: Default::default(),
            deadline: None,
            stale: false,
            closed: false,
            told_gone: false,
        });
        Ok(Box::new(UsbfsPort { session: Arc::clone(&self.session), pipe: id }))
    }

    fn allocate(&self, bytes: usize, packets: usize) -> Result<Box<dyn Memory>, Error> {
        let shared = self.shared();
        let charge = Charge::new(budget::cost(bytes, self.requests(bytes, packets), packets));
        let mode = shared.wanted_memory.unwrap_or_else(|| shared.controller.memory(&shared.node));
        let area = MappedMemory::area(bytes, bytes / packets.max(1));
        let Some(area) = area.filter(|_| mode == Mode::Mapped && bytes > 0) else {
            let bytes = vec![0; bytes].into_boxed_slice();
            return Ok(Box::new(CopiedMemory { bytes, _charge: charge }));
        };
        match MappedMemory::new(&shared.node, bytes, area, charge) {
            Ok(memory) => Ok(Box::new(memory)),
            Err(code) => Err(budget::not_mapped(code, bytes)),
        }
    }

    fn check_budget(&self, blocks: usize, bytes: usize, packets: usize) -> Result<(), Error> {
        let cost = budget::cost(bytes, self.requests(bytes, packets), packets);
        budget::check(blocks, cost, budget::limit())
    }

    fn clock(&self) -> FrameClock {
        FrameClock { source: Arc::clone(&self.shared().controller.clock) as _, waiting: Waiting::Real }
    }

    fn waiting(&self) -> &Waiting {
        &Waiting::Real
    }

    fn is_present(&self) -> bool {
        !self.shared().lock().gone && self.place.as_ref().is_none_or(|place| place.node().exists())
    }

    fn take_over_events(&self) -> Result<Box<dyn HandlesEvents>, Error> {
        let shared = self.shared();
        let mut state = shared.lock();
        if std::mem::replace(&mut state.own_loop, true) {
            return Err(Error::Busy {
                what: "the device's events".into(),
                remedy: "another loop handles them; drop its `EventLoop` first",
            });
        }
        drop(state);
        shared.wakes.nudge();
        Ok(Box::new(OwnLoop { session: Arc::clone(&self.session), lists: Mutex::default() }))
    }
}

/// The device's events, in the program's own loop. Dropping it gives them back to the thread.
struct OwnLoop {
    session: Arc<Session>,
    lists: Mutex<Lists>,
}

impl HandlesEvents for OwnLoop {
    fn descriptor(&self) -> std::os::fd::BorrowedFd<'_> {
        self.session.shared().wakes.descriptor()
    }

    fn handle(&self) {
        let shared = self.session.shared();
        let mut lists = lock(&self.lists);
        shared.lock().handler = Some(std::thread::current().id());
        shared.turn(&mut lists, true);
        shared.lock().handler = None;
    }
}

impl Drop for OwnLoop {
    fn drop(&mut self) {
        let shared = self.session.shared();
        shared.lock().own_loop = false;
        shared.changed.notify_all();
    }
}
