//! Finds requirements that the resolver or a later check would refuse, from files only: no index is asked.

use super::ResolveError;
use super::advice::Advice;
use super::releases::{self, NEEDED, OutOfStep};
use super::settle;
use crate::project::{Foreseen, RequirementLine, Requirements};
use pep440_rs::{Operator, Version};
use pep508_rs::VersionOrUrl;
use std::path::Path;

/// Packages of Dagster that do not depend on dagster.
const WITHOUT_DAGSTER: [&str; 3] = ["dagster-cloud-cli", "dagster-pipes", "dagster-shared"];

/// Why a build would fail.
#[derive(Debug)]
pub struct Refusal {
    /// The error of the build.
    pub error: ResolveError,
    /// `None` if it is certain. Otherwise a text before the hint with the condition under which the build succeeds.
    pub unless: Option<&'static str>,
}

/// Why a build of `directory` would fail because of its requirements.
pub fn foresee(foreseen: &Foreseen, directory: &Path) -> Option<Refusal> {
    if let Some(error) = out_of_step(&foreseen.requirements) {
        return Some(Refusal { error, unless: None });
    }
    if foreseen.is_whole { missing(foreseen, directory) } else { None }
}

/// Two of Dagster's packages that are pinned to different releases.
fn out_of_step(requirements: &Requirements) -> Option<ResolveError> {
    if !requirements.settings.overrides.is_empty() {
        return None;
    }
    let pins: Vec<_> = requirements.lines.iter().filter_map(|line| Some((pin(line)?, line))).collect();
    let pinned = |name: &str| pins.iter().find(|((known, _), _)| known == name);
    let OutOfStep { newer, older } = releases::out_of_step_by(&|name| Some(pinned(name)?.0.1.clone()))?;
    let lines: Vec<&RequirementLine> =
        [&newer, &older].into_iter().filter_map(|one| Some(pinned(&one.0)?.1)).collect();
    let advice = Advice {
        is_unanswered: true,
        place: lines.last().and_then(|line| line.places.first().cloned()),
        ..Advice::default()
    };
    let lines = releases::named(lines.iter().map(|line| line.text.clone()).collect());
    let lines = lines.iter().map(|line| format!("`{line}`")).collect();
    Some(ResolveError::NoRelease { lines, advice: Box::new(advice), source: None })
}

/// The exact version that a line pins on every platform.
fn pin(line: &RequirementLine) -> Option<(String, Version)> {
    let requirement = releases::dagsters(&line.text)?;
    let Some(VersionOrUrl::VersionSpecifier(specifiers)) = &requirement.version_or_url else { return None };
    let [only] = &**specifiers else { return None };
    let is_exact = matches!(only.operator(), Operator::Equal | Operator::ExactEqual);
    (is_exact && requirement.marker.is_true()).then(|| (requirement.name.to_string(), only.version().clone()))
}

fn missing(foreseen: &Foreseen, directory: &Path) -> Option<Refusal> {
    let requirements = &foreseen.requirements;
    let locked = |name: &str| foreseen.lock.as_ref().is_some_and(|lock| lock.versions.contains_key(name));
    let names = requirements.names();
    if names.contains("dagster-cloud") || locked("dagster-cloud") {
        return None;
    }
    let brings_dagster =
        |name: &String| releases::is_released_with_dagster(name) && !WITHOUT_DAGSTER.contains(&name.as_str());
    let has_dagster = locked("dagster") || names.iter().any(brings_dagster);
    let missing: Vec<&str> = NEEDED.into_iter().filter(|name| *name != "dagster" || !has_dagster).collect();
    let release = (requirements.lines.iter().filter_map(pin))
        .find_map(|(name, version)| (name == "dagster").then(|| version.to_string()))
        .or_else(|| foreseen.lock.as_ref()?.versions.get("dagster")?.clone());
    let advice = match release {
        Some(release) => Advice { is_unanswered: true, ..Advice::fitting(&release, requirements) },
        None => Advice::default(),
    };
    let advice = advice.with_choices(&requirements.not_taken, &missing);
    let is_elsewhere = advice.not_taken.is_some();
    // Lines without a lock are resolved, and any package in them may require others.
    let open = foreseen.lock.as_ref().map_or(&requirements.lines, |lock| &lock.open);
    let is_known = |line: &RequirementLine| {
        !line.is_link && line.name.as_deref().is_some_and(releases::is_released_with_dagster)
    };
    let is_open = !requirements.local_distributions.is_empty() || !open.iter().all(is_known);
    Some(Refusal {
        error: settle::missing_error(&missing, requirements, directory, advice),
        // The extra or group may be requested on the command line.
        unless: match (is_elsewhere, is_open) {
            (true, _) => Some(""),
            (false, true) => Some("unless another requirement brings it, a build fails: "),
            (false, false) => None,
        },
    })
}
