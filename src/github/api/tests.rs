use super::*;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use ureq::http::{HeaderName, HeaderValue, Response};

fn headers(headers: &[(&'static str, &str)]) -> HeaderMap {
    let headers = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
    headers.collect()
}

/// octocrab's error for an answer of 500.
fn error_of(body: &str) -> GitHubError {
    let body = Full::new(Bytes::from(body.to_string())).map_err(|never| match never {}).boxed();
    let answer = Response::builder().status(500).body(body).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    match runtime.block_on(octocrab::map_github_error(answer)) {
        Err(octocrab::Error::GitHub { source, .. }) => *source,
        other => panic!("{other:?}"),
    }
}

#[test]
fn names_of_repositories_cannot_lead_elsewhere() {
    for (repository, want) in [
        ("acme/proj", Some(("acme", "proj"))),
        ("a-c_m.e/.github", Some(("a-c_m.e", ".github"))),
        ("a c/p", None),
        ("acme/p?x#y", None),
        ("acme", None),
        ("acme/..", None),
        ("acme/proj/../../user", None),
        ("/proj", None),
        ("acme/", None),
    ] {
        assert_eq!(owner_and_name("x", repository).ok(), want, "{repository}");
    }
    assert_eq!(segment("refs/heads/ä"), "refs%2Fheads%2F%C3%A4");
}

#[test]
fn permissions_are_named_as_a_workflow_writes_them() {
    for (header, needed, want) in [
        (
            Some("issues=write; pull_requests=write"),
            "pull-requests: write",
            &["pull-requests: write", "issues: write"][..],
        ),
        (
            Some("contents=read,deployments=write"),
            "deployments: write",
            &["contents: read, deployments: write"],
        ),
        (Some(""), "statuses: write", &["statuses: write"]),
        (None, "statuses: write", &["statuses: write"]),
    ] {
        let given: Vec<_> =
            header.map(|value| ("x-accepted-github-permissions", value)).into_iter().collect();
        assert_eq!(accepted_permissions(&headers(&given), needed), want, "{header:?}");
    }
}

#[test]
fn messages_are_short_and_cannot_command() {
    for (body, want) in [
        (
            r#"{"message": "Validation Failed", "errors": [{"message": "too long"}, "odd", {"code": "x"}]}"#,
            "Validation Failed; too long; odd",
        ),
        ("<html>\n\n::error::x", "<html> | ::error::x"),
        ("", ""),
    ] {
        assert_eq!(message_of(&error_of(body)), want, "{body}");
    }
    assert_eq!(message_of(&error_of(&"x".repeat(5000))).len(), 200);
}
