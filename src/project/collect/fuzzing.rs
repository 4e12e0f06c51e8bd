//! The parsers of this room for [`crate::fuzzing`].

use super::options;
use super::requirement::{self, Scope};
use super::text_encoding;
use super::uv_lock_reach::Selection;
use super::{
    core_metadata, poetry_lock as poetry, poetry_lock_export, pylock as lock, pyproject as project,
    requirements_txt as lines, uv_lock_export, uv_lock_file,
};
use crate::error::Place;
use crate::project::{CollectOptions, LockUse};
use crate::target::Target;
use pep508_rs::{ExtraName, PackageName};
use std::collections::BTreeSet;
use std::path::Path;
use std::str::FromStr;

fn place() -> Place {
    Place { file: "fuzz".into(), line: Some(1), column: None }
}

fn options(target: Target) -> CollectOptions {
    let extras = vec!["x".to_string()];
    CollectOptions {
        target,
        lock_use: LockUse::Automatic,
        extras,
        all_extras: true,
        groups: Vec::new(),
        reads_dockerfiles: false,
        workspaces: Default::default(),
    }
}

pub(crate) fn poetry_lock(path: &Path, target: Target) {
    let Ok(read) = poetry::read(path, &options(target)) else { return };
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let Ok(document) = text.parse() else { return };
    let environment = target.marker_environment();
    let extras: Vec<ExtraName> = ExtraName::from_str("x").into_iter().collect();
    let asked = poetry_lock_export::Asked {
        lines: read.pins.into_iter().map(|pin| (pin.name, extras.clone())).collect(),
        local: BTreeSet::new(),
        environment: &environment,
        index: "",
    };
    if let Ok(exported) = poetry_lock_export::export(&document, &asked) {
        let _ = lock::reduce(exported, path, &options(target));
    }
}

pub(crate) fn pylock(text: &str, target: Target) {
    let _ = lock::read(text, Path::new("/nowhere/pylock.toml"), &options(target));
}

pub(crate) fn pyproject(path: &Path) {
    let _ = project::read(path);
}

pub(crate) fn requirement(text: &str, target: Target) {
    let environment = target.marker_environment();
    let directory = Path::new("/nowhere");
    let scope = Scope::at(directory, &environment);
    let _ = requirement::read(text, scope, &place());
    let _ = requirement::read_editable(text, scope, &place());
    let _ = core_metadata::read(format!("Requires-Dist: {text}").as_bytes(), directory, &environment);
}

/// The documents that are made of a lock, for each member and for all.
pub(crate) fn uv_lock(path: &Path, target: Target) -> Vec<String> {
    let options = CollectOptions { extras: Vec::new(), all_extras: true, ..options(target) };
    let Ok(document) = uv_lock_file::read(path) else { return Vec::new() };
    let names = uv_lock_file::packages(&document).into_iter().map(|pin| Some(pin.name));
    let export = |name: Option<PackageName>| {
        let selection = Selection::new(name.as_ref(), &options).ok()?;
        let environment = options.target.marker_environment();
        let made = uv_lock_export::export(&document, Path::new("/nowhere"), &selection, &environment).ok()?;
        Some(lock::reduce(made, path, &options).ok()?.text)
    };
    names.chain([None]).filter_map(export).collect()
}

/// Options that name other files or addresses are split, and not followed.
pub(crate) fn requirements_txt(bytes: &[u8], target: Target) {
    let Ok(decoded) = text_encoding::decode(bytes, Path::new("requirements.txt")) else { return };
    for line in lines::logical_lines(&decoded.text) {
        if let Ok(split) = options::split(&line.text, &place()) {
            requirement(&split.requirement, target);
        }
    }
}
