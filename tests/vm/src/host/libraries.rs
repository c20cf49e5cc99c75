//! The shared libraries that a program needs.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where they are on this system, the dynamic linker among them. None for a static program.
pub(crate) fn of(program: &Path, ours: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |why: &dyn std::fmt::Display| format!("the libraries of {}: {why}", program.display());
    let ldd = Command::new("ldd").arg(program).env("LD_LIBRARY_PATH", ours).output();
    let ldd = ldd.map_err(|error| failed(&error))?;
    if !ldd.status.success() {
        let said = String::from_utf8_lossy(&ldd.stdout).into_owned() + &String::from_utf8_lossy(&ldd.stderr);
        let is_static = said.contains("not a dynamic executable") || said.contains("statically linked");
        return if is_static { Ok(Vec::new()) } else { Err(failed(&said)) };
    }
    let mut found = Vec::new();
    for line in String::from_utf8_lossy(&ldd.stdout).lines() {
        if line.contains("not found") {
            return Err(failed(&line.trim()));
        }
        // `NAME => PATH (ADDRESS)`, and for the dynamic linker `PATH (ADDRESS)`.
        let path = line.split("=>").last().and_then(|rest| rest.split_whitespace().next());
        found.extend(path.filter(|path| path.starts_with('/')).map(PathBuf::from));
    }
    Ok(found)
}
