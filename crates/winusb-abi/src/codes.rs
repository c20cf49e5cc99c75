//! The numbers: Win32 error codes, NTSTATUS, USBD_STATUS, and how they follow from what a bus says.
//!
//! Why in one file? Microsoft documents few of these choices. Each is one line here, so that what turns out to be
//! different on real Windows is corrected by changing that line.

use isoch::{Error, Outcome, PacketError, PacketStatus};

/// A Win32 error code, as `GetLastError` gives it.
pub(crate) mod win32 {
    pub(crate) const FILE_NOT_FOUND: u32 = 2;
    pub(crate) const ACCESS_DENIED: u32 = 5;
    pub(crate) const INVALID_HANDLE: u32 = 6;
    pub(crate) const NOT_ENOUGH_MEMORY: u32 = 8;
    pub(crate) const BAD_COMMAND: u32 = 22;
    pub(crate) const GEN_FAILURE: u32 = 31;
    pub(crate) const NOT_SUPPORTED: u32 = 50;
    pub(crate) const INVALID_PARAMETER: u32 = 87;
    pub(crate) const SEM_TIMEOUT: u32 = 121;
    pub(crate) const INSUFFICIENT_BUFFER: u32 = 122;
    pub(crate) const INVALID_NAME: u32 = 123;
    pub(crate) const BUSY: u32 = 170;
    #[cfg(not(windows))]
    pub(crate) const ABANDONED_WAIT_0: u32 = 735;
    pub(crate) const ALREADY_EXISTS: u32 = 183;
    #[cfg(not(windows))]
    pub(crate) const WAIT_TIMEOUT: u32 = 258;
    pub(crate) const NO_MORE_ITEMS: u32 = 259;
    pub(crate) const NO_SUCH_DEVICE: u32 = 433;
    pub(crate) const OPERATION_ABORTED: u32 = 995;
    pub(crate) const IO_INCOMPLETE: u32 = 996;
    pub(crate) const IO_PENDING: u32 = 997;
    pub(crate) const NOT_FOUND: u32 = 1168;
    pub(crate) const BAD_DEVICE: u32 = 1200;
    pub(crate) const INTERNAL_ERROR: u32 = 1359;
    pub(crate) const NO_SYSTEM_RESOURCES: u32 = 1450;
}

/// How a request ended, as `OVERLAPPED.Internal` holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NtStatus(pub(crate) u32);

impl NtStatus {
    pub(crate) const SUCCESS: NtStatus = NtStatus(0);
    pub(crate) const PENDING: NtStatus = NtStatus(0x103);
    pub(crate) const UNSUCCESSFUL: NtStatus = NtStatus(0xC000_0001);
    pub(crate) const INVALID_PARAMETER: NtStatus = NtStatus(0xC000_000D);
    pub(crate) const NO_SUCH_DEVICE: NtStatus = NtStatus(0xC000_000E);
    pub(crate) const INSUFFICIENT_RESOURCES: NtStatus = NtStatus(0xC000_009A);
    pub(crate) const IO_TIMEOUT: NtStatus = NtStatus(0xC000_00B5);
    pub(crate) const NOT_SUPPORTED: NtStatus = NtStatus(0xC000_00BB);
    pub(crate) const CANCELLED: NtStatus = NtStatus(0xC000_0120);

    /// The code that `GetOverlappedResult` gives for it; 0 for success.
    pub(crate) fn win32(self) -> u32 {
        match self {
            NtStatus::SUCCESS => 0,
            NtStatus::PENDING => win32::IO_INCOMPLETE,
            NtStatus::INVALID_PARAMETER => win32::INVALID_PARAMETER,
            NtStatus::NO_SUCH_DEVICE => win32::NO_SUCH_DEVICE,
            NtStatus::INSUFFICIENT_RESOURCES => win32::NO_SYSTEM_RESOURCES,
            NtStatus::IO_TIMEOUT => win32::SEM_TIMEOUT,
            NtStatus::NOT_SUPPORTED => win32::NOT_SUPPORTED,
            NtStatus::CANCELLED => win32::OPERATION_ABORTED,
            // Everything else (informational statuses are success).
            NtStatus(other) if other < 0xC000_0000 => 0,
            _ => win32::GEN_FAILURE,
        }
    }

    /// How an isochronous transfer ended.
    pub(crate) fn of_outcome(outcome: Outcome) -> NtStatus {
        match outcome {
            Outcome::Completed => NtStatus::SUCCESS,
            Outcome::Cancelled => NtStatus::CANCELLED,
            // USBD_STATUS_BAD_START_FRAME.
            Outcome::BadStartFrame => NtStatus::INVALID_PARAMETER,
            Outcome::DeviceGone => NtStatus::NO_SUCH_DEVICE,
            // USBD_STATUS_ISO_NOT_ACCESSED_LATE, USBD_STATUS_ISOCH_REQUEST_FAILED.
            _ => NtStatus::UNSUCCESSFUL,
        }
    }

    /// How a control, bulk or interrupt transfer failed.
    pub(crate) fn of_error(error: &Error) -> NtStatus {
        match error {
            Error::Cancelled => NtStatus::CANCELLED,
            Error::TimedOut => NtStatus::IO_TIMEOUT,
            Error::Gone | Error::Closed => NtStatus::NO_SUCH_DEVICE,
            Error::Argument(_) | Error::Layout(_) | Error::Start(_) | Error::SettingChanged => {
                NtStatus::INVALID_PARAMETER
            }
            Error::Budget { .. } => NtStatus::INSUFFICIENT_RESOURCES,
            Error::Unsupported(_) => NtStatus::NOT_SUPPORTED,
            // A stall, or anything else that went wrong on the bus.
            _ => NtStatus::UNSUCCESSFUL,
        }
    }
}

/// The code of a call that fails at once with an error of the bus.
pub(crate) fn win32_of_error(error: &Error) -> u32 {
    match error {
        Error::Address { .. } => win32::INVALID_NAME,
        Error::NotFound { .. } => win32::FILE_NOT_FOUND,
        Error::NoSuchInterface { .. } => win32::NO_MORE_ITEMS,
        Error::NoSuchSetting { .. } => win32::NOT_FOUND,
        Error::NoSuchEndpoint { .. } | Error::Timing(_) => win32::INVALID_PARAMETER,
        Error::Busy { .. } => win32::BUSY,
        Error::Permission { .. } => win32::ACCESS_DENIED,
        Error::NoBandwidth { .. } => win32::NO_SYSTEM_RESOURCES,
        Error::Budget { .. } => win32::NOT_ENOUGH_MEMORY,
        Error::Descriptor(_) => win32::BAD_DEVICE,
        // A new call on a device that is gone; what was pending ends with NO_SUCH_DEVICE.
        Error::Gone | Error::Closed => win32::BAD_COMMAND,
        other => NtStatus::of_error(other).win32(),
    }
}

/// `USBD_STATUS` of isochronous packets.
pub(crate) mod usbd {
    pub(crate) const SUCCESS: i32 = 0;
    pub(crate) const CRC: i32 = 0xC000_0001_u32.cast_signed();
    pub(crate) const XACT_ERROR: i32 = 0xC000_0011_u32.cast_signed();
    pub(crate) const BABBLE_DETECTED: i32 = 0xC000_0012_u32.cast_signed();
    pub(crate) const DATA_BUFFER_ERROR: i32 = 0xC000_0013_u32.cast_signed();
    pub(crate) const BAD_START_FRAME: i32 = 0xC000_0A00_u32.cast_signed();
    pub(crate) const CANCELED: i32 = 0xC001_0000_u32.cast_signed();
    pub(crate) const ISO_NOT_ACCESSED_BY_HW: i32 = 0xC002_0000_u32.cast_signed();
    pub(crate) const ISO_NA_LATE_USBPORT: i32 = 0xC004_0000_u32.cast_signed();
    pub(crate) const ISO_NOT_ACCESSED_LATE: i32 = 0xC005_0000_u32.cast_signed();
    pub(crate) const DEVICE_GONE: i32 = 0xC000_7000_u32.cast_signed();
}

/// What a packet's descriptor says, in a transfer that ended with `outcome`.
pub(crate) fn usbd_status(packet: PacketStatus, outcome: Outcome) -> i32 {
    match (packet, outcome) {
        (PacketStatus::Done, _) => usbd::SUCCESS,
        (PacketStatus::Late, Outcome::Late) => usbd::ISO_NOT_ACCESSED_LATE,
        (PacketStatus::Late, _) => usbd::ISO_NA_LATE_USBPORT,
        (PacketStatus::Missed, _) => usbd::ISO_NOT_ACCESSED_BY_HW,
        (PacketStatus::Failed(PacketError::Crc), _) => usbd::CRC,
        (PacketStatus::Failed(PacketError::Babble), _) => usbd::BABBLE_DETECTED,
        (PacketStatus::Failed(PacketError::HostOverrun), _) => usbd::DATA_BUFFER_ERROR,
        (PacketStatus::Failed(_), _) => usbd::XACT_ERROR,
        (_, Outcome::DeviceGone) => usbd::DEVICE_GONE,
        (PacketStatus::Cancelled | PacketStatus::Pending, _) => usbd::CANCELED,
        // The system does not say: WinUSB has no word for that.
        _ => usbd::SUCCESS,
    }
}
