//! A sound whose every piece is unlike every other, and the search for it in what was recorded.
//!
//! Why noise? In music or a tone a repeated or lost sample may go unseen, and the place of a piece is not sure.

use std::fs;
use std::ops::Range;
use std::path::Path;

use crate::figures::Random;

/// 16 bits, left and right, in one number.
pub(crate) type Sample = u32;

/// Samples per second of QEMU's speaker.
pub(crate) const RATE: usize = 48_000;
/// Samples of a full-speed frame.
pub(crate) const PER_FRAME: usize = RATE / 1000;
/// Bytes of one of them in a packet.
pub(crate) const SAMPLE_BYTES: usize = 4;

/// So many samples of noise, as the seed has it. None is silence.
pub(crate) fn noise(seed: &str, samples: usize) -> Vec<Sample> {
    let mut random = Random::new(seed);
    (0..samples).map(|_| random.next() as Sample | 0x0001_0001).collect()
}

/// What a test plays: a second, or ten.
pub(crate) fn played(seed: &str, full: bool) -> Vec<Sample> {
    noise(seed, if full { 10 } else { 1 } * RATE)
}

/// A sound, and behind it the silence that QEMU's speaker needs to be heard to the end: its recorder takes 44,100 samples
/// a second whatever the rate, the rest waits in its buffer, and what waits is dropped when the speaker is switched off.
pub(crate) fn with_silence(sound: &[Sample]) -> Vec<Sample> {
    let mut padded = sound.to_vec();
    padded.resize(sound.len() + sound.len() / 10 + RATE / 5, 0);
    padded
}

/// What goes over the wire.
pub(crate) fn bytes(samples: &[Sample]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

/// The other way round; what is left of a sample is left out.
pub(crate) fn samples(bytes: &[u8]) -> impl Iterator<Item = Sample> + '_ {
    bytes.chunks_exact(SAMPLE_BYTES).filter_map(|bytes| bytes.try_into().ok()).map(Sample::from_le_bytes)
}

const HEADER: usize = 44;

/// Writes a WAV file.
pub(crate) fn write_wav(path: &Path, samples: &[Sample]) -> std::io::Result<()> {
    let data = bytes(samples);
    let (length, rate) = (data.len() as u32, RATE as u32);
    let mut file = Vec::with_capacity(HEADER + data.len());
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&(length + 36).to_le_bytes());
    file.extend_from_slice(b"WAVEfmt ");
    file.extend_from_slice(&16_u32.to_le_bytes());
    file.extend_from_slice(&1_u16.to_le_bytes());
    file.extend_from_slice(&2_u16.to_le_bytes());
    file.extend_from_slice(&rate.to_le_bytes());
    file.extend_from_slice(&(rate * SAMPLE_BYTES as u32).to_le_bytes());
    file.extend_from_slice(&(SAMPLE_BYTES as u16).to_le_bytes());
    file.extend_from_slice(&16_u16.to_le_bytes());
    file.extend_from_slice(b"data");
    file.extend_from_slice(&length.to_le_bytes());
    file.extend_from_slice(&data);
    fs::write(path, file)
}

/// Reads what QEMU recorded: its header is 44 bytes, and not filled in if QEMU was killed.
pub(crate) fn read_recording(path: &Path) -> std::io::Result<Vec<Sample>> {
    let file = fs::read(path)?;
    Ok(samples(file.get(HEADER..).unwrap_or_default()).collect())
}

/// A sound without the samples that were lost.
pub(crate) fn without(played: &[Sample], lost: &[Range<usize>]) -> Result<Vec<Sample>, String> {
    let mut sent = Vec::with_capacity(played.len());
    let mut next = 0;
    for range in lost {
        sent.extend_from_slice(played.get(next..range.start).ok_or("a loss that cannot be")?);
        next = range.end;
    }
    sent.extend_from_slice(played.get(next..).unwrap_or_default());
    Ok(sent)
}

/// So many samples in a row are found nowhere else by chance.
const UNMISTAKABLE: usize = 8;

/// So many samples that are no part of a sound are looked through for where it goes on.
const FOREIGN: usize = 64 * PER_FRAME;

/// Where `heard` has all of `played` in one piece; otherwise what is wrong with it.
pub(crate) fn compare(played: &[Sample], heard: &[Sample]) -> Result<usize, String> {
    let Some(first) = position(heard, played.get(..UNMISTAKABLE).unwrap_or(played)) else {
        return Err(format!(
            "of {} samples played not even the first {UNMISTAKABLE} were recorded",
            played.len()
        ));
    };
    let heard = &heard[first..];
    let same = played.iter().zip(heard).take_while(|(played, heard)| played == heard).count();
    if same == played.len() {
        return Ok(first);
    }
    let of = format!("of {} samples played the first {same} were recorded", played.len());
    let next = heard.get(same..).unwrap_or_default();
    if next.is_empty() {
        return Err(format!("{of}, and nothing after them"));
    }
    // Where does what was heard instead come from?
    let place = (0..next.len().saturating_sub(UNMISTAKABLE).min(FOREIGN))
        .find_map(|skipped| Some((skipped, position(played, &next[skipped..skipped + UNMISTAKABLE])?)));
    Err(match place {
        None => format!("{of}; what follows is no part of it"),
        Some((foreign, place)) => {
            format!(
                "{of}; then {foreign} samples that are no part of it, then it goes on with sample {place}"
            )
        }
    })
}

fn position(all: &[Sample], piece: &[Sample]) -> Option<usize> {
    all.windows(piece.len().max(1)).position(|window| window == piece)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_repeated_or_foreign_sample_is_found() {
        let played = noise("a test", 1000);
        let heard = |from: usize, left_out: usize, added: &[Sample]| {
            let mut heard = vec![0; 77];
            heard.extend_from_slice(&played[..from]);
            heard.extend_from_slice(added);
            heard.extend_from_slice(&played[from + left_out..]);
            compare(&played, &heard).err().unwrap_or_default()
        };
        assert_eq!(heard(500, 0, &[]), "");
        assert!(
            heard(500, 1, &[]).contains("the first 500 were recorded; then 0 samples"),
            "{}",
            heard(500, 1, &[])
        );
        assert!(heard(500, 1, &[]).contains("goes on with sample 501"));
        assert!(heard(500, 0, &played[400..500]).contains("goes on with sample 400"));
        assert!(heard(500, 1, &[played[500] ^ 1]).contains("then 1 samples that are no part of it"));
        assert!(heard(0, 1000, &[]).contains("not even the first"));
        assert!(heard(990, 10, &[]).contains("nothing after them"));
    }
}
