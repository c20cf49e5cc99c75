//! The device of Microsoft's article "Send USB isochronous transfers from a WinUSB desktop app".
//!
//! Why a kind of its own, when `source-sink` could be given the same endpoints? Because programs written
//! after the article rely on details: interface 0, alternate setting 0 without isochronous endpoints but
//! with as many endpoints as alternate setting 1 (the sample bounds its loop by the one and asks the other),
//! 1024 bytes in every microframe each way. And what it sends must be recognisable, so that a program can
//! prove which frame a packet came from.
//!
//! An IN packet is 1024 bytes: the frame number, then a running packet number, both as 32-bit
//! little-endian, then bytes that count up from the low byte of the packet number.

use isoch_core::rules::Speed;

use super::descriptors::{Configuration, DeviceDescriptor, Endpoint, strings};
use crate::device::{BulkIn, BulkOut, BusTime, Descriptors, Device};

/// Bytes of a packet.
const PACKET: usize = 1024;

/// The article's device, 1209:0006. Endpoints 0x01 OUT and 0x81 IN; in alternate setting 1 isochronous, in
/// alternate setting 0 bulk.
#[derive(Debug)]
pub struct Article {
    descriptors: Descriptors,
    /// Bytes 0 to 255, over and over: a packet's tail is a window into it.
    ramp: Vec<u8>,
    sent: u32,
    packets_received: i64,
    bytes_received: i64,
    bulk_bytes_received: i64,
}

impl Article {
    /// The device. It takes no parameters.
    #[must_use]
    pub fn new() -> Self {
        const VENDOR_CLASS: [u8; 3] = [0xff, 0, 0];
        let device = DeviceDescriptor { usb: 0x0200, class: VENDOR_CLASS, vendor: 0x1209, product: 0x0006 };
        let configuration = Configuration::new(1)
            .interface(0, 0, VENDOR_CLASS)
            .endpoint(Endpoint::bulk(0x01, 512))
            .endpoint(Endpoint::bulk(0x81, 512))
            .interface(0, 1, VENDOR_CLASS)
            .endpoint(Endpoint::isochronous(0x01, PACKET as u16, 1))
            .endpoint(Endpoint::isochronous(0x81, PACKET as u16, 1));
        Article {
            descriptors: Descriptors {
                speed: Speed::High,
                device: device.bytes(),
                configuration: configuration.bytes(),
                strings: strings("Article"),
                bos: None,
            },
            ramp: (0..PACKET + 256).map(|i| i as u8).collect(),
            sent: 0,
            packets_received: 0,
            bytes_received: 0,
            bulk_bytes_received: 0,
        }
    }
}

impl Default for Article {
    fn default() -> Self {
        Article::new()
    }
}

impl Device for Article {
    fn descriptors(&self) -> &Descriptors {
        &self.descriptors
    }

    fn alternate_setting(&mut self, _interface: u8, _setting: u8, _now: BusTime) {
        self.sent = 0;
    }

    fn isoch_out(&mut self, _endpoint: u8, data: &[u8], _now: BusTime) {
        self.packets_received += 1;
        self.bytes_received += data.len() as i64;
    }

    fn isoch_in(&mut self, _endpoint: u8, buffer: &mut [u8], now: BusTime) -> usize {
        let mut header = [0; 8];
        header[..4].copy_from_slice(&(now.frame() as u32).to_le_bytes());
        header[4..].copy_from_slice(&self.sent.to_le_bytes());
        let length = buffer.len().min(PACKET);
        let head = length.min(header.len());
        buffer[..head].copy_from_slice(&header[..head]);
        let start = usize::from(self.sent as u8);
        buffer[head..length].copy_from_slice(&self.ramp[start..start + length - head]);
        self.sent = self.sent.wrapping_add(1);
        length
    }

    fn bulk_out(&mut self, endpoint: u8, data: &[u8], _now: BusTime) -> BulkOut {
        if endpoint != 0x01 {
            return BulkOut::Stall;
        }
        self.bulk_bytes_received += data.len() as i64;
        BulkOut::Ack
    }

    fn bulk_in(&mut self, endpoint: u8, buffer: &mut [u8], _now: BusTime) -> BulkIn {
        if endpoint != 0x81 {
            return BulkIn::Stall;
        }
        let length = buffer.len().min(512);
        buffer[..length].copy_from_slice(&self.ramp[..length]);
        BulkIn::Data(length)
    }

    fn facts(&self) -> Vec<(&'static str, i64)> {
        vec![
            ("packets_received", self.packets_received),
            ("bytes_received", self.bytes_received),
            ("packets_sent", i64::from(self.sent)),
            ("bulk_bytes_received", self.bulk_bytes_received),
        ]
    }
}
