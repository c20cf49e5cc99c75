//! The system goes to sleep while a stream runs, as far as its devices (`/sys/power/pm_test`): nothing hangs, every
//! block comes back, what was lost is told, and the device works afterwards.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use crate::guest::streaming::{self, PATIENCE, Ring};
use crate::guest::{Guest, SLEEP_DELAY, SLEEP_LEVEL};
use crate::test::{Outcome, Skip, Test};

pub(crate) const TEST: Test = Test { guest, ..Test::DEFAULT };

const BLOCKS: u32 = 8;

fn guest(guest: &mut Guest) -> Outcome {
    if fs::read_to_string(SLEEP_LEVEL).is_err() {
        return Err(Skip("this kernel cannot try a sleep (CONFIG_PM_SLEEP_DEBUG)".into()).into());
    }
    fs::write(SLEEP_LEVEL, "devices")?;
    fs::write(SLEEP_DELAY, "1")?;
    let ring = Ring::new(streaming::open(streaming::ADDRESS)?, 4, BLOCKS)?;
    let sleeper = std::thread::spawn(|| {
        std::thread::sleep(Duration::from_millis(300));
        fs::write("/sys/power/state", "freeze")
    });
    let (mut next, mut refused, mut outcomes) = (0, None, BTreeMap::new());
    let mut gap = 0;
    while !sleeper.is_finished() {
        if refused.is_none() {
            refused = ring.fill(&mut next).err();
        }
        match ring.out.next_completion().wait_timeout(PATIENCE) {
            Ok(done) => {
                *outcomes.entry(format!("{:?}", done.outcome())).or_insert(0) += 1;
                gap += done.gaps().map(|gap| gap.frames.end - gap.frames.start).sum::<u64>();
            }
            Err(isoch::Error::TimedOut | isoch::Error::Closed) => {
                std::thread::sleep(Duration::from_millis(10))
            }
            Err(error) => return Err(error.into()),
        }
    }
    sleeper
        .join()
        .map_err(|_| "the sleeper panicked")?
        .map_err(|error| format!("the system did not sleep: {error}"))?;
    let _ = ring.out.drain();
    while let Some(done) = ring.out.next_completion().now() {
        *outcomes.entry(format!("{:?}", done.outcome())).or_insert(0) += 1;
    }
    guest.say(format!(
        "asleep for a second: {outcomes:?}, then {refused:?}; {gap} frames are said to be lost"
    ));
    ensure!(ring.blocks.free() == BLOCKS as usize, "{} of {BLOCKS} blocks are back", ring.blocks.free());
    let is_told = gap > 0 || refused.is_some() || outcomes.keys().any(|outcome| outcome != "Completed");
    ensure!(is_told, "nobody said that anything was lost");
    drop(ring);

    // Whatever it was told, whoever opens it anew can go on.
    let ring = Ring::new(streaming::open(streaming::ADDRESS)?, 4, BLOCKS)?;
    let mut transfers = 0;
    let mut failed = 0;
    ring.run(
        || {
            transfers += 1;
            transfers > 20
        },
        |done, _| failed += usize::from(done.outcome() != isoch::Outcome::Completed),
    )?;
    ensure!(failed == 0, "after it {failed} transfers failed");
    Ok(())
}
