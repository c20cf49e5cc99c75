//! `isoch read`.
//!
//! Why are the bytes put behind one another, without marks where something is missing? Because what goes in
//! between belongs to a format that only the reader knows. Where it is missing is in the report.

use std::io::{ErrorKind, Write};

use isoch::{Completion, Direction, Error, IsochIn, Layout, Outcome, Start};

use crate::arguments::Read;
use crate::commands::{intervals, layout, stream_report};
use crate::failure::Failure;
use crate::interrupt;
use crate::output::{self, Output};
use crate::session::{self, Documents, Session, Setup};
use crate::target;

pub(crate) fn run(arguments: &Read) -> Result<u8, Failure> {
    let mut files = target::files(&arguments.device, target::MICROPHONE)?;
    files.write(&arguments.file, "the output")?;
    let documents = Documents::create(&arguments.stream, files)?;
    let mut to = Output::create(&arguments.file)?;
    let device = target::open(&arguments.device, target::MICROPHONE)?;
    let choice = target::find(&device, &arguments.endpoint, Direction::In)?;
    let setting = device.interface(choice.interface)?.alternate_setting(choice.alternate_setting)?;
    let endpoint = setting.isoch_in(choice.endpoint)?;
    drop(setting);
    let timing = *endpoint.timing();
    let start = session::start(arguments.stream.at, &device, endpoint.capabilities())?;
    let wanted = arguments.stream.duration.map(|duration| intervals(duration, &timing));
    let setup = Setup {
        command: "read",
        device: &device,
        stream: stream_report(choice, &timing, None),
        capabilities: *endpoint.capabilities(),
        start,
        frames: wanted.map(|wanted| wanted.saturating_mul(timing.period_microframes()) / 8),
    };
    let (packets, blocks) = layout(&arguments.stream, &timing)?;
    let mut session = Session::new(setup, documents, &arguments.stream);
    let mut sink = |done: &Completion| -> Result<(), Failure> {
        session.observe(done);
        for packet in done.packets() {
            match to.write_all(packet.bytes()) {
                // Whoever read it wants no more: as Ctrl-C.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => interrupt::enough(),
                result => result.map_err(|error| output::cannot_write(&arguments.file, &error))?,
            }
        }
        // A reader behind a pipe sees what is there.
        match to.flush() {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => interrupt::enough(),
            result => result.map_err(|error| output::cannot_write(&arguments.file, &error))?,
        }
        Ok(())
    };
    let queue = Layout::packets(packets).blocks(blocks);
    let result = stream(&endpoint, queue, wanted.unwrap_or(u64::MAX), packets, start, &mut sink);
    let statistics = endpoint.statistics();
    let facts = device.emulated_facts();
    drop(endpoint);
    let kept = match to.finish() {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(output::cannot_write(&arguments.file, &error))
        }
        _ => Ok(()),
    };
    session.finish(&statistics, facts, result.and(kept))
}

/// Keeps the queue full until enough has come, then takes the rest.
fn stream(
    endpoint: &IsochIn,
    queue: Layout,
    mut wanted: u64,
    packets: u32,
    mut start: Start,
    sink: &mut dyn FnMut(&Completion) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let blocks = endpoint.register(queue)?;
    let mut lengths = vec![endpoint.timing().bytes_per_interval(); packets as usize];
    let mut in_flight = 0;
    let mut result = Ok(());
    loop {
        while result.is_ok()
            && wanted > 0
            && !interrupt::is_over()
            && let Some(mut block) = blocks.take().now()
        {
            if wanted < lengths.len() as u64 {
                lengths.truncate(wanted as usize);
                block.set_packet_lengths(&lengths)?;
            }
            wanted -= lengths.len() as u64;
            match endpoint.submit(block, std::mem::replace(&mut start, Start::Continue)) {
                Ok(_) => in_flight += 1,
                Err(rejected) => result = Err(rejected.into()),
            }
        }
        if in_flight == 0 {
            return result;
        }
        let done = match endpoint.next_completion().wait() {
            Ok(done) => done,
            Err(error) => return result.and(Err(error.into())),
        };
        in_flight -= 1;
        if result.is_ok() && done.outcome() == Outcome::DeviceGone {
            result = Err(Error::Gone.into());
        }
        let taken = sink(&done);
        result = result.and(taken);
    }
}
