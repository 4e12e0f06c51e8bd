//! Deployments, commit statuses, pull requests and commits, against the strict stand-in for GitHub.

use crate::support::github_standin::{GithubStandin, REPOSITORY, WRITE};
use pexpress::github::deployments::{
    CommitState, CommitStatus, DeploymentDetails, DeploymentState, NewDeployment, create, deactivate,
    set_commit_status, set_state,
};
use pexpress::github::{commit, pull_request};
use serde_json::json;

#[test]
fn deployments_are_announced_without_merging_and_set_inactive_on_close() {
    let standin = GithubStandin::start(json!({}));
    let (github, _) = standin.connect(WRITE);
    let new = |environment: &str, transient| NewDeployment {
        sha: "a".repeat(40),
        environment: environment.into(),
        description: "x".repeat(300),
        transient,
        production: !transient,
    };
    let production = create(&github, REPOSITORY, &new("prod", false)).unwrap();
    let branch = create(&github, REPOSITORY, &new("pr/7 ä&b", true)).unwrap();
    let details = DeploymentDetails {
        environment_url: Some("https://acme.example/prod".into()),
        log_url: Some("https://github.example/acme/proj/actions/runs/1".into()),
        description: "loaded".into(),
    };
    set_state(&github, REPOSITORY, production, DeploymentState::InProgress, &details).unwrap();
    set_state(&github, REPOSITORY, production, DeploymentState::Success, &details).unwrap();
    assert_eq!(deactivate(&github, REPOSITORY, "pr/7 ä&b").unwrap(), 1);
    let journal = standin.journal();
    journal.assert_clean();
    for body in journal.sent("repos/create-deployment") {
        assert_eq!((&body["auto_merge"], &body["required_contexts"]), (&json!(false), &json!([])));
    }
    let state = standin.state();
    let states = |id: u64| {
        let deployments = state["deployments"].as_array().unwrap();
        let found = deployments.iter().find(|deployment| deployment["id"] == id).unwrap();
        found["states"].as_array().unwrap().iter().map(|state| state["state"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        (states(production), states(branch)),
        (vec![json!("in_progress"), json!("success")], vec![json!("inactive")])
    );
}

#[test]
fn a_deployment_whose_answer_was_lost_is_not_created_twice() {
    for (stored, posts) in [(true, 1), (false, 2)] {
        let fault = json!({"operation": "repos/create-deployment", "status": 502, "apply": stored});
        let standin = GithubStandin::start(json!({"faults": [fault]}));
        let new = NewDeployment {
            sha: "a".repeat(40),
            environment: "prod".into(),
            description: String::new(),
            transient: false,
            production: true,
        };
        let id = create(&standin.connect(WRITE).0, REPOSITORY, &new).unwrap();
        let present = &standin.state()["deployments"];
        assert_eq!((present.as_array().unwrap().len(), &present[0]["id"]), (1, &json!(id)));
        let journal = standin.journal();
        assert_eq!(journal.sent("repos/create-deployment").len(), posts);
        journal.assert_clean();
    }
}

#[test]
fn a_commit_status_keeps_the_limit() {
    let standin =
        GithubStandin::start(json!({"faults": [{"operation": "repos/create-commit-status", "status": 502}]}));
    let (github, _) = standin.connect(WRITE);
    let status = CommitStatus {
        sha: "a".repeat(40),
        state: CommitState::Failure,
        context: "pexpress / prod".into(),
        description: "one of the code locations failed to load ".repeat(10),
        target_url: Some("https://github.example/acme/proj/actions/runs/1".into()),
    };
    set_commit_status(&github, REPOSITORY, &status).unwrap();
    standin.journal().assert_clean();
    let sent = &standin.state()["statuses"][0];
    assert_eq!((&sent["state"], &sent["context"]), (&json!("failure"), &json!("pexpress / prod")));
    assert_eq!(sent["description"].as_str().unwrap().chars().count(), 140);
}

#[test]
fn a_pull_request_and_a_commit_are_read_with_members_missing() {
    let standin = GithubStandin::start(json!({
        "pulls": [{
            "number": 7, "state": "closed", "merged": true, "user": null,
            "head": {"ref": "feature/x", "sha": "aaaa", "repo": null}, "base": {"ref": "main"},
        }],
        "commits": [{"sha": "aaaa", "author": null, "commit": {"message": "Subject\n\nbody"}}],
    }));
    let (github, _) = standin.connect(WRITE);
    let pull = pull_request::fetch(&github, REPOSITORY, 7).unwrap();
    assert_eq!(
        (pull.head_sha.as_str(), pull.head_ref.as_str(), pull.base_ref.as_str()),
        ("aaaa", "feature/x", "main")
    );
    assert_eq!((pull.head_repository, pull.open, pull.merged), (None, false, true));
    let commit = commit::fetch(&github, REPOSITORY, "aaaa").unwrap();
    assert_eq!((commit.subject.as_str(), commit.avatar_url), ("Subject", None));
    assert!(commit::fetch(&github, REPOSITORY, "bbbb").is_err());
    standin.journal().assert_clean();
}
