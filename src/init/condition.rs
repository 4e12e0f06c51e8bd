//! `if:` conditions of old workflows: what of them still says something, and which events a job is for.
//!
//! Only conditions without groups in parentheses are taken apart. Others stay as they are, apart from replaced words.

/// The condition that was `prerun`'s `!= 'skip'`.
pub const NOT_CLOSED: &str = "github.event.action != 'closed'";

/// For which events something runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    /// Pushes, and runs by hand or by schedule.
    pub push: bool,
    /// Pull requests that are open.
    pub pull: bool,
    /// Pull requests that were just closed.
    pub closed: bool,
}

impl Scope {
    /// Everything in one of the two.
    #[must_use]
    pub fn or(self, other: Scope) -> Scope {
        Scope {
            push: self.push || other.push,
            pull: self.pull || other.pull,
            closed: self.closed || other.closed,
        }
    }

    /// The condition for something with this scope in a workflow with the scope `whole`; `None` if it always runs.
    pub fn condition(self, whole: Scope) -> Option<&'static str> {
        let leaves_out = |own: bool, whole: bool| whole && !own;
        let (push, pull, closed) = (
            leaves_out(self.push, whole.push),
            leaves_out(self.pull, whole.pull),
            leaves_out(self.closed, whole.closed),
        );
        match (push, pull, closed) {
            (false, false, false) => None,
            (false, false, true) => Some(NOT_CLOSED),
            (false, true, _) => Some("github.event_name != 'pull_request'"),
            (true, false, false) => Some("github.event_name == 'pull_request'"),
            (true, false, true) => {
                Some("github.event_name == 'pull_request' && github.event.action != 'closed'")
            }
            (true, true, _) => Some("github.event.action == 'closed'"),
        }
    }
}

/// What is left of a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// Run always, or under this condition.
    Run(Option<String>),
    /// Never: it was for Docker builds.
    Never,
}

/// A condition of a step without the words of Dagster+'s `prerun`. `ids` are the ids of such steps.
pub fn of_step(condition: &str, ids: &[String]) -> Left {
    let mut text = bare(condition);
    for id in ids.iter().map(String::as_str).chain(["prerun", "pre-run"]) {
        let output = format!("steps.{id}.outputs.result");
        text = compared(&text, &output, |same, value| match (same, value) {
            (false, "skip") | (true, "pex-deploy") => NOT_CLOSED,
            (true, "docker-deploy") => "false",
            _ => "true",
        });
    }
    text = compared(&text, "env.ENABLE_FAST_DEPLOYS", |same, value| match same == (value == "true") {
        true => "true",
        false => "false",
    });
    simplified(&text)
}

/// The text inside `${{ }}`, if all of it is.
fn bare(condition: &str) -> String {
    super::expand::expression(condition).unwrap_or(condition.trim()).replace('"', "'")
}

/// Replace `name == 'value'` and `name != 'value'` by what `replacement` says for (whether it is `==`, value).
fn compared(text: &str, name: &str, replacement: impl Fn(bool, &str) -> &'static str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(name) {
        let trimmed = after.trim_start();
        let operator = trimmed.get(..2).filter(|operator| ["==", "!="].contains(operator));
        let value = operator.and_then(|_| trimmed[2..].trim_start().strip_prefix('\''));
        let Some((operator, (value, next))) = operator.zip(value.and_then(|value| value.split_once('\'')))
        else {
            out += before;
            out += name;
            rest = after;
            continue;
        };
        out += before;
        out += replacement(operator == "==", value);
        rest = next;
    }
    out + rest
}

/// Whether a condition has groups in parentheses. Calls such as `always()` are not groups.
fn has_groups(text: &str) -> bool {
    let mut last = ' ';
    for each in text.chars() {
        if each == '(' && !last.is_ascii_alphanumeric() {
            return true;
        }
        last = each;
    }
    false
}

fn simplified(text: &str) -> Left {
    if has_groups(text) {
        return Left::Run(Some(text.to_string()));
    }
    let mut ways: Vec<String> = Vec::new();
    for way in text.split("||") {
        let mut atoms: Vec<&str> = Vec::new();
        for atom in way.split("&&").map(str::trim).filter(|atom| *atom != "true") {
            if !atoms.contains(&atom) {
                atoms.push(atom);
            }
        }
        if atoms.is_empty() {
            return Left::Run(None);
        }
        let way = atoms.join(" && ");
        if !atoms.contains(&"false") && !ways.contains(&way) {
            ways.push(way);
        }
    }
    match ways.is_empty() {
        true => Left::Never,
        false => Left::Run(Some(ways.join(" || "))),
    }
}

/// Both conditions.
pub fn both(one: Option<&str>, other: Option<String>) -> Option<String> {
    match (one, other) {
        (Some(one), Some(other)) if other.split("&&").any(|atom| atom.trim() == one) => Some(other),
        (Some(one), Some(other)) if other.contains("||") => Some(format!("{one} && ({other})")),
        (Some(one), Some(other)) => Some(format!("{one} && {other}")),
        (one, other) => other.or_else(|| one.map(String::from)),
    }
}

/// What the condition of a job says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfJob {
    /// The events that it lets through, of those that the workflow has.
    pub scope: Scope,
    /// The branches whose pushes it is for; empty if it does not say.
    pub branches: Vec<String>,
    /// What it says besides.
    pub rest: Option<String>,
}

/// Take the condition of a job apart.
pub fn of_job(condition: Option<&str>, scope: Scope) -> OfJob {
    let text = condition.map(bare).unwrap_or_default();
    if text.is_empty() {
        return OfJob { scope, branches: Vec::new(), rest: None };
    }
    let ways: Vec<OfJob> = text.split("||").map(|way| of_way(way, scope)).collect();
    // Several ways are one scope, unless one of them is for some branches and another for all.
    let pushes = || ways.iter().filter(|way| way.scope.push);
    let is_one = ways.iter().all(|way| way.rest.is_none())
        && (pushes().all(|way| way.branches.is_empty()) || pushes().all(|way| !way.branches.is_empty()));
    if has_groups(&text) || ways.len() > 1 && !is_one {
        return OfJob { scope, branches: Vec::new(), rest: Some(text) };
    }
    let mut ways = ways.into_iter();
    let first = ways.next().unwrap_or(OfJob { scope, branches: Vec::new(), rest: None });
    ways.fold(first, |one, other| OfJob {
        scope: one.scope.or(other.scope),
        branches: [one.branches, other.branches].concat(),
        rest: None,
    })
}

/// Take conditions that all have to hold apart.
fn of_way(text: &str, mut scope: Scope) -> OfJob {
    let mut branches = Vec::new();
    let mut rest = Vec::new();
    for atom in text.split("&&").map(str::trim) {
        let words: Vec<&str> = atom.split_whitespace().collect();
        let value = words.get(2).map(|value| value.trim_matches('\''));
        match (words.first().copied(), words.get(1).copied(), value) {
            (Some("github.event_name"), Some("=="), Some("push" | "workflow_dispatch"))
            | (Some("github.event_name"), Some("!="), Some("pull_request")) => {
                (scope.pull, scope.closed) = (false, false);
            }
            (Some("github.event_name"), Some("=="), Some("pull_request"))
            | (Some("github.event_name"), Some("!="), Some("push")) => scope.push = false,
            (Some("github.event.action"), Some("!="), Some("closed")) => scope.closed = false,
            (Some("github.event.action"), Some("=="), Some("closed")) => {
                (scope.push, scope.pull) = (false, false);
            }
            (Some("github.ref" | "github.ref_name"), Some("=="), Some(name)) => {
                (scope.pull, scope.closed) = (false, false);
                branches = vec![name.trim_start_matches("refs/heads/").to_string()];
            }
            _ => rest.push(atom),
        }
    }
    OfJob { scope, branches, rest: (!rest.is_empty()).then(|| rest.join(" && ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Scope = Scope { push: true, pull: true, closed: true };

    #[test]
    fn words_of_prerun_become_words_of_the_event() {
        for (given, want) in [
            ("steps.prerun.outputs.result != 'skip'", Some(NOT_CLOSED)),
            ("${{ steps.prerun.outputs.result == 'pex-deploy' }}", Some(NOT_CLOSED)),
            (
                "steps.own.outputs.result == \"pex-deploy\" || steps.own.outputs.result == 'docker-deploy'",
                Some(NOT_CLOSED),
            ),
            (
                "steps.prerun.outputs.result != 'skip' && always()",
                Some("github.event.action != 'closed' && always()"),
            ),
            ("env.ENABLE_FAST_DEPLOYS == 'true'", None),
            ("github.ref == 'refs/heads/main'", Some("github.ref == 'refs/heads/main'")),
            (
                "(a || b) && steps.prerun.outputs.result != 'skip'",
                Some("(a || b) && github.event.action != 'closed'"),
            ),
        ] {
            assert_eq!(of_step(given, &["own".to_string()]), Left::Run(want.map(String::from)), "{given}");
        }
        for given in ["steps.prerun.outputs.result == 'docker-deploy'", "env.ENABLE_FAST_DEPLOYS != 'true'"] {
            assert_eq!(of_step(given, &[]), Left::Never, "{given}");
        }
    }

    #[test]
    fn the_condition_of_a_job_says_what_it_is_for() {
        let scope = |push, pull, closed| Scope { push, pull, closed };
        for (given, want, branches, rest) in [
            (
                "github.event_name == 'push' && github.ref == 'refs/heads/main'",
                scope(true, false, false),
                &["main"][..],
                None,
            ),
            ("github.ref == 'refs/heads/main' || github.event_name == 'pull_request'", ALL, &["main"], None),
            (
                "github.ref == 'refs/heads/main' || github.ref == 'refs/heads/next'",
                scope(true, false, false),
                &["main", "next"],
                None,
            ),
            (
                "github.ref == 'refs/heads/main' || github.event_name == 'workflow_dispatch'",
                ALL,
                &[],
                Some("github.ref == 'refs/heads/main' || github.event_name == 'workflow_dispatch'"),
            ),
            (
                "github.event_name == 'pull_request' && github.event.action != 'closed'",
                scope(false, true, false),
                &[],
                None,
            ),
            ("${{ github.event.action == 'closed' }}", scope(false, false, true), &[], None),
            ("github.actor != 'x'", ALL, &[], Some("github.actor != 'x'")),
            ("a || b", ALL, &[], Some("a || b")),
        ] {
            let found = of_job(Some(given), ALL);
            assert_eq!(
                found,
                OfJob {
                    scope: want,
                    branches: branches.iter().map(ToString::to_string).collect(),
                    rest: rest.map(String::from)
                }
            );
        }
    }

    #[test]
    fn a_scope_that_is_smaller_needs_a_condition() {
        let scope = |push, pull, closed| Scope { push, pull, closed };
        for (own, whole, want) in [
            (ALL, ALL, None),
            (scope(true, true, false), ALL, Some(NOT_CLOSED)),
            (scope(true, false, false), ALL, Some("github.event_name != 'pull_request'")),
            (scope(true, false, false), scope(true, false, false), None),
            (scope(false, true, true), ALL, Some("github.event_name == 'pull_request'")),
            (scope(false, false, true), ALL, Some("github.event.action == 'closed'")),
        ] {
            assert_eq!(own.condition(whole), want);
        }
    }
}
