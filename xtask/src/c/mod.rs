//! `cargo xtask c [--long]`: installs into target/c/prefix, then builds and runs the C programs.
//!
//! Why not a test of cargo's? What is tested here is what a C programmer meets: an installed prefix, headers alone,
//! pkg-config, two compilers, C and C++, shared and static. That takes tools: what is missing and cannot be installed
//! is skipped, and says why.

mod libraries;
mod programs;
mod report;
pub(crate) mod toolchain;

use std::path::Path;

use crate::debian::{self, Package};
use crate::install::{files, install, make, root};
use report::Report;
use toolchain::{COMPILERS, Toolchain};

const PACKAGES: &[Package] = &[
    ("g++", "/usr/bin/g++"),
    ("clang", "/usr/bin/clang"),
    // The headers for 32 bits.
    ("gcc-multilib", "/usr/include/gnu/stubs-32.h"),
    ("gcc-mingw-w64-x86-64-win32", "/usr/bin/x86_64-w64-mingw32-gcc"),
    ("pkg-config", "/usr/bin/pkg-config"),
    ("valgrind", "/usr/bin/valgrind"),
    ("groff-base", "/usr/bin/groff"),
];

/// The task.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let long = match arguments {
        [] => false,
        [one] if one == "--long" => true,
        _ => return Err("usage: cargo xtask c [--long]".into()),
    };
    if let Err(missing) = debian::install(PACKAGES) {
        println!("not installed: {missing}");
    }
    let folder = make(&root().join("target/c"))?;
    let prefix = folder.join("prefix");
    let mut report = Report::default();
    let installed = install(&prefix, false);
    if let Err(error) = installed {
        report.fail("install", &error);
        return report.finish();
    }
    report.pass("install");
    libraries::check(&prefix, &mut report);
    headers(&prefix, &folder, &mut report)?;
    programs::check(&prefix, &folder, long, &mut report)?;
    report.finish()
}

/// Every header compiles alone, as every language, with every warning; every layout is Windows'.
fn headers(prefix: &Path, folder: &Path, report: &mut Report) -> Result<(), String> {
    // A file has to declare something.
    let empty = folder.join("empty.c");
    std::fs::write(&empty, "extern int empty;\n").map_err(|error| error.to_string())?;
    let layouts = root().join("tests/c/layouts.c");
    for name in COMPILERS {
        let compiler = match Toolchain::find(name, prefix) {
            Ok(compiler) => compiler,
            Err(reason) => {
                report.skip(&format!("headers with {name}"), &reason);
                continue;
            }
        };
        for language in ["c99", "c11", "c17", "c++11", "c++17", "c++20"] {
            let mut failed = Vec::new();
            for library in ["winusb", "winusb-compat"] {
                for header in files(&prefix.join("include").join(library))? {
                    let include = ["-include", &header];
                    failed.extend(compiler.check(language, &include, &empty).err());
                }
            }
            report.tell(&format!("headers alone: {name} {language}"), failed);
        }
        for bits in ["-m64", "-m32"] {
            for language in ["c11", "c++17"] {
                let test = format!("layouts: {name} {bits} {language}");
                if compiler.check("c11", &[bits, "-include", "string.h"], &empty).is_err() {
                    report.skip(&test, "the C library's headers for this are not installed");
                } else {
                    report.tell(&test, compiler.check(language, &[bits], &layouts).err());
                }
            }
        }
    }
    Ok(())
}
