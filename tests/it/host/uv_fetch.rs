//! Fetching uv by our own client: from which index, with which credentials, and what happens when that fails.
//!
//! No stand-in has the pinned wheel. That a file was taken shows in the error about its digest.

use crate::support::hosts::host_with;
use crate::support::recording_clock::host_in;
use crate::support::said::{messages, plain};
use crate::support::scripted_server::{Delivery, Recorded, Reply, ScriptedServer};
use crate::support::{pexpress, write_executable};
use pexpress::error::{Explain, Fault, error_text};
use pexpress::tools::uv_pins::{self, Pin};
use pexpress::tools::{Error, Tools};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::process::Command;

const WHEEL: &[u8] = b"not the wheel";
const JSON: &str = "application/vnd.pypi.simple.v1+json";

fn pin() -> &'static Pin {
    uv_pins::here().unwrap()
}

fn file_name() -> String {
    format!("uv-{}-py3-none-{}.whl", uv_pins::VERSION, pin().platform_tag)
}

/// A page with this fragment behind the link.
fn html(fragment: &str) -> Reply {
    let name = file_name();
    let page = format!("<!DOCTYPE html><html><a href=\"/files/{name}{fragment}\">{name}</a></html>");
    Reply::new(200, page).header("Content-Type", "text/html")
}

fn json(digest: &str) -> Reply {
    let file = format!(
        r#"{{"filename": "{}", "url": "../../files/{0}", "hashes": {{"sha256": "{digest}"}}, "yanked": true}}"#,
        file_name()
    );
    let page = format!(r#"{{"meta": {{"api-version": "1.1"}}, "name": "uv", "files": [{file}]}}"#);
    Reply::new(200, page).header("Content-Type", JSON)
}

/// An index whose page is `page`, and whose file is [`WHEEL`].
fn index(page: Reply) -> ScriptedServer {
    ScriptedServer::answering(move |request| match request.target.as_str() {
        "/simple/uv/" => page.clone(),
        target if target.starts_with("/files/") => Reply::new(200, WHEEL),
        _ => Reply::new(404, ""),
    })
}

/// The error of a machine with these variables and nothing on `PATH`.
fn error_with(dir: &Path, vars: &[(&str, &str)]) -> Error {
    let (host, _, _) =
        host_in(dir, &[&[("HOME", dir.to_str().unwrap()), ("PATH", "/nowhere")], vars].concat());
    let error = Tools::new(&host).uv().unwrap_err();
    let left = std::fs::read_dir(dir.join("cache/uv")).into_iter().flatten().count();
    assert_eq!(left, 0, "something was left in the cache");
    error
}

/// Whether [`WHEEL`] was downloaded, and refused for its digest.
fn is_taken(error: &Error) -> bool {
    let digest: String = Sha256::digest(WHEEL).iter().map(|byte| format!("{byte:02x}")).collect();
    matches!(error, Error::Checksum { got, .. } if *got == digest)
}

fn said(error: &Error) -> String {
    plain(&error_text(error, false))
}

#[test]
fn the_index_that_settings_name_is_asked_for_html_or_json() {
    let with_digest = format!("#sha256={}", pin().wheel_sha256);
    for page in [html(&with_digest), json(pin().wheel_sha256), html("")] {
        let dir = tempfile::tempdir().unwrap();
        let server = index(page);
        let url = server.url("/simple");
        std::fs::create_dir_all(dir.path().join(".config/uv")).unwrap();
        let conf = format!("[global]\nindex-url = {url}\n");
        std::fs::write(dir.path().join("pip.conf"), conf).unwrap();
        std::fs::write(dir.path().join("uv.toml"), format!("[[index]]\nurl = '{url}'\ndefault = true\n"))
            .unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
        for (name, value) in [
            ("UV_DEFAULT_INDEX", url.clone()),
            ("UV_INDEX_URL", url.clone()),
            ("UV_EXTRA_INDEX_URL", url.clone()),
            ("PIP_INDEX_URL", url.clone()),
            ("PIP_FIND_LINKS", format!("{url}/uv/")),
            ("PIP_CONFIG_FILE", path("pip.conf")),
            ("UV_CONFIG_FILE", path("uv.toml")),
        ] {
            let error = error_with(dir.path(), &[(name, &value)]);
            assert!(is_taken(&error), "{name}: {}", said(&error));
        }
        let request = &server.requests()[0];
        assert!(request.header("accept").unwrap().starts_with(JSON), "{request:?}");
    }
}

#[test]
fn without_settings_the_index_is_the_default_of_pip_which_does_not_run() {
    let dir = tempfile::tempdir().unwrap();
    let server = index(json(pin().wheel_sha256));
    let models = dir.path().join("usr/lib/python3/dist-packages/pip/_internal/models");
    std::fs::create_dir_all(&models).unwrap();
    std::fs::create_dir(dir.path().join("usr/bin")).unwrap();
    let text = format!("PyPI = PackageIndex(\"{}\", file_storage_domain=\"\")\n", server.url("/"));
    std::fs::write(models.join("index.py"), text).unwrap();
    let (python, log) = (dir.path().join("usr/bin/python3"), dir.path().join("ran"));
    write_executable(&python, &format!("#!/bin/sh\ntouch '{}'\nexit 1\n", log.display()));
    let path = dir.path().join("usr/bin").to_str().unwrap().to_string();
    let error = error_with(dir.path(), &[("PATH", &path)]);
    assert!(is_taken(&error), "{}", said(&error));
    assert!(!log.exists(), "python3 was started");
}

#[test]
fn faults_of_the_network_are_retried_and_others_are_not() {
    let whole = |request: &Recorded| match request.target.as_str() {
        "/simple/uv/" => json(pin().wheel_sha256),
        _ => Reply::new(200, WHEEL),
    };
    let cut = |length| move |reply: Reply| reply.delivered(Delivery::Truncated(length));
    type Change = Box<dyn Fn(Reply) -> Reply + Send + Sync>;
    let faults: [(&str, Change, usize); 6] = [
        ("/simple", Box::new(cut(30)), 1),
        ("/files", Box::new(cut(5)), 1),
        ("/simple", Box::new(|reply: Reply| reply.delivered(Delivery::Reset(7))), 2),
        ("/files", Box::new(|reply: Reply| reply.delivered(Delivery::ResetAtOnce)), 3),
        ("/simple", Box::new(|_| Reply::new(503, "")), 4),
        ("/files", Box::new(|_| Reply::new(429, "")), 2),
    ];
    for (place, change, times) in faults {
        let left = std::sync::atomic::AtomicUsize::new(times);
        let server = ScriptedServer::answering(move |request| {
            let fails = request.target.starts_with(place)
                && left.fetch_update(SEQ, SEQ, |left| left.checked_sub(1)).is_ok();
            if fails { change(whole(request)) } else { whole(request) }
        });
        let dir = tempfile::tempdir().unwrap();
        let error = error_with(dir.path(), &[("UV_DEFAULT_INDEX", &server.url("/simple"))]);
        assert!(is_taken(&error), "{place} {times}: {}", said(&error));
        assert_eq!(server.requests().len(), 2 + times, "{place}");
    }
}

const SEQ: std::sync::atomic::Ordering = std::sync::atomic::Ordering::SeqCst;

#[test]
fn what_the_index_refuses_or_does_not_have_is_said() {
    let error_of = |page: Reply| {
        let server = index(page);
        let dir = tempfile::tempdir().unwrap();
        let error = error_with(dir.path(), &[("UV_DEFAULT_INDEX", &server.url("/simple"))]);
        assert_eq!(error.fault(), Fault::Remote);
        said(&error)
    };
    insta::assert_snapshot!(error_of(Reply::new(404, "")), @r"
    error: could not fetch uv 0.13.9
      caused by: could not read the files of `uv` on the package index
      caused by: http://127.0.0.1:[PORT]/simple/uv/ answered 404 Not Found
    hint: let the index mirror this release of uv unchanged; or install uv, or set PEXPRESS_UV
    ");
    insta::assert_snapshot!(error_of(Reply::new(401, "")), @r"
    error: could not fetch uv 0.13.9
      caused by: could not read the files of `uv` on the package index
      caused by: http://127.0.0.1:[PORT]/simple/uv/ answered 401 Unauthorized
    hint: check the credentials: in the index URL, in UV_INDEX_NAME_USERNAME and UV_INDEX_NAME_PASSWORD, or in the file NETRC names
    ");
    insta::assert_snapshot!(error_of(json(&"0".repeat(64))), @r"
    error: could not fetch uv 0.13.9
      caused by: http://127.0.0.1:[PORT]/simple has no uv 0.13.9 for [PLATFORM] with the pinned SHA-256 [HASH]
    hint: let the index mirror this release of uv unchanged; or install uv, or set PEXPRESS_UV
    ");
    insta::assert_snapshot!(error_of(Reply::new(200, "Sign in").header("Content-Type", "text/plain")), @r"
    error: could not fetch uv 0.13.9
      caused by: http://127.0.0.1:[PORT]/simple/uv/ is not a page of a package index: it is neither HTML nor JSON
    hint: check the URL of the index: it mostly ends in `/simple`
    ");
    insta::assert_snapshot!(error_of(Reply::new(200, "{}").header("Content-Type", JSON)), @r"
    error: could not fetch uv 0.13.9
      caused by: http://127.0.0.1:[PORT]/simple/uv/ is not a page of a package index: missing field `files` at line 1 column 2
    hint: check the URL of the index: it mostly ends in `/simple`
    ");
    let server = index(json(pin().wheel_sha256));
    let dir = tempfile::tempdir().unwrap();
    let error = error_with(dir.path(), &[("UV_DEFAULT_INDEX", &server.url("/simple"))]);
    assert_eq!(error.fault(), Fault::Tool);
    insta::assert_snapshot!(said(&error), @r"
    error: `uv-0.13.9-py3-none-[PLATFORM].whl` has SHA-256 [HASH] instead of [HASH]; it was not used
    hint: the index or a proxy returned a different file; set PEXPRESS_UV to a uv that you trust
    ");
}

#[test]
fn credentials_go_to_their_own_host_alone() {
    let files = ScriptedServer::answering(|_| Reply::new(200, WHEEL));
    // Another name of this machine, and so another host.
    let elsewhere = files.url("/x.whl").replace("127.0.0.1", "localhost");
    let server = ScriptedServer::answering(move |request| match request.header("authorization") {
        None => Reply::new(401, ""),
        Some(_) if request.target == "/simple/uv/" => json(pin().wheel_sha256),
        Some(_) => Reply::new(302, "").header("Location", &elsewhere),
    });
    let dir = tempfile::tempdir().unwrap();
    let url = server.url("/simple");
    std::fs::write(dir.path().join("netrc"), "machine 127.0.0.1 login me password pw\n").unwrap();
    let netrc = dir.path().join("netrc");
    let with_user = url.replace("http://", "http://me:pw@");
    for vars in [
        [("UV_DEFAULT_INDEX", url.as_str()), ("NETRC", netrc.to_str().unwrap())],
        [("PIP_INDEX_URL", with_user.as_str()), ("X", "")],
    ] {
        let error = error_with(dir.path(), &vars);
        assert!(is_taken(&error), "{vars:?}: {}", said(&error));
    }
    let sent = |server: &ScriptedServer| -> Vec<Option<String>> {
        server.requests().iter().map(|request| request.header("authorization").map(str::to_string)).collect()
    };
    assert_eq!(sent(&server), vec![Some("Basic bWU6cHc=".to_string()); 4]);
    assert_eq!(sent(&files), [None, None]);
}

#[test]
fn pip_is_the_last_way() {
    let dir = tempfile::tempdir().unwrap();
    let server = index(Reply::new(401, ""));
    let bin = dir.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let pip = "#!/bin/sh\nfor word; do [ \"$previous\" = --dest ] && dest=$word; previous=$word; done\nprintf 'not the wheel' > \"$dest/uv-0.13.9-py3-none-any.whl\"\n";
    write_executable(&bin.join("pip3"), pip);
    let vars =
        [("PIP_INDEX_URL", server.url("/simple")), ("PATH", format!("{}:/usr/bin:/bin", bin.display()))];
    let vars: Vec<_> = vars.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let error = error_with(dir.path(), &vars);
    assert!(is_taken(&error), "{}", said(&error));
}

/// The pinned wheel from the package index.
fn real_wheel(dir: &Path) -> Vec<u8> {
    let words = ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--platform"];
    let mut pip = Command::new("python3");
    pip.args(words).arg(pin().platform_tag).arg("--dest").arg(dir).arg(format!("uv=={}", uv_pins::VERSION));
    assert!(pip.status().unwrap().success());
    let wheel = std::fs::read_dir(dir).unwrap().next().unwrap().unwrap().path();
    std::fs::read(wheel).unwrap()
}

#[test]
#[ignore = "a package index"]
fn of_runs_that_start_at_once_one_fetches_uv() {
    let (dir, wheels) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let wheel = real_wheel(wheels.path());
    // uv itself then finds no Python and nothing on this index.
    let server = ScriptedServer::answering(move |request| match request.target.as_str() {
        "/simple/uv/" => json(pin().wheel_sha256),
        target if target.starts_with("/files/") => Reply::new(200, wheel.clone()),
        _ => Reply::new(404, ""),
    });
    let (cache, project) = (dir.path().join("cache"), dir.path().join("project"));
    std::fs::create_dir(&project).unwrap();
    std::fs::write(project.join("requirements.txt"), "dagster==1.13.27\n").unwrap();
    let starts = |number: usize| {
        let mut command = pexpress();
        command.arg("deps").arg(&project).arg(dir.path().join(number.to_string())).env_clear();
        command.env("HOME", dir.path()).env("PATH", "/nowhere").env("PEXPRESS_CACHE_DIR", &cache);
        command.env("UV_DEFAULT_INDEX", server.url("/simple")).env("UV_PYTHON_DOWNLOADS", "never");
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped()).spawn().unwrap()
    };
    let runs: Vec<_> = (0..4).map(starts).collect();
    for run in runs {
        let log = run.wait_with_output().unwrap().stderr;
        let log = String::from_utf8_lossy(&log);
        assert!(log.contains("`uv pip compile` exited"), "{}", messages(&log));
    }
    let asked = server.requests().into_iter().map(|request| request.target);
    let asked: Vec<_> = asked.filter(|target| target.contains("uv")).collect();
    assert_eq!(asked, ["/simple/uv/".to_string(), format!("/files/{}", file_name())]);
    let names: Vec<_> =
        std::fs::read_dir(cache.join("uv/0.13.9")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["uv"]);
    let host =
        host_with(dir.path(), &[("PEXPRESS_CACHE_DIR", cache.to_str().unwrap()), ("PATH", "/nowhere")]);
    assert_eq!(Tools::new(&host).uv().unwrap().version(), uv_pins::VERSION);
}
