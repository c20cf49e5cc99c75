//! Frame numbers.

use isoch::rules::winusb;

use super::{call, read, write};
use crate::failure::Failure;
use crate::session::Interface;
use crate::types::{BOOL, HANDLE};
use crate::{time, trace};

/// `WinUsb_GetCurrentFrameNumber`: the frame that is running, and the performance counter at that moment.
///
/// # Safety
/// `current_frame_number` and `time_stamp` are NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsb_GetCurrentFrameNumber(
    interface_handle: HANDLE,
    current_frame_number: *mut u32,
    time_stamp: *mut i64,
) -> BOOL {
    call("WinUsb_GetCurrentFrameNumber", format_args!("interface {interface_handle:?}"), || {
        let interface = Interface::from_handle(interface_handle)?;
        if current_frame_number.is_null() || time_stamp.is_null() {
            return Err(Failure::null("CurrentFrameNumber or TimeStamp"));
        }
        interface.session().check_present()?;
        let current = interface.session().frames().current();
        trace::note(format_args!("frame {}", current.number));
        // SAFETY: by this function's contract.
        unsafe {
            write(current_frame_number, "CurrentFrameNumber", current.number)?;
            write(time_stamp, "TimeStamp", current.ticks())
        }
    })
}

/// `WinUsb_GetAdjustedFrameNumber`: a frame number of up to a second ago, brought up to now.
///
/// # Safety
/// `current_frame_number` is NULL or valid for a read and a write.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsb_GetAdjustedFrameNumber(
    current_frame_number: *mut u32,
    time_stamp: i64,
) -> BOOL {
    call("WinUsb_GetAdjustedFrameNumber", format_args!("time stamp {time_stamp}"), || {
        // SAFETY: by this function's contract.
        let frame = unsafe { read(current_frame_number, "CurrentFrameNumber")? };
        let adjusted = winusb::adjusted_frame_number(frame, time_stamp, time::counter(), time::frequency())?;
        trace::note(format_args!("frame {frame} is now {adjusted}"));
        // SAFETY: by this function's contract.
        unsafe { write(current_frame_number, "CurrentFrameNumber", adjusted) }
    })
}
