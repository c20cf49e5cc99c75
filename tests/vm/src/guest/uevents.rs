//! What the kernel says of devices that come and go, from its own netlink group. No udev is needed, and none runs.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};

/// The kernel's group; udev's is 2.
const KERNEL: u32 = 1;

pub(crate) struct UEvents {
    socket: OwnedFd,
}

/// `add` or `remove`, and what it is about.
#[derive(Debug)]
pub(crate) struct UEvent {
    pub(crate) action: String,
    pub(crate) values: BTreeMap<String, String>,
}

impl UEvents {
    pub(crate) fn listen() -> std::io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(KOBJECT_UEVENT))?;
        bind(&socket, &SocketAddrNetlink::new(0, KERNEL))?;
        Ok(UEvents { socket })
    }

    /// Waits for an action on a USB device (not on one of its interfaces).
    pub(crate) fn wait(&self, action: &str, patience: Duration) -> Result<UEvent, String> {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
            let mut polled = [PollFd::new(&self.socket, PollFlags::IN)];
            if poll(&mut polled, Some(&timeout)).map_err(|error| error.to_string())? == 0 {
                return Err(format!("no uevent `{action}` within {} ms", patience.as_millis()));
            }
            let event = self.next()?;
            if event.action == action && event.values.get("DEVTYPE").is_some_and(|kind| kind == "usb_device")
            {
                return Ok(event);
            }
        }
    }

    fn next(&self) -> Result<UEvent, String> {
        let mut buffer = [0; 8192];
        let (length, _) = recv(&self.socket, &mut buffer, RecvFlags::empty())
            .map_err(|error| format!("uevents: {error}"))?;
        // `ACTION@PATH`, then `NAME=VALUE`, each with a zero behind it.
        let words: Vec<_> = buffer[..length].split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        let values = words.iter().filter_map(|word| word.split_once('='));
        let values: BTreeMap<_, _> =
            values.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Ok(UEvent { action: values.get("ACTION").cloned().unwrap_or_default(), values })
    }
}
