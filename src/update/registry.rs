//! The organization's registry: whether PEX files can run there, and the base image for a run.

use super::ConnectError;
use crate::dagster::operations::Registry;
use crate::dagster::{Client, DagsterError};
use crate::deployment::args::{PublishArgs, Strategy};
use crate::env_vars;
use crate::host::Host;
use crate::plan::strategy::{Decision, Way};

/// Whether the registry is assumed to run PEX files whatever it says; `None` if it does not matter.
pub(super) fn trusts_registry(publish: &PublishArgs, host: &Host) -> Option<bool> {
    if publish.images.are_given() {
        return None;
    }
    let trusted = trusts(host);
    let needed = !trusted || base_image_tag(publish, host).is_some() || publish.strategy == Strategy::Image;
    needed.then_some(trusted)
}

/// Whether PEX files are said to run wherever the registry is.
pub(super) fn trusts(host: &Host) -> bool {
    host.var(env_vars::DAGSTER_CLOUD_DISABLE_PEX_DOCKER_REDIRECT).is_some()
}

/// The registry, and the same; `None` if it does not matter.
pub(super) fn ask_registry(
    client: &Client,
    publish: &PublishArgs,
    host: &Host,
) -> Option<(Result<Registry, DagsterError>, bool)> {
    trusts_registry(publish, host).map(|trusted| (client.registry(), trusted))
}

/// A registry that does not answer is an error, since it decides whether PEX files can run: unless PEX files are asked
/// for, or said to run anyway.
pub(super) fn judged_registry(
    asked: Option<(Result<Registry, DagsterError>, bool)>,
    strategy: Strategy,
    host: &Host,
) -> Result<Option<Registry>, ConnectError> {
    match asked {
        None => Ok(None),
        Some((Ok(registry), _)) => Ok(Some(registry)),
        Some((
            Err(
                error @ (DagsterError::Unauthorized { .. }
                | DagsterError::NotFound { .. }
                | DagsterError::NotTheApi { .. }
                | DagsterError::Interrupted { .. }
                | DagsterError::Over(_)
                | DagsterError::Network { .. }),
            ),
            _,
        )) => Err(error.into()),
        Some((Err(error), trusted)) if trusted || strategy == Strategy::Pex => {
            host.warn(format!("{error}; continuing as if PEX files can run there"));
            Ok(None)
        }
        Some((Err(error), _)) => Err(ConnectError::Registry(error)),
    }
}

/// Whether code is in PEX files in this run: a variable about the image below them is for no other run.
pub(super) fn has_pex(publish: &PublishArgs, ways: &[Decision]) -> bool {
    !publish.images.are_given() && ways.iter().any(|decision| decision.way == Way::Pex)
}

pub(super) fn base_image_tag(publish: &PublishArgs, host: &Host) -> Option<String> {
    let variable = || host.var(env_vars::SERVERLESS_BASE_IMAGE_TAG).map(String::from);
    publish.base_image_tag.clone().or_else(variable)
}

/// The image that replaces the one in the project file: a flag, a variable, or a tag in the organization's registry.
/// `ways` are those of the run's code locations. Source: the order of dagster-cloud-cli.
pub(super) fn image(
    publish: &PublishArgs,
    ways: &[Decision],
    registry: Option<&Registry>,
    host: &Host,
) -> Result<Option<String>, ConnectError> {
    if !has_pex(publish, ways) {
        return Ok(None);
    }
    let whole = publish.image.clone();
    let whole = whole.or_else(|| host.var(env_vars::SERVERLESS_BASE_IMAGE).map(String::from));
    match (whole, base_image_tag(publish, host)) {
        (Some(image), _) => Ok(Some(image)),
        (None, None) => Ok(None),
        (None, Some(tag)) => match registry.and_then(|registry| registry.url.as_ref()) {
            Some(url) => Ok(Some(format!("{url}:{tag}"))),
            None => Err(ConnectError::NoRegistry { tag }),
        },
    }
}
