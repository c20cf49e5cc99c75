//! Devices behind usbfs.

use std::sync::TryLockError;

use isoch_core::rules::EndpointTiming;
use isoch_core::rules::descriptors::TransferType;
use isoch_core::{Capabilities, ClockSupport, FrameSource, Lengths, Memory, Results, StartSupport};

use super::budget::{self, Charge};
use super::closing::Closing;
use super::events::Lists;
use super::isoch::UsbfsPort;
use super::list::Place;
use super::memory::{self, CopiedMemory, MOST_COPIED, MappedMemory, Mode};
use super::shared::{Pipe, Shared};
use super::split::{self, Limits};
use super::{codes, data};
use crate::backend::refusals;
use crate::bus::{BusDevice, DataReport, DataRequest, HandlesEvents, IsochPort, IsochReports};
use crate::clock::FrameClock;
use crate::device::DeviceInformation;
use crate::sync::{Arc, Mutex, Weak};
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
        self.shared.lock().closing = Some(Closing::begin(&self.shared));
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

    /// Bytes in an area, if blocks like this one are mapped; `None`: they are copied.
    fn area(&self, bytes: usize, packets: usize) -> Result<Option<usize>, Error> {
        let shared = self.shared();
        let interval = bytes / packets.max(1);
        match shared.wanted_memory {
            Some(Mode::Mapped) => memory::wanted_area(shared.capabilities, bytes, interval).map(Some),
            Some(Mode::Copied) => Ok(None),
            None if bytes > 0 && shared.controller.memory(&shared.node) == Mode::Mapped => {
                Ok(MappedMemory::area(bytes, interval))
            }
            None => Ok(None),
        }
    }

    /// What a block takes of the budget.
    fn cost(&self, bytes: usize, packets: usize, area: Option<usize>) -> u64 {
        let areas = area.map_or(0, |area| bytes.div_ceil(area));
        budget::cost(bytes, areas, self.requests(bytes, packets), packets)
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
        let before = state.setting(interface);
        let pipes = state.begin_change(interface)?;
        drop(state);
        let put = shared.node.set_interface(interface, setting);
        let in_force = if put.is_ok() { setting } else { before };
        shared.lock().end_change(interface, in_force, &pipes);
        put.map_err(|code| codes::setting_error(code, interface, setting))
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
        let is_open = |pipe: &Pipe| pipe.endpoint == endpoint && !pipe.closed && pipe.standing.is_in_force();
        if state.pipes.iter().any(is_open) {
            return Err(refusals::already_open(endpoint));
        }
        let found = shared.configuration.interfaces.iter().find_map(|interface| {
            let setting = interface.alternate(state.setting(interface.number))?;
            let found = setting.endpoint(endpoint)?;
            (found.transfer_type() == TransferType::Isochronous).then_some((interface.number, found))
        });
        let (interface, found) = found.ok_or_else(|| refusals::not_in_force(endpoint))?;
        state.check_usable(interface)?;
        let period = EndpointTiming::new(shared.speed, found)?.period_microframes();
        let id = state.id();
        let standing = Arc::default();
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
            standing: Arc::clone(&standing),
            closed: false,
            told_gone: false,
        });
        Ok(Box::new(UsbfsPort { session: Arc::clone(&self.session), pipe: id, standing }))
    }

    fn allocate(&self, bytes: usize, packets: usize) -> Result<Box<dyn Memory>, Error> {
        let area = self.area(bytes, packets)?;
        let charge = Charge::new(self.cost(bytes, packets, area));
        let Some(area) = area else {
            let bytes = vec![0; bytes].into_boxed_slice();
            return Ok(Box::new(CopiedMemory { bytes, _charge: charge }));
        };
        match MappedMemory::new(&self.shared().node, bytes, area, charge) {
            Ok(memory) => Ok(Box::new(memory)),
            Err(code) => Err(budget::not_mapped(code, bytes)),
        }
    }

    fn check_budget(&self, blocks: usize, bytes: usize, packets: usize) -> Result<(), Error> {
        let cost = self.cost(bytes, packets, self.area(bytes, packets)?);
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
        if state.own_loop {
            return Err(Error::Busy {
                what: "the device's events".into(),
                remedy: "another loop handles them; drop its `EventLoop` first",
            });
        }
        state.own_loop = true;
        shared.wakes.nudge();
        let own = Some(std::thread::current().id());
        while state.handler.is_some() && state.handler != own {
            let waited = shared.changed.wait(state);
            state = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        drop(state);
        // What is to be done at what time is found out with the first look.
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
        // A sink that is just being told, or another thread, calls this: then that one goes on.
        let mut lists = match self.lists.try_lock() {
            Ok(lists) => lists,
            Err(TryLockError::Poisoned(lists)) => lists.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        self.session.shared().handle(&mut lists);
    }
}

impl Drop for OwnLoop {
    fn drop(&mut self) {
        let shared = self.session.shared();
        let mut state = shared.lock();
        state.own_loop = false;
        state.sleeping_until = None;
        drop(state);
        shared.changed.notify_all();
    }
}
