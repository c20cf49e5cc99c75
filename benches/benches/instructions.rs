//! Instructions for a transfer on the virtual bus, from submission to completion: what the library, the
//! emulated controller and its device cost together, counted by valgrind and so the same on every machine.
//! The stream is at its depth and warm; each bench does a hundred transfers.

#![allow(missing_docs)] // what the macros generate

use gungraun::{library_benchmark, library_benchmark_group, main};
use isoch::{BusClock, Device, IsochOut, Layout, Start, VirtualBus};

const TRANSFERS: u32 = 100;

struct Running {
    out: IsochOut,
    // Let go after the endpoint.
    _device: Device,
    _bus: VirtualBus,
}

/// A high-speed endpoint at bInterval 1 with 24-byte packets, eight transfers queued.
fn running(packets: u32) -> Running {
    let bus = VirtualBus::builder().clock(BusClock::OnWait).build();
    bus.plug_kind("sink", "source-sink", &[("interval", "1"), ("packet", "24")]).expect("plugs in");
    let device = bus.open("sink").expect("opens");
    let setting = device.interface(0).and_then(|interface| interface.alternate_setting(1)).expect("claims");
    let out = setting.isoch_out(0x02).expect("opens");
    let blocks = out.register(Layout::packets(packets).blocks(8)).expect("registers");
    while let Some(block) = blocks.take().now() {
        out.submit(block, Start::Continue).expect("submits");
    }
    let running = Running { out, _device: device, _bus: bus };
    transfers(&running);
    running
}

fn transfers(running: &Running) {
    for _ in 0..TRANSFERS {
        let done = running.out.next_completion().wait().expect("completes");
        running.out.submit(done.into_block(), Start::Continue).expect("submits");
    }
}

#[library_benchmark]
#[bench::packets_8(running(8))]
#[bench::packets_64(running(64))]
fn hundred_transfers(running: Running) -> Running {
    transfers(&running);
    running
}

library_benchmark_group!(name = transfer; benchmarks = hundred_transfers);
main!(library_benchmark_groups = transfer);
