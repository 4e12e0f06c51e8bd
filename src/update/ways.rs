//! How the code locations of a run get to their agents, as far as Dagster+ decides it.

use super::ConnectError;
use crate::dagster::operations::Registry;
use crate::deployment::args::PublishArgs;
use crate::plan::strategy::{self, Decision, Facts, StrategyError};
use crate::project::Location;

/// What was learned of a deployment. `trusted` is whether its registry is assumed to run PEX files.
pub(super) fn facts(agent_type: Option<&str>, registry: Option<&Registry>, trusted: bool) -> Facts {
    Facts {
        agent_type: agent_type.map(String::from),
        organization_registry: registry.and_then(|registry| registry.url.clone()),
        is_harbor: registry.is_some_and(|registry| registry.is_harbor),
        is_trusted: trusted,
    }
}

/// Decide for all code locations; none in a run whose images are named.
pub(super) fn decide(
    locations: &[Location],
    publish: &PublishArgs,
    facts: &Facts,
) -> Result<Vec<Decision>, ConnectError> {
    if publish.images.are_given() {
        return Ok(Vec::new());
    }
    let registry = publish.image_registry.as_ref();
    let decide = |location| strategy::decide(publish.strategy, registry, location, Some(facts));
    let decisions = locations.iter().map(decide).collect::<Result<Vec<Decision>, _>>()?;
    check_flags(locations, publish, &decisions)?;
    Ok(decisions)
}

/// How the code locations would get to their agents as far as no answer of Dagster+ is needed: before anything is
/// created there, and where it has no part in the run.
///
/// # Errors
/// When settings contradict each other, or one cannot be read.
pub fn offline(locations: &[Location], publish: &PublishArgs) -> Result<Vec<Decision>, StrategyError> {
    let decide =
        |location| strategy::decide(publish.strategy, publish.image_registry.as_ref(), location, None);
    let decisions = locations.iter().map(decide).collect::<Result<Vec<Decision>, _>>()?;
    check_flags(locations, publish, &decisions)?;
    Ok(decisions)
}

fn check_flags(
    locations: &[Location],
    publish: &PublishArgs,
    decisions: &[Decision],
) -> Result<(), StrategyError> {
    let flags =
        [("--image", publish.image.is_some()), ("--base-image-tag", publish.base_image_tag.is_some())];
    match flags.into_iter().find(|(_, given)| *given) {
        Some((flag, _)) => strategy::check_pex_image(flag, locations, decisions),
        None => Ok(()),
    }
}

/// The same where only the type of the agents is known, before a branch deployment is created: what Hybrid agents cannot
/// run must not leave one behind.
pub(super) fn check_agents(
    locations: &[Location],
    publish: &PublishArgs,
    agent_type: Option<&str>,
) -> Result<(), ConnectError> {
    match agent_type {
        Some("HYBRID") => decide(locations, publish, &facts(agent_type, None, false)).map(drop),
        _ => Ok(()),
    }
}
