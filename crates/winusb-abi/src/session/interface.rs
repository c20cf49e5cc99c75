//! An interface of an open device: the alternate setting in force, and its pipes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use isoch::AlternateSetting;
use isoch::rules::descriptors::{self, Endpoint, TransferType};

use crate::codes::win32;
use crate::failure::Failure;
use crate::handles::{Handles, Kind};
use crate::pipes::{ControlPipe, DataPipe, IsochPipe};
use crate::session::{Requests, Session};
use crate::system::File;
use crate::types::HANDLE;

static INTERFACES: Handles<Interface> =
    Handles::new(Kind::Interface, "not an interface handle, or one that was freed");

/// What a `WINUSB_INTERFACE_HANDLE` stands for.
pub(crate) struct Interface {
    file: Arc<File>,
    /// Its place in the configuration.
    index: usize,
    number: u8,
    /// Whether a handle is out: there is at most one.
    has_handle: AtomicBool,
    control: Arc<ControlPipe>,
    state: Mutex<State>,
}

struct State {
    /// `None` once the device file is closed.
    in_force: Option<InForce>,
}

struct InForce {
    claim: isoch::Interface,
    setting: AlternateSetting,
    isoch: Vec<Arc<IsochPipe>>,
    data: Vec<Arc<DataPipe>>,
}

/// A pipe of the setting in force.
pub(crate) enum Pipe {
    Control(Arc<ControlPipe>),
    Data(Arc<DataPipe>),
    Isoch(Arc<IsochPipe>),
}

impl Interface {
    pub(super) fn new(file: &Arc<File>, index: usize, claim: isoch::Interface) -> Self {
        Interface {
            file: Arc::clone(file),
            index,
            number: claim.number(),
            has_handle: AtomicBool::new(true),
            control: ControlPipe::new(claim.device(), claim.number()),
            state: Mutex::new(State {
                in_force: Some(InForce {
                    setting: claim.setting_in_force(),
                    claim,
                    isoch: Vec::new(),
                    data: Vec::new(),
                }),
            }),
        }
    }

    /// A handle for it.
    pub(crate) fn into_handle(self: Arc<Self>) -> Result<HANDLE, Failure> {
        INTERFACES.insert(Arc::clone(&self)).inspect_err(|_| self.has_handle.store(false, Ordering::SeqCst))
    }

    /// The interface of a handle, if its device file is still open.
    pub(crate) fn from_handle(handle: HANDLE) -> Result<Arc<Self>, Failure> {
        let interface = INTERFACES.get(handle)?;
        if interface.session().is_open() {
            Ok(interface)
        } else {
            Err(Failure::invalid_handle("the device file of this interface is closed"))
        }
    }

    /// WinUsb_Free. What is under way goes on.
    pub(crate) fn free(handle: HANDLE) -> Result<(), Failure> {
        INTERFACES.remove(handle)?.has_handle.store(false, Ordering::SeqCst);
        Ok(())
    }

    /// Whether it had no handle; it has now.
    pub(super) fn take_handle(&self) -> bool {
        !self.has_handle.swap(true, Ordering::SeqCst)
    }

    /// A new handle finds the policies at their defaults.
    pub(super) fn forget_policies(&self) {
        self.control.forget_policies();
        if let Some(in_force) = &mut self.state().in_force {
            in_force.data.iter().for_each(|pipe| pipe.forget_policies());
        }
    }

    pub(super) fn index(&self) -> usize {
        self.index
    }

    pub(crate) fn number(&self) -> u8 {
        self.number
    }

    pub(crate) fn file(&self) -> &Arc<File> {
        &self.file
    }

    pub(crate) fn session(&self) -> &Arc<Session> {
        self.file.session()
    }

    pub(crate) fn control(&self) -> &Arc<ControlPipe> {
        &self.control
    }

    /// Its descriptors, all alternate settings.
    pub(crate) fn descriptor(&self) -> Result<&descriptors::Interface, Failure> {
        let configuration = self.session().device().configuration();
        let found = configuration.interface(self.number);
        found.ok_or_else(|| Failure::new(win32::BAD_DEVICE, "the interface has no descriptor"))
    }

    /// The number of the alternate setting in force.
    pub(crate) fn alternate_setting(&self) -> Result<u8, Failure> {
        Ok(self.open(&mut self.state())?.setting.number())
    }

    /// SET_INTERFACE. Refused while requests are under way on the interface.
    pub(crate) fn set_alternate_setting(&self, number: u8) -> Result<(), Failure> {
        let mut state = self.state();
        let in_force = self.open(&mut state)?;
        let busy = in_force.isoch.iter().any(|pipe| pipe.is_busy())
            || in_force.data.iter().any(|pipe| pipe.is_busy());
        if busy {
            let reason = "requests are under way on the interface: abort and drain its pipes first";
            return Err(Failure::new(win32::BUSY, reason));
        }
        in_force.setting = in_force.claim.alternate_setting(number)?;
        // What is registered for the old setting's pipes is of no use any more.
        let isoch = std::mem::take(&mut in_force.isoch);
        let data = std::mem::take(&mut in_force.data);
        // Before anyone can ask for the new setting's pipes, which may have the same endpoints.
        isoch.iter().for_each(|pipe| pipe.close());
        data.iter().for_each(|pipe| pipe.close());
        Ok(())
    }

    /// A pipe of the alternate setting in force.
    pub(crate) fn pipe(&self, address: u8) -> Result<Pipe, Failure> {
        self.session().check_present()?;
        if address == 0 {
            return Ok(Pipe::Control(Arc::clone(&self.control)));
        }
        let mut state = self.state();
        let in_force = self.open(&mut state)?;
        let endpoint = in_force.setting.descriptor().endpoint(address).cloned();
        let Some(endpoint) = endpoint else {
            let number = in_force.setting.number();
            return Err(Failure::argument(format!(
                "alternate setting {number} of interface {} has no pipe {address:#04x}: \
                 select the setting that has it, and give the direction in bit 7",
                self.number
            )));
        };
        if endpoint.transfer_type() == TransferType::Isochronous {
            self.isoch_pipe(in_force, &endpoint).map(Pipe::Isoch)
        } else {
            self.data_pipe(in_force, &endpoint).map(Pipe::Data)
        }
    }

    fn isoch_pipe(&self, in_force: &mut InForce, endpoint: &Endpoint) -> Result<Arc<IsochPipe>, Failure> {
        if let Some(pipe) = in_force.isoch.iter().find(|pipe| pipe.address() == endpoint.address) {
            return Ok(Arc::clone(pipe));
        }
        let pipe = IsochPipe::open(&self.file, &in_force.setting, endpoint)?;
        let requests: Weak<IsochPipe> = Arc::downgrade(&pipe);
        self.session().add_requests(requests);
        in_force.isoch.push(Arc::clone(&pipe));
        Ok(pipe)
    }

    fn data_pipe(&self, in_force: &mut InForce, endpoint: &Endpoint) -> Result<Arc<DataPipe>, Failure> {
        if let Some(pipe) = in_force.data.iter().find(|pipe| pipe.address() == endpoint.address) {
            return Ok(Arc::clone(pipe));
        }
        let pipe = DataPipe::open(&in_force.setting, endpoint)?;
        let requests: Weak<DataPipe> = Arc::downgrade(&pipe);
        self.session().add_requests(requests);
        in_force.data.push(Arc::clone(&pipe));
        Ok(pipe)
    }

    /// The device file is closed: gives the interface back.
    pub(super) fn close(&self) {
        let in_force = self.state().in_force.take();
        self.control.close();
        if let Some(in_force) = in_force {
            in_force.isoch.iter().for_each(|pipe| pipe.close());
            in_force.data.iter().for_each(|pipe| pipe.close());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open<'a>(&self, state: &'a mut State) -> Result<&'a mut InForce, Failure> {
        state.in_force.as_mut().ok_or_else(|| Failure::invalid_handle("the device file is closed"))
    }
}
