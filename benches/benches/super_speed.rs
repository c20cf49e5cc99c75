//! A SuperSpeed stream at the limit of its bus in real time: 49,152 bytes every 125 µs (393 MB/s) in 8 ms
//! transfers with 64 ms queued. Prints the frames lost, the emulator's stalls and the share of a CPU.
//! `ISOCH_SECONDS` sets for how long (default 60).

use isoch::{BusClock, Layout, Start, VirtualBus};
use isoch_benches::{cpu_time, print, timed};

fn main() {
    let seconds = std::env::var("ISOCH_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60_u64);
    let bus = VirtualBus::builder().clock(BusClock::Real).build();
    let parameters =
        [("speed", "super"), ("interval", "1"), ("packet", "1024"), ("burst", "15"), ("mult", "2")];
    bus.plug_kind("sink", "source-sink", &parameters).expect("plugs in");
    let device = bus.open("sink").expect("opens");
    let setting = device.interface(0).and_then(|interface| interface.alternate_setting(1)).expect("claims");
    let out = setting.isoch_out(0x02).expect("opens");
    assert_eq!(out.timing().bytes_per_interval(), 49_152);
    let blocks = out.register(Layout::frames(8).blocks(8)).expect("registers");
    for _ in 0..8 {
        let mut block = blocks.take().now().expect("eight blocks");
        block.bytes_mut().fill(0x5a);
        out.submit(block, Start::Continue).expect("submits");
    }
    let before = cpu_time();
    let ((), took) = timed(|| {
        for _ in 0..seconds * 1000 / 8 {
            let done = out.next_completion().wait().expect("completes");
            out.submit(done.into_block(), Start::Continue).expect("submits");
        }
    });
    let cpu = cpu_time() - before;
    let statistics = out.statistics();
    let stalls = bus.stalls();
    print(format_args!(
        "{:.1} s, {:.1} MB/s; frames lost: {} in {} gaps; emulator stalls: {} ({:?} in all, longest {:?}); CPU: {:.0} % of one",
        took.as_secs_f64(),
        statistics.bytes as f64 / took.as_secs_f64() / 1e6,
        statistics.intervals_lost.div_ceil(8),
        statistics.gaps,
        stalls.count,
        stalls.total,
        stalls.longest,
        100.0 * cpu.as_secs_f64() / took.as_secs_f64(),
    ));
    // The bus's own stalls stop its time, so they lose nothing: what is lost is this program's lateness.
    if statistics.gaps > 0 {
        std::process::exit(3);
    }
}
