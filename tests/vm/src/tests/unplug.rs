//! The speaker is unplugged while a stream runs, at random moments, again and again: every block comes back, the watch
//! tells, the next open works, and nothing is left behind.

use std::fs;
use std::time::{Duration, Instant};

use isoch::{Error, HotplugEvent, Layout, Outcome as Ended};

use crate::figures::Random;
use crate::guest::streaming::{self, PATIENCE, Ring};
use crate::guest::{Guest, Speaker, USBFS_MEMORY, status_kilobytes};
use crate::sound;
use crate::test::{Failure, Outcome, Test};
use crate::wire::Request;

pub(crate) const TEST: Test = Test { limits: (40, 500), guest, ..Test::DEFAULT };

/// The most that a stream runs before it is unplugged.
const LONGEST: u64 = 300;
const BLOCKS: u32 = 8;
/// Kilobytes of memory that may come to be used, and of addresses: an allocator keeps some for itself, and each further
/// time gets nothing.
const GROWTH: u64 = 64;
/// Kilobytes of a block, and what the kernel counts for its requests and packets.
const BLOCK: u64 = 64;
const REQUESTS: u64 = 8;

fn guest(guest: &mut Guest) -> Outcome {
    // A hundred times on the three controllers together.
    let times = if guest.full { 34 } else { 5 };
    let mut random = Random::new("unplug");
    let watch = isoch::watch(streaming::ADDRESS)?;
    let mut outcomes = Vec::new();
    // The first time everything is done for the first time.
    outcomes.push(once(guest, &watch, 100)?);
    let before = Usage::now()?;
    for _ in 0..times {
        outcomes.push(once(guest, &watch, random.below(LONGEST))?);
    }
    let after = Usage::now()?;
    guest.say(format!("{times} times; before: {before:?}; after: {after:?}"));
    let (gone, all) = outcomes.iter().fold((0, 0), |(gone, all), (g, a)| (gone + g, all + a));
    guest.say(format!("{all} transfers came back, {gone} of them because the device was gone"));
    ensure!(gone > 0, "no transfer was under way when the device was unplugged");
    ensure!(after.descriptors <= before.descriptors, "descriptors are left open");
    ensure!(after.threads <= before.threads, "threads are left");
    ensure!(after.mappings <= before.mappings, "mapped memory is left");
    ensure!(after.kilobytes <= before.kilobytes + GROWTH, "memory is left");
    ensure!(after.addresses <= before.addresses + GROWTH, "addresses are left");
    budget()
}

/// The kernel counts nothing of what is gone: of one megabyte that all programs may have, blocks take nearly all. The
/// pages of five streams would be more than the rest.
fn budget() -> Outcome {
    fs::write(USBFS_MEMORY, "1")?;
    let out = streaming::open(&format!("{}?memory=mmap", streaming::ADDRESS))?;
    let frames = BLOCK * 1024 / (sound::PER_FRAME * sound::SAMPLE_BYTES) as u64;
    let blocks = 1024 / (BLOCK + REQUESTS);
    let registered = out.register(Layout::frames(frames as u32).blocks(blocks as u32));
    registered.map_err(|error| format!("{blocks} blocks of {BLOCK} kilobytes: {error}"))?;
    Ok(())
}

/// Streams, has the plug pulled after so many milliseconds, and plugs it in again. Returns how many transfers ended
/// because the device was gone, and how many there were.
fn once(guest: &mut Guest, watch: &isoch::Watch, after: u64) -> Result<(usize, usize), Failure> {
    let ring = Ring::new(streaming::open(streaming::ADDRESS)?, 4, BLOCKS)?;
    let stream = std::thread::spawn(move || stream(&ring));
    std::thread::sleep(Duration::from_millis(after));
    guest.ask(Request::Unplug)?;
    let (gone, all) = stream.join().map_err(|_| "the stream panicked")??;
    expect(watch, false)?;
    Speaker::wait_gone()?;
    guest.ask(Request::Replug)?;
    expect(watch, true)?;
    Speaker::wait()?;
    Ok((gone, all))
}

/// Streams until the device is gone, and sees to it that every block comes back.
fn stream(ring: &Ring) -> Result<(usize, usize), String> {
    let (mut next, mut all, mut gone) = (0, 0, 0);
    let mut submitted = Ok(());
    loop {
        if submitted.is_ok() {
            submitted = ring.fill(&mut next);
        }
        match ring.next() {
            Ok(done) => {
                all += 1;
                gone += usize::from(done.outcome() == Ended::DeviceGone);
            }
            Err(Error::Closed) => break,
            Err(error) => return Err(format!("waiting for a completion: {error}")),
        }
    }
    if let Err(error) = submitted
        && !matches!(error, Error::Gone)
    {
        return Err(format!("submitting: {error}"));
    }
    let free = ring.blocks.free();
    if free != BLOCKS as usize || ring.out.in_flight() != 0 {
        return Err(format!("{free} of {BLOCKS} blocks are back, {} are in flight", ring.out.in_flight()));
    }
    if all != next as usize {
        return Err(format!("{next} were submitted, and {all} came back"));
    }
    Ok((gone, all))
}

/// Waits until the watch tells that the speaker came, or left.
fn expect(watch: &isoch::Watch, arrives: bool) -> Result<(), String> {
    let began = Instant::now();
    loop {
        let left = PATIENCE.saturating_sub(began.elapsed());
        match watch.next_event().wait_timeout(left) {
            Ok(HotplugEvent::Arrived(device)) if arrives && device.vendor_id == 0x46f4 => return Ok(()),
            Ok(HotplugEvent::Left { .. }) if !arrives => return Ok(()),
            Ok(_) => {}
            Err(error) => {
                return Err(format!("no event of {}: {error}", if arrives { "arrival" } else { "leaving" }));
            }
        }
    }
}

/// What this program has of the system.
#[derive(Debug)]
struct Usage {
    descriptors: usize,
    threads: usize,
    mappings: usize,
    kilobytes: u64,
    addresses: u64,
}

impl Usage {
    /// After what is on its way out has had its time.
    fn now() -> Result<Usage, Failure> {
        std::thread::sleep(Duration::from_millis(300));
        Ok(Usage {
            descriptors: fs::read_dir("/proc/self/fd")?.count(),
            threads: fs::read_dir("/proc/self/task")?.count(),
            mappings: fs::read_to_string("/proc/self/maps")?.lines().count(),
            kilobytes: status_kilobytes("VmRSS")?,
            addresses: status_kilobytes("VmSize")?,
        })
    }
}
