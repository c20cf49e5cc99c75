//! What a transfer's end writes to the program: packet descriptors and a report.
//!
//! Why not references? The memory is the program's and is written by whatever thread learns of the end; it may be
//! unaligned, and must not be touched one moment longer than the request lasts.

#![allow(unsafe_code)]

use crate::failure::Failure;
use crate::types::{USBD_ISO_PACKET_DESCRIPTOR, WINUSBX_ISOCH_REPORT};

/// The program's array of packet descriptors. Only ever written: libusb passes its own array of another meaning.
pub(crate) struct PacketDescriptors {
    first: *mut USBD_ISO_PACKET_DESCRIPTOR,
    count: u32,
}

// SAFETY: the program lends the array to the request, on whatever thread that is served.
unsafe impl Send for PacketDescriptors {}

impl PacketDescriptors {
    /// # Safety
    /// `first` is valid for writes of `count` descriptors until the request has ended.
    pub(crate) unsafe fn new(first: *mut USBD_ISO_PACKET_DESCRIPTOR, count: u32) -> Self {
        PacketDescriptors { first, count }
    }

    pub(super) fn write(&self, index: usize, descriptor: USBD_ISO_PACKET_DESCRIPTOR) {
        if index < self.count as usize {
            // SAFETY: within the array, which is valid by the contract of `new`.
            unsafe { self.first.add(index).write_unaligned(descriptor) };
        }
    }
}

/// The program's report.
pub(crate) struct ReportMemory {
    report: *mut WINUSBX_ISOCH_REPORT,
    size: u32,
}

// SAFETY: as for packet descriptors.
unsafe impl Send for ReportMemory {}

impl ReportMemory {
    /// # Safety
    /// `report` is valid until the request has ended, for as many bytes as its field `Size` says.
    pub(crate) unsafe fn new(report: *mut WINUSBX_ISOCH_REPORT) -> Result<Self, Failure> {
        // SAFETY: by the contract at least the size can be read.
        let size = unsafe { (&raw const (*report).Size).read_unaligned() };
        crate::exports::check_size::<WINUSBX_ISOCH_REPORT>(size)?;
        Ok(ReportMemory { report, size })
    }

    pub(super) fn empty(&self) -> WINUSBX_ISOCH_REPORT {
        WINUSBX_ISOCH_REPORT { Size: self.size, ..WINUSBX_ISOCH_REPORT::default() }
    }

    pub(super) fn write(&self, report: WINUSBX_ISOCH_REPORT) {
        // SAFETY: valid by the contract of `new`, whose size was checked there.
        unsafe { self.report.write_unaligned(report) };
    }
}
