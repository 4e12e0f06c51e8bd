//! The sticky comment: one a pull request (and marker), found again by its first line and edited in place.
//!
//! Several jobs of a matrix write their rows into one comment, and GitHub has no conditional edits. So each job reads,
//! merges, writes, and after a pause reads again: where another wrote in between, its own rows are missing then, and it
//! goes round once more. Two comments that were created at the same time become one: the older.
//! Source: GitHub REST API, "Issue comments" (they are also those of pull requests).

use super::api::{Call, Github};
use super::error::GithubError;
use crate::net::retry::random;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use ureq::http::Method;
use url::Url;

/// Times that the comment is read and written before giving up.
const MOST_ROUNDS: u32 = 8;
/// No round begins later than this after the first.
const LAST_ROUND_AFTER: Duration = Duration::from_secs(40);
/// Pages of 100 comments that are looked at.
const MOST_PAGES: usize = 100;
/// From a write to the look whether it lasted: longer than another job needs from its read to its write.
const SETTLING: Duration = Duration::from_millis(1000);
const PERMISSION: &str = "pull-requests: write";

/// Where our comment is, after it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its id.
    pub id: u64,
    /// Its address on the web page.
    pub url: Option<String>,
}

/// The comment of this tool on one pull request. Keep it through a run: it remembers the comment's id, so that a later
/// edit finds it with one request.
pub struct StickyComment<'a> {
    github: &'a Github,
    repository: String,
    number: u64,
    marker: String,
    settling: Duration,
    confirm_absence_before_create: bool,
    /// Whether there may be two of ours.
    untidy: bool,
    id: Option<u64>,
    author: Option<Author>,
    /// As it was last written, and whether the next write may go by that.
    written: Option<Comment>,
    trusts_last_write: bool,
}

/// Whose comments are ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Author {
    /// A bot's. The job's token may not ask who it is, and a person cannot be a bot.
    Bot,
    /// This account's: a person's, or the one that our comment turned out to be by.
    Account(u64),
}

/// A comment as the API tells of it. The account may be gone (`user` is null then), and bodies can be missing.
#[derive(Debug, Clone, Deserialize)]
struct Comment {
    id: u64,
    #[serde(default)]
    html_url: Option<String>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    user: Option<User>,
}

#[derive(Debug, Clone, Deserialize)]
struct User {
    id: u64,
    #[serde(default)]
    r#type: Option<String>,
}

impl Comment {
    fn body(&self) -> &str {
        self.body.as_deref().unwrap_or_default()
    }

    fn written(&self) -> Written {
        Written { id: self.id, url: self.html_url.clone() }
    }

    /// Whether the comment is by `author` and its first line is `marker`.
    fn is_ours(&self, author: Author, marker: &str) -> bool {
        let by_author = self.user.as_ref().is_some_and(|user| match author {
            Author::Bot => user.r#type.as_deref() == Some("Bot"),
            Author::Account(id) => user.id == id,
        });
        by_author && self.body().lines().next().is_some_and(|line| line.trim_end() == marker)
    }
}

impl<'a> StickyComment<'a> {
    /// The comment on pull request `number` of `repository` (`owner/name`) whose first line is `marker`.
    pub fn new(github: &'a Github, repository: &str, number: u64, marker: &str) -> StickyComment<'a> {
        StickyComment {
            github,
            repository: repository.to_string(),
            number,
            marker: marker.trim_end().to_string(),
            settling: SETTLING,
            confirm_absence_before_create: false,
            untidy: false,
            id: None,
            author: None,
            written: None,
            trusts_last_write: false,
        }
    }

    /// The same with another pause before the look whether a write lasted.
    #[must_use]
    pub fn settling(mut self, pause: Duration) -> Self {
        self.settling = pause;
        self
    }

    /// The same, looking twice before it creates the comment: for jobs that begin together. Two comments would become
    /// one, but each of them sends people a message.
    #[must_use]
    pub fn confirm_absence_before_create(mut self) -> Self {
        self.confirm_absence_before_create = true;
        self
    }

    /// Let the next write go by what was last written here, without reading it first: for a job that writes alone, and
    /// again at once.
    pub fn trust_last_write(&mut self) {
        self.trusts_last_write = true;
    }

    /// Write the comment, or create it.
    ///
    /// `compose` gets the body of the comment as it is (`None` if there is none) and gives the new one, which begins
    /// with the marker; `None` leaves all as it is. It is called again whenever someone else wrote in between.
    /// `settled` says whether a body holds what this job had to say; a body that is always right (no other job writes
    /// here) is `None`, which spares a pause and a request.
    ///
    /// Gives `None` where there is no comment and none was wanted.
    ///
    /// # Errors
    /// A refusal (permission, lock, length), or no answer within the retries.
    pub fn upsert(
        &mut self,
        compose: &mut dyn FnMut(Option<&str>) -> Option<String>,
        settled: Option<&dyn Fn(&str) -> bool>,
    ) -> Result<Option<Written>, GithubError> {
        let clock = Arc::clone(&self.github.host().clock);
        let (began, mut last, mut rounds) = (clock.now(), None, 0);
        while rounds < MOST_ROUNDS && clock.now().duration_since(began).unwrap_or_default() < LAST_ROUND_AFTER
        {
            if rounds > 0 {
                self.pause(rounds);
            }
            rounds += 1;
            let present = self.present()?;
            let Some(body) = compose(present.as_ref().map(Comment::body)) else {
                return Ok(present.as_ref().map(Comment::written));
            };
            if present.is_none() && std::mem::take(&mut self.confirm_absence_before_create) {
                continue;
            }
            let outcome = match &present {
                Some(comment) if same_text(comment.body(), &body) => return Ok(Some(comment.written())),
                Some(comment) => self.edit(comment.id, &body).map(Some),
                None => self.create(&body),
            };
            match outcome {
                Ok(Some(written)) if self.has_settled(settled) => return Ok(Some(written)),
                Ok(_) => {}
                Err(error) if self.is_worth_a_round(&error, last.as_ref()) => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        let doing = self.doing("write the comment of");
        Err(last.unwrap_or(GithubError::Contended { doing, rounds }))
    }

    /// Whether to look anew after a write that failed.
    fn is_worth_a_round(&mut self, error: &GithubError, last: Option<&GithubError>) -> bool {
        match error {
            // Deleted since it was read. Twice in a row, it is there to be read and not to be written.
            GithubError::NotFound { .. } => {
                self.id = None;
                !matches!(last, Some(GithubError::NotFound { .. }))
            }
            // It may be there all the same, and beside one of another job.
            error if error.is_uncertain() => {
                self.untidy = true;
                true
            }
            _ => false,
        }
    }

    /// Look again, after a pause, whether the comment holds what this job had to say, and write it again if not: for a
    /// caller who learns only while composing that others write here too. Arguments as for [`Self::upsert`].
    ///
    /// # Errors
    /// As for [`Self::upsert`].
    pub fn settle(
        &mut self,
        compose: &mut dyn FnMut(Option<&str>) -> Option<String>,
        settled: &dyn Fn(&str) -> bool,
    ) -> Result<Option<Written>, GithubError> {
        self.pause(1);
        match self.read()? {
            Some(comment) if settled(comment.body()) => Ok(Some(comment.written())),
            _ => self.upsert(compose, Some(settled)),
        }
    }

    fn doing(&self, what: &str) -> String {
        format!("{what} pull request {}", self.number)
    }

    /// From a half to one and a half times the settling time, and to one time more with each further round, so that
    /// jobs which met do not meet again, however many they are.
    fn pause(&self, round: u32) {
        self.github.host().clock.sleep(self.settling.mul_f64(0.5 + random() * f64::from(round)));
    }

    /// Our comment as it is now: the one we know of, or else the oldest that is found.
    fn present(&mut self) -> Result<Option<Comment>, GithubError> {
        if std::mem::take(&mut self.trusts_last_write)
            && let Some(comment) = self.written.take()
        {
            return Ok(Some(comment));
        }
        if let Some(comment) = self.read()? {
            return Ok(Some(comment));
        }
        let untidy = std::mem::take(&mut self.untidy);
        let found = self.find(|_| !untidy)?;
        self.tidy(&found);
        let oldest = found.into_iter().next();
        self.id = oldest.as_ref().map(|comment| comment.id);
        Ok(oldest)
    }

    /// Delete all but the oldest. Their jobs find their rows missing and write them there; another account's comments
    /// are none of ours, whatever they begin with.
    fn tidy(&self, oldest_first: &[Comment]) {
        let account = |comment: &Comment| comment.user.as_ref().map(|user| user.id);
        let Some((oldest, rest)) = oldest_first.split_first() else { return };
        for twin in rest.iter().filter(|twin| account(twin) == account(oldest)) {
            // A second comment is no reason to leave the first one unwritten.
            if let Err(error) = self.delete(twin) {
                self.github.host().detail(format!("{error}; it stays"));
            }
        }
    }

    /// The comment that we know of; `None` when there is none any more.
    fn read(&mut self) -> Result<Option<Comment>, GithubError> {
        let Some(id) = self.id else { return Ok(None) };
        let doing = self.doing("read the comment of");
        match self.github.call(&self.call(&doing, Method::GET, self.comment_url(&doing, id)?, None)) {
            Ok(answer) => answer.parse(&doing, "a comment").map(Some),
            Err(GithubError::NotFound { .. }) => {
                self.id = None;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Our comments, oldest first, up to the one for which `last` holds.
    fn find(&mut self, last: impl Fn(&Comment) -> bool) -> Result<Vec<Comment>, GithubError> {
        let author = self.author()?;
        let doing = self.doing("list the comments of");
        let number = self.number.to_string();
        let segments = ["issues", number.as_str(), "comments"];
        let mut next =
            Some(self.github.repository_url(&doing, &self.repository, &segments, &[("per_page", "100")])?);
        let mut found = Vec::new();
        for _ in 0..MOST_PAGES {
            let Some(url) = next else { break };
            let answer = self.github.call(&self.call(&doing, Method::GET, url.clone(), None))?;
            next = answer.next.clone().filter(|next| *next != url);
            // One that cannot be read is not ours.
            let page: Vec<Value> = answer.parse(&doing, "a list of comments")?;
            let page = page.into_iter().filter_map(|comment| serde_json::from_value::<Comment>(comment).ok());
            for comment in page.filter(|comment| comment.is_ours(author, &self.marker)) {
                let done = last(&comment);
                found.push(comment);
                if done {
                    return Ok(found);
                }
            }
        }
        found.sort_by_key(|comment| comment.id);
        Ok(found)
    }

    /// Whose comments are ours. The job's token and an App's may not ask who they are; a person's may.
    fn author(&mut self) -> Result<Author, GithubError> {
        if let Some(author) = self.author {
            return Ok(author);
        }
        let author = if self.github.is_of_an_app() { Author::Bot } else { self.asked_author()? };
        self.author = Some(author);
        Ok(author)
    }

    fn asked_author(&self) -> Result<Author, GithubError> {
        let doing = "ask GitHub whose token this is";
        let url = self.github.url(doing, &["user"], &[])?;
        match self.github.call(&self.call(doing, Method::GET, url, None)) {
            Ok(answer) => Ok(Author::Account(answer.parse::<User>(doing, "an account")?.id)),
            Err(GithubError::Forbidden { .. } | GithubError::NotFound { .. }) => Ok(Author::Bot),
            Err(error) => Err(error),
        }
    }

    /// Edit. Not repeated by itself: what was read before may be out of date after a failure.
    fn edit(&mut self, id: u64, body: &str) -> Result<Written, GithubError> {
        let doing = self.doing("edit the comment of");
        let url = self.comment_url(&doing, id)?;
        let call = self.call(&doing, Method::PATCH, url, Some(json!({"body": body})));
        let comment = self.github.call_once(&call)?.parse::<Comment>(&doing, "a comment")?;
        let written = comment.written();
        self.written = Some(comment);
        Ok(written)
    }

    /// Create; `None` when another job was faster, whose comment is ours from now on.
    fn create(&mut self, body: &str) -> Result<Option<Written>, GithubError> {
        let doing = self.doing("comment on");
        let number = self.number.to_string();
        let segments = ["issues", number.as_str(), "comments"];
        let url = self.github.repository_url(&doing, &self.repository, &segments, &[])?;
        let answer = self.github.call(&self.call(&doing, Method::POST, url, Some(json!({"body": body}))))?;
        let created: Comment = answer.parse(&doing, "a comment")?;
        // Now it is known who we are.
        self.author = created.user.as_ref().map(|user| Author::Account(user.id)).or(self.author);
        let ours = self.find(|_| false)?;
        let oldest = ours.first().filter(|oldest| oldest.id < created.id);
        self.id = Some(oldest.map_or(created.id, |oldest| oldest.id));
        match oldest {
            // Of many that were created at once, each job takes its own back, and one looks after all.
            Some(oldest) => self.tidy(&[oldest.clone(), created]),
            None => {
                self.tidy(&ours);
                let written = created.written();
                self.written = Some(created);
                return Ok(Some(written));
            }
        }
        Ok(None)
    }

    fn delete(&self, comment: &Comment) -> Result<(), GithubError> {
        let doing = self.doing("delete a second comment of");
        let url = self.comment_url(&doing, comment.id)?;
        match self.github.call(&self.call(&doing, Method::DELETE, url, None)) {
            Ok(_) | Err(GithubError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether what we wrote is there to stay. It was written, so where nobody can tell, it is.
    fn has_settled(&mut self, settled: Option<&dyn Fn(&str) -> bool>) -> bool {
        let Some(settled) = settled else { return true };
        self.pause(1);
        match self.read() {
            Ok(comment) => comment.is_some_and(|comment| settled(comment.body())),
            Err(error) => {
                self.github.host().detail(format!("{error}; it was written before"));
                true
            }
        }
    }

    fn comment_url(&self, doing: &str, id: u64) -> Result<Url, GithubError> {
        self.github.repository_url(doing, &self.repository, &["issues", "comments", &id.to_string()], &[])
    }

    fn call<'c>(&self, doing: &'c str, method: Method, url: Url, body: Option<Value>) -> Call<'c> {
        Call { doing, permission: PERMISSION, idempotent: method != Method::POST, method, url, body }
    }
}

/// Whether two bodies are one to a reader: GitHub may give back other line ends than it got, and no blanks at the end.
fn same_text(one: &str, other: &str) -> bool {
    one.lines().map(str::trim_end).eq(other.trim_end().lines().map(str::trim_end))
}

#[cfg(test)]
mod tests;
