//! How much bus time one thread simulates in a second: eight high-speed OUT endpoints at bInterval 1 with
//! 24-byte packets, each refilled by the application and checked by its device.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use isoch::emulated::devices::descriptors::{Configuration, DeviceDescriptor, Endpoint};
use isoch::emulated::{BusTime, Descriptors, Device as EmulatedDevice};
use isoch::{Block, BusClock, IsochOut, Layout, Speed, Start, VirtualBus};
use isoch_benches::{figure, print, timed};

const ENDPOINTS: u8 = 8;
const PACKET: usize = 24;

/// Eight isochronous OUT endpoints; each expects a running count in every packet.
struct Checker {
    descriptors: Descriptors,
    next: [u64; ENDPOINTS as usize + 1],
    wrong: Arc<AtomicU64>,
}

impl Checker {
    fn new(wrong: Arc<AtomicU64>) -> Self {
        let device = DeviceDescriptor { usb: 0x0200, class: [0xff, 0, 0], vendor: 0x1209, product: 0x0008 };
        let configuration = Configuration::new(1).interface(0, 0, [0xff, 0, 0]);
        let configuration = (1..=ENDPOINTS)
            .map(|address| Endpoint::isochronous(address, PACKET as u16, 1))
            .fold(configuration, Configuration::endpoint);
        let descriptors = Descriptors {
            speed: Speed::High,
            device: device.bytes(),
            configuration: configuration.bytes(),
            strings: vec!["isoch".into(), "checker".into(), "1".into()],
            bos: None,
        };
        Checker { descriptors, next: [0; 9], wrong }
    }
}

impl EmulatedDevice for Checker {
    fn descriptors(&self) -> &Descriptors {
        &self.descriptors
    }

    fn isoch_out(&mut self, endpoint: u8, data: &[u8], _: BusTime) {
        let expected = &mut self.next[usize::from(endpoint)];
        let right = data.len() == PACKET && data.chunks_exact(8).all(|word| word == expected.to_le_bytes());
        if !right {
            self.wrong.fetch_add(1, Ordering::Relaxed);
        }
        *expected += 1;
    }
}

fn fill(block: &mut Block, next: &mut u64) {
    for packet in block.bytes_mut().chunks_exact_mut(PACKET) {
        for word in packet.chunks_exact_mut(8) {
            word.copy_from_slice(&next.to_le_bytes());
        }
        *next += 1;
    }
}

/// Simulated seconds per second.
fn run(frames_per_transfer: u32, seconds: u64) -> f64 {
    let wrong = Arc::new(AtomicU64::new(0));
    let bus = VirtualBus::builder().clock(BusClock::OnWait).build();
    bus.plug("checker", Box::new(Checker::new(Arc::clone(&wrong)))).expect("plugs in");
    let device = bus.open("checker").expect("opens");
    let setting = device.interface(0).and_then(|interface| interface.alternate_setting(0)).expect("claims");
    let outs: Vec<IsochOut> =
        (1..=ENDPOINTS).map(|address| setting.isoch_out(address).expect("opens")).collect();
    let mut counts = [0_u64; ENDPOINTS as usize];
    let depth = (32 / frames_per_transfer).clamp(2, 8);
    for (out, count) in outs.iter().zip(&mut counts) {
        let blocks = out.register(Layout::frames(frames_per_transfer).blocks(depth)).expect("registers");
        while let Some(mut block) = blocks.take().now() {
            fill(&mut block, count);
            out.submit(block, Start::Continue).expect("submits");
        }
    }
    let transfers = seconds * 1000 / u64::from(frames_per_transfer);
    let ((), took) = timed(|| {
        for _ in 0..transfers {
            for (out, count) in outs.iter().zip(&mut counts) {
                let done = out.next_completion().wait().expect("completes");
                let mut block = done.into_block();
                fill(&mut block, count);
                out.submit(block, Start::Continue).expect("submits");
            }
        }
    });
    assert_eq!(wrong.load(Ordering::Relaxed), 0, "the device found wrong bytes");
    assert!(outs.iter().all(|out| out.statistics().everything_placed() == Some(true)), "frames were lost");
    seconds as f64 / took.as_secs_f64()
}

fn main() {
    let unit = "simulated seconds per second";
    print(format_args!("8 high-speed endpoints, bInterval 1, 24-byte packets, one thread"));
    figure("8-frame transfers", unit, || run(8, 200));
    figure("1-frame transfers", unit, || run(1, 100));
}
