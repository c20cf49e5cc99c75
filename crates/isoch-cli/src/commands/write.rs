//! `isoch write`.
//!
//! Why a thread for the standard input? A read from a pipe that has nothing blocks, and cannot be told that
//! Ctrl-C was pressed; the stream must still drain and report. Files need none.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use isoch::{Block, Direction, Error, IsochOut, Layout, Start};

use crate::arguments::Write;
use crate::commands::{intervals, layout, stream_report};
use crate::failure::{Failure, reason};
use crate::interrupt;
use crate::session::{self, Documents, Session, Setup};
use crate::target;
use crate::words::counted;

pub(crate) fn run(arguments: &Write) -> Result<u8, Failure> {
    let mut files = target::files(&arguments.device, target::SPEAKER)?;
    files.read(&arguments.file, "the input")?;
    let documents = Documents::create(&arguments.stream, files)?;
    let (mut source, length) = open(&arguments.file)?;
    let device = target::open(&arguments.device, target::SPEAKER)?;
    let choice = target::find(&device, &arguments.endpoint, Direction::Out)?;
    let setting = device.interface(choice.interface)?.alternate_setting(choice.alternate_setting)?;
    let out = setting.isoch_out(choice.endpoint)?;
    drop(setting);
    let timing = *out.timing();
    let packet = arguments.packet.unwrap_or(timing.bytes_per_interval());
    if packet > timing.bytes_per_interval() {
        return Err(Failure::usage(format_args!(
            "--packet {packet} is too much: an interval of this endpoint carries at most {}",
            counted(timing.bytes_per_interval().into(), "byte")
        )));
    }
    let (packets, blocks) = layout(&arguments.stream, &timing)?;
    let blocks = out.register(Layout::packets(packets).blocks(blocks))?;
    let room = arguments.stream.duration.map(|duration| intervals(duration, &timing) * u64::from(packet));
    let mut filler = Filler { source: &mut *source, left: room.unwrap_or(u64::MAX), packet, error: None };

    // Filled before the start is fixed, so that a slow source does not make it late.
    let mut first = Vec::new();
    while let Some(mut block) = blocks.take().now()
        && filler.fill(&mut block)?
    {
        first.push(block);
    }
    if first.is_empty() {
        return Err(match filler.error {
            Some(error) => Failure::error(error),
            None => Failure::error(format_args!("{}: there are no bytes to write", arguments.file.display())),
        });
    }
    let start = session::start(arguments.stream.at, &device, out.capabilities())?;
    let known = [length, room].into_iter().flatten().min();
    let setup = Setup {
        command: "write",
        device: &device,
        stream: stream_report(choice, &timing, None),
        capabilities: *out.capabilities(),
        start,
        frames: known
            .map(|bytes| bytes.div_ceil(packet.into()).saturating_mul(timing.period_microframes()) / 8),
    };
    let mut session = Session::new(setup, documents, &arguments.stream);
    let result = stream(&out, first, &mut filler, start, &mut session);
    let statistics = out.statistics();
    let facts = device.emulated_facts();
    drop((blocks, out));
    session.finish(&statistics, facts, result)
}

/// Keeps the queue full until the source ends, then waits for the rest.
fn stream(
    out: &IsochOut,
    first: Vec<Block>,
    filler: &mut Filler<'_>,
    mut start: Start,
    session: &mut Session<'_>,
) -> Result<(), Failure> {
    let mut in_flight = 0;
    let mut result = Ok(());
    for block in first {
        match out.submit(block, std::mem::replace(&mut start, Start::Continue)) {
            Ok(_) => in_flight += 1,
            Err(rejected) => {
                result = Err(rejected.into());
                break;
            }
        }
    }
    while in_flight > 0 {
        let done = match out.next_completion().wait() {
            Ok(done) => done,
            Err(error) => return result.and(Err(error.into())),
        };
        in_flight -= 1;
        session.observe(&done);
        if result.is_ok() && done.outcome() == isoch::Outcome::DeviceGone {
            result = Err(Error::Gone.into());
        }
        if result.is_err() || interrupt::is_over() {
            continue;
        }
        let mut block = done.into_block();
        match filler.fill(&mut block) {
            Ok(false) => {}
            Ok(true) => match out.submit(block, Start::Continue) {
                Ok(_) => in_flight += 1,
                Err(rejected) => result = Err(rejected.into()),
            },
            Err(error) => result = Err(error),
        }
    }
    match filler.error.take() {
        Some(error) => result.and(Err(Failure::error(error))),
        None => result,
    }
}

/// Puts the bytes of a source into blocks.
struct Filler<'a> {
    source: &'a mut dyn Read,
    /// How many bytes may still come.
    left: u64,
    packet: u32,
    /// Why the source ended, if not by itself. What it gave before is sent.
    error: Option<String>,
}

impl Filler<'_> {
    /// False if nothing is left to send.
    fn fill(&mut self, block: &mut Block) -> Result<bool, Failure> {
        let room = block.packets().len() * self.packet as usize;
        let wanted = room.min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let mut filled = 0;
        while filled < wanted && self.error.is_none() {
            match self.source.read(&mut block.bytes_mut()[filled..wanted]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.error = Some(format!("the input could not be read: {}", reason(&error))),
            }
        }
        self.left -= filled as u64;
        if filled == 0 {
            self.left = 0;
            return Ok(false);
        }
        let full = filled / self.packet as usize;
        let rest = (filled % self.packet as usize) as u32;
        let mut lengths = vec![self.packet; full];
        lengths.extend((rest > 0).then_some(rest));
        block.set_packet_lengths(&lengths)?;
        Ok(true)
    }
}

/// The input, and how long it is, if that is known.
fn open(path: &Path) -> Result<(Box<dyn Read>, Option<u64>), Failure> {
    if path == Path::new("-") {
        return Ok((Box::new(StandardInput::new()), None));
    }
    let failed = |what: String| Failure::error(format_args!("{}: {what}", path.display()));
    let unreadable = |error: io::Error| {
        failed(format!(
            "cannot be read ({}): give the path of a file, or - for the standard input",
            reason(&error)
        ))
    };
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(failed("is a directory: give the path of a file".into()));
    }
    Ok((Box::new(BufReader::new(file)), metadata.is_file().then_some(metadata.len())))
}

/// The standard input, which ends when the stream is to end.
struct StandardInput {
    chunks: Receiver<io::Result<Vec<u8>>>,
    chunk: Vec<u8>,
    given: usize,
}

impl StandardInput {
    fn new() -> Self {
        // Two chunks ahead: more would only delay what is sent.
        let (sender, chunks) = sync_channel(2);
        std::thread::spawn(move || {
            loop {
                let mut chunk = vec![0; 64 * 1024];
                let read = io::stdin().lock().read(&mut chunk).map(|length| {
                    chunk.truncate(length);
                    chunk
                });
                let over = read.as_ref().is_ok_and(Vec::is_empty)
                    || read.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::Interrupted);
                if sender.send(read).is_err() || over {
                    return;
                }
            }
        });
        StandardInput { chunks, chunk: Vec::new(), given: 0 }
    }
}

impl Read for StandardInput {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        while self.given == self.chunk.len() {
            match self.chunks.recv_timeout(Duration::from_millis(20)) {
                Ok(chunk) => {
                    (self.chunk, self.given) = (chunk?, 0);
                    if self.chunk.is_empty() {
                        return Ok(0);
                    }
                }
                Err(RecvTimeoutError::Timeout) if interrupt::is_over() => return Ok(0),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(0),
            }
        }
        let count = to.len().min(self.chunk.len() - self.given);
        to[..count].copy_from_slice(&self.chunk[self.given..self.given + count]);
        self.given += count;
        Ok(count)
    }
}
