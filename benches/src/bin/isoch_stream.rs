//! A stream to a full-speed loudspeaker with isoch: the same work as `benches/libusb/libusb_stream.c`, beside
//! which it is measured.
//!
//! `isoch_stream NODE|ADDRESS PACKETS TRANSFERS [DEPTH]`
//!
//! Opens a device, claims interface 1 in alternate setting 1, keeps DEPTH transfers of PACKETS packets of 192
//! bytes in flight on endpoint 0x01; the sink fills each again and resubmits it, until TRANSFERS are over. Why
//! a sink and not a loop around `next_completion`? Because libusb's callback is one: what is measured is the
//! library, not another thread's wake-up.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};

use isoch::{Block, Completion, CompletionSink, Device, IsochOut, Layout, Start};

const PACKET: usize = 192;
const REPEAT: usize = 65_536;

static WAVE: [u8; REPEAT + 128 * PACKET] = [7; REPEAT + 128 * PACKET];

/// Refills and resubmits, until enough is over.
struct Refill {
    out: OnceLock<IsochOut>,
    transfers: u64,
    submitted: AtomicU64,
    finished: AtomicU64,
    over: Mutex<bool>,
    told: Condvar,
}

impl Refill {
    fn fill_and_submit(&self, mut block: Block) {
        let Some(out) = self.out.get() else { return };
        // The first are submitted by another thread than the others, and those may come meanwhile.
        let submitted = self.submitted.fetch_add(1, Ordering::Relaxed);
        let bytes = block.bytes_mut();
        let from = submitted as usize * bytes.len() % REPEAT;
        bytes.copy_from_slice(&WAVE[from..from + bytes.len()]);
        if let Err(rejected) = out.submit(block, Start::Continue) {
            isoch_benches::print(format_args!("not submitted: {rejected}"));
            self.end();
        }
    }

    fn end(&self) {
        *self.over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.told.notify_all();
    }

    fn wait(&self) {
        let mut over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        while !*over {
            over = self.told.wait(over).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl CompletionSink for Refill {
    fn completed(&self, completion: Completion) {
        let finished = self.finished.load(Ordering::Relaxed) + 1;
        self.finished.store(finished, Ordering::Relaxed);
        if self.submitted.load(Ordering::Relaxed) < self.transfers {
            self.fill_and_submit(completion.into_block());
        } else if finished >= self.transfers {
            self.end();
        }
    }

    fn closed(&self) {
        self.end();
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize| words.get(index).and_then(|word| word.parse::<u32>().ok());
    let (Some(node), Some(packets @ 1..=128), Some(transfers)) = (words.first(), number(1), number(2)) else {
        isoch_benches::print(format_args!("usage: isoch_stream NODE PACKETS TRANSFERS [DEPTH]"));
        return ExitCode::from(2);
    };
    match stream(node, packets, transfers, number(3).unwrap_or(8)) {
        Ok(clean) if clean => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            isoch_benches::print(format_args!("isoch_stream: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// A device node, already opened as libusb gets it, or an address.
fn open(node: &str) -> Result<Device, isoch::Error> {
    #[cfg(target_os = "linux")]
    if node.starts_with('/') {
        let file = std::fs::File::options().read(true).write(true).open(node);
        let file = file.map_err(|error| isoch::Error::Argument(format!("{node}: {error}")))?;
        return isoch::open_descriptor(file.into());
    }
    isoch::open(node)
}

fn stream(node: &str, packets: u32, transfers: u32, depth: u32) -> Result<bool, isoch::Error> {
    let device = open(node)?;
    let out = device.interface(1)?.alternate_setting(1)?.isoch_out(0x01)?;
    let blocks = out.register(Layout::packets(packets).blocks(depth))?;
    let refill = Arc::new(Refill {
        out: OnceLock::new(),
        transfers: u64::from(transfers),
        submitted: AtomicU64::new(0),
        finished: AtomicU64::new(0),
        over: Mutex::new(false),
        told: Condvar::new(),
    });
    out.set_sink(Arc::clone(&refill) as _);
    let out = refill.out.get_or_init(|| out);
    for block in std::iter::from_fn(|| blocks.take().now()).take(depth as usize) {
        refill.fill_and_submit(block);
    }
    if out.clock().emulated_time().is_some() {
        // Nobody but who waits moves it.
        out.drain()?;
    } else {
        refill.wait();
    }
    let statistics = out.statistics();
    isoch_benches::print(format_args!(
        "{{\"library\": \"isoch {}\", \"packets\": {packets}, \"transfers\": {}, \"failed_transfers\": {}, \
         \"failed_packets\": {}, \"gaps\": {}, \"intervals_lost\": {}}}",
        env!("CARGO_PKG_VERSION"),
        statistics.completed,
        statistics.failed_transfers,
        statistics.packets_failed + statistics.packets_missed + statistics.packets_late,
        statistics.gaps,
        statistics.intervals_lost,
    ));
    Ok(statistics.everything_placed() != Some(false))
}
