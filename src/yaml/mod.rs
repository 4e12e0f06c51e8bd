//! YAML 1.1 as PyYAML's `SafeLoader` reads it, less its timestamps, with the place of every node.
//!
//! The readers of these files at Dagster+ and in its command line are PyYAML: `no` is a boolean, `017` is fifteen,
//! `1:30` is ninety, `<<` merges. A reader of YAML 1.2 would send another document than the one the user tested, so
//! this room follows PyYAML and refuses what it refuses (tabs between tokens, two documents, unhashable keys). It
//! refuses more: duplicate keys, which PyYAML drops in silence; values that JSON cannot carry (`.nan`, integers of
//! more than 64 bits, `!!binary`); documents whose aliases expand beyond [`MAX_EXPANDED_BYTES`].
//!
//! `granit-parser` turns text into events, with the indentation that PyYAML allows; `compose` turns events into
//! [`Node`]s, `merge` fills in `<<`, `scalar` gives plain scalars their types, and `source` refuses what PyYAML's
//! scanner would. What a file means is its reader's business.
//!
//! Sources: YAML 1.1 (yaml.org/spec/1.1), its type repository, and PyYAML 6.0.3, observed through
//! `tests/it/project/yaml_oracle.rs`.

mod compose;
mod merge;
mod scalar;
mod source;

use serde_json::{Map, Number, Value};
use std::rc::Rc;

/// Files above this size are refused unread. The largest real ones are some tens of kilobytes.
pub const MAX_FILE_BYTES: usize = 4 << 20;
/// Limit on what a document may hold once its aliases are expanded, a node counted as 64 bytes and its text.
pub const MAX_EXPANDED_BYTES: u64 = 32 << 20;
/// Limit on mappings and sequences inside one another. serde_json reads 128.
pub const MAX_DEPTH: usize = 100;

/// A place in the text. Both count from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

/// Why a text is no YAML document, or not one that can be used.
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
    /// The top node; `None` when there is nothing but white space and comments.
    pub root: Option<Rc<Node>>,
    /// What is wrong though the rest could be read: duplicate keys, unknown tags.
    pub problems: Vec<YamlError>,
}

/// A value with its place. Aliases share one node.
#[derive(Debug)]
pub struct Node {
    /// Where it begins, less anchor and tag.
    pub mark: Mark,
    /// What it is.
    pub content: Content,
    /// What it takes once expanded, in bytes or so.
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
    /// A mapping, `<<` already merged in; in the order in which Python would list it.
    Mapping(Vec<Entry>),
}

/// A value that was written as a plain scalar, and how.
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
/// When the text is not UTF-8, too large, not YAML, or expands beyond the limits of this room. What leaves the rest
/// readable is in [`Document::problems`] instead.
pub fn read(bytes: &[u8]) -> Result<Document, YamlError> {
    compose::document(&source::checked_text(bytes)?)
}

impl Node {
    /// The value as JSON, without nulls and what is under null keys, as Dagster+'s own client sends it.
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

    /// What it takes once its aliases are expanded, in bytes or so.
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

    /// A plain scalar that is no text, as written: `no`, `1.10`.
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
