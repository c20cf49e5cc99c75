//! Makes `assets/melody.wav`, the file that the README plays.
//!
//! Why made, and not recorded? So that there is nobody to ask for it, and so that the file can be made
//! again, byte for byte: `cargo run --example melody > assets/melody.wav`.

use std::f64::consts::TAU;
use std::io::Write;

const RATE: u32 = 48_000;
/// When it begins, in eighths; its length; its pitch in half tones above A (440 Hz); where between left
/// and right.
const NOTES: [(u32, u32, i32, f64); 12] = [
    (0, 3, -9, 0.5),
    (1, 3, -5, 0.35),
    (2, 3, -2, 0.65),
    (3, 3, 3, 0.3),
    (4, 3, 7, 0.7),
    (5, 3, 3, 0.35),
    (6, 3, -2, 0.65),
    (7, 4, 5, 0.5),
    (8, 4, 2, 0.4),
    (9, 5, -2, 0.6),
    (9, 5, -9, 0.5),
    (9, 5, -21, 0.5),
];
const EIGHTH: u32 = RATE * 7 / 50;
const LENGTH: u32 = 2 * RATE;

fn main() -> std::io::Result<()> {
    let mut samples = Vec::with_capacity(LENGTH as usize * 4);
    for index in 0..LENGTH {
        let (mut left, mut right) = (0.0, 0.0);
        for (start, length, half_tones, place) in NOTES {
            let Some(since) = index.checked_sub(start * EIGHTH) else { continue };
            let seconds = f64::from(since) / f64::from(RATE);
            let whole = f64::from(length * EIGHTH) / f64::from(RATE);
            if seconds >= whole {
                continue;
            }
            let pitch = 440.0 * 2_f64.powf(f64::from(half_tones) / 12.0);
            // Struck softly, dying away, gone at the end without a click.
            let envelope =
                (seconds * 200.0).min(1.0) * (-4.0 * seconds).exp() * ((whole - seconds) * 40.0).min(1.0);
            let wave: f64 = [(1.0, 1.0), (2.0, 0.4), (3.0, 0.15), (4.0, 0.06)]
                .iter()
                .map(|(partial, loudness)| (TAU * pitch * partial * seconds).sin() * loudness)
                .sum();
            left += wave * envelope * (1.0 - place);
            right += wave * envelope * place;
        }
        for side in [left, right] {
            samples.extend_from_slice(&((side * 9_000.0).round() as i16).to_le_bytes());
        }
    }
    let mut file = Vec::from(*b"RIFF");
    file.extend((36 + samples.len() as u32).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x02\0");
    file.extend(RATE.to_le_bytes());
    file.extend((RATE * 4).to_le_bytes());
    file.extend(b"\x04\0\x10\0data");
    file.extend((samples.len() as u32).to_le_bytes());
    file.extend(samples);
    std::io::stdout().write_all(&file)
}
