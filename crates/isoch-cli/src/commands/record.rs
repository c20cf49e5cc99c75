//! `isoch record`.
//!
//! Why silence where packets were lost, and not nothing? In a recording everything after a hole would come
//! early, and two recordings of the same thing would no longer match. The report says which silence is none.

use std::path::Path;

use isoch::audio::{self, Rates, Recorder, SampleFormat, StreamOptions, StreamingFormat, WavConversion};
use isoch::{Completion, Device, Direction, Error, PacketStatus};

use crate::arguments::Record;
use crate::commands::{check_depth, samples, stream_report};
use crate::failure::{Failure, reason};
use crate::interrupt;
use crate::output::{self, Output};
use crate::report::FormatReport;
use crate::session::{self, Documents, Session, Setup};
use crate::target::{self, Choice};
use crate::wav::{WavFormat, WavOutput};

pub(crate) fn run(arguments: &Record) -> Result<u8, Failure> {
    check_depth(&arguments.stream)?;
    if arguments.file == Path::new("-") {
        return Err(Failure::usage(
            "the header of a WAV file is written last, so it cannot go to the standard output: name a file, or use `isoch \
             read -` for the samples alone",
        ));
    }
    let mut files = target::files(&arguments.device, target::MICROPHONE)?;
    files.write(&arguments.file, "the recording")?;
    let documents = Documents::create(&arguments.stream, files)?;
    let output = Output::create(&arguments.file)?;
    let device = target::open(&arguments.device, target::MICROPHONE)?;
    arguments.endpoint.check(&device, Direction::In)?;
    let (format, rate) = choose(&device, arguments)?;
    let wav = WavFormat {
        channels: format.channels.into(),
        rate,
        bits: u16::from(format.bits).next_multiple_of(8),
    };
    let conversion = format.wav_conversion(wav.bits, false);

    let capabilities = device.capabilities(Direction::In);
    let start = session::start(arguments.stream.at, &device, &capabilities)?;
    let options = StreamOptions { start, ..session::options(&arguments.stream) };
    let mut recorder = Recorder::open(&device, &format, rate, options)?;
    let timing = *recorder.endpoint().timing();
    let choice = Choice {
        interface: format.interface,
        alternate_setting: format.alternate_setting,
        endpoint: format.endpoint,
    };
    let report = FormatReport { rate, bits: format.bits, channels: format.channels };
    let setup = Setup {
        command: "record",
        device: &device,
        stream: stream_report(choice, &timing, Some(report)),
        capabilities: *recorder.endpoint().capabilities(),
        start,
        frames: arguments.stream.duration.map(|duration| duration.as_millis() as u64),
    };
    let mut session = Session::new(setup, documents, &arguments.stream);
    let wanted = arguments.stream.duration.map(|duration| samples(duration, rate).max(1));
    let target = output.target().to_owned();
    let cannot_write = |error: std::io::Error| output::cannot_write(&target, &error);
    let wav = WavOutput::new(output, wav, conversion, wanted).map_err(cannot_write)?;
    let mut tape = Tape { wav, rate: rate.into(), due: 0 };
    let mut sink = |done: &Completion| {
        session.observe(done);
        tape.add(done)
    };
    let recorded = recorder.record(wanted, &mut sink, interrupt::stop());
    let statistics = recorder.endpoint().statistics();
    let facts = device.emulated_facts();
    drop(recorder);
    let result = recorded.map(|_| ()).map_err(Failure::from);
    let kept = keep(tape.wav, result.is_err());
    session.finish(&statistics, facts, merge(result, kept))
}

/// What comes of the file: nothing, if nothing was recorded.
fn keep(wav: WavOutput, failed: bool) -> Result<Option<String>, Failure> {
    let target = wav.target().to_owned();
    if wav.is_empty() {
        return if failed {
            Ok(None)
        } else {
            Err(Failure::error("nothing was recorded, so no file was written"))
        };
    }
    wav.finish().map_err(|error| output::cannot_write(&target, &error))?;
    Ok(Some(target.display().to_string()))
}

/// An error with the news that what came before it was kept.
fn merge(result: Result<(), Failure>, kept: Result<Option<String>, Failure>) -> Result<(), Failure> {
    match (result, kept) {
        (Ok(()), kept) => kept.map(|_| ()),
        (Err(error), Ok(Some(target))) => {
            Err(Failure::error(format_args!("{error} (what was recorded before is in {target})")))
        }
        (error, _) => error,
    }
}

/// Where completions become samples.
struct Tape {
    wav: WavOutput,
    rate: u64,
    /// Parts of a sample due in lost intervals, in 1/8000.
    due: u64,
}

impl Tape {
    fn add(&mut self, done: &Completion) -> Result<(), Error> {
        self.try_add(done).map_err(|error| Error::System {
            what: format!("{} could not be written", self.wav.target().display()),
            reason: reason(&error),
        })
    }

    fn try_add(&mut self, done: &Completion) -> std::io::Result<()> {
        let report = done.report();
        if let Some(hole) = &report.hole {
            self.skip(hole.intervals * report.period)?;
        }
        for packet in done.packets() {
            match packet.status() {
                PacketStatus::Late | PacketStatus::Missed | PacketStatus::Failed(_) => {
                    self.skip(report.period)?
                }
                _ => self.wav.write(packet.bytes())?,
            }
        }
        if self.wav.is_full() {
            interrupt::enough();
        }
        Ok(())
    }

    /// Silence for so many microframes.
    fn skip(&mut self, microframes: u64) -> std::io::Result<()> {
        let due = self.due + microframes * self.rate;
        self.due = due % 8000;
        self.wav.write_silence(due / 8000)
    }
}

/// The format that fits what was asked for, and its rate.
fn choose(device: &Device, arguments: &Record) -> Result<(StreamingFormat, u32), Failure> {
    let streaming = audio::formats(device)?;
    let recording = target::admitted(&streaming.formats, &arguments.endpoint, Direction::In)?;
    let fits = |format: &&StreamingFormat| {
        arguments.channels.is_none_or(|channels| channels == format.channels)
            && arguments.bits.is_none_or(|bits| bits == format.bits)
            && arguments.rate.is_none_or(|rate| format.rates.contain(rate) != Some(false))
            && matches!(format.sample, SampleFormat::Pcm | SampleFormat::Pcm8)
            && format.wav_conversion(u16::from(format.bits).next_multiple_of(8), false) != WavConversion::None
    };
    // What most people mean, then what the descriptors have first.
    let usual = |format: &&StreamingFormat| {
        (format.bits != 16, format.channels != 2, format.rates.contain(48_000) != Some(true))
    };
    let Some(format) = recording.iter().filter(fits).min_by_key(usual) else {
        let mut text = format!("{} records nothing like that", device.information().address);
        let offers = !recording.is_empty();
        if recording.is_empty() {
            text = format!("{} has no audio to record", device.information().address);
        } else {
            text.push_str("; it offers:");
        }
        for format in &recording {
            text.push_str(&format!("\n  {format}"));
        }
        for unsupported in &streaming.unsupported {
            text.push_str(&format!("\n  not usable: {unsupported}"));
        }
        let chosen = arguments.rate.is_some() || arguments.bits.is_some() || arguments.channels.is_some();
        // What was asked for could be asked for otherwise.
        return Err(if chosen && offers { Failure::usage(text) } else { Failure::error(text) });
    };
    let rate = match (&format.rates, arguments.rate) {
        (_, Some(rate)) => rate,
        (Rates::Discrete(rates), None) if !rates.contains(&48_000) => {
            rates.first().copied().unwrap_or(48_000)
        }
        (Rates::Range(lowest, highest), None) => 48_000.clamp(*lowest, *highest),
        _ => 48_000,
    };
    Ok((format.clone(), rate))
}
