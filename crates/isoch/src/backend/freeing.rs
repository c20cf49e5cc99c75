//! Waiting for what was let go: on a real bus it comes back a little later.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::refusals;
use crate::Error;
use crate::sync::{Condvar, MutexGuard};

/// What was cancelled is over soon; that is how long something may wait for it.
const LONGEST: Duration = Duration::from_secs(1);

/// Waits until nothing of what was let go on an interface is left; `freed` is told when something is. Whoever handles
/// events must not wait for them: then `may_wait` is false.
pub(super) fn wait<'a, S>(
    freed: &Condvar,
    mut state: MutexGuard<'a, S>,
    interface: u8,
    is_being_freed: impl Fn(&S) -> bool,
    may_wait: impl Fn(&S) -> bool,
) -> Result<MutexGuard<'a, S>, Error> {
    let deadline = Instant::now() + LONGEST;
    while is_being_freed(&state) {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || !may_wait(&state) {
            return Err(refusals::being_freed(interface));
        }
        state = freed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
    }
    Ok(state)
}
