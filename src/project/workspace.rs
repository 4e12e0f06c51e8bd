//! Reads `dagster_cloud.yaml`: its keys, and its code locations.
//!
//! Accepts what `dagster-cloud ci check` accepts and refuses what it refuses. It also refuses duplicate and blank
//! names, an empty list of locations, and a `defaults` that cannot be merged. All errors of the file are collected.
//! Source: dagster-cloud-cli 1.13.27, observed through `tests/it/project/workspace_oracle.rs`.

use super::error::ProjectError;
use super::reading::{Reading, directory_of};
use super::{Location, Warning, build_directory, defaults, unknown_key};
use crate::error::Place;
use crate::yaml::{self, Content, Entry, MAX_EXPANDED_BYTES, Mark, Node};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::Path;
use std::rc::Rc;

/// The type of a key's value. Null is always allowed, and means that the key is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Text,
    /// Any mapping.
    Mapping,
    Build,
    CodeSource,
}

type Keys = &'static [(&'static str, Shape)];

const LOCATION: Keys = &[
    ("location_name", Shape::Text),
    ("code_source", Shape::CodeSource),
    ("build", Shape::Build),
    ("working_directory", Shape::Text),
    ("image", Shape::Text),
    ("executable_path", Shape::Text),
    ("attribute", Shape::Text),
    ("container_context", Shape::Mapping),
    ("agent_queue", Shape::Text),
];
const DEFAULTS: Keys = &[
    ("build", Shape::Build),
    ("working_directory", Shape::Text),
    ("image", Shape::Text),
    ("executable_path", Shape::Text),
    ("container_context", Shape::Mapping),
    ("agent_queue", Shape::Text),
];
// `dockerfile` is read by some workflows of users, and not by Dagster+'s tools.
const BUILD: Keys = &[("directory", Shape::Text), ("registry", Shape::Text), ("dockerfile", Shape::Text)];
const CODE_SOURCE: Keys = &[
    ("package_name", Shape::Text),
    ("module_name", Shape::Text),
    ("python_file", Shape::Text),
    ("autoload_defs_module_name", Shape::Text),
];
const TOP: Keys = &[("locations", Shape::Mapping), ("defaults", Shape::Mapping)];

/// Where a key belongs that is unknown in another place.
const HOMES: &[(&str, Keys)] = &[
    ("under `code_source`", CODE_SOURCE),
    ("under `build`", BUILD),
    ("in an entry of `locations`", LOCATION),
    ("at the top of the file", TOP),
];

/// Keys that users know from other tools: where they appear, and the hint.
const CALLED_ELSEWHERE: &[(&str, Keys, &str)] = &[
    ("module", CODE_SOURCE, "did you mean `module_name`?"),
    ("python_module", CODE_SOURCE, "did you mean `module_name`?"),
    ("package", CODE_SOURCE, "did you mean `package_name`?"),
    ("python_package", CODE_SOURCE, "did you mean `package_name`?"),
    ("file", CODE_SOURCE, "did you mean `python_file`?"),
    ("module", LOCATION, MODULE),
    ("python_module", LOCATION, MODULE),
    ("name", LOCATION, "did you mean `location_name`?"),
    ("python_version", LOCATION, PYTHON_VERSION),
    ("python_version", BUILD, PYTHON_VERSION),
    ("python_version", DEFAULTS, PYTHON_VERSION),
    ("python_version", TOP, PYTHON_VERSION),
];
const MODULE: &str = "write `module_name` under `code_source`";
const PYTHON_VERSION: &str = "it is set with --python-version, or by a `.python-version` next to this file";

/// Read `file` into `reading`.
pub(super) fn inspect(file: &Path, reading: &mut Reading) {
    let mut inspector = Inspector { file, reading, unknown_keys: UnknownKeys::Refused };
    if let Some(root) = inspector.document() {
        inspector.top(&root);
    }
}

/// Read the YAML of `file`. Errors go to `reading`.
fn read_yaml(file: &Path, reading: &mut Reading) -> Option<yaml::Document> {
    let yaml_error = |error| ProjectError::Yaml { error, file: file.to_path_buf() };
    // One byte more than allowed shows that the file is too long.
    let limit = yaml::MAX_FILE_BYTES as u64 + 1;
    let mut bytes = Vec::new();
    let read = std::fs::File::open(file).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    let bytes = match read.map(|_| bytes) {
        Ok(bytes) => bytes,
        Err(source) => {
            reading.errors.push(ProjectError::Read { file: file.to_path_buf(), source });
            return None;
        }
    };
    match yaml::read(&bytes) {
        Ok(mut document) => {
            reading.errors.extend(std::mem::take(&mut document.problems).into_iter().map(yaml_error));
            Some(document)
        }
        Err(error) => {
            reading.errors.push(yaml_error(error));
            None
        }
    }
}

/// Read a YAML file with the content of `build`; `None` when it is empty or wrong.
pub(super) fn read_build(file: &Path, reading: &mut Reading) -> Option<Rc<Node>> {
    read_value(file, Shape::Build, reading)
}

/// Read a YAML file with the content of `container_context`; `None` when it is empty or wrong.
pub(super) fn read_container_context(file: &Path, reading: &mut Reading) -> Option<Rc<Node>> {
    read_value(file, Shape::Mapping, reading)
}

fn read_value(file: &Path, shape: Shape, reading: &mut Reading) -> Option<Rc<Node>> {
    let errors_before = reading.errors.len();
    let root = read_yaml(file, reading)?.root.filter(|root| !root.is_null())?;
    let mut inspector = Inspector { file, reading, unknown_keys: UnknownKeys::Ignored };
    let name = format!("`{}`", file.file_name().unwrap_or_default().to_string_lossy());
    inspector.value(&root, shape, &name, &name);
    inspector.doubtful_numbers(&root);
    (reading.errors.len() == errors_before).then_some(root)
}

/// How to treat unknown keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UnknownKeys {
    /// An error.
    Refused,
    /// A warning, as in the files that dg reads leniently.
    Ignored,
}

struct Inspector<'a> {
    file: &'a Path,
    reading: &'a mut Reading,
    unknown_keys: UnknownKeys,
}

impl Inspector<'_> {
    fn place(&self, mark: Mark) -> Place {
        Place { file: self.file.to_path_buf(), line: Some(mark.line), column: Some(mark.column) }
    }

    fn document(&mut self) -> Option<Rc<Node>> {
        let document = read_yaml(self.file, self.reading)?;
        let root = document.root.filter(|root| !root.is_null());
        if root.is_none() {
            let place = Place { file: self.file.to_path_buf(), line: None, column: None };
            self.reading.errors.push(ProjectError::Empty { place });
        }
        root
    }

    fn top(&mut self, root: &Node) {
        let Some(entries) = root.entries() else {
            return self.wrong_type("the file", "a mapping with `locations`", root);
        };
        // Otherwise every key would be reported as unknown.
        if root.entry("locations").is_none()
            && ["location_name", "code_source"].iter().any(|key| root.entry(key).is_some())
        {
            let place = self.place(root.mark);
            return self.reading.errors.push(ProjectError::OneLocation { place });
        }
        self.known_keys(entries, TOP, "the file");
        let defaults = root.entry("defaults").map(|entry| &entry.value).filter(|node| !node.is_null());
        if let Some(node) = defaults {
            self.mapping(node, DEFAULTS, "`defaults`");
        }
        match root.entry("locations").map(|entry| &entry.value) {
            None => self.missing("locations", "the file", "list your code locations under it", root),
            Some(node) => match &node.content {
                Content::Sequence(items) if !items.is_empty() => {
                    self.locations(items, defaults.map(std::convert::AsRef::as_ref));
                }
                Content::Mapping(_) => {
                    let hint = "put `- ` before the first key of each code location: `- location_name: …`";
                    self.wrong_type_with("`locations`", "a list of code locations", node, Some(hint.into()));
                }
                _ => self.wrong_type("`locations`", "a list of at least one code location", node),
            },
        }
    }

    fn locations(&mut self, items: &[Rc<Node>], defaults: Option<&Node>) {
        // Each location gets its own copy of `defaults`, which a small file can multiply to any size.
        let copies = defaults.map_or(0, Node::expanded_bytes).saturating_mul(items.len() as u64);
        if let Some(defaults) = defaults.filter(|_| copies > MAX_EXPANDED_BYTES) {
            let problem = format!("is too large for {} code locations", items.len());
            let place = self.place(defaults.mark);
            let key = "defaults".to_string();
            let owner = "the file".to_string();
            return self.reading.errors.push(ProjectError::Defaults { key, owner, problem, place });
        }
        let mut names: HashMap<String, usize> = HashMap::new();
        for (index, node) in items.iter().enumerate() {
            let owner = match node.entry("location_name").and_then(|entry| entry.value.text()) {
                Some(name) if !name.trim().is_empty() => format!("code location `{name}`"),
                _ => format!("code location {}", index + 1),
            };
            let errors_before = self.reading.errors.len();
            let name = self.location(node, &owner, &mut names);
            if self.reading.errors.len() == errors_before
                && let Some(name) = name
            {
                self.add(name, node, defaults, &owner);
            }
        }
    }

    /// Check one location. Returns its name, if it has a unique one.
    fn location(&mut self, node: &Node, owner: &str, names: &mut HashMap<String, usize>) -> Option<String> {
        if !self.mapping(node, LOCATION, owner) {
            return None;
        }
        let Some(entry) = node.entry("location_name").filter(|entry| !entry.value.is_null()) else {
            self.missing("location_name", owner, "give it a unique name", node);
            return None;
        };
        let name = entry.value.text()?.to_string();
        let place = self.place(entry.value.mark);
        if name.trim().is_empty() {
            let what = format!("`location_name` of {owner}");
            self.reading.errors.push(ProjectError::Blank { what, place });
            return None;
        }
        if name.chars().any(char::is_control) {
            let what = format!("`location_name` of {owner}");
            self.reading.errors.push(ProjectError::Control { what, place });
            return None;
        }
        if let Some(first) = names.get(&name) {
            let first = format!("on line {first}");
            self.reading.errors.push(ProjectError::DuplicateName { name, first, place });
            return None;
        }
        names.insert(name.clone(), entry.value.mark.line);
        Some(name)
    }

    /// Merge the defaults into a location and add it.
    fn add(&mut self, name: String, node: &Node, defaults: Option<&Node>, owner: &str) {
        let own = object(node.to_json());
        let document =
            match defaults::merge(&defaults.map(|node| object(node.to_json())).unwrap_or_default(), &own) {
                Ok(merged) => in_usual_order(merged),
                Err(conflict) => {
                    let place = self.place(deepest(node, &conflict.path).mark);
                    let key = conflict.path.join(".");
                    let (owner, problem) = (owner.to_string(), conflict.problem);
                    return self.reading.errors.push(ProjectError::Defaults { key, owner, problem, place });
                }
            };
        let place = self.place(node.mark);
        if !document.contains_key("code_source") {
            let message = format!("{owner} has no `code_source`, so Dagster+ cannot know what to load");
            self.reading.warnings.push(Warning { message, place: Some(place.clone()) });
        }
        self.doubtful_numbers(node);
        let given = document.get("build").and_then(|build| build.get("directory")).and_then(Value::as_str);
        // The place of the value that is used: the location's own, otherwise the default's.
        let said = [Some(node), defaults].into_iter().flatten().find_map(|node| {
            node.entry("build")?.value.entry("directory").filter(|entry| !entry.value.is_null())
        });
        let said = self.place(said.map_or(node.mark, |entry| entry.value.mark));
        let directory = match build_directory::resolve(&directory_of(self.file), given.unwrap_or_default()) {
            Ok(directory) => directory,
            Err(missing) => {
                let directory = missing.directory.clone();
                self.reading.errors.push(missing.error(owner, said));
                directory
            }
        };
        let places = self.code_places(node, defaults);
        self.reading.locations.push(Location { name, directory, document, dg: None, place, places });
    }

    /// The places of values that say which code to load.
    fn code_places(&self, node: &Node, defaults: Option<&Node>) -> BTreeMap<&'static str, Place> {
        let value = |owner: Option<&Node>, key: &str| {
            let mark = owner?.entry(key).filter(|entry| !entry.value.is_null())?.value.mark;
            Some(self.place(mark))
        };
        let sources = node.entry("code_source").map(|entry| &*entry.value);
        let own = ["working_directory", "attribute"].into_iter();
        let own = own.filter_map(|key| Some((key, value(Some(node), key).or_else(|| value(defaults, key))?)));
        let in_sources = CODE_SOURCE.iter().filter_map(|(key, _)| Some((*key, value(sources, key)?)));
        own.chain(in_sources).collect()
    }

    /// Warn about numbers that are probably meant as text: `1:30` is 90 and `0755` is 493.
    fn doubtful_numbers(&mut self, node: &Node) {
        match &node.content {
            Content::Number(plain) => {
                let digits = plain.written.trim_start_matches(['+', '-']);
                let octal =
                    digits.len() > 1 && digits.starts_with('0') && digits.chars().all(|c| c.is_ascii_digit());
                if octal || digits.contains(':') {
                    let message = format!(
                        "`{}` is the number {} in YAML 1.1; quote it if text is meant",
                        plain.written, plain.value
                    );
                    let place = Some(self.place(node.mark));
                    self.reading.warnings.push(Warning { message, place });
                }
            }
            Content::Sequence(items) => items.iter().for_each(|item| self.doubtful_numbers(item)),
            Content::Mapping(entries) => entries.iter().for_each(|entry| self.doubtful_numbers(&entry.value)),
            _ => {}
        }
    }

    /// Check a mapping and its values. False when it is not a mapping.
    fn mapping(&mut self, node: &Node, keys: Keys, owner: &str) -> bool {
        let Some(entries) = node.entries() else {
            self.wrong_type(owner, "a mapping", node);
            return false;
        };
        self.known_keys(entries, keys, owner);
        for entry in entries {
            if let Some((key, shape)) = keys.iter().find(|(key, _)| names(entry, key)) {
                self.value(&entry.value, *shape, &format!("`{key}` of {owner}"), owner);
            }
        }
        true
    }

    fn value(&mut self, node: &Node, shape: Shape, what: &str, owner: &str) {
        match (shape, &node.content) {
            (_, Content::Null) | (Shape::Text, Content::Text(_)) => {}
            (Shape::Text, _) => self.wrong_type(what, "text", node),
            (Shape::Mapping, Content::Mapping(entries)) => self.text_keys(entries, what),
            (Shape::Mapping, _) => self.wrong_type(what, "a mapping", node),
            (Shape::Build, Content::Text(directory)) => {
                let hint = format!("write `build: {{directory: {directory}}}`");
                self.wrong_type_with(what, "a mapping", node, Some(hint));
            }
            (Shape::Build, _) => {
                self.mapping(node, BUILD, what);
            }
            (Shape::CodeSource, _) => {
                if self.mapping(node, CODE_SOURCE, what) {
                    self.one_code_source(node, owner);
                }
            }
        }
    }

    fn text_keys(&mut self, entries: &[Entry], what: &str) {
        for entry in entries.iter().filter(|entry| entry.key.text().is_none()) {
            self.wrong_type(&format!("the key `{}` in {what}", entry.name), "text", &entry.key);
        }
    }

    fn one_code_source(&mut self, node: &Node, owner: &str) {
        let is_given = |entry: &&Entry| match &entry.value.content {
            Content::Text(text) => !text.is_empty(),
            Content::Null => false,
            _ => true,
        };
        let entries = node.entries().unwrap_or_default();
        let known = entries.iter().filter(|entry| CODE_SOURCE.iter().any(|(key, _)| names(entry, key)));
        let given: Vec<&str> = known.filter(is_given).map(|entry| entry.name.as_str()).collect();
        // The unknown key is probably a misspelt one, and was reported already.
        let is_misspelt = given.is_empty()
            && entries.iter().any(|entry| !CODE_SOURCE.iter().any(|(key, _)| names(entry, key)));
        if given.len() != 1 && !is_misspelt {
            let given = if given.is_empty() { "none".to_string() } else { given.join(" and ") };
            let (owner, place) = (owner.to_string(), self.place(node.mark));
            self.reading.errors.push(ProjectError::CodeSource { owner, given, place });
        }
    }

    fn known_keys(&mut self, entries: &[Entry], keys: Keys, owner: &str) {
        for entry in entries.iter().filter(|entry| !keys.iter().any(|(key, _)| names(entry, key))) {
            // A key that is not text (`on:` is a boolean in YAML 1.1) needs quotes, not another name.
            let (key, hint) = match entry.key.written() {
                Some(written) => (written.to_string(), unquoted_hint(written, &entry.key)),
                None => (entry.name.clone(), unknown_key_hint(&entry.name, keys)),
            };
            let (owner, place) = (owner.to_string(), self.place(entry.key.mark));
            if self.unknown_keys == UnknownKeys::Ignored {
                let message = format!("unknown key `{key}` in {owner}, which is ignored ({hint})");
                self.reading.warnings.push(Warning { message, place: Some(place) });
            } else {
                self.reading.errors.push(ProjectError::UnknownKey { key, owner, hint, place });
            }
        }
    }

    fn missing(&mut self, key: &'static str, owner: &str, hint: &str, node: &Node) {
        let (owner, hint, place) = (owner.to_string(), hint.to_string(), self.place(node.mark));
        self.reading.errors.push(ProjectError::MissingKey { key, owner, hint, place });
    }

    fn wrong_type(&mut self, what: &str, want: &'static str, node: &Node) {
        let hint = node.written().filter(|_| want == "text").map(|written| unquoted_hint(written, node));
        self.wrong_type_with(what, want, node, hint);
    }

    fn wrong_type_with(&mut self, what: &str, want: &'static str, node: &Node, hint: Option<String>) {
        let got = match &node.content {
            Content::Sequence(items) if items.is_empty() => "an empty list".to_string(),
            _ => node.describe(),
        };
        let (what, place) = (what.to_string(), self.place(node.mark));
        self.reading.errors.push(ProjectError::WrongType { what, want, got, hint, place });
    }
}

/// Whether the entry's key is the text `key`.
fn names(entry: &Entry, key: &str) -> bool {
    entry.key.text() == Some(key)
}

fn unquoted_hint(written: &str, node: &Node) -> String {
    format!("without quotes `{written}` is {} in YAML 1.1; write \"{written}\"", node.describe())
}

fn key_names(keys: Keys) -> Vec<&'static str> {
    keys.iter().map(|(key, _)| *key).collect()
}

fn unknown_key_hint(key: &str, keys: Keys) -> String {
    let lower = key.to_lowercase().replace('-', "_");
    if let Some((.., hint)) =
        CALLED_ELSEWHERE.iter().find(|(name, place, _)| *name == lower && *place == keys)
    {
        return (*hint).to_string();
    }
    let homes: Vec<_> = HOMES.iter().map(|(home, keys)| (*home, key_names(keys))).collect();
    unknown_key::hint(key, &key_names(keys), &homes)
}

/// The mapping in `value`; empty when it is not a mapping.
pub(super) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// The keys of a location in the order of [`LOCATION`].
pub(super) fn in_usual_order(mut document: Map<String, Value>) -> Map<String, Value> {
    let known = LOCATION.iter().filter_map(|(key, _)| document.swap_remove_entry(*key)).collect::<Vec<_>>();
    known.into_iter().chain(document).collect()
}

/// The node at `path` below `node`, or the deepest existing one on the way.
pub(super) fn deepest<'a>(node: &'a Node, path: &[String]) -> &'a Node {
    match path.split_first().and_then(|(key, rest)| Some((&node.entry(key)?.value, rest))) {
        Some((next, rest)) => deepest(next, rest),
        None => node,
    }
}
