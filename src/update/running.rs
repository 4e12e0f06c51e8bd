//! What a deployment runs already, compared with what it would be updated to.
//!
//! Source of the metadata's shape: `CodeLocationDeployData` of dagster-cloud-cli 1.13.27, which Dagster+ keeps for each
//! code location and returns serialized (with `__class__` keys).

use super::Before;
use crate::builder::manifest::pex_tag;
use crate::dependencies::Ran;
use serde_json::{Map, Value};
use std::fmt;

/// Keys of `code_source`, which stand at the top of the metadata.
const CODE_SOURCE: [&str; 4] = ["python_file", "package_name", "module_name", "autoload_defs_module_name"];
/// Keys with the same name in document and metadata.
const ALIKE: [&str; 7] = [
    "image",
    "working_directory",
    "executable_path",
    "attribute",
    "agent_queue",
    "container_context",
    "defs_state_info",
];
/// Keys about the origin of the running code; a difference is not a reason to load it again.
const OF_THE_COMMIT: [&str; 6] = ["commit_hash", "url", "provider", "repo_owner", "repo_name", "base_branch"];

/// Why a code location differs from what it would be updated to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// It does not exist.
    Absent,
    /// It has not finished loading.
    Loading,
    /// It failed to load.
    Failed,
    /// The server does not report what it runs.
    Untold,
    /// It runs another source PEX.
    Source,
    /// It runs another deps PEX, or which one it would be is not known yet.
    Deps,
    /// Another value of this key in its document.
    Document(&'static str),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::Absent => f.write_str("it is not there yet"),
            Difference::Loading => f.write_str("it has not finished loading"),
            Difference::Failed => f.write_str("it failed to load"),
            Difference::Untold => f.write_str("Dagster+ does not report what it runs"),
            Difference::Source => f.write_str("its source PEX differs"),
            Difference::Deps => f.write_str("its deps PEX differs"),
            Difference::Document(key) => write!(f, "its `{key}` differs"),
        }
    }
}

impl Before {
    /// The existing code locations.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        // Both lists, since the two queries are answered at different moments.
        let states = self.states.keys();
        states.chain(self.metadata.iter().flat_map(|metadata| metadata.keys())).map(String::as_str)
    }

    /// Whether there is a code location of this name.
    pub fn has(&self, name: &str) -> bool {
        self.states.contains_key(name) || self.metadata(name).is_some()
    }

    /// Whether the code location has loaded, as far as the server reports it.
    pub fn is_serving(&self, name: &str) -> bool {
        let state = self.states.get(name);
        state.is_some_and(|state| state.loaded && !state.unclear && state.failure.is_none())
    }

    /// The deps PEX (`deps-…`) that a code location runs, if the server reports it.
    pub fn deps_file(&self, name: &str) -> Option<String> {
        files(&self.metadata(name)?).into_iter().find(|file| file.starts_with("deps-"))
    }

    /// The image that a code location runs from, if it runs no PEX files and the server reports it.
    pub fn image(&self, name: &str) -> Option<String> {
        let metadata = self.metadata(name)?;
        files(&metadata).is_empty().then(|| metadata["image"].as_str().map(String::from))?
    }

    /// What a code location runs its distributions from, if the server reports it.
    pub(super) fn ran(&self, name: &str) -> Option<Ran> {
        self.deps_file(name).map(Ran::DepsPex).or_else(|| self.image(name).map(Ran::Image))
    }

    /// Why an update of the code location `name` to `document` would change something; `None` if it has loaded without
    /// an error, from these PEX files, with otherwise the same document. Keys that only describe the commit do not
    /// count.
    pub fn difference(&self, name: &str, document: &Map<String, Value>) -> Option<Difference> {
        if !self.has(name) {
            return Some(Difference::Absent);
        }
        let Some(metadata) = self.metadata(name) else { return Some(Difference::Untold) };
        match self.states.get(name) {
            None => return Some(Difference::Untold),
            Some(state) if state.failure.is_some() => return Some(Difference::Failed),
            Some(state) if state.unclear => return Some(Difference::Untold),
            Some(state) if !state.loaded => return Some(Difference::Loading),
            Some(_) => {}
        }
        pex_difference(&metadata, document).or_else(|| document_difference(&metadata, document))
    }

    pub(super) fn metadata(&self, name: &str) -> Option<Value> {
        let text = self.metadata.as_ref()?.get(name)?;
        serde_json::from_str::<Value>(text).ok().filter(Value::is_object)
    }
}

/// The PEX files that a code location with this metadata runs.
pub(super) fn files(metadata: &Value) -> Vec<String> {
    let tag = metadata["pex_metadata"]["pex_tag"].as_str().unwrap_or_default();
    tag.trim_start_matches("files=").split(':').filter(|name| !name.is_empty()).map(String::from).collect()
}

/// Whether `metadata` is the result of an update to `document`, including its commit.
pub(super) fn is_made_by(metadata: &Value, document: &Map<String, Value>) -> bool {
    let git = |value: &Value, key: &str| plain(&value[key]);
    let commit = document.get("git").cloned().unwrap_or_default();
    pex_difference(metadata, document).is_none()
        && document_difference(metadata, document).is_none()
        && ["commit_hash", "url"].iter().all(|key| git(&metadata["git_metadata"], key) == git(&commit, key))
}

fn pex_difference(metadata: &Value, document: &Map<String, Value>) -> Option<Difference> {
    let Some(wanted) = document.get("pex_metadata") else {
        return (!files(metadata).is_empty()).then_some(Difference::Document("pex_metadata"));
    };
    let (runs, gets) = (files(metadata), files(&Value::Object(document.clone())));
    let tag = |files: &[String]| pex_tag(&files.iter().map(String::as_str).collect::<Vec<_>>());
    // As tags, which do not depend on the order of the files.
    if tag(&runs) == tag(&gets) {
        let same = plain(&metadata["pex_metadata"]["python_version"]) == plain(&wanted["python_version"]);
        return (!same).then_some(Difference::Document("python_version"));
    }
    let source = gets.iter().find(|name| name.starts_with("source-"));
    let same_source = source.is_some_and(|source| runs.contains(source));
    Some(if same_source { Difference::Deps } else { Difference::Source })
}

fn document_difference(metadata: &Value, document: &Map<String, Value>) -> Option<Difference> {
    let wanted = |key: &str| document.get(key).unwrap_or(&Value::Null);
    let same = |one: &Value, other: &Value| plain(one) == plain(other);
    let differs = |key: &&&'static str| !same(&metadata[**key], wanted(key));
    if let Some(key) = ALIKE.iter().find(differs) {
        return Some(Difference::Document(key));
    }
    if CODE_SOURCE.iter().any(|key| !same(&metadata[*key], &wanted("code_source")[*key])) {
        return Some(Difference::Document("code_source"));
    }
    let git = |value: &Value| {
        let mut git = plain(value).as_object().cloned().unwrap_or_default();
        git.retain(|key, _| !OF_THE_COMMIT.contains(&key.as_str()));
        git
    };
    (git(&metadata["git_metadata"]) != git(wanted("git"))).then_some(Difference::Document("git"))
}

/// A value without `__class__` keys, nulls, empty mappings and empty texts.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().filter(|(key, _)| *key != "__class__");
            let kept =
                kept.map(|(key, value)| (key.clone(), plain(value))).filter(|(_, value)| !value.is_null());
            let kept: Map<String, Value> = kept.collect();
            if kept.is_empty() { Value::Null } else { Value::Object(kept) }
        }
        Value::Array(items) => Value::Array(items.iter().map(plain).collect()),
        Value::String(text) if text.is_empty() => Value::Null,
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dagster::operations::{LoadState, PythonFailure};
    use serde_json::json;

    fn metadata() -> Value {
        json!({
            "__class__": "CodeDeploymentMetadata", "image": null, "python_file": "defs.py", "package_name": null,
            "module_name": null, "working_directory": null, "executable_path": null, "attribute": null,
            "agent_queue": null, "autoload_defs_module_name": null, "defs_state_info": null, "cloud_context_env": {},
            "container_context": {"k8s": {"env_vars": ["A=1"]}},
            "git_metadata": {"__class__": "GitMetadata", "commit_hash": "old", "url": "https://old", "defs_base_path": "d"},
            "pex_metadata": {"__class__": "PexMetadata", "pex_tag": "files=deps-a.pex:source-b.pex", "python_version": "3.11"},
        })
    }

    fn document() -> Value {
        json!({
            "location_name": "one", "code_source": {"python_file": "defs.py"},
            "container_context": {"k8s": {"env_vars": ["A=1"]}},
            "git": {"commit_hash": "new", "url": "https://new", "provider": "github", "base_branch": "main", "defs_base_path": "d"},
            "pex_metadata": {"pex_tag": "files=deps-a.pex:source-b.pex", "python_version": "3.11"},
        })
    }

    fn before(loaded: bool, failure: Option<&str>, metadata: Option<String>) -> Before {
        let failure = failure.map(|message| PythonFailure {
            message: message.into(),
            stack: Vec::new(),
            chain: Vec::new(),
        });
        let state = LoadState { name: "one".into(), loaded, unclear: false, failure, stamp: None };
        Before {
            same_documents: false,
            states: [("one".to_string(), state)].into(),
            metadata: metadata.map(|text| [("one".to_string(), text)].into()),
        }
    }

    fn difference(change: impl FnOnce(&mut Value)) -> Option<Difference> {
        let mut document = document();
        change(&mut document);
        let before = before(true, None, Some(metadata().to_string()));
        before.difference("one", document.as_object().unwrap())
    }

    #[test]
    fn another_commit_alone_is_no_difference() {
        assert_eq!(difference(|_| ()), None);
        assert_eq!(difference(|document| document["container_context"]["ecs"] = json!({})), None);
    }

    #[test]
    fn whatever_else_a_document_has_is_one() {
        let tag = |tag: &str| {
            let tag = json!(tag);
            difference(move |document| document["pex_metadata"]["pex_tag"] = tag)
        };
        assert_eq!(tag("files=deps-a.pex:source-c.pex"), Some(Difference::Source));
        assert_eq!(tag("files=deps-c.pex:source-b.pex"), Some(Difference::Deps));
        assert_eq!(tag("files=source-b.pex:deps-a.pex"), None);
        for (pointer, value, key) in [
            ("/pex_metadata/python_version", json!("3.12"), "python_version"),
            ("/code_source", json!({"package_name": "p"}), "code_source"),
            ("/code_source", json!({"python_file": "other.py"}), "code_source"),
            ("/container_context", Value::Null, "container_context"),
            ("/container_context/k8s/env_vars", json!(["A=2"]), "container_context"),
            ("/git/defs_base_path", json!("e"), "git"),
        ] {
            let got = difference(|document| *document.pointer_mut(pointer).unwrap() = value);
            assert_eq!(got, Some(Difference::Document(key)), "{pointer}");
        }
        for key in ["image", "agent_queue", "attribute", "working_directory", "executable_path"] {
            assert_eq!(difference(|document| document[key] = json!("x")), Some(Difference::Document(key)));
        }
        let info = json!({"info_mapping": {"x": {"version": "1"}}});
        let got = difference(|document| document["defs_state_info"] = info);
        assert_eq!(got, Some(Difference::Document("defs_state_info")));
    }

    #[test]
    fn an_image_in_place_of_pex_files_is_a_difference() {
        let to_image = |document: &mut Value| {
            document.as_object_mut().unwrap().remove("pex_metadata");
            document["image"] = json!("r.example/one:1");
        };
        assert_eq!(difference(to_image), Some(Difference::Document("pex_metadata")));
        let mut runs = metadata();
        runs["pex_metadata"] = Value::Null;
        runs["image"] = json!("r.example/one:1");
        let runs = before(true, None, Some(runs.to_string()));
        for (image, want) in
            [("r.example/one:1", None), ("r.example/one:2", Some(Difference::Document("image")))]
        {
            let mut document = document();
            to_image(&mut document);
            document["image"] = json!(image);
            assert_eq!(runs.difference("one", document.as_object().unwrap()), want);
        }
        assert_eq!(runs.image("one").as_deref(), Some("r.example/one:1"));
        assert_eq!(before(true, None, Some(metadata().to_string())).image("one"), None);
    }

    #[test]
    fn only_what_is_loaded_without_an_error_can_be_left_alone() {
        let document = document();
        let document = document.as_object().unwrap();
        let text = || Some(metadata().to_string());
        for (before, want) in [
            (before(true, None, text()), None),
            (before(true, Some("ImportError"), text()), Some(Difference::Failed)),
            (before(false, None, text()), Some(Difference::Loading)),
            (before(true, None, None), Some(Difference::Untold)),
            (before(true, None, Some("[".into())), Some(Difference::Untold)),
            (Before::default(), Some(Difference::Absent)),
        ] {
            assert_eq!(before.difference("one", document), want);
        }
        assert_eq!(before(true, None, text()).deps_file("one").as_deref(), Some("deps-a.pex"));
    }
}
