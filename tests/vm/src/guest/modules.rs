//! Kernel modules. The image has for each a list of what to load, in order.

use std::ffi::CString;
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::system::{delete_module, finit_module};

/// Where they are in the image.
pub(crate) const FOLDER: &str = "/modules";
/// A driver may have to let go of its devices first.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn load(module: &str) -> Result<(), String> {
    let list = format!("{FOLDER}/{module}.order");
    let order = fs::read_to_string(&list)
        .map_err(|error| format!("the image has no module {module}: does the test name it? ({error})"))?;
    for name in order.lines().filter(|name| !is_loaded(name)) {
        let failed = |error: &dyn std::fmt::Display| format!("cannot load {name}: {error}");
        let file = File::open(format!("{FOLDER}/{name}.ko")).map_err(|error| failed(&error))?;
        match finit_module(&file, c"", 0) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(failed(&error)),
        }
    }
    Ok(())
}

pub(super) fn unload(module: &str) -> Result<(), String> {
    let name = CString::new(module).map_err(|error| error.to_string())?;
    let began = Instant::now();
    loop {
        // Without this flag the kernel may wait for a user for ever.
        let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        match delete_module(&name, flags) {
            Ok(()) => return Ok(()),
            Err(Errno::AGAIN | Errno::BUSY) if began.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => return Err(format!("cannot unload {module}: {error}")),
        }
    }
}

pub(super) fn is_loaded(module: &str) -> bool {
    Path::new("/sys/module").join(module).exists()
}
