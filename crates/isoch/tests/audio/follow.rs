//! A device with its own clock is followed, for as long as it runs.
//!
//! The speaker for an hour; buses that tell less, and the controls, for minutes, or an hour with
//! `ISOCH_LONG_TESTS=1`.

use std::io::Read;
use std::time::Duration;

use isoch::audio::StreamOptions;
use isoch::emulated::BusClock;
use isoch::emulated::profile::Profile;
use isoch::{Start, VirtualBus};

use crate::rig::{fact, player};

const HOUR: u64 = 3600;

/// Seconds.
fn minutes() -> u64 {
    if std::env::var_os("ISOCH_LONG_TESTS").is_some() { HOUR } else { 150 }
}

fn bus(profile: &str, ppm: &str) -> VirtualBus {
    let profile = Profile::named(profile).unwrap();
    let bus = VirtualBus::builder().clock(BusClock::OnWait).profile(profile).build();
    bus.plug_kind("speaker", "speaker", &[("device_ppm", ppm)]).unwrap();
    bus
}

struct Outcome {
    underruns: i64,
    overruns: i64,
    fill: (i64, i64),
    played: isoch::audio::Played,
}

fn listen(profile: &str, ppm: &str, feedback: bool, depth: u64, seconds: u64) -> Outcome {
    let bus = bus(profile, ppm);
    let device = bus.open("speaker").unwrap();
    let start = Start::At(device.clock().now().frame + 20);
    let options =
        StreamOptions { start, feedback, depth: Duration::from_millis(depth), ..StreamOptions::default() };
    let mut player = player(&device, 48_000, options);
    let mut silence = std::io::repeat(0).take(seconds * 48_000 * 4);
    let played = player.play(&mut silence, &mut |_| {}, &false.into()).unwrap();
    assert_eq!(played.sample_frames, seconds * 48_000);
    assert_eq!(played.statistics.gaps, 0);
    let of = |name| fact(&bus, "speaker", name);
    Outcome {
        underruns: of("underruns"),
        overruns: of("overruns"),
        fill: (of("fill_least"), of("fill_most")),
        played,
    }
}

#[test]
fn with_feedback_the_buffer_keeps_its_level() {
    for (profile, ppm, depth, seconds) in [
        ("exact", 200, 8, HOUR),
        ("exact", -200, 8, HOUR),
        ("exact", 200, 64, minutes()),
        ("usbfs-uhci", -200, 8, minutes()),
        ("usbip-stub", 200, 16, minutes()),
    ] {
        let heard = listen(profile, &ppm.to_string(), true, depth, seconds);
        let played = &heard.played;
        assert_eq!((heard.underruns, heard.overruns), (0, 0), "{profile} {ppm}: {played:?}");
        // Of 960 samples, half full is 480; packets come and go by 48.
        assert!(heard.fill.0 > 240 && heard.fill.1 < 720, "{profile} {ppm}: {:?}", heard.fill);
        let (least, most) = (played.smallest_rate.unwrap(), played.largest_rate.unwrap());
        let device = 48_000.0 * (1.0 + f64::from(ppm) / 1e6);
        assert!(least <= device && device <= most, "{profile} {ppm}: {least} to {most}");
        assert!(least > 47_000.0 && most < 49_000.0, "{profile} {ppm}: {least} to {most}");
        assert_eq!((played.feedback_ignored, played.sample_frames_refused), (0, 0));
    }
}

#[test]
fn without_feedback_it_does_not() {
    let fast = listen("exact", "200", false, 8, minutes());
    assert!(fast.underruns > 0 && fast.overruns == 0, "{:?}", fast.played);
    let slow = listen("exact", "-200", false, 8, minutes());
    assert!(slow.overruns > 0 && slow.underruns == 0, "{:?}", slow.played);
    for played in [fast.played, slow.played] {
        assert_eq!((played.feedback_values, played.smallest_rate), (0, None));
    }
    // A device that plays at the bus's rate needs none.
    let exact = listen("exact", "0", false, 8, minutes());
    assert_eq!((exact.underruns, exact.overruns), (0, 0));
}

#[test]
fn what_happens_is_always_the_same() {
    let once = listen("usbfs-uhci", "123.456", true, 8, minutes());
    let again = listen("usbfs-uhci", "123.456", true, 8, minutes());
    assert_eq!((once.played, once.fill), (again.played, again.fill));
}
