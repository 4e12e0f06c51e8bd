//! `prune`: code locations that left the project file, and branch deployments whose pull requests are closed.

use super::progress::Progress;
use super::{Error, here};
use crate::cli::{Format, PruneDeploymentArgs};
use crate::context::Context;
use crate::context::revision::Revision;
use crate::dagster::Client;
use crate::deployment::args::BranchArgs;
use crate::deployment::{self, Choice, DeploymentError, Destination, Outlived, goal};
use crate::host::Host;
use crate::project::{self, PROJECT_FILES, Project};
use crate::render::Exit;
use crate::report::table::count;
use crate::target::PythonVersion;
use crate::update::Before;
use crate::update::prune::{self, Leftovers, PruneError};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Run the command: exit code 0, whether there is something to remove or not.
///
/// # Errors
/// If the project cannot be read, Dagster+ or GitHub refuses, the user answers no, or something could not be removed.
pub fn run(
    args: &PruneDeploymentArgs,
    format: Format,
    host: &Host,
    progress: &Progress,
) -> Result<Exit, Error> {
    let file = here::project(args.file.as_deref(), host);
    let context = Context::read(&args.dagster, &goal::directory_of(&file), host)?;
    // A project with an error may name fewer code locations than it should.
    let project = Project::read(&file, host)?;
    let names: BTreeSet<String> = project.locations.iter().map(|location| location.name.clone()).collect();
    let elsewhere = named_elsewhere(&context, &project.file, host)?;
    let client = deployment::client(&context, host, PythonVersion::DEFAULT).in_session(progress.session());
    let revision = context.revision(None, host);
    let (client, before) = at(args, &context, &client, host)?;
    let leftovers = before.leftovers(&names, &elsewhere, &revision);
    let outlived = outlived(&context, &client, &revision, host)?;
    let image = |name: &String| Some((name.clone(), before.image(name)?));
    let images = leftovers.removable.iter().filter_map(image).collect();
    let found = Found { client, leftovers, outlived, images };
    found.tell(args.apply, host);
    if !args.apply {
        found.print(format, &[], false, host)?;
        return Ok(Exit(0));
    }
    let Found { client, leftovers, outlived, .. } = &found;
    if !leftovers.removable.is_empty() {
        prune::confirm(client, &leftovers.removable, args.yes, host)?;
    }
    let (mut gone, locations) =
        prune::remove(&leftovers.removable, host, |name| client.delete_location(name));
    let deployments: Vec<String> = outlived.iter().map(|one| one.deployment.clone()).collect();
    let (also, closed) = prune::remove(&deployments, host, |name| client.delete_branch_deployment(name));
    gone.extend(also);
    found.print(format, &gone, true, host)?;
    locations.and(closed)?;
    Ok(Exit(0))
}

/// Code locations that other project files of the repository of `file` name.
///
/// # Errors
/// A project file that cannot be read.
pub(super) fn named_elsewhere(
    context: &Context,
    file: &Path,
    host: &Host,
) -> Result<BTreeSet<String>, Error> {
    let files = context.work_tree.files(&PROJECT_FILES);
    let named = project::named_elsewhere(&files, file, host);
    named.map_err(|file| PruneError::Unread { file: shown(&file, host) }.into())
}

/// A path as a reader in the working directory names it.
fn shown(path: &Path, host: &Host) -> PathBuf {
    path.strip_prefix(host.cwd()).unwrap_or(path).to_path_buf()
}

/// The deployment that a deploy of this project would go to, and what is there. It is not created.
fn at(
    args: &PruneDeploymentArgs,
    context: &Context,
    client: &Client,
    host: &Host,
) -> Result<(Client, Before), Error> {
    let by_flag = args.dagster.deployment.is_some();
    match deployment::decide(context, None, &BranchArgs::default(), by_flag, host)? {
        Choice::Deploy(Destination::Branch(branch)) | Choice::Close(branch) => {
            Ok(deployment::of_branch(&branch, client, Before::look)?)
        }
        Choice::Deploy(Destination::Named { .. }) => Ok(deployment::existing(context, client, Before::look)?),
        Choice::Nothing(why) => Err(DeploymentError::NotNamed { why }.into()),
    }
}

/// Branch deployments whose pull requests are closed; none if GitHub cannot be asked.
fn outlived(
    context: &Context,
    client: &Client,
    revision: &Revision,
    host: &Host,
) -> Result<Vec<Outlived>, Error> {
    let repository = revision.repo_owner.as_ref().zip(revision.repo_name.as_ref());
    match (context.github.as_ref(), repository) {
        (Some(github), Some((owner, name))) => {
            Ok(deployment::outlived(client, github, &format!("{owner}/{name}"))?)
        }
        (None, _) => {
            host.note("Without GITHUB_API_URL and GITHUB_TOKEN, closed pull requests are not known: branch deployments stay");
            Ok(Vec::new())
        }
        (_, None) => {
            host.note("The repository of this project is not known: branch deployments stay");
            Ok(Vec::new())
        }
    }
}

/// What there is to remove.
struct Found {
    client: Client,
    leftovers: Leftovers,
    outlived: Vec<Outlived>,
    /// The images that code locations run from, by name.
    images: BTreeMap<String, String>,
}

impl Found {
    fn tell(&self, applies: bool, host: &Host) {
        let deployment = self.client.deployment().unwrap_or_default();
        let Leftovers { removable, kept } = &self.leftovers;
        if !kept.is_empty() {
            host.note(format!(
                "Also in {deployment}, from another repository, an unknown one, or another project file of this one: {}. They stay.",
                kept.join(", ")
            ));
        }
        let (locations, deployments) = (removable.len(), self.outlived.len());
        let what = match (locations, deployments) {
            (0, 0) => return host.note("There is nothing to remove"),
            (_, 0) => format!("{} of {deployment}", count(locations, "code location")),
            (0, _) => count(deployments, "branch deployment"),
            _ => format!(
                "{} of {deployment} and {}",
                count(locations, "code location"),
                count(deployments, "branch deployment")
            ),
        };
        match applies {
            true => host.note(format!("Removing {what}")),
            false => host.note(format!("{what} can be removed; nothing was changed, add --apply to remove")),
        }
        if !self.images.is_empty() {
            host.note("Images stay in their registries: remove them by the rules of the registry");
        }
    }

    fn print(&self, format: Format, gone: &[String], applied: bool, host: &Host) -> Result<(), Error> {
        let is_gone = |name: &String| gone.contains(name);
        let text = match format {
            Format::Json => {
                let location = |name: &String| {
                    let mut value = json!({"name": name, "removed": is_gone(name)});
                    if let Some(image) = self.images.get(name) {
                        value["image"] = json!(image);
                    }
                    value
                };
                let deployment = |one: &Outlived| {
                    let mut value = json!(one);
                    value["removed"] = Value::Bool(is_gone(&one.deployment));
                    value
                };
                let document = json!({
                    "deployment": self.client.deployment(),
                    "url": self.client.locations_page(),
                    "applied": applied,
                    "locations": self.leftovers.removable.iter().map(location).collect::<Vec<_>>(),
                    "kept": self.leftovers.kept,
                    "branch_deployments": self.outlived.iter().map(deployment).collect::<Vec<_>>(),
                });
                format!("{document:#}")
            }
            Format::Text => self.lines(&is_gone),
        };
        if text.is_empty() { Ok(()) } else { host.data(&text).map_err(Error::Stdout) }
    }

    /// A line for each: what it is, its name, for a code location its image if it runs from one, and for a branch
    /// deployment branch and pull request.
    fn lines(&self, is_gone: &dyn Fn(&String) -> bool) -> String {
        let end = |name: &String| if is_gone(name) { "removed" } else { "left over" };
        let image =
            |name: &String| self.images.get(name).map(|image| format!("\t{image}")).unwrap_or_default();
        let line = |name: &String| format!("code location\t{name}\t{}{}", end(name), image(name));
        let locations = self.leftovers.removable.iter().map(line);
        let deployments = self.outlived.iter().map(|one| {
            let Outlived { deployment, branch, pull_request } = one;
            format!("branch deployment\t{deployment}\t{}\t{branch}\t#{pull_request}", end(deployment))
        });
        locations.chain(deployments).collect::<Vec<_>>().join("\n")
    }
}
