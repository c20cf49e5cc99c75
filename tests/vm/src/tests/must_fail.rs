//! A control: what is not so is not said to be so, on the guest's side.

use crate::test::{Controller, Test};

pub(crate) const TEST: Test = Test {
    controllers: &[Controller::Uhci],
    must_fail: Some("1 + 1 is not 3"),
    guest: |_| {
        let sum = 1 + 1;
        ensure!(sum == 3, "1 + 1 is not 3");
        Ok(())
    },
    ..Test::DEFAULT
};
