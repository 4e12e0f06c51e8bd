//! Core metadata (`METADATA`, `PKG-INFO`) as a source of requirements.
//!
//! Source: "Core metadata specifications" (PyPA): `Name`, `Requires-Dist`, `Provides-Extra`, `Requires-Python`.

use super::error::{CollectError, whole};
use super::pyproject::{Raw, RequiresPython};
use super::requirement::parse;
use crate::bounded_file::{self, TEXT_LIMIT_BYTES};
use crate::error::Place;
use crate::wheel::metadata::Headers;
use pep440_rs::VersionSpecifiers;
use pep508_rs::{ExtraName, MarkerEnvironment, MarkerTree, PackageName};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The requirements in core metadata.
#[derive(Debug, Clone, Default)]
pub(super) struct CoreMetadata {
    /// `Name`.
    pub(super) name: Option<PackageName>,
    /// `Requires-Dist` that hold without an extra, as written.
    pub(super) requires: Vec<Raw>,
    /// Additional requirements of each extra on the target; markers are already evaluated.
    pub(super) extras: BTreeMap<ExtraName, Vec<Raw>>,
    /// `Requires-Python`.
    pub(super) requires_python: Option<RequiresPython>,
}

/// Read core metadata that `file` (a setup.py or pyproject.toml) stands for.
///
/// # Errors
/// A requirement in it cannot be understood.
pub(super) fn read(
    bytes: &[u8],
    file: &Path,
    environment: &MarkerEnvironment,
) -> Result<CoreMetadata, CollectError> {
    let headers = Headers::parse(bytes);
    let name = headers.first("Name").and_then(|name| PackageName::new(name.to_string()).ok());
    // setuptools' placeholder for a project without a name.
    let name = name.filter(|name| name.as_ref() != "unknown");
    let mut metadata = CoreMetadata { name, ..CoreMetadata::default() };
    for extra in headers.all("Provides-Extra") {
        if let Ok(extra) = ExtraName::new(extra.to_string()) {
            metadata.extras.entry(extra).or_default();
        }
    }
    for line in headers.all("Requires-Dist") {
        metadata.add(line, file, environment)?;
    }
    let python = headers.first("Requires-Python");
    let specifiers = python.and_then(|python| VersionSpecifiers::from_str(python).ok());
    if let (Some(python), Some(specifiers)) = (python, specifiers) {
        metadata.requires_python = Some(RequiresPython {
            setting: format!("Requires-Python: {python}"),
            place: whole(file),
            alternatives: vec![specifiers],
        });
    }
    Ok(metadata)
}

impl CoreMetadata {
    fn add(&mut self, line: &str, file: &Path, environment: &MarkerEnvironment) -> Result<(), CollectError> {
        let requirement = parse(line, &whole(file))?;
        let place = written_at(line, requirement.name.as_ref(), file);
        let mut needs_extra = false;
        for (extra, lines) in &mut self.extras {
            let with = requirement.marker.evaluate(environment, std::slice::from_ref(extra));
            if with && !requirement.marker.evaluate(environment, &[]) {
                let mut bare = requirement.clone();
                bare.marker = MarkerTree::TRUE;
                lines.push(Raw { text: bare.to_string(), place: place.clone() });
                needs_extra = true;
            }
        }
        let names_extra = requirement.marker.clone().simplify_extras_with(|_| true) != requirement.marker;
        if !needs_extra && !names_extra {
            self.requires.push(Raw { text: line.to_string(), place });
        }
        Ok(())
    }
}

/// Where a requirement that only Python could tell is written: the line of `file`, or of a file that it may have read,
/// that has its text, else that has its name in quotes or at its start; `file` itself where none does.
fn written_at(requirement: &str, name: &str, file: &Path) -> Place {
    let directory = file.parent().unwrap_or(Path::new("."));
    let others = ["setup.cfg", "requirements.txt", "pyproject.toml"].map(|name| directory.join(name));
    let files: Vec<(&Path, String)> = std::iter::once(file)
        .chain(others.iter().map(PathBuf::as_path).filter(|other| *other != file))
        .filter_map(|path| Some((path, bounded_file::read_text(path, TEXT_LIMIT_BYTES).ok()?)))
        .collect();
    let plain = |text: &str| -> String {
        let text = text.chars().filter(|each| !each.is_whitespace() && *each != '(' && *each != ')');
        text.map(|each| if each == '_' || each == '.' { '-' } else { each.to_ascii_lowercase() }).collect()
    };
    let whole_text = plain(requirement.split(';').next().unwrap_or(requirement));
    let is_end = |rest: &str| !rest.starts_with(|each: char| each.is_ascii_alphanumeric() || each == '-');
    let starts = |line: &str, text: &str| line.strip_prefix(text).is_some_and(is_end);
    let quoted = |line: &str, text: &str| {
        let mut parts = line.split(['"', '\'']).skip(1);
        starts(line, text) || parts.any(|part| starts(part, text))
    };
    for text in [whole_text.as_str(), name] {
        for (path, content) in &files {
            let at = content.lines().position(|line| quoted(&plain(line), text));
            if let Some(index) = at {
                return Place { file: path.to_path_buf(), line: Some(index + 1), column: None };
            }
        }
    }
    whole(file)
}

/// `PKG-INFO` with the lines of an egg-info's `requires.txt`, as older releases of setuptools keep them apart.
///
/// Sections of requires.txt are `[extra]`, `[:marker]` and `[extra:marker]`.
/// Source: setuptools' documentation, "Internal structure of eggs"; the rewriting is what Python's
/// `importlib.metadata` does.
pub(super) fn with_requires_txt(pkg_info: Vec<u8>, requires_txt: &str) -> Vec<u8> {
    let headers = Headers::parse(&pkg_info);
    if headers.first("Requires-Dist").is_some() {
        return pkg_info;
    }
    let known: Vec<&str> = headers.all("Provides-Extra").collect();
    let mut lines = Vec::new();
    let mut condition = String::new();
    for line in requires_txt.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let section = line.strip_prefix('[').and_then(|line| line.strip_suffix(']'));
        let Some(section) = section else {
            lines.push(format!("Requires-Dist: {line}{condition}"));
            continue;
        };
        let (extra, marker) = section.split_once(':').unwrap_or((section, ""));
        if !extra.is_empty() && !known.contains(&extra) {
            lines.push(format!("Provides-Extra: {extra}"));
        }
        condition = match (extra, marker) {
            ("", marker) => format!(" ; {marker}"),
            (extra, "") => format!(" ; extra == \"{extra}\""),
            (extra, marker) => format!(" ; ({marker}) and extra == \"{extra}\""),
        };
    }
    lines.push(String::new());
    [lines.join("\n").into_bytes(), pkg_info].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::{PythonVersion, Target};

    #[test]
    fn a_requires_txt_stands_in_for_missing_headers() {
        let requires =
            "a\n\n[:sys_platform == \"linux\"]\nb\n\n[dev]\nc\n\n[dev:python_version > \"3\"]\nd\n";
        let text = with_requires_txt(b"Name: p\n".to_vec(), requires);
        let environment = Target::serverless(PythonVersion::DEFAULT).marker_environment();
        let metadata = read(&text, Path::new("setup.py"), &environment).unwrap();
        let texts = |raws: &[Raw]| raws.iter().map(|raw| raw.text.clone()).collect::<Vec<_>>();
        assert_eq!(texts(&metadata.requires), ["a", "b ; sys_platform == \"linux\""]);
        let extras: Vec<_> = metadata.extras.values().map(|raws| texts(raws)).collect();
        assert_eq!(extras, [["c", "d"]]);
    }

    #[test]
    fn what_an_extra_asks_for_is_kept_apart() {
        let text = "Metadata-Version: 2.1\nName: My_Proj\nProvides-Extra: dev\nRequires-Python: >=3.8\n\
                    Requires-Dist: a>=1\nRequires-Dist: b; python_version < \"3.9\"\n\
                    Requires-Dist: c; extra == \"dev\"\n\
                    Requires-Dist: d; python_version < \"3.9\" and extra == \"dev\"\n\nRequires-Dist: body\n";
        let environment = Target::serverless(PythonVersion::DEFAULT).marker_environment();
        let metadata = read(text.as_bytes(), Path::new("setup.py"), &environment).unwrap();
        let texts = |raws: &[Raw]| raws.iter().map(|raw| raw.text.clone()).collect::<Vec<_>>();
        assert_eq!(metadata.name.unwrap().as_ref(), "my-proj");
        assert_eq!(texts(&metadata.requires), ["a>=1", "b; python_version < \"3.9\""]);
        let extras: Vec<_> = metadata.extras.iter().map(|(k, v)| (k.to_string(), texts(v))).collect();
        assert_eq!(extras, [("dev".to_string(), vec!["c".to_string()])]);
    }
}
