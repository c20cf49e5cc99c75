//! Ports: a device, what is chosen of its descriptors, and its log.

use super::data::DataEndpoint;
use super::log::PacketLog;
use super::walk::{Endpoint, Kind, Setting, Walked};
use crate::Device;

pub(super) struct Port {
    pub(super) name: String,
    /// `None` once unplugged.
    pub(super) device: Option<Box<dyn Device>>,
    pub(super) walked: Walked,
    /// The chosen configuration; 0: none.
    pub(super) configuration: u8,
    /// Interface and alternate setting, for every interface.
    current: Vec<(u8, u8)>,
    /// The bulk and interrupt endpoints of the current settings.
    pub(super) data: Vec<DataEndpoint>,
    pub(super) log: PacketLog,
}

impl Port {
    /// A port whose device has been enumerated: configured, all settings 0.
    pub(super) fn new(name: &str, device: Box<dyn Device>, walked: Walked) -> Self {
        let mut port = Port {
            name: name.to_owned(),
            device: Some(device),
            configuration: walked.configuration,
            walked,
            current: Vec::new(),
            data: Vec::new(),
            log: PacketLog::default(),
        };
        port.reset_settings();
        port
    }

    /// Puts all interfaces to setting 0.
    pub(super) fn reset_settings(&mut self) {
        self.current.clear();
        for setting in self.walked.settings.iter().filter(|setting| setting.setting == 0) {
            self.current.push((setting.interface, 0));
        }
        self.data.clear();
        self.add_data_endpoints();
    }

    /// The interfaces, each with its alternate setting.
    pub(super) fn interfaces(&self) -> &[(u8, u8)] {
        if self.configuration == 0 { &[] } else { &self.current }
    }

    /// The alternate setting of an interface.
    pub(super) fn current(&self, interface: u8) -> Option<u8> {
        self.interfaces().iter().find(|(number, _)| *number == interface).map(|(_, setting)| *setting)
    }

    /// The current alternate settings.
    pub(super) fn settings(&self) -> impl Iterator<Item = &Setting> {
        self.interfaces().iter().filter_map(|(interface, setting)| self.walked.setting(*interface, *setting))
    }

    /// An endpoint of the current settings.
    pub(super) fn endpoint(&self, address: u8) -> Option<Endpoint> {
        self.settings().flat_map(|setting| &setting.endpoints).find(|e| e.address == address).copied()
    }

    /// The addresses of the endpoints that an interface has now.
    pub(super) fn endpoints_of(&self, interface: u8) -> Vec<u8> {
        let setting = self.settings().find(|setting| setting.interface == interface);
        setting.map_or_else(Vec::new, |setting| setting.endpoints.iter().map(|e| e.address).collect())
    }

    /// Puts an interface to a setting that exists. Its endpoints begin anew, no longer halted.
    pub(super) fn choose(&mut self, interface: u8, setting: u8) {
        let old = self.endpoints_of(interface);
        self.data.retain(|endpoint| !old.contains(&endpoint.address()));
        if let Some(entry) = self.current.iter_mut().find(|(number, _)| *number == interface) {
            entry.1 = setting;
        }
        self.add_data_endpoints();
    }

    fn add_data_endpoints(&mut self) {
        let settings =
            self.current.iter().filter_map(|(number, setting)| self.walked.setting(*number, *setting));
        for endpoint in settings.flat_map(|setting| &setting.endpoints) {
            let known = self.data.iter().any(|old| old.address() == endpoint.address);
            if endpoint.kind != Kind::Isochronous && !known {
                self.data.push(DataEndpoint::new(self.walked.speed, *endpoint));
            }
        }
    }

    /// Whether nothing can move on its bulk and interrupt endpoints until something reaches the device.
    pub(super) fn rests(&self) -> bool {
        self.data.iter().all(DataEndpoint::rests)
    }

    /// Something reached the device: an endpoint that rests may answer otherwise now.
    pub(super) fn stir(&mut self) {
        self.data.iter_mut().for_each(DataEndpoint::stir);
    }

    /// The bulk or interrupt endpoint of this address.
    pub(super) fn data_endpoint(&mut self, address: u8) -> Option<&mut DataEndpoint> {
        if self.configuration == 0 {
            return None;
        }
        self.data.iter_mut().find(|endpoint| endpoint.address() == address)
    }
}
