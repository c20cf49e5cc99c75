//! What the C layer costs over the Rust API, in nanoseconds: the same calls in turn, medians of many runs.

#![allow(missing_docs)]

fn main() {
    #[cfg(not(windows))]
    measured::run();
}

#[cfg(not(windows))]
mod measured {
    use std::hint::black_box;
    use std::time::Duration;

    use isoch_benches::layers::{InC, InRust, TRANSFERS};
    use isoch_benches::{print, timed};

    const RUNS: usize = 2001;

    pub(super) fn run() {
        let mut c = InC::new("nanoseconds");
        let mut rust = InRust::new();
        let (mut write_c, mut write_rust) = (Vec::new(), Vec::new());
        let (mut poll, mut frame_c, mut frame_rust) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..RUNS {
            c.ask_for_start();
            write_c.push(timed(|| c.write()).1);
            poll.push(
                timed(|| {
                    black_box(c.poll());
                })
                .1,
            );
            c.finish();
            rust.ask_for_start();
            write_rust.push(timed(|| rust.write()).1);
            rust.finish();
            frame_c.push(
                timed(|| {
                    for _ in 0..TRANSFERS {
                        black_box(c.current_frame());
                    }
                })
                .1,
            );
            frame_rust.push(
                timed(|| {
                    for _ in 0..TRANSFERS {
                        black_box(rust.current_frame());
                    }
                })
                .1,
            );
        }
        let [write_c, write_rust, poll, frame_c, frame_rust] =
            [write_c, write_rust, poll, frame_c, frame_rust].map(median);
        print(format_args!("nanoseconds a call                C     Rust  the layer"));
        print(format_args!(
            "WriteIsochPipe, 8 packets  {write_c:8.0} {write_rust:8.0} {:10.0}",
            write_c - write_rust
        ));
        print(format_args!("GetOverlappedResult(FALSE) {poll:8.0}        - {poll:10.0}"));
        print(format_args!(
            "GetCurrentFrameNumber      {frame_c:8.0} {frame_rust:8.0} {:10.0}",
            frame_c - frame_rust
        ));
    }

    /// Of one call.
    fn median(mut times: Vec<Duration>) -> f64 {
        times.sort_unstable();
        times[times.len() / 2].as_nanos() as f64 / f64::from(TRANSFERS)
    }
}
