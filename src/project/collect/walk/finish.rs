//! The end of the walk: what it found as a value, with words about what was left out.

use super::super::error::whole;
use super::super::package::Package;
use super::super::pyproject::Raw;
use super::super::requirement::leading_name;
use super::{Visited, Walk};
use crate::project::{CollectOptions, LocalPackage, NotTaken, PackageBuild, Requirements};
use pep508_rs::{ExtraName, PackageName};
use std::collections::BTreeMap;
use std::path::PathBuf;

impl Walk<'_> {
    /// Of two local packages of one name only one can be imported.
    pub(super) fn warn_of_namesakes(&mut self) {
        let mut known: BTreeMap<PackageName, PathBuf> = BTreeMap::new();
        let mut twice = Vec::new();
        for visited in &self.visited {
            let Some(name) = visited.package.as_ref().and_then(|package| package.name.clone()) else {
                continue;
            };
            if let Some(other) = known.insert(name.clone(), visited.directory.clone()) {
                let message = format!("this local package and `{}` are both named `{name}`", other.display());
                twice.push((message, whole(&visited.directory)));
            }
        }
        for (message, place) in twice {
            self.warn(message, Some(place));
        }
    }

    pub(super) fn finish(mut self) -> Requirements {
        for line in std::mem::take(&mut self.lines).into_values() {
            if let Some(name) = line.asked.name.as_ref().filter(|_| !line.asked.hashes.is_empty()) {
                let hashes = self.found.hashes.entry(name.to_string()).or_default();
                hashes.extend(line.asked.hashes.iter().cloned());
                hashes.sort();
                hashes.dedup();
            }
            if self.found.lock.is_none() {
                self.found.lines.push(line.requirement());
            }
        }
        self.warn_of_namesakes();
        for visited in &self.visited {
            let Some(package) = &visited.package else { continue };
            self.found.left_out.extend(left_out(visited, package, self.options));
            if visited.asked_by.is_none() {
                self.found.not_taken = not_taken(visited, package, self.options);
            }
            self.found.local_packages.push(LocalPackage {
                directory: visited.directory.clone(),
                name: package.name.as_ref().map(ToString::to_string),
                build: match &package.build {
                    Some(build) if !visited.is_virtual => build.clone(),
                    _ => PackageBuild::None,
                },
            });
        }
        self.found
    }
}

/// The extras and groups of the build directory that were not asked for.
fn not_taken(visited: &Visited, package: &Package, options: &CollectOptions) -> Vec<NotTaken> {
    let packages = |lines: &[Raw]| lines.iter().map(|raw| leading_name(&raw.text)).collect();
    let extras = package.extras.iter().filter(|(extra, _)| !visited.extras.contains(*extra));
    let extras = extras.map(|(extra, lines)| NotTaken {
        kind: "extra",
        flag: "--extra",
        name: extra.to_string(),
        packages: packages(lines),
    });
    let is_asked_for = |name: &str| options.groups.iter().any(|group| leading_name(group) == name);
    let groups = package.groups.keys().filter_map(|group| {
        let lines = package.group(group, &visited.directory).ok()?;
        let name = group.to_string();
        let (kind, flag) = ("dependency group", "--group");
        (!is_asked_for(&name)).then(|| NotTaken { kind, flag, name, packages: packages(&lines) })
    });
    extras.chain(groups).collect()
}

/// What exists and was not asked for, in a sentence.
fn left_out(visited: &Visited, package: &Package, options: &CollectOptions) -> Option<String> {
    let is_root = visited.asked_by.is_none();
    let list = |what: &str, names: &[String]| {
        format!("the {what}{} {}", if names.len() == 1 { "" } else { "s" }, names.join(", "))
    };
    let extras: Vec<String> = package
        .extras
        .keys()
        .filter(|extra| !visited.extras.contains(*extra))
        .map(ToString::to_string)
        .collect();
    let asked: Vec<ExtraName> =
        options.groups.iter().filter_map(|group| ExtraName::new(group.clone()).ok()).collect();
    let groups: Vec<String> = package
        .groups
        .keys()
        .filter(|group| is_root && !asked.contains(group))
        .map(ToString::to_string)
        .collect();
    let mut parts = Vec::new();
    if !extras.is_empty() {
        parts.push(format!("{} (--extra)", list("extra", &extras)));
    }
    if !groups.is_empty() {
        parts.push(format!("{} (--group)", list("dependency group", &groups)));
    }
    let name =
        package.name.as_ref().map_or_else(|| visited.directory.display().to_string(), ToString::to_string);
    (is_root && !parts.is_empty())
        .then(|| format!("`{name}` also has {}, not requested", parts.join(" and ")))
}
