//! The same work through the C functions and through the Rust API, on the same device: what the C layer adds.

#![allow(unsafe_code)]

use std::ffi::CString;

use isoch::{BusClock, Device, IsochOut, Layout, Start, VirtualBus};
use winusb::types::{HANDLE, OVERLAPPED};
use winusb::{
    WinUsb_GetCurrentFrameNumber, WinUsb_GetOverlappedResult, WinUsb_Initialize, WinUsb_RegisterIsochBuffer,
    WinUsb_SetCurrentAlternateSetting, WinUsb_WriteIsochPipe, WinUsbX_CloseHandle, WinUsbX_CreateEvent,
    WinUsbX_OpenDevice,
};

/// Transfers of a measurement, each of eight packets.
pub const TRANSFERS: u32 = 100;
const PACKETS: u32 = 8;
const BYTES: u32 = PACKETS * 24;
const GENERIC_READ_WRITE: u32 = 0xC000_0000;
const FILE_FLAG_OVERLAPPED: u32 = 0x4000_0000;

/// A WinUSB program with as many requests prepared as are measured.
pub struct InC {
    file: HANDLE,
    interface: HANDLE,
    buffer: HANDLE,
    memory: Vec<u8>,
    overlapped: Vec<OVERLAPPED>,
    frame: u32,
}

impl InC {
    /// Opens a high-speed endpoint with 24-byte packets; what the steady state needs has been allocated.
    #[must_use]
    pub fn new(bus: &str) -> Self {
        let address = format!("virtual:{bus}/sink?kind=source-sink&interval=1&packet=24&clock=on-wait");
        let address = CString::new(address).expect("no NUL in it");
        let mut memory = vec![0x55; (TRANSFERS * BYTES) as usize];
        let (mut interface, mut buffer) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: all pointers are to live memory; the buffer stays where it is until the file is closed.
        let file = unsafe {
            let file = WinUsbX_OpenDevice(address.as_ptr(), GENERIC_READ_WRITE, FILE_FLAG_OVERLAPPED);
            assert_ne!(WinUsb_Initialize(file, &raw mut interface), 0, "initializes");
            assert_ne!(WinUsb_SetCurrentAlternateSetting(interface, 1), 0, "has setting 1");
            let length = memory.len() as u32;
            let registered =
                WinUsb_RegisterIsochBuffer(interface, 0x02, memory.as_mut_ptr(), length, &raw mut buffer);
            assert_ne!(registered, 0, "registers");
            file
        };
        let overlapped = || OVERLAPPED {
            Internal: 0,
            InternalHigh: 0,
            Offset: 0,
            OffsetHigh: 0,
            // SAFETY: it has no preconditions.
            hEvent: unsafe { WinUsbX_CreateEvent(1, 0) },
        };
        let overlapped = (0..TRANSFERS).map(|_| overlapped()).collect();
        let mut program = InC { file, interface, buffer, memory, overlapped, frame: 0 };
        for _ in 0..2 {
            program.ask_for_start();
            program.write();
            program.finish();
        }
        program.ask_for_start();
        program
    }

    /// The first frame of what is written next.
    pub fn ask_for_start(&mut self) {
        self.frame = self.current_frame() + 5;
    }

    /// WriteIsochPipe, a hundred times, each behind the other.
    pub fn write(&mut self) {
        for (offset, overlapped) in (0..).step_by(BYTES as usize).zip(&mut self.overlapped) {
            // SAFETY: the OVERLAPPEDs live until the requests are over.
            let accepted = unsafe {
                WinUsb_WriteIsochPipe(self.buffer, offset, BYTES, &raw mut self.frame, &raw mut *overlapped)
            };
            assert_eq!(accepted, 0, "overlapped");
        }
    }

    /// GetOverlappedResult without waiting, a hundred times.
    pub fn poll(&mut self) -> u32 {
        let mut over = 0;
        let mut bytes = 0;
        for overlapped in &mut self.overlapped {
            // SAFETY: all pointers are to live memory.
            let result = unsafe {
                WinUsb_GetOverlappedResult(self.interface, &raw mut *overlapped, &raw mut bytes, 0)
            };
            over += u32::from(result != 0);
        }
        over
    }

    /// Waits for all of them.
    pub fn finish(&mut self) {
        let mut bytes = 0;
        for overlapped in &mut self.overlapped {
            // SAFETY: all pointers are to live memory.
            let result = unsafe {
                WinUsb_GetOverlappedResult(self.interface, &raw mut *overlapped, &raw mut bytes, 1)
            };
            assert_ne!(result, 0, "written");
        }
    }

    /// GetCurrentFrameNumber.
    #[must_use]
    pub fn current_frame(&self) -> u32 {
        let (mut frame, mut time_stamp) = (0, 0);
        // SAFETY: all pointers are to live memory.
        let told =
            unsafe { WinUsb_GetCurrentFrameNumber(self.interface, &raw mut frame, &raw mut time_stamp) };
        assert_ne!(told, 0, "has frames");
        frame
    }
}

impl Drop for InC {
    fn drop(&mut self) {
        // SAFETY: handles are checked. After this nothing uses the memory.
        unsafe { WinUsbX_CloseHandle(self.file) };
        self.memory.clear();
    }
}

/// The same in Rust.
pub struct InRust {
    out: IsochOut,
    blocks: isoch::Blocks,
    memory: Vec<u8>,
    frame: u64,
    // Let go after the endpoint.
    _device: Device,
    _bus: VirtualBus,
}

impl InRust {
    /// Opens the same endpoint.
    #[must_use]
    pub fn new() -> Self {
        let bus = VirtualBus::builder().clock(BusClock::OnWait).build();
        bus.plug_kind("sink", "source-sink", &[("interval", "1"), ("packet", "24")]).expect("plugs in");
        let device = bus.open("sink").expect("opens");
        let setting =
            device.interface(0).and_then(|interface| interface.alternate_setting(1)).expect("claims");
        let out = setting.isoch_out(0x02).expect("opens");
        let blocks = out.register(Layout::packets(PACKETS).blocks(TRANSFERS)).expect("registers");
        let memory = vec![0x55; (TRANSFERS * BYTES) as usize];
        let mut program = InRust { out, blocks, memory, frame: 0, _device: device, _bus: bus };
        for _ in 0..2 {
            program.ask_for_start();
            program.write();
            program.finish();
        }
        program.ask_for_start();
        program
    }

    /// The first frame of what is written next.
    pub fn ask_for_start(&mut self) {
        self.frame = self.current_frame() + 5;
    }

    /// Takes a block, copies the data, submits it at its frame; a hundred times.
    pub fn write(&mut self) {
        for bytes in self.memory.chunks_exact(BYTES as usize) {
            let mut block = self.blocks.take().now().expect("there is one for each");
            block.set_length(bytes.len()).expect("fits");
            block.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
            self.out.submit(block, Start::At(self.frame)).expect("accepted");
            self.frame += 1;
        }
    }

    /// Waits for all of them.
    pub fn finish(&self) {
        for _ in 0..TRANSFERS {
            self.out.next_completion().wait().expect("completes");
        }
    }

    /// The frame that is running.
    #[must_use]
    pub fn current_frame(&self) -> u64 {
        self.out.clock().now().frame
    }
}

impl Default for InRust {
    fn default() -> Self {
        Self::new()
    }
}
