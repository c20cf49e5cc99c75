//! What the kernel's codes mean (`Documentation/driver-api/usb/error-codes.rst`, `drivers/usb/core/devio.c`).

use isoch_core::{Outcome, Packet, PacketError, PacketStatus};
use rustix::io::Errno;

use super::urb::IsoPacket;
use crate::Error;
use crate::backend::refusals;
use crate::error;

/// The code in a status: a negative one, or 0. What a kernel cannot say becomes its largest code.
pub(super) fn errno(status: i32) -> Errno {
    Errno::from_raw_os_error(i32::try_from(status.unsigned_abs()).map_or(4095, |code| code.clamp(1, 4095)))
}

/// Whether a call that ends with this found the device unplugged.
pub(super) fn is_gone(code: Errno) -> bool {
    code == Errno::NODEV
}

/// Why the kernel took a request back, by a code that says less: with the same one it flushes what is in flight when
/// the device is unplugged, when the machine goes to sleep (`usb_suspend_both`), and when the interface is
/// unbound from usbfs (`usb_unbind_interface`). `is_attached`, `is_ours`: the device is there, the interface usbfs'.
pub(super) fn taken_back(code: Errno, is_attached: impl Fn() -> bool, is_ours: impl Fn() -> bool) -> Errno {
    match code {
        Errno::SHUTDOWN | Errno::NOENT if !is_attached() => Errno::NODEV,
        // What one for another driver's interface would say.
        Errno::SHUTDOWN | Errno::NOENT if !is_ours() => Errno::BUSY,
        code => code,
    }
}

/// That an interface was taken away: what the kernel says to a request for one that another driver has.
pub(super) fn taken() -> Error {
    Error::Bus(Errno::BUSY.raw_os_error())
}

/// The end of a control, bulk or interrupt transfer, by the status of its request.
pub(super) fn data_error(code: Errno) -> Error {
    match code {
        code if is_gone(code) => Error::Gone,
        Errno::PIPE => Error::Stall,
        Errno::NOENT | Errno::CONNRESET | Errno::SHUTDOWN => Error::Cancelled,
        code => Error::Bus(code.raw_os_error()),
    }
}

/// Why a halt could not be cleared.
pub(super) fn clear_halt_error(code: Errno, endpoint: u8) -> Error {
    match code {
        Errno::NOENT => refusals::not_in_force(endpoint),
        Errno::PIPE => Error::Stall,
        code => refusal(code),
    }
}

/// Why a request was not taken.
pub(super) fn refusal(code: Errno) -> Error {
    if is_gone(code) { Error::Gone } else { Error::Bus(code.raw_os_error()) }
}

/// Why an interface could not be claimed.
pub(super) fn claim_error(code: Errno, interface: u8, driver: Option<&str>) -> Error {
    match code {
        code if is_gone(code) => Error::Gone,
        Errno::BUSY => match driver {
            None | Some("usbfs") => Error::Busy {
                what: format!("interface {interface}"),
                remedy: "another program has claimed it; close that first (`fuser -v /dev/bus/usb/*/*` finds it)",
            },
            Some(driver) => Error::Busy {
                what: format!("interface {interface} (by the kernel's driver {driver})"),
                remedy: "the driver does not let go of it; stop what uses it, or unbind it",
            },
        },
        code => error::system(format_args!("claiming interface {interface}"), code),
    }
}

/// Why an interface could not be given back; nothing if there was nothing to give back: the device is gone, we do not
/// have the interface any more (`releaseintf`), or another has it already (`proc_ioctl`).
pub(super) fn not_ours_any_more(code: Errno) -> Result<(), Errno> {
    match code {
        code if is_gone(code) => Ok(()),
        Errno::INVAL | Errno::BUSY => Ok(()),
        code => Err(code),
    }
}

/// Why an alternate setting could not be chosen.
pub(super) fn setting_error(code: Errno, interface: u8, setting: u8) -> Error {
    match code {
        code if is_gone(code) => Error::Gone,
        Errno::PIPE => Error::Stall,
        // The second is what xHCI says when the controller itself has no room (`xhci_configure_endpoint_result`).
        Errno::NOSPC | Errno::NOMEM => Error::NoBandwidth { needed: None, available: None },
        code => {
            error::system(format_args!("choosing alternate setting {setting} of interface {interface}"), code)
        }
    }
}

/// How an isochronous transfer ended, by the status of one of its requests (0 or a negative code).
pub(super) fn outcome(status: i32, asked_to: bool) -> Outcome {
    if status == 0 {
        return Outcome::Completed;
    }
    match errno(status) {
        code if is_gone(code) => Outcome::DeviceGone,
        Errno::NOENT | Errno::CONNRESET | Errno::SHUTDOWN if asked_to => Outcome::Cancelled,
        code => Outcome::Failed(code.raw_os_error()),
    }
}

/// What became of an OUT packet. Drivers differ in what they tell of its length; what was sent was sent whole.
pub(super) fn sent(packet: &mut Packet, told: &IsoPacket, how: PacketView) {
    (packet.actual, packet.status) = match told.status {
        0 => (packet.length, PacketStatus::Done),
        status => (0, packet_status(status, packet.length, how)),
    };
}

/// What became of an IN packet.
pub(super) fn received(packet: &mut Packet, told: &IsoPacket, how: PacketView) {
    packet.actual = told.actual_length.min(packet.length);
    packet.status = match told.status {
        0 => PacketStatus::Done,
        status => packet_status(status, packet.length, how),
    };
}

/// By the status of a packet of this length, which was not just carried.
#[cold]
fn packet_status(status: u32, length: u32, how: PacketView) -> PacketStatus {
    match errno(status.cast_signed()) {
        _ if status == 0 => PacketStatus::Done,
        // The value that it had when it was submitted: late and missed have one code, and so has not run.
        Errno::XDEV if !how.ran => PacketStatus::Cancelled,
        Errno::XDEV if how.empty_is_unknown && length == 0 => PacketStatus::Unknown,
        Errno::XDEV => PacketStatus::Missed,
        Errno::ILSEQ => PacketStatus::Failed(PacketError::Crc),
        Errno::PROTO | Errno::TIME => PacketStatus::Failed(PacketError::NoResponse),
        Errno::OVERFLOW => PacketStatus::Failed(PacketError::Babble),
        Errno::COMM | Errno::NOSR => PacketStatus::Failed(PacketError::HostOverrun),
        code => PacketStatus::Failed(PacketError::Other(code.raw_os_error())),
    }
}

/// What a packet's status is to be read with.
#[derive(Clone, Copy, Debug)]
pub(super) struct PacketView {
    /// Its request was not cut short.
    pub(super) ran: bool,
    /// The controller says nothing of packets without data.
    pub(super) empty_is_unknown: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    type Tells = fn(&mut Packet, &IsoPacket, PacketView);

    fn told(status: i32, length: u32, (tell, how): (Tells, PacketView)) -> (PacketStatus, u32) {
        let mut of = Packet { offset: 0, length, actual: 0, status: PacketStatus::Pending };
        tell(&mut of, &IsoPacket { length, actual_length: 5, status: status.cast_unsigned() }, how);
        (of.status, of.actual)
    }

    #[test]
    fn packets() {
        let ran = PacketView { ran: true, empty_is_unknown: false };
        let (out, input): ((Tells, _), (Tells, _)) = ((sent, ran), (received, ran));
        let unknown = PacketView { empty_is_unknown: true, ..ran };
        assert_eq!(told(0, 192, out), (PacketStatus::Done, 192));
        assert_eq!(told(0, 192, input), (PacketStatus::Done, 5));
        // A device that says more than there was room for.
        assert_eq!(told(0, 3, input), (PacketStatus::Done, 3));
        assert_eq!(told(-18, 192, out), (PacketStatus::Missed, 0));
        assert_eq!(told(-18, 192, (sent, PacketView { ran: false, ..ran })), (PacketStatus::Cancelled, 0));
        assert_eq!(told(-18, 0, (sent, unknown)).0, PacketStatus::Unknown);
        assert_eq!(told(-18, 192, (sent, unknown)).0, PacketStatus::Missed);
        assert_eq!(told(-71, 9, input).0, PacketStatus::Failed(PacketError::NoResponse));
        assert_eq!(told(-84, 9, input).0, PacketStatus::Failed(PacketError::Crc));
        assert_eq!(told(-75, 9, input).0, PacketStatus::Failed(PacketError::Babble));
        assert_eq!(told(-63, 9, input).0, PacketStatus::Failed(PacketError::HostOverrun));
        assert_eq!(told(-121, 9, input).0, PacketStatus::Failed(PacketError::Other(121)));
        assert_eq!(told(i32::MIN, 9, input).0, PacketStatus::Failed(PacketError::Other(4095)));
    }

    #[test]
    fn what_was_taken_back_is_unplugged_taken_away_or_asleep() {
        let why = |code, is_attached, is_ours| taken_back(code, || is_attached, || is_ours);
        for code in [Errno::SHUTDOWN, Errno::NOENT] {
            assert_eq!(why(code, false, false), Errno::NODEV);
            assert_eq!(why(code, true, false), Errno::BUSY);
            assert_eq!(why(code, true, true), code);
        }
        // Nobody is asked about anything else.
        let asked = || unreachable!();
        assert_eq!(taken_back(Errno::PIPE, asked, asked), Errno::PIPE);
    }

    #[test]
    fn transfers() {
        assert_eq!(outcome(0, false), Outcome::Completed);
        assert_eq!(outcome(-2, true), Outcome::Cancelled);
        assert_eq!(outcome(-2, false), Outcome::Failed(2));
        assert_eq!(outcome(-108, true), Outcome::Cancelled);
        assert_eq!(outcome(-108, false), Outcome::Failed(108));
        assert_eq!(outcome(-16, false), Outcome::Failed(16));
        assert_eq!(outcome(-19, false), Outcome::DeviceGone);
        assert_eq!(outcome(-121, false), Outcome::Failed(121));
        assert!(matches!(data_error(Errno::PIPE), Error::Stall));
        assert!(matches!(data_error(Errno::NOENT), Error::Cancelled));
        assert!(matches!(refusal(Errno::NODEV), Error::Gone));
    }

    #[test]
    fn a_halt_of_no_endpoint_is_not_cancelled() {
        assert!(clear_halt_error(Errno::NOENT, 0x85).to_string().contains("0x85"));
        assert!(matches!(clear_halt_error(Errno::PIPE, 0x85), Error::Stall));
        assert!(matches!(clear_halt_error(Errno::NODEV, 0x85), Error::Gone));
    }

    #[test]
    fn what_is_gone_or_anothers_need_not_be_given_back() {
        for code in [Errno::NODEV, Errno::INVAL, Errno::BUSY] {
            assert_eq!(not_ours_any_more(code), Ok(()));
        }
        for code in [Errno::IO, Errno::PERM, Errno::NOENT] {
            assert_eq!(not_ours_any_more(code), Err(code));
        }
    }

    #[test]
    fn settings_that_do_not_fit() {
        for code in [Errno::NOSPC, Errno::NOMEM] {
            let error = setting_error(code, 1, 2);
            assert!(matches!(error, Error::NoBandwidth { needed: None, available: None }), "{error}");
            assert!(error.to_string().contains("another controller"), "{error}");
        }
        assert!(matches!(setting_error(Errno::PIPE, 1, 2), Error::Stall));
        assert!(setting_error(Errno::INVAL, 1, 2).to_string().contains("alternate setting 2 of interface 1"));
    }
}
