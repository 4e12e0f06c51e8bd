//! Code locations that left the project file: a deployment has them, and they came from this repository.

use super::Before;
use crate::context::revision::Revision;
use crate::dagster::{Client, DagsterError};
use crate::error::{Explain, Fault};
use crate::host::Host;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Nothing was removed, or not all.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum PruneError {
    #[error("nothing was removed from `{deployment}`: you answered no")]
    Declined { deployment: String },
    #[error(
        "removing from the full deployment `{deployment}` needs a confirmation, and there is no terminal to ask in"
    )]
    NoConfirmation { deployment: String },
    /// Nothing was removed, and nothing was deployed.
    #[error("`{}` cannot be read, so it is not known which code locations of this repository it names, and which ones are left over", file.display())]
    Unread { file: PathBuf },
    /// The causes were printed already.
    #[error("{} could not be removed: {}", failed.len(), failed.join(", "))]
    Failed { failed: Vec<String>, fault: Fault },
}

impl Explain for PruneError {
    fn fault(&self) -> Fault {
        match self {
            PruneError::Declined { .. } | PruneError::NoConfirmation { .. } => Fault::Usage,
            PruneError::Unread { .. } => Fault::Project,
            PruneError::Failed { fault, .. } => *fault,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            PruneError::NoConfirmation { .. } => Some("pass --yes to remove without confirmation".into()),
            PruneError::Unread { file } if file.exists() => {
                Some(format!("`pexpress check {}` says why; or do not prune", file.display()))
            }
            PruneError::Unread { .. } => {
                Some("check it out, or commit that it is gone; or do not prune".into())
            }
            PruneError::Declined { .. } | PruneError::Failed { .. } => None,
        }
    }
}

/// The code locations of a deployment that a project file does not name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// Those that were last deployed from the same repository.
    pub removable: Vec<String>,
    /// Those from another repository or not known from where, and those that another project file names.
    pub kept: Vec<String>,
}

impl Before {
    /// What the project file, which names `names`, leaves. `elsewhere` are those that other project files of the repository
    /// name, and `revision` says which repository it is.
    pub fn leftovers(
        &self,
        names: &BTreeSet<String>,
        elsewhere: &BTreeSet<String>,
        revision: &Revision,
    ) -> Leftovers {
        let others: BTreeSet<&str> = self.names().filter(|name| !names.contains(*name)).collect();
        let ours = revision.repo_owner.as_deref().zip(revision.repo_name.as_deref());
        let is_ours = |name: &&str| {
            let metadata = self.metadata(name);
            let is_from = |(ours, metadata): (_, Value)| is_from(&metadata["git_metadata"], ours);
            !elsewhere.contains(*name) && ours.zip(metadata).is_some_and(is_from)
        };
        let (removable, kept): (Vec<&str>, Vec<&str>) = others.into_iter().partition(is_ours);
        let owned = |names: Vec<&str>| names.into_iter().map(String::from).collect();
        Leftovers { removable: owned(removable), kept: owned(kept) }
    }
}

/// Whether the commit of a code location is of this repository. Older clients only send the address of its page.
fn is_from(git: &Value, (owner, name): (&str, &str)) -> bool {
    let text = |key: &str| git[key].as_str();
    match text("repo_owner").zip(text("repo_name")) {
        Some((its_owner, its_name)) => {
            its_owner.eq_ignore_ascii_case(owner) && its_name.eq_ignore_ascii_case(name)
        }
        None => text("url").and_then(|url| url::Url::parse(url).ok()).is_some_and(|url| {
            let path = url.path().to_ascii_lowercase();
            let ours = format!("/{owner}/{name}").to_ascii_lowercase();
            path.strip_prefix(&ours).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }),
    }
}

/// Ask before something is removed from a full deployment, unless a flag allows it or this runs in a CI system.
///
/// # Errors
/// If the answer is no, or there is no terminal to ask in.
pub fn confirm(client: &Client, names: &[String], yes: bool, host: &Host) -> Result<(), PruneError> {
    let deployment = client.deployment().unwrap_or_default().to_string();
    if yes || host.in_ci() || crate::deployment::is_branch_name(&deployment) {
        return Ok(());
    }
    let question = format!("Remove {} from the full deployment `{deployment}`? [y/N] ", names.join(", "));
    match host.ask(&question) {
        Some(answer) if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") => Ok(()),
        Some(_) => Err(PruneError::Declined { deployment }),
        None => Err(PruneError::NoConfirmation { deployment }),
    }
}

/// Remove each of `names` with `remove`, and print what fails. Returns those that are gone.
///
/// # Errors
/// If some could not be removed, with those.
pub fn remove(
    names: &[String],
    host: &Host,
    remove: impl Fn(&str) -> Result<(), DagsterError>,
) -> (Vec<String>, Result<(), PruneError>) {
    let (mut gone, mut failed, mut fault) = (Vec::new(), Vec::new(), Fault::Remote);
    for name in names {
        match remove(name) {
            Ok(()) => gone.push(name.clone()),
            Err(error) => {
                host.say(&format!("{}\n  for: {name}", crate::error::error_text(&error, host.color())));
                fault = error.fault();
                failed.push(name.clone());
            }
        }
    }
    let result = if failed.is_empty() { Ok(()) } else { Err(PruneError::Failed { failed, fault }) };
    (gone, result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::BTreeMap;

    #[test]
    fn only_code_locations_of_the_same_repository_are_removable() {
        let entry = |git: Value| json!({ "git_metadata": git }).to_string();
        let ours = json!({"repo_owner": "acme", "repo_name": "proj", "url": "https://github.example/x/y"});
        let metadata = BTreeMap::from([
            ("kept_in_file".into(), entry(ours.clone())),
            ("ours".into(), entry(ours)),
            ("by_url".into(), entry(json!({"url": "https://github.example/Acme/proj/tree/ab12"}))),
            ("like_ours".into(), entry(json!({"url": "https://github.example/acme/project/tree/ab12"}))),
            ("in_other_file".into(), entry(json!({"repo_owner": "acme", "repo_name": "proj"}))),
            ("theirs".into(), entry(json!({"repo_owner": "acme", "repo_name": "other"}))),
            ("unknown".into(), entry(Value::Null)),
            ("unreadable".into(), "not JSON".into()),
        ]);
        let before = Before { metadata: Some(metadata), ..Before::default() };
        let revision = |repository: Option<(&str, &str)>| Revision {
            repo_owner: repository.map(|(owner, _)| owner.into()),
            repo_name: repository.map(|(_, name)| name.into()),
            ..Revision::default()
        };
        let names = BTreeSet::from(["kept_in_file".to_string()]);
        let elsewhere = BTreeSet::from(["in_other_file".to_string()]);
        let found = before.leftovers(&names, &elsewhere, &revision(Some(("acme", "proj"))));
        assert_eq!(found.removable, ["by_url", "ours"]);
        assert_eq!(found.kept, ["in_other_file", "like_ours", "theirs", "unknown", "unreadable"]);
        assert_eq!(before.leftovers(&names, &elsewhere, &revision(None)).removable, [""; 0]);
    }
}
