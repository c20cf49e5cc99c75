//! `isoch run`: what a program gets, and what is found out before it starts.
#![cfg(unix)]

mod common;

use common::{Place, ran};

/// The variables that a program gets.
fn variables(place: &Place, arguments: &[&str]) -> Vec<String> {
    let all = [&["run"][..], arguments, &["--", "env"]].concat();
    let text = String::from_utf8(place.ok(&all).stdout).unwrap();
    text.lines().filter(|line| line.starts_with("ISOCH_")).map(str::to_owned).collect()
}

#[test]
fn a_program_gets_what_was_asked_for() {
    let place = Place::new();
    assert_eq!(variables(&place, &[]), ["ISOCH_DEVICE=virtual:article"]);
    place.write("faults.toml", "[[fault]]\nframe = 1\nkind = 'host_missed'\n");
    let mut all = variables(
        &place,
        &[
            "--device",
            "virtual:speaker?bits=16",
            "--clock=on-wait",
            "--fault=faults.toml",
            "--trace=calls.txt",
        ],
    );
    all.sort();
    // Files are found from wherever the program goes.
    let file = |name: &str| place.path(name).display().to_string();
    let expected = [
        "CLOCK=on-wait".to_owned(),
        "DEVICE=virtual:speaker?bits=16".to_owned(),
        format!("FAULTS={}", file("faults.toml")),
        format!("TRACE={}", file("calls.txt")),
    ];
    assert_eq!(all, expected.map(|line| format!("ISOCH_{line}")));
    place.write("bus.toml", "[[device]]\nname = 'out'\nkind = 'speaker'\n");
    let found = variables(&place, &["--device", "virtual:bus.toml/out?clock=on-wait"]);
    assert_eq!(found, [format!("ISOCH_DEVICE=virtual:{}/out?clock=on-wait", file("bus.toml"))]);
    // A trace begins anew.
    place.write("calls.txt", "old");
    variables(&place, &["--trace", "calls.txt"]);
    assert_eq!(place.read("calls.txt"), b"");
    assert_eq!(variables(&place, &["--trace", "stderr"])[1], "ISOCH_TRACE=stderr");
}

#[test]
fn its_arguments_and_its_exit_status_are_its_own() {
    let place = Place::new();
    let ran = place.run(&["run", "--", "sh", "-c", "echo \"$1\"; exit 7", "sh", "--device"]);
    assert_eq!((ran.status, ran.stdout.as_slice()), (7, &b"--device\n"[..]));
    // A signal ends this program as it ended the other: there is only one.
    let killed = place.command(&["run", "--", "sh", "-c", "kill -9 $$"]).status().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&killed), Some(9));
}

#[test]
fn the_library_beside_the_command_is_found() {
    let place = Place::new();
    for folder in ["bin", "lib"] {
        std::fs::create_dir(place.path(folder)).unwrap();
    }
    std::fs::copy(env!("CARGO_BIN_EXE_isoch"), place.path("bin/isoch")).unwrap();
    let paths = |known: &str| {
        let mut command = std::process::Command::new(place.path("bin/isoch"));
        command.args(["run", "--", "sh", "-c", "echo $LD_LIBRARY_PATH"]).env("LD_LIBRARY_PATH", known);
        String::from_utf8(ran(command.output().unwrap()).stdout).unwrap()
    };
    if cfg!(target_os = "linux") {
        assert_eq!(paths("/one:/two"), "/one:/two\n");
        place.write("lib/libwinusb.so.1", "");
        let lib = place.path("lib").canonicalize().unwrap();
        assert_eq!(paths("/one:/two"), format!("{}:/one:/two\n", lib.display()));
        assert_eq!(paths(""), format!("{}\n", lib.display()));
    }
}

#[test]
fn mistakes_are_found_before_it_starts() {
    let place = Place::new();
    place.write("program", "precious");
    let own = place.run(&["run", "--trace", "program", "--", "./program"]);
    assert_eq!((own.status, place.read("program").as_slice()), (2, &b"precious"[..]), "{}", own.stderr);
    let waits = place.run(&["run", "--wait", "1s", "--", "true"]);
    assert_eq!(waits.status, 2);
    assert!(waits.stderr.contains("--wait is for devices that somebody plugs in"), "{}", waits.stderr);
    place.write("faults.toml", "[[fault]]\nkind = 'gremlin'\nframe = 1\n");
    let started = ["--", "sh", "-c", "echo started"];
    for (arguments, status, fragment) in [
        (vec!["--device", "virtual:tuba"], 1, "the built-in devices are"),
        (vec!["--device", "speaker"], 2, "it begins with a bus"),
        (vec!["--fault", "none.toml"], 2, "none.toml: cannot be read"),
        (vec!["--fault", "faults.toml"], 2, "there is no kind 'gremlin'"),
        (vec!["--trace", "no/such/file"], 1, "no/such/file could not be written"),
        (vec!["--fault", "same", "--trace", "same"], 2, "is to be read and written"),
        (vec!["--clock", "sundial"], 2, "possible values: real, on-wait"),
    ] {
        let ran = place.run(&[&["run"][..], &arguments, &started].concat());
        assert_eq!(ran.status, status, "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(fragment), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stdout.is_empty());
    }
    let ran = place.run(&["run", "--", "./no-such-program"]);
    assert_eq!(ran.status, 1);
    assert!(
        ran.stderr.contains("./no-such-program cannot be started (No such file or directory)"),
        "{}",
        ran.stderr
    );
    let ran = place.run(&["run"]);
    assert!(ran.status == 2 && ran.stderr.contains("PROGRAM"), "{}", ran.stderr);
}
