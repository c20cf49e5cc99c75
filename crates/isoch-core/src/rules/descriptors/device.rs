//! The device descriptor, and a device with all its configurations.

use super::walk::first;
use super::{
    Configuration, DescriptorError, DescriptorErrorKind, Warning, byte_at, descriptor_type, put, tail, u16_at,
};

/// A device (USB 2.0 §9.6.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceDescriptor {
    /// `bcdUSB`: the release of the specification, 0x0200 for 2.0.
    pub usb_version: u16,
    /// `bDeviceClass`.
    pub class: u8,
    /// `bDeviceSubClass`.
    pub subclass: u8,
    /// `bDeviceProtocol`.
    pub protocol: u8,
    /// `bMaxPacketSize0`: bytes; from SuperSpeed on, the power of two (9: 512 bytes).
    pub max_packet_size_0: u8,
    /// `idVendor`.
    pub vendor: u16,
    /// `idProduct`.
    pub product: u16,
    /// `bcdDevice`: the release of the device.
    pub device_version: u16,
    /// `iManufacturer`: index of a string, 0 if there is none.
    pub manufacturer_string: u8,
    /// `iProduct`: index of a string, 0 if there is none.
    pub product_string: u8,
    /// `iSerialNumber`: index of a string, 0 if there is none.
    pub serial_number_string: u8,
    /// `bNumConfigurations`.
    pub configurations: u8,
    /// Bytes behind the known fields.
    pub tail: Vec<u8>,
}

impl DeviceDescriptor {
    /// Reads the device descriptor that `bytes` starts with (USB 2.0 Table 9-8: 18 bytes).
    ///
    /// # Errors
    /// Too short, or another descriptor.
    pub fn parse(bytes: &[u8]) -> Result<DeviceDescriptor, DescriptorError> {
        let raw = first(bytes, descriptor_type::DEVICE, 18)?;
        let bytes = raw.bytes;
        Ok(DeviceDescriptor {
            usb_version: u16_at(bytes, 2),
            class: byte_at(bytes, 4),
            subclass: byte_at(bytes, 5),
            protocol: byte_at(bytes, 6),
            max_packet_size_0: byte_at(bytes, 7),
            vendor: u16_at(bytes, 8),
            product: u16_at(bytes, 10),
            device_version: u16_at(bytes, 12),
            manufacturer_string: byte_at(bytes, 14),
            product_string: byte_at(bytes, 15),
            serial_number_string: byte_at(bytes, 16),
            configurations: byte_at(bytes, 17),
            tail: tail(bytes, 18),
        })
    }

    /// Its bytes. What was parsed comes back identical.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut fields = vec![descriptor_type::DEVICE];
        fields.extend(self.usb_version.to_le_bytes());
        fields.extend([self.class, self.subclass, self.protocol, self.max_packet_size_0]);
        fields.extend(self.vendor.to_le_bytes());
        fields.extend(self.product.to_le_bytes());
        fields.extend(self.device_version.to_le_bytes());
        fields.extend([
            self.manufacturer_string,
            self.product_string,
            self.serial_number_string,
            self.configurations,
        ]);
        let mut out = Vec::with_capacity(18);
        put(&mut out, &fields, &self.tail);
        out
    }
}

/// A device descriptor and its configurations one after the other: what Linux gives for a device, in its
/// device node and in `descriptors` in sysfs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescriptorSet {
    /// The device.
    pub device: DeviceDescriptor,
    /// Its configurations, each with what was odd in it.
    pub configurations: Vec<(Configuration, Vec<Warning>)>,
}

impl DescriptorSet {
    /// Reads a device descriptor followed by configurations up to the end of `bytes`.
    ///
    /// # Errors
    /// Any of the descriptors is malformed, or the input ends inside one.
    pub fn parse(bytes: &[u8]) -> Result<DescriptorSet, DescriptorError> {
        let device = DeviceDescriptor::parse(bytes)?;
        let mut configurations = Vec::new();
        let mut offset = usize::from(byte_at(bytes, 0));
        while let Some(rest) = bytes.get(offset..).filter(|rest| !rest.is_empty()) {
            let header =
                first(rest, descriptor_type::CONFIGURATION, 9).map_err(|error| error.moved(offset))?;
            // A total below the header's own length is left to fail in `Configuration::parse`, which says so:
            // the loop always moves on.
            let total = usize::from(u16_at(header.bytes, 2)).max(header.bytes.len());
            let Some(whole) = rest.get(..total) else {
                let kind = DescriptorErrorKind::Truncated { needed: total, have: rest.len() };
                return Err(DescriptorError::new(offset, kind));
            };
            configurations.push(Configuration::parse(whole).map_err(|error| error.moved(offset))?);
            offset += total;
        }
        Ok(DescriptorSet { device, configurations })
    }

    /// The bytes. What was parsed comes back identical.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.device.to_bytes();
        for (configuration, _) in &self.configurations {
            out.extend(configuration.to_bytes());
        }
        out
    }
}
