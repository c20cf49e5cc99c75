//! A machine with a controller that tells nothing of its frames, in virtual time: what QEMU's are like.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use isoch_core::ledger::Continuity;
use isoch_core::rules::descriptors::Endpoint;
use isoch_core::rules::{EndpointTiming, Speed};
use isoch_core::{
    Block, Capabilities, ClockSupport, FrameSource, Lengths, Outcome, Results, Start, StartSupport, Time,
};

use crate::bus::{BusDevice, DataReport, DataRequest, HandedOver, IsochPort, IsochReports};
use crate::clock::{EstimatedClock, FrameClock, Host};
use crate::device::DeviceInformation;
use crate::sync::{Arc, Mutex, Weak, lock};
use crate::wait::{Step, StepsTime, Waiting};
use crate::{Direction, Error};

/// How late a completion may be always: what the back end for Linux says.
const LATENCY: Duration = Duration::from_micros(250);

/// SplitMix64 (Steele, Lea, Flood 2014).
pub(super) struct Random(pub(super) u64);

impl Random {
    /// In (0, 1].
    pub(super) fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (((z ^ (z >> 31)) >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -self.unit().ln() * mean
    }

    /// Lateness around `mean` nanoseconds; one in so many is late by up to 3 ms.
    fn late(&mut self, mean: f64, one_in: f64) -> u64 {
        let interrupted = if self.unit() * one_in < 1.0 { self.unit() * 3e6 } else { 0.0 };
        (mean / 2.0 + self.exponential(mean / 2.0) + interrupted) as u64
    }
}

/// What a machine is like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    /// The timer that advances the frames is set anew from the moment at which it ran: they are late by more and more,
    /// and then there are two at once. Else they keep time.
    pub(super) wanders: bool,
    /// How late timers run, in nanoseconds, about.
    pub(super) slack: f64,
    /// One in so many timers, and one in so many wake-ups, is late by some ms.
    pub(super) interrupted: f64,
    /// Frames are longer than a millisecond of the host's, in millionths.
    pub(super) ppm: f64,
    /// From the current frame to that of a new stream.
    pub(super) lead: u64,
}

pub(super) struct Machine {
    pub(super) kind: Kind,
    pub(super) random: Random,
    pub(super) now: u64,
    next_tick: f64,
    /// When the frames that have passed ended, by the controller's crystal.
    frames_end: f64,
    /// The frame that is next.
    frame: u64,
    /// What the controller has, or had, and the program does not know to be over.
    flights: VecDeque<Flight>,
    /// The true first frame of every transfer, in the order in which they were handed over.
    pub(super) began: Vec<u64>,
}

struct Flight {
    id: u64,
    end: u64,
    block: Block,
}

/// The first frame, and when it begins.
pub(super) const ORIGIN: (u64, u64) = (5_000, 3_000_000_000);

impl Machine {
    pub(super) fn new(kind: Kind, seed: u64) -> Arc<Mutex<Machine>> {
        let (frame, now) = ORIGIN;
        let began = Vec::new();
        Arc::new(Mutex::new(Machine {
            kind,
            random: Random(seed),
            now,
            next_tick: now as f64,
            frames_end: now as f64,
            frame,
            flights: VecDeque::new(),
            began,
        }))
    }

    fn length(&self) -> f64 {
        1e6 * (1.0 + self.kind.ppm * 1e-6)
    }

    /// In which frame time is, by the controller's crystal, from its beginning on.
    pub(super) fn frame_at(&self, now: u64) -> f64 {
        ORIGIN.0 as f64 + (now - ORIGIN.1) as f64 / self.length()
    }

    /// When something happens next.
    pub(super) fn next_tick(&self) -> u64 {
        self.next_tick as u64
    }

    /// The timer runs: frames pass. Returns whether a transfer is over.
    pub(super) fn tick(&mut self) -> bool {
        let late = self.random.late(self.kind.slack, self.kind.interrupted) as f64;
        let ran = self.next_tick + late;
        let length = self.length();
        let frames = ((ran - self.frames_end) / length) as u64;
        self.frames_end += frames as f64 * length;
        self.frame += frames;
        // Never before the crystal's frame is over; who keeps time counts from that.
        self.next_tick = if self.kind.wanders { ran } else { self.frames_end } + length;
        self.now = self.now.max(ran as u64);
        self.is_over()
    }

    /// How long the program takes to wake up.
    pub(super) fn wake_up(&mut self) -> u64 {
        let interrupted = self.kind.interrupted;
        40_000 + self.random.late(60e3, interrupted)
    }

    fn is_over(&self) -> bool {
        self.flights.front().is_some_and(|flight| flight.end <= self.frame)
    }

    /// What is over is given back.
    pub(super) fn reap(&mut self) -> VecDeque<Block> {
        let mut done = VecDeque::new();
        while self.is_over() {
            let Some(Flight { id, mut block, .. }) = self.flights.pop_front() else { break };
            block.all_carried();
            let ending = block.ending_mut();
            (ending.id, ending.outcome, ending.seen) = (id, Outcome::Completed, Time::from_nanos(self.now));
            self.now += 3_000;
            done.push_back(block);
        }
        done
    }

    fn submit(&mut self, id: u64, block: Block) -> HandedOver {
        let length = block.packets().len() as u64;
        let at = Time::from_nanos(self.now);
        self.now += 15_000;
        let last = self.flights.back().map(|flight| flight.end).filter(|end| *end > self.frame);
        let continuity = if last.is_some() { Continuity::Unbroken } else { Continuity::Broken };
        let first = last.unwrap_or(self.frame + self.kind.lead);
        self.began.push(first);
        self.flights.push_back(Flight { id, end: first + length, block });
        HandedOver { continuity: Some(continuity), at: Some(at), ..HandedOver::default() }
    }
}

/// The machine's time.
struct Clockwork(Arc<Mutex<Machine>>);

impl StepsTime for Clockwork {
    fn step(&self, _: Option<Time>, _: &dyn Fn() -> bool) -> Step {
        Step::Stopped
    }

    fn now(&self) -> Time {
        Time::from_nanos(lock(&self.0).now)
    }
}

/// The device on the machine's bus.
pub(super) struct Speaker {
    machine: Arc<Mutex<Machine>>,
    clock: FrameClock,
    pub(super) reports: Mutex<Option<Weak<dyn IsochReports>>>,
}

impl Speaker {
    pub(super) fn new(machine: &Arc<Mutex<Machine>>) -> Arc<Self> {
        let time: Arc<dyn StepsTime> = Arc::new(Clockwork(Arc::clone(machine)));
        let host = Host::new(Instant::now(), Some(Arc::clone(&time)));
        let source = Arc::new(EstimatedClock::new(host, LATENCY));
        let clock = FrameClock { source, waiting: Waiting::Emulated(time) };
        Arc::new(Speaker { machine: Arc::clone(machine), clock, reports: Mutex::default() })
    }

    pub(super) fn timing() -> EndpointTiming {
        EndpointTiming::new(Speed::Full, &Endpoint::new(0x01, 0x01, 192, 1)).expect("a speaker's endpoint")
    }
}

impl BusDevice for Speaker {
    fn information(&self) -> &DeviceInformation {
        unreachable!("an endpoint does not ask")
    }

    fn device_bytes(&self) -> &[u8] {
        &[]
    }

    fn configuration_bytes(&self) -> &[u8] {
        &[]
    }

    fn claim(&self, _: u8) -> Result<(), Error> {
        Ok(())
    }

    fn release(&self, _: u8) {}

    fn set_alternate_setting(&self, _: u8, _: u8) -> Result<(), Error> {
        Ok(())
    }

    fn submit_data(&self, _: DataRequest, _: Arc<dyn DataReport>) {}

    fn cancel_data(&self, _: &Arc<dyn DataReport>) {}

    fn capabilities(&self, _: Direction) -> Capabilities {
        Capabilities {
            start: StartSupport::AsapOnly,
            frames: FrameSource::Estimated,
            lengths: Lengths::PerPacket,
            results: Results::PerPacket,
            gaps: true,
            clock: ClockSupport::Estimated,
            horizon: Some(900),
            lead: lock(&self.machine).kind.lead,
        }
    }

    fn open_isoch(&self, _: u8, reports: Weak<dyn IsochReports>) -> Result<Box<dyn IsochPort>, Error> {
        *lock(&self.reports) = Some(reports);
        Ok(Box::new(Port(Arc::clone(&self.machine))))
    }

    fn clock(&self) -> FrameClock {
        self.clock.clone()
    }

    fn waiting(&self) -> &Waiting {
        &self.clock.waiting
    }
}

struct Port(Arc<Mutex<Machine>>);

impl IsochPort for Port {
    fn may_slide(&self) -> bool {
        false
    }

    fn submit(&self, id: u64, block: Block, _: Start) -> Result<HandedOver, (Block, Error)> {
        Ok(lock(&self.0).submit(id, block))
    }

    fn cancel(&self, _: u64) {}

    fn abort(&self) {}

    fn wake_at(&self, _: Time, _: bool) {}
}
