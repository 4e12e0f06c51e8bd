//! Reads a Dockerfile into stages and instructions. Nothing is run, and no file is looked at.
//!
//! Sources: "Dockerfile reference" (Docker's manual), for directives, continuation lines, comments, here-documents and
//! stages; BuildKit's parser for what the manual leaves open (a doubled escape character does not continue a line; blank
//! lines and comments within a continued instruction are skipped).

mod shell;
mod variables;

pub use shell::{Command, commands};
pub use variables::{Expanded, expand, pairs};

/// A Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    /// `ARG`s before the first `FROM`: name and default.
    pub arguments: Vec<(String, Option<String>)>,
    /// At least one. The last one is what `docker build` makes unless it is told otherwise.
    pub stages: Vec<Stage>,
    /// The character that continues lines and quotes others: `\`, or a backtick by a directive.
    pub escape: char,
}

/// From one `FROM` to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Line of its `FROM`, from 1.
    pub line: usize,
    /// Image or earlier stage, with variables as they are written.
    pub image: String,
    /// Of `--platform`, as it is written.
    pub platform: Option<String>,
    /// Of `AS`, lower case.
    pub name: Option<String>,
    /// The instructions that follow.
    pub instructions: Vec<Instruction>,
}

/// One instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// Its first line, from 1.
    pub line: usize,
    /// Upper case.
    pub keyword: String,
    /// `--name=value`, without the hyphens.
    pub flags: Vec<(String, Option<String>)>,
    /// What follows the flags, with continuation lines joined.
    pub rest: String,
    /// The texts of its here-documents.
    pub documents: Vec<String>,
}

/// Why a text is not a Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct DockerfileError {
    /// From 1.
    pub line: usize,
    /// What is wrong there.
    pub reason: String,
}

/// All instructions. Source: "Dockerfile reference", "Overview".
const KEYWORDS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];
const WITH_FLAGS: [&str; 5] = ["ADD", "COPY", "FROM", "HEALTHCHECK", "RUN"];
const WITH_DOCUMENTS: [&str; 3] = ["ADD", "COPY", "RUN"];

impl Dockerfile {
    /// Read a Dockerfile.
    ///
    /// # Errors
    /// When it is not one.
    pub fn parse(text: &str) -> Result<Dockerfile, DockerfileError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines: Vec<&str> = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).collect();
        let escape = escape_of(&lines)?;
        let mut dockerfile = Dockerfile { arguments: Vec::new(), stages: Vec::new(), escape };
        let mut at = 0;
        while let Some(instruction) = next_instruction(&lines, &mut at, escape)? {
            dockerfile.push(instruction)?;
        }
        if dockerfile.stages.is_empty() {
            return Err(fault(lines.len(), "it has no FROM"));
        }
        Ok(dockerfile)
    }

    fn push(&mut self, instruction: Instruction) -> Result<(), DockerfileError> {
        if instruction.keyword == "FROM" {
            self.stages.push(stage(&instruction)?);
            return Ok(());
        }
        match self.stages.last_mut() {
            Some(stage) => stage.instructions.push(instruction),
            None if instruction.keyword == "ARG" => {
                for word in instruction.rest.split_whitespace() {
                    let (name, default) = match word.split_once('=') {
                        Some((name, default)) => (name, Some(default.to_string())),
                        None => (word, None),
                    };
                    self.arguments.push((name.to_string(), default));
                }
            }
            None => {
                let reason = format!("{} is before the first FROM", instruction.keyword);
                return Err(fault(instruction.line, reason));
            }
        }
        Ok(())
    }

    /// The stage that a name or number refers to in the stage number `before`, or in what `FROM` says there.
    pub fn stage_before(&self, name: &str, before: usize) -> Option<usize> {
        let earlier = self.stages.get(..before)?;
        let name = name.to_ascii_lowercase();
        // The last one of a name counts.
        let named = earlier.iter().rposition(|stage| stage.name.as_deref() == Some(&name));
        named.or_else(|| name.parse().ok().filter(|number: &usize| *number < before))
    }
}

impl Instruction {
    /// The value of a flag.
    pub fn flag(&self, name: &str) -> Option<&str> {
        let found = self.flags.iter().find(|(each, _)| each == name);
        found.and_then(|(_, value)| value.as_deref())
    }

    /// The words of the form that is a JSON array of strings.
    pub fn array(&self) -> Option<Vec<String>> {
        serde_json::from_str(self.rest.trim()).ok()
    }
}

fn fault(line: usize, reason: impl Into<String>) -> DockerfileError {
    DockerfileError { line, reason: reason.into() }
}

/// The escape character that a directive names. Directives are comments of the form `name=value` at the very start.
fn escape_of(lines: &[&str]) -> Result<char, DockerfileError> {
    let mut escape = None;
    for (at, line) in lines.iter().enumerate() {
        let directive = line.trim().strip_prefix('#').and_then(|rest| rest.split_once('='));
        let Some((name, value)) = directive.map(|(name, value)| (name.trim(), value.trim())) else { break };
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            break;
        }
        if name.eq_ignore_ascii_case("escape") {
            escape = match value {
                "\\" => Some('\\'),
                "`" => Some('`'),
                _ => return Err(fault(at + 1, "the escape character must be a backslash or a backtick")),
            };
        }
    }
    Ok(escape.unwrap_or('\\'))
}

/// The next instruction from line `at` on, which is moved behind it.
fn next_instruction(
    lines: &[&str],
    at: &mut usize,
    escape: char,
) -> Result<Option<Instruction>, DockerfileError> {
    let is_skipped = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    while lines.get(*at).is_some_and(|line| is_skipped(line)) {
        *at += 1;
    }
    let first = *at;
    let mut text = String::new();
    while let Some(line) = lines.get(*at) {
        *at += 1;
        if *at - 1 > first && is_skipped(line) {
            continue;
        }
        let line = if *at - 1 == first { line.trim_start() } else { line };
        match without_escape(line, escape) {
            Some(part) => text.push_str(part),
            None => {
                text.push_str(line);
                break;
            }
        }
    }
    if text.is_empty() && *at >= lines.len() {
        return Ok(None);
    }
    let mut instruction = instruction(&text, first + 1)?;
    if WITH_DOCUMENTS.contains(&instruction.keyword.as_str()) && instruction.array().is_none() {
        for (name, strips_tabs) in shell::documents(&instruction.rest) {
            instruction.documents.push(document(lines, at, &name, strips_tabs, first + 1)?);
        }
    }
    Ok(Some(instruction))
}

/// The line without its end if that continues it.
fn without_escape(line: &str, escape: char) -> Option<&str> {
    let part = line.trim_end_matches([' ', '\t']).strip_suffix(escape)?;
    (!part.ends_with(escape)).then_some(part)
}

fn document(
    lines: &[&str],
    at: &mut usize,
    name: &str,
    strips_tabs: bool,
    line: usize,
) -> Result<String, DockerfileError> {
    let mut text = String::new();
    while let Some(next) = lines.get(*at) {
        *at += 1;
        let next = if strips_tabs { next.trim_start_matches('\t') } else { next };
        if next == name {
            return Ok(text);
        }
        text.push_str(next);
        text.push('\n');
    }
    Err(fault(line, format!("the here-document `{}` has no end", name.escape_debug())))
}

fn instruction(text: &str, line: usize) -> Result<Instruction, DockerfileError> {
    let (keyword, mut rest) = text.split_once([' ', '\t']).unwrap_or((text.trim_end(), ""));
    let keyword = keyword.to_ascii_uppercase();
    if !KEYWORDS.contains(&keyword.as_str()) {
        let shown: String = keyword.chars().take(40).collect();
        return Err(fault(line, format!("`{}` is not an instruction", shown.escape_debug())));
    }
    let mut flags = Vec::new();
    rest = rest.trim_start();
    while let Some(flag) = rest.strip_prefix("--").filter(|_| WITH_FLAGS.contains(&keyword.as_str())) {
        let (flag, after) = flag.split_once([' ', '\t']).unwrap_or((flag, ""));
        rest = after.trim_start();
        if flag.is_empty() {
            break;
        }
        flags.push(match flag.split_once('=') {
            Some((name, value)) => (name.to_string(), Some(value.trim_matches(['"', '\'']).to_string())),
            None => (flag.to_string(), None),
        });
    }
    Ok(Instruction { line, keyword, flags, rest: rest.trim_end().to_string(), documents: Vec::new() })
}

fn stage(from: &Instruction) -> Result<Stage, DockerfileError> {
    let words: Vec<&str> = from.rest.split_whitespace().collect();
    let (image, name) = match words[..] {
        [image] => (image, None),
        [image, with, name] if with.eq_ignore_ascii_case("as") => (image, Some(name.to_ascii_lowercase())),
        _ => return Err(fault(from.line, "FROM needs an image, and may have AS and a name")),
    };
    Ok(Stage {
        line: from.line,
        image: image.to_string(),
        platform: from.flag("platform").map(String::from),
        name,
        instructions: Vec::new(),
    })
}

#[cfg(test)]
mod tests;
