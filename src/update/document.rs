//! The document that a code location is updated to: its entry in `dagster_cloud.yaml`, and what this run adds.
//!
//! Source: what dagster-cloud-cli 1.13.27 sends. Mappings merge, anything else replaces; `build` is only for building,
//! and keys that are null are left out, as the server refuses them.

use crate::context::revision::Revision;
use crate::project::Location;
use crate::target::PythonVersion;
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// The code that a code location is to run.
#[derive(Debug, Clone, Copy)]
pub enum Code<'a> {
    /// PEX files, for this Python.
    Pex {
        /// Both names.
        tag: &'a str,
        /// What Dagster+ chooses an image by, if none is given.
        python: PythonVersion,
    },
    /// An image with the code in it, in place of the entry's own.
    Image(&'a str),
}

/// What a run adds to every document.
#[derive(Debug, Clone, Default)]
pub struct Additions {
    /// The commit.
    pub revision: Revision,
    /// Image to run PEX files on, in place of the entry's own.
    pub image: Option<String>,
    /// `defs_state_info`, unchanged.
    pub defs_state_info: Option<Value>,
    /// The top directory of the repository that the code is in, if it is in one.
    pub repository_root: Option<PathBuf>,
}

/// The document for one code location.
pub fn location_document(location: &Location, code: Code<'_>, additions: &Additions) -> Map<String, Value> {
    let entry = &location.document;
    let mut document: Map<String, Value> =
        entry.iter().filter(|(key, value)| *key != "build" && !value.is_null()).map(owned).collect();
    let mut added = Map::new();
    let mut git = json!(additions.revision);
    if let Some(path) = defs_base_path(location, additions) {
        git["defs_base_path"] = json!(path);
    }
    added.insert("git".into(), git);
    if let Some(info) = &additions.defs_state_info {
        added.insert("defs_state_info".into(), info.clone());
    }
    match code {
        Code::Image(image) => drop(added.insert("image".into(), json!(image))),
        Code::Pex { tag, python } => {
            if let Some(image) = &additions.image {
                added.insert("image".into(), json!(image));
            }
            // One of `image` and `python_version` decides what the PEX files run on, so only one is sent.
            let pex_metadata = match added.contains_key("image") || document.contains_key("image") {
                true => json!({"pex_tag": tag}),
                false => json!({"pex_tag": tag, "python_version": python.to_string()}),
            };
            added.insert("pex_metadata".into(), pex_metadata);
        }
    }
    merge(&mut document, added);
    document
}

/// The path of a dg project's definitions in its repository, with `/`: where Dagster+ commits components that are made in
/// its UI. dg has one value for a whole deploy, and none for a workspace; here each project has its own.
/// Source: `dg plus deploy` of dagster-dg-cli 1.13.27.
fn defs_base_path(location: &Location, additions: &Additions) -> Option<String> {
    let path = location.dg.as_ref()?.defs_path.as_ref()?.canonicalize().ok()?;
    let root = additions.repository_root.as_ref()?.canonicalize().ok()?;
    let parts = path.strip_prefix(root).ok()?.components();
    Some(parts.map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/"))
}

fn owned((key, value): (&String, &Value)) -> (String, Value) {
    (key.clone(), value.clone())
}

/// Merge `added` over `document`.
fn merge(document: &mut Map<String, Value>, added: Map<String, Value>) {
    for (key, value) in added {
        match (document.get_mut(&key), value) {
            (Some(Value::Object(old)), Value::Object(new)) => merge(old, new),
            (_, value) => drop(document.insert(key, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Place;
    use crate::project::DgProject;
    use std::collections::BTreeMap;

    fn document(entry: Value, additions: &Additions) -> Value {
        let tag = "files=deps-a.pex:source-b.pex";
        let code = Code::Pex { tag, python: PythonVersion::DEFAULT };
        Value::Object(location_document(&location(entry), code, additions))
    }

    fn location(entry: Value) -> Location {
        let Value::Object(document) = entry else { panic!() };
        let place = Place { file: "dagster_cloud.yaml".into(), line: None, column: None };
        let (name, directory, places) = ("one".into(), "/p".into(), BTreeMap::new());
        Location { name, directory, document, dg: None, place, places }
    }

    #[test]
    fn a_document_is_the_entry_and_what_the_run_adds() {
        let additions = Additions {
            revision: Revision {
                commit_hash: Some("ab".into()),
                url: Some("https://h/t/ab".into()),
                ..Revision::default()
            },
            ..Additions::default()
        };
        let got = document(
            json!({
                "location_name": "one", "code_source": {"package_name": "p"}, "build": {"directory": "x"},
                "container_context": {"k8s": {"env_vars": ["A=1"]}}, "agent_queue": "q", "image": null,
                "git": {"url": "https://old", "defs_base_path": "d"}, "a_future_key": [1],
            }),
            &additions,
        );
        let want = json!({
            "location_name": "one", "code_source": {"package_name": "p"},
            "container_context": {"k8s": {"env_vars": ["A=1"]}}, "agent_queue": "q",
            "git": {"url": "https://h/t/ab", "defs_base_path": "d", "commit_hash": "ab"}, "a_future_key": [1],
            "pex_metadata": {"pex_tag": "files=deps-a.pex:source-b.pex", "python_version": "3.11"},
        });
        assert_eq!(got, want);
    }

    #[test]
    fn an_image_takes_the_place_of_the_python_version() {
        let entry = json!({"location_name": "one", "code_source": {"package_name": "p"}});
        let mut own = entry.clone();
        own["image"] = json!("own:1");
        let given = Additions { image: Some("given:1".into()), ..Additions::default() };
        for (entry, additions, image) in [
            (own.clone(), &Additions::default(), "own:1"),
            (own, &given, "given:1"),
            (entry, &given, "given:1"),
        ] {
            let got = document(entry, additions);
            assert_eq!(
                (got["image"].as_str(), got["pex_metadata"].get("python_version")),
                (Some(image), None)
            );
        }
    }

    #[test]
    fn an_image_with_the_code_in_it_has_no_pex_files() {
        let entry = location(json!({
            "location_name": "one", "code_source": {"package_name": "p"}, "image": "own:1",
            "build": {"registry": "r.example/one"}, "container_context": {"k8s": {"env_vars": ["A=1"]}},
        }));
        let additions = Additions { image: Some("base:1".into()), ..Additions::default() };
        let want = json!({
            "location_name": "one", "code_source": {"package_name": "p"}, "image": "r.example/one:t",
            "container_context": {"k8s": {"env_vars": ["A=1"]}}, "git": {},
        });
        assert_eq!(
            Value::Object(location_document(&entry, Code::Image("r.example/one:t"), &additions)),
            want
        );
    }

    #[test]
    fn the_definitions_of_a_dg_project_have_a_path_in_its_repository() {
        let dir = tempfile::tempdir().unwrap();
        let (root, defs) = (dir.path().join("repo"), dir.path().join("repo/projects/shop/src/shop/defs"));
        std::fs::create_dir_all(&defs).unwrap();
        let path = |defs_path: Option<PathBuf>, repository_root: Option<PathBuf>| {
            let mut location = location(json!({"location_name": "one"}));
            location.dg = Some(DgProject { root: dir.path().into(), defs_path });
            let additions = Additions { repository_root, ..Additions::default() };
            location_document(&location, Code::Image("a:1"), &additions)["git"].get("defs_base_path").cloned()
        };
        assert_eq!(path(Some(defs.clone()), Some(root.clone())), Some(json!("projects/shop/src/shop/defs")));
        for (defs_path, root) in [
            (None, Some(root.clone())),
            (Some(defs.clone()), None),
            (Some(defs), Some(dir.path().join("repo/other"))),
            (Some(dir.path().to_path_buf()), Some(root)),
        ] {
            assert_eq!(path(defs_path, root), None);
        }
    }

    #[test]
    fn defs_state_info_is_passed_on() {
        let entry = json!({"location_name": "one", "code_source": {"package_name": "p"}});
        let additions = Additions { defs_state_info: Some(json!({"x": 1})), ..Additions::default() };
        assert_eq!(document(entry, &additions)["defs_state_info"], json!({"x": 1}));
    }
}
