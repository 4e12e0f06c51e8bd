//! Follows what a stage copies from an earlier one to where that has it from.

use super::Facts;
use super::copied::{self, Copied, Places};
use super::said::Said;
use super::stages::{Scope, Stages};
use crate::image::dockerfile::{Instruction, commands, pairs};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Stages that are followed one after the other.
const DEPTH: usize = 32;
/// Copies that are followed for one Dockerfile: each can come from several others.
const LIMIT: usize = 1000;
/// Directories that have more than what a stage copies there.
const OF_THE_BASE: [&str; 9] = ["/", "/usr", "/usr/local", "/etc", "/var", "/lib", "/bin", "/root", "/home"];

/// What a stage does to its files.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) places: Places,
    copies: Vec<Copy>,
    /// Files that its commands write.
    written: Vec<String>,
}

/// One source of a `COPY` or `ADD`.
#[derive(Debug)]
struct Copy {
    /// Line of the instruction, and which of its sources it is.
    id: (usize, usize),
    source: String,
    /// Where the file, or the content of the directory, is then.
    target: String,
    from: From,
}

#[derive(Debug)]
enum From {
    /// Docker's context.
    Context,
    Stage(usize),
    Image(String),
    /// A download, an archive, or a text in the Dockerfile.
    Made,
}

/// Where a file of a stage comes from.
enum Origin {
    /// A path of Docker's context, and what follows the destination.
    Context(String, String),
    /// A path of an image.
    Image(String, String),
    /// Installed there, or made by a command.
    Made,
}

/// Follows the files of one Dockerfile.
pub(super) struct Follower<'a> {
    stages: Stages<'a>,
    facts: &'a Facts<'a>,
    records: BTreeMap<usize, Rc<Record>>,
    /// Sources of `COPY` that only feed a copy of a later stage.
    fed: BTreeSet<(usize, usize)>,
    /// How many copies were followed.
    count: usize,
}

impl<'a> Follower<'a> {
    pub(super) fn new(stages: Stages<'a>, facts: &'a Facts<'a>) -> Follower<'a> {
        Follower { stages, facts, records: BTreeMap::new(), fed: BTreeSet::new(), count: 0 }
    }

    /// Whether a source of a `COPY`, by its line and number, only feeds a copy of a later stage.
    pub(super) fn is_fed(&self, line: usize, number: usize) -> bool {
        self.fed.contains(&(line, number))
    }

    /// What a stage, with those that it is based on, does to its files.
    pub(super) fn record(&mut self, stage: usize) -> Rc<Record> {
        if let Some(known) = self.records.get(&stage) {
            return Rc::clone(known);
        }
        let mut record = Record::default();
        let mut scope = Scope::new(self.stages.dockerfile);
        for stage in self.stages.chain(stage) {
            for instruction in &self.stages.dockerfile.stages[stage].instructions {
                match instruction.keyword.as_str() {
                    "ARG" => self.stages.argument(instruction, &mut scope),
                    "ENV" => {
                        let pairs = pairs(&instruction.rest, self.stages.dockerfile.escape);
                        self.stages.assigned(pairs.unwrap_or_default(), &mut scope);
                    }
                    "WORKDIR" => {
                        let path = scope.expand(&instruction.rest, self.stages.dockerfile.escape);
                        scope.places.enter(path.as_deref());
                    }
                    "COPY" | "ADD" => self.remember(instruction, stage, &scope, &mut record),
                    "RUN" if instruction.documents.is_empty() => {
                        let outputs = commands(&instruction.rest).into_iter().flat_map(|one| one.outputs);
                        record.written.extend(outputs.map(|file| scope.places.absolute(&file)));
                    }
                    _ => {}
                }
            }
        }
        record.places = scope.places;
        let record = Rc::new(record);
        self.records.insert(stage, Rc::clone(&record));
        record
    }

    fn remember(&self, instruction: &Instruction, stage: usize, scope: &Scope, record: &mut Record) {
        let Some((to, sources)) = self.stages.words(instruction, scope) else { return };
        let from = self.stages.from(instruction);
        let target = scope.places.absolute(&to);
        for (at, source) in sources.iter().enumerate() {
            let is_made = !instruction.documents.is_empty()
                || (instruction.keyword == "ADD" && copied::unpacks_or_downloads(source));
            let from = match &from {
                _ if is_made => From::Made,
                None => From::Context,
                Some(name) => match self.stages.dockerfile.stage_before(name, stage) {
                    Some(stage) => From::Stage(stage),
                    None => From::Image(name.clone()),
                },
            };
            let is_file = match &from {
                From::Context => {
                    (self.facts.find)(&copied::relative(source)).is_some_and(|found| found.is_file)
                }
                _ => false,
            };
            let is_into = to.ends_with(['/', '.']) || sources.len() > 1 || scope.places.is_working(&target);
            // The content of a directory goes into the one that is named, and a file below it.
            let target = if is_file && is_into { copied::below(&target, source) } else { target.clone() };
            record.copies.push(Copy { id: (instruction.line, at), source: source.clone(), target, from });
        }
    }

    /// What becomes of files that are copied from an earlier stage.
    pub(super) fn follow(&mut self, source: &str, to: &str, stage: usize, places: &Places) -> Vec<Said> {
        let made =
            || Some(Said::needed("files that another stage makes: put them into a base image of your own"));
        let source = Places::default().absolute(source);
        let origins = self.origins(&source, stage, DEPTH);
        let name = copied::file_name(&source).to_string();
        let mut said: Vec<Said> = Vec::new();
        for origin in origins {
            let judged = match origin {
                Origin::Made => made(),
                Origin::Image(image, path) => copied::from_image(&image, &[path]),
                Origin::Context(path, rest) => {
                    let is_file = (self.facts.find)(&copied::relative(&path)).is_some_and(|one| one.is_file);
                    let into = to.ends_with(['/', '.']);
                    let to = match rest.as_str() {
                        "" if into && is_file => copied::below(&places.absolute(to), &name),
                        "" => to.to_string(),
                        rest => format!("{}/{rest}", places.absolute(to).trim_end_matches('/')),
                    };
                    let copied = Copied { to: &to, ..Copied::default() };
                    copied::from_context(&path, &copied, places, self.facts)
                }
            };
            said.extend(judged);
        }
        said
    }

    /// Where a path of a stage comes from: nowhere, if it is installed there.
    fn origins(&mut self, path: &str, stage: usize, depth: usize) -> Vec<Origin> {
        self.count += 1;
        if depth == 0 || self.count > LIMIT {
            return vec![Origin::Made];
        }
        let record = self.record(stage);
        let mut origins = Vec::new();
        let is_installed = copied::is_installed(path);
        for copy in &record.copies {
            // A virtual environment in a copied directory is not that of the context.
            if is_installed && !copied::is_installed(&copy.target) {
                continue;
            }
            let (source, rest) = if let Some(inner) = inner(path, &copy.target) {
                (copy.source_of(inner), "")
            } else if let Some(outer) = inner(&copy.target, path) {
                (copy.source.clone(), outer)
            } else {
                continue;
            };
            let found = match &copy.from {
                From::Made => continue,
                From::Image(image) => vec![Origin::Image(image.clone(), source)],
                From::Stage(below) => self.origins(&Places::default().absolute(&source), *below, depth - 1),
                // What a command makes in a copied directory is not in the context.
                From::Context if source != copy.source && !self.is_known(&source) => continue,
                From::Context => vec![Origin::Context(source, String::new())],
            };
            self.fed.insert(copy.id);
            origins.extend(found.into_iter().map(|origin| origin.below(rest)));
        }
        let is_written = record.written.iter().any(|file| inner(file, path).is_some());
        let is_of_base = OF_THE_BASE.contains(&path) && !origins.is_empty();
        if !is_installed && (origins.is_empty() || is_written || is_of_base) {
            origins.push(Origin::Made);
        }
        origins
    }

    fn is_known(&self, source: &str) -> bool {
        copied::is_project_file(source) || (self.facts.find)(&copied::relative(source)).is_some()
    }
}

impl Copy {
    /// The source of a path below the target.
    fn source_of(&self, inner: &str) -> String {
        if inner.is_empty() {
            return self.source.clone();
        }
        // Wildcards stand for files in a directory.
        let directory = match self.source.rsplit_once('/') {
            Some((directory, name)) if name.contains(['*', '?', '[']) => directory,
            None if self.source.contains(['*', '?', '[']) => ".",
            _ => self.source.trim_end_matches('/'),
        };
        format!("{directory}/{inner}")
    }
}

impl Origin {
    fn below(self, rest: &str) -> Origin {
        match self {
            Origin::Context(path, below) if below.is_empty() => Origin::Context(path, rest.to_string()),
            Origin::Context(path, below) if rest.is_empty() => Origin::Context(path, below),
            Origin::Context(path, below) => Origin::Context(path, format!("{rest}/{below}")),
            other => other,
        }
    }
}

/// What follows a directory in a path that is the directory or below it.
fn inner<'p>(path: &'p str, directory: &str) -> Option<&'p str> {
    let rest = path.strip_prefix(directory.trim_end_matches('/'))?;
    if rest.is_empty() { Some("") } else { rest.strip_prefix('/') }
}
