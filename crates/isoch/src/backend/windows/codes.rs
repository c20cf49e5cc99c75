//! What Windows' codes mean.
//!
//! Microsoft lists no codes for the isochronous functions. This is what the WDK's own sample maps driver results
//! to (`USBD_STATUS_To_NTSTATUS`), and what shipping programs log. One code stands for many causes: 31 is a
//! STALL, a transfer of which every packet failed, and one that was late as a whole.

use isoch_core::{Outcome, PacketError, PacketStatus};

use crate::Error;

pub(super) const ERROR_FILE_NOT_FOUND: u32 = 2;
pub(super) const ERROR_ACCESS_DENIED: u32 = 5;
const ERROR_NOT_ENOUGH_MEMORY: u32 = 8;
const ERROR_BAD_COMMAND: u32 = 22;
const ERROR_GEN_FAILURE: u32 = 31;
pub(super) const ERROR_SHARING_VIOLATION: u32 = 32;
const ERROR_INVALID_PARAMETER: u32 = 87;
const ERROR_SEM_TIMEOUT: u32 = 121;
pub(super) const ERROR_PIPE_BUSY: u32 = 231;
const ERROR_NO_SUCH_DEVICE: u32 = 433;
const ERROR_OPERATION_ABORTED: u32 = 995;
pub(super) const ERROR_IO_INCOMPLETE: u32 = 996;
pub(super) const ERROR_IO_PENDING: u32 = 997;
const ERROR_DEVICE_NOT_CONNECTED: u32 = 1167;
const ERROR_NO_SYSTEM_RESOURCES: u32 = 1450;

/// Whether a call on an open device that ends with this code found it unplugged.
pub(super) fn is_gone(code: u32) -> bool {
    matches!(
        code,
        ERROR_FILE_NOT_FOUND | ERROR_BAD_COMMAND | ERROR_NO_SUCH_DEVICE | ERROR_DEVICE_NOT_CONNECTED
    )
}

/// The end of a control, bulk or interrupt transfer.
pub(super) fn data_error(code: u32) -> Error {
    match code {
        code if is_gone(code) => Error::Gone,
        // The one code WinUSB has for STALL. Other failures on the wire hide behind it.
        ERROR_GEN_FAILURE => Error::Stall,
        ERROR_SEM_TIMEOUT => Error::TimedOut,
        ERROR_OPERATION_ABORTED => Error::Cancelled,
        code => Error::Bus(code.cast_signed()),
    }
}

/// Why a call that takes an isochronous transfer, or registers its memory, failed at once.
pub(super) fn refusal(code: u32) -> Error {
    if is_gone(code) { Error::Gone } else { Error::Bus(code.cast_signed()) }
}

/// Why an alternate setting could not be chosen.
pub(super) fn setting_error(code: u32, interface: u8, setting: u8) -> Error {
    match code {
        code if is_gone(code) => Error::Gone,
        ERROR_GEN_FAILURE => Error::Stall,
        // No bandwidth and no memory look alike.
        ERROR_NOT_ENOUGH_MEMORY | ERROR_NO_SYSTEM_RESOURCES => {
            tracing::debug!(interface, setting, code, "Windows has no resources for this alternate setting");
            Error::NoBandwidth { needed: None, available: None }
        }
        code => Error::Bus(code.cast_signed()),
    }
}

/// How an isochronous transfer ended that the system completed with `code`; `was_late`: it was submitted
/// after its last frame.
pub(super) fn outcome(code: u32, was_late: bool) -> Outcome {
    match code {
        0 => Outcome::Completed,
        ERROR_OPERATION_ABORTED => Outcome::Cancelled,
        // USBD_STATUS_BAD_START_FRAME; the arguments themselves were checked before.
        ERROR_INVALID_PARAMETER => Outcome::BadStartFrame,
        // USBD_STATUS_ISO_NOT_ACCESSED_LATE and _ISOCH_REQUEST_FAILED.
        ERROR_GEN_FAILURE if was_late => Outcome::Late,
        code if is_gone(code) => Outcome::DeviceGone,
        code => Outcome::Failed(code.cast_signed()),
    }
}

/// What became of an OUT packet: the system says nothing, except of transfers that it did not serve at all.
pub(super) fn out_packet(outcome: Outcome) -> PacketStatus {
    match outcome {
        Outcome::Late => PacketStatus::Late,
        Outcome::BadStartFrame => PacketStatus::Cancelled,
        _ => PacketStatus::Unknown,
    }
}

/// What became of an IN packet, by its `USBD_STATUS`.
pub(super) fn in_packet(status: u32, outcome: Outcome) -> PacketStatus {
    let cut_short = matches!(outcome, Outcome::Cancelled | Outcome::DeviceGone | Outcome::BadStartFrame);
    match status {
        0x0000_0000 => PacketStatus::Done,
        // CRC, BTSTUFF
        0xC000_0001 | 0xC000_0002 => PacketStatus::Failed(PacketError::Crc),
        // DEV_NOT_RESPONDING, PID_CHECK_FAILURE, UNEXPECTED_PID, XACT_ERROR
        0xC000_0005 | 0xC000_0006 | 0xC000_0007 | 0xC000_0011 => {
            PacketStatus::Failed(PacketError::NoResponse)
        }
        // DATA_OVERRUN, BABBLE_DETECTED
        0xC000_0008 | 0xC000_0012 => PacketStatus::Failed(PacketError::Babble),
        // BUFFER_OVERRUN, BUFFER_UNDERRUN, FIFO, DATA_BUFFER_ERROR
        0xC000_000C | 0xC000_000D | 0xC000_0010 | 0xC000_0013 => {
            PacketStatus::Failed(PacketError::HostOverrun)
        }
        // CANCELED, DEVICE_GONE
        0xC001_0000 | 0xC000_7000 => PacketStatus::Cancelled,
        // ISO_NA_LATE_USBPORT, ISO_NOT_ACCESSED_LATE
        0xC004_0000 | 0xC005_0000 => PacketStatus::Late,
        // NOT_ACCESSED, ISO_NOT_ACCESSED_BY_HW: also of what lies behind the end of a transfer that was cut short.
        0xC000_000F | 0xC002_0000 if cut_short => PacketStatus::Cancelled,
        0xC000_000F | 0xC002_0000 => PacketStatus::Missed,
        other => PacketStatus::Failed(PacketError::Other(other.cast_signed())),
    }
}

/// What became of the whole of an IN transfer, once its packets are known: they tell why it failed.
pub(super) fn refined(outcome: Outcome, mut packets: impl Iterator<Item = PacketStatus>) -> Outcome {
    match outcome {
        Outcome::Failed(code)
            if code == ERROR_GEN_FAILURE.cast_signed()
                && packets.all(|status| status == PacketStatus::Late) =>
        {
            Outcome::Late
        }
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_completed_transfers() {
        for (code, late, expected) in [
            (0, false, Outcome::Completed),
            (0, true, Outcome::Completed),
            (87, false, Outcome::BadStartFrame),
            (31, false, Outcome::Failed(31)),
            (31, true, Outcome::Late),
            (995, false, Outcome::Cancelled),
            (2, false, Outcome::DeviceGone),
            (22, false, Outcome::DeviceGone),
            (433, false, Outcome::DeviceGone),
            (1167, false, Outcome::DeviceGone),
            (1450, false, Outcome::Failed(1450)),
        ] {
            assert_eq!(outcome(code, late), expected, "code {code}");
        }
    }

    #[test]
    fn out_packets_are_never_called_sent() {
        assert_eq!(out_packet(Outcome::Completed), PacketStatus::Unknown);
        assert_eq!(out_packet(Outcome::Cancelled), PacketStatus::Unknown);
        assert_eq!(out_packet(Outcome::Late), PacketStatus::Late);
    }

    #[test]
    fn packets_tell_why_a_read_failed() {
        let late = [0xC004_0000, 0xC005_0000].map(|status| in_packet(status, Outcome::Failed(31)));
        assert_eq!(refined(Outcome::Failed(31), late.into_iter()), Outcome::Late);
        let mixed = [0xC004_0000, 0xC000_0011].map(|status| in_packet(status, Outcome::Failed(31)));
        assert_eq!(refined(Outcome::Failed(31), mixed.into_iter()), Outcome::Failed(31));
        assert_eq!(in_packet(0xC002_0000, Outcome::Completed), PacketStatus::Missed);
        assert_eq!(in_packet(0xC002_0000, Outcome::Cancelled), PacketStatus::Cancelled);
        assert_eq!(
            in_packet(0xC000_0A00, Outcome::Completed),
            PacketStatus::Failed(PacketError::Other(-1_073_739_264))
        );
    }

    #[test]
    fn errors_of_other_transfers() {
        assert!(matches!(data_error(31), Error::Stall));
        assert!(matches!(data_error(121), Error::TimedOut));
        assert!(matches!(data_error(995), Error::Cancelled));
        assert!(matches!(data_error(22), Error::Gone));
        assert!(matches!(data_error(1450), Error::Bus(1450)));
        assert!(matches!(refusal(87), Error::Bus(87)));
        assert!(matches!(setting_error(8, 0, 1), Error::NoBandwidth { needed: None, .. }));
    }
}
