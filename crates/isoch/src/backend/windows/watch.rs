//! Devices that come and go.
//!
//! Why is the whole list compared, when each notice names an interface? Because one device has several
//! interfaces, and the notice of one that left cannot be asked what it was. Devices come and go rarely enough.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::sync::{Arc, Mutex, PoisonError};

use windows_sys::Win32::Devices::DeviceAndDriverInstallation::{
    CM_NOTIFY_ACTION, CM_NOTIFY_EVENT_DATA, CM_NOTIFY_FILTER, CM_NOTIFY_FILTER_FLAG_ALL_INTERFACE_CLASSES,
    CM_NOTIFY_FILTER_TYPE_DEVICEINTERFACE, CM_Register_Notification, CM_Unregister_Notification, CR_SUCCESS,
    HCMNOTIFICATION,
};

use super::library::Library;
use super::open::wanted;
use crate::address::Address;
use crate::device::DeviceInformation;
use crate::wait::{Mailbox, Waiting};
use crate::{Error, HotplugEvent, Watch};

/// A subscription; dropping it ends it.
struct Subscription {
    handle: HCMNOTIFICATION,
    /// What the system hands to [`notice`].
    watching: *const Watching,
}

struct Watching {
    library: &'static Library,
    events: Arc<Mailbox<HotplugEvent>>,
    known: Mutex<Vec<DeviceInformation>>,
}

// SAFETY: the handle may be used from any thread; what is watched is only read through shared references.
unsafe impl Send for Subscription {}
// SAFETY: as above.
unsafe impl Sync for Subscription {}

pub(crate) fn watch(address: Address) -> Result<Watch, Error> {
    wanted(&address)?;
    let library = Library::get()?;
    if library.extensions.is_some() {
        return Err(Error::Unsupported(
            "the emulated devices of isoch's own winusb.dll do not come and go".into(),
        ));
    }
    let events = Arc::new(Mailbox::new());
    let watching = Watching { library, events: Arc::clone(&events), known: Mutex::new(Vec::new()) };
    // Known before the first notice, so that only what comes later is told.
    watching.compare(|_| {});
    let mut subscription =
        Subscription { handle: std::ptr::null_mut(), watching: Arc::into_raw(Arc::new(watching)) };
    let filter = CM_NOTIFY_FILTER {
        cbSize: size_of::<CM_NOTIFY_FILTER>() as u32,
        Flags: CM_NOTIFY_FILTER_FLAG_ALL_INTERFACE_CLASSES,
        FilterType: CM_NOTIFY_FILTER_TYPE_DEVICEINTERFACE,
        ..CM_NOTIFY_FILTER::default()
    };
    // SAFETY: the filter and the pointers are valid; what is watched lives until the subscription has ended.
    let code = unsafe {
        let context = subscription.watching.cast::<c_void>();
        CM_Register_Notification(&filter, context, Some(notice), &mut subscription.handle)
    };
    if code != CR_SUCCESS {
        return Err(Error::System { what: "watching devices".into(), reason: format!("code {code}") });
    }
    Ok(Watch::new(events, Waiting::Real, Arc::new(subscription)))
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if !self.handle.is_null() {
            // SAFETY: it was registered. The call waits for notices that are being handled, none of which can
            // be the one that drops this.
            unsafe { CM_Unregister_Notification(self.handle) };
        }
        // SAFETY: it came from `Arc::into_raw`, and no notice uses it any more.
        drop(unsafe { Arc::from_raw(self.watching) });
    }
}

unsafe extern "system" fn notice(
    _: HCMNOTIFICATION,
    context: *const c_void,
    _: CM_NOTIFY_ACTION,
    _: *const CM_NOTIFY_EVENT_DATA,
    _: u32,
) -> u32 {
    // SAFETY: it is what the subscription was made with, and lives as long.
    let watching = unsafe { &*context.cast::<Watching>() };
    watching.compare(|event| watching.events.push(event));
    0
}

impl Watching {
    /// Lists anew, and tells what changed.
    fn compare(&self, mut tell: impl FnMut(HotplugEvent)) {
        let Ok(found) = super::list::devices(self.library) else { return };
        let now: Vec<_> = found.into_iter().map(|found| found.information).collect();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for device in known.iter().filter(|device| !now.iter().any(|other| other.address == device.address)) {
            tell(HotplugEvent::Left { address: device.address.clone() });
        }
        for device in now.iter().filter(|device| !known.iter().any(|other| other.address == device.address)) {
            tell(HotplugEvent::Arrived(device.clone()));
        }
        *known = now;
    }
}
