//! What a C program for WinUSB learns of frames while it streams goes together: `tests/vm/c/winusb_frames.c`.

use std::process::Command;

use crate::guest::{Program, streaming};
use crate::test::Test;

pub(crate) const TEST: Test = Test {
    programs: &["winusb_frames"],
    guest: |guest| {
        let mut program = Command::new("/bin/winusb_frames");
        let (_, said) = Program::expect(program.arg(streaming::ADDRESS), &[0])?;
        guest.say(said.trim());
        Ok(())
    },
    ..Test::DEFAULT
};
