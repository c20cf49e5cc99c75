//! Transfers under way, and what their end tells the program.
//!
//! Why a queue of our own beside the endpoint's? A transfer may be over before `submit` has told its number, so the
//! end finds its request by order: an endpoint tells each transfer exactly once, in the order of submission.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use isoch::{
    Block, Completion, CompletionSink, Direction, FrameSource, GapCause, GapReport, Outcome, PacketStatus,
};

use super::{IsochRequest, registration};
use crate::codes::{self, NtStatus, usbd};
use crate::completion::Finish;
use crate::session::Frames;
use crate::trace;
use crate::types::{OVERLAPPED, USBD_ISO_PACKET_DESCRIPTOR, WINUSBX_ISOCH_REPORT};

pub(super) struct Pending {
    frames: Frames,
    /// Bytes from one packet to the next of a transfer that fills whole intervals.
    bytes_per_interval: u32,
    state: Mutex<State>,
    /// How many entries there are, to know without the lock.
    count: AtomicUsize,
    told: Condvar,
}

#[derive(Default)]
struct State {
    entries: VecDeque<Entry>,
    /// Blocks whose transfers are over, each with the number of packets it was asked for.
    returned: Vec<(u32, Block)>,
    /// What the bus still tells is of requests that were ended without it.
    detached: bool,
    /// A thread is filling in what a program gets.
    telling: bool,
}

pub(super) struct Entry {
    pub(super) registration: registration::Use,
    pub(super) request: IsochRequest,
    pub(super) finish: Finish,
}

impl Pending {
    pub(super) fn new(frames: Frames, bytes_per_interval: u32) -> Self {
        Pending {
            frames,
            bytes_per_interval,
            state: Mutex::default(),
            count: AtomicUsize::new(0),
            told: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn push(&self, entry: Entry) {
        let mut state = self.state();
        state.entries.push_back(entry);
        self.count.store(state.entries.len(), Ordering::Release);
    }

    fn pop(&self, state: &mut State, newest: bool) -> Option<Entry> {
        let entry = if newest { state.entries.pop_back() } else { state.entries.pop_front() };
        self.count.store(state.entries.len(), Ordering::Release);
        entry
    }

    /// Takes back the newest one, which the endpoint did not take.
    pub(super) fn take_back(&self) -> Option<Entry> {
        self.pop(&mut self.state(), true)
    }

    /// The blocks that came back since this was last asked. `to` is empty, and its memory is used.
    pub(super) fn take_returned(&self, to: &mut Vec<(u32, Block)>) {
        std::mem::swap(&mut self.state().returned, to);
    }

    /// Which of those pending, in their order, are of an OVERLAPPED; NULL: of any.
    pub(super) fn matching(&self, overlapped: *mut OVERLAPPED) -> Vec<bool> {
        self.state().entries.iter().map(|entry| entry.finish.is_of(overlapped)).collect()
    }

    /// Ends all of them now. When this returns, nothing of the program's is touched any more, however late the bus
    /// tells their ends.
    pub(super) fn detach(&self) {
        let State { entries, returned, .. } = {
            let mut state = self.state();
            state.detached = true;
            while state.telling {
                state = self.told.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            self.count.store(0, Ordering::Release);
            std::mem::replace(&mut *state, State { detached: true, ..State::default() })
        };
        drop(returned);
        for entry in entries {
            self.refuse(&entry.request, entry.finish, NtStatus::CANCELLED);
        }
    }

    /// Ends a request that the bus never had, or whose end is not waited for.
    pub(super) fn refuse(&self, request: &IsochRequest, finish: Finish, status: NtStatus) {
        let (packet, outcome) = match status {
            NtStatus::CANCELLED => (usbd::CANCELED, 1),
            NtStatus::NO_SUCH_DEVICE => (usbd::DEVICE_GONE, 4),
            NtStatus::INVALID_PARAMETER => (usbd::BAD_START_FRAME, 3),
            _ => (usbd::ISO_NOT_ACCESSED_BY_HW, 5),
        };
        if let Some(packets) = &request.packets {
            for index in 0..request.transfer.packets {
                let offset = index * self.bytes_per_interval;
                packets.write(
                    index as usize,
                    USBD_ISO_PACKET_DESCRIPTOR { Offset: offset, Length: 0, Status: packet },
                );
            }
        }
        if let Some(report) = &request.report {
            report.write(WINUSBX_ISOCH_REPORT { Outcome: outcome, Gap: 2, ..report.empty() });
        }
        finish.complete(status, 0);
    }

    /// What the program gets to see of a finished transfer.
    fn fill(&self, completion: &Completion, request: &IsochRequest, registration: &registration::Use) {
        let reads = registration.pipe().direction() == Direction::In;
        let outcome = completion.outcome();
        let bytes = completion.block().bytes();
        for (index, packet) in completion.block().packets().iter().enumerate() {
            let length = if packet.status == PacketStatus::Done { packet.actual } else { 0 };
            if reads {
                let from = packet.offset as usize;
                let received = bytes.get(from..from + length as usize).unwrap_or_default();
                registration.memory().write(request.transfer.offset as usize + from, received);
            }
            if let Some(packets) = &request.packets {
                let status = codes::usbd_status(packet.status, outcome);
                let descriptor =
                    USBD_ISO_PACKET_DESCRIPTOR { Offset: packet.offset, Length: length, Status: status };
                packets.write(index, descriptor);
            }
        }
        if let Some(report) = &request.report {
            report.write(self.report(completion, report.empty()));
        }
    }

    fn report(&self, completion: &Completion, empty: WINUSBX_ISOCH_REPORT) -> WINUSBX_ISOCH_REPORT {
        let saturated = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let mut report = WINUSBX_ISOCH_REPORT {
            Outcome: match completion.outcome() {
                Outcome::Completed => 0,
                Outcome::Cancelled => 1,
                Outcome::Late => 2,
                Outcome::BadStartFrame => 3,
                Outcome::DeviceGone => 4,
                _ => 5,
            },
            FrameUncertainty: saturated(completion.frame_uncertainty()),
            BytesTransferred: saturated(completion.transferred()),
            ..empty
        };
        if let Some(frames) = completion.frames() {
            report.FrameSource = match completion.frame_source() {
                FrameSource::Reported => 1,
                FrameSource::Counted => 2,
                FrameSource::Estimated => 3,
                // Assumed, which promises least.
                _ => 4,
            };
            report.FirstFrame = self.frames.number(frames.start);
            report.NextFrame = self.frames.number(frames.end);
        }
        match completion.gap() {
            GapReport::None => {}
            GapReport::Unknowable => report.Gap = 2,
            GapReport::Lost(gap) => {
                report.Gap = 1;
                report.GapFirstFrame = self.frames.number(gap.frames.start);
                report.GapFrames = saturated(gap.frames.end.saturating_sub(gap.frames.start));
                report.GapUncertainty = saturated(gap.uncertainty);
                report.GapCause = match gap.cause {
                    GapCause::QueueRanDry => 1,
                    GapCause::Late => 2,
                    _ => 3,
                };
            }
        }
        report
    }

    fn trace(&self, completion: &Completion, registration: &registration::Use, status: NtStatus) {
        let pipe = registration.pipe().address();
        let source = completion.frame_source();
        let gap = match completion.gap() {
            GapReport::None => "nothing was lost".to_owned(),
            GapReport::Unknowable => "whether frames were lost is not known".to_owned(),
            GapReport::Lost(gap) => {
                let (first, next) =
                    (self.frames.number(gap.frames.start), self.frames.number(gap.frames.end));
                format!(
                    "lost frames {first} to {} (±{}): {}",
                    next.wrapping_sub(1),
                    gap.uncertainty,
                    gap.cause
                )
            }
        };
        let (outcome, code) = (completion.outcome(), status.win32());
        match completion.frames() {
            Some(frames) => {
                let (first, next) = (self.frames.number(frames.start), self.frames.number(frames.end));
                let last = next.wrapping_sub(1);
                trace::line(format_args!(
                    "pipe {pipe:#04x}: {outcome:?} in frames {first} to {last} ({source}), {gap}; error {code}"
                ));
            }
            None => trace::line(format_args!("pipe {pipe:#04x}: {outcome:?}, {gap}; error {code}")),
        }
    }
}

/// How a transfer as a whole ended.
fn status(completion: &Completion) -> NtStatus {
    let failed = |packet: &isoch::Packet| {
        matches!(packet.status, PacketStatus::Late | PacketStatus::Missed | PacketStatus::Failed(_))
    };
    // USBD_STATUS_ISOCH_REQUEST_FAILED: only if every packet has an error.
    if completion.outcome() == Outcome::Completed && completion.block().packets().iter().all(failed) {
        return NtStatus::UNSUCCESSFUL;
    }
    NtStatus::of_outcome(completion.outcome())
}

impl CompletionSink for Pending {
    fn completed(&self, completion: Completion) {
        let Entry { registration, request, finish, .. } = {
            let mut state = self.state();
            if state.detached {
                return;
            }
            let Some(entry) = self.pop(&mut state, false) else { return };
            state.telling = true;
            entry
        };
        let status = status(&completion);
        self.fill(&completion, &request, &registration);
        if trace::is_on() {
            self.trace(&completion, &registration, status);
        }
        finish.complete(status, 0);
        {
            let mut state = self.state();
            state.telling = false;
            state.returned.push((request.transfer.packets, completion.into_block()));
        }
        self.told.notify_all();
        // Last: it may be what keeps the pipe.
        drop(registration);
    }
}
