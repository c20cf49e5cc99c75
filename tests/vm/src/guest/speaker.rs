//! QEMU's speaker, as the guest's sysfs has it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const VENDOR: u16 = 0x46f4;
const PRODUCT: u16 = 0x0002;

/// Where it takes its samples: in alternate setting 1 of interface 1.
pub(crate) const ENDPOINT: u8 = 0x01;

const DEVICES: &str = "/sys/bus/usb/devices";
/// The kernel takes some 100 ms for a new device.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where it is plugged in now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Speaker {
    pub(crate) bus: u16,
    pub(crate) device: u8,
    /// Its folder in sysfs.
    pub(crate) folder: PathBuf,
}

impl Speaker {
    pub(crate) fn find() -> Option<Speaker> {
        let folders = fs::read_dir(DEVICES).ok()?.filter_map(Result::ok).map(|entry| entry.path());
        folders.filter_map(|folder| Speaker::at(&folder)).next()
    }

    /// Waits until the kernel has configured it.
    pub(crate) fn wait() -> Result<Speaker, String> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            match Speaker::find() {
                Some(speaker)
                    if speaker.folder.join("bConfigurationValue").exists() && speaker.is_configured() =>
                {
                    return Ok(speaker);
                }
                _ => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        Err("the speaker is not there".into())
    }

    /// Waits until these interfaces have a driver.
    pub(crate) fn wait_for_driver(&self, driver: &str, interfaces: &[u8]) -> Result<(), String> {
        let began = Instant::now();
        while !interfaces.iter().all(|interface| self.driver(*interface).as_deref() == Some(driver)) {
            if began.elapsed() > PATIENCE {
                let drivers: Vec<_> = interfaces.iter().map(|interface| self.driver(*interface)).collect();
                return Err(format!("the interfaces have {drivers:?}, not {driver}"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Waits until it is not there any more.
    pub(crate) fn wait_gone() -> Result<(), String> {
        let began = Instant::now();
        while Speaker::find().is_some() {
            if began.elapsed() > PATIENCE {
                return Err("the speaker is still there".into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Its device node.
    pub(crate) fn node(&self) -> PathBuf {
        format!("/dev/bus/usb/{:03}/{:03}", self.bus, self.device).into()
    }

    /// The driver that has one of its interfaces.
    pub(crate) fn driver(&self, interface: u8) -> Option<String> {
        let name = self.folder.file_name()?.to_string_lossy().into_owned();
        let link = fs::read_link(format!("{DEVICES}/{name}:1.{interface}/driver")).ok()?;
        Some(link.file_name()?.to_string_lossy().into_owned())
    }

    fn is_configured(&self) -> bool {
        let name = self.folder.file_name().unwrap_or_default().to_string_lossy();
        self.node().exists() && Path::new(&format!("{DEVICES}/{name}:1.1/bInterfaceNumber")).exists()
    }

    fn at(folder: &Path) -> Option<Speaker> {
        let read = |name: &str| Some(fs::read_to_string(folder.join(name)).ok()?.trim().to_owned());
        let hex = |name: &str| u16::from_str_radix(&read(name)?, 16).ok();
        if (hex("idVendor"), hex("idProduct")) != (Some(VENDOR), Some(PRODUCT)) {
            return None;
        }
        Some(Speaker {
            bus: read("busnum")?.parse().ok()?,
            device: read("devnum")?.parse().ok()?,
            folder: folder.to_owned(),
        })
    }
}
