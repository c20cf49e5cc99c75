//! A stream allocates nothing per transfer, feedback included.
//!
//! Why a file of its own? A program has one allocator, and this one counts.
#![allow(unsafe_code)]
#![cfg(feature = "virtual")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Read;

use isoch::audio::{self, Player, Recorder, StreamOptions, Wanted};
use isoch::{Direction, Error};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator as it is; the count is a plain number of this
// thread, which neither allocates nor has a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as promised by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as promised by the caller.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as promised by the caller.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Completions until the emulated device's own log of packets is as long as it will be.
const WARM: u64 = 9000;

/// Counts allocations from then on.
#[derive(Default)]
struct Steady {
    completions: u64,
    before: u64,
    allocations: u64,
}

impl Steady {
    fn completion(&mut self) {
        self.completions += 1;
        if self.completions == WARM {
            self.before = ALLOCATIONS.get();
        }
        self.allocations = ALLOCATIONS.get() - self.before;
    }
}

fn format(device: &isoch::Device, direction: Direction) -> audio::StreamingFormat {
    let wanted = Wanted { direction, channels: 2, bits: 16, float: false, rate: 44_100 };
    audio::choose(&audio::formats(device).unwrap(), wanted).unwrap().clone()
}

#[test]
fn playing_and_recording_allocate_nothing() -> Result<(), Error> {
    for profile in ["exact", "winusb", "usbfs-uhci"] {
        let address = |kind: &str| format!("virtual:allocation-{profile}/{kind}?clock=on-wait&as={profile}");
        let device = isoch::open(&address("speaker"))?;
        let speaker = format(&device, Direction::Out);
        let mut player = Player::open(&device, &speaker, 44_100, StreamOptions::default())?;
        let mut steady = Steady::default();
        let mut source = std::io::repeat(0).take(44_100 * 4 * 30);
        let played = player.play(&mut source, &mut |_| steady.completion(), &false.into())?;
        assert!(played.feedback_values > 0 && steady.completions > WARM + 5000, "{profile}");
        assert_eq!(steady.allocations, 0, "{profile}, playing");
        drop(player);

        let device = isoch::open(&address("microphone"))?;
        let microphone = format(&device, Direction::In);
        let mut recorder = Recorder::open(&device, &microphone, 44_100, StreamOptions::default())?;
        let mut steady = Steady::default();
        let mut sink = |_: &_| {
            steady.completion();
            Ok(())
        };
        recorder.record(Some(44_100 * 30), &mut sink, &false.into())?;
        assert!(steady.completions > WARM + 5000, "{profile}");
        assert_eq!(steady.allocations, 0, "{profile}, recording");
    }
    Ok(())
}
