//! The texts of a report, adapted for readers of a step.

use super::{Problem, Report};
use crate::input_names::for_flags;
use crate::paths::shortened;
use crate::redact::{self, Secret};
use crate::verify::Outcome;
use std::path::Path;

impl Report {
    /// The same with the action's inputs instead of flags in errors and warnings, with paths below `directory` relative
    /// to it, and without these secrets, which foreign text may repeat.
    #[must_use]
    pub fn worded(mut self, directory: &Path, secrets: &[Secret]) -> Report {
        let word = |text: &mut String| {
            *text = redact::without(secrets, &shortened(&for_flags(text), directory));
        };
        for problem in self.all_problems() {
            word(&mut problem.title);
            word(&mut problem.text);
            if let Some(place) = &mut problem.place
                && let Ok(below) = place.file.strip_prefix(directory)
            {
                place.file = below.to_path_buf();
            }
        }
        self.locations.iter_mut().flat_map(|location| &mut location.errors).for_each(word);
        self.reason.iter_mut().for_each(word);
        for verified in self.verified.iter_mut().flatten() {
            if let Outcome::Failed { error, traceback, not_here, hint, .. } = &mut verified.outcome {
                [error, traceback].into_iter().chain(not_here).chain(hint).for_each(word);
            }
        }
        self
    }

    fn all_problems(&mut self) -> impl Iterator<Item = &mut Problem> {
        let of_locations = self.locations.iter_mut().flat_map(|location| &mut location.problems);
        self.problems.iter_mut().chain(&mut self.warnings).chain(of_locations)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::LocationReport;
    use crate::verify::Verified;

    #[test]
    fn no_text_of_a_report_repeats_a_secret() {
        let says = |text: &str| format!("{text} ghs_canary_of_a_job");
        let problem = |text: &str| Problem { title: says(text), text: says(text), place: None };
        let failed = Outcome::Failed {
            error: says("e"),
            traceback: says("t"),
            not_here: Some(says("n")),
            library: None,
            place: None,
            hint: Some(says("h")),
        };
        let report = Report {
            reason: Some(says("reason")),
            problems: vec![problem("p")],
            warnings: vec![problem("w")],
            locations: vec![LocationReport {
                errors: vec![says("l")],
                problems: vec![problem("lp")],
                ..LocationReport::default()
            }],
            verified: Some(vec![Verified::new("a", failed, false)]),
            ..Report::default()
        };
        let report = report.worded(Path::new("/"), &[Secret::new("ghs_canary_of_a_job")]);
        let said = format!("{report:?}");
        assert!(!said.contains("canary") && said.matches("***").count() == 12, "{said}");
    }
}
