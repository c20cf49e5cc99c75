//! Gap truth on buses that tell less: what is reported must agree with the device's log as far as it claims.
//!
//! Here the truth is read from the packets themselves: each carries the number of its transfer and its place
//! in it, so the log says where every transfer went, whatever the controller, the placer and the clock made
//! of the request. Where frames are estimated, the stated uncertainty must hold.

use std::collections::HashSet;

use isoch::emulated::faults::FaultKind;
use isoch::{
    Blocks, BusClock, Completion, Direction, Error, FrameSource, Gap, IsochOut, Layout, Outcome, Start,
    TransferId, VirtualBus,
};

use crate::program::{DEVICE, LARGEST, Seen, bus, setting};
use crate::script::{FRAMES, Script, Step, When};

/// Bytes of a packet: two numbers.
const TAG: u32 = 8;

/// A script that this oracle can judge: OUT, and nothing withdrawn.
pub(crate) fn script(seed: u64, profile: &'static str) -> Script {
    let mut script = Script::random(seed, profile);
    script.direction = Direction::Out;
    script.steps.retain(|step| !matches!(step, Step::Cancel(_) | Step::Abort));
    // A host that is held up sees completions late, and no uncertainty says by how much.
    let estimated = profile.starts_with("usbfs");
    script.faults.retain(|fault| match fault.kind {
        FaultKind::LostOnWire | FaultKind::HostMissed | FaultKind::HostLate => true,
        FaultKind::HostStalled => !estimated,
        _ => false,
    });
    script
}

struct Submitted {
    id: TransferId,
    start: Start,
    packets: u32,
}

struct Program<'a> {
    script: &'a Script,
    bus: VirtualBus,
    endpoint: IsochOut,
    blocks: Blocks,
    submitted: Vec<Submitted>,
    done: Vec<Told>,
}

struct Told {
    id: TransferId,
    outcome: Outcome,
    first: Option<u64>,
    source: FrameSource,
    uncertainty: u64,
    /// As known in the end.
    hole: Option<Gap>,
    runs: Vec<u64>,
}

pub(crate) fn run(script: &Script) -> Result<Seen, String> {
    let bus = bus(script);
    bus.log(DEVICE, |log| log.keep_bytes(true)).map_err(|error| error.to_string())?;
    let endpoint = setting(&bus).isoch_out(0x02).map_err(|error| error.to_string())?;
    let blocks = endpoint.register(Layout::packets(LARGEST).blocks(script.depth)).expect("small blocks");
    let mut program = Program { script, bus, endpoint, blocks, submitted: Vec::new(), done: Vec::new() };
    program.steps()?;
    program.judge()
}

impl Program<'_> {
    fn steps(&mut self) -> Result<(), String> {
        for step in &self.script.steps {
            if self.bus.clock().now().frame > FRAMES {
                break;
            }
            match *step {
                Step::Submit { when, packets } => self.submit(when, packets)?,
                Step::Pass(frames) => self.bus.advance(frames).map_err(|error| error.to_string())?,
                Step::Take => _ = self.take(self.script.clock == BusClock::OnWait)?,
                Step::Cancel(_) | Step::Abort => {}
            }
        }
        for _ in 0..1000 {
            while self.take(false)? {}
            if self.endpoint.in_flight() == 0 {
                return Ok(());
            }
            self.bus.advance(32).map_err(|error| error.to_string())?;
        }
        Err(format!("{} transfers never end", self.endpoint.in_flight()))
    }

    fn submit(&mut self, when: When, packets: u32) -> Result<(), String> {
        if self.blocks.free() == 0 && !self.take(false)? {
            return Ok(());
        }
        let mut block = self.blocks.take().now().ok_or("no block is free")?;
        block.set_packet_lengths(&vec![TAG; packets as usize]).map_err(|error| error.to_string())?;
        for index in 0..packets {
            let tag = (self.submitted.len() as u64) << 32 | u64::from(index);
            block.packet_mut(index as usize).copy_from_slice(&tag.to_le_bytes());
        }
        let now = self.bus.clock().now().frame;
        let start = match when {
            // These buses need a lead.
            When::FromNow(frames) => Start::At((now + 16).saturating_add_signed(frames)),
            When::BehindQueue(frames) => Start::At(now + 16 + frames),
            When::Asap => Start::Asap,
            When::Continue => Start::Continue,
        };
        match self.endpoint.submit(block, start) {
            Ok(id) => self.submitted.push(Submitted { id, start, packets }),
            Err(rejected) if matches!(rejected.error, Error::Start(_)) => {}
            Err(rejected) => return Err(format!("a submission failed: {rejected}")),
        }
        Ok(())
    }

    fn take(&mut self, wait: bool) -> Result<bool, String> {
        let next = self.endpoint.next_completion();
        match if wait { next.wait() } else { next.now().ok_or(Error::ClockStopped) } {
            Ok(done) => self.note(&done),
            Err(Error::ClockStopped) => return Ok(false),
            Err(other) => return Err(format!("no completion: {other}")),
        }
        Ok(true)
    }

    fn note(&mut self, done: &Completion) {
        let report = done.report();
        if let Some(revision) = &report.revision
            && let Some(told) = self.done.iter_mut().find(|told| told.hole.as_ref() == Some(&revision.was))
        {
            told.hole = Some(revision.is.clone());
        }
        let holes = usize::from(report.hole.is_some());
        self.done.push(Told {
            id: done.id(),
            outcome: report.outcome,
            first: report.first,
            source: report.source,
            uncertainty: report.uncertainty,
            hole: report.hole.clone(),
            runs: done.gaps().skip(holes).map(|gap| gap.intervals).collect(),
        });
    }

    fn judge(&self) -> Result<Seen, String> {
        let order: Vec<TransferId> = self.done.iter().map(|told| told.id).collect();
        if order != self.submitted.iter().map(|submitted| submitted.id).collect::<Vec<_>>() {
            return Err(format!("completed {order:?}"));
        }
        let period = self.script.period();
        let truth = self.truth()?;
        let gaps_known = self.endpoint.capabilities().gaps;
        let mut seen = Seen { transfers: truth.len() as u64, ..Seen::default() };
        // What the ledger calls a frame, and what the bus does: one and the same difference all the time.
        let mut numbering: Option<i64> = None;
        let mut owed: Option<u64> = None;
        for ((told, submitted), truth) in self.done.iter().zip(&self.submitted).zip(&truth) {
            let place = truth.first.or(told.first.filter(|_| told.source == FrameSource::Reported));
            if let Some(lost) = truth.lost.as_ref().filter(|_| told.outcome == Outcome::Completed) {
                if told.runs != *lost {
                    return Err(format!("{:?}: lost {:?}, in truth {lost:?}", told.id, told.runs));
                }
                seen.intervals_lost += lost.iter().sum::<u64>();
            }
            if let Some((first, true_first)) = told.first.zip(truth.first) {
                let difference = first.wrapping_sub(true_first) as i64;
                let reported = told.source == FrameSource::Reported;
                let expected = if reported { 0 } else { *numbering.get_or_insert(difference) };
                let off = difference.abs_diff(expected);
                if off > told.uncertainty * 8 {
                    return Err(format!(
                        "{:?}: {} in microframe {first} ±{} frames, and {off} microframes off",
                        told.id, told.source, told.uncertainty
                    ));
                }
            }
            let hole = told.hole.as_ref().map_or(0, |gap| gap.intervals);
            if !gaps_known && hole > 0 {
                return Err(format!("{:?}: a hole, which this bus cannot know", told.id));
            }
            if gaps_known
                && submitted.start == Start::Continue
                && let Some((first, owed)) = truth.first.zip(owed)
            {
                let true_hole = (first - owed) / period;
                let doubt = told.hole.as_ref().map_or(told.uncertainty, |gap| gap.uncertainty) * 8 / period;
                seen.holes += u64::from(true_hole > 0);
                if hole.abs_diff(true_hole) > doubt {
                    return Err(format!("{:?}: a hole of {hole} ±{doubt}, in truth {true_hole}", told.id));
                }
            } else if submitted.start != Start::Continue && hole > 0 {
                return Err(format!("{:?}: a hole before {:?}", told.id, submitted.start));
            }
            owed = place.map(|first| first + u64::from(submitted.packets) * period);
        }
        Ok(seen)
    }

    /// Where each transfer went and which runs of its packets did not, by the device's log.
    fn truth(&self) -> Result<Vec<Truth>, String> {
        let period = self.script.period();
        let (passed, losses) = self
            .bus
            .log(DEVICE, |log| {
                let passed: Vec<(u64, u64)> = log
                    .entries()
                    .map(|entry| {
                        let tag = entry.bytes.and_then(|bytes| bytes.try_into().ok());
                        (entry.microframe, tag.map_or(u64::MAX, u64::from_le_bytes))
                    })
                    .collect();
                (passed, log.wire_losses().map(|loss| loss.microframe).collect::<HashSet<u64>>())
            })
            .map_err(|error| error.to_string())?;
        let mut firsts: Vec<Option<u64>> = vec![None; self.submitted.len()];
        let mut arrived = HashSet::new();
        for (microframe, tag) in passed {
            let (transfer, index) = ((tag >> 32) as usize, tag & 0xffff_ffff);
            let first = microframe - index * period;
            if !arrived.insert(tag) || *firsts[transfer].get_or_insert(first) != first {
                return Err(format!("packet {index} of transfer {transfer} passed twice, or out of step"));
            }
        }
        let truths = self.submitted.iter().zip(firsts).zip(0u64..).map(|((submitted, first), transfer)| {
            let mut lost: Vec<u64> = Vec::new();
            let mut running = false;
            for index in 0..u64::from(submitted.packets) {
                let on_wire = first.is_some_and(|first| losses.contains(&(first + index * period)));
                let gone = !on_wire && !arrived.contains(&(transfer << 32 | index));
                match lost.last_mut() {
                    Some(run) if gone && running => *run += 1,
                    _ if gone => lost.push(1),
                    _ => {}
                }
                running = gone;
            }
            // Nothing arrived, and packets were lost on the wire: the log does not say whether these.
            let known = first.is_some() || losses.is_empty();
            Truth { first, lost: known.then_some(lost) }
        });
        Ok(truths.collect())
    }
}

struct Truth {
    first: Option<u64>,
    lost: Option<Vec<u64>>,
}
