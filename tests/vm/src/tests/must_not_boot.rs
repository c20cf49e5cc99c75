//! A control: where no guest comes up, what it should have tested has failed, and the list goes on.

use crate::test::{Controller, Test};

pub(crate) const TEST: Test = Test {
    controllers: &[Controller::Uhci],
    must_fail: Some("no boot"),
    alone: true,
    command_line: "isoch.controller=none",
    ..Test::DEFAULT
};
