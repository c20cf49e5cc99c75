//! RAW_IO: requests go straight to the bus, which queues them itself. No error handling, and time runs at once.

use std::collections::VecDeque;

use isoch::Direction;

use super::{OnBus, Rules, Step, Transfer};
use crate::codes::NtStatus;
use crate::pipes::data::request::{Bytes, Request};

/// A request that the bus queues itself.
#[derive(Debug)]
pub(super) struct Raw<M, F> {
    pub(super) request: Request<M, F>,
    /// Its transfers that are not over: the bytes, and maybe the empty packet behind them.
    pub(super) transfers: VecDeque<OnBus>,
    status: NtStatus,
}

impl<M: Bytes, F> Rules<M, F> {
    pub(super) fn submit_raw(&mut self, mut request: Request<M, F>) {
        let timeout = self.policies.timeout();
        let mut transfers = VecDeque::new();
        match self.shape.direction {
            Direction::In => {
                let asked = request.ask(self.shape);
                let transfer = self.new_transfer();
                transfers.push_back(OnBus { transfer, asked });
                self.steps.push_back(Step::Read { transfer, length: asked, timeout });
            }
            Direction::Out => {
                for bytes in request.send_raw(self.shape, &self.policies) {
                    let transfer = self.new_transfer();
                    transfers.push_back(OnBus { transfer, asked: bytes.len() });
                    self.steps.push_back(Step::Write { transfer, bytes, timeout });
                }
            }
        }
        self.raw.push(Raw { request, transfers, status: NtStatus::SUCCESS });
    }

    pub(super) fn raw_done(&mut self, transfer: Transfer, data: &[u8], result: Result<(), NtStatus>) {
        let named = |on_bus: &OnBus| on_bus.transfer == transfer;
        // One of a pipe that was closed is nobody's.
        let Some(index) = self.raw.iter().position(|raw| raw.transfers.iter().any(named)) else { return };
        let raw = &mut self.raw[index];
        let Some(on_bus) = raw.transfers.iter().copied().find(named) else { return };
        raw.transfers.retain(|on_bus| !named(on_bus));
        let received = match self.shape.direction {
            Direction::In => raw.request.received(data, on_bus.asked, &mut self.surplus, &self.policies),
            Direction::Out => {
                raw.request.sent(data.len(), on_bus.asked);
                Ok(())
            }
        };
        if let (NtStatus::SUCCESS, Err(status)) = (raw.status, result.and(received)) {
            raw.status = status;
            // An empty packet behind what was not sent would end another message.
            self.steps.extend(raw.transfers.iter().map(|on_bus| Step::Cancel { transfer: on_bus.transfer }));
        }
        if !raw.request.cancelled {
            self.end_raw(index);
        }
        // Those that were aborted were so newest first, and end in order.
        while let Some(first) = self.raw.iter().position(|raw| raw.request.cancelled) {
            if !self.end_raw(first) {
                return;
            }
        }
    }

    fn end_raw(&mut self, index: usize) -> bool {
        let over = self.raw[index].transfers.is_empty();
        if over {
            let Raw { request, status, .. } = self.raw.remove(index);
            self.end(request.finish, status, request.done);
        }
        over
    }

    /// Newest first, so that none begins because another ended.
    pub(super) fn cancel_raw(&mut self, concerned: impl Fn(&F) -> bool) -> bool {
        let before = self.steps.len();
        for raw in self.raw.iter().rev().filter(|raw| concerned(&raw.request.finish)) {
            let transfers = raw.transfers.iter().rev();
            self.steps.extend(transfers.map(|on_bus| Step::Cancel { transfer: on_bus.transfer }));
        }
        self.steps.len() > before
    }
}
