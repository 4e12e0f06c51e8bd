//! What a step of a workflow needs: a project, Dagster+ and GitHub.

use super::act::git;
use super::github_standin::GithubStandin;
use super::small_project::write_project;
use super::standin::Standin;
use super::step::{Ran, Step, pull_request};
use serde_json::{Value, json};

/// A project in a directory of its own, and both stand-ins.
pub struct Scene {
    /// The project.
    pub dir: tempfile::TempDir,
    pub dagster: Standin,
    pub github: GithubStandin,
}

impl Scene {
    /// A project with these code locations, and both stand-ins.
    pub fn new(locations: &[(&str, &str)], dagster: Value) -> Scene {
        let dir = tempfile::tempdir().unwrap();
        write_project(dir.path(), locations);
        Scene { dir, dagster: Standin::start(dagster), github: GithubStandin::start(json!({})) }
    }

    pub fn step(&self) -> Step<'_> {
        Step::new(self.dir.path(), &self.dagster, &self.github)
    }

    pub fn opened(&self) -> Ran {
        self.step().event("pull_request", &pull_request("opened")).run()
    }

    pub fn comment(&self) -> String {
        let [body] = &self.github.bodies()[..] else { panic!("{:#?}", self.github.bodies()) };
        body.clone()
    }

    pub fn assert_clean(&self) {
        self.dagster.journal().assert_clean();
        self.github.journal().assert_clean();
    }
}

/// Commit all that is in `dir`; the hash.
pub fn commit_all(dir: &std::path::Path) -> String {
    git(dir, &["init", "-q"]);
    git(dir, &["add", "-A"]);
    git(dir, &["commit", "-q", "--allow-empty", "-m", "All"]);
    git(dir, &["rev-parse", "HEAD"])
}
