//! Lock files, wheels and environments through the real uv; everything it needs is made here.

use crate::support::environments::{self, helper_version};
use crate::support::hosts::host_with;
use pexpress::error::{Explain, Fault};
use pexpress::tools::{BuildRequest, ExportRequest, IndexSettings, Tools};
use std::collections::BTreeMap;
use std::path::Path;

fn tools(home: &Path) -> Tools {
    let (uv, path) = (environments::uv(), std::env::var("PATH").unwrap());
    let vars = [
        ("PEXPRESS_UV", uv.to_str().unwrap()),
        ("PATH", &path),
        ("HOME", home.to_str().unwrap()),
        ("PYENV_ROOT", &std::env::var("PYENV_ROOT").unwrap_or_default()),
        ("PIP_CONFIG_FILE", "/dev/null"),
        ("UV_NO_SYSTEM_CONFIG", "1"),
        ("UV_PYTHON_DOWNLOADS", "never"),
        ("UV_OFFLINE", "1"),
    ];
    Tools::new(&host_with(home, &vars))
}

/// A project with its own build backend, so that building needs no index.
fn project(dir: &Path, backend: &str) {
    std::fs::create_dir_all(dir).unwrap();
    let pyproject = "[project]\nname = \"alone\"\nversion = \"1.0\"\nrequires-python = \">=3.8\"\n\
        [project.optional-dependencies]\nnothing = []\n\
        [build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n";
    std::fs::write(dir.join("pyproject.toml"), pyproject).unwrap();
    std::fs::write(dir.join("backend.py"), backend).unwrap();
}

const BACKEND: &str = r#"
import os, zipfile
try:
    import only_seen
except ImportError:
    only_seen = None
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    name = "alone-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as archive:
        archive.writestr("alone-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: alone\nVersion: 1.0\n")
        archive.writestr("alone-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("alone-1.0.dist-info/RECORD", "alone-1.0.dist-info/METADATA,,\nalone-1.0.dist-info/WHEEL,,\nalone-1.0.dist-info/RECORD,,\n")
        archive.writestr("settings.txt", str(config_settings))
        archive.writestr("seen.txt", f"{os.environ.get('MODE')} {only_seen.value if only_seen else None}")
    return name
"#;

fn tree(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let files = entries.map(|entry| {
        let content = if entry.path().is_file() { std::fs::read(entry.path()).unwrap() } else { Vec::new() };
        (entry.file_name().into_string().unwrap(), content)
    });
    files.collect()
}

#[test]
fn a_lock_is_exported_and_an_outdated_one_noticed_without_a_write() {
    let dir = tempfile::tempdir().unwrap();
    let project_dir = dir.path().join("project");
    project(&project_dir, BACKEND);
    let tools = tools(dir.path());
    let uv = tools.uv().unwrap();
    uv.process(&["lock"]).cwd(&project_dir).run(tools.host()).unwrap();
    let before = tree(&project_dir);
    let python = tools.python("3.11".parse().unwrap()).unwrap();
    let is_current = || uv.lock_is_current(&project_dir, &python);
    assert!(is_current().unwrap());
    let request = ExportRequest { frozen: true, ..ExportRequest::default() };
    let text = uv.export_lock(&project_dir, &request).unwrap();
    let packages = text.parse::<toml::Table>().unwrap()["packages"].as_array().unwrap().clone();
    assert_eq!(packages[0]["name"].as_str(), Some("alone"), "{text}");
    assert_eq!(tree(&project_dir), before);

    let pyproject = std::fs::read_to_string(project_dir.join("pyproject.toml")).unwrap();
    let stale = pyproject.replace(">=3.8", ">=3.9");
    std::fs::write(project_dir.join("pyproject.toml"), &stale).unwrap();
    assert!(!is_current().unwrap());
    assert!(uv.export_lock(&project_dir, &request).is_ok(), "frozen takes it as it is");
    let error = uv.export_lock(&project_dir, &ExportRequest::default()).unwrap_err();
    assert_eq!(error.fault(), Fault::Project);

    std::fs::write(project_dir.join("uv.lock"), "not = a lock").unwrap();
    assert_eq!(is_current().unwrap_err().fault(), Fault::Project);
}

/// uv would refuse to run: the pin is meant for the uv of the project's developers.
#[test]
fn a_pin_of_uv_in_a_project_is_ignored_and_other_settings_apply() {
    let dir = tempfile::tempdir().unwrap();
    let project_dir = dir.path().join("project");
    project(&project_dir, BACKEND);
    let tools = tools(dir.path());
    let uv = tools.uv().unwrap();
    let python = tools.python("3.11".parse().unwrap()).unwrap();
    let own = std::fs::read_to_string(project_dir.join("pyproject.toml")).unwrap();
    let settings = "[tool.uv]\nconflicts = [[{ extra = 'nothing' }, { extra = 'more' }]]\nfind-links = ['wheels']\nenvironments = [\"sys_platform == 'linux'\"]\n";
    let own = own.replace("nothing = []\n", "nothing = []\nmore = []\n") + settings;
    std::fs::create_dir(project_dir.join("wheels")).unwrap();
    let file = project_dir.join("pyproject.toml");
    std::fs::write(&file, &own).unwrap();
    uv.process(&["lock"]).cwd(&project_dir).run(tools.host()).unwrap();
    let request = ExportRequest { frozen: true, ..ExportRequest::default() };
    for version in ["==0.8.22", ">=99"] {
        std::fs::write(&file, format!("{own}required-version = '{version}'\n")).unwrap();
        assert!(uv.lock_is_current(&project_dir, &python).unwrap(), "{version}");
        assert!(uv.export_lock(&project_dir, &request).unwrap().contains("alone"), "{version}");
    }
    std::fs::write(&file, &own).unwrap();
    std::fs::write(project_dir.join("uv.toml"), "required-version = '>=99'\nfind-links = ['wheels']\n")
        .unwrap();
    assert!(uv.export_lock(&project_dir, &request).unwrap().contains("alone"), "uv.toml");
}

#[test]
fn a_wheel_appears_whole_with_the_backends_settings() {
    let dir = tempfile::tempdir().unwrap();
    let (source, out_dir) = (dir.path().join("source"), dir.path().join("out"));
    project(&source, BACKEND);
    let seen = dir.path().join("seen");
    std::fs::create_dir(&seen).unwrap();
    std::fs::write(seen.join("only_seen.py"), "value = 'seen'\n").unwrap();
    let tools = tools(dir.path());
    let python = tools.python(helper_version().parse().unwrap()).unwrap();
    let request = BuildRequest {
        source: &source,
        out_dir: &out_dir,
        python: &python,
        config_settings: &["answer=42".into()],
        variables: &[("MODE".into(), "fast".into())],
        visible: &[seen],
        build_constraints: &["setuptools<80".into()],
        index: &IndexSettings::default(),
    };
    let wheel = tools.uv().unwrap().build_wheel(&request).unwrap();
    assert_eq!(wheel, out_dir.join("alone-1.0-py3-none-any.whl"));
    assert_eq!(tree(&out_dir).len(), 1, "{:?}", tree(&out_dir).keys());
    let mut archive = zip::ZipArchive::new(std::fs::File::open(wheel).unwrap()).unwrap();
    let settings = std::io::read_to_string(archive.by_name("settings.txt").unwrap()).unwrap();
    assert_eq!(settings, "{'answer': '42'}");
    let seen = std::io::read_to_string(archive.by_name("seen.txt").unwrap()).unwrap();
    assert_eq!(seen, "fast seen");
}

#[test]
fn a_backend_that_fails_is_quoted_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (source, out_dir) = (dir.path().join("source"), dir.path().join("out"));
    project(&source, "def build_wheel(*_): raise SystemExit('the backend says no')\n");
    let tools = tools(dir.path());
    let python = tools.python(helper_version().parse().unwrap()).unwrap();
    let request = BuildRequest {
        source: &source,
        out_dir: &out_dir,
        python: &python,
        config_settings: &[],
        variables: &[],
        visible: &[],
        build_constraints: &[],
        index: &IndexSettings::default(),
    };
    let error = tools.uv().unwrap().build_wheel(&request).unwrap_err();
    assert_eq!(error.fault(), Fault::Project);
    let text = pexpress::error::error_text(&error, false);
    assert!(text.contains("the backend says no"), "{text}");
    assert_eq!(tree(&out_dir).len(), 0);
}

#[test]
fn an_environment_that_is_moved_still_runs() {
    let dir = tempfile::tempdir().unwrap();
    let tools = tools(dir.path());
    let python = tools.python(helper_version().parse().unwrap()).unwrap();
    let uv = tools.uv().unwrap();
    let (made, moved) = (dir.path().join("made"), dir.path().join("moved"));
    project(&dir.path().join("alone"), BACKEND);
    uv.venv(&made, &python).unwrap();
    uv.pip_install(&made.join("bin/python"), &[dir.path().join("alone")]).unwrap();
    std::fs::rename(&made, &moved).unwrap();
    let code = "import importlib.metadata as m, sys; print(m.version('alone'), sys.prefix)";
    let output = pexpress::tools::Process::new(
        tools.host(),
        pexpress::child_env::Purpose::Own,
        moved.join("bin/python"),
    )
    .args(["-c", code])
    .run(tools.host())
    .unwrap();
    let prefix = moved.canonicalize().unwrap();
    assert_eq!(output.text().unwrap().trim(), format!("1.0 {}", prefix.display()));
}
