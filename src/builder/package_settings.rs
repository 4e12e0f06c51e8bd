//! The settings in `[tool.uv]` for the build of one package: options and variables for its backend, additional
//! requirements, isolation.
//!
//! `uv build` does not know the name of the package that it builds here, so its settings by package name have no
//! effect; they are looked up by name and passed as settings for all packages. Packages that a build must see in
//! addition to its own requirements are installed into a separate directory on `PYTHONPATH`, so that the source
//! directory does not change. Source: uv's documentation, "Settings" and "Configuring projects", section on build
//! isolation.

use crate::project::ResolveSettings;
use crate::resolve::{self, Artifact, Resolution};
use crate::simple_index::ON_INDEX;
use crate::tools::{InstallRequest, Uv, UvError};
use crate::wheel::filename::normalized_name;
use std::path::{Path, PathBuf};
use toml::Value;

/// Keys of `[tool.uv]` that apply to packages that uv builds as dependencies.
const FOR_BUILDS: [&str; 4] =
    ["config-settings", "config-settings-package", "extra-build-dependencies", "extra-build-variables"];

/// Settings for the build of one package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackageSettings {
    name: String,
    /// `config-settings-package` for it and `config-settings`, as `KEY=VALUE`. A list repeats its key.
    pub config_settings: Vec<String>,
    /// `extra-build-variables`.
    pub variables: Vec<(String, String)>,
    /// `extra-build-dependencies`; `true` for those that must have the version installed at run time.
    further: Vec<(String, bool)>,
    /// `no-build-isolation`, or `no-build-isolation-package` with its name.
    sees_all: bool,
}

impl PackageSettings {
    /// The settings for the package `name`; without a name only those for all packages.
    pub fn for_package(settings: &ResolveSettings, name: Option<&str>) -> PackageSettings {
        let name = name.map(normalized_name).unwrap_or_default();
        let own = |key: &str| -> Option<&Value> {
            let table = settings.uv.get(key)?.as_table()?;
            table.iter().find(|(package, _)| normalized_name(package) == name).map(|(_, value)| value)
        };
        let all = settings.uv.get("config-settings");
        let of_package = own("config-settings-package");
        let pairs = of_package.into_iter().chain(all).filter_map(Value::as_table).flatten();
        let variables = own("extra-build-variables").and_then(Value::as_table).into_iter().flatten();
        let further = own("extra-build-dependencies").and_then(Value::as_array).into_iter().flatten();
        let listed = settings.uv.get("no-build-isolation-package").and_then(Value::as_array);
        let mut listed = listed.into_iter().flatten().filter_map(Value::as_str);
        PackageSettings {
            config_settings: pairs.flat_map(|(key, value)| config_setting(key, value)).collect(),
            variables: variables.map(|(key, value)| (key.clone(), text(value))).collect(),
            further: further.filter_map(requirement).collect(),
            sees_all: settings.uv.get("no-build-isolation").and_then(Value::as_bool) == Some(true)
                || listed.any(|package| normalized_name(package) == name),
            name,
        }
    }

    /// Whether nothing is set.
    pub fn is_default(&self) -> bool {
        *self == PackageSettings { name: self.name.clone(), ..PackageSettings::default() }
    }

    /// A text for the cache key: all settings, and for a build without isolation the packages that it sees.
    pub fn key(&self, resolution: &Resolution) -> String {
        let others = if self.sees_all { self.others(resolution) } else { Vec::new() };
        format!("{self:?} {:?} {others:?}", self.further_lines(Some(resolution)))
    }

    /// The directories that the build must see in addition to its own environment. They are made below `scratch`.
    ///
    /// Without isolation those are the other distributions of `resolution`, which uv installs first, and the packages
    /// of the interpreter itself.
    ///
    /// # Errors
    /// When a package cannot be installed.
    pub fn visible(
        &self,
        python: &Path,
        resolution: Option<&Resolution>,
        settings: &ResolveSettings,
        scratch: &Path,
        uv: &Uv,
    ) -> Result<Vec<PathBuf>, UvError> {
        let mut visible = Vec::new();
        let of_builds = settings.uv.iter().filter(|(key, _)| FOR_BUILDS.contains(&key.as_str()));
        let of_builds = of_builds.map(|(key, value)| (key.clone(), value.clone())).collect();
        let mut install = |into: &str, lines: &[String], no_dependencies: bool| {
            if lines.is_empty() {
                return Ok(());
            }
            let target = scratch.join(into);
            uv.install_into(&InstallRequest {
                target: &target,
                python,
                lines,
                no_dependencies,
                constraints: &settings.build_constraints,
                settings: &of_builds,
                index: &resolve::index_settings(settings),
            })?;
            visible.push(target);
            Ok(())
        };
        install("further", &self.further_lines(resolution), false)?;
        if self.sees_all {
            let others = resolution.map(|resolution| self.others(resolution)).unwrap_or_default();
            install("runtime", &others, true)?;
            visible.extend(uv.site_packages(python));
        }
        Ok(visible)
    }

    fn further_lines(&self, resolution: Option<&Resolution>) -> Vec<String> {
        let line = |(line, at_runtime): &(String, bool)| {
            let version = resolution
                .filter(|_| *at_runtime)
                .and_then(|resolution| resolution.version_of(&normalized_name(line)));
            version.map_or_else(|| line.clone(), |version| format!("{line}=={version}"))
        };
        self.further.iter().map(line).collect()
    }

    fn others(&self, resolution: &Resolution) -> Vec<String> {
        let others = resolution.distributions.iter().filter(|other| other.name != self.name);
        others
            .map(|other| match (&other.artifact, &other.version) {
                // uv looks for it by itself.
                (Artifact::Wheel(file) | Artifact::Sdist { download: file, .. }, Some(version))
                    if file.url.starts_with(ON_INDEX) =>
                {
                    format!("{}=={version}", other.name)
                }
                (Artifact::Wheel(file) | Artifact::Sdist { download: file, .. }, _) => {
                    format!("{} @ {}", other.name, file.url)
                }
                (Artifact::Git { url, commit, subdirectory }, _) => {
                    let part = subdirectory.as_ref().map(|at| format!("#subdirectory={at}"));
                    format!("{} @ git+{url}@{commit}{}", other.name, part.unwrap_or_default())
                }
            })
            .collect()
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), String::from)
}

fn config_setting(key: &str, value: &Value) -> Vec<String> {
    match value {
        Value::Array(values) => values.iter().map(|value| format!("{key}={}", text(value))).collect(),
        value => vec![format!("{key}={}", text(value))],
    }
}

/// `"six"`, or `{ requirement = "torch", match-runtime = true }`.
fn requirement(value: &Value) -> Option<(String, bool)> {
    match value {
        Value::String(line) => Some((line.clone(), false)),
        Value::Table(table) => {
            let at_runtime = table.get("match-runtime").and_then(Value::as_bool).unwrap_or(false);
            Some((table.get("requirement")?.as_str()?.to_string(), at_runtime))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_a_package_are_found_by_any_spelling_of_its_name() {
        let text = "
            config-settings = { all = 'yes', flags = ['-a', '-b'] }
            config-settings-package.Need_Six = { own = true }
            extra-build-variables.need-six = { MODE = 'fast' }
            extra-build-dependencies = { 'need.six' = ['six', { requirement = 'torch', match-runtime = true }], other = ['x'] }
            no-build-isolation-package = ['NEED-SIX']";
        let settings = ResolveSettings { uv: text.parse().unwrap(), ..ResolveSettings::default() };
        let found = PackageSettings::for_package(&settings, Some("need-six"));
        assert_eq!(found.config_settings, ["own=true", "all=yes", "flags=-a", "flags=-b"]);
        assert_eq!(found.variables, [("MODE".to_string(), "fast".to_string())]);
        assert_eq!(found.further_lines(None), ["six", "torch"]);
        assert!(found.sees_all && !found.is_default());
        let other = PackageSettings::for_package(&settings, None);
        assert_eq!(other.config_settings, ["all=yes", "flags=-a", "flags=-b"]);
        assert!(other.variables.is_empty() && other.further.is_empty() && !other.sees_all);
        assert!(PackageSettings::for_package(&ResolveSettings::default(), Some("a")).is_default());
    }

    /// There is no URL to install such a file from.
    #[test]
    fn a_file_that_is_still_to_be_found_on_an_index_is_named_by_its_version() {
        let mut resolution = crate::resolve::testing::resolution_with("a 1, b 2, c 3");
        let Artifact::Wheel(download) = &mut resolution.distributions[1].artifact else { panic!() };
        download.url = ON_INDEX.into();
        let settings = PackageSettings { name: "c".into(), ..PackageSettings::default() };
        assert_eq!(settings.others(&resolution), ["a @ https://e.example/a", "b==2"]);
    }
}
