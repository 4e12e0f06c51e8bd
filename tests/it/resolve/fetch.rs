//! Resolutions → wheels in the cache: downloads from a scripted server, builds by a fake uv, commits by the real git.

use crate::support::fake_uv::FakeUv;
use crate::support::recording_clock::host_in;
use crate::support::said::plain;
use crate::support::scripted_server::{Reply, ScriptedServer};
use crate::support::{environments, run, write_executable};
use pexpress::builder::fetch::Fetcher;
use pexpress::builder::fetch_error::FetchError;
use pexpress::builder::fetch_job::FetchedWheel;
use pexpress::error::error_text;
use pexpress::error::{Explain, Fault};
use pexpress::net::Silent;
use pexpress::project::ResolveSettings;
use pexpress::resolve::{Artifact, Distribution, Download, Resolution};
use pexpress::target::Target;
use pexpress::tools::Tools;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::Path;
use std::process::Command;

/// Builds a wheel (an empty archive) with the name in the file `name` of the source directory, or in
/// `$FAKE_UV_DIR/name`.
const BUILD: &str = r#"
while [ $# -gt 1 ]; do [ "$1" = --out-dir ] && out=$2; shift; done
mkdir -p "$out"
name=$(cat "$1/name" 2>/dev/null || cat "$FAKE_UV_DIR/name")
[ -n "$name" ] || { echo 'the backend is broken' >&2; exit 1; }
printf 'PK\005\006\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0' > "$out/$name"
"#;
/// What it builds.
const BUILT: &[u8] = b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
const PYTHON: &str = "#!/bin/sh\ncase \"$3\" in *sys.implementation*) printf 'cpython\\n3.11.9\\n-\\n%s\\n' \"$0\";; *) exec python3 \"$@\";; esac\n";

struct Fixture {
    dir: tempfile::TempDir,
    uv: FakeUv,
    tools: Tools,
}

impl Fixture {
    fn new() -> Fixture {
        Fixture::with(&[])
    }

    fn with(env: &[(&str, &str)]) -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let uv = FakeUv::new(dir.path(), BUILD);
        write_executable(&dir.path().join("python3.11"), PYTHON);
        let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap());
        let mut env = env.to_vec();
        env.extend([("PEXPRESS_UV", uv.program()), ("PATH", &path), ("PIP_CONFIG_FILE", "/dev/null")]);
        let (host, ..) = host_in(dir.path(), &env);
        Fixture { tools: Tools::new(&host), uv, dir }
    }

    /// What the fake uv builds.
    fn builds(self, file_name: &str) -> Fixture {
        std::fs::write(self.dir.path().join("name"), file_name).unwrap();
        self
    }

    /// Fetch like a separate run.
    fn fetch(&self, distributions: Vec<Distribution>) -> Result<Vec<FetchedWheel>, FetchError> {
        let target = Target::serverless("3.11".parse().unwrap());
        let resolution = Resolution { distributions };
        Fetcher::new(&self.tools).fetch(&resolution, target, &ResolveSettings::default(), &Silent)
    }

    fn builds_started(&self) -> usize {
        self.uv.calls().iter().filter(|call| call.starts_with("build ")).count()
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn download(server: &ScriptedServer, file_name: &str, content: &[u8]) -> Download {
    Download {
        file_name: file_name.into(),
        url: server.url(&format!("/{file_name}")),
        sha256: Some(sha256(content)),
        size_bytes: Some(content.len() as u64),
    }
}

fn distribution(name: &str, version: Option<&str>, artifact: Artifact) -> Distribution {
    Distribution { name: name.into(), version: version.map(String::from), artifact }
}

fn sdist(download: Download) -> Distribution {
    distribution("pkg", Some("1.0"), Artifact::Sdist { download, subdirectory: None })
}

/// A server that always answers with `content`.
fn serving(content: &'static [u8]) -> ScriptedServer {
    ScriptedServer::answering(move |_| Reply::new(200, content))
}

#[test]
fn wheels_come_in_the_order_of_the_resolution_and_are_fetched_largest_first() {
    let server =
        ScriptedServer::answering(|request| Reply::new(200, request.target.repeat(request.target.len())));
    let content = |name: &str| format!("/{name}").repeat(name.len() + 1).into_bytes();
    let names = [
        "a-1-py3-none-any.whl",
        "bbbbbbbbbb-1.0-py3-none-any.whl",
        "ccc-2-cp311-cp311-manylinux_2_17_x86_64.whl",
    ];
    let wheels = names.map(|name| {
        distribution(
            name.split('-').next().unwrap(),
            None,
            Artifact::Wheel(download(&server, name, &content(name))),
        )
    });
    let fixture = Fixture::with(&[("UV_CONCURRENT_DOWNLOADS", "1")]);
    let fetched = fixture.fetch(wheels.to_vec()).unwrap();
    let downloads: Vec<_> =
        fetched.iter().map(|w| (w.name.as_str(), w.version.as_str(), w.file_name.as_str())).collect();
    assert_eq!(downloads, [("a", "1", names[0]), ("bbbbbbbbbb", "1.0", names[1]), ("ccc", "2", names[2])]);
    for wheel in &fetched {
        assert_eq!(sha256(&std::fs::read(&wheel.path).unwrap()), wheel.sha256);
    }
    let asked: Vec<_> = server.requests().into_iter().map(|request| request.target).collect();
    assert_eq!(asked, [names[2], names[1], names[0]].map(|name| format!("/{name}")));
    assert_eq!(fixture.fetch(wheels.to_vec()).unwrap(), fetched);
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn a_wheel_for_another_target_is_refused() {
    let server = serving(b"w");
    for name in ["a-1-cp312-cp312-manylinux_2_17_x86_64.whl", "a-1-py3-none-win_amd64.whl"] {
        let wheel = distribution("a", Some("1"), Artifact::Wheel(download(&server, name, b"w")));
        let error = Fixture::new().fetch(vec![wheel]).unwrap_err();
        assert_eq!(
            error_text(&error, false),
            format!(
                "error: the wheel `{name}` does not run on Python 3.11 and manylinux_2_36_x86_64\n\
                 hint: use a wheel for the target, or choose another target with --python-version or --platform"
            )
        );
        assert_eq!(error.fault(), Fault::Project);
    }
}

#[test]
fn one_failure_ends_the_fetch_with_its_error() {
    let server = ScriptedServer::answering(|request| match request.target.as_str() {
        "/b-1-py3-none-any.whl" => Reply::new(404, ""),
        _ => Reply::new(200, "w"),
    });
    let wheels = ["a", "b", "c"].map(|name| {
        let file = format!("{name}-1-py3-none-any.whl");
        distribution(name, Some("1"), Artifact::Wheel(download(&server, &file, b"w")))
    });
    let error = Fixture::new().fetch(wheels.to_vec()).unwrap_err();
    assert_eq!(
        error_text(&error, false),
        format!(
            "error: could not download `b-1-py3-none-any.whl`\n  caused by: {} answered 404 Not Found",
            server.url("/b-1-py3-none-any.whl")
        )
    );
}

#[test]
fn an_sdist_is_built_once_and_its_wheel_kept() {
    let server = serving(b"an sdist");
    let source = sdist(download(&server, "pkg-1.0.tar.gz", b"an sdist"));
    let fixture = Fixture::new().builds("pkg-1.0-py3-none-any.whl");
    let built = fixture.fetch(vec![source.clone()]).unwrap();
    assert_eq!(std::fs::read(&built[0].path).unwrap(), BUILT);
    assert_eq!((built[0].name.as_str(), built[0].version.as_str()), ("pkg", "1.0"));
    assert_eq!(built[0].sha256, sha256(BUILT));
    let call = fixture.uv.calls().pop().unwrap();
    assert!(
        call.contains(&format!("--python {}", fixture.dir.path().join("python3.11").display())),
        "{call}"
    );
    assert!(call.ends_with("/pkg-1.0.tar.gz"), "{call}");
    assert_eq!(fixture.fetch(vec![source.clone()]).unwrap(), built);
    assert_eq!((fixture.builds_started(), server.requests().len()), (1, 1));
    std::fs::write(&built[0].path, b"PK\x05\x07").unwrap();
    assert_eq!(fixture.fetch(vec![source]).unwrap(), built);
    assert_eq!((fixture.builds_started(), server.requests().len()), (2, 1));
    let left = std::fs::read_dir(fixture.dir.path().join("cache/building")).unwrap().count();
    assert_eq!(left, 0, "scratch directories are removed");
}

#[test]
fn a_compiled_wheel_fits_by_processor_and_python() {
    let server = serving(b"an sdist");
    let source = || sdist(download(&server, "pkg-1.0.tar.gz", b"an sdist"));
    let fixture = Fixture::new().builds("pkg-1.0-cp311-cp311-linux_x86_64.whl");
    assert_eq!(fixture.fetch(vec![source()]).unwrap()[0].file_name, "pkg-1.0-cp311-cp311-linux_x86_64.whl");
    for name in [
        "pkg-1.0-cp311-cp311-linux_aarch64.whl",
        "pkg-1.0-cp312-cp312-linux_x86_64.whl",
        "pkg-1.0-cp311-cp311-macosx_11_0_arm64.whl",
    ] {
        let error = Fixture::new().builds(name).fetch(vec![source()]).unwrap_err();
        assert_eq!(
            error_text(&error, false),
            format!(
                "error: the wheel `{name}`, built here from `pkg-1.0.tar.gz`, does not run on Python 3.11 and manylinux_2_36_x86_64\n\
                 hint: choose a version that has a wheel for the target, or build on a machine with the target's system and processor"
            )
        );
    }
}

#[test]
fn the_built_wheel_must_be_the_requested_one() {
    let server = serving(b"an sdist");
    for (built, want) in [
        (
            "other-1.0-py3-none-any.whl",
            Some("`pkg-1.0.tar.gz` should build `pkg 1.0` and builds `other-1.0-py3-none-any.whl`"),
        ),
        (
            "pkg-2.0-py3-none-any.whl",
            Some("`pkg-1.0.tar.gz` should build `pkg 1.0` and builds `pkg-2.0-py3-none-any.whl`"),
        ),
        ("Pkg-1-py3-none-any.whl", None),
    ] {
        let fixture = Fixture::new().builds(built);
        let outcome = fixture.fetch(vec![sdist(download(&server, "pkg-1.0.tar.gz", b"an sdist"))]);
        assert_eq!(outcome.err().map(|error| error.to_string()).as_deref(), want, "{built}");
    }
}

#[test]
fn a_failed_build_shows_the_backends_text() {
    let server = serving(b"an sdist");
    let fixture = Fixture::new().builds("");
    let error = fixture.fetch(vec![sdist(download(&server, "pkg-1.0.tar.gz", b"an sdist"))]).unwrap_err();
    let text = error_text(&error, false);
    insta::assert_snapshot!(plain(&text), @r#"
    error: could not build `pkg` from `pkg-1.0.tar.gz`
      caused by: could not build a wheel from `[TMP]/cache/wheels/95/[HASH]/pkg-1.0.tar.gz`
      caused by: `uv build` exited with status 1
      caused by: the backend is broken
    hint: choose a version of `pkg` that has a wheel for the target, or install what its build needs
    "#);
}

#[test]
fn a_package_may_be_in_a_directory_of_its_archive() {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (path, text) in [("repo-main/libs/pkg/name", "pkg-1.0-py3-none-any.whl"), ("repo-main/README", "")] {
        zip.start_file(path, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    let bytes: &'static [u8] = zip.finish().unwrap().into_inner().leak();
    let server = serving(bytes);
    let fixture = Fixture::new();
    let inside = |directory: &str| {
        let download = download(&server, "main.zip", bytes);
        let artifact = Artifact::Sdist { download, subdirectory: Some(directory.into()) };
        fixture.fetch(vec![distribution("pkg", None, artifact)])
    };
    assert_eq!(inside("libs/pkg").unwrap()[0].file_name, "pkg-1.0-py3-none-any.whl");
    for missing in ["libs/none", "../../.."] {
        assert_eq!(
            inside(missing).unwrap_err().to_string(),
            format!("`main.zip` has no directory `{missing}`, where `pkg` should be")
        );
    }
}

/// A repository with one commit on a branch and one that only a tag-like reference reaches; their ids.
fn repository(dir: &Path) -> [String; 2] {
    let git = |arguments: &[&str]| {
        let who = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "commit.gpgsign=false"];
        let output = run(Command::new("git").current_dir(dir).args(who).args(arguments));
        String::from_utf8(output.stdout).unwrap().trim().to_string()
    };
    let commit = |name: &str| {
        std::fs::create_dir_all(dir.join("sub")).unwrap();
        std::fs::write(dir.join("name"), name).unwrap();
        std::fs::write(dir.join("sub/name"), format!("sub_{name}")).unwrap();
        git(&["add", "."]);
        git(&["commit", "-qm", name]);
        git(&["rev-parse", "HEAD"])
    };
    git(&["init", "-q", "-b", "main"]);
    let first = commit("pkg-1.0-py3-none-any.whl");
    let second = commit("pkg-2.0-py3-none-any.whl");
    git(&["update-ref", "refs/pull/1/head", &second]);
    git(&["reset", "-q", "--hard", &first]);
    [first, second]
}

#[test]
fn a_commit_is_checked_out_and_built_once() {
    let repository_dir = tempfile::tempdir().unwrap();
    let [on_branch, elsewhere] = repository(repository_dir.path());
    let url = format!("file://{}", repository_dir.path().display());
    let fixture = Fixture::new();
    let fetch = |name: &str, commit: &str, subdirectory: Option<&str>| {
        let artifact = Artifact::Git {
            url: url.clone(),
            commit: commit.into(),
            subdirectory: subdirectory.map(String::from),
        };
        fixture.fetch(vec![distribution(name, Some("0.9"), artifact)])
    };
    assert_eq!(fetch("pkg", &on_branch, None).unwrap()[0].version, "1.0");
    assert_eq!(fetch("pkg", &elsewhere, None).unwrap()[0].version, "2.0");
    assert_eq!(fetch("sub-pkg", &on_branch, Some("sub")).unwrap()[0].name, "sub-pkg");
    let builds = fixture.builds_started();
    fetch("pkg", &on_branch, None).unwrap();
    assert_eq!(fixture.builds_started(), builds);
    let missing = "0123456789".repeat(4);
    let text = error_text(&fetch("pkg", &missing, None).unwrap_err(), false);
    let want = format!(
        "error: could not get `pkg` from its Git repository\n  caused by: could not check out commit {missing} of {url}\n"
    );
    assert!(text.starts_with(&want), "{text}");
    let text = error_text(&fetch("pkg", "--upload-pack=x", None).unwrap_err(), false);
    insta::assert_snapshot!(plain(&text), @r#"
    error: could not get `pkg` from its Git repository
      caused by: `--upload-pack=x` is not the full id of a Git commit
    hint: lock again to get the full commit id
    "#);
}

#[test]
fn a_repository_that_cannot_be_read_is_named_without_its_secrets() {
    let git = |url: &str| {
        let artifact = Artifact::Git { url: url.into(), commit: "0123456789".repeat(4), subdirectory: None };
        error_text(&Fixture::new().fetch(vec![distribution("pkg", None, artifact)]).unwrap_err(), false)
    };
    let server = ScriptedServer::answering(|_| Reply::new(401, ""));
    let text = git(&server.url("/r.git").replace("http://", "http://me:hunter2@"));
    insta::assert_snapshot!(plain(&text), @r#"
    error: could not get `pkg` from its Git repository
      caused by: could not clone http://***@127.0.0.1:[PORT]/r.git
      caused by: `git clone` exited with status 128
      caused by: fatal: Authentication failed for 'http://127.0.0.1:[PORT]/r.git/'
    hint: the Git host `127.0.0.1` requires credentials: set up a credential helper or an SSH key on this machine, and try `git ls-remote` with the requirement's URL
    "#);

    assert!(!text.contains("hunter2"), "{text}");
}

/// Users saw a message about the package index, or about keys, although only the host name was wrong.
#[test]
fn a_git_host_without_an_address_is_named() {
    for url in ["https://nowhere.invalid/r.git", "ssh://git@nowhere.invalid/r.git"] {
        let artifact = Artifact::Git { url: url.into(), commit: "0123456789".repeat(4), subdirectory: None };
        let error = Fixture::new().fetch(vec![distribution("pkg", None, artifact)]).unwrap_err();
        let hint = "no address was found for the Git host `nowhere.invalid`: check its name in the requirement or the lock file, and the DNS of this machine";
        assert_eq!((error.fault(), error.hint().as_deref()), (Fault::Remote, Some(hint)), "{url}");
    }
}

#[test]
fn pip_settings_reach_our_downloads() {
    let server = serving(b"w");
    let index = server.url("/simple").replace("http://", "http://me:secret@");
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("pip.conf");
    std::fs::write(&config, format!("[global]\nindex-url = {index}\n")).unwrap();
    let fixture = Fixture::new();
    let (host, ..) = host_in(fixture.dir.path(), &[("PIP_CONFIG_FILE", config.to_str().unwrap())]);
    let fixture = Fixture { tools: Tools::new(&host), ..fixture };
    let wheel = Artifact::Wheel(download(&server, "a-1-py3-none-any.whl", b"w"));
    fixture.fetch(vec![distribution("a", Some("1"), wheel)]).unwrap();
    assert_eq!(server.requests()[0].header("authorization"), Some("Basic bWU6c2VjcmV0"));
}

#[test]

fn the_real_uv_builds_sdists_and_commits() {
    if !environments::is_here("3.11") {
        return;
    }
    let backend = "import zipfile\n\
        def build_wheel(out, config_settings=None, metadata_directory=None):\n    \
        name = 'pkg-1.0-py3-none-any.whl'\n    info = 'pkg-1.0.dist-info/'\n    \
        with zipfile.ZipFile(out + '/' + name, 'w') as z:\n        \
        z.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: pkg\\nVersion: 1.0\\n')\n        \
        z.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n        \
        z.writestr(info + 'RECORD', '')\n    return name\n";
    let pyproject = "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n";
    let repository_dir = tempfile::tempdir().unwrap();
    std::fs::write(repository_dir.path().join("backend.py"), backend).unwrap();
    std::fs::write(repository_dir.path().join("pyproject.toml"), pyproject).unwrap();
    let [commit, _] = repository(repository_dir.path());
    let archive = repository_dir.path().join("pkg-1.0.tar.gz");
    let prefix = ["archive", "--prefix=pkg-1.0/", "-o", "pkg-1.0.tar.gz", "HEAD"];
    run(Command::new("git").current_dir(repository_dir.path()).args(prefix));
    let fixture = Fixture::new();
    let (uv, python) = (environments::uv(), environments::python("3.11"));
    let path = format!("{}:{}", python.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let env = [("PEXPRESS_UV", uv.to_str().unwrap()), ("PATH", path.as_str())];
    let (host, ..) = host_in(fixture.dir.path(), &env);
    let fixture = Fixture { tools: Tools::new(&host), ..fixture };
    let sdist = sdist(Download {
        file_name: "pkg-1.0.tar.gz".into(),
        url: format!("file://{}", archive.display()),
        sha256: None,
        size_bytes: None,
    });
    let git = Artifact::Git {
        url: format!("file://{}", repository_dir.path().display()),
        commit,
        subdirectory: None,
    };
    for source in [sdist, distribution("pkg", None, git)] {
        let wheels = fixture.fetch(vec![source]).unwrap();
        assert_eq!(wheels[0].file_name, "pkg-1.0-py3-none-any.whl");
    }
}
