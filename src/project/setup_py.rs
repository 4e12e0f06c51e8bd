//! A `setup.py` that can be read without running it: imports of setuptools, constants, and one call of `setup` whose
//! arguments are literals and `find_packages(…)`. Such a script does the same wherever it runs.
//!
//! Anything else is not read here: then Python is asked. Sources: "Lexical analysis" of the Python language reference;
//! setuptools' documentation, "Keywords".

mod parser;
mod tokens;

use crate::bounded_file::{TEXT_LIMIT_BYTES, read_text};
use crate::wheel::filename::normalized_name;
use crate::wheel::requirement::{self, Link};
use pep440_rs::VersionSpecifiers;
use pep508_rs::{ExtraName, PackageName, Requirement, VersionOrUrl};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::str::FromStr;
use toml::Table;

/// Keywords that say something about the distribution, or choose files by their paths. Others run code, read files or
/// install something.
const KEYWORDS: [&str; 27] = [
    "author",
    "author_email",
    "classifiers",
    "description",
    "download_url",
    "entry_points",
    "exclude_package_data",
    "extras_require",
    "include_package_data",
    "install_requires",
    "keywords",
    "license",
    "long_description",
    "long_description_content_type",
    "maintainer",
    "maintainer_email",
    "name",
    "package_data",
    "package_dir",
    "packages",
    "platforms",
    "project_urls",
    "py_modules",
    "python_requires",
    "url",
    "version",
    "zip_safe",
];
/// Those with paths or patterns of paths.
const PATHS: [&str; 5] = ["exclude_package_data", "package_data", "package_dir", "packages", "py_modules"];

/// Sections of a `setup.cfg` that are for other tools.
const OTHER_TOOLS: [&str; 8] =
    ["coverage:", "flake8", "isort", "mypy", "pep8", "pycodestyle", "pylint", "tool:"];

/// The arguments of `setup`.
#[derive(Debug, PartialEq, Eq)]
pub struct SetupPy(BTreeMap<String, Value>);

/// A value in a `setup.py`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Text(String),
    /// A list, a tuple, or the arguments of `find_packages`.
    List(Vec<Value>),
    Table(Vec<(Value, Value)>),
    /// A number, a boolean or `None`.
    Other,
}

impl SetupPy {
    /// Read the script in `directory`; `None` if it has to be run, or if other files say more about the package.
    pub fn read(directory: &Path) -> Option<SetupPy> {
        let text = |name: &str| match directory.join(name) {
            path if path.symlink_metadata().is_err() => Some(String::new()),
            path => read_text(&path, TEXT_LIMIT_BYTES).ok(),
        };
        let mut setup = SetupPy::parse(&text("setup.py")?)?;
        let pyproject: Table = text("pyproject.toml")?.parse().ok()?;
        let tool = |name: &str| pyproject.get("tool").and_then(|tool| tool.get(name)).is_some();
        if ["project", "build-system"].iter().any(|key| pyproject.contains_key(*key))
            || ["setuptools", "distutils"].into_iter().any(tool)
        {
            return None;
        }
        if let Some(name) = name_in_setup_cfg(&text("setup.cfg")?)? {
            let own = setup.0.entry("name".into()).or_insert_with(|| Value::Text(name.clone()));
            (normalized_name(own.text()?) == normalized_name(&name)).then_some(())?;
        }
        Some(setup)
    }

    fn parse(text: &str) -> Option<SetupPy> {
        let arguments = parser::setup_call(tokens::read(text)?)?;
        arguments.keys().all(|keyword| KEYWORDS.contains(&keyword.as_str())).then_some(SetupPy(arguments))
    }

    /// Its core metadata, as far as they decide what is installed with it; `None` if only setuptools can tell.
    pub fn metadata(&self) -> Option<String> {
        let name = self.0.get("name")?.text()?;
        PackageName::new(name.to_string()).ok()?;
        let mut metadata = format!("Metadata-Version: 2.1\nName: {name}\n");
        if let Some(python) = self.0.get("python_requires") {
            let python = python.text()?;
            VersionSpecifiers::from_str(python).ok()?;
            // Writing to a string cannot fail.
            let _ = writeln!(metadata, "Requires-Python: {python}");
        }
        for line in self.0.get("install_requires").map_or(Some(&[][..]), Value::items)? {
            let _ = writeln!(metadata, "Requires-Dist: {}", line.requirement()?);
        }
        let extras = match self.0.get("extras_require") {
            None => &[],
            Some(Value::Table(extras)) => extras.as_slice(),
            Some(_) => return None,
        };
        for (extra, lines) in extras {
            let extra = ExtraName::new(extra.text()?.to_string()).ok()?;
            let _ = writeln!(metadata, "Provides-Extra: {extra}");
            for line in lines.items()? {
                let line = line.requirement().filter(|line| !line.contains(';'))?;
                let _ = writeln!(metadata, "Requires-Dist: {line} ; extra == '{extra}'");
            }
        }
        Some(metadata)
    }

    /// All texts in it that choose files.
    pub fn paths(&self) -> Vec<&str> {
        let mut found = Vec::new();
        PATHS.iter().filter_map(|keyword| self.0.get(*keyword)).for_each(|value| value.collect(&mut found));
        found
    }

    /// All texts in it.
    pub fn texts(&self) -> Vec<&str> {
        let mut found = Vec::new();
        self.0.values().for_each(|value| value.collect(&mut found));
        found
    }

    /// Whether packages are at the end of their paths in the tree: at most one directory has all of them.
    pub fn keeps_paths(&self) -> bool {
        match self.0.get("package_dir") {
            None => true,
            Some(Value::Table(places)) => places.iter().all(|(package, _)| package.text() == Some("")),
            Some(_) => false,
        }
    }
}

impl Value {
    fn text(&self) -> Option<&str> {
        if let Value::Text(text) = self { Some(text) } else { None }
    }

    fn items(&self) -> Option<&[Value]> {
        if let Value::List(items) = self { Some(items) } else { None }
    }

    /// A requirement on one line, without a comment, as setuptools writes it.
    fn requirement(&self) -> Option<String> {
        let line = self.text()?.trim();
        let is_plain = !line.contains('\n') && !line.contains(" #") && requirement::check(line).is_ok();
        let parsed: Requirement<Link> = line.parse().ok().filter(|_| is_plain)?;
        let is_url = matches!(parsed.version_or_url, Some(VersionOrUrl::Url(_)));
        Some(if is_url { line.to_string() } else { parsed.to_string() })
    }

    fn collect<'v>(&'v self, found: &mut Vec<&'v str>) {
        match self {
            Value::Text(text) => found.push(text),
            Value::List(items) => items.iter().for_each(|item| item.collect(found)),
            Value::Table(items) => items.iter().for_each(|(key, value)| {
                key.collect(found);
                value.collect(found);
            }),
            Value::Other => {}
        }
    }
}

/// The name of the package in a `setup.cfg` that says nothing else to setuptools; `None` if it may say more.
fn name_in_setup_cfg(text: &str) -> Option<Option<String>> {
    let (mut name, mut section) = (None, "");
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with(['#', ';'])) {
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end().strip_suffix(']')?;
        } else if section == "metadata" {
            let (key, value) = line.split_once('=')?;
            (key.trim_end() == "name" && name.is_none()).then_some(())?;
            name = Some(value.trim().to_string());
        }
        let is_other = OTHER_TOOLS.iter().any(|start| section.starts_with(start));
        (section == "metadata" || is_other).then_some(())?;
    }
    Some(name)
}

#[cfg(test)]
mod tests;
