//! Credentials go only to their own server, encrypted or within this machine.
//!
//! For package indexes: `http.rs::credentials_go_to_their_origin_and_not_along_a_redirect` and its neighbour. For
//! GitHub with redirects: `github/refusals.rs::the_token_stays_with_the_server_it_was_given_for`.

use crate::support::github_rows::add_row;
use crate::support::recording_clock::host_in;
use crate::support::said::plain;
use crate::support::scripted_server::{Reply, ScriptedServer};
use pexpress::dagster::Client;
use pexpress::dagster::artifacts::Content;
use pexpress::dagster::operations::Method;
use pexpress::error::error_text;
use pexpress::github::api::Github;
use pexpress::host::Host;
use pexpress::net::{Agent, Secret, Silent};
use pexpress::target::PythonVersion;
use serde_json::json;

const TOKEN: &str = "user:canary-of-the-organization";
const SIGNATURE: &str = "canary-of-a-signature";

fn dagster(address: &str, host: &Host) -> Client {
    Client::new(host, &Agent::new(host), address, Secret::new(TOKEN), PythonVersion::DEFAULT)
}

/// A Dagster+ that answers with this URL and a signature.
fn giving_url(url: &str) -> ScriptedServer {
    let answer =
        json!({"data": {"generateServerlessPexUrl": [{"url": format!("{url}?X-Signature={SIGNATURE}")}]}});
    ScriptedServer::answering(move |_| {
        Reply::new(200, answer.to_string()).header("Content-Type", "application/json")
    })
}

/// Everything that a server received.
fn heard(server: &ScriptedServer) -> String {
    format!("{:?}", server.requests())
}

#[test]
fn presigned_urls_are_not_followed_unencrypted() {
    let (proxy, at_home) = (ScriptedServer::new([(200, "")]), giving_url("http://store.example/deps.pex"));
    let dir = tempfile::tempdir().unwrap();
    let (host, ..) = host_in(dir.path(), &[("HTTP_PROXY", &proxy.url("")), ("NO_PROXY", "127.0.0.1")]);
    let client = dagster(&at_home.url(""), &host);
    let url = |method| client.presigned_url("deps.pex", method).unwrap();
    let errors = [
        client.upload("deps.pex", Content::Text("bytes"), url(Method::Put), &Silent).unwrap_err(),
        client.stored("deps.pex", &url(Method::Get)).unwrap_err(),
        client.download_text("deps.pex", &url(Method::Get)).unwrap_err(),
        client.piece("deps.pex", &url(Method::Get), None, 10).unwrap_err(),
    ];
    insta::assert_snapshot!(plain(&error_text(&errors[0], false)), @r#"
    error: could not upload `deps.pex`
      caused by: refused to send credentials to http://store.example/deps.pex?*** without encryption
    hint: use https, or list the host in UV_INSECURE_HOST if its network is trusted
    "#);
    for error in errors {
        let text = error_text(&error, false);
        assert!(text.contains("http://store.example/deps.pex?***"), "{text}");
        assert!(!format!("{text}{error:?}").contains(SIGNATURE), "{text} {error:?}");
    }
    assert_eq!(heard(&proxy), "[]");
}

#[test]
fn tokens_are_not_sent_unencrypted() {
    let proxy = ScriptedServer::new([(200, "")]);
    let dir = tempfile::tempdir().unwrap();
    let (host, ..) = host_in(dir.path(), &[("HTTP_PROXY", &proxy.url(""))]);
    let error = dagster("http://dagster.example", &host).presigned_url("a", Method::Put).unwrap_err();
    insta::assert_snapshot!(plain(&error_text(&error, false)), @r#"
    error: could not ask for upload URLs
      caused by: refused to send credentials to http://dagster.example/graphql without encryption
    hint: use https, or list the host in UV_INSECURE_HOST if its network is trusted
    "#);
    let github = Github::new("http://github.example", Secret::new(TOKEN), &Agent::new(&host), &host);
    let error = add_row(&github, "mine").unwrap_err();
    insta::assert_snapshot!(plain(&error_text(&error, false)), @r#"
    error: could not ask GitHub whose token this is
      caused by: refused to send credentials to http://github.example/user without encryption
    hint: the address of GitHub's API must begin with https://
    "#);
    assert_eq!(heard(&proxy), "[]");
}

#[test]
fn the_token_of_the_organization_and_the_files_follow_no_redirect() {
    let elsewhere = ScriptedServer::answering(|_| Reply::new(200, ""));
    let dir = tempfile::tempdir().unwrap();
    let (host, ..) = host_in(dir.path(), &[]);
    for status in [301, 302, 303, 307, 308] {
        let target = elsewhere.url("/x");
        let leading =
            ScriptedServer::answering(move |_| Reply::new(status, "").header("Location", target.clone()));
        dagster(&leading.url(""), &host).presigned_url("a", Method::Put).unwrap_err();
        assert!(heard(&leading).contains(TOKEN));
        let at_home = giving_url(&leading.url("/store"));
        let client = dagster(&at_home.url(""), &host);
        let url = client.presigned_url("a", Method::Put).unwrap();
        let error = client.upload("a", Content::Text("bytes"), url, &Silent).unwrap_err();
        assert!(!error_text(&error, false).contains(SIGNATURE), "{error:?}");
    }
    assert_eq!(heard(&elsewhere), "[]");
}

#[test]
fn a_server_that_repeats_a_token_does_not_bring_it_into_a_message() {
    let repeating = |status, json: bool| {
        ScriptedServer::answering(move |request| {
            let token = ["dagster-cloud-api-token", "authorization"].map(|name| request.header(name));
            let echo = format!("no such token: {}", token.into_iter().flatten().collect::<String>());
            let text =
                if json { json!({"message": echo, "errors": [{"message": echo}]}).to_string() } else { echo };
            Reply::new(status, text)
        })
    };
    let dir = tempfile::tempdir().unwrap();
    let (host, ..) = host_in(dir.path(), &[]);
    for (status, json) in
        [(200, false), (200, true), (400, true), (403, true), (422, true), (500, false), (503, true)]
    {
        let server = repeating(status, json);
        let error = dagster(&server.url(""), &host).presigned_url("a", Method::Put).unwrap_err();
        let github = Github::new(&server.url(""), Secret::new(TOKEN), &Agent::new(&host), &host);
        let other = add_row(&github, "mine").unwrap_err();
        let said = format!("{} {error:?} {} {other:?}", error_text(&error, false), error_text(&other, false));
        assert!(!said.contains("canary"), "{status}: {said}");
        assert!(heard(&server).contains(TOKEN));
    }
}

#[test]
fn redirects_of_the_store_get_no_token() {
    let elsewhere = ScriptedServer::answering(|_| Reply::new(200, "text"));
    let target = elsewhere.url("/x");
    let leading = ScriptedServer::answering(move |_| Reply::new(302, "").header("Location", target.clone()));
    let at_home = giving_url(&leading.url("/store"));
    let dir = tempfile::tempdir().unwrap();
    let (host, ..) = host_in(dir.path(), &[]);
    let client = dagster(&at_home.url(""), &host);
    let url = client.presigned_url("a", Method::Get).unwrap();
    assert_eq!(client.download_text("a", &url).unwrap().as_deref(), Some("text"));
    assert!(heard(&at_home).contains(TOKEN) && heard(&leading).contains(SIGNATURE));
    for server in [&leading, &elsewhere] {
        assert!(!heard(server).contains(TOKEN), "{}", heard(server));
    }
    assert!(!heard(&elsewhere).contains(SIGNATURE), "{}", heard(&elsewhere));
}
