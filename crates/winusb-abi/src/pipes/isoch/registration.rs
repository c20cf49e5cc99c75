//! Registered buffers: memory bound to a pipe.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use isoch::EmulatedTime;

use crate::failure::Failure;
use crate::handles::{Handles, Kind};
use crate::memory::CallerMemory;
use crate::pipes::IsochPipe;
use crate::system::File;
use crate::types::{HANDLE, INFINITE};
use crate::waits::{self, Dispatcher, Wanted};

static BUFFERS: Handles<Registration> =
    Handles::new(Kind::Buffer, "not a registered buffer, or one that was unregistered");

/// In `uses`: no more transfers may begin.
const UNREGISTERED: u32 = 1 << 31;

/// What a `WINUSB_ISOCH_BUFFER_HANDLE` stands for.
pub(crate) struct Registration {
    /// Not kept alive: a closed device is let go of, whatever is still registered.
    file: Weak<File>,
    pipe: Arc<IsochPipe>,
    memory: CallerMemory,
    /// Transfers under way, and whether it is unregistered.
    uses: AtomicU32,
}

/// A transfer's hold on the buffer it uses.
pub(crate) struct Use(Arc<Registration>);

impl Registration {
    /// Binds memory to a pipe.
    pub(crate) fn register(
        file: &Arc<File>,
        pipe: Arc<IsochPipe>,
        memory: CallerMemory,
    ) -> Result<HANDLE, Failure> {
        BUFFERS.insert(Arc::new(Registration {
            file: Arc::downgrade(file),
            pipe,
            memory,
            uses: AtomicU32::new(0),
        }))
    }

    pub(crate) fn from_handle(handle: HANDLE) -> Result<Arc<Self>, Failure> {
        BUFFERS.get(handle)
    }

    /// WinUsb_UnregisterIsochBuffer: no transfer can begin any more; waits for those under way.
    pub(crate) fn unregister(handle: HANDLE) -> Result<(), Failure> {
        let registration = BUFFERS.remove(handle)?;
        registration.uses.fetch_or(UNREGISTERED, Ordering::SeqCst);
        waits::wait(&*registration, INFINITE);
        Ok(())
    }

    /// The device file, which must still be open.
    pub(crate) fn file(&self) -> Result<Arc<File>, Failure> {
        let file = self.file.upgrade().filter(|file| file.session().is_open());
        file.ok_or_else(|| Failure::invalid_handle("the device file of this buffer is closed"))
    }

    pub(crate) fn pipe(&self) -> &Arc<IsochPipe> {
        &self.pipe
    }

    pub(crate) fn memory(&self) -> &CallerMemory {
        &self.memory
    }

    /// Bytes registered.
    pub(crate) fn length(&self) -> u32 {
        u32::try_from(self.memory.len()).unwrap_or(u32::MAX)
    }

    /// Begins a transfer from or to it.
    pub(crate) fn begin(self: Arc<Self>) -> Result<Use, Failure> {
        // Counted first: an unregistration that comes in between waits for it.
        let before = self.uses.fetch_add(1, Ordering::SeqCst);
        let using = Use(self);
        if before & UNREGISTERED != 0 {
            return Err(Failure::invalid_handle("the buffer is being unregistered"));
        }
        Ok(using)
    }

    fn key(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }
}

impl std::ops::Deref for Use {
    type Target = Registration;

    fn deref(&self) -> &Registration {
        &self.0
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        if self.0.uses.fetch_sub(1, Ordering::SeqCst) == UNREGISTERED + 1 {
            Dispatcher::lock().wake(self.0.key());
        }
    }
}

impl Wanted for Registration {
    type Got = ();

    fn keys(&self) -> Vec<usize> {
        vec![self.key()]
    }

    fn clocks(&self) -> Vec<EmulatedTime> {
        self.file.upgrade().and_then(|file| file.session().emulated_time()).into_iter().collect()
    }

    fn is_ready(&self) -> bool {
        self.uses.load(Ordering::SeqCst) == UNREGISTERED
    }

    fn take(&self) -> Option<()> {
        self.is_ready().then_some(())
    }
}
