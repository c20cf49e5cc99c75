//! The programs, each with what it runs with.

pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) source: &'static str,
    pub(crate) variables: &'static [(&'static str, &'static str)],
    pub(crate) arguments: &'static [&'static str],
}

/// Programs that must fail, and what that looks like: one whose check does not hold, one that crashes.
pub(crate) const CONTROLS: &[(Program, &str)] = &[
    (control("must-fail", &["check"]), "does not hold: 1 + 1 == 3"),
    // The last byte of STATUS_ACCESS_VIOLATION.
    (control("must-crash", &["crash"]), "exit code 5"),
];

const fn control(name: &'static str, arguments: &'static [&'static str]) -> Program {
    Program { name, source: "tests/wine/must_fail.c", variables: &[], arguments }
}

const ARTICLE: (&str, &str) = ("ISOCH_DEVICE", "virtual:article");
const ON_WAIT: (&str, &str) = ("ISOCH_CLOCK", "on-wait");
const FOUND: (&str, &str) =
    ("ISOCH_DEVICE_PATH", r"\\?\usb#vid_1209&pid_0006#1#{da812bff-12c3-46a2-8e2b-dbd3b7834c43}");

const fn here(name: &'static str, source: &'static str, arguments: &'static [&'static str]) -> Program {
    Program { name, source, variables: &[ARTICLE], arguments }
}

pub(crate) const PROGRAMS: &[Program] = &[
    here("delivery", "tests/wine/delivery.c", &[]),
    here("dynamic", "tests/wine/dynamic.c", &[]),
    here("paths", "tests/wine/paths.c", &[]),
    here("events", "tests/wine/events.c", &[]),
    here("events-nul", "tests/wine/events.c", &["NUL"]),
    here("port", "tests/wine/port.c", &[]),
    here("port-nul", "tests/wine/port.c", &["NUL"]),
    here("threads", "tests/wine/threads.c", &[]),
    here("cancel", "tests/wine/cancel.c", &[]),
    here("cancel-nul", "tests/wine/cancel.c", &["NUL"]),
    Program {
        name: "clock-on-wait",
        source: "tests/wine/clock.c",
        variables: &[ARTICLE, ON_WAIT],
        arguments: &[],
    },
    Program {
        name: "clock-manual",
        source: "tests/wine/clock.c",
        variables: &[ARTICLE, ("ISOCH_CLOCK", "manual")],
        arguments: &["manual"],
    },
    Program {
        name: "enumerate",
        source: "tests/wine/enumerate.c",
        variables: &[ARTICLE, FOUND],
        arguments: &[],
    },
    // The Rust API over winusb.dll, as over Windows' own. It chooses its devices itself, as does the table of cases.
    Program {
        name: "windows-bus",
        source: "crates/isoch/tests/windows_bus.rs",
        variables: &[],
        arguments: &[],
    },
    Program {
        name: "cases",
        source: "tests/winusb-cases/src/main.rs",
        variables: &[],
        arguments: &["--library", "winusb.dll"],
    },
    // The programs that other systems have as well.
    here("layouts", "tests/c/layouts.c", &[]),
    here("event-client", "tests/c/event_client.c", &[r"\\.\isoch", "500"]),
    here("port-client", "tests/c/port_client.c", &[r"\\.\isoch", "500"]),
    here("blocking-client", "tests/c/blocking_client.c", &[r"\\.\isoch", "500"]),
    Program {
        name: "asap-stream",
        source: "examples/winusb/asap_stream.c",
        variables: &[ARTICLE, ON_WAIT],
        arguments: &[r"\\.\isoch"],
    },
    Program {
        name: "read-gaps",
        source: "examples/winusb/read_gaps.c",
        variables: &[ARTICLE, ON_WAIT],
        arguments: &[r"\\.\isoch"],
    },
    // The frames it names are five from now: with emulated time it is never late.
    Program {
        name: "article",
        source: "examples/winusb/article.c",
        variables: &[ARTICLE, ON_WAIT],
        arguments: &[r"\\.\isoch"],
    },
];
