//! `isoch play`: what the device heard is what the file has, and the report says where it went.

mod common;

use common::{Place, data};
use serde_json::json;

fn play_every(rates: &[u32], bits: &[u16], seconds_64th: u32) {
    for &rate in rates {
        for &bits in bits {
            for channels in [1, 2] {
                let place = Place::new();
                let slots = rate * seconds_64th / 64 + 13;
                place.noise("in.wav", rate, bits, channels, slots);
                place.ok(&[
                    "play",
                    "in.wav",
                    "--device",
                    "virtual:speaker?save=heard.wav",
                    "--clock",
                    "on-wait",
                    "--at",
                    "+20",
                    "--report",
                    "r.json",
                ]);
                let case = format!("{rate} Hz, {bits} bits, {channels} channels");
                assert!(data(&place.read("heard.wav")) == data(&place.read("in.wav")), "{case}");
                let report = place.json("r.json");
                assert_eq!(report["requested_frame"], 20, "{case}");
                assert_eq!(report["first_frame"], 20, "{case}");
                let bytes = slots * u32::from(channels) * u32::from(bits / 8);
                assert_eq!(report["bytes"], bytes, "{case}");
                // A packet in every frame, and feedback may ask for a sample more or less now and then.
                let frames = report["frame_count"].as_u64().unwrap();
                let nominal = u64::from((slots * 10).div_ceil(rate / 100));
                assert!(frames.abs_diff(nominal) <= 1, "{case}: {frames} frames, not {nominal}");
                assert_eq!(report["packets"], frames, "{case}");
                assert_eq!(report["next_frame"], 20 + frames, "{case}");
                assert_eq!(report["gaps"], json!([]), "{case}");
                assert_eq!(report["frame_source"], "reported", "{case}");
                assert_eq!(report["uncertainty"], 0, "{case}");
                assert_eq!(report["result"], "placed", "{case}");
                assert_eq!(
                    report["stream"]["format"],
                    json!({"rate": rate, "bits": bits, "channels": channels})
                );
                assert_eq!(report["device"]["facts"]["overruns"], 0, "{case}");
                assert_eq!(place.names(), ["heard.wav", "in.wav", "r.json"], "{case}");
            }
        }
    }
}

#[test]
fn the_usual_formats_arrive_byte_for_byte() {
    play_every(&[44_100, 48_000, 96_000], &[16, 24], 64);
}

#[test]
fn the_unusual_formats_too() {
    play_every(&[8_000, 16_000, 32_000, 44_100, 48_000, 96_000], &[8, 32], 16);
}

#[test]
fn in_real_time_at_the_default_depth() {
    let place = Place::new();
    place.noise("in.wav", 48_000, 16, 2, 24_000);
    let device = "virtual:speaker?save=heard.wav";
    let ran = place.run(&["play", "in.wav", "--device", device, "--report", "r.json"]);
    let report = place.json("r.json");
    let stalls = report["emulator_stalls"]["count"].as_u64().unwrap();
    if report["gaps"] == json!([]) {
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        assert!(data(&place.read("heard.wav")) == data(&place.read("in.wav")));
    } else {
        // A machine that stands still for longer than the queue: it has held up the emulator, which says so,
        // or the program, which then came too late to go on.
        assert_eq!(ran.status, 3, "{}", ran.stderr);
        let gaps = report["gaps"].as_array().unwrap();
        assert!(stalls > 0 || gaps.iter().all(|gap| gap["cause"] == "queue_ran_dry"), "{report:#}");
    }
    assert_eq!(stalls > 0, ran.stderr.contains("held the emulated bus up"), "{}", ran.stderr);
    assert!(report["wake_up"]["count"].as_u64().unwrap() > 0);
}

#[test]
fn the_readme_s_file_plays() {
    let place = Place::new();
    let melody = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/melody.wav");
    let device = "virtual:speaker?save=heard.wav";
    let ran = place.ok(&["play", melody, "--device", device, "--clock", "on-wait"]);
    assert!(place.read("heard.wav") == std::fs::read(melody).unwrap());
    assert!(ran.stderr.contains("frames 2 to 2001 (reported; 2.000 s): nothing was lost."), "{}", ran.stderr);
    assert!(ran.stdout.is_empty());
}

const LOSSES: &str = "
clock = 'on-wait'
[[device]]
kind = 'speaker'
save = 'heard.wav'
fault = [
    { frames = [100, 110], kind = 'host_missed' },
    { frames = [120, 121], kind = 'host_late' },
    { frames = [200, 203], kind = 'lost_on_wire' },
]
";

#[test]
fn what_the_host_knows_to_be_lost_is_told() {
    let place = Place::new();
    place.noise("in.wav", 48_000, 16, 2, 48_000);
    // TOML wants plain keys before tables.
    let (keys, faults) = LOSSES.split_once("fault =").unwrap();
    place.write("bus.toml", format!("fault ={faults}{keys}"));
    let arguments = [
        "play",
        "in.wav",
        "--device",
        "virtual:bus.toml",
        "--at",
        "+20",
        "--report",
        "r.json",
        "--plot",
        "p.svg",
    ];
    let ran = place.run(&arguments);
    assert_eq!(ran.status, 3, "{}", ran.stderr);
    let report = place.json("r.json");
    let gap = |first: u64, count: u64, cause: &str| json!({"first_frame": first, "frame_count": count, "intervals": count, "cause": cause, "uncertainty": 0});
    assert_eq!(report["gaps"], json!([gap(100, 10, "host_missed"), gap(120, 1, "late")]));
    assert_eq!((&report["missed"], &report["late"], &report["failed"]), (&json!(10), &json!(1), &json!(0)));
    assert_eq!((&report["gap_count"], &report["intervals_lost"]), (&json!(2), &json!(11)));
    assert_eq!(report["result"], "lost");
    assert!(ran.stderr.contains("LOST: 11 intervals in 2 gaps"), "{}", ran.stderr);
    assert!(ran.stderr.contains("frames 100–109: 10 intervals lost, the host controller missed them"));
    let plot = String::from_utf8(place.read("p.svg")).unwrap();
    assert!(plot.contains(">frames 100–109<") && plot.contains(">frame 120<"), "{plot}");
    // The device has what neither the host nor the wire lost.
    let lost = data(&place.read("in.wav")).len() - data(&place.read("heard.wav")).len();
    assert_eq!(lost, (11 + 3) * 192);
}

#[test]
fn a_bus_that_confirms_nothing_says_so() {
    let place = Place::new();
    place.noise("in.wav", 44_100, 16, 2, 44_100);
    for (at, first) in [("asap", None), ("+20", Some(20))] {
        let device = "virtual:speaker?as=winusb&save=heard.wav";
        let arguments =
            ["play", "in.wav", "--device", device, "--clock", "on-wait", "--at", at, "--report", "r.json"];
        let ran = place.ok(&arguments);
        assert!(ran.stderr.contains("delivery cannot be verified on this bus"), "{}", ran.stderr);
        let report = place.json("r.json");
        assert_eq!(report["result"], "unverifiable");
        if let Some(first) = first {
            assert_eq!(report["first_frame"], first);
        }
        assert!(matches!(report["frame_source"].as_str(), Some("assumed" | "estimated")), "{report:#}");
        assert_eq!(report["unknowable"], report["transfers"]);
        assert_eq!(report["unknown"], report["packets"]);
        assert_eq!(report["bytes"], 0);
        assert_eq!(report["bytes_handed_over"], 44_100 * 4);
        assert!(data(&place.read("heard.wav")) == data(&place.read("in.wav")));
    }
}

#[test]
fn a_part_of_a_file() {
    let place = Place::new();
    place.noise("in.wav", 44_100, 24, 1, 44_100);
    let device = "virtual:speaker?save=heard.wav";
    place.ok(&["play", "in.wav", "--device", device, "--clock", "on-wait", "--for", "0.1s", "-q"]);
    assert!(data(&place.read("heard.wav")) == &data(&place.read("in.wav"))[..4410 * 3]);
}

#[test]
fn a_device_that_is_unplugged_is_an_error_with_a_report() {
    let place = Place::new();
    place.noise("in.wav", 48_000, 16, 2, 48_000);
    place.write(
        "bus.toml",
        "clock = 'on-wait'\n[[device]]\nkind = 'speaker'\n[[fault]]\nframe = 300\nkind = 'unplug'\ndevice = 'speaker'",
    );
    let ran =
        place.run(&["play", "in.wav", "--device", "virtual:bus.toml", "--at", "20", "--report", "r.json"]);
    assert_eq!(ran.status, 1);
    assert!(ran.stderr.contains("isoch: the device was unplugged: plug it in"), "{}", ran.stderr);
    let report = place.json("r.json");
    assert_eq!((&report["result"], &report["next_frame"]), (&json!("failed"), &json!(300)));
    assert_eq!(place.names(), ["bus.toml", "in.wav", "r.json"]);
}
