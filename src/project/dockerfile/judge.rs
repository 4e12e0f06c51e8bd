//! Goes through the instructions that make the image, and says what becomes of each.

use super::copied::{self, Copied};
use super::followed::Follower;
use super::installed;
use super::said::Said;
use super::stages::{Scope, Stages};
use super::{APP, Base, Facts, Recipe, Step};
use crate::foreign_text::neutral;
use crate::image::dockerfile::{Command, Dockerfile, Instruction, Stage, commands, pairs};
use std::collections::BTreeSet;
use std::path::Path;

/// Characters of a step that messages show.
const SHOWN_CHARS: usize = 100;
/// Prefixes of variables that only tell a tool how to install, or Python where a virtual environment is.
const INSTALL_VARIABLES: [&str; 8] = [
    "UV_",
    "PIP_",
    "POETRY_",
    "PDM_",
    "PIPENV_",
    "DEBIAN_FRONTEND",
    "VIRTUAL_ENV",
    "PYTHONDONTWRITEBYTECODE",
];
/// Variables that Docker itself gives to `FROM`, for the platforms of the builder and the image.
const PLATFORM_VARIABLES: [&str; 2] = ["$TARGETPLATFORM", "$BUILDPLATFORM"];

/// What becomes of a Dockerfile.
pub(super) fn judge(dockerfile: &Dockerfile, file: &Path, facts: &Facts<'_>) -> Recipe {
    let stages = Stages { dockerfile };
    let mut walk = Walk {
        dockerfile,
        stages,
        file,
        facts,
        recipe: Recipe::default(),
        builders: BTreeSet::new(),
        follower: Follower::new(stages, facts),
    };
    let last = dockerfile.stages.len() - 1;
    let mut image = walk.scope_of(last);
    for stage in walk.stages.chain(last) {
        walk.stage(stage, &mut image, true);
    }
    // What a builder does matters as far as its files are copied; each is looked at once.
    let mut seen = BTreeSet::new();
    while let Some(builder) = walk.builders.pop_last() {
        let mut scope = walk.scope_of(builder);
        for stage in walk.stages.chain(builder) {
            if seen.insert(stage) {
                walk.stage(stage, &mut scope, false);
            }
        }
    }
    walk.recipe.steps.sort_by_key(|step| step.line);
    walk.recipe
}

/// What becomes of an install script.
pub(super) fn script(text: &str, file: &Path, facts: &Facts<'_>) -> Vec<Step> {
    let scope = copied::Places::default();
    let mut steps = Vec::new();
    for (at, line) in logical_lines(text) {
        for command in commands(&line) {
            if let Some(said) = installed::judge(&command, &scope, facts, true) {
                steps.push(step(file, at, &shown_command(&command, &line), said));
            }
        }
    }
    steps
}

/// Lines with their numbers, continued ones joined.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut continues = false;
    for (at, line) in text.lines().enumerate() {
        let part = line.trim_end().strip_suffix('\\');
        match lines.last_mut().filter(|_| continues) {
            Some((_, last)) => last.push_str(part.unwrap_or(line)),
            None => lines.push((at + 1, part.unwrap_or(line).to_string())),
        }
        continues = part.is_some();
    }
    lines
}

/// Whether `USER` names the one that a base without a user has.
fn is_root(user: &str) -> bool {
    let user = user.trim().trim_matches(['"', '\'']);
    matches!(user.split(':').next(), Some("root" | "0"))
}

/// How messages show a command of a script: alone, or with all of a compound one, of which it is a part.
fn shown_command(command: &Command, whole: &str) -> String {
    match command.words.first() {
        Some(first) if installed::KEYWORDS.contains(&first.as_str()) => whole.to_string(),
        _ => command.words.join(" "),
    }
}

fn step(file: &Path, line: usize, text: &str, said: Said) -> Step {
    let one_line = neutral(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    let mut shown: String = one_line.chars().take(SHOWN_CHARS).collect();
    if shown.len() < one_line.len() {
        shown.push('…');
    }
    Step { file: file.to_path_buf(), line, text: shown, becomes: said.becomes, is_needed: said.is_needed }
}

struct Walk<'a> {
    dockerfile: &'a Dockerfile,
    stages: Stages<'a>,
    file: &'a Path,
    facts: &'a Facts<'a>,
    recipe: Recipe,
    /// Stages that files are copied from.
    builders: BTreeSet<usize>,
    follower: Follower<'a>,
}

impl Walk<'_> {
    fn stage(&mut self, number: usize, scope: &mut Scope, in_image: bool) {
        let dockerfile = self.dockerfile;
        let stage = &dockerfile.stages[number];
        let image = self.stages.image_of(number);
        if in_image && dockerfile.stage_before(&image, number).is_none() {
            self.base(stage);
        }
        for instruction in &stage.instructions {
            self.instruction(instruction, number, scope, in_image);
        }
    }

    fn base(&mut self, stage: &Stage) {
        let platform = stage.platform.as_deref().filter(|platform| {
            let plain = platform.replace(['{', '}'], "");
            !PLATFORM_VARIABLES.contains(&plain.as_str())
        });
        let platform = platform.and_then(|platform| self.stages.global(platform));
        let text = format!("FROM {}", stage.image);
        match self.stages.global(&stage.image) {
            Some(reference) if reference.eq_ignore_ascii_case("scratch") => {
                let becomes = "an image needs a base with Python: give one with --base-image";
                self.say(stage.line, &text, Said::needed(becomes));
            }
            Some(reference) => self.recipe.base = Some(Base { reference, platform, line: stage.line }),
            None => {
                let becomes = "its variables have no values here: give the base with --base-image";
                self.say(stage.line, &text, Said::needed(becomes));
            }
        }
    }

    fn say(&mut self, line: usize, text: &str, said: Said) {
        self.recipe.steps.push(step(self.file, line, text, said));
    }

    fn instruction(&mut self, instruction: &Instruction, stage: usize, scope: &mut Scope, in_image: bool) {
        let from = instruction.flag("from").map(|from| format!("--from={from} ")).unwrap_or_default();
        let text = format!("{} {from}{}", instruction.keyword, instruction.rest);
        let said = match instruction.keyword.as_str() {
            "ARG" => return self.stages.argument(instruction, scope),
            "ENV" => return self.env(instruction, scope, in_image),
            "WORKDIR" => {
                let path = scope.expand(&instruction.rest, self.dockerfile.escape);
                scope.places.enter(path.as_deref());
                let here = scope.places.working_directory();
                (in_image && here != APP).then(|| {
                    Said::told(format!("the working directory is {APP}, where the build directory is"))
                })
            }
            "COPY" | "ADD" => self.copied(instruction, stage, scope, in_image),
            "RUN" => return self.run(instruction, scope, in_image),
            "LABEL" if in_image => self.label(instruction, scope),
            "LABEL" | "EXPOSE" | "SHELL" | "MAINTAINER" => None,
            // As in every image of pexpress.
            "CMD" | "ENTRYPOINT" if instruction.array().is_some_and(|words| words.is_empty()) => None,
            "CMD" => Some(Said::told("agents say what to start")),
            _ if !in_image => None,
            "HEALTHCHECK" => Some(Said::told("agents check the code server themselves")),
            "ENTRYPOINT" => Some(Said::needed(
                "the image has no entry point: agents start the code server with a command of their own; \
                 move what the entry point prepares into the code",
            )),
            "USER" if is_root(&instruction.rest) => Some(Said::told("the user of the base image is kept")),
            "USER" => Some(Said::needed(
                "set the user in the base image, which is kept, or in the agent's container_context",
            )),
            "ONBUILD" => Some(Said::told("it only matters for images that are built on this one")),
            _ => Some(Said::needed("set it in the base image, which is kept")),
        };
        if let Some(said) = said {
            self.say(instruction.line, &text, said);
        }
    }

    fn env(&mut self, instruction: &Instruction, scope: &mut Scope, in_image: bool) {
        let escape = self.dockerfile.escape;
        let Some(pairs) = pairs(&instruction.rest, escape) else {
            return self.say(instruction.line, "ENV", Said::needed("its form is not understood"));
        };
        for (name, value, unset) in self.stages.assigned(pairs, scope) {
            let only_installs = INSTALL_VARIABLES.iter().any(|prefix| name.starts_with(prefix));
            if !in_image || only_installs || name == "PATH" {
                continue;
            }
            // Without the value: it may be a secret.
            let text = format!("ENV {name}");
            match value {
                None => {
                    let becomes = format!("its value is not known here: --image-env {name}=VALUE");
                    self.say(instruction.line, &text, Said::needed(becomes));
                }
                Some(value) if scope.places.moves(&value) => {
                    let moved = scope.places.moved(&value);
                    let becomes = format!("the build directory is at {APP}: --image-env {name}={moved}");
                    self.say(instruction.line, &text, Said::needed(becomes));
                }
                Some(value) => {
                    if let Some(unset) = unset {
                        let becomes = format!(
                            "nothing here sets `{unset}`, so it counts as empty; where the base sets it: --image-env {name}=VALUE"
                        );
                        self.say(instruction.line, &text, Said::told(becomes));
                    }
                    if scope.places.moves_later(&value) {
                        let moved = scope.places.moved(&value);
                        let becomes = format!(
                            "the build directory is at {APP}: where the code reads it, --image-env {name}={moved}"
                        );
                        self.say(instruction.line, &text, Said::told(becomes));
                    }
                    self.recipe.env.insert(name, value);
                }
            }
        }
    }

    fn label(&mut self, instruction: &Instruction, scope: &Scope) -> Option<Said> {
        let escape = self.dockerfile.escape;
        for (name, value) in pairs(&instruction.rest, escape).unwrap_or_default() {
            let name = scope.expand(&name, escape);
            match name.zip(scope.expand(&value, escape)) {
                Some((name, value)) => self.recipe.labels.insert(name, value),
                None => return Some(Said::told("its value is not known here: --image-label NAME=VALUE")),
            };
        }
        None
    }

    fn copied(
        &mut self,
        instruction: &Instruction,
        stage: usize,
        scope: &Scope,
        in_image: bool,
    ) -> Option<Said> {
        let from = self.stages.from(instruction);
        let builder = from.as_deref().and_then(|from| self.dockerfile.stage_before(from, stage));
        self.builders.extend(builder);
        let Some((to, mut sources)) = self.stages.words(instruction, scope) else {
            return Some(Said::needed("what it copies is not known here: --image-include PATH:DEST"));
        };
        if !in_image {
            // The whole context is there to be installed from.
            let is_whole = |source: &str| from.is_none() && copied::relative(source) == ".";
            let follower = &self.follower;
            let mut number = 0..;
            sources.retain(|source| {
                let is_fed = number.next().is_some_and(|at| follower.is_fed(instruction.line, at));
                !is_fed && !is_whole(source)
            });
        }
        let is_written_here = !instruction.documents.is_empty() && !sources.is_empty();
        if let Some(builder) = builder.filter(|_| !is_written_here) {
            let follow = |source: &String| self.follower.follow(source, &to, builder, &scope.places);
            return Said::combined(sources.iter().flat_map(follow).collect());
        }
        let copied = Copied {
            sources: &sources,
            to: &to,
            from: from.as_deref(),
            unpacks: instruction.keyword == "ADD",
            is_written_here,
        };
        copied::judge(&copied, &scope.places, self.facts)
    }

    /// For a walk through the chain of a stage, whose working directories are known from the start: a file may be
    /// copied into one before `WORKDIR` names it.
    fn scope_of(&mut self, stage: usize) -> Scope {
        let mut scope = Scope::new(self.dockerfile);
        scope.places.expect(&self.follower.record(stage).places);
        scope
    }

    fn run(&mut self, instruction: &Instruction, scope: &Scope, in_image: bool) {
        let commands: Vec<Command> = match instruction.array() {
            Some(words) => vec![Command { words, outputs: Vec::new() }],
            None if instruction.documents.is_empty() => commands(&instruction.rest),
            None => instruction.documents.iter().flat_map(|document| commands(document)).collect(),
        };
        let mut told = BTreeSet::new();
        for command in commands {
            let Some(said) = installed::judge(&command, &scope.places, self.facts, in_image) else {
                continue;
            };
            // One answer for all commands of a step that need the same.
            if told.insert(said.becomes.clone()) {
                let shown = match instruction.documents.is_empty() {
                    true => shown_command(&command, &instruction.rest),
                    false => command.words.join(" "),
                };
                self.say(instruction.line, &format!("RUN {shown}"), said);
            }
        }
    }
}
