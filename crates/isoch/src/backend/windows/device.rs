//! Devices that WinUSB drives.

use isoch_core::rules::winusb;
use isoch_core::{Capabilities, ClockSupport, FrameSource, Lengths, Memory, Results, StartSupport};

use super::codes;
use super::isoch::WindowsPort;
use super::memory::RegisteredMemory;
use super::shared::{Pipe, Shared};
use crate::backend::refusals;
use crate::bus::{BusDevice, DataReport, DataRequest, IsochPort, IsochReports};
use crate::clock::FrameClock;
use crate::device::DeviceInformation;
use crate::sync::{Arc, Ordering, Weak};
use crate::wait::Waiting;
use crate::{Direction, Error};

/// Keeps the device's thread at work. With the last of these the device is closed, as soon as everything that
/// was in flight has come back; nobody waits for that.
pub(super) struct Session {
    shared: Arc<Shared>,
}

impl Session {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Session { shared }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        super::opening::closing().begin();
        self.shared.lock().closing = true;
        self.shared.nudge.set();
    }
}

pub(super) struct WindowsDevice {
    pub(super) session: Arc<Session>,
    pub(super) information: DeviceInformation,
    pub(super) device_bytes: Vec<u8>,
    pub(super) configuration_bytes: Vec<u8>,
}

impl WindowsDevice {
    fn shared(&self) -> &Arc<Shared> {
        self.session.shared()
    }
}

impl BusDevice for WindowsDevice {
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
        let shared = self.shared();
        if shared.interface(interface).is_none() {
            let available = crate::text::listed(shared.interfaces.iter().map(|known| known.number));
            return Err(Error::Unsupported(format!(
                "Windows gave WinUSB only a part of this device, without interface {interface}: it has {available}; \
                 open the function that interface {interface} belongs to by its own device-interface path"
            )));
        }
        // What was let go may still be on its way back to setting 0; and who had the device before may have left
        // it in another.
        let setting = shared.wait_until_free(shared.lock(), interface)?.setting(interface);
        match shared.interface(interface).filter(|_| setting != 0) {
            None => Ok(()),
            Some(handle) => {
                shared.put_setting(handle, 0).map_err(|code| codes::setting_error(code, interface, 0))
            }
        }
    }

    fn release(&self, interface: u8) {
        let shared = self.shared();
        let mut state = shared.lock();
        let of_interface = state.data.iter_mut().filter(|flight| flight.is_on(interface));
        of_interface.for_each(|flight| flight.cancel(shared));
        // Setting 0 again, but only once nothing is in flight: the system refuses it before.
        if !state.releasing.contains(&interface) {
            state.releasing.push(interface);
        }
        drop(state);
        shared.nudge.set();
    }

    fn set_alternate_setting(&self, interface: u8, setting: u8) -> Result<(), Error> {
        let shared = self.shared();
        let Some(handle) = shared.interface(interface) else {
            return Err(Error::Unsupported(format!("interface {interface} is not WinUSB's")));
        };
        let mut state = shared.wait_until_free(shared.lock(), interface)?;
        if state.gone {
            return Err(Error::Gone);
        }
        let before = state.setting(interface);
        let (pipes, buffers) = state.begin_change(interface)?;
        drop(state);
        shared.unregister(buffers);
        let put = shared.put_setting(handle, setting);
        shared.lock().end_change(interface, before, &pipes);
        put.map_err(|code| codes::setting_error(code, interface, setting))
    }

    fn submit_data(&self, request: DataRequest, done: Arc<dyn DataReport>) {
        super::data::submit(self.shared(), request, done);
    }

    fn cancel_data(&self, done: &Arc<dyn DataReport>) {
        super::data::cancel(self.shared(), done);
    }

    fn capabilities(&self, direction: Direction) -> Capabilities {
        let results = match direction {
            Direction::Out => Results::None,
            Direction::In => Results::PerPacket,
        };
        Capabilities {
            start: StartSupport::Exact,
            frames: FrameSource::Assumed,
            lengths: Lengths::FullThenShort,
            results,
            // A write of which some packets came too late succeeds without a word.
            gaps: results == Results::PerPacket,
            clock: ClockSupport::Exact,
            horizon: Some(u64::from(winusb::START_FRAME_RANGE) - 1),
            lead: u64::from(winusb::ASAP_LEAD_FRAMES),
        }
    }

    fn open_isoch(&self, endpoint: u8, reports: Weak<dyn IsochReports>) -> Result<Box<dyn IsochPort>, Error> {
        let shared = self.shared();
        let mut state = shared.lock();
        if state.gone {
            return Err(Error::Gone);
        }
        let is_open =
            |pipe: &Pipe| pipe.endpoint == endpoint && !pipe.closed && !pipe.stale.load(Ordering::Relaxed);
        if state.pipes.iter().any(is_open) {
            return Err(refusals::already_open(endpoint));
        }
        let missing = || refusals::not_in_force(endpoint);
        let interface = shared.interface_of(&state, endpoint).ok_or_else(missing)?;
        state.check_usable(interface.number)?;
        let setting = state.setting(interface.number);
        let found = shared.configuration.interface(interface.number);
        let found =
            found.and_then(|found| found.alternate(setting)?.endpoint(endpoint)).ok_or_else(missing)?;
        let rules = winusb::Pipe::new(shared.speed, found)
            .map_err(|refusal| Error::Unsupported(format!("endpoint {endpoint:#04x}: {refusal}")))?;
        let (id, stale) = (state.next_pipe, Arc::default());
        state.next_pipe += 1;
        state.pipes.push(Pipe {
            id,
            endpoint,
            direction: rules.direction(),
            interface,
            reports,
            kept: None,
            flights: Default::default(),
            buffers: Default::default(),
            end: None,
            deadline: None,
            withdrawn: false,
            stale: Arc::clone(&stale),
            closed: false,
            told_gone: false,
        });
        Ok(Box::new(WindowsPort { session: Arc::clone(&self.session), pipe: id, rules, stale }))
    }

    fn allocate(&self, bytes: usize, _packets: usize) -> Result<Box<dyn Memory>, Error> {
        Ok(Box::new(RegisteredMemory::new(bytes, Arc::downgrade(self.shared()))))
    }

    fn clock(&self) -> FrameClock {
        FrameClock { source: Arc::clone(&self.shared().clock) as _, waiting: Waiting::Real }
    }

    fn waiting(&self) -> &Waiting {
        &Waiting::Real
    }
}
