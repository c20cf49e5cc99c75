//! Sets of devices, as `SetupDiGetClassDevs` makes them.
//!
//! Why a table and not pointers? A program that goes on with a set it has destroyed gets an error, and not
//! someone else's memory.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::devices::Device;
use crate::guid::Guid;
use crate::sys::{ERROR_INVALID_HANDLE, Handle};

/// What was there when the set was made.
pub(crate) struct Set {
    pub(crate) devices: Vec<Device>,
    /// The class that was asked for.
    pub(crate) class: Option<Guid>,
    /// Whether interfaces were asked for, and not only devices.
    pub(crate) interfaces: bool,
}

#[derive(Default)]
struct Sets {
    open: BTreeMap<usize, Arc<Set>>,
    made: usize,
}

static SETS: Mutex<Sets> = Mutex::new(Sets { open: BTreeMap::new(), made: 0 });

/// Handles lie where none of libwinusb's do, so that one is not taken for the other.
const FIRST: usize = 0x5E70_0000;
const LAST: usize = 0x6E6F_FFFC;

fn sets() -> MutexGuard<'static, Sets> {
    SETS.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn insert(set: Set) -> Handle {
    let mut sets = sets();
    loop {
        let key = FIRST + (sets.made * 4) % (LAST - FIRST);
        sets.made = sets.made.wrapping_add(1) % (LAST - FIRST);
        if let Entry::Vacant(free) = sets.open.entry(key) {
            free.insert(Arc::new(set));
            return std::ptr::without_provenance_mut(key);
        }
    }
}

pub(crate) fn get(handle: Handle) -> Result<Arc<Set>, u32> {
    sets().open.get(&handle.addr()).cloned().ok_or(ERROR_INVALID_HANDLE)
}

pub(crate) fn remove(handle: Handle) -> Result<(), u32> {
    sets().open.remove(&handle.addr()).map(drop).ok_or(ERROR_INVALID_HANDLE)
}
