//! Control requests: what the port answers itself, and what is the device's.
//!
//! Why does no time pass? A control transfer takes what is left of a frame, a few microseconds on a quiet bus;
//! a test that sends one must not find itself in another frame.

use isoch_core::Outcome;
use isoch_core::rules::{Recipient, RequestKind, Setup, Speed};

use super::bandwidth::{Class, Load};
use super::port::Port;
use super::{ControlError, Controller, Event, PortId, SettingError};
use crate::device::BusTime;

// Standard requests (USB 2.0 table 9-4).
const GET_STATUS: u8 = 0;
const CLEAR_FEATURE: u8 = 1;
const SET_FEATURE: u8 = 3;
const SET_ADDRESS: u8 = 5;
const GET_DESCRIPTOR: u8 = 6;
const GET_CONFIGURATION: u8 = 8;
const SET_CONFIGURATION: u8 = 9;
const GET_INTERFACE: u8 = 10;
const SET_INTERFACE: u8 = 11;

// Features (USB 2.0 table 9-6).
const ENDPOINT_HALT: u16 = 0;
const DEVICE_REMOTE_WAKEUP: u16 = 1;

impl Controller {
    /// A control request with an OUT data stage, or none. Standard requests are answered by the port.
    ///
    /// # Errors
    /// If `setup` is for another direction or `data` has another length, if the device is gone or answers
    /// with STALL, or if the alternate setting asked for cannot be had.
    pub fn control_out(&mut self, port: PortId, setup: Setup, data: &[u8]) -> Result<(), ControlError> {
        if setup.request_type & 0x80 != 0 || data.len() != usize::from(setup.length) {
            return Err(ControlError::Malformed);
        }
        self.control_allowed(port)?;
        if setup.kind() == RequestKind::Standard {
            match (setup.request, setup.recipient()) {
                (SET_ADDRESS, Recipient::Device) => return Ok(()),
                (SET_CONFIGURATION, Recipient::Device) => return self.set_configuration(port, setup.value),
                (SET_INTERFACE, Recipient::Interface) => {
                    let (interface, setting) = (setup.index as u8, setup.value as u8);
                    return match self.set_alternate_setting(port, interface, setting) {
                        Ok(()) => Ok(()),
                        Err(SettingError::Gone) => Err(ControlError::Gone),
                        Err(SettingError::NoSuchSetting | SettingError::Stall) => Err(ControlError::Stall),
                        Err(refused) => Err(ControlError::Setting(refused)),
                    };
                }
                (SET_FEATURE | CLEAR_FEATURE, recipient) => {
                    let on = setup.request == SET_FEATURE;
                    let port = self.port_mut(port).ok_or(ControlError::Gone)?;
                    return feature(port, recipient, setup, on);
                }
                _ => {}
            }
        }
        let now = BusTime { microframe: self.now };
        let device = self.device_mut(port).ok_or(ControlError::Gone)?;
        device.control_out(setup, data, now).map_err(|_| ControlError::Stall)
    }

    /// A control request with an IN data stage. `data` holds the answer afterwards: at most `setup.length`
    /// bytes, often fewer.
    ///
    /// # Errors
    /// If `setup` is for the other direction, or the device is gone or answers with STALL.
    pub fn control_in(&mut self, port: PortId, setup: Setup, data: &mut Vec<u8>) -> Result<(), ControlError> {
        data.clear();
        if setup.request_type & 0x80 == 0 {
            return Err(ControlError::Malformed);
        }
        self.control_allowed(port)?;
        let now = BusTime { microframe: self.now };
        let entry = self.port_mut(port).ok_or(ControlError::Gone)?;
        let answered = setup.kind() == RequestKind::Standard && standard_in(entry, setup, data)?;
        if !answered {
            let device = entry.device.as_mut().ok_or(ControlError::Gone)?;
            device.control_in(setup, data, now).map_err(|_| ControlError::Stall)?;
        }
        data.truncate(usize::from(setup.length));
        Ok(())
    }

    /// Puts an interface to an alternate setting, as SET_INTERFACE does. Open pipes on it are closed, except
    /// where it had this setting already.
    ///
    /// # Errors
    /// If there is no such setting, it does not fit the bus, transfers are pending on the interface, or the
    /// device is gone or answers with STALL.
    pub fn set_alternate_setting(
        &mut self,
        port: PortId,
        interface: u8,
        setting: u8,
    ) -> Result<(), SettingError> {
        match self.control_allowed(port) {
            Err(ControlError::Gone) => return Err(SettingError::Gone),
            Err(_) => return Err(SettingError::Stall),
            Ok(()) => {}
        }
        let entry = self.port(port).ok_or(SettingError::Gone)?;
        let old = entry.current(interface).ok_or(SettingError::NoSuchSetting)?;
        let wanted = entry.walked.setting(interface, setting).ok_or(SettingError::NoSuchSetting)?;
        let speed = entry.walked.speed;
        let needed = Load::of(speed, wanted);
        let addresses = entry.endpoints_of(interface);
        if self.is_busy(port, &addresses) {
            return Err(SettingError::Busy);
        }
        let given_back = entry.walked.setting(interface, old).map(|old| Load::of(speed, old));
        let class = Class::of(speed);
        let used = self.bandwidth_used(class).minus(given_back.unwrap_or_default());
        needed
            .fits(used, class)
            .map_err(|(needed, available)| SettingError::NoBandwidth { needed, available })?;
        if old != setting {
            self.close_idle(port, &addresses);
        }
        let now = BusTime { microframe: self.now };
        if let Some(entry) = self.port_mut(port) {
            entry.choose(interface, setting);
            if let Some(device) = entry.device.as_mut() {
                device.alternate_setting(interface, setting, now);
            }
        }
        Ok(())
    }

    fn set_configuration(&mut self, port: PortId, value: u16) -> Result<(), ControlError> {
        let entry = self.port(port).ok_or(ControlError::Gone)?;
        if value != 0 && value != u16::from(entry.walked.configuration) {
            return Err(ControlError::Stall);
        }
        let interfaces = entry.interfaces().iter().map(|(interface, _)| *interface);
        let addresses: Vec<u8> = interfaces.flat_map(|interface| entry.endpoints_of(interface)).collect();
        if self.is_busy(port, &addresses) {
            return Err(ControlError::Setting(SettingError::Busy));
        }
        self.close_idle(port, &addresses);
        let now = BusTime { microframe: self.now };
        let entry = self.port_mut(port).ok_or(ControlError::Gone)?;
        entry.configuration = value as u8;
        entry.reset_settings();
        for (interface, setting) in entry.interfaces().to_vec() {
            if let Some(device) = entry.device.as_mut() {
                device.alternate_setting(interface, setting, now);
            }
        }
        Ok(())
    }

    /// Whether a request reaches the device now.
    fn control_allowed(&mut self, port: PortId) -> Result<(), ControlError> {
        let frame = self.now / 8;
        let Some(entry) = self.ports.get_mut(port.0 as usize).filter(|entry| entry.device.is_some()) else {
            return Err(ControlError::Gone);
        };
        if self.faults.control_stalled(&entry.name, frame) {
            return Err(ControlError::Stall);
        }
        entry.stir();
        Ok(())
    }

    fn bandwidth_used(&self, class: Class) -> Load {
        let ports = self.live.iter().map(|index| &self.ports[*index]);
        let sharing = ports.filter(|port| Class::of(port.walked.speed) == class);
        sharing
            .flat_map(|port| port.settings().map(|setting| Load::of(port.walked.speed, setting)))
            .fold(Load::default(), Load::plus)
    }

    /// Whether transfers are pending on one of these endpoints, as far as the host knows: what has ended and
    /// was not told yet is pending for it.
    fn is_busy(&self, port: PortId, addresses: &[u8]) -> bool {
        let data = self.port(port).is_some_and(|entry| {
            entry.data.iter().any(|endpoint| endpoint.is_pending() && addresses.contains(&endpoint.address()))
        });
        let on_port = self.pipes.iter().filter(|pipe| pipe.port == port.0 as usize);
        let concerned: Vec<_> = on_port.filter(|pipe| addresses.contains(&pipe.endpoint)).collect();
        let untold = self.outbox.iter().any(|(_, event)| match event {
            Event::Isoch(done) => concerned.iter().any(|pipe| pipe.id == done.pipe),
            Event::Data(done) => done.port == port && addresses.contains(&done.endpoint),
            Event::Plugged(_) | Event::Unplugged(_) => false,
        });
        data || untold || concerned.iter().any(|pipe| !pipe.queue.is_empty())
    }

    /// Closes pipes of these endpoints, which have nothing pending.
    fn close_idle(&mut self, port: PortId, addresses: &[u8]) {
        let on_port = self.pipes.iter().filter(|pipe| pipe.port == port.0 as usize);
        let ids: Vec<_> =
            on_port.filter(|pipe| addresses.contains(&pipe.endpoint)).map(|pipe| pipe.id).collect();
        for id in ids {
            if let Some(mut pipe) = self.pipes.remove(id) {
                pipe.end_all(&self.profile, self.now, Outcome::Cancelled, &mut Vec::new());
            }
        }
    }
}

/// SET_FEATURE and CLEAR_FEATURE.
fn feature(port: &mut Port, recipient: Recipient, setup: Setup, on: bool) -> Result<(), ControlError> {
    match (recipient, setup.value) {
        (Recipient::Device, DEVICE_REMOTE_WAKEUP) => Ok(()),
        (Recipient::Endpoint, ENDPOINT_HALT) => {
            let address = setup.index as u8;
            if let Some(endpoint) = port.data_endpoint(address) {
                endpoint.halted = on;
                return Ok(());
            }
            // Endpoint 0 recovers by itself, and isochronous endpoints have no halt (USB 2.0 §5.6.5): clearing
            // what is not set succeeds.
            let known = address & 0x7f == 0 || port.endpoint(address).is_some();
            if known && !on { Ok(()) } else { Err(ControlError::Stall) }
        }
        _ => Err(ControlError::Stall),
    }
}

/// The IN requests that the port answers. Returns `false` for those that are the device's (a HID report
/// descriptor, say).
fn standard_in(port: &mut Port, setup: Setup, data: &mut Vec<u8>) -> Result<bool, ControlError> {
    match (setup.request, setup.recipient()) {
        (GET_DESCRIPTOR, Recipient::Device) => descriptor(port, setup.value, data)?,
        (GET_CONFIGURATION, Recipient::Device) => data.push(port.configuration),
        (GET_INTERFACE, Recipient::Interface) => {
            data.push(port.current(setup.index as u8).ok_or(ControlError::Stall)?);
        }
        (GET_STATUS, Recipient::Device) => data.extend([u8::from(port.walked.self_powered), 0]),
        (GET_STATUS, Recipient::Interface) => {
            port.current(setup.index as u8).ok_or(ControlError::Stall)?;
            data.extend([0, 0]);
        }
        (GET_STATUS, Recipient::Endpoint) => {
            let address = setup.index as u8;
            if address & 0x7f != 0 && port.endpoint(address).is_none() {
                return Err(ControlError::Stall);
            }
            let halted = port.data_endpoint(address).is_some_and(|endpoint| endpoint.halted);
            data.extend([u8::from(halted), 0]);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// GET_DESCRIPTOR (USB 2.0 §9.4.3); the high byte of `value` is the type, the low byte an index.
fn descriptor(port: &Port, value: u16, data: &mut Vec<u8>) -> Result<(), ControlError> {
    let device = port.device.as_ref().ok_or(ControlError::Gone)?;
    let descriptors = device.descriptors();
    match value.to_be_bytes() {
        [1, 0] => data.extend(&descriptors.device),
        [2, 0] => data.extend(&descriptors.configuration),
        // The languages: English (United States).
        [3, 0] => data.extend([4, 3, 0x09, 0x04]),
        [3, index] => {
            let string = descriptors.strings.get(usize::from(index) - 1).ok_or(ControlError::Stall)?;
            // bLength is a byte: 126 units and no half of a surrogate pair.
            let mut units: Vec<u16> = string.encode_utf16().take(126).collect();
            units.pop_if(|last| (0xd800..0xdc00).contains(last));
            data.extend([2 + 2 * units.len() as u8, 3]);
            data.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
        }
        // Only devices that could run at the other of full and high speed have a qualifier (§9.6.2). This
        // one says that it has no configuration there.
        [6, 0] if descriptors.speed == Speed::High => {
            let Some([_, _, version_low, version_high, class, subclass, protocol, packet]) =
                descriptors.device.first_chunk::<8>()
            else {
                return Err(ControlError::Stall);
            };
            data.extend([10, 6, *version_low, *version_high, *class, *subclass, *protocol, *packet, 0, 0]);
        }
        [15, 0] => data.extend(descriptors.bos.as_ref().ok_or(ControlError::Stall)?),
        _ => return Err(ControlError::Stall),
    }
    Ok(())
}
