//! YAML 1.1 as PyYAML's `SafeLoader` reads it, without timestamps, with the place of every node.
//!
//! Dagster+ and its command line read these files with PyYAML: `no` is a boolean, `017` is fifteen, `1:30` is ninety,
//! `<<` merges. A reader of YAML 1.2 would send a different document from the one the user tested. So this module
//! follows PyYAML and refuses what it refuses (tabs between tokens, two documents, unhashable keys). It also refuses:
//! duplicate keys, which PyYAML drops silently; values that JSON cannot represent (`.nan`, integers of more than 64
//! bits, `!!binary`); documents whose aliases expand beyond [`MAX_EXPANDED_BYTES`].
//!
//! `granit-parser` turns text into events, with the indentation that PyYAML allows; `compose` turns events into
//! [`Node`]s, `merge` resolves `<<`, `scalar` gives plain scalars their types, and `source` refuses what PyYAML's
//! scanner would. The meaning of a file is left to the callers.
//!
//! Sources: YAML 1.1 (yaml.org/spec/1.1), its type repository, and PyYAML 6.0.3, observed through
//! `tests/it/project/yaml_oracle.rs`.

mod compose;
mod merge;
mod scalar;
mod source;

use serde_json::{Map, Number, Value};
use std::rc::Rc;

/// Larger files are refused. The largest real ones have some tens of kilobytes.
pub const MAX_FILE_BYTES: usize = 4 << 20;
/// Largest size of a document with its aliases expanded. A node counts as 64 bytes plus its text.
pub const MAX_EXPANDED_BYTES: u64 = 32 << 20;
/// Deepest nesting of mappings and sequences. serde_json reads 128 levels.
pub const MAX_DEPTH: usize = 100;

/// A place in the text. Both numbers start at 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

/// Why a text is not a YAML document, or not a usable one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct YamlError {
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Where.
    pub mark: Mark,
}

/// A YAML text as a tree.
#[derive(Debug)]
pub struct Document {
    /// The top node; `None` when there is only white space and comments.
    pub root: Option<Rc<Node>>,
    /// Errors that leave the rest readable: duplicate keys, unknown tags.
    pub problems: Vec<YamlError>,
}

/// A value with its place. Aliases share one node.
#[derive(Debug)]
pub struct Node {
    /// Where it begins, after anchor and tag.
    pub mark: Mark,
    /// What it is.
    pub content: Content,
    /// Approximate size with aliases expanded, in bytes.
    expanded_bytes: u64,
}

/// What a node is.
#[derive(Debug)]
pub enum Content {
    /// `null`, `~` or nothing.
    Null,
    /// A boolean.
    Bool(Plain<bool>),
    /// An integer or a float.
    Number(Plain<Number>),
    /// Text.
    Text(String),
    /// A list.
    Sequence(Vec<Rc<Node>>),
    /// A mapping with `<<` merged in, in Python's order.
    Mapping(Vec<Entry>),
}

/// The value of a plain scalar, and its text.
#[derive(Debug)]
pub struct Plain<T> {
    /// The value.
    pub value: T,
    /// The scalar as written.
    pub written: String,
}

/// One pair of a mapping.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key, as JSON would have it (`true` for `yes`, `1` for `0x1`).
    pub name: String,
    /// The key.
    pub key: Rc<Node>,
    /// The value.
    pub value: Rc<Node>,
}

/// Read one YAML document.
///
/// # Errors
/// When the text is not UTF-8, too large, not YAML, or expands beyond the limits of this module. Errors that leave the
/// rest readable are in [`Document::problems`] instead.
pub fn read(bytes: &[u8]) -> Result<Document, YamlError> {
    compose::document(&source::checked_text(bytes)?)
}

impl Node {
    /// The value as JSON, without nulls and null keys, as Dagster+'s own client sends it.
    pub fn to_json(&self) -> Value {
        match &self.content {
            Content::Null => Value::Null,
            Content::Bool(plain) => Value::Bool(plain.value),
            Content::Number(plain) => Value::Number(plain.value.clone()),
            Content::Text(text) => Value::String(text.clone()),
            Content::Sequence(items) => {
                Value::Array(items.iter().filter(|item| !item.is_null()).map(|item| item.to_json()).collect())
            }
            Content::Mapping(entries) => Value::Object(json_object(entries)),
        }
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self.content, Content::Null)
    }

    /// Approximate size with its aliases expanded, in bytes.
    pub fn expanded_bytes(&self) -> u64 {
        self.expanded_bytes
    }

    /// The entries, if it is a mapping.
    pub fn entries(&self) -> Option<&[Entry]> {
        match &self.content {
            Content::Mapping(entries) => Some(entries),
            _ => None,
        }
    }

    /// The entry called `name`, if it is a mapping that has one.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries()?.iter().find(|entry| entry.name == name)
    }

    /// The text, if it is text.
    pub fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What it is, for messages: `the boolean true`, `a list`.
    pub fn describe(&self) -> String {
        match &self.content {
            Content::Null => "nothing".to_string(),
            Content::Bool(plain) => format!("the boolean {}", plain.value),
            Content::Number(plain) => format!("the number {}", plain.value),
            Content::Text(_) => "text".to_string(),
            Content::Sequence(_) => "a list".to_string(),
            Content::Mapping(_) => "a mapping".to_string(),
        }
    }

    /// The text of a plain scalar that is not a string: `no`, `1.10`.
    pub fn written(&self) -> Option<&str> {
        match &self.content {
            Content::Bool(plain) => Some(&plain.written),
            Content::Number(plain) => Some(&plain.written),
            _ => None,
        }
    }
}

fn json_object(entries: &[Entry]) -> Map<String, Value> {
    let kept = entries.iter().filter(|entry| !entry.key.is_null() && !entry.value.is_null());
    kept.map(|entry| (entry.name.clone(), entry.value.to_json())).collect()
}

#[cfg(test)]
mod tests;
