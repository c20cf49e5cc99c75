//! Debian's packages: what a task needs is installed, and Debian's own cargo is run undisturbed.
//!
//! Why Debian's Rust beside rustup's? It brings the standard library's source for its compiler, so `-Z build-std` makes
//! what rustup would have to download for every target.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{command, output};

/// A package, and a file of it.
pub(crate) type Package = (&'static str, &'static str);

/// Installs what is missing; the error says what that is.
pub(crate) fn install(packages: &[Package]) -> Result<(), String> {
    let missing: Vec<&str> =
        packages.iter().filter(|(_, file)| !Path::new(file).exists()).map(|(package, _)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let missing = missing.join(" ");
    println!("installing {missing}");
    // Without new lists an old package may be asked for; with old ones the installation may still do.
    let _ = update();
    apt(&format!("install --no-install-recommends {missing}"))
        .map(|_| ())
        .map_err(|error| format!("on Debian 12 or later, install as root: {missing}\n{error}"))
}

/// One at a time: tasks may run beside each other, and apt does not wait for lists that another fetches.
fn apt(words: &str) -> Result<String, String> {
    let lock = std::env::temp_dir().join("isoch-apt.lock");
    let mut apt = command("flock", [lock.as_os_str()]);
    apt.args(["apt-get", "-o", "DPkg::Lock::Timeout=600", "-qq", "-y"]);
    apt.args(words.split(' ')).env("DEBIAN_FRONTEND", "noninteractive");
    output(apt)
}

/// Fetches new lists of what there is.
pub(crate) fn update() -> Result<String, String> {
    apt("update")
}

/// The package whose name begins so and that another one needs.
pub(crate) fn needed_by(package: &str, beginning: &str) -> Result<String, String> {
    let said = output(command("apt-cache", ["depends", "--important", package]))?;
    let needed = said.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
    let needed = needed.filter(|name| name.starts_with(beginning)).map(str::to_owned);
    needed.ok_or_else(|| format!("Debian has no package {beginning}* for {package}"))
}

/// Downloads a package and unpacks it without installing it, once. Returns the folder that has its files.
pub(crate) fn unpack(package: &str, into: &Path) -> Result<PathBuf, String> {
    let folder = into.join(package);
    if folder.exists() {
        return Ok(folder);
    }
    output(command("apt-get", ["-qq", "download", package]).current_dir(into))?;
    let is_it = |name: &str| name.starts_with(&format!("{package}_")) && name.ends_with(".deb");
    let names = crate::install::files(into)?;
    let archive =
        names.into_iter().rfind(|name| is_it(name)).ok_or_else(|| format!("no file of {package}"))?;
    // Under its name only when it is complete.
    let part = into.join(format!("{package}.part"));
    let _ = std::fs::remove_dir_all(&part);
    output(command("dpkg", ["-x"]).arg(into.join(&archive)).arg(&part))?;
    std::fs::rename(&part, &folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let _ = std::fs::remove_file(into.join(&archive));
    Ok(folder)
}

/// Debian's cargo, for targets whose standard library it builds. `home` is a folder for what it keeps.
pub(crate) fn cargo(home: &Path) -> Result<Command, String> {
    std::fs::create_dir_all(home).map_err(|error| format!("{}: {error}", home.display()))?;
    share_registry(home);
    let mut cargo = Command::new("/usr/bin/cargo");
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if ["CARGO", "RUST", "RUSTUP"].iter().any(|prefix| name.starts_with(prefix)) {
            cargo.env_remove(name);
        }
    }
    // rustup's programs come first on many machines' PATH, and cargo looks into its home for others of its own.
    cargo
        .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
        .env("CARGO_HOME", home)
        .env("CARGO_INCREMENTAL", "0")
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTC", "/usr/bin/rustc")
        .env("RUSTDOC", "/usr/bin/rustdoc");
    Ok(cargo)
}

/// The crates that the other cargo has downloaded need not be downloaded again.
fn share_registry(home: &Path) {
    let theirs = std::env::var_os("CARGO_HOME")
        .map(Into::into)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    let Some(theirs) = theirs else { return };
    // The file says how this machine reaches its registry.
    for name in ["registry", "config.toml"] {
        let there = theirs.join(name);
        if there.exists() {
            link(&there, &home.join(name));
        }
    }
}

/// It may be there, or the system may have no such links: then cargo does without.
fn link(there: &Path, here: &Path) {
    #[cfg(unix)]
    let _ = std::os::unix::fs::symlink(there, here);
    #[cfg(not(unix))]
    let _ = (there, here);
}
