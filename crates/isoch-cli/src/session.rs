//! One stream from the first completion to the exit status, whatever it carries.
//!
//! Why do play, record, write and read share this? Because what a user must be able to trust, the report,
//! the exit status and the last sentence, must mean the same for all four.

use std::io::Write;
use std::time::Duration;

use isoch::audio::StreamOptions;
use isoch::{Capabilities, Completion, Device, Direction, Start, Statistics};

use crate::arguments::{At, Frames, StreamArguments};
use crate::failure::Failure;
use crate::files::Files;
use crate::interrupt;
use crate::output::{self, Output};
use crate::plot::Plot;
use crate::progress::Progress;
use crate::report::{DeviceReport, Parts, Report, StallsReport, StreamReport, Verdict};
use crate::summary::Summary;
use crate::tally::Tally;
use crate::timeline::Timeline;
use crate::words::counted;

/// The files that are written when a stream is over. Made first: where they cannot be, nothing is sent.
pub(crate) struct Documents {
    report: Option<Output>,
    plot: Option<Output>,
}

impl Documents {
    /// `files` has those of the command and its device.
    pub(crate) fn create(arguments: &StreamArguments, mut files: Files) -> Result<Self, Failure> {
        for (path, role) in [(&arguments.report, "--report"), (&arguments.plot, "--plot")] {
            path.as_deref().map_or(Ok(()), |path| files.write(path, role))?;
        }
        // From here on there are files to take away.
        interrupt::catch();
        let report = arguments.report.as_deref().map(Output::create).transpose()?;
        let plot = arguments.plot.as_deref().map(Output::create).transpose()?;
        Ok(Documents { report, plot })
    }
}

/// Where a stream starts, by what was asked for and what time it is on the bus.
pub(crate) fn start(at: At, device: &Device, capabilities: &Capabilities) -> Result<Start, Failure> {
    let now = device.clock().now().frame;
    let earliest = now + capabilities.lead.max(1);
    match at {
        At::Asap => Ok(Start::Asap),
        At::After(frames) if now + frames >= earliest => Ok(Start::At(now + frames)),
        At::After(frames) => Err(Failure::usage(format_args!(
            "--at +{frames} is too soon: this bus needs {} from now to the start, so use --at +{} or more",
            counted(capabilities.lead.max(1), "frame"),
            capabilities.lead.max(1),
        ))),
        At::Frame(frame) if frame >= earliest => Ok(Start::At(frame)),
        At::Frame(frame) => Err(Failure::usage(format_args!(
            "frame {frame} is gone or too near: the bus is in frame {now} and frame {earliest} is the first that can \
             still be reached; use --at +N for N frames from now"
        ))),
    }
}

/// How a player or recorder streams, all but its start.
pub(crate) fn options(arguments: &StreamArguments) -> StreamOptions {
    let time = |frames: Frames| Duration::from_millis(frames.0.into());
    StreamOptions {
        depth: time(arguments.depth),
        transfer: arguments.transfer.map(time),
        ..StreamOptions::default()
    }
}

/// What is known of a stream before it begins.
pub(crate) struct Setup<'a> {
    pub(crate) command: &'static str,
    pub(crate) device: &'a Device,
    pub(crate) stream: StreamReport,
    pub(crate) capabilities: Capabilities,
    pub(crate) start: Start,
    /// How many frames it will have, if that is known.
    pub(crate) frames: Option<u64>,
}

impl Setup<'_> {
    fn direction(&self) -> Direction {
        if self.stream.endpoint & 0x80 == 0 { Direction::Out } else { Direction::In }
    }
}

pub(crate) struct Session<'a> {
    setup: Setup<'a>,
    documents: Documents,
    tally: Tally,
    timeline: Timeline,
    progress: Progress,
    quiet: bool,
}

impl<'a> Session<'a> {
    pub(crate) fn new(setup: Setup<'a>, documents: Documents, arguments: &StreamArguments) -> Self {
        Session {
            timeline: Timeline::new(setup.stream.period_microframes),
            progress: Progress::new(setup.frames, arguments.quiet),
            setup,
            documents,
            tally: Tally::default(),
            quiet: arguments.quiet,
        }
    }

    /// A transfer is over.
    pub(crate) fn observe(&mut self, done: &Completion) {
        self.tally.add(done);
        self.timeline.add(done);
        let frames = self.timeline.range();
        self.progress.update((frames.end - frames.start) / 8, self.tally.gap_count);
    }

    /// The stream is over: writes the documents, says how it went, and gives the exit status.
    ///
    /// Everything that was opened on the device must have been dropped, so that its own account is complete;
    /// `facts` is what it said while the stream was still open.
    pub(crate) fn finish(
        mut self,
        statistics: &Statistics,
        mut facts: Vec<(&'static str, i64)>,
        result: Result<(), Failure>,
    ) -> Result<u8, Failure> {
        self.progress.finish();
        for (name, value) in self.setup.device.emulated_facts() {
            match facts.iter_mut().find(|(known, _)| *known == name) {
                Some(known) => known.1 = value,
                None => facts.push((name, value)),
            }
        }
        let result = result.and_then(|()| self.refused_start());
        let verdict = if result.is_ok() { self.tally.verdict() } else { Verdict::Failed };
        let stalls = StallsReport::of(self.setup.device);
        let summary = Summary { direction: self.setup.direction(), tally: &self.tally, verdict, stalls };
        let sentence = summary.sentence();
        let lines = summary.lines();
        let written = self.write_report(verdict, result.as_ref().err(), statistics, &facts, stalls);
        let drawn = self.draw(&sentence);
        if !self.quiet {
            // If nobody hears it, it was not asked for.
            let _ = std::io::stderr().write_all(lines.as_bytes());
        }
        // What ended the stream is more to the point than what came of it.
        result.and(written).and(drawn)?;
        Ok(match verdict {
            Verdict::Placed | Verdict::Unverifiable => 0,
            Verdict::Lost => 3,
            Verdict::Failed => 1,
        })
    }

    fn requested(&self) -> Option<u64> {
        match self.setup.start {
            Start::At(frame) => Some(frame),
            _ => None,
        }
    }

    fn refused_start(&self) -> Result<(), Failure> {
        match self.setup.start {
            Start::At(frame) if self.tally.refused_transfers > 0 => Err(Failure::error(format_args!(
                "the bus refused to start on frame {frame}: it is too far from now, so name a nearer one with --at"
            ))),
            _ => Ok(()),
        }
    }

    fn write_report(
        &mut self,
        verdict: Verdict,
        error: Option<&Failure>,
        statistics: &Statistics,
        facts: &[(&'static str, i64)],
        emulator_stalls: Option<StallsReport>,
    ) -> Result<(), Failure> {
        let Some(mut to) = self.documents.report.take() else { return Ok(()) };
        let report = Report::new(Parts {
            command: self.setup.command,
            verdict,
            error: error.map(ToString::to_string),
            device: DeviceReport::new(self.setup.device, facts),
            stream: self.setup.stream.clone(),
            capabilities: &self.setup.capabilities,
            requested_frame: self.requested(),
            tally: &self.tally,
            statistics,
            emulator_stalls,
        });
        let written = serde_json::to_writer_pretty(&mut to, &report).map_err(std::io::Error::from);
        let target = to.target().to_owned();
        written
            .and_then(|()| to.write_all(b"\n"))
            .map_err(|error| output::cannot_write(&target, &error))
            .and_then(|()| to.finish_or_say())
    }

    fn draw(&mut self, sentence: &str) -> Result<(), Failure> {
        let Some(mut to) = self.documents.plot.take() else { return Ok(()) };
        let information = self.setup.device.information();
        let device = information.product.as_deref().unwrap_or("USB device");
        let plot = Plot {
            title: format!("isoch {}: {device} ({})", self.setup.command, information.address),
            summary: sentence.to_owned(),
            timeline: &self.timeline,
            gaps: self.tally.gaps(),
            gap_count: self.tally.gap_count,
            source: self.tally.source().map_or("unknown", crate::report::source),
            requested: self.requested(),
        };
        let written = to.write_all(plot.to_svg().as_bytes());
        written.map_err(|error| output::cannot_write(to.target(), &error)).and_then(|()| to.finish_or_say())
    }
}
