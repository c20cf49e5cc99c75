//! `cargo xtask install --prefix DIR [--debug]`: the C libraries with their headers and pages, and the command.
//!
//! Why not what cargo builds, as it is? Its static archives hold Rust's standard library in the open: two of them
//! in one program collide, and a program could come to depend on what is in them. And its shared libraries have
//! neither a soname nor versions. So each archive becomes one object whose only global symbols are those of its
//! version script, and the shared library is linked from that, with the script.
//!
//! This is for Linux with the GNU tools. On Windows a program needs no more than winusb.dll; for macOS there is no
//! such thing as a version script, and it has not been done.

mod archive;
mod manual;

use std::fs;
use std::path::{Path, PathBuf};

use crate::process::{command, output};
use archive::Library;
pub(crate) use archive::exported;

/// What the version of the shared libraries begins with: it changes when programs must be built anew.
const ABI: &str = "1";
/// What a static link needs besides; the compiler adds libc and what unwinds.
const LIBRARIES: &str = "-lpthread -ldl -lm";

/// The task.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let usage = "usage: cargo xtask install --prefix DIR [--debug]";
    let (mut prefix, mut debug) = (None, false);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--prefix" => prefix = Some(arguments.next().ok_or(usage)?),
            "--debug" => debug = true,
            _ => return Err(usage.into()),
        }
    }
    let prefix = Path::new(prefix.ok_or(usage)?);
    install(prefix, debug)?;
    println!("installed in {}", prefix.display());
    Ok(())
}

/// Builds everything and puts it where it belongs.
pub(crate) fn install(prefix: &Path, debug: bool) -> Result<(), String> {
    if !cfg!(target_os = "linux") {
        return Err(
            "this is for Linux: on Windows `cargo build -p winusb-abi` makes winusb.dll, which is all".into(),
        );
    }
    let root = root();
    let built = build(&root, debug)?;
    let folder = |name: &str| make(&prefix.join(name));
    let lib = folder("lib")?;
    let winusb = Library {
        name: "winusb",
        map: root.join("crates/winusb-abi/winusb.map"),
        built: find(&built, "libwinusb.a")?,
        needs: None,
    };
    let compat = Library {
        name: "winusb-compat",
        map: root.join("crates/winusb-compat/winusb-compat.map"),
        built: find(&built, "libwinusb_compat.a")?,
        needs: Some("winusb"),
    };
    for library in [&winusb, &compat] {
        library.install(&lib)?;
    }
    copy(&find(&built, "isoch")?, &folder("bin")?.join("isoch"))?;
    headers(&root.join("crates/winusb-abi/include/winusb"), &folder("include/winusb")?)?;
    headers(&root.join("crates/winusb-compat/include/winusb-compat"), &folder("include/winusb-compat")?)?;
    for (folder, name, spellings) in SPELLINGS {
        for spelling in *spellings {
            // Not a link: clang warns of those.
            let text = format!("#include <{name}>\n");
            write(&prefix.join("include").join(folder).join(spelling), &text)?;
        }
    }
    let version = env!("CARGO_PKG_VERSION");
    for (template, name) in [
        ("crates/winusb-abi/pkgconfig/winusb.pc.in", "winusb.pc"),
        ("crates/winusb-compat/pkgconfig/winusb-compat.pc.in", "winusb-compat.pc"),
    ] {
        let text =
            read(&root.join(template))?.replace("@VERSION@", version).replace("@LIBRARIES@", LIBRARIES);
        write(&folder("lib/pkgconfig")?.join(name), &text)?;
    }
    manual::install(&root, &folder("share/man/man3")?)?;
    let pages = [prefix.join("bin/isoch").into_os_string(), "man".into(), folder("share/man/man1")?.into()];
    output(command(&pages[0], &pages[1..])).map(drop)
}

/// How programs for Windows, where case is the same, write the headers' names.
const SPELLINGS: &[(&str, &str, &[&str])] = &[
    ("winusb", "winusb.h", &["WinUsb.h", "Winusb.h", "WinUSB.h"]),
    ("winusb", "winusbio.h", &["WinUsbIo.h", "Winusbio.h"]),
    ("winusb", "usb.h", &["Usb.h"]),
    ("winusb", "usb100.h", &["Usb100.h"]),
    ("winusb", "usbspec.h", &["Usbspec.h", "USBSpec.h"]),
    ("winusb-compat", "windows.h", &["Windows.h"]),
    ("winusb-compat", "setupapi.h", &["Setupapi.h", "SetupAPI.h", "SetupApi.h"]),
    ("winusb-compat", "cfgmgr32.h", &["Cfgmgr32.h", "CfgMgr32.h"]),
    ("winusb-compat", "initguid.h", &["Initguid.h", "InitGuid.h"]),
    ("winusb-compat", "strsafe.h", &["Strsafe.h", "StrSafe.h"]),
];

/// The repository.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Lets cargo build, and returns the files that it made.
fn build(root: &Path, debug: bool) -> Result<Vec<PathBuf>, String> {
    let mut arguments = vec!["build", "--message-format=json-render-diagnostics"];
    for package in ["winusb-abi", "winusb-compat", "isoch-cli"] {
        arguments.extend(["--package", package]);
    }
    if !debug {
        arguments.push("--release");
    }
    let mut cargo = command(std::env::var_os("CARGO").unwrap_or("cargo".into()), arguments);
    cargo.current_dir(root).stderr(std::process::Stdio::inherit());
    let messages = output(cargo)?;
    let mut files = Vec::new();
    for message in messages.lines() {
        let message: serde_json::Value = serde_json::from_str(message).map_err(|error| error.to_string())?;
        let named = message["filenames"].as_array().into_iter().flatten();
        files.extend(named.filter_map(|name| name.as_str()).map(PathBuf::from));
    }
    Ok(files)
}

fn find(built: &[PathBuf], name: &str) -> Result<PathBuf, String> {
    let found = built.iter().find(|path| path.file_name().is_some_and(|file| file == name));
    found.cloned().ok_or_else(|| format!("cargo did not build {name}"))
}

fn headers(from: &Path, to: &Path) -> Result<(), String> {
    for name in files(from)? {
        copy(&from.join(&name), &to.join(&name))?;
    }
    Ok(())
}

/// The names in a folder, sorted.
pub(crate) fn files(folder: &Path) -> Result<Vec<String>, String> {
    let failed = |error| format!("{}: {error}", folder.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        names.push(entry.map_err(failed)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

pub(crate) fn make(folder: &Path) -> Result<PathBuf, String> {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder.to_owned())
}

pub(crate) fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// A new file, also where the old one is being executed.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let _ = fs::remove_file(to);
    fs::copy(from, to).map(drop).map_err(|error| format!("{} to {}: {error}", from.display(), to.display()))
}
