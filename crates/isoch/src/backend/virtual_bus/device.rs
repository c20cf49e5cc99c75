//! Devices of the virtual bus.

use isoch_core::Capabilities;
use isoch_core::rules::descriptors::DeviceDescriptor;
use isoch_virtual::Descriptors;
use isoch_virtual::controller::{ControlError, DataError, OpenError, PortId, SettingError};

use super::VirtualBus;
use super::isoch::VirtualPort;
use super::shared::Shared;
use crate::backend::refusals;
use crate::bus::{BusDevice, DataReport, DataRequest, DataTarget, IsochPort, IsochReports};
use crate::clock::FrameClock;
use crate::device::{Device, DeviceInformation};
use crate::rules::Direction as RequestDirection;
use crate::sync::{Arc, Weak};
use crate::wait::Waiting;
use crate::{Direction, Error};

struct VirtualDevice {
    shared: Arc<Shared>,
    port: PortId,
    information: DeviceInformation,
    descriptors: Descriptors,
}

/// Opens what is plugged in at `port`.
pub(super) fn open(shared: &Arc<Shared>, port: PortId, address: String) -> Result<Device, Error> {
    let descriptors = shared.with(|controller| {
        let mut ports = controller.ports();
        ports.find(|(id, ..)| *id == port).map(|(_, _, descriptors)| descriptors.clone())
    });
    let descriptors = descriptors.ok_or(Error::Gone)?;
    let information = information(address, &descriptors)?;
    shared.opened(port);
    Device::new(Arc::new(VirtualDevice { shared: Arc::clone(shared), port, information, descriptors }))
}

/// What the descriptors say of a device.
pub(super) fn information(address: String, descriptors: &Descriptors) -> Result<DeviceInformation, Error> {
    let device = DeviceDescriptor::parse(&descriptors.device)?;
    let string = |index: u8| {
        usize::from(index).checked_sub(1).and_then(|index| descriptors.strings.get(index)).cloned()
    };
    Ok(DeviceInformation {
        address,
        vendor_id: device.vendor,
        product_id: device.product,
        speed: descriptors.speed,
        manufacturer: string(device.manufacturer_string),
        product: string(device.product_string),
        serial_number: string(device.serial_number_string),
    })
}

impl BusDevice for VirtualDevice {
    fn information(&self) -> &DeviceInformation {
        &self.information
    }

    fn device_bytes(&self) -> &[u8] {
        &self.descriptors.device
    }

    fn configuration_bytes(&self) -> &[u8] {
        &self.descriptors.configuration
    }

    fn claim(&self, interface: u8) -> Result<(), Error> {
        self.shared.claim(self.port, interface)
    }

    fn release(&self, interface: u8) {
        self.shared.cancel_data_on(self.port, interface);
        // Alternate setting 0, as the kernel does; a device that is gone, or has no setting 0, is left alone.
        let _ = self.set_alternate_setting(interface, 0);
        self.shared.release(self.port, interface);
    }

    fn set_alternate_setting(&self, interface: u8, setting: u8) -> Result<(), Error> {
        let set = self
            .shared
            .change(|controller, _| controller.set_alternate_setting(self.port, interface, setting));
        set.map_err(|error| setting_error(error, interface))
    }

    fn submit_data(&self, request: DataRequest, done: Arc<dyn DataReport>) {
        let mut data = request.data;
        match request.target {
            DataTarget::Control(setup) => {
                let result = self.shared.change(|controller, _| match setup.direction() {
                    RequestDirection::Out => {
                        controller.control_out(self.port, setup, &data).map(|()| data.len())
                    }
                    RequestDirection::In => {
                        data.clear();
                        controller.control_in(self.port, setup, &mut data).map(|()| data.len())
                    }
                });
                if result.is_err() {
                    data.clear();
                }
                done.done(data, result.map_err(|error| control_error(error, setup.index as u8)));
            }
            DataTarget::Endpoint(endpoint) => {
                self.shared.submit_data(self.port, endpoint, data, request.timeout, done);
            }
        }
    }

    fn cancel_data(&self, done: &Arc<dyn DataReport>) {
        self.shared.cancel_data(self.port, done);
    }

    fn capabilities(&self, direction: Direction) -> Capabilities {
        self.shared.with(|controller| controller.profile().capabilities(direction))
    }

    fn open_isoch(&self, endpoint: u8, reports: Weak<dyn IsochReports>) -> Result<Box<dyn IsochPort>, Error> {
        let pipe = self.shared.open_pipe(self.port, endpoint, reports).map_err(|error| match error {
            OpenError::Gone => Error::Gone,
            OpenError::AlreadyOpen => refusals::already_open(endpoint),
            OpenError::NoSuchEndpoint => refusals::not_in_force(endpoint),
            other => Error::Unsupported(format!("endpoint {endpoint:#04x}: {other}")),
        })?;
        Ok(Box::new(VirtualPort { shared: Arc::clone(&self.shared), pipe }))
    }

    fn clock(&self) -> FrameClock {
        self.shared.frame_clock()
    }

    fn waiting(&self) -> &Waiting {
        self.shared.waiting()
    }

    fn virtual_bus(&self) -> Option<VirtualBus> {
        Some(VirtualBus { shared: Arc::clone(&self.shared) })
    }

    fn is_present(&self) -> bool {
        self.shared.with(|controller| controller.ports().any(|(port, ..)| port == self.port))
    }

    fn facts(&self) -> Vec<(&'static str, i64)> {
        let facts = self.shared.with(|controller| controller.device_mut(self.port).map(|d| d.facts()));
        facts.unwrap_or_default()
    }
}

impl Drop for VirtualDevice {
    fn drop(&mut self) {
        self.shared.closed(self.port);
    }
}

fn control_error(error: ControlError, interface: u8) -> Error {
    match error {
        ControlError::Stall => Error::Stall,
        ControlError::Gone => Error::Gone,
        ControlError::Setting(error) => setting_error(error, interface),
        other => Error::Argument(other.to_string()),
    }
}

fn setting_error(error: SettingError, interface: u8) -> Error {
    match error {
        SettingError::NoBandwidth { needed, available } => {
            Error::NoBandwidth { needed: Some(needed.into()), available: Some(available.into()) }
        }
        SettingError::Busy => refusals::pending(interface),
        SettingError::Gone => Error::Gone,
        SettingError::Stall => Error::Stall,
        other => Error::Unsupported(other.to_string()),
    }
}

pub(super) fn data_error(error: DataError) -> Error {
    match error {
        DataError::Stall => Error::Stall,
        DataError::Gone => Error::Gone,
        DataError::Cancelled => Error::Cancelled,
        other => Error::Unsupported(other.to_string()),
    }
}
