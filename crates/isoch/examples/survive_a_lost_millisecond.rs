//! What a test of isochronous code looks like without hardware: a bus whose time the test moves, a fault,
//! and a stream that must report exactly that fault.
//!
//! `cargo run -p isoch --example survive_a_lost_millisecond`
#![allow(clippy::print_stdout)]

use isoch::emulated::faults::{Fault, FaultKind};
use isoch::{BusClock, Error, Layout, Start, VirtualBus};

fn main() -> Result<(), Error> {
    let bus = VirtualBus::builder().clock(BusClock::Manual).build();
    bus.plug_kind("gadget", "loopback", &[])?;
    bus.fault(Fault { frames: 1000..1003, kind: FaultKind::HostMissed, device: None, endpoint: None });

    let setting = bus.open("gadget")?.interface(0)?.alternate_setting(1)?;
    let address = setting.descriptor().isochronous().find(|endpoint| endpoint.address < 0x80);
    let out = setting.isoch_out(address.map_or(0x01, |endpoint| endpoint.address))?;
    let blocks = out.register(Layout::frames(4).blocks(2))?;
    let mut gaps = Vec::new();
    for _ in 0..2000 {
        while let Some(block) = blocks.take().now() {
            out.submit(block, Start::Continue)?;
        }
        bus.advance(1)?;
        while let Some(done) = out.next_completion().now() {
            gaps.extend(done.gaps());
        }
    }
    for gap in &gaps {
        println!("lost frames {:?}: {}", gap.frames, gap.cause);
    }
    let lost: u64 = gaps.iter().map(|gap| gap.frames.end - gap.frames.start).sum();
    assert_eq!(lost, 3, "three frames were made to be missed, and three must be told");
    Ok(())
}
