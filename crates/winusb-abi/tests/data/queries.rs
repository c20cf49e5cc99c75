//! Policies, pipes, settings and descriptors.

use std::ptr::null_mut;

use winusb::types::*;
use winusb::*;

use crate::opened::{IN, Opened, ended, error};
use crate::{MAXIMUM_TRANSFER_SIZE, PIPE_TRANSFER_TIMEOUT, RAW_IO, SHORT_PACKET_TERMINATE};

const AUTO_SUSPEND: u32 = 0x81;
const SUSPEND_DELAY: u32 = 0x83;

#[test]
fn policies_of_every_pipe() {
    let device = Opened::loopback();
    assert_eq!(device.get(0, PIPE_TRANSFER_TIMEOUT), Ok((5000, 4)));
    assert_eq!(device.set(0, PIPE_TRANSFER_TIMEOUT, &7_u32.to_ne_bytes()), Ok(()));
    assert_eq!(device.get(0, PIPE_TRANSFER_TIMEOUT), Ok((7, 4)));
    assert_eq!(device.get(IN, MAXIMUM_TRANSFER_SIZE), Ok((262_144, 4)));
    assert_eq!(device.set(IN, MAXIMUM_TRANSFER_SIZE, &[0; 4]), Err(87));
    assert_eq!(device.get(IN, SHORT_PACKET_TERMINATE), Err(87));
    assert_eq!(device.get(0x80, PIPE_TRANSFER_TIMEOUT), Err(87));
    assert_eq!(device.set(IN, RAW_IO, &[1, 0, 0, 0]), Err(87));
    let (mut value, mut length) = (0_u32, 3_u32);
    let (h, value, length) = (device.interface, (&raw mut value).cast(), &raw mut length);
    // SAFETY: all pointers are NULL or valid.
    unsafe {
        assert_eq!(ended(WinUsb_GetPipePolicy(h, IN, PIPE_TRANSFER_TIMEOUT, length, value)), Err(87));
        assert_eq!(ended(WinUsb_GetPipePolicy(h, IN, RAW_IO, length, null_mut())), Err(87));
        assert_eq!(ended(WinUsb_GetPipePolicy(h, IN, RAW_IO, null_mut(), value)), Err(87));
        assert_eq!(ended(WinUsb_SetPipePolicy(h, IN, RAW_IO, 1, null_mut())), Err(87));
        assert_eq!(ended(WinUsb_SetCurrentAlternateSetting(h, 1)), Ok(()));
    }
    assert_eq!(device.set(0x82, PIPE_TRANSFER_TIMEOUT, &[0; 4]), Err(87), "isochronous");
    let (value, length) = device.get(0x82, MAXIMUM_TRANSFER_SIZE).unwrap();
    assert!(length == 4 && value > 0 && value <= 262_144);
}

#[test]
fn power_policies() {
    let device = Opened::loopback();
    let (mut value, mut length) = (1234_u32, 4_u32);
    let (h, pointer, length) = (device.interface, (&raw mut value).cast(), &raw mut length);
    // SAFETY: all pointers are valid.
    unsafe {
        assert_eq!(ended(WinUsb_SetPowerPolicy(h, SUSPEND_DELAY, 4, pointer)), Ok(()));
        pointer.cast::<u32>().write(0);
        assert_eq!(ended(WinUsb_GetPowerPolicy(h, SUSPEND_DELAY, length, pointer)), Ok(()));
        assert_eq!((pointer.cast::<u32>().read(), length.read()), (1234, 4));
        assert_eq!(ended(WinUsb_GetPowerPolicy(h, AUTO_SUSPEND, length, pointer)), Ok(()));
        assert_eq!((pointer.cast::<u8>().read(), length.read()), (0, 1));
        assert_eq!(ended(WinUsb_GetPowerPolicy(h, SUSPEND_DELAY, length, pointer)), Err(87), "no room");
        assert_eq!(ended(WinUsb_SetPowerPolicy(h, 0x82, 1, pointer)), Err(87));
    }
}

#[test]
fn pipes_and_settings_can_be_asked_for() {
    let device = Opened::loopback();
    let h = device.interface;
    let mut interface = USB_INTERFACE_DESCRIPTOR::default();
    let mut setting = 77_u8;
    // SAFETY: all pointers are NULL or valid.
    unsafe {
        assert_eq!(ended(WinUsb_QueryInterfaceSettings(h, 1, &raw mut interface)), Ok(()));
        let USB_INTERFACE_DESCRIPTOR { bLength, bDescriptorType, bAlternateSetting, bNumEndpoints, .. } =
            interface;
        assert_eq!((bLength, bDescriptorType, bAlternateSetting, bNumEndpoints), (9, 4, 1, 4));
        assert_eq!(ended(WinUsb_QueryInterfaceSettings(h, 2, &raw mut interface)), Err(259));
        assert_eq!(ended(WinUsb_QueryInterfaceSettings(h, 0, null_mut())), Err(87));
        let mut found = Vec::new();
        let (mut pipe, mut more) =
            (WINUSB_PIPE_INFORMATION::default(), WINUSB_PIPE_INFORMATION_EX::default());
        for index in 0..bNumEndpoints {
            assert_eq!(ended(WinUsb_QueryPipe(h, 1, index, &raw mut pipe)), Ok(()));
            assert_eq!(ended(WinUsb_QueryPipeEx(h, 1, index, &raw mut more)), Ok(()));
            assert_eq!((pipe.PipeId, pipe.Interval), (more.PipeId, more.Interval));
            found.push((more.PipeId, more.PipeType, more.MaximumBytesPerInterval > 0));
        }
        assert_eq!(ended(WinUsb_QueryPipe(h, 1, bNumEndpoints, &raw mut pipe)), Err(259));
        assert_eq!(ended(WinUsb_QueryPipe(h, 9, 0, &raw mut pipe)), Err(87));
        assert_eq!(ended(WinUsb_QueryPipeEx(h, 1, 0, null_mut())), Err(87));
        found.sort_unstable();
        assert_eq!(found, [(0x01, 2, false), (0x02, 1, true), (0x81, 2, false), (0x82, 1, true)]);
        assert_eq!(ended(WinUsb_GetCurrentAlternateSetting(h, &raw mut setting)), Ok(()));
        assert_eq!(setting, 0);
        assert_eq!(ended(WinUsb_SetCurrentAlternateSetting(h, 9)), Err(1168));
        let request = device.request(Vec::new());
        assert_eq!(ended(WinUsb_SetCurrentAlternateSettingAsync(h, 1, request.overlapped)), Err(997));
        assert_eq!(request.end(true), (Ok(()), 0));
        assert_eq!(ended(WinUsb_GetCurrentAlternateSetting(h, &raw mut setting)), Ok(()));
        assert_eq!(setting, 1);
    }
}

#[test]
fn the_speed_is_high_or_not() {
    for (address, expected) in [("loopback?speed=full", 1), ("loopback", 3)] {
        let device = Opened::new(address);
        let (mut speed, mut length) = (0_u8, 1_u32);
        let (h, pointer) = (device.interface, (&raw mut speed).cast());
        // SAFETY: all pointers are NULL or valid.
        unsafe {
            assert_eq!(ended(WinUsb_QueryDeviceInformation(h, 1, &raw mut length, pointer)), Ok(()));
            assert_eq!((pointer.cast::<u8>().read(), length), (expected, 1), "{address}");
            assert_eq!(ended(WinUsb_QueryDeviceInformation(h, 2, &raw mut length, pointer)), Err(87));
            assert_eq!(ended(WinUsb_QueryDeviceInformation(h, 1, &raw mut length, null_mut())), Err(87));
            length = 0;
            assert_eq!(ended(WinUsb_QueryDeviceInformation(h, 1, &raw mut length, pointer)), Err(122));
        }
    }
}

#[test]
fn descriptors_are_given_and_walked() {
    let device = Opened::loopback();
    let h = device.interface;
    let mut bytes = vec![0_u8; 1024];
    let mut length = 0_u32;
    let buffer = bytes.as_mut_ptr();
    // SAFETY: all pointers are NULL or valid, and `buffer` is the only way to the bytes.
    unsafe {
        let byte = |index: usize| buffer.add(index).read();
        assert_eq!(ended(WinUsb_GetDescriptor(h, 1, 0, 0, buffer, 1024, &raw mut length)), Ok(()));
        assert_eq!((length, byte(0), byte(1)), (18, 18, 1));
        assert_eq!(ended(WinUsb_GetDescriptor(h, 3, 2, 0x0409, buffer, 1024, &raw mut length)), Ok(()));
        assert_eq!((length, byte(1)), (byte(0).into(), 3));
        assert_eq!(ended(WinUsb_GetDescriptor(h, 3, 200, 0x0409, buffer, 1024, &raw mut length)), Err(31));
        assert_eq!(ended(WinUsb_GetDescriptor(h, 1, 0, 0, buffer, 1024, null_mut())), Err(87));
        assert_eq!(ended(WinUsb_GetDescriptor(h, 2, 0, 0, buffer, 9, &raw mut length)), Ok(()));
        let total = u16::from_le_bytes([byte(2), byte(3)]);
        assert_eq!((length, byte(1)), (9, 2));
        assert_eq!(ended(WinUsb_GetDescriptor(h, 2, 0, 0, buffer, 1024, &raw mut length)), Ok(()));
        assert_eq!(length, total.into());
        let all = buffer.cast();
        let found = WinUsb_ParseConfigurationDescriptor(all, all, -1, 1, -1, -1, -1);
        assert_eq!(((*found).bDescriptorType, (*found).bAlternateSetting), (4, 1));
        let endpoint = WinUsb_ParseDescriptors(all, length, found.cast(), 5);
        assert!(endpoint > found.cast());
        assert!(WinUsb_ParseConfigurationDescriptor(all, all, 0, 2, -1, -1, -1).is_null());
        assert_eq!(error(), 259);
        assert!(WinUsb_ParseDescriptors(all, length, all.wrapping_byte_sub(1), 5).is_null());
        assert!(WinUsb_ParseDescriptors(all, length, null_mut(), 5).is_null());
        assert_eq!(error(), 259);
        assert!(WinUsb_ParseDescriptors(null_mut(), length, all, 5).is_null());
        assert_eq!(error(), 87);
    }
}
