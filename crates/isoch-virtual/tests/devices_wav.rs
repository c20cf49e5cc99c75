//! Speakers that save what they hear and microphones that play a file: files are whole or not there.
#![cfg(feature = "wav")]

use std::fs;
use std::path::PathBuf;

use isoch_core::rules::Setup;
use isoch_virtual::devices::{self, Offer, Speaker, SpeakerOptions};
use isoch_virtual::{BusTime, Device, Stall};

fn frame(frame: u64) -> BusTime {
    BusTime { microframe: frame * 8 }
}

fn fact(device: &dyn Device, name: &str) -> i64 {
    device.facts().iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("no fact {name}")).1
}

fn set_rate(device: &mut dyn Device, endpoint: u8, rate: u32) -> Result<(), Stall> {
    let setup = Setup { request_type: 0x22, request: 0x01, value: 0x0100, index: endpoint.into(), length: 3 };
    device.control_out(setup, &rate.to_le_bytes()[..3], frame(0))
}

/// An empty directory of this test's own; removed when the test passes.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("isoch-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Directory(path)
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Bytes that are valid in every format, and differ.
fn noise(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed | 1;
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect()
}

/// The bytes of a WAV file's samples, read by hand: the data chunk as it is.
fn data_chunk(path: &std::path::Path) -> Vec<u8> {
    let bytes = fs::read(path).unwrap();
    let at = bytes.windows(4).position(|name| name == b"data").unwrap();
    let length = u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap()) as usize;
    bytes[at + 8..at + 8 + length].to_vec()
}

#[test]
fn what_is_saved_is_what_was_sent() {
    let directory = Directory::new("saved");
    let path = directory.0.join("heard.wav");
    let mut speaker =
        Speaker::new(SpeakerOptions { save: Some(path.clone()), ..Default::default() }).unwrap();
    assert_eq!(directory.names(), [""; 0], "building leaves nothing behind");
    for (format, setting) in Offer::default().formats().into_iter().zip(1..) {
        for rate in [44_100, 96_000] {
            speaker.alternate_setting(1, setting, frame(0));
            set_rate(&mut speaker, 0x01, rate).unwrap();
            let block = format.block_bytes();
            // Packets cut samples, and the last one is odd: all whole samples must be there.
            let sent = noise(block * 5000 + block - 1, rate + u32::from(setting));
            let mut rest = &sent[..];
            for now in 1.. {
                let (packet, later) = rest.split_at(rest.len().min(44 * block + (now % 3) as usize));
                speaker.isoch_out(0x01, packet, frame(now));
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            speaker.alternate_setting(1, 0, frame(9999));
            let saved = data_chunk(&path);
            assert_eq!(saved.len(), block * 5000);
            assert!(saved == sent[..saved.len()], "{format:?}");
            let reader = hound::WavReader::open(&path).unwrap();
            let spec = reader.spec();
            assert_eq!((spec.sample_rate, spec.channels), (rate, u16::from(format.channels)));
            assert_eq!(spec.bits_per_sample, u16::from(format.bits));
            assert_eq!(directory.names(), ["heard.wav"]);
        }
    }
    assert_eq!(fact(&speaker, "files_saved"), 16);
}

#[test]
fn no_file_is_left_half_written() {
    let directory = Directory::new("half");
    let path = directory.0.join("heard.wav");
    let make = || Speaker::new(SpeakerOptions { save: Some(path.clone()), ..Default::default() }).unwrap();
    let play = |speaker: &mut Speaker, byte: u8| {
        speaker.alternate_setting(1, 4, frame(0));
        for now in 1..50 {
            speaker.isoch_out(0x01, &[byte; 192], frame(now));
        }
    };
    let mut speaker = make();
    play(&mut speaker, 1);
    assert!(!path.exists(), "not before it is whole");
    drop(speaker);
    assert_eq!(data_chunk(&path), [1; 192 * 49]);
    let mut speaker = make();
    play(&mut speaker, 2);
    assert_eq!(data_chunk(&path), [1; 192 * 49], "the old one stays until the new one is whole");
    speaker.released(frame(60));
    assert_eq!(data_chunk(&path), [2; 192 * 49]);
    // A stream without a packet leaves it alone; so does one that is merely opened.
    speaker.alternate_setting(1, 4, frame(70));
    speaker.alternate_setting(1, 0, frame(80));
    assert_eq!(data_chunk(&path), [2; 192 * 49]);
    // The rate changes in the middle: what came before and after are two streams.
    play(&mut speaker, 3);
    set_rate(&mut speaker, 0x01, 96_000).unwrap();
    assert_eq!(data_chunk(&path), [3; 192 * 49]);
    assert_eq!(directory.names(), ["heard.wav"]);
    if !cfg!(unix) {
        return; // Elsewhere a directory with an open file cannot be removed.
    }
    // The directory goes away while a stream runs: counted, and nothing is left.
    play(&mut speaker, 4);
    fs::remove_dir_all(&directory.0).unwrap();
    speaker.alternate_setting(1, 0, frame(90));
    assert_eq!(fact(&speaker, "files_failed"), 1);
    assert!(!directory.0.exists());
}

#[test]
fn a_microphone_plays_a_file() {
    let directory = Directory::new("played");
    let path = directory.0.join("in.wav");
    let mut speaker =
        Speaker::new(SpeakerOptions { save: Some(path.clone()), ..Default::default() }).unwrap();
    for (format, setting) in Offer::default().formats().into_iter().zip(1..) {
        // A speaker makes the file, so this also proves that the two agree on every format.
        let block = format.block_bytes();
        let sound = noise(block * 1000, u32::from(setting));
        speaker.alternate_setting(1, setting, frame(0));
        set_rate(&mut speaker, 0x01, 44_100).unwrap();
        speaker.isoch_out(0x01, &sound, frame(1));
        speaker.alternate_setting(1, 0, frame(2));
        for end in ["loop", "silence"] {
            let parameters =
                [("file".to_owned(), path.display().to_string()), ("end".to_owned(), end.to_owned())];
            let mut microphone = devices::build("microphone", &parameters).unwrap();
            let configuration = &microphone.descriptors().configuration;
            let formats: Vec<&[u8]> =
                configuration.windows(11).filter(|bytes| bytes[..4] == [11, 0x24, 2, 1]).collect();
            let only = [11, 0x24, 2, 1, format.channels, format.bits / 8, format.bits, 1, 0x44, 0xac, 0];
            assert_eq!(formats, [only], "only the file's format");
            microphone.alternate_setting(1, 1, frame(0));
            let mut heard = Vec::new();
            let mut buffer = vec![0; 46 * block];
            for now in 0..100 {
                let length = microphone.isoch_in(0x81, &mut buffer, frame(now));
                heard.extend_from_slice(&buffer[..length]);
            }
            assert_eq!(heard.len(), 4410 * block);
            assert!(heard[..sound.len()] == sound);
            let after = &heard[sound.len()..2 * sound.len()];
            if end == "loop" {
                assert!(after == sound);
            } else {
                assert!(after.iter().all(|&byte| byte == format.silence()));
            }
        }
    }
}

#[test]
fn files_that_cannot_be_used_are_refused_when_building() {
    let directory = Directory::new("refused");
    let path = |name: &str| directory.0.join(name).display().to_string();
    let write = |name: &str, spec: hound::WavSpec, samples: usize| {
        let mut writer = hound::WavWriter::create(path(name), spec).unwrap();
        for _ in 0..samples {
            match spec.sample_format {
                hound::SampleFormat::Int => writer.write_sample(0_i32).unwrap(),
                hound::SampleFormat::Float => writer.write_sample(0_f32).unwrap(),
            }
        }
        writer.finalize().unwrap();
    };
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: 48_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    write("good.wav", spec, 96);
    write("empty.wav", spec, 0);
    write("six.wav", hound::WavSpec { channels: 6, ..spec }, 6);
    write("odd.wav", hound::WavSpec { sample_rate: 12_345, ..spec }, 2);
    let float = hound::WavSpec { bits_per_sample: 32, sample_format: hound::SampleFormat::Float, ..spec };
    write("float.wav", float, 2);
    fs::write(path("text.wav"), "no sound").unwrap();
    for (kind, parameters, fragment) in [
        ("speaker", vec![("save", path("no/such/heard.wav"))], "give a directory you may write to"),
        ("speaker", vec![("save", path("."))], "this is a directory"),
        ("microphone", vec![("file", path("none.wav"))], "cannot be read"),
        ("microphone", vec![("file", path("text.wav"))], "not a WAV file"),
        ("microphone", vec![("file", path("empty.wav"))], "has no samples"),
        ("microphone", vec![("file", path("six.wav"))], "6 channels, 48000 Hz is no format of this"),
        ("microphone", vec![("file", path("odd.wav"))], "12345 Hz is no format of this"),
        ("microphone", vec![("file", path("float.wav"))], "32 bits float"),
        (
            "microphone",
            vec![("file", path("good.wav")), ("bits", "24".into())],
            "16 bits, 2 channels, 48000 Hz is not on offer",
        ),
        (
            "microphone",
            vec![("file", path("good.wav")), ("signal", "sine".into())],
            "leave out file or signal",
        ),
        ("microphone", vec![("file", path("good.wav")), ("frequency", "5".into())], "leave frequency out"),
        ("microphone", vec![("signal", "counter".into()), ("frequency", "5".into())], "leave frequency out"),
        ("microphone", vec![("end", "loop".into())], "only a file has an end"),
        (
            "microphone",
            vec![("rates", "44100,1".into())],
            "'1' is no value for 'rates': it takes one or more of",
        ),
        ("speaker", vec![("rates", String::new())], "one or more of 8000, 16000, 32000, 44100, 48000, 96000"),
        ("speaker", vec![("device_ppm", "fast".into())], "a number from -1000 to 1000"),
        ("speaker", vec![("device_ppm", "NaN".into())], "a number from -1000 to 1000"),
        ("speaker", vec![("sync", "none".into())], "async or adaptive"),
        ("speaker", vec![("buffer", "3".into())], "a number from 4 to 1000"),
        ("speaker", vec![("refresh", "10".into())], "a number from 1 to 9"),
    ] {
        let parameters: Vec<(String, String)> =
            parameters.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let Err(error) = devices::build(kind, &parameters) else { panic!("{kind} {parameters:?}") };
        let sentence = error.to_string();
        assert!(sentence.contains(fragment), "{kind} {parameters:?}: {sentence}");
        assert!(error.parameter().is_some());
    }
    assert!(directory.names().iter().all(|name| !name.contains("partial")));
}

#[test]
fn damaged_files_are_refused_or_played_but_never_panic() {
    let directory = Directory::new("damaged");
    let path = directory.0.join("in.wav");
    let parameters = [("file".to_owned(), path.display().to_string())];
    for bits_per_sample in [16, 24] {
        let sample_format = hound::SampleFormat::Int;
        let spec = hound::WavSpec { channels: 2, sample_rate: 48_000, bits_per_sample, sample_format };
        let mut writer = hound::WavWriter::create(&path, spec).unwrap();
        (0..20).for_each(|sample| writer.write_sample(sample).unwrap());
        writer.finalize().unwrap();
        let good = fs::read(&path).unwrap();
        let play = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            let Ok(mut microphone) = devices::build("microphone", &parameters) else { return };
            microphone.alternate_setting(1, 1, frame(0));
            for now in 0..4 {
                assert!(microphone.isoch_in(0x81, &mut [0; 776], frame(now)) <= 776);
            }
        };
        for position in 0..good.len() {
            play(&good[..position]);
            for value in [0, 1, 3, 0x7f, 0x80, 0xff] {
                let mut damaged = good.clone();
                damaged[position] = value;
                play(&damaged);
            }
        }
    }
}
