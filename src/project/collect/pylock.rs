//! `pylock.toml`: what it pins on the target, and itself reduced to that.
//!
//! Source: the PyPA specification "pylock.toml", its marker extensions `extras` and `dependency_groups` included.

use super::error::{CollectError, whole};
use super::pin::{Pin, Pinned};
use super::pyproject::RequiresPython;
use super::requirement::Link;
use crate::error::Place;
use crate::paths::resolved;
use crate::project::CollectOptions;
use pep440_rs::VersionSpecifiers;
use pep508_rs::{ExtraName, MarkerTree, PackageName};
use std::path::Path;
use std::str::FromStr;
use toml::{Table, Value};

/// A lock, read for a target.
#[derive(Debug)]
pub(super) struct Pylock {
    /// What it pins.
    pub(super) pins: Vec<Pin>,
    /// Whether every package of an index has its files listed.
    pub(super) has_files: bool,
    /// The document without the packages that the target does not need, and without markers.
    pub(super) text: String,
}

/// Read the text of `file` (the pylock.toml itself, or the uv.lock that it was exported from).
///
/// # Errors
/// It is no such lock, or not for the target.
pub(super) fn read(text: &str, file: &Path, options: &CollectOptions) -> Result<Pylock, CollectError> {
    let document = text.parse().map_err(|error: toml::de::Error| not_toml(text, file, &error))?;
    reduce(document, file, options)
}

/// The same for a document.
///
/// # Errors
/// It is no such lock, or not for the target.
pub(super) fn reduce(
    mut document: Table,
    file: &Path,
    options: &CollectOptions,
) -> Result<Pylock, CollectError> {
    check_version(&document, file)?;
    check_python(&document, file, options)?;
    let chosen = Chosen::new(&document, options);
    check_environments(&document, file, options, &chosen)?;
    let Some(Value::Array(packages)) = document.remove("packages") else {
        return Ok(Pylock { pins: Vec::new(), has_files: true, text: document.to_string() });
    };
    let mut pins = Vec::new();
    let mut kept = Vec::new();
    let mut has_files = true;
    for package in packages {
        let Value::Table(mut package) = package else { continue };
        if let Some(marker) = package.remove("marker")
            && !chosen.holds(marker.as_str().unwrap_or_default(), file, options)?
        {
            continue;
        }
        let pin = pin(&package, file)?;
        has_files &=
            pin.what != Pinned::Version || package.contains_key("wheels") || package.contains_key("sdist");
        pins.push(pin);
        kept.push(Value::Table(package));
    }
    document.insert("packages".into(), Value::Array(kept));
    Ok(Pylock { pins, has_files, text: document.to_string() })
}

fn not_toml(text: &str, file: &Path, error: &toml::de::Error) -> CollectError {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.map(|before| before.matches('\n').count() + 1);
    CollectError::invalid_with(
        Place { file: file.to_path_buf(), line, column: None },
        format!("not valid TOML: {}", error.message()),
        "regenerate the lock file, or build with --no-locked",
    )
}

fn check_version(document: &Table, file: &Path) -> Result<(), CollectError> {
    let Some(version) = document.get("lock-version").and_then(Value::as_str) else { return Ok(()) };
    if version.split('.').next() == Some("1") {
        return Ok(());
    }
    Err(CollectError::invalid_with(
        whole(file),
        format!("the lock file has lock-version `{version}`; pexpress reads version 1"),
        "regenerate it with the tool that wrote it, or build with --no-locked",
    ))
}

fn check_python(document: &Table, file: &Path, options: &CollectOptions) -> Result<(), CollectError> {
    let Some(text) = document.get("requires-python").and_then(Value::as_str) else { return Ok(()) };
    let Ok(specifiers) = VersionSpecifiers::from_str(text) else { return Ok(()) };
    let python = RequiresPython {
        setting: format!("requires-python = \"{text}\""),
        place: whole(file),
        alternatives: vec![specifiers],
    };
    python.check(&options.target)
}

fn check_environments(
    document: &Table,
    file: &Path,
    options: &CollectOptions,
    chosen: &Chosen,
) -> Result<(), CollectError> {
    let Some(environments) = document.get("environments").and_then(Value::as_array) else { return Ok(()) };
    for marker in environments.iter().filter_map(Value::as_str) {
        if chosen.holds(marker, file, options)? {
            return Ok(());
        }
    }
    Err(CollectError::invalid_with(
        whole(file),
        format!("the lock file is not for Python {} on {}", options.target.python, options.target.platform),
        "lock for that environment too (`tool.uv.environments`), or build with --no-locked",
    ))
}

/// Extras and groups that markers of a lock see.
struct Chosen {
    extras: Vec<ExtraName>,
    groups: Vec<ExtraName>,
}

impl Chosen {
    fn new(document: &Table, options: &CollectOptions) -> Chosen {
        let listed = |key: &str| {
            let values = document.get(key).and_then(Value::as_array).into_iter().flatten();
            values.filter_map(|value| ExtraName::new(value.as_str()?.to_string()).ok())
        };
        let named =
            |names: &[String]| names.iter().filter_map(|name| ExtraName::new(name.clone()).ok()).collect();
        let mut extras: Vec<ExtraName> = named(&options.extras);
        let mut groups: Vec<ExtraName> = named(&options.groups);
        if options.all_extras {
            extras.extend(listed("extras"));
        }
        groups.extend(listed("default-groups"));
        Chosen { extras, groups }
    }

    /// Whether a marker holds, `'a' in extras` and `'b' in dependency_groups` included.
    fn holds(&self, marker: &str, file: &Path, options: &CollectOptions) -> Result<bool, CollectError> {
        super::requirement::check_marker(marker, &whole(file))?;
        let plain = self.without_sets(marker);
        let tree = MarkerTree::parse_str::<Link>(&plain).map_err(|error| {
            CollectError::invalid(whole(file), format!("`{marker}` is not a marker: {}", error.message))
        })?;
        Ok(tree.evaluate(&options.target.marker_environment(), &[]))
    }

    /// Put what is always true or false for each membership in `extras` and `dependency_groups`.
    fn without_sets(&self, marker: &str) -> String {
        let mut text = marker.to_string();
        for (set, members) in [("extras", &self.extras), ("dependency_groups", &self.groups)] {
            for (words, wanted) in [(format!(" not in {set}"), false), (format!(" in {set}"), true)] {
                while let Some(at) = text.find(&words) {
                    let before = text[..at].trim_end();
                    let Some(quote @ ('\'' | '"')) = before.chars().last() else { break };
                    let Some(open) = before[..before.len() - 1].rfind(quote) else { break };
                    let name = ExtraName::new(before[open + 1..before.len() - 1].to_string());
                    let is_member = name.is_ok_and(|name| members.contains(&name));
                    let verdict =
                        if is_member == wanted { "os_name == 'posix'" } else { "os_name != 'posix'" };
                    text = format!("{}{verdict}{}", &text[..open], &text[at + words.len()..]);
                }
            }
        }
        text
    }
}

fn pin(package: &Table, file: &Path) -> Result<Pin, CollectError> {
    let invalid = |problem: &str| CollectError::invalid(whole(file), problem.to_string());
    let text = |table: &Table, key: &str| table.get(key).and_then(Value::as_str).map(str::to_string);
    let name = text(package, "name").ok_or_else(|| invalid("a package of the lock file has no name"))?;
    let name = PackageName::new(name).map_err(|error| invalid(&error.to_string()))?;
    let base = file.parent().unwrap_or(Path::new("."));
    let at = |path: &str| resolved(base, path);
    let table = |key: &str| package.get(key).and_then(Value::as_table);
    let fragment = |table: &Table| {
        text(table, "subdirectory").map(|at| format!("#subdirectory={at}")).unwrap_or_default()
    };
    let what = if let Some(directory) = table("directory") {
        let path = text(directory, "path").ok_or_else(|| invalid("a directory without path"))?;
        let path = at(&path);
        Pinned::Directory(match text(directory, "subdirectory") {
            Some(subdirectory) => path.join(subdirectory),
            None => path,
        })
    } else if let Some(vcs) = table("vcs") {
        let url = text(vcs, "url").or_else(|| Some(super::requirement::file_url(&at(&text(vcs, "path")?))));
        let url = url.ok_or_else(|| invalid("a repository without url"))?;
        let commit = text(vcs, "commit-id").unwrap_or_default();
        let kind = text(vcs, "type").unwrap_or_else(|| "git".into());
        Pinned::Link(format!("{kind}+{url}@{commit}{}", fragment(vcs)))
    } else if let Some(archive) = table("archive") {
        match (text(archive, "url"), text(archive, "path")) {
            (_, Some(path)) => Pinned::Distribution(at(&path)),
            (Some(url), None) => Pinned::Link(format!("{url}{}", fragment(archive))),
            (None, None) => return Err(invalid("an archive without url and path")),
        }
    } else {
        Pinned::Version
    };
    Ok(Pin { name, version: text(package, "version"), what, hashes: hashes(package), index: None })
}

/// The digests of a package's wheels and sdist.
fn hashes(package: &Table) -> Vec<String> {
    let wheels = package.get("wheels").and_then(Value::as_array).into_iter().flatten();
    let files = wheels.chain(package.get("sdist"));
    files
        .filter_map(|file| Some(format!("sha256:{}", file.get("hashes")?.get("sha256")?.as_str()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::LockUse;
    use crate::target::{PythonVersion, Target};

    fn options(extras: &[&str]) -> CollectOptions {
        CollectOptions {
            target: Target::serverless(PythonVersion::DEFAULT),
            lock_use: LockUse::Automatic,
            extras: extras.iter().map(ToString::to_string).collect(),
            all_extras: false,
            reads_dockerfiles: false,
            workspaces: Default::default(),
            groups: Vec::new(),
        }
    }

    #[test]
    fn only_what_the_target_and_the_choice_need_is_kept() {
        let text = r#"
lock-version = "1.0"
created-by = "test"
requires-python = ">=3.9"
extras = ["pg"]
dependency-groups = ["dev", "main"]
default-groups = ["main"]
[[packages]]
name = "always"
version = "1"
wheels = [{ url = "https://files.example.com/always-1-py3-none-any.whl", hashes = { sha256 = "ab" } }]
[[packages]]
name = "old"
version = "1"
marker = "python_version < '3.9'"
[[packages]]
name = "pg"
version = "2"
marker = "'pg' in extras and sys_platform == 'linux'"
[[packages]]
name = "dev"
version = "3"
marker = "'dev' in dependency_groups or \"x\" in extras"
[[packages]]
name = "main"
version = "4"
marker = "'main' in dependency_groups"
[[packages]]
name = "git"
vcs = { type = "git", url = "https://git.example.com/x.git", commit-id = "abc", subdirectory = "py" }
[[packages]]
name = "here"
directory = { path = "../here" }
"#;
        let lines = |extras: &[&str]| {
            let read = read(text, Path::new("/p/pylock.toml"), &options(extras)).unwrap();
            assert!(!read.text.contains("marker"), "{}", read.text);
            read.pins.iter().filter_map(|pin| pin.line("")).collect::<Vec<_>>()
        };
        let git = "git @ git+https://git.example.com/x.git@abc#subdirectory=py";
        assert_eq!(lines(&[]), ["always==1", "main==4", git]);
        assert_eq!(lines(&["PG"]), ["always==1", "pg==2", "main==4", git]);
        let pins = read(text, Path::new("/p/pylock.toml"), &options(&[])).unwrap().pins;
        assert_eq!(pins[0].hashes, ["sha256:ab"]);
        assert_eq!(pins[3].what, Pinned::Directory("/here".into()));
    }

    #[test]
    fn a_lock_for_another_environment_is_refused() {
        for head in ["requires-python = \">=3.12\"", "environments = [\"sys_platform == 'win32'\"]"] {
            let text = format!("lock-version = \"1.0\"\ncreated-by = \"test\"\n{head}\npackages = []\n");
            assert!(read(&text, Path::new("/p/pylock.toml"), &options(&[])).is_err(), "{head}");
        }
    }

    #[test]
    fn another_major_version_is_refused() {
        let error = read("lock-version = '2.0'", Path::new("/p/pylock.toml"), &options(&[])).unwrap_err();
        assert!(error.to_string().contains("`2.0`"), "{error}");
    }
}
