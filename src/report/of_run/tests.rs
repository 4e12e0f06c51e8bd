use super::*;
use crate::builder::observer::StoredDeps;
use crate::builder::{BuildError, Built, PexFile};
use crate::dagster::session::Begun;
use crate::error::Place;
use crate::plan::Plan;
use crate::project::{Requirements, Warning};
use crate::report::DeploymentReport;
use crate::resolve::Resolution;
use crate::target::Target;
use crate::update::{Phase, UpdateError, Updated};
use crate::verify;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A run that has read a project with the code locations `a` and `b`.
fn read(purpose: Purpose) -> Run {
    let location = |name: &str, line| Location {
        name: name.into(),
        directory: PathBuf::from("/p").join(name),
        document: serde_json::Map::new(),
        dg: None,
        place: Place { file: "/p/dagster_cloud.yaml".into(), line: Some(line), column: None },
        places: BTreeMap::new(),
    };
    let locations = vec![location("a", 2), location("b", 5)];
    Run { purpose, project_file: "/p/dagster_cloud.yaml".into(), locations, ..Run::default() }
}

/// The same, when it has found its deployment.
fn connected() -> Run {
    let deployment = DeploymentReport {
        name: "prod".into(),
        is_branch: false,
        url: "https://x".into(),
        commit_hash: None,
    };
    Run { deployment: Some(deployment), others: vec!["c".into()], ..read(Purpose::Deploy) }
}

/// The same, when both code locations are built but for those in `broken`.
fn built(run: Run, broken: &[&str]) -> Run {
    let requirements =
        run.locations.iter().map(|it| (it.directory.clone(), Arc::new(Requirements::default())));
    let target = Target::serverless("3.12".parse().unwrap());
    let plan = Plan::decide(target, run.locations.clone(), &requirements.collect());
    let source = |name: &str| match broken.contains(&name) {
        true => Err(BuildError::Over),
        false => Ok(PexFile {
            name: format!("source-{name}.pex"),
            path: format!("/out/source-{name}.pex").into(),
            size_bytes: 9,
            packages: 1,
            unchanged: false,
            elapsed: Duration::from_secs(1),
        }),
    };
    let stored = StoredDeps { name: "deps-0.pex".into(), dagster_version: "1.13".into() };
    let deps = || DepsPexFile::Stored {
        stored: stored.clone(),
        resolution: Resolution { distributions: Vec::new() },
    };
    let sources = run.locations.iter().map(|location| source(&location.name)).collect();
    let built = Built { sources, deps: plan.deps.iter().map(|_| Ok(deps())).collect() };
    Run { target: Some(target), built: Some((Arc::new(plan), Arc::new(built))), ..run }
}

/// The same, when `a` loads here, and `b` does not for want of a variable.
fn verified(run: Run, lenient: bool) -> Run {
    let loaded = verify::Outcome::Loaded {
        dagster: "1.13".into(),
        dagster_cloud: "1.13".into(),
        repositories: BTreeMap::new(),
    };
    let failed = verify::Outcome::Failed {
        error: "KeyError: 'X'".into(),
        traceback: "Traceback".into(),
        not_here: Some("X is not set".into()),
        library: None,
        place: None,
        hint: None,
    };
    let all = vec![Verified::new("a", loaded, lenient), Verified::new("b", failed, lenient)];
    Run { verified: Some(all), ..run }
}

/// The same, when this came of `a` and `b`.
fn updated(run: Run, results: [Option<Result<Updated, UpdateError>>; 2]) -> Run {
    let sent = SentFiles { source: UploadOutcome::Uploaded, deps: UploadOutcome::Cached };
    let outcomes = ["a", "b"].iter().zip(results).filter_map(|(name, result)| {
        Some(Outcome { name: name.to_string(), sent: Some(sent), result: result? })
    });
    Run { outcomes: Some(Arc::new(outcomes.collect())), ..run }
}

fn failure() -> Ended {
    Ended::Failure(vec![Problem { title: "it failed".into(), text: "error: it failed".into(), place: None }])
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

/// The result, each code location's state with that of its JSON and the number of its errors, and the sentence.
fn line(case: &str, run: &Run, ended: &Ended) -> String {
    let report = of_run(run, ended, 3.5);
    let location = |location: &LocationReport| {
        let json = serde_json::to_value(location).unwrap();
        let state =
            json.get("state").map(|state| format!(" ({})", state.as_str().unwrap())).unwrap_or_default();
        let errors = match location.errors.len() {
            0 => String::new(),
            count => format!(" {count}✗"),
        };
        let sent = if location.sent.is_some() { " sent" } else { "" };
        format!("{} {}{state}{errors}{sent}", location.name, location.state.words())
    };
    let locations = report.locations.iter().map(location).collect::<Vec<_>>().join(", ");
    format!("{case}: {:?}: {locations}: {}", report.result, report.sentence())
}

#[test]
fn a_report_says_what_each_stage_reached() {
    let (build, deploy) = (|| built(read(Purpose::Build), &[]), || built(connected(), &[]));
    let no_agent = || UpdateError::NoAgent { location: "b".into(), seconds: 9, errors: Vec::new() };
    let overtaken = || UpdateError::Overtaken { location: "b".into(), now: None };
    let excuse =
        Excuse::NotLoaded { location: "b".into(), reason: "X is not set".into(), error: "KeyError".into() };
    let success = [Some(Ok(Updated::Loaded)), Some(Ok(Updated::Unchanged))];
    let lines = [
        line("read", &read(Purpose::Deploy), &Ended::Running),
        line("read, then an error", &read(Purpose::Deploy), &failure()),
        line("nothing to do", &Run::default(), &Ended::Skipped("the pull request is closed".into())),
        line("closed", &Run { locations: Vec::new(), ..connected() }, &Ended::Closed),
        line("planned", &connected(), &Ended::Running),
        line("built only", &build(), &Ended::Success),
        line("failed build", &built(read(Purpose::Build), &["b"]), &failure()),
        line("failed build of a deploy", &built(connected(), &["a", "b"]), &failure()),
        line("verified only", &verified(build(), true), &Ended::Success),
        line("verified and failing", &verified(build(), false), &failure()),
        line(
            "excused",
            &Run { excuses: vec![excuse], ..verified(build(), false) },
            &Ended::Skipped("no secrets".into()),
        ),
        line(
            "excused build",
            &Run { excuses: vec![Excuse::NotBuilt], ..built(read(Purpose::Build), &["b"]) },
            &Ended::Skipped("no secrets".into()),
        ),
        line(
            "published",
            &updated(deploy(), [Some(Ok(Updated::Published)), Some(Ok(Updated::Published))]),
            &Ended::Success,
        ),
        line("loaded", &updated(deploy(), success), &Ended::Success),
        line(
            "failed to load",
            &updated(deploy(), [Some(Ok(Updated::NotAwaited)), Some(Err(no_agent()))]),
            &failure(),
        ),
        line(
            "overtaken",
            &updated(deploy(), [Some(Ok(Updated::Loaded)), Some(Err(overtaken()))]),
            &failure(),
        ),
        line("unfit", &updated(verified(deploy(), false), [Some(Ok(Updated::Loaded)), None]), &failure()),
        line("token refused", &connected(), &failure()),
    ];
    insta::assert_snapshot!(lines.join("\n"), @r#"
    read: Running: a pending, b pending: Deploying 2 code locations
    read, then an error: Failure: a not deployed, b not deployed: it failed
    nothing to do: Skipped: : the pull request is closed
    closed: Closed: : The branch deployment is closed
    planned: Running: a pending, b pending: Deploying 2 code locations
    built only: Success: a built, b built: Built 2 code locations
    failed build: Failure: a built, b failed 1✗: 1 of 2 code locations failed
    failed build of a deploy: Failure: a failed 1✗, b failed 1✗: 2 code locations failed
    verified only: Success: a built, loads, b built: Built 2 code locations
    verified and failing: Failure: a built, loads, b does not load here 1✗: 1 of 2 code locations failed
    excused: Skipped: a built, loads, b built: no secrets
    excused build: Skipped: a built, b not deployed: no secrets
    published: Success: a published (published) sent, b published (published) sent: Deployed 2 code locations
    loaded: Success: a loaded (loaded) sent, b unchanged (unchanged) sent: Deployed 2 code locations
    failed to load: Failure: a updated (updated) sent, b no agent (no_agent) 1✗ sent: 1 of 2 code locations failed
    overtaken: Failure: a loaded (loaded) sent, b overtaken (overtaken) 1✗ sent: 1 of 2 code locations failed
    unfit: Failure: a loaded (loaded) sent, b not deployed (not_deployed) 1✗: 1 of 2 code locations failed
    token refused: Failure: a not deployed, b not deployed: it failed
    "#);
}

#[test]
fn a_cancelled_run_is_reported_from_what_each_stage_had_reached() {
    let files = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<BTreeSet<_>>();
    let cancelled = |begun: Begun| Ended::Cancelled(Some(begun));
    let nothing = || cancelled(Begun::default());
    let uploaded = || {
        let files = files(&["deps-0.pex", "source-a.pex"]);
        Begun { uploads: files.clone(), uploaded: files, ..Begun::default() }
    };
    let updating = |phases: &[Phase]| {
        let mut run = built(connected(), &[]);
        phases.iter().for_each(|phase| run.reach(phase.clone()));
        line("updating", &run, &cancelled(Begun { update: true, ..uploaded() }))
    };
    let both = || Phase::Updating(names(&["a", "b"]));
    let mut done = updated(built(connected(), &[]), [Some(Ok(Updated::Loaded)), None]);
    [Phase::Updating(names(&["a"])), Phase::Settled("a".into(), true)]
        .into_iter()
        .for_each(|it| done.reach(it));
    let closing = Run { is_closing: true, ..Run::default() };
    let lines = [
        line("before it began", &Run::default(), &Ended::Cancelled(None)),
        line("reading", &read(Purpose::Deploy), &nothing()),
        line("closing", &closing, &cancelled(Begun { branch_deployment: true, ..Begun::default() })),
        line("building", &connected(), &nothing()),
        line("built only", &built(read(Purpose::Build), &["b"]), &nothing()),
        line("verified only", &verified(built(read(Purpose::Build), &[]), false), &nothing()),
        line("uploading", &connected(), &cancelled(uploaded())),
        line("uploaded", &built(connected(), &[]), &cancelled(uploaded())),
        updating(&[both()]),
        updating(&[both(), Phase::Waiting(names(&["a", "b"]))]),
        updating(&[both(), Phase::Waiting(names(&["b"])), Phase::Settled("a".into(), true)]),
        line("done", &done, &cancelled(Begun { update: true, ..uploaded() })),
    ];
    insta::assert_snapshot!(lines.join("\n"), @r#"
    before it began: Cancelled: : Cancelled
    reading: Cancelled: a not deployed (not_deployed), b not deployed (not_deployed): Cancelled: nothing was changed at Dagster+
    closing: Cancelled: : Cancelled: the branch deployment may or may not have been closed
    building: Cancelled: a not deployed (not_deployed), b not deployed (not_deployed): Cancelled: nothing was changed at Dagster+
    built only: Cancelled: a built, b not deployed (not_deployed) 1✗: Cancelled: nothing was changed at Dagster+
    verified only: Cancelled: a built, loads, b does not load here 1✗: Cancelled: nothing was changed at Dagster+
    uploading: Cancelled: a not deployed (not_deployed), b not deployed (not_deployed): Cancelled: 2 PEX files had been uploaded, and no code location was changed
    uploaded: Cancelled: a not deployed (not_deployed) sent, b not deployed (not_deployed): Cancelled: 2 PEX files had been uploaded, and no code location was changed
    updating: Cancelled: a unknown (unknown) sent, b unknown (unknown): Cancelled: a, b may or may not have been updated; `pexpress status` shows it
    updating: Cancelled: a loading (loading) sent, b loading (loading): Cancelled: a, b had been updated but not seen to load; `pexpress status` shows it
    updating: Cancelled: a loaded (loaded) sent, b loading (loading): Cancelled: b had been updated but not seen to load; a had loaded; `pexpress status` shows it
    done: Cancelled: a loaded (loaded) sent, b not deployed (not_deployed): Cancelled: a had loaded; `pexpress status` shows it
    "#);
}

#[test]
fn a_check_puts_each_finding_to_the_code_location_that_it_is_about() {
    let place = |file: &str| Some(Place { file: file.into(), line: Some(1), column: None });
    let warning = |file: &str| Warning { message: "an old lock file".into(), place: place(file) };
    let problem =
        |title: &str, file: &str| Problem { title: title.into(), text: title.into(), place: place(file) };
    let checked = |warnings: Vec<Warning>, problems: Vec<Problem>| {
        let ended = if problems.is_empty() { Ended::Success } else { Ended::Failure(problems) };
        line("check", &Run { warnings, ..read(Purpose::Check) }, &ended)
    };
    let lines = [
        checked(vec![], vec![]),
        checked(vec![warning("/p/a/uv.lock")], vec![]),
        checked(vec![], vec![problem("a bad line", "/p/b/requirements.txt")]),
        checked(vec![], vec![problem("the code location `a` has no code source", "/p/dagster_cloud.yaml")]),
        checked(vec![], vec![problem("a bad key", "/p/dagster_cloud.yaml")]),
    ];
    insta::assert_snapshot!(lines.join("\n"), @r#"
    check: Success: a read, b read: Read 2 code locations
    check: Success: a read, with a warning, b read: Read 2 code locations, with warnings
    check: Failure: a read, b has an error 1✗: 1 of 2 code locations failed
    check: Failure: a has an error 1✗, b read: 1 of 2 code locations failed
    check: Failure: a read, b read: a bad key
    "#);
}

#[test]
fn a_stage_lasts_until_the_next_one_and_the_last_one_until_now() {
    let run = Run { stages: vec![("prepare", 0.0), ("build", 1.25), ("load", 2.0)], ..connected() };
    let report = of_run(&run, &Ended::Running, 3.5);
    let times: Vec<_> = report.stages.iter().map(|stage| (stage.name, stage.start, stage.seconds)).collect();
    assert_eq!(times, [("prepare", 0.0, 1.25), ("build", 1.25, 0.75), ("load", 2.0, 1.5)]);
    assert_eq!((report.seconds, report.also_deployed), (3.5, names(&["c"])));
    assert_eq!(
        report.also_deployed_note.unwrap(),
        "Also in prod, and not in dagster_cloud.yaml: c. They are not changed."
    );
}
