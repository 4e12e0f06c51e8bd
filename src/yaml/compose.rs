//! Parser events → nodes: anchors, tags, merge keys, duplicate keys, and the limits on expansion.

use super::scalar::{self, Resolved};
use super::source;
use super::{Content, Document, Entry, MAX_DEPTH, MAX_EXPANDED_BYTES, Mark, Node, Plain, YamlError};
use libyaml_safer::{EventData, Parser, ScalarStyle};
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

/// Pairs that `<<` may copy in one document, so that a chain of merges ends.
const MAX_MERGED_PAIRS: usize = 1 << 20;
/// What a node takes beside its text, about.
const NODE_BYTES: u64 = 64;
/// Tags of the YAML type repository.
const TAG: &str = "tag:yaml.org,2002:";

/// Read the one document of a text.
pub fn document(text: &str) -> Result<Document, YamlError> {
    let mut bytes = text.as_bytes();
    let mut parser = Parser::new();
    parser.set_input_string(&mut bytes);
    let mut composer = Composer::default();
    let mut documents = 0;
    loop {
        let event = parser.parse().map_err(|error| syntax_error(text, &error))?;
        let mark = mark(event.start_mark);
        match event.data {
            EventData::StreamStart { .. } | EventData::DocumentEnd { .. } => {}
            EventData::DocumentStart { .. } => {
                documents += 1;
                if documents > 1 {
                    return Err(fatal(
                        "a second YAML document begins here",
                        "keep one document in the file",
                        mark,
                    ));
                }
            }
            EventData::StreamEnd => break,
            data => {
                composer.note_scalar(&data, event.start_mark.index, event.end_mark.index);
                composer.event(data, mark)?;
            }
        }
    }
    match source::misplaced_tab(text, &composer.scalars) {
        Some(error) => Err(error),
        None => Ok(Document { root: composer.root, problems: composer.problems }),
    }
}

fn mark(mark: libyaml_safer::Mark) -> Mark {
    let one_based = |number: u64| usize::try_from(number).unwrap_or(usize::MAX).saturating_add(1);
    Mark { line: one_based(mark.line), column: one_based(mark.column) }
}

fn fatal(problem: impl Into<String>, hint: &str, mark: Mark) -> YamlError {
    YamlError { problem: problem.into(), hint: Some(hint.to_string()), mark }
}

fn syntax_error(text: &str, error: &libyaml_safer::Error) -> YamlError {
    let at = error.problem_mark().map_or(Mark { line: 1, column: 1 }, mark);
    let line = text.lines().nth(at.line - 1).unwrap_or_default();
    if line.chars().nth(at.column - 1) == Some('\t') {
        return source::tab_error(at);
    }
    let problem = match error.context() {
        Some(context) => format!("{} {context}", error.problem()),
        None => error.problem().to_string(),
    };
    let template = line.contains("{{") || line.contains("{%");
    let hint = template.then(|| "this looks like a template; render it first".to_string());
    YamlError { problem: format!("this is not valid YAML: {problem}"), hint, mark: at }
}

/// A mapping or sequence that has begun and not ended.
struct Open {
    mark: Mark,
    anchor: Option<String>,
    children: Children,
}

enum Children {
    Sequence(Vec<Rc<Node>>),
    Mapping { pairs: Vec<(Key, Rc<Node>)>, key: Option<Key> },
}

/// A key, or `<<`.
#[derive(Clone)]
struct Key {
    node: Rc<Node>,
    is_merge: bool,
}

#[derive(Default)]
struct Composer {
    open: Vec<Open>,
    anchors: HashMap<String, Rc<Node>>,
    root: Option<Rc<Node>>,
    problems: Vec<YamlError>,
    scalars: Vec<(Range<usize>, bool)>,
    merged_pairs: usize,
}

impl Composer {
    fn note_scalar(&mut self, data: &EventData, start: u64, end: u64) {
        if let EventData::Scalar { style, .. } = data {
            let offset = |index: u64| usize::try_from(index).unwrap_or(usize::MAX);
            self.scalars.push((offset(start)..offset(end), *style == ScalarStyle::Plain));
        }
    }

    fn event(&mut self, data: EventData, mark: Mark) -> Result<(), YamlError> {
        match data {
            EventData::Alias { anchor } => {
                let Some(node) = self.anchors.get(&anchor) else {
                    let problem = format!("`*{anchor}` refers to nothing that is complete before it");
                    return Err(fatal(problem, &format!("mark what it refers to with `&{anchor}`"), mark));
                };
                let node = Rc::clone(node);
                self.add(Key { node, is_merge: false })
            }
            EventData::Scalar { anchor, tag, value, style, .. } => {
                let (content, is_merge) = self.scalar(value, tag.as_deref(), style, mark);
                let bytes = match &content {
                    Content::Text(text) => text.len() as u64,
                    _ => 0,
                };
                let node = Rc::new(Node { mark, content, expanded_bytes: NODE_BYTES + bytes });
                self.name(anchor, &node, mark)?;
                self.add(Key { node, is_merge })
            }
            EventData::SequenceStart { anchor, tag, .. } => {
                self.check_tag(tag.as_deref(), "seq", mark);
                self.begin(mark, anchor, Children::Sequence(Vec::new()))
            }
            EventData::MappingStart { anchor, tag, .. } => {
                self.check_tag(tag.as_deref(), "map", mark);
                self.begin(mark, anchor, Children::Mapping { pairs: Vec::new(), key: None })
            }
            EventData::SequenceEnd | EventData::MappingEnd => self.end(),
            _ => Ok(()),
        }
    }

    fn problem(&mut self, problem: impl Into<String>, hint: Option<&str>, mark: Mark) {
        self.problems.push(YamlError { problem: problem.into(), hint: hint.map(str::to_string), mark });
    }

    fn check_tag(&mut self, tag: Option<&str>, want: &str, mark: Mark) {
        if let Some(tag) = tag.filter(|tag| *tag != "!" && tag.strip_prefix(TAG) != Some(want)) {
            self.problem(
                format!("the tag `{}` is not supported here", short(tag)),
                Some("leave it out"),
                mark,
            );
        }
    }

    fn scalar(&mut self, text: String, tag: Option<&str>, style: ScalarStyle, mark: Mark) -> (Content, bool) {
        let resolved = match tag {
            None if style == ScalarStyle::Plain => scalar::resolve(&text),
            Some("!") => scalar::resolve(&text),
            None => Resolved::Text,
            Some(tag) => match tagged(tag.strip_prefix(TAG), &text) {
                Some(resolved) => resolved,
                None => {
                    let problem = format!("`{text}` cannot be read as `{}`", short(tag));
                    self.problem(problem, Some("leave the tag out, or quote the value"), mark);
                    Resolved::Null
                }
            },
        };
        if tag.is_none() && style == ScalarStyle::Plain && text == "=" && !self.at_key() {
            self.problem("a bare `=` is no value in YAML 1.1", Some("write it in quotes"), mark);
        }
        let is_merge = resolved == Resolved::Merge;
        let content = match resolved {
            Resolved::Null => Content::Null,
            Resolved::Bool(value) => Content::Bool(Plain { value, written: text }),
            Resolved::Number(value) => Content::Number(Plain { value, written: text }),
            Resolved::Text | Resolved::Merge => Content::Text(text),
            Resolved::Unusable(reason) => {
                let problem = format!("`{text}` is a number that cannot be used: {reason}");
                self.problem(problem, Some("write it in quotes if text is meant"), mark);
                Content::Text(text)
            }
        };
        (content, is_merge)
    }

    /// Whether the next node is a key.
    fn at_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { children: Children::Mapping { key: None, .. }, .. }))
    }

    fn name(&mut self, anchor: Option<String>, node: &Rc<Node>, mark: Mark) -> Result<(), YamlError> {
        if node.expanded_bytes > MAX_EXPANDED_BYTES {
            return Err(fatal(
                format!("with its aliases expanded this takes more than {MAX_EXPANDED_BYTES} bytes"),
                "use fewer aliases of aliases",
                mark,
            ));
        }
        if let Some(anchor) = anchor {
            if self.anchors.contains_key(&anchor) {
                let problem = format!("the anchor `&{anchor}` is there twice");
                return Err(fatal(problem, "give each anchor a name of its own", mark));
            }
            self.anchors.insert(anchor, Rc::clone(node));
        }
        Ok(())
    }

    fn begin(&mut self, mark: Mark, anchor: Option<String>, children: Children) -> Result<(), YamlError> {
        if self.open.len() >= MAX_DEPTH {
            let problem = format!("more than {MAX_DEPTH} mappings and lists are inside one another");
            return Err(fatal(problem, "flatten the document", mark));
        }
        self.open.push(Open { mark, anchor, children });
        Ok(())
    }

    fn end(&mut self) -> Result<(), YamlError> {
        let Some(Open { mark, anchor, children }) = self.open.pop() else { return Ok(()) };
        let content = match children {
            Children::Sequence(items) => Content::Sequence(items),
            Children::Mapping { pairs, .. } => Content::Mapping(self.merged(pairs)?),
        };
        let children_bytes = match &content {
            Content::Sequence(items) => sum(items.iter().map(|item| item.expanded_bytes)),
            Content::Mapping(entries) => sum(entries.iter().flat_map(|entry| {
                [entry.name.len() as u64, entry.key.expanded_bytes, entry.value.expanded_bytes]
            })),
            _ => 0,
        };
        let node = Rc::new(Node { mark, content, expanded_bytes: children_bytes.saturating_add(NODE_BYTES) });
        self.name(anchor, &node, mark)?;
        self.add(Key { node, is_merge: false })
    }

    fn add(&mut self, new: Key) -> Result<(), YamlError> {
        match self.open.last_mut().map(|open| &mut open.children) {
            None => self.root = Some(new.node),
            Some(Children::Mapping { key: key @ None, .. }) => *key = Some(new),
            Some(Children::Mapping { pairs, key }) => {
                pairs.extend(key.take().map(|key| (key, Rc::clone(&new.node))));
                self.refuse_merge_value(&new);
            }
            Some(Children::Sequence(items)) => {
                items.push(Rc::clone(&new.node));
                self.refuse_merge_value(&new);
            }
        }
        Ok(())
    }

    fn refuse_merge_value(&mut self, node: &Key) {
        if node.is_merge {
            self.problem("`<<` is no value in YAML 1.1", Some("write it in quotes"), node.node.mark);
        }
    }

    /// Resolve `<<`: merged pairs come first, then the mapping's own, which win.
    ///
    /// Of several mappings in one `<<: [*a, *b]` the earlier wins; of several `<<` the later.
    fn merged(&mut self, pairs: Vec<(Key, Rc<Node>)>) -> Result<Vec<Entry>, YamlError> {
        let mut entries = Entries::default();
        for (key, value) in pairs.iter().filter(|(key, _)| key.is_merge) {
            let sources: Vec<&Rc<Node>> = match &value.content {
                Content::Sequence(items) => items.iter().rev().collect(),
                _ => vec![value],
            };
            for source in sources {
                let Some(merged) = source.entries() else {
                    let problem = format!("`<<` merges mappings, and this is {}", source.describe());
                    self.problem(problem, None, source.mark);
                    continue;
                };
                self.merged_pairs += merged.len();
                if self.merged_pairs > MAX_MERGED_PAIRS {
                    return Err(fatal("`<<` merges too much", "use fewer merges of merges", key.node.mark));
                }
                for entry in merged {
                    entries.put(entry.clone());
                }
            }
        }
        let mut own: HashMap<String, Mark> = HashMap::new();
        for (key, value) in pairs.into_iter().filter(|(key, _)| !key.is_merge) {
            let Some(name) = key_name(&key.node) else {
                self.problem("a mapping or list cannot be a key", None, key.node.mark);
                continue;
            };
            if let Some(first) = own.insert(name.clone(), key.node.mark) {
                let problem = format!("the key `{name}` is there twice; first on line {}", first.line);
                self.problem(problem, Some("keep one of them: the first would be lost"), key.node.mark);
            }
            entries.put(Entry { name, key: key.node, value });
        }
        Ok(entries.list)
    }
}

/// A mapping under construction; a key put again keeps its position, as in a Python dict.
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

fn sum(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(0, u64::saturating_add)
}

/// The key that JSON has for this node, as Python's `json.dumps` writes it.
fn key_name(node: &Node) -> Option<String> {
    match &node.content {
        Content::Null => Some("null".to_string()),
        Content::Bool(plain) => Some(plain.value.to_string()),
        Content::Number(plain) => Some(plain.value.to_string()),
        Content::Text(text) => Some(text.clone()),
        Content::Sequence(_) | Content::Mapping(_) => None,
    }
}

/// A scalar with an explicit tag of the type repository (`None`: of another). `None` when it cannot be read so.
fn tagged(tag: Option<&str>, text: &str) -> Option<Resolved> {
    match tag? {
        "str" => Some(Resolved::Text),
        "null" => Some(Resolved::Null),
        "bool" => scalar::boolean(&text.to_lowercase()).map(Resolved::Bool),
        "int" => scalar::integer(text),
        "float" => {
            let float = scalar::float(text);
            float.or_else(|| scalar::float(&format!("{text}.")))
        }
        _ => None,
    }
}

/// `!!int` for `tag:yaml.org,2002:int`.
fn short(tag: &str) -> String {
    tag.strip_prefix(TAG).map_or_else(|| tag.to_string(), |name| format!("!!{name}"))
}
