//! Getting hold of a device: its file, WinUSB's handles, and what is made of them.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use isoch_core::rules::Speed;
use isoch_core::rules::descriptors::Configuration;

use super::clock::CounterClock;
use super::codes;
use super::library::{ChooseDevice, InterfaceHandle, Library};
use super::list::Way;
use super::shared::{Closed, Interface, Shared, State};
use super::system::{self, Calls, Event, Handle};
use crate::Error;
use crate::clock::Host;
use crate::sync::{Arc, Condvar, Mutex, Weak};

/// How long opening a device waits for this process to have closed it.
const LONGEST_CLOSE: Duration = Duration::from_secs(1);
/// A device that was closed may be in use for so long still. (Our own winusb.dll looks every 20 ms.)
const CLOSED: Duration = Duration::from_millis(100);

/// What this process is closing: a device that was let go of closes as soon as what was in flight has come back,
/// and nobody waits for that.
pub(super) struct Closing {
    devices: usize,
    last: Option<Instant>,
}

pub(super) fn closing() -> MutexGuard<'static, Closing> {
    static CLOSING: std::sync::Mutex<Closing> = std::sync::Mutex::new(Closing { devices: 0, last: None });
    CLOSING.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Closing {
    /// A device was let go of.
    pub(super) fn begin(&mut self) {
        self.devices += 1;
    }

    /// It is closed.
    pub(super) fn end(&mut self) {
        self.devices = self.devices.saturating_sub(1);
        self.last = Some(Instant::now());
    }

    /// Whether a device that is in use now may soon be free.
    fn is_near(&self) -> bool {
        self.devices > 0 || self.last.is_some_and(|last| last.elapsed() < CLOSED)
    }
}

/// What is open already, while a device is being opened. Dropping it closes that again.
pub(super) struct Opened {
    library: &'static Library,
    interfaces: Vec<InterfaceHandle>,
    file: Handle,
}

impl Opened {
    /// Opens the file and the first interface. Waits a little if this process has just let go of the device.
    pub(super) fn new(library: &'static Library, way: &Way, address: &str) -> Result<Self, Error> {
        let _chosen = Chosen::new(library, way, address)?;
        let path = match way {
            Way::Path(path) => path.clone(),
            // What our own winusb.dll answers to, in this process.
            Way::Emulated(_) => format!(r"\\.\pipe\isoch-winusb-{}", std::process::id()),
        };
        let began = Instant::now();
        loop {
            let code = match Self::attempt(library, &path) {
                Ok(opened) => return Ok(opened),
                Err(code) => code,
            };
            match code {
                codes::ERROR_ACCESS_DENIED | codes::ERROR_SHARING_VIOLATION | codes::ERROR_PIPE_BUSY => {
                    if !closing().is_near() || began.elapsed() > LONGEST_CLOSE {
                        return Err(Error::Busy {
                            what: format!("`{address}`"),
                            remedy: "another program or handle has it open; close that first",
                        });
                    }
                    std::thread::sleep(Duration::from_millis(1));
                }
                code if codes::is_gone(code) => {
                    return Err(Error::NotFound { address: address.into(), hint: String::new() });
                }
                code => return Err(system::error_of(code, format_args!("opening `{address}`"))),
            }
        }
    }

    /// The error is the system's code.
    fn attempt(library: &'static Library, path: &str) -> Result<Self, u32> {
        let file = system::open_file(path, Calls::Overlapped)?;
        let mut handle: InterfaceHandle = std::ptr::null_mut();
        // SAFETY: the file is open, and the pointer is valid.
        match unsafe { (library.initialize)(file.raw(), &mut handle) } {
            0 => Err(system::last_error()),
            _ => Ok(Opened { library, interfaces: vec![handle], file }),
        }
    }

    /// The interface that was opened first.
    pub(super) fn first(&self) -> InterfaceHandle {
        self.interfaces[0]
    }

    /// Opens the other interfaces, and puts together what all that belongs to the device share.
    pub(super) fn shared(mut self, configuration: Configuration, speed: Speed) -> Result<Arc<Shared>, Error> {
        let library = self.library;
        let first = self.first();
        for index in 0..=u8::MAX {
            let mut handle: InterfaceHandle = std::ptr::null_mut();
            // SAFETY: the handle is open, and the pointer is valid.
            if unsafe { (library.get_associated_interface)(first, index, &mut handle) } == 0 {
                break;
            }
            self.interfaces.push(handle);
        }
        let (mut interfaces, mut settings) = (Vec::new(), Vec::new());
        for handle in &self.interfaces {
            let mut bytes = [0_u8; 9];
            // SAFETY: the handle is open, and there is room for an interface descriptor.
            if unsafe { (library.query_interface_settings)(*handle, 0, &mut bytes) } == 0 {
                return Err(system::error("asking for an interface's number"));
            }
            let mut setting = 0;
            // SAFETY: the handle is open, and the pointer is valid.
            if unsafe { (library.get_current_alternate_setting)(*handle, &mut setting) } == 0 {
                return Err(system::error("asking for the alternate setting in force"));
            }
            // USB 2.0 §9.6.5: bInterfaceNumber.
            interfaces.push(Interface { number: bytes[2], handle: *handle });
            settings.push((bytes[2], setting));
        }
        let nudge = Event::automatic()?;
        // The origin lies before everything that is measured.
        let now = Instant::now();
        let host = Host::new(now.checked_sub(Duration::from_secs(1)).unwrap_or(now), None);
        let (_, file) = self.into_parts();
        Ok(Arc::new_cyclic(|weak: &Weak<Shared>| Shared {
            library,
            interfaces,
            configuration,
            speed,
            clock: Arc::new(CounterClock::new(weak.clone(), host.clone())),
            host,
            nudge,
            thread: std::sync::OnceLock::new(),
            state: Mutex::new(State { settings, ..State::default() }),
            freed: Condvar::new(),
            file,
            _closed: Closed,
        }))
    }

    fn into_parts(self) -> (Vec<InterfaceHandle>, Handle) {
        let this = std::mem::ManuallyDrop::new(self);
        // SAFETY: each field is taken once, and `this` is not dropped.
        unsafe { (std::ptr::read(&this.interfaces), std::ptr::read(&this.file)) }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        for handle in self.interfaces.iter().rev() {
            // SAFETY: nothing uses the handle any more.
            unsafe { (self.library.free)(*handle) };
        }
    }
}

/// An emulated device that our own winusb.dll is to open next. The choice is the process's, so it is made while
/// a device is being opened and forgotten then.
struct Chosen {
    choose: ChooseDevice,
    _turn: MutexGuard<'static, ()>,
}

impl Chosen {
    fn new(library: &Library, way: &Way, address: &str) -> Result<Option<Self>, Error> {
        static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
        let (Way::Emulated(device), Some(extensions)) = (way, &library.extensions) else { return Ok(None) };
        let device = CString::new(device.as_str())
            .map_err(|_| Error::Argument("an address has no zero in it".into()))?;
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let choose = extensions.choose_device;
        // SAFETY: the text ends with a zero.
        if unsafe { choose(device.as_ptr()) } == 0 {
            return Err(system::error(format_args!("choosing `{address}`")));
        }
        Ok(Some(Chosen { choose, _turn: turn }))
    }
}

impl Drop for Chosen {
    fn drop(&mut self) {
        // SAFETY: null forgets what was chosen.
        unsafe { (self.choose)(std::ptr::null()) };
    }
}
