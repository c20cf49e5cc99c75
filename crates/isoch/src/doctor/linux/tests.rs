//! On made-up machines: a folder with the files that the kernel would show.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;

use super::super::{Finding, Report, Topic, Verdict};
use super::System;
use crate::Error;
use crate::address::Address;

const CONTROLLER: &str = "/sys/devices/pci0000:00/0000:00:14.0";
const DEVICE: &str = "/sys/devices/pci0000:00/0000:00:14.0/usb1/1-1";

/// A speaker of USB Audio 1.0: 192 bytes every millisecond.
#[rustfmt::skip]
const SPEAKER: &[u8] = &[
    18, 1, 0x10, 0x01, 0, 0, 0, 64, 0xf4, 0x46, 0x02, 0x00, 0, 0, 1, 2, 3, 1, // device
    9, 2, 61, 0, 2, 1, 0, 0xc0, 50, // configuration
    9, 4, 0, 0, 0, 1, 1, 0, 0, // interface 0: audio control
    9, 0x24, 1, 0, 1, 9, 0, 1, 1, // its header: interface 1 belongs to it
    9, 4, 1, 0, 0, 1, 2, 0, 0, // interface 1: nothing
    9, 4, 1, 1, 1, 1, 2, 0, 0, // interface 1, alternate setting 1
    9, 5, 0x01, 0x0d, 192, 0, 1, 0, 0, // endpoint 0x01
    7, 0x25, 1, 0, 0, 0, 0, // what its class says of it
];

/// A device of high speed with 3 × 1024 bytes every microframe.
#[rustfmt::skip]
const CAMERA: &[u8] = &[
    18, 1, 0x00, 0x02, 0xff, 0, 0, 64, 0x34, 0x12, 0x78, 0x56, 0, 0, 0, 0, 0, 1, // device
    9, 2, 34, 0, 1, 1, 0, 0x80, 50, // configuration
    9, 4, 0, 0, 0, 0xff, 0, 0, 0, // interface 0: nothing
    9, 4, 0, 1, 1, 0xff, 0, 0, 0, // alternate setting 1
    7, 5, 0x81, 0x05, 0x00, 0x14, 1, // endpoint 0x81
];

struct Machine {
    folder: TempDir,
    system: System,
}

impl Machine {
    fn empty() -> Machine {
        let folder = tempfile::tempdir().unwrap();
        let system = System::at(folder.path());
        Machine { folder, system }
    }

    /// Nothing is wrong with it, and a speaker is plugged in.
    fn healthy() -> Machine {
        let machine = Machine::empty();
        machine.write("/proc/sys/kernel/osrelease", "7.3.1-amd64\n");
        machine.write("/proc/self/status", "Name:\tisoch\nCapEff:\t0000000000000000\n");
        machine.limit("95");
        machine.write("/sys/module/usbcore/parameters/usbfs_memory_mb", "16\n");
        machine.write("/sys/module/usbcore/parameters/autosuspend", "2\n");
        for cpu in ["cpu0", "cpu1"] {
            let folder = format!("/sys/devices/system/cpu/{cpu}/cpufreq");
            machine.write(&format!("{folder}/scaling_governor"), "schedutil\n");
            machine.write(&format!("{folder}/scaling_driver"), "acpi-cpufreq\n");
        }
        machine.write("/dev/usbmon1", "");
        machine.controller("xhci_hcd");
        machine.registers(0x0800);
        machine.plug(SPEAKER, "12");
        machine
    }

    fn write(&self, path: &str, contents: impl AsRef<[u8]>) {
        let path = self.system.locate(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }

    /// A link as in sysfs: relative, from `path` to what has this path.
    fn link(&self, path: &str, target: &str) {
        let up = "../".repeat(path.matches('/').count() - 1);
        fs::create_dir_all(self.system.locate(target)).unwrap();
        let link = self.system.locate(path);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        let _ = fs::remove_file(&link);
        symlink(format!("{up}{}", target.trim_start_matches('/')), link).unwrap();
    }

    fn remove(&self, path: &str) {
        let path = self.system.locate(path);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
    }

    fn limit(&self, priority: &str) {
        let line = "Max realtime priority     ";
        let text =
            format!("Limit                     Soft Limit           Hard Limit           Units\n{line}");
        self.write("/proc/self/limits", format!("{text}{priority}                   {priority}\n"));
    }

    fn controller(&self, driver: &str) {
        self.link(&format!("{CONTROLLER}/driver"), &format!("/sys/bus/pci/drivers/{driver}"));
        self.link("/sys/bus/usb/devices/usb1", &format!("{CONTROLLER}/usb1"));
    }

    fn registers(&self, parameters: u32) {
        let folder = "/sys/kernel/debug/usb/xhci/0000:00:14.0";
        self.write(&format!("{folder}/reg-runtime"), "MFINDEX = 0x00000000\n");
        let text =
            format!("CAPLENGTH = 0x01000040\nHCCPARAMS1 = {parameters:#010x}\nDOORBELLOFF = 0x00002000\n");
        self.write(&format!("{folder}/reg-cap"), text);
    }

    fn plug(&self, descriptors: &[u8], speed: &str) {
        let id = |at: usize| format!("{:02x}{:02x}\n", descriptors[at + 1], descriptors[at]);
        self.link("/sys/bus/usb/devices/1-1", DEVICE);
        for (name, text) in [
            ("idVendor", id(8)),
            ("idProduct", id(10)),
            ("busnum", "1\n".into()),
            ("devnum", "2\n".into()),
            ("speed", format!("{speed}\n")),
            ("serial", "A7\n".into()),
            ("product", "Thing\n".into()),
            ("bConfigurationValue", "1\n".into()),
            ("power/control", "auto\n".into()),
            ("power/runtime_status", "suspended\n".into()),
        ] {
            self.write(&format!("{DEVICE}/{name}"), text);
        }
        self.write(&format!("{DEVICE}/descriptors"), descriptors);
        for interface in 0..descriptors.get(22).copied().unwrap_or(0) {
            let folder = format!("{DEVICE}/1-1:1.{interface}");
            self.write(&format!("{folder}/bInterfaceNumber"), format!("{interface:02x}\n"));
            self.link(&format!("/sys/bus/usb/devices/1-1:1.{interface}"), &folder);
        }
        self.write("/dev/bus/usb/001/002", "");
    }

    fn bind(&self, interface: u8, driver: &str) {
        let drivers = format!("/sys/bus/usb/drivers/{driver}");
        self.link(&format!("{DEVICE}/1-1:1.{interface}/driver"), &drivers);
    }

    fn all(&self) -> Report {
        super::machine(&self.system)
    }

    fn of(&self, address: &str) -> Report {
        super::device(&self.system, &Address::parse(address).unwrap()).unwrap()
    }
}

/// What is said of a topic: of the device, if it is said there.
fn about(report: &Report, topic: Topic) -> &Finding {
    let device = report.devices.first().map(|device| &device.findings[..]).unwrap_or_default();
    let mut findings = device.iter().chain(&report.machine);
    findings.find(|finding| finding.topic == topic).unwrap_or_else(|| panic!("nothing about {topic:?}"))
}

fn of_machine(report: &Report, topic: Topic) -> &Finding {
    report.machine.iter().find(|finding| finding.topic == topic).unwrap()
}

fn said(finding: &Finding, verdict: Verdict, what: &str, remedy: &str) {
    assert_eq!(finding.verdict, verdict, "{finding:?}");
    assert!(finding.what.contains(what), "{finding:?}");
    assert!(finding.remedy.as_deref().unwrap_or_default().contains(remedy), "{finding:?}");
}

#[test]
fn a_healthy_machine() {
    let machine = Machine::healthy();
    for report in
        [machine.all(), machine.of("usb:1-1"), machine.of("usb:46f4:0002"), machine.of("usb:46f4:2:A7")]
    {
        for finding in report.findings() {
            assert_eq!((finding.verdict, &finding.remedy), (Verdict::Ok, &None), "{finding:?}");
        }
        assert_eq!(report.verdict(), Verdict::Ok);
        let [device] = &report.devices[..] else { panic!("{report:?}") };
        assert_eq!(device.device.address, "usb:1-1");
        assert_eq!(device.device.product.as_deref(), Some("Thing"));
        said(of_machine(&report, Topic::System), Verdict::Ok, "Linux 7.3.1-amd64", "");
        said(of_machine(&report, Topic::Bus), Verdict::Ok, "1 device is plugged in, 1 with isochronous", "");
        said(of_machine(&report, Topic::Memory), Verdict::Ok, "16 MiB", "");
        said(of_machine(&report, Topic::Power), Verdict::Ok, "2 s after", "");
        said(about(&report, Topic::RealTime), Verdict::Ok, "priority 95", "");
        said(about(&report, Topic::Processor), Verdict::Ok, "`schedutil`", "");
        said(about(&report, Topic::Node), Verdict::Ok, "/dev/bus/usb/001/002 may be opened", "");
        said(about(&report, Topic::Drivers), Verdict::Ok, "no other driver", "");
        let endpoints = "interface 1, alternate setting 1: 0x01 OUT 192 bytes every 1 ms, 192 kB/s";
        said(about(&report, Topic::Endpoints), Verdict::Ok, endpoints, "");
        // 16 MiB of 192 bytes, 16 for the packet and 64 for its part of a request.
        said(about(&report, Topic::Memory), Verdict::Ok, &holds(16, 8 * 192, 8), "");
        said(about(&report, Topic::Controller), Verdict::Ok, "a stream keeps its frames", "");
        said(about(&report, Topic::Witness), Verdict::Ok, "?witness=registers", "");
        said(
            about(&report, Topic::Power),
            Verdict::Ok,
            "suspended while nobody has it open; now it is suspended",
            "",
        );
    }
    // A device is opened only if it was asked for.
    let about_memory = |report: Report| report.findings().any(|finding| finding.topic == Topic::ZeroCopy);
    assert!(!about_memory(machine.all()));
    said(about(&machine.of("usb:1-1"), Topic::ZeroCopy), Verdict::Ok, "it is copied", "");
}

#[test]
fn no_rights() {
    let mut machine = Machine::healthy();
    machine.system.denied = vec!["/dev/bus/usb", "/dev/usbmon1", "/sys/kernel/debug"];
    machine.limit("0");
    let report = machine.of("usb:1-1");
    assert_eq!(report.verdict(), Verdict::Problem);
    said(
        about(&report, Topic::Node),
        Verdict::Problem,
        "may not be opened",
        "isoch doctor usb:1-1 --print-udev-rule",
    );
    said(about(&report, Topic::Controller), Verdict::Unknown, "only root sees", "remount,mode=755");
    said(about(&report, Topic::Witness), Verdict::Warning, "cannot be read", "as root");
    said(about(&report, Topic::RealTime), Verdict::Warning, "may not run real-time", "limits.d");
    assert!(!report.findings().any(|finding| finding.topic == Topic::ZeroCopy));
    machine.write("/proc/self/status", "CapEff:\t0000000000800000\n");
    said(about(&machine.all(), Topic::RealTime), Verdict::Ok, "CAP_SYS_NICE", "");
    // Every other right does not give this one.
    machine.write("/proc/self/status", "CapEff:\tffffffffff7fffff\n");
    said(about(&machine.all(), Topic::RealTime), Verdict::Warning, "", "");
    machine.controller("uhci_hcd");
    said(
        about(&machine.all(), Topic::Witness),
        Verdict::Warning,
        "usbmon",
        "setfacl -m u:USER:r /dev/usbmon1",
    );
}

#[test]
fn what_only_the_kernel_may_know_is_unknown() {
    let machine = Machine::healthy();
    machine.remove("/sys/kernel/debug");
    let report = machine.all();
    said(about(&report, Topic::Controller), Verdict::Unknown, "which is not there", "mount -t debugfs");
    said(about(&report, Topic::Witness), Verdict::Warning, "is not shown", "mount -t debugfs");
    assert_eq!(report.verdict(), Verdict::Warning);
    machine.remove("/proc");
    said(about(&machine.all(), Topic::RealTime), Verdict::Unknown, "/proc", "mount");
    machine.remove("/sys/module");
    said(about(&machine.all(), Topic::Memory), Verdict::Unknown, "not known", "");
}

#[test]
fn controllers() {
    let machine = Machine::healthy();
    machine.registers(0xffff_f7ff);
    said(
        about(&machine.all(), Topic::Controller),
        Verdict::Warning,
        "does not take the frames",
        "queue deep",
    );
    machine.registers(0x0800);
    machine.write("/proc/sys/kernel/osrelease", "7.2.9\n");
    said(about(&machine.all(), Topic::Controller), Verdict::Warning, "Linux 7.2 may move", "Linux 7.3");
    machine.write("/proc/sys/kernel/osrelease", "7.10-rc1\n");
    said(about(&machine.all(), Topic::Controller), Verdict::Ok, "xHCI", "");
    for driver in ["uhci_hcd", "ohci-pci"] {
        machine.controller(driver);
        let report = machine.all();
        said(about(&report, Topic::Controller), Verdict::Ok, "a stream keeps its frames", "");
        said(about(&report, Topic::Witness), Verdict::Ok, "?witness=usbmon", "");
    }
    machine.remove("/dev/usbmon1");
    said(about(&machine.all(), Topic::Witness), Verdict::Warning, "is not loaded", "modprobe usbmon");
    machine.controller("ehci-pci");
    said(about(&machine.all(), Topic::Controller), Verdict::Ok, "EHCI", "");
    machine.controller("vhci_hcd");
    said(about(&machine.all(), Topic::Controller), Verdict::Unknown, "USB/IP", "");
    machine.controller("dwc2");
    said(about(&machine.all(), Topic::Controller), Verdict::Unknown, "`dwc2`", "");
    machine.remove(&format!("{CONTROLLER}/driver"));
    said(about(&machine.all(), Topic::Controller), Verdict::Unknown, "`?`", "");
}

/// How many milliseconds some MiB hold, in blocks of 8 ms that are so long.
fn holds(megabytes: u64, bytes: usize, packets: usize) -> String {
    let pages = bytes.next_multiple_of(rustix::param::page_size());
    let block = (pages + 128 + 512 + 16 * packets) as u64;
    format!("{megabytes} MiB hold {} ms", (megabytes << 20) / block.div_ceil(8))
}

#[test]
fn memory_for_transfers() {
    let machine = Machine::healthy();
    let limit = |megabytes: &str| machine.write("/sys/module/usbcore/parameters/usbfs_memory_mb", megabytes);
    limit("1\n");
    let report = machine.all();
    said(of_machine(&report, Topic::Memory), Verdict::Warning, "1 MiB", "usbcore.usbfs_memory_mb=64");
    // Of what the speaker takes a MiB is plenty.
    said(about(&report, Topic::Memory), Verdict::Ok, &holds(1, 8 * 192, 8), "");
    machine.plug(CAMERA, "480");
    // 8 × (3072 + 16) bytes in a millisecond, and some.
    let report = machine.all();
    said(about(&report, Topic::Memory), Verdict::Warning, "1 MiB hold 42 ms", "echo 64 >");
    let endpoints = "interface 0, alternate setting 1: 0x81 IN 3072 bytes every 125 µs, 24.6 MB/s";
    said(about(&report, Topic::Endpoints), Verdict::Ok, endpoints, "");
    let mut super_speed = CAMERA.to_vec();
    // The same with a companion: 16 × 3 packets of 1024 bytes.
    super_speed.extend([6, 0x30, 15, 2, 0x00, 0xc0]);
    super_speed[20] += 6;
    super_speed[50] = 0x04;
    machine.plug(&super_speed, "5000");
    let report = machine.all();
    said(about(&report, Topic::Endpoints), Verdict::Ok, "49152 bytes every 125 µs, 393.2 MB/s", "");
    said(about(&report, Topic::Memory), Verdict::Problem, "1 MiB hold 2 ms", "echo 64 >");
    limit("0\n");
    let report = machine.all();
    said(of_machine(&report, Topic::Memory), Verdict::Ok, "no limit", "");
    assert!(!report.devices[0].findings.iter().any(|finding| finding.topic == Topic::Memory));
}

#[test]
fn drivers_and_programs_that_have_it() {
    let machine = Machine::healthy();
    machine.bind(0, "snd-usb-audio");
    machine.bind(1, "snd-usb-audio");
    let what = "the kernel's `snd-usb-audio` has interfaces 0 and 1: claiming one takes";
    said(about(&machine.all(), Topic::Drivers), Verdict::Warning, what, "close first");
    // The control interface alone is of the same function.
    machine.remove(&format!("{DEVICE}/1-1:1.1/driver"));
    said(about(&machine.all(), Topic::Drivers), Verdict::Warning, "has interface 0: ", "");
    machine.bind(1, "usbfs");
    let report = machine.all();
    said(
        about(&report, Topic::Drivers),
        Verdict::Problem,
        "another program has interface 1",
        "fuser -v /dev/bus/usb/001/002",
    );
    assert_eq!(report.verdict(), Verdict::Problem);
}

#[test]
fn no_usb_at_all() {
    let machine = Machine::empty();
    for report in [machine.all(), machine.of("usb:1-1")] {
        assert!(report.devices.is_empty());
        said(about(&report, Topic::Bus), Verdict::Problem, "this kernel has no USB", "virtual:speaker");
        assert!(!report.findings().any(|finding| finding.topic == Topic::Device));
    }
    fs::create_dir_all(machine.system.locate("/sys/bus/usb/devices")).unwrap();
    said(about(&machine.all(), Topic::Bus), Verdict::Ok, "no device is plugged in", "");
    let missing = machine.of("usb:1-1");
    said(
        about(&missing, Topic::Device),
        Verdict::Problem,
        "no device answers to usb:1-1; plugged in: none",
        "isoch list",
    );
}

#[test]
fn a_device_that_is_not_there_or_has_nothing_to_stream_with() {
    let machine = Machine::healthy();
    for address in ["usb:1-2", "usb:46f4:0003", "usb:46f4:0002:B"] {
        let report = machine.of(address);
        assert!(report.devices.is_empty());
        said(
            about(&report, Topic::Device),
            Verdict::Problem,
            "plugged in: usb:1-1 (46f4:0002)",
            "isoch list",
        );
    }
    let address = Address::parse("usb:1").unwrap();
    assert!(matches!(super::device(&machine.system, &address), Err(Error::Address { .. })));

    machine.remove("/dev/bus/usb/001/002");
    said(about(&machine.all(), Topic::Node), Verdict::Problem, "is not there", "container");
    machine.write(&format!("{DEVICE}/power/runtime_status"), "error\n");
    said(about(&machine.all(), Topic::Power), Verdict::Problem, "suspended or resumed", "unplug");
    machine.write(&format!("{DEVICE}/bConfigurationValue"), "\n");
    assert!(machine.all().devices.is_empty());
    said(
        about(&machine.of("usb:1-1"), Topic::Endpoints),
        Verdict::Problem,
        "no configuration",
        "bConfigurationValue",
    );
    machine.write(&format!("{DEVICE}/bConfigurationValue"), "2\n");
    said(about(&machine.of("usb:1-1"), Topic::Endpoints), Verdict::Problem, "no configuration 2", "");

    // Only its first two descriptors.
    let mut bare = SPEAKER[..36].to_vec();
    bare[20] = 18;
    bare[22] = 1;
    machine.plug(&bare, "12");
    assert!(machine.all().devices.is_empty());
    said(about(&machine.all(), Topic::Bus), Verdict::Ok, "1 device is plugged in, 0 with isochronous", "");
    said(
        about(&machine.of("usb:1-1"), Topic::Endpoints),
        Verdict::Warning,
        "no isochronous endpoints",
        "describe",
    );
}

#[test]
fn nonsense_in_files_is_no_reason_to_fall_over() {
    let machine = Machine::healthy();
    for length in 0..SPEAKER.len() {
        machine.write(&format!("{DEVICE}/descriptors"), &SPEAKER[..length]);
        let report = machine.of("usb:1-1");
        said(about(&report, Topic::Endpoints), Verdict::Problem, "descriptors", "");
    }
    let mut wrong = SPEAKER.to_vec();
    // bInterval 0.
    wrong[18 + 9 * 5 + 6] = 0;
    machine.write(&format!("{DEVICE}/descriptors"), wrong);
    said(
        about(&machine.all(), Topic::Endpoints),
        Verdict::Warning,
        "bInterval is 0",
        "descriptors are wrong",
    );
    machine.write(&format!("{DEVICE}/descriptors"), SPEAKER);
    let texts: [&[u8]; 5] = [b"", b"\n", b"-1", b"99999999999999999999", b"\xff\xfe"];
    for path in [
        "/proc/sys/kernel/osrelease",
        "/proc/self/status",
        "/proc/self/limits",
        "/sys/module/usbcore/parameters/usbfs_memory_mb",
        "/sys/module/usbcore/parameters/autosuspend",
        "/sys/kernel/debug/usb/xhci/0000:00:14.0/reg-cap",
        "/sys/devices/pci0000:00/0000:00:14.0/usb1/1-1/speed",
        "/sys/devices/pci0000:00/0000:00:14.0/usb1/1-1/bConfigurationValue",
        "/sys/devices/pci0000:00/0000:00:14.0/usb1/1-1/power/control",
        "/sys/devices/pci0000:00/0000:00:14.0/usb1/1-1/devnum",
        "/sys/devices/pci0000:00/0000:00:14.0/usb1/1-1/busnum",
        "/sys/devices/pci0000:00/0000:00:14.0/usb1/1-1/idVendor",
    ] {
        let sense = machine.system.bytes(path).unwrap();
        for text in texts {
            machine.write(path, text);
            for report in [machine.all(), machine.of("usb:1-1")] {
                assert!(report.findings().count() > 3, "{path}: {text:?}");
            }
        }
        machine.write(path, sense);
    }
}

/// Who asks with the address that a program opens wants to know whether it opens.
#[test]
fn what_an_address_asks_for() {
    let machine = Machine::healthy();
    let of = |parameters: &str| machine.of(&format!("usb:1-1?{parameters}"));
    let is_well = |report: &Report| assert_eq!(report.verdict(), Verdict::Ok, "{report:?}");
    for parameters in
        ["memory=copy", "priority=95", "witness=registers&memory=copy&priority=1", "witness=off"]
    {
        is_well(&of(parameters));
    }
    // A file maps nothing.
    let report = of("memory=mmap");
    said(
        about(&report, Topic::ZeroCopy),
        Verdict::Problem,
        "with `memory=mmap` no block",
        "leave `memory=mmap` out",
    );
    let report = of("priority=96");
    let what = "up to priority 95: with `priority=96` the device does not open";
    said(about(&report, Topic::RealTime), Verdict::Problem, what, "rtprio 96");
    machine.limit("0");
    said(about(&of("priority=1"), Topic::RealTime), Verdict::Problem, "may run no real-time", "rtprio 95");
    machine.write("/proc/self/status", "CapEff:\t0000000000800000\n");
    is_well(&of("priority=99"));
    machine.limit("95");

    said(about(&of("witness=usbmon"), Topic::Witness), Verdict::Ok, "?witness=registers", "");
    assert_eq!(of("witness=usbmon").verdict(), Verdict::Problem, "xHCI");
    machine.remove("/sys/kernel/debug");
    let report = of("witness=registers");
    said(about(&report, Topic::Witness), Verdict::Problem, "the device does not open", "mount -t debugfs");
    said(
        about(&of("memory=copy"), Topic::Witness),
        Verdict::Warning,
        "are estimated",
        "then `?witness=registers`",
    );
    machine.controller("uhci_hcd");
    is_well(&of("witness=usbmon"));
    let report = of("witness=registers");
    assert_eq!(report.verdict(), Verdict::Problem, "UHCI");
    machine.remove("/dev/usbmon1");
    let report = of("witness=usbmon");
    said(
        about(&report, Topic::Witness),
        Verdict::Problem,
        "is not loaded: with `witness=usbmon`",
        "modprobe usbmon",
    );

    for wrong in ["memory=none", "priority=0", "priority=100", "witness=me", "clock=real", "memory"] {
        let address = Address::parse(&format!("usb:1-1?{wrong}"));
        let refused = address.and_then(|address| super::device(&machine.system, &address).map(drop));
        assert!(matches!(refused, Err(Error::Address { .. })), "{wrong}: {refused:?}");
    }
}

#[test]
fn rules() {
    let machine = Machine::healthy();
    let rule = |address: &str| super::udev_rule(&machine.system, &Address::parse(address).unwrap());
    let expected = r#"SUBSYSTEM=="usb", ATTR{idVendor}=="46f4", ATTR{idProduct}=="0002", TAG+="uaccess""#;
    for address in ["usb:1-1", "usb:46f4:2", "usb:46f4:0002:A7"] {
        assert_eq!(rule(address).unwrap().rule, expected);
    }
    // Not plugged in, and named all the same.
    assert!(rule("usb:1235:8214").unwrap().rule.contains("8214"));
    assert!(matches!(rule("usb:1-7"), Err(Error::NotFound { .. })));
    assert!(matches!(rule("usb:x"), Err(Error::Address { .. })));
}

#[test]
fn a_made_up_machine_ends_at_its_root() {
    let machine = Machine::empty();
    symlink("/", machine.folder.path().join("out")).unwrap();
    assert_eq!(machine.system.resolve("/out"), None);
    assert_eq!(machine.system.resolve("/nothing"), None);
    fs::create_dir_all(machine.folder.path().join("in")).unwrap();
    assert_eq!(machine.system.resolve("/in").as_deref(), Some(Path::new("/in")));
}
