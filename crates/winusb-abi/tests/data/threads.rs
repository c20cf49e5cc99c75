//! Several threads on the same pipes, while the file is closed under them.

use std::ptr::null_mut;
use std::sync::Mutex;

use winusb::*;

use crate::opened::{IN, OUT, Opened, Request};
use crate::{AUTO_CLEAR_STALL, IGNORE_SHORT_PACKETS, PIPE_TRANSFER_TIMEOUT, RAW_IO, SHORT_PACKET_TERMINATE};

const THREADS: u64 = 4;
const CALLS: u64 = 400;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) % limit
    }
}

/// Makes one call. Gives the request that it started, if any.
fn call(device: &Opened, random: &mut Random, earlier: &Mutex<Vec<Request>>) -> Option<Request> {
    let h = device.interface;
    let pipe = if random.below(2) == 0 { IN } else { OUT };
    let request = device.request(vec![0; random.below(2000) as usize]);
    let (buffer, length, overlapped) = (request.buffer, request.length as u32, request.overlapped);
    // SAFETY: all pointers are NULL or valid for ever; handles are checked.
    unsafe {
        let started = match random.below(12) {
            0..=2 => WinUsb_ReadPipe(h, IN, buffer, length, null_mut(), overlapped),
            3..=5 => WinUsb_WritePipe(h, OUT, buffer, length, null_mut(), overlapped),
            6 => WinUsb_ResetPipeAsync(h, pipe, overlapped),
            7 => {
                let policies = [AUTO_CLEAR_STALL, IGNORE_SHORT_PACKETS, RAW_IO, SHORT_PACKET_TERMINATE];
                let _ = device.set(pipe, policies[random.below(4) as usize], &[random.below(2) as u8]);
                return None;
            }
            8 => {
                WinUsb_AbortPipe(h, pipe);
                return None;
            }
            9 => {
                let other = earlier.lock().unwrap().last().copied();
                WinUsbX_CancelIoEx(device.file, other.map_or(null_mut(), |other| other.overlapped));
                return None;
            }
            10 => {
                let _ = device.control(crate::setup(0x02, 3, 0, pipe.into(), 0), &mut []);
                return None;
            }
            _ => {
                WinUsbX_Sleep(1);
                return None;
            }
        };
        assert_eq!(started, 0);
        // What was refused has no end.
        (WinUsbX_GetLastError() == 997).then_some(request)
    }
}

fn run(clock: &str, close_after: Option<u64>) {
    let device = Opened::with_clock("loopback", clock);
    let _ = device.set(IN, PIPE_TRANSFER_TIMEOUT, &3_u32.to_ne_bytes());
    let requests = Mutex::new(Vec::new());
    let shared = Shared(&device);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (shared, requests) = (&shared, &requests);
            scope.spawn(move || {
                let mut random = Random(0x9E37_79B9 + thread * 7919);
                for number in 0..CALLS {
                    if thread == 0 && Some(number) == close_after {
                        // SAFETY: handles are checked.
                        unsafe { WinUsbX_CloseHandle(shared.0.file) };
                    }
                    let started = call(shared.0, &mut random, requests);
                    requests.lock().unwrap().extend(started);
                }
            });
        }
    });
    // SAFETY: handles are checked.
    unsafe {
        WinUsb_AbortPipe(device.interface, IN);
        WinUsb_AbortPipe(device.interface, OUT);
    }
    let requests = requests.into_inner().unwrap();
    if close_after.is_none() {
        assert!(requests.len() > 200);
        for request in &requests {
            let _ = request.end(true);
        }
    }
    for request in &requests {
        // SAFETY: it is valid for ever, and over.
        assert_ne!(unsafe { (*request.overlapped).Internal }, 0x103, "a request that never ended");
    }
}

struct Shared<'a>(&'a Opened);
// SAFETY: it has handles only, which may be used on any thread.
unsafe impl Sync for Shared<'_> {}

#[test]
fn every_request_ends_on_emulated_time() {
    run("on-wait", None);
}

#[test]
fn every_request_ends_in_real_time() {
    run("real", None);
}

#[test]
fn every_request_ends_when_the_file_is_closed() {
    for clock in ["on-wait", "real"] {
        for number in [10, 150, 399] {
            run(clock, Some(number));
        }
    }
}
