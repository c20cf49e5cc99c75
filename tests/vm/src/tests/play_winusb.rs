//! A C program for WinUSB plays through `libwinusb`, on frames that it names.

use std::process::Command;

use crate::guest::Program;
use crate::playing::{self, Said};
use crate::test::Test;

const NAME: &str = "play-winusb";
/// It was not in time with a write.
const TOO_SLOW: i32 = 3;

pub(crate) const TEST: Test = Test {
    programs: &["winusb_play"],
    limits: (30, 100),
    guest: |guest| {
        playing::play(guest, NAME, |_, sound| {
            let mut program = Command::new("/bin/winusb_play");
            let (status, said) = Program::expect(program.arg("usb:46f4:0002").arg(sound), &[0, TOO_SLOW])?;
            // A write that lost some of its packets is none that failed.
            Ok(Said { lost: None, all: status == 0, line: said.trim().to_owned() })
        })
    },
    host: Some(|recorded| playing::compare(recorded, NAME)),
    ..Test::DEFAULT
};
