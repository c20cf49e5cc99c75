//! A control: a recording that lacks one sample of what is said to have been played is no success, on the host's
//! side.

use super::harness;
use crate::sound;
use crate::test::{Controller, Test};

const SEED: &str = "must-differ";

pub(crate) const TEST: Test = Test {
    controllers: &[Controller::Uhci],
    must_fail: Some("goes on with sample"),
    guest: |guest| harness::play(guest, SEED),
    host: Some(|recorded| {
        let mut played = sound::played(SEED, recorded.full());
        let repeated = played[1000];
        played.insert(1000, repeated);
        recorded.expect_without(&played, &recorded.handed_over::<Vec<_>>()?)
    }),
    ..harness::TEST
};
