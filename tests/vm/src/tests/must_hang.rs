//! A control: a guest that hangs is killed, and what it was at has failed.

use std::time::Duration;

use crate::test::{Controller, Test};

pub(crate) const TEST: Test = Test {
    controllers: &[Controller::Uhci],
    must_fail: Some("not over after 2 s"),
    limits: (2, 2),
    alone: true,
    guest: |_| {
        std::thread::sleep(Duration::from_secs(3600));
        Ok(())
    },
    ..Test::DEFAULT
};
