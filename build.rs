//! Puts the source hash and the target into the program, for `--version`, and the PEX runtime, for fresh machines.
//!
//! The hash is what `scripts/source-hash` prints, so that anyone can compare a binary with a checkout. It is of the
//! content alone: no time, no commit and no path gets in, and the same source gives the same binary.

// To print is how a build script speaks to cargo.
#![allow(clippy::print_stdout)]

use std::process::{Command, Stdio};

/// What is shown where there is no shell to run the script, as on Windows.
const UNKNOWN: &str = "unknown";

/// Names the file with the PEX runtime.
const RUNTIME: &str = "PEXPRESS_PEX_RUNTIME";

fn main() {
    embed_runtime();
    for path in ["Cargo.toml", "Cargo.lock", "build.rs", "src", "scripts/source-hash"] {
        println!("cargo:rerun-if-changed={path}");
    }
    let target = std::env::var("TARGET").unwrap_or_else(|_| UNKNOWN.into());
    println!("cargo:rustc-env=PEXPRESS_TARGET={target}");
    println!("cargo:rustc-env=PEXPRESS_SOURCE_HASH={}", source_hash().unwrap_or_else(|| UNKNOWN.into()));
}

/// Put the files of the PEX runtime into the program, if there is a file with them (`scripts/build-dist` makes one).
fn embed_runtime() {
    println!("cargo:rerun-if-env-changed={RUNTIME}");
    if let Ok(path) = std::env::var(RUNTIME) {
        println!("cargo:rerun-if-changed={path}");
        println!("cargo:rustc-env={RUNTIME}={path}");
        println!("cargo:rustc-cfg=embedded_runtime");
    }
}

/// The 64 hexadecimal digits, or nothing where the script cannot be run.
fn source_hash() -> Option<String> {
    let script = Command::new("sh").arg("scripts/source-hash").stderr(Stdio::inherit()).output().ok()?;
    let hash = String::from_utf8(script.stdout).ok()?;
    let hash = hash.trim();
    (script.status.success() && hash.len() == 64).then(|| hash.to_owned())
}
