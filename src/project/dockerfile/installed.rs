//! What becomes of commands that a Dockerfile or an install script runs.

use super::Facts;
use super::copied::Places;
use super::said::Said;
use crate::image::dockerfile::Command;

/// Words of a shell that are no commands.
pub(super) const KEYWORDS: [&str; 13] =
    ["if", "then", "else", "elif", "fi", "!", "{", "}", "do", "done", "time", "exec", "sudo"];
/// Commands that change nothing that the image keeps, or only what installs packages.
const HARMLESS: [&str; 15] = [
    "[",
    "[[",
    "test",
    "true",
    ":",
    "set",
    "cd",
    "exit",
    "export",
    "umask",
    "which",
    "command",
    "pip-compile",
    "sleep",
    "sync",
];
/// Programs that install packages of the operating system.
const SYSTEM: [&str; 9] = ["apt-get", "apt", "aptitude", "apk", "yum", "dnf", "microdnf", "zypper", "dpkg"];
/// Their subcommands that install nothing.
const SYSTEM_UPKEEP: [&str; 8] =
    ["update", "clean", "autoclean", "autoremove", "makecache", "upgrade", "dist-upgrade", "purge"];
/// Distributions that only install others.
const INSTALLERS: [&str; 12] = [
    "pip",
    "setuptools",
    "wheel",
    "uv",
    "poetry",
    "pdm",
    "pipenv",
    "hatch",
    "hatchling",
    "build",
    "virtualenv",
    "pip-tools",
];
/// Options of pip and uv with a value that say where packages come from.
const INDEX_OPTIONS: [&str; 8] = [
    "-i",
    "--index-url",
    "--extra-index-url",
    "--index",
    "--default-index",
    "-f",
    "--find-links",
    "--trusted-host",
];
/// Other options of pip and uv with a value.
const VALUE_OPTIONS: [&str; 19] = [
    "-c",
    "--constraint",
    "--constraints",
    "-t",
    "--target",
    "--prefix",
    "--root",
    "--python",
    "-p",
    "--platform",
    "--python-version",
    "--timeout",
    "--retries",
    "--cache-dir",
    "--progress-bar",
    "--default-timeout",
    "--package",
    "--link-mode",
    "--no-binary",
];
/// Where removed files do not matter.
const TEMPORARY: [&str; 5] = ["/var/lib/apt", "/var/cache", "/tmp", "/root/.cache", "cache"];

const BASE: &str =
    "put it into a base image of your own: a Dockerfile with FROM and this step, built when it changes";
const BEFORE: &str = "run it before pexpress, in a step of its own: the files that it makes in the build directory are \
                      copied";

/// What becomes of a command; `None` if pexpress does the same, or it does not matter.
pub(super) fn judge(command: &Command, places: &Places, facts: &Facts<'_>, in_image: bool) -> Option<Said> {
    let words: Vec<&str> = command.words.iter().map(String::as_str).collect();
    let words = without_prefix(&words);
    if let Some(file) = command.outputs.iter().find(|file| !file.starts_with("/dev/")) {
        return (in_image || places.holds(file)).then(|| Said::needed(writes(file)));
    }
    let (program, rest) = words.split_first()?;
    let name = program.rsplit('/').next().unwrap_or(program);
    match (name, rest) {
        _ if HARMLESS.contains(&name) => None,
        ("echo" | "printf" | "cat" | "ls" | "pwd" | "env", _) => None,
        ("python" | "python3", ["-m", "pip", rest @ ..]) => pip(rest, facts),
        ("python" | "python3", ["-m", "venv" | "virtualenv" | "ensurepip", ..]) | ("virtualenv", _) => None,
        ("pip" | "pip3", rest) => pip(rest, facts),
        ("uv", ["pip", rest @ ..]) => pip(rest, facts),
        ("uv", ["sync", rest @ ..]) => {
            chosen(rest, &["--extra", "--all-extras", "--group", "--all-groups", "--only-group"], facts)
        }
        ("uv", ["venv" | "lock" | "cache" | "export" | "python", ..]) => None,
        ("poetry", ["install", rest @ ..]) => {
            chosen(rest, &["--with", "--extras", "-E", "--all-extras", "--all-groups"], facts)
        }
        ("poetry", ["config" | "lock" | "export" | "check", ..]) => None,
        ("pdm" | "pipenv", ["install" | "sync", ..]) => None,
        ("dagster-cloud" | "dagster", ["--version"]) => None,
        ("dagster_cloud_pre_install.sh" | "dagster_cloud_post_install.sh", _) => None,
        ("mkdir" | "chmod" | "chown" | "touch" | "rm", rest) => files(name, rest, places, in_image),
        _ if SYSTEM.contains(&name) => system(rest, in_image),
        ("dbt" | "dagster-dbt" | "dagster" | "dg", _) => Some(Said::needed(BEFORE)),
        _ if in_image => Some(Said::needed(format!("{BASE}; or {BEFORE}"))),
        _ => Some(Said::needed(BEFORE)),
    }
}

/// The words after keywords of the shell and assignments.
fn without_prefix<'w, 't>(words: &'w [&'t str]) -> &'w [&'t str] {
    let is_prefix = |word: &str| {
        let is_name =
            |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        KEYWORDS.contains(&word) || word.split_once('=').is_some_and(|(name, _)| is_name(name))
    };
    let start = words.iter().position(|word| !is_prefix(word)).unwrap_or(words.len());
    &words[start..]
}

fn writes(file: &str) -> String {
    format!("write `{file}` before pexpress runs, and add it by --image-include PATH:DEST")
}

/// The arguments of pip after its own options.
fn pip(rest: &[&str], facts: &Facts<'_>) -> Option<Said> {
    let mut words =
        rest.iter().copied().skip_while(|word| word.starts_with('-') || word.parse::<u32>().is_ok());
    match words.next() {
        Some("install" | "sync") => {}
        Some("wheel" | "download" | "check" | "list" | "freeze" | "config" | "cache" | "uninstall")
        | None => {
            return None;
        }
        Some(_) => return Some(Said::needed(BASE)),
    }
    let mut missing = Vec::new();
    while let Some(word) = words.next() {
        let (option, value) = word.split_once('=').filter(|_| word.starts_with("--")).unwrap_or((word, ""));
        if INDEX_OPTIONS.contains(&option) {
            return Some(Said::needed(
                "name the index for pexpress too: in requirements.txt, pyproject.toml or PIP_INDEX_URL and \
                 PIP_EXTRA_INDEX_URL",
            ));
        }
        match option {
            "-r" | "--requirement" | "--requirements" => {
                let file = if value.is_empty() { words.next().unwrap_or_default() } else { value };
                missing.extend((!is_read(file)).then(|| format!("`-r {}`", file.trim_start_matches("./"))));
            }
            _ if VALUE_OPTIONS.contains(&option) && value.is_empty() => {
                words.next();
            }
            _ if option.starts_with('-') => {}
            target => missing.extend((!is_required(target, facts)).then(|| format!("`{target}`"))),
        }
    }
    let lines = missing.join(", ");
    let becomes =
        format!("the project does not require this: add to requirements.txt or pyproject.toml {lines}");
    (!missing.is_empty()).then(|| Said::needed(becomes))
}

/// Whether pexpress reads a requirements file, by its name.
fn is_read(file: &str) -> bool {
    let name = file.rsplit('/').next().unwrap_or(file);
    ["requirements.txt", "pyproject.toml", "setup.py", "setup.cfg", "-"].contains(&name)
}

/// Whether an argument of `pip install` is the project, a tool that only installs, or required by the project.
fn is_required(target: &str, facts: &Facts<'_>) -> bool {
    if target.contains('[') && target.starts_with('.') {
        return false;
    }
    if target.starts_with(['.', '/', '$', '*']) || target.ends_with(".whl") {
        return true;
    }
    let end =
        target.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c))).unwrap_or(target.len());
    let name = target[..end].to_ascii_lowercase().replace(['_', '.'], "-");
    INSTALLERS.contains(&name.as_str()) || (facts.requires)(&name)
}

/// Extras and groups that an installer is asked for. pexpress is asked by its own flags.
fn chosen(rest: &[&str], options: &[&str], facts: &Facts<'_>) -> Option<Said> {
    let found =
        rest.iter().find(|word| options.iter().any(|option| word.split('=').next() == Some(option)))?;
    (!facts.chooses).then(|| {
        Said::needed(format!("{found} is not read: pass --extra, --all-extras or --group to pexpress"))
    })
}

/// Packages of the operating system.
fn system(rest: &[&str], in_image: bool) -> Option<Said> {
    let subcommand = rest.iter().find(|word| !word.starts_with('-'));
    if subcommand.is_none_or(|word| SYSTEM_UPKEEP.contains(word)) {
        return None;
    }
    match in_image {
        true => Some(Said::needed(BASE)),
        false => Some(Said::told("only the stage that installs has it; wheels are installed here")),
    }
}

/// Files and directories that are made, changed or removed.
fn files(program: &str, rest: &[&str], places: &Places, in_image: bool) -> Option<Said> {
    let paths: Vec<&&str> = rest.iter().filter(|word| !word.starts_with(['-', '+'])).collect();
    let is_usual = |path: &&&str| {
        places.holds(path)
            || path.to_ascii_lowercase().contains("dagster")
            || path.starts_with('$')
            || TEMPORARY.iter().any(|part| path.contains(part))
    };
    // Modes and owners come before the paths.
    let paths =
        if matches!(program, "chmod" | "chown") { paths.get(1..).unwrap_or_default() } else { &paths };
    match paths.iter().find(|path| !is_usual(path)) {
        Some(_) if in_image => Some(Said::needed(BASE)),
        _ => None,
    }
}
