//! Memory of blocks, that WinUSB may have registered.

use isoch_core::Memory;

use super::shared::{Buffer, Shared};
use crate::sync::Weak;

/// Memory that is unregistered before it is freed.
///
/// Otherwise memory allocated later at the same address would be taken for registered, while the system would
/// still use the pages that were there before.
pub(super) struct RegisteredMemory {
    bytes: Box<[u8]>,
    shared: Weak<Shared>,
}

impl RegisteredMemory {
    pub(super) fn new(bytes: usize, shared: Weak<Shared>) -> Self {
        RegisteredMemory { bytes: vec![0; bytes].into_boxed_slice(), shared }
    }
}

impl Memory for RegisteredMemory {
    fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for RegisteredMemory {
    fn drop(&mut self) {
        // With the device, everything was unregistered.
        let Some(shared) = self.shared.upgrade() else { return };
        let address = self.bytes.as_ptr() as usize;
        let buffers: Vec<Buffer> =
            shared.lock().pipes.iter_mut().filter_map(|pipe| pipe.buffers.remove(&address)).collect();
        shared.unregister(buffers);
    }
}
