//! Isochronous transfers through the C functions: frames, completions, and everything that can end one.

#![cfg(not(windows))]
#![allow(unsafe_code)]

use std::ffi::CString;
use std::ptr::{null, null_mut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use winusb::types::*;
use winusb::*;

/// What the article's device carries in a frame: 8 packets of 1024 bytes.
const FRAME: u32 = 8192;
const OUT: u8 = 0x01;
const IN: u8 = 0x81;

/// An open article device on a bus of its own, in alternate setting 1.
struct Device {
    file: HANDLE,
    interface: HANDLE,
}

fn error() -> u32 {
    // SAFETY: it has no preconditions.
    unsafe { WinUsbX_GetLastError() }
}

fn reason() -> String {
    let mut text = vec![0_u8; 400];
    // SAFETY: the buffer has that length.
    unsafe { WinUsbX_GetLastErrorText(text.as_mut_ptr().cast(), 400) };
    String::from_utf8(text.split(|byte| *byte == 0).next().unwrap().to_vec()).unwrap()
}

impl Device {
    fn open(bus: &str) -> Self {
        let file = Self::open_file(bus);
        assert_ne!(file as isize, -1, "{}", reason());
        let mut interface = null_mut();
        // SAFETY: valid pointers.
        unsafe {
            assert_eq!(WinUsb_Initialize(file, &raw mut interface), TRUE, "{}", reason());
            assert_eq!(WinUsb_SetCurrentAlternateSetting(interface, 1), TRUE, "{}", reason());
        }
        Device { file, interface }
    }

    fn open_file(bus: &str) -> HANDLE {
        let address = CString::new(format!("virtual:{bus}/article?clock=on-wait")).unwrap();
        // SAFETY: a valid string.
        unsafe { WinUsbX_OpenDevice(address.as_ptr(), 0xC000_0000, 0x4000_0000) }
    }

    fn register(&self, pipe: u8, memory: &mut [u8]) -> HANDLE {
        let mut handle = null_mut();
        let length = memory.len() as u32;
        // SAFETY: the tests keep the memory until they unregister it.
        let registered = unsafe {
            WinUsb_RegisterIsochBuffer(self.interface, pipe, memory.as_mut_ptr(), length, &raw mut handle)
        };
        assert_eq!(registered, TRUE, "{}", reason());
        handle
    }

    fn frame(&self) -> u32 {
        let (mut frame, mut time) = (0, 0);
        // SAFETY: valid pointers.
        let told = unsafe { WinUsb_GetCurrentFrameNumber(self.interface, &raw mut frame, &raw mut time) };
        assert_eq!(told, TRUE);
        frame
    }

    /// GetOverlappedResult: 0, or the error.
    fn result(&self, overlapped: &mut Overlapped, wait: bool) -> u32 {
        let mut bytes = 77;
        // SAFETY: valid pointers.
        let result = unsafe {
            WinUsb_GetOverlappedResult(self.interface, overlapped.pointer(), &raw mut bytes, wait.into())
        };
        if result == FALSE {
            return error();
        }
        assert_eq!(bytes, 0, "isochronous transfers tell no bytes");
        0
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // SAFETY: handles are checked.
        unsafe {
            WinUsb_Free(self.interface);
            WinUsbX_CloseHandle(self.file);
        }
    }
}

/// An OVERLAPPED with an event.
struct Overlapped(Box<OVERLAPPED>);

impl Overlapped {
    fn new() -> Self {
        Self::with_event(TRUE)
    }

    fn with_event(manual_reset: BOOL) -> Self {
        // SAFETY: it has no preconditions.
        let event = unsafe { WinUsbX_CreateEvent(manual_reset, FALSE) };
        Overlapped(Box::new(OVERLAPPED {
            Internal: 0,
            InternalHigh: 0,
            Offset: 0,
            OffsetHigh: 0,
            hEvent: event,
        }))
    }

    fn pointer(&mut self) -> *mut OVERLAPPED {
        &raw mut *self.0
    }

    /// Looking takes an event that resets itself.
    fn is_signalled(&self) -> bool {
        // SAFETY: handles are checked.
        unsafe { WinUsbX_WaitForSingleObject(self.0.hEvent, 0) == 0 }
    }
}

/// A wait for a port moves every emulated clock of the process, so tests that look at frames take turns.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn assert_pending(result: BOOL) {
    assert_eq!((result, error()), (FALSE, 997), "{}", reason());
}

#[test]
fn the_articles_writes_use_the_frames_that_it_names() {
    let _alone = alone();
    let device = Device::open("isoch-article");
    let mut memory = vec![0x5a; 30 * FRAME as usize];
    let buffer = device.register(OUT, &mut memory);
    let first = device.frame();
    let mut frame = first + 5;
    let mut requests: Vec<Overlapped> = (0..3).map(|_| Overlapped::new()).collect();
    for (index, request) in (0..).zip(&mut requests) {
        let (offset, length) = (index * 10 * FRAME, 10 * FRAME);
        // SAFETY: valid until the results are in.
        assert_pending(unsafe {
            WinUsb_WriteIsochPipe(buffer, offset, length, &raw mut frame, request.pointer())
        });
        assert_eq!(frame, first + 5 + 10 * (index + 1));
        assert_eq!(device.result(request, false), 996);
        assert!(!request.is_signalled());
    }
    for (index, request) in (1..).zip(&mut requests) {
        assert_eq!(device.result(request, true), 0);
        assert!(request.is_signalled());
        assert_eq!(device.frame(), first + 5 + 10 * index, "it was over when its last frame was");
    }
    // SAFETY: handles are checked.
    assert_eq!(unsafe { WinUsb_UnregisterIsochBuffer(buffer) }, TRUE);
    // SAFETY: handles are checked.
    assert_eq!((unsafe { WinUsb_UnregisterIsochBuffer(buffer) }, error()), (FALSE, 6));
}

#[test]
fn reads_fill_the_buffer_and_the_descriptors() {
    let _alone = alone();
    let device = Device::open("isoch-read");
    let mut memory = vec![0_u8; 2 * FRAME as usize];
    let mut packets = vec![USBD_ISO_PACKET_DESCRIPTOR { Offset: 9, Length: 9, Status: 9 }; 16];
    let buffer = device.register(IN, &mut memory);
    let mut frame = device.frame() + 5;
    let mut request = Overlapped::new();
    // SAFETY: valid until the result is in.
    let result = unsafe {
        let (length, packets) = (2 * FRAME, packets.as_mut_ptr());
        WinUsb_ReadIsochPipe(buffer, 0, length, &raw mut frame, 16, packets, request.pointer())
    };
    assert_pending(result);
    assert_eq!(packets[0].Status, 9, "written at completion, never before");
    assert_eq!(device.result(&mut request, true), 0);
    for (index, packet) in (0..).zip(&packets) {
        assert_eq!((packet.Offset, packet.Status), (index * 1024, 0));
        assert!(packet.Length <= 1024);
    }
    assert!(packets.iter().any(|packet| packet.Length > 0));
}

#[test]
fn what_depends_on_time_fails_through_the_overlapped() {
    let _alone = alone();
    let device = Device::open("isoch-late");
    let mut memory = vec![0_u8; FRAME as usize];
    let buffer = device.register(OUT, &mut memory);
    let mut request = Overlapped::new();
    for distance in [1024, 2000, -1024] {
        let start = device.frame().wrapping_add_signed(distance);
        let mut frame = start;
        // SAFETY: valid until the result is in.
        assert_pending(unsafe { WinUsb_WriteIsochPipe(buffer, 0, FRAME, &raw mut frame, request.pointer()) });
        assert_eq!(frame, start.wrapping_add(1));
        assert_eq!(device.result(&mut request, true), 87);
        assert!(request.is_signalled());
    }
    // SAFETY: valid until the result is in.
    assert_pending(unsafe { WinUsb_WriteIsochPipeAsap(buffer, 0, FRAME, 1, request.pointer()) });
    assert_eq!(device.result(&mut request, true), 87, "nothing to continue");
    // SAFETY: blocking.
    let blocking = unsafe { WinUsb_WriteIsochPipeAsap(buffer, 0, FRAME, 1, null_mut()) };
    assert_eq!((blocking, error()), (FALSE, 87));
    // SAFETY: blocking.
    assert_eq!(unsafe { WinUsb_WriteIsochPipeAsap(buffer, 0, FRAME, 0, null_mut()) }, TRUE);
}

#[test]
fn asap_writes_follow_one_another() {
    let _alone = alone();
    let device = Device::open("isoch-asap");
    let mut memory = vec![0_u8; 4 * FRAME as usize];
    let buffer = device.register(OUT, &mut memory);
    let first = device.frame();
    let mut requests: Vec<Overlapped> = (0..4).map(|_| Overlapped::new()).collect();
    for (index, request) in (0..).zip(&mut requests) {
        let continues = BOOL::from(index > 0);
        // SAFETY: valid until the results are in.
        assert_pending(unsafe {
            WinUsb_WriteIsochPipeAsap(buffer, index * FRAME, FRAME, continues, request.pointer())
        });
    }
    for request in &mut requests {
        assert_eq!(device.result(request, true), 0);
    }
    assert_eq!(device.frame(), first + 5 + 4);
}

#[test]
fn a_report_tells_frames_gaps_and_packets() {
    let _alone = alone();
    let device = Device::open("isoch-report");
    let mut memory = vec![0_u8; FRAME as usize];
    let buffer = device.register(OUT, &mut memory);
    let lengths = [100_u32, 0, 1024, 1, 2, 3, 4, 5];
    let mut packets = [USBD_ISO_PACKET_DESCRIPTOR::default(); 8];
    let mut report =
        WINUSBX_ISOCH_REPORT { Size: size_of::<WINUSBX_ISOCH_REPORT>() as u32, ..Default::default() };
    let start = device.frame() + 7;
    let mut transfer = WINUSBX_ISOCH_TRANSFER {
        Size: size_of::<WINUSBX_ISOCH_TRANSFER>() as u32,
        Offset: 0,
        Length: lengths.iter().sum(),
        Start: 0,
        FrameNumber: start,
        NumberOfPackets: 8,
        PacketLengths: lengths.as_ptr(),
        Packets: packets.as_mut_ptr(),
        Report: &raw mut report,
    };
    // SAFETY: blocking, and all pointers are valid.
    assert_eq!(unsafe { WinUsbX_SubmitIsoch(buffer, &raw mut transfer, null_mut()) }, TRUE, "{}", reason());
    assert_eq!(transfer.FrameNumber, start + 1);
    assert_eq!(
        (report.Outcome, report.FrameSource, report.FirstFrame, report.NextFrame),
        (0, 1, start, start + 1)
    );
    assert_eq!((report.Gap, report.BytesTransferred), (0, transfer.Length));
    assert_eq!(packets.map(|packet| packet.Length), lengths);
    assert_eq!(packets.map(|packet| packet.Offset), [0, 100, 100, 1124, 1125, 1127, 1130, 1134]);
    transfer.PacketLengths = null();
    transfer.Size -= 4;
    // SAFETY: as above.
    let refused = unsafe { WinUsbX_SubmitIsoch(buffer, &raw mut transfer, null_mut()) };
    assert_eq!((refused, error()), (FALSE, 87));
    assert!(reason().contains("sizeof"), "{}", reason());
}

/// GetOverlappedResult waits for the event while the request is under way, and so takes one that resets itself; what is
/// over is told without a look at the event (as Windows does it).
#[test]
fn waiting_for_a_result_takes_an_event_that_resets_itself() {
    let _alone = alone();
    let device = Device::open("isoch-auto-reset");
    let mut memory = vec![0_u8; FRAME as usize];
    let buffer = device.register(OUT, &mut memory);
    let mut request = Overlapped::with_event(FALSE);
    let write = |request: &mut Overlapped| {
        // SAFETY: valid until the result is in.
        assert_pending(unsafe { WinUsb_WriteIsochPipeAsap(buffer, 0, FRAME, 0, request.pointer()) });
    };
    write(&mut request);
    assert_eq!(device.result(&mut request, true), 0);
    assert!(!request.is_signalled(), "waited for");

    write(&mut request);
    // SAFETY: it has no preconditions.
    unsafe { WinUsbX_Sleep(100) };
    assert_eq!(device.result(&mut request, true), 0);
    assert!(request.is_signalled(), "it was over: nothing waited");
    assert!(!request.is_signalled(), "and that look took it");
}

#[test]
fn cancelling_closing_and_aborting_end_every_request() {
    let _alone = alone();
    let device = Device::open("isoch-cancel");
    let mut memory = vec![0_u8; 8 * FRAME as usize];
    let buffer = device.register(OUT, &mut memory);
    let mut requests: Vec<Overlapped> = (0..8).map(|_| Overlapped::new()).collect();
    let write = |requests: &mut Vec<Overlapped>| {
        let mut frame = device.frame() + 5;
        for (index, request) in (0..).zip(requests) {
            // SAFETY: valid until the results are in.
            assert_pending(unsafe {
                WinUsb_WriteIsochPipe(buffer, index * FRAME, FRAME, &raw mut frame, request.pointer())
            });
        }
    };
    write(&mut requests);
    // SAFETY: handles are checked.
    unsafe {
        assert_eq!((WinUsb_SetCurrentAlternateSetting(device.interface, 0), error()), (FALSE, 170));
        assert_eq!(WinUsbX_CancelIoEx(device.file, requests[3].pointer()), TRUE);
    }
    for (index, request) in requests.iter_mut().enumerate() {
        assert_eq!(device.result(request, true), if index == 3 { 995 } else { 0 }, "request {index}");
    }
    write(&mut requests);
    // SAFETY: handles are checked.
    unsafe {
        assert_eq!((WinUsbX_CancelIoEx(device.file, null_mut()), error()).0, TRUE);
        assert!(requests.iter_mut().all(|request| device.result(request, false) == 995));
        assert_eq!((WinUsbX_CancelIoEx(device.file, null_mut()), error()), (FALSE, 1168));
    }
    write(&mut requests);
    let second = Device::open_file("isoch-cancel");
    assert_eq!((second as isize, error()), (-1, 5), "one program at a time");
    // SAFETY: handles are checked.
    unsafe { assert_eq!(WinUsbX_CloseHandle(device.file), TRUE) };
    for request in &requests {
        assert!(request.is_signalled());
        assert_eq!(request.0.Internal, 0xC000_0120);
    }
    // SAFETY: handles are checked.
    unsafe {
        let mut frame = 0;
        let refused = WinUsb_WriteIsochPipe(buffer, 0, FRAME, &raw mut frame, null_mut());
        assert_eq!((refused, error()), (FALSE, 6), "{}", reason());
        assert_eq!(WinUsb_UnregisterIsochBuffer(buffer), TRUE);
    }
    assert_ne!(Device::open_file("isoch-cancel") as isize, -1, "{}", reason());
}

#[test]
fn completions_come_to_a_port_in_order() {
    let _alone = alone();
    let device = Device::open("isoch-port");
    let mut memory = vec![0_u8; 64 * FRAME as usize];
    let buffer = device.register(OUT, &mut memory);
    let mut requests: Vec<Overlapped> = (0..64).map(|_| Overlapped::new()).collect();
    // SAFETY: valid pointers throughout, until all are over.
    unsafe {
        let port = WinUsbX_CreateIoCompletionPort(device.file, null_mut(), 0xBEEF, 0);
        assert!(!port.is_null(), "{}", reason());
        let mut frame = device.frame() + 5;
        for (index, request) in (0..).zip(&mut requests) {
            request.0.hEvent =
                if index % 8 == 7 { (request.0.hEvent as usize | 1) as HANDLE } else { null_mut() };
            let result =
                WinUsb_WriteIsochPipe(buffer, index * FRAME, FRAME, &raw mut frame, request.pointer());
            assert_pending(result);
        }
        for (index, request) in requests.iter_mut().enumerate().filter(|(index, _)| index % 8 != 7) {
            let (mut bytes, mut key, mut overlapped) = (1, 0, null_mut());
            let got = WinUsbX_GetQueuedCompletionStatus(
                port,
                &raw mut bytes,
                &raw mut key,
                &raw mut overlapped,
                INFINITE,
            );
            assert_eq!((got, bytes, key), (TRUE, 0, 0xBEEF), "{index}");
            assert_eq!(overlapped, request.pointer());
        }
        let (mut bytes, mut key, mut overlapped) = (0, 0, null_mut());
        let none =
            WinUsbX_GetQueuedCompletionStatus(port, &raw mut bytes, &raw mut key, &raw mut overlapped, 20);
        assert_eq!((none, error()), (FALSE, 258));
        assert!(overlapped.is_null());
    }
}

#[test]
fn a_buffer_is_useless_once_its_setting_is_not_selected() {
    let _alone = alone();
    let device = Device::open("isoch-setting");
    let mut memory = vec![0_u8; FRAME as usize];
    let buffer = device.register(OUT, &mut memory);
    // SAFETY: handles are checked.
    unsafe {
        assert_eq!(WinUsb_SetCurrentAlternateSetting(device.interface, 1), TRUE);
        assert_eq!((WinUsb_WriteIsochPipeAsap(buffer, 0, FRAME, 0, null_mut()), error()), (FALSE, 87));
        assert!(reason().contains("register the buffer again"), "{}", reason());
        assert_eq!(WinUsb_UnregisterIsochBuffer(buffer), TRUE);
    }
    let buffer = device.register(OUT, &mut memory);
    // SAFETY: handles are checked.
    unsafe { assert_eq!(WinUsb_WriteIsochPipeAsap(buffer, 0, FRAME, 0, null_mut()), TRUE, "{}", reason()) };
}
