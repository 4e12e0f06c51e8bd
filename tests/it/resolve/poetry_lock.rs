//! A project with a poetry.lock, on a machine without uv: its files come straight from the index.

use crate::support::said::{messages, plain};
use crate::support::scripted_server::{Reply, ScriptedServer};
use crate::support::small_project::{write_wheel, write_wheel_asking};
use crate::support::{files_named, json, kept_cache, pexpress};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Output;

const PROJECT: &str = "[project]\nname = 'shop'\nversion = '1'\nrequires-python = '>=3.9'\n\
    dependencies = ['dagster', 'dagster-cloud[more]']\n[tool.poetry]\npackage-mode = false\n";

/// Tables of the lock: dagster needs `third`, an extra of dagster-cloud `fourth`, and nothing on this target `fifth`.
const EDGES: [(&str, &str); 5] = [
    (
        "dagster",
        "[package.dependencies]\nthird = \">=1\"\nfifth = {version = \"*\", markers = \"sys_platform == 'win32'\"}\n",
    ),
    (
        "dagster-cloud",
        "[package.dependencies]\nfourth = {version = \"*\", optional = true, markers = \"extra == \\\"more\\\"\"}\n\
         [package.extras]\nmore = [\"fourth (>=1)\"]\n",
    ),
    ("third", ""),
    ("fourth", ""),
    ("fifth", ""),
];

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A project, its wheels and an index that has them.
struct Fixture {
    dir: tempfile::TempDir,
    server: ScriptedServer,
}

impl Fixture {
    /// `source` follows each package of the lock. `change` is made to each page of the index.
    fn new(source: impl Fn(&ScriptedServer) -> String, change: fn(String) -> String) -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let (project, wheels) = (dir.path().join("project"), dir.path().join("wheels"));
        std::fs::create_dir(&project).unwrap();
        std::fs::create_dir(&wheels).unwrap();
        write_wheel_asking(&wheels, "dagster", "1.13.27", &["third>=1", "fifth; sys_platform == 'win32'"]);
        write_wheel_asking(&wheels, "dagster-cloud", "1.13.27", &["fourth; extra == 'more'"]);
        ["third", "fourth", "fifth"].iter().for_each(|name| write_wheel(&wheels, name, "1.13.27"));
        let at = wheels.clone();
        let server = ScriptedServer::answering(move |request| answer(&at, &request.target, change));
        let mut lock = String::new();
        for (name, tables) in EDGES {
            let file = file_name(name);
            let digest = sha256(&std::fs::read(wheels.join(&file)).unwrap());
            write!(
                lock,
                "[[package]]\nname = \"{name}\"\nversion = \"1.13.27\"\noptional = false\npython-versions = \">=3.8\"\n\
                 groups = [\"main\"]\nfiles = [\n    {{file = \"{file}\", hash = \"sha256:{digest}\"}},\n]\n{tables}\n{}\n",
                source(&server)
            )
            .unwrap();
        }
        lock += "[metadata]\nlock-version = \"2.1\"\npython-versions = \">=3.9\"\ncontent-hash = \"00\"\n";
        std::fs::write(project.join("poetry.lock"), lock).unwrap();
        std::fs::write(project.join("pyproject.toml"), PROJECT).unwrap();
        Fixture { dir, server }
    }

    fn build(&self, variables: &[(&str, &str)], more: &[&str]) -> Output {
        let mut command = pexpress();
        command.arg("deps").arg(self.dir.path().join("project")).arg(self.dir.path().join("out")).args(more);
        // Neither uv nor a Python.
        command.env("PEXPRESS_UV", "/nowhere/uv").env("PATH", "/nowhere").env("HOME", self.dir.path());
        for name in ["PIP_FIND_LINKS", "PIP_INDEX_URL", "UV_FIND_LINKS"] {
            command.env_remove(name);
        }
        command.env("PIP_CONFIG_FILE", "/dev/null").env("PEXPRESS_CACHE_DIR", self.cache());
        command.envs(variables.iter().copied()).output().unwrap()
    }

    /// A cache with nothing but the PEX runtime.
    fn cache(&self) -> std::path::PathBuf {
        let cache = self.dir.path().join("cache");
        if !cache.exists() {
            std::fs::create_dir(&cache).unwrap();
            let runtime = pexpress::pex::WHEEL_SHA256;
            let below = format!("wheels/{}/{runtime}", &runtime[..2]);
            std::fs::create_dir_all(cache.join(&below)).unwrap();
            let name = pexpress::pex::WHEEL_FILE_NAME;
            std::fs::copy(kept_cache().join(&below).join(name), cache.join(&below).join(name)).unwrap();
        }
        cache
    }
}

fn file_name(name: &str) -> String {
    format!("{}-1.13.27-py3-none-any.whl", name.replace('-', "_"))
}

fn answer(wheels: &Path, target: &str, change: fn(String) -> String) -> Reply {
    if let Some(name) = target.strip_prefix("/simple/").and_then(|rest| rest.strip_suffix('/')) {
        let file = file_name(name);
        let Ok(wheel) = std::fs::read(wheels.join(&file)) else { return Reply::new(404, "") };
        let page = format!("<html><a href=\"/files/{file}#sha256={}\">{file}</a></html>", sha256(&wheel));
        return Reply::new(200, change(page)).header("Content-Type", "text/html");
    }
    match target.strip_prefix("/files/").and_then(|name| std::fs::read(wheels.join(name)).ok()) {
        Some(wheel) => Reply::new(200, wheel),
        None => Reply::new(404, ""),
    }
}

fn targets(server: &ScriptedServer) -> Vec<String> {
    let mut targets: Vec<_> = server.requests().into_iter().map(|request| request.target).collect();
    targets.sort();
    targets
}

#[test]
fn a_poetry_lock_is_built_without_uv_and_without_python() {
    let by_variable = Fixture::new(|_| String::new(), |page| page);
    let by_lock = Fixture::new(
        |server| {
            let url = server.url("/simple");
            format!("[package.source]\ntype = \"legacy\"\nurl = \"{url}\"\nreference = \"own\"\n")
        },
        |page| page,
    );
    let index = by_variable.server.url("/simple");
    for (fixture, index) in [(&by_variable, index.as_str()), (&by_lock, "http://127.0.0.1:9/simple")] {
        let output = fixture.build(&[("UV_DEFAULT_INDEX", index)], &[]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{}", messages(&said));
        assert_eq!(files_named(&fixture.dir.path().join("out"), "deps-").len(), 1);
        let names = ["dagster", "dagster-cloud", "fourth", "third"];
        let mut want: Vec<_> = names.iter().map(|name| format!("/files/{}", file_name(name))).collect();
        want.extend(names.iter().map(|name| format!("/simple/{name}/")));
        want.sort();
        assert_eq!(targets(&fixture.server), want);
        // What is in the cache is not looked for again.
        assert!(fixture.build(&[("UV_DEFAULT_INDEX", index)], &[]).status.success());
        assert_eq!(targets(&fixture.server), want);
    }
}

#[test]
fn the_files_of_a_lock_are_known_before_any_index_is_asked() {
    let fixture = Fixture::new(|_| String::new(), |page| page);
    let index = fixture.server.url("/simple");
    let output = fixture.build(&[("UV_DEFAULT_INDEX", &index)], &["--dry-run", "--format", "json"]);
    let document = json(&output);
    let texts = |key: &str| -> Vec<String> {
        let list = document[key].as_array().unwrap().iter();
        list.map(|one| one.as_str().map_or_else(|| one["name"].as_str().unwrap().into(), str::to_string))
            .collect()
    };
    let pins = ["dagster-cloud==1.13.27", "dagster==1.13.27", "fourth==1.13.27", "third==1.13.27"];
    assert_eq!(texts("requirements"), pins);
    assert_eq!(texts("distributions"), ["dagster", "dagster-cloud", "fourth", "third"]);
    assert_eq!(targets(&fixture.server), [""; 0]);
}

#[test]
fn a_file_that_the_index_does_not_have_is_named() {
    let other = |page: String| page.replace("#sha256=", "#sha256=00");
    let fixture = Fixture::new(|_| String::new(), other);
    let index = fixture.server.url("/simple");
    let output = fixture.build(&[("UV_DEFAULT_INDEX", &index), ("UV_CONCURRENT_DOWNLOADS", "1")], &[]);
    assert_eq!(output.status.code(), Some(3));
    insta::assert_snapshot!(messages(&String::from_utf8_lossy(&output.stderr)), @r"
    error: no package index has `dagster-1.13.27-py3-none-any.whl` with the expected SHA-256
    hint: lock again, or let the index mirror this file unchanged
    ");
    let output = fixture.build(&[("UV_DEFAULT_INDEX", &fixture.server.url("/nothing"))], &[]);
    assert_eq!(output.status.code(), Some(3));
    let said = plain(&String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("answered 404 Not Found"), "{said}");
}

#[test]
fn without_a_known_index_uv_resolves_with_the_pins() {
    let fixture = Fixture::new(|_| String::new(), |page| page);
    let output = fixture.build(&[], &["--verbose"]);
    assert_eq!(output.status.code(), Some(4));
    let said = plain(&String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("uv resolves with the pins of") && said.contains("`/nowhere/uv`"), "{said}");
}
