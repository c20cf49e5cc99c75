//! Isochronous pipes: named frames, registered memory, packets.
//!
//! Why is every transfer handed down with an explicit frame, also the "as soon as possible" ones? WinUSB's transfers
//! begin and end on frame boundaries, and a stream that can no longer be continued must fail, not slide; so the frame
//! is decided here, by `rules::winusb`, from the clock and the end of what is pending. Only on a bus that cannot start
//! on frames at all the bus decides.
//!
//! The program's memory never crosses the boundary to the bus: OUT data is copied into a block at submission, IN data
//! packet by packet at completion.

mod arena;
mod outputs;
mod pending;
mod registration;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use isoch::rules::descriptors::Endpoint as EndpointDescriptor;
use isoch::rules::winusb::{self, Pipe as Rules, Refusal, Transfer};
use isoch::{
    AlternateSetting, Block, Blocks, Direction, IsochIn, IsochOut, Layout, StartSupport, Statistics,
    TransferId,
};

use crate::codes::NtStatus;
use crate::completion::Finish;
use crate::failure::Failure;
use crate::session::{Current, Frames, Requests};
use crate::system::File;
use crate::trace;
use crate::types::OVERLAPPED;
use arena::Arena;
use pending::{Entry, Pending};

pub(crate) use outputs::{PacketDescriptors, ReportMemory};
pub(crate) use registration::{Registration, Use};

/// Bytes of the largest bulk transfer, of which an isochronous pipe tells whole packets (measured on Windows).
const MAXIMUM_TRANSFER_SIZE: u32 = 256 * 1024;

/// When a transfer is to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// On this frame, in the numbers of `WinUsb_GetCurrentFrameNumber`.
    At(u32),
    /// Behind what is pending, or as soon as possible.
    Asap,
    /// Behind what is pending, without a gap, or not at all.
    Continue,
}

/// A transfer that was found to be acceptable.
pub(crate) struct IsochRequest {
    pub(crate) start: Start,
    pub(crate) transfer: Transfer,
    /// Filled at completion.
    pub(crate) packets: Option<PacketDescriptors>,
    /// Filled at completion.
    pub(crate) report: Option<ReportMemory>,
}

/// An isochronous endpoint in the setting in force.
pub(crate) struct IsochPipe {
    address: u8,
    rules: Rules,
    bytes_per_interval: u32,
    frames: Frames,
    /// How many frames ahead of the current one (as the program counts) the controller needs.
    lead: u32,
    starts_on_frames: bool,
    pending: Arc<Pending>,
    open: Mutex<Open>,
}

struct Open {
    /// `None` once the setting is no longer in force.
    endpoint: Option<Endpoint>,
    arena: Arena,
    /// The frame after the last transfer that was accepted.
    next: u32,
    /// The clock when it was last looked at.
    seen: Option<Current>,
    /// The endpoint's names of the last transfers: of those pending, and perhaps of some that are over.
    ids: VecDeque<TransferId>,
}

pub(super) enum Endpoint {
    Out(IsochOut),
    In(IsochIn),
}

/// A request that can begin. The pipe is locked meanwhile, so requests begin in the order of their calls.
pub(crate) struct Prepared<'a> {
    pipe: &'a IsochPipe,
    open: MutexGuard<'a, Open>,
    block: Block,
}

impl Prepared<'_> {
    /// Starts the request that it was prepared for. Whatever becomes of it is told to `finish`.
    pub(crate) fn submit(self, using: Use, request: IsochRequest, finish: Finish) {
        let Prepared { pipe, mut open, block } = self;
        let frames = request.transfer.frames;
        let begins = match pipe.decide(&mut open, &request) {
            Ok(begins) => begins,
            Err(refusal) => {
                drop(open);
                trace::note(format_args!("refused: {refusal}"));
                return pipe.pending.refuse(&request, finish, NtStatus::INVALID_PARAMETER);
            }
        };
        let start = match begins {
            Some((_, frame)) => isoch::Start::At(frame),
            None if request.start == Start::Continue => isoch::Start::Continue,
            None => isoch::Start::Asap,
        };
        let Open { endpoint: Some(endpoint), next, ids, .. } = &mut *open else {
            drop(open);
            return pipe.pending.refuse(&request, finish, NtStatus::INVALID_PARAMETER);
        };
        pipe.pending.push(Entry { registration: using, request, finish });
        match endpoint.submit(block, start) {
            Ok(id) => {
                // Over, in this order, are all but those still pending.
                let over = (ids.len() + 1).saturating_sub(pipe.pending.len());
                ids.push_back(id);
                ids.drain(..over);
                if let Some((frame, _)) = begins {
                    *next = frame.wrapping_add(frames);
                    trace::note(format_args!("frames {frame} to {}", next.wrapping_sub(1)));
                }
            }
            Err(rejected) => {
                // It is the newest, and was never the bus's: nobody else has ended it.
                let entry = pipe.pending.take_back();
                drop(open);
                trace::note(format_args!("refused: {}", rejected.error));
                if let Some(entry) = entry {
                    pipe.pending.refuse(&entry.request, entry.finish, NtStatus::of_error(&rejected.error));
                }
            }
        }
    }
}

/// Does the same with an endpoint of either direction.
macro_rules! either {
    ($endpoint:expr, $either:ident => $what:expr) => {
        match $endpoint {
            Endpoint::Out($either) => $what,
            Endpoint::In($either) => $what,
        }
    };
}

impl Endpoint {
    pub(super) fn register(&self, layout: Layout) -> Result<Blocks, isoch::Error> {
        either!(self, endpoint => endpoint.register(layout))
    }

    fn submit(&self, block: Block, start: isoch::Start) -> Result<TransferId, isoch::Rejected> {
        either!(self, endpoint => endpoint.submit(block, start))
    }
}

impl IsochPipe {
    /// Opens an endpoint of the setting in force.
    pub(crate) fn open(
        file: &File,
        setting: &AlternateSetting,
        descriptor: &EndpointDescriptor,
    ) -> Result<Arc<Self>, Failure> {
        let device = setting.device();
        let rules = Rules::new(device.information().speed, descriptor)?;
        let bytes_per_interval = rules.maximum_bytes_per_interval();
        let frames = file.session().frames().clone();
        let pending = Arc::new(Pending::new(frames.clone(), bytes_per_interval));
        let endpoint = match rules.direction() {
            Direction::Out => Endpoint::Out(setting.isoch_out(descriptor.address)?),
            Direction::In => Endpoint::In(setting.isoch_in(descriptor.address)?),
        };
        let capabilities = either!(&endpoint, endpoint => {
            endpoint.set_sink(Arc::clone(&pending) as _);
            *endpoint.capabilities()
        });
        Ok(Arc::new(IsochPipe {
            address: descriptor.address,
            rules,
            bytes_per_interval,
            // A start that is `lead` frames away can still be served: what must be exceeded is one less.
            lead: u32::try_from(capabilities.lead)
                .unwrap_or(u32::MAX)
                .saturating_sub(frames.bias())
                .saturating_sub(1),
            starts_on_frames: capabilities.start != StartSupport::AsapOnly,
            frames,
            pending,
            open: Mutex::new(Open {
                endpoint: Some(endpoint),
                arena: Arena::default(),
                next: 0,
                seen: None,
                ids: VecDeque::new(),
            }),
        }))
    }

    pub(crate) fn address(&self) -> u8 {
        self.address
    }

    pub(crate) fn direction(&self) -> Direction {
        self.rules.direction()
    }

    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Policy MAXIMUM_TRANSFER_SIZE, which does not bound isochronous transfers.
    pub(crate) fn maximum_transfer_size(&self) -> u32 {
        MAXIMUM_TRANSFER_SIZE - MAXIMUM_TRANSFER_SIZE % self.bytes_per_interval.max(1)
    }

    pub(crate) fn is_busy(&self) -> bool {
        !self.pending.is_empty()
    }

    fn state(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gets everything ready for a request: after this it cannot be refused any more. `lengths` of OUT packets, if they
    /// are not full ones and a short last one.
    pub(crate) fn prepare<'a>(
        &'a self,
        using: &Use,
        request: &IsochRequest,
        lengths: Option<&[u32]>,
    ) -> Result<Prepared<'a>, Failure> {
        let Transfer { offset, length, packets, .. } = request.transfer;
        let mut open = self.state();
        let Open { endpoint, arena, .. } = &mut *open;
        let endpoint = endpoint.as_ref().ok_or_else(|| {
            Failure::argument("the pipe's alternate setting is no longer selected: register the buffer again")
        })?;
        let mut block = arena.take(endpoint, packets, &self.pending)?;
        match lengths {
            Some(lengths) => block.set_packet_lengths(lengths)?,
            None => block.set_length(length as usize)?,
        }
        if self.direction() == Direction::Out {
            let bytes = block.bytes_mut().get_mut(..length as usize).unwrap_or_default();
            using.memory().read(offset as usize, bytes);
        }
        Ok(Prepared { pipe: self, open, block })
    }

    /// The frame in which a transfer begins, in WinUSB's numbers and in the clock's; `None` where the bus decides.
    fn decide(&self, open: &mut Open, request: &IsochRequest) -> Result<Option<(u32, u64)>, Refusal> {
        let next = (!self.pending.is_empty()).then_some(open.next);
        // What begins at the end of what is pending is not in the past, so an older look at the clock tells as well
        // that it is not too far away.
        if let (Start::At(frame), Some(next), Some(seen)) = (request.start, next, &open.seen)
            && winusb::frame_distance(frame, next) >= 0
            && winusb::check_start_frame(frame, seen.number).is_ok()
        {
            return Ok(Some((frame, seen.absolute(frame))));
        }
        let seen = open.seen.insert(self.frames.current());
        let current = seen.number;
        let frame = match request.start {
            Start::At(frame) => winusb::check_start_frame(frame, current).map(|()| frame)?,
            Start::Asap => winusb::continue_start(next, current, self.lead)
                .unwrap_or_else(|_| later(winusb::asap_start(current), next)),
            Start::Continue if self.starts_on_frames => winusb::continue_start(next, current, self.lead)?,
            Start::Continue => next.ok_or(Refusal::NoStream)?,
        };
        // A frame by its number must be asked for even on a bus that will say that it cannot.
        let named = self.starts_on_frames || matches!(request.start, Start::At(_));
        Ok(named.then(|| (frame, seen.absolute(frame))))
    }

    /// AbortPipe: everything pending is cancelled, and as far as the bus is quick, told before this returns.
    pub(crate) fn abort(&self) {
        if let Some(endpoint) = &self.state().endpoint {
            either!(endpoint, endpoint => endpoint.abort());
        }
    }

    /// ResetPipe: an isochronous endpoint has neither halt nor data toggle.
    pub(crate) fn reset(&self) -> Result<(), Failure> {
        Ok(())
    }

    /// What was counted since the setting was selected.
    pub(crate) fn statistics(&self) -> Option<Statistics> {
        self.state().endpoint.as_ref().map(|endpoint| either!(endpoint, endpoint => endpoint.statistics()))
    }
}

impl Requests for IsochPipe {
    fn cancel(&self, overlapped: *mut OVERLAPPED) -> bool {
        let open = self.state();
        let Some(endpoint) = &open.endpoint else { return false };
        let matching = self.pending.matching(overlapped);
        // Newest first: what is still pending lines up at the end, and cancelling one may end it at once.
        let mut found = false;
        for (id, _) in open.ids.iter().rev().zip(matching.iter().rev()).filter(|(_, matches)| **matches) {
            either!(endpoint, endpoint => endpoint.cancel(*id));
            found = true;
        }
        found
    }

    fn close(&self) {
        let endpoint = self.state().endpoint.take();
        self.pending.detach();
        drop(endpoint);
    }
}

/// The later of two frames, if there are two.
fn later(frame: u32, other: Option<u32>) -> u32 {
    match other {
        Some(other) if winusb::frame_distance(other, frame) > 0 => other,
        _ => frame,
    }
}
