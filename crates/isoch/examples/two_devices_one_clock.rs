//! A microphone and a speaker on one controller, in one async task: both see the same frames, so what one hears
//! can be put to the other exactly a fixed number of frames later.
//!
//! `cargo run -p isoch --example two_devices_one_clock`
#![allow(clippy::print_stdout)]

use futures_lite::future;
use isoch::{Error, Layout, Start};

/// Frames between hearing and saying.
const DELAY: u64 = 20;

fn main() -> Result<(), Error> {
    // One bus, and so one frame clock.
    let microphone = isoch::open("virtual:duplex/microphone?clock=on-wait&bits=16&channels=2")?;
    let speaker = isoch::open("virtual:duplex/speaker?bits=16&channels=2&sync=adaptive")?;
    let input = microphone.interface(1)?.alternate_setting(1)?.isoch_in(0x81)?;
    let output = speaker.interface(1)?.alternate_setting(1)?.isoch_out(0x01)?;

    let heard = input.register(Layout::frames(4).blocks(4))?;
    let said = output.register(Layout::frames(4).blocks(8))?;
    let mut start = Start::At(input.clock().now().frame + 4);
    future::block_on(async {
        for round in 0..100 {
            while let Some(block) = heard.take().now() {
                input.submit(block, start)?;
                start = Start::Continue;
            }
            let done = input.next_completion().await?;
            let Some(frames) = done.frames() else { continue };
            let mut block = said.take().await?;
            let mut lengths = Vec::new();
            let mut written = 0;
            for packet in done.packets() {
                let bytes = packet.bytes();
                block.bytes_mut()[written..written + bytes.len()].copy_from_slice(bytes);
                written += bytes.len();
                lengths.push(bytes.len() as u32);
            }
            block.set_packet_lengths(&lengths)?;
            output.submit(block, Start::At(frames.start + DELAY))?;
            if round % 25 == 0 {
                println!("heard in frames {frames:?}, said from frame {}", frames.start + DELAY);
            }
            while output.next_completion().now().is_some() {}
        }
        Ok::<(), Error>(())
    })?;
    let statistics = output.statistics();
    println!("{} packets said, {} gaps", statistics.packets_done, statistics.gaps);
    Ok(())
}
