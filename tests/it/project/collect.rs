//! The requirements collected from each kind of project, and refused ones. The projects are in
//! `tests/fixtures/projects`.

use crate::support::environments;
use crate::support::hosts::host_with;
use crate::support::project_tree;
use crate::support::repository;
use crate::support::said::plain;
use crate::support::scripted_server::{Reply, ScriptedServer};
use pexpress::error::Explain;
use pexpress::host::Host;
use pexpress::project::{
    CollectError, CollectOptions, LockContent, LockUse, PackageBuild, Requirements, collect,
};
use pexpress::target::Target;
use pexpress::tools::Tools;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn projects() -> PathBuf {
    repository().join("tests/fixtures/projects")
}

/// Words of a command line: `--extra NAME`, `--all-extras`, `--group NAME`, `--locked`, `--no-locked`, `--python X.Y`.
fn options(words: &str) -> CollectOptions {
    let mut options = CollectOptions {
        target: Target::serverless("3.11".parse().unwrap()),
        lock_use: LockUse::Automatic,
        extras: Vec::new(),
        all_extras: false,
        reads_dockerfiles: false,
        workspaces: Default::default(),
        groups: Vec::new(),
    };
    let mut words = words.split_whitespace();
    while let Some(word) = words.next() {
        match word {
            "--extra" => options.extras.push(words.next().unwrap().into()),
            "--group" => options.groups.push(words.next().unwrap().into()),
            "--all-extras" => options.all_extras = true,
            "--locked" => options.lock_use = LockUse::Required,
            "--no-locked" => options.lock_use = LockUse::Ignored,
            "--python" => options.target = Target::serverless(words.next().unwrap().parse().unwrap()),
            other => panic!("no option {other}"),
        }
    }
    options
}

fn collected_in(directory: &Path, words: &str) -> Result<Requirements, CollectError> {
    with_tools(directory, |tools, host| collect(directory, &options(words), tools, host))
}

fn with_tools<T>(directory: &Path, run: impl FnOnce(&Tools, &Host) -> T) -> T {
    let uv = environments::uv();
    let home = tempfile::tempdir().unwrap();
    let vars = [
        ("PATH", &*std::env::var("PATH").unwrap()),
        ("HOME", &*std::env::var("HOME").unwrap()),
        ("PEXPRESS_CACHE_DIR", home.path().to_str().unwrap()),
        ("PEXPRESS_UV", uv.to_str().unwrap()),
        ("UV_PYTHON_DOWNLOADS", "never"),
    ];
    let host = host_with(directory, &vars);
    run(&Tools::new(&host), &host)
}

fn collected(project: &str, words: &str) -> Requirements {
    let directory = projects().join(project);
    collected_in(&directory, words)
        .unwrap_or_else(|error| panic!("{project}: {}", pexpress::error::error_text(&error, false)))
}

fn local_packages(found: &Requirements, project: &str) -> Vec<String> {
    let base = projects().join(project);
    let relative = |directory: &Path| pexpress::paths::relative(directory, &base).display().to_string();
    found
        .local_packages
        .iter()
        .map(|package| relative(&package.directory))
        .filter(|path| path != ".")
        .collect()
}

/// Project, options, local packages, requirement lines.
type Case = (&'static str, &'static str, &'static [&'static str], &'static [&'static str]);

fn check(cases: &[Case]) {
    for (project, words, packages, lines) in cases {
        let found = collected(project, words);
        assert_eq!(found.texts(), *lines, "{project} {words}");
        assert_eq!(local_packages(&found, project), *packages, "{project} {words}");
    }
}

#[test]
fn each_kind_of_project_is_collected() {
    check(&[
        (
            "requirements_txt/app",
            "",
            &[],
            &[
                "Requests[socks] == 2.32.*",
                "dagster-cloud     >=1.11",
                "dagster>=1.11",
                "pandas ; python_version >= \"3.9\"",
                "six==1.16.0",
            ],
        ),
        ("encodings/utf16", "", &[], &["dagster", "six"]),
        ("encodings/bom", "", &[], &["dagster", "six"]),
        ("encodings/latin1", "", &[], &["dagster", "six"]),
        ("encodings/undeclared", "", &[], &["dagster", "six"]),
        ("encodings/crlf", "", &[], &["dagster   >=1", "six"]),
        (
            "vcs",
            "",
            &[],
            &[
                "a @ git+https://git.example.com/a.git@v1#subdirectory=py",
                "b[x] @ git+ssh://git@git.example.com/b.git",
                "c @ git+https://git.example.com/c.git@main ; python_version >= \"3.8\"",
                "git+https://git.example.com/d.git",
                "https://files.example.com/e-1.0-py3-none-any.whl",
            ],
        ),
        ("cycle/a", "", &["../b"], &["dagster", "six"]),
        ("dynamic_file", "", &[], &["dagster", "pandas>=2", "six"]),
        ("dynamic_backend", "", &[], &["dagster", "six>=1"]),
        ("flit", "", &[], &["dagster", "six (>=1.16)"]),
        ("flit", "--extra dev", &[], &["dagster", "pytest", "six (>=1.16)"]),
        ("tools_only/app", "", &["../lib"], &["dagster", "six"]),
        ("package_false", "", &[], &["dagster"]),
        ("nameless", "", &[], &["dagster"]),
        ("uv_toml", "", &[], &["dagster", "inhouse"]),
        ("pdm", "--group test", &["lib"], &["dagster", "pytest", "six"]),
    ]);
}

#[test]
fn two_local_packages_with_one_name_are_reported() {
    let found = collected("namesakes", "");
    assert_eq!(local_packages(&found, "namesakes"), ["a", "b"]);
    let messages: Vec<_> = found.warnings.iter().map(|warning| warning.message.as_str()).collect();
    let [message] = messages.as_slice() else { panic!("{messages:?}") };
    insta::assert_snapshot!(plain(message), @"this local package and `[REPOSITORY]/tests/fixtures/projects/namesakes/a` are both named `lib`");
}

#[test]
fn extras_and_groups_are_used_only_if_requested() {
    check(&[
        ("self_extra", "", &[], &["dagster", "sqlalchemy>=2"]),
        ("self_extra", "--extra dev", &[], &["dagster", "pytest", "ruff", "sqlalchemy>=2"]),
        ("optional_and_groups", "", &[], &["dagster"]),
        ("optional_and_groups", "--extra A", &[], &["dagster", "extra-a"]),
        ("optional_and_groups", "--group lint", &[], &["dagster", "group-dev", "group-lint", "uv-dev"]),
    ]);
    let found = collected("optional_and_groups", "--extra a");
    assert_eq!(
        found.left_out,
        [
            "`proj` also has the extra b (--extra) and the dependency groups dev, lint (--group), not requested"
        ]
    );
}

#[test]
fn poetry_projects_are_converted() {
    check(&[
        (
            "poetry/app",
            "",
            &["../shared"],
            &[
                "attrs>=20",
                "dagster-cloud",
                "dagster>=1.11,<2.0",
                "direct @ https://files.example.com/direct-1.0-py3-none-any.whl",
                "helper @ git+https://git.example.com/helper.git@v1#subdirectory=py",
                "inhouse==1.2",
                "numpy<2 ; python_version < \"3.10\"",
                "numpy>=2,!=3.* ; python_version >= \"3.10\"",
                "pandas[excel]>=2.2,<2.3 ; platform_machine == 'x86_64'",
                "secret @ git+ssh://git@git.example.com/acme/secret.git@abc123",
                "tomli>=2,<3 ; python_version < \"3.11\"",
            ],
        ),
        (
            "poetry_two",
            "",
            &[],
            &["dagster>=1.11", "helper @ git+https://git.example.com/helper.git@main", "inhouse>=1"],
        ),
    ]);
    let with_extras = collected("poetry/app", "--extra pg --group docs");
    for line in ["psycopg2>=2.9,<3.0", "mkdocs"] {
        assert!(with_extras.texts().iter().any(|known| known == line), "{line}: {:?}", with_extras.texts());
    }
    for project in ["poetry/app", "poetry_two"] {
        let settings = collected(project, "").settings;
        assert_eq!(settings.index_pins.get("inhouse").map(String::as_str), Some("private"), "{project}");
        let index = settings.indexes.first().unwrap();
        assert_eq!((index.name.as_deref(), index.explicit), (Some("private"), project == "poetry/app"));
    }
}

/// Poetry's own library decides what a constraint means.
#[test]
#[ignore = "poetry-core comes from the package index"]
fn poetry_constraints_mean_what_poetry_core_reads() {
    let constraints = [
        "^1.16",
        "*",
        "~1.2",
        "~1",
        "^0.0.3",
        "^0.0",
        "^0",
        "^0.1.2.3",
        "^1.2.3.4",
        "1.2.*",
        "==1.*",
        "!=1.4.*",
        ">=1,<2 || >=3,<4",
        "^1 || ^2",
        "^1 || ^4",
        ">=1 <2",
        "~=1.2.3",
        "~=1.2",
        "1.2",
        "==1.2",
        "=1.2",
        "v1.2",
        ">1,!=1.5",
        "^1.0a1",
        "~1.2.3a1",
        "~1.2.3.4",
        "^2021.4",
        "<=1.5",
        "<1.5",
        ">1.5",
        ">= 1.2 , <2",
        "x",
        ">=1.0,<2.0,!=1.5.*",
        "^1.0 || ^2.0 || ^4.0",
        "1.2.* || 1.4.*",
        "^1!2.0",
        "1.*.*",
    ];
    let project = tempfile::tempdir().unwrap();
    let pairs = constraints.map(|constraint| {
        let text =
            format!("[tool.poetry]\nname = \"p\"\n[tool.poetry.dependencies]\npkg = \"{constraint}\"\n");
        std::fs::write(project.path().join("pyproject.toml"), text).unwrap();
        let found = collected_in(project.path(), "").unwrap();
        assert_eq!((found.lines.len(), found.warnings.len()), (1, 0), "{constraint}");
        (constraint, found.lines[0].text.clone())
    });
    let environment =
        environments::environment(environments::helper_version(), &["poetry-core", "packaging"]);
    let mut command = Command::new(environment.join("bin/python"));
    command.arg(repository().join("tests/consumer/poetry_constraints.py"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    serde_json::to_writer(child.stdin.take().unwrap(), &pairs.to_vec()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
}

#[test]
fn uv_sources_and_workspaces_are_followed() {
    check(&[
        (
            "uv_sources/app",
            "",
            &["../libs/other-name", "../libs/virtual"],
            &[
                "attrs",
                "dagster",
                "from-git[x] @ git+https://git.example.com/from-git.git@v2#subdirectory=python ; python_full_version >= '3.8'",
                "from-index==3",
                "from-ssh @ git+ssh://git@git.example.com/from-ssh.git@0123456789abcdef0123456789abcdef01234567",
                "from-url @ https://files.example.com/from_url-1.0.tar.gz#subdirectory=src",
                "listed @ git+https://git.example.com/listed.git@main",
                "only-in-extra",
                "orjson",
                "rich",
            ],
        ),
        (
            "uv_workspace",
            "",
            &["packages/first", "packages/second"],
            &["attrs", "dagster", "orjson", "pinned @ git+https://git.example.com/pinned.git"],
        ),
        (
            "uv_workspace/apps/group/location",
            "",
            &["../../../packages/first", "../../../packages/third", "../../../packages/second"],
            &[
                "attrs",
                "click",
                "dagster",
                "dagster-cloud",
                "orjson",
                "pinned @ git+https://git.example.com/pinned.git",
            ],
        ),
        ("uv_virtual_root", "", &["one", "two"], &["dagster", "six"]),
    ]);
    let member = collected("uv_workspace/apps/group/location", "");
    assert_eq!(member.settings.constraints, ["protobuf<7"], "settings are those of the root");
    insta::assert_snapshot!(member.warnings.iter().map(|warning| warning.message.as_str()).collect::<Vec<_>>().join("\n"), @"`gamma` is a member of the workspace and is taken from there, although tool.uv.sources does not declare it");
}

/// An `@` in a marker made the line count as one with a URL, so that its name was looked up on the index.
#[test]
fn a_source_counts_wherever_the_line_is_and_whatever_its_marker_says() {
    let local = "foo = { path = './foo' }";
    for (lines, source, words, want) in [
        ("dependencies = [LINE]", local, "", ""),
        ("optional-dependencies.x = [LINE]", local, "--extra x", ""),
        ("[dependency-groups]\nx = [LINE]", local, "--group x", ""),
        (
            "dependencies = [LINE]",
            "foo = { url = 'https://h/foo.zip' }",
            "",
            "foo[a] @ https://h/foo.zip ; platform_version != 'a@b;c'",
        ),
        (
            "dependencies = [LINE]",
            "foo = { git = 'https://h/foo', tag = 'v@1' }",
            "",
            "foo[a] @ git+https://h/foo@v@1 ; platform_version != 'a@b;c'",
        ),
    ] {
        let project = project_tree(&[
            ("foo/pyproject.toml", "[project]\nname = 'foo'\nversion = '1'\noptional-dependencies.a = []\n"),
            (
                "pyproject.toml",
                &format!("[tool.uv.sources]\n{source}\n[project]\nname = 'p'\nversion = '1'\n{lines}\n")
                    .replace("LINE", "\"foo[a] ; platform_version != 'a@b;c'\""),
            ),
        ]);
        let found = collected_in(project.path(), words).unwrap();
        assert_eq!(found.texts().join(", "), want, "{lines} {source}");
        assert_eq!(found.local_packages.len(), if want.is_empty() { 2 } else { 1 }, "{lines} {source}");
    }
}

/// `uv export` in a workspace writes paths from its root, wherever the file then lies.
#[test]
fn paths_of_a_workspace_export_are_found_from_the_root() {
    let member = |name: &str| format!("[project]\nname = '{name}'\nversion = '1'\ndependencies = ['six']\n");
    let workspace = project_tree(&[
        ("pyproject.toml", "[tool.uv.workspace]\nmembers = ['apps/*', 'libs/*']\n"),
        ("apps/main/pyproject.toml", &member("main")),
        ("apps/main/requirements.txt", "-e ./apps/main\n-e ./libs/one\n./libs/two[x]\nattrs==1\n"),
        ("libs/one/pyproject.toml", &member("one")),
        ("libs/two/pyproject.toml", &member("two")),
    ]);
    let found = collected_in(&workspace.path().join("apps/main"), "").unwrap();
    let mut names: Vec<_> = found.local_packages.iter().filter_map(|package| package.name.clone()).collect();
    names.sort();
    assert_eq!((names.join(" "), found.texts().join(" ")), ("main one two".into(), "attrs==1 six".into()));
}

/// The message blamed uv.lock, which `uv lock` does not change.
#[test]
fn a_requirements_file_that_contradicts_the_lock_is_named_with_its_line() {
    let lock = "version = 1\nrevision = 3\nrequires-python = '>=3.11'\n[[package]]\nname = 'p'\nversion = '1'\nsource = { virtual = '.' }\ndependencies = [{ name = 'six' }]\n[package.metadata]\nrequires-dist = [{ name = 'six' }]\n[[package]]\nname = 'six'\nversion = '1.17.0'\nsource = { registry = 'https://index.example/simple' }\nwheels = [{ url = 'https://index.example/six-1.17.0-py2.py3-none-any.whl', hash = 'sha256:4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274', size = 11050 }]\n";
    let project = project_tree(&[
        (
            "pyproject.toml",
            "[project]\nname = 'p'\nversion = '1'\nrequires-python = '>=3.11'\ndependencies = ['six']\n",
        ),
        ("requirements.txt", "# exported\nsix==1.16.0\n"),
        ("uv.lock", lock),
    ]);
    let found = collected_in(project.path(), "").unwrap();
    let [warning] = found.warnings.as_slice() else { panic!("{:?}", found.warnings) };
    assert_eq!(
        warning.message,
        "`six==1.16.0` contradicts uv.lock, which has `six` 1.17.0, and is used; if this file is an export of the lock, regenerate it (`uv export --output-file requirements.txt`), else remove the line"
    );
    assert_eq!(warning.place.as_ref().unwrap().line, Some(2));
    assert_eq!(found.texts(), ["six==1.16.0"]);
    let refused = |text: &str| {
        std::fs::write(project.path().join("requirements.txt"), text).unwrap();
        let error = collected_in(project.path(), "--locked").unwrap_err();
        (error.place().unwrap().line, error.to_string(), error.hint().unwrap())
    };
    assert_eq!(
        refused("\nsix==1.16.0\n"),
        (
            Some(2),
            "`six==1.16.0` contradicts uv.lock, which has `six` 1.17.0".into(),
            "export this file from the lock again (`uv export --output-file requirements.txt`), or remove the line, or leave --locked out".into()
        )
    );
    assert_eq!(
        refused("\n\nattrs\n"),
        (
            Some(3),
            "`attrs` is not in uv.lock, and --locked leaves nothing to choose".into(),
            "add it to the dependencies in pyproject.toml and run `uv lock`, or leave --locked out".into()
        )
    );
}

/// A build directory that is a link: `..` is resolved in the text, or otherwise by the file system.
#[cfg(unix)]
#[test]
fn behind_a_link_files_above_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let lib = "[project]\nname = 'lib'\nversion = '1'\ndependencies = ['orjson']\n";
    write("releases/v2/lib/pyproject.toml", lib);
    write("releases/v2/common.txt", "attrs\n");
    write("releases/v2/limits.txt", "attrs<9\n");
    let app = "releases/v2/app";
    std::fs::create_dir_all(dir.path().join("apps")).unwrap();
    std::os::unix::fs::symlink("../releases/v2/app", dir.path().join("apps/current")).unwrap();
    let head = "[project]\nname = 'app'\nversion = '1'\ndependencies = ['lib']\n";
    let rooted = "[project]\nname = 'app'\nversion = '1'\ndependencies = ['lib @ {root:parent:uri}/lib']\n";
    for (file, text, want) in [
        ("requirements.txt", "-r ../common.txt\n-c ../limits.txt\n", "attrs"),
        ("requirements.txt", "../lib\n", "orjson"),
        ("pyproject.toml", &format!("{head}[tool.uv.sources]\nlib = {{ path = '../lib' }}\n"), "orjson"),
        ("pyproject.toml", rooted, "orjson"),
        ("pyproject.toml", &format!("{head}[tool.uv.sources]\nlib = {{ workspace = true }}\n"), "orjson"),
    ] {
        if text.contains("workspace") {
            write("releases/v2/pyproject.toml", "[tool.uv.workspace]\nmembers = ['app', 'lib']\n");
        }
        write(&format!("{app}/{file}"), text);
        let found = collected_in(&dir.path().join("apps/current"), "").unwrap();
        std::fs::remove_file(dir.path().join(app).join(file)).unwrap();
        assert_eq!(found.texts(), [want], "{text}");
    }
}

#[test]
fn lock_files_decide_the_versions() {
    const HELPER: &str =
        "helper @ git+https://git.example.com/helper.git@0123456789abcdef0123456789abcdef01234567";
    check(&[
        ("locks/uv/app", "", &["../lib"], &["idna==3.20", "six==1.17.0"]),
        ("locks/uv/app", "--extra web", &["../lib"], &["idna==3.20", "six==1.17.0", "toolz==1.2.0"]),
        (
            "locks/uv/app",
            "--python 3.9",
            &["../lib"],
            &["idna==3.20", "six==1.17.0", "typing-extensions==4.16.0"],
        ),
        ("locks/uv", "", &["app", "lib"], &["idna==3.20", "six==1.17.0"]),
        ("locks/uv_stale/app", "", &["../lib"], &["idna==3.20", "new", "six<1.10"]),
        ("locks/pylock", "", &["../local"], &["extra-line", "six==1.17.0"]),
        ("locks/pylock_without_files", "", &[], &["dagster==1.2.3"]),
        ("locks/poetry", "", &[], &[HELPER, "inhouse==3.1", "six[x]==1.16.0"]),
        ("locks/poetry", "--group dev", &[], &[HELPER, "inhouse==3.1", "pytest==8.0", "six[x]==1.16.0"]),
        (
            "locks/uv/app",
            "--no-locked",
            &["../lib"],
            &["idna", "six>=1.10", "typing-extensions ; python_version < '3.10'"],
        ),
    ]);
    let kind = |project: &str| {
        let found = collected(project, "");
        let lock = found.lock.unwrap();
        let kind = match lock.content {
            LockContent::Pylock { complete: true, .. } => "complete",
            LockContent::Pylock { complete: false, .. } => "incomplete",
            LockContent::Constraints => "constraints",
        };
        (
            kind,
            found.warnings.iter().any(|warning| warning.message.contains("out of date")),
            found.hashes.len(),
        )
    };
    assert_eq!(kind("locks/uv/app"), ("complete", false, 0));
    assert_eq!(kind("locks/uv_stale/app"), ("incomplete", true, 1), "hashes of what still holds");
    assert_eq!(kind("locks/pylock"), ("incomplete", false, 1));
    assert_eq!(kind("locks/pylock_without_files"), ("incomplete", false, 0), "its files are left to uv");
    assert_eq!(kind("locks/poetry"), ("constraints", false, 2));
    let settings = collected("locks/poetry", "").settings;
    let wanted = [HELPER, "inhouse==3.1", "six==1.16.0", "transitive==2.0"];
    assert_eq!(settings.constraints, wanted);
}

#[test]
fn a_conflict_with_a_lock_is_blamed_on_the_lock() {
    let mut found = collected("locks/pylock_without_files", "");
    found.settings.no_index = true;
    let error = with_tools(&projects(), |tools, _| {
        pexpress::resolve::run(&found, Path::new("."), options("").target, tools).unwrap_err()
    });
    let message = error.to_string();
    assert!(message.starts_with("what the lock file leaves open cannot be resolved\n  "), "{message}");
    assert!(error.place().unwrap().file.ends_with("locks/pylock_without_files/pylock.toml"));
    assert!(error.hint().unwrap().contains("--no-locked"));
}

#[test]
fn requirements_files_are_downloaded_from_urls() {
    let server = ScriptedServer::answering(|request| match request.target.as_str() {
        "/base/main.txt" => Reply::new(200, "six\n-c limits/all.txt\n"),
        "/base/limits/all.txt" => Reply::new(200, "protobuf<7\n"),
        _ => Reply::new(404, ""),
    });
    let project = tempfile::tempdir().unwrap();
    let write = |path: &str| {
        let text = format!("dagster\n-r {}\n", server.url(path));
        std::fs::write(project.path().join("requirements.txt"), text).unwrap();
    };
    write("/base/main.txt");
    let found = collected_in(project.path(), "").unwrap();
    assert_eq!(found.texts(), ["dagster", "six"]);
    assert_eq!(found.settings.constraints, ["protobuf<7"]);
    write("/base/missing.txt");
    let error = collected_in(project.path(), "").unwrap_err();
    insta::assert_snapshot!(plain(&error.to_string()), @"could not fetch the requirements file http://127.0.0.1:[PORT]/base/missing.txt");
    insta::assert_snapshot!(error.hint().unwrap(), @"download it next to the file that names it, and refer to it by its path");
}

#[test]
fn settings_of_uv_reach_the_resolver() {
    let found = collected("uv_sources/app", "");
    let settings = &found.settings;
    assert_eq!(settings.constraints, ["protobuf<7"]);
    assert_eq!(settings.overrides, ["pydantic>=2"]);
    assert_eq!(settings.build_constraints, ["setuptools<80"]);
    assert_eq!(settings.excludes, ["unwanted"]);
    assert_eq!(settings.exclude_newer.as_deref(), Some("2026-01-01T00:00:00Z"));
    assert_eq!(settings.prerelease.as_deref(), Some("allow"));
    assert_eq!(settings.index_strategy.as_deref(), Some("unsafe-best-match"));
    assert_eq!(settings.only_binary, ["pandas"]);
    assert_eq!(settings.index_pins.get("from-index").map(String::as_str), Some("private"));
    assert_eq!(settings.find_links, [projects().join("uv_sources/app/wheels").to_str().unwrap()]);
    let settings = collected("uv_toml", "").settings;
    assert_eq!(settings.constraints, ["protobuf<7"], "uv.toml comes before [tool.uv]");
    assert_eq!(settings.default_index.as_deref(), Some("https://packages.example.com/simple"));
    assert_eq!(settings.index_pins["inhouse"], "private");
    let [wheel] = found.local_distributions.as_slice() else { panic!("{:?}", found.local_distributions) };
    assert_eq!(wheel.path, projects().join("uv_sources/path_wheel-1.0-py3-none-any.whl"));
}

#[test]
fn options_of_requirements_files_reach_the_resolver() {
    let found = collected("requirements_txt/app", "");
    let settings = &found.settings;
    assert_eq!(settings.constraints, ["urllib3<3", "protobuf<7"]);
    assert_eq!(settings.indexes[0].url, "https://packages.example.com/simple");
    assert_eq!(settings.find_links, [projects().join("requirements_txt/wheels").to_str().unwrap()]);
    assert_eq!(settings.no_binary, ["psycopg2"]);
    assert_eq!(settings.prerelease.as_deref(), Some("allow"));
    assert_eq!(found.hashes["six"].len(), 2);
}

#[test]
fn how_a_local_package_is_built_follows_from_its_files() {
    let build_of = |project: &str, at: &str| {
        let found = collected(project, "");
        let directory = pexpress::paths::lexically_normal(&projects().join(project).join(at));
        found.local_packages.into_iter().find(|package| package.directory == directory).unwrap().build
    };
    let setuptools = PackageBuild::Backend { backend: "setuptools.build_meta:__legacy__".into() };
    assert_eq!(build_of("tools_only/app", "."), PackageBuild::None);
    assert_eq!(build_of("tools_only/app", "../lib"), PackageBuild::None);
    assert_eq!(build_of("package_false", "."), PackageBuild::None);
    assert_eq!(build_of("uv_sources/app", "../libs/virtual"), PackageBuild::None);
    assert_eq!(build_of("uv_sources/app", "../libs/other-name"), setuptools);
    assert_eq!(build_of("uv_sources/app", "."), PackageBuild::None);
    assert_eq!(
        build_of("poetry/app", "."),
        PackageBuild::Backend { backend: "poetry.core.masonry.api".into() }
    );
}

/// Every file below `directory`.
fn files(directory: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut pending = vec![directory.to_path_buf()];
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path.clone());
            }
            found.insert(path);
        }
    }
    found
}

#[test]
#[ignore = "a Python without setuptools gets it from the package index"]
fn setup_py_is_run_and_leaves_nothing_behind() {
    let before = files(&projects());
    for words in ["--python 3.9", "--python 3.11", "--python 3.13"] {
        check(&[(
            "local_paths/app",
            words,
            &["plain", "extras", "../beside", "nested/dir", "editable", "../named"],
            &["attrs", "click", "dagster", "pyyaml", "rich", "tabulate"],
        )]);
    }
    check(&[
        ("setup_py", "", &[], &["Dagster-Cloud>=1.0", "dagster", "six"]),
        ("setup_py", "--extra dev", &[], &["Dagster-Cloud>=1.0", "dagster", "pytest", "six"]),
        ("setup_cfg", "", &[], &["dagster", "six"]),
        ("setup_requires", "", &[], &["dagster"]),
        ("setup_cfg", "--extra dev", &[], &["dagster", "pytest", "six"]),
        ("all_three", "", &[], &["from-poetry>=1.2,<2.0", "from-requirements", "from-setup-py"]),
    ]);
    let dynamic = collected("dynamic_setup_py", "--extra dev");
    let names: Vec<_> = dynamic.names().into_iter().collect();
    assert_eq!(names, ["dagster", "proj", "pytest", "tomli"]);
    assert_eq!(files(&projects()), before);
    let local = collected("local_paths/app", "");
    assert_eq!(local.local_distributions.len(), 1);
}

/// Project, options, what the message says, `FILE:LINE` at the end of its place (empty for none), what the hint says.
type Refusal = (&'static str, &'static str, &'static str, &'static str, &'static str);

#[test]
fn errors_are_refused_with_their_place_and_a_fix() {
    let cases: &[Refusal] = &[
        ("refused/not_there", "", "does not exist", "", "name a directory that exists"),
        ("refused/nothing", "", "has no requirements.txt, setup.py or pyproject.toml", "", "add one"),
        (
            "refused/local_without_files",
            "",
            "has no requirements.txt",
            "requirements.txt:2",
            "add a pyproject",
        ),
        (
            "refused/missing_path",
            "",
            "`./nowhere` names a path that does not exist",
            "requirements.txt:2",
            "correct",
        ),
        ("refused/missing_include", "", "`-r nowhere.txt` names", "requirements.txt:1", "correct the path"),
        (
            "refused/bad_line",
            "",
            "`this is not a requirement` is not",
            "requirements.txt:2",
            "Dependency specifiers",
        ),
        ("refused/single_equals", "", "`dagster=1.0` is not", "requirements.txt:1", "write `dagster==1.0`"),
        ("refused/bad_option", "", "no option `--upgrade`", "requirements.txt:2", "pip's documentation"),
        ("refused/require_hashes", "", "has no --hash", "requirements.txt:2", "--generate-hashes"),
        ("refused/zero_byte", "", "a zero byte", "requirements.txt:2", "save it as UTF-8"),
        ("refused/dynamic_option", "", "setuptools takes no options", "r.txt:2", "write its requirements"),
        ("refused/project_text", "", "must be a table, not a string", "pyproject.toml:1", ""),
        (
            "refused/poetry_file",
            "",
            "names a path that does not exist",
            "pyproject.toml:5",
            "correct the path",
        ),
        ("refused/poetry_source", "", "the source `stranger`", "pyproject.toml:6", "[[tool.poetry.source]]"),
        ("refused/group_cycle", "--group a", "`a` includes itself", "pyproject.toml:8", "remove"),
        (
            "refused/group_cycle",
            "--group c",
            "no dependency group `gone`",
            "pyproject.toml:10",
            "the dependency groups are a, b, c",
        ),
        ("refused/pylock_broken", "", "not valid TOML", "pylock.toml:2", "--no-locked"),
        ("refused/uv_lock_conflict", "", "a merge conflict begins here", "uv.lock:2", "--no-locked"),
        ("refused/two_of_a_name", "", "are named `same`", "two/pyproject.toml", "rename one"),
        ("refused/bad_toml", "", "not valid TOML", "pyproject.toml:2", ""),
        ("refused/dependency_string", "", "must be a list, not a string", "pyproject.toml:4", ""),
        ("refused/bad_dependency", "", "`pandas^2` is not", "pyproject.toml:6", "Poetry's notation"),
        ("refused/old_python", "", "excludes Python 3.11", "pyproject.toml:4", "--python-version 3.12"),
        ("refused/poetry_python", "", "excludes Python 3.11", "pyproject.toml:4", "3.8 or 3.9 or 3.10"),
        ("refused/poetry_constraint", "", "`^one` is not a version constraint", "pyproject.toml:4", ""),
        ("refused/setup_py_fails", "", "RuntimeError: the reason", "setup.py", "run it by hand"),
        (
            "refused/unknown_index",
            "",
            "the index `private`, which is not declared",
            "pyproject.toml:6",
            "add [[",
        ),
        ("refused/not_a_member", "", "has no member `stranger`", "pyproject.toml:8", "its members are proj"),
        ("refused/no_workspace", "", "the project is not in one", "pyproject.toml:6", "[tool.uv.workspace]"),
        ("optional_and_groups", "--all-extras", "`./nowhere` names", "pyproject.toml:7", "correct"),
        (
            "locks/uv_stale/app",
            "--locked",
            "`new` (pyproject.toml:5) is not in it",
            "uv.lock",
            "run `uv lock`",
        ),
        (
            "locks/pylock",
            "--locked",
            "does not decide `extra-line`",
            "pylock.prod.toml",
            "leave --locked out",
        ),
        ("locks/none", "--locked", "has no uv.lock, pylock.toml or poetry.lock", "", "commit a lock file"),
        ("optional_and_groups", "--extra zz", "no extra `zz`", "pyproject.toml", "the extras are a, b"),
        (
            "optional_and_groups",
            "--group zz",
            "no dependency group `zz`",
            "pyproject.toml",
            "the dependency groups are dev, lint",
        ),
    ];
    for (project, words, message, place, hint) in cases {
        let Err(error) = collected_in(&projects().join(project), words) else {
            panic!("{project} was taken")
        };
        assert!(error.to_string().contains(message), "{project}: {error}");
        let found = error.place().map(|place| match place.line {
            Some(line) => format!("{}:{line}", place.file.display()),
            None => place.file.display().to_string(),
        });
        let found = found.unwrap_or_default();
        assert!(found.ends_with(place) && found.is_empty() == place.is_empty(), "{project}: at {found}");
        assert!(error.hint().unwrap_or_default().contains(hint), "{project}: {:?}", error.hint());
    }
}
