//! The system calls on an open device node. Nothing else of this back end calls usbfs.
//!
//! A submitted request is the kernel's: its `Box` is given away, and comes back from [`Node::reap`]. So a
//! request can be neither freed nor touched while the kernel may write to it, and one that is never reaped is
//! leaked, not dangling.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_uint, c_void};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::Errno;
use rustix::ioctl::{self, Ioctl, IoctlOutput, Opcode, opcode};

use super::urb::{RawUrb, Urb};

/// `USBDEVFS_CAP_*`.
pub(super) mod capability {
    pub(in super::super) const BULK_SCATTER_GATHER: u32 = 0x08;
    pub(in super::super) const MMAP: u32 = 0x20;
}

/// `struct usbdevfs_setinterface`.
#[repr(C)]
struct SetInterface {
    interface: c_uint,
    setting: c_uint,
}

/// `struct usbdevfs_getdriver`.
#[repr(C)]
struct GetDriver {
    interface: c_uint,
    driver: [u8; 256],
}

/// `struct usbdevfs_disconnect_claim`.
#[repr(C)]
struct DisconnectClaim {
    interface: c_uint,
    flags: c_uint,
    driver: [u8; 256],
}

/// `struct usbdevfs_ioctl`.
#[repr(C)]
struct InterfaceIoctl {
    interface: c_int,
    code: c_int,
    data: *mut c_void,
}

/// `struct usbdevfs_connectinfo`.
#[repr(C)]
struct ConnectInfo {
    number: c_uint,
    slow: u8,
}

/// `struct usbdevfs_conninfo_ex`.
#[repr(C)]
#[derive(Default)]
struct ConnectInfoEx {
    size: u32,
    bus: u32,
    number: u32,
    speed: u32,
    depth: u8,
    ports: [u8; 7],
}

/// `struct usbdevfs_ctrltransfer`.
#[repr(C)]
struct ControlTransfer {
    request_type: u8,
    request: u8,
    value: u16,
    index: u16,
    length: u16,
    timeout: u32,
    data: *mut c_void,
}

const CONTROL: Opcode = opcode::read_write::<ControlTransfer>(b'U', 0);
const SET_INTERFACE: Opcode = opcode::read::<SetInterface>(b'U', 4);
const GET_DRIVER: Opcode = opcode::write::<GetDriver>(b'U', 8);
/// Its size is that of the part before the packets.
const SUBMIT: Opcode = opcode::read::<[u64; 7]>(b'U', 10);
const DISCARD: Opcode = opcode::none(b'U', 11);
const REAP_WITHOUT_DELAY: Opcode = opcode::write::<*mut c_void>(b'U', 13);
const CLAIM: Opcode = opcode::read::<c_uint>(b'U', 15);
const RELEASE: Opcode = opcode::read::<c_uint>(b'U', 16);
const CONNECT_INFO: Opcode = opcode::write::<ConnectInfo>(b'U', 17);
const INTERFACE_IOCTL: Opcode = opcode::read_write::<InterfaceIoctl>(b'U', 18);
const CLEAR_HALT: Opcode = opcode::read::<c_uint>(b'U', 21);
const CONNECT: Opcode = opcode::none(b'U', 23);
const GET_CAPABILITIES: Opcode = opcode::read::<u32>(b'U', 26);
const DISCONNECT_CLAIM: Opcode = opcode::read::<DisconnectClaim>(b'U', 27);
const GET_SPEED: Opcode = opcode::none(b'U', 31);
const CONNECT_INFO_EX: Opcode = opcode::read::<ConnectInfoEx>(b'U', 32);

/// `USBDEVFS_DISCONNECT_CLAIM_EXCEPT_DRIVER`.
const EXCEPT_DRIVER: c_uint = 2;
/// What usbfs calls itself where it has an interface.
const USBFS: &[u8] = b"usbfs";

/// A call with a pointer, or a number in its place, that answers with a number.
struct Call<const OPCODE: Opcode>(*mut c_void);

// SAFETY: the pointer is what the operation takes; its callers below see to that.
unsafe impl<const OPCODE: Opcode> Ioctl for Call<OPCODE> {
    type Output = IoctlOutput;
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        OPCODE
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.0
    }

    unsafe fn output_from_ptr(output: IoctlOutput, _: *mut c_void) -> rustix::io::Result<IoctlOutput> {
        Ok(output)
    }
}

/// An open device node.
pub(super) struct Node {
    file: OwnedFd,
    id: u64,
}

/// Which request the kernel has: what it is discarded by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Submitted(usize);

impl Submitted {
    /// Which one a request was that came back.
    pub(super) fn of(urb: &Urb) -> Self {
        Submitted((&raw const urb.raw).addr())
    }
}

impl AsFd for Node {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Node {
    pub(super) fn new(file: OwnedFd) -> Self {
        static OPENED: AtomicU64 = AtomicU64::new(0);
        Node { file, id: OPENED.fetch_add(1, Ordering::Relaxed) }
    }

    /// Which one of all that were ever open.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    fn call<const OPCODE: Opcode>(&self, pointer: *mut c_void) -> Result<IoctlOutput, Errno> {
        // SAFETY: each operation below passes what usbfs expects with it.
        unsafe { ioctl::ioctl(&self.file, Call::<OPCODE>(pointer)) }
    }

    fn with<const OPCODE: Opcode, T>(&self, argument: &mut T) -> Result<IoctlOutput, Errno> {
        self.call::<OPCODE>((&raw mut *argument).cast())
    }

    /// Gives a request to the kernel. Its buffer must stay where it is, and untouched, until it is reaped, or
    /// until the node is closed.
    pub(super) unsafe fn submit(&self, urb: Box<Urb>) -> Result<Submitted, (Box<Urb>, Errno)> {
        let urb = Box::into_raw(urb);
        match self.call::<SUBMIT>(urb.cast()) {
            Ok(_) => Ok(Submitted(urb.expose_provenance())),
            // SAFETY: the kernel has not taken it, so it is still ours alone.
            Err(error) => Err((unsafe { Box::from_raw(urb) }, error)),
        }
    }

    /// Takes back a request that is over; `None` if none is.
    pub(super) fn reap(&self) -> Result<Option<Box<Urb>>, Errno> {
        let mut urb: *mut RawUrb = std::ptr::null_mut();
        match self.with::<REAP_WITHOUT_DELAY, _>(&mut urb) {
            Ok(_) => {
                let urb = std::ptr::with_exposed_provenance_mut::<Urb>(urb.addr());
                // SAFETY: the kernel gives back each address that was submitted once.
                Ok(Some(unsafe { Box::from_raw(urb) }))
            }
            Err(Errno::AGAIN) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes a request off the bus. Waits until the controller has let go of it; it is still to be reaped.
    pub(super) fn discard(&self, urb: Submitted) {
        // One that is over already is not found, which is as good.
        let _ = self.call::<DISCARD>(std::ptr::without_provenance_mut(urb.0));
    }

    pub(super) fn claim(&self, interface: u8) -> Result<(), Errno> {
        self.with::<CLAIM, c_uint>(&mut interface.into()).map(drop)
    }

    pub(super) fn release(&self, interface: u8) -> Result<(), Errno> {
        self.with::<RELEASE, c_uint>(&mut interface.into()).map(drop)
    }

    /// Takes an interface away from the kernel's driver, and claims it; not from another program.
    pub(super) fn claim_from_driver(&self, interface: u8) -> Result<(), Errno> {
        let mut argument =
            DisconnectClaim { interface: interface.into(), flags: EXCEPT_DRIVER, driver: [0; 256] };
        argument.driver[..USBFS.len()].copy_from_slice(USBFS);
        self.with::<DISCONNECT_CLAIM, _>(&mut argument).map(drop)
    }

    /// Lets the kernel's drivers have an interface again that nobody has claimed. Whether one took it (`device_attach`).
    pub(super) fn connect_driver(&self, interface: u8) -> Result<bool, Errno> {
        let mut argument = InterfaceIoctl {
            interface: interface.into(),
            code: CONNECT.cast_signed() as c_int,
            data: std::ptr::null_mut(),
        };
        self.with::<INTERFACE_IOCTL, _>(&mut argument).map(|taken| taken != 0)
    }

    /// The driver that has an interface; usbfs, if a program has it.
    pub(super) fn driver(&self, interface: u8) -> Option<String> {
        let mut argument = GetDriver { interface: interface.into(), driver: [0; 256] };
        self.with::<GET_DRIVER, _>(&mut argument).ok()?;
        let name = argument.driver.split(|byte| *byte == 0).next()?;
        Some(String::from_utf8_lossy(name).into_owned())
    }

    pub(super) fn set_interface(&self, interface: u8, setting: u8) -> Result<(), Errno> {
        let mut argument = SetInterface { interface: interface.into(), setting: setting.into() };
        self.with::<SET_INTERFACE, _>(&mut argument).map(drop)
    }

    pub(super) fn clear_halt(&self, endpoint: u8) -> Result<(), Errno> {
        self.with::<CLEAR_HALT, c_uint>(&mut endpoint.into()).map(drop)
    }

    /// `USBDEVFS_CAP_*`; none on a kernel too old to say.
    pub(super) fn capabilities(&self) -> u32 {
        let mut bits = 0_u32;
        self.with::<GET_CAPABILITIES, _>(&mut bits).map_or(0, |_| bits)
    }

    /// Whether the device is plugged in. usbfs says so of any call, before it does anything (`usbdev_do_ioctl`).
    pub(super) fn is_attached(&self) -> bool {
        let mut info = ConnectInfo { number: 0, slow: 0 };
        self.with::<CONNECT_INFO, _>(&mut info) != Err(Errno::NODEV)
    }

    /// `enum usb_device_speed`; `None` on a kernel too old to say (before 4.13).
    pub(super) fn speed(&self) -> Option<u32> {
        self.call::<GET_SPEED>(std::ptr::null_mut()).ok().and_then(|speed| u32::try_from(speed).ok())
    }

    /// The number of the node itself; 0 if the system does not tell.
    pub(super) fn device(&self) -> u64 {
        rustix::fs::fstat(&self.file).map_or(0, |status| status.st_rdev)
    }

    /// The numbers of its bus (not told before Linux 5.2: then 0) and of the device on it.
    pub(super) fn numbers(&self) -> Result<(u8, u8), Errno> {
        let mut info = ConnectInfoEx { size: size_of::<ConnectInfoEx>() as u32, ..ConnectInfoEx::default() };
        let opcode_with_size = self.with::<CONNECT_INFO_EX, _>(&mut info);
        if opcode_with_size.is_ok() {
            return Ok((info.bus as u8, info.number as u8));
        }
        let mut old = ConnectInfo { number: 0, slow: 0 };
        self.with::<CONNECT_INFO, _>(&mut old).map(|_| (0, old.number as u8))
    }

    /// GET_CONFIGURATION (USB 2.0 §9.4.2). Blocks until the device has answered, a second at most.
    pub(super) fn configuration(&self) -> Result<u8, Errno> {
        let mut value = 0_u8;
        let mut argument = ControlTransfer {
            request_type: 0x80,
            request: 8,
            value: 0,
            index: 0,
            length: 1,
            timeout: 1_000,
            data: (&raw mut value).cast(),
        };
        self.with::<CONTROL, _>(&mut argument).map(|_| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calls_are_the_kernels() {
        let value = |opcode: Opcode| opcode as usize;
        super::super::header::check(&[
            ("USBDEVFS_CONTROL", value(CONTROL)),
            ("USBDEVFS_SETINTERFACE", value(SET_INTERFACE)),
            ("USBDEVFS_GETDRIVER", value(GET_DRIVER)),
            ("USBDEVFS_SUBMITURB", value(SUBMIT)),
            ("USBDEVFS_DISCARDURB", value(DISCARD)),
            ("USBDEVFS_REAPURBNDELAY", value(REAP_WITHOUT_DELAY)),
            ("USBDEVFS_CLAIMINTERFACE", value(CLAIM)),
            ("USBDEVFS_RELEASEINTERFACE", value(RELEASE)),
            ("USBDEVFS_CONNECTINFO", value(CONNECT_INFO)),
            ("USBDEVFS_IOCTL", value(INTERFACE_IOCTL)),
            ("USBDEVFS_CLEAR_HALT", value(CLEAR_HALT)),
            ("USBDEVFS_CONNECT", value(CONNECT)),
            ("USBDEVFS_GET_CAPABILITIES", value(GET_CAPABILITIES)),
            ("USBDEVFS_DISCONNECT_CLAIM", value(DISCONNECT_CLAIM)),
            ("USBDEVFS_GET_SPEED", value(GET_SPEED)),
            ("USBDEVFS_CONNINFO_EX(sizeof(struct usbdevfs_conninfo_ex))", value(CONNECT_INFO_EX)),
            ("USBDEVFS_CAP_BULK_SCATTER_GATHER", capability::BULK_SCATTER_GATHER as usize),
            ("USBDEVFS_CAP_MMAP", capability::MMAP as usize),
            ("USBDEVFS_DISCONNECT_CLAIM_EXCEPT_DRIVER", EXCEPT_DRIVER as usize),
            ("sizeof(struct usbdevfs_disconnect_claim)", size_of::<DisconnectClaim>()),
            (
                "offsetof(struct usbdevfs_disconnect_claim, driver)",
                std::mem::offset_of!(DisconnectClaim, driver),
            ),
            ("offsetof(struct usbdevfs_ioctl, data)", std::mem::offset_of!(InterfaceIoctl, data)),
            (
                "offsetof(struct usbdevfs_ctrltransfer, timeout)",
                std::mem::offset_of!(ControlTransfer, timeout),
            ),
            ("offsetof(struct usbdevfs_ctrltransfer, data)", std::mem::offset_of!(ControlTransfer, data)),
            ("offsetof(struct usbdevfs_conninfo_ex, num_ports)", std::mem::offset_of!(ConnectInfoEx, depth)),
        ]);
    }
}
