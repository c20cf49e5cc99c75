//! The kernel, unpacked.
//!
//! Why not boot the file as Debian has it? It would unpack itself in the emulated machine, which takes longer than
//! everything after it. QEMU also starts the ELF file that is inside.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Sectors of the boot code less one (Documentation/x86/boot.rst), and where the compressed part is behind it.
const SETUP_SECTORS: usize = 0x1f1;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;
const SECTOR: usize = 512;
const XZ: &[u8] = b"\xfd7zXZ\0";

/// The kernel of an unpacked package, in a form that QEMU starts quickly.
pub(crate) fn prepare(package: &Path, work: &Path) -> Result<PathBuf, String> {
    let packed = packed(&package.join("boot"))?;
    let unpacked = work.join("vmlinux");
    let file = std::fs::read(&packed).map_err(|error| format!("{}: {error}", packed.display()))?;
    match payload(&file) {
        Some(payload) if payload.starts_with(XZ) => unxz(payload, &unpacked).map(|()| unpacked),
        // Another packer, or another format: slower, but as good.
        _ => Ok(packed),
    }
}

fn packed(folder: &Path) -> Result<PathBuf, String> {
    let entries = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    let found =
        paths.find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz")));
    found.ok_or_else(|| format!("there is no kernel in {}", folder.display()))
}

/// The compressed part, without the length that stands behind it.
fn payload(file: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| Some(u32::from_le_bytes(file.get(at..at + 4)?.try_into().ok()?) as usize);
    let code = (usize::from(*file.get(SETUP_SECTORS)?) + 1) * SECTOR;
    let begin = code + word(PAYLOAD_OFFSET)?;
    let end = begin.checked_add(word(PAYLOAD_LENGTH)?)?.checked_sub(4)?;
    file.get(begin..end)
}

fn unxz(payload: &[u8], to: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot unpack the kernel: {error}");
    let source = to.with_extension("xz");
    std::fs::write(&source, payload).map_err(failed)?;
    let file = std::fs::File::create(to).map_err(failed)?;
    let mut xz = Command::new("xz");
    let status = xz.args(["-dc"]).arg(&source).stdin(Stdio::null()).stdout(file).status().map_err(failed)?;
    let _ = std::fs::remove_file(&source);
    if status.success() { Ok(()) } else { Err(format!("cannot unpack the kernel: xz ended with {status}")) }
}
