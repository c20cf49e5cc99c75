//! Playing and recording through devices of the audio class.
//!
//! Why not just write bytes to a [`Stream`](crate::Stream)? Because a stream fills its packets, and an audio
//! packet is as long as the samples that are due in its interval: 44 samples in nine frames of ten and
//! 45 in the tenth, or whatever the device asks for by feedback. Sent full, the same bytes play too fast and
//! run the device's buffer over. And why not a mixer, with formats converted and devices resampled? Because
//! what is played here can be compared with what arrived, byte by byte and frame by frame.
//!
//! ```
//! use isoch::audio::{self, Player, StreamOptions, Wanted};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let device = isoch::open("virtual:audio-example/speaker?clock=on-wait")?;
//! let wanted = Wanted { direction: isoch::Direction::Out, channels: 2, bits: 16, float: false, rate: 44_100 };
//! let streaming = audio::formats(&device)?;
//! let format = audio::choose(&streaming, wanted)?;
//! let start = isoch::Start::At(device.clock().now().frame + 20);
//! let options = StreamOptions { start, ..StreamOptions::default() };
//! let mut player = Player::open(&device, format, 44_100, options)?;
//!
//! let second = vec![0_u8; 44_100 * 4];
//! let played = player.play(&mut &second[..], &mut |_| {}, &false.into())?;
//! assert_eq!(played.sample_frames, 44_100);
//! # Ok(())
//! # }
//! ```

mod follow;
mod meter;
mod open;
mod player;
mod recorder;
mod troubles;

use std::time::Duration;

pub use isoch_core::audio::{
    AudioVersion, Feedback, Malformed, NoMatch, Rates, SampleFormat, Streaming, StreamingFormat,
    Synchronisation, Unsupported, UnsupportedReason, Wanted, WavConversion, choose, request,
};

pub use player::{Played, Player};
pub use recorder::{Recorded, Recorder};

use crate::device::Device;
use crate::{Error, Start};

/// What the device's configuration offers: the formats that can be streamed, and the alternate settings that
/// cannot, each with the reason.
///
/// # Errors
/// [`Error::Unsupported`] if the configuration's descriptors do not follow one another.
pub fn formats(device: &Device) -> Result<Streaming, Error> {
    isoch_core::audio::streaming_formats(device.configuration_bytes()).map_err(|malformed| {
        Error::Unsupported(format!("the device's audio descriptors cannot be read: {malformed}"))
    })
}

/// How a [`Player`] or [`Recorder`] streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamOptions {
    /// Where the first transfer starts. Each further one follows the one before.
    pub start: Start,
    /// How much is queued at the bus, all transfers together. The stream survives being held up for this
    /// long less one transfer; what a player reads from its source is heard this much later.
    pub depth: Duration,
    /// How long one transfer is, in whole frames (milliseconds), rounded down; a quarter of `depth` if not
    /// given. At least a frame, and on a bus that cannot send packets of different lengths in one transfer
    /// exactly a packet.
    pub transfer: Option<Duration>,
    /// Whether a player follows the device's feedback, where it gives some.
    pub feedback: bool,
}

impl Default for StreamOptions {
    /// As soon as possible, 8 ms queued in four transfers, feedback obeyed.
    fn default() -> Self {
        StreamOptions { start: Start::Asap, depth: Duration::from_millis(8), transfer: None, feedback: true }
    }
}
