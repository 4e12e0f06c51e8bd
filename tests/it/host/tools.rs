//! uv as the library calls it: a fake one that logs its arguments, and the real one with wheels made here.

use crate::support::environments;
use crate::support::fake_uv::FakeUv;
use crate::support::hosts::host_with;
use pexpress::error::{Explain, Fault};
use pexpress::target::Target;
use pexpress::tools::{CompileRequest, NamedIndex, Tools, UvError};
use std::io::Write;
use std::path::Path;

fn target() -> Target {
    Target::serverless("3.11".parse().unwrap())
}

fn request(lines: &[&str]) -> CompileRequest {
    CompileRequest::new(lines.iter().map(|line| (*line).to_string()).collect(), target())
}

/// A pure wheel without content that requires `requires`.
fn wheel(dir: &Path, name: &str, version: &str, requires: &[&str]) {
    let info = format!("{name}-{version}.dist-info");
    let mut metadata = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n");
    metadata.extend(requires.iter().map(|line| format!("Requires-Dist: {line}\n")));
    let wheel = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
    let record = format!("{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n");
    let file = std::fs::File::create(dir.join(format!("{name}-{version}-py3-none-any.whl"))).unwrap();
    let mut archive = zip::ZipWriter::new(file);
    for (member, text) in [("METADATA", metadata.as_str()), ("WHEEL", wheel), ("RECORD", &record)] {
        let options = zip::write::SimpleFileOptions::default();
        archive.start_file(format!("{info}/{member}"), options).unwrap();
        archive.write_all(text.as_bytes()).unwrap();
    }
    archive.finish().unwrap();
}

/// `name version` of each package of a `pylock.toml`.
fn pins(pylock: &str) -> Vec<String> {
    let document: toml::Table = pylock.parse().unwrap();
    let packages = document["packages"].as_array().unwrap();
    packages
        .iter()
        .map(|p| format!("{} {}", p["name"].as_str().unwrap(), p["version"].as_str().unwrap()))
        .collect()
}

/// Tools with the real uv, cut off from any index and from the user's settings.
fn real_tools(dir: &Path) -> Tools {
    let uv = environments::uv();
    let vars = [
        ("PEXPRESS_UV", uv.to_str().unwrap()),
        ("PATH", &std::env::var("PATH").unwrap()),
        ("HOME", dir.to_str().unwrap()),
        ("PIP_CONFIG_FILE", "/dev/null"),
        ("UV_NO_SYSTEM_CONFIG", "1"),
        ("UV_PYTHON_DOWNLOADS", "never"),
        ("UV_OFFLINE", "1"),
    ];
    Tools::new(&host_with(dir, &vars))
}

#[test]
fn every_setting_of_a_request_reaches_the_real_uv() {
    let dir = tempfile::tempdir().unwrap();
    for version in ["1.0", "2.0", "3.0"] {
        wheel(dir.path(), "alpha", version, &["beta", "gamma>=2"]);
        wheel(dir.path(), "beta", version, &[]);
        wheel(dir.path(), "gamma", version, &[]);
    }
    wheel(dir.path(), "delta", "1.0", &[]);
    wheel(dir.path(), "delta", "2.0rc1", &[]);
    let tools = real_tools(dir.path());
    let mut request = request(&["alpha", "delta"]);
    request.index.no_index = true;
    request.index.find_links = vec![dir.path().to_str().unwrap().into()];
    assert_eq!(
        pins(&tools.uv().unwrap().compile(&request).unwrap()),
        ["alpha 3.0", "beta 3.0", "delta 1.0", "gamma 3.0"]
    );
    request.constraints = vec!["alpha<3".into()];
    request.overrides = vec!["gamma==1.0".into()];
    request.excludes = vec!["beta".into()];
    request.prerelease = Some("allow".into());
    assert_eq!(
        pins(&tools.uv().unwrap().compile(&request).unwrap()),
        ["alpha 2.0", "delta 2.0rc1", "gamma 1.0"]
    );
    request.overrides.clear();
    request.uv.insert("constraint-dependencies".into(), toml::Value::Array(vec!["beta<1".into()]));
    request.resolution = Some("lowest".into());
    assert_eq!(
        pins(&tools.uv().unwrap().compile(&request).unwrap()),
        ["alpha 1.0", "delta 1.0", "gamma 2.0"],
        "fields win over keys of the table"
    );
}

#[test]
fn an_unsatisfiable_request_is_the_projects_fault_and_uv_says_why() {
    let dir = tempfile::tempdir().unwrap();
    wheel(dir.path(), "alpha", "1.0", &[]);
    let tools = real_tools(dir.path());
    let mut request = request(&["alpha>=2"]);
    request.index.find_links = vec![dir.path().to_str().unwrap().into()];
    request.index.no_index = true;
    let error = tools.uv().unwrap().compile(&request).unwrap_err();
    assert_eq!(error.fault(), Fault::Project, "{error:?}");
    assert_eq!(error.to_string(), "could not resolve the requirements");
    let UvError::Project { source, .. } = &error else { panic!("{error:?}") };
    let said = std::error::Error::source(source).unwrap().to_string();
    assert!(said.contains("alpha>=2"), "{said}");
}

#[test]
fn a_silent_index_is_a_remote_fault() {
    let dir = tempfile::tempdir().unwrap();
    let uv = environments::uv();
    let path = std::env::var("PATH").unwrap();
    // A port that was just free: nothing answers there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let index = format!("http://user:hunter2@127.0.0.1:{port}/simple");
    let vars = [
        ("PEXPRESS_UV", uv.to_str().unwrap()),
        ("PATH", &path),
        ("HOME", dir.path().to_str().unwrap()),
        ("PIP_INDEX_URL", &index),
        ("UV_HTTP_RETRIES", "0"),
        ("UV_NO_SYSTEM_CONFIG", "1"),
    ];
    let tools = Tools::new(&host_with(dir.path(), &vars));
    let error = tools.uv().unwrap().compile(&request(&["alpha"])).unwrap_err();
    assert_eq!(error.fault(), Fault::Remote, "{error:?}");
    let text = pexpress::error::error_text(&error, false);
    assert!(text.contains(&format!("127.0.0.1:{port}")), "pip's index was not asked: {text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn an_index_pinned_to_a_package_is_asked_for_it_alone() {
    let dir = tempfile::tempdir().unwrap();
    let fake = FakeUv::new(dir.path(), "cp pyproject.toml \"$FAKE_UV_DIR/\"; echo 'lock-version = \"1.0\"'");
    let tools =
        Tools::new(&host_with(dir.path(), &[("PATH", "/usr/bin:/bin"), ("PEXPRESS_UV", fake.program())]));
    let mut request = request(&["alpha", "beta[x]>=1 ; python_version > '3'"]);
    request.python = Some("/p/python3.11".into());
    request.index_pins.insert("alpha".into(), "private".into());
    request.index.default_index = Some("https://mirror.example/simple".into());
    request.index.indexes =
        vec![NamedIndex { name: Some("private".into()), url: "https://p.example/".into(), explicit: true }];
    tools.uv().unwrap().compile(&request).unwrap();
    let written: toml::Table =
        std::fs::read_to_string(dir.path().join("pyproject.toml")).unwrap().parse().unwrap();
    let expected: toml::Table = r#"
        [project]
        name = "pexpress-requirements"
        version = "0"
        requires-python = ">=3.11"
        dependencies = ["alpha", "beta[x]>=1 ; python_version > '3'"]
        [tool.uv.workspace]
        [tool.uv.sources]
        alpha = { index = "private" }
        [[tool.uv.index]]
        name = "private"
        url = "https://p.example/"
        explicit = true
        [[tool.uv.index]]
        url = "https://mirror.example/simple"
        default = true
    "#
    .parse()
    .unwrap();
    assert_eq!(written, expected);
    assert_eq!(
        fake.calls().last().unwrap(),
        "pip compile --no-progress --color never pyproject.toml --format pylock.toml --no-header --python-version 3.11.11 --python-platform x86_64-manylinux_2_36 --python /p/python3.11 --no-python-downloads"
    );
}

#[test]
fn uv_may_download_a_python_only_where_there_is_none() {
    for (says, calls) in [("", 1), ("error: No interpreter found for Python 3.11.11", 2), ("error: other", 1)]
    {
        let dir = tempfile::tempdir().unwrap();
        let fails = format!("case \"$*\" in *--no-python-downloads*) echo '{says}' >&2; exit 2;; esac");
        let fake = FakeUv::new(dir.path(), if says.is_empty() { "" } else { &fails });
        let tools = Tools::new(&host_with(dir.path(), &[("PEXPRESS_UV", fake.program())]));
        let result = tools.uv().unwrap().compile(&request(&["alpha"]));
        assert_eq!(fake.calls().len(), calls, "{says}: {result:?}");
        assert!(fake.calls()[0].ends_with("--no-python-downloads"), "{:?}", fake.calls());
        assert_eq!(result.is_err(), says == "error: other", "{result:?}");
    }
}

#[test]
#[ignore = "a package index"]
fn the_pex_runtime_is_downloaded_once_and_again_when_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, uv) = (dir.path().to_str().unwrap(), environments::uv());
    let named = [("PEXPRESS_CACHE_DIR", cache), ("PEXPRESS_UV", uv.to_str().unwrap())];
    let process: Vec<_> = std::env::vars().filter(|(name, _)| !name.starts_with("PEXPRESS_")).collect();
    let vars: Vec<_> =
        process.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain(named).collect();
    let runtime = || Tools::new(&host_with(dir.path(), &vars)).pex_runtime().unwrap();
    let path = runtime();
    let sound = std::fs::read(&path).unwrap();
    std::fs::write(&path, &sound[1..]).unwrap();
    assert_eq!(runtime(), path);
    assert!(std::fs::read(&path).unwrap() == sound, "the damaged wheel is still there");
    let offline = [("PEXPRESS_CACHE_DIR", cache), ("PEXPRESS_UV", "/nowhere/uv")];
    assert_eq!(Tools::new(&host_with(dir.path(), &offline)).pex_runtime().unwrap(), path);
}
