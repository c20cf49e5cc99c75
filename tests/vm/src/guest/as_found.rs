//! What of the system a test may change: remembered once, and put back after each test, also after one that failed.

use std::fs::{self, Permissions};
use std::io::Result;
use std::os::unix::fs::PermissionsExt;

use super::Speaker;

/// The memory that usbfs allows all programs together, in MiB.
pub(crate) const USBFS_MEMORY: &str = "/sys/module/usbcore/parameters/usbfs_memory_mb";
/// How far a test of the system's sleep goes, and how many seconds it stays there. Not every kernel has them.
pub(crate) const SLEEP_LEVEL: &str = "/sys/power/pm_test";
pub(crate) const SLEEP_DELAY: &str = "/sys/module/suspend/parameters/pm_test_delay";

pub(super) struct AsFound {
    values: Vec<(&'static str, String)>,
    node: Permissions,
}

impl AsFound {
    pub(super) fn remember(speaker: &Speaker) -> Result<AsFound> {
        let read = |name| Some((name, chosen(&fs::read_to_string(name).ok()?)));
        let values = [USBFS_MEMORY, SLEEP_LEVEL, SLEEP_DELAY].into_iter().filter_map(read).collect();
        Ok(AsFound { values, node: fs::metadata(speaker.node())?.permissions() })
    }

    pub(super) fn restore(&self, speaker: &Speaker) -> Result<()> {
        for (name, value) in &self.values {
            if chosen(&fs::read_to_string(name)?) != *value {
                fs::write(name, value)?;
            }
        }
        if fs::metadata(speaker.node())?.permissions().mode() != self.node.mode() {
            fs::set_permissions(speaker.node(), self.node.clone())?;
        }
        Ok(())
    }
}

/// Of several values that there are, the kernel shows the one that holds in brackets.
fn chosen(text: &str) -> String {
    let word = text.split_once('[').and_then(|(_, rest)| Some(rest.split_once(']')?.0));
    word.unwrap_or(text).trim().to_owned()
}
