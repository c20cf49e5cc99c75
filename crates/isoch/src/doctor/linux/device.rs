//! What stands between a program and one device: rights, other drivers, sleep.

use std::time::Duration;

use rustix::io::Errno;

use super::plugged::Plugged;
use super::system::Right;
use super::{Finding, System, Topic};
use crate::backend::usbfs::{Mode, measure_at};
use crate::text::listed;

pub(super) fn findings(system: &System, device: &Plugged) -> Vec<Finding> {
    [Some(node(system, device)), drivers(system, device), power(system, device)]
        .into_iter()
        .flatten()
        .collect()
}

fn node(system: &System, device: &Plugged) -> Finding {
    let path = device.place.node();
    let (node, address) = (path.display(), &device.information.address);
    match system.right(&path, true) {
        Right::Granted => Finding::ok(Topic::Node, format!("{node} may be opened")),
        Right::Denied => Finding::problem(
            Topic::Node,
            format!("{node} may not be opened for writing"),
            format!(
                "`isoch doctor {address} --print-udev-rule` prints the rule that changes it, and where it belongs"
            ),
        ),
        Right::Missing => Finding::problem(
            Topic::Node,
            format!("{node} is not there"),
            "udev or devtmpfs makes it: is one of them at work? A container needs /dev/bus/usb given to it",
        ),
    }
}

/// Opens the device and times both kinds of memory for transfers. `None` if its node may not be opened: that was said.
pub(super) fn zero_copy(system: &System, device: &Plugged, asked: Option<Mode>) -> Option<Finding> {
    let node = device.place.node();
    if system.right(&node, true) != Right::Granted {
        return None;
    }
    let microseconds = |time: Duration| format!("{:.1} µs", time.as_secs_f64() * 1e6);
    Some(match measure_at(&system.locate(&node)) {
        Ok(Some(timing)) => {
            let (mapped, copied) = (microseconds(timing.mapped), microseconds(timing.copied));
            let taken = match asked.unwrap_or(timing.mode()) {
                Mode::Mapped => "mapped memory is used",
                Mode::Copied => "memory is copied",
            };
            let why = if asked.is_some() { ", as the address asks" } else { "" };
            Finding::ok(
                Topic::ZeroCopy,
                format!(
                    "64 KiB are filled and read in {mapped} if mapped, in {copied} with a copy: {taken}{why}"
                ),
            )
        }
        Ok(None) if asked == Some(Mode::Mapped) => Finding::problem(
            Topic::ZeroCopy,
            "this kernel maps no memory for transfers here: with `memory=mmap` no block can be registered",
            "leave `memory=mmap` out, and it is copied",
        ),
        Ok(None) => {
            Finding::ok(Topic::ZeroCopy, "this kernel maps no memory for transfers here: it is copied")
        }
        Err(Errno::NOMEM) if asked == Some(Mode::Copied) => {
            Finding::ok(Topic::ZeroCopy, "memory is copied, as the address asks")
        }
        Err(Errno::NOMEM) if asked == Some(Mode::Mapped) => Finding::problem(
            Topic::ZeroCopy,
            "64 KiB could not be mapped just now: with `memory=mmap` no block can be registered while that is so",
            "close other programs that stream, raise `usbcore.usbfs_memory_mb`, or leave `memory=mmap` out",
        ),
        Err(Errno::NOMEM) => Finding::warning(
            Topic::ZeroCopy,
            "64 KiB could not be mapped just now: memory is copied while that is so",
            "close other programs that stream, or raise `usbcore.usbfs_memory_mb`",
        ),
        // The node's own rights were asked for. Something else forbids it.
        Err(Errno::PERM) => Finding::problem(
            Topic::Node,
            format!("{} has the rights, and may not be opened all the same", node.display()),
            "a container must be allowed to: `--device-cgroup-rule='c 189:* rmw'`",
        ),
        Err(code) => Finding::problem(
            Topic::Node,
            format!("{} cannot be opened: {}", node.display(), std::io::Error::from(code)),
            "unplug it, and plug it in again",
        ),
    })
}

/// Who has the interfaces with isochronous endpoints, and those that go with them.
fn drivers(system: &System, device: &Plugged) -> Option<Finding> {
    let configuration = device.configuration.as_ref().ok()?;
    let mut numbers: Vec<u8> =
        device.isochronous().iter().flat_map(|found| configuration.function_of(found.interface)).collect();
    numbers.sort_unstable();
    numbers.dedup();
    if numbers.is_empty() {
        return None;
    }
    let bound: Vec<(u8, String)> =
        numbers.into_iter().filter_map(|number| Some((number, device.driver(system, number)?))).collect();
    let mut names: Vec<&str> = bound.iter().map(|(_, driver)| driver.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let of = |driver: &str| {
        let of_driver: Vec<u8> =
            bound.iter().filter(|(_, name)| name == driver).map(|(number, _)| *number).collect();
        let plural = if of_driver.len() == 1 { "" } else { "s" };
        format!("interface{plural} {}", listed(of_driver.iter()))
    };
    Some(match &names[..] {
        [] => Finding::ok(Topic::Drivers, "no other driver has what it streams with"),
        names if names.contains(&"usbfs") => Finding::problem(
            Topic::Drivers,
            format!("another program has {}", of("usbfs")),
            format!("close it; `fuser -v {}`, as root, tells which it is", device.place.node().display()),
        ),
        names => {
            let who = names.iter().map(|name| format!("`{name}` has {}", of(name)));
            Finding::warning(
                Topic::Drivers,
                format!(
                    "the kernel's {}: claiming one takes those of its function away together, and giving it back returns them",
                    listed(who)
                ),
                "close first what uses the device through the driver: a sound server, a program with a camera",
            )
        }
    })
}

fn power(system: &System, device: &Plugged) -> Option<Finding> {
    let folder = device.place.sysfs.join("power");
    let control = system.words(folder.join("control"))?;
    let status = system.words(folder.join("runtime_status")).unwrap_or_default();
    if status == "error" {
        return Some(Finding::problem(
            Topic::Power,
            "it could not be suspended or resumed",
            "unplug it, and plug it in again",
        ));
    }
    let now = if status.is_empty() { String::new() } else { format!("; now it is {status}") };
    Some(Finding::ok(
        Topic::Power,
        match control.as_str() {
            "auto" => format!("it is suspended while nobody has it open{now}"),
            _ => format!("it is never suspended by itself{now}"),
        },
    ))
}
