//! A small builder of USB descriptors.
//!
//! Why not byte arrays? Because the totals in them (`wTotalLength`, `bNumEndpoints`, `bNumInterfaces`, the
//! `wTotalLength` of class headers) depend on parameters here, and a total that is wrong by one is the kind
//! of mistake that only one operating system notices. The builder counts; a device reads like a table.
//! And why not typed structs for every class descriptor? They would say the same as the specification's
//! tables with more words: class bytes are given as bytes, only their length is computed.

/// The device descriptor (USB 2.0 §9.6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceDescriptor {
    /// `bcdUSB`: 0x0200, or 0x0300 for SuperSpeed.
    pub usb: u16,
    /// `bDeviceClass`, `bDeviceSubClass`, `bDeviceProtocol`.
    pub class: [u8; 3],
    /// `idVendor`.
    pub vendor: u16,
    /// `idProduct`.
    pub product: u16,
}

impl DeviceDescriptor {
    /// The 18 bytes: strings 1, 2 and 3 name the manufacturer, the product and the serial number, and
    /// there is one configuration. Endpoint 0 takes 64 bytes (at SuperSpeed 512, written as the exponent 9:
    /// USB 3.2 §9.6.1).
    #[must_use]
    pub fn bytes(self) -> Vec<u8> {
        let endpoint_0 = if self.usb >= 0x0300 { 9 } else { 64 };
        let mut bytes = vec![18, 0x01];
        bytes.extend_from_slice(&self.usb.to_le_bytes());
        bytes.extend_from_slice(&self.class);
        bytes.push(endpoint_0);
        bytes.extend_from_slice(&self.vendor.to_le_bytes());
        bytes.extend_from_slice(&self.product.to_le_bytes());
        bytes.extend_from_slice(&0x0100_u16.to_le_bytes());
        bytes.extend_from_slice(&[1, 2, 3, 1]);
        bytes
    }
}

/// An endpoint's fields (USB 2.0 §9.6.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `bEndpointAddress`.
    pub address: u8,
    /// `bmAttributes`: transfer type, synchronisation, usage.
    pub attributes: u8,
    /// `wMaxPacketSize`, with the additional transactions of high speed in bits 12–11.
    pub maximum_packet_size: u16,
    /// `bInterval`, as it stands in the descriptor (an exponent, except for interrupt at full speed).
    pub interval: u8,
}

impl Endpoint {
    /// A bulk endpoint.
    #[must_use]
    pub const fn bulk(address: u8, maximum_packet_size: u16) -> Self {
        Endpoint { address, attributes: 0x02, maximum_packet_size, interval: 0 }
    }

    /// An interrupt endpoint.
    #[must_use]
    pub const fn interrupt(address: u8, maximum_packet_size: u16, interval: u8) -> Self {
        Endpoint { address, attributes: 0x03, maximum_packet_size, interval }
    }

    /// An isochronous endpoint without synchronisation.
    #[must_use]
    pub const fn isochronous(address: u8, maximum_packet_size: u16, interval: u8) -> Self {
        Endpoint { address, attributes: 0x01, maximum_packet_size, interval }
    }
}

/// A configuration descriptor under construction; interfaces, endpoints and class bytes are appended in
/// the order of the finished bytes.
#[derive(Clone, Debug)]
pub struct Configuration {
    bytes: Vec<u8>,
    /// Bit n: interface n has been seen. `bNumInterfaces` counts interfaces, not alternate settings.
    interfaces: u64,
    /// Where the latest interface descriptor begins: its `bNumEndpoints` is counted up.
    interface_at: Option<usize>,
}

impl Configuration {
    /// A self-powered configuration with this `bConfigurationValue` that draws 2 mA.
    #[must_use]
    pub fn new(value: u8) -> Self {
        let bytes = vec![9, 0x02, 0, 0, 0, value, 0, 0xc0, 1];
        Configuration { bytes, interfaces: 0, interface_at: None }
    }

    /// An alternate setting of an interface; what follows belongs to it.
    #[must_use]
    pub fn interface(mut self, number: u8, alternate_setting: u8, class: [u8; 3]) -> Self {
        self.interfaces |= 1 << (number & 63);
        self.interface_at = Some(self.bytes.len());
        let [class, subclass, protocol] = class;
        self.bytes.extend_from_slice(&[9, 0x04, number, alternate_setting, 0, class, subclass, protocol, 0]);
        self
    }

    /// An endpoint descriptor of 7 bytes.
    #[must_use]
    pub fn endpoint(self, endpoint: Endpoint) -> Self {
        self.endpoint_with(endpoint, &[])
    }

    /// An endpoint descriptor of 9 bytes, as audio class 1 has them (UAC1 §4.6.1.1): `refresh` is
    /// `bRefresh`, `synch_address` is `bSynchAddress`.
    #[must_use]
    pub fn audio_endpoint(self, endpoint: Endpoint, refresh: u8, synch_address: u8) -> Self {
        self.endpoint_with(endpoint, &[refresh, synch_address])
    }

    /// A SuperSpeed endpoint companion (USB 3.2 §9.6.7).
    #[must_use]
    pub fn companion(self, burst: u8, attributes: u8, bytes_per_interval: u16) -> Self {
        let [low, high] = bytes_per_interval.to_le_bytes();
        self.class_specific(0x30, &[burst, attributes, low, high])
    }

    /// A class-specific descriptor: `body` is what follows `bDescriptorType`.
    ///
    /// # Panics
    /// If it would be longer than 255 bytes.
    #[must_use]
    pub fn class_specific(mut self, descriptor_type: u8, body: &[u8]) -> Self {
        append_descriptor(&mut self.bytes, descriptor_type, body);
        self
    }

    /// Bytes that are descriptors already.
    #[must_use]
    pub fn raw(mut self, descriptors: &[u8]) -> Self {
        self.bytes.extend_from_slice(descriptors);
        self
    }

    /// The finished bytes.
    ///
    /// # Panics
    /// If they do not fit `wTotalLength` (65535 bytes).
    #[must_use]
    pub fn bytes(mut self) -> Vec<u8> {
        let total = u16::try_from(self.bytes.len()).expect("a configuration fits wTotalLength");
        self.bytes[2..4].copy_from_slice(&total.to_le_bytes());
        self.bytes[4] = self.interfaces.count_ones() as u8;
        self.bytes
    }

    fn endpoint_with(mut self, endpoint: Endpoint, extra: &[u8]) -> Self {
        if let Some(at) = self.interface_at {
            self.bytes[at + 4] += 1;
        }
        let [low, high] = endpoint.maximum_packet_size.to_le_bytes();
        let mut body = vec![endpoint.address, endpoint.attributes, low, high, endpoint.interval];
        body.extend_from_slice(extra);
        append_descriptor(&mut self.bytes, 0x05, &body);
        self
    }
}

/// Appends one descriptor: its length, its type, its body.
pub(crate) fn append_descriptor(bytes: &mut Vec<u8>, descriptor_type: u8, body: &[u8]) {
    let length = u8::try_from(body.len() + 2).expect("a descriptor is at most 255 bytes long");
    bytes.extend_from_slice(&[length, descriptor_type]);
    bytes.extend_from_slice(body);
}

/// The binary object store of a SuperSpeed device that also works at high and full speed: the USB 2.0
/// extension (link power management not supported) and the SuperSpeed capability (USB 3.2 §9.6.2).
#[must_use]
pub fn super_speed_object_store() -> Vec<u8> {
    let mut capabilities = Vec::new();
    append_descriptor(&mut capabilities, 0x10, &[0x02, 0, 0, 0, 0]);
    // Full, high and 5 Gbit/s; everything works from full speed on; exit latencies 1 µs and 500 µs.
    append_descriptor(&mut capabilities, 0x10, &[0x03, 0, 0x0e, 0, 1, 1, 0xf4, 0x01]);
    let total = (5 + capabilities.len()) as u16;
    let [low, high] = total.to_le_bytes();
    let mut store = vec![5, 0x0f, low, high, 2];
    store.extend_from_slice(&capabilities);
    store
}

/// Manufacturer, product and serial number.
pub(crate) fn strings(product: &str) -> Vec<String> {
    vec!["isoch".into(), product.into(), "0001".into()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_counted() {
        let bytes = Configuration::new(1)
            .interface(0, 0, [0xff, 0, 0])
            .interface(0, 1, [0xff, 0, 0])
            .endpoint(Endpoint::bulk(0x81, 512))
            .audio_endpoint(Endpoint::isochronous(0x01, 196, 1), 0, 0x81)
            .interface(1, 0, [1, 1, 0])
            .bytes();
        assert_eq!(usize::from(u16::from_le_bytes([bytes[2], bytes[3]])), bytes.len());
        assert_eq!(bytes.len(), 9 + 9 * 3 + 7 + 9);
        assert_eq!(bytes[4], 2, "two interfaces, three alternate settings");
        assert_eq!(bytes[9 + 4], 0);
        assert_eq!(bytes[18 + 4], 2);
    }

    #[test]
    fn the_object_store_has_both_capabilities() {
        let store = super_speed_object_store();
        assert_eq!(store.len(), 22);
        assert_eq!(store[2], 22);
        assert_eq!(store[4], 2);
    }
}
