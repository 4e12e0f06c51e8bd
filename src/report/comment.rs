//! The comment on a pull request: one for all jobs of a run, which merge their rows into it.
//!
//! The rows travel in the comment itself, deflated and base64 in a hidden line, so that each job can put its own next
//! to those of the others. [`Comment::compose`] and [`Comment::settled`] are pure; finding and writing the comment is
//! `github::comment`'s.

use super::facts::{Facts, utc};
use super::location_table::{self, View};
use super::rows::{self, Row};
use super::{DeploymentReport, Report, RunResult, cut, markdown, table};
use crate::hex::hex;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::read::{ZlibDecoder, ZlibEncoder};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Read;
use std::time::{Duration, SystemTime};

/// Characters of a comment that we use; GitHub takes 65,536.
const BUDGET: usize = 60_000;
/// Bytes of data in a comment that we read.
const MOST_DATA: u64 = 1 << 20;
/// How much of each error is shown; if the comment is too long, the next limit is tried.
const ERROR_LIMITS: [usize; 5] = [6_000, 1_500, 300, cut::SHORT_BYTES, SHORTEST_ERROR];
/// How much of an error is shown if there is hardly any room: its exception.
const SHORTEST_ERROR: usize = 80;

/// How many changed dependencies of a code location are listed.
const MOST_CHANGES: usize = 40;

/// One job's part in the comment of a pull request.
pub struct Comment<'a> {
    marker: String,
    facts: &'a Facts,
    report: &'a Report,
    now: SystemTime,
}

/// The data of the comment.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Data {
    run: u64,
    commit: Option<String>,
    branch: Option<String>,
    deployment: Option<DeploymentReport>,
    jobs: BTreeMap<String, Job>,
    rows: Vec<JobRow>,
}

/// A row and its job: two jobs may have code locations of the same name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct JobRow {
    #[serde(flatten)]
    row: Row,
    /// Stands for the job.
    #[serde(rename = "j", default)]
    job: String,
    /// The job's attempt.
    #[serde(rename = "t", default)]
    attempt: u64,
}

/// A job's report about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Job {
    attempt: u64,
    result: RunResult,
    text: Option<String>,
    milliseconds: u64,
    /// Page of the job with its log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    log: Option<String>,
}

impl<'a> Comment<'a> {
    /// The part of this job. Different `key`s (organization, workflow) have different comments.
    pub fn new(key: &str, facts: &'a Facts, report: &'a Report, now: SystemTime) -> Comment<'a> {
        Comment { marker: marker(key), facts, report, now }
    }

    /// The hidden first line, by which the comment is found.
    pub fn marker(&self) -> &str {
        &self.marker
    }

    /// The comment with this job's part in it; `None` if the existing one is from a later run.
    pub fn compose(&self, present: Option<&str>) -> Option<String> {
        let present = present.and_then(read_data);
        if let Some(later) = &present
            && (later.run > self.facts.run_id || self.later_attempt(later))
        {
            return None;
        }
        let same_run = present.filter(|data| data.run == self.facts.run_id);
        Some(self.text(&self.merged(same_run.unwrap_or_default())))
    }

    /// Whether the comment contains this job's part, or is from a later run.
    pub fn settled(&self, present: &str) -> bool {
        let Some(data) = read_data(present) else { return false };
        if data.run > self.facts.run_id || self.later_attempt(&data) {
            return true;
        }
        // A job that overwrites this one from an older text loses its entry together with its rows.
        data.run == self.facts.run_id && data.jobs.get(&self.facts.job) == Some(&self.job())
    }

    fn job(&self) -> Job {
        let milliseconds = Duration::from_secs_f64(self.report.seconds.max(0.0)).as_millis();
        Job {
            attempt: self.facts.attempt,
            result: self.report.result,
            text: self.report.reason.clone().or_else(|| own_problem(self.report)),
            milliseconds: milliseconds.try_into().unwrap_or(u64::MAX),
            log: self.facts.job_url.clone(),
        }
    }

    /// Whether other jobs of this run have their part in the comment.
    pub fn is_shared(&self, present: &str) -> bool {
        let data = read_data(present).filter(|data| data.run == self.facts.run_id);
        data.is_some_and(|data| data.jobs.keys().any(|job| *job != self.facts.job))
    }

    fn later_attempt(&self, data: &Data) -> bool {
        let is_later = |job: &Job| job.attempt > self.facts.attempt;
        data.run == self.facts.run_id && data.jobs.values().any(is_later)
    }

    fn merged(&self, mut data: Data) -> Data {
        let report = self.report;
        data.run = self.facts.run_id;
        data.commit = self.facts.commit_of(report);
        data.branch = self.facts.branch.clone();
        // A job that failed early does not know the deployment, and must not remove it.
        data.deployment = report.deployment.clone().or(data.deployment);
        let (job, attempt) = (digest(&self.facts.job), self.facts.attempt);
        // A new attempt repeats the failed jobs, perhaps under other names.
        let fine = |result| matches!(result, RunResult::Success | RunResult::Skipped | RunResult::Closed);
        data.jobs.retain(|_, job| job.attempt >= attempt || fine(job.result));
        data.jobs.insert(self.facts.job.clone(), self.job());
        let mine = rows::from_report(report);
        data.rows.retain(|known| {
            let is_old = known.attempt < attempt;
            let is_pending = known.row.state.is_good().is_none();
            let is_again = mine.iter().any(|row| row.name == known.row.name);
            known.job != job && !(is_old && (is_pending || is_again))
        });
        data.rows.extend(mine.into_iter().map(|mut row| {
            row.error = row.error.map(|error| cut::cut(&error, ERROR_LIMITS[0]));
            JobRow { row, job: job.clone(), attempt }
        }));
        // The same order whichever job writes last.
        data.rows.sort_by(|a, b| (&a.row.name, &a.job).cmp(&(&b.row.name, &b.job)));
        data
    }

    /// The longest text that fits.
    fn text(&self, data: &Data) -> String {
        for limit in ERROR_LIMITS {
            let short = with_short_errors(data, limit);
            let text = self.render(&short, limit);
            if text.len() <= BUDGET {
                return text;
            }
        }
        self.without_good_rows(data)
    }

    /// Failures only, as many as fit; the others are counted.
    fn without_good_rows(&self, data: &Data) -> String {
        let all = with_short_errors(data, SHORTEST_ERROR);
        let failed: Vec<&JobRow> =
            all.rows.iter().filter(|row| row.row.state.is_good() != Some(true)).collect();
        let text = |count: usize| {
            let rows = failed[..count].iter().map(|row| (*row).clone()).collect();
            let text = self.render(&Data { rows, ..all.clone() }, SHORTEST_ERROR);
            format!("{text}\n{} more code locations are in the summary of the run.", all.rows.len() - count)
        };
        let (mut fits, mut most) = (0, failed.len());
        while fits < most {
            let middle = (fits + most).div_ceil(2);
            match text(middle).len() <= BUDGET {
                true => fits = middle,
                false => most = middle - 1,
            }
        }
        text(fits)
    }

    /// `limit` is the length that errors were cut to.
    fn render(&self, data: &Data, limit: usize) -> String {
        let shown = &data.rows.iter().map(|shown| self.row(shown, data)).collect::<Vec<_>>();
        let mut parts = vec![format!("{}\n### {}", self.marker, heading(data))];
        for job in data.jobs.values() {
            if let Some(text) = &job.text {
                parts.push(match job.result {
                    RunResult::Skipped => markdown::text(text),
                    _ => markdown::block(&cut::cut(text, ERROR_LIMITS[1])),
                });
            }
        }
        if !shown.is_empty() {
            let deployment = data.deployment.as_ref();
            parts.push(location_table::table(
                shown,
                &View { deployment, error_bytes: limit, has_file_columns: false },
            ));
        }
        let errors = rows::errors(shown, limit);
        if !errors.is_empty() {
            parts.push(errors);
        }
        let changes = rows::dependency_changes(shown, MOST_CHANGES);
        if !changes.is_empty() {
            parts.push(changes);
        }
        parts.push(self.footer(data, location_table::shared_dagster(shown)));
        parts.push(write_data(data));
        parts.join("\n\n")
    }

    /// A row, with the log of its job if there are several.
    fn row(&self, shown: &JobRow, data: &Data) -> Row {
        let of_row = data.jobs.iter().find(|(name, _)| digest(name) == shown.job).map(|(_, job)| job);
        let log = of_row.filter(|_| data.jobs.len() > 1).and_then(|job| job.log.clone());
        Row { log, ..shown.row.clone() }
    }

    /// Commit, log, time, duration, and the version of dagster that all code locations have.
    fn footer(&self, data: &Data, dagster: Option<&str>) -> String {
        let commit = data.commit.as_deref().map(|sha| self.facts.commit_link(sha));
        // Of one job its log; several have only their run in common.
        let log = data.jobs.values().next().filter(|_| data.jobs.len() == 1).and_then(|job| job.log.as_ref());
        let run = match log {
            Some(log) => Some(markdown::link("log", log)),
            None => self.facts.run_url.as_ref().map(|url| markdown::link("run", url)),
        };
        let longest = data.jobs.values().map(|job| job.milliseconds).max().unwrap_or(0);
        let ended = data.jobs.values().all(|job| job.result != RunResult::Running);
        let time = ended.then(|| table::time(Duration::from_millis(longest)));
        let dagster = dagster.map(|version| format!("dagster {}", markdown::text(version)));
        let parts = [commit, run, Some(utc(self.now)), time, dagster];
        format!("<sub>{}</sub>", parts.into_iter().flatten().collect::<Vec<_>>().join(" · "))
    }
}

/// The same with errors of at most `limit` bytes; with short errors, without the changes in the dependencies.
fn with_short_errors(data: &Data, limit: usize) -> Data {
    let mut short = data.clone();
    for JobRow { row, .. } in &mut short.rows {
        row.changes = row.changes.take().filter(|_| limit >= ERROR_LIMITS[1]);
        row.error = row.error.as_ref().map(|error| cut::shortened(error, limit));
    }
    short
}

/// The error that ended a run, if no code location shows it.
fn own_problem(report: &Report) -> Option<String> {
    let has_errors = report.locations.iter().any(|location| !location.errors.is_empty());
    let unloaded = report.verified.iter().flatten().any(|verified| !verified.passes());
    let texts: Vec<&str> = report.problems.iter().map(|problem| problem.text.as_str()).collect();
    (!texts.is_empty() && !has_errors && !unloaded).then(|| texts.join("\n\n"))
}

fn heading(data: &Data) -> String {
    let deployment = data.deployment.as_ref().map(|deployment| deployment.title(data.branch.as_deref()));
    let open = data.deployment.as_ref().map(DeploymentReport::open).unwrap_or_default();
    let any = |result: RunResult| data.jobs.values().any(|job| job.result == result);
    let to = deployment.as_ref().map(|name| format!(" to {name}")).unwrap_or_default();
    let rows: Vec<Row> = data.rows.iter().map(|row| row.row.clone()).collect();
    let (sign, text) = rows::headline(&rows);
    match () {
        () if any(RunResult::Closed) => {
            format!("🔒 Closed{}", deployment.map(|name| format!(" {name}")).unwrap_or_default())
        }
        () if any(RunResult::Cancelled) => "⚠️ Cancelled".to_string(),
        () if any(RunResult::Failure) && (sign != "❌" || rows::none_reached(&rows)) => {
            format!("❌ Not deployed{to}{open}")
        }
        () if any(RunResult::Skipped) => "➖ Not deployed".to_string(),
        () if data.rows.is_empty() => format!("⏳ Deploying{to}{open}"),
        () if sign == "❌" => format!("{sign} {text}{}{open}", to.replacen(" to ", " on ", 1)),
        () => format!("{sign} {text}{to}{open}"),
    }
}

/// `<!-- pexpress:status:KEY -->`; a key with anything but plain characters in it is hashed.
fn marker(key: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || "-_.:/".contains(char);
    let fits = !key.is_empty() && key.len() <= 100 && key.chars().all(plain) && !key.contains("--");
    let key = match fits {
        true => key.to_string(),
        false => digest(key),
    };
    format!("<!-- pexpress:status:{key} -->")
}

/// Short, and different for different texts.
fn digest(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes())[..12])
}

const DATA_START: &str = "<!-- pexpress:data:";
const DATA_END: &str = " -->";

fn write_data(data: &Data) -> String {
    let json = serde_json::to_vec(data).unwrap_or_default();
    let mut deflated = Vec::new();
    // Reading from memory cannot fail.
    let _ = ZlibEncoder::new(json.as_slice(), Compression::best()).read_to_end(&mut deflated);
    format!("{DATA_START}{}{DATA_END}", BASE64_STANDARD.encode(deflated))
}

/// The data of a comment; `None` if it is missing or cannot be read: then a new comment is written.
fn read_data(body: &str) -> Option<Data> {
    let start = body.rfind(DATA_START)? + DATA_START.len();
    let encoded = body[start..].split(DATA_END).next()?;
    let deflated = BASE64_STANDARD.decode(encoded.trim()).ok()?;
    let mut json = Vec::new();
    ZlibDecoder::new(deflated.as_slice()).take(MOST_DATA).read_to_end(&mut json).ok()?;
    serde_json::from_slice(&json).ok()
}

#[cfg(test)]
mod tests;
