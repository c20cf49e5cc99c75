//! The instrument: its counters must prove every loss.

use isoch_core::rules::Setup;
use isoch_virtual::devices::sample::{FIFO, HEADER, READ_FRAME, RUN};
use isoch_virtual::devices::{Sample, SampleOptions};
use isoch_virtual::{BulkIn, BusTime, Device, Stall};

fn at(microframe: u64) -> BusTime {
    BusTime { microframe }
}

#[derive(Debug, PartialEq)]
struct Header {
    first: u32,
    frame: u32,
    packet: u32,
    microframe: u8,
    flags: u8,
    count: usize,
}

fn read(device: &mut Sample, microframe: u64) -> Option<Header> {
    let mut buffer = [0; 1024];
    let length = device.isoch_in(0x81, &mut buffer, at(microframe));
    if length == 0 {
        return None;
    }
    let word = |at: usize| u32::from_le_bytes(buffer[at..at + 4].try_into().unwrap());
    let count = usize::from(u16::from_le_bytes([buffer[14], buffer[15]]));
    let header = Header {
        first: word(0),
        frame: word(4),
        packet: word(8),
        microframe: buffer[12],
        flags: buffer[13],
        count,
    };
    assert_eq!(length, HEADER + 4 * count);
    for (position, sample) in buffer[HEADER..length].chunks_exact(4).enumerate() {
        assert_eq!(sample, header.first.wrapping_add(position as u32).to_le_bytes());
    }
    Some(header)
}

#[test]
fn a_minute_without_a_loss_has_every_sample() {
    let options = SampleOptions { rate: 100_000, device_ppm: 50.0, ..Default::default() };
    let mut device = Sample::new(options).unwrap();
    device.alternate_setting(0, 1, at(0));
    let mut next = 0;
    for microframe in 1..=8000 * 60 {
        let header = read(&mut device, microframe).unwrap();
        assert_eq!((header.first, header.flags), (next, 0));
        assert_eq!(u64::from(header.frame) * 8 + u64::from(header.microframe), microframe);
        assert_eq!(u64::from(header.packet), microframe - 1);
        next += header.count as u32;
    }
    assert_eq!(next, 100_000 * 60 + 300, "100 kHz for a minute, 50 ppm fast");
}

#[test]
fn losses_tell_where_they_happened() {
    let mut device = Sample::new(SampleOptions::default()).unwrap();
    device.alternate_setting(0, 1, at(0));
    let first = read(&mut device, 8).unwrap();
    assert_eq!((first.first, first.packet, first.count), (0, 0, 252));
    // A few microframes that nobody asked in are made up for.
    let mut next = 252;
    for microframe in 12..40 {
        let header = read(&mut device, microframe).unwrap();
        assert_eq!((header.first, header.flags), (next, 0));
        next += header.count as u32;
    }
    // A second is not: the FIFO ran over, and the packet numbers show that no packet was lost.
    let header = read(&mut device, 8040).unwrap();
    assert_eq!(header.flags, 1);
    assert_eq!(header.packet, 29);
    assert_eq!(u64::from(header.first), 8040 * 125 - FIFO);
    let mut log = [0; 512];
    let BulkIn::Data(length) = device.bulk_in(0x82, &mut log, at(8041)) else { panic!() };
    let log = std::str::from_utf8(&log[..length]).unwrap();
    let lost = 8040 * 125 - FIFO - u64::from(next);
    assert_eq!(log, format!("frame 0.0: started\nframe 1005.0: {lost} samples lost in the FIFO\n"));
    assert_eq!(device.bulk_in(0x82, &mut [0; 512], at(8041)), BulkIn::Nak);
}

#[test]
fn requests_and_status() {
    let options = SampleOptions { starts_by_itself: false, status: 10, ..Default::default() };
    let mut device = Sample::new(options).unwrap();
    device.alternate_setting(0, 1, at(0));
    assert_eq!(read(&mut device, 1), None);
    let run = Setup { request_type: 0x40, request: RUN, value: 1, index: 0, length: 0 };
    device.control_out(run, &[], at(80)).unwrap();
    assert!(read(&mut device, 81).is_some());
    assert_eq!(device.control_out(Setup { value: 2, ..run }, &[], at(82)), Err(Stall));
    let which = Setup { request_type: 0xc0, request: READ_FRAME, value: 0, index: 0, length: 8 };
    let mut answer = Vec::new();
    device.control_in(which, &mut answer, at(0x1234_5678 * 8 + 5)).unwrap();
    assert_eq!(answer, [0x78, 0x56, 0x34, 0x12, 5, 1, 0, 0]);
    let mut status = [0; 12];
    assert_eq!(device.bulk_in(0x83, &mut status, at(88)), BulkIn::Data(12));
    assert_eq!(status[..4], 1000_u32.to_le_bytes());
    assert_eq!(status[10], 1);
    assert_eq!(device.bulk_in(0x83, &mut status, at(88 + 79)), BulkIn::Nak);
    assert_eq!(device.bulk_in(0x83, &mut status, at(88 + 80)), BulkIn::Data(12));
    // Asking for the status does not hide a loss from the next packet.
    assert_eq!(device.bulk_in(0x83, &mut status, at(800)), BulkIn::Data(12));
    assert_eq!(read(&mut device, 801).map(|header| header.flags), Some(1));
    assert_eq!(read(&mut device, 802).map(|header| header.flags), Some(0));
    device.control_out(Setup { value: 0, ..run }, &[], at(900)).unwrap();
    assert_eq!(read(&mut device, 901), None);
}

#[test]
fn a_rate_that_does_not_fit_is_refused() {
    let refused = Sample::new(SampleOptions { rate: 2_000_000, ..Default::default() }).unwrap_err();
    assert!(refused.to_string().contains("1 to 1995840 samples per second"), "{refused}");
}
