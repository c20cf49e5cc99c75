//! Three transfers that start on named frames, and where they really went.
//!
//! `cargo run -p isoch --example write_on_a_frame [ADDRESS]`
#![allow(clippy::print_stdout)]

use isoch::{Error, Layout, Start};

fn main() -> Result<(), Error> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "virtual:article".into());
    let device = isoch::open(&address)?;
    let out = device.interface(0)?.alternate_setting(1)?.isoch_out(0x01)?;
    println!("{}", out.capabilities());

    let blocks = out.register(Layout::frames(10).blocks(3))?;
    let mut frame = out.clock().now().frame + 20;
    for number in 0..3 {
        let mut block = blocks.take().wait()?;
        block.bytes_mut().fill(number);
        out.submit(block, Start::At(frame))?;
        println!("transfer {number} asked for frame {frame}");
        frame += 10;
    }
    for number in 0..3 {
        let done = out.next_completion().wait()?;
        let (frames, source) = (done.frames(), done.frame_source());
        println!("transfer {number} used frames {frames:?} ({source}); lost: {:?}", done.gap());
    }
    Ok(())
}
