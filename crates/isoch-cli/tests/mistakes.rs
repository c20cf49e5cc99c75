//! Bad input: a sentence that says what to do, an exit status, and nothing left behind.

mod common;

use common::Place;

/// A run that must fail, with its sentence, and leave no new files.
fn refuse(place: &Place, arguments: &[&str], status: i32, fragment: &str) {
    let before = place.names();
    let ran = place.run(arguments);
    assert_eq!(ran.status, status, "{arguments:?}: {}", ran.stderr);
    assert!(ran.stderr.contains(fragment), "{arguments:?}: {}\nwithout: {fragment}", ran.stderr);
    assert!(ran.stdout.is_empty(), "{arguments:?}");
    for bad in ["panicked", "os error", "Error {", "Some(", "None"] {
        assert!(!ran.stderr.contains(bad), "{arguments:?}: {}", ran.stderr);
    }
    assert_eq!(place.names(), before, "{arguments:?}");
}

#[test]
fn wav_files_that_cannot_be_played() {
    let place = Place::new();
    place.noise("good.wav", 48_000, 16, 2, 4_800);
    let good = place.read("good.wav");
    let with = |at: usize, bytes: &[u8]| {
        let mut file = good.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    };
    place.write("empty.wav", []);
    place.write("text.wav", "This is no sound at all, only words.");
    place.write("short.wav", &good[..10]);
    place.write("header.wav", &good[..30]);
    place.write("cut.wav", &good[..good.len() - 1000]);
    place.write("part.wav", with(40, &9_599_u32.to_le_bytes()));
    place.write("mp3.wav", with(20, &[0x55, 0]));
    place.write("float.wav", with(20, &[3, 0]));
    place.write("align.wav", with(32, &[3, 0]));
    place.write("none.wav", with(22, &[0, 0]));
    place.write("order.wav", with(12, b"LIST"));
    place.noise("silent.wav", 48_000, 16, 2, 0);
    place.noise("rate.wav", 11_025, 16, 2, 100);
    place.noise("six.wav", 48_000, 16, 6, 100);
    place.noise("many.wav", 48_000, 16, 300, 1);
    let outputs = ["--report", "r.json", "--plot", "p.svg", "--clock", "on-wait"];
    for (file, fragment) in [
        (
            "missing.wav",
            "missing.wav: cannot be read (No such file or directory): give the path of a WAV file",
        ),
        (".", "is a directory"),
        ("empty.wav", "is empty: give a WAV file with samples"),
        ("text.wav", "is no WAV file: convert it"),
        ("short.wav", "is cut off within its header"),
        ("header.wav", "is cut off within its header"),
        ("cut.wav", "is cut off: its header promises 19200 bytes of samples and 18200 are there"),
        ("part.wav", "no multiple of 4"),
        ("mp3.wav", "format 0x0055, not PCM: convert it to integers of 8, 16, 24 or 32 bits"),
        ("float.wav", "has floating-point samples: convert it to integers"),
        ("align.wav", "contradicts itself"),
        ("none.wav", "contradicts itself"),
        ("order.wav", "contradicts itself"),
        ("silent.wav", "has no samples: there is nothing to play"),
        ("rate.wav", "no playback of 2 channels, 16 bits, 11025 Hz. The device offers:\n  interface 1"),
        ("six.wav", "no playback of 6 channels"),
        ("many.wav", "no playback of 255 channels"),
    ] {
        refuse(&place, &[&["play", file][..], &outputs].concat(), 1, fragment);
    }
    // Every cut, wherever it is.
    for length in 0..44 {
        place.write("at.wav", &good[..length]);
        refuse(&place, &["play", "at.wav", "--report", "r.json"], 1, "at.wav: ");
    }
}

#[test]
fn devices_and_endpoints_that_do_not_exist() {
    let place = Place::new();
    place.noise("good.wav", 48_000, 16, 2, 100);
    place.write("good.bin", [1; 4096]);
    let write = |more: &[&'static str]| [&["write", "good.bin", "--report", "r.json"][..], more].concat();
    for (more, status, fragment) in [
        (vec!["--device", "speaker"], 2, "it begins with a bus, as in `virtual:speaker`"),
        (vec!["--device", "serial:1234"], 2, "there is no bus `serial`"),
        (vec!["--device", "virtual:tuba"], 1, "the built-in devices are"),
        (vec!["--device", "virtual:"], 2, "names no device"),
        (vec!["--device", "virtual:speaker?volume=11"], 2, "has no parameter 'volume'; it has: save"),
        (vec!["--device", "virtual:speaker?clock=sundial"], 2, "there is no clock"),
        (vec!["--device", "virtual:speaker?as=windows"], 2, "there is no profile `windows`; there are exact"),
        (vec!["--device", "virtual:speaker?clock=real", "--clock", "on-wait"], 2, "contradicts clock=real"),
        (vec!["--device", "usb:1:2", "--clock", "real"], 2, "is for emulated devices"),
        (vec!["--device", "virtual:none.toml"], 2, "none.toml: cannot be read"),
        (
            vec![],
            2,
            "choose with --interface, -a and -e\n  --interface 1 -a 1 -e 0x01   up to 97 bytes every 1 ms",
        ),
        (vec!["--interface", "7"], 2, "no interface 7; it has 0 and 1"),
        (
            vec!["--interface", "1", "-a", "9"],
            2,
            "no alternate setting 9; it has 0, 1, 2, 3, 4, 5, 6, 7 and 8",
        ),
        (vec!["-e", "2"], 2, "no such isochronous OUT endpoint; it has\n  --interface 1 -a 1 -e 0x01"),
        (vec!["-e", "0x81"], 2, "0x81 is an IN endpoint"),
        (vec!["--device", "virtual:microphone"], 1, "has no isochronous OUT endpoint"),
        (vec!["-a", "4", "--packet", "389"], 2, "an interval of this endpoint carries at most 388 bytes"),
        (vec!["-a", "4", "--at", "0"], 2, "frame 0 is gone or too near"),
        (vec!["-a", "4", "--at", "+0"], 2, "use --at +1 or more"),
        (vec!["-a", "4", "--at", "soon"], 2, "it takes a frame number, as 1200; +N"),
        (vec!["-a", "4", "--depth", "8"], 2, "whole milliseconds up to 60 s, as 8ms"),
        (vec!["-a", "4", "--depth", "0frames"], 2, "whole milliseconds up to 60 s, as 8ms"),
        (
            vec!["-a", "4", "--depth", "8ms", "--transfer", "9ms"],
            2,
            "make the depth at least twice the transfer",
        ),
        (vec!["-a", "4", "--for", "never"], 2, "a time with its unit"),
        (vec!["-e", "99"], 2, "it takes an endpoint's address, as 0x81"),
    ] {
        refuse(&place, &write(&more), status, fragment);
    }
    refuse(&place, &["write", "none.bin"], 1, "none.bin: cannot be read");
    place.write("empty.bin", []);
    refuse(&place, &["write", "empty.bin", "-a", "4"], 1, "there are no bytes to write");
    refuse(&place, &["write", "-", "-a", "4"], 1, "there are no bytes to write");
    refuse(
        &place,
        &["read", "out.bin", "--device", "virtual:speaker?bits=16"],
        2,
        "several isochronous IN endpoints",
    );
    let play = |device| ["play", "good.wav", "--device", device, "--report", "r.json"];
    refuse(&place, &play("virtual:microphone"), 1, "The device offers nothing in this direction");
    refuse(&place, &play("virtual:article"), 1, "The device offers nothing in this direction");
    refuse(
        &place,
        &play("virtual:speaker?bits=24"),
        1,
        "The device offers:\n  interface 1 alternate setting 1",
    );
    let record = ["record", "out.wav", "--device", "virtual:speaker"];
    refuse(&place, &record, 1, "virtual:speaker has no audio to record");
    refuse(
        &place,
        &["record", "out.wav", "--rate", "12345"],
        2,
        "records nothing like that; it offers:\n  interface",
    );
    refuse(
        &place,
        &["record", "out.wav", "-e", "5"],
        2,
        "no audio there in this direction; it has\n  interface 1",
    );
    refuse(&place, &["play", "good.wav", "-a", "9", "--interface", "1"], 2, "no alternate setting 9");
    refuse(
        &place,
        &["play", "good.wav", "-e", "9"],
        2,
        "no audio there in this direction; it has\n  interface 1",
    );
    refuse(&place, &["record", "-"], 2, "use `isoch read -`");
    refuse(&place, &["play", "-"], 2, "it cannot come from the standard input: name a file");
    let manual = ["play", "good.wav", "--device", "virtual:speaker?clock=manual"];
    refuse(&place, &manual, 1, "use --clock on-wait or --clock real");
    refuse(&place, &["play"], 2, "Usage: isoch play");
    refuse(&place, &["sing"], 2, "unrecognized subcommand");
}

#[test]
fn a_device_without_isochronous_endpoints() {
    // Gadget zero without its isochronous setting is not on offer, so this is about a direction.
    let place = Place::new();
    refuse(
        &place,
        &["read", "x", "--device", "virtual:speaker?sync=adaptive"],
        1,
        "has no isochronous IN endpoint",
    );
}

#[test]
fn bus_files_with_mistakes() {
    let place = Place::new();
    for (text, fragment) in [
        ("", "bus.toml:1:1: there is no device: add [[device]]"),
        ("x = [1", "this is not TOML"),
        ("clock = 'sundial'\n", "there is no clock 'sundial'"),
        ("[[device]]\nkind = 'tuba'", "there is no kind 'tuba'"),
        ("[[device]]\nkind = 'speaker'\nvolume = 11", "has no 'volume'"),
        (
            "[[device]]\nkind = 'speaker'\n[[fault]]\nkind = 'gremlin'\nframe = 1",
            "there is no kind 'gremlin'",
        ),
    ] {
        place.write("bus.toml", text);
        let address = "virtual:bus.toml";
        for arguments in [&["describe", address][..], &["list", address], &["read", "x", "--device", address]]
        {
            refuse(&place, arguments, 2, fragment);
        }
    }
    place.write("bus.toml", "[[device]]\nkind = 'speaker'\n");
    refuse(&place, &["describe", "virtual:bus.toml/flute"], 1, "the file describes speaker");
    refuse(&place, &["describe", "virtual:bus.toml?bits=16"], 2, "`bits` belongs into the file");
}

#[test]
fn files_that_cannot_be_written_are_found_out_before_anything_is_sent() {
    let place = Place::new();
    place.noise("good.wav", 48_000, 16, 2, 48_000);
    std::fs::create_dir(place.path("folder")).unwrap();
    let fragment = "a file cannot be made there (No such file or directory): give a name in a directory you may write to";
    for option in ["--report", "--plot"] {
        let play = ["play", "good.wav", "--device", "virtual:speaker?save=heard.wav", option];
        refuse(&place, &[&play[..], &["no/such/file"]].concat(), 1, fragment);
        refuse(&place, &[&play[..], &["folder"]].concat(), 1, "this is a directory");
        refuse(&place, &[&play[..], &["/proc/file"]].concat(), 1, "a file cannot be made there");
    }
    for command in ["record", "read"] {
        refuse(&place, &[command, "no/such/file", "--report", "r.json"], 1, fragment);
        refuse(&place, &[command, "folder", "--report", "r.json"], 1, "this is a directory");
    }
    for (command, name) in [
        (["record", "same", "--report", "same"], "same"),
        (["read", "-", "--report", "-"], "the standard output"),
        (["play", "good.wav", "--report=same", "--plot=same"], "same"),
    ] {
        refuse(&place, &command, 2, &format!("{name} is to be written twice, as "));
    }
    let full = ["read", "/dev/full", "--device", "virtual:article", "--clock", "on-wait", "--for", "1s"];
    refuse(&place, &full, 1, "/dev/full could not be written: No space left on device");
    // An old report stays as it was if there is no new one.
    place.write("r.json", "old");
    refuse(&place, &["play", "good.wav", "--device", "virtual:tuba", "--report", "r.json"], 1, "tuba");
    assert_eq!(place.read("r.json"), b"old");
}

#[test]
fn no_file_is_replaced_by_another_of_the_same_run() {
    let place = Place::new();
    place.noise("in.wav", 48_000, 16, 2, 4_800);
    place.write("d.bin", [1; 4096]);
    place.write("bus.toml", "[[device]]\nkind = 'speaker'\nsave = 'heard.wav'\n");
    std::fs::create_dir(place.path("folder")).unwrap();
    let absolute = place.path("in.wav").display().to_string();
    #[cfg(unix)]
    std::os::unix::fs::symlink("in.wav", place.path("link.wav")).unwrap();
    let (twice, both) = ("is to be written twice", "is to be read and written");
    let before: Vec<_> = ["in.wav", "d.bin", "bus.toml"].map(|name| place.read(name)).into();
    for (arguments, fragment) in [
        (vec!["play", "in.wav", "--report", "in.wav"], both),
        (vec!["play", "in.wav", "--plot", "folder/../in.wav"], both),
        (vec!["play", "./in.wav", "--plot", &absolute], both),
        #[cfg(unix)]
        (vec!["play", "in.wav", "--report", "link.wav"], both),
        (vec!["play", "in.wav", "--device", "virtual:speaker?save=in.wav"], both),
        (vec!["play", "in.wav", "--device", "virtual:speaker?save=x", "--report", "x"], twice),
        (vec!["play", "in.wav", "--device", "virtual:bus.toml", "--report", "heard.wav"], twice),
        (vec!["play", "in.wav", "--device", "virtual:bus.toml/speaker", "--report", "bus.toml"], both),
        (vec!["play", "in.wav", "--report", "-", "--plot", "-"], twice),
        (vec!["write", "d.bin", "-a", "4", "--report", "d.bin"], both),
        (vec!["record", "t.wav", "--report", "t.wav"], twice),
        (vec!["record", "in.wav", "--device", "virtual:microphone?file=in.wav"], both),
        (vec!["record", "t.wav", "--report", "same", "--plot", "./same"], twice),
        (vec!["read", "t.bin", "--plot", "t.bin"], twice),
        (vec!["read", "-", "--plot", "-"], twice),
    ] {
        refuse(&place, &[&arguments[..], &["--clock", "on-wait"]].concat(), 2, fragment);
    }
    let after: Vec<_> = ["in.wav", "d.bin", "bus.toml"].map(|name| place.read(name)).into();
    assert!(before == after);
    // What swallows everything may be named as often as one likes.
    place.ok(&["play", "in.wav", "--clock", "on-wait", "--report", "/dev/null", "--plot", "/dev/null"]);
}

#[test]
fn diagnoses_of_nothing() {
    let place = Place::new();
    for (arguments, status, fragment) in [
        (&["doctor", "speaker"][..], 2, "it begins with a bus, as in `virtual:speaker`"),
        (&["doctor", "serial:1"], 2, "there is no bus `serial`"),
        (&["doctor", "--print-udev-rule"], 2, "prints the rule for one device: name it"),
        (&["doctor", "virtual:speaker", "--print-udev-rule"], 2, "emulated devices need no rights"),
        (&["doctor", "virtual:speaker", "--device", "virtual:speaker"], 2, "cannot be used with"),
    ] {
        refuse(&place, arguments, status, fragment);
    }
    if cfg!(target_os = "linux") {
        refuse(&place, &["doctor", "usb:1"], 2, "it has no product number");
        refuse(&place, &["doctor", "usb:1-1?memory=none"], 2, "it is `mmap` or `copy`");
        refuse(&place, &["doctor", "usb:9-9.9.9", "--print-udev-rule"], 1, "name it by its numbers");
    }
    if cfg!(not(windows)) {
        let ran = place.run(&["doctor", "winusb:1235:8214"]);
        let text = String::from_utf8(ran.stdout).unwrap();
        assert_eq!(ran.status, 1);
        assert!(text.contains("exists on Windows only") && text.contains("→ on Linux"), "{text}");
    }
}
