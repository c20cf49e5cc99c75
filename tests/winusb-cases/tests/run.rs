//! The whole table against `winusb-abi` as it is linked into this test.

#![allow(unsafe_code)]

use std::ffi::c_void;
use std::sync::Mutex;

use winusb as _;
use winusb_cases::library::Library;
use winusb_cases::{Selection, for_each_function, run_all, table};

macro_rules! linked {
    ($($name:ident)*) => {
        // Only their addresses are taken; winusb-cases calls them with its own declarations.
        mod exported {
            unsafe extern "system" {
                $(#[allow(non_snake_case)] pub(crate) fn $name();)*
            }
        }
        fn symbols() -> Vec<(&'static str, *const c_void)> {
            vec![$((stringify!($name), exported::$name as *const c_void)),*]
        }
    };
}
for_each_function!(linked);

/// Which devices are listed, and the performance counter, are the process's: one run at a time.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn every_case_passes() {
    let _alone = ALONE.lock();
    let table = table().expect("the table is well formed");
    let library = Library::linked(&symbols());
    let mut told = Vec::new();
    let summary = run_all(&library, &table, &Selection::default(), &mut told).expect("a vector takes all");
    assert_eq!(summary.failed, 0, "{}", String::from_utf8_lossy(&told));
    assert!(summary.passed > 0);
}

/// A table that cannot fail would say nothing.
#[test]
fn wrong_cases_fail() {
    let _alone = ALONE.lock();
    let library = Library::linked(&symbols());
    let result = |steps: &str| {
        let mut table = winusb_cases::Table::default();
        let text = format!("case tried [X winusbx.h]: open f article ; WinUsb_Initialize(f, &h) ; {steps}");
        table.read("tried", &text).expect(steps);
        let scratch = tempfile::tempdir().expect("a directory for files");
        winusb_cases::run(&library, &table.cases[0], scratch.path())
    };
    assert_eq!(result("check now == 0"), Ok(()));
    for wrong in [
        "WinUsb_Free(null) => TRUE",
        "WinUsb_Free(null) => FALSE 87",
        "WinUsb_Free(null) ; check 1 == 1",
        "WinUsb_Free(nobody) => FALSE 6",
        "check 1 == 2",
        "memory m 8 ; check m.u8[0..8] == 0",
        "memory m 8 ; check m.u8[3..3] == 0xa5",
        "memory m 8 ; check m.u32[5] == 0",
        "WinUsb_QueryPipe(h, 1, 0, p) => TRUE ; check p.PipeId == 0x81",
        "WinUsb_QueryPipe(h, 1, 0, p) => TRUE ; check p.NoField == 0x81",
        "WinUsb_QueryPipe(h, 1, 2, p) => FALSE 87|31",
        // One byte less than the library writes.
        "memory m 17 ; WinUsb_GetDescriptor(h, 1, 0, 0, m, 18, &n) => TRUE",
        "start = now ; WinUsbX_AdvanceClock(h, 1) ; check now == start",
        "fault no_such_fault now ; check 1 == 1",
    ] {
        assert!(result(wrong).is_err(), "{wrong}");
    }
}
