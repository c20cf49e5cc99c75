//! Runs of the real program, in a directory of their own.
#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of this")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A directory to run in, and what is in it.
pub struct Place {
    directory: TempDir,
}

/// How a run ended.
pub struct Ran {
    pub status: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Place {
    pub fn new() -> Self {
        Place { directory: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_isoch"));
        command.args(arguments).current_dir(self.directory.path()).stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        ran(self.command(arguments).output().unwrap())
    }

    /// A run that must end with 0.
    pub fn ok(&self, arguments: &[&str]) -> Ran {
        let ran = self.run(arguments);
        assert_eq!(ran.status, 0, "{arguments:?}: {}", ran.stderr);
        ran
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.read(name)).unwrap()
    }

    /// What is here, hidden files included.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.directory.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Writes a WAV file of noise with a library that knows nothing of this program.
    pub fn noise(&self, name: &str, rate: u32, bits: u16, channels: u16, slots: u32) {
        let spec = hound::WavSpec {
            channels,
            sample_rate: rate,
            bits_per_sample: bits,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(self.path(name), spec).unwrap();
        let mut state = 1_u32;
        for _ in 0..slots * u32::from(channels) {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            writer.write_sample((state as i32) >> (32 - bits)).unwrap();
        }
        writer.finalize().unwrap();
    }
}

pub fn ran(output: Output) -> Ran {
    Ran {
        status: output.status.code().unwrap_or(-1),
        stdout: output.stdout,
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// All samples of a WAV file, by a library that knows nothing of this program.
pub fn samples(path: &Path) -> (hound::WavSpec, Vec<i32>) {
    let reader = hound::WavReader::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (reader.spec(), reader.into_samples().map(Result::unwrap).collect())
}

/// The bytes of the samples of a WAV file.
pub fn data(bytes: &[u8]) -> &[u8] {
    let mut at = 12;
    while let Some(&[a, b, c, d, ref length @ ..]) = bytes.get(at..at + 8) {
        let length = u32::from_le_bytes(length.try_into().unwrap()) as usize;
        if &[a, b, c, d] == b"data" {
            return &bytes[at + 8..at + 8 + length];
        }
        at += 8 + length + length % 2;
    }
    panic!("no data");
}
