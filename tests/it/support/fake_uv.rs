//! A `uv` that logs its arguments and runs the test's script.

use std::path::{Path, PathBuf};

/// A shell script instead of uv. It reports version 0.13.9.
pub struct FakeUv {
    program: PathBuf,
    log: PathBuf,
}

impl FakeUv {
    /// One in `dir` that logs each call and runs `script` (with `FAKE_UV_DIR` naming `dir`).
    pub fn new(dir: &Path, script: &str) -> FakeUv {
        FakeUv::of_version(dir, "0.13.9", script)
    }

    /// The same with another version.
    pub fn of_version(dir: &Path, version: &str, script: &str) -> FakeUv {
        let (program, log) = (dir.join("uv"), dir.join("uv.log"));
        let text = format!(
            "#!/bin/sh\n[ \"$1\" = --version ] && {{ echo 'uv {version} (fake)'; exit 0; }}\nFAKE_UV_DIR='{}'\necho \"$*\" >> '{}'\n{script}\n",
            dir.display(),
            log.display(),
        );
        super::write_executable(&program, &text);
        FakeUv { program, log }
    }

    /// Where it is.
    pub fn program(&self) -> &str {
        self.program.to_str().unwrap()
    }

    /// The arguments of each call except `--version`, joined by spaces.
    pub fn calls(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().map(String::from).collect()
    }
}
