//! Compilers, and how programs are linked.

use std::path::{Path, PathBuf};

use crate::process::{command, exists, output};

pub(crate) const COMPILERS: [&str; 2] = ["gcc", "clang"];

/// How a program finds the libraries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Linking {
    Shared,
    /// Both archives in one program.
    Static,
    /// With the words that pkg-config gives.
    PackageConfig,
}

/// A compiler, for programs against an installed prefix.
pub(crate) struct Toolchain {
    pub(crate) compiler: &'static str,
    prefix: PathBuf,
}

impl Toolchain {
    pub(crate) fn find(compiler: &'static str, prefix: &Path) -> Result<Self, String> {
        if exists(compiler) {
            Ok(Toolchain { compiler, prefix: prefix.to_owned() })
        } else {
            Err(format!("there is no {compiler}"))
        }
    }

    /// Compiles only.
    pub(crate) fn check(&self, language: &str, more: &[&str], source: &Path) -> Result<(), String> {
        let mut cc = self.command(language, source);
        cc.args(more).args(["-fsyntax-only", "-I"]).arg(self.prefix.join("include/winusb"));
        cc.arg("-I").arg(self.prefix.join("include/winusb-compat"));
        output(cc).map(drop)
    }

    /// Builds a program.
    pub(crate) fn build(
        &self,
        language: &str,
        linking: Linking,
        source: &Path,
        program: &Path,
    ) -> Result<(), String> {
        let lib = self.prefix.join("lib");
        let mut cc = self.command(language, source);
        if language.starts_with("c++") {
            cc.arg("-lstdc++");
        }
        cc.args(["-O2", "-g", "-pthread", "-o"]).arg(program);
        if linking == Linking::PackageConfig {
            let mut words = command("pkg-config", ["--cflags", "--libs", "winusb-compat"]);
            words.env("PKG_CONFIG_PATH", lib.join("pkgconfig"));
            cc.args(output(words)?.split_whitespace());
            return output(cc).map(drop);
        }
        for library in ["winusb", "winusb-compat"] {
            cc.arg("-I").arg(self.prefix.join("include").join(library));
        }
        match linking {
            Linking::Static => cc
                .args(["libwinusb-compat.a", "libwinusb.a"].map(|archive| lib.join(archive)))
                .args(["-ldl", "-lm"]),
            _ => cc.arg("-L").arg(&lib).args(["-lwinusb-compat", "-lwinusb"]),
        };
        output(cc).map(drop)
    }

    fn command(&self, language: &str, source: &Path) -> std::process::Command {
        // The compiler of C, told which language a file is in, is that of C++, too.
        let kind = if language.starts_with("c++") { "c++" } else { "c" };
        let mut cc = command(self.compiler, ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]);
        cc.arg(format!("-std={language}")).args(["-x", kind]).arg(source).args(["-x", "none"]);
        cc
    }
}
