//! Which commit a step of a workflow deploys, and which one it reports.

use crate::support::act::git;
use crate::support::said::{lines, messages};
use crate::support::scene::{Scene, commit_all};
use crate::support::step::{PUSHED, Ran, pull_request};
use serde_json::{Value, json};

const DEFAULT: &str = "main";

/// A scene with two commits, and their hashes. The newer one is checked out.
fn two_commits() -> (Scene, String, String) {
    let scene = Scene::new(&[("one", "")], json!({}));
    let older = commit_all(scene.dir.path());
    std::fs::write(scene.dir.path().join("one/defs.py"), "newer = 1\n").unwrap();
    let newer = commit_all(scene.dir.path());
    (scene, older, newer)
}

/// The event after a run of the workflow `Tests` for this commit.
fn after(head: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut payload = json!({
        "action": "completed",
        "repository": {"full_name": "acme/proj", "default_branch": DEFAULT},
        "workflow_run": {
            "name": "Tests", "event": "push", "head_branch": DEFAULT, "head_sha": head, "conclusion": "success",
            "head_repository": {"full_name": "acme/proj"}, "pull_requests": [],
        },
    });
    change(&mut payload);
    payload
}

/// `git` of the document of the code location `one`.
fn git_of(scene: &Scene, deployment: &str) -> Value {
    scene.dagster.state()["deployments"][deployment]["locations"]["one"]["git"].clone()
}

#[test]
fn only_a_successful_workflow_on_the_default_branch_leads_to_a_deployment() {
    let (scene, older, newer) = two_commits();
    let run = |payload: &Value| scene.step().event("workflow_run", payload).run();
    let table: [(&str, Value, &str, &str); 9] = [
        (
            "failure",
            after(&newer, |p| p["workflow_run"]["conclusion"] = json!("failure")),
            "skipped",
            "the run of the workflow `Tests` that started this one ended with `failure`, and only successful runs are deployed",
        ),
        (
            "cancelled",
            after(&newer, |p| p["workflow_run"]["conclusion"] = json!("cancelled")),
            "skipped",
            "ended with `cancelled`",
        ),
        (
            "null",
            after(&newer, |p| p["workflow_run"]["conclusion"] = Value::Null),
            "skipped",
            "ended without a conclusion",
        ),
        (
            "requested",
            after(&newer, |p| p["action"] = json!("requested")),
            "skipped",
            "is not completed (`requested`)",
        ),
        (
            "queue",
            after(&newer, |p| p["workflow_run"]["event"] = json!("merge_group")),
            "skipped",
            "a merge queue entry is not deployed",
        ),
        (
            "branch",
            after(&newer, |p| p["workflow_run"]["head_branch"] = json!("feature/x")),
            "failure",
            "the workflow run that started this one was on `feature/x`, which is not known to be the default branch, and no setting names its deployment",
        ),
        (
            "no branch",
            after(&newer, |p| p["workflow_run"]["head_branch"] = Value::Null),
            "failure",
            "was on an unknown branch",
        ),
        (
            "no default",
            after(&newer, |p| p["repository"]["default_branch"] = Value::Null),
            "failure",
            "was on `main`, which is not known to be the default branch",
        ),
        ("overtaken", after(&older, |_| {}), "failure", "and the workflow run that started this one was of"),
    ];
    for (case, payload, result, says) in table {
        let ran = run(&payload);
        let code = if result == "skipped" { 0 } else { 2 };
        assert_eq!((ran.code, ran.output("result")), (Some(code), result), "{case}: {}", ran.log);
        assert!(ran.output("reason").contains(says), "{case}: {}", ran.output("reason"));
        assert!(
            ran.summary.contains("ot deployed") || ran.summary.contains("Nothing was"),
            "{}",
            ran.summary
        );
    }
    assert_eq!(scene.dagster.journal().count("PUT "), 0);
    let fork = after(&newer, |p| p["workflow_run"]["head_repository"]["full_name"] = json!("eve/proj"));
    insta::assert_snapshot!(messages(&run(&fork).log), @"::error title=pexpress::a run started by `workflow_run` has this repository's secrets, and anyone may have written the code of a pull request%0Ahint: use `pull_request` instead; if everyone who can open a pull request may have the secrets, use `allow_untrusted_code: true`");
    let ran = run(&after(&newer, |_| {}));
    assert_eq!((ran.code, ran.output("deployment")), (Some(0), "prod"), "{}", ran.log);
    assert_eq!(git_of(&scene, "prod")["commit_hash"], json!(newer));
    scene.assert_clean();
}

/// The usual `ref: ${{ github.event.workflow_run.head_sha }}`, while GITHUB_SHA is the newest commit of main.
#[test]
fn an_overtaken_run_deploys_and_reports_what_was_tested() {
    let (scene, older, newer) = two_commits();
    git(scene.dir.path(), &["checkout", "-q", "--detach", &older]);
    let step = scene.step().event("workflow_run", &after(&older, |_| {})).with("GITHUB_SHA", &newer);
    let ran = step.run();
    assert_eq!((ran.code, ran.output("commit")), (Some(0), older.as_str()), "{}", ran.log);
    assert_eq!(git_of(&scene, "prod")["commit_hash"], json!(older));
    assert!(ran.summary.contains(&older[..7]) && !ran.summary.contains(&newer[..7]), "{}", ran.summary);
}

#[test]
fn after_the_tests_of_another_branch_an_input_decides() {
    let (scene, _, newer) = two_commits();
    let event = after(&newer, |p| p["workflow_run"]["head_branch"] = json!("feature/x"));
    let run = |choice: &str| {
        scene.step().with("INPUT_BRANCH_DEPLOYMENT", choice).event("workflow_run", &event).run()
    };
    let (full, branch) = (run("false"), run("true"));
    assert_eq!((full.code, full.output("deployment")), (Some(0), "prod"), "{}", full.log);
    assert_eq!((branch.code, branch.output("is_branch_deployment")), (Some(0), "true"), "{}", branch.log);
    let sent = scene.dagster.journal().variables("createOrUpdateBranchDeployment").pop().unwrap();
    assert_eq!(sent["branchData"]["branchName"], "feature/x");
    assert_eq!(sent["commit"]["commitHash"], json!(newer));
}

/// A rollback by hand: `ref:` at the checkout names an older commit than the branch has.
#[test]
fn the_checked_out_commit_is_reported() {
    let (scene, older, newer) = two_commits();
    git(scene.dir.path(), &["checkout", "-q", "--detach", &older]);
    let payload = json!({"inputs": null, "repository": {"full_name": "acme/proj", "default_branch": "main"}});
    let step = scene.step().with("INPUT_GITHUB_DEPLOYMENT", "true").with("INPUT_COMMIT_STATUS", "true");
    let ran = step.event("workflow_dispatch", &payload).with("GITHUB_SHA", &newer).run();
    assert_eq!((ran.code, ran.output("commit")), (Some(0), older.as_str()), "{}", ran.log);
    let line = format!(
        "The event of this run names the commit {newer}, but the work tree holds {older}: the latter is built and reported"
    );
    assert_eq!(ran.log.matches(&line).count(), 1, "{}", ran.log);
    let git = git_of(&scene, "prod");
    assert_eq!(git["commit_hash"], json!(older));
    assert_eq!(git["url"], json!(format!("https://github.example/acme/proj/tree/{older}")));
    let state = scene.github.state().to_string();
    assert!(state.contains(&older) && !state.contains(&newer), "{state}");
    assert!(ran.summary.contains(&older[..7]) && !ran.summary.contains(&newer[..7]), "{}", ran.summary);
    scene.dagster.journal().assert_clean();
}

#[test]
fn a_checkout_of_another_repository_is_reported_as_that() {
    let (scene, _, newer) = two_commits();
    let origin = "https://github.example/acme/pipelines.git";
    git(scene.dir.path(), &["remote", "add", "origin", origin]);
    let step = scene.step().with("INPUT_COMMIT_STATUS", "true");
    let ran = step.event("push", &json!({"repository": {"default_branch": "main"}})).run();
    assert_eq!((ran.code, ran.output("commit")), (Some(0), newer.as_str()), "{}", ran.log);
    assert!(ran.log.contains(&format!("but a checkout of acme/pipelines holds {newer}")), "{}", ran.log);
    let git = git_of(&scene, "prod");
    assert_eq!(
        (git["commit_hash"].as_str(), git["repo_name"].as_str()),
        (Some(newer.as_str()), Some("pipelines"))
    );
    assert_eq!(git["url"], json!(format!("https://github.example/acme/pipelines/tree/{newer}")));
    let statuses = scene.github.state().to_string();
    assert!(statuses.contains(PUSHED) && !statuses.contains(&newer), "GitHub knows only its own: {statuses}");
}

#[test]
fn a_pull_request_has_its_head_commit_unless_another_one_is_checked_out() {
    let (scene, older, newer) = two_commits();
    let dir = scene.dir.path();
    let opened = |head: &str| -> Ran {
        let mut payload = pull_request("opened");
        payload["pull_request"]["head"]["sha"] = json!(head);
        scene.step().event("pull_request", &payload).run()
    };
    let reported = |ran: &Ran| {
        assert_eq!(ran.code, Some(0), "{}", ran.log);
        let sent = scene.dagster.journal().variables("createOrUpdateBranchDeployment").pop().unwrap();
        let document = git_of(&scene, ran.output("deployment"))["commit_hash"].clone();
        assert_eq!(
            (&sent["commit"]["commitHash"], ran.output("commit")),
            (&document, document.as_str().unwrap())
        );
        assert!(scene.comment().contains(&ran.output("commit")[..7]), "{}", scene.comment());
        ran.output("commit").to_string()
    };
    // `ref: ${{ github.head_ref }}` in a run that a later push has overtaken.
    let overtaken = opened(&older);
    assert_eq!(reported(&overtaken), newer);
    insta::assert_snapshot!(lines(&overtaken.log, "the latter is"), @"The event of this run names the commit [HASH], but the work tree holds [HASH]: the latter is built and reported");
    // As actions/checkout does it: the merge of the head into the base.
    git(dir, &["checkout", "-q", "-b", "feature", &older]);
    git(dir, &["commit", "-q", "--allow-empty", "-m", "Head"]);
    let head = git(dir, &["rev-parse", "HEAD"]);
    git(dir, &["checkout", "-q", "--detach", &newer]);
    git(dir, &["merge", "-q", "--no-ff", "-m", "Merge", &head]);
    let merged = opened(&head);
    assert_eq!(reported(&merged), head);
    assert!(!merged.log.contains("the latter is built and reported"), "{}", merged.log);
}

#[test]
fn a_tag_goes_to_the_full_deployment_and_has_no_branch_deployment() {
    let scene = Scene::new(&[("one", "")], json!({}));
    let payload = json!({"repository": {"full_name": "acme/proj", "default_branch": "main"}});
    let run = |choice: &str| {
        let step = scene.step().with("GITHUB_REF", "refs/tags/v1").with("INPUT_BRANCH_DEPLOYMENT", choice);
        step.event("workflow_dispatch", &payload).run()
    };
    assert_eq!(run("auto").output("deployment"), "prod");
    let refused = run("true");
    assert_eq!(refused.code, Some(2), "{}", refused.log);
    insta::assert_snapshot!(messages(&refused.log), @"::error title=pexpress::this run is for the tag `v1`, and only a branch can have a branch deployment%0Ahint: use `branch_deployment: false` for the full deployment, or start the run on a branch");
}

/// The event of a fork lists no pull request, so GitHub is asked for the open one with this commit.
#[test]
fn an_allowed_run_after_the_tests_of_a_fork_goes_to_the_branch_deployment_of_its_pull_request() {
    let (scene, older, newer) = two_commits();
    let payload = |head: &str| {
        after(head, |p| {
            p["workflow_run"]["event"] = json!("pull_request");
            p["workflow_run"]["head_branch"] = json!("fix");
            p["workflow_run"]["head_repository"]["full_name"] = json!("eve/proj");
        })
    };
    let of_fork = json!({"ref": "fix", "sha": newer, "repo": {"full_name": "eve/proj"}});
    scene.github.control("pull", &json!({"number": 7, "head": of_fork}));
    let run = |head: &str| {
        let step = scene.step().with("INPUT_ALLOW_UNTRUSTED_CODE", "true");
        step.event("workflow_run", &payload(head)).run()
    };
    let ran = run(&newer);
    assert_eq!((ran.code, ran.output("is_branch_deployment")), (Some(0), "true"), "{}", ran.log);
    assert!(scene.comment().contains(&newer[..7]), "{}", scene.comment());
    let overtaken = run(&older);
    assert_eq!((overtaken.code, overtaken.output("result")), (Some(0), "skipped"), "{}", overtaken.log);
    assert_eq!(overtaken.output("reason"), format!("no open pull request of `eve:fix` is at commit {older}"));
}

/// `ref: refs/pull/7/merge`, or a commit from the payload, in a run that is not for a pull request.
#[test]
fn a_dispatched_run_of_a_pull_request_needs_a_choice() {
    let (scene, older, newer) = two_commits();
    let dir = scene.dir.path();
    let proj = json!({"full_name": "acme/proj", "default_branch": "main"});
    git(dir, &["update-ref", "refs/remotes/origin/main", &newer]);
    git(dir, &["checkout", "-q", "-b", "theirs"]);
    git(dir, &["commit", "-q", "--allow-empty", "-m", "Theirs"]);
    let theirs = git(dir, &["rev-parse", "HEAD"]);
    git(dir, &["checkout", "-q", "--detach"]);
    let run = |event: &str, payload: &Value, choice: &str| {
        let step = scene.step().with("GITHUB_SHA", &newer).with("INPUT_BRANCH_DEPLOYMENT", choice);
        step.event(event, payload).run()
    };
    let dispatch = json!({"ref": "refs/heads/main", "repository": proj});
    let about = json!({"repository": proj, "client_payload": {"pull_request": {"number": 7, "head": {"sha": theirs}}}});
    let assert_refused = |ran: &Ran, holds: &str| {
        assert_eq!((ran.code, ran.output("result")), (Some(2), "failure"), "{}", ran.log);
        assert!(ran.output("reason").contains(&format!("the work tree holds {holds}")), "{}", ran.log);
    };
    assert_refused(&run("repository_dispatch", &about, "auto"), "pull request 7");
    git(dir, &["update-ref", "refs/remotes/pull/8/merge", &theirs]);
    for event in ["workflow_dispatch", "repository_dispatch", "push", "schedule"] {
        assert_refused(&run(event, &dispatch, "auto"), "pull request 8");
    }
    git(dir, &["update-ref", "-d", "refs/remotes/pull/8/merge"]);
    git(dir, &["update-ref", "refs/remotes/origin/theirs", &theirs]);
    assert_refused(&run("workflow_dispatch", &dispatch, "auto"), "the branch `theirs`");
    assert_eq!(scene.dagster.journal().count("PUT "), 0);
    let chosen = run("workflow_dispatch", &dispatch, "false");
    assert_eq!((chosen.code, chosen.output("deployment")), (Some(0), "prod"), "{}", chosen.log);
    // A branch that is merged, and an older commit of the default one, are code of the default branch.
    git(dir, &["checkout", "-q", "--detach", &older]);
    git(dir, &["update-ref", "refs/remotes/origin/merged", &older]);
    let rollback = run("workflow_dispatch", &dispatch, "auto");
    assert_eq!((rollback.code, rollback.output("deployment")), (Some(0), "prod"), "{}", rollback.log);
}

#[test]
fn no_event_deploys_an_entry_of_a_merge_queue() {
    let (scene, _, newer) = two_commits();
    let queue = "gh-readonly-queue/main/pr-7-0123456789012345678901234567890123456789";
    let payload = json!({"repository": {"full_name": "acme/proj", "default_branch": DEFAULT}});
    let push = scene.step().event("push", &payload).with("GITHUB_REF", &format!("refs/heads/{queue}")).run();
    let event = after(&newer, |p| p["workflow_run"]["head_branch"] = json!(queue));
    let after = scene.step().with("INPUT_BRANCH_DEPLOYMENT", "false").event("workflow_run", &event).run();
    for ran in [push, after] {
        assert_eq!((ran.code, ran.output("result")), (Some(0), "skipped"), "{}", ran.log);
        assert_eq!(ran.output("reason"), "a merge queue entry is not deployed; its merge will be");
    }
}
