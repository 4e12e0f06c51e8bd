use super::*;
use crate::dependencies::DependencyChanges;
use crate::publish::{SentFiles, UploadOutcome};
use crate::report::{LocationReport, LocationState, Problem};
use std::time::UNIX_EPOCH;

fn facts(run_id: u64, attempt: u64, job: &str) -> Facts {
    Facts {
        run_id,
        attempt,
        job: job.into(),
        run_url: Some(format!("https://github.example/acme/proj/actions/runs/{run_id}/attempts/{attempt}")),
        repository_url: Some("https://github.example/acme/proj".into()),
        commit: Some("0123456789abcdef0123456789abcdef01234567".into()),
        branch: Some("feature/x".into()),
        ..Facts::default()
    }
}

fn location(name: &str, state: LocationState, error: Option<&str>) -> LocationReport {
    LocationReport {
        name: name.into(),
        pex_tag: Some("files=deps-1.pex:source-2.pex".into()),
        dagster_version: Some("1.13.27".into()),
        state,
        sent: Some(SentFiles { source: UploadOutcome::Uploaded, deps: UploadOutcome::Cached }),
        errors: error.map(String::from).into_iter().collect(),
        ..LocationReport::default()
    }
}

fn report(result: RunResult, locations: Vec<LocationReport>) -> Report {
    let url = "https://acme.dagster.cloud/b1/locations".to_string();
    let deployment = DeploymentReport { name: "b1".into(), is_branch: true, url, commit_hash: None };
    Report { result, locations, deployment: Some(deployment), seconds: 42.1, ..Report::default() }
}

fn written(facts: &Facts, report: &Report, present: Option<&str>) -> String {
    Comment::new("acme/deploy.yml", facts, report, UNIX_EPOCH + Duration::from_secs(1_700_000_000))
        .compose(present)
        .unwrap()
}

/// The comment less its data.
fn shown(body: &str) -> &str {
    body.split(DATA_START).next().unwrap().trim_end()
}

#[test]
fn a_comment_tells_each_location_and_folds_its_error() {
    let failed = "error: the code location `b|ad` was updated and failed to load:\nModuleNotFoundError: x";
    let report = report(
        RunResult::Failure,
        vec![
            location("good", LocationState::Loaded, None),
            location("b|ad", LocationState::FailedToLoad, Some(failed)),
        ],
    );
    insta::assert_snapshot!(shown(&written(&facts(5, 1, "deploy"), &report, None)));
}

#[test]
fn changed_dependencies_are_shown_once_for_all_locations_that_share_them() {
    let changes = |count: usize| DependencyChanges {
        deps_pex_before: "deps-0.pex".into(),
        image_before: String::new(),
        added: vec![("polars".into(), "1.2".into())],
        removed: vec![],
        changed: (0..count).map(|n| (format!("d_{n}"), "1".into(), "2".into())).collect(),
    };
    let located = |name: &str, count| LocationReport {
        dependencies: Some(changes(count)),
        ..location(name, LocationState::Loaded, None)
    };
    let report = report(RunResult::Success, vec![located("a", 1), located("b", 1), located("c", 90)]);
    let body = written(&facts(5, 1, "deploy"), &report, None);
    for part in [
        "<summary>📦 a, b: 1 dependency changed, 1 added</summary>",
        "- d\\_0 1 → 2\n- polars 1.2 added\n",
        "📦 c: 90 dependencies changed, 1 added",
        "- and 51 more\n",
    ] {
        assert!(body.contains(part), "{part}: {body}");
    }
}

#[test]
fn jobs_of_a_run_share_a_comment() {
    let (one, two) = (facts(5, 1, "one"), facts(5, 1, "two"));
    let pending =
        report(RunResult::Running, vec![LocationReport { name: "a".into(), ..LocationReport::default() }]);
    let first = written(&one, &pending, None);
    assert!(
        first.contains("⏳ Deploying 1 code location to the branch deployment of `feature/x` · [Open in"),
        "{first}"
    );
    let other = report(RunResult::Success, vec![location("b", LocationState::Loaded, None)]);
    let both = written(&two, &other, Some(&first));
    let done = report(RunResult::Success, vec![location("a", LocationState::Loaded, None)]);
    let all = written(&one, &done, Some(&both));
    assert!(all.contains("✅ Deployed 2 code locations to the branch deployment of `feature/x` ·"), "{all}");
    for name in ["a", "b"] {
        let row = format!("| ✅ | [`{name}`](https://acme.dagster.cloud/b1/locations/{name}) | loaded |");
        assert!(all.contains(&row), "{all}");
    }
}

#[test]
fn a_job_whose_rows_were_written_over_is_not_settled() {
    let (one, two) = (facts(5, 1, "one"), facts(5, 1, "two"));
    let (a, b) = (
        report(RunResult::Success, vec![location("a", LocationState::Loaded, None)]),
        report(RunResult::Success, vec![location("b", LocationState::Loaded, None)]),
    );
    let comment = |facts, report| Comment::new("k", facts, report, UNIX_EPOCH);
    let (mine, theirs) = (comment(&one, &a), comment(&two, &b));
    let only_mine = mine.compose(None).unwrap();
    let written_over = theirs.compose(None).unwrap();
    assert!(mine.settled(&only_mine) && !mine.settled(&written_over) && !mine.settled("deleted by hand"));
    let both = mine.compose(Some(&written_over)).unwrap();
    assert!(mine.settled(&both) && theirs.settled(&both));
}

#[test]
fn an_older_run_leaves_a_later_ones_comment_alone() {
    let report = report(RunResult::Success, vec![location("a", LocationState::Loaded, None)]);
    let later = written(&facts(6, 1, "deploy"), &report, None);
    let again = written(&facts(5, 2, "deploy"), &report, None);
    for (old, present) in [(facts(5, 1, "deploy"), &later), (facts(5, 1, "deploy"), &again)] {
        let comment = Comment::new("k", &old, &report, UNIX_EPOCH);
        assert!(comment.compose(Some(present)).is_none() && comment.settled(present));
    }
    let new = facts(7, 1, "deploy");
    let body = Comment::new("k", &new, &report, UNIX_EPOCH).compose(Some(&later)).unwrap();
    assert_eq!(read_data(&body).unwrap().run, 7);
}

#[test]
fn a_comment_stays_within_its_budget_and_keeps_failures() {
    let long = "x`````\n".repeat(20_000);
    for count in [1, 40, 3_000] {
        let mut locations: Vec<_> = (0..count)
            .map(|n| location(&format!("location-{n}-{}", "y".repeat(40)), LocationState::Loaded, None))
            .collect();
        locations.push(location("broken", LocationState::FailedToLoad, Some(&long)));
        let report = report(RunResult::Failure, locations);
        let facts = facts(5, 1, "deploy");
        let body = written(&facts, &report, None);
        assert!(body.chars().count() <= 65_536 && body.len() <= BUDGET, "{count}: {}", body.len());
        assert!(body.contains("`broken`"), "{count}");
        assert!(Comment::new("k", &facts, &report, UNIX_EPOCH).settled(&body), "{count}");
        assert_eq!(body.matches("<details>").count(), body.matches("</details>").count());
    }
}

#[test]
fn hostile_names_stay_inside_their_cells() {
    let name = "x` | <script>@team #1 -->\n| y |";
    let mut report = report(
        RunResult::Failure,
        vec![location(name, LocationState::NotUpdated, Some("```\n</details>\n@team"))],
    );
    report.deployment.as_mut().unwrap().url = "javascript:alert(1)".into();
    let deployment = report.deployment.as_mut().unwrap();
    (deployment.name, deployment.is_branch) = ("b](https://evil)[".into(), false);
    let body = written(&facts(5, 1, "deploy"), &report, None);
    insta::assert_snapshot!(shown(&body));
    assert_eq!(read_data(&body).unwrap().rows[0].row.name, name);
}

#[test]
fn what_keeps_a_run_from_deploying_is_shown_without_rows() {
    let mut skipped =
        Report { result: RunResult::Skipped, reason: Some("no <token>".into()), ..Report::default() };
    let facts = facts(5, 1, "deploy");
    insta::assert_snapshot!(shown(&written(&facts, &skipped, None)));
    skipped.result = RunResult::Closed;
    skipped.reason = None;
    insta::assert_snapshot!(shown(&written(&facts, &skipped, None)), @r#"
    <!-- pexpress:status:acme/deploy.yml -->
    ### 🔒 Closed

    <sub>[`0123456`](https://github.example/acme/proj/commit/0123456789abcdef0123456789abcdef01234567) · [run](https://github.example/acme/proj/actions/runs/5/attempts/1) · 2023-11-14 22:13 UTC · 0 ms</sub>
    "#);
}

#[test]
fn markers_are_plain() {
    assert_eq!(
        marker("acme.dagster.cloud/deploy.yml"),
        "<!-- pexpress:status:acme.dagster.cloud/deploy.yml -->"
    );
    for odd in ["a --> <b>", "", "ü", "a--b", &"x".repeat(200)] {
        let marker = marker(odd);
        let key =
            marker.strip_prefix("<!-- pexpress:status:").and_then(|rest| rest.strip_suffix(" -->")).unwrap();
        assert!(key.len() == 24 && key.chars().all(|char| char.is_ascii_hexdigit()), "{marker}");
    }
    assert_ne!(marker("a b"), marker("a  b"));
}

#[test]
fn jobs_give_the_same_comment_in_any_order_and_once_is_enough() {
    let states = [
        LocationState::Loaded,
        LocationState::FailedToLoad,
        LocationState::NoAgent,
        LocationState::Loaded,
        LocationState::FailedToLoad,
    ];
    let jobs: Vec<(Facts, Report)> = states
        .into_iter()
        .enumerate()
        .map(|(number, state)| {
            let error = (state == LocationState::FailedToLoad).then_some("ImportError: no");
            let result = if error.is_some() { RunResult::Failure } else { RunResult::Success };
            let one = location(&format!("l{number}"), state, error);
            (facts(5, 1, &format!("job {number}")), report(result, vec![one]))
        })
        .collect();
    let comment = |order: &[usize]| {
        let mut body = None;
        for job in order {
            let (facts, report) = &jobs[*job];
            let next = written(facts, report, body.as_deref());
            assert_eq!(written(facts, report, Some(&next)), next, "the same job again");
            body = Some(next);
        }
        body.unwrap()
    };
    let mut order = [0, 1, 2, 3, 4];
    let first = comment(&order);
    let mut state = 20_261_123_u64;
    for _ in 0..50 {
        for last in (1..order.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            order.swap(last, usize::try_from((state >> 33) % (last as u64 + 1)).unwrap());
        }
        assert_eq!(comment(&order), first, "{order:?}");
    }
}

#[test]
fn what_failed_in_an_older_attempt_does_not_mark_a_green_one() {
    let failed = Report {
        problems: vec![Problem { title: "no index".into(), text: "error: no index".into(), place: None }],
        ..report(
            RunResult::Failure,
            vec![location("a", LocationState::FailedToLoad, Some("ImportError: no"))],
        )
    };
    let pending = LocationReport { name: "b".into(), ..LocationReport::default() };
    let first = written(&facts(5, 1, "one"), &failed, None);
    let first = written(&facts(5, 1, "killed"), &report(RunResult::Running, vec![pending]), Some(&first));
    assert!(first.contains("❌") && first.contains("⏳"), "{first}");
    // The jobs of a matrix may have other names in the next attempt.
    let green = report(RunResult::Success, vec![location("a", LocationState::Loaded, None)]);
    let second = written(&facts(5, 2, "other"), &green, Some(&first));
    assert!(second.contains("✅ Deployed 1 code location") && !second.contains("❌"), "{second}");
    assert!(!second.contains("⏳") && !second.contains("no index"), "{second}");
    let (old, late) = (
        facts(5, 1, "late"),
        Comment::new("k", &facts(5, 1, "late"), &failed, UNIX_EPOCH).compose(Some(&second)),
    );
    assert_eq!((late, old.attempt), (None, 1), "a job of the older attempt that ends late");
}

#[test]
fn jobs_of_a_matrix_with_code_locations_of_one_name_have_a_row_each() {
    let one = report(RunResult::Success, vec![location("dagster", LocationState::Loaded, None)]);
    let two = report(
        RunResult::Failure,
        vec![location("dagster", LocationState::FailedToLoad, Some("ImportError: no"))],
    );
    let body = written(&facts(5, 1, "deploy//apps/a//0"), &one, None);
    let body = written(&facts(5, 1, "deploy//apps/b//1"), &two, Some(&body));
    let body = written(&facts(5, 1, "deploy//apps/a//0"), &one, Some(&body));
    assert_eq!(body.matches("| [`dagster`](").count(), 2, "{body}");
    assert!(body.contains("❌ 1 of 2 code locations failed"), "{body}");
}

#[test]
fn no_code_location_is_pending_once_its_job_has_ended() {
    let blank = |name: &str| LocationReport { name: name.into(), ..LocationReport::default() };
    let ended = |name: &str| LocationReport { state: LocationState::NotReached, ..blank(name) };
    let facts = facts(5, 1, "deploy");
    let running = written(&facts, &report(RunResult::Running, vec![blank("a"), blank("b")]), None);
    assert_eq!(running.matches("pending").count(), 2, "{running}");
    for result in [RunResult::Failure, RunResult::Cancelled, RunResult::Success] {
        let body = written(&facts, &report(result, vec![ended("a"), ended("b")]), Some(&running));
        assert!(!body.contains("pending") && !body.contains("⏳"), "{result:?}: {body}");
        assert_eq!(body.matches("not deployed |").count(), 2, "{result:?}: {body}");
    }
    let failed = written(&facts, &report(RunResult::Failure, vec![ended("a")]), None);
    assert!(failed.contains("❌ Not deployed to"), "{failed}");
}

#[test]
fn equal_errors_are_shown_once_and_their_exception_leads_to_them() {
    let error = |name: &str, why: &str| {
        format!("error: the code location `{name}` was updated and failed to load:\n{why}\nhint: look")
    };
    let failed = |name: &str, why: &str| location(name, LocationState::FailedToLoad, Some(&error(name, why)));
    let locations = ["a", "b", "c"].map(|name| failed(name, "ModuleNotFoundError: No module named 'x'"));
    let mut locations = Vec::from(locations);
    locations.push(failed("d", "KeyError: 'GH-1'"));
    let body = written(&facts(5, 1, "deploy"), &report(RunResult::Failure, locations), None);
    let summaries: Vec<&str> = body.lines().filter(|line| line.starts_with("<details>")).collect();
    assert_eq!(
        summaries,
        [
            "<details><summary>❌ a, b, c: failed to load</summary>",
            "<details><summary>❌ d: failed to load</summary>",
        ]
    );
    assert!(body.contains("/locations/d) | failed to load<br>`KeyError: 'GH-1'` |"), "{body}");
}

/// Users saw the exceptions of 125 of 250 code locations, in half of the room that there is.
#[test]
fn each_code_location_keeps_its_exception() {
    let frames = "  File \"/x/defs.py\", line 1, in f\n".repeat(50);
    for (count, least) in [(40, 40), (250, 250), (1_000, 250)] {
        let error = |at| {
            format!(
                "error: it failed to load:\nRuntimeError: outer\n{frames}ValueError: root-{at}-\n{frames}"
            )
        };
        let failed = |at| location(&format!("loc{at}"), LocationState::FailedToLoad, Some(&error(at)));
        let report = report(RunResult::Failure, (0..count).map(failed).collect());
        let body = written(&facts(5, 1, "deploy"), &report, None);
        let shown_rows =
            (0..count).filter(|at| shown(&body).contains(&format!("ValueError: root-{at}-"))).count();
        assert!(body.len() <= BUDGET && shown_rows >= least, "{count}: {shown_rows} in {}", body.len());
        assert!(shown_rows == count || body.len() > BUDGET - 1_000, "{count}: room is left: {}", body.len());
        let rest = format!("{} more code locations are in the summary", count - shown_rows);
        assert!(
            shown_rows == count || body.ends_with(&format!("{rest} of the run.")),
            "{count}: {shown_rows}"
        );
    }
}

/// A list of asset keys on one line, as long as all the room there is.
#[test]
fn an_error_of_one_long_line_is_there_at_every_length() {
    let keys = vec!["AssetKey(['warehouse', 'table'])"; 90].join(", ");
    let text = format!(
        "error: the code location `l` was updated and failed to load:\nDagsterInvalidDefinitionError: Duplicate asset keys: {keys}\n{}",
        "  File \"defs.py\"\n".repeat(30)
    );
    for count in [1, 10, 40, 200, 600] {
        let locations = (0..count)
            .map(|n| location(&format!("l{n}"), LocationState::FailedToLoad, Some(&format!("{n}{text}"))));
        let body = written(&facts(5, 1, "deploy"), &report(RunResult::Failure, locations.collect()), None);
        assert!(body.len() <= BUDGET, "{count}: {}", body.len());
        assert!(body.contains("DagsterInvalidDefinitionError: Duplicate asset keys: AssetKey"), "{count}");
    }
}
