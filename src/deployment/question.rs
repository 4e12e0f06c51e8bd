//! The question before something changes in a full deployment: what would change, and from where.

use super::DeploymentError;
use crate::foreign_text::neutral;
use crate::host::Host;

/// Names in a question.
const MOST_NAMES: usize = 6;

/// What is done in a deployment.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Act<'a> {
    /// A deploy.
    #[default]
    Deploy,
    /// Code locations are loaded again.
    Redeploy,
    /// A run of this job is launched.
    Launch(&'a str),
}

impl Act<'_> {
    /// The start of the question.
    fn begins(self) -> String {
        match self {
            Act::Deploy => "Deploy to".into(),
            Act::Redeploy => "Redeploy in".into(),
            Act::Launch(job) => format!("Launch `{}` in", neutral(job)),
        }
    }

    /// As the subject of a sentence about a deployment.
    fn subject(self) -> &'static str {
        match self {
            Act::Deploy => "deploying to",
            Act::Redeploy => "redeploying in",
            Act::Launch(_) => "launching a run in",
        }
    }

    /// What has not happened.
    fn past(self) -> &'static str {
        match self {
            Act::Deploy => "deployed to",
            Act::Redeploy => "redeployed in",
            Act::Launch(_) => "launched in",
        }
    }
}

/// What a person should know before something changes in a full deployment.
#[derive(Debug, Default)]
pub struct Question<'a> {
    /// What is done there.
    pub act: Act<'a>,
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
        let begins = self.act.begins();
        let mut text = format!("{begins} the full deployment `{}` of {}\n", self.name, self.organization_url);
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

/// Ask the user, unless a flag allows it or this runs in a CI system.
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
        Some(_) => Err(DeploymentError::Declined { what: question.act.past(), name }),
        None => Err(DeploymentError::NoConfirmation { what: question.act.subject(), name }),
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
        let whole = Question { name: "prod", organization_url, locations, work_tree, ..Question::default() };
        insta::assert_snapshot!(whole.text().trim_end(), @r"
        Deploy to the full deployment `prod` of https://acme.dagster.cloud
          code locations: l1, l2, l3, l4, l5, l6, 2 more
          work tree: main at 53047950, with uncommitted changes
        Continue? [y/N]
        ");
        let act = Act::Launch("nightly");
        let short = Question { act, name: "prod", organization_url, ..Question::default() };
        insta::assert_snapshot!(short.text().trim_end(), @r"
        Launch `nightly` in the full deployment `prod` of https://acme.dagster.cloud
        Continue? [y/N]
        ");
    }
}
