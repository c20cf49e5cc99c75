//! Handles: checked table entries, never pointers.
//!
//! Why not pointers, as in Windows' DLL? Because there a stale handle is a use after free. Here a handle is an
//! index with a generation, so whatever a program passes — an old handle, one of another kind, a random number —
//! is looked up and refused. The two lowest bits are 0, as in Windows' own (one of them has a meaning in an event
//! handle), and INVALID_HANDLE_VALUE is never a handle.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock};

use crate::codes::win32;
use crate::failure::Failure;
use crate::types::HANDLE;

const KIND_SHIFT: u32 = 2;
const KIND_BITS: u32 = 3;
const INDEX_SHIFT: u32 = KIND_SHIFT + KIND_BITS;
const INDEX_BITS: u32 = if cfg!(target_pointer_width = "64") { 20 } else { 14 };
const GENERATION_SHIFT: u32 = INDEX_SHIFT + INDEX_BITS;
// One bit less than there is room for: handles stay positive, so none is INVALID_HANDLE_VALUE.
const GENERATION_BITS: u32 = usize::BITS - 1 - GENERATION_SHIFT;

/// So many slots rest before one is used again: a handle comes again only after this many times the generations there
/// are, also where a pointer has but 32 bits.
const RESTING: usize = 1024;

/// What a handle is of. Handles of another kind are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Kind {
    /// `WINUSB_INTERFACE_HANDLE`.
    Interface = 1,
    /// `WINUSB_ISOCH_BUFFER_HANDLE`.
    Buffer = 2,
    /// `TimeTrackingHandle`.
    Tracking = 3,
    /// A device file, an event or a completion port.
    #[cfg_attr(windows, expect(dead_code, reason = "Windows has its own"))]
    Object = 4,
}

/// All handles of one kind.
pub(crate) struct Handles<T> {
    kind: Kind,
    /// For the message of a refusal.
    name: &'static str,
    table: RwLock<Table<T>>,
}

struct Table<T> {
    slots: Vec<Slot<T>>,
    free: VecDeque<usize>,
}

struct Slot<T> {
    /// From 1 on: 0 was never given out.
    generation: usize,
    value: Option<Arc<T>>,
}

impl<T> Handles<T> {
    pub(crate) const fn new(kind: Kind, name: &'static str) -> Self {
        Handles { kind, name, table: RwLock::new(Table { slots: Vec::new(), free: VecDeque::new() }) }
    }

    pub(crate) fn insert(&self, value: Arc<T>) -> Result<HANDLE, Failure> {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let has_room = table.slots.len() < 1 << INDEX_BITS;
        let index = if has_room && table.free.len() < RESTING {
            table.slots.push(Slot { generation: 0, value: None });
            table.slots.len() - 1
        } else if let Some(index) = table.free.pop_front() {
            index
        } else {
            let reason = "too many handles are open: close some first";
            return Err(Failure::new(win32::NO_SYSTEM_RESOURCES, reason));
        };
        let slot = &mut table.slots[index];
        slot.generation = (slot.generation + 1) & ((1 << GENERATION_BITS) - 1);
        slot.generation = slot.generation.max(1);
        slot.value = Some(value);
        let value =
            slot.generation << GENERATION_SHIFT | index << INDEX_SHIFT | (self.kind as usize) << KIND_SHIFT;
        Ok(value as HANDLE)
    }

    /// What the handle stands for.
    pub(crate) fn get(&self, handle: HANDLE) -> Result<Arc<T>, Failure> {
        self.look(handle, Arc::clone)
    }

    /// A look at what the handle stands for, with the table locked.
    pub(crate) fn look<R>(&self, handle: HANDLE, look: impl FnOnce(&Arc<T>) -> R) -> Result<R, Failure> {
        let (index, generation) = self.parse(handle)?;
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let slot = table.slots.get(index).filter(|slot| slot.generation == generation);
        slot.and_then(|slot| slot.value.as_ref()).map(look).ok_or_else(|| self.refusal())
    }

    /// Takes the handle out of the table: from now on it is stale.
    pub(crate) fn remove(&self, handle: HANDLE) -> Result<Arc<T>, Failure> {
        let (index, generation) = self.parse(handle)?;
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let slot = table.slots.get_mut(index).filter(|slot| slot.generation == generation);
        let value = slot.and_then(|slot| slot.value.take()).ok_or_else(|| self.refusal())?;
        table.free.push_back(index);
        Ok(value)
    }

    fn parse(&self, handle: HANDLE) -> Result<(usize, usize), Failure> {
        let value = handle as usize;
        let index = value >> INDEX_SHIFT & ((1 << INDEX_BITS) - 1);
        let generation = value >> GENERATION_SHIFT;
        let kind = value & ((1 << INDEX_SHIFT) - 1);
        if kind != (self.kind as usize) << KIND_SHIFT || generation >> GENERATION_BITS != 0 {
            return Err(self.refusal());
        }
        Ok((index, generation))
    }

    fn refusal(&self) -> Failure {
        Failure::invalid_handle(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_given_out_and_not_taken_back_is_a_handle() {
        let numbers: Handles<u32> = Handles::new(Kind::Buffer, "not a number");
        let others: Handles<u32> = Handles::new(Kind::Interface, "not another");
        let seven = numbers.insert(Arc::new(7)).unwrap();
        assert_eq!(*numbers.get(seven).unwrap(), 7);
        assert_eq!(others.get(seven).unwrap_err().code, win32::INVALID_HANDLE, "another kind");
        assert_eq!(seven as usize & 3, 0);
        assert_eq!(*numbers.remove(seven).unwrap(), 7);
        assert!(numbers.remove(seven).is_err() && numbers.get(seven).is_err(), "stale");
        let eight = numbers.insert(Arc::new(8)).unwrap();
        assert_ne!(seven, eight, "the slot is used again, the handle is not");
        assert!(numbers.get(seven).is_err());
        for wrong in [0_usize, usize::MAX, 1, eight as usize | 1, eight as usize + (1 << INDEX_SHIFT)] {
            assert!(numbers.get(wrong as HANDLE).is_err(), "{wrong:#x}");
        }
    }

    #[test]
    fn random_numbers_are_no_handles() {
        let numbers: Handles<u32> = Handles::new(Kind::Buffer, "not a number");
        let real = numbers.insert(Arc::new(7)).unwrap() as usize;
        let mut value = 0x9E37_79B9_7F4A_7C15_u64;
        for _ in 0..100_000 {
            value = value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let guess = (value >> (64 - usize::BITS)) as usize;
            assert!(guess == real || numbers.get(guess as HANDLE).is_err());
        }
    }
}
