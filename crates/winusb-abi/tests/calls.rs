//! Any sequence of calls, with any handles and numbers, from several threads: no crash, no hang, no leak.
//!
//! Why not cargo-fuzz? It needs a nightly compiler; and what matters here is the order of calls and who makes them
//! at the same time, which a seeded generator of calls explores as well. Pointers are to valid memory, as WinUSB's
//! contract demands; everything else is arbitrary. `ISOCH_CALLS` sets how many calls are made.

#![cfg(not(windows))]
#![allow(unsafe_code)]
#![allow(clippy::print_stdout)] // how many calls reached something

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::{CString, c_void};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use winusb::types::*;
use winusb::*;

/// Counts live bytes: what is closed must be free.
struct Counting;

static LIVE: AtomicI64 = AtomicI64::new(0);

// SAFETY: everything is the system allocator's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What is open, for every thread to use and to close behind the others' backs.
static HANDLES: Mutex<[Vec<usize>; KINDS]> = Mutex::new([const { Vec::new() }; KINDS]);

const KINDS: usize = 5;
const FILE: usize = 0;
const INTERFACE: usize = 1;
const BUFFER_HANDLE: usize = 2;
const EVENT: usize = 3;
const PORT: usize = 4;
static CALLS: AtomicU64 = AtomicU64::new(0);
static SUCCESSES: AtomicU64 = AtomicU64::new(0);
static PENDING: AtomicU64 = AtomicU64::new(0);

const BUFFER: usize = 256 * 1024;
const PACKETS: usize = 1024;
const OVERLAPPEDS: usize = 8;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 11) % limit
    }

    fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

/// One thread's memory, valid for as long as the process: requests may end whenever they like.
struct Caller {
    random: Random,
    buffer: *mut u8,
    packets: *mut USBD_ISO_PACKET_DESCRIPTOR,
    overlapped: *mut OVERLAPPED,
    report: *mut WINUSBX_ISOCH_REPORT,
    /// Outputs that are written during a call only.
    scratch: *mut u64,
    frame: u32,
}

/// Memory that stays until the end of the process; a leak checker finds it here.
fn keep<T>(values: Vec<T>) -> *mut T {
    static KEPT: Mutex<Vec<usize>> = Mutex::new(Vec::new());
    let first = Box::leak(values.into_boxed_slice()).as_mut_ptr();
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).push(first as usize);
    first
}

impl Caller {
    fn new(seed: u64) -> Self {
        let overlapped = || OVERLAPPED {
            Internal: 0,
            InternalHigh: 0,
            Offset: 0,
            OffsetHigh: 0,
            hEvent: std::ptr::null_mut(),
        };
        let overlappeds: Vec<OVERLAPPED> = (0..OVERLAPPEDS).map(|_| overlapped()).collect();
        let report =
            WINUSBX_ISOCH_REPORT { Size: size_of::<WINUSBX_ISOCH_REPORT>() as u32, ..Default::default() };
        Caller {
            random: Random(seed | 1),
            buffer: keep(vec![0; BUFFER]),
            packets: keep(vec![USBD_ISO_PACKET_DESCRIPTOR::default(); PACKETS]),
            overlapped: keep(overlappeds),
            report: keep(vec![report]),
            scratch: keep(vec![0; 64]),
            frame: 0,
        }
    }

    /// Mostly a handle of that kind; sometimes another, a stale one, or none at all.
    fn handle(&mut self, kind: usize) -> HANDLE {
        let kind = if self.random.one_in(12) { self.random.below(KINDS as u64) as usize } else { kind };
        let handles = HANDLES.lock().unwrap_or_else(PoisonError::into_inner);
        let known = match handles[kind].len() {
            0 => 0,
            many => handles[kind][self.random.below(many as u64) as usize],
        };
        drop(handles);
        let value = match self.random.below(40) {
            0 => 0,
            1 => usize::MAX,
            2 => self.random.next() as usize,
            3 => known ^ 1 << self.random.below(40),
            _ => known,
        };
        value as HANDLE
    }

    fn keep(&self, kind: usize, handle: HANDLE) {
        if !handle.is_null() && handle as isize != -1 {
            HANDLES.lock().unwrap_or_else(PoisonError::into_inner)[kind].push(handle as usize);
        }
    }

    fn forget(&mut self, handle: HANDLE) {
        if !self.random.one_in(8) {
            let mut handles = HANDLES.lock().unwrap_or_else(PoisonError::into_inner);
            handles.iter_mut().for_each(|handles| handles.retain(|known| *known != handle as usize));
        }
    }

    fn out<T>(&mut self) -> *mut T {
        if self.random.one_in(40) { std::ptr::null_mut() } else { self.scratch.cast() }
    }

    /// An OVERLAPPED that is not pending, or one that is: both happen.
    fn overlapped(&mut self) -> *mut OVERLAPPED {
        let index = self.random.below(OVERLAPPEDS as u64) as usize;
        // SAFETY: within the array.
        let overlapped = unsafe { self.overlapped.add(index) };
        if self.random.one_in(8) {
            let event = self.handle(EVENT);
            // SAFETY: this thread alone writes it, and the library reads it in calls of this thread's only.
            unsafe {
                (*overlapped).hEvent = if self.random.one_in(2) { std::ptr::null_mut() } else { event }
            };
        }
        overlapped
    }

    fn number(&mut self) -> u32 {
        match self.random.below(6) {
            0 => self.random.of(&[0, 1, 2, 255, 256, 1023, 1024, 1025, u32::MAX]),
            1 => self.random.next() as u32,
            _ => self.random.below(32) as u32 * 1024,
        }
    }

    /// A range in the buffer, and lengths that may be more than was registered but never more than there is.
    fn length(&mut self) -> u32 {
        self.number().min(BUFFER as u32)
    }

    fn pipe(&mut self) -> u8 {
        if self.random.one_in(10) {
            self.random.next() as u8
        } else {
            self.random.of(&[0x00, 0x01, 0x81, 0x02, 0x82, 0x03, 0x83])
        }
    }

    fn frame(&mut self) -> *mut u32 {
        let frame = match self.random.below(8) {
            0 => self.random.next() as u32,
            1 => self.frame.wrapping_sub(self.random.below(1030) as u32),
            2 => self.frame.wrapping_add(self.random.below(1030) as u32),
            _ => self.frame.wrapping_add(5),
        };
        // SAFETY: scratch memory of this thread's own.
        unsafe { self.scratch.add(8).cast::<u32>().write(frame) };
        // SAFETY: within it.
        unsafe { self.scratch.add(8).cast() }
    }

    fn open(&mut self) -> HANDLE {
        let device = self.random.of(&["article", "source-sink", "speaker", "microphone"]);
        let bus = self.random.below(3);
        let address = CString::new(format!("virtual:calls{bus}/{device}?clock=on-wait")).unwrap();
        // SAFETY: a valid string.
        let file = unsafe { WinUsbX_OpenDevice(address.as_ptr(), 0xC000_0000, 0x4000_0000) };
        self.keep(FILE, file);
        file
    }

    /// One call.
    fn call(&mut self) -> BOOL {
        let what = self.random.below(46);
        let kind = match what {
            1 => self.random.of(&[FILE, EVENT, PORT]),
            2 | 3 | 32 | 37 => FILE,
            11..=21 => BUFFER_HANDLE,
            34..=36 => EVENT,
            38 | 39 => PORT,
            _ => INTERFACE,
        };
        let handle = self.handle(kind);
        // SAFETY: every pointer is NULL or to memory that lives as long as the process, of the size that is said.
        unsafe {
            match what {
                0 => BOOL::from(self.open() as isize != -1),
                1 if self.random.one_in(8) => {
                    let closed = WinUsbX_CloseHandle(handle);
                    if closed != 0 {
                        // Some are used again although they are stale.
                        self.forget(handle);
                    }
                    closed
                }
                2 | 3 => {
                    let out: *mut HANDLE = self.out();
                    let result = WinUsb_Initialize(handle, out);
                    if result != 0 {
                        self.keep(INTERFACE, *out);
                    }
                    result
                }
                4 => {
                    let out: *mut HANDLE = self.out();
                    let result = WinUsb_GetAssociatedInterface(handle, self.random.below(4) as u8, out);
                    if result != 0 {
                        self.keep(INTERFACE, *out);
                    }
                    result
                }
                5 => {
                    if self.random.one_in(6) {
                        WinUsb_Free(handle)
                    } else {
                        0
                    }
                }
                6..=8 => WinUsb_SetCurrentAlternateSetting(handle, self.random.below(4) as u8),
                9 | 10 => {
                    let out: *mut HANDLE = self.out();
                    let (pipe, length) = (self.pipe(), self.length());
                    let buffer = if self.random.one_in(40) { std::ptr::null_mut() } else { self.buffer };
                    let result = WinUsb_RegisterIsochBuffer(handle, pipe, buffer, length, out);
                    if result != 0 {
                        self.keep(BUFFER_HANDLE, *out);
                    }
                    result
                }
                11 => {
                    if self.random.one_in(4) {
                        WinUsb_UnregisterIsochBuffer(handle)
                    } else {
                        0
                    }
                }
                12..=15 => {
                    let (offset, length, frame) = (self.length(), self.length(), self.frame());
                    let overlapped = self.maybe_blocking();
                    WinUsb_WriteIsochPipe(handle, offset, length, frame, overlapped)
                }
                16..=18 => {
                    let (offset, packets, frame) =
                        (self.length(), self.random.below(PACKETS as u64 + 1) as u32, self.frame());
                    let length = if self.random.one_in(4) { self.length() } else { packets * 1024 };
                    let overlapped = self.maybe_blocking();
                    WinUsb_ReadIsochPipe(handle, offset, length, frame, packets, self.packets, overlapped)
                }
                19 => {
                    let (offset, length, continues) =
                        (self.length(), self.length(), self.random.below(2) as BOOL);
                    let overlapped = self.maybe_blocking();
                    WinUsb_WriteIsochPipeAsap(handle, offset, length, continues, overlapped)
                }
                20 => {
                    let (packets, continues) =
                        (self.random.below(PACKETS as u64 + 1) as u32, self.random.below(2) as BOOL);
                    let overlapped = self.maybe_blocking();
                    WinUsb_ReadIsochPipeAsap(
                        handle,
                        0,
                        packets * 1024,
                        continues,
                        packets,
                        self.packets,
                        overlapped,
                    )
                }
                21 => self.submit(handle),
                22 | 23 => {
                    let (frame, time): (*mut u32, *mut i64) =
                        (self.scratch.cast(), self.scratch.add(1).cast());
                    let result = WinUsb_GetCurrentFrameNumber(handle, frame, time);
                    if result != 0 {
                        self.frame = *frame;
                        WinUsb_GetAdjustedFrameNumber(frame, *time)
                    } else {
                        WinUsb_GetAdjustedFrameNumber(frame, self.random.next() as i64)
                    }
                }
                24 => {
                    let (pipe, length) = (self.pipe(), self.length().min(8192));
                    let (out, overlapped) = (self.out(), self.overlapped());
                    WinUsb_ReadPipe(handle, pipe, self.buffer, length, out, overlapped)
                }
                25 => {
                    let (pipe, length) = (self.pipe(), self.length().min(8192));
                    let (out, overlapped) = (self.out(), self.overlapped());
                    WinUsb_WritePipe(handle, pipe, self.buffer, length, out, overlapped)
                }
                26 => {
                    let setup = WINUSB_SETUP_PACKET {
                        RequestType: self.random.of(&[0x80, 0x00, 0xC0, 0x40, 0x81, 0xA1, 0x21, 0x02]),
                        Request: self.random.below(16) as u8,
                        Value: self.random.below(0x400) as u16,
                        Index: self.random.below(4) as u16,
                        Length: self.random.below(512) as u16,
                    };
                    let (length, out, overlapped) =
                        (self.random.below(512) as u32, self.out(), self.maybe_blocking());
                    WinUsb_ControlTransfer(handle, setup, self.buffer, length, out, overlapped)
                }
                27 => WinUsb_AbortPipe(handle, self.pipe()),
                28 => WinUsb_ResetPipe(handle, self.pipe()),
                29 => WinUsb_FlushPipe(handle, self.pipe()),
                30 | 31 => {
                    let (overlapped, out) = (self.overlapped(), self.out());
                    let wait = BOOL::from(self.random.one_in(2));
                    WinUsb_GetOverlappedResult(handle, overlapped, out, wait)
                }
                32 => {
                    let overlapped =
                        if self.random.one_in(3) { std::ptr::null_mut() } else { self.overlapped() };
                    WinUsbX_CancelIoEx(handle, overlapped)
                }
                33 => {
                    let event =
                        WinUsbX_CreateEvent(self.random.below(2) as BOOL, self.random.below(2) as BOOL);
                    self.keep(EVENT, event);
                    1
                }
                34 => WinUsbX_SetEvent(handle) + WinUsbX_ResetEvent(handle),
                35 => BOOL::from(WinUsbX_WaitForSingleObject(handle, self.random.below(4) as u32) == 0),
                36 => {
                    let handles = [handle, self.handle(EVENT), self.handle(FILE)];
                    let (count, all) = (self.random.below(4) as u32, self.random.below(2) as BOOL);
                    BOOL::from(
                        WinUsbX_WaitForMultipleObjects(
                            count,
                            handles.as_ptr(),
                            all,
                            self.random.below(4) as u32,
                        ) == 0,
                    )
                }
                37 => {
                    let existing =
                        if self.random.one_in(2) { std::ptr::null_mut() } else { self.handle(PORT) };
                    let file = if self.random.one_in(3) { -1_isize as HANDLE } else { handle };
                    let port = WinUsbX_CreateIoCompletionPort(file, existing, self.random.next() as usize, 0);
                    if port != existing {
                        self.keep(PORT, port);
                    }
                    BOOL::from(!port.is_null())
                }
                38 => {
                    let (bytes, key) = (self.scratch.cast(), self.scratch.add(1).cast());
                    let overlapped = self.scratch.add(2).cast();
                    WinUsbX_GetQueuedCompletionStatus(
                        handle,
                        bytes,
                        key,
                        overlapped,
                        self.random.below(3) as u32,
                    )
                }
                39 => WinUsbX_PostQueuedCompletionStatus(handle, 1, 2, std::ptr::null_mut()),
                40 => self.policies(handle),
                41 => self.queries(handle),
                42 => self.time_sync(handle),
                43 => self.extras(handle),
                44 => WinUsb_AbortPipeAsync(handle, self.pipe(), self.overlapped()),
                _ => {
                    WinUsbX_Sleep(self.random.below(3) as u32);
                    1
                }
            }
        }
    }

    /// Mostly an OVERLAPPED; sometimes none.
    fn maybe_blocking(&mut self) -> *mut OVERLAPPED {
        if self.random.one_in(6) { std::ptr::null_mut() } else { self.overlapped() }
    }

    unsafe fn submit(&mut self, handle: HANDLE) -> BOOL {
        let packets = self.random.below(64) as u32;
        let lengths: Vec<u32> = (0..packets).map(|_| self.random.below(1025) as u32).collect();
        let own_lengths = self.random.one_in(2);
        let total: u32 = lengths.iter().sum();
        let mut transfer = WINUSBX_ISOCH_TRANSFER {
            Size: if self.random.one_in(20) {
                self.number()
            } else {
                size_of::<WINUSBX_ISOCH_TRANSFER>() as u32
            },
            Offset: 0,
            Length: if own_lengths { total } else { packets * 1024 },
            Start: self.random.below(4) as u32,
            FrameNumber: self.frame.wrapping_add(self.random.below(20) as u32),
            NumberOfPackets: packets,
            PacketLengths: if own_lengths { lengths.as_ptr() } else { std::ptr::null() },
            Packets: self.packets,
            Report: if self.random.one_in(2) { self.report } else { std::ptr::null_mut() },
        };
        let overlapped = self.maybe_blocking();
        // SAFETY: as in `call`.
        unsafe { WinUsbX_SubmitIsoch(handle, &raw mut transfer, overlapped) }
    }

    unsafe fn policies(&mut self, handle: HANDLE) -> BOOL {
        let (pipe, policy, length) =
            (self.pipe(), self.random.below(12) as u32, self.random.of(&[0, 1, 2, 4, 8]));
        let value: *mut c_void = self.buffer.cast();
        // SAFETY: as in `call`.
        unsafe {
            self.scratch.cast::<u32>().write(length);
            match self.random.below(4) {
                // No time-outs of hours, and no RAW_IO reads that nothing ends.
                0 => {
                    value.cast::<u32>().write(self.random.below(3) as u32);
                    WinUsb_SetPipePolicy(handle, pipe, policy, length, value)
                }
                1 => WinUsb_GetPipePolicy(handle, pipe, policy, self.scratch.cast(), value),
                2 => WinUsb_SetPowerPolicy(handle, self.random.of(&[0x81, 0x83, 1]), length, value),
                _ => WinUsb_GetPowerPolicy(
                    handle,
                    self.random.of(&[0x81, 0x83, 1]),
                    self.scratch.cast(),
                    value,
                ),
            }
        }
    }

    unsafe fn queries(&mut self, handle: HANDLE) -> BOOL {
        let (setting, index) = (self.random.below(4) as u8, self.random.below(6) as u8);
        // SAFETY: as in `call`.
        unsafe {
            match self.random.below(6) {
                0 => WinUsb_QueryPipe(handle, setting, index, self.out()),
                1 => WinUsb_QueryPipeEx(handle, setting, index, self.out()),
                2 => WinUsb_QueryInterfaceSettings(handle, setting, self.out()),
                3 => WinUsb_GetCurrentAlternateSetting(handle, self.out()),
                4 => {
                    let (kind, length) = (self.random.below(8) as u8, self.random.below(300) as u32);
                    WinUsb_GetDescriptor(
                        handle,
                        kind,
                        index,
                        0x0409,
                        self.buffer,
                        length,
                        self.scratch.cast(),
                    )
                }
                _ => {
                    self.scratch.cast::<u32>().write(self.random.below(3) as u32);
                    WinUsb_QueryDeviceInformation(
                        handle,
                        self.random.below(3) as u32,
                        self.scratch.cast(),
                        self.buffer.cast(),
                    )
                }
            }
        }
    }

    unsafe fn time_sync(&mut self, handle: HANDLE) -> BOOL {
        let mut start = USB_START_TRACKING_FOR_TIME_SYNC_INFORMATION {
            TimeTrackingHandle: if self.random.one_in(2) { std::ptr::null_mut() } else { self.handle(PORT) },
            IsStartupDelayTolerable: 0,
        };
        // SAFETY: as in `call`.
        unsafe {
            if WinUsb_StartTrackingForTimeSync(handle, &raw mut start) == 0 {
                return 0;
            }
            let tracking = start.TimeTrackingHandle;
            let mut query: USB_FRAME_NUMBER_AND_QPC_FOR_TIME_SYNC_INFORMATION = std::mem::zeroed();
            query.TimeTrackingHandle = tracking;
            query.InputFrameNumber = self.random.next() as u32;
            query.InputMicroFrameNumber = self.random.below(9) as u32;
            WinUsb_GetCurrentFrameNumberAndQpc(handle, &raw mut query);
            let mut stop = USB_STOP_TRACKING_FOR_TIME_SYNC_INFORMATION { TimeTrackingHandle: tracking };
            WinUsb_StopTrackingForTimeSync(handle, &raw mut stop)
        }
    }

    unsafe fn extras(&mut self, handle: HANDLE) -> BOOL {
        let size = self.random.of(&[0_u32, 8, 64, 512]);
        // SAFETY: as in `call`.
        unsafe {
            self.scratch.cast::<u32>().write(size);
            match self.random.below(4) {
                0 => WinUsbX_GetFrameClock(handle, self.scratch.cast()),
                1 => WinUsbX_GetStatistics(handle, self.pipe(), self.scratch.cast()),
                2 => WinUsbX_AdvanceClock(handle, self.random.below(50) as u32),
                _ => WinUsbX_GetLastErrorText(self.buffer.cast(), self.random.below(40) as u32),
            }
        }
    }
}

/// Closes everything, and lets everything end.
fn close_all() {
    let handles = std::mem::take(&mut *HANDLES.lock().unwrap_or_else(PoisonError::into_inner)).concat();
    for handle in handles.iter().map(|handle| *handle as HANDLE) {
        // SAFETY: handles are checked.
        unsafe {
            WinUsb_Free(handle);
            WinUsbX_CloseHandle(handle);
        }
    }
    for handle in handles.iter().map(|handle| *handle as HANDLE) {
        // SAFETY: handles are checked. What used it was cancelled by the close.
        unsafe { WinUsb_UnregisterIsochBuffer(handle) };
    }
}

/// A hang ends the test, with what to look at: a debugger shows which calls wait for what.
#[allow(clippy::print_stderr)]
fn end_if_hung() {
    let mut before = None;
    loop {
        let now = CALLS.load(Ordering::Relaxed);
        if before.replace(now) == Some(now) {
            eprintln!("no call has returned for a minute, after {now}");
            std::process::abort();
        }
        std::thread::sleep(std::time::Duration::from_secs(60));
    }
}

#[test]
fn no_sequence_of_calls_crashes_hangs_or_leaks() {
    std::thread::spawn(end_if_hung);
    let wanted =
        std::env::var("ISOCH_CALLS").ok().and_then(|calls| calls.parse().ok()).unwrap_or(1_000_000_u64);
    let seed = std::env::var("ISOCH_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x15_0C4_u64);
    const THREADS: u64 = 4;
    let rounds = 8;
    let mut live = Vec::new();
    let callers: Vec<Mutex<Caller>> =
        (0..THREADS).map(|thread| Mutex::new(Caller::new(seed + thread * 977))).collect();
    for _ in 0..rounds {
        std::thread::scope(|scope| {
            for caller in &callers {
                scope.spawn(move || {
                    let mut caller = caller.lock().unwrap_or_else(PoisonError::into_inner);
                    for _ in 0..wanted / THREADS / rounds {
                        let result = caller.call();
                        CALLS.fetch_add(1, Ordering::Relaxed);
                        // SAFETY: it has no preconditions.
                        let pending = result == 0 && unsafe { WinUsbX_GetLastError() } == 997;
                        SUCCESSES.fetch_add(u64::from(result != 0), Ordering::Relaxed);
                        PENDING.fetch_add(u64::from(pending), Ordering::Relaxed);
                        // More devices are opened than closed, so close all now and then.
                        if caller.random.one_in(1500) {
                            close_all();
                        }
                    }
                });
            }
        });
        close_all();
        live.push(LIVE.load(Ordering::Relaxed));
    }
    let (calls, successes) = (CALLS.load(Ordering::Relaxed), SUCCESSES.load(Ordering::Relaxed));
    let pending = PENDING.load(Ordering::Relaxed);
    println!("{calls} calls, {successes} succeeded, {pending} were pending; live bytes {live:?}");
    assert!(successes > calls / 10, "the calls must reach something: {successes} of {calls} succeeded");
    assert!(pending > calls / 200, "transfers must be started: {pending} of {calls}");
    // What stays are tables that have grown, threads' own data and the like: not more with more calls.
    let (early, late) = (live[1], live[rounds as usize - 1]);
    assert!(late - early < 1 << 20, "memory grows: {live:?}");
}

// The raw pointers of a caller are used by one thread at a time.
// SAFETY: the memory lives as long as the process.
unsafe impl Send for Caller {}
