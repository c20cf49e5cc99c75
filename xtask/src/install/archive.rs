//! From cargo's static archive to a clean one, and to a shared library with versions.

use std::fs;
use std::path::{Path, PathBuf};

use super::{ABI, read};
use crate::process::{command, output};

/// A library to be installed.
pub(crate) struct Library {
    /// Without `lib` and what follows.
    pub(crate) name: &'static str,
    /// Its version script: the list of what it exports.
    pub(crate) map: PathBuf,
    /// Cargo's archive.
    pub(crate) built: PathBuf,
    /// Another one that it calls.
    pub(crate) needs: Option<&'static str>,
}

impl Library {
    pub(crate) fn install(&self, lib: &Path) -> Result<(), String> {
        let object = lib.join(format!("{}.o", self.name));
        let made = self
            .object(&object)
            .and_then(|()| self.archive(&object, lib))
            .and_then(|()| self.shared(&object, lib));
        let _ = fs::remove_file(&object);
        made
    }

    /// One object with everything that the exported functions use, and no other global symbol than these.
    fn object(&self, object: &Path) -> Result<(), String> {
        let exported = exported(&self.map)?;
        let mut ld = command("ld", ["-r", "--gc-sections", "--force-group-allocation"]);
        // What is required pulls in the rest; and if one is missing the link fails.
        ld.args(exported.iter().map(|name| format!("--require-defined={name}")));
        output(with(ld, [self.built.as_path(), Path::new("-o"), object]))?;
        let mut objcopy = command("objcopy", ["--strip-debug"]);
        // Bitcode of the standard library, which other compilers' linkers trip over.
        objcopy.args(["--remove-section=.llvmbc", "--remove-section=.llvmcmd"]);
        objcopy.args(exported.iter().map(|name| format!("--keep-global-symbol={name}")));
        output(with(objcopy, [object])).map(drop)
    }

    fn archive(&self, object: &Path, lib: &Path) -> Result<(), String> {
        let archive = lib.join(format!("lib{}.a", self.name));
        let _ = fs::remove_file(&archive);
        output(with(command("ar", ["rcs"]), [archive.as_path(), object])).map(drop)
    }

    fn shared(&self, object: &Path, lib: &Path) -> Result<(), String> {
        let soname = format!("lib{}.so.{ABI}", self.name);
        let file = format!("{soname}.0");
        let mut cc = command("cc", ["-shared", "-Wl,--no-undefined,--gc-sections,-z,relro,-z,now"]);
        cc.arg(format!("-Wl,-soname,{soname},--version-script={}", self.map.display()));
        cc.arg("-o").args([lib.join(&file).as_path(), object]);
        if let Some(needed) = self.needs {
            cc.arg("-L").arg(lib).arg(format!("-l{needed}"));
        }
        output(with(cc, super::LIBRARIES.split(' ')))?;
        link(&file, &lib.join(&soname))?;
        link(&soname, &lib.join(format!("lib{}.so", self.name)))
    }
}

fn with<A: AsRef<std::ffi::OsStr>>(
    mut command: std::process::Command,
    more: impl IntoIterator<Item = A>,
) -> std::process::Command {
    command.args(more);
    command
}

/// What a version script makes global.
pub(crate) fn exported(map: &Path) -> Result<Vec<String>, String> {
    let text = read(map)?;
    let global = text.split_once("global:").and_then(|(_, rest)| rest.split_once("local:"));
    let (names, _) = global.ok_or_else(|| format!("{}: no global: … local:", map.display()))?;
    Ok(names.split(';').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect())
}

#[cfg(unix)]
fn link(target: &str, link: &Path) -> Result<(), String> {
    let _ = fs::remove_file(link);
    std::os::unix::fs::symlink(target, link).map_err(|error| format!("{}: {error}", link.display()))
}

#[cfg(not(unix))]
fn link(_: &str, link: &Path) -> Result<(), String> {
    Err(format!("{}: no links here", link.display()))
}
