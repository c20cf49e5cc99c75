//! What a host controller, and this kernel's driver of it, can promise about frames; and who could tell more.

use std::io::ErrorKind;
use std::path::Path;

use super::plugged::Plugged;
use super::system::Right;
use super::{Finding, System, Topic, machine};
use crate::backend::usbfs::Witness;
use crate::backend::usbfs::controller::Kind;
use crate::backend::usbfs::witness::{DEBUGFS, folder, node, register};

/// HCCPARAMS1: the controller takes the frame of every packet (xHCI §5.3.6, Contiguous Frame ID Capability).
const CONTIGUOUS_FRAMES: u32 = 1 << 11;

/// Before it, the driver of such controllers moves a transfer that is late, or just in time, by a frame, and tells
/// nobody (`drivers/usb/host/xhci-ring.c`).
const KEEPS_FRAMES_SINCE: (u32, u32) = (7, 3);

/// How an ordinary user gets to see the controller's registers.
const LOOK: &str = "run this as root, or `mount -o remount,mode=755 /sys/kernel/debug`, as root, which lets everybody look \
                    into debugfs";

pub(super) fn findings(system: &System, device: &Plugged, asked: Option<Witness>) -> Vec<Finding> {
    let kind = Kind::of_driver(device.place.controller_driver.as_deref());
    let promise = match kind {
        Kind::Xhci => xhci(contiguous(system, &device.place.controller), release(system)),
        Kind::Vhci => Finding::unknown(
            Topic::Controller,
            "USB/IP: whether packets keep their frames is up to the other machine and its controller",
            "look there",
        ),
        Kind::Uhci | Kind::Ohci | Kind::Ehci => Finding::ok(
            Topic::Controller,
            format!(
                "{}: as long as its queue does not run empty a stream keeps its frames, also when packets come too late; \
                 those are reported",
                kind.name()
            ),
        ),
        Kind::Other => Finding::unknown(
            Topic::Controller,
            format!(
                "what the driver `{}` of its controller does with packets that come too late is not known",
                device.place.controller_driver.as_deref().unwrap_or("?")
            ),
            "use a port of an xHCI, EHCI, OHCI or UHCI controller if lost frames matter",
        ),
    };
    let mut findings = vec![promise];
    if kind == Kind::Xhci {
        let asked = asked == Some(Witness::Registers);
        findings.push(registers(system, &device.place.controller, asked));
    } else if asked == Some(Witness::Registers) {
        findings.push(not_of_this_one(kind, "registers"));
    }
    if kind.facts(device.information.speed).start_frame.is_some() {
        findings.push(usbmon(system, device.place.bus, asked == Some(Witness::Usbmon)));
    } else if asked == Some(Witness::Usbmon) {
        findings.push(not_of_this_one(kind, "usbmon"));
    }
    findings
}

/// The first two numbers of the kernel's.
fn release(system: &System) -> Option<(u32, u32)> {
    let release = machine::release(system)?;
    let mut numbers = release.split(|character: char| !character.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Whether a controller takes the frame of every packet.
fn contiguous(system: &System, controller: &Path) -> Result<bool, ErrorKind> {
    let text =
        system.text(folder(Path::new(DEBUGFS), controller).join("reg-cap")).map_err(|error| error.kind())?;
    let parameters = register(&format!("{text}\n"), "HCCPARAMS1").ok_or(ErrorKind::InvalidData)?;
    Ok(parameters & CONTIGUOUS_FRAMES != 0)
}

fn xhci(contiguous: Result<bool, ErrorKind>, release: Option<(u32, u32)>) -> Finding {
    let kernel = release.map_or("this kernel".into(), |(major, minor)| format!("Linux {major}.{minor}"));
    let deep = "keep the queue deep (`--depth 64ms` and more): what is never late is never moved";
    match contiguous {
        Ok(true) if release.is_some_and(|release| release >= KEEPS_FRAMES_SINCE) => Finding::ok(
            Topic::Controller,
            "xHCI that takes the frame of every packet: as long as its queue does not run empty a stream keeps its frames, also \
             when packets come too late; those are reported",
        ),
        Ok(true) => Finding::warning(
            Topic::Controller,
            format!(
                "xHCI that takes the frame of every packet, but {kernel} may move a transfer that comes late, or just in time, \
                 by a frame and report nothing: only the clock notices, afterwards"
            ),
            format!("Linux 7.3 or later; until then {deep}"),
        ),
        Ok(false) => Finding::warning(
            Topic::Controller,
            "xHCI that does not take the frames of packets: a packet that comes too late moves all that follow, and nothing is \
             reported; only the clock notices, afterwards",
            deep,
        ),
        Err(ErrorKind::PermissionDenied) => Finding::unknown(
            Topic::Controller,
            "xHCI; only root sees whether it takes the frame of every packet, or moves the stream when one comes too late",
            LOOK,
        ),
        Err(_) => Finding::unknown(
            Topic::Controller,
            "xHCI; whether it takes the frame of every packet, or moves the stream when one comes too late, stands in debugfs, \
             which is not there",
            "`mount -t debugfs none /sys/kernel/debug`, as root",
        ),
    }
}

/// A witness that does not know this controller.
fn not_of_this_one(kind: Kind, witness: &str) -> Finding {
    Finding::problem(
        Topic::Witness,
        format!(
            "of this controller ({}) nobody tells frames so: with `witness={witness}` the device does not open",
            kind.name()
        ),
        format!("leave `witness={witness}` out"),
    )
}

/// A witness that cannot be asked; `asked`: the address wants it all the same.
fn silent(witness: &str, asked: bool, why: &str, remedy: &str) -> Finding {
    match asked {
        true => Finding::problem(
            Topic::Witness,
            format!("{why}: with `witness={witness}` the device does not open"),
            format!("{remedy}; or leave `witness={witness}` out"),
        ),
        false => Finding::warning(
            Topic::Witness,
            format!("{why}: frames are estimated from completions"),
            format!("{remedy}; then `?witness={witness}`"),
        ),
    }
}

fn registers(system: &System, controller: &Path, asked: bool) -> Finding {
    let silent = |why, remedy| silent("registers", asked, why, remedy);
    match system.right(folder(Path::new(DEBUGFS), controller).join("reg-runtime"), false) {
        Right::Granted => {
            Finding::ok(Topic::Witness, "the controller's frame counter can be read (`?witness=registers`)")
        }
        Right::Denied => silent("the controller's frame counter cannot be read", LOOK),
        Right::Missing => silent(
            "the controller's frame counter is not shown",
            "`mount -t debugfs none /sys/kernel/debug`, as root",
        ),
    }
}

fn usbmon(system: &System, bus: u8, asked: bool) -> Finding {
    let silent = |why, remedy: &str| silent("usbmon", asked, why, remedy);
    let path = node(bus);
    match system.right(&path, false) {
        Right::Granted => Finding::ok(Topic::Witness, "usbmon tells the true frames (`?witness=usbmon`)"),
        Right::Denied => silent(
            "usbmon would tell the true frames, and may not be read",
            &format!("run as root, or `setfacl -m u:USER:r {}`, as root", path.display()),
        ),
        Right::Missing => {
            silent("usbmon would tell the true frames, and is not loaded", "`modprobe usbmon`, as root")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Verdict;
    use super::*;

    #[test]
    fn what_xhci_promises_depends_on_the_controller_and_the_kernel() {
        let verdict = |contiguous, release| xhci(contiguous, release).verdict;
        assert_eq!(verdict(Ok(true), Some((7, 3))), Verdict::Ok);
        assert_eq!(verdict(Ok(true), Some((8, 0))), Verdict::Ok);
        for release in [Some((7, 2)), Some((6, 12)), None] {
            assert_eq!(verdict(Ok(true), release), Verdict::Warning, "{release:?}");
        }
        assert_eq!(verdict(Ok(false), Some((7, 3))), Verdict::Warning);
        for kind in [ErrorKind::PermissionDenied, ErrorKind::NotFound, ErrorKind::InvalidData] {
            assert_eq!(verdict(Err(kind), Some((7, 3))), Verdict::Unknown);
        }
        assert!(xhci(Err(ErrorKind::PermissionDenied), None).what.contains("only root"));
    }
}
