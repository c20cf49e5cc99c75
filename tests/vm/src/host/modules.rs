//! Kernel modules and what they need.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The modules of an unpacked kernel package.
pub(crate) struct Modules {
    folder: PathBuf,
    /// By name: the file, and the files that it needs.
    files: BTreeMap<String, (String, Vec<String>)>,
}

/// With underscores, as the kernel calls it: files have dashes at times.
fn name(file: &str) -> String {
    let file = file.rsplit('/').next().unwrap_or(file);
    file.split('.').next().unwrap_or(file).replace('-', "_")
}

impl Modules {
    /// `kernel` is where the package was unpacked.
    pub(crate) fn read(kernel: &Path) -> Result<Modules, String> {
        let all = kernel.join("lib/modules");
        let entries = std::fs::read_dir(&all).map_err(|error| format!("{}: {error}", all.display()))?;
        let folder = entries.filter_map(Result::ok).map(|entry| entry.path()).next();
        let folder = folder.ok_or_else(|| format!("there are no modules in {}", all.display()))?;
        let release = folder.file_name().unwrap_or_default();
        let list = folder.join("modules.dep");
        if !list.exists() {
            let mut depmod = Command::new("/sbin/depmod");
            depmod.arg("--basedir").arg(kernel).arg(release);
            let output = depmod.output().map_err(|error| format!("depmod: {error}"))?;
            if !output.status.success() {
                return Err(format!("depmod: {}", String::from_utf8_lossy(&output.stderr).trim()));
            }
        }
        let text = std::fs::read_to_string(&list).map_err(|error| format!("{}: {error}", list.display()))?;
        let files = text.lines().filter_map(|line| line.split_once(':')).map(|(file, needs)| {
            let needs = needs.split_whitespace().map(str::to_owned).collect();
            (name(file), (file.to_owned(), needs))
        });
        Ok(Modules { files: files.collect(), folder })
    }

    /// The files of a module and of what it needs, in the order in which they are loaded.
    pub(crate) fn in_order(&self, module: &str) -> Result<Vec<(String, PathBuf)>, String> {
        let (file, needs) =
            self.files.get(module).ok_or_else(|| format!("the kernel has no module {module}"))?;
        // modules.dep names what is needed first last.
        let order = needs.iter().rev().chain([file]);
        Ok(order.map(|file| (name(file), self.folder.join(file))).collect())
    }
}
