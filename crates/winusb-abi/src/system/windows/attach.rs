//! What happens when the DLL is loaded: the paths appear that a program can open.
//!
//! Why so early? A program calls CreateFile before any function of WinUSB's. Why not in DllMain? A function of that name
//! would be exported, and be taken for its own by every DLL that is linked with this one.
#![allow(unsafe_code)]

use super::{imports, kernel, pipe};

/// The path under which a program finds the device.
const PATH: &str = "ISOCH_DEVICE_PATH";
const DEFAULT_PATH: &str = r"\\.\isoch";

#[used]
// SAFETY: the C runtime calls the functions whose addresses are in this section, on both tool chains.
#[unsafe(link_section = ".CRT$XCU")]
static ATTACH: extern "C" fn() = attach;

/// Runs with the loader's lock held: nothing here may load a DLL or wait for a thread.
extern "C" fn attach() {
    imports::stay();
    pipe::offer();
    let path =
        std::env::var(PATH).ok().filter(|path| !path.is_empty()).unwrap_or_else(|| DEFAULT_PATH.to_owned());
    // `\\.\NAME` and `\\?\NAME` are NAME in the system's directory of devices.
    if let Some(name) = path.strip_prefix(r"\\.\").or_else(|| path.strip_prefix(r"\\?\")) {
        // If the name is taken, by another process or a real device, it leads there: WinUsb_Initialize will tell.
        kernel::link(&format!(r"\??\{name}"), &format!(r"\Device\NamedPipe\{}", pipe::name()));
    }
}
