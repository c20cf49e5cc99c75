//! Implicit feedback: what comes in says what goes out.
//!
//! Why not just send a packet of the size of the last one received? Because the two streams do not alternate
//! one by one: several packets arrive at once, and output must begin before any input has come. Every IN
//! packet belongs to one interval, and so does every OUT packet. Where the IN packet is there in time
//! its size is taken as it is; where it is not, a size is guessed, and what the guess was wrong by is made up
//! for when the packet comes. So no sample is ever gained or lost between the two.

use std::collections::VecDeque;

/// How many intervals one stream may be ahead of the other before it is taken to have stopped.
pub(super) const DEPTH: usize = 256;

/// Sizes received and not yet used, or guessed and not yet confirmed; never both.
#[derive(Clone, Debug)]
pub(super) struct Mirror {
    received: VecDeque<u32>,
    guessed: VecDeque<u32>,
}

impl Mirror {
    pub(super) fn new() -> Self {
        Mirror { received: VecDeque::with_capacity(DEPTH), guessed: VecDeque::with_capacity(DEPTH) }
    }

    /// `samples` were received in one interval. Returns how many more must be sent (or fewer, if negative)
    /// because that interval was guessed.
    pub(super) fn received(&mut self, samples: u32) -> i64 {
        if let Some(guess) = self.guessed.pop_front() {
            return i64::from(samples) - i64::from(guess);
        }
        // Output has stopped: only the newest sizes matter.
        if self.received.len() >= DEPTH {
            self.received.pop_front();
        }
        self.received.push_back(samples);
        0
    }

    /// The size of the next interval, or `guess` if nothing was received for it yet.
    pub(super) fn next(&mut self, guess: u32) -> u32 {
        if let Some(samples) = self.received.pop_front() {
            return samples;
        }
        // Input has stopped: what was guessed long ago will never be confirmed.
        if self.guessed.len() >= DEPTH {
            self.guessed.pop_front();
        }
        self.guessed.push_back(guess);
        guess
    }

    /// Whether a size is there for the next interval.
    pub(super) fn is_ready(&self) -> bool {
        !self.received.is_empty()
    }
}
