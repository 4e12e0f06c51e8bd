//! uv's settings for builds apply to source archives and to the project itself.
//!
//! Everything comes from a directory of small wheels and archives; each backend records its settings.

use crate::support::said::messages;
use crate::support::{files_named, pexpress_with_uv, project_tree, run};
use std::io::Write;
use std::path::Path;

/// A build backend that imports `SEES` and writes settings and variables into the wheel of `NAME`.
const BACKEND: &str = r#"
import os, zipfile
import SEES
def get_requires_for_build_wheel(config_settings=None):
    return []
def prepare_metadata_for_build_wheel(directory, config_settings=None):
    info = os.path.join(directory, "NAME-1.0.dist-info")
    os.makedirs(info)
    with open(os.path.join(info, "METADATA"), "w") as file:
        file.write("Metadata-Version: 2.1\nName: NAME\nVersion: 1.0\n")
    return "NAME-1.0.dist-info"
def build_wheel(directory, config_settings=None, metadata_directory=None):
    name = "NAME-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(directory, name), "w") as archive:
        archive.writestr("NAME-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: NAME\nVersion: 1.0\n")
        archive.writestr("NAME-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("NAME-1.0.dist-info/RECORD", "NAME-1.0.dist-info/METADATA,,\nNAME-1.0.dist-info/WHEEL,,\nNAME-1.0.dist-info/RECORD,,\nNAME/seen.txt,,\nNAME/__init__.py,,\n")
        archive.writestr("NAME/__init__.py", "")
        archive.writestr("NAME/seen.txt", f"{sorted((config_settings or {}).items())} {os.environ.get('MODE')}")
    return name
"#;

fn backend(name: &str, sees: &str) -> String {
    BACKEND.replace("SEES", sees).replace("NAME", name)
}

fn pyproject(name: &str, further: &str) -> String {
    format!(
        "[project]\nname = '{name}'\nversion = '1.0'\nrequires-python = '>=3.11'\n{further}\n[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"
    )
}

fn archive(path: &Path, files: &[(&str, &str)]) {
    let mut archive = zip::ZipWriter::new(std::fs::File::create(path).unwrap());
    for (name, text) in files {
        archive.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(text.as_bytes()).unwrap();
    }
    archive.finish().unwrap();
}

/// A wheel with a module of its own name.
fn wheel(links: &Path, name: &str, version: &str, requires: &str) {
    let info = format!("{name}-{version}.dist-info");
    let shown = name.replace('_', "-");
    let metadata = format!("Metadata-Version: 2.1\nName: {shown}\nVersion: {version}\n{requires}");
    archive(
        &links.join(format!("{name}-{version}-py3-none-any.whl")),
        &[
            (&format!("{name}/__init__.py"), ""),
            (&format!("{info}/METADATA"), &metadata),
            (
                &format!("{info}/WHEEL"),
                "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            ),
            (
                &format!("{info}/RECORD"),
                &format!("{name}/__init__.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n"),
            ),
        ],
    );
}

/// A source archive whose build sees `sees`.
fn sdist(links: &Path, name: &str, sees: &str) {
    let at = |file: &str| format!("{name}-1.0/{file}");
    archive(
        &links.join(format!("{name}-1.0.zip")),
        &[
            (&at("pyproject.toml"), &pyproject(name, "")),
            (&at("PKG-INFO"), &format!("Metadata-Version: 2.2\nName: {name}\nVersion: 1.0\n")),
            (&at("backend.py"), &backend(name, sees)),
        ],
    );
}

const SETTINGS: &str = "
dependencies = ['dagster', 'dagster-cloud', 'needs', 'loose', 'runtime', 'liar']
[tool.uv]
no-index = true
find-links = ['../links']
required-version = '>=99'
config-settings = { all = '1' }
config-settings-package = { Needs = { own = '2' }, shop = { own = '3' } }
extra-build-dependencies = { NEEDS = ['helper'], shop = ['helper'] }
extra-build-variables = { needs = { MODE = 'fast' }, shop = { MODE = 'slow' } }
no-build-isolation-package = ['loose']
dependency-metadata = [
  { name = 'liar', version = '1.0', requires-dist = [] },
  { name = 'loose', version = '1.0' },
]";

fn member(pex: &Path, end: &str) -> String {
    let mut archive = zip::ZipArchive::new(std::fs::File::open(pex).unwrap()).unwrap();
    let name = archive.file_names().find(|name| name.ends_with(end)).map(str::to_string);
    let name = name.unwrap_or_else(|| panic!("no {end} in {}", pex.display()));
    std::io::read_to_string(archive.by_name(&name).unwrap()).unwrap()
}

#[test]
fn settings_for_builds_reach_archives_and_the_project_itself() {
    let tree = project_tree(&[
        ("p/pyproject.toml", &pyproject("shop", SETTINGS)),
        ("p/backend.py", &backend("shop", "helper")),
        ("p/shop/__init__.py", ""),
        ("links/none", ""),
    ]);
    let links = tree.path().join("links");
    wheel(&links, "dagster", "1.13.27", "");
    wheel(&links, "dagster_cloud", "1.13.27", "");
    wheel(&links, "helper", "1.0", "");
    wheel(&links, "runtime", "1.0", "");
    wheel(&links, "liar", "1.0", "Requires-Dist: not-there>=5\n");
    sdist(&links, "needs", "helper");
    sdist(&links, "loose", "runtime");
    let (project, out) = (tree.path().join("p"), tree.path().join("out"));
    for command in ["deps", "source"] {
        run(pexpress_with_uv().arg(command).arg(&project).arg(&out).args(["--python-version", "3.11"]));
    }
    let [deps] = files_named(&out, "deps-").try_into().unwrap();
    assert_eq!(member(&deps, "needs/seen.txt"), "[('all', '1'), ('own', '2')] fast");
    assert_eq!(member(&deps, "loose/seen.txt"), "[('all', '1')] None");
    let [source] = files_named(&out, "source-").try_into().unwrap();
    assert_eq!(member(&source, "shop/seen.txt"), "[('all', '1'), ('own', '3')] slow");
}

/// pip's own constraints apply as with pip.
#[test]
fn constraints_of_pip_hold() {
    let tree = project_tree(&[
        ("p/requirements.txt", "--no-index\n--find-links ../links\ndagster\ndagster-cloud\n"),
        ("limits.txt", "\ndagster<1.13.27\n"),
        ("links/none", ""),
    ]);
    let links = tree.path().join("links");
    for version in ["1.13.26", "1.13.27"] {
        wheel(&links, "dagster", version, "");
        wheel(&links, "dagster_cloud", version, &format!("Requires-Dist: dagster=={version}\n"));
    }
    let deps = |limits: &Path| {
        let mut command = pexpress_with_uv();
        command.args(["deps", "--dry-run", "--python-version", "3.11"]).arg(tree.path().join("p"));
        command.env("PIP_CONSTRAINT", limits).output().unwrap()
    };
    let said = deps(&tree.path().join("limits.txt"));
    assert_eq!(String::from_utf8_lossy(&said.stdout).trim(), "dagster==1.13.26\ndagster-cloud==1.13.26");
    let said = deps(&tree.path().join("none.txt"));
    assert!(!said.status.success());
    insta::assert_snapshot!(messages(&String::from_utf8_lossy(&said.stderr)), @r#"
    error: pip's setting `constraint` (PIP_CONSTRAINT or pip.conf) names a file that does not exist
      at: [TMP]/none.txt
    hint: correct the path, or unset it
    "#);
}
