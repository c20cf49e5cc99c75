//! `isoch play`: every sample arrives, once, in order.

use std::process::Command;

use serde_json::Value;

use crate::guest::{LOST, Program};
use crate::playing::{self, Said};
use crate::test::Test;

const NAME: &str = "play";
const REPORT: &str = "/tmp/play.json";

pub(crate) const TEST: Test = Test {
    programs: &["isoch"],
    limits: (30, 100),
    guest: |guest| {
        playing::play(guest, NAME, |_, sound| {
            let mut isoch = Command::new("/bin/isoch");
            isoch.args(["play", "--quiet", "--device", "usb:46f4:0002", "--report", REPORT]).arg(sound);
            let (status, _) = Program::expect(&mut isoch, &[0, LOST])?;
            let report: Value = serde_json::from_slice(&std::fs::read(REPORT)?)?;
            let field = |name: &str| report[name].to_string();
            Ok(Said {
                lost: Some(status == LOST),
                all: true,
                line: format!(
                    "{} transfers, {} packets, frames {} ±{}; {} intervals lost, {} missed",
                    field("transfers"),
                    field("packets"),
                    field("frame_source"),
                    field("uncertainty"),
                    field("intervals_lost"),
                    field("missed")
                ),
            })
        })
    },
    host: Some(|recorded| playing::compare(recorded, NAME)),
    ..Test::DEFAULT
};
