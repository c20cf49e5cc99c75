//! The register file of an xHCI controller in debugfs.
//!
//! Why ask for one register's value as text, and not map the controller's memory? Mapping it takes the device
//! away from everybody else's rules; this is a file that anyone may be allowed to read. Its first line is
//! `MFINDEX = 0x…`, the microframe that is now, fetched anew whenever the file is read from its beginning
//! (`drivers/usb/host/xhci-debugfs.c`).

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use isoch_core::Time;
use isoch_core::clock::unwrap::{Counter, CounterUnit};

use super::super::controller::Kind;
use crate::Error;
use crate::clock::{Host, ReadsCounter};

/// Where debugfs is, if it is.
pub(crate) const DEBUGFS: &str = "/sys/kernel/debug";

/// xHCI §5.5.1: MFINDEX counts microframes in 14 bits.
const MFINDEX: Counter = Counter { bits: 14, unit: CounterUnit::Microframes };

/// The registers of a controller.
#[derive(Debug)]
pub(crate) struct Registers {
    file: File,
    path: PathBuf,
}

impl Registers {
    /// Opens those of the controller with this folder in sysfs.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if it is not xHCI; [`Error::System`], with what to do, if debugfs is not there or
    /// may not be read.
    pub(crate) fn open(kind: Kind, controller: &Path) -> Result<Registers, Error> {
        Registers::open_in(Path::new(DEBUGFS), kind, controller)
    }

    fn open_in(debugfs: &Path, kind: Kind, controller: &Path) -> Result<Registers, Error> {
        if kind != Kind::Xhci {
            return Err(Error::Unsupported(format!(
                "only xHCI controllers show their registers, and this one is {}: leave `witness=registers` out, or \
                 try `witness=usbmon`",
                kind.name()
            )));
        }
        let path = folder(debugfs, controller).join("reg-runtime");
        let file = File::open(&path).map_err(|error| refused(debugfs, &path, &error))?;
        Ok(Registers { file, path })
    }
}

impl ReadsCounter for Registers {
    fn counter(&self) -> Counter {
        MFINDEX
    }

    /// Takes some microseconds; never waits. [`Error::System`]: the controller is gone.
    fn read(&self, host: &Host) -> Result<(u32, Time, Time), Error> {
        let failed =
            |reason: String| Error::System { what: format!("reading {}", self.path.display()), reason };
        // The first line; whatever is behind it is not needed.
        let mut text = [0; 64];
        let before = host.now();
        let length = self.file.read_at(&mut text, 0).map_err(|error| failed(error.to_string()))?;
        let after = host.now();
        let text = text.get(..length).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default();
        let value = register(text, "MFINDEX").ok_or_else(|| failed("it shows no MFINDEX".into()))?;
        // The other bits are 0. All are 1 where nobody answers any more.
        if value >> MFINDEX.bits != 0 {
            return Err(failed(format!("MFINDEX is {value:#010x}: the controller does not answer")));
        }
        Ok((value, before, after))
    }
}

/// The folder of a controller's registers: it has the name of the controller's device, as `0000:00:14.0`.
pub(crate) fn folder(debugfs: &Path, controller: &Path) -> PathBuf {
    debugfs.join("usb/xhci").join(controller.file_name().unwrap_or_default())
}

/// The value of a register in one of these files: whole lines, `NAME = 0x…`.
pub(crate) fn register(text: &str, name: &str) -> Option<u32> {
    let mut lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(" = 0x"))?;
    u32::from_str_radix(value, 16).ok()
}

/// Why a file of debugfs could not be opened, and what to do about it.
fn refused(debugfs: &Path, path: &Path, error: &io::Error) -> Error {
    let debugfs = debugfs.display();
    let reason = match error.kind() {
        ErrorKind::NotFound if is_missing(&format!("{debugfs}/usb")) => {
            format!("debugfs is not mounted: `mount -t debugfs none {debugfs}`, as root")
        }
        ErrorKind::NotFound => "the controller's driver shows no registers".into(),
        ErrorKind::PermissionDenied => format!(
            "the controller's registers need rights: run as root, or `mount -o remount,mode=755 {debugfs}`, as \
             root, which lets everybody look into debugfs"
        ),
        _ => error.to_string(),
    };
    Error::System { what: format!("opening {}", path.display()), reason }
}

fn is_missing(path: &str) -> bool {
    std::fs::metadata(path).is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Instant;

    use super::*;

    const CONTROLLER: &str = "/sys/devices/pci0000:00/0000:00:14.0";

    /// A debugfs with one controller in it, which shows `text`.
    fn debugfs(text: &str) -> tempfile::TempDir {
        let debugfs = tempfile::tempdir().unwrap();
        let folder = folder(debugfs.path(), Path::new(CONTROLLER));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("reg-runtime"), text).unwrap();
        debugfs
    }

    fn host() -> Host {
        Host::new(Instant::now(), None)
    }

    #[test]
    fn the_counter_is_read_anew_each_time_and_between_two_times() {
        let debugfs = debugfs("MFINDEX = 0x00000007\nIR0_IMAN = 0x00000002\nIR0_IMOD = 0x000000a0\n");
        let registers = Registers::open_in(debugfs.path(), Kind::Xhci, Path::new(CONTROLLER)).unwrap();
        let host = host();
        let start = host.now();
        let first = registers.read(&host).unwrap();
        let file = folder(debugfs.path(), Path::new(CONTROLLER)).join("reg-runtime");
        fs::write(&file, "MFINDEX = 0x00003fff\n").unwrap();
        let second = registers.read(&host).unwrap();
        assert_eq!((first.0, second.0), (7, 0x3fff));
        let times = [start, first.1, first.2, second.1, second.2, host.now()];
        assert!(times.is_sorted(), "{times:?}");
        for dead in ["ffffffff", "00004000", "ffff7fff"] {
            fs::write(&file, format!("MFINDEX = 0x{dead}\n")).unwrap();
            let error = registers.read(&host).unwrap_err().to_string();
            assert!(error.contains("does not answer") && error.contains(dead), "{error}");
        }
    }

    #[test]
    fn only_whole_lines_with_whole_names_are_registers() {
        let text = "MFINDEX = 0x00001234\nIR0_IMAN = 0x00000002\nHCCPARAMS1 = 0x0a";
        assert_eq!(register(text, "MFINDEX"), Some(0x1234));
        assert_eq!(register(text, "IR0_IMAN"), Some(2));
        // Cut off, a part of a name, not there, no number.
        for name in ["HCCPARAMS1", "MFIND", "IMAN", ""] {
            assert_eq!(register(text, name), None, "{name}");
        }
        for text in ["", "\n", "MFINDEX\n", "MFINDEX = 12\n", "MFINDEX = 0x\n", "MFINDEX = 0x123456789\n"] {
            assert_eq!(register(text, "MFINDEX"), None, "{text:?}");
        }
        let debugfs = debugfs("MFINDEX =");
        let registers = Registers::open_in(debugfs.path(), Kind::Xhci, Path::new(CONTROLLER)).unwrap();
        let error = registers.read(&host()).unwrap_err().to_string();
        assert!(error.contains("it shows no MFINDEX"), "{error}");
    }

    #[test]
    fn what_is_missing_is_said() {
        let debugfs = debugfs("");
        let refusal = |debugfs: &Path, kind, controller: &str| {
            Registers::open_in(debugfs, kind, Path::new(controller)).unwrap_err().to_string()
        };
        let nothing = tempfile::tempdir().unwrap();
        assert!(refusal(nothing.path(), Kind::Xhci, CONTROLLER).contains("mount -t debugfs"));
        assert!(
            refusal(debugfs.path(), Kind::Xhci, "/sys/devices/0000:00:15.0").contains("shows no registers")
        );
        assert!(refusal(debugfs.path(), Kind::Uhci, CONTROLLER).contains("this one is UHCI"));
        // As root no file is out of reach, so this one is only told.
        let denied = io::Error::from(ErrorKind::PermissionDenied);
        let denied = refused(Path::new(DEBUGFS), Path::new("x"), &denied).to_string();
        assert!(denied.contains("run as root, or `mount -o remount,mode=755 /sys/kernel/debug`"), "{denied}");
    }
}
