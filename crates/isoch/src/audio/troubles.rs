//! What goes wrong while a device plays or records, and when it is enough.

use isoch_core::Outcome;

use crate::completion::Completion;
use crate::{Error, Start};

#[derive(Default)]
pub(super) struct Troubles {
    error: Option<Error>,
    /// Transfers that failed, one after the other.
    failed: usize,
}

impl Troubles {
    /// The first error is the one to tell.
    pub(super) fn fail(&mut self, error: Error) {
        // Closed is what the queue calls it; the reason is that the device went.
        let error = if matches!(error, Error::Closed) { Error::Gone } else { error };
        self.error.get_or_insert(error);
    }

    /// Whether nothing more is to be queued.
    pub(super) fn are_there(&self) -> bool {
        self.error.is_some()
    }

    pub(super) fn into_error(self) -> Option<Error> {
        self.error
    }

    /// Whether it makes no sense to go on at all. So many failed transfers one after the other are too many.
    pub(super) fn judge(&mut self, done: &Completion, too_many: usize) -> bool {
        match done.outcome() {
            Outcome::DeviceGone => self.fail(Error::Gone),
            Outcome::BadStartFrame => {
                self.fail(refused_start(done));
                return true;
            }
            // A single one is a gap, and reported as such.
            Outcome::Failed(code) => {
                self.failed += 1;
                if self.failed >= too_many {
                    self.fail(Error::Bus(code));
                }
            }
            _ => self.failed = 0,
        }
        false
    }
}

/// What to do about a start frame that the bus did not take.
fn refused_start(done: &Completion) -> Error {
    let frame = match done.report().requested {
        Start::At(frame) => format!("frame {frame}"),
        _ => "that frame".into(),
    };
    Error::Unsupported(format!(
        "the bus refused to start in {frame}: name one that is nearer to now (`Capabilities::horizon` says how \
         far ahead it takes transfers)"
    ))
}
