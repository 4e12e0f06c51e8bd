//! Turns the pairs of a mapping into its entries: merges `<<` and finds duplicate keys.

use super::{Content, Entry, Mark, Node, YamlError};
use std::collections::HashMap;
use std::rc::Rc;

/// Pairs that `<<` may copy in one document. Merges of merges grow exponentially.
const MAX_MERGED_PAIRS: usize = 1 << 20;

/// A key, or `<<`.
#[derive(Clone)]
pub struct Key {
    /// The node.
    pub node: Rc<Node>,
    /// Whether it is `<<`, unquoted.
    pub is_merge: bool,
}

/// Counts what was merged so far in a document.
#[derive(Default)]
pub struct Merging {
    pairs: usize,
}

impl Merging {
    /// Merged pairs come first, then the mapping's own, which win.
    ///
    /// Of several mappings in one `<<: [*a, *b]` the first wins; of several `<<` the last. Errors that leave the rest
    /// readable go to `problems`.
    ///
    /// # Errors
    /// When the document merges too much.
    pub fn entries(
        &mut self,
        pairs: Vec<(Key, Rc<Node>)>,
        problems: &mut Vec<YamlError>,
    ) -> Result<Vec<Entry>, YamlError> {
        let mut entries = Entries::default();
        // First, because the mapping's own keys win over merged ones in any order.
        for (key, value) in pairs.iter().filter(|(key, _)| key.is_merge) {
            self.merge(&mut entries, key, value, problems)?;
        }
        let mut own: HashMap<String, Mark> = HashMap::new();
        for (key, value) in pairs.into_iter().filter(|(key, _)| !key.is_merge) {
            let mark = key.node.mark;
            let Some(name) = key_name(&key.node) else {
                let problem = "a mapping or list cannot be a key".to_string();
                let hint = Some("is this a template? render it first".to_string());
                problems.push(YamlError { problem, hint, mark });
                continue;
            };
            if let Some(first) = own.insert(name.clone(), mark) {
                let problem = format!("the key `{name}` occurs twice; first on line {}", first.line);
                let hint = Some("keep one of them: the first would be lost".to_string());
                problems.push(YamlError { problem, hint, mark });
            }
            entries.put(Entry { name, key: key.node, value });
        }
        Ok(entries.list)
    }

    fn merge(
        &mut self,
        entries: &mut Entries,
        key: &Key,
        value: &Rc<Node>,
        problems: &mut Vec<YamlError>,
    ) -> Result<(), YamlError> {
        let sources: Vec<&Rc<Node>> = match &value.content {
            // Reversed, because a later `put` wins and the first mapping has to.
            Content::Sequence(items) => items.iter().rev().collect(),
            _ => vec![value],
        };
        for source in sources {
            let Some(merged) = source.entries() else {
                let problem = format!("`<<` merges mappings, and this is {}", source.describe());
                problems.push(YamlError { problem, hint: None, mark: source.mark });
                continue;
            };
            self.pairs += merged.len();
            if self.pairs > MAX_MERGED_PAIRS {
                let hint = Some("use fewer merges of merges".to_string());
                return Err(YamlError {
                    problem: "`<<` merges too much".to_string(),
                    hint,
                    mark: key.node.mark,
                });
            }
            merged.iter().cloned().for_each(|entry| entries.put(entry));
        }
        Ok(())
    }
}

/// A mapping under construction. A key that is set again keeps its position, as in a Python dict.
#[derive(Default)]
struct Entries {
    list: Vec<Entry>,
    positions: HashMap<String, usize>,
}

impl Entries {
    fn put(&mut self, entry: Entry) {
        match self.positions.get(&entry.name).and_then(|at| self.list.get_mut(*at)) {
            Some(old) => *old = entry,
            None => {
                self.positions.insert(entry.name.clone(), self.list.len());
                self.list.push(entry);
            }
        }
    }
}

/// The JSON key for this node, as Python's `json.dumps` writes it.
fn key_name(node: &Node) -> Option<String> {
    match &node.content {
        // As Python's `json` writes such keys.
        Content::Null => Some("null".to_string()),
        Content::Bool(plain) => Some(plain.value.to_string()),
        Content::Number(plain) => Some(plain.value.to_string()),
        Content::Text(text) => Some(text.clone()),
        Content::Sequence(_) | Content::Mapping(_) => None,
    }
}
