//! Bus files: what they may say, and what is answered to every kind of mistake.
#![cfg(all(feature = "toml", feature = "wav"))]

use std::path::{Path, PathBuf};

use isoch_virtual::BusClock;
use isoch_virtual::bus_file::{self, BusFile};
use isoch_virtual::devices;
use isoch_virtual::faults::FaultKind;

fn parse(text: &str) -> Result<BusFile, String> {
    BusFile::parse(text, Path::new("")).map_err(|error| error.to_string())
}

#[test]
fn a_file_that_says_everything() {
    let bus = parse(
        r#"
        profile = "winusb"
        clock = "on-wait"
        sof_ppm = -12.5
        device = [{ kind = "article" }, { name = "left.1", kind = "speaker", plug_at = 1_000,
                    rates = [44100, 48000], bits = "16,24", channels = 2, device_ppm = -1.5 }]
        fault = [
            { frames = [100, 110], kind = "lost_on_wire", device = "left.1", endpoint = 0x01 },
            { frame = 7, kind = "short", bytes = 20 },
            { frame = 8, kind = "unplug", device = "article" },
            { frames = [0, 1], kind = "host_stalled" },
        ]
        "#,
    )
    .unwrap();
    assert_eq!(bus.profile.as_deref(), Some("winusb"));
    assert_eq!(bus.clock, Some(BusClock::OnWait));
    assert!((bus.sof_ppm + 12.5).abs() < f64::EPSILON);
    assert_eq!(bus.devices[0].name, "article");
    let left = &bus.devices[1];
    assert_eq!((left.name.as_str(), left.kind.as_str(), left.plug_at), ("left.1", "speaker", 1000));
    let expected = [("device_ppm", "-1.5"), ("rates", "44100,48000"), ("bits", "16,24"), ("channels", "2")];
    let parameters: Vec<_> = left.parameters.iter().map(|(name, value)| (&name[..], &value[..])).collect();
    assert_eq!(parameters, expected);
    left.build().unwrap();
    assert_eq!(bus.faults[0].frames, 100..110);
    assert_eq!(bus.faults[0].kind, FaultKind::LostOnWire);
    assert_eq!(bus.faults[0].device.as_deref(), Some("left.1"));
    assert_eq!(bus.faults[0].endpoint, Some(0x01));
    assert_eq!((bus.faults[1].frames.clone(), bus.faults[1].kind), (7..8, FaultKind::Short(20)));
    assert_eq!(bus.faults[2].kind, FaultKind::Unplug);
    assert_eq!(bus.faults[3].kind, FaultKind::HostStalled);
}

#[test]
fn every_mistake_is_a_sentence_with_a_place() {
    let device = "[[device]]\nkind = 'speaker'\n";
    let fault = |text: &str| format!("{device}[[fault]]\n{text}\n");
    for (text, expected) in [
        (
            String::new(),
            "line 1, column 1: there is no device: add [[device]] with kind = one of source-sink",
        ),
        ("x = [1".into(), "this is not TOML"),
        ("clock = 'real'\nclock = 'real'".into(), "line 2, column 1: this is not TOML: duplicate key"),
        (
            format!("clok = 'real'\n{device}"),
            "line 1, column 1: the file has no 'clok'; it has: profile, clock",
        ),
        ("clock = 'sun'".into(), "column 9: there is no clock 'sun'; there are: real, manual, on-wait"),
        ("clock = 1".into(), "'clock' takes a text in quotes, this is an integer"),
        ("profile = true".into(), "'profile' takes a text in quotes, this is a boolean"),
        ("sof_ppm = 'fast'".into(), "'sof_ppm' takes a number from -10000 to 10000, this is a string"),
        ("sof_ppm = 20000".into(), "'sof_ppm' takes a number from -10000 to 10000"),
        ("sof_ppm = nan".into(), "'sof_ppm' takes a number from -10000 to 10000"),
        ("[device]\nkind = 'speaker'".into(), "write [[device]], in two brackets"),
        ("device = 3".into(), "write [[device]], in two brackets"),
        ("[[device]]\nname = 'a'".into(), "line 1, column 1: a device needs a kind: add kind = one of"),
        (
            "[[device]]\nkind = 'tuba'".into(),
            "line 2, column 8: there is no kind 'tuba'; there are: source-sink",
        ),
        ("[[device]]\nkind = 7".into(), "'kind' takes a text in quotes"),
        (
            format!("{device}colour = 'red'"),
            "line 3, column 1: [[device]] has no 'colour'; it has: name, kind",
        ),
        (format!("{device}name = 'a/b'"), "line 3, column 8: 'a/b' cannot stand in an address"),
        (format!("{device}name = ''"), "'' cannot stand in an address"),
        (format!("{device}{device}"), "line 3, column 1: there is already a device named 'speaker'"),
        (
            format!("{device}name = 'ü'"),
            "line 3, column 8: 'ü' cannot stand in an address: use letters, digits",
        ),
        (
            format!("{device}name = 'a'\n[[device]]\nkind = 'article'\nname = 'a'"),
            "line 6, column 8: there is already a device named 'a'",
        ),
        (format!("{device}plug_at = -1"), "line 3, column 11: 'plug_at' takes a whole number from 0"),
        (
            format!("{device}plug_at = 1.5"),
            "'plug_at' takes a whole number from 0 to 4294967295, this is a float",
        ),
        (format!("{device}plug_at = 99999999999999999999"), "'plug_at' takes a whole number"),
        (format!("{device}rates = [44100, 1]"), "line 3, column 9: '1' is no value for 'rates'"),
        (format!("{device}rates = [[1]]"), "'rates' takes a text, a number, or a list of them"),
        (
            format!("{device}bits = true"),
            "'bits' takes a text, a number, or a list of them, this is a boolean",
        ),
        (format!("{device}device_ppm = 5000"), "line 3, column 14: '5000' is no value for 'device_ppm'"),
        (format!("{device}save = 'no/such/a.wav'"), "give a directory you may write to"),
        (
            format!("{device}save = 'a.wav'\n{device}name = 'b'\nsave = 'a.wav'"),
            "line 7, column 8: 'speaker' saves to this file already: give each its own",
        ),
        (fault("frame = 1"), "line 3, column 1: a fault needs a kind: add kind = one of host_missed"),
        (
            fault("frame = 1\nkind = 'gremlin'"),
            "line 5, column 8: there is no kind 'gremlin'; there are: host_",
        ),
        (fault("kind = 'empty'"), "a fault needs to know when: add frame = N, or frames = [N, M]"),
        (fault("kind = 'empty'\nframe = 1\nframes = [1, 2]"), "give frame or frames, not both"),
        (fault("kind = 'empty'\nframes = [5, 5]"), "line 5, column 10: frames = [5, 5] is empty: the second"),
        (fault("kind = 'empty'\nframes = [5, 4]"), "it must be 6 or more"),
        (fault("kind = 'empty'\nframes = [5]"), "frames takes two whole numbers from 0"),
        (fault("kind = 'empty'\nframes = 5"), "frames takes two whole numbers from 0"),
        (fault("kind = 'empty'\nframes = [-1, 5]"), "frames takes two whole numbers from 0"),
        (
            fault("kind = 'empty'\nframe = '5'"),
            "'frame' takes a whole number from 0 to 4294967295, this is a str",
        ),
        (fault("kind = 'empty'\nframe = 5\nbits = 1"), "line 6, column 1: [[fault]] has no 'bits'"),
        (fault("kind = 'empty'\nframe = 5\nbytes = 1"), "only kind = \"short\" takes bytes"),
        (fault("kind = 'short'\nframe = 5"), "add bytes = what is left of it"),
        (
            fault("kind = 'empty'\nframe = 5\ndevice = 'x'"),
            "there is no device named 'x'; there are: speaker",
        ),
        (
            fault("kind = 'empty'\nframe = 5\nendpoint = 0x82"),
            "there is no endpoint 0x82; there are: 0x01, 0x81",
        ),
        (fault("kind = 'empty'\nframe = 5\nendpoint = 300"), "'endpoint' takes a whole number from 0 to 255"),
        (fault("kind = 'empty'\nframe = 5\nendpoint = 1"), "0x01 is an OUT endpoint, and this happens to IN"),
        (
            fault("kind = 'lost_on_wire'\nframe = 5\nendpoint = 0x81"),
            "0x81 is an IN endpoint, and this happens",
        ),
        (fault("kind = 'unplug'\nframe = 5\nendpoint = 1"), "whole devices: leave endpoint out"),
        (fault("kind = 'host_stalled'\nframe = 5\nendpoint = 1"), "all endpoints: leave endpoint out"),
        (fault("kind = 'host_stalled'\nframe = 5\ndevice = 'speaker'"), "leave device out"),
    ] {
        let Err(sentence) = parse(&text) else { panic!("should be refused:\n{text}") };
        assert!(sentence.contains(expected), "{text}\n-> {sentence}\nwithout: {expected}");
        assert!(sentence.starts_with("line "), "{sentence}");
        assert!(!sentence.contains('\n'), "{sentence}");
    }
}

#[test]
fn the_examples_are_good() {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/virtual");
    let mut examples = 0;
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    for path in files.filter(|path| path.extension().is_some_and(|ending| ending == "toml")) {
        let bus = BusFile::load(&path).unwrap_or_else(|error| panic!("{error}"));
        for device in &bus.devices {
            device.build().unwrap();
        }
        examples += 1;
    }
    assert!(examples >= 3);
    let missing = BusFile::load(Path::new("no-such.toml")).unwrap_err().to_string();
    assert!(missing.starts_with("no-such.toml: cannot be read"), "{missing}");
}

#[test]
fn files_belong_to_the_directory_of_the_bus_file() {
    let directory = std::env::temp_dir().join(format!("isoch-bus-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("bus.toml");
    std::fs::write(&path, "[[device]]\nkind = 'speaker'\nsave = 'heard.wav'\n").unwrap();
    let bus = BusFile::load(&path).unwrap();
    let save = directory.join("heard.wav").display().to_string();
    assert_eq!(bus.devices[0].parameters, [("save".to_owned(), save)]);
    std::fs::write(&path, "\n[[device]]\nkind = 'microphone'\nfile = 'heard.wav'\n").unwrap();
    let sentence = BusFile::load(&path).unwrap_err().to_string();
    assert!(sentence.starts_with(&format!("{}:4:8: 'file': ", path.display())), "{sentence}");
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn every_kind_builds_and_describes_its_parameters() {
    for kind in devices::KINDS {
        devices::build(kind.name, &[]).unwrap();
        assert!(!kind.description.is_empty());
        for parameter in kind.parameters {
            // A word that nothing takes must be refused, so no parameter is forgotten by its device.
            let given = [(parameter.name.to_owned(), "\0".to_owned())];
            let error = devices::build(kind.name, &given).err();
            assert!(error.is_some(), "{} ignores {}", kind.name, parameter.name);
        }
    }
}

#[test]
fn the_faults_of_a_file_alone() {
    let faults = |text: &str| bus_file::parse_faults(text, Path::new("")).map_err(|error| error.to_string());
    assert_eq!(faults("").unwrap(), []);
    let some = "[[fault]]\nframe = 7\nkind = \"crc_error\"\ndevice = \"any\"\nendpoint = 0x85\n\
                [[fault]]\nframes = [8, 10]\nkind = \"host_missed\"\n";
    let found = faults(some).unwrap();
    assert_eq!((found.len(), found[0].device.as_deref(), found[0].endpoint), (2, Some("any"), Some(0x85)));
    assert_eq!((found[1].frames.clone(), found[1].kind), (8..10, FaultKind::HostMissed));
    assert!(parse(some).unwrap_err().contains("no device"), "as a bus it is none");
    // Mistakes that need no device to be seen.
    let wrong = faults("[[fault]]\nframe = 7\nkind = \"crc_error\"\nendpoint = 0x01\n").unwrap_err();
    assert!(wrong.contains("line 4") && wrong.contains("lost_on_wire"), "{wrong}");
    assert!(faults("[[faults]]\nframe = 7\n").unwrap_err().contains("it has:"));
    assert!(faults("[[fault]\n").unwrap_err().contains("not TOML"));
    // Where there are devices, faults are about those.
    let named = "[[device]]\nkind = \"speaker\"\n[[fault]]\nframe = 7\nkind = \"unplug\"\ndevice = ";
    assert_eq!(faults(&format!("{named}\"speaker\"\n")).unwrap().len(), 1);
    assert!(faults(&format!("{named}\"spekaer\"\n")).unwrap_err().contains("no device named"));
    let missing = bus_file::load_faults(Path::new("/nowhere/at/all.toml")).unwrap_err().to_string();
    assert!(missing.contains("all.toml: cannot be read"), "{missing}");
}
