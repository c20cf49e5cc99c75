//! One open device: its interfaces, whatever is under way on it, and what holds for all of it.
//!
//! Why apart from the device file? A file is the system's affair: what it is, and what is signalled when a request on
//! it is over, differs between Windows and the rest. What a program does with the device does not.

mod frames;
mod interface;
mod power;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use isoch::{Device, EmulatedTime};

pub(crate) use frames::{Current, Frames, Tracking};
pub(crate) use interface::{Interface, Pipe};
pub(crate) use power::PowerPolicies;

use crate::codes::win32;
use crate::failure::Failure;
use crate::system::File;
use crate::time::OpenClock;
use crate::types::OVERLAPPED;

/// What is open on a device file.
pub(crate) struct Session {
    device: Device,
    frames: Frames,
    pub(crate) power: Mutex<PowerPolicies>,
    open: AtomicBool,
    state: Mutex<State>,
}

struct State {
    /// The first interface's claim: what makes a device file exclusive. `None` once the file is closed.
    first: Option<isoch::Interface>,
    /// All that were ever initialized: what is under way on one goes on when its handle is freed, and belongs to the
    /// next handle of it. The circle with the file ends in [`close`](Session::close).
    interfaces: Vec<Arc<Interface>>,
    requests: Vec<Weak<dyn Requests>>,
    /// Emulated time runs while the file is open.
    clock: Option<OpenClock>,
}

/// Something that has requests under way: a pipe.
pub(crate) trait Requests: Send + Sync {
    /// Cancels the request of an OVERLAPPED; NULL: all that have one. Tells whether there was any.
    fn cancel(&self, overlapped: *mut OVERLAPPED) -> bool;
    /// Cancels all, blocking ones as well, and touches no memory of the program's any more: the file is closed.
    fn close(&self);
}

impl Session {
    /// Takes the device for this program.
    pub(crate) fn open(device: Device) -> Result<Arc<Self>, Failure> {
        let first = device.configuration().interfaces.first().map(|interface| interface.number);
        let first = first.ok_or_else(|| Failure::new(win32::BAD_DEVICE, "the device has no interface"))?;
        let first = device.interface(first)?;
        let clock = OpenClock::new(device.clock().emulated_time());
        Ok(Arc::new(Session {
            frames: Frames::new(&device),
            device,
            power: Mutex::default(),
            open: AtomicBool::new(true),
            state: Mutex::new(State {
                first: Some(first),
                interfaces: Vec::new(),
                requests: Vec::new(),
                clock: Some(clock),
            }),
        }))
    }

    /// Whether the device file is open.
    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::SeqCst)
    }

    /// The clock that its requests are served by, where time is emulated.
    pub(crate) fn emulated_time(&self) -> Option<EmulatedTime> {
        self.device.clock().emulated_time()
    }

    /// Refuses what needs the device to be there.
    pub(crate) fn check_present(&self) -> Result<(), Failure> {
        if self.device.is_present() { Ok(()) } else { Err(isoch::Error::Gone.into()) }
    }

    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    pub(crate) fn frames(&self) -> &Frames {
        &self.frames
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The interface at this place of the configuration, for a new handle.
    pub(crate) fn interface(&self, file: &Arc<File>, index: usize) -> Result<Arc<Interface>, Failure> {
        let mut state = self.state();
        let Some(first) = state.first.clone() else {
            return Err(Failure::invalid_handle("the device file is closed"));
        };
        let known = state.interfaces.iter().find(|known| known.index() == index).map(Arc::clone);
        if let Some(known) = known {
            // An interface is locked before its session.
            drop(state);
            return if known.take_handle() {
                known.forget_policies();
                Ok(known)
            } else {
                Err(Failure::new(win32::ALREADY_EXISTS, "this interface has a handle already: free it first"))
            };
        }
        let Some(descriptor) = self.device.configuration().interfaces.get(index) else {
            return Err(Failure::new(win32::NO_MORE_ITEMS, "the device has no such interface"));
        };
        let claim = if index == 0 { first } else { self.device.interface(descriptor.number)? };
        let interface = Arc::new(Interface::new(file, index, claim));
        state.interfaces.push(Arc::clone(&interface));
        let control: Weak<crate::pipes::ControlPipe> = Arc::downgrade(interface.control());
        state.requests.push(control);
        Ok(interface)
    }

    /// From now on these requests are cancelled with the others of the file.
    pub(crate) fn add_requests(&self, requests: Weak<dyn Requests>) {
        let mut state = self.state();
        state.requests.retain(|requests| requests.strong_count() > 0);
        state.requests.push(requests);
    }

    /// Cancels the request of an OVERLAPPED; NULL: all that have one. Tells whether there was any.
    pub(crate) fn cancel(&self, overlapped: *mut OVERLAPPED) -> bool {
        let requests = self.state().requests.clone();
        let mut found = false;
        for requests in requests.iter().filter_map(Weak::upgrade) {
            found |= requests.cancel(overlapped);
            if found && !overlapped.is_null() {
                break;
            }
        }
        found
    }

    /// The file is closed: cancels everything, gives every interface back.
    pub(crate) fn close(&self) {
        self.open.store(false, Ordering::SeqCst);
        let (requests, interfaces, first, clock) = {
            let mut state = self.state();
            let requests = std::mem::take(&mut state.requests);
            (requests, std::mem::take(&mut state.interfaces), state.first.take(), state.clock.take())
        };
        requests.iter().filter_map(Weak::upgrade).for_each(|requests| requests.close());
        interfaces.iter().for_each(|interface| interface.close());
        drop((first, clock));
    }
}
