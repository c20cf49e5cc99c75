//! Isochronous endpoints through WinUSB.
#![allow(unsafe_code)]

use isoch_core::{Block, Packet, Start, Time};

use super::codes;
use super::device::Session;
use super::frames::{self, Asked};
use super::library::PacketDescriptor;
use super::shared::{Buffer, Flight, Pipe, Shared};
use super::system;
use crate::bus::{HandedOver, IsochPort};
use crate::sync::{Arc, AtomicBool, Ordering};
use crate::{Direction, Error};

pub(super) struct WindowsPort {
    pub(super) session: Arc<Session>,
    pub(super) pipe: u64,
    pub(super) rules: isoch_core::rules::winusb::Pipe,
    /// As [`Pipe::stale`].
    pub(super) stale: Arc<AtomicBool>,
}

impl WindowsPort {
    fn shared(&self) -> &Arc<Shared> {
        self.session.shared()
    }
}

impl IsochPort for WindowsPort {
    fn check(&self, packets: &[Packet]) -> Result<(), Error> {
        if self.stale.load(Ordering::Relaxed) {
            return Err(Error::SettingChanged);
        }
        transfer(&self.rules, packets).map(drop)
    }

    fn submit(&self, id: u64, mut block: Block, start: Start) -> Result<HandedOver, (Block, Error)> {
        let shared = self.shared();
        let transfer = match transfer(&self.rules, block.packets()) {
            Ok(transfer) => transfer,
            Err(error) => return Err((block, error)),
        };
        let now = match shared.clock.read(shared) {
            Ok(now) => now,
            Err(code) => return Err((block, codes::refusal(code))),
        };
        block.forget_results();
        let mut state = shared.lock();
        let gone = state.gone;
        let Some(pipe) = state.pipe(self.pipe).filter(|_| !gone) else {
            return Err((block, Error::Gone));
        };
        if pipe.stale.load(Ordering::Relaxed) {
            return Err((block, Error::SettingChanged));
        }
        let asked = frames::choose(start, now, pipe.end, !pipe.flights.is_empty());
        let frames = u64::from(transfer.frames);
        let (first, placed) = match asked {
            Asked::Named(frame) => (frame, None),
            Asked::Chosen(frame) => (frame, Some(frame)),
            Asked::TooFar => {
                let first = if let Start::At(frame) = start { frame } else { now };
                let flight = Flight { id, block, operation: None, first, frames, submitted_in: now };
                pipe.flights.push_back(flight);
                shared.nudge.set();
                return Ok(HandedOver { now: Some(now), ..HandedOver::default() });
            }
        };
        let buffer = match registered(shared, pipe, &mut block) {
            Ok(buffer) => buffer,
            Err(error) => return Err((block, error)),
        };
        let mut operation = match shared.operation(&mut state) {
            Ok(operation) => operation,
            Err(error) => return Err((block, error)),
        };
        let packets = block.packets().len() as u32;
        // The low 32 bits are what the system counts in.
        let mut frame_number = first as u32;
        // SAFETY: the buffer is registered, and its memory is in the block, which stays in the list of flights
        // until the transfer is over. So do the OVERLAPPED and the packet descriptors.
        let taken = unsafe {
            match self.rules.direction() {
                Direction::Out => (shared.library.write_isoch_pipe)(
                    buffer,
                    transfer.offset,
                    transfer.length,
                    &mut frame_number,
                    operation.overlapped(),
                ),
                Direction::In => {
                    operation.packets.clear();
                    operation.packets.resize(packets as usize, PacketDescriptor::default());
                    (shared.library.read_isoch_pipe)(
                        buffer,
                        transfer.offset,
                        transfer.length,
                        &mut frame_number,
                        packets,
                        operation.packets.as_mut_ptr(),
                        operation.overlapped(),
                    )
                }
            }
        };
        let code = if taken == 0 { system::last_error() } else { codes::ERROR_IO_PENDING };
        if code != codes::ERROR_IO_PENDING {
            state.spare.push(operation);
            state.gone |= codes::is_gone(code);
            if state.gone {
                shared.nudge.set();
            }
            return Err((block, codes::refusal(code)));
        }
        let Some(pipe) = state.pipe(self.pipe) else { unreachable!("the lock was held since it was found") };
        // One that ended at once may not have set its event.
        let look = pipe.flights.is_empty() || taken != 0;
        let operation = Some(operation);
        pipe.flights.push_back(Flight { id, block, operation, first, frames, submitted_in: now });
        pipe.end = Some(first.saturating_add(frames));
        drop(state);
        if look {
            shared.nudge.set();
        }
        Ok(HandedOver { now: Some(now), placed, ..HandedOver::default() })
    }

    fn cancel(&self, id: u64) {
        let shared = self.shared();
        let mut state = shared.lock();
        let Some(pipe) = state.pipe(self.pipe) else { return };
        pipe.withdrawn = true;
        if let Some(flight) = pipe.flights.iter().find(|flight| flight.id == id)
            && let Some(operation) = &flight.operation
        {
            shared.cancel(operation, pipe.interface, None);
        }
        drop(state);
        shared.nudge.set();
    }

    fn abort(&self) {
        let shared = self.shared();
        let (interface, endpoint) = {
            let mut state = shared.lock();
            let Some(pipe) = state.pipe(self.pipe) else { return };
            pipe.withdrawn = true;
            pipe.end = None;
            (pipe.interface, pipe.endpoint)
        };
        shared.abort(interface, endpoint);
        shared.nudge.set();
    }

    fn wake_at(&self, deadline: Time, _sharp: bool) {
        let shared = self.shared();
        let mut state = shared.lock();
        if let Some(pipe) = state.pipe(self.pipe) {
            pipe.deadline = Some(deadline);
        }
        if state.sleeping_until.is_some_and(|until| deadline < until) {
            shared.nudge.set();
        }
    }
}

impl Drop for WindowsPort {
    fn drop(&mut self) {
        let shared = self.shared();
        let aborted = {
            let mut state = shared.lock();
            let Some(pipe) = state.pipe(self.pipe) else { return };
            pipe.closed = true;
            pipe.kept = pipe.reports.upgrade().filter(|_| !pipe.flights.is_empty());
            pipe.deadline = None;
            pipe.withdrawn = true;
            (!pipe.flights.is_empty()).then_some((pipe.interface, pipe.endpoint))
        };
        if let Some((interface, endpoint)) = aborted {
            shared.abort(interface, endpoint);
        }
        shared.nudge.set();
    }
}

/// What WinUSB is asked for, if it takes such a transfer.
fn transfer(
    rules: &isoch_core::rules::winusb::Pipe,
    packets: &[Packet],
) -> Result<isoch_core::rules::winusb::Transfer, Error> {
    let refused = |refusal| Error::Unsupported(format!("WinUSB does not take this transfer: {refusal}"));
    let count = packets.len() as u32;
    let length = packets.iter().fold(0_u32, |sum, packet| sum.saturating_add(packet.length));
    match rules.direction() {
        Direction::Out => rules.check_write(u32::MAX, 0, length).map_err(refused),
        Direction::In => rules.check_read(u32::MAX, 0, length, count).map_err(refused),
    }
    .and_then(|transfer| match transfer.packets == count {
        true => Ok(transfer),
        false => Err(Error::Unsupported(
            "WinUSB sends and receives full packets, and of OUT transfers a short last one".into(),
        )),
    })
}

/// The registration of a block's memory with a pipe: made when the two first meet, because memory is allocated
/// for a device and registered for a pipe.
fn registered(
    shared: &Shared,
    pipe: &mut Pipe,
    block: &mut Block,
) -> Result<super::library::BufferHandle, Error> {
    let bytes = block.bytes_mut();
    let address = bytes.as_mut_ptr();
    if let Some(buffer) = pipe.buffers.get(&(address as usize)) {
        return Ok(buffer.0);
    }
    let length =
        u32::try_from(bytes.len()).map_err(|_| Error::Argument("a block holds less than 4 GiB".into()))?;
    let mut handle = std::ptr::null_mut();
    // SAFETY: the memory is the block's. Before it is freed it is unregistered (`memory.rs`).
    let done = unsafe {
        (shared.library.register_isoch_buffer)(
            pipe.interface.handle,
            pipe.endpoint,
            address,
            length,
            &mut handle,
        )
    };
    if done == 0 {
        return Err(codes::refusal(system::last_error()));
    }
    pipe.buffers.insert(address as usize, Buffer(handle));
    Ok(handle)
}
