//! Mistakes that were made once: each of these failed.
//!
//! They run at the same time, and one of them waits without end, which moves every emulated clock of the process: what
//! must find a request still under way is in `isoch.rs`, where tests take turns.
#![cfg(not(windows))]
// SAFETY, of every call here: pointers are NULL or to memory that is never freed, and handles are checked.
#![allow(unsafe_code, clippy::undocumented_unsafe_blocks)]

use std::ffi::CString;
use std::ptr::null_mut;
use std::time::Duration;

use winusb::types::*;
use winusb::*;

const FRAME: u32 = 8192;

fn error() -> u32 {
    unsafe { WinUsbX_GetLastError() }
}
fn reason() -> String {
    let mut text = vec![0_u8; 400];
    unsafe { WinUsbX_GetLastErrorText(text.as_mut_ptr().cast(), 400) };
    String::from_utf8(text.split(|byte| *byte == 0).next().unwrap().to_vec()).unwrap()
}
fn open(address: &str) -> HANDLE {
    let address = CString::new(address).unwrap();
    let file = unsafe { WinUsbX_OpenDevice(address.as_ptr(), 0xC000_0000, 0x4000_0000) };
    assert_ne!(file as isize, -1, "{}", reason());
    file
}
fn initialize(file: HANDLE) -> HANDLE {
    let mut interface = null_mut();
    unsafe { assert_eq!(WinUsb_Initialize(file, &raw mut interface), TRUE, "{}", reason()) };
    interface
}
fn overlapped() -> &'static mut OVERLAPPED {
    Box::leak(Box::new(OVERLAPPED {
        Internal: 0,
        InternalHigh: 0,
        Offset: 0,
        OffsetHigh: 0,
        hEvent: null_mut(),
    }))
}
fn register(interface: HANDLE, pipe: u8, frames: u32) -> HANDLE {
    let memory = Box::leak(vec![0_u8; (frames * FRAME) as usize].into_boxed_slice());
    let mut buffer = null_mut();
    unsafe {
        let ok =
            WinUsb_RegisterIsochBuffer(interface, pipe, memory.as_mut_ptr(), frames * FRAME, &raw mut buffer);
        assert_eq!(ok, TRUE, "{} {}", error(), reason());
    }
    buffer
}

/// A thread that waits on a port before the device is opened moves its time, too.
#[test]
fn a_wait_that_began_before_the_device_was_opened() {
    let port = unsafe { WinUsbX_CreateIoCompletionPort(-1_isize as HANDLE, null_mut(), 0, 0) } as usize;
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (mut bytes, mut key, mut done) = (0, 0, null_mut());
        let got = unsafe {
            WinUsbX_GetQueuedCompletionStatus(
                port as HANDLE,
                &raw mut bytes,
                &raw mut key,
                &raw mut done,
                INFINITE,
            )
        };
        tell.send((got, key)).unwrap();
    });
    std::thread::sleep(Duration::from_millis(200));
    let file = open("virtual:early/article?clock=on-wait");
    let interface = initialize(file);
    unsafe {
        assert_eq!(WinUsb_SetCurrentAlternateSetting(interface, 1), TRUE);
        assert!(!WinUsbX_CreateIoCompletionPort(file, port as HANDLE, 7, 0).is_null());
    }
    let buffer = register(interface, 1, 1);
    let ov = overlapped();
    unsafe { WinUsb_WriteIsochPipeAsap(buffer, 0, FRAME, 0, ov) };
    let got = told.recv_timeout(Duration::from_secs(3));
    unsafe { WinUsbX_CloseHandle(file) };
    assert_eq!(got, Ok((TRUE, 7)));
}

#[test]
fn free_and_initialize_again_with_a_buffer_registered() {
    let file = open("virtual:again/article?clock=on-wait");
    let interface = initialize(file);
    unsafe { assert_eq!(WinUsb_SetCurrentAlternateSetting(interface, 1), TRUE) };
    let _buffer = register(interface, 1, 1);
    unsafe { assert_eq!(WinUsb_Free(interface), TRUE) };
    let interface = initialize(file);
    let mut setting = 9;
    unsafe { WinUsb_GetCurrentAlternateSetting(interface, &raw mut setting) };
    assert_eq!(setting, 1);
    let _other = register(interface, 1, 1);
}

#[test]
fn abort_reaches_what_was_begun_with_an_earlier_handle() {
    let file = open("virtual:again2/loopback?clock=on-wait");
    let interface = initialize(file);
    let ov: *mut OVERLAPPED = overlapped();
    let memory = Box::leak(vec![0_u8; 512].into_boxed_slice());
    unsafe {
        WinUsb_ReadPipe(interface, 0x81, memory.as_mut_ptr(), 512, null_mut(), ov);
        assert_eq!(error(), 997);
        assert_eq!(WinUsb_Free(interface), TRUE);
    }
    let interface = initialize(file);
    unsafe {
        assert_eq!(WinUsb_AbortPipe(interface, 0x81), TRUE);
        assert_eq!((*ov).Internal, 0xC000_0120);
    }
}

#[test]
fn associated_interface_again() {
    let file = open("virtual:assoc/speaker?clock=on-wait");
    let first = initialize(file);
    let mut second = null_mut();
    unsafe {
        assert_eq!(WinUsb_GetAssociatedInterface(first, 0, &raw mut second), TRUE, "{}", reason());
        assert_eq!(WinUsb_SetCurrentAlternateSetting(second, 1), TRUE);
        let mut pipe = WINUSB_PIPE_INFORMATION_EX::default();
        let mut index = 0;
        while WinUsb_QueryPipeEx(second, 1, index, &raw mut pipe) == TRUE {
            let memory = Box::leak(vec![0_u8; 40000].into_boxed_slice());
            let mut buffer = null_mut();
            assert_eq!(
                WinUsb_RegisterIsochBuffer(second, pipe.PipeId, memory.as_mut_ptr(), 40000, &raw mut buffer),
                TRUE
            );
            index += 1;
        }
        assert_eq!(WinUsb_Free(second), TRUE);
        assert_eq!(
            WinUsb_GetAssociatedInterface(first, 0, &raw mut second),
            TRUE,
            "{} {}",
            error(),
            reason()
        );
    }
}

#[test]
fn a_larger_device_struct_has_a_larger_stride() {
    #[repr(C)]
    struct Larger {
        device: WINUSBX_DEVICE,
        more: [u32; 4],
    }
    let mut count = 0;
    unsafe {
        assert_eq!(WinUsbX_ListDevices(null_mut(), &raw mut count), TRUE);
        // Other tests open devices meanwhile.
        count += 50;
        let mut all: Vec<Larger> = (0..count)
            .map(|_| {
                let mut l: Larger = std::mem::zeroed();
                l.device.Size = size_of::<Larger>() as u32;
                l
            })
            .collect();
        let ok = WinUsbX_ListDevices(all.as_mut_ptr().cast(), &raw mut count);
        assert_eq!(ok, TRUE, "{} {}", error(), reason());
        assert!(count > 1 && all[..count as usize].iter().all(|d| d.device.VendorId != 0));
    }
}

#[test]
fn a_new_handle_finds_policies_at_their_defaults() {
    let file = open("virtual:again3/loopback?clock=on-wait");
    let interface = initialize(file);
    let (mut value, mut length) = (1_u32, 4_u32);
    unsafe {
        assert_eq!(WinUsb_SetPipePolicy(interface, 0, 3, 4, (&raw mut value).cast()), TRUE);
        assert_eq!(WinUsb_SetPipePolicy(interface, 0x81, 3, 4, (&raw mut value).cast()), TRUE);
        assert_eq!(WinUsb_Free(interface), TRUE);
    }
    let interface = initialize(file);
    for (pipe, default) in [(0, 5000), (0x81, 0)] {
        unsafe {
            assert_eq!(
                WinUsb_GetPipePolicy(interface, pipe, 3, &raw mut length, (&raw mut value).cast()),
                TRUE
            )
        };
        assert_eq!(value, default);
    }
}

/// Real time passes where the bus is real, whatever else is open.
#[test]
fn a_timed_wait_on_a_real_bus_beside_an_emulated_one() {
    let _other = initialize(open("virtual:mixed-e/article?clock=on-wait"));
    let file = open("virtual:mixed-r/article?clock=real");
    let interface = initialize(file);
    unsafe { assert_eq!(WinUsb_SetCurrentAlternateSetting(interface, 1), TRUE) };
    let buffer = register(interface, 1, 10);
    let ov = overlapped();
    ov.hEvent = unsafe { WinUsbX_CreateEvent(1, 0) };
    unsafe { WinUsb_WriteIsochPipeAsap(buffer, 0, 10 * FRAME, 0, ov) };
    let event = ov.hEvent;
    assert_eq!(unsafe { WinUsbX_WaitForSingleObject(event, 2000) }, 0, "timed out");
}

/// Nothing is done for an OVERLAPPED that cannot be completed; and one of a call that was refused is not left pending.
#[test]
fn a_call_that_is_refused_has_done_nothing() {
    let interface = initialize(open("virtual:refused/article?clock=on-wait"));
    let setting = || {
        let mut setting = 9;
        unsafe { assert_eq!(WinUsb_GetCurrentAlternateSetting(interface, &raw mut setting), TRUE) };
        setting
    };
    let ov = overlapped();
    ov.hEvent = unsafe { WinUsbX_CreateEvent(1, 0) };
    unsafe {
        assert_eq!(WinUsb_SetCurrentAlternateSettingAsync(interface, 77, ov), FALSE);
        assert!(error() != 997 && ov.Internal != 0x103, "{} {:#x}", error(), ov.Internal);
        assert_eq!(WinUsb_SetCurrentAlternateSettingAsync(interface, 1, ov), FALSE);
        assert_eq!((error(), ov.Internal, setting()), (997, 0, 1));
        assert_eq!(WinUsbX_CloseHandle(ov.hEvent), TRUE);
        assert_eq!(WinUsb_SetCurrentAlternateSettingAsync(interface, 0, ov), FALSE);
        assert_eq!((error(), setting()), (6, 1));
    }
}
