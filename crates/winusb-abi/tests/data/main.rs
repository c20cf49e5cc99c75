//! Bulk and control requests through the C functions, on emulated devices.

#![cfg(not(windows))]
#![allow(unsafe_code)]

mod opened;
mod queries;
mod threads;

use std::ptr::null_mut;

use winusb::*;

use opened::{IN, OUT, Opened, ended, setup};

const PACKET: usize = 512;

pub(crate) const SHORT_PACKET_TERMINATE: u32 = 1;
pub(crate) const AUTO_CLEAR_STALL: u32 = 2;
pub(crate) const PIPE_TRANSFER_TIMEOUT: u32 = 3;
pub(crate) const IGNORE_SHORT_PACKETS: u32 = 4;
pub(crate) const RAW_IO: u32 = 7;
pub(crate) const MAXIMUM_TRANSFER_SIZE: u32 = 8;

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i % 251) as u8).collect()
}

#[test]
fn what_is_written_is_read() {
    let device = Opened::loopback();
    assert_eq!(device.write(&pattern(1300)), Ok(1300));
    assert_eq!(device.read(4096), Ok(pattern(1300)));
    // The surplus of a packet is in front of the next read, and a message's end is a read's end.
    assert_eq!(device.write(&pattern(1300)), Ok(1300));
    assert_eq!(device.read(100).unwrap(), pattern(1300)[..100]);
    assert_eq!(device.read(700).unwrap(), pattern(1300)[100..800]);
    assert_eq!(device.read(700).unwrap(), pattern(1300)[800..]);
    assert_eq!(device.read(0), Ok(Vec::new()));
    // Nothing is left over after a flush.
    assert_eq!(device.write(b"abc"), Ok(3));
    assert_eq!(device.read(1).unwrap(), b"a");
    // SAFETY: handles are checked.
    unsafe {
        assert_eq!(ended(WinUsb_FlushPipe(device.interface, IN)), Ok(()));
        assert_eq!(ended(WinUsb_FlushPipe(device.interface, OUT)), Err(87));
    }
    assert_eq!(device.write(b"def"), Ok(3));
    assert_eq!(device.read(3).unwrap(), b"def");
}

#[test]
fn requests_end_in_order_and_exactly_once() {
    let device = Opened::loopback();
    let reads: Vec<_> = (0..4).map(|_| device.start_read(PACKET)).collect();
    assert_eq!(reads[0].end(false).0, Err(996));
    for i in 0..4 {
        assert_eq!(device.start_write(&[i; 20]).end(true), (Ok(()), 20));
    }
    for (i, read) in reads.iter().enumerate() {
        assert_eq!(read.end(true), (Ok(()), 20));
        assert_eq!((&read.bytes()[..20], read.bytes()[20]), (&[i as u8; 20][..], 0xee));
    }
}

#[test]
fn long_transfers_are_split_and_whole() {
    let device = Opened::new("source-sink?pattern=1");
    let length = 3 * 256 * 1024 + 100;
    let expected: Vec<u8> = (0..length).map(|i| (i % PACKET % 63) as u8).collect();
    let read = device.start_read(length);
    assert_eq!(read.end(true), (Ok(()), length));
    assert!(read.bytes() == expected);
    assert_eq!(device.start_write(&expected).end(true), (Ok(()), length));
}

#[test]
fn short_packets_end_messages_or_not() {
    let device = Opened::loopback();
    assert_eq!(device.set(OUT, SHORT_PACKET_TERMINATE, &[1]), Ok(()));
    assert_eq!(device.write(&pattern(PACKET)), Ok(PACKET));
    assert_eq!(device.read(4 * PACKET), Ok(pattern(PACKET)), "the empty packet ends it");
    assert_eq!(device.write(&[]), Ok(0));
    assert_eq!(device.read(PACKET), Ok(Vec::new()));
    assert_eq!(device.set(IN, IGNORE_SHORT_PACKETS, &[1]), Ok(()));
    let read = device.start_read(PACKET + 3);
    for _ in 0..3 {
        assert_eq!(device.write(&pattern(200)), Ok(200));
    }
    assert_eq!(read.end(true), (Ok(()), PACKET + 3));
    let expected = [pattern(200), pattern(200), pattern(200)].concat();
    assert_eq!(read.bytes(), expected[..PACKET + 3]);
}

#[test]
fn a_read_that_nothing_answers_times_out() {
    let device = Opened::loopback();
    assert_eq!(device.set(IN, PIPE_TRANSFER_TIMEOUT, &50_u32.to_ne_bytes()), Ok(()));
    assert_eq!(device.read(8), Err(121));
    let reads = [device.start_read(8), device.start_read(8)];
    assert_eq!(reads.map(|read| read.end(true)), [(Err(121), 0); 2]);
    assert_eq!(device.write(&[1; 8]), Ok(8));
    assert_eq!(device.read(8), Ok(vec![1; 8]), "the pipe is as good as before");
}

#[test]
fn aborted_and_cancelled_requests() {
    let device = Opened::loopback();
    for raw in [0, 1] {
        assert_eq!(device.set(IN, RAW_IO, &[raw]), Ok(()));
        let reads: Vec<_> = (0..3).map(|_| device.start_read(PACKET)).collect();
        // SAFETY: handles are checked.
        unsafe {
            assert_eq!(ended(WinUsb_SetCurrentAlternateSetting(device.interface, 1)), Err(170));
            assert_eq!(ended(WinUsb_AbortPipe(device.interface, IN)), Ok(()));
        }
        assert!(reads.iter().all(|read| read.end(true) == (Err(995), 0)));
        let reads = [device.start_read(PACKET), device.start_read(PACKET)];
        // SAFETY: handles are checked.
        unsafe {
            assert_eq!(ended(WinUsbX_CancelIoEx(device.file, reads[1].overlapped)), Ok(()));
            assert_eq!(reads[1].end(true), (Err(995), 0));
            assert_eq!(reads[0].end(false).0, Err(996));
            assert_eq!(ended(WinUsbX_CancelIoEx(device.file, null_mut())), Ok(()));
            assert_eq!(reads[0].end(true), (Err(995), 0));
            assert_eq!(ended(WinUsbX_CancelIoEx(device.file, null_mut())), Err(1168));
        }
        assert_eq!(device.write(&[raw; 8]), Ok(8));
        assert_eq!(device.read(PACKET), Ok(vec![raw; 8]));
    }
}

#[test]
fn what_is_under_way_ends_when_the_file_is_closed() {
    let device = Opened::loopback();
    let reads = [device.start_read(PACKET), device.start_read(PACKET)];
    // SAFETY: handles are checked; what it points to is valid for ever.
    unsafe {
        assert_eq!(ended(WinUsbX_CloseHandle(device.file)), Ok(()));
        for read in reads {
            assert_eq!((*read.overlapped).Internal, 0xC000_0120);
        }
    }
    assert_eq!(device.read(8), Err(6));
    assert_eq!(device.control(setup(0x80, 6, 0x0100, 0, 18), &mut [0; 18]), Err(6));
    assert!(reads.iter().all(|read| read.bytes() == vec![0xee; PACKET]));
}

#[test]
fn a_freed_handle_leaves_its_requests_alone() {
    let device = Opened::loopback();
    let read = device.start_read(PACKET);
    // SAFETY: handles are checked; what it points to is valid for ever.
    unsafe {
        assert_eq!(ended(WinUsb_Free(device.interface)), Ok(()));
        assert_eq!((*read.overlapped).Internal, 0x103);
        assert_eq!(ended(WinUsbX_CancelIoEx(device.file, read.overlapped)), Ok(()));
        assert_eq!((*read.overlapped).Internal, 0xC000_0120);
    }
}

#[test]
fn a_stall_lasts_until_the_pipe_is_reset() {
    let device = Opened::loopback();
    device.halt(IN);
    let reads = [device.start_read(8), device.start_read(8)];
    assert_eq!(reads.map(|read| read.end(true)), [(Err(31), 0); 2]);
    assert_eq!(device.read(8), Err(31));
    // SAFETY: handles are checked.
    assert_eq!(ended(unsafe { WinUsb_ResetPipe(device.interface, IN) }), Ok(()));
    assert_eq!(device.write(&[2; 8]), Ok(8));
    assert_eq!(device.read(8), Ok(vec![2; 8]));
    assert_eq!(device.set(IN, AUTO_CLEAR_STALL, &[1]), Ok(()));
    device.halt(IN);
    assert_eq!(device.write(&[3; 8]), Ok(8));
    assert_eq!(device.read(8), Err(31));
    assert_eq!(device.read(8), Ok(vec![3; 8]), "it was reset by itself");
    device.halt(OUT);
    assert_eq!(device.write(&[4; 8]), Err(31));
    let reset = device.request(Vec::new());
    // SAFETY: all pointers are valid for ever.
    unsafe {
        assert_eq!(ended(WinUsb_ResetPipeAsync(device.interface, OUT, reset.overlapped)), Err(997));
        assert_eq!(reset.end(true), (Ok(()), 0));
        assert_eq!(ended(WinUsb_AbortPipeAsync(device.interface, OUT, reset.overlapped)), Err(997));
        assert_eq!(reset.end(true), (Ok(()), 0));
        assert_eq!(ended(WinUsb_AbortPipeAsync(device.interface, OUT, null_mut())), Ok(()));
        assert_eq!(ended(WinUsb_ResetPipe(device.interface, 0)), Err(87));
        assert_eq!(ended(WinUsb_AbortPipe(device.interface, 0)), Ok(()));
        assert_eq!(ended(WinUsb_AbortPipe(device.interface, 0x83)), Err(87));
    }
    assert_eq!(device.write(&[4; 8]), Ok(8));
}

#[test]
fn arguments_that_cannot_be_meant_are_refused() {
    let device = Opened::loopback();
    let request = device.request(vec![0; 8]);
    let mut length = 0_u32;
    let (h, buffer, length) = (device.interface, request.buffer, &raw mut length);
    // SAFETY: all pointers are NULL or valid.
    unsafe {
        for pipe in [0, 0x80, 0x05, OUT] {
            assert_eq!(ended(WinUsb_ReadPipe(h, pipe, buffer, 8, length, null_mut())), Err(87), "{pipe:#x}");
        }
        assert_eq!(ended(WinUsb_WritePipe(h, IN, buffer, 8, length, null_mut())), Err(87));
        assert_eq!(ended(WinUsb_ReadPipe(h, IN, null_mut(), 8, length, null_mut())), Err(87));
        assert_eq!(ended(WinUsb_ReadPipe(h, IN, buffer, 8, null_mut(), null_mut())), Err(87));
        assert_eq!(ended(WinUsb_ReadPipe(null_mut(), IN, buffer, 8, length, null_mut())), Err(6));
        assert_eq!(ended(WinUsb_ReadPipe(device.file, IN, buffer, 8, length, null_mut())), Err(6));
        assert_eq!(ended(WinUsb_SetCurrentAlternateSetting(h, 1)), Ok(()));
        assert_eq!(ended(WinUsb_ReadPipe(h, 0x82, buffer, 8, length, null_mut())), Err(87), "isochronous");
        assert_eq!(ended(WinUsb_FlushPipe(h, 0x82)), Ok(()));
        assert_eq!(ended(WinUsb_FlushPipe(h, 0x02)), Err(87));
    }
    assert_eq!(device.set(IN, RAW_IO, &[1]), Ok(()));
    assert_eq!(device.read(PACKET + 1), Err(87));
    assert_eq!(device.read(1 << 20), Err(87));
}

#[test]
fn control_requests() {
    let device = Opened::new("source-sink");
    let mut stored = pattern(4096);
    assert_eq!(device.control(setup(0x40, 0x5b, 0, 0, 4096), &mut stored), Ok(4096));
    let mut recalled = [0; 4096];
    assert_eq!(device.control(setup(0xc0, 0x5c, 0, 0, 4096), &mut recalled), Ok(4096));
    assert_eq!(recalled.to_vec(), stored);
    assert_eq!(device.control(setup(0xc0, 0x5c, 0, 0, 4096), &mut recalled[..10]), Ok(10));
    assert_eq!(device.control(setup(0xc0, 0x5c, 0, 0, 20), &mut recalled), Ok(20));
    assert_eq!(device.control(setup(0x40, 0x77, 0, 0, 0), &mut []), Err(31));
    assert_eq!(device.control(setup(0x40, 0x5b, 0, 0, 4097), &mut [0; 4097]), Err(87));
    // GET_STATUS(interface): the interface's number is put in.
    assert_eq!(device.control(setup(0x81, 0, 0, 9, 2), &mut [0; 2]), Ok(2));
    let request = device.request(vec![0; 18]);
    let (h, buffer, overlapped) = (device.interface, request.buffer, request.overlapped);
    let packet = setup(0x80, 6, 0x0100, 0, 18);
    let nothing = setup(0x02, 1, 0, 0x81, 0);
    let null = null_mut();
    // SAFETY: all pointers are NULL or valid for ever.
    unsafe {
        assert_eq!(ended(WinUsb_ControlTransfer(h, packet, buffer, 18, null_mut(), overlapped)), Err(997));
        assert_eq!(request.end(true), (Ok(()), 18));
        assert_eq!(request.bytes()[8..12], [0x25, 0x05, 0xa0, 0xa4]);
        assert_eq!(ended(WinUsb_ControlTransfer(h, packet, buffer, 18, null_mut(), null)), Err(87));
        assert_eq!(ended(WinUsb_ControlTransfer(h, nothing, null_mut(), 0, null_mut(), null)), Ok(()));
    }
}
