//! How fast the emulated controller is: eight high-speed endpoints with a packet per microframe.
//!
//! Why an example and not a benchmark? It answers one question (do emulated hours fit into a test?) with one
//! number, and needs nothing beside the crate.
#![allow(clippy::print_stdout)]

use std::time::Instant;

use isoch_core::rules::Speed;
use isoch_core::{Block, Start};
use isoch_virtual::controller::{Controller, Event};
use isoch_virtual::profile::Profile;
use isoch_virtual::{BusTime, Descriptors, Device};

struct Sink {
    descriptors: Descriptors,
    bytes: u64,
}

impl Device for Sink {
    fn descriptors(&self) -> &Descriptors {
        &self.descriptors
    }
    fn isoch_out(&mut self, _: u8, data: &[u8], _: BusTime) {
        self.bytes += data.len() as u64;
    }
    fn isoch_in(&mut self, _: u8, buffer: &mut [u8], _: BusTime) -> usize {
        buffer.fill(1);
        buffer.len()
    }
}

fn sink() -> Sink {
    let mut configuration = vec![9, 2, 0, 0, 1, 1, 0, 0x80, 50, 9, 4, 0, 0, 8, 0xff, 0, 0, 0];
    for address in [1, 2, 3, 4, 0x81, 0x82, 0x83, 0x84] {
        configuration.extend([7, 5, address, 1, 24, 0, 1]);
    }
    configuration[2] = configuration.len() as u8;
    let device = vec![18, 1, 0, 2, 0, 0, 0, 64, 9, 18, 1, 0, 0, 1, 0, 0, 0, 1];
    let descriptors =
        Descriptors { speed: Speed::High, device, configuration, strings: Vec::new(), bos: None };
    Sink { descriptors, bytes: 0 }
}

fn main() {
    let seconds = 300;
    let mut controller = Controller::new(Profile::default());
    let port = controller.plug("sink", Box::new(sink())).expect("descriptors are right");
    let mut pipes = Vec::new();
    for endpoint in [1, 2, 3, 4, 0x81, 0x82, 0x83, 0x84] {
        let pipe = controller.open_pipe(port, endpoint).expect("the endpoint exists");
        pipes.push(pipe);
        for token in 0..3 {
            let mut block = Block::new(Box::new(vec![0u8; 64 * 24].into_boxed_slice()), 64, 0);
            for index in 0..64 {
                block.push_packet(index * 24, 24);
            }
            controller.submit(pipe, token, block, Start::Continue).expect("the transfer is right");
        }
    }
    let until = controller.now() + seconds * 8000;
    let mut events = Vec::new();
    let mut transfers = 0u64;
    let started = Instant::now();
    while controller.run(until, &mut events) < until {
        for event in events.drain(..) {
            if let Event::Isoch(done) = event {
                transfers += 1;
                controller
                    .submit(done.pipe, done.token, done.block, Start::Continue)
                    .expect("the pipe is open");
            }
        }
    }
    let spent = started.elapsed();
    let packets = controller.log(port).map_or(0, |log| log.total());
    println!(
        "{transfers} transfers, {packets} packets: {:.1} ns per packet, {:.0} emulated seconds per second",
        spent.as_nanos() as f64 / packets as f64,
        seconds as f64 / spent.as_secs_f64(),
    );
}
