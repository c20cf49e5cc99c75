//! From bytes to a [`Configuration`].
//!
//! Why a flat loop and not a recursive parser? Descriptors do not nest: each belongs to what came before
//! it. The loop remembers the last alternate setting or association and hangs everything on it.

use super::endpoint::{Endpoint, SuperSpeedCompanion, SuperSpeedPlusCompanion};
use super::walk::{first, walk};
use super::{
    AlternateSetting, Configuration, DescriptorError, DescriptorErrorKind, Interface, InterfaceAssociation,
    MAXIMUM_LENGTH, RawDescriptor, Warning, byte_at, descriptor_type, tail, u16_at,
};

/// What the next descriptor belongs to.
#[derive(Clone, Copy)]
enum Owner {
    Configuration,
    /// The last association.
    Association,
    /// An alternate setting, by its indices.
    Alternate(usize, usize),
}

struct Parser {
    configuration: Configuration,
    owner: Owner,
    warnings: Vec<Warning>,
}

pub(super) fn configuration(bytes: &[u8]) -> Result<(Configuration, Vec<Warning>), DescriptorError> {
    if bytes.len() > MAXIMUM_LENGTH {
        return Err(DescriptorError::new(0, DescriptorErrorKind::TooLong { length: bytes.len() }));
    }
    let header = first(bytes, descriptor_type::CONFIGURATION, 9)?;
    let claimed = u16_at(header.bytes, 2);
    if usize::from(claimed) != bytes.len() {
        let kind = DescriptorErrorKind::TotalLength { claimed, actual: bytes.len() };
        return Err(DescriptorError::new(0, kind));
    }
    let mut parser = Parser {
        configuration: Configuration {
            value: byte_at(bytes, 5),
            declared_interfaces: byte_at(bytes, 4),
            string: byte_at(bytes, 6),
            attributes: byte_at(bytes, 7),
            max_power: byte_at(bytes, 8),
            tail: tail(header.bytes, 9),
            extra: Vec::new(),
            interfaces: Vec::new(),
            associations: Vec::new(),
        },
        owner: Owner::Configuration,
        warnings: Vec::new(),
    };
    for raw in walk(bytes).skip(1) {
        parser.take(&raw?)?;
    }
    parser.count();
    Ok((parser.configuration, parser.warnings))
}

impl Parser {
    fn take(&mut self, raw: &RawDescriptor<'_>) -> Result<(), DescriptorError> {
        match raw.descriptor_type {
            descriptor_type::INTERFACE => self.interface(raw),
            descriptor_type::INTERFACE_ASSOCIATION => self.association(raw),
            descriptor_type::ENDPOINT => self.endpoint(raw),
            descriptor_type::SUPER_SPEED_COMPANION | descriptor_type::SUPER_SPEED_PLUS_COMPANION => {
                self.companion(raw)
            }
            descriptor_type::DEVICE | descriptor_type::CONFIGURATION => {
                // Linux and Windows step over these; so does everyone who only looks for interfaces.
                self.warnings
                    .push(Warning::OutOfPlace { offset: raw.offset, descriptor_type: raw.descriptor_type });
                self.unknown(raw);
                Ok(())
            }
            _ => {
                self.unknown(raw);
                Ok(())
            }
        }
    }

    fn interface(&mut self, raw: &RawDescriptor<'_>) -> Result<(), DescriptorError> {
        raw.at_least(9)?;
        let (number, alternate) = (byte_at(raw.bytes, 2), byte_at(raw.bytes, 3));
        let interfaces = &mut self.configuration.interfaces;
        let index = interfaces.iter().position(|interface| interface.number == number).unwrap_or_else(|| {
            interfaces.push(Interface { number, alternates: Vec::new() });
            interfaces.len() - 1
        });
        let Some(interface) = interfaces.get_mut(index) else { return Ok(()) };
        if interface.alternate(alternate).is_some() {
            let kind = DescriptorErrorKind::DuplicateAlternateSetting { interface: number, alternate };
            return Err(DescriptorError::new(raw.offset, kind));
        }
        interface.alternates.push(AlternateSetting {
            position: raw.offset,
            number: alternate,
            declared_endpoints: byte_at(raw.bytes, 4),
            class: byte_at(raw.bytes, 5),
            subclass: byte_at(raw.bytes, 6),
            protocol: byte_at(raw.bytes, 7),
            string: byte_at(raw.bytes, 8),
            tail: tail(raw.bytes, 9),
            extra: Vec::new(),
            endpoints: Vec::new(),
        });
        self.owner = Owner::Alternate(index, interface.alternates.len() - 1);
        Ok(())
    }

    fn association(&mut self, raw: &RawDescriptor<'_>) -> Result<(), DescriptorError> {
        raw.at_least(8)?;
        self.configuration.associations.push(InterfaceAssociation {
            position: raw.offset,
            first_interface: byte_at(raw.bytes, 2),
            count: byte_at(raw.bytes, 3),
            class: byte_at(raw.bytes, 4),
            subclass: byte_at(raw.bytes, 5),
            protocol: byte_at(raw.bytes, 6),
            string: byte_at(raw.bytes, 7),
            tail: tail(raw.bytes, 8),
            extra: Vec::new(),
        });
        self.owner = Owner::Association;
        Ok(())
    }

    fn endpoint(&mut self, raw: &RawDescriptor<'_>) -> Result<(), DescriptorError> {
        raw.at_least(7)?;
        let endpoint = Endpoint::from_raw(raw);
        let address = endpoint.address;
        let fail = |kind| Err(DescriptorError::new(raw.offset, kind));
        // USB 2.0 Table 9-13: bits 6-4 reserved, reset to zero; endpoint 0 has no descriptor.
        if address & 0x70 != 0 || address & 0x0f == 0 {
            return fail(DescriptorErrorKind::EndpointAddress { address });
        }
        // Behind an association there is no interface it could belong to either.
        let Some(alternate) = self.alternate() else {
            return fail(DescriptorErrorKind::EndpointBeforeInterface);
        };
        if alternate.endpoint(address).is_some() {
            return fail(DescriptorErrorKind::DuplicateEndpoint { address });
        }
        alternate.endpoints.push(endpoint);
        Ok(())
    }

    fn companion(&mut self, raw: &RawDescriptor<'_>) -> Result<(), DescriptorError> {
        let plus = raw.descriptor_type == descriptor_type::SUPER_SPEED_PLUS_COMPANION;
        raw.at_least(if plus { 8 } else { 6 })?;
        let Some(endpoint) = self.alternate().and_then(|alternate| alternate.endpoints.last_mut()) else {
            let kind = DescriptorErrorKind::CompanionWithoutEndpoint { descriptor_type: raw.descriptor_type };
            return Err(DescriptorError::new(raw.offset, kind));
        };
        // USB 3.2 §9.6.7: it directly follows the endpoint; §9.6.8: the second directly follows the first.
        let adjacent = endpoint.extra.is_empty() && endpoint.super_speed_plus.is_none();
        match (plus, endpoint.super_speed.is_some()) {
            (false, false) if adjacent => endpoint.super_speed = Some(SuperSpeedCompanion::from_raw(raw)),
            (true, true) if adjacent => {
                endpoint.super_speed_plus = Some(SuperSpeedPlusCompanion::from_raw(raw));
            }
            // Linux does not look further for it either, and warns.
            _ => {
                let address = endpoint.address;
                endpoint.extra.push(raw.bytes.to_vec());
                self.warnings.push(Warning::StrayCompanion { offset: raw.offset, address });
            }
        }
        Ok(())
    }

    fn unknown(&mut self, raw: &RawDescriptor<'_>) {
        let bytes = raw.bytes.to_vec();
        match self.owner {
            Owner::Configuration => self.configuration.extra.push(bytes),
            Owner::Association => {
                if let Some(association) = self.configuration.associations.last_mut() {
                    association.extra.push(bytes);
                }
            }
            Owner::Alternate(..) => {
                if let Some(alternate) = self.alternate() {
                    match alternate.endpoints.last_mut() {
                        Some(endpoint) => endpoint.extra.push(bytes),
                        None => alternate.extra.push(bytes),
                    }
                }
            }
        }
    }

    /// The alternate setting that the next descriptor belongs to.
    fn alternate(&mut self) -> Option<&mut AlternateSetting> {
        let Owner::Alternate(interface, alternate) = self.owner else { return None };
        self.configuration.interfaces.get_mut(interface)?.alternates.get_mut(alternate)
    }

    /// Compares the declared numbers with what was found. Many devices are wrong here and work everywhere,
    /// because systems go by the descriptors that are there.
    fn count(&mut self) {
        let configuration = &self.configuration;
        let (declared, found) = (configuration.declared_interfaces, configuration.interfaces.len());
        if usize::from(declared) != found {
            self.warnings.push(Warning::InterfaceCount { declared, found });
        }
        for interface in &configuration.interfaces {
            for alternate in &interface.alternates {
                let (declared, found) = (alternate.declared_endpoints, alternate.endpoints.len());
                if usize::from(declared) != found {
                    self.warnings.push(Warning::EndpointCount {
                        interface: interface.number,
                        alternate: alternate.number,
                        declared,
                        found,
                    });
                }
            }
        }
    }
}
