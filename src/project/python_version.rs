//! Chooses the Python version to build for, if the command line does not.
//!
//! `.python-version` decides: next to the project file, or in the build directories. Without one, `requires-python` of
//! the build directories' pyproject.toml (or Poetry's `python`) limits the choice: the default of Dagster+ if all allow
//! it, otherwise the lowest version above it, otherwise the highest below it. A conflict is an error that names both
//! files. Sources of the spellings in `.python-version`: pyenv (one version per line, the first counts, `#` comments)
//! and uv (requests such as `cpython-3.12`, `cpython@3.12.4` and `python3.12`).

use super::{CollectError, Warning, Workspaces, collect};
use crate::error::{Explain, Fault, Place};
use crate::paths::relative;
use crate::target::PythonVersion;
use std::io::Read;
use std::path::Path;

const FILE_NAME: &str = ".python-version";
/// More than any such file has. The rest is not read.
const MOST_BYTES: u64 = 64 << 10;

/// The Python to build for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetPython {
    /// The version.
    pub version: PythonVersion,
    /// Its source: `.python-version`, `requires-python of a/pyproject.toml`; `None` for the default.
    pub origin: Option<String>,
    /// Warnings.
    pub warnings: Vec<Warning>,
}

/// The files do not lead to a Python version.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum PythonVersionError {
    #[error(transparent)]
    Collect(#[from] CollectError),
    #[error("`{name}` asks for Python {version}, which Dagster+ does not run")]
    Unsupported { name: &'static str, version: String, place: Place },
    #[error("the files disagree about the Python to build for: {} says {}, and {} says {}", one.name, one.setting, other.name, other.setting)]
    Disagree { one: Box<PythonSetting>, other: Box<PythonSetting> },
}

/// The setting of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PythonSetting {
    /// The file, relative to the project.
    pub name: String,
    /// The setting as written.
    pub setting: String,
    /// Where.
    pub place: Place,
    allowed: Vec<PythonVersion>,
}

impl PythonSetting {
    /// Whether it gives way to the command line.
    fn is_pin(&self) -> bool {
        self.name.ends_with(FILE_NAME)
    }
}

impl Explain for PythonVersionError {
    fn fault(&self) -> Fault {
        match self {
            PythonVersionError::Collect(error) => error.fault(),
            _ => Fault::Project,
        }
    }

    fn hint(&self) -> Option<String> {
        let minors = PythonVersion::MINORS;
        match self {
            PythonVersionError::Collect(error) => error.hint(),
            PythonVersionError::Unsupported { .. } => Some(format!(
                "write 3.{} to 3.{} there, or set --python-version",
                minors.start(),
                minors.end()
            )),
            PythonVersionError::Disagree { one, other } => {
                let is_pinned = one.is_pin() || other.is_pin();
                let flag = if is_pinned { "set --python-version, or " } else { "" };
                Some(format!("{flag}deploy them in separate runs with --location"))
            }
        }
    }

    fn place(&self) -> Option<Place> {
        match self {
            PythonVersionError::Collect(error) => error.place(),
            PythonVersionError::Unsupported { place, .. } => Some(place.clone()),
            PythonVersionError::Disagree { other, .. } => Some(other.place.clone()),
        }
    }
}

/// The version according to the files of a project in `root` with these build directories, or the default.
///
/// # Errors
/// A file that cannot be read, a version that Dagster+ does not run, or files that contradict each other.
pub fn infer(root: &Path, directories: &[&Path]) -> Result<TargetPython, PythonVersionError> {
    let mut warnings = Vec::new();
    let mut pins = Vec::from_iter(pin(root, root, &mut warnings)?);
    let mut ranges = Vec::new();
    let workspaces = Workspaces::default();
    for directory in directories {
        // A file next to dagster_cloud.yaml is for all code locations and wins over those below it.
        if pins.first().is_none_or(|pin| pin.name != FILE_NAME) {
            let own = if *directory == root { None } else { pin(directory, root, &mut warnings)? };
            // uv searches there too.
            let above = collect::workspace_root(directory, &workspaces)
                .filter(|above| above != directory && above != root);
            pins.extend(match (own, above) {
                (None, Some(above)) => pin(&above, root, &mut warnings)?,
                (own, _) => own,
            });
        }
        ranges.extend(range(directory, root)?);
    }
    let (version, origin) = decide(&pins, &ranges)?;
    Ok(TargetPython { version, origin, warnings })
}

/// The version and its source.
fn decide(
    pins: &[PythonSetting],
    ranges: &[PythonSetting],
) -> Result<(PythonVersion, Option<String>), PythonVersionError> {
    let default = PythonVersion::DEFAULT;
    // A file that allows no version at all is not a conflict; collecting it reports a better error.
    let all: Vec<&PythonSetting> =
        pins.iter().chain(ranges).filter(|said| !said.allowed.is_empty()).collect();
    let Some(first) = all.first() else { return Ok((default, None)) };
    let mut common = first.allowed.clone();
    for said in &all {
        let clashes =
            |other: &&&PythonSetting| !other.allowed.iter().any(|version| said.allowed.contains(version));
        common.retain(|version| said.allowed.contains(version));
        if common.is_empty() {
            let one = all.iter().find(clashes).copied().unwrap_or(first);
            return Err(PythonVersionError::Disagree {
                one: Box::new(one.clone()),
                other: Box::new((*said).clone()),
            });
        }
    }
    // The default if it is allowed, otherwise the nearest newer version, otherwise the newest.
    let above = common.iter().copied().find(|version| *version >= default);
    let version = above.or(common.last().copied()).unwrap_or(default);
    let origin = match pins.first() {
        Some(pin) => Some(pin.name.clone()),
        None if version == default => None,
        None => {
            let decisive = all.iter().find(|said| !said.allowed.contains(&default)).copied().unwrap_or(first);
            Some(format!("requires-python of {}", decisive.name))
        }
    };
    Ok((version, origin))
}

/// The setting in `.python-version` of a directory.
fn pin(
    directory: &Path,
    root: &Path,
    warnings: &mut Vec<Warning>,
) -> Result<Option<PythonSetting>, PythonVersionError> {
    let file = directory.join(FILE_NAME);
    if !file.is_file() {
        return Ok(None);
    }
    let unreadable = |source| CollectError::Read { file: file.clone(), source };
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(&file).map_err(unreadable)?;
    opened.take(MOST_BYTES).read_to_end(&mut bytes).map_err(unreadable)?;
    let text = String::from_utf8_lossy(&bytes);
    let Some((line, word)) = first_word(&text) else { return Ok(None) };
    let place = Place { file: file.clone(), line: Some(line), column: None };
    let name = relative(&file, root).display().to_string();
    match minor_version(word) {
        Some(version) => match version.parse() {
            Ok(python) => {
                Ok(Some(PythonSetting { name, setting: word.to_string(), place, allowed: vec![python] }))
            }
            Err(_) => Err(PythonVersionError::Unsupported { name: FILE_NAME, version, place }),
        },
        None => {
            let message = format!(
                "`{word}` in {name} is not a version of CPython, so the project's other files or the default ({}) apply; write one there, such as 3.12",
                PythonVersion::DEFAULT
            );
            warnings.push(Warning { message, place: Some(place) });
            Ok(None)
        }
    }
}

/// The first word outside comments, and its line.
fn first_word(text: &str) -> Option<(usize, &str)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
    let words = lines.filter_map(|(at, line)| Some((at, line.split('#').next()?.split_whitespace().next()?)));
    words.into_iter().next()
}

/// `3.12` of `3.12`, `3.12.4`, `3.13-dev`, `3.13t`, `cpython-3.12`, `cpython@3.12.4`, `python3.12`.
fn minor_version(word: &str) -> Option<String> {
    let lower = word.to_ascii_lowercase();
    let rest = lower.strip_prefix('c').filter(|rest| rest.starts_with("python")).unwrap_or(&lower);
    let rest = rest.strip_prefix("python").map_or(rest, |rest| rest.trim_start_matches(['-', '@']));
    let (major, rest) = digits(rest)?;
    let (minor, _) = digits(rest.strip_prefix('.')?)?;
    Some(format!("{major}.{minor}"))
}

/// The digits at the start of `text`, and the rest.
fn digits(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|each: char| !each.is_ascii_digit()).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// The setting in pyproject.toml of a directory.
fn range(directory: &Path, root: &Path) -> Result<Option<PythonSetting>, PythonVersionError> {
    let Some(python) = collect::requires_python(directory)? else { return Ok(None) };
    let name = relative(&python.place.file, root).display().to_string();
    Ok(Some(PythonSetting { name, setting: python.setting, place: python.place, allowed: python.allowed }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Infer the version from files in a temporary project, for the build directories `a` and `b`, or for the root.
    fn inferred(files: &[(&str, &str)]) -> Result<TargetPython, String> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let below: Vec<_> = ["a", "b"].iter().map(|name| dir.path().join(name)).collect();
        let mut directories: Vec<&Path> = below.iter().filter(|dir| dir.is_dir()).map(|dir| &**dir).collect();
        if directories.is_empty() {
            directories.push(dir.path());
        }
        infer(dir.path(), &directories).map_err(|error| {
            let hint = error.hint().unwrap_or_default();
            format!("{error}\n{hint}").replace(&dir.path().display().to_string(), "")
        })
    }

    fn requires(range: &str) -> String {
        format!("[project]\nname = \"p\"\nrequires-python = \"{range}\"\n")
    }

    #[test]
    fn python_version_files_are_read_as_pyenv_and_uv_read_them() {
        for (text, want) in [
            ("3.12", Some("3.12")),
            ("3.12.4\n", Some("3.12")),
            ("\u{feff}3.10\r\n", Some("3.10")),
            ("# ours\n\n  3.13 # for now\n3.9\n", Some("3.13")),
            ("cpython-3.12", Some("3.12")),
            ("cpython@3.12.4", Some("3.12")),
            ("CPython3.12", Some("3.12")),
            ("cpython-3.12.4-linux-x86_64-gnu", Some("3.12")),
            ("python3.9", Some("3.9")),
            ("3.13t", Some("3.13")),
            ("3.14-dev", Some("3.14")),
            ("3.10 3.9", Some("3.10")),
            ("", None),
            ("# nothing\n", None),
        ] {
            let got = inferred(&[(".python-version", text)]).unwrap();
            assert_eq!(got.version.to_string(), want.unwrap_or("3.11"), "{text}");
            assert_eq!(got.origin.as_deref(), want.map(|_| ".python-version"), "{text}");
            assert_eq!(got.warnings, [], "{text}");
        }
    }

    #[test]
    fn the_root_of_a_uv_workspace_decides_if_the_project_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let member = dir.path().join("apps/a");
        std::fs::create_dir_all(&member).unwrap();
        std::fs::write(dir.path().join("pyproject.toml"), "[tool.uv.workspace]\nmembers = ['apps/*']\n")
            .unwrap();
        std::fs::write(member.join("pyproject.toml"), requires(">=3.10")).unwrap();
        std::fs::write(dir.path().join(".python-version"), "3.12\n").unwrap();
        let decided = || {
            let got = infer(&member, &[&member]).unwrap();
            (got.version.to_string(), got.origin)
        };
        assert_eq!(decided(), ("3.12".to_string(), Some("../../.python-version".to_string())));
        std::fs::write(member.join(".python-version"), "3.10\n").unwrap();
        assert_eq!(decided(), ("3.10".to_string(), Some(".python-version".to_string())));
    }

    #[test]
    fn a_version_that_is_not_cpython_is_ignored_with_a_warning() {
        for text in
            ["system", "my-env-3.12", "pypy3.10-7.3.17", "3", "cpython", "miniconda3-4.7.12", ">=3.12"]
        {
            let got =
                inferred(&[(".python-version", text), ("pyproject.toml", &requires(">=3.12"))]).unwrap();
            assert_eq!(got.version.to_string(), "3.12", "{text}");
            let [warning] = &got.warnings[..] else { panic!("{text}: {:?}", got.warnings) };
            assert!(
                warning
                    .message
                    .starts_with(&format!("`{text}` in .python-version is not a version of CPython"))
            );
            assert_eq!(warning.place.as_ref().and_then(|place| place.line), Some(1));
        }
    }

    #[test]
    fn versions_that_dagster_does_not_run_are_refused() {
        let refused = ["2.7.18", "3.7", "3.15", "cpython-3.6.1", "3.123"]
            .map(|text| inferred(&[(".python-version", text)]).unwrap_err());
        insta::assert_snapshot!(refused.join("\n"), @r#"
        `.python-version` asks for Python 2.7, which Dagster+ does not run
        write 3.8 to 3.14 there, or set --python-version
        `.python-version` asks for Python 3.7, which Dagster+ does not run
        write 3.8 to 3.14 there, or set --python-version
        `.python-version` asks for Python 3.15, which Dagster+ does not run
        write 3.8 to 3.14 there, or set --python-version
        `.python-version` asks for Python 3.6, which Dagster+ does not run
        write 3.8 to 3.14 there, or set --python-version
        `.python-version` asks for Python 3.123, which Dagster+ does not run
        write 3.8 to 3.14 there, or set --python-version
        "#);
    }

    #[test]
    fn ranges_allow_the_default_or_what_is_nearest_above_or_below() {
        for (ranges, want, origin) in [
            (&[">=3.9"][..], "3.11", None),
            (&[">=3.12"], "3.12", Some("requires-python of a/pyproject.toml")),
            (&[">=3.9", ">=3.12,<3.15"], "3.12", Some("requires-python of b/pyproject.toml")),
            (&["<3.11"], "3.10", Some("requires-python of a/pyproject.toml")),
            (&["!=3.11.*"], "3.12", Some("requires-python of a/pyproject.toml")),
            (&[">=3.9,<3.11", ">=3.8,<3.10"], "3.9", Some("requires-python of a/pyproject.toml")),
            // Collecting reports the errors in these files.
            (&[">=3.15"], "3.11", None),
            (&[">=3.15", ">=3.12"], "3.12", Some("requires-python of b/pyproject.toml")),
        ] {
            let names = ["a/pyproject.toml", "b/pyproject.toml"];
            let texts: Vec<String> = ranges.iter().map(|range| requires(range)).collect();
            let files: Vec<_> = names.into_iter().zip(texts.iter().map(String::as_str)).collect();
            let got = inferred(&files).unwrap();
            assert_eq!(
                (got.version.to_string().as_str(), got.origin.as_deref()),
                (want, origin),
                "{ranges:?}"
            );
        }
    }

    #[test]
    fn poetrys_python_counts_too() {
        let text = "[tool.poetry]\nname = \"p\"\n[tool.poetry.dependencies]\npython = \">=3.12,<4.0\"\n";
        assert_eq!(inferred(&[("a/pyproject.toml", text)]).unwrap().version.to_string(), "3.12");
    }

    #[test]
    fn the_file_next_to_the_project_file_takes_precedence() {
        let files =
            [(".python-version", "3.10"), ("a/.python-version", "3.12"), ("b/.python-version", "3.9")];
        assert_eq!(inferred(&files).unwrap().version.to_string(), "3.10");
        let got = inferred(&files[1..2]).unwrap();
        assert_eq!(
            (got.version.to_string().as_str(), got.origin.as_deref()),
            ("3.12", Some("a/.python-version"))
        );
    }

    #[test]
    fn a_disagreement_names_both_files_and_the_flag() {
        let (new, old) = (requires(">=3.12"), requires("<3.11"));
        for (files, says) in [
            (
                [("a/.python-version", "3.12"), ("b/.python-version", "3.10")],
                "a/.python-version says 3.12, and b/.python-version says 3.10",
            ),
            (
                [("a/pyproject.toml", &*new), ("b/pyproject.toml", &*old)],
                "a/pyproject.toml says requires-python = \">=3.12\", and b/pyproject.toml says requires-python = \"<3.11\"",
            ),
            (
                [(".python-version", "3.10"), ("a/pyproject.toml", &*new)],
                ".python-version says 3.10, and a/pyproject.toml says",
            ),
            (
                [("a/.python-version", "3.13"), ("b/pyproject.toml", &*old)],
                "a/.python-version says 3.13, and b/pyproject.toml says",
            ),
        ] {
            let error = inferred(&files).unwrap_err();
            assert!(error.contains(says) && error.contains("--location"), "{error}");
            assert_eq!(error.contains("--python-version"), error.contains(".python-version"), "{error}");
        }
    }

    #[test]
    fn an_invalid_pyproject_is_reported_with_its_line() {
        let error = inferred(&[("a/pyproject.toml", "[project")]).unwrap_err();
        insta::assert_snapshot!(error, @"not valid TOML: unclosed table, expected `]`");
    }
}
