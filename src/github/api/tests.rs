use super::*;
use crate::net::tests::host;
use std::path::Path;

fn github(api_url: &str) -> Github {
    let host = host(Path::new("/"), &[]);
    Github::new(api_url, Secret::new("ghs_word"), &Agent::new(&host), &host)
}

fn answered(status: u16, headers: &[(&'static str, &str)], body: &str) -> Answered {
    let headers = headers.iter().map(|(name, value)| {
        (ureq::http::HeaderName::from_static(name), ureq::http::HeaderValue::from_str(value).unwrap())
    });
    Answered { status, headers: headers.collect(), body: body.as_bytes().to_vec() }
}

#[test]
fn addresses_are_appended_and_their_segments_encoded() {
    for (api, repository, segments, want) in [
        (
            "https://h/api/v3/",
            "acme/proj",
            &["pulls", "7"][..],
            Some("https://h/api/v3/repos/acme/proj/pulls/7"),
        ),
        (
            "https://h",
            "a c/p?x#y",
            &["commits", "refs/heads/ä"],
            Some("https://h/repos/a%20c/p%3Fx%23y/commits/refs%2Fheads%2F%C3%A4"),
        ),
        ("https://h", "acme", &[], None),
        ("https://h", "acme/..", &[], None),
        ("https://h", "acme/proj/../../user", &[], None),
        ("https://h", "/proj", &[], None),
        ("", "acme/proj", &[], None),
        ("file:///x", "acme/proj", &[], None),
    ] {
        let url = github(api).repository_url("x", repository, segments, &[]);
        assert_eq!(url.ok().map(String::from).as_deref(), want, "{api} {repository}");
    }
    let query = [("environment", "pr/7 &x"), ("per_page", "100")];
    let url = github("https://h").repository_url("x", "a/b", &["deployments"], &query).unwrap();
    assert_eq!(url.query(), Some("environment=pr%2F7+%26x&per_page=100"));
}

#[test]
fn only_next_is_followed_and_as_it_came() {
    for (link, want) in [
        (
            r#"<https://h/repositories/1/issues/7/comments?per_page=100&page=2>; rel="next", <https://h/x?page=9>; rel="last""#,
            Some("https://h/repositories/1/issues/7/comments?per_page=100&page=2"),
        ),
        (r#"<https://h/x?page=1>; rel="prev", <https://h/x?page=3>; rel="next""#, Some("https://h/x?page=3")),
        (r#"<https://h/x?page=1>; rel="first""#, None),
        (r#"<not a url>; rel="next""#, None),
        ("nonsense", None),
    ] {
        let headers = answered(200, &[("link", link)], "").headers;
        assert_eq!(next_page(&headers).map(String::from).as_deref(), want, "{link}");
    }
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
        let headers: Vec<_> =
            header.map(|value| ("x-accepted-github-permissions", value)).into_iter().collect();
        assert_eq!(accepted_permissions(&answered(403, &headers, ""), needed), want, "{header:?}");
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
        (r#"{"message": null}"#, ""),
        ("[]", ""),
    ] {
        assert_eq!(message_of(body.as_bytes()), want, "{body}");
    }
    assert_eq!(message_of("x".repeat(5000).as_bytes()).len(), 200);
}
