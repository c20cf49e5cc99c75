//! A script: what goes wrong on the bus, and what a program does meanwhile.

use std::fmt;

use isoch::emulated::faults::{Fault, FaultKind};
use isoch::{BusClock, Direction, Speed};

/// Faults and programs end by this frame.
pub(crate) const FRAMES: u64 = 400;

/// Numbers that look random, the same ones for the same seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// A number below one of these limits.
    fn below_one_of<const COUNT: usize>(&mut self, limits: [u64; COUNT]) -> u64 {
        let limit = limits[self.below(COUNT as u64) as usize];
        self.below(limit)
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

/// When a transfer is to begin, as the program thinks of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum When {
    /// So many frames from now.
    FromNow(i64),
    /// So many frames behind the end of what is queued.
    BehindQueue(u64),
    Asap,
    Continue,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Step {
    Submit {
        when: When,
        packets: u32,
    },
    /// Lets so many frames pass.
    Pass(u64),
    /// Takes a completion; waits for it if waiting moves the clock.
    Take,
    /// Cancels the one of those submitted so many before the last.
    Cancel(u64),
    Abort,
}

#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) seed: u64,
    pub(crate) profile: &'static str,
    pub(crate) clock: BusClock,
    pub(crate) direction: Direction,
    pub(crate) speed: Speed,
    pub(crate) interval: u8,
    pub(crate) depth: u32,
    pub(crate) sof_ppm: f64,
    pub(crate) faults: Vec<Fault>,
    pub(crate) steps: Vec<Step>,
}

impl Script {
    pub(crate) fn random(seed: u64, profile: &'static str) -> Self {
        let mut random = Random::new(seed);
        let random = &mut random;
        let speed = if random.one_in(2) { Speed::Full } else { Speed::High };
        let longest = match (speed, random.one_in(8)) {
            (Speed::High, false) => 4,
            (Speed::High, true) => 8,
            (_, false) => 1,
            (_, true) => 4,
        };
        let direction = if random.one_in(2) { Direction::Out } else { Direction::In };
        Script {
            seed,
            profile,
            clock: if random.one_in(2) { BusClock::Manual } else { BusClock::OnWait },
            direction,
            speed,
            interval: 1 + random.below(longest) as u8,
            depth: 1 + random.below(8) as u32,
            sof_ppm: random.below(1001) as f64 - 500.0,
            faults: (0..random.below(10)).map(|_| fault(random, direction)).collect(),
            steps: steps(random),
        }
    }

    /// Microframes from one service interval to the next.
    pub(crate) fn period(&self) -> u64 {
        let unit = if self.speed == Speed::Full { 8 } else { 1 };
        unit << (self.interval - 1)
    }
}

fn fault(random: &mut Random, direction: Direction) -> Fault {
    let kind = match (random.below(10), direction) {
        (0..3, _) => FaultKind::HostMissed,
        (3..5, _) => FaultKind::HostLate,
        (5..7, _) => FaultKind::HostStalled,
        (7, _) if random.one_in(2) => FaultKind::Unplug,
        (_, Direction::Out) => FaultKind::LostOnWire,
        (7, _) => FaultKind::CrcError,
        (8, _) if random.one_in(2) => FaultKind::Short(random.below(24) as u32),
        (8, _) => FaultKind::Empty,
        _ => FaultKind::Babble,
    };
    let start = 1 + random.below_one_of([FRAMES / 8, FRAMES]);
    let length = 1 + random.below_one_of([4, 4, 4, 30]);
    Fault { frames: start..start + length, kind, device: None, endpoint: None }
}

fn steps(random: &mut Random) -> Vec<Step> {
    // Most programs stick to one way of starting transfers.
    let habit = random.below(6);
    let largest = [4, 16, 64][random.below(3) as usize];
    let mut steps = Vec::new();
    for _ in 0..8 + random.below(56) {
        let way = if random.one_in(4) { random.below(5) } else { habit };
        let when = match way {
            1 => When::Asap,
            2 => When::BehindQueue(if random.one_in(3) { random.below(6) } else { 0 }),
            3 => When::FromNow(random.below(16) as i64 - 3),
            _ => When::Continue,
        };
        let step = match random.below(16) {
            0..8 => Step::Submit { when, packets: 1 + random.below(largest) as u32 },
            8..11 => Step::Pass(1 + random.below_one_of([4, 4, 4, 4, 40])),
            11..15 => Step::Take,
            _ if random.one_in(3) => Step::Abort,
            _ => Step::Cancel(random.below(4)),
        };
        steps.push(step);
    }
    steps
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed = {}\nprofile = \"{}\"\nclock = \"{}\"", self.seed, self.profile, self.clock)?;
        writeln!(f, "sof_ppm = {}\ndepth = {}", self.sof_ppm, self.depth)?;
        writeln!(
            f,
            "endpoint = {{ direction = \"{:?}\", speed = \"{:?}\", interval = {} }}",
            self.direction, self.speed, self.interval
        )?;
        for Fault { frames, kind, .. } in &self.faults {
            writeln!(f, "fault = {{ frames = [{}, {}], kind = \"{kind:?}\" }}", frames.start, frames.end)?;
        }
        for step in &self.steps {
            writeln!(f, "step = \"{step:?}\"")?;
        }
        Ok(())
    }
}
