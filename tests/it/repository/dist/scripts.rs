//! `scripts/build-dist --check` and `scripts/install.sh`, with fake binaries.

use crate::support::said::plain;
use crate::support::{repository, run};
use std::path::Path;
use std::process::{Command, Output};

const TARGETS: [&str; 4] = [
    "x86_64-unknown-linux-musl",
    "aarch64-unknown-linux-musl",
    "aarch64-apple-darwin",
    "x86_64-apple-darwin",
];

/// A directory like `dist/`, of this source, whose programs only say a version.
fn made() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for target in TARGETS {
        write_program(&dir.path().join(format!("pexpress-{target}")), "echo pexpress 9.8.7");
    }
    let sums = run(Command::new("sh").args(["-c", "sha256sum pexpress-*"]).current_dir(dir.path()));
    std::fs::write(dir.path().join("SHA256SUMS"), sums.stdout).unwrap();
    let hash = run(Command::new("sh").arg("scripts/source-hash").current_dir(repository()));
    std::fs::write(dir.path().join("SOURCE"), hash.stdout).unwrap();
    dir
}

fn write_program(path: &Path, line: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, format!("#!/bin/sh\n{line}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn check(dir: &Path) -> Output {
    let script = repository().join("scripts/build-dist");
    Command::new("bash").arg(script).args(["--check", "--out"]).arg(dir).output().unwrap()
}

/// What `--check` says when it refuses.
fn refusal(dir: &Path) -> String {
    let output = check(dir);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn binaries_of_this_source_with_their_checksums_are_accepted() {
    let dir = made();
    let output = check(dir.path());
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn binaries_of_other_source_are_refused() {
    let dir = made();
    std::fs::write(dir.path().join("SOURCE"), format!("{}\n", "0".repeat(64))).unwrap();
    insta::assert_snapshot!(plain(&refusal(dir.path())), @"build-dist: [TMP] was built from other source ([HASH], and this is [HASH]); run scripts/build-dist and commit [TMP]");
}

/// An unfinished snapshot made binaries look outdated, although git saw no change.
#[test]
fn files_that_tests_leave_behind_do_not_change_the_source_hash() {
    let dir = tempfile::tempdir().unwrap();
    let write = |names: &[&str]| {
        names.iter().for_each(|name| std::fs::write(dir.path().join(name), name).unwrap());
    };
    std::fs::create_dir_all(dir.path().join("src/.hidden")).unwrap();
    std::fs::create_dir(dir.path().join("scripts")).unwrap();
    std::fs::copy(repository().join("scripts/source-hash"), dir.path().join("scripts/source-hash")).unwrap();
    write(&["Cargo.toml", "Cargo.lock", "build.rs", "src/lib.rs"]);
    let hash = || run(Command::new("sh").arg("scripts/source-hash").current_dir(dir.path())).stdout;
    let before = hash();
    write(&["src/.lib.rs.pending-snap", "src/.hidden/x.rs", "src/a.snap.new"]);
    assert_eq!(hash(), before);
    write(&["src/a.snap"]);
    assert_ne!(hash(), before);
}

#[test]
fn a_binary_that_was_changed_is_refused() {
    let dir = made();
    write_program(&dir.path().join("pexpress-aarch64-apple-darwin"), "echo changed");
    insta::assert_snapshot!(plain(&refusal(dir.path())), @r#"
    sha256sum: WARNING: 1 computed checksum did NOT match
    build-dist: [TMP] does not match its SHA256SUMS
    "#);
}

#[test]
fn a_target_without_a_binary_is_refused() {
    let dir = made();
    std::fs::remove_file(dir.path().join("pexpress-x86_64-apple-darwin")).unwrap();
    let sums = run(Command::new("sh").args(["-c", "sha256sum pexpress-*"]).current_dir(dir.path()));
    std::fs::write(dir.path().join("SHA256SUMS"), sums.stdout).unwrap();
    insta::assert_snapshot!(plain(&refusal(dir.path())), @"build-dist: [TMP]/pexpress-[TARGET] is missing, or cannot be executed");
}

#[test]
fn a_binary_without_an_executable_bit_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let dir = made();
    let binary = dir.path().join("pexpress-x86_64-unknown-linux-musl");
    std::fs::set_permissions(&binary, std::fs::Permissions::from_mode(0o644)).unwrap();
    insta::assert_snapshot!(plain(&refusal(dir.path())), @"build-dist: [TMP]/pexpress-[TARGET] is missing, or cannot be executed");
}

/// A release at a `file:` address, to be installed below the same directory.
struct Release {
    dir: tempfile::TempDir,
}

impl Release {
    fn new() -> Release {
        let dir = made();
        let files = dir.path().join("v9.8.7");
        std::fs::create_dir(&files).unwrap();
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                std::fs::rename(&path, files.join(path.file_name().unwrap())).unwrap();
            }
        }
        Release { dir }
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join("v9.8.7").join(name)
    }

    fn installed(&self) -> std::path::PathBuf {
        self.dir.path().join("bin/pexpress")
    }

    fn install(&self) -> Output {
        // A `gh` that is not logged in, whatever the machine has.
        let tools = self.dir.path().join("tools");
        std::fs::create_dir_all(&tools).unwrap();
        write_program(&tools.join("gh"), "exit 1");
        let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());
        Command::new("sh")
            .arg(repository().join("scripts/install.sh"))
            .env("PATH", path)
            .env("PEXPRESS_REPOSITORY", "someone/pexpress")
            .env("PEXPRESS_VERSION", "v9.8.7")
            .env("PEXPRESS_RELEASES", format!("file://{}", self.dir.path().display()))
            .env("PEXPRESS_INSTALL_DIR", self.dir.path().join("bin"))
            .output()
            .unwrap()
    }

    /// The installer's message when it refuses. It must leave nothing behind.
    fn refusal(&self) -> String {
        let output = self.install();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let left: Vec<_> = std::fs::read_dir(self.dir.path().join("bin")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

#[test]
fn a_release_is_installed_when_its_checksum_is_right() {
    let release = Release::new();
    let output = release.install();
    assert!(output.status.success(), "{output:?}");
    let version = run(&mut Command::new(release.installed()));
    assert_eq!(String::from_utf8(version.stdout).unwrap(), "pexpress 9.8.7\n");
}

#[test]
fn a_download_with_another_checksum_is_not_installed() {
    let release = Release::new();
    for target in TARGETS {
        write_program(&release.file(&format!("pexpress-{target}")), "echo tampered");
    }
    insta::assert_snapshot!(plain(&release.refusal()), @"install: pexpress-[TARGET] has SHA-256 [HASH], and [HASH] is that of the release; nothing was installed");
}

#[test]
fn a_download_without_a_checksum_is_not_installed() {
    let release = Release::new();
    std::fs::write(release.file("SHA256SUMS"), "").unwrap();
    insta::assert_snapshot!(plain(&release.refusal()), @"install: SHA256SUMS of v9.8.7 does not list pexpress-[TARGET]");
}

#[test]
fn an_installer_without_a_release_says_what_to_do() {
    let output = Command::new("sh").arg(repository().join("scripts/install.sh")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    insta::assert_snapshot!(plain(&said), @"install: this copy does not come from a release: set PEXPRESS_REPOSITORY and PEXPRESS_VERSION, or use cargo install --path .");
}

#[test]
fn one_script_names_the_owner_everywhere() {
    let dir = tempfile::tempdir().unwrap();
    let clone = dir.path().join("clone");
    run(Command::new("git").args(["clone", "-q", "--no-hardlinks"]).arg(repository()).arg(&clone));
    std::fs::copy(repository().join("scripts/set-owner"), clone.join("scripts/set-owner")).unwrap();
    let set =
        |owner: &str| Command::new("bash").arg(clone.join("scripts/set-owner")).arg(owner).output().unwrap();
    assert_eq!(set("acme").status.code(), Some(2));
    assert!(set("acme/deployer").status.success());
    let left = ["grep", "-lE", "OWNER/(pexpress|REPOSITORY)", "--", ".", ":!scripts/set-owner"];
    let left = Command::new("git").args(left).current_dir(&clone).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&left.stdout), "");
    let example = std::fs::read_to_string(clone.join("examples/workflows/deploy.yml")).unwrap();
    assert!(example.contains("- uses: acme/deployer@v1\n"), "{example}");
    assert_eq!(set("acme/deployer").status.code(), Some(1));
}
