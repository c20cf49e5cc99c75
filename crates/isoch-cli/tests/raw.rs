//! `isoch record`, `write` and `read`.

mod common;

use std::io::Write;
use std::process::Stdio;

#[cfg(unix)]
use common::data;
use common::{Place, ran, samples};
use serde_json::json;

#[test]
fn what_a_microphone_hears_is_recorded() {
    for (rate, bits, channels) in [(44_100, 16, 2), (48_000, 24, 1), (96_000, 32, 2), (8_000, 8, 1)] {
        let place = Place::new();
        place.noise("in.wav", rate, bits, channels, rate);
        let arguments =
            ["record", "out.wav", "--device", "virtual:microphone?file=in.wav", "--clock", "on-wait"];
        let (rate, bits) = (rate.to_string(), bits.to_string());
        let format =
            ["--rate", &rate, "--bits", &bits, "--for", "500ms", "--at", "+10", "--report", "r.json"];
        place.ok(&[&arguments[..], &format[..]].concat());
        let (heard, recorded) = (samples(&place.path("in.wav")), samples(&place.path("out.wav")));
        assert_eq!(heard.0, recorded.0);
        let half = recorded.1.len();
        assert_eq!(half, rate.parse::<usize>().unwrap() / 2 * usize::from(channels));
        assert!(recorded.1 == heard.1[..half]);
        let report = place.json("r.json");
        assert_eq!((&report["first_frame"], &report["result"]), (&json!(10), &json!("placed")));
        assert_eq!(place.names(), ["in.wav", "out.wav", "r.json"]);
    }
}

#[test]
fn where_packets_were_lost_there_is_silence() {
    let place = Place::new();
    place.noise("in.wav", 48_000, 16, 1, 48_000);
    place.write(
        "bus.toml",
        "clock = 'on-wait'\n[[device]]\nkind = 'microphone'\nfile = 'in.wav'\n[[fault]]\nframes = [50, 60]\nkind = 'crc_error'",
    );
    let ran =
        place.run(&["record", "out.wav", "--device", "virtual:bus.toml", "--for", "200ms", "--at", "10"]);
    assert_eq!(ran.status, 3, "{}", ran.stderr);
    assert!(ran.stderr.contains("LOST: 10 packets failed on the bus.\n"), "{}", ran.stderr);
    assert!(ran.stderr.contains("  frames 50–59: 10 packets failed on the bus\n"), "{}", ran.stderr);
    let (heard, recorded) = (samples(&place.path("in.wav")).1, samples(&place.path("out.wav")).1);
    assert_eq!(recorded.len(), 9600);
    let (lost, found) = (40 * 48, 50 * 48);
    assert!(recorded[..lost] == heard[..lost]);
    assert!(recorded[lost..found].iter().all(|sample| *sample == 0));
    assert!(recorded[found..] == heard[found..9600]);
}

#[test]
fn a_recording_that_fails_is_kept_whole() {
    let place = Place::new();
    place.write(
        "bus.toml",
        "clock = 'on-wait'\n[[device]]\nkind = 'microphone'\n[[fault]]\nframe = 100\nkind = 'unplug'\ndevice = 'microphone'",
    );
    let ran = place.run(&["record", "out.wav", "--device", "virtual:bus.toml", "--for", "1s"]);
    assert_eq!(ran.status, 1);
    assert!(ran.stderr.contains("unplugged"), "{}", ran.stderr);
    assert!(ran.stderr.contains("what was recorded before is in"), "{}", ran.stderr);
    let (spec, samples) = samples(&place.path("out.wav"));
    assert_eq!((spec.sample_rate, spec.bits_per_sample, spec.channels), (48_000, 16, 2));
    assert!((90 * 96..=98 * 96).contains(&samples.len()), "{}", samples.len());
    assert_eq!(place.names(), ["bus.toml", "out.wav"]);
}

#[test]
fn raw_bytes_go_out_in_full_packets() {
    let place = Place::new();
    let bytes: Vec<u8> = (0..100_001_u32).map(|n| (n * 7 % 251) as u8).collect();
    place.write("in.bin", &bytes);
    let device = ["--device", "virtual:article", "--clock", "on-wait", "--report", "r.json"];
    place
        .ok(&[&["write", "in.bin", "-e", "1", "-a", "1", "--interface", "0", "--at", "+5"][..], &device]
            .concat());
    let report = place.json("r.json");
    assert_eq!(report["packets"], 98);
    assert_eq!(report["bytes"], 100_001);
    assert_eq!((&report["first_frame"], &report["next_frame"]), (&json!(5), &json!(5 + 13)));
    assert_eq!(report["stream"]["period_microframes"], 1);

    // The same from a pipe, in packets of its own size.
    let mut child = place
        .command(&[&["write", "-", "--packet", "100"][..], &device].concat())
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&bytes).unwrap();
    let ran = ran(child.wait_with_output().unwrap());
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let report = place.json("r.json");
    assert_eq!((&report["packets"], &report["bytes"]), (&json!(1001), &json!(100_001)));
}

#[test]
fn raw_bytes_come_in_as_the_device_sends_them() {
    let place = Place::new();
    let device = ["--device", "virtual:source-sink?pattern=1", "--clock", "on-wait"];
    let there = ["--interface", "0", "-a", "1", "--for", "100ms", "--report", "r.json"];
    place.ok(&[&["read", "out.bin"][..], &device, &there].concat());
    let bytes = place.read("out.bin");
    let report = place.json("r.json");
    assert_eq!(report["packets"], 100);
    assert_eq!(report["bytes"], bytes.len());
    assert!(bytes.iter().enumerate().all(|(index, byte)| *byte == (index % 1024 % 63) as u8));
    let ran = place.ok(&[&["read", "-", "-q"][..], &device, &there].concat());
    assert!(ran.stdout == bytes);
    assert!(ran.stderr.is_empty());
}

#[test]
fn a_reader_that_goes_away_ends_the_stream() {
    let place = Place::new();
    let mut child = place
        .command(&["read", "-", "--device", "virtual:article", "--report", "r.json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ran = ran(child.wait_with_output().unwrap());
    assert!(ran.status == 0 || ran.status == 3, "{}", ran.stderr);
    assert!(!ran.stderr.contains("panic"), "{}", ran.stderr);
    assert!(place.json("r.json")["packets"].as_u64().unwrap() > 0);
    for arguments in [&["list"][..], &["describe"], &["list", "--json"], &["completions", "bash"], &["man"]] {
        let mut child =
            place.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let ran = common::ran(child.wait_with_output().unwrap());
        assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{arguments:?}");
    }
}

/// Sends SIGINT as a terminal does.
#[cfg(unix)]
fn interrupt(child: &std::process::Child) {
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
}

#[cfg(unix)]
#[test]
fn ctrl_c_drains_and_reports() {
    use std::time::Duration;
    let cases: [(&[&str], &str); 4] = [
        (&["record", "out.wav", "--report", "r.json"], "out.wav"),
        (&["read", "out.bin", "--device", "virtual:article", "--report", "r.json"], "out.bin"),
        (
            &["play", "long.wav", "--device", "virtual:speaker?save=heard.wav", "--report", "r.json"],
            "heard.wav",
        ),
        // A pipe that gives nothing more must not hold it up.
        (&["write", "-", "--device", "virtual:article", "--report", "r.json"], "r.json"),
    ];
    for (arguments, file) in cases {
        let place = Place::new();
        place.noise("long.wav", 48_000, 16, 2, 48_000 * 60);
        let mut child =
            place.command(arguments).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        if arguments[0] == "write" {
            input.write_all(&[1; 600_000]).unwrap();
        }
        std::thread::sleep(Duration::from_millis(700));
        interrupt(&child);
        let ran = ran(child.wait_with_output().unwrap());
        drop(input);
        assert!(ran.status == 0 || ran.status == 3, "{arguments:?}: {} {}", ran.status, ran.stderr);
        assert!(ran.stderr.contains("(interrupted)"), "{arguments:?}: {}", ran.stderr);
        let report = place.json("r.json");
        assert_eq!(report["interrupted"], true);
        assert!(report["packets"].as_u64().unwrap() > 50, "{arguments:?}: {report:#}");
        assert_eq!(report["cancelled"], 0, "{arguments:?}: it drains");
        let bytes = place.read(file);
        if file == "heard.wav" && ran.status == 0 {
            let played = data(&bytes).len();
            assert!(data(&bytes) == &data(&place.read("long.wav"))[..played]);
            assert_eq!(report["bytes"], played);
        }
        if file == "out.wav" {
            assert!(!samples(&place.path(file)).1.is_empty());
        }
        assert!(place.names().iter().all(|name| !name.contains("partial")), "{:?}", place.names());
    }
}

#[test]
fn the_report_tells_where_packets_failed() {
    let place = Place::new();
    place.write(
        "bus.toml",
        "clock = 'on-wait'\n[[device]]\nkind = 'article'\n[[fault]]\nframe = 9\nkind = 'crc_error'\n[[fault]]\nframes = \
         [20, 22]\nkind = 'babble'\n",
    );
    let arguments = ["read", "x", "--device", "virtual:bus.toml", "--for", "50ms", "--at", "5"];
    let ran = place.run(&[&arguments[..], &["--report", "r.json"]].concat());
    assert_eq!(ran.status, 3, "{}", ran.stderr);
    let report = place.json("r.json");
    assert_eq!((&report["failed"], &report["gap_count"]), (&json!(24), &json!(0)));
    let failures = json!([
        { "first_frame": 9, "frame_count": 1, "packets": 8 },
        { "first_frame": 20, "frame_count": 2, "packets": 16 },
    ]);
    assert_eq!(report["failures"], failures);
    assert!(ran.stderr.contains("  frame 9: 8 packets failed on the bus\n"), "{}", ran.stderr);
}

#[test]
fn an_endpoint_on_which_nothing_sends_is_said_to_be_so() {
    let place = Place::new();
    let arguments = ["read", "x", "--device", "virtual:loopback", "--clock", "on-wait", "--for", "50ms"];
    let ran = place.run(&arguments);
    assert!(
        ran.stderr.contains("All packets were empty: nothing sends on this endpoint.\n"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_device_that_comes_later_is_waited_for() {
    let place = Place::new();
    for clock in ["on-wait", "real"] {
        place.write(
            "late.toml",
            "[[device]]\nkind = 'article'\n[[device]]\nname = 'guest'\nkind = 'microphone'\nplug_at = 700\n",
        );
        let record =
            ["record", "x.wav", "--device", "virtual:late.toml/guest", "--clock", clock, "--for", "50ms"];
        let ran = place.run(&record);
        assert_eq!(ran.status, 1, "{}", ran.stderr);
        assert!(ran.stderr.contains("not plugged in now"), "{}", ran.stderr);
        let ran = place.run(&[&record[..], &["--wait", "200ms"]].concat());
        assert_eq!(ran.status, 1, "{}", ran.stderr);
        let ran = place.run(&[&record[..], &["--wait", "5s", "--report", "r.json"]].concat());
        assert!(ran.status == 0 || (clock == "real" && ran.status == 3), "{}", ran.stderr);
        assert!(place.json("r.json")["first_frame"].as_u64().unwrap() >= 700);
    }
}
