//! `scripts/action.sh`, the shell part of the action: which binary it starts, what it refuses, and what it does not
//! touch.
//!
//! The binary is a script of two lines here, so that each shell of the machine can be tested quickly.

use crate::support::{repository, write_executable};
use sha2::{Digest, Sha256};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const LINUX_X64: &str = "pexpress-x86_64-unknown-linux-musl";
const BINARY: &str = "#!/bin/sh\necho \"ran $0 with $*, $INPUT_COMMAND\"\nexit 3\n";

/// An action as a runner has downloaded it: the wrapper and one binary with its digest.
struct Action {
    dir: tempfile::TempDir,
    home: PathBuf,
}

impl Action {
    fn new(name: &str) -> Action {
        let dir = tempfile::tempdir().unwrap();
        // Self-hosted runners have directories with spaces and other characters.
        let home = dir.path().join("my runner's $HOME/_actions");
        for part in ["scripts", "dist", "temp"] {
            std::fs::create_dir_all(home.join(part)).unwrap();
        }
        std::fs::copy(repository().join("scripts/action.sh"), home.join("scripts/action.sh")).unwrap();
        write_executable(&home.join("dist").join(name), BINARY);
        let action = Action { dir, home };
        action.write_sums(&format!("{}  {name}\n", digest(BINARY)));
        action
    }

    fn write_sums(&self, text: &str) {
        std::fs::write(self.home.join("dist/SHA256SUMS"), text).unwrap();
    }

    fn binary(&self) -> PathBuf {
        self.home.join("dist").join(LINUX_X64)
    }

    fn command(&self, shell: &[&str]) -> Command {
        self.start(shell, &self.home.join("scripts/action.sh"))
    }

    fn start(&self, shell: &[&str], script: &Path) -> Command {
        let mut command = Command::new(shell[0]);
        command.args(&shell[1..]).arg(script).current_dir(self.dir.path());
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("RUNNER_OS", "Linux").env("RUNNER_ARCH", "X64").env("INPUT_COMMAND", "check");
        command.env("RUNNER_TEMP", self.home.join("temp"));
        command
    }

    fn run(&self) -> Output {
        self.command(&["sh"]).output().unwrap()
    }
}

fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Panics unless the run ended with 1, one annotation and no other line.
fn assert_refused(output: &Output, says: &str) {
    let text = stdout(output);
    assert_eq!(output.status.code(), Some(1), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.starts_with("::error title=pexpress::") && text.lines().count() == 1, "{text}");
    assert!(text.contains(says), "wanted `{says}` in: {text}");
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

#[test]
fn the_binary_becomes_the_process_in_every_shell() {
    let action = Action::new(LINUX_X64);
    let shells: [&[&str]; 5] = [&["sh"], &["dash"], &["bash", "--posix"], &["busybox", "sh"], &["sh", "-e"]];
    let mut tried = 0;
    for shell in shells {
        let Ok(output) = action.command(shell).output() else { continue };
        tried += 1;
        assert_eq!(output.status.code(), Some(3), "{shell:?}: {}", String::from_utf8_lossy(&output.stderr));
        let in_place = action.home.join("scripts/../dist").join(LINUX_X64);
        assert_eq!(stdout(&output), format!("ran {} with action, check\n", in_place.display()), "{shell:?}");
    }
    assert!(tried >= 2, "`sh` runs everywhere");
    assert_eq!(files_below(&action.home.join("temp")), [] as [PathBuf; 0], "nothing is copied");
}

#[test]
fn signals_of_the_runner_reach_the_binary_directly() {
    let action = Action::new(LINUX_X64);
    let binary = "#!/bin/sh\necho $$\n";
    write_executable(&action.binary(), binary);
    action.write_sums(&format!("{}  {LINUX_X64}\n", digest(binary)));
    let document = std::fs::read_to_string(repository().join("action.yml")).unwrap();
    let document: serde_yaml::Value = serde_yaml::from_str(&document).unwrap();
    let script = action.home.join("temp/step.sh");
    std::fs::write(&script, document["runs"]["steps"][0]["run"].as_str().unwrap()).unwrap();
    // As the runner starts a step with `shell: sh`.
    let mut command = action.start(&["sh", "-e"], &script);
    command.env("GITHUB_ACTION_PATH", &action.home).stdout(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    let id = child.id();
    assert_eq!(stdout(&child.wait_with_output().unwrap()), format!("{id}\n"));
}

#[test]
fn the_runner_s_words_choose_the_binary() {
    for (os, arch, name) in [
        ("Linux", "X64", LINUX_X64),
        ("Linux", "ARM64", "pexpress-aarch64-unknown-linux-musl"),
        ("macOS", "X64", "pexpress-x86_64-apple-darwin"),
        ("macOS", "ARM64", "pexpress-aarch64-apple-darwin"),
    ] {
        let action = Action::new(name);
        let output = action.command(&["sh"]).env("RUNNER_OS", os).env("RUNNER_ARCH", arch).output().unwrap();
        assert!(stdout(&output).contains(name), "{os} {arch}: {}", stdout(&output));
    }
}

#[test]
fn outside_of_a_runner_the_machine_is_detected() {
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    if std::env::consts::OS != "linux" {
        return;
    }
    let action = Action::new(&format!("pexpress-{target}"));
    let output = action.command(&["sh"]).env_remove("RUNNER_OS").env_remove("RUNNER_ARCH").output().unwrap();
    assert!(stdout(&output).contains(&target), "{}", stdout(&output));
}

#[test]
fn machines_without_a_binary_are_named() {
    let action = Action::new(LINUX_X64);
    for (os, arch) in
        [("Windows", "X64"), ("Linux", "ARM"), ("Linux", "X86"), ("FreeBSD", "X64"), ("Linux", "riscv64")]
    {
        let output = action.command(&["sh"]).env("RUNNER_OS", os).env("RUNNER_ARCH", arch).output().unwrap();
        assert_refused(&output, &format!("this runner is {os} {arch}"));
    }
    let output = action.command(&["sh"]).env("RUNNER_ARCH", "ARM64").output().unwrap();
    assert_refused(&output, "there is no pexpress-aarch64-unknown-linux-musl in this commit of the action");
}

#[test]
fn a_binary_that_is_not_the_released_one_is_not_started() {
    let action = Action::new(LINUX_X64);
    write_executable(&action.binary(), &format!("{BINARY}#"));
    assert_refused(&action.run(), "is not the file that was released");
    write_executable(&action.binary(), "");
    assert_refused(&action.run(), "is not the file that was released");
}

#[test]
fn a_missing_digest_is_refused_like_a_wrong_one() {
    let action = Action::new(LINUX_X64);
    let good = digest(BINARY);
    for sums in [
        String::new(),
        format!("{good}  pexpress-aarch64-unknown-linux-musl\n"),
        format!("{good}  {LINUX_X64}.sig\n"),
        format!("  {LINUX_X64}\n"),
        format!("{good}\n"),
    ] {
        action.write_sums(&sums);
        assert_refused(&action.run(), "has no line for");
    }
    std::fs::remove_file(action.home.join("dist/SHA256SUMS")).unwrap();
    assert_refused(&action.run(), "has no line for");
    for digest in [&good[..63], &good.to_uppercase(), "0"] {
        action.write_sums(&format!("{digest}  {LINUX_X64}\n"));
        assert_refused(&action.run(), "is not the file that was released");
    }
}

#[test]
fn every_form_of_a_sha256sum_line_is_read() {
    let action = Action::new(LINUX_X64);
    let good = digest(BINARY);
    for sums in [
        format!("{good} *{LINUX_X64}\n"),
        format!("{good}  {LINUX_X64}"),
        format!("{}  other\n{good}  {LINUX_X64}\n{}  more\n", digest("a"), digest("b")),
    ] {
        action.write_sums(&sums);
        assert_eq!(action.run().status.code(), Some(3), "{sums}");
    }
}

#[test]
fn a_binary_that_lost_its_executable_bit_runs_as_a_copy() {
    let action = Action::new(LINUX_X64);
    std::fs::set_permissions(action.binary(), std::fs::Permissions::from_mode(0o444)).unwrap();
    let output = action.run();
    assert_eq!(output.status.code(), Some(3), "{}", stdout(&output));
    let copies = files_below(&action.home.join("temp"));
    assert_eq!(copies.len(), 1, "{copies:?}");
    assert_eq!(stdout(&output), format!("ran {} with action, check\n", copies[0].display()));
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode(&copies[0]), mode(copies[0].parent().unwrap())),
        (0o700, 0o700),
        "readable only by this user"
    );
    assert_eq!(mode(&action.binary()), 0o444, "the action itself stays as it is");
}

#[test]
fn a_copy_is_checked_as_the_original_is() {
    let action = Action::new(LINUX_X64);
    std::fs::write(action.binary(), "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(action.binary(), std::fs::Permissions::from_mode(0o444)).unwrap();
    assert_refused(&action.run(), "is not the file that was released");
}

#[test]
fn without_a_directory_for_the_copy_the_variable_to_set_is_named() {
    let action = Action::new(LINUX_X64);
    std::fs::set_permissions(action.binary(), std::fs::Permissions::from_mode(0o444)).unwrap();
    let missing = action.home.join("missing");
    let output = action.command(&["sh"]).env("RUNNER_TEMP", missing).output().unwrap();
    assert_refused(&output, "set RUNNER_TEMP to a directory that can be written");
}

#[test]
fn a_read_only_action_directory_works() {
    let action = Action::new(LINUX_X64);
    let dist = action.home.join("dist");
    std::fs::set_permissions(&dist, std::fs::Permissions::from_mode(0o555)).unwrap();
    let output = action.run();
    let copied = files_below(&action.home.join("temp"));
    std::fs::set_permissions(&dist, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!((output.status.code(), copied.len()), (Some(3), 0), "{}", stdout(&output));
}

/// A directory with only these programs, for PATH.
fn path_with(action: &Action, programs: &[(&str, &str)]) -> PathBuf {
    let dir = action.home.join("bin");
    std::fs::create_dir_all(&dir).unwrap();
    programs.iter().for_each(|(name, text)| write_executable(&dir.join(name), text));
    dir
}

#[test]
fn shasum_stands_in_for_sha256sum_and_no_tool_is_an_error() {
    let action = Action::new(LINUX_X64);
    let run = |programs: &[(&str, &str)]| {
        let path = path_with(&action, programs);
        action.command(&["/bin/sh"]).env("PATH", path).output().unwrap()
    };
    assert_refused(&run(&[]), "has neither sha256sum nor shasum");
    let shasum = format!("#!/bin/sh\n[ \"$*\" = '-a 256' ] && echo '{}  -'\n", digest(BINARY));
    assert_eq!(run(&[("shasum", &shasum)]).status.code(), Some(3));
    // A tool that does not work is not a digest that fits.
    assert_refused(&run(&[("sha256sum", "#!/bin/sh\nexit 1\n")]), "SHA-256 unknown");
    assert_refused(&run(&[("sha256sum", "#!/bin/sh\nexit 0\n")]), "SHA-256 unknown");
}
