//! One value for the new workflow from the values of several old jobs.

use super::condition::Scope;
use super::expand::term;

/// The value of a setting in one job.
#[derive(Debug, Clone)]
pub struct Given {
    /// The value.
    pub value: String,
    /// The events that the job runs for.
    pub scope: Scope,
    /// The branches whose pushes it deploys.
    pub branches: Vec<String>,
}

/// The value for all jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// No job has one.
    None,
    /// One value, or one expression that chooses by branch or event.
    One(String),
    /// The values differ, and nothing tells them apart. The first, and the others.
    Unclear(String, Vec<String>),
}

/// Choose by branch and event where values differ.
pub fn choose(given: &[Given]) -> Choice {
    let values = distinct(given.iter());
    match values.as_slice() {
        [] => return Choice::None,
        [only] => return Choice::One(only.clone()),
        _ => {}
    }
    let pushes = distinct(given.iter().filter(|given| given.scope.push));
    let pulls = distinct(given.iter().filter(|given| given.scope.pull && !given.scope.push));
    match (by_branch(given, &pushes), pulls.as_slice()) {
        (Some(push), []) => Choice::One(push),
        (Some(push), [pull]) if *pull == push => Choice::One(push),
        (Some(push), [pull]) => match (term(pull), term(&push)) {
            (Some(pull), Some(push)) => {
                Choice::One(format!("${{{{ github.event_name == 'pull_request' && {pull} || {push} }}}}"))
            }
            _ => unclear(values),
        },
        _ => unclear(values),
    }
}

fn unclear(values: Vec<String>) -> Choice {
    let mut values = values.into_iter();
    Choice::Unclear(values.next().unwrap_or_default(), values.collect())
}

/// The different values, in order.
fn distinct<'a>(given: impl Iterator<Item = &'a Given>) -> Vec<String> {
    let mut values: Vec<String> = Vec::new();
    for given in given {
        if !values.contains(&given.value) {
            values.push(given.value.clone());
        }
    }
    values
}

/// The value for pushes: the only one, or an expression that chooses by branch. The last is for all other events.
fn by_branch(given: &[Given], values: &[String]) -> Option<String> {
    if let [] | [_] = values {
        return values.first().cloned();
    }
    let mut terms = Vec::new();
    for (at, value) in values.iter().enumerate() {
        let jobs: Vec<&Given> =
            given.iter().filter(|given| given.scope.push && given.value == *value).collect();
        let branches: Vec<&String> = jobs.iter().flat_map(|given| &given.branches).collect();
        let are_known = jobs.iter().all(|given| !given.branches.is_empty())
            && branches.iter().all(|branch| !branch.contains(['*', '$', '!', '?']));
        let term = term(value)?;
        if at + 1 == values.len() {
            terms.push(term);
        } else {
            if !are_known {
                return None;
            }
            let names: Vec<String> =
                branches.iter().map(|branch| format!("github.ref_name == '{branch}'")).collect();
            let is = if names.len() == 1 { names.concat() } else { format!("({})", names.join(" || ")) };
            terms.push(format!("{is} && {term}"));
        }
    }
    Some(format!("${{{{ {} }}}}", terms.join(" || ")))
}

/// Branches whose pushes something is for; empty for those of every branch.
pub type Branches = Vec<String>;

/// The condition for what is for pushes to `own` branches, where jobs deploy pushes to `all` of these. `Ok(None)` if it
/// is for all of them.
///
/// # Errors
/// The branches, if only patterns tell them apart.
pub fn only(own: &Branches, all: &[Branches]) -> Result<Option<String>, String> {
    let is_every = all.iter().any(Vec::is_empty);
    let mut others: Vec<&String> = Vec::new();
    for branch in all.iter().flatten().filter(|branch| !own.contains(branch)) {
        if !others.contains(&branch) {
            others.push(branch);
        }
    }
    if own.is_empty() || others.is_empty() && !is_every {
        return Ok(None);
    }
    let are_names = |branches: &[&String]| {
        branches.iter().all(|branch| !branch.contains(['*', '$', '!', '?', '[', '+', '\'']))
    };
    let own: Vec<&String> = own.iter().collect();
    let (branches, is, joint) = match () {
        () if are_names(&own) => (own, "==", " || "),
        () if are_names(&others) && !is_every => (others, "!=", " && "),
        () => return Err(own.iter().map(|branch| format!("`{branch}`")).collect::<Vec<_>>().join(", ")),
    };
    let terms: Vec<String> =
        branches.iter().map(|branch| format!("github.ref_name {is} '{branch}'")).collect();
    let text = terms.join(joint);
    Ok(Some(if text.contains("||") { format!("({text})") } else { text }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_for_some_branches_has_a_condition() {
        let branches = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Branches>();
        let all = [branches(&["main"]), branches(&["develop", "next"]), branches(&["v/**"])];
        for (own, all, want) in [
            (&["main"][..], &all[..1], Ok(None)),
            (&[], &all, Ok(None)),
            (&["main", "develop", "next"], &all[..2], Ok(None)),
            (&["main"], &all, Ok(Some("github.ref_name == 'main'"))),
            (
                &["develop", "next"],
                &all,
                Ok(Some("(github.ref_name == 'develop' || github.ref_name == 'next')")),
            ),
            (&["v/**", "main"], &all, Ok(Some("github.ref_name != 'develop' && github.ref_name != 'next'"))),
            (&["main"], &[branches(&[])], Ok(Some("github.ref_name == 'main'"))),
            (&["v/**"], &[branches(&[])], Err("`v/**`")),
        ] {
            let want = want.map(|want| want.map(String::from)).map_err(String::from);
            assert_eq!(only(&branches(own), all), want, "{own:?}");
        }
    }

    fn given(value: &str, push: bool, branches: &[&str]) -> Given {
        let scope = Scope { push, pull: !push, closed: !push };
        Given { value: value.into(), scope, branches: branches.iter().map(ToString::to_string).collect() }
    }

    #[test]
    fn values_that_differ_are_chosen_by_branch_and_event() {
        for (jobs, want) in [
            (vec![given("a", true, &["main"]), given("a", false, &[])], "a"),
            (
                vec![given("prod", true, &["main"]), given("staging", true, &["staging"])],
                "${{ github.ref_name == 'main' && 'prod' || 'staging' }}",
            ),
            (
                vec![given("prod", true, &["main", "v2"]), given("staging", true, &["staging"])],
                "${{ (github.ref_name == 'main' || github.ref_name == 'v2') && 'prod' || 'staging' }}",
            ),
            (
                vec![given("${{ secrets.A }}", true, &["main"]), given("${{ secrets.B }}", false, &[])],
                "${{ github.event_name == 'pull_request' && secrets.B || secrets.A }}",
            ),
        ] {
            assert_eq!(choose(&jobs), Choice::One(want.to_string()));
        }
        assert_eq!(choose(&[]), Choice::None);
        let unclear = [given("a", true, &["main"]), given("a-${{ x }}", false, &[])];
        assert_eq!(choose(&unclear), Choice::Unclear("a".into(), vec!["a-${{ x }}".into()]));
    }
}
