//! A TOML file whose every value knows its line, so that a message can point at it.

use super::error::CollectError;
use crate::bounded_file::{self, TEXT_LIMIT_BYTES};
use crate::error::Place;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The text of a TOML file.
#[derive(Debug)]
pub(in crate::project) struct TomlFile {
    /// Absolute path.
    pub(in crate::project) path: PathBuf,
    text: String,
}

impl TomlFile {
    /// Read `path`; a byte order mark is skipped.
    pub(in crate::project) fn read(path: &Path) -> Result<TomlFile, CollectError> {
        let bytes = bounded_file::read(path, TEXT_LIMIT_BYTES).map_err(CollectError::read(path))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
            let place = Place { file: path.to_path_buf(), line: Some(line), column: None };
            CollectError::invalid_with(place, "TOML must be UTF-8, and this is not", "save it as UTF-8")
        })?;
        let text = text.strip_prefix('\u{feff}').map(str::to_string).unwrap_or(text);
        Ok(TomlFile { path: path.to_path_buf(), text })
    }

    /// The text, without a byte order mark.
    pub(in crate::project) fn text(&self) -> &str {
        &self.text
    }

    /// The document.
    pub(in crate::project) fn parse(&self) -> Result<DeValue<'_>, CollectError> {
        match DeTable::parse(&self.text) {
            Ok(table) => Ok(DeValue::Table(table.into_inner())),
            Err(error) => {
                if let Some(line) = self.text.lines().position(|line| line.starts_with("<<<<<<< ")) {
                    let place = Place { file: self.path.clone(), line: Some(line + 1), column: None };
                    let (problem, hint) = ("a merge conflict begins here", "keep one of the two sides");
                    return Err(CollectError::invalid_with(place, problem, hint));
                }
                let place = error.span().map_or_else(|| self.place(0), |span| self.place(span.start));
                Err(CollectError::invalid(place, format!("not valid TOML: {}", error.message())))
            }
        }
    }

    fn place(&self, offset: usize) -> Place {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        Place { file: self.path.clone(), line: Some(line), column: Some(column) }
    }
}

/// A value in a TOML file.
#[derive(Debug, Clone)]
pub(in crate::project) struct Node<'a> {
    file: &'a TomlFile,
    value: &'a DeValue<'a>,
    span: Range<usize>,
    /// Dotted name of the setting, for messages.
    pub(in crate::project) name: String,
}

impl<'a> Node<'a> {
    /// The document as a whole.
    pub(in crate::project) fn root(file: &'a TomlFile, value: &'a DeValue<'a>) -> Node<'a> {
        Node { file, value, span: 0..0, name: String::new() }
    }

    fn child(&self, name: &str, value: &'a Spanned<DeValue<'a>>) -> Node<'a> {
        let name = match (self.name.as_str(), name) {
            ("", name) => name.to_string(),
            (own, "") => own.to_string(),
            (own, name) => format!("{own}.{name}"),
        };
        Node { file: self.file, value: value.get_ref(), span: value.span(), name }
    }

    /// The value of a key, if this is a table and has it.
    pub(in crate::project) fn get(&self, key: &str) -> Option<Node<'a>> {
        let value = self.value.as_table()?.get(key)?;
        Some(self.child(key, value))
    }

    /// The value at the end of a chain of keys.
    pub(in crate::project) fn at(&self, keys: &[&str]) -> Option<Node<'a>> {
        keys.iter().try_fold(self.clone(), |node, key| node.get(key))
    }

    /// The file that it is in.
    pub(in crate::project) fn file(&self) -> &'a Path {
        &self.file.path
    }

    /// Its text in the file.
    pub(in crate::project) fn source(&self) -> &'a str {
        self.file.text.get(self.span.clone()).unwrap_or_default()
    }

    /// Where it is.
    pub(in crate::project) fn place(&self) -> Place {
        self.file.place(self.span.start)
    }

    /// The error that it should have been something else.
    pub(in crate::project) fn expected(&self, what: &str) -> CollectError {
        CollectError::invalid(
            self.place(),
            format!("`{}` must be {what}, not {}", self.name, article(self.value.type_str())),
        )
    }

    /// The error that it is not as it has to be.
    pub(in crate::project) fn invalid(&self, problem: impl std::fmt::Display) -> CollectError {
        CollectError::invalid(self.place(), format!("`{}`: {problem}", self.name))
    }

    /// It has to be a string.
    pub(in crate::project) fn string(&self) -> Result<&'a str, CollectError> {
        self.value.as_str().ok_or_else(|| self.expected("a string"))
    }

    /// Its text if it is a string.
    pub(in crate::project) fn as_str(&self) -> Option<&'a str> {
        self.value.as_str()
    }

    /// Its value if it is a boolean.
    pub(in crate::project) fn as_bool(&self) -> Option<bool> {
        self.value.as_bool()
    }

    /// Whether it is a table.
    pub(in crate::project) fn is_table(&self) -> bool {
        self.value.is_table()
    }

    /// Its items if it is a list.
    pub(in crate::project) fn as_list(&self) -> Option<Vec<Node<'a>>> {
        let items = self.value.as_array()?;
        Some(items.iter().map(|item| self.child("", item)).collect())
    }

    /// It has to be a list.
    pub(in crate::project) fn list(&self) -> Result<Vec<Node<'a>>, CollectError> {
        self.as_list().ok_or_else(|| self.expected("a list"))
    }

    /// It has to be a list of strings.
    pub(in crate::project) fn strings(&self) -> Result<Vec<&'a str>, CollectError> {
        self.list()?.iter().map(Node::string).collect()
    }

    /// It has to be a string or a list of strings.
    pub(in crate::project) fn one_or_more_strings(&self) -> Result<Vec<&'a str>, CollectError> {
        match self.value.as_str() {
            Some(one) => Ok(vec![one]),
            None => self.strings(),
        }
    }

    /// It has to be a table; keys and values in the order of the file.
    pub(in crate::project) fn table(&self) -> Result<Vec<(&'a str, Node<'a>)>, CollectError> {
        let table = self.value.as_table().ok_or_else(|| self.expected("a table"))?;
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        Ok(entries
            .into_iter()
            .map(|(key, value)| (key.get_ref().as_ref(), self.child(key.get_ref(), value)))
            .collect())
    }

    /// The same value without places.
    pub(in crate::project) fn plain(&self) -> toml::Value {
        match self.value {
            DeValue::String(text) => toml::Value::String(text.to_string()),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or_else(|_| toml::Value::String(number.to_string()), toml::Value::Integer),
            DeValue::Float(number) => number
                .as_str()
                .parse()
                .map_or_else(|_| toml::Value::String(number.to_string()), toml::Value::Float),
            DeValue::Boolean(value) => toml::Value::Boolean(*value),
            DeValue::Datetime(value) => toml::Value::Datetime(*value),
            DeValue::Array(items) => {
                toml::Value::Array(items.iter().map(|item| self.child("", item).plain()).collect())
            }
            DeValue::Table(table) => toml::Value::Table(
                table
                    .iter()
                    .map(|(key, value)| (key.get_ref().to_string(), self.child("", value).plain()))
                    .collect(),
            ),
        }
    }
}

fn article(noun: &str) -> String {
    let vowel = noun.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {noun}", if vowel { "an" } else { "a" })
}
