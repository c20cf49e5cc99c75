//! Reading WAV files, and judging them before anything is sent.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

use isoch::audio::WavConversion;

use super::{EXTENSIBLE, FLOAT, PCM, WavFormat};
use crate::failure::{Failure, reason};
use crate::words::counted;

/// A WAV file, open at its first sample.
#[derive(Debug)]
pub(crate) struct WavFile {
    pub(crate) format: WavFormat,
    /// Bytes of samples.
    pub(crate) bytes: u64,
    pub(crate) samples: io::Take<BufReader<File>>,
}

/// What a program writes that does not know the length yet.
const UNKNOWN_LENGTH: u32 = u32::MAX;

/// Opens a file and judges all of its header.
pub(crate) fn open(path: &Path) -> Result<WavFile, Failure> {
    let failed = |what: String| Failure::error(format_args!("{}: {what}", path.display()));
    let file = File::open(path).map_err(|error| {
        failed(format!("cannot be read ({}): give the path of a WAV file", reason(&error)))
    })?;
    let metadata = file.metadata().map_err(|error| failed(format!("cannot be read ({})", reason(&error))))?;
    if metadata.is_dir() {
        return Err(failed("is a directory: give the path of a WAV file".into()));
    }
    if metadata.is_file() && metadata.len() == 0 {
        return Err(failed("is empty: give a WAV file with samples".into()));
    }
    read_header(BufReader::new(file)).map_err(|problem| failed(problem.to_string()))
}

/// What is wrong with a header.
#[derive(Debug, PartialEq, Eq)]
enum Problem {
    NotWav,
    Cut,
    CutSamples { promised: u64, there: u64 },
    NoSamples,
    PartOfSample { bytes: u64, slot: u64 },
    Float,
    Format(u16),
    Bits(u16),
    Contradiction,
    Other(String),
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Problem::NotWav => {
                f.write_str("is no WAV file: convert it, or send it as it is with `isoch write`")
            }
            Problem::Cut => f.write_str("is cut off within its header: get a whole copy"),
            Problem::CutSamples { promised, there } => write!(
                f,
                "is cut off: its header promises {} of samples and {there} are there; get a whole copy",
                counted(*promised, "byte")
            ),
            Problem::NoSamples => f.write_str("has no samples: there is nothing to play"),
            Problem::PartOfSample { bytes, slot } => write!(
                f,
                "has {} of samples, which is no multiple of {slot}, the bytes of one sample of every \
                 channel: it is damaged, get a whole copy",
                counted(*bytes, "byte")
            ),
            Problem::Float => {
                f.write_str("has floating-point samples: convert it to integers of 8, 16, 24 or 32 bits")
            }
            Problem::Format(tag) => write!(
                f,
                "has samples in format {tag:#06x}, not PCM: convert it to integers of 8, 16, 24 or 32 bits"
            ),
            Problem::Bits(bits) => {
                write!(f, "has samples of {bits} bits: convert it to integers of 8, 16, 24 or 32 bits")
            }
            Problem::Contradiction => f.write_str(
                "contradicts itself in its header: the size of a sample does not follow from its bits",
            ),
            Problem::Other(reason) => write!(f, "cannot be read ({reason})"),
        }
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Problem::Cut,
            _ => Problem::Other(reason(&error)),
        }
    }
}

fn read_header(mut from: BufReader<File>) -> Result<WavFile, Problem> {
    let mut head = [0; 12];
    let have = read_up_to(&mut from, &mut head)?;
    if have < 4 || &head[..4] != b"RIFF" || (have == 12 && &head[8..] != b"WAVE") {
        return Err(Problem::NotWav);
    }
    if have < 12 {
        return Err(Problem::Cut);
    }
    let mut format = None;
    loop {
        let mut chunk = [0; 8];
        from.read_exact(&mut chunk)?;
        let [a, b, c, d, length @ ..] = chunk;
        let length = u32::from_le_bytes(length);
        // Chunks begin at even places.
        let padded = u64::from(length) + u64::from(length % 2);
        match &[a, b, c, d] {
            b"fmt " => {
                let mut body = vec![0; length.min(64) as usize];
                from.read_exact(&mut body)?;
                format = Some(parse_format(&body)?);
                skip(&mut from, padded - body.len() as u64)?;
            }
            b"data" => {
                let format = format.ok_or(Problem::Contradiction)?;
                return samples(from, format, length);
            }
            _ => skip(&mut from, padded)?,
        }
    }
}

fn read_up_to(from: &mut impl Read, bytes: &mut [u8]) -> io::Result<usize> {
    let mut have = 0;
    while let Some(rest) = bytes.get_mut(have..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(read) => have += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(have)
}

fn skip(from: &mut impl Read, bytes: u64) -> Result<(), Problem> {
    let skipped = io::copy(&mut from.take(bytes), &mut io::sink())?;
    if skipped < bytes { Err(Problem::Cut) } else { Ok(()) }
}

/// The `fmt ` chunk: WAVEFORMATEX or WAVEFORMATEXTENSIBLE.
fn parse_format(body: &[u8]) -> Result<WavFormat, Problem> {
    let word = |at: usize| match body.get(at..at + 2) {
        Some(&[low, high]) => Ok(u16::from_le_bytes([low, high])),
        _ => Err(Problem::Cut),
    };
    let (channels, align, bits) = (word(2)?, word(12)?, word(14)?);
    let rate = u32::from(word(4)?) | u32::from(word(6)?) << 16;
    // The extensible form has the tag in front of a fixed identifier.
    let tag = match word(0)? {
        EXTENSIBLE => word(24)?,
        tag => tag,
    };
    match tag {
        PCM => {}
        FLOAT => return Err(Problem::Float),
        other => return Err(Problem::Format(other)),
    }
    if channels == 0 || rate == 0 || align == 0 || align % channels != 0 {
        return Err(Problem::Contradiction);
    }
    // Samples are left-justified in whole bytes: 12 bits lie in the file as 16 do, 20 as 24.
    let container = align / channels * 8;
    if !matches!(container, 8 | 16 | 24 | 32) || bits == 0 {
        return Err(Problem::Bits(bits));
    }
    if bits > container {
        return Err(Problem::Contradiction);
    }
    Ok(WavFormat { channels, rate, bits: container })
}

fn samples(mut from: BufReader<File>, format: WavFormat, length: u32) -> Result<WavFile, Problem> {
    let slot = format.slot_bytes();
    let bytes = if from.get_ref().metadata()?.is_file() {
        let here = from.stream_position()?;
        let there = from.get_ref().metadata()?.len().saturating_sub(here);
        match length {
            UNKNOWN_LENGTH => there - there % slot,
            _ if there < u64::from(length) => {
                return Err(Problem::CutSamples { promised: length.into(), there });
            }
            _ => u64::from(length),
        }
    } else {
        // A pipe: the player notices if it ends early.
        u64::from(length)
    };
    if bytes == 0 {
        return Err(Problem::NoSamples);
    }
    if bytes % slot != 0 && length != UNKNOWN_LENGTH {
        return Err(Problem::PartOfSample { bytes, slot });
    }
    Ok(WavFile { format, bytes, samples: from.take(bytes) })
}

/// The same file as if it ended after so many samples (of every channel).
pub(crate) fn at_most(file: WavFile, slots: u64) -> WavFile {
    let bytes = file.bytes.min(slots.saturating_mul(file.format.slot_bytes()));
    let mut samples = file.samples;
    samples.set_limit(bytes);
    WavFile { bytes, samples, ..file }
}

/// Samples of a file as a device wants them.
pub(crate) struct Converted<R> {
    from: R,
    conversion: WavConversion,
    /// Bytes of a sample in the file.
    container: usize,
    /// Converted bytes, and how many of them are gone.
    ready: Vec<u8>,
    given: usize,
}

impl<R: Read> Converted<R> {
    pub(crate) fn new(from: R, conversion: WavConversion, bits: u16) -> Self {
        Converted { from, conversion, container: usize::from(bits / 8), ready: Vec::new(), given: 0 }
    }

    fn convert_more(&mut self) -> io::Result<()> {
        let mut raw = [0; 4096 * 12];
        // Whole samples of up to 4 bytes.
        let have = read_up_to(&mut self.from, &mut raw)?;
        self.ready.clear();
        self.given = 0;
        match self.conversion {
            WavConversion::InvertTopBit => self.ready.extend(raw[..have].iter().map(|byte| byte ^ 0x80)),
            WavConversion::ZeroBytesBefore(zeros) => {
                for sample in raw[..have].chunks_exact(self.container) {
                    self.ready.extend(std::iter::repeat_n(0, usize::from(zeros)));
                    self.ready.extend_from_slice(sample);
                }
            }
            WavConversion::Identical | WavConversion::None => self.ready.extend_from_slice(&raw[..have]),
        }
        Ok(())
    }
}

impl<R: Read> Read for Converted<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.conversion == WavConversion::Identical {
            return self.from.read(to);
        }
        if self.given == self.ready.len() {
            self.convert_more()?;
        }
        let rest = &self.ready[self.given..];
        let count = rest.len().min(to.len());
        to[..count].copy_from_slice(&rest[..count]);
        self.given += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wav::write::header;

    fn converted(conversion: WavConversion, bits: u16, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Converted::new(bytes, conversion, bits).read_to_end(&mut out).unwrap();
        out
    }

    #[test]
    fn conversions() {
        assert_eq!(converted(WavConversion::Identical, 16, &[1, 2, 3, 4]), [1, 2, 3, 4]);
        assert_eq!(converted(WavConversion::InvertTopBit, 8, &[0, 0x80, 0xff]), [0x80, 0, 0x7f]);
        assert_eq!(
            converted(WavConversion::ZeroBytesBefore(1), 24, &[1, 2, 3, 4, 5, 6]),
            [0, 1, 2, 3, 0, 4, 5, 6]
        );
        let long: Vec<u8> = (0..200_000_u32 * 3).map(|n| n as u8).collect();
        let wide = converted(WavConversion::ZeroBytesBefore(1), 24, &long);
        assert_eq!(wide.len(), 800_000);
        assert!(
            wide.chunks(4).zip(long.chunks(3)).all(|(wide, narrow)| wide[0] == 0 && &wide[1..] == narrow)
        );
    }

    #[test]
    fn formats() {
        let chunk = |format: WavFormat| {
            let header = header(format, 0);
            let length = usize::from(header[16]);
            header[20..20 + length].to_vec()
        };
        for bits in [8, 16, 24, 32] {
            for channels in [1, 2, 6, 200] {
                let format = WavFormat { channels, rate: 44_100, bits };
                assert_eq!(parse_format(&chunk(format)), Ok(format));
            }
        }
        let good = chunk(WavFormat { channels: 2, rate: 48_000, bits: 16 });
        let with = |at: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[at] = value;
            parse_format(&bytes)
        };
        assert_eq!(with(0, 3), Err(Problem::Float));
        assert_eq!(with(0, 0x55), Err(Problem::Format(0x55)));
        assert_eq!(with(2, 0), Err(Problem::Contradiction));
        assert_eq!(with(12, 3), Err(Problem::Contradiction));
        assert_eq!(with(12, 16), Err(Problem::Bits(16)));
        assert_eq!(with(14, 0), Err(Problem::Bits(0)));
        assert_eq!(with(14, 17), Err(Problem::Contradiction));
        assert_eq!(with(14, 12), Ok(WavFormat { channels: 2, rate: 48_000, bits: 16 }));
        assert_eq!(parse_format(&good[..15]), Err(Problem::Cut));
    }
}
