//! The stages of a Dockerfile and their variables.

use super::copied;
use crate::image::dockerfile::{Dockerfile, Instruction, expand};
use std::collections::{BTreeMap, BTreeSet};

/// Variables that bases with Python set themselves.
const BASE_VARIABLES: [&str; 5] = ["PATH", "LANG", "GPG_KEY", "PYTHON_VERSION", "PYTHON_SHA256"];

/// The variables of a chain of stages, and where its files go.
pub(super) struct Scope {
    values: BTreeMap<String, String>,
    /// Build arguments without a value.
    asked: BTreeSet<String>,
    pub(super) places: copied::Places,
}

impl Scope {
    pub(super) fn new(dockerfile: &Dockerfile) -> Scope {
        let mut places = copied::Places::default();
        places.escape = dockerfile.escape;
        Scope { values: BTreeMap::new(), asked: BTreeSet::new(), places }
    }

    /// The text with variables replaced; `None` if one has no value.
    pub(super) fn expand(&self, text: &str, escape: char) -> Option<String> {
        let expanded = expand(text, escape, &|name| self.values.get(name).cloned())?;
        expanded.unset.is_empty().then_some(expanded.text)
    }
}

/// The stages of a Dockerfile.
#[derive(Clone, Copy)]
pub(super) struct Stages<'a> {
    pub(super) dockerfile: &'a Dockerfile,
}

impl Stages<'_> {
    /// The stages that a stage is based on, and itself, from the lowest to the highest.
    pub(super) fn chain(&self, stage: usize) -> Vec<usize> {
        let mut chain = vec![stage];
        let mut lowest = stage;
        while let Some(below) = self.dockerfile.stage_before(&self.image_of(lowest), lowest) {
            chain.insert(0, below);
            lowest = below;
        }
        chain
    }

    /// What a stage starts from, with the variables before the first `FROM`.
    pub(super) fn image_of(&self, stage: usize) -> String {
        let image = &self.dockerfile.stages[stage].image;
        self.global(image).unwrap_or_else(|| image.clone())
    }

    pub(super) fn global(&self, text: &str) -> Option<String> {
        let arguments = &self.dockerfile.arguments;
        let value = |name: &str| {
            let found = arguments.iter().rev().find(|(each, _)| each == name)?;
            // A default may refer to arguments before it; one level is what is written.
            let default = found.1.as_deref()?;
            let before = |name: &str| {
                let found = arguments.iter().find(|(each, _)| each == name)?;
                found.1.clone().filter(|text| !text.contains('$'))
            };
            expand(default, self.dockerfile.escape, &before).map(|expanded| expanded.text)
        };
        let expanded = expand(text, self.dockerfile.escape, &value)?;
        (expanded.unset.is_empty() && !expanded.text.is_empty()).then_some(expanded.text)
    }

    pub(super) fn argument(&self, instruction: &Instruction, scope: &mut Scope) {
        for word in instruction.rest.split_whitespace() {
            let (name, value) = match word.split_once('=') {
                Some((name, default)) => (name, scope.expand(default, self.dockerfile.escape)),
                None => (word, self.global(&format!("${{{word}}}"))),
            };
            match value {
                Some(value) => {
                    scope.asked.remove(name);
                    scope.values.insert(name.to_string(), value);
                }
                None => {
                    scope.asked.insert(name.to_string());
                    scope.values.remove(name);
                }
            }
        }
    }

    /// Set these variables. Returns each with its value, if it is known, and a variable in it that nothing sets.
    pub(super) fn assigned(
        &self,
        pairs: Vec<(String, String)>,
        scope: &mut Scope,
    ) -> Vec<(String, Option<String>, Option<String>)> {
        let before = scope.values.clone();
        let mut assigned = Vec::new();
        for (name, value) in pairs {
            let expanded = expand(&value, self.dockerfile.escape, &|name| before.get(name).cloned());
            // A build argument has its value from the command line, and some variables are those of every base.
            let is_given =
                |name: &String| scope.asked.contains(name) || BASE_VARIABLES.contains(&name.as_str());
            let known = expanded.filter(|expanded| !expanded.unset.iter().any(is_given));
            let unset = known.as_ref().and_then(|known| known.unset.first().cloned());
            let value = known.map(|known| known.text);
            if let Some(value) = &value {
                scope.values.insert(name.clone(), value.clone());
            }
            assigned.push((name, value, unset));
        }
        assigned
    }

    /// The stage or image that an instruction copies from.
    pub(super) fn from(&self, instruction: &Instruction) -> Option<String> {
        instruction.flag("from").map(|from| self.global(from).unwrap_or_else(|| from.to_string()))
    }

    /// Destination and sources of a copy, if they are known.
    pub(super) fn words(&self, instruction: &Instruction, scope: &Scope) -> Option<(String, Vec<String>)> {
        let words = match instruction.array() {
            Some(words) => words,
            None => instruction.rest.split_whitespace().map(String::from).collect(),
        };
        let words: Option<Vec<String>> =
            words.iter().map(|word| scope.expand(word, self.dockerfile.escape)).collect();
        let mut words = words?;
        let to = words.pop()?;
        Some((to, words))
    }
}
