//! How each code location gets to its agent: by PEX files, by an image that is built here, or by one that exists. Pure.
//!
//! PEX files run in Dagster+ Serverless only, and not where the organization's registry is Harbor: the vendor starts
//! code locations from images there. Hybrid agents always need an image.

use crate::deployment::args::Strategy;
use crate::error::{Explain, Fault, Place};
use crate::image::Repository;
use crate::project::Location;
use std::fmt;

/// What is known of the deployment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// `SERVERLESS` or `HYBRID`, if Dagster+ was asked and says it.
    pub agent_type: Option<String>,
    /// Where the organization's own images are, if Dagster+ says it.
    pub organization_registry: Option<String>,
    /// That registry is Harbor: PEX files cannot run there, and each code location has a repository of its own.
    pub is_harbor: bool,
    /// PEX files are said to run there nevertheless.
    pub is_trusted: bool,
}

/// How a code location gets to its agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// Two PEX files.
    Pex,
    /// An image that is built here and pushed to this repository; nowhere if the run cannot deploy.
    Image(Option<Destination>),
    /// The image that its entry names; nothing is built.
    Document,
}

/// Where an image is pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The repository.
    pub repository: Repository,
    /// It is the organization's own registry, for which Dagster+ gives the credentials.
    pub is_organization: bool,
    /// Each code location has a repository of its own below it, as in Harbor.
    pub is_per_location: bool,
}

/// Why a code location goes which way, as the end of "`NAME` is deployed as … because …".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// `--strategy`.
    Asked,
    /// `--image-registry`.
    ImageRegistry,
    /// `build.registry`.
    BuildRegistry,
    /// Hybrid agents, and the entry names an image.
    OwnImage,
    /// The organization's registry is Harbor.
    Harbor,
    /// Nothing speaks for an image.
    Serverless,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Asked => "as asked for",
            Reason::ImageRegistry => "an image registry is given",
            Reason::BuildRegistry => "`build.registry` is set",
            Reason::OwnImage => "its `image:` is deployed as it is, on a Hybrid deployment",
            Reason::Harbor => "this organization's Serverless runs images only",
            Reason::Serverless => "this is a Serverless deployment",
        })
    }
}

/// The way of one code location, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The way.
    pub way: Way,
    /// Why.
    pub reason: Reason,
}

impl Decision {
    /// `pex` or `image` of one that was made without an answer of Dagster+; `None` if that answer decides.
    #[must_use]
    pub fn settled(&self) -> Option<&'static str> {
        match (&self.way, self.reason) {
            (Way::Image(_) | Way::Document, _) => Some("image"),
            (Way::Pex, Reason::Serverless) => None,
            (Way::Pex, _) => Some("pex"),
        }
    }
}

/// A code location cannot be deployed in the way that is asked for.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[allow(missing_docs)] // the messages say what the fields are
pub enum StrategyError {
    #[error("`{name}` needs an image on a Hybrid deployment, and no registry is given to push it to")]
    NoRegistry { name: String, place: Place },
    #[error("`{name}` cannot be deployed as PEX files: {why}")]
    NoPex { name: String, why: &'static str, place: Place },
    #[error("Dagster+ did not say where the images of this organization are")]
    NoOrganizationRegistry,
    #[error("`build.registry` of `{name}` is not a repository: {problem}")]
    BuildRegistry { name: String, problem: String, place: Place },
    #[error("Dagster+ names `{url}` as the registry of this organization, which is not a repository")]
    OrganizationRegistry { url: String },
    #[error("{flag} names an image to run PEX files on, and the image of `{name}` is built here")]
    PexImage { flag: &'static str, name: String },
    #[error("an image registry is given, but the strategy is to build PEX files")]
    Contradiction,
}

impl Explain for StrategyError {
    fn fault(&self) -> Fault {
        match self {
            StrategyError::Contradiction | StrategyError::PexImage { .. } => Fault::Usage,
            StrategyError::NoOrganizationRegistry | StrategyError::OrganizationRegistry { .. } => {
                Fault::Remote
            }
            StrategyError::NoRegistry { .. }
            | StrategyError::NoPex { .. }
            | StrategyError::BuildRegistry { .. } => Fault::Project,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            StrategyError::NoRegistry { .. } => Some(
                "name a repository with --image-registry, or as `build: \
                 {registry: …}` in the entry of the code location; an image that exists already is named by --image-of"
                    .into(),
            ),
            StrategyError::NoPex { .. } => {
                Some("leave --strategy out, or set it to `image`".into())
            }
            StrategyError::NoOrganizationRegistry => {
                Some("an organization that is new may need some minutes; or push elsewhere with --image-registry".into())
            }
            StrategyError::OrganizationRegistry { .. } => Some("push elsewhere with --image-registry".into()),
            StrategyError::BuildRegistry { .. } => Some("write it as HOST/REPOSITORY, without a tag".into()),
            StrategyError::PexImage { .. } => Some("name the base of that image with --base-image".into()),
            StrategyError::Contradiction => Some("leave --image-registry or --strategy out".into()),
        }
    }

    fn place(&self) -> Option<Place> {
        match self {
            StrategyError::NoRegistry { place, .. }
            | StrategyError::NoPex { place, .. }
            | StrategyError::BuildRegistry { place, .. } => Some(place.clone()),
            _ => None,
        }
    }
}

/// Decide for one code location. `image_registry` is `--image-registry`; `facts` are missing when Dagster+ has no part
/// in the run.
///
/// # Errors
/// When it needs a registry and none is known, or PEX files are asked for where they cannot run.
pub fn decide(
    strategy: Strategy,
    image_registry: Option<&Repository>,
    location: &Location,
    facts: Option<&Facts>,
) -> Result<Decision, StrategyError> {
    let (name, place) = (location.name.clone(), location.place.clone());
    let is_hybrid = facts.is_some_and(|facts| facts.agent_type.as_deref() == Some("HYBRID"));
    let is_harbor = facts.is_some_and(|facts| facts.is_harbor && !facts.is_trusted);
    if strategy == Strategy::Pex {
        let why = match (is_hybrid, is_harbor) {
            _ if image_registry.is_some() => return Err(StrategyError::Contradiction),
            (true, _) => "Hybrid agents run images only",
            (_, true) => "this organization's Serverless runs images only (its registry is Harbor)",
            _ => return Ok(Decision { way: Way::Pex, reason: Reason::Asked }),
        };
        return Err(StrategyError::NoPex { name, why, place });
    }
    let own_registry = build_registry(location)?;
    let given = image_registry.cloned().or(own_registry.clone()).map(|repository| Destination {
        repository,
        is_organization: false,
        is_per_location: false,
    });
    let reason = match strategy {
        Strategy::Image => Reason::Asked,
        _ if image_registry.is_some() => Reason::ImageRegistry,
        _ if own_registry.is_some() => Reason::BuildRegistry,
        _ if is_hybrid && location.document.get("image").is_some_and(|image| !image.is_null()) => {
            return Ok(Decision { way: Way::Document, reason: Reason::OwnImage });
        }
        _ if is_hybrid => return Err(StrategyError::NoRegistry { name, place }),
        _ if is_harbor => Reason::Harbor,
        _ => return Ok(Decision { way: Way::Pex, reason: Reason::Serverless }),
    };
    let destination = match (given, facts) {
        (Some(given), _) => Some(given),
        (None, None) => None,
        (None, Some(_)) if is_hybrid => return Err(StrategyError::NoRegistry { name, place }),
        (None, Some(facts)) => Some(organization(facts)?),
    };
    Ok(Decision { way: Way::Image(destination), reason })
}

/// An error if an image to run PEX files on is given by `flag`, and a code location runs from an image of its own.
///
/// # Errors
/// Then.
pub fn check_pex_image(
    flag: &'static str,
    locations: &[Location],
    decisions: &[Decision],
) -> Result<(), StrategyError> {
    let mut both = locations.iter().zip(decisions);
    match both.find(|(_, decision)| matches!(decision.way, Way::Image(_))) {
        Some((location, _)) => Err(StrategyError::PexImage { flag, name: location.name.clone() }),
        None => Ok(()),
    }
}

fn build_registry(location: &Location) -> Result<Option<Repository>, StrategyError> {
    let build = location.document.get("build");
    let Some(text) = build.and_then(|build| build.get("registry")).and_then(|registry| registry.as_str())
    else {
        return Ok(None);
    };
    let repository = text.trim_end_matches('/').parse::<Repository>();
    repository.map(Some).map_err(|error| StrategyError::BuildRegistry {
        name: location.name.clone(),
        problem: error.to_string(),
        place: location.place.clone(),
    })
}

fn organization(facts: &Facts) -> Result<Destination, StrategyError> {
    let url = facts.organization_registry.clone().ok_or(StrategyError::NoOrganizationRegistry)?;
    let repository = url.parse().map_err(|_| StrategyError::OrganizationRegistry { url })?;
    Ok(Destination { repository, is_organization: true, is_per_location: facts.is_harbor })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    const ECR: &str = "123456789012.dkr.ecr.us-west-2.amazonaws.com/serverless-agent-1";
    const HARBOR: &str = "harbor.example/project/depl";

    fn location(entry: Value) -> Location {
        let Value::Object(document) = entry else { panic!() };
        let place = Place { file: "dagster_cloud.yaml".into(), line: Some(2), column: Some(5) };
        let (directory, places) = ("/p".into(), BTreeMap::new());
        Location { name: "one".into(), directory, document, dg: None, place, places }
    }

    fn facts(agent_type: &str, registry: Option<&str>, is_harbor: bool) -> Option<Facts> {
        let agent_type = (!agent_type.is_empty()).then(|| agent_type.to_string());
        let organization_registry = registry.map(String::from);
        Some(Facts { agent_type, organization_registry, is_harbor, is_trusted: false })
    }

    fn said(strategy: Strategy, given: Option<&str>, entry: Value, facts: Option<&Facts>) -> String {
        let given: Option<Repository> = given.map(|given| given.parse().unwrap());
        match decide(strategy, given.as_ref(), &location(entry), facts) {
            Ok(Decision { way, reason }) => match way {
                Way::Pex => format!("pex: {reason}"),
                Way::Document => format!("document: {reason}"),
                Way::Image(None) => format!("image: {reason}"),
                Way::Image(Some(to)) => {
                    let kind = if to.is_organization { " of the organization" } else { "" };
                    let per = if to.is_per_location { " per location" } else { "" };
                    format!("image to {}{kind}{per}: {reason}", to.repository)
                }
            },
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn the_way_follows_from_what_is_asked_for_the_entry_and_the_deployment() {
        let registry = || json!({"build": {"registry": "ghcr.io/acme/one/"}});
        let serverless = facts("SERVERLESS", Some(ECR), false);
        let unknown = facts("", None, false);
        let harbor = facts("SERVERLESS", Some(HARBOR), true);
        let lost = facts("SERVERLESS", None, true);
        let hybrid = facts("HYBRID", None, false);
        use Strategy::{Auto, Image, Pex};
        for (strategy, given, entry, facts, want) in [
            (Auto, None, json!({}), &serverless, "pex: this is a Serverless deployment"),
            (Auto, None, json!({}), &unknown, "pex: this is a Serverless deployment"),
            (Auto, None, json!({}), &None, "pex: this is a Serverless deployment"),
            (Auto, None, json!({"image": "own:1"}), &serverless, "pex: this is a Serverless deployment"),
            (Auto, None, registry(), &serverless, "image to ghcr.io/acme/one: `build.registry` is set"),
            (Auto, None, registry(), &None, "image to ghcr.io/acme/one: `build.registry` is set"),
            (
                Auto,
                Some("ghcr.io/all"),
                registry(),
                &hybrid,
                "image to ghcr.io/all: an image registry is given",
            ),
            (
                Auto,
                None,
                json!({}),
                &harbor,
                "image to harbor.example/project/depl of the organization per location: this organization's Serverless runs images only",
            ),
            (
                Auto,
                None,
                json!({}),
                &lost,
                "error: Dagster+ did not say where the images of this organization are",
            ),
            (
                Auto,
                None,
                json!({"image": "own:1"}),
                &hybrid,
                "document: its `image:` is deployed as it is, on a Hybrid deployment",
            ),
            (
                Auto,
                None,
                json!({}),
                &hybrid,
                "error: `one` needs an image on a Hybrid deployment, and no registry is given to push it to",
            ),
            (
                Image,
                None,
                json!({}),
                &hybrid,
                "error: `one` needs an image on a Hybrid deployment, and no registry is given to push it to",
            ),
            (Image, None, json!({"image": "own:1"}), &None, "image: as asked for"),
            (
                Image,
                None,
                json!({}),
                &serverless,
                "image to 123456789012.dkr.ecr.us-west-2.amazonaws.com/serverless-agent-1 of the organization: as asked for",
            ),
            (Pex, None, registry(), &serverless, "pex: as asked for"),
            (
                Pex,
                None,
                json!({}),
                &hybrid,
                "error: `one` cannot be deployed as PEX files: Hybrid agents run images only",
            ),
            (
                Pex,
                None,
                json!({}),
                &harbor,
                "error: `one` cannot be deployed as PEX files: this organization's Serverless runs images only (its registry is Harbor)",
            ),
            (
                Pex,
                Some("ghcr.io/all"),
                json!({}),
                &serverless,
                "error: an image registry is given, but the strategy is to build PEX files",
            ),
        ] {
            assert_eq!(said(strategy, given, entry, facts.as_ref()), want);
        }
        let wrong = json!({"build": {"registry": "ghcr.io/Acme"}});
        assert!(
            said(Auto, None, wrong, serverless.as_ref())
                .starts_with("error: `build.registry` of `one` is not")
        );
    }
}
