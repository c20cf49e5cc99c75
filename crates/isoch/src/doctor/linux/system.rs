//! What the kernel shows of itself: sysfs, procfs, debugfs and device nodes.
//!
//! Why through one type with a root? So that every finding can be tested on a made-up machine in a folder:
//! nothing else here reads a file. Paths are always those of a real machine.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use rustix::fs::Access;

/// A machine, as its files show it.
#[derive(Clone, Debug)]
pub(in crate::doctor) struct System {
    root: PathBuf,
    /// What may not be touched. Of a real machine its own rights say that; of a made-up one they cannot, because
    /// root may do everything.
    #[cfg(test)]
    pub(super) denied: Vec<&'static str>,
}

/// Whether a file may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    Granted,
    Denied,
    /// It is not there.
    Missing,
}

impl System {
    /// This machine.
    pub(in crate::doctor) fn real() -> System {
        System::at(Path::new("/"))
    }

    /// One whose `/` is a folder.
    pub(super) fn at(root: &Path) -> System {
        System {
            root: root.to_owned(),
            #[cfg(test)]
            denied: Vec::new(),
        }
    }

    /// Where a path of the machine really is.
    pub(super) fn locate(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    pub(super) fn exists(&self, path: impl AsRef<Path>) -> bool {
        self.locate(path).exists()
    }

    /// A file's bytes.
    pub(super) fn bytes(&self, path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
        self.check(path.as_ref())?;
        fs::read(self.locate(path))
    }

    /// A file's text, without white space around it.
    pub(super) fn text(&self, path: impl AsRef<Path>) -> io::Result<String> {
        Ok(String::from_utf8_lossy(&self.bytes(path)?).trim().to_owned())
    }

    /// A file's text, if there is any.
    pub(super) fn words(&self, path: impl AsRef<Path>) -> Option<String> {
        self.text(path).ok().filter(|text| !text.is_empty())
    }

    pub(super) fn number<N: FromStr>(&self, path: impl AsRef<Path>) -> Option<N> {
        self.text(path).ok()?.parse().ok()
    }

    /// The same of digits that are hexadecimal.
    pub(super) fn hexadecimal(&self, path: impl AsRef<Path>) -> Option<u16> {
        crate::text::hexadecimal(&self.text(path).ok()?)
    }

    /// The names in a folder, in order; none if it is not there.
    pub(super) fn names(&self, path: impl AsRef<Path>) -> Vec<String> {
        let entries = fs::read_dir(self.locate(path)).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// A path without links in it.
    pub(super) fn resolve(&self, path: impl AsRef<Path>) -> Option<PathBuf> {
        let (root, found) = (self.root.canonicalize().ok()?, self.locate(path).canonicalize().ok()?);
        Some(Path::new("/").join(found.strip_prefix(root).ok()?))
    }

    /// The last name in what a link points to.
    pub(super) fn link(&self, path: impl AsRef<Path>) -> Option<String> {
        let target = fs::read_link(self.locate(path)).ok()?;
        match target.components().next_back()? {
            Component::Normal(name) => Some(name.to_str()?.to_owned()),
            _ => None,
        }
    }

    /// Whether a file may be read, and written to. Asked for, not tried: opening a device node wakes the device.
    pub(super) fn right(&self, path: impl AsRef<Path>, write: bool) -> Right {
        let wanted = if write { Access::READ_OK | Access::WRITE_OK } else { Access::READ_OK };
        let path = path.as_ref();
        let asked = self.check(path).and_then(|()| Ok(rustix::fs::access(self.locate(path), wanted)?));
        match asked.map_err(|error| error.kind()) {
            Ok(()) => Right::Granted,
            Err(ErrorKind::NotFound) => Right::Missing,
            Err(_) => Right::Denied,
        }
    }

    fn check(&self, _path: &Path) -> io::Result<()> {
        #[cfg(test)]
        if self.denied.iter().any(|denied| _path.starts_with(denied)) {
            return Err(ErrorKind::PermissionDenied.into());
        }
        Ok(())
    }
}
