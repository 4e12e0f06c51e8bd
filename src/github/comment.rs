//! The sticky comment: one a pull request (and marker), found again by its first line and edited in place.
//!
//! Several jobs of a matrix write their rows into one comment, and GitHub has no conditional edits. So each job reads,
//! merges, writes, and after a pause reads again: if another job wrote in between, the own rows are missing then, and
//! it starts over. Of two comments that were created at the same time, the older one is kept. Source: GitHub REST API,
//! "Issue comments" (they are also those of pull requests).

use super::api::{Call, Github, Repeat, owner_and_name};
use super::error::GithubError;
use crate::net::retry::random;
use octocrab::{Octocrab, Page};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use ureq::http::Uri;

/// How often the comment is read and written before giving up.
const MOST_ROUNDS: u32 = 8;
/// No round starts later than this after the first.
const LAST_ROUND_AFTER: Duration = Duration::from_secs(40);
/// How many pages of 100 comments are read.
const MOST_PAGES: usize = 100;
/// Pause between a write and the check that it lasted: longer than another job needs from its read to its write.
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
    /// The body as last written, and whether the next write may rely on it.
    written: Option<Comment>,
    trusts_last_write: bool,
}

/// The author of our comments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Author {
    /// A bot. The job's token may not ask who it is, and a person cannot be a bot.
    Bot,
    /// This account: a person, or the account that our first comment turned out to have.
    Account(u64),
}

/// A comment: only what is used of it. octocrab's model requires members that GitHub documents as nullable
/// (`gravatar_id`), and an account, which may be gone. A comment that cannot be read would be created again.
#[derive(Debug, Clone, Deserialize)]
struct Comment {
    id: u64,
    html_url: Option<String>,
    body: Option<String>,
    user: Option<User>,
}

#[derive(Debug, Clone, Deserialize)]
struct User {
    id: u64,
    r#type: Option<String>,
}

impl Comment {
    fn account(&self) -> Option<u64> {
        self.user.as_ref().map(|user| user.id)
    }
}

fn body_of(comment: &Comment) -> &str {
    comment.body.as_deref().unwrap_or_default()
}

fn written(comment: &Comment) -> Written {
    Written { id: comment.id, url: comment.html_url.clone() }
}

/// Whether the comment is by `author` and its first line is `marker`.
fn is_ours(comment: &Comment, author: Author, marker: &str) -> bool {
    let by_author = comment.user.as_ref().is_some_and(|user| match author {
        Author::Bot => user.r#type.as_deref() == Some("Bot"),
        Author::Account(id) => user.id == id,
    });
    by_author && body_of(comment).lines().next().is_some_and(|line| line.trim_end() == marker)
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

    /// The same with another pause before the check that a write lasted.
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
    /// `settled` says whether a body contains this job's part; `None` if no other job writes here, which saves a pause
    /// and a request.
    ///
    /// Returns `None` if there is no comment and none was wanted.
    ///
    /// # Errors
    /// If GitHub refuses (permission, lock, length), or does not answer within the retries.
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
            let Some(body) = compose(present.as_ref().map(body_of)) else {
                return Ok(present.as_ref().map(written));
            };
            // Jobs that start together all find no comment; after a pause, one of them has created it.
            if present.is_none() && std::mem::take(&mut self.confirm_absence_before_create) {
                continue;
            }
            let outcome = match &present {
                // An edit without a change would only cost requests.
                Some(comment) if same_text(body_of(comment), &body) => return Ok(Some(written(comment))),
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

    /// Whether to look again after a failed write.
    fn is_worth_a_round(&mut self, error: &GithubError, last: Option<&GithubError>) -> bool {
        match error {
            // Deleted since it was read. Twice in a row means that it can be read but not written.
            GithubError::NotFound { .. } => {
                self.id = None;
                !matches!(last, Some(GithubError::NotFound { .. }))
            }
            // It may exist anyway, next to one of another job.
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
            Some(comment) if settled(body_of(&comment)) => Ok(Some(written(&comment))),
            _ => self.upsert(compose, Some(settled)),
        }
    }

    fn doing(&self, what: &str) -> String {
        format!("{what} pull request {}", self.number)
    }

    /// From 0.5 to 1.5 times the settling time, and up to one time more with each further round, so that jobs that
    /// collided do not collide again, however many they are.
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

    /// Delete all but the oldest. Their jobs find their rows missing and write them there. Comments of other accounts
    /// are not ours, whatever they begin with.
    fn tidy(&self, oldest_first: &[Comment]) {
        let Some((oldest, rest)) = oldest_first.split_first() else { return };
        for twin in rest.iter().filter(|twin| twin.account() == oldest.account()) {
            // The first comment is written even if the second one cannot be deleted.
            if let Err(error) = self.delete(twin) {
                self.github.host().detail(format!("{error}; it stays"));
            }
        }
    }

    /// The comment that we know of; `None` if it was deleted.
    fn read(&mut self) -> Result<Option<Comment>, GithubError> {
        let Some(id) = self.id else { return Ok(None) };
        let read = self.call("read the comment of", Repeat::Always, async |crab, owner, name| {
            crab.get(comment_route(owner, name, id), None::<&()>).await
        });
        match read {
            Ok(comment) => Ok(Some(comment)),
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
        let mut next = None;
        let mut found = Vec::new();
        for _ in 0..MOST_PAGES {
            let page = self.page(next.as_ref())?;
            let is_empty = page.items.is_empty();
            // One that cannot be read, for want of an id, is not ours.
            let comments = page.items.into_iter().filter_map(|comment| serde_json::from_value(comment).ok());
            for comment in comments.filter(|comment| is_ours(comment, author, &self.marker)) {
                let done = last(&comment);
                found.push(comment);
                if done {
                    return Ok(found);
                }
            }
            let Some(link) = page.next.filter(|link| !is_empty && next.as_ref() != Some(link)) else { break };
            next = Some(link);
        }
        found.sort_by_key(|comment| comment.id);
        Ok(found)
    }

    /// The comments behind the link `next`, or the first ones.
    fn page(&self, next: Option<&Uri>) -> Result<Page<Value>, GithubError> {
        self.call("list the comments of", Repeat::Always, async |crab, owner, name| match next {
            Some(next) => crab.get(next.to_string(), None::<&()>).await,
            None => {
                let route = format!("/repos/{owner}/{name}/issues/{}/comments", self.number);
                crab.get(route, Some(&[("per_page", "100")])).await
            }
        })
    }

    /// The author of our comments. The tokens of jobs and Apps may not ask who they are; a person's token may.
    fn author(&mut self) -> Result<Author, GithubError> {
        if let Some(author) = self.author {
            return Ok(author);
        }
        let author = if self.github.is_of_an_app() { Author::Bot } else { self.asked_author()? };
        self.author = Some(author);
        Ok(author)
    }

    fn asked_author(&self) -> Result<Author, GithubError> {
        let (doing, wanted) = ("ask GitHub whose token this is", "an account");
        let call = Call { doing, permission: PERMISSION, wanted, repeat: Repeat::Always };
        match self.github.call(&call, async |crab| crab.get::<User, _, _>("/user", None::<&()>).await) {
            Ok(account) => Ok(Author::Account(account.id)),
            Err(GithubError::Forbidden { .. } | GithubError::NotFound { .. }) => Ok(Author::Bot),
            Err(error) => Err(error),
        }
    }

    /// Edit. Not retried here: the text that it is based on may be out of date after a failure.
    fn edit(&mut self, id: u64, body: &str) -> Result<Written, GithubError> {
        let comment: Comment =
            self.call("edit the comment of", Repeat::Never, async |crab, owner, name| {
                crab.patch(comment_route(owner, name, id), Some(&json!({"body": body}))).await
            })?;
        let written = written(&comment);
        self.written = Some(comment);
        Ok(written)
    }

    /// Create; `None` if another job was faster: its comment is ours from now on.
    fn create(&mut self, body: &str) -> Result<Option<Written>, GithubError> {
        let created: Comment = self.call("comment on", Repeat::IfRefused, async |crab, owner, name| {
            let route = format!("/repos/{owner}/{name}/issues/{}/comments", self.number);
            crab.post(route, Some(&json!({"body": body}))).await
        })?;
        // The answer shows who we are.
        self.author = created.account().map(Author::Account).or(self.author);
        let ours = self.find(|_| false)?;
        let oldest = ours.first().filter(|oldest| oldest.id < created.id);
        self.id = Some(oldest.map_or(created.id, |oldest| oldest.id));
        match oldest {
            // Of many created at once, each job deletes its own, and the oldest stays for all.
            Some(oldest) => self.tidy(&[oldest.clone(), created]),
            None => {
                self.tidy(&ours);
                let written = written(&created);
                self.written = Some(created);
                return Ok(Some(written));
            }
        }
        Ok(None)
    }

    fn delete(&self, comment: &Comment) -> Result<(), GithubError> {
        let deleted = self.call("delete a second comment of", Repeat::Always, async |crab, owner, name| {
            crab.issues(owner, name).delete_comment(comment.id.into()).await
        });
        match deleted {
            Err(GithubError::NotFound { .. }) => Ok(()),
            outcome => outcome,
        }
    }

    /// Whether our write lasted. If this cannot be checked, the answer is yes, since the write itself succeeded.
    fn has_settled(&mut self, settled: Option<&dyn Fn(&str) -> bool>) -> bool {
        let Some(settled) = settled else { return true };
        self.pause(1);
        match self.read() {
            Ok(comment) => comment.is_some_and(|comment| settled(body_of(&comment))),
            Err(error) => {
                self.github.host().detail(format!("{error}; it was written before"));
                true
            }
        }
    }

    /// Call octocrab for comments of the repository; `ask` gets its owner and name.
    fn call<T>(
        &self,
        what: &str,
        repeat: Repeat,
        ask: impl AsyncFn(&Octocrab, &str, &str) -> octocrab::Result<T>,
    ) -> Result<T, GithubError> {
        let doing = self.doing(what);
        let (owner, name) = owner_and_name(&doing, &self.repository)?;
        let call = Call { doing: &doing, permission: PERMISSION, wanted: "a comment", repeat };
        self.github.call(&call, async |crab| ask(crab, owner, name).await)
    }
}

fn comment_route(owner: &str, name: &str, id: u64) -> String {
    format!("/repos/{owner}/{name}/issues/comments/{id}")
}

/// Whether two bodies look the same: GitHub may change line ends and drop blanks at the end.
fn same_text(one: &str, other: &str) -> bool {
    one.lines().map(str::trim_end).eq(other.trim_end().lines().map(str::trim_end))
}

#[cfg(test)]
mod tests;
