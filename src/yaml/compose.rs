//! Parser events → nodes: anchors, aliases, tags, and the limits on depth and expansion.

use super::merge::{Key, Merging};
use super::scalar::{self, Resolved};
use super::source;
use super::{Content, Document, MAX_DEPTH, MAX_EXPANDED_BYTES, Mark, Node, Plain, YamlError};
use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError, Span, StructureStyle, Tag};
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::rc::Rc;

/// Approximate memory of a node, without its text.
const NODE_BYTES: u64 = 64;
/// Tags of the YAML type repository.
const TAG: &str = "tag:yaml.org,2002:";

/// Read the one document of a text.
pub fn document(text: &str) -> Result<Document, YamlError> {
    let options = granit_parser::options! {
        // As in PyYAML: flow collections may be indented less than their parent, and a block scalar that ends with the
        // file has no final line feed.
        strict_indentation: false,
        block_scalar_eof_without_line_feed: true,
        emit_anchor_events: true,
        emit_unresolved_aliases: true,
        emit_comments: false,
        // The parser needs limits too, as it recurses before an event reaches `begin`.
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut composer = Composer { text, ..Composer::default() };
    let mut documents = 0;
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| syntax_error(text, &error))?;
        if let Event::DocumentStart(..) = event {
            documents += 1;
            if documents > 1 {
                let hint = "keep one document in the file";
                return Err(fatal("a second YAML document begins here", hint, mark(span.start)));
            }
        }
        composer.event(event, &span)?;
    }
    // After parsing, because only then it is known which tabs are inside scalars.
    match source::misplaced_tab(text, &composer.scalars) {
        Some(error) => Err(error),
        None => Ok(Document { root: composer.root, problems: composer.problems }),
    }
}

fn mark(marker: Marker) -> Mark {
    Mark { line: marker.line(), column: marker.col() + 1 }
}

fn fatal(problem: impl Into<String>, hint: &str, mark: Mark) -> YamlError {
    YamlError { problem: problem.into(), hint: Some(hint.to_string()), mark }
}

fn too_deep(mark: Mark) -> YamlError {
    let problem = format!("more than {MAX_DEPTH} mappings and lists are inside one another");
    fatal(problem, "flatten the document", mark)
}

fn syntax_error(text: &str, error: &ScanError) -> YamlError {
    let at = mark(*error.marker());
    // The parser's mark is where the scalar before the tab ends.
    if error.kind().to_string().contains("found a tab")
        && let Some(tab) = source::tab_in_indentation(text, at.line)
    {
        return source::tab_error(tab);
    }
    let line = text.lines().nth(at.line - 1).unwrap_or_default();
    let indentation = line.chars().take_while(|character| character.is_whitespace());
    let tab = indentation.into_iter().position(|character| character == '\t').map(|at| at + 1);
    if let Some(column) = tab.or((line.chars().nth(at.column - 1) == Some('\t')).then_some(at.column)) {
        return source::tab_error(Mark { column, ..at });
    }
    // The parser's own limit has the same value, so the message is the same.
    if *error.kind() == ErrorKind::RecursionLimitExceeded {
        return too_deep(at);
    }
    let kind = error.kind().to_string();
    let slip = match kind.as_str() {
        kind if kind.contains("mapping values are not allowed") => missing_space(text, at),
        kind if kind.contains("did not find expected") => indentation_slip(text, at),
        _ => None,
    };
    if let Some((hint, mark)) = slip {
        return YamlError { problem: format!("this is not valid YAML: {kind}"), hint: Some(hint), mark };
    }
    // Helm and Jinja templates are the usual reason for a file that is almost YAML.
    let template = line.contains("{{") || line.contains("{%");
    let hint = match template {
        true => Some("this looks like a template; render it first".to_string()),
        false => kind
            .contains("did not find expected")
            .then(|| "compare the indentation of this line with that of the lines above it".to_string()),
    };
    YamlError { problem: format!("this is not valid YAML: {}", error.kind()), hint, mark: at }
}

/// Finds `key:value`, which YAML reads as text, so that the next line is an error: what to write, and the place of the
/// colon.
fn missing_space(text: &str, at: Mark) -> Option<(String, Mark)> {
    let lines: Vec<&str> = text.lines().take(at.line).collect();
    let is_blank = |line: &&&str| line.trim().is_empty() || line.trim_start().starts_with('#');
    let line = lines
        .iter()
        .rposition(|line| line.contains(':') && !is_blank(&line) && key_without_space(line).is_some())?;
    // A line in between with a key of its own means that something else is wrong.
    if lines.len() - line > 2 {
        return None;
    }
    let (key, value, column) = key_without_space(lines[line])?;
    Some((format!("put a space after the colon: `{key}: {value}`"), Mark { line: line + 1, column }))
}

/// The key and value of `- key:value`, and the column of the colon.
fn key_without_space(line: &str) -> Option<(&str, &str, usize)> {
    let start = line.len() - line.trim_start_matches([' ', '-']).len();
    let (key, value) = line[start..].split_once(':')?;
    let is_key = !key.is_empty() && key.chars().all(|each| each.is_ascii_alphanumeric() || each == '_');
    let is_value = value.starts_with(|each: char| !each.is_whitespace() && each != '/' && each != ':');
    (is_key && is_value).then(|| (key, value.trim_end(), line[..start + key.len()].chars().count() + 1))
}

/// Finds a list item that is not indented like the item before it.
fn indentation_slip(text: &str, at: Mark) -> Option<(String, Mark)> {
    let indentation = |line: &str| line.chars().take_while(|each| *each == ' ').count();
    let line = text.lines().nth(at.line - 1).filter(|line| line.trim_start().starts_with("- "))?;
    let own = indentation(line);
    let before = text.lines().take(at.line - 1).enumerate();
    let (other, line) = before.filter(|(_, line)| line.trim_start().starts_with("- ")).last()?;
    let spaces = indentation(line);
    (spaces != own).then(|| {
        let rest = format!("and the `- ` on line {} by {spaces}: indent both the same", other + 1);
        (format!("the `- ` on line {} is indented by {own}, {rest}", at.line), Mark { column: own + 1, ..at })
    })
}

/// A mapping or sequence that has not ended yet.
struct Open {
    mark: Mark,
    is_flow: bool,
    anchor: usize,
    children: Children,
}

enum Children {
    Sequence(Vec<Rc<Node>>),
    Mapping { pairs: Vec<(Key, Rc<Node>)>, key: Option<Key> },
}

#[derive(Default)]
struct Composer<'a> {
    text: &'a str,
    open: Vec<Open>,
    /// Complete nodes with an anchor, by the parser's number of the anchor.
    anchors: HashMap<usize, Rc<Node>>,
    anchor_names: HashSet<String>,
    root: Option<Rc<Node>>,
    problems: Vec<YamlError>,
    scalars: Vec<(Range<usize>, bool)>,
    merging: Merging,
}

impl Composer<'_> {
    fn event(&mut self, event: Event<'_>, span: &Span) -> Result<(), YamlError> {
        let at = mark(span.start);
        match event {
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(node) => self.add(Key { node: Rc::clone(node), is_merge: false }),
                None => return Err(self.unknown_alias(span)),
            },
            Event::UnresolvedAlias(_) => return Err(self.unknown_alias(span)),
            Event::Anchor(_, name) if !name.chars().all(anchor_character) => {
                let problem = format!("`&{name}` is not an anchor in YAML 1.1");
                return Err(fatal(problem, "use ASCII letters, digits, `-` and `_`", at));
            }
            Event::Anchor(_, name) if !self.anchor_names.insert(name.to_string()) => {
                let problem = format!("the anchor `&{name}` is defined twice");
                return Err(fatal(problem, "give each anchor a unique name", at));
            }
            Event::Scalar(value, style, anchor, tag) => {
                let key = self.scalar(&value, style, tag.as_deref(), span);
                self.complete(anchor, &key.node)?;
                self.add(key);
            }
            Event::SequenceStart(style, anchor, tag) => {
                self.check_tag(tag.as_deref(), "seq", at);
                self.begin(at, style, anchor, Children::Sequence(Vec::new()))?;
            }
            Event::MappingStart(style, anchor, tag) => {
                self.check_tag(tag.as_deref(), "map", at);
                self.begin(at, style, anchor, Children::Mapping { pairs: Vec::new(), key: None })?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end()?,
            _ => {}
        }
        Ok(())
    }

    fn unknown_alias(&self, span: &Span) -> YamlError {
        let alias = span.slice(self.text).unwrap_or("*");
        let problem = format!("`{alias}` refers to nothing that is complete before it");
        let hint = format!("mark what it refers to with `&{}`", alias.trim_start_matches('*'));
        fatal(problem, &hint, mark(span.start))
    }

    fn problem(&mut self, problem: impl Into<String>, hint: Option<&str>, mark: Mark) {
        self.problems.push(YamlError { problem: problem.into(), hint: hint.map(str::to_string), mark });
    }

    fn check_tag(&mut self, tag: Option<&Tag>, want: &str, mark: Mark) {
        // `!` alone and the tag of the node's own kind change nothing.
        let written = tag.map(full_name).filter(|name| name != "!" && name.strip_prefix(TAG) != Some(want));
        if let Some(tag) = written {
            self.problem(
                format!("the tag `{}` is not supported here", short(&tag)),
                Some("leave it out"),
                mark,
            );
        }
    }

    fn scalar(&mut self, value: &str, style: ScalarStyle, tag: Option<&Tag>, span: &Span) -> Key {
        let mark = mark(span.start);
        let range = span.byte_range().unwrap_or_default();
        let plain = style == ScalarStyle::Plain;
        // The parser returns `~` for a missing node.
        let absent = plain && range.is_empty();
        let text = if absent { "" } else { value };
        self.scalars.push((range, plain));
        let tag = tag.map(full_name);
        let resolved = match tag.as_deref() {
            None if plain => scalar::resolve(text),
            None => Resolved::Text,
            Some("!") => scalar::resolve(text),
            Some(tag) => scalar::tagged(tag.strip_prefix(TAG), text).unwrap_or_else(|| {
                let problem = format!("`{text}` cannot be read as `{}`", short(tag));
                self.problem(problem, Some("leave the tag out, or quote the value"), mark);
                Resolved::Null
            }),
        };
        if self.at_key() && span.start.line() != span.end.line() {
            self.problem("a key must be on one line", Some("is there a `:` or a comma missing?"), mark);
        }
        if plain && tag.is_none() {
            self.check_plain(text, absent, mark);
        }
        let is_merge = resolved == Resolved::Merge;
        let content = self.content(resolved, text, mark);
        let text_bytes = match &content {
            Content::Text(text) => text.len() as u64,
            _ => 0,
        };
        Key { node: Rc::new(Node { mark, content, expanded_bytes: NODE_BYTES + text_bytes }), is_merge }
    }

    /// Refuse plain scalars that PyYAML refuses, or reads differently.
    fn check_plain(&mut self, text: &str, absent: bool, mark: Mark) {
        let in_flow = self.open.last().is_some_and(|open| open.is_flow);
        if absent && self.at_key() {
            self.problem("a key is missing before this `:`", None, mark);
        } else if text == "=" && !self.at_key() {
            self.problem("a bare `=` is not a value in YAML 1.1", Some("write it in quotes"), mark);
        } else if in_flow && (text.contains('?') || text.starts_with(':')) {
            let problem = format!("`{text}` in brackets or braces is not text in YAML 1.1");
            self.problem(problem, Some("write it in quotes"), mark);
        }
    }

    fn content(&mut self, resolved: Resolved, text: &str, mark: Mark) -> Content {
        let written = text.to_string();
        match resolved {
            Resolved::Null => Content::Null,
            Resolved::Bool(value) => Content::Bool(Plain { value, written }),
            Resolved::Number(value) => Content::Number(Plain { value, written }),
            Resolved::Text | Resolved::Merge => Content::Text(written),
            Resolved::Unusable(reason) => {
                let problem = format!("`{text}` is a number that cannot be used: {reason}");
                self.problem(problem, Some("write it in quotes if text is meant"), mark);
                Content::Text(written)
            }
        }
    }

    /// Whether the next node is a key.
    fn at_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { children: Children::Mapping { key: None, .. }, .. }))
    }

    /// Complete a node: check its size, and make it available to aliases.
    fn complete(&mut self, anchor: usize, node: &Rc<Node>) -> Result<(), YamlError> {
        // Counted with aliases expanded, as the document is sent that way.
        if node.expanded_bytes > MAX_EXPANDED_BYTES {
            let problem =
                format!("with its aliases expanded this takes more than {MAX_EXPANDED_BYTES} bytes");
            return Err(fatal(problem, "use fewer aliases of aliases", node.mark));
        }
        // The parser numbers anchors from 1.
        if anchor != 0 {
            // Shared, not copied: aliases of aliases would multiply a small file to any size.
            self.anchors.insert(anchor, Rc::clone(node));
        }
        Ok(())
    }

    fn begin(
        &mut self,
        mark: Mark,
        style: StructureStyle,
        anchor: usize,
        children: Children,
    ) -> Result<(), YamlError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep(mark));
        }
        self.open.push(Open { mark, is_flow: style == StructureStyle::Flow, anchor, children });
        Ok(())
    }

    fn end(&mut self) -> Result<(), YamlError> {
        let Some(Open { mark, anchor, children, .. }) = self.open.pop() else { return Ok(()) };
        let content = match children {
            Children::Sequence(items) => Content::Sequence(items),
            Children::Mapping { pairs, .. } => {
                Content::Mapping(self.merging.entries(pairs, &mut self.problems)?)
            }
        };
        let children_bytes = match &content {
            Content::Sequence(items) => sum(items.iter().map(|item| item.expanded_bytes)),
            Content::Mapping(entries) => sum(entries.iter().flat_map(|entry| {
                [entry.name.len() as u64, entry.key.expanded_bytes, entry.value.expanded_bytes]
            })),
            _ => 0,
        };
        let node = Rc::new(Node { mark, content, expanded_bytes: children_bytes.saturating_add(NODE_BYTES) });
        self.complete(anchor, &node)?;
        self.add(Key { node, is_merge: false });
        Ok(())
    }

    fn add(&mut self, new: Key) {
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
    }

    fn refuse_merge_value(&mut self, node: &Key) {
        if node.is_merge {
            self.problem("`<<` is not a value in YAML 1.1", Some("write it in quotes"), node.node.mark);
        }
    }
}

fn sum(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(0, u64::saturating_add)
}

/// Source: PyYAML 6.0.3; YAML 1.1 has the same set.
fn anchor_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '-' | '_')
}

fn full_name(tag: &Tag) -> String {
    format!("{}{}", tag.handle(), tag.suffix())
}

/// `!!int` for `tag:yaml.org,2002:int`.
fn short(tag: &str) -> String {
    tag.strip_prefix(TAG).map_or_else(|| tag.to_string(), |name| format!("!!{name}"))
}
