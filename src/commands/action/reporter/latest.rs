//! The newest state of the deploy, for the reports that are written about it in parallel.
//!
//! A newer state may arrive while a report is being written. Each report is then written again, until no report is
//! being written any more: the final state of an interrupted run must not wait for the slowest report.

use super::LOOK;
use crate::github::GithubError;
use crate::report::{Report, RunResult};
use crate::threads::lock;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;

/// The newest report, and how many writers work on it.
pub(super) struct LatestReport<'a> {
    report: Mutex<Report>,
    reports: &'a Mutex<Receiver<Report>>,
    /// How many reports are being written.
    writing: AtomicUsize,
}

/// The result that each report says.
#[derive(Default)]
pub(super) struct WrittenResults {
    pub(super) comment: Option<RunResult>,
    pub(super) deployment: Option<RunResult>,
    pub(super) status: Option<RunResult>,
}

impl<'a> LatestReport<'a> {
    /// `report` arrived first; newer ones come through `reports`.
    pub(super) fn new(report: Report, reports: &'a Mutex<Receiver<Report>>) -> LatestReport<'a> {
        LatestReport { report: Mutex::new(report), reports, writing: AtomicUsize::new(0) }
    }

    /// This many reports are about to be written, each with a call of [`LatestReport::follow`].
    pub(super) fn begin(&self, count: usize) {
        self.writing.store(count, Ordering::SeqCst);
    }

    /// The newest so far.
    pub(super) fn now(&self) -> Report {
        lock(&self.report).clone()
    }

    /// The newest, including what has arrived since.
    pub(super) fn newest(&self) -> Report {
        let mut report = lock(&self.report);
        if let Some(newer) = lock(self.reports).try_iter().last() {
            *report = newer;
        }
        report.clone()
    }

    /// Write until what was written is the newest and no other report is being written, or until a write fails; gives
    /// what came of the last, and the result written.
    pub(super) fn follow<T>(
        &self,
        mut write: impl FnMut() -> (Result<T, GithubError>, RunResult),
    ) -> (Result<T, GithubError>, RunResult) {
        loop {
            let (outcome, written) = write();
            let others = self.writing.fetch_sub(1, Ordering::SeqCst) - 1;
            if outcome.is_err() || !self.is_outdated(written, others) {
                return (outcome, written);
            }
            self.writing.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Wait while `others` are written; returns whether a newer report than `written` arrived meanwhile.
    fn is_outdated(&self, written: RunResult, mut others: usize) -> bool {
        loop {
            if self.newest().result != written {
                return true;
            }
            if others == 0 {
                return false;
            }
            std::thread::sleep(LOOK);
            others = self.writing.load(Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Users saw a commit status that stayed pending: it waited for a slow comment.
    #[test]
    fn a_report_that_is_up_to_date_follows_what_comes_while_another_is_written() {
        let (sender, receiver) = mpsc::channel();
        let reports = Mutex::new(receiver);
        let latest = LatestReport::new(Report::default(), &reports);
        let (slow_may_end, wait) = mpsc::channel::<()>();
        latest.begin(2);
        let fast = |written: &mut Vec<RunResult>| {
            let slow_may_end = slow_may_end.clone();
            latest.follow(|| {
                let result = latest.newest().result;
                written.push(result);
                match result {
                    // The deploy ends while the slow report is still being written.
                    RunResult::Running => {
                        sender.send(Report { result: RunResult::Success, ..Report::default() }).unwrap();
                    }
                    _ => slow_may_end.send(()).unwrap(),
                }
                (Ok(()), result)
            })
        };
        let mut written = Vec::new();
        let slow = std::thread::scope(|scope| {
            let latest = &latest;
            let slow = scope.spawn(move || {
                let mut first = true;
                latest.follow(|| {
                    let result =
                        if std::mem::take(&mut first) { RunResult::Running } else { latest.now().result };
                    if result == RunResult::Running {
                        wait.recv().unwrap();
                    }
                    (Ok(()), result)
                })
            });
            fast(&mut written).0.unwrap();
            slow.join().unwrap().1
        });
        assert_eq!((written, slow), (vec![RunResult::Running, RunResult::Success], RunResult::Success));
    }
}
