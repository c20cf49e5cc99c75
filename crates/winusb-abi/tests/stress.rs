//! Everything that can end an isochronous request, from several threads at once.
#![cfg(not(windows))]
// SAFETY, of every call here: pointers are NULL or to memory that is never freed, and handles are checked.
#![allow(unsafe_code, clippy::undocumented_unsafe_blocks, clippy::print_stderr)]

use std::ffi::CString;
use std::ptr::null_mut;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use winusb::types::*;
use winusb::*;

const FRAME: u32 = 8192;
const THREADS: u64 = 4;

struct Random(u64);
impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) % limit
    }
}

struct World {
    file: usize,
    interfaces: Mutex<Vec<usize>>,
    buffers: Mutex<Vec<(usize, bool)>>,
    overlappeds: Mutex<Vec<usize>>,
    calls: AtomicUsize,
}

fn pick<T: Copy>(all: &Mutex<Vec<T>>, random: &mut Random) -> Option<T> {
    let all = all.lock().unwrap();
    (!all.is_empty()).then(|| all[random.below(all.len() as u64) as usize])
}

fn leak<T>(value: T) -> *mut T {
    Box::leak(Box::new(value))
}

fn step(world: &World, random: &mut Random, event: HANDLE, waits: bool) {
    world.calls.fetch_add(1, Ordering::Relaxed);
    let interface = pick(&world.interfaces, random).unwrap_or(0) as HANDLE;
    unsafe {
        match random.below(24) {
            0..=2 => {
                let pipe = if random.below(2) == 0 { 1 } else { 0x81 };
                let memory = Box::leak(vec![0_u8; 4 * FRAME as usize].into_boxed_slice());
                let mut buffer = null_mut();
                if WinUsb_RegisterIsochBuffer(
                    interface,
                    pipe,
                    memory.as_mut_ptr(),
                    4 * FRAME,
                    &raw mut buffer,
                ) == TRUE
                {
                    world.buffers.lock().unwrap().push((buffer as usize, pipe == 0x81));
                }
            }
            3..=9 => {
                let Some((buffer, reads)) = pick(&world.buffers, random) else { return };
                let blocks = waits && random.below(4) == 0;
                let h_event = match random.below(3) {
                    0 => event,
                    _ => null_mut(),
                };
                let ov = if blocks {
                    null_mut()
                } else {
                    leak(OVERLAPPED {
                        Internal: 0,
                        InternalHigh: 0,
                        Offset: 0,
                        OffsetHigh: 0,
                        hEvent: h_event,
                    })
                };
                let packets = Box::leak(vec![USBD_ISO_PACKET_DESCRIPTOR::default(); 16].into_boxed_slice());
                let kind = random.below(3);
                let (mut frame, mut time) = (0, 0);
                WinUsb_GetCurrentFrameNumber(interface, &raw mut frame, &raw mut time);
                frame = frame.wrapping_add(random.below(8) as u32);
                let b = buffer as HANDLE;
                let ok = match (reads, kind) {
                    (false, 0) => {
                        WinUsb_WriteIsochPipe(b, 0, FRAME * (1 + random.below(2) as u32), &raw mut frame, ov)
                    }
                    (false, k) => WinUsb_WriteIsochPipeAsap(b, 0, FRAME, (k == 1).into(), ov),
                    (true, 0) => {
                        WinUsb_ReadIsochPipe(b, 0, 2 * FRAME, &raw mut frame, 16, packets.as_mut_ptr(), ov)
                    }
                    (true, k) => {
                        WinUsb_ReadIsochPipeAsap(b, 0, FRAME, (k == 1).into(), 8, packets.as_mut_ptr(), ov)
                    }
                };
                if !ov.is_null() {
                    assert_eq!(ok, FALSE);
                    if WinUsbX_GetLastError() == 997 {
                        world.overlappeds.lock().unwrap().push(ov as usize);
                    }
                }
            }
            10 => {
                let ov = pick(&world.overlappeds, random).unwrap_or(0);
                WinUsbX_CancelIoEx(world.file as HANDLE, ov as *mut OVERLAPPED);
            }
            11 | 12 => {
                WinUsb_AbortPipe(interface, if random.below(2) == 0 { 1 } else { 0x81 });
            }
            13 | 14 => {
                // Only one of us has it then.
                let taken = {
                    let mut all = world.buffers.lock().unwrap();
                    if all.is_empty() {
                        return;
                    }
                    let index = random.below(all.len() as u64) as usize;
                    all.swap_remove(index)
                };
                if waits {
                    WinUsb_UnregisterIsochBuffer(taken.0 as HANDLE);
                }
            }
            15 => {
                if random.below(16) == 0 {
                    WinUsb_SetCurrentAlternateSetting(interface, 1);
                }
            }
            16 => {
                if random.below(8) == 0 {
                    WinUsb_SetCurrentAlternateSetting(interface, 0);
                    WinUsb_SetCurrentAlternateSetting(interface, 1);
                }
            }
            17 => {
                if random.below(4) != 0 {
                    return;
                }
                let taken = world.interfaces.lock().unwrap().pop();
                if let Some(taken) = taken {
                    WinUsb_Free(taken as HANDLE);
                }
                let mut new = null_mut();
                if WinUsb_Initialize(world.file as HANDLE, &raw mut new) == TRUE {
                    world.interfaces.lock().unwrap().push(new as usize);
                }
            }
            18 | 19 => {
                let Some(ov) = pick(&world.overlappeds, random) else { return };
                let mut bytes = 0;
                WinUsb_GetOverlappedResult(
                    interface,
                    ov as *mut OVERLAPPED,
                    &raw mut bytes,
                    (waits && random.below(2) == 0).into(),
                );
            }
            20 => {
                WinUsbX_WaitForSingleObject(
                    if random.below(2) == 0 { event } else { world.file as HANDLE },
                    random.below(3) as u32,
                );
            }
            21 => {
                WinUsbX_AdvanceClock(interface, 1 + random.below(4) as u32);
            }
            _ => WinUsbX_Sleep(random.below(3) as u32),
        }
    }
}

fn run(clock: &'static str, close_after: Option<usize>, seed: u64, calls: usize) {
    static BUSES: AtomicUsize = AtomicUsize::new(0);
    let bus = BUSES.fetch_add(1, Ordering::Relaxed);
    let address = CString::new(format!("virtual:stress{bus}/article?clock={clock}")).unwrap();
    let world: &'static World = unsafe {
        let file = WinUsbX_OpenDevice(address.as_ptr(), 0xC000_0000, 0x4000_0000);
        assert_ne!(file as isize, -1);
        let mut interface = null_mut();
        assert_eq!(WinUsb_Initialize(file, &raw mut interface), TRUE);
        WinUsb_SetCurrentAlternateSetting(interface, 1);
        Box::leak(Box::new(World {
            file: file as usize,
            interfaces: Mutex::new(vec![interface as usize]),
            buffers: Mutex::default(),
            overlappeds: Mutex::default(),
            calls: AtomicUsize::new(0),
        }))
    };
    let done: &'static AtomicBool = Box::leak(Box::new(AtomicBool::new(false)));
    std::thread::spawn(move || {
        let mut before = 0;
        loop {
            std::thread::sleep(Duration::from_secs(40));
            if done.load(Ordering::SeqCst) {
                return;
            }
            let now = world.calls.load(Ordering::Relaxed);
            if now == before {
                eprintln!(
                    "HANG: {clock}, close {close_after:?}, seed {seed}, after {now} calls, pid {}",
                    std::process::id()
                );
                std::thread::sleep(Duration::from_secs(if std::env::var("HOLD").is_ok() { 3600 } else { 0 }));
                std::process::abort();
            }
            before = now;
        }
    });
    // A manual clock is moved by us, or nothing that waits would end.
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            std::thread::spawn(move || {
                let mut random = Random(0x9E37_79B9 + (thread + 1) * 7919 * (seed + 1));
                let event = unsafe { WinUsbX_CreateEvent((thread % 2) as BOOL, 0) };
                for number in 0..calls {
                    if thread == 0 && Some(number) == close_after {
                        unsafe { WinUsbX_CloseHandle(world.file as HANDLE) };
                    }
                    step(world, &mut random, event, clock != "manual");
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    unsafe { WinUsbX_CloseHandle(world.file as HANDLE) };
    done.store(true, Ordering::SeqCst);
    let all = world.overlappeds.lock().unwrap();
    for ov in all.iter() {
        assert_ne!(unsafe { (*(*ov as *const OVERLAPPED)).Internal }, 0x103, "never ended");
    }
    assert!(all.len() > 10, "{clock}, seed {seed}: {} requests are no stress", all.len());
    drop(all);
    for (buffer, _) in world.buffers.lock().unwrap().drain(..) {
        unsafe { WinUsb_UnregisterIsochBuffer(buffer as HANDLE) };
    }
}

fn seeds() -> u64 {
    std::env::var("ISOCH_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(2)
}

#[test]
fn nothing_is_left_pending_on_wait() {
    (0..seeds())
        .for_each(|seed| [None, Some(150)].into_iter().for_each(|close| run("on-wait", close, seed, 800)));
}
#[test]
fn nothing_is_left_pending_in_real_time() {
    (0..seeds())
        .for_each(|seed| [None, Some(150)].into_iter().for_each(|close| run("real", close, seed, 400)));
}
#[test]
fn nothing_is_left_pending_on_a_manual_clock() {
    (0..seeds())
        .for_each(|seed| [None, Some(150)].into_iter().for_each(|close| run("manual", close, seed, 800)));
}
