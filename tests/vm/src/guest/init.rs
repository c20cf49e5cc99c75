//! What every system does first and last.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::mount::MountFlags;
use rustix::system::{RebootCommand, reboot};

use crate::test::Outcome;

fn mount_one(what: &str, at: &str) -> std::io::Result<()> {
    fs::create_dir_all(at)?;
    Ok(rustix::mount::mount(what, at, what, MountFlags::empty(), None)?)
}

pub(super) fn mount() -> Outcome {
    for (what, at) in [("proc", "/proc"), ("sysfs", "/sys"), ("tmpfs", "/tmp"), ("tmpfs", "/run")] {
        mount_one(what, at)?;
    }
    // The kernel may have done it.
    let _ = mount_one("devtmpfs", "/dev");
    mount_one("debugfs", "/sys/kernel/debug")?;
    Ok(())
}

/// Becomes a shell with everything that busybox has.
pub(super) fn shell() -> Outcome {
    Command::new("/bin/busybox").args(["--install", "-s", "/bin"]).status()?;
    Err(Command::new("/bin/busybox").args(["setsid", "cttyhack", "sh"]).env("PATH", "/bin").exec().into())
}

pub(super) fn power_off() {
    if let Err(error) = reboot(RebootCommand::PowerOff) {
        println!("agent: cannot power off: {error}");
    }
}
