//! `requirements.txt` as pip reads it.
//!
//! Source: pip's documentation, "Requirements file format", and the behaviour of pip 25: comments go before
//! continuations are joined, so that a comment ending in a backslash swallows nothing; `-r` and `-c` are relative to
//! the file that has them, paths of packages to the directory that pip runs in (here: the project), and a path that
//! exists only next to the file is accepted too.

mod source;

use super::environment::ConstraintFile;
use super::error::CollectError;
use super::options::{self, Opt};
use super::requirement::{self, ParsedRequirement, Scope, What, scheme};
use super::text_encoding;
use crate::error::Place;
use crate::host::Host;
use crate::paths::resolved;
use crate::project::{Index, ResolveSettings, Warning};
use source::Source;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use url::Url;

/// What a requirements file says, with the files it names.
#[derive(Debug, Default)]
pub(super) struct RequirementsTxt {
    /// Requirements in the order of the file.
    pub(super) asked: Vec<ParsedRequirement>,
    /// How to resolve.
    pub(super) settings: ResolveSettings,
    /// Warnings.
    pub(super) warnings: Vec<Warning>,
    /// Whether a line is left out that depends on a server or a variable.
    pub(super) is_partial: bool,
    require_hashes: bool,
    read: HashSet<(PathBuf, bool)>,
}

/// Read a requirements file of the project in `scope.directory`; `is_static`: without lines that depend on a server or
/// a variable.
///
/// # Errors
/// A line that pip would refuse, a file or path that does not exist, bytes that are not text.
pub(super) fn read(
    file: &Path,
    scope: Scope<'_>,
    host: &Host,
    is_static: bool,
) -> Result<RequirementsTxt, CollectError> {
    let mut contents = RequirementsTxt::default();
    let source = Source::File(file.to_path_buf());
    let context = Context { source, kind: Kind::Requirements, scope, host, is_static };
    contents.read_source(&context)?;
    contents.check_hashes()?;
    Ok(contents)
}

/// Read a file of constraints that is named by no other file.
///
/// # Errors
/// As for [`read`].
pub(super) fn read_constraints(
    ConstraintFile { file, setting }: &ConstraintFile,
    scope: Scope<'_>,
    host: &Host,
) -> Result<RequirementsTxt, CollectError> {
    let remote = is_remote(file).then(|| Url::parse(file).ok()).flatten();
    if remote.is_none() && !Path::new(file).is_file() {
        let place = Place { file: file.into(), line: None, column: None };
        let problem = format!("{setting} names a file that does not exist");
        return Err(CollectError::invalid_with(place, problem, "correct the path, or unset it"));
    }
    let source = remote.map_or_else(|| Source::File(PathBuf::from(file)), Source::Remote);
    let mut contents = RequirementsTxt::default();
    contents.read_source(&Context { source, kind: Kind::Constraints, scope, host, is_static: false })?;
    Ok(contents)
}

/// The kind of the lines in a file: requirements, or constraints on versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Requirements,
    Constraints,
}

/// The most files that one requirements file may lead to, by however many steps.
const MAX_FILES: usize = 200;
/// The file that is being read, and for what.
struct Context<'a> {
    source: Source,
    kind: Kind,
    scope: Scope<'a>,
    host: &'a Host,
    is_static: bool,
}

impl RequirementsTxt {
    fn read_source(&mut self, context: &Context<'_>) -> Result<(), CollectError> {
        let shown = context.source.shown();
        // Files may include one another, also by links and as constraints: read each once per kind.
        let identity = shown.canonicalize().unwrap_or_else(|_| shown.clone());
        if !self.read.insert((identity, context.kind == Kind::Constraints)) {
            return Ok(());
        }
        if self.read.len() > MAX_FILES {
            let place = Place { file: shown, line: None, column: None };
            return Err(CollectError::invalid(
                place,
                format!("more than {MAX_FILES} requirements files name one another"),
            ));
        }
        let decoded = text_encoding::decode(&context.source.bytes(context.host)?, &shown)?;
        if let Some(line) = decoded.assumed_at {
            let place = Place { file: shown.clone(), line: Some(line), column: None };
            self.warn(&place, "not UTF-8: read as Windows-1252; save it as UTF-8".into());
        }
        let text = decoded.text;
        let file_directory = match &context.source {
            Source::File(path) => path.parent(),
            Source::Remote(_) => None,
        };
        let scope = Scope { file_directory, ..context.scope };
        let context = Context { source: context.source.clone(), scope, ..*context };
        for line in logical_lines(&text) {
            let place = Place { file: shown.clone(), line: Some(line.number), column: None };
            let known = self.warnings.len();
            let text = self.expand_variables(&line.text, context.host, &place);
            if context.is_static && text.contains("${") {
                // It may be set where the build runs.
                self.warnings.truncate(known);
                self.is_partial = true;
                continue;
            }
            self.read_line(&text, &context, &place)?;
        }
        Ok(())
    }

    fn read_line(&mut self, text: &str, context: &Context<'_>, place: &Place) -> Result<(), CollectError> {
        let line = options::split(text, place)?;
        let hashes = hashes(&line.options, place)?;
        if !line.requirement.is_empty() {
            let asked = requirement::read(&line.requirement, context.scope, place)?;
            self.set_for_build(asked.as_ref(), &line.options, place)?;
            self.add(&line.requirement, asked, hashes, context.kind, place);
        }
        for option in line.options {
            self.apply(option, context, place)?;
        }
        Ok(())
    }

    /// `--config-settings KEY=VALUE` of a requirement: uv's `config-settings-package`. The same key again makes a list.
    fn set_for_build(
        &mut self,
        asked: Option<&ParsedRequirement>,
        options: &[Opt],
        place: &Place,
    ) -> Result<(), CollectError> {
        for option in options {
            let Opt::ConfigSetting(pair) = option else { continue };
            let Some((key, value)) = pair.split_once('=') else {
                let problem = format!("`--config-settings={pair}` is not KEY=VALUE");
                return Err(CollectError::invalid(place.clone(), problem));
            };
            let Some(name) = asked.and_then(|asked| asked.name.as_ref()) else {
                self.warn(place, "`--config-settings` needs a requirement with a name".into());
                continue;
            };
            let table =
                |value: &mut toml::Value| value.as_table_mut().map(std::mem::take).unwrap_or_default();
            let packages = self.settings.uv.entry("config-settings-package").or_insert(empty_table());
            let mut all = table(packages);
            let mut own = table(all.entry(name.to_string()).or_insert(empty_table()));
            let value = toml::Value::from(value);
            let value = match own.remove(key) {
                Some(toml::Value::Array(known)) => {
                    toml::Value::Array(known.into_iter().chain([value]).collect())
                }
                Some(known) => toml::Value::Array(vec![known, value]),
                None => value,
            };
            own.insert(key.to_string(), value);
            all.insert(name.to_string(), own.into());
            *packages = all.into();
        }
        Ok(())
    }

    fn add(
        &mut self,
        text: &str,
        asked: Option<ParsedRequirement>,
        hashes: Vec<String>,
        kind: Kind,
        place: &Place,
    ) {
        let Some(asked) = asked else { return };
        match kind {
            Kind::Requirements => self.asked.push(ParsedRequirement { hashes, ..asked }),
            Kind::Constraints => match asked.what {
                What::Versions(_) | What::Link(_) if asked.name.is_some() => {
                    self.settings.origins.extend(asked.origin("constraint"));
                    self.settings.constraints.push(asked.text);
                }
                _ => {
                    self.warn(place, format!("`{text}` limits nothing: constraints are names with versions"))
                }
            },
        }
    }

    fn apply(&mut self, option: Opt, context: &Context<'_>, place: &Place) -> Result<(), CollectError> {
        let settings = &mut self.settings;
        let scope = context.scope;
        match option {
            // These belong to the requirement on the line, and are applied there.
            Opt::Hash(_) | Opt::ConfigSetting(_) => {}
            Opt::Editable(text) => {
                let asked = requirement::read_editable(&text, scope, place)?;
                self.add(&text, asked, Vec::new(), context.kind, place);
            }
            Opt::Requirement(file) => self.include("-r", &file, context.kind, context, place)?,
            Opt::Constraint(file) => self.include("-c", &file, Kind::Constraints, context, place)?,
            Opt::IndexUrl(url) => settings.default_index = Some(index_url(&url, scope)),
            Opt::ExtraIndexUrl(url) => {
                let url = index_url(&url, scope);
                settings.indexes.push(Index { name: None, url, explicit: false });
            }
            Opt::FindLinks(link) => settings.find_links.push(find_links(&link, scope)),
            Opt::NoIndex => settings.no_index = true,
            Opt::NoBinary(names) => add_names(&mut settings.no_binary, &names),
            Opt::OnlyBinary(names) => add_names(&mut settings.only_binary, &names),
            Opt::Pre => settings.prerelease = Some("allow".into()),
            Opt::RequireHashes => self.require_hashes = true,
            Opt::TrustedHost(name) => trust(settings, name),
            Opt::Ignored(name) => self.warn(place, format!("`{name}` has no effect here")),
        }
        Ok(())
    }

    /// `-r FILE`, `-c FILE`: relative to the file that has it.
    fn include(
        &mut self,
        option: &str,
        file: &str,
        kind: Kind,
        context: &Context<'_>,
        place: &Place,
    ) -> Result<(), CollectError> {
        let source = match &context.source {
            Source::Remote(base) => base.join(file).ok().map(Source::Remote),
            Source::File(_) if is_remote(file) => Url::parse(file).ok().map(Source::Remote),
            Source::File(path) => {
                let directory = path.parent().unwrap_or(context.scope.directory);
                let path = resolved(directory, file.strip_prefix("file://").unwrap_or(file));
                Some(path).filter(|path| path.is_file()).map(Source::File)
            }
        };
        let Some(source) = source else {
            let directory = context.scope.file_directory.unwrap_or(context.scope.directory);
            return Err(CollectError::NoSuchPath {
                requirement: format!("{option} {file}"),
                path: resolved(directory, file),
                place: place.clone(),
            });
        };
        if context.is_static && matches!(source, Source::Remote(_)) {
            self.is_partial = true;
            return Ok(());
        }
        self.read_source(&Context { source, kind, ..*context })
    }

    /// With `--require-hashes`, everything that is downloaded needs a digest.
    fn check_hashes(&self) -> Result<(), CollectError> {
        let bare = |asked: &&ParsedRequirement| match &asked.what {
            What::Versions(_) => asked.hashes.is_empty(),
            What::Link(link) => asked.hashes.is_empty() && !link.contains("sha256="),
            What::Directory(_) | What::Distribution(_) => false,
        };
        match self.asked.iter().filter(|_| self.require_hashes).find(bare) {
            Some(ParsedRequirement { text, place, .. }) => Err(CollectError::invalid_with(
                place.clone(),
                format!("`{text}` has no --hash, though the file has --require-hashes"),
                "add its --hash (`uv pip compile --generate-hashes` writes them), or drop --require-hashes",
            )),
            None => Ok(()),
        }
    }

    /// Replace `${NAME}`, as pip does: capitals, digits and underscores only, unset ones stay.
    fn expand_variables(&mut self, text: &str, host: &Host, place: &Place) -> String {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let (before, after) = rest.split_at(start);
            expanded.push_str(before);
            let name = after[2..].split_once('}').map(|(name, _)| name).filter(|name| is_variable_name(name));
            let Some(name) = name else {
                expanded.push_str("${");
                rest = &after[2..];
                continue;
            };
            match host.var(name) {
                Some(value) => expanded.push_str(value),
                None => {
                    expanded.push_str(&after[..name.len() + 3]);
                    if name != "PROJECT_ROOT" {
                        self.warn(place, format!("the environment variable `{name}` is not set"));
                    }
                }
            }
            rest = &after[name.len() + 3..];
        }
        expanded + rest
    }

    fn warn(&mut self, place: &Place, message: String) {
        self.warnings.push(Warning { message, place: Some(place.clone()) });
    }
}

fn empty_table() -> toml::Value {
    toml::Value::Table(toml::Table::new())
}

fn is_variable_name(name: &str) -> bool {
    !name.is_empty()
        && name.chars().all(|each| each.is_ascii_uppercase() || each.is_ascii_digit() || each == '_')
}

fn is_remote(file: &str) -> bool {
    matches!(scheme(file), Some("http" | "https" | "ftp"))
}

/// An index may be a directory; a relative one belongs to the file's directory.
fn index_url(url: &str, scope: Scope<'_>) -> String {
    if scheme(url).is_some() {
        url.to_string()
    } else {
        requirement::file_url(Path::new(&find_links(url, scope)))
    }
}

/// A `--find-links` path is relative to the file if that exists, else to the project.
fn find_links(link: &str, scope: Scope<'_>) -> String {
    if scheme(link).is_some() {
        return link.to_string();
    }
    let next_to_file = scope.file_directory.map(|directory| resolved(directory, link));
    next_to_file
        .filter(|path| path.exists())
        .unwrap_or_else(|| resolved(scope.directory, link))
        .to_string_lossy()
        .into_owned()
}

/// `--trusted-host`, as uv calls it.
fn trust(settings: &mut ResolveSettings, name: String) {
    let key = "allow-insecure-host";
    let hosts = settings.uv.entry(key).or_insert_with(|| toml::Value::Array(Vec::new()));
    if let Some(hosts) = hosts.as_array_mut() {
        hosts.push(name.into());
    }
}

/// `--no-binary a,b`; `:none:` empties the list, as pip does.
fn add_names(list: &mut Vec<String>, names: &str) {
    for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        if name == ":none:" {
            list.clear();
        } else if !list.iter().any(|known| known == name) {
            list.push(name.to_string());
        }
    }
}

fn hashes(options: &[Opt], place: &Place) -> Result<Vec<String>, CollectError> {
    let given = options.iter().filter_map(|option| match option {
        Opt::Hash(hash) => Some(hash),
        _ => None,
    });
    given
        .map(|hash| {
            let hex_digits = match hash.split_once(':') {
                Some(("sha256", hex)) => (hex, 64),
                Some(("sha384", hex)) => (hex, 96),
                Some(("sha512", hex)) => (hex, 128),
                _ => ("", 1),
            };
            let (hex, digits) = hex_digits;
            let well_formed = hex.len() == digits && hex.chars().all(|each| each.is_ascii_hexdigit());
            well_formed.then(|| hash.to_lowercase()).ok_or_else(|| {
                CollectError::invalid(
                    place.clone(),
                    format!("`--hash={hash}` is not sha256:, sha384: or sha512: with its hex digits"),
                )
            })
        })
        .collect()
}

/// A line after joining continuations and dropping comments; numbers are of its first physical line.
#[derive(Debug, PartialEq)]
pub(super) struct LogicalLine {
    number: usize,
    pub(super) text: String,
}

pub(super) fn logical_lines(text: &str) -> Vec<LogicalLine> {
    let mut lines = Vec::new();
    let mut joined: Option<LogicalLine> = None;
    for (index, physical) in split_lines(text).into_iter().enumerate() {
        let comment = physical.trim_start().starts_with('#');
        let physical = physical.trim_end();
        let continued = !comment && physical.ends_with('\\');
        let part = if comment { " #" } else { physical.trim_end_matches('\\') };
        let line = joined.get_or_insert_with(|| LogicalLine { number: index + 1, text: String::new() });
        line.text.push_str(part);
        if !continued {
            lines.extend(joined.take());
        }
    }
    lines.extend(joined);
    lines
        .into_iter()
        .map(|line| LogicalLine { text: without_comment(&line.text).trim().to_string(), ..line })
        .filter(|line| !line.text.is_empty())
        .collect()
}

/// Lines ended by `\n`, `\r\n` or `\r`.
fn split_lines(text: &str) -> Vec<&str> {
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r')).collect()
}

/// Drop a `#` at the start or after white space, and all after it.
fn without_comment(text: &str) -> &str {
    let mut before_is_space = true;
    for (at, each) in text.char_indices() {
        if each == '#' && before_is_space {
            return &text[..at];
        }
        before_is_space = each.is_whitespace();
    }
    text
}

#[cfg(test)]
mod tests;
