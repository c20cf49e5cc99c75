//! The handles of kernel objects, and waiting for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use isoch::EmulatedTime;

use super::{File, Port};
use crate::failure::Failure;
use crate::handles::{Handles, Kind};
use crate::time;
use crate::types::HANDLE;
use crate::waits::{self, Dispatcher, Wanted};

static OBJECTS: Handles<Object> =
    Handles::new(Kind::Object, "the handle is of no open device file, event or completion port");

/// What a `HANDLE` can be of.
pub(crate) enum Object {
    File(Arc<File>),
    Event(Arc<Event>),
    Port(Arc<Port>),
}

/// An event: signalled until it is reset, or until one wait has taken it.
pub(crate) struct Event {
    manual_reset: bool,
    /// Changed with the dispatcher locked only.
    set: AtomicBool,
}

impl Event {
    pub(crate) fn new(manual_reset: bool, set: bool) -> Arc<Self> {
        Arc::new(Event { manual_reset, set: AtomicBool::new(set) })
    }

    pub(crate) fn set(&self) {
        let dispatcher = Dispatcher::lock();
        self.set_locked(&dispatcher);
    }

    pub(super) fn set_locked(&self, dispatcher: &Dispatcher) {
        self.set.store(true, Ordering::Relaxed);
        dispatcher.wake(key(self));
    }

    pub(crate) fn reset(&self) {
        // Most requests find it so.
        if !self.set.load(Ordering::Relaxed) {
            return;
        }
        let _dispatcher = Dispatcher::lock();
        self.set.store(false, Ordering::Relaxed);
    }

    /// One wait has it now. With the dispatcher locked.
    pub(super) fn taken(&self) {
        if !self.manual_reset {
            self.set.store(false, Ordering::Relaxed);
        }
    }
}

/// What names an object to those who wait.
pub(super) fn key<T>(object: &T) -> usize {
    std::ptr::from_ref(object) as usize
}

/// The table of all kernel objects.
pub(crate) fn objects() -> &'static Handles<Object> {
    &OBJECTS
}

pub(crate) fn get_event(handle: HANDLE) -> Result<Arc<Event>, Failure> {
    OBJECTS.look(handle, |object| match &**object {
        Object::Event(event) => Ok(Arc::clone(event)),
        _ => Err(Failure::invalid_handle("the handle is not of an event")),
    })?
}

pub(crate) fn get_port(handle: HANDLE) -> Result<Arc<Port>, Failure> {
    match &*OBJECTS.get(handle)? {
        Object::Port(port) => Ok(Arc::clone(port)),
        _ => Err(Failure::invalid_handle("the handle is not of a completion port")),
    }
}

/// CloseHandle. What was pending on a device file is cancelled and told.
pub(crate) fn close(handle: HANDLE) -> Result<(), Failure> {
    match &*OBJECTS.remove(handle)? {
        Object::File(file) => file.close(),
        Object::Port(port) => port.close(),
        Object::Event(_) => {}
    }
    Ok(())
}

impl Object {
    fn key(&self) -> usize {
        match self {
            Object::File(file) => key(&**file),
            Object::Event(event) => key(&**event),
            Object::Port(port) => key(&**port),
        }
    }

    /// Whether it is signalled. With the dispatcher locked.
    fn is_set(&self) -> bool {
        match self {
            Object::File(file) => file.is_signalled(),
            Object::Event(event) => event.set.load(Ordering::Relaxed),
            Object::Port(port) => port.has_packets(),
        }
    }

    /// One wait has it now. With the dispatcher locked.
    fn taken(&self) {
        if let Object::Event(event) = self {
            event.taken();
        }
    }
}

struct Several {
    objects: Vec<Arc<Object>>,
    all: bool,
}

impl Wanted for Several {
    /// The index of the (first) object that ended the wait.
    type Got = usize;

    fn keys(&self) -> Vec<usize> {
        self.objects.iter().map(|object| object.key()).collect()
    }

    fn clocks(&self) -> Vec<EmulatedTime> {
        time::emulated()
    }

    fn is_ready(&self) -> bool {
        let mut set = self.objects.iter().map(|object| object.is_set());
        if self.all { set.all(|set| set) } else { set.any(|set| set) }
    }

    fn take(&self) -> Option<usize> {
        if !self.is_ready() {
            return None;
        }
        if self.all {
            self.objects.iter().for_each(|object| object.taken());
            return Some(0);
        }
        let index = self.objects.iter().position(|object| object.is_set())?;
        self.objects[index].taken();
        Some(index)
    }
}

/// WaitForMultipleObjects. `None`: timed out.
pub(crate) fn wait_for_objects(
    handles: &[HANDLE],
    all: bool,
    milliseconds: u32,
) -> Result<Option<usize>, Failure> {
    let objects = handles.iter().map(|handle| OBJECTS.get(*handle)).collect::<Result<Vec<_>, _>>()?;
    Ok(waits::wait(&Several { objects, all }, milliseconds))
}
