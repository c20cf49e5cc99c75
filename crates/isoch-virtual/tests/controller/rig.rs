//! A device with everything, and a controller with it plugged in.

use std::sync::{Arc, Mutex};

use isoch_core::rules::{Setup, Speed};
use isoch_core::{Block, Outcome, PacketStatus, Start};
use isoch_virtual::controller::{Controller, Event, IsochDone, PipeId, PortId};
use isoch_virtual::faults::{Fault, FaultKind};
use isoch_virtual::profile::Profile;
use isoch_virtual::{BulkIn, BulkOut, BusTime, Descriptors, Device, Stall};

/// One endpoint of a setting: address, attributes, wMaxPacketSize, bInterval.
pub(crate) type Endpoint = (u8, u8, u16, u8);

pub(crate) const ISOCH: u8 = 1;
pub(crate) const BULK: u8 = 2;
pub(crate) const INTERRUPT: u8 = 3;

/// The descriptors of a device with one interface and these alternate settings.
pub(crate) fn descriptors(speed: Speed, settings: &[&[Endpoint]]) -> Descriptors {
    let mut configuration = vec![9, 2, 0, 0, 1, 1, 0, 0xc0, 50];
    for (endpoints, setting) in settings.iter().zip(0u8..) {
        configuration.extend([9, 4, 0, setting, endpoints.len() as u8, 0xff, 0, 0, 0]);
        for (address, attributes, size, interval) in *endpoints {
            let [low, high] = size.to_le_bytes();
            configuration.extend([7, 5, *address, *attributes, low, high, *interval]);
            if speed >= Speed::Super {
                configuration.extend([6, 0x30, 0, 0, low, high]);
            }
        }
    }
    let total = configuration.len() as u16;
    configuration[2..4].copy_from_slice(&total.to_le_bytes());
    let device = vec![18, 1, 0, 2, 0xef, 2, 1, 64, 9, 18, 1, 0, 0, 1, 1, 2, 0, 1];
    let strings = vec!["Isoch".to_owned(), "Rig ♪".to_owned()];
    Descriptors { speed, device, configuration, strings, bos: None }
}

/// What a device saw, and what it shall answer.
#[derive(Default)]
pub(crate) struct Seen {
    /// Isochronous OUT: microframe, endpoint, bytes.
    pub(crate) out: Vec<(u64, u8, Vec<u8>)>,
    /// Isochronous IN: microframe, endpoint.
    pub(crate) asked: Vec<(u64, u8)>,
    pub(crate) settings: Vec<(u8, u8)>,
    pub(crate) released: u32,
    pub(crate) requests: Vec<Setup>,
    pub(crate) bulk_out: Vec<(u64, Vec<u8>)>,
    /// How many bytes an isochronous IN packet claims to have; `None`: all there is room for.
    pub(crate) claim: Option<usize>,
    /// What bulk and interrupt endpoints answer.
    pub(crate) naks: u32,
    pub(crate) stall: bool,
    pub(crate) bulk_in: Vec<u8>,
    pub(crate) bulk_claim: Option<usize>,
}

pub(crate) struct Probe {
    descriptors: Descriptors,
    seen: Arc<Mutex<Seen>>,
}

impl Probe {
    pub(crate) fn new(descriptors: Descriptors) -> (Box<Self>, Arc<Mutex<Seen>>) {
        let seen = Arc::new(Mutex::new(Seen::default()));
        (Box::new(Probe { descriptors, seen: seen.clone() }), seen)
    }
}

impl Device for Probe {
    fn descriptors(&self) -> &Descriptors {
        &self.descriptors
    }
    fn control_out(&mut self, setup: Setup, data: &[u8], _: BusTime) -> Result<(), Stall> {
        let mut seen = self.seen.lock().unwrap();
        seen.requests.push(setup);
        if data.first() == Some(&0xff) { Err(Stall) } else { Ok(()) }
    }
    fn control_in(&mut self, setup: Setup, data: &mut Vec<u8>, _: BusTime) -> Result<(), Stall> {
        self.seen.lock().unwrap().requests.push(setup);
        // More than was asked for, whatever that was.
        data.extend(std::iter::repeat_n(7, usize::from(setup.length) + 3));
        Ok(())
    }
    fn alternate_setting(&mut self, interface: u8, setting: u8, _: BusTime) {
        self.seen.lock().unwrap().settings.push((interface, setting));
    }
    fn isoch_out(&mut self, endpoint: u8, data: &[u8], now: BusTime) {
        self.seen.lock().unwrap().out.push((now.microframe, endpoint, data.to_vec()));
    }
    fn isoch_in(&mut self, endpoint: u8, buffer: &mut [u8], now: BusTime) -> usize {
        let mut seen = self.seen.lock().unwrap();
        seen.asked.push((now.microframe, endpoint));
        buffer.fill(now.microframe as u8);
        seen.claim.unwrap_or(buffer.len())
    }
    fn bulk_out(&mut self, _: u8, data: &[u8], now: BusTime) -> BulkOut {
        let mut seen = self.seen.lock().unwrap();
        if seen.stall {
            return BulkOut::Stall;
        }
        if seen.naks > 0 {
            seen.naks -= 1;
            return BulkOut::Nak;
        }
        seen.bulk_out.push((now.microframe, data.to_vec()));
        BulkOut::Ack
    }
    fn bulk_in(&mut self, _: u8, buffer: &mut [u8], _: BusTime) -> BulkIn {
        let mut seen = self.seen.lock().unwrap();
        if seen.stall {
            return BulkIn::Stall;
        }
        if seen.naks > 0 {
            seen.naks -= 1;
            return BulkIn::Nak;
        }
        if let Some(claim) = seen.bulk_claim {
            return BulkIn::Data(claim);
        }
        let length = buffer.len().min(seen.bulk_in.len());
        buffer[..length].copy_from_slice(&seen.bulk_in[..length]);
        seen.bulk_in.drain(..length);
        BulkIn::Data(length)
    }
    fn released(&mut self, _: BusTime) {
        self.seen.lock().unwrap().released += 1;
    }
}

/// High speed: setting 0 empty, setting 1 with every kind of endpoint, setting 2 too big with another like it.
pub(crate) fn rig_descriptors() -> Descriptors {
    let full: &[Endpoint] = &[
        (0x01, ISOCH, 24, 1),
        (0x81, ISOCH, 24, 1),
        (0x02, BULK, 512, 0),
        (0x82, BULK, 512, 0),
        (0x83, INTERRUPT, 8, 4),
        (0x04, ISOCH, 24, 4),
        (0x05, ISOCH, 24, 7),
    ];
    let wide: &[Endpoint] = &[(0x01, ISOCH, 0x1400, 1)];
    descriptors(Speed::High, &[&[], full, wide])
}

pub(crate) struct Rig {
    pub(crate) controller: Controller,
    pub(crate) port: PortId,
    pub(crate) seen: Arc<Mutex<Seen>>,
    pub(crate) events: Vec<Event>,
}

impl Rig {
    /// The full setting chosen, nothing in the event queue, at frame 100.
    pub(crate) fn new(profile: &str) -> Self {
        let mut controller = Controller::new(Profile::named(profile).unwrap());
        let (device, seen) = Probe::new(rig_descriptors());
        let port = controller.plug("rig", device).unwrap();
        controller.set_alternate_setting(port, 0, 1).unwrap();
        let mut rig = Rig { controller, port, seen, events: Vec::new() };
        rig.run_to(800);
        rig.events.clear();
        rig
    }

    pub(crate) fn open(&mut self, endpoint: u8) -> PipeId {
        self.controller.open_pipe(self.port, endpoint).unwrap()
    }

    pub(crate) fn submit(&mut self, pipe: PipeId, token: u64, packets: u32, start: Start) {
        self.controller.submit(pipe, token, block(packets, 24), start).unwrap();
    }

    /// Lets time go on to `microframe`, whatever happens.
    pub(crate) fn run_to(&mut self, microframe: u64) {
        while self.controller.run(microframe, &mut self.events) < microframe {}
        // What is due in that very microframe.
        self.controller.run(microframe, &mut self.events);
    }

    /// The transfers that have ended so far; forgets them.
    pub(crate) fn done(&mut self) -> Vec<IsochDone> {
        let mut done = Vec::new();
        for event in self.events.drain(..) {
            match event {
                Event::Isoch(ended) => done.push(ended),
                other => panic!("unexpected: {other:?}"),
            }
        }
        done
    }

    pub(crate) fn fault(&mut self, frames: std::ops::Range<u64>, kind: FaultKind) {
        self.controller.add_fault(Fault { frames, kind, device: None, endpoint: None });
    }

    /// The microframes of the log.
    pub(crate) fn logged(&self) -> Vec<u64> {
        let log = self.controller.log(self.port).unwrap();
        log.entries().map(|entry| entry.microframe).collect()
    }
}

/// A block of packets of `size` bytes; the bytes of packet n are n.
pub(crate) fn block(packets: u32, size: u32) -> Block {
    let bytes: Vec<u8> = (0..packets * size).map(|byte| (byte / size.max(1)) as u8).collect();
    let mut block = Block::new(Box::new(bytes.into_boxed_slice()), packets as usize, 0);
    for index in 0..packets {
        assert!(block.push_packet(index * size, size));
    }
    block
}

pub(crate) fn statuses(done: &IsochDone) -> Vec<PacketStatus> {
    done.block.packets().iter().map(|packet| packet.status).collect()
}

/// Tokens, outcomes, first and seen microframes.
pub(crate) fn summary(done: &[IsochDone]) -> Vec<(u64, Outcome, Option<u64>, u64)> {
    done.iter().map(|done| (done.token, done.outcome, done.first, done.seen)).collect()
}
