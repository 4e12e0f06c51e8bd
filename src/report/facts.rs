//! What a report says about the run itself: which run, of which commit, when.

use super::{Report, markdown};
use chrono::{DateTime, Utc};
use std::time::SystemTime;

/// The run that a report is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// `GITHUB_RUN_ID`; later runs have higher numbers.
    pub run_id: u64,
    /// `GITHUB_RUN_ATTEMPT`, from 1.
    pub attempt: u64,
    /// Tells the jobs of a run apart.
    pub job: String,
    /// Page of the run.
    pub run_url: Option<String>,
    /// Page of the job with its log, where the runner reports it.
    pub job_url: Option<String>,
    /// Page of the repository that has the commit.
    pub repository_url: Option<String>,
    /// Full hash of the commit whose files are built.
    pub commit: Option<String>,
    /// Full hash of the commit of the run's own repository, if the files are from another repository.
    pub own_commit: Option<String>,
    /// The branch.
    pub branch: Option<String>,
}

impl Facts {
    /// Full hash of the commit that a report is about: the one deployed, or to be deployed.
    pub fn commit_of(&self, report: &Report) -> Option<String> {
        let deployed = report.deployment.as_ref().and_then(|deployment| deployment.commit_hash.clone());
        deployed.or_else(|| self.commit.clone())
    }

    /// Markdown that leads to a commit.
    pub fn commit_link(&self, sha: &str) -> String {
        let short = markdown::code(sha.get(..7).unwrap_or(sha));
        match &self.repository_url {
            Some(page) => markdown::link(&short, &format!("{page}/commit/{sha}")),
            None => short,
        }
    }
}

/// `2026-11-23 15:04 UTC`.
pub fn utc(time: SystemTime) -> String {
    DateTime::<Utc>::from(time).format("%Y-%m-%d %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn times_are_written_in_utc() {
        for (seconds, want) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_868_799, "2000-02-29 23:59 UTC"),
            (1_709_210_096, "2024-02-29 12:34 UTC"),
            (1_700_000_000, "2023-11-14 22:13 UTC"),
            (4_107_542_399, "2100-02-28 23:59 UTC"),
        ] {
            assert_eq!(utc(UNIX_EPOCH + Duration::from_secs(seconds)), want);
        }
    }
}
