//! A configuration as a tree, and back to bytes.
//!
//! Why does the tree remember positions? Alternate settings of one interface need not stand together, and
//! associations may stand anywhere between. Grouping them by interface is what every reader wants; the
//! position is what puts them back.

use super::{DescriptorError, Endpoint, Warning, descriptor_type, parse, put};
use crate::rules::timing::Speed;

/// A configuration (USB 2.0 §9.6.3) with everything that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// `bConfigurationValue`.
    pub value: u8,
    /// `bNumInterfaces`, as declared.
    pub declared_interfaces: u8,
    /// `iConfiguration`: the index of its string, 0 if there is none.
    pub string: u8,
    /// `bmAttributes`: bit 6 self-powered, bit 5 remote wake-up.
    pub attributes: u8,
    /// `bMaxPower`, in units of 2 mA or 8 mA; see [`Configuration::maximum_milliamperes`].
    pub max_power: u8,
    /// Bytes behind the known fields.
    pub tail: Vec<u8>,
    /// Descriptors before the first interface or association, whole, in order.
    pub extra: Vec<Vec<u8>>,
    /// The interfaces, in order of first appearance.
    pub interfaces: Vec<Interface>,
    /// The associations, in order.
    pub associations: Vec<InterfaceAssociation>,
}

/// An interface: all alternate settings with the same number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// `bInterfaceNumber`.
    pub number: u8,
    /// Its alternate settings, in order.
    pub alternates: Vec<AlternateSetting>,
}

/// One alternate setting of an interface (USB 2.0 §9.6.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlternateSetting {
    /// Byte offset in the configuration it was read from. [`Configuration::to_bytes`] writes alternate
    /// settings and associations in this order (equal ones: associations first, then as listed).
    pub position: usize,
    /// `bAlternateSetting`.
    pub number: u8,
    /// `bNumEndpoints`, as declared.
    pub declared_endpoints: u8,
    /// `bInterfaceClass`.
    pub class: u8,
    /// `bInterfaceSubClass`.
    pub subclass: u8,
    /// `bInterfaceProtocol`.
    pub protocol: u8,
    /// `iInterface`: the index of its string, 0 if there is none.
    pub string: u8,
    /// Bytes behind the known fields.
    pub tail: Vec<u8>,
    /// Class-specific and unknown descriptors before the endpoints, whole, in order.
    pub extra: Vec<Vec<u8>>,
    /// Its endpoints, in order.
    pub endpoints: Vec<Endpoint>,
}

/// Interfaces that form one function (USB 3.2 §9.6.4, the Interface Association Descriptor).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceAssociation {
    /// Byte offset in the configuration it was read from; see [`AlternateSetting::position`].
    pub position: usize,
    /// `bFirstInterface`.
    pub first_interface: u8,
    /// `bInterfaceCount`.
    pub count: u8,
    /// `bFunctionClass`.
    pub class: u8,
    /// `bFunctionSubClass`.
    pub subclass: u8,
    /// `bFunctionProtocol`.
    pub protocol: u8,
    /// `iFunction`: the index of its string, 0 if there is none.
    pub string: u8,
    /// Bytes behind the known fields.
    pub tail: Vec<u8>,
    /// Descriptors between it and the next interface or association, whole, in order.
    pub extra: Vec<Vec<u8>>,
}

impl Configuration {
    /// Reads a configuration from exactly its bytes: `wTotalLength` of them.
    ///
    /// # Errors
    /// See [`DescriptorErrorKind`](super::DescriptorErrorKind). What harms nobody comes back as warnings.
    pub fn parse(bytes: &[u8]) -> Result<(Configuration, Vec<Warning>), DescriptorError> {
        parse::configuration(bytes)
    }

    /// The bytes of the configuration, `wTotalLength` computed. What was parsed comes back identical.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        enum Item<'a> {
            Association(&'a InterfaceAssociation),
            Alternate(u8, &'a AlternateSetting),
        }
        let mut items: Vec<(usize, Item<'_>)> = Vec::new();
        items.extend(self.associations.iter().map(|item| (item.position, Item::Association(item))));
        for interface in &self.interfaces {
            let number = interface.number;
            items.extend(
                interface.alternates.iter().map(|item| (item.position, Item::Alternate(number, item))),
            );
        }
        items.sort_by_key(|(position, _)| *position); // stable: equal positions stay as listed

        let mut out = Vec::new();
        let fields = [
            descriptor_type::CONFIGURATION,
            0,
            0,
            self.declared_interfaces,
            self.value,
            self.string,
            self.attributes,
            self.max_power,
        ];
        put(&mut out, &fields, &self.tail);
        self.extra.iter().for_each(|bytes| out.extend_from_slice(bytes));
        for (_, item) in items {
            match item {
                Item::Association(association) => association.write(&mut out),
                Item::Alternate(number, alternate) => alternate.write(number, &mut out),
            }
        }
        let total = u16::try_from(out.len()).unwrap_or(u16::MAX).to_le_bytes();
        if let Some(field) = out.get_mut(2..4) {
            field.copy_from_slice(&total);
        }
        out
    }

    /// The interface with this number.
    #[must_use]
    pub fn interface(&self, number: u8) -> Option<&Interface> {
        self.interfaces.iter().find(|interface| interface.number == number)
    }

    /// The first endpoint with this address in any alternate setting, and where it is.
    #[must_use]
    pub fn find_endpoint(&self, address: u8) -> Option<(&Interface, &AlternateSetting, &Endpoint)> {
        self.endpoints().find(|(_, _, endpoint)| endpoint.address == address)
    }

    /// All isochronous endpoints, with the alternate setting that must be selected to use them.
    pub fn isochronous(&self) -> impl Iterator<Item = (&Interface, &AlternateSetting, &Endpoint)> {
        self.endpoints().filter(|(_, _, endpoint)| endpoint.is_isochronous())
    }

    /// All endpoints of all alternate settings.
    pub fn endpoints(&self) -> impl Iterator<Item = (&Interface, &AlternateSetting, &Endpoint)> {
        self.interfaces.iter().flat_map(|interface| {
            interface.alternates.iter().flat_map(move |alternate| {
                alternate.endpoints.iter().map(move |endpoint| (interface, alternate, endpoint))
            })
        })
    }

    /// The most current it draws from the bus, in milliamperes.
    #[must_use]
    pub fn maximum_milliamperes(&self, speed: Speed) -> u32 {
        // USB 3.2 §9.6.3: bMaxPower counts 8 mA at Gen X speed, 2 mA otherwise.
        u32::from(self.max_power) * if speed >= Speed::Super { 8 } else { 2 }
    }
}

impl Interface {
    /// The alternate setting with this number.
    #[must_use]
    pub fn alternate(&self, number: u8) -> Option<&AlternateSetting> {
        self.alternates.iter().find(|alternate| alternate.number == number)
    }
}

impl AlternateSetting {
    /// The endpoint with this address.
    #[must_use]
    pub fn endpoint(&self, address: u8) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.address == address)
    }

    /// Its isochronous endpoints.
    pub fn isochronous(&self) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.iter().filter(|endpoint| endpoint.is_isochronous())
    }

    fn write(&self, interface: u8, out: &mut Vec<u8>) {
        let fields = [
            descriptor_type::INTERFACE,
            interface,
            self.number,
            self.declared_endpoints,
            self.class,
            self.subclass,
            self.protocol,
            self.string,
        ];
        put(out, &fields, &self.tail);
        self.extra.iter().for_each(|bytes| out.extend_from_slice(bytes));
        self.endpoints.iter().for_each(|endpoint| endpoint.write(out));
    }
}

impl InterfaceAssociation {
    fn write(&self, out: &mut Vec<u8>) {
        let fields = [
            descriptor_type::INTERFACE_ASSOCIATION,
            self.first_interface,
            self.count,
            self.class,
            self.subclass,
            self.protocol,
            self.string,
        ];
        put(out, &fields, &self.tail);
        self.extra.iter().for_each(|bytes| out.extend_from_slice(bytes));
    }
}
