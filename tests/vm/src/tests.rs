//! The tests: every file in `tests/`, found by the build script. `TESTS` has them by name.

include!(concat!(env!("OUT_DIR"), "/tests.rs"));
