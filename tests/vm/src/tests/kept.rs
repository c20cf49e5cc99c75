//! A program keeps the speaker after it was unplugged: nothing is busy about it, neither the library's thread nor the
//! program's own loop.

use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::time::{ClockId, clock_gettime};

use crate::guest::streaming::{self, PATIENCE, Ring};
use crate::guest::{Guest, Speaker};
use crate::test::{Outcome, Test};
use crate::wire::Request;

pub(crate) const TEST: Test = Test { guest, ..Test::DEFAULT };

const KEPT: Duration = Duration::from_secs(1);
/// What this program may have computed meanwhile.
const MOST: Duration = Duration::from_millis(200);
/// How often its loop may have been woken.
const MOST_WAKES: usize = 20;

fn guest(guest: &mut Guest) -> Outcome {
    by_the_thread(guest)?;
    by_an_own_loop(guest)
}

fn by_the_thread(guest: &mut Guest) -> Outcome {
    let ring = Ring::new(streaming::open(streaming::ADDRESS)?, 4, 8)?;
    ring.fill(&mut 0)?;
    guest.ask(Request::Unplug)?;
    while ring.next().is_ok() {}
    Speaker::wait_gone()?;
    let before = computed();
    std::thread::sleep(KEPT);
    let busy = computed() - before;
    drop(ring);
    plug_in(guest)?;
    guest.say(format!("unplugged and kept for {KEPT:?}: {busy:?} of computing"));
    ensure!(busy < MOST, "the event thread does not rest");
    Ok(())
}

fn by_an_own_loop(guest: &mut Guest) -> Outcome {
    let device = isoch::open(streaming::ADDRESS)?;
    let own = device.take_over_events()?;
    let out = device.interface(1)?.alternate_setting(1)?.isoch_out(crate::guest::speaker::ENDPOINT)?;
    let ring = Ring::new(out, 4, 8)?;
    let mut next = 0;
    let began = Instant::now();
    let (mut over, mut unplugged) = (0, false);
    loop {
        if !unplugged && ring.fill(&mut next).is_err() {
            unplugged = true;
        }
        match ring.out.next_completion().now() {
            Some(_) => over += 1,
            None if ring.out.in_flight() == 0 && unplugged => break,
            None => {
                wait(&own, PATIENCE)?;
                own.handle();
            }
        }
        if over == 50 && !unplugged {
            guest.ask(Request::Unplug)?;
            over += 1;
        }
        ensure!(
            began.elapsed() < PATIENCE * 2,
            "the stream neither went on nor ended: {over} of {next} are over"
        );
    }
    Speaker::wait_gone()?;
    let (began, mut wakes) = (Instant::now(), 0);
    while began.elapsed() < KEPT && wakes <= MOST_WAKES {
        if wait(&own, KEPT.saturating_sub(began.elapsed()))? {
            wakes += 1;
            own.handle();
        }
    }
    drop((ring, own, device));
    plug_in(guest)?;
    guest.say(format!(
        "an own loop streamed {over} blocks; unplugged and kept for {KEPT:?} it was woken {wakes} times"
    ));
    ensure!(wakes <= MOST_WAKES, "the own loop does not rest");
    Ok(())
}

fn wait(own: &isoch::EventLoop, most: Duration) -> Result<bool, rustix::io::Errno> {
    let most = Timespec { tv_sec: most.as_secs() as i64, tv_nsec: most.subsec_nanos().into() };
    Ok(poll(&mut [PollFd::new(own, PollFlags::IN)], Some(&most))? > 0)
}

fn plug_in(guest: &mut Guest) -> Outcome {
    guest.ask(Request::Replug)?;
    Speaker::wait()?;
    Ok(())
}

/// What this program has computed, on all threads.
fn computed() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}
