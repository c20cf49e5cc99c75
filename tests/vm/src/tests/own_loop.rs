//! A program's own loop handles the device's events, with both kinds of memory and with each witness: nothing happens
//! without it, everything arrives in order, and the device's thread takes over again.

use std::time::{Duration, Instant};

use isoch::{Error, EventLoop, Outcome as Ended, Quality, Start};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::guest::streaming::{self, PATIENCE, Ring, numbered};
use crate::guest::{Guest, Speaker, Usbmon, speaker, witness};
use crate::test::{Controller, Outcome, Test};

pub(crate) const TEST: Test = Test { guest, ..Test::DEFAULT };

const BLOCKS: u32 = 8;
/// Transfers in the own loop, and how often all blocks go once more after it.
const TRANSFERS: u32 = 200;
/// Frames from now to that of a held one.
const AHEAD: u64 = 100;
const LATER: u32 = 3;
/// Held transfers that may be late before one is in time.
const MOST_LATE: u32 = 4;

fn guest(guest: &mut Guest) -> Outcome {
    let witness = if guest.controller == Controller::Xhci { "witness=registers" } else { "witness=usbmon" };
    for parameters in ["memory=mmap", "memory=copy", witness] {
        one(guest, parameters).map_err(|error| format!("{parameters}: {error}"))?;
    }
    Ok(())
}

fn one(guest: &mut Guest, parameters: &str) -> Outcome {
    let usbmon = Usbmon::listen(Speaker::wait()?.bus)?;
    let device = isoch::open(&format!("{}?{parameters}", streaming::ADDRESS))?;
    let events = device.take_over_events()?;
    let again = device.take_over_events();
    ensure!(matches!(again, Err(Error::Busy { .. })), "two loops may handle the same events: {again:?}");
    let out = device.interface(1)?.alternate_setting(1)?.isoch_out(speaker::ENDPOINT)?;
    let ring = Ring::new(out, 4, BLOCKS)?;
    let (mut next, mut over, mut failed) = (0, 0, 0);
    ring.fill(&mut next)?;
    // All of these are over long before, and nobody has been told.
    std::thread::sleep(Duration::from_millis(100));
    ensure!(ring.out.next_completion().now().is_none(), "a completion came without the loop");
    let mut turns = 0;
    let began = Instant::now();
    while over < next {
        ensure!(began.elapsed() < PATIENCE, "{over} of {next} transfers are over");
        turns += u32::from(turn(&events)?);
        while let Some(done) = ring.out.next_completion().now() {
            over += 1;
            failed += u32::from(done.outcome() != Ended::Completed);
        }
        if next < TRANSFERS {
            ring.fill(&mut next)?;
        }
    }
    // One that is held until its frame is near is handed over by the loop, too. QEMU is late with what it runs for the first
    // time.
    let mut late = 0;
    let clock = loop {
        let clock = ring.out.clock().now();
        let mut block = ring.blocks.take().now().ok_or("no block is free")?;
        // What is late is not sent.
        streaming::number(&mut block, next);
        ring.out.submit(block, Start::At(clock.frame + AHEAD)).map_err(Error::from)?;
        let held = loop {
            ensure!(clock.at.elapsed() < PATIENCE, "a held transfer did not come back");
            turn(&events)?;
            if let Some(done) = ring.out.next_completion().now() {
                break done.outcome();
            }
        };
        match held {
            Ended::Completed => break clock,
            Ended::Late if late < MOST_LATE => late += 1,
            other => return Err(format!("a held transfer was {other:?} after {late} that were late").into()),
        }
    };
    next += 1;
    over += 1;
    drop(events);
    for _ in 0..LATER {
        let (block, mut number) = (ring.blocks.free(), next);
        ensure!(block == BLOCKS as usize, "{block} of {BLOCKS} blocks are back");
        ring.fill(&mut number)?;
        while next < number {
            let done = ring.next()?;
            failed += u32::from(done.outcome() != Ended::Completed);
            next += 1;
        }
    }
    let transfers = witness::transfers(&usbmon.heard()?, speaker::ENDPOINT);
    let order: Vec<u32> = transfers.iter().filter_map(|transfer| numbered(&transfer.data)).collect();
    guest.say(format!(
        "{parameters}: {over} transfers in {turns} turns, {} after them; the clock was {:?} ±{:?}",
        next - over,
        clock.quality,
        clock.uncertainty
    ));
    ensure!(failed == 0, "{failed} transfers failed");
    ensure!(
        order.iter().copied().eq(0..next),
        "{next} were submitted; usbmon has {} in another order",
        order.len()
    );
    if parameters == "witness=registers" {
        ensure!(clock.quality == Quality::Register, "the clock is only {:?}", clock.quality);
    }
    Ok(())
}

/// Waits for something to do, and does it. Whether there was something.
fn turn(events: &EventLoop) -> rustix::io::Result<bool> {
    let wait = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    let readable = poll(&mut [PollFd::new(events, PollFlags::IN)], Some(&wait))? > 0;
    if readable {
        events.handle();
    }
    Ok(readable)
}
