//! WAV files: what a speaker heard, what a microphone plays.
//!
//! Why a temporary beside the file, and not the file itself? A WAV header says how long the file is and is
//! written last, so a file that is looked at too early is a lie. It gets its name when it is whole.

#[cfg(feature = "wav")]
pub(crate) use enabled::{Destination, Recording, read};

#[cfg(not(feature = "wav"))]
pub(crate) use disabled::{Destination, Recording, read};

/// A WAV file in memory, in the bytes that an audio device sends.
#[derive(Debug)]
pub(crate) struct Sound {
    pub(crate) rate: u32,
    pub(crate) format: super::audio::Format,
    pub(crate) bytes: Vec<u8>,
}

#[cfg(feature = "wav")]
mod enabled {
    use std::fmt;
    use std::fs::{self, File};
    use std::io::BufWriter;
    use std::path::{Path, PathBuf};
    use std::sync::atomic::{AtomicU64, Ordering};

    use hound::{SampleFormat, WavReader, WavSpec, WavWriter};

    use super::Sound;
    use crate::devices::audio::{BITS, CHANNELS, Format, RATES};
    use crate::devices::parameters::{BuildError, listed};
    use crate::devices::signal::encode;

    /// Where a speaker saves what it hears.
    #[derive(Debug)]
    pub(crate) struct Destination {
        path: PathBuf,
    }

    impl Destination {
        /// Checks that a file can be made there.
        pub(crate) fn new(path: PathBuf) -> Result<Self, BuildError> {
            let failed = |problem: String| BuildError::File {
                parameter: "save",
                path: path.display().to_string(),
                problem,
            };
            if path.file_name().is_none() || path.is_dir() {
                return Err(failed("this is a directory: give the name of a file to write".into()));
            }
            // The one sure way to learn whether a file can be made is to make it.
            let probe = temporary(&path);
            File::create(&probe).map_err(|error| {
                failed(format!("cannot create a file there ({error}): give a directory you may write to"))
            })?;
            let _ = fs::remove_file(&probe);
            Ok(Destination { path })
        }

        pub(crate) fn create(&self, format: Format, rate: u32) -> Result<Recording, hound::Error> {
            let temporary = temporary(&self.path);
            let spec = WavSpec {
                channels: u16::from(format.channels),
                sample_rate: rate,
                bits_per_sample: u16::from(format.bits),
                sample_format: SampleFormat::Int,
            };
            let writer = Some(WavWriter::create(&temporary, spec)?);
            let path = self.path.clone();
            Ok(Recording { path, temporary, writer, format, cut: [0; 8], cut_length: 0 })
        }
    }

    /// A name beside the file that nobody else uses.
    fn temporary(path: &Path) -> PathBuf {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        path.with_file_name(format!(".{name}.{}-{number}.partial", std::process::id()))
    }

    /// A file that is being written. Dropping it without [`Recording::finish`] finishes it too, unless
    /// writing failed.
    pub(crate) struct Recording {
        path: PathBuf,
        temporary: PathBuf,
        /// `None` after a failure, or when finished.
        writer: Option<WavWriter<BufWriter<File>>>,
        format: Format,
        /// The bytes of a sample that a packet cut; its rest comes in the next.
        cut: [u8; 8],
        cut_length: usize,
    }

    impl Recording {
        pub(crate) fn write(&mut self, mut data: &[u8]) -> Result<(), hound::Error> {
            let block = self.format.block_bytes();
            if self.cut_length > 0 {
                let wanted = data.len().min(block - self.cut_length);
                self.cut[self.cut_length..self.cut_length + wanted].copy_from_slice(&data[..wanted]);
                self.cut_length += wanted;
                data = &data[wanted..];
                if self.cut_length < block {
                    return Ok(());
                }
                let cut = self.cut;
                self.cut_length = 0;
                self.write_blocks(&cut[..block])?;
            }
            let whole = data.len() - data.len() % block;
            self.cut_length = data.len() - whole;
            self.cut[..self.cut_length].copy_from_slice(&data[whole..]);
            self.write_blocks(&data[..whole])
        }

        fn write_blocks(&mut self, data: &[u8]) -> Result<(), hound::Error> {
            let Some(writer) = &mut self.writer else { return Ok(()) };
            for sample in data.chunks_exact(self.format.sample_bytes()) {
                let value = match *sample {
                    // PCM8 is unsigned, and so is WAV's; hound wants it signed in between.
                    [a] => i32::from(a) - 128,
                    [a, b] => i32::from(i16::from_le_bytes([a, b])),
                    [a, b, c] => i32::from_le_bytes([0, a, b, c]) >> 8,
                    [a, b, c, d] => i32::from_le_bytes([a, b, c, d]),
                    _ => continue,
                };
                if let Err(error) = writer.write_sample(value) {
                    self.discard();
                    return Err(error);
                }
            }
            Ok(())
        }

        /// Completes the file and gives it its name. A sample that was never completed is left out.
        pub(crate) fn finish(mut self) -> Result<(), hound::Error> {
            self.complete()
        }

        fn complete(&mut self) -> Result<(), hound::Error> {
            let Some(writer) = self.writer.take() else { return Ok(()) };
            let result = writer
                .finalize()
                .and_then(|()| fs::rename(&self.temporary, &self.path).map_err(hound::Error::IoError));
            if result.is_err() {
                let _ = fs::remove_file(&self.temporary);
            }
            result
        }

        fn discard(&mut self) {
            self.writer = None;
            let _ = fs::remove_file(&self.temporary);
        }
    }

    impl fmt::Debug for Recording {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Recording").field("path", &self.path).finish_non_exhaustive()
        }
    }

    impl Drop for Recording {
        fn drop(&mut self) {
            let _ = self.complete();
        }
    }

    /// Reads a whole file into the bytes that an audio device of its format sends.
    pub(crate) fn read(path: &Path) -> Result<Sound, BuildError> {
        let failed = |problem: String| BuildError::File {
            parameter: "file",
            path: path.display().to_string(),
            problem,
        };
        let unreadable =
            |error: hound::Error| failed(format!("not a WAV file that can be read ({error}): give another"));
        let mut reader = WavReader::open(path).map_err(|error| match error {
            hound::Error::IoError(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => {
                failed(format!("cannot be read ({error}): give the path of a WAV file"))
            }
            error => unreadable(error),
        })?;
        let spec = reader.spec();
        let bits = BITS.into_iter().find(|&bits| u16::from(bits) == spec.bits_per_sample);
        let channels = CHANNELS.into_iter().find(|&channels| u16::from(channels) == spec.channels);
        let (Some(bits), Some(channels), SampleFormat::Int, true) =
            (bits, channels, spec.sample_format, RATES.contains(&spec.sample_rate))
        else {
            let kind = if spec.sample_format == SampleFormat::Float { "float" } else { "integer" };
            return Err(failed(format!(
                "{} bits {kind}, {} channels, {} Hz is no format of this microphone: convert it to integers \
                 of {} bits, {} channels, {} Hz",
                spec.bits_per_sample,
                spec.channels,
                spec.sample_rate,
                listed(BITS.map(|n| n.to_string())),
                listed(CHANNELS.map(|n| n.to_string())),
                listed(RATES.map(|n| n.to_string())),
            )));
        };
        let format = Format { bits, channels };
        // The header's length is only a claim: memory grows with what the file really has.
        let mut bytes = Vec::new();
        for sample in reader.samples::<i32>() {
            encode(sample.map_err(unreadable)?, bits, &mut bytes);
        }
        if bytes.is_empty() {
            return Err(failed("has no samples: give a file that has some".into()));
        }
        Ok(Sound { rate: spec.sample_rate, format, bytes })
    }
}

/// Without the feature `wav` files are refused when a device is built, so nothing here ever exists.
#[cfg(not(feature = "wav"))]
mod disabled {
    use std::convert::Infallible;
    use std::path::{Path, PathBuf};

    use super::Sound;
    use crate::devices::audio::Format;
    use crate::devices::parameters::BuildError;

    #[derive(Debug)]
    pub(crate) struct Destination(Infallible);

    #[derive(Debug)]
    pub(crate) struct Recording(Infallible);

    fn refused<T>(parameter: &'static str, path: &Path) -> Result<T, BuildError> {
        Err(BuildError::File {
            parameter,
            path: path.display().to_string(),
            problem: "this build has no WAV files: build it with the feature `wav`".into(),
        })
    }

    impl Destination {
        pub(crate) fn new(path: PathBuf) -> Result<Self, BuildError> {
            refused("save", &path)
        }

        pub(crate) fn create(&self, _: Format, _: u32) -> Result<Recording, Infallible> {
            match self.0 {}
        }
    }

    impl Recording {
        pub(crate) fn write(&mut self, _: &[u8]) -> Result<(), Infallible> {
            match self.0 {}
        }

        pub(crate) fn finish(self) -> Result<(), Infallible> {
            match self.0 {}
        }
    }

    pub(crate) fn read(path: &Path) -> Result<Sound, BuildError> {
        refused("file", path)
    }
}
