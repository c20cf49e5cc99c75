//! After blocks are registered, nothing is allocated: libusb's two allocations per submission end in ENOMEM
//! after half a day. The counter is of this thread, which on this clock does all the work, the bus's too.

use isoch::emulated::profile::Profile;
use isoch::{BusClock, EndpointDirection, IsochEndpoint, Layout, Start, VirtualBus};

const BLOCKS: u32 = 8;

fn bus(profile: &str) -> VirtualBus {
    let profile = Profile::named(profile).expect("a profile of this name");
    let bus = VirtualBus::builder().clock(BusClock::OnWait).profile(profile).build();
    bus.plug_kind("device", "source-sink", &[("interval", "1")]).expect("plugs in");
    bus
}

/// Sends or receives through the endpoint as a stream does.
fn transfers<D: EndpointDirection>(endpoint: &IsochEndpoint<D>, count: u32) {
    for _ in 0..count {
        let done = endpoint.next_completion().wait().expect("completes");
        endpoint.submit(done.into_block(), Start::Continue).expect("submits");
    }
}

fn allocations_per_thousand<D: EndpointDirection>(endpoint: &IsochEndpoint<D>) -> u64 {
    let blocks = endpoint.register(Layout::frames(4).blocks(BLOCKS)).expect("registers");
    while let Some(block) = blocks.take().now() {
        endpoint.submit(block, Start::Continue).expect("submits");
    }
    // The bus's own lists grow to their size in the first turns.
    transfers(endpoint, 4 * BLOCKS);
    allocation_counter::measure(|| transfers(endpoint, 1000)).count_total
}

#[test]
fn a_stream_allocates_nothing() {
    for profile in Profile::NAMES {
        let bus = bus(profile);
        let device = bus.open("device").expect("opens");
        let setting =
            device.interface(0).and_then(|interface| interface.alternate_setting(1)).expect("claims");
        let out = setting.isoch_out(0x02).expect("opens");
        assert_eq!(allocations_per_thousand(&out), 0, "OUT, {profile}");
        drop(out);
        let input = setting.isoch_in(0x82).expect("opens");
        assert_eq!(allocations_per_thousand(&input), 0, "IN, {profile}");
    }
}

#[test]
fn the_counter_counts() {
    let counted = allocation_counter::measure(|| drop(std::hint::black_box(vec![0_u8; 100])));
    assert_eq!(counted.count_total, 1);
}
