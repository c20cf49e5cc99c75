//! The devices that can be opened.
#![allow(unsafe_code)]

use crate::sys::{self, ERROR_INSUFFICIENT_BUFFER, ListedDevice};

/// What is known of a device before it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) address: String,
    pub(crate) vendor_id: u16,
    pub(crate) product_id: u16,
    pub(crate) manufacturer: String,
    pub(crate) product: String,
}

/// All of them, or the code of why that is not known.
pub(crate) fn list() -> Result<Vec<Device>, u32> {
    let size = u32::try_from(size_of::<ListedDevice>()).unwrap_or(u32::MAX);
    let empty = ListedDevice {
        size,
        vendor_id: 0,
        product_id: 0,
        speed: 0,
        address: [0; 256],
        manufacturer: [0; 128],
        product: [0; 128],
        serial_number: [0; 128],
    };
    // Most machines have fewer. If there are more, and more again while we ask, this ends all the same.
    let mut room = 16_u32;
    for _ in 0..4 {
        let mut found = vec![empty; room as usize];
        let mut count = room;
        // SAFETY: there is room for as many as count says, and each has its size set.
        let ok = unsafe { sys::WinUsbX_ListDevices(found.as_mut_ptr(), &mut count) };
        if ok != sys::FALSE {
            found.truncate(count as usize);
            return Ok(found.iter().map(device).collect());
        }
        match sys::WinUsbX_GetLastError() {
            // Some for those that are plugged in meanwhile; a count beyond reason is none.
            ERROR_INSUFFICIENT_BUFFER => room = count.min(10_000) + 16,
            code => return Err(code),
        }
    }
    Err(ERROR_INSUFFICIENT_BUFFER)
}

fn device(listed: &ListedDevice) -> Device {
    Device {
        address: text(&listed.address),
        vendor_id: listed.vendor_id,
        product_id: listed.product_id,
        manufacturer: text(&listed.manufacturer),
        product: text(&listed.product),
    }
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}
