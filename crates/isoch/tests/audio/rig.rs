//! What the tests share: noise to play, WAV files, formats by their numbers.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use isoch::audio::{self, Played, Player, StreamOptions, StreamingFormat, Wanted};
use isoch::{
    Completion, Device, Direction, Error, FrameSource, GapReport, Outcome, PacketStatus, Start, StartSupport,
    Statistics, VirtualBus,
};

/// Bytes without a pattern that a lost or moved sample could hide in.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2) + 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// A file name of this test's own.
pub(crate) fn temporary(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("audio-{name}.wav"))
}

/// The samples of a WAV file, as bytes.
pub(crate) fn wav_samples(path: &Path) -> Vec<u8> {
    let file = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!((&file[..4], &file[8..12]), (&b"RIFF"[..], &b"WAVE"[..]));
    let mut rest = &file[12..];
    loop {
        let length = u32::from_le_bytes(rest[4..8].try_into().unwrap()) as usize;
        if &rest[..4] == b"data" {
            return rest[8..8 + length].to_vec();
        }
        rest = &rest[8 + length.next_multiple_of(2)..];
    }
}

/// Writes integer samples as a WAV file.
pub(crate) fn write_wav(path: &Path, rate: u32, bits: u16, channels: u16, samples: &[u8]) {
    let slot = channels * (bits / 8);
    let mut file = b"RIFF".to_vec();
    file.extend((36 + samples.len() as u32).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0");
    file.extend(channels.to_le_bytes());
    file.extend(rate.to_le_bytes());
    file.extend((rate * u32::from(slot)).to_le_bytes());
    file.extend(slot.to_le_bytes());
    file.extend(bits.to_le_bytes());
    file.extend(b"data");
    file.extend((samples.len() as u32).to_le_bytes());
    file.extend(samples);
    std::fs::write(path, file).unwrap();
}

/// A format by its numbers.
pub(crate) fn format(
    device: &Device,
    direction: Direction,
    rate: u32,
    bits: u8,
    channels: u8,
) -> StreamingFormat {
    let streaming = audio::formats(device).unwrap();
    assert_eq!(streaming.unsupported, []);
    let wanted = Wanted { direction, channels, bits, float: false, rate };
    audio::choose(&streaming, wanted).unwrap().clone()
}

/// A player of 16-bit stereo.
pub(crate) fn player(device: &Device, rate: u32, options: StreamOptions) -> Player {
    let format = format(device, Direction::Out, rate, 16, 2);
    Player::open(device, &format, rate, options).unwrap()
}

/// Starting on a frame 20 ms from now.
pub(crate) fn soon(device: &Device) -> StreamOptions {
    let start = Start::At(device.clock().now().frame + 20);
    StreamOptions { start, ..StreamOptions::default() }
}

/// One fact of an emulated device.
pub(crate) fn fact(bus: &VirtualBus, device: &str, name: &str) -> i64 {
    let facts = bus.facts(device).unwrap();
    facts.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("{name} is not in {facts:?}")).1
}

/// A completion, reduced to what is compared.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) frames: Option<Range<u64>>,
    pub(crate) source: FrameSource,
    pub(crate) gap: GapReport,
    pub(crate) outcome: Outcome,
    pub(crate) packets: Vec<(PacketStatus, usize)>,
    pub(crate) bytes: Vec<u8>,
}

impl Seen {
    pub(crate) fn new(done: &Completion) -> Self {
        Seen {
            frames: done.frames(),
            source: done.frame_source(),
            gap: done.gap(),
            outcome: done.outcome(),
            packets: done.packets().map(|packet| (packet.status(), packet.length())).collect(),
            bytes: done.packets().flat_map(|packet| packet.bytes().to_vec()).collect(),
        }
    }
}

/// Plays to the end of `samples`, and notes every completion.
pub(crate) fn play(player: &mut Player, mut samples: &[u8]) -> (Result<Played, Error>, Vec<Seen>) {
    let mut seen = Vec::new();
    let played = player.play(&mut samples, &mut |done| seen.push(Seen::new(done)), &AtomicBool::new(false));
    (played, seen)
}

/// Every transfer ran, each directly behind the one before. Returns the frames of all.
pub(crate) fn contiguous(seen: &[Seen]) -> Range<u64> {
    let first = seen[0].frames.clone().expect("known");
    let mut next = first.start;
    for done in seen {
        assert_eq!(done.outcome, Outcome::Completed);
        let frames = done.frames.clone().expect("known");
        assert_eq!(frames.start, next);
        next = frames.end;
    }
    first.start..next
}

/// A transfer began where it was asked to; on a bus that has to aim, where it did not is told.
pub(crate) fn began_at(frame: u64, seen: &[Seen], statistics: &Statistics, start: StartSupport) {
    let first = contiguous(seen).start;
    match start {
        StartSupport::Exact => assert_eq!((first, statistics.misplaced), (frame, 0)),
        _ => assert_eq!(first != frame, statistics.misplaced > 0, "asked {frame}, began {first}"),
    }
}
