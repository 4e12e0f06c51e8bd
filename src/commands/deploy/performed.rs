//! A run from its start to its end, by itself, by an error or by a signal.

use crate::cli::DeployArgs;
use crate::commands::Error;
use crate::commands::interrupt::{Stopped, guard};
use crate::commands::progress::Progress;
use crate::host::Host;
use crate::render::Exit;
use crate::report::{self, Ended, Problem, Purpose, Report, Run};
use crate::verify::for_want_of_secrets;

/// What came of a run.
pub struct Performed {
    /// What its stages have reached.
    pub run: Run,
    /// How it ended.
    pub ended: Ended,
    /// Its exit code, or the error that ended it.
    pub exit: Result<Exit, Error>,
    seconds: f64,
}

impl Performed {
    /// A run that ended without an error.
    pub fn ended(progress: &Progress, ended: Ended) -> Performed {
        Performed { run: progress.reached(), ended, exit: Ok(Exit(0)), seconds: progress.seconds() }
    }

    /// A run that an error ended.
    pub fn failed(progress: &Progress, error: Error) -> Performed {
        let ended = Ended::Failure(problems(&error));
        Performed { exit: Err(error), ..Performed::ended(progress, ended) }
    }

    /// The same as a run without a permission to deploy, of which `why` tells: it does not fail for want of a secret.
    pub fn excused(mut self, why: String, host: &Host) -> Performed {
        if self.exit.is_err() {
            let built = self.run.built.as_ref().map(|(_, built)| &**built);
            let verified = self.run.verified.as_deref().unwrap_or_default();
            let (excuses, is_all) = for_want_of_secrets(built, verified, host);
            excuses.iter().for_each(|excuse| host.warn(excuse.title()));
            self.run.excuses = excuses;
            self.exit = if is_all { Ok(Exit(0)) } else { self.exit };
        }
        if self.exit.is_ok() && !matches!(self.ended, Ended::Cancelled(_)) {
            self.ended = Ended::Skipped(why);
        }
        self
    }

    /// The same as a report.
    pub fn report(&self) -> Report {
        report::of_run(&self.run, &self.ended, self.seconds)
    }
}

/// Build, and on demand publish and update.
pub fn perform(args: DeployArgs, progress: &Progress, host: &Host) -> Performed {
    let purpose = if args.publish.is_build_only() { Purpose::Build } else { Purpose::Deploy };
    progress.put(|run| run.purpose = purpose);
    let own_progress = progress.clone();
    match guard(host, progress, move |host| super::pipeline(&args, &own_progress, &host)) {
        Ok(Ok(ended)) => Performed::ended(progress, ended),
        Ok(Err(error)) => Performed::failed(progress, error),
        Err(stopped) => {
            let Stopped { code, run, begun } = *stopped;
            let (ended, exit) = (Ended::Cancelled(begun), Ok(Exit(code)));
            Performed { run, ended, exit, seconds: progress.seconds() }
        }
    }
}

/// An error as what it is made of: those of a project file each have a place.
fn problems(error: &Error) -> Vec<Problem> {
    match error {
        Error::Project(errors) => errors.iter().map(Problem::from_error).collect(),
        error => vec![Problem::from_error(error)],
    }
}
