//! The speaker is unplugged and plugged in again through QEMU's monitor, and the kernel tells of it.

use std::time::Duration;

use crate::guest::{Guest, Speaker, UEvents};
use crate::test::{Outcome, Test};
use crate::wire::Request;

pub(crate) const TEST: Test = Test { guest, ..Test::DEFAULT };

fn guest(guest: &mut Guest) -> Outcome {
    let patience = Duration::from_secs(5);
    let events = UEvents::listen()?;
    let before = Speaker::wait()?;
    guest.ask(Request::Unplug)?;
    let event = events.wait("remove", patience)?;
    let product = event.values.get("PRODUCT").map(String::as_str);
    ensure!(
        product.is_some_and(|product| product.starts_with("46f4/2/")),
        "something else was unplugged: {event:?}"
    );
    Speaker::wait_gone()?;
    guest.ask(Request::Replug)?;
    events.wait("add", patience)?;
    let after = Speaker::wait()?;
    ensure!(after.device != before.device, "a device that was plugged in again has a number of its own");
    Ok(())
}
