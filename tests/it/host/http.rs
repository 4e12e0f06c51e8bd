//! The HTTP client and downloads against a server that misbehaves.

use crate::support::recording_clock::{Heard, RecordingClock, host_in};
use crate::support::said::plain;
use crate::support::scripted_server::{Delivery, Reply, ScriptedServer, refusing_url};
use pexpress::cache::Cache;
use pexpress::error::error_text;
use pexpress::net::agent::Timeouts;
use pexpress::net::download::{DownloadError, Stored, Wanted};
use pexpress::net::retry::Backoff;
use pexpress::net::{Agent, Credentials, Downloader, Error, IndexUrl, Request, Secret, Silent, Transience};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use url::Url;

const BODY: &str = "the bytes of a wheel";
const QUICK: Timeouts = Timeouts { connect: Duration::from_secs(5), silence: Duration::from_millis(200) };

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A downloader with everything around it.
struct Fixture {
    dir: tempfile::TempDir,
    clock: Arc<RecordingClock>,
    heard: Heard,
    downloader: Downloader,
    credentials: Credentials,
}

impl Fixture {
    fn new() -> Fixture {
        Fixture::with(&[], &[])
    }

    fn with(env: &[(&str, &str)], indexes: &[&str]) -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let (host, clock, heard) = host_in(dir.path(), env);
        let agent = Agent::with_timeouts(&host, QUICK);
        let downloader = Downloader::new(&host, &agent).with_backoff(Backoff::DOWNLOAD.without_jitter());
        let indexes: Vec<_> =
            indexes.iter().map(|url| IndexUrl { name: None, url: (*url).to_string() }).collect();
        let credentials = Credentials::new(&host, &indexes);
        Fixture { dir, clock, heard, downloader, credentials }
    }

    fn get(&self, url: &str, sha256: Option<&str>, size: Option<u64>) -> Result<Stored, DownloadError> {
        let wanted = Wanted { file_name: "a-1-py3-none-any.whl", url, sha256, size_bytes: size };
        self.downloader.get(&wanted, &self.credentials, &Silent)
    }

    /// What is in the cache.
    fn cached(&self) -> Vec<PathBuf> {
        fn collect(dir: &Path, into: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(dir).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() { collect(&path, into) } else { into.push(path) }
            }
        }
        let mut files = Vec::new();
        collect(&self.dir.path().join("cache"), &mut files);
        // Locks of the cache, without content.
        files.retain(|path| !path.file_name().unwrap().to_string_lossy().starts_with('.'));
        files
    }
}

#[test]
fn a_download_ends_in_the_cache_and_is_not_repeated() {
    let server = ScriptedServer::new([(200, BODY)]);
    let fixture = Fixture::new();
    let digest = sha256(BODY.as_bytes());
    let stored = fixture.get(&server.url("/a.whl"), Some(&digest), Some(BODY.len() as u64)).unwrap();
    assert_eq!(std::fs::read_to_string(&stored.path).unwrap(), BODY);
    assert_eq!(fixture.cached(), std::slice::from_ref(&stored.path));
    assert!(!stored.was_cached);
    let again = fixture.get(&server.url("/a.whl"), Some(&digest.to_uppercase()), None).unwrap();
    assert_eq!((again.path, again.was_cached, server.requests().len()), (stored.path, true, 1));
    let request = &server.requests()[0];
    assert_eq!(request.header("user-agent"), Some(concat!("pexpress/", env!("CARGO_PKG_VERSION"))));
    assert_eq!((request.header("accept-encoding"), request.header("authorization")), (None, None));
}

#[test]
fn transient_failures_are_retried_and_lasting_ones_are_not() {
    let reply = |status| Reply::new(status, "no");
    let whole = || Reply::new(200, BODY);
    for (script, pauses, outcome) in [
        (vec![reply(503), reply(500), whole()], vec![0.5, 1.0], Ok(())),
        (vec![reply(503).header("Retry-After", "7"), whole()], vec![7.0], Ok(())),
        (
            vec![reply(429).header("Retry-After", "Sun, 06 Nov 1994 08:50:07 GMT"), whole()],
            vec![30.0],
            Ok(()),
        ),
        (vec![whole().delivered(Delivery::Truncated(5)), whole()], vec![0.5], Ok(())),
        (vec![whole().delivered(Delivery::Reset(5)), whole()], vec![0.5], Ok(())),
        (vec![whole().delivered(Delivery::ResetAtOnce), whole()], vec![0.5], Ok(())),
        (vec![whole().delivered(Delivery::Stalled(5)), whole()], vec![0.5], Ok(())),
        (vec![whole().delivered(Delivery::Silent), whole()], vec![0.5], Ok(())),
        (vec![whole().delivered(Delivery::Chunked(3))], vec![], Ok(())),
        (vec![reply(404), whole()], vec![], Err("answered 404 Not Found")),
        (vec![reply(401), whole()], vec![], Err("answered 401 Unauthorized")),
        (vec![reply(204), whole()], vec![], Err("answered 204 No Content")),
        (
            vec![reply(500), reply(502), reply(503), reply(504), reply(408), whole()],
            vec![0.5, 1.0, 2.0, 4.0],
            Err("answered 408 Request Timeout"),
        ),
    ] {
        let label = format!("{script:?}");
        let server = ScriptedServer::new(script);
        let fixture = Fixture::new();
        let result = fixture.get(&server.url("/a.whl"), Some(&sha256(BODY.as_bytes())), None);
        assert_eq!(fixture.clock.slept(), pauses, "{label}");
        match (result, outcome) {
            (Ok(stored), Ok(())) => assert_eq!(fixture.cached(), [stored.path], "{label}"),
            (Err(error), Err(want)) => {
                let text = error_text(&error, false);
                assert!(text.contains(want), "{label}: {text}");
                assert!(fixture.cached().is_empty(), "{label}");
            }
            (result, _) => panic!("{label}: {result:?}"),
        }
    }
}

#[test]
fn a_file_with_another_digest_is_refused_and_not_kept() {
    let server = ScriptedServer::new([(200, "something else")]);
    let fixture = Fixture::new();
    let want = sha256(BODY.as_bytes());
    let error = fixture.get(&server.url("/a.whl?token=abc"), Some(&want), None).unwrap_err();
    let got = sha256(b"something else");
    assert_eq!(
        error.to_string(),
        format!(
            "`a-1-py3-none-any.whl` from {}?*** has the SHA-256 {got} and should have {want}",
            server.url("/a.whl")
        )
    );
    assert!(fixture.cached().is_empty());
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn nothing_longer_than_announced_by_the_index_is_taken() {
    let server = ScriptedServer::new([(200, BODY)]);
    let fixture = Fixture::new();
    let error = fixture.get(&server.url("/a.whl"), None, Some(3)).unwrap_err();
    insta::assert_snapshot!(plain(&error_text(&error, false)), @r#"
    error: could not download `a-1-py3-none-any.whl`
      caused by: the answer of http://127.0.0.1:[PORT]/a.whl is longer than the [SIZE] expected
    "#);
    assert!(fixture.cached().is_empty());
}

#[test]
fn a_damaged_file_in_the_cache_is_downloaded_again() {
    let server = ScriptedServer::new([(200, BODY)]);
    let fixture = Fixture::new();
    let digest = sha256(BODY.as_bytes());
    let (host, ..) = host_in(fixture.dir.path(), &[]);
    let path = Cache::new(&host).wheel_path(&digest, "a-1-py3-none-any.whl");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, BODY.replace("bytes", "bytfs")).unwrap();
    let stored = fixture.get(&server.url("/a.whl"), Some(&digest), None).unwrap();
    assert_eq!(std::fs::read_to_string(&stored.path).unwrap(), BODY);
    insta::assert_snapshot!(plain(&fixture.heard.text()), @"warning: `cache/wheels/31/[HASH]/a-1-py3-none-any.whl` is damaged and is downloaded again");
}

#[test]
fn local_files_are_copied_by_their_digest() {
    let fixture = Fixture::new();
    let source = fixture.dir.path().join("ä b-1-py3-none-any.whl");
    std::fs::write(&source, BODY).unwrap();
    let url = Url::from_file_path(&source).unwrap();
    let stored = fixture.get(url.as_str(), None, None).unwrap();
    assert_eq!(stored.sha256, sha256(BODY.as_bytes()));
    std::fs::write(&source, "changed").unwrap();
    assert_eq!(std::fs::read_to_string(&stored.path).unwrap(), BODY);
    for (url, want) in [
        ("file:///missing/x.whl", "could not read `/missing/x.whl`"),
        ("ftp://x/y", "has no URL"),
        ("x y", "has no URL"),
    ] {
        let error = fixture.get(url, None, None).unwrap_err();
        assert!(error.to_string().contains(want), "{error}");
    }
}

#[test]
fn threads_that_want_the_same_file_share_one_download() {
    let server = ScriptedServer::new([(200, BODY)]);
    let fixture = Fixture::new();
    let digest = sha256(BODY.as_bytes());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| fixture.get(&server.url("/a.whl"), Some(&digest), None).unwrap());
        }
    });
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn credentials_go_to_their_origin_and_not_along_a_redirect() {
    let elsewhere = ScriptedServer::new([(200, BODY)]);
    let target = elsewhere.url("/file");
    let server = ScriptedServer::new([
        Reply::new(302, "").header("Location", "/moved"),
        Reply::new(307, "").header("Location", target),
    ]);
    let index = server.url("/simple").replace("http://", "http://me:secret@");
    let fixture = Fixture::with(&[], &[&index]);
    fixture.get(&server.url("/a.whl"), None, None).unwrap();
    let basic = Some("Basic bWU6c2VjcmV0");
    let seen: Vec<_> = server.requests().into_iter().chain(elsewhere.requests()).collect();
    let seen: Vec<_> = seen.iter().map(|r| (r.target.as_str(), r.header("authorization"))).collect();
    assert_eq!(seen, [("/a.whl", basic), ("/moved", basic), ("/file", None)]);
}

#[test]
fn netrc_supplies_credentials() {
    let server = ScriptedServer::new([(200, BODY)]);
    let fixture = Fixture::with(&[("NETRC", "my.netrc")], &[]);
    // Credentials are read when made, so the file has to be there first.
    std::fs::write(fixture.dir.path().join("my.netrc"), "machine 127.0.0.1 login me password secret")
        .unwrap();
    let (host, ..) = host_in(fixture.dir.path(), &[("NETRC", "my.netrc")]);
    let fixture = Fixture { credentials: Credentials::new(&host, &[]), ..fixture };
    fixture.get(&server.url("/a.whl"), None, None).unwrap();
    assert_eq!(server.requests()[0].header("authorization"), Some("Basic bWU6c2VjcmV0"));
}

#[test]
fn credentials_are_not_sent_unencrypted_over_a_network() {
    let proxy = ScriptedServer::new([(200, BODY)]);
    let proxy_url = proxy.url("");
    let url = "http://me:secret@index.example/a.whl";
    let refused = Fixture::with(&[("HTTP_PROXY", &proxy_url)], &[]).get(url, None, None).unwrap_err();
    assert_eq!(
        error_text(&refused, false),
        "error: could not download `a-1-py3-none-any.whl`\n  \
         caused by: refused to send credentials to http://index.example/a.whl without encryption\n\
         hint: use https, or list the host in UV_INSECURE_HOST if its network is trusted"
    );
    assert!(proxy.requests().is_empty());
    let trusting = [("HTTP_PROXY", proxy_url.as_str()), ("UV_INSECURE_HOST", "index.example")];
    Fixture::with(&trusting, &[]).get(url, None, None).unwrap();
    assert_eq!(proxy.requests()[1].header("authorization"), Some("Basic bWU6c2VjcmV0"));
}

#[test]
fn the_proxy_of_the_environment_is_used_and_exceptions_are_not() {
    let proxy = ScriptedServer::answering(|_| Reply::new(200, BODY));
    let proxy_url = proxy.url("").replace("http://", "http://pme:ppw@");
    let fixture = Fixture::with(&[("http_proxy", &proxy_url), ("NO_PROXY", "127.0.0.0/8")], &[]);
    fixture.get("http://index.example/a.whl", None, None).unwrap();
    let requests = proxy.requests();
    assert_eq!(requests[0].method, "CONNECT");
    assert_eq!(requests[0].target, "index.example:80");
    assert_eq!(requests[0].header("proxy-authorization"), Some("Basic cG1lOnBwdw=="));
    assert_eq!(requests[1].target, "/a.whl");
    let direct = ScriptedServer::new([(200, BODY)]);
    fixture.get(&direct.url("/b.whl"), None, None).unwrap();
    assert_eq!((direct.requests().len(), proxy.requests().len()), (1, 2));
}

#[test]
fn connections_are_reused() {
    let server = ScriptedServer::answering(|_| Reply::new(200, BODY));
    let fixture = Fixture::new();
    for path in ["/1", "/2", "/3"] {
        fixture.get(&server.url(path), None, None).unwrap();
    }
    let connections: Vec<_> = server.requests().iter().map(|request| request.connection).collect();
    assert_eq!(connections, [0, 0, 0]);
}

#[test]
fn bodies_are_sent_with_their_length_and_redirects_of_them_are_left_to_the_caller() {
    let server = ScriptedServer::new([
        Reply::new(200, ""),
        Reply::new(200, ""),
        Reply::new(307, "").header("Location", "/elsewhere"),
    ]);
    let dir = tempfile::tempdir().unwrap();
    let (host, ..) = host_in(dir.path(), &[]);
    let agent = Agent::new(&host);
    let url = Url::parse(&server.url("/x")).unwrap();
    let token = || Secret::new("t0ken");
    let mut file = std::io::Cursor::new(b"streamed".to_vec());
    agent.send(Request::put(&url, &mut file, 8)).unwrap();
    let posted = Request::post(&url, b"{}").header("Content-Type", "application/json");
    agent.send(posted.secret_header("Dagster-Cloud-Api-Token", token())).unwrap();
    let redirected = agent.send(Request::post(&url, b"{}").secret_header("Dagster-Cloud-Api-Token", token()));
    assert_eq!(redirected.unwrap().status, 307);
    let requests = server.requests();
    let received: Vec<_> = requests
        .iter()
        .map(|r| (r.method.as_str(), r.header("content-length"), String::from_utf8_lossy(&r.body)))
        .collect();
    assert_eq!(
        received,
        [
            ("PUT", Some("8"), "streamed".into()),
            ("POST", Some("2"), "{}".into()),
            ("POST", Some("2"), "{}".into())
        ]
    );
    assert_eq!(requests[1].header("dagster-cloud-api-token"), Some("t0ken"));
}

#[test]
fn failures_say_whether_the_server_may_have_acted() {
    let post = |url: &str| {
        let dir = tempfile::tempdir().unwrap();
        let (host, ..) = host_in(dir.path(), &[]);
        let response =
            Agent::with_timeouts(&host, QUICK).send(Request::post(&Url::parse(url).unwrap(), b"{}"))?;
        response.into_bytes(1000).map(drop)
    };
    let answer = |delivery| ScriptedServer::new([Reply::new(200, BODY).delivered(delivery)]);
    assert_eq!(post(&refusing_url()).unwrap_err().transience(), Transience::Unanswered);
    for (delivery, want) in [
        (Delivery::ResetAtOnce, Transience::Unanswered),
        (Delivery::Silent, Transience::Ambiguous),
        (Delivery::Truncated(3), Transience::Ambiguous),
        (Delivery::Stalled(3), Transience::Ambiguous),
    ] {
        let error = post(&answer(delivery).url("/")).unwrap_err();
        assert_eq!(error.transience(), want, "{delivery:?}: {error:?}");
    }
    assert!(matches!(post(&answer(Delivery::Silent).url("/")), Err(Error::TimedOut { .. })));
    assert!(matches!(post(&answer(Delivery::Stalled(3)).url("/")), Err(Error::TimedOut { .. })));
}

#[test]
fn redirects_end_and_stay_encrypted() {
    let server = ScriptedServer::answering(|_| Reply::new(302, "").header("Location", "/again"));
    let dir = tempfile::tempdir().unwrap();
    let (host, ..) = host_in(dir.path(), &[]);
    let get = |url: &str| Agent::new(&host).send(Request::get(&Url::parse(url).unwrap())).map(|r| r.status);
    let error = get(&server.url("/")).unwrap_err();
    assert!(error.to_string().ends_with("too many redirects in a row"), "{error}");
    assert_eq!(server.requests().len(), 11);
    let away = ScriptedServer::new([Reply::new(302, "").header("Location", "file:///etc/passwd")]);
    let error = get(&away.url("/")).unwrap_err();
    assert!(error.to_string().ends_with("that is neither http nor https"), "{error}");
}
