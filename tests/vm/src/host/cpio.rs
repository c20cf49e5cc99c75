//! An initramfs: a cpio archive as the kernel reads it ("newc": Documentation/driver-api/early-userspace/buffer-format.rst).
//!
//! Why not the program cpio? It packs what lies in a folder, so that everything would have to be copied there first.
//! And why not compressed? Unpacking it in an emulated machine takes longer than reading it.

use std::collections::BTreeSet;
use std::path::Path;

#[derive(Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
    names: BTreeSet<String>,
}

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;

impl Archive {
    /// A folder, and all that it is in. Absolute, as in the guest.
    pub(crate) fn folder(&mut self, path: &str) {
        if let Some(parent) = Path::new(path).parent().and_then(Path::to_str).filter(|parent| *parent != "/")
        {
            self.folder(parent);
        }
        if path != "/" && self.names.insert(path.to_owned()) {
            self.entry(path, FOLDER, &[]);
        }
    }

    /// A file that everybody may read and execute. Of two of the same name the first stays.
    pub(crate) fn file(&mut self, path: &str, content: &[u8]) {
        if let Some(parent) = Path::new(path).parent().and_then(Path::to_str) {
            self.folder(parent);
        }
        if self.names.insert(path.to_owned()) {
            self.entry(path, PROGRAM, content);
        }
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        self.names.contains(path)
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entry("/TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) {
        let name = path.trim_start_matches('/');
        self.entries += 1;
        let (length, name_length) = (content.len() as u32, name.len() as u32 + 1);
        // Number, mode, owner, group, links, time, length, the device it is on, the device it is, the name's length, sum.
        let fields = [self.entries, mode, 0, 0, 1, 0, length, 0, 0, 0, 0, name_length, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}
