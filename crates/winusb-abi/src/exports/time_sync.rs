//! Tracking the controller's frames against the performance counter.

use super::{call, read};
use crate::failure::Failure;
use crate::session::{Interface, Tracking};
use crate::time;
use crate::types::{
    BOOL, HANDLE, USB_FRAME_NUMBER_AND_QPC_FOR_TIME_SYNC_INFORMATION,
    USB_START_TRACKING_FOR_TIME_SYNC_INFORMATION, USB_STOP_TRACKING_FOR_TIME_SYNC_INFORMATION,
};

/// The pages say so: a struct that is NULL is an invalid handle, too.
fn null_struct() -> Failure {
    Failure::invalid_handle("the information struct is NULL")
}

/// `WinUsb_StartTrackingForTimeSync`. Nothing has to settle here, so `IsStartupDelayTolerable` changes nothing.
///
/// # Safety
/// `information` is NULL or valid for a read and a write.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsb_StartTrackingForTimeSync(
    interface_handle: HANDLE,
    information: *mut USB_START_TRACKING_FOR_TIME_SYNC_INFORMATION,
) -> BOOL {
    call("WinUsb_StartTrackingForTimeSync", format_args!("interface {interface_handle:?}"), || {
        let interface = Interface::from_handle(interface_handle)?;
        // SAFETY: by this function's contract.
        let asked = unsafe { read(information, "information").map_err(|_| null_struct())? };
        // One page wants NULL, the other INVALID_HANDLE_VALUE.
        let handle = asked.TimeTrackingHandle;
        if !handle.is_null() && handle as isize != -1 {
            return Err(Failure::argument(
                "TimeTrackingHandle is an output here: set it to NULL before the call",
            ));
        }
        let handle = Tracking::start(interface.file())?;
        // SAFETY: it could be read.
        unsafe { (&raw mut (*information).TimeTrackingHandle).write_unaligned(handle) };
        Ok(())
    })
}

/// `WinUsb_StopTrackingForTimeSync`.
///
/// # Safety
/// `information` is NULL or valid for a read.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsb_StopTrackingForTimeSync(
    interface_handle: HANDLE,
    information: *mut USB_STOP_TRACKING_FOR_TIME_SYNC_INFORMATION,
) -> BOOL {
    call("WinUsb_StopTrackingForTimeSync", format_args!("interface {interface_handle:?}"), || {
        let interface = Interface::from_handle(interface_handle)?;
        // SAFETY: by this function's contract.
        let asked = unsafe { read(information, "information").map_err(|_| null_struct())? };
        Tracking::stop(interface.file(), asked.TimeTrackingHandle)
    })
}

/// `WinUsb_GetCurrentFrameNumberAndQpc`: the current frame and performance counter together, and the performance
/// counter at a frame or microframe of the caller's.
///
/// # Safety
/// `information` is NULL or valid for a read and a write.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn WinUsb_GetCurrentFrameNumberAndQpc(
    interface_handle: HANDLE,
    information: *mut USB_FRAME_NUMBER_AND_QPC_FOR_TIME_SYNC_INFORMATION,
) -> BOOL {
    call("WinUsb_GetCurrentFrameNumberAndQpc", format_args!("interface {interface_handle:?}"), || {
        let interface = Interface::from_handle(interface_handle)?;
        // SAFETY: by this function's contract.
        let asked = unsafe { read(information, "information").map_err(|_| null_struct())? };
        let (frame, microframe) = (asked.InputFrameNumber, asked.InputMicroFrameNumber);
        let tracked = Tracking::query(interface.file(), asked.TimeTrackingHandle, frame, microframe)?;
        let current = tracked.current;
        let answer = USB_FRAME_NUMBER_AND_QPC_FOR_TIME_SYNC_INFORMATION {
            QueryPerformanceCounterAtInputFrameOrMicroFrame: tracked.ticks_at_input,
            QueryPerformanceCounterFrequency: time::frequency(),
            PredictedAccuracyInMicroSeconds: tracked.accuracy_microseconds,
            CurrentGenerationID: tracked.generation,
            CurrentQueryPerformanceCounter: current.ticks(),
            // The 11 bits of MFINDEX above its microframe.
            CurrentHardwareFrameNumber: (current.stamp.frame & 0x7ff) as u32,
            CurrentHardwareMicroFrameNumber: u32::from(current.stamp.microframe),
            CurrentUSBFrameNumber: current.number,
            ..asked
        };
        // SAFETY: it could be read.
        unsafe { information.write_unaligned(answer) };
        Ok(())
    })
}
