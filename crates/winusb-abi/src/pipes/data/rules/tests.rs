//! The queue against a bus that does what it is told.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use proptest::prelude::*;

use super::*;
use crate::pipes::policies::{
    ALLOW_PARTIAL_READS, AUTO_FLUSH, IGNORE_SHORT_PACKETS, Kind, LARGEST_TRANSFER, PIPE_TRANSFER_TIMEOUT,
    SHORT_PACKET_TERMINATE,
};

const PACKET: usize = 8;
const LARGEST: usize = LARGEST_TRANSFER as usize;

#[derive(Clone, Debug)]
struct Memory(Rc<RefCell<Vec<u8>>>);

impl Bytes for Memory {
    fn len(&self) -> usize {
        self.0.borrow().len()
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.0.borrow_mut()[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    fn read(&self, offset: usize, bytes: &mut [u8]) {
        bytes.copy_from_slice(&self.0.borrow()[offset..offset + bytes.len()]);
    }
}

/// A pipe and the steps that nobody has taken yet.
struct Pipe {
    rules: Rules<Memory, usize>,
    /// By request.
    memories: Vec<Memory>,
    ends: Vec<(usize, NtStatus, usize)>,
    bus: VecDeque<Step<usize>>,
    now: Instant,
}

const FILLER: u8 = 0xee;

impl Pipe {
    fn new(direction: Direction, policies: &[u32]) -> Self {
        let kind = if direction == Direction::In { Kind::In } else { Kind::Out };
        let shape = Shape::new(direction, PACKET as u16);
        let rules = Rules::new(shape, Policies::new(kind, LARGEST_TRANSFER));
        let (memories, ends, bus) = (Vec::new(), Vec::new(), VecDeque::new());
        let mut pipe = Pipe { rules, memories, ends, bus, now: Instant::now() };
        policies.iter().for_each(|policy| pipe.set(*policy, 1));
        pipe
    }

    fn set(&mut self, policy: u32, value: u8) {
        self.rules.policies.set(policy, &[value]).unwrap();
    }

    fn submit(&mut self, bytes: Vec<u8>) -> usize {
        let memory = Memory(Rc::new(RefCell::new(bytes)));
        self.memories.push(memory.clone());
        let request = self.memories.len() - 1;
        self.rules.submit(memory, request, self.now);
        self.take();
        request
    }

    fn read(&mut self, length: usize) -> usize {
        self.submit(vec![FILLER; length])
    }

    fn reads(&mut self, count: usize) {
        for _ in 0..count {
            self.read(8);
        }
    }

    fn take(&mut self) {
        while let Some(step) = self.rules.next_step() {
            match step {
                Step::End { finish, status, bytes } => {
                    assert!(self.ends.iter().all(|(request, _, _)| *request != finish), "told twice");
                    self.ends.push((finish, status, bytes));
                }
                Step::Cancel { transfer } => {
                    // At most one is on the bus under this name; it ends with nothing moved.
                    let found = self.bus.iter().position(|step| name(step) == transfer);
                    if let Some(index) = found {
                        self.bus.remove(index);
                        self.rules.done(transfer, &[], Err(NtStatus::CANCELLED), self.now);
                    }
                }
                step => self.bus.push_back(step),
            }
        }
    }

    /// The next transfer on the bus is over.
    fn answer(&mut self, data: &[u8], result: Result<(), NtStatus>) {
        let step = self.bus.pop_front().expect("something on the bus");
        self.rules.done(name(&step), data, result, self.now);
        self.take();
    }

    fn asked(&self) -> usize {
        match self.bus.front() {
            Some(Step::Read { length, .. }) => *length,
            other => panic!("{other:?} is no read"),
        }
    }

    fn sends(&self) -> &[u8] {
        match self.bus.front() {
            Some(Step::Write { bytes, .. }) => bytes,
            other => panic!("{other:?} is no write"),
        }
    }

    fn got(&self, request: usize) -> Vec<u8> {
        let bytes =
            self.ends.iter().find(|(ended, _, _)| *ended == request).map_or(0, |(_, _, bytes)| *bytes);
        let memory = self.memories[request].0.borrow();
        assert!(
            memory[bytes..].iter().all(|byte| *byte == FILLER),
            "what was not transferred stays as it was"
        );
        memory[..bytes].to_vec()
    }
}

fn name(step: &Step<usize>) -> Transfer {
    match step {
        Step::Read { transfer, .. }
        | Step::Write { transfer, .. }
        | Step::ClearHalt { transfer }
        | Step::Cancel { transfer } => *transfer,
        Step::End { .. } => 0,
    }
}

const OK: NtStatus = NtStatus::SUCCESS;
const STALL: NtStatus = NtStatus::UNSUCCESSFUL;

#[test]
fn one_request_at_a_time_is_on_the_bus() {
    let mut pipe = Pipe::new(Direction::In, &[]);
    let (first, second) = (pipe.read(8), pipe.read(16));
    assert_eq!((pipe.bus.len(), pipe.asked()), (1, 8));
    pipe.answer(&[1; 8], Ok(()));
    assert_eq!((pipe.bus.len(), pipe.asked()), (1, 16));
    assert!(pipe.rules.is_busy());
    pipe.answer(&[2; 3], Ok(()));
    assert_eq!(pipe.ends, [(first, OK, 8), (second, OK, 3)]);
    assert_eq!((pipe.got(first), pipe.got(second)), (vec![1; 8], vec![2; 3]));
    assert!(!pipe.rules.is_busy());
}

#[test]
fn surplus_is_in_front_of_the_next_read() {
    let mut pipe = Pipe::new(Direction::In, &[]);
    let first = pipe.read(3);
    assert_eq!(pipe.asked(), 8);
    pipe.answer(&[1, 2, 3, 4, 5, 6, 7, 8], Ok(()));
    let second = pipe.read(9);
    assert_eq!(pipe.asked(), 8, "the packet was full, so the message goes on");
    pipe.answer(&[9, 10], Ok(()));
    assert_eq!(pipe.got(first), [1, 2, 3]);
    assert_eq!(pipe.got(second), [4, 5, 6, 7, 8, 9, 10]);
    let third = pipe.read(1);
    pipe.answer(&[1, 2, 3], Ok(()));
    let fourth = pipe.read(8);
    assert!(pipe.bus.is_empty(), "the end of a message is the end of a read");
    assert_eq!((pipe.got(third), pipe.got(fourth)), (vec![1], vec![2, 3]));
    pipe.read(1);
    pipe.answer(&[1, 2, 3], Ok(()));
    pipe.rules.flush();
    pipe.read(1);
    assert_eq!(pipe.asked(), 8, "flushed");
}

#[test]
fn surplus_can_be_dropped_or_an_error() {
    let mut pipe = Pipe::new(Direction::In, &[AUTO_FLUSH]);
    let first = pipe.read(3);
    pipe.answer(&[1; 8], Ok(()));
    assert_eq!(pipe.ends, [(first, OK, 3)]);
    pipe.read(3);
    pipe.answer(&[], Err(NtStatus::CANCELLED));
    pipe.set(ALLOW_PARTIAL_READS, 0);
    let third = pipe.read(3);
    let fourth = pipe.read(8);
    pipe.answer(&[1; 4], Ok(()));
    assert_eq!(pipe.ends[2], (third, STALL, 3));
    assert_eq!(pipe.asked(), 8, "nothing was halted");
    pipe.answer(&[2; 8], Ok(()));
    assert_eq!(pipe.ends[3], (fourth, OK, 8));
}

#[test]
fn short_packets_can_be_ignored() {
    let mut pipe = Pipe::new(Direction::In, &[IGNORE_SHORT_PACKETS]);
    let read = pipe.read(20);
    assert_eq!(pipe.asked(), 24);
    pipe.answer(&[1; 3], Ok(()));
    assert_eq!(pipe.asked(), 24);
    pipe.answer(&[], Ok(()));
    assert_eq!(pipe.asked(), 24);
    pipe.answer(&[2; 24], Ok(()));
    assert_eq!(pipe.ends, [(read, OK, 20)]);
    let next = pipe.read(8);
    assert_eq!(pipe.asked(), 8, "seven bytes were left over, and the message may end there or not");
    pipe.answer(&[3; 1], Ok(()));
    assert_eq!(pipe.got(next), [2, 2, 2, 2, 2, 2, 2, 3]);
}

#[test]
fn nothing_is_read_at_once() {
    let mut pipe = Pipe::new(Direction::In, &[]);
    let waiting = pipe.read(8);
    let empty = pipe.read(0);
    assert_eq!(pipe.ends, [(empty, OK, 0)]);
    pipe.answer(&[], Err(STALL));
    assert_eq!(pipe.ends[1], (waiting, STALL, 0));
    pipe.read(0);
    assert_eq!(pipe.ends[2].1, OK);
}

#[test]
fn writes_are_split_and_terminated() {
    let mut pipe = Pipe::new(Direction::Out, &[SHORT_PACKET_TERMINATE]);
    let long: Vec<u8> = (0..LARGEST + PACKET).map(|i| i as u8).collect();
    pipe.submit(long.clone());
    assert_eq!(pipe.sends(), &long[..LARGEST]);
    pipe.answer(&vec![0; LARGEST], Ok(()));
    assert_eq!(pipe.sends(), &long[LARGEST..]);
    pipe.answer(&[0; PACKET], Ok(()));
    assert_eq!(pipe.sends(), [0_u8; 0]);
    assert!(pipe.ends.is_empty());
    pipe.answer(&[], Ok(()));
    assert_eq!(pipe.ends, [(0, OK, LARGEST + PACKET)]);
    pipe.submit(vec![1; 9]);
    pipe.answer(&[0; 9], Ok(()));
    assert_eq!(pipe.ends[1], (1, OK, 9), "short by itself");
    pipe.submit(Vec::new());
    assert_eq!(pipe.sends(), [0_u8; 0]);
    pipe.answer(&[], Ok(()));
    assert_eq!(pipe.ends[2], (2, OK, 0), "one empty packet, not two");
    pipe.set(SHORT_PACKET_TERMINATE, 0);
    pipe.submit(vec![1; 8]);
    pipe.answer(&[0; 8], Ok(()));
    assert_eq!(pipe.ends[3], (3, OK, 8));
}

#[test]
fn after_a_stall_everything_fails_until_the_pipe_is_reset() {
    for direction in [Direction::In, Direction::Out] {
        let mut pipe = Pipe::new(direction, &[]);
        pipe.read(8);
        pipe.read(8);
        pipe.answer(&[5; 3], Err(STALL));
        pipe.read(8);
        assert_eq!(pipe.ends, [(0, STALL, 3), (1, STALL, 0), (2, STALL, 0)]);
        pipe.rules.reset(77);
        pipe.take();
        assert!(matches!(pipe.bus.front(), Some(Step::ClearHalt { .. })));
        assert!(pipe.rules.is_busy());
        pipe.answer(&[], Err(STALL));
        pipe.read(8);
        assert_eq!(pipe.ends[3..], [(77, STALL, 0), (3, STALL, 0)], "the reset failed");
        pipe.rules.reset(78);
        pipe.take();
        pipe.answer(&[], Ok(()));
        pipe.read(8);
        assert_eq!((pipe.ends.len(), pipe.bus.len()), (6, 1));
    }
}

#[test]
fn a_read_can_reset_the_pipe_itself() {
    let mut pipe = Pipe::new(Direction::In, &[AUTO_CLEAR_STALL]);
    pipe.read(8);
    pipe.read(8);
    pipe.answer(&[], Err(STALL));
    assert!(pipe.ends.is_empty(), "the pipe is reset before the read is over");
    assert!(matches!(pipe.bus.front(), Some(Step::ClearHalt { .. })));
    pipe.answer(&[], Ok(()));
    assert_eq!((pipe.ends.as_slice(), pipe.asked()), (&[(0, STALL, 0)][..], 8));
    for status in [NtStatus::CANCELLED, NtStatus::IO_TIMEOUT, NtStatus::NO_SUCH_DEVICE] {
        pipe.read(8);
        pipe.answer(&[], Err(status));
        assert_eq!((pipe.ends.last().unwrap().1, pipe.asked()), (status, 8), "nothing to reset");
    }
    pipe.answer(&[], Err(STALL));
    pipe.answer(&[], Err(STALL));
    pipe.read(8);
    assert_eq!(pipe.ends.last().unwrap().1, STALL, "it could not be reset");
    let mut pipe = Pipe::new(Direction::Out, &[AUTO_CLEAR_STALL]);
    pipe.submit(vec![1]);
    pipe.answer(&[], Err(STALL));
    assert_eq!((pipe.ends.as_slice(), pipe.bus.len()), (&[(0, STALL, 0)][..], 0), "for reads only");
}

#[test]
fn time_runs_on_the_bus_only() {
    let mut pipe = Pipe::new(Direction::In, &[IGNORE_SHORT_PACKETS]);
    pipe.rules.policies.set(PIPE_TRANSFER_TIMEOUT, &100_u32.to_ne_bytes()).unwrap();
    let timeout = |pipe: &Pipe| match pipe.bus.back() {
        Some(Step::Read { timeout, .. }) => timeout.unwrap().as_millis(),
        _ => panic!(),
    };
    pipe.read(8);
    pipe.read(8);
    assert_eq!(timeout(&pipe), 100);
    pipe.now += Duration::from_millis(60);
    pipe.answer(&[1; 4], Ok(()));
    assert_eq!(timeout(&pipe), 40, "what is left of it");
    pipe.now += Duration::from_millis(40);
    pipe.answer(&[1; 2], Ok(()));
    assert_eq!(pipe.ends, [(0, NtStatus::IO_TIMEOUT, 6)]);
    assert_eq!(timeout(&pipe), 100, "it waited in the queue meanwhile");
    pipe.set(RAW_IO, 1);
    pipe.read(8);
    assert_eq!((pipe.bus.len(), timeout(&pipe)), (2, 100), "raw: at once");
}

#[test]
fn raw_requests_go_straight_to_the_bus() {
    let mut pipe = Pipe::new(Direction::In, &[RAW_IO]);
    for (length, accepted) in [(8, true), (16, true), (9, false), (LARGEST, true), (LARGEST + 8, false)] {
        assert_eq!(pipe.rules.accepts(length), accepted);
        pipe.read(length);
    }
    assert_eq!(pipe.ends, [(2, NtStatus::INVALID_PARAMETER, 0), (4, NtStatus::INVALID_PARAMETER, 0)]);
    assert_eq!(pipe.bus.len(), 3);
    pipe.answer(&[1; 2], Ok(()));
    pipe.answer(&[], Err(STALL));
    pipe.answer(&[2; 8], Ok(()));
    assert_eq!(pipe.ends[2..], [(0, OK, 2), (1, STALL, 0), (3, OK, 8)], "no error handling");
    assert_eq!((pipe.got(0), pipe.got(3)[..8].to_vec()), (vec![1; 2], vec![2; 8]));
}

#[test]
fn a_raw_write_keeps_its_empty_packet() {
    let mut pipe = Pipe::new(Direction::Out, &[RAW_IO, SHORT_PACKET_TERMINATE]);
    pipe.submit(vec![1; 8]);
    pipe.submit(vec![2; 9]);
    let lengths = pipe.bus.iter().map(|step| match step {
        Step::Write { bytes, .. } => bytes.len(),
        _ => panic!(),
    });
    assert_eq!(lengths.collect::<Vec<_>>(), [8, 0, 9]);
    pipe.answer(&[0; 3], Err(STALL));
    assert_eq!(pipe.ends, [(0, STALL, 3)], "and it is cancelled with it");
    pipe.answer(&[0; 9], Ok(()));
    assert_eq!(pipe.ends[1], (1, OK, 9));
}

#[test]
fn aborted_requests_end_in_order() {
    for policies in [&[][..], &[RAW_IO][..]] {
        let mut pipe = Pipe::new(Direction::In, policies);
        pipe.reads(4);
        pipe.rules.abort();
        pipe.take();
        let ends: Vec<_> = (0..4).map(|request| (request, NtStatus::CANCELLED, 0)).collect();
        assert_eq!(pipe.ends, ends);
        assert!(!pipe.rules.is_busy());
        pipe.read(8);
        assert_eq!(pipe.bus.len(), 1, "the pipe is as good as before");
    }
}

#[test]
fn one_request_can_be_cancelled() {
    let mut pipe = Pipe::new(Direction::In, &[]);
    pipe.reads(3);
    assert!(pipe.rules.cancel(|request| *request == 1));
    pipe.take();
    assert_eq!(pipe.ends, [(1, NtStatus::CANCELLED, 0)]);
    assert!(!pipe.rules.cancel(|request| *request == 1));
    assert!(pipe.rules.cancel(|request| *request == 0));
    // The bus was faster.
    pipe.answer(&[1; 8], Ok(()));
    pipe.take();
    assert_eq!(pipe.ends[1..], [(0, OK, 8)]);
    assert_eq!(pipe.bus.len(), 1);
    assert!(pipe.rules.cancel(|_| true));
    pipe.take();
    assert_eq!(pipe.ends[2], (2, NtStatus::CANCELLED, 0));
}

#[test]
fn a_cancelled_request_asks_for_nothing_more() {
    let mut pipe = Pipe::new(Direction::In, &[IGNORE_SHORT_PACKETS]);
    pipe.read(16);
    assert!(pipe.rules.cancel(|_| true));
    pipe.answer(&[1; 4], Ok(()));
    assert_eq!((pipe.ends.as_slice(), pipe.bus.len()), (&[(0, NtStatus::CANCELLED, 4)][..], 0));
}

#[test]
fn a_closed_pipe_touches_nothing() {
    for policies in [&[][..], &[RAW_IO][..]] {
        let mut pipe = Pipe::new(Direction::In, policies);
        pipe.reads(3);
        pipe.rules.reset(99);
        pipe.rules.close();
        // What the bus has still ends, and tells nobody.
        let late: Vec<_> = pipe.bus.drain(..).collect();
        pipe.take();
        let ended: Vec<_> = pipe.ends.iter().map(|(request, status, _)| (*request, *status)).collect();
        assert_eq!(ended, [0, 1, 2, 99].map(|request| (request, NtStatus::CANCELLED)));
        late.iter().for_each(|step| pipe.rules.done(name(step), &[7; 8], Ok(()), pipe.now));
        pipe.take();
        assert!((0..3).all(|request| pipe.got(request).is_empty()));
        pipe.read(8);
        pipe.rules.reset(100);
        pipe.take();
        assert_eq!(pipe.ends[4..], [(3, NtStatus::CANCELLED, 0), (100, NtStatus::CANCELLED, 0)]);
        assert!(pipe.bus.is_empty() && !pipe.rules.is_busy());
    }
}

/// Something that happens to a pipe.
#[derive(Clone, Debug)]
enum Event {
    Submit(usize),
    /// The device answers; IN: it has a message of so many bytes to send.
    Answer(usize),
    Fail(NtStatus),
    Cancel(usize),
    Abort,
    Reset,
    Set(u32, u8),
    Close,
}

fn event() -> impl Strategy<Value = Event> {
    const FAILURES: &[NtStatus] =
        &[STALL, NtStatus::IO_TIMEOUT, NtStatus::CANCELLED, NtStatus::NO_SUCH_DEVICE];
    prop_oneof![
        6 => (0_usize..40).prop_map(Event::Submit),
        8 => (0_usize..40).prop_map(Event::Answer),
        1 => prop::sample::select(FAILURES).prop_map(Event::Fail),
        1 => (0_usize..20).prop_map(Event::Cancel),
        1 => Just(Event::Abort),
        2 => Just(Event::Reset),
        2 => (1_u32..8, 0_u8..2).prop_map(|(policy, value)| Event::Set(policy, value)),
    ]
}

/// Everything that a pipe was given, with what the device saw and was told.
struct Story {
    pipe: Pipe,
    next: u8,
    resets: usize,
    /// IN: what was sent to the host, but what AUTO_FLUSH and FlushPipe drop is not taken out.
    device: Vec<u8>,
}

impl Story {
    fn happen(&mut self, event: &Event, direction: Direction) {
        match event {
            Event::Submit(length) => {
                let filler = if direction == Direction::In { FILLER } else { 0 };
                self.pipe.submit(vec![filler; *length]);
            }
            Event::Answer(length) => match self.pipe.bus.front() {
                Some(Step::Read { length: room, .. }) => {
                    let count = (*length).min(*room);
                    let data: Vec<u8> = (0..count).map(|i| self.next.wrapping_add(i as u8) % 200).collect();
                    self.next = self.next.wrapping_add(count as u8);
                    self.device.extend(&data);
                    self.pipe.answer(&data, Ok(()));
                }
                Some(Step::Write { bytes, .. }) => {
                    assert!(bytes.len() <= LARGEST);
                    let data = vec![0; bytes.len()];
                    self.device.extend(&data);
                    self.pipe.answer(&data, Ok(()));
                }
                Some(_) => self.pipe.answer(&[], Ok(())),
                None => {}
            },
            Event::Fail(status) => {
                if !self.pipe.bus.is_empty() {
                    self.pipe.answer(&[], Err(*status));
                }
            }
            Event::Cancel(request) => {
                self.pipe.rules.cancel(|finish| finish == request);
                self.pipe.take();
            }
            Event::Abort => {
                self.pipe.rules.abort();
                self.pipe.take();
            }
            Event::Reset => {
                self.resets += 1;
                self.pipe.rules.reset(1000 + self.resets);
                self.pipe.take();
            }
            Event::Set(policy, value) => {
                let _ = self.pipe.rules.policies.set(*policy, &[*value]);
            }
            Event::Close => {
                self.pipe.rules.close();
                self.pipe.take();
            }
        }
    }
}

proptest! {
    #[test]
    fn every_request_ends_once_and_nothing_is_left(
        events in prop::collection::vec(event(), 0..80),
        is_in in any::<bool>(),
        closed in any::<bool>(),
    ) {
        let direction = if is_in { Direction::In } else { Direction::Out };
        let mut story = Story { pipe: Pipe::new(direction, &[]), next: 0, resets: 0, device: Vec::new() };
        for event in &events {
            story.happen(event, direction);
            let rules = &story.pipe.rules;
            prop_assert!(rules.queue.is_empty() == rules.on_bus.is_none(), "the first request is on the bus");
            let under_way = usize::from(rules.on_bus.is_some())
                + rules.resets.len()
                + rules.raw.iter().map(|raw| raw.transfers.len()).sum::<usize>();
            prop_assert_eq!(under_way, story.pipe.bus.len());
            prop_assert!(rules.is_busy() == (under_way > 0));
        }
        let last = if closed { Event::Close } else { Event::Abort };
        story.happen(&last, direction);
        while !story.pipe.bus.is_empty() {
            story.pipe.answer(&[], Ok(()));
        }
        prop_assert!(!story.pipe.rules.is_busy());
        prop_assert_eq!(story.pipe.ends.len(), story.pipe.memories.len() + story.resets);
        for (request, status, bytes) in &story.pipe.ends {
            if let Some(memory) = story.pipe.memories.get(*request) {
                prop_assert!(*bytes <= memory.len());
                if is_in {
                    story.pipe.got(*request);
                } else {
                    prop_assert!(*status != OK || *bytes == memory.len(), "a write succeeds whole");
                }
            }
        }
    }

    /// Without RAW_IO, and with nothing dropped, a pipe is a stream: each byte once, in order.
    #[test]
    fn no_byte_is_lost(
        events in prop::collection::vec(event(), 0..80),
        ignore_short in any::<bool>(),
        clear in any::<bool>(),
    ) {
        let mut story =
            Story { pipe: Pipe::new(Direction::In, &[]), next: 0, resets: 0, device: Vec::new() };
        story.pipe.set(IGNORE_SHORT_PACKETS, ignore_short.into());
        story.pipe.set(AUTO_CLEAR_STALL, clear.into());
        for event in events.iter().filter(|event| !matches!(event, Event::Set(..))) {
            story.happen(event, Direction::In);
        }
        story.happen(&Event::Abort, Direction::In);
        // The pipe may still be reset for a read.
        while !story.pipe.bus.is_empty() {
            story.pipe.answer(&[], Ok(()));
        }
        let mut received = Vec::new();
        for (request, _, _) in story.pipe.ends.iter().filter(|(request, _, _)| *request < 1000) {
            received.extend(story.pipe.got(*request));
        }
        received.extend(&story.pipe.rules.surplus.bytes);
        prop_assert_eq!(received, story.device);
    }
}
