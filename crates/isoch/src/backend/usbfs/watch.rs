//! Devices that come and go.
//!
//! Why not nusb's watch? It hears udev only, and a machine without udev (a container, an initramfs, an embedded
//! system) has devices that come and go all the same. So both are heard. The kernel tells of a device before udev has
//! given its node to anybody; so where udev seems to run, it has a moment for that.
//!
//! Why is the whole list compared, when each message names a device? Because messages can be lost, and a list cannot.

use std::any::Any;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};

use super::{list, open};
use crate::address::Address;
use crate::device::DeviceInformation;
use crate::sync::Arc;
use crate::wait::{Mailbox, Waiting};
use crate::{Error, HotplugEvent, Watch, error};

/// The multicast groups of `NETLINK_KOBJECT_UEVENT`: the kernel's own, and udev's.
const KERNEL: u32 = 1;
const UDEV: u32 = 2;
/// How long udev may take until it tells what the kernel has told.
const UDEV_TAKES: Duration = Duration::from_secs(2);
/// After which time the list is asked for again that could not be had.
const TRY_AGAIN: Duration = Duration::from_millis(500);
/// How udev's messages begin (`src/libsystemd/sd-device/device-monitor.c`).
const UDEV_BEGINS: &[u8] = b"libudev\0";
/// The longest message (`lib/kobject_uevent.c`, `UEVENT_BUFFER_SIZE`, and udev's properties).
const LONGEST_MESSAGE: usize = 16 << 10;

/// Ends the thread when it is dropped.
struct Subscription {
    end: Arc<OwnedFd>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let _ = rustix::io::write(&*self.end, &1_u64.to_ne_bytes());
    }
}

pub(crate) fn watch(address: Address) -> Result<Watch, Error> {
    open::check(address)?;
    let failed = |code| error::system("watching devices", code);
    let socket = subscribe().map_err(failed)?;
    let end = Arc::new(eventfd(0, EventfdFlags::CLOEXEC).map_err(failed)?);
    let events = std::sync::Arc::new(Mailbox::new());
    let mut watching = Watching { events: std::sync::Arc::clone(&events), known: Vec::new(), due: None };
    // Known before the first message is read, so that only what comes later is told.
    watching.known = devices()?;
    let ended = Arc::clone(&end);
    let spawned =
        std::thread::Builder::new().name("isoch-hotplug".into()).spawn(move || watching.run(&socket, &ended));
    spawned.map_err(|error| Error::System { what: "watching devices".into(), reason: error.to_string() })?;
    let subscription: Arc<dyn Any + Send + Sync> = Arc::new(Subscription { end });
    Ok(Watch::new(events, Waiting::Real, subscription))
}

fn subscribe() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(KOBJECT_UEVENT))?;
    bind(&socket, &SocketAddrNetlink::new(0, KERNEL | UDEV))?;
    Ok(socket)
}

struct Watching {
    events: std::sync::Arc<Mailbox<HotplugEvent>>,
    /// With the numbers on their buses, which are new whenever a device is plugged in.
    known: Vec<(u8, DeviceInformation)>,
    /// When the list is to be compared with that.
    due: Option<Instant>,
}

impl Watching {
    fn run(mut self, socket: &OwnedFd, end: &OwnedFd) {
        if let Err(code) = self.watch(socket, end) {
            tracing::warn!(%code, "devices that come and go are watched no more");
            self.events.close();
        }
    }

    /// Until `end` is readable.
    fn watch(&mut self, socket: &OwnedFd, end: &OwnedFd) -> Result<(), Errno> {
        loop {
            let mut descriptors = [PollFd::new(socket, PollFlags::IN), PollFd::new(end, PollFlags::IN)];
            let left = self.due.map(|due| due.saturating_duration_since(Instant::now()));
            let timeout = left.and_then(|left| Timespec::try_from(left).ok());
            match poll(&mut descriptors, timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(code) => return Err(code),
            }
            if !descriptors[1].revents().is_empty() {
                return Ok(());
            }
            let heard = take_all(socket)?;
            let now = Instant::now();
            self.due = heard.due(Path::new("/run/udev/control").exists(), now, self.due);
            if self.due.is_some_and(|due| due <= now) {
                self.due = self.compare(devices()).then(|| now + TRY_AGAIN);
            }
        }
    }

    /// Tells what changed in the list. Whether that is still to be done, because there is none.
    fn compare(&mut self, now: Result<Vec<(u8, DeviceInformation)>, Error>) -> bool {
        let now = match now {
            Ok(now) => now,
            Err(error) => {
                tracing::debug!(%error, "devices cannot be listed just now");
                return true;
            }
        };
        for (_, device) in self.known.iter().filter(|device| !now.contains(device)) {
            self.events.push(HotplugEvent::Left { address: device.address.clone() });
        }
        for (_, device) in now.iter().filter(|device| !self.known.contains(device)) {
            self.events.push(HotplugEvent::Arrived(device.clone()));
        }
        self.known = now;
        false
    }
}

fn devices() -> Result<Vec<(u8, DeviceInformation)>, Error> {
    Ok(list::devices()?.into_iter().map(|found| (found.place.number, found.information)).collect())
}

/// Who told that something about USB changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Heard {
    kernel: bool,
    /// Or messages were lost, and nobody knows whose.
    udev: bool,
}

impl Heard {
    fn take(&mut self, message: &[u8]) {
        if is_about_usb(message) {
            let is_udevs = message.starts_with(UDEV_BEGINS);
            self.udev |= is_udevs;
            self.kernel |= !is_udevs;
        }
    }

    /// When the list is to be compared now, which was to happen at `before`.
    fn due(self, udev_runs: bool, now: Instant, before: Option<Instant>) -> Option<Instant> {
        match self {
            Heard { udev: true, .. } => Some(now),
            Heard { kernel: true, .. } if udev_runs => before.or(Some(now + UDEV_TAKES)),
            Heard { kernel: true, .. } => Some(now),
            _ => before,
        }
    }
}

/// Reads every message.
fn take_all(socket: &OwnedFd) -> Result<Heard, Errno> {
    let mut message = vec![0_u8; LONGEST_MESSAGE];
    let mut heard = Heard::default();
    loop {
        match recv(socket, &mut message[..], RecvFlags::empty()) {
            Ok((length, _)) => heard.take(&message[..length.min(LONGEST_MESSAGE)]),
            Err(Errno::INTR) => {}
            // There was no room for all.
            Err(Errno::NOBUFS) => heard.udev = true,
            Err(Errno::AGAIN) => return Ok(heard),
            Err(code) => return Err(code),
        }
    }
}

/// Whether a message names the USB subsystem among its properties (both the kernel's and udev's form have them,
/// each ended by a zero).
fn is_about_usb(message: &[u8]) -> bool {
    let mut properties = message.split(|byte| *byte == 0);
    properties.any(|property| property == b"SUBSYSTEM=usb")
}

#[cfg(test)]
mod tests {
    use isoch_core::rules::Speed;

    use super::*;

    fn device(number: u8, port: &str) -> (u8, DeviceInformation) {
        let information = DeviceInformation {
            address: format!("usb:{port}"),
            vendor_id: 0x46f4,
            product_id: 2,
            speed: Speed::Full,
            manufacturer: None,
            product: None,
            serial_number: None,
        };
        (number, information)
    }

    #[test]
    fn what_changed_is_told_once_there_is_a_list() {
        let events = std::sync::Arc::new(Mailbox::new());
        let known = vec![device(1, "1-1"), device(2, "1-2")];
        let mut watching = Watching { events: std::sync::Arc::clone(&events), known, due: None };
        let failed = || Err(Error::System { what: "listing".into(), reason: "too many open files".into() });
        assert!(watching.compare(failed()), "it is still to be done");
        assert!(events.try_pop().is_none());
        // One left; another was plugged in anew where it had been: it has a new number.
        assert!(!watching.compare(Ok(vec![device(3, "1-1"), device(4, "1-3")])));
        let told: Vec<_> = std::iter::from_fn(|| events.try_pop()).collect();
        let left = |port: &str| HotplugEvent::Left { address: format!("usb:{port}") };
        let arrived = |port| HotplugEvent::Arrived(device(0, port).1);
        assert_eq!(told, [left("1-1"), left("1-2"), arrived("1-1"), arrived("1-3")]);
        // The same again is nothing new.
        assert!(!watching.compare(Ok(vec![device(4, "1-3"), device(3, "1-1")])));
        assert!(events.try_pop().is_none());
    }

    #[test]
    fn udev_is_waited_for_and_not_for_ever() {
        let now = Instant::now();
        let later = now + UDEV_TAKES;
        let (nobody, kernel) = (Heard::default(), Heard { kernel: true, udev: false });
        let udev = Heard { udev: true, ..kernel };
        assert_eq!(kernel.due(false, now, None), Some(now));
        assert_eq!(kernel.due(true, now, None), Some(later));
        // More of the kernel's messages do not put it off.
        assert_eq!(kernel.due(true, now + TRY_AGAIN, Some(later)), Some(later));
        assert_eq!(udev.due(true, now, Some(later)), Some(now));
        assert_eq!(nobody.due(true, now, Some(later)), Some(later));
        assert_eq!(nobody.due(false, now, None), None);
    }

    #[test]
    fn whose_messages_they_are() {
        let mut heard = Heard::default();
        heard.take(b"add@/devices/x\0ACTION=add\0SUBSYSTEM=net\0");
        assert_eq!(heard, Heard::default());
        heard.take(b"add@/devices/x\0ACTION=add\0SUBSYSTEM=usb\0");
        assert_eq!(heard, Heard { kernel: true, udev: false });
        heard.take(b"libudev\0\xfe\xed\xca\xfe\0\0\0\x28ACTION=add\0SUBSYSTEM=usb\0");
        assert_eq!(heard, Heard { kernel: true, udev: true });
    }

    #[test]
    fn a_watch_that_cannot_go_on_ends() {
        let events = std::sync::Arc::new(Mailbox::new());
        let watching = Watching { events: std::sync::Arc::clone(&events), known: Vec::new(), due: None };
        let (end, _open) = std::io::pipe().expect("a pipe");
        // It can be polled, and is no socket.
        let (other, writing) = std::io::pipe().expect("a pipe");
        drop(writing);
        watching.run(&other.into(), &end.into());
        assert!(matches!(events.next(&Waiting::Real).wait(), Err(Error::Closed)));
    }

    #[test]
    fn messages_about_usb() {
        assert!(is_about_usb(b"add@/devices/x\0ACTION=add\0SUBSYSTEM=usb\0DEVTYPE=usb_device\0"));
        assert!(is_about_usb(b"libudev\0\xfe\xed\xca\xfe\0\0\0\x28ACTION=add\0SUBSYSTEM=usb\0"));
        assert!(!is_about_usb(b"add@/devices/x\0ACTION=add\0SUBSYSTEM=usbmon\0"));
        assert!(!is_about_usb(b""));
    }
}
