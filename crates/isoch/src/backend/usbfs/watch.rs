//! Devices that come and go.
//!
//! Why not nusb's watch? It hears udev only, and a machine without udev (a container, an initramfs, an embedded
//! system) has devices that come and go all the same. The kernel tells of a device before udev has given its node
//! to anybody; so where udev runs, it is udev that is heard.
//!
//! Why is the whole list compared, when each message names a device? Because messages can be lost, and a list cannot.

use std::any::Any;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
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
    let mut watching = Watching { events: std::sync::Arc::clone(&events), known: Vec::new() };
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
    let group = if Path::new("/run/udev/control").exists() { UDEV } else { KERNEL };
    bind(&socket, &SocketAddrNetlink::new(0, group))?;
    Ok(socket)
}

struct Watching {
    events: std::sync::Arc<Mailbox<HotplugEvent>>,
    /// With the numbers on their buses, which are new whenever a device is plugged in.
    known: Vec<(u8, DeviceInformation)>,
}

impl Watching {
    fn run(mut self, socket: &OwnedFd, end: &OwnedFd) {
        loop {
            let mut descriptors = [PollFd::new(socket, PollFlags::IN), PollFd::new(end, PollFlags::IN)];
            match poll(&mut descriptors, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return,
            }
            if !descriptors[1].revents().is_empty() {
                return;
            }
            if take_all(socket) {
                self.compare();
            }
        }
    }

    /// Lists anew, and tells what changed.
    fn compare(&mut self) {
        let Ok(now) = devices() else { return };
        for (_, device) in self.known.iter().filter(|device| !now.contains(device)) {
            self.events.push(HotplugEvent::Left { address: device.address.clone() });
        }
        for (_, device) in now.iter().filter(|device| !self.known.contains(device)) {
            self.events.push(HotplugEvent::Arrived(device.clone()));
        }
        self.known = now;
    }
}

fn devices() -> Result<Vec<(u8, DeviceInformation)>, Error> {
    Ok(list::devices()?.into_iter().map(|found| (found.place.number, found.information)).collect())
}

/// Reads every message. Whether one of them was about USB, or some were lost.
fn take_all(socket: &OwnedFd) -> bool {
    let mut message = vec![0_u8; LONGEST_MESSAGE];
    let mut changed = false;
    loop {
        match recv(socket, &mut message[..], RecvFlags::empty()) {
            Ok((length, _)) => changed |= is_about_usb(&message[..length.min(LONGEST_MESSAGE)]),
            Err(Errno::INTR) => {}
            // There was no room for all.
            Err(Errno::NOBUFS) => changed = true,
            Err(_) => return changed,
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
    use super::*;

    #[test]
    fn messages_about_usb() {
        assert!(is_about_usb(b"add@/devices/x\0ACTION=add\0SUBSYSTEM=usb\0DEVTYPE=usb_device\0"));
        assert!(is_about_usb(b"libudev\0\xfe\xed\xca\xfe\0\0\0\x28ACTION=add\0SUBSYSTEM=usb\0"));
        assert!(!is_about_usb(b"add@/devices/x\0ACTION=add\0SUBSYSTEM=usbmon\0"));
        assert!(!is_about_usb(b""));
    }
}
