//! Runs a script on a virtual bus and compares what was reported with what the oracle says.

use isoch::emulated::devices::{ShapeOptions, SourceSink, SourceSinkOptions};
use isoch::emulated::faults::FaultKind;
use isoch::emulated::profile::Profile;
use isoch::{
    AlternateSetting, Blocks, BusClock, Completion, Direction, EndpointDirection, Error, FrameClock,
    IsochEndpoint, Layout, Start, TransferId, VirtualBus,
};

use crate::oracle::{Lost, Oracle};
use crate::script::{FRAMES, Script, Step, When};

/// What a script brought to light, to be sure that it was worth running.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) transfers: u64,
    pub(crate) holes: u64,
    pub(crate) intervals_lost: u64,
    pub(crate) wire_losses: u64,
}

pub(crate) const DEVICE: &str = "device";
const PACKET: u16 = 16;
pub(crate) const LARGEST: u32 = 64;

pub(crate) fn bus(script: &Script) -> VirtualBus {
    let profile = Profile::named(script.profile).expect("a profile that exists");
    let bus = VirtualBus::builder().clock(script.clock).profile(profile).sof_ppm(script.sof_ppm).build();
    let shape = ShapeOptions {
        interval: Some(script.interval),
        packet: Some(PACKET),
        ..ShapeOptions::new(script.speed)
    };
    let options = SourceSinkOptions { shape, ..SourceSinkOptions::default() };
    bus.plug(DEVICE, Box::new(SourceSink::new(options).expect("a possible shape"))).expect("a free name");
    script.faults.iter().for_each(|fault| bus.fault(fault.clone()));
    bus
}

pub(crate) fn setting(bus: &VirtualBus) -> AlternateSetting {
    let device = bus.open(DEVICE).expect("it is plugged in");
    device.interface(0).and_then(|interface| interface.alternate_setting(1)).expect("it has this setting")
}

/// Runs a script on an exact bus. An error says what is wrong.
pub(crate) fn run(script: &Script) -> Result<Seen, String> {
    let bus = bus(script);
    let setting = setting(&bus);
    match script.direction {
        Direction::Out => Program::new(script, &bus, setting.isoch_out(0x02).expect("OUT")).run(),
        Direction::In => Program::new(script, &bus, setting.isoch_in(0x82).expect("IN")).run(),
    }
}

struct Program<'a, D: EndpointDirection> {
    script: &'a Script,
    bus: &'a VirtualBus,
    clock: FrameClock,
    endpoint: IsochEndpoint<D>,
    blocks: Blocks,
    oracle: Oracle<'a>,
    submitted: Vec<TransferId>,
    told: Vec<Told>,
}

/// What was reported of a transfer.
struct Told {
    id: TransferId,
    first: Option<u64>,
    hole: bool,
    gaps: Vec<Lost>,
}

impl Told {
    fn new(done: &Completion) -> Self {
        let hole = done.report().hole.is_some();
        let gaps = done.gaps().enumerate().map(|(index, gap)| Lost {
            frames: gap.frames,
            intervals: gap.intervals,
            cause: (index > 0 || !hole).then_some(gap.cause),
        });
        Told { id: done.id(), first: done.report().first, hole, gaps: gaps.collect() }
    }
}

impl<'a, D: EndpointDirection> Program<'a, D> {
    fn new(script: &'a Script, bus: &'a VirtualBus, endpoint: IsochEndpoint<D>) -> Self {
        let blocks = endpoint.register(Layout::packets(LARGEST).blocks(script.depth)).expect("small blocks");
        Program {
            script,
            bus,
            clock: bus.clock(),
            endpoint,
            blocks,
            oracle: Oracle::new(script.period(), &script.faults),
            submitted: Vec::new(),
            told: Vec::new(),
        }
    }

    fn now(&self) -> u64 {
        let stamp = self.clock.now();
        stamp.frame * 8 + u64::from(stamp.microframe)
    }

    fn run(mut self) -> Result<Seen, String> {
        for step in &self.script.steps {
            if self.now() / 8 > FRAMES {
                break;
            }
            match *step {
                Step::Submit { when, packets } => self.submit(when, packets)?,
                Step::Pass(frames) => self.bus.advance(frames).map_err(|error| error.to_string())?,
                Step::Take => _ = self.take(self.script.clock == BusClock::OnWait)?,
                Step::Cancel(before) => self.cancel(before),
                Step::Abort => {
                    self.endpoint.abort();
                    let now = self.now();
                    self.oracle.aborted(now);
                }
            }
        }
        self.finish()?;
        self.judge()
    }

    fn submit(&mut self, when: When, packets: u32) -> Result<(), String> {
        if self.blocks.free() == 0 && !self.take(false)? {
            return Ok(());
        }
        let mut block = self.blocks.take().now().ok_or("a completion was dropped and no block is free")?;
        block.set_packet_lengths(&vec![u32::from(PACKET); packets as usize]).map_err(|e| e.to_string())?;
        let now = self.now();
        let unit = self.script.period().div_ceil(8);
        let named = |frame: u64| Start::At(frame.next_multiple_of(unit));
        let start = match when {
            When::FromNow(frames) => named((now / 8).saturating_add_signed(frames)),
            When::BehindQueue(frames) => named(self.oracle.tail().max(now).div_ceil(8) + frames),
            When::Asap => Start::Asap,
            When::Continue => Start::Continue,
        };
        match self.endpoint.submit(block, start) {
            Ok(id) => {
                self.submitted.push(id);
                self.oracle.submitted(now, start, u64::from(packets));
                Ok(())
            }
            Err(rejected) => match rejected.error {
                Error::Gone | Error::Start(_) => Ok(()),
                other => Err(format!("a submission failed: {other}")),
            },
        }
    }

    /// Takes a completion, if there is (or comes) one.
    fn take(&mut self, wait: bool) -> Result<bool, String> {
        let next = self.endpoint.next_completion();
        let done = match if wait { next.wait() } else { next.now().ok_or(Error::ClockStopped) } {
            Ok(done) => done,
            Err(Error::ClockStopped | Error::Closed) => return Ok(false),
            Err(other) => return Err(format!("no completion: {other}")),
        };
        self.told.push(Told::new(&done));
        Ok(true)
    }

    fn cancel(&mut self, before: u64) {
        let Some(index) = self.submitted.len().checked_sub(1 + before as usize) else { return };
        let now = self.now();
        self.endpoint.cancel(self.submitted[index]);
        self.oracle.cancelled(index, now);
    }

    fn finish(&mut self) -> Result<(), String> {
        for _ in 0..1000 {
            while self.take(self.script.clock == BusClock::OnWait)? {}
            if self.endpoint.in_flight() == 0 {
                return Ok(());
            }
            self.bus.advance(32).map_err(|error| error.to_string())?;
        }
        Err(format!("{} transfers never end", self.endpoint.in_flight()))
    }

    fn judge(self) -> Result<Seen, String> {
        let (mut passed, losses) = self
            .bus
            .log(DEVICE, |log| {
                let losses: Vec<u64> = log.wire_losses().map(|loss| loss.microframe).collect();
                (log.entries().map(|entry| entry.microframe).collect::<Vec<u64>>(), losses)
            })
            .map_err(|error| error.to_string())?;
        let wire_losses = losses.len() as u64;
        passed.extend(losses);
        passed.sort_unstable();
        let verdict = self.oracle.verdict(&passed)?;

        let order: Vec<TransferId> = self.told.iter().map(|told| told.id).collect();
        if order != self.submitted {
            return Err(format!("submitted {:?}, completed {order:?}", self.submitted));
        }
        if self.blocks.free() != self.script.depth as usize {
            return Err(format!("{} of {} blocks are back", self.blocks.free(), self.script.depth));
        }
        let mut seen = Seen { transfers: verdict.len() as u64, wire_losses, ..Seen::default() };
        let mut gaps = 0;
        for (told, (first, lost)) in self.told.iter().zip(&verdict) {
            if told.first != *first || told.gaps != *lost {
                return Err(format!(
                    "{:?}: reported at {:?}, lost {:?}; in truth at {first:?}, lost {lost:?}",
                    told.id, told.first, told.gaps
                ));
            }
            gaps += lost.len() as u64;
            seen.holes += u64::from(told.hole);
            seen.intervals_lost += lost.iter().map(|run| run.intervals).sum::<u64>();
        }
        let statistics = self.endpoint.statistics();
        if (statistics.gaps, statistics.intervals_lost) != (gaps, seen.intervals_lost) {
            return Err(format!("{gaps} gaps and {} intervals; counted {statistics:?}", seen.intervals_lost));
        }
        let lossy = self.script.faults.iter().any(|fault| fault.kind == FaultKind::LostOnWire);
        if wire_losses > 0 && !lossy {
            return Err("packets were lost on the wire, and no fault says so".into());
        }
        Ok(seen)
    }
}
