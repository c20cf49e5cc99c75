//! Gadget zero, loopback and the article's device, called as the controller calls them.

use isoch_core::rules::{Setup, Speed};
use isoch_virtual::devices::{self, Loopback, LoopbackOptions, ShapeOptions};
use isoch_virtual::{BulkIn, BulkOut, BusTime, Device, Stall};

fn build(kind: &str, parameters: &str) -> Result<Box<dyn Device>, String> {
    let parameters: Vec<(String, String)> = parameters
        .split_whitespace()
        .map(|pair| pair.split_once('=').map(|(name, value)| (name.into(), value.into())).unwrap())
        .collect();
    devices::build(kind, &parameters).map_err(|error| error.to_string())
}

fn refused(kind: &str, parameters: &str) -> String {
    build(kind, parameters).err().unwrap_or_else(|| panic!("{kind} {parameters} should be refused"))
}

fn hexadecimal(text: &str) -> Vec<u8> {
    text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

fn at(microframe: u64) -> BusTime {
    BusTime { microframe }
}

fn fact(device: &dyn Device, name: &str) -> i64 {
    device.facts().iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("no fact {name}")).1
}

/// Walks a configuration: lengths, totals and counts must agree.
fn check_configuration(bytes: &[u8]) {
    assert_eq!(usize::from(u16::from_le_bytes([bytes[2], bytes[3]])), bytes.len());
    let (mut position, mut interfaces, mut endpoints_left) = (0, 0, 0);
    while position < bytes.len() {
        let length = usize::from(bytes[position]);
        assert!(length >= 2 && position + length <= bytes.len(), "at {position} of {bytes:02x?}");
        match bytes[position + 1] {
            0x04 => {
                assert_eq!(endpoints_left, 0, "the interface before {position} lacks endpoints");
                endpoints_left = bytes[position + 4];
                interfaces += u8::from(bytes[position + 3] == 0);
            }
            0x05 => endpoints_left -= 1,
            _ => {}
        }
        position += length;
    }
    assert_eq!((endpoints_left, interfaces), (0, bytes[4]));
}

#[test]
fn gadget_zero_is_gadget_zero() {
    for (parameters, blob) in [
        ("speed=full", include_str!("data/gzero_fs_config.hex")),
        ("speed=high", include_str!("data/gzero_hs_config.hex")),
        ("speed=high alt0=empty", include_str!("data/gzero_hs_autoalt_config.hex")),
        ("speed=super", include_str!("data/gzero_ss_config.hex")),
    ] {
        let device = build("source-sink", parameters).unwrap();
        assert_eq!(device.descriptors().configuration, hexadecimal(blob), "{parameters}");
    }
    let high = build("source-sink", "").unwrap();
    assert_eq!(high.descriptors().device, hexadecimal(include_str!("data/gzero_hs_device.hex")));
    assert_eq!(high.descriptors().speed, Speed::High);
    let fast = build("source-sink", "speed=super").unwrap();
    assert_eq!(fast.descriptors().device[2..4], [0x00, 0x03]);
    assert_eq!(fast.descriptors().device[7], 9);
    assert!(fast.descriptors().bos.is_some());
}

#[test]
fn every_shape_has_consistent_descriptors() {
    let mut built = 0;
    for kind in ["source-sink", "loopback"] {
        for speed in ["full", "high", "super"] {
            for interval in 1..=16 {
                for packet in [1, 24, 188, 513, 683, 1023, 1024] {
                    for mult in 0..=2 {
                        for burst in [0, 1, 15] {
                            let parameters = format!(
                                "speed={speed} interval={interval} packet={packet} mult={mult} burst={burst}"
                            );
                            let Ok(mut device) = build(kind, &parameters) else { continue };
                            check_configuration(&device.descriptors().configuration);
                            let most = packet * (mult + 1) * (burst + 1);
                            let mut buffer = vec![0; most];
                            let length = device.isoch_in(0x82, &mut buffer, at(0));
                            assert!(kind == "loopback" || length == most, "{parameters}");
                            built += 1;
                        }
                    }
                }
            }
        }
    }
    assert!(built > 500, "{built}");
}

#[test]
fn the_largest_super_speed_interval() {
    let mut device =
        build("source-sink", "speed=super interval=1 burst=15 mult=2 packet=1024 pattern=1").unwrap();
    let bytes = &device.descriptors().configuration;
    assert_eq!(bytes[bytes.len() - 6..], [6, 0x30, 15, 2, 0x00, 0xc0], "49152 bytes per interval");
    let mut buffer = vec![0; 49152];
    assert_eq!(device.isoch_in(0x82, &mut buffer, at(0)), 49152);
    assert!(buffer.iter().enumerate().all(|(i, &byte)| usize::from(byte) == i % 1024 % 63));
    let less = build("source-sink", "speed=super burst=15 mult=2 bytes=45000").unwrap();
    assert_eq!(less.descriptors().configuration.last_chunk(), Some(&[0xc8, 0xaf]));
}

#[test]
fn gadget_zero_works() {
    let mut device = build("source-sink", "pattern=1").unwrap();
    let good: Vec<u8> = (0..512).map(|i| (i % 63) as u8).collect();
    assert_eq!(device.bulk_out(0x01, &good, at(0)), BulkOut::Ack);
    assert_eq!(device.bulk_out(0x01, &good[..100], at(0)), BulkOut::Ack);
    assert_eq!(fact(&*device, "bulk_mismatches"), 0);
    assert_eq!(device.bulk_out(0x01, &[1, 2, 3], at(0)), BulkOut::Ack);
    assert_eq!(fact(&*device, "bulk_mismatches"), 1);
    let mut buffer = [0; 512];
    assert_eq!(device.bulk_in(0x81, &mut buffer, at(0)), BulkIn::Data(512));
    assert_eq!(buffer, good[..]);
    let store = Setup { request_type: 0x40, request: 0x5b, value: 0, index: 0, length: 5 };
    let recall = Setup { request_type: 0xc0, request: 0x5c, value: 0, index: 0, length: 64 };
    device.control_out(store, b"hello", at(0)).unwrap();
    let mut data = Vec::new();
    device.control_in(recall, &mut data, at(0)).unwrap();
    assert_eq!(data, b"hello");
    assert_eq!(device.control_in(Setup { request: 0x5d, ..recall }, &mut data, at(0)), Err(Stall));
    device.isoch_out(0x02, &[0; 1024], at(8));
    assert_eq!(fact(&*device, "bytes_received"), 1024);
}

#[test]
fn loopback_returns_each_packet_after_its_delay() {
    let shape = ShapeOptions { mult: 2, ..ShapeOptions::new(Speed::High) };
    let mut device = Loopback::new(LoopbackOptions { shape, delay: 3 }).unwrap();
    let mut buffer = vec![0; 3072];
    for microframe in 0..10_000_u64 {
        let length = (microframe * 7 % 3073) as usize;
        // IN first: an order of the two in one microframe must not matter with a delay.
        let received = device.isoch_in(0x82, &mut buffer, at(microframe));
        match microframe.checked_sub(24) {
            None => assert_eq!(received, 0),
            Some(sent) => {
                assert_eq!(received, (sent * 7 % 3073) as usize);
                assert!(buffer[..received].iter().all(|&byte| byte == sent as u8));
            }
        }
        device.isoch_out(0x02, &vec![microframe as u8; length], at(microframe));
    }
    assert_eq!(fact(&device, "packets_expired"), 0);
    // A missed IN interval loses its packet and no other.
    assert_eq!(device.isoch_in(0x82, &mut buffer, at(10_001)), (9977 * 7 % 3073) as usize);
    assert_eq!(fact(&device, "packets_expired"), 1);
    // Nobody reads: the queue stays as it is allowed to be.
    for microframe in 10_002..50_000 {
        device.isoch_out(0x02, &[0; 100], at(microframe));
    }
    assert!(fact(&device, "packets_waiting") <= 26);
    assert_eq!(fact(&device, "packets_refused"), 0);
}

#[test]
fn loopback_bulk_keeps_packets_and_has_an_end() {
    let mut device = build("loopback", "").unwrap();
    let mut buffer = [0; 512];
    assert_eq!(device.bulk_in(0x81, &mut buffer, at(0)), BulkIn::Nak);
    for i in 0..64 {
        assert_eq!(device.bulk_out(0x01, &vec![i; usize::from(i)], at(0)), BulkOut::Ack);
    }
    assert_eq!(device.bulk_out(0x01, &[1], at(0)), BulkOut::Nak);
    for i in 0..64 {
        assert_eq!(device.bulk_in(0x81, &mut buffer, at(0)), BulkIn::Data(i));
    }
}

#[test]
fn the_article_s_device() {
    let mut device = build("article", "").unwrap();
    let bytes = device.descriptors().configuration.clone();
    check_configuration(&bytes);
    assert_eq!(bytes[9 + 4], 2, "alternate setting 0 has as many endpoints as 1");
    assert_eq!(bytes[9 + 23 + 4], 2);
    assert_eq!(bytes[41..], [7, 5, 0x01, 1, 0, 4, 1, 7, 5, 0x81, 1, 0, 4, 1]);
    device.alternate_setting(0, 1, at(800));
    let mut buffer = [0; 1024];
    for packet in 0..1000_u32 {
        assert_eq!(device.isoch_in(0x81, &mut buffer, at(808 + u64::from(packet))), 1024);
        assert_eq!(buffer[..4], (101 + packet / 8).to_le_bytes());
        assert_eq!(buffer[4..8], packet.to_le_bytes());
        assert!(buffer[8..].iter().enumerate().all(|(i, &byte)| byte == (packet as usize + i) as u8));
    }
}

#[test]
fn mistakes_are_answered_with_what_exists() {
    for (kind, parameters, fragment) in [
        ("tuba", "", "no device of kind 'tuba'; there are: source-sink, loopback"),
        ("source-sink", "colour=red", "no parameter 'colour'; it has: speed, pattern"),
        ("article", "speed=high", "it has: none"),
        ("source-sink", "speed=high speed=high", "given twice"),
        ("source-sink", "speed=warp", "'warp' is no value for 'speed': it takes full or high or super"),
        ("source-sink", "interval=17", "a number from 1 to 16"),
        ("source-sink", "packet=zero", "a number from 1 to 1024"),
        ("source-sink", "speed=full packet=1024", "1023 bytes"),
        ("source-sink", "speed=full mult=1", "leave mult out"),
        ("source-sink", "burst=1", "only speed=super has bursts"),
        ("source-sink", "bytes=100", "use packet instead"),
        ("source-sink", "mult=1 packet=512", "packet=513 or more"),
        ("source-sink", "speed=super burst=3 packet=512", "packet=1024"),
        ("source-sink", "speed=super burst=1 bytes=3000", "1 to 2048"),
        ("loopback", "delay=0", "1 to 1000"),
        ("loopback", "delay=1000 speed=super burst=15 mult=2", "64 MiB"),
    ] {
        let sentence = refused(kind, parameters);
        assert!(sentence.contains(fragment), "{kind} {parameters}: {sentence}");
    }
}
