//! Isochronous endpoints of the virtual bus: a pipe of the controller each.

use isoch_core::{Block, MICROFRAMES_PER_FRAME, Packet, Start, Time};
use isoch_virtual::controller::{PipeId, SubmitError};

use super::shared::Shared;
use crate::Error;
use crate::bus::{HandedOver, IsochPort};
use crate::sync::Arc;

pub(super) struct VirtualPort {
    pub(super) shared: Arc<Shared>,
    pub(super) pipe: PipeId,
}

impl IsochPort for VirtualPort {
    fn check(&self, _packets: &[Packet]) -> Result<(), Error> {
        if self.shared.with(|controller| controller.is_open(self.pipe)) {
            Ok(())
        } else {
            Err(Error::SettingChanged)
        }
    }

    fn submit(&self, id: u64, block: Block, start: Start) -> Result<HandedOver, (Block, Error)> {
        let mut state = self.shared.lock();
        self.shared.catch_up(&mut state);
        let now = state.controller.now() / MICROFRAMES_PER_FRAME;
        match state.controller.submit(self.pipe, id, block, start) {
            Ok(()) => {
                self.shared.nudge(&state);
                Ok(HandedOver { now: Some(now), ..HandedOver::default() })
            }
            Err((block, error)) => Err((block, refusal(error))),
        }
    }

    fn cancel(&self, id: u64) {
        self.shared.change(|controller, events| {
            controller.cancel(self.pipe, id, events);
        });
    }

    fn abort(&self) {
        self.shared.change(|controller, events| controller.abort(self.pipe, events));
    }

    fn wake_at(&self, deadline: Time, _sharp: bool) {
        self.shared.wake_at(self.pipe, deadline);
    }
}

impl Drop for VirtualPort {
    fn drop(&mut self) {
        self.shared.close_pipe(self.pipe);
    }
}

fn refusal(error: SubmitError) -> Error {
    match error {
        SubmitError::Gone => Error::Gone,
        // Whoever closes a pipe has it no more: it was a change of the setting.
        SubmitError::Stale => Error::SettingChanged,
        other => Error::Argument(other.to_string()),
    }
}
