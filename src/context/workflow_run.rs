//! The run of a workflow: its id, repository and page.
//!
//! Source: "Variables reference" of GitHub Actions. Without a runner all facts are missing, which is not an error.

use crate::env_vars;
use crate::host::Host;

/// The run of a workflow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkflowRun {
    /// `GITHUB_SERVER_URL`, without a slash at its end.
    pub server_url: Option<String>,
    /// `GITHUB_API_URL`.
    pub api_url: Option<String>,
    /// `GITHUB_REPOSITORY`: `owner/name`.
    pub repository: Option<String>,
    /// `GITHUB_RUN_ID`.
    pub run_id: u64,
    /// `GITHUB_RUN_ATTEMPT`, from 1.
    pub attempt: u64,
    /// File name of the workflow, or its name.
    pub workflow: String,
    /// Distinguishes steps of a job and jobs of a run, as far as variables do.
    pub step: String,
    /// `strategy.job-index`: the index of the job in its matrix.
    pub job_index: String,
    /// `job.check_run_id`: the id of the job at GitHub; `None` on servers that do not report it.
    pub job_id: Option<u64>,
}

impl WorkflowRun {
    /// Read the variables.
    pub fn read(host: &Host) -> WorkflowRun {
        let text = |name: &str| host.var(name).map(String::from);
        let number = |name: &str| host.var(name).and_then(|value| value.trim().parse().ok());
        let job = [env_vars::GITHUB_JOB, env_vars::GITHUB_ACTION].map(|name| text(name).unwrap_or_default());
        WorkflowRun {
            server_url: text(env_vars::GITHUB_SERVER_URL).map(|url| url.trim_end_matches('/').to_string()),
            api_url: text(env_vars::GITHUB_API_URL),
            repository: text(env_vars::GITHUB_REPOSITORY),
            run_id: number(env_vars::GITHUB_RUN_ID).unwrap_or(0),
            attempt: number(env_vars::GITHUB_RUN_ATTEMPT).unwrap_or(1),
            workflow: workflow(host),
            step: job.join("/"),
            job_index: text(env_vars::PEXPRESS_JOB_INDEX).unwrap_or_default(),
            job_id: number(env_vars::PEXPRESS_JOB_ID),
        }
    }

    /// Page of this job, with its log.
    pub fn job_url(&self) -> Option<String> {
        let (server, repository) = (self.server_url.as_ref()?, self.repository.as_ref()?);
        Some(format!("{server}/{repository}/actions/runs/{}/job/{}", self.run_id, self.job_id?))
    }

    /// Page of this attempt of the run.
    pub fn url(&self) -> Option<String> {
        let (server, repository) = (self.server_url.as_ref()?, self.repository.as_ref()?);
        Some(format!("{server}/{repository}/actions/runs/{}/attempts/{}", self.run_id, self.attempt))
    }
}

/// `deploy.yml` of `acme/proj/.github/workflows/deploy.yml@refs/heads/main`; the workflow's name where that is missing.
fn workflow(host: &Host) -> String {
    let file = host.var(env_vars::GITHUB_WORKFLOW_REF).and_then(|reference| {
        let path = reference.split('@').next()?;
        path.rsplit('/').next().filter(|name| !name.is_empty())
    });
    file.or_else(|| host.var(env_vars::GITHUB_WORKFLOW)).unwrap_or("workflow").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::tests::host;

    #[test]
    fn a_run_is_read_from_its_variables() {
        let run = WorkflowRun::read(&host(&[
            ("GITHUB_SERVER_URL", "https://git.example/"),
            ("GITHUB_REPOSITORY", "acme/proj"),
            ("GITHUB_RUN_ID", "7000000000"),
            ("GITHUB_RUN_ATTEMPT", "2"),
            ("GITHUB_WORKFLOW", "Deploy it"),
            ("GITHUB_WORKFLOW_REF", "acme/proj/.github/workflows/deploy.yml@refs/pull/7/merge"),
        ]));
        assert_eq!(
            run.url().as_deref(),
            Some("https://git.example/acme/proj/actions/runs/7000000000/attempts/2")
        );
        assert_eq!(run.workflow, "deploy.yml");
        assert_eq!(run.job_url(), None);
        let known = WorkflowRun { job_id: Some(81), ..run };
        assert_eq!(
            known.job_url().as_deref(),
            Some("https://git.example/acme/proj/actions/runs/7000000000/job/81")
        );
        let none = WorkflowRun::read(&host(&[("GITHUB_WORKFLOW", "Deploy it")]));
        assert_eq!((none.url(), none.attempt, none.workflow.as_str()), (None, 1, "Deploy it"));
    }
}
