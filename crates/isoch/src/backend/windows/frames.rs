//! Which frame a transfer is asked for.
//!
//! Why is every start turned into a named frame, when WinUSB has calls for "as soon as possible"? Because those
//! tell no frame, not even which one they chose, while a named frame is at least known to have been asked
//! for. So [`Start::Asap`] and [`Start::Continue`] choose one here, and the ledger can assume it.

use isoch_core::Start;
use isoch_core::rules::winusb::{ASAP_LEAD_FRAMES, START_FRAME_RANGE};

/// The least distance from the running frame at which a stream is still continued. Not documented: the running
/// frame cannot be joined, and host controllers fetch the next one ahead.
const LEAST_DISTANCE: u64 = 2;

/// What to ask the system for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// This frame, because it was named.
    Named(u64),
    /// This frame, chosen here.
    Chosen(u64),
    /// Nothing: the frame is so far from now that its 32 bits could mean another.
    TooFar,
}

/// Chooses the frame for a transfer that is submitted while `now` runs. `end` is the frame after the last
/// transfer of the stream, and `pending` whether any of it is still to come back.
pub(super) fn choose(start: Start, now: u64, end: Option<u64>, pending: bool) -> Asked {
    // Nothing was queued behind a frame that the system refused.
    let range = u64::from(START_FRAME_RANGE);
    let reachable = end.filter(|end| *end >= now.saturating_add(LEAST_DISTANCE) && end.abs_diff(now) < range);
    match start {
        // _URB_ISOCH_TRANSFER: less than 1024 frames from the current one, either way. The range is the
        // system's to judge, except where a number of 32 bits cannot carry the question.
        Start::At(frame) if frame.abs_diff(now) >= range => Asked::TooFar,
        Start::At(frame) => Asked::Named(frame),
        Start::Asap => Asked::Chosen(reachable.filter(|_| pending).unwrap_or(anew(now))),
        Start::Continue => Asked::Chosen(reachable.unwrap_or(anew(now))),
    }
}

fn anew(now: u64) -> u64 {
    now.saturating_add(u64::from(ASAP_LEAD_FRAMES))
}

/// Whether a transfer of `frames` frames from `first` on was over before it could begin, when it was
/// submitted in frame `now`.
pub(super) fn was_late(first: u64, frames: u64, now: u64) -> bool {
    first.saturating_add(frames) <= now.saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_frame_is_asked_for_as_it_is_even_if_it_is_late() {
        assert_eq!(choose(Start::At(120), 100, Some(110), true), Asked::Named(120));
        assert_eq!(choose(Start::At(90), 100, None, false), Asked::Named(90));
        assert_eq!(choose(Start::At(1123), 100, None, false), Asked::Named(1123));
        assert_eq!(choose(Start::At(1124), 100, None, false), Asked::TooFar);
        assert_eq!(choose(Start::At(100 + (1 << 32)), 100, None, false), Asked::TooFar);
        assert_eq!(choose(Start::At(0), 1024, None, false), Asked::TooFar);
    }

    #[test]
    fn as_soon_as_possible_follows_what_is_pending_or_begins_anew() {
        assert_eq!(choose(Start::Asap, 100, None, false), Asked::Chosen(105));
        assert_eq!(choose(Start::Asap, 100, Some(140), true), Asked::Chosen(140));
        assert_eq!(choose(Start::Asap, 100, Some(102), true), Asked::Chosen(102));
        // Nothing is pending: what the stream was is no reason to wait.
        assert_eq!(choose(Start::Asap, 100, Some(140), false), Asked::Chosen(105));
        // Too near, or past.
        assert_eq!(choose(Start::Asap, 100, Some(101), true), Asked::Chosen(105));
        assert_eq!(choose(Start::Asap, 100, Some(60), true), Asked::Chosen(105));
    }

    #[test]
    fn continuing_keeps_the_frame_after_the_last_as_long_as_it_can_be_reached() {
        assert_eq!(choose(Start::Continue, 100, Some(103), false), Asked::Chosen(103));
        assert_eq!(choose(Start::Continue, 100, Some(140), true), Asked::Chosen(140));
        assert_eq!(choose(Start::Continue, 100, Some(101), true), Asked::Chosen(105));
        assert_eq!(choose(Start::Continue, 100, None, false), Asked::Chosen(105));
        assert_eq!(choose(Start::Continue, 100, Some(2000), true), Asked::Chosen(105));
        assert_eq!(choose(Start::Continue, u64::MAX, Some(3), true), Asked::Chosen(u64::MAX));
    }

    #[test]
    fn late_is_what_could_not_begin() {
        assert!(was_late(90, 10, 100));
        assert!(was_late(90, 11, 100));
        assert!(!was_late(90, 12, 100));
    }
}
