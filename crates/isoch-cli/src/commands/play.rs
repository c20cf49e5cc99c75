//! `isoch play`.
//!
//! Why does it convert nothing? Whoever hears a wrong pitch or a rough sound must be able to rule this
//! program out: what it sends are the file's samples. A device that cannot take them gets none.

use std::path::Path;

use isoch::audio::{self, Player, StreamOptions, StreamingFormat, Wanted, WavConversion};
use isoch::{Device, Direction};

use crate::arguments::Play;
use crate::commands::{check_depth, samples, stream_report};
use crate::failure::Failure;
use crate::interrupt;
use crate::report::FormatReport;
use crate::session::{self, Documents, Session, Setup};
use crate::target::{self, Choice};
use crate::wav::{self, Converted, WavFile, WavFormat};

pub(crate) fn run(arguments: &Play) -> Result<u8, Failure> {
    check_depth(&arguments.stream)?;
    if arguments.file == Path::new("-") {
        return Err(Failure::usage(
            "a WAV file is judged before anything is sent, so it cannot come from the standard input: name a file, or use \
             `isoch write -` for samples alone",
        ));
    }
    let mut file = wav::open(&arguments.file)?;
    if let Some(duration) = arguments.stream.duration {
        let rate = file.format.rate;
        file = wav::at_most(file, samples(duration, rate).max(1));
    }
    let mut files = target::files(&arguments.device, target::SPEAKER)?;
    files.read(&arguments.file, "the file to play")?;
    let documents = Documents::create(&arguments.stream, files)?;
    let device = target::open(&arguments.device, target::SPEAKER)?;
    arguments.endpoint.check(&device, Direction::Out)?;
    let format = choose(&device, arguments, file.format)?;
    let WavFile { format: wav, bytes, samples } = file;
    let conversion = format.wav_conversion(wav.bits, false);
    if conversion == WavConversion::None {
        return Err(Failure::error(format_args!(
            "samples of {} bits cannot be sent as they are to this format: {format}",
            wav.bits
        )));
    }

    let capabilities = device.capabilities(Direction::Out);
    let start = session::start(arguments.stream.at, &device, &capabilities)?;
    let options = StreamOptions { start, ..session::options(&arguments.stream) };
    let mut player = Player::open(&device, &format, wav.rate, options)?;
    let timing = *player.endpoint().timing();
    let choice = Choice {
        interface: format.interface,
        alternate_setting: format.alternate_setting,
        endpoint: format.endpoint,
    };
    let report = FormatReport { rate: wav.rate, bits: format.bits, channels: format.channels };
    let setup = Setup {
        command: "play",
        device: &device,
        stream: stream_report(choice, &timing, Some(report)),
        capabilities: *player.endpoint().capabilities(),
        start,
        frames: Some(bytes / wav.slot_bytes() * 1000 / u64::from(wav.rate)),
    };
    let mut session = Session::new(setup, documents, &arguments.stream);
    let mut source = Converted::new(samples, conversion, wav.bits);
    let played = player.play(&mut source, &mut |done| session.observe(done), interrupt::stop());
    let statistics = player.endpoint().statistics();
    let facts = device.emulated_facts();
    drop(player);
    session.finish(&statistics, facts, played.map(|_| ()).map_err(Failure::from))
}

/// The format of the device that takes the file's samples.
fn choose(device: &Device, arguments: &Play, wav: WavFormat) -> Result<StreamingFormat, Failure> {
    let mut streaming = audio::formats(device)?;
    streaming.formats = target::admitted(&streaming.formats, &arguments.endpoint, Direction::Out)?;
    let wanted = Wanted {
        direction: Direction::Out,
        // More than any device has, if it does not fit.
        channels: u8::try_from(wav.channels).unwrap_or(u8::MAX),
        bits: u8::try_from(wav.bits).unwrap_or(u8::MAX),
        float: false,
        rate: wav.rate,
    };
    match audio::choose(&streaming, wanted) {
        Ok(format) => Ok(format.clone()),
        Err(no_match) => Err(Failure::error(format_args!(
            "{}: {} cannot play this file: {no_match}",
            arguments.file.display(),
            device.information().address
        ))),
    }
}
