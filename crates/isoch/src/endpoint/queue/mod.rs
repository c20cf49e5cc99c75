//! The queue behind an isochronous endpoint: from a submitted block to its completion.
//!
//! Why one queue for all buses, with the bus below it reduced to moving transfers? Because order, placement
//! and the account of frames must not differ between buses that merely know different things. What the
//! bus can do decides which parts work: an exact bus gets transfers at once, any other through the
//! [`Placer`]; the [`Ledger`] writes every report.
//!
//! One lock guards it, held while the bus takes a transfer and never while a sink is called. Whoever finds
//! completions to deliver does so unless someone else is at it already, which then delivers these too:
//! so sinks see them in order, and a sink may submit.

mod placing;
mod telling;

use std::collections::VecDeque;
use std::time::Duration;

use isoch_core::clock::StreamTrack;
use isoch_core::ledger::{Ledger, LedgerConfig};
use isoch_core::placer::{Placer, PlacerConfig};
use isoch_core::rules::layout::{self, LayoutError};
use isoch_core::{
    Block as CoreBlock, Capabilities, FrameSource, Lengths, MICROFRAMES_PER_FRAME, Outcome, Start,
    StartSupport, Time,
};

pub(crate) use placing::anchored;

use super::{Histogram, Rejected, Statistics};
use crate::block::{Block, Blocks, Layout, Pool};
use crate::bus::{BusDevice, IsochPort, IsochReports};
use crate::clock::FrameClock;
use crate::completion::{CompletionSink, CompletionTiming, TransferId};
use crate::sync::{Arc, Mutex, lock};
use crate::wait::{Item, Mailbox, Waiting};
use crate::{Direction, EndpointTiming, Error};

/// Bytes that one registration may have: more than any stream needs, and not all of a machine's memory.
const MOST_BYTES: usize = 1 << 30;
/// Filler transfers that may be at the bus at once, and so the filler blocks there are.
const FILLER_BLOCKS: u32 = 16;

pub(crate) struct Queue {
    address: u8,
    direction: Direction,
    timing: EndpointTiming,
    capabilities: Capabilities,
    bus: Arc<dyn BusDevice>,
    shared: Arc<CompletionTiming>,
    state: Mutex<State>,
    drained: Mailbox<Drained>,
}

/// Tells a waiting `drain` to look again.
struct Drained;
impl Item for Drained {}

struct State {
    port: Option<Arc<dyn IsochPort>>,
    /// What the bus has, or had.
    ledger: Ledger<Ticket, CoreBlock>,
    placer: Placer,
    /// How the stream's count compares with the clock.
    track: StreamTrack,
    /// Of the transfer that defines what frames are called, if that is the next one: the microframes from its beginning to
    /// an end, and when that was seen.
    defined_by: Option<(u64, Time)>,
    /// Accepted, and not yet with the bus: all of it comes after what is in the ledger.
    held: VecDeque<Held>,
    sink: Arc<dyn CompletionSink>,
    filler: Vec<CoreBlock>,
    next_id: u64,
    /// Microframes between service intervals.
    period: u64,
    /// How many streams the ledger had counted when `track` began.
    tracked: u64,
    /// Where that stream began was reported, or defined what its frames are called.
    began_certain: bool,
    /// The clock knows how positions of this source are known, for as long as what is over just follows.
    described: Option<FrameSource>,
    /// Its position was as well known as it will be, when the clock was last told of it.
    settled: bool,
    /// The bus finds out itself what follows and what begins anew.
    bus_tells: bool,
    /// Where it does not: before this, it has not served all it has.
    supplied_until: Time,
    /// The stream that runs was begun on an idle bus: its lead is learnt once it is known where it began.
    cold_start: Option<ColdStart>,
    /// Streams may slide without a word; where they cannot, ends that seem to say so were only late.
    may_slide: bool,
    /// The microframe after everything accepted, where that is known.
    accepted_end: Option<u64>,
    registered: usize,
    /// Someone delivers what is over.
    delivering: bool,
    /// A completion is out of the ledger, and its sink is just being told.
    telling: bool,
    draining: usize,
    gone: bool,
    closed_told: bool,
    statistics: Statistics,
}

struct Held {
    id: u64,
    block: CoreBlock,
    pool: Arc<Pool>,
    start: Start,
    /// It will not be handed over: its end is only waiting for its turn.
    withdrawn: Option<Outcome>,
}

/// The beginning of a stream.
#[derive(Clone, Copy)]
struct ColdStart {
    submitted_at: Time,
    /// The microframe of its first interval, by the count of the stream.
    first: u64,
    /// The microframe after what has been seen of it.
    end: u64,
}

/// A transfer on its way to the bus.
struct Handing {
    sequence: u64,
    block: CoreBlock,
    start: Start,
    ran_dry: bool,
}

/// What is remembered of a transfer in the ledger.
struct Ticket {
    /// Where its block goes; filler has none.
    pool: Option<Arc<Pool>>,
    /// The frame that was running when the bus got it.
    handed_over_in: Option<u64>,
    /// When the bus got it, by the host's clock. Of anchored transfers only.
    handed_over_at: Option<Time>,
    /// When the bus had it at the latest, if it began a stream.
    handed_over_by: Option<Time>,
    /// Whether it follows the transfer before it is certain: the bus told, or it was handed over long before that was
    /// over.
    is_certain: bool,
    /// When the bus got it, if it was handed to an idle bus.
    cold_start: Option<Time>,
}

impl Ticket {
    fn new(pool: Option<Arc<Pool>>) -> Self {
        Ticket {
            pool,
            handed_over_in: None,
            handed_over_at: None,
            handed_over_by: None,
            is_certain: false,
            cold_start: None,
        }
    }
}

impl Queue {
    pub(crate) fn open(
        bus: &Arc<dyn BusDevice>,
        address: u8,
        direction: Direction,
        timing: EndpointTiming,
        sink: Arc<dyn CompletionSink>,
    ) -> Result<Arc<Self>, Error> {
        let of_bus = bus.capabilities(direction);
        let capabilities = anchored(of_bus);
        let period = timing.period_microframes();
        let mut placing = PlacerConfig::new(capabilities.start, period);
        placing.horizon = of_bus.horizon;
        // A new stream begins at the start of a frame, at most `lead` frames after the one it is asked for in.
        // Whatever the bus needs exactly: 7 microframes less than that is right for all that fits this.
        placing.initial_lead =
            Duration::from_micros(1_000 * of_bus.lead).saturating_sub(Duration::from_micros(875));
        let clock = bus.clock();
        // Positions are measured by completions, and what was assumed is not: what those have in common counts.
        placing.initial_lead_uncertainty += clock.source.common_error();
        if let Some(known) = clock.source.lead(&timing) {
            placing.initial_lead = known.lead;
            placing.initial_lead_uncertainty = known.uncertainty;
        }
        let queue = Arc::new(Queue {
            address,
            direction,
            timing,
            capabilities,
            bus: Arc::clone(bus),
            shared: Arc::new(CompletionTiming { clock, wake_up: Mutex::new(Histogram::default()) }),
            state: Mutex::new(State {
                port: None,
                ledger: Ledger::new(LedgerConfig {
                    period,
                    frames: capabilities.frames,
                    gaps: capabilities.gaps,
                }),
                placer: Placer::new(placing),
                track: StreamTrack::new(),
                defined_by: None,
                held: VecDeque::new(),
                sink,
                filler: Vec::new(),
                next_id: 1,
                period,
                tracked: 0,
                began_certain: false,
                described: None,
                settled: true,
                bus_tells: false,
                supplied_until: Time::ZERO,
                cold_start: None,
                may_slide: true,
                accepted_end: None,
                registered: 0,
                delivering: false,
                telling: false,
                draining: 0,
                gone: false,
                closed_told: false,
                statistics: Statistics::default(),
            }),
            drained: Mailbox::new(),
        });
        let reports: Arc<dyn IsochReports> = Arc::clone(&queue) as _;
        let port = bus.open_isoch(address, Arc::downgrade(&reports))?;
        {
            let mut state = lock(&queue.state);
            state.may_slide = port.may_slide();
            state.port = Some(Arc::from(port));
        }
        Ok(queue)
    }

    pub(crate) fn address(&self) -> u8 {
        self.address
    }

    pub(crate) fn timing(&self) -> &EndpointTiming {
        &self.timing
    }

    pub(crate) fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    pub(crate) fn clock(&self) -> &FrameClock {
        &self.shared.clock
    }

    pub(crate) fn waiting(&self) -> &Waiting {
        self.bus.waiting()
    }

    pub(crate) fn registered(&self) -> usize {
        lock(&self.state).registered
    }

    pub(crate) fn set_sink(&self, sink: Arc<dyn CompletionSink>) {
        let mut state = lock(&self.state);
        state.sink = sink;
        // A new sink is told of the end, too, if it has come already.
        state.closed_told = false;
        self.deliver(state);
    }

    pub(crate) fn in_flight(&self) -> usize {
        let state = lock(&self.state);
        state.ledger.len() + state.held.len()
    }

    /// Whether a completion is still to come, or just on its way to the sink.
    pub(crate) fn is_busy(&self) -> bool {
        let state = lock(&self.state);
        !state.is_idle() || state.telling
    }

    pub(crate) fn statistics(&self) -> Statistics {
        let mut statistics = lock(&self.state).statistics.clone();
        statistics.wake_up = lock(&self.shared.wake_up).clone();
        statistics
    }

    pub(crate) fn register(&self, layout: Layout) -> Result<Blocks, Error> {
        let packets = layout.packets_per_block(&self.timing)?;
        let count = layout.block_count();
        if self.timing.bytes_per_interval() == 0 {
            return Err(LayoutError::NoBandwidth.into());
        }
        let bytes = packets as usize * self.timing.bytes_per_interval() as usize;
        if bytes.saturating_mul(count as usize) > MOST_BYTES {
            return Err(Error::Budget {
                needed: bytes as u64 * u64::from(count),
                available: MOST_BYTES as u64,
                fits: (MOST_BYTES / bytes) as u64,
                remedy: String::new(),
            });
        }
        self.bus.check_budget(count as usize, bytes, packets as usize)?;
        let blocks = self.allocate(count, packets, bytes)?;
        let pool = Pool::new(self.timing, self.direction, packets, blocks, self.waiting().clone());
        let mut state = lock(&self.state);
        state.registered += count as usize;
        state.reserve();
        Ok(Blocks::new(pool))
    }

    fn allocate(&self, count: u32, packets: u32, bytes: usize) -> Result<Vec<CoreBlock>, Error> {
        let one = |index| match self.bus.allocate(bytes, packets as usize) {
            Ok(memory) => Ok(CoreBlock::new(memory, packets as usize, index)),
            // What came before it did fit.
            Err(Error::Budget { needed, available, remedy, .. }) => {
                Err(Error::Budget { needed, available, fits: index.into(), remedy })
            }
            Err(error) => Err(error),
        };
        (0..count).map(one).collect()
    }

    pub(crate) fn submit(&self, block: Block, start: Start) -> Result<TransferId, Rejected> {
        if let Err(error) = self.check(&block, start) {
            return Err(Rejected { error, block });
        }
        let mut state = lock(&self.state);
        let checked = state.check(start, &self.timing).and_then(|()| match &state.port {
            Some(port) => port.check(block.packets()),
            None => Err(Error::Gone),
        });
        if let Err(error) = checked {
            drop(state);
            return Err(Rejected { error, block });
        }
        let (block, pool) = block.into_parts();
        let intervals = block.packets().len() as u64;
        let length = intervals * self.timing.period_microframes();
        state.accepted_end = match start {
            Start::At(frame) => Some(frame.saturating_mul(MICROFRAMES_PER_FRAME).saturating_add(length)),
            _ if state.is_idle() => None,
            _ => state.accepted_end.map(|end| end.saturating_add(length)),
        };
        let id = state.next_id;
        state.next_id += 1;
        state.statistics.submitted += 1;
        let held = Held { id, block, pool, start, withdrawn: None };
        if let Some(held) = self.follow(&mut state, held) {
            state.held.push_back(held);
            self.pump(&mut state, None);
        }
        self.deliver(state);
        Ok(TransferId(id))
    }

    /// What can be judged from the block and the endpoint alone.
    fn check(&self, block: &Block, start: Start) -> Result<(), Error> {
        let packets = block.packets();
        let Some((_, full)) = packets.split_last() else {
            return Err(Error::Argument("a transfer needs at least one packet".into()));
        };
        let most = self.timing.bytes_per_interval();
        // The block may have been registered on another endpoint, with longer packets.
        if block.longest_packet() > most && packets.iter().any(|packet| packet.length > most) {
            return Err(Error::Argument(format!("a packet of this endpoint carries at most {most} bytes")));
        }
        if self.capabilities.lengths == Lengths::FullThenShort
            && full.iter().any(|packet| packet.length != most)
        {
            return Err(Error::Unsupported(format!(
                "this bus sends full packets of {most} bytes and one short last one; other lengths need another bus"
            )));
        }
        match start {
            Start::At(_) if self.capabilities.start == StartSupport::AsapOnly => Err(Error::Unsupported(
                "this bus cannot start on a named frame: use Start::Asap or Start::Continue".into(),
            )),
            _ => Ok(()),
        }
    }

    pub(crate) fn cancel(&self, id: TransferId) -> bool {
        let mut state = lock(&self.state);
        if let Some(held) = state.held.iter_mut().find(|held| held.id == id.0) {
            held.withdrawn.get_or_insert(Outcome::Cancelled);
            state.recount();
            self.pump(&mut state, None);
            self.deliver(state);
            return true;
        }
        let (sequence, port) = (state.ledger.find(id.0), state.port.clone());
        drop(state);
        // Not while locked: the bus may report the cancellation from inside this call.
        if let Some((sequence, port)) = sequence.zip(port) {
            port.cancel(sequence);
        }
        sequence.is_some()
    }

    pub(crate) fn abort(&self) {
        let port = self.withdraw_held(Outcome::Cancelled, |state| {
            state.placer.stop();
            state.accepted_end = None;
            state.port.clone()
        });
        if let Some(port) = port {
            port.abort();
        }
    }

    pub(crate) fn drain(&self) -> Result<(), Error> {
        lock(&self.state).draining += 1;
        let result = loop {
            let state = lock(&self.state);
            if state.is_idle() && !state.delivering {
                break Ok(());
            }
            drop(state);
            if let Err(error) = self.drained.next(self.waiting()).wait() {
                break Err(error);
            }
        };
        lock(&self.state).draining -= 1;
        result
    }

    /// Cancels everything and lets go of the bus. Does not wait.
    pub(crate) fn close(&self) {
        self.let_go(Outcome::Cancelled);
    }

    fn let_go(&self, outcome: Outcome) {
        let port = self.withdraw_held(outcome, |state| {
            state.gone = true;
            state.port.take()
        });
        // Not while locked: letting go reports what is still in flight.
        drop(port);
        self.deliver(lock(&self.state));
    }

    /// Ends what the bus has not got, and delivers it as far as its turn has come.
    fn withdraw_held<R>(&self, outcome: Outcome, and: impl FnOnce(&mut State) -> R) -> R {
        let mut state = lock(&self.state);
        for held in &mut state.held {
            held.withdrawn.get_or_insert(outcome);
        }
        let result = and(&mut state);
        self.pump(&mut state, None);
        self.deliver(state);
        result
    }
}

impl State {
    fn is_idle(&self) -> bool {
        self.ledger.is_empty() && self.held.is_empty()
    }

    /// Something accepted was not served: finds out anew which frames are taken.
    fn recount(&mut self) {
        let waiting = self.held.iter().filter(|held| held.withdrawn.is_none());
        let end = if self.ledger.is_empty() { None } else { self.ledger.expected_end() };
        self.accepted_end = waiting.fold(end, |end, held| {
            let length = held.block.packets().len() as u64 * self.period;
            let start = match held.start {
                Start::At(frame) => Some(frame.saturating_mul(MICROFRAMES_PER_FRAME)),
                Start::Asap | Start::Continue => end,
            };
            start.map(|start| start.saturating_add(length))
        });
    }

    fn reserve(&mut self) {
        let transfers = self.registered + FILLER_BLOCKS as usize;
        self.ledger.reserve(transfers);
        self.held.reserve(transfers.saturating_sub(self.held.len()));
    }

    fn check(&self, start: Start, timing: &EndpointTiming) -> Result<(), Error> {
        if self.gone || self.port.is_none() {
            return Err(Error::Gone);
        }
        if let Start::At(frame) = start {
            let next_free = self.accepted_end.map(|end| end.div_ceil(MICROFRAMES_PER_FRAME));
            layout::check_start(timing, 0, frame, next_free)?;
        }
        Ok(())
    }
}
