//! What is printed: help, lists, descriptions, pictures.

mod common;

use common::Place;
use serde_json::Value;

#[test]
fn help_texts() {
    trycmd::TestCases::new().case("tests/help/*.trycmd");
}

#[test]
fn help_is_a_command_too() {
    let place = Place::new();
    assert_eq!(place.ok(&["help", "play"]).stdout, place.ok(&["play", "--help"]).stdout);
    assert_eq!(place.ok(&["help"]).stdout, place.ok(&["--help"]).stdout);
}

fn json(stdout: &[u8]) -> Value {
    serde_json::from_slice(stdout).unwrap()
}

#[test]
fn lists() {
    let place = Place::new();
    let text = String::from_utf8(place.ok(&["list"]).stdout).unwrap();
    for kind in ["source-sink", "loopback", "speaker", "microphone", "sample", "article"] {
        assert!(text.contains(&format!("virtual:{kind}")), "{text}");
    }
    let listed = json(&place.ok(&["list", "--json"]).stdout);
    assert_eq!(listed["schema_version"], 1);
    let speaker =
        listed["devices"].as_array().unwrap().iter().find(|one| one["address"] == "virtual:speaker").unwrap();
    assert_eq!(speaker["vendor_id"], 0x1209);
    assert_eq!(speaker["parameters"][0]["name"], "save");

    place.write("two.toml", "[[device]]\nname = 'left'\nkind = 'speaker'\n[[device]]\nkind = 'article'\n");
    let listed = json(&place.ok(&["list", "virtual:two.toml", "--json"]).stdout);
    let addresses: Vec<&str> =
        listed["devices"].as_array().unwrap().iter().map(|one| one["address"].as_str().unwrap()).collect();
    assert_eq!(addresses.len(), 2);
    for (address, name) in addresses.into_iter().zip(["two.toml/left", "two.toml/article"]) {
        assert!(address.ends_with(name), "{address}");
        // What is listed can be opened.
        place.ok(&["describe", address]);
    }
}

#[test]
fn a_device_that_comes_later_is_mentioned() {
    let place = Place::new();
    place.write(
        "late.toml",
        "clock = 'on-wait'\n[[device]]\nname = 'speaker'\nkind = 'microphone'\nplug_at = 2000\n[[device]]\nname = \
         'sample'\nkind = 'article'\n",
    );
    let ran = place.ok(&["list", "virtual:late.toml"]);
    let text = String::from_utf8(ran.stdout).unwrap();
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.contains("late.toml/sample "), "{text}");
    assert!(text.ends_with("speaker (microphone) is plugged in later, in frame 2000\n"), "{text}");
    let listed = json(&place.ok(&["list", "virtual:late.toml", "--json"]).stdout);
    let later = serde_json::json!([{ "name": "speaker", "kind": "microphone", "plug_at": 2000 }]);
    assert_eq!(listed["later"], later);
    assert_eq!(listed["devices"].as_array().unwrap().len(), 1);
    // Its name is that of a kind, and it is another's.
    assert_eq!(listed["devices"][0]["parameters"], serde_json::json!([]));
    let text = place.ok(&["describe", "virtual:late.toml/sample"]).stdout;
    assert!(!String::from_utf8(text).unwrap().contains("Parameters follow"));
}

#[test]
fn the_example_buses_work_and_their_keys_are_explained() {
    let place = Place::new();
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/virtual");
    let readme = std::fs::read_to_string(examples.join("README.md")).unwrap();
    for entry in std::fs::read_dir(&examples).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.ends_with(".toml") {
            place.ok(&["list", &format!("virtual:{}", path.display())]);
            assert!(readme.contains(&format!("`{name}`")), "{name}");
        }
    }
    // What exists is what the sentences about mistakes name.
    for (text, mark) in [
        ("x = 1\n", "it has: "),
        ("clock = 'x'\n", "there are: "),
        ("[[device]]\nkind = 'x'\n", "there are: "),
        ("[[device]]\nkind = 'article'\n[[fault]]\nx = 1\n", "it has: "),
        ("[[device]]\nkind = 'article'\n[[fault]]\nkind = 'x'\n", "there are: "),
    ] {
        place.write("bus.toml", text);
        let sentence = place.run(&["list", "virtual:bus.toml"]).stderr;
        let (_, words) = sentence.trim_end().split_once(mark).unwrap_or_else(|| panic!("{sentence}"));
        for word in words.split(", ") {
            assert!(
                readme.contains(&format!("`{word}`")) || readme.contains(&format!("`[[{word}]]`")),
                "{word}"
            );
        }
    }
    let sentence = place.run(&["describe", "virtual:speaker?as=x"]).stderr;
    let (_, profiles) = sentence.trim_end().split_once("there are ").unwrap();
    for profile in profiles.split(", ").flat_map(|profiles| profiles.split(" and ")) {
        assert!(readme.contains(&format!("`{profile}`")), "{profile}");
    }
}

#[test]
fn descriptions() {
    let place = Place::new();
    for kind in ["source-sink", "loopback", "speaker", "microphone", "sample", "article"] {
        let address = format!("virtual:{kind}");
        let text = String::from_utf8(place.ok(&["describe", &address, "--raw"]).stdout).unwrap();
        assert!(text.contains("isochronous") && text.contains("\n  0000  12 01 "), "{text}");
        let described = json(&place.ok(&["describe", "--device", &address, "--json", "--raw"]).stdout);
        assert_eq!(described["schema_version"], 1);
        assert!(described["raw"]["configuration"].as_str().unwrap().starts_with("0902"));
        assert!(!described["interfaces"].as_array().unwrap().is_empty());
    }
    let text = String::from_utf8(place.ok(&["describe"]).stdout).unwrap();
    assert!(
        text.contains("plays 2 channels, 16 bits, PCM, 8000, 16000, 32000, 44100, 48000, 96000 Hz"),
        "{text}"
    );
    assert!(
        text.contains("endpoint 0x01  isochronous OUT, up to 388 bytes every 1 ms, asynchronous"),
        "{text}"
    );
    let winusb = String::from_utf8(place.ok(&["describe", "virtual:article?as=winusb"]).stdout).unwrap();
    assert!(winusb.contains("results         none"), "{winusb}");
}

#[test]
fn diagnoses() {
    let place = Place::new();
    let text = String::from_utf8(place.ok(&["doctor", "virtual:speaker"]).stdout).unwrap();
    assert!(text.contains("  ok       emulated devices") && text.ends_with("0 unknown\n"), "{text}");
    assert_eq!(text, String::from_utf8(place.ok(&["doctor", "--device", "virtual:speaker"]).stdout).unwrap());
    // Whatever there is to say of this machine: each line has a verdict, and what is not well has a remedy.
    let ran = place.run(&["doctor", "--json"]);
    let diagnosis = json(&ran.stdout);
    assert_eq!(diagnosis["schema_version"], 1);
    let findings = |value: &Value| value.as_array().unwrap().clone();
    let mut all = findings(&diagnosis["machine"]);
    findings(&diagnosis["devices"]).iter().for_each(|device| all.extend(findings(&device["findings"])));
    assert!(!all.is_empty());
    for finding in &all {
        let is_ok = finding["verdict"] == "ok";
        assert_eq!(finding["remedy"].is_null(), is_ok, "{finding}");
    }
    let has_problem = all.iter().any(|finding| finding["verdict"] == "problem");
    assert_eq!(ran.status, i32::from(has_problem), "{}", ran.stderr);
    assert_eq!(diagnosis["verdict"] == "problem", has_problem);
    let words = String::from_utf8(place.run(&["doctor"]).stdout).unwrap();
    assert_eq!(
        words.matches("\n  ok       ").count(),
        all.iter().filter(|one| one["verdict"] == "ok").count()
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_rule_for_udev() {
    let place = Place::new();
    let rule = r#"SUBSYSTEM=="usb", ATTR{idVendor}=="1235", ATTR{idProduct}=="8214", TAG+="uaccess""#;
    let file = String::from_utf8(place.ok(&["doctor", "usb:1235:8214", "--print-udev-rule"]).stdout).unwrap();
    let lines: Vec<&str> = file.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines, [rule]);
    assert!(file.contains("/etc/udev/rules.d/70-") && file.contains("udevadm control --reload"), "{file}");
    let printed = json(&place.ok(&["doctor", "usb:1235:8214", "--print-udev-rule", "--json"]).stdout);
    assert_eq!(printed["rule"], rule);
}

#[test]
fn pictures_are_well_formed_whatever_the_names() {
    let place = Place::new();
    place.write(
        "<&>.toml",
        "clock = 'on-wait'\n[[device]]\nkind = 'article'\n[[fault]]\nframe = 9\nkind = 'crc_error'\n",
    );
    let device = "virtual:<&>.toml";
    let ran = place.run(&["read", "out.bin", "--device", device, "--for", "20ms", "--plot", "p.svg"]);
    assert_eq!(ran.status, 3, "{}", ran.stderr);
    let plot = String::from_utf8(place.read("p.svg")).unwrap();
    assert!(plot.contains("(virtual:&lt;&amp;&gt;.toml)"), "{plot}");
    assert!(plot.contains("8 failed on the bus"), "{plot}");
    well_formed(&plot);
    // Half an hour is no larger than a second.
    let ran = place.run(&[
        "read",
        "/dev/null",
        "--device",
        "virtual:microphone",
        "--clock",
        "on-wait",
        "--for",
        "30min",
        "-a",
        "1",
        "--plot",
        "p.svg",
    ]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let plot = String::from_utf8(place.read("p.svg")).unwrap();
    assert!(plot.len() < 20_000, "{}", plot.len());
    assert!(plot.contains("200 s"), "{plot}");
    well_formed(&plot);
}

/// Elements are closed in turn, attributes are quoted, and nothing else has angle brackets.
fn well_formed(svg: &str) {
    let mut open = Vec::new();
    let mut rest = svg;
    while let Some((text, after)) = rest.split_once('<') {
        assert!(!text.contains('>'), "{text}");
        let (tag, after) = after.split_once('>').unwrap();
        rest = after;
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(tag.split(' ').next().unwrap());
        }
    }
    assert_eq!(rest.trim(), "");
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn manual_and_completions() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(String::from_utf8(place.ok(&["completions", shell]).stdout).unwrap().contains("isoch"));
    }
    assert!(place.ok(&["man"]).stdout.starts_with(b".ie"));
    place.ok(&["man", "pages"]);
    assert!(place.path("pages/isoch-play.1").is_file());
}
