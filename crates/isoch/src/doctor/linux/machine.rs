//! What concerns every device: the kernel, its memory for transfers, and how soon a program runs.

use super::plugged::{self, Plugged};
use super::{Finding, System, Topic};
use crate::backend::usbfs::{Options, USUAL_MEGABYTES};

/// In `/proc/self/status`: the right to run before others (`capabilities(7)`).
const CAP_SYS_NICE: u32 = 23;

/// What distributions give the group of those who play sound.
const USUAL_PRIORITY: u8 = 95;

pub(super) fn findings(system: &System, devices: &[Plugged], asked: &Options) -> Vec<Finding> {
    let kernel = release(system).map(|release| Finding::ok(Topic::System, format!("Linux {release}")));
    let mut findings: Vec<Finding> = kernel.into_iter().collect();
    findings.push(bus(system, devices));
    if plugged::has_usb(system) {
        findings.push(memory(system));
    }
    findings.push(real_time(system, asked.priority));
    findings.extend(processor(system));
    findings.extend(suspend(system));
    findings
}

/// As `uname -r` says it.
pub(super) fn release(system: &System) -> Option<String> {
    system.words("/proc/sys/kernel/osrelease")
}

fn bus(system: &System, devices: &[Plugged]) -> Finding {
    if !plugged::has_usb(system) {
        return Finding::problem(
            Topic::Bus,
            "this kernel has no USB: there is no /sys/bus/usb",
            "load the driver of its host controller (`modprobe xhci-pci`, as root), or give /sys and /dev/bus/usb to the \
             container that this runs in; emulated devices (`virtual:speaker`) need none of it",
        );
    }
    let isochronous = devices.iter().filter(|device| !device.isochronous().is_empty()).count();
    let what = match devices.len() {
        0 => "no device is plugged in".into(),
        1 => "1 device is plugged in".into(),
        more => format!("{more} devices are plugged in"),
    };
    Finding::ok(Topic::Bus, format!("{what}, {isochronous} with isochronous endpoints"))
}

/// How many MiB usbfs has for all programs together, 0 for any number; `None` if that is not known.
pub(super) fn megabytes(system: &System) -> Option<u64> {
    system.number("/sys/module/usbcore/parameters/usbfs_memory_mb")
}

/// How it is raised.
pub(super) const RAISE: &str = "raise it until the next start with `echo 64 > \
                                /sys/module/usbcore/parameters/usbfs_memory_mb`, as root (0: no limit), and for good with \
                                `usbcore.usbfs_memory_mb=64` on the kernel's command line";

fn memory(system: &System) -> Finding {
    match megabytes(system) {
        None => Finding::unknown(
            Topic::Memory,
            "how much memory for transfers usbfs has is not known: the kernel does not show usbfs_memory_mb",
            "nothing, unless registering blocks fails",
        ),
        Some(0) => Finding::ok(Topic::Memory, "usbfs has no limit for the memory of transfers"),
        Some(megabytes) => {
            let what = format!(
                "usbfs has {megabytes} MiB for the transfers of all programs together; how much of it others have taken it does \
                 not tell"
            );
            match megabytes < USUAL_MEGABYTES {
                true => {
                    Finding::warning(Topic::Memory, format!("{what} (usual are {USUAL_MEGABYTES})"), RAISE)
                }
                false => Finding::ok(Topic::Memory, what),
            }
        }
    }
}

fn real_time(system: &System, asked: Option<u8>) -> Finding {
    let status = system.text("/proc/self/status").unwrap_or_default();
    let limits = system.text("/proc/self/limits").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let capabilities = effective.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    let limit = limits.lines().find_map(|line| line.strip_prefix("Max realtime priority"));
    let limit = limit.and_then(|line| line.split_whitespace().next());
    let priority = match limit {
        Some("unlimited") => Some(99),
        limit => limit.and_then(|limit| limit.parse::<u32>().ok()),
    };
    if capabilities.is_some_and(|capabilities| capabilities >> CAP_SYS_NICE & 1 == 1) {
        return Finding::ok(Topic::RealTime, "this program may run real-time threads (CAP_SYS_NICE)");
    }
    const AUDIO: &str = "to /etc/security/limits.d/95-isoch.conf and `usermod -aG audio USER`; log in again";
    match priority {
        Some(highest) if asked.is_some_and(|asked| u32::from(asked) > highest) => {
            let asked = asked.unwrap_or_default();
            let allowed = match highest {
                0 => "no real-time threads".into(),
                highest => format!("real-time threads up to priority {highest}"),
            };
            Finding::problem(
                Topic::RealTime,
                format!("this program may run {allowed}: with `priority={asked}` the device does not open"),
                format!(
                    "as root, write `@audio - rtprio {}` {AUDIO}; or ask for less",
                    asked.max(USUAL_PRIORITY)
                ),
            )
        }
        Some(0) => Finding::warning(
            Topic::RealTime,
            "this program may not run real-time threads: on a busy machine it wakes up late, and needs a deeper queue",
            format!(
                "as root, write `@audio - rtprio {USUAL_PRIORITY}` {AUDIO}, and give addresses `?priority=10`"
            ),
        ),
        Some(priority) => Finding::ok(
            Topic::RealTime,
            format!("this program may run real-time threads, up to priority {priority}"),
        ),
        None => Finding::unknown(
            Topic::RealTime,
            "whether this program may run real-time threads is not known: /proc does not say",
            "mount it: `mount -t proc none /proc`, as root",
        ),
    }
}

/// What decides how fast the processors run, if anything does.
fn processor(system: &System) -> Option<Finding> {
    const CPUS: &str = "/sys/devices/system/cpu";
    let is_cpu = |name: &&String| {
        name.strip_prefix("cpu")
            .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
    };
    let names = system.names(CPUS);
    let mut governors: Vec<(String, String)> = names
        .iter()
        .filter(is_cpu)
        .filter_map(|name| {
            let folder = format!("{CPUS}/{name}/cpufreq");
            let driver = system.words(format!("{folder}/scaling_driver")).unwrap_or_default();
            Some((system.words(format!("{folder}/scaling_governor"))?, driver))
        })
        .collect();
    governors.sort();
    governors.dedup();
    let names = crate::text::listed(governors.iter().map(|(governor, _)| format!("`{governor}`")));
    // With drivers that choose the speed themselves, `powersave` is only a hint.
    let is_slow = |(governor, driver): &(String, String)| {
        governor == "powersave" && !driver.ends_with("pstate") && !driver.ends_with("epp")
    };
    match &governors[..] {
        [] => None,
        some if some.iter().any(is_slow) => Some(Finding::warning(
            Topic::Processor,
            format!("the processors' governor is {names}, which keeps them slow: programs wake up later"),
            "`echo schedutil | tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor`, as root (or `performance`)",
        )),
        _ => Some(Finding::ok(Topic::Processor, format!("the processors' governor is {names}"))),
    }
}

fn suspend(system: &System) -> Option<Finding> {
    let seconds: i64 = system.number("/sys/module/usbcore/parameters/autosuspend")?;
    let what = match seconds {
        ..0 => "devices are not suspended by themselves (usbcore.autosuspend)".into(),
        _ => format!(
            "devices that may be suspended are, {seconds} s after their last use (usbcore.autosuspend); one that is open stays \
             awake"
        ),
    };
    Some(Finding::ok(Topic::Power, what))
}
