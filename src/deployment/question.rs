//! The question before a deploy to a full deployment: what would change, and from where.

use super::DeploymentError;
use crate::foreign_text::neutral;
use crate::host::Host;

/// Names in a question.
const MOST_NAMES: usize = 6;

/// What a person should know before a deploy to a full deployment.
#[derive(Debug, Default)]
pub struct Question<'a> {
    /// The deployment.
    pub name: &'a str,
    /// Address of the organization.
    pub organization_url: &'a str,
    /// The code locations, as far as they are known.
    pub locations: Vec<String>,
    /// Branch, commit and state of the work tree, if there is one.
    pub work_tree: Option<String>,
}

impl Question<'_> {
    fn text(&self) -> String {
        let mut text =
            format!("Deploy to the full deployment `{}` of {}\n", self.name, self.organization_url);
        let mut names: Vec<String> =
            self.locations.iter().take(MOST_NAMES).map(|name| neutral(name)).collect();
        if self.locations.len() > MOST_NAMES {
            names.push(format!("{} more", self.locations.len() - MOST_NAMES));
        }
        if !names.is_empty() {
            text += &format!("  code locations: {}\n", names.join(", "));
        }
        if let Some(work_tree) = &self.work_tree {
            text += &format!("  work tree: {}\n", neutral(work_tree));
        }
        text + "Continue? [y/N] "
    }
}

/// Ask the user, unless a flag allows the deploy or this runs in a CI system.
///
/// # Errors
/// If there is no terminal to ask on, or the answer is no.
pub fn confirm(question: &Question<'_>, yes: bool, host: &Host) -> Result<(), DeploymentError> {
    if yes || host.in_ci() {
        return Ok(());
    }
    let name = question.name.to_string();
    match host.ask(&question.text()) {
        Some(answer) if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") => Ok(()),
        Some(_) => Err(DeploymentError::Declined { name }),
        None => Err(DeploymentError::NoConfirmation { name }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_names_what_would_change_and_from_where() {
        let organization_url = "https://acme.dagster.cloud";
        let locations = (1..=8).map(|n| format!("l{n}\u{1b}[2J")).collect();
        let work_tree = Some("main at 53047950, with uncommitted changes".to_string());
        let whole = Question { name: "prod", organization_url, locations, work_tree };
        insta::assert_snapshot!(whole.text().trim_end(), @r"
        Deploy to the full deployment `prod` of https://acme.dagster.cloud
          code locations: l1, l2, l3, l4, l5, l6, 2 more
          work tree: main at 53047950, with uncommitted changes
        Continue? [y/N]
        ");
        let short = Question { name: "prod", organization_url, ..Question::default() };
        insta::assert_snapshot!(short.text().trim_end(), @r"
        Deploy to the full deployment `prod` of https://acme.dagster.cloud
        Continue? [y/N]
        ");
    }
}
