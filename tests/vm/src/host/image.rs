//! What the guest boots: the kernel, and an initramfs with this program as `/init`.

use std::path::{Path, PathBuf};

use super::cpio::Archive;
use super::kernel;
use super::libraries;
use super::modules::Modules;
use crate::guest::MODULES;
use crate::test::Controller;
use crate::tests::TESTS;

/// Where things come from.
pub(crate) struct Sources<'a> {
    /// A kernel package, unpacked.
    pub(crate) kernel: &'a Path,
    /// The project's programs.
    pub(crate) programs: &'a Path,
    /// The project's shared libraries.
    pub(crate) libraries: &'a Path,
}

pub(crate) struct Image {
    pub(crate) kernel: PathBuf,
    pub(crate) initramfs: PathBuf,
}

/// The kernel's modules that every test needs: the way to the host, the USB stack, its witness, the controllers.
const COMMON: &[&str] = &["virtio_pci", "virtio_console", "usbcore", "usbmon"];

/// One image for all tests: what they need is small.
pub(crate) fn make(sources: &Sources<'_>, work: &Path) -> Result<Image, String> {
    let mut archive = Archive::default();
    ["/proc", "/sys", "/dev", "/tmp", "/run"].iter().for_each(|folder| archive.folder(folder));
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    program(&mut archive, &this, "/init", sources)?;
    program(&mut archive, Path::new("/bin/busybox"), "/bin/busybox", sources)?;
    archive.file("/etc/passwd", b"root:x:0:0::/:/bin/sh\nsomebody:x:1000:1000::/:/bin/sh\n");
    archive.file("/etc/group", b"root:x:0:\naudio:x:29:root\nsomebody:x:1000:\n");

    let wanted = TESTS.iter().flat_map(|(_, test)| test.programs);
    for name in wanted {
        let ours = sources.programs.join(name);
        let system = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"].map(|folder| Path::new(folder).join(name));
        let found = std::iter::once(ours).chain(system).find(|path| path.exists());
        let found = found.ok_or_else(|| format!("there is no program {name}"))?;
        program(&mut archive, &found, &format!("/bin/{name}"), sources)?;
    }
    for path in TESTS.iter().flat_map(|(_, test)| test.files) {
        copy(&mut archive, Path::new(path))?;
    }
    modules(&mut archive, sources)?;

    let kernel = kernel::prepare(sources.kernel, work)?;
    let initramfs = work.join("initramfs");
    std::fs::write(&initramfs, archive.finish())
        .map_err(|error| format!("{}: {error}", initramfs.display()))?;
    Ok(Image { kernel, initramfs })
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn program(archive: &mut Archive, from: &Path, to: &str, sources: &Sources<'_>) -> Result<(), String> {
    if archive.has(to) {
        return Ok(());
    }
    archive.file(to, &read(from)?);
    for library in libraries::of(from, sources.libraries)? {
        // Ours are where the linker looks without being told.
        let there = match library.strip_prefix(sources.libraries) {
            Ok(name) => Path::new("/lib").join(name),
            Err(_) => library.clone(),
        };
        archive.file(&there.to_string_lossy(), &read(&library)?);
    }
    Ok(())
}

/// A file, or a folder with all in it, to where it is here.
fn copy(archive: &mut Archive, path: &Path) -> Result<(), String> {
    if !path.is_dir() {
        archive.file(&path.to_string_lossy(), &read(path)?);
        return Ok(());
    }
    let entries = std::fs::read_dir(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    paths.sort();
    paths.iter().try_for_each(|path| copy(archive, path))
}

/// The modules, and for each that is wanted a file with the names of what to load.
fn modules(archive: &mut Archive, sources: &Sources<'_>) -> Result<(), String> {
    let modules = Modules::read(sources.kernel)?;
    let controllers = Controller::ALL.map(Controller::module);
    let of_tests = TESTS.iter().flat_map(|(_, test)| test.modules);
    for module in COMMON.iter().chain(&controllers).chain(of_tests) {
        let mut order = String::new();
        for (name, file) in modules.in_order(module)? {
            archive.file(&format!("{MODULES}/{name}.ko"), &read(&file)?);
            order += &name;
            order.push('\n');
        }
        archive.file(&format!("{MODULES}/{module}.order"), order.as_bytes());
    }
    Ok(())
}
