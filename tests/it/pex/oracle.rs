//! Our deps PEX compared with the one that pex itself makes from the same wheels: with pex's own script text, all
//! files, modes and digests are equal.

use crate::support::environments::environment;
use crate::support::{pex_file, run};
use pexpress::pex::{
    Chroot, Completeness, DepsPex, PEX_VERSION, Runtime, WHEEL_FILE_NAME, python_json, script_stub,
};
use pexpress::target::Target;
use pexpress::wheel::EntryPoint;
use serde_json::Value;
use sha1::{Digest, Sha1};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const PYTHON: &str = "3.11";
/// Pure and native code, console scripts, `.data/scripts`, `.data/headers`, names in capitals.
const REQUIREMENTS: [&str; 6] = [
    "click==8.1.7",
    "coloredlogs==15.0.1",
    "greenlet==3.1.1",
    "humanfriendly==10.0",
    "jmespath==1.0.1",
    "PyYAML==6.0.2",
];
const SYNTHETIC: &str = "all_data-1.0-py3-none-any.whl";

fn target() -> Target {
    Target::serverless(PYTHON.parse().unwrap())
}

/// An environment with pex and, to fetch wheels, pip.
fn tools() -> PathBuf {
    environment(PYTHON, &[&format!("pex=={PEX_VERSION}"), "pip"])
}

fn download(dir: &Path, requirements: &[&str]) {
    run(Command::new(tools().join("bin/python"))
        .args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"])
        .args(["--only-binary", ":all:", "--dest"])
        .arg(dir)
        .args(requirements));
}

/// A wheel with every category of the `.data` directory, and both kinds of scripts.
pub fn write_synthetic(dir: &Path) {
    let mut zip = zip::ZipWriter::new(std::fs::File::create(dir.join(SYNTHETIC)).unwrap());
    let mut member = |name: &str, mode: u32, content: &str| {
        let options = zip::write::SimpleFileOptions::default().unix_permissions(mode);
        zip.start_file(name, options).unwrap();
        zip.write_all(content.as_bytes()).unwrap();
    };
    member("all_data/__init__.py", 0o644, "def main():\n    print('main ran')\n");
    member("all_data/__main__.py", 0o644, "print('module ran')\n");
    member("all_data/ünï.txt", 0o644, "");
    member("all_data/run.sh", 0o755, "#!/bin/sh\n");
    member("all_data/__pycache__/x.cpython-311.pyc", 0o644, "junk");
    member("all_data-1.0.data/purelib/pure_part.py", 0o644, "");
    member("all_data-1.0.data/platlib/plat_part.py", 0o644, "");
    member("all_data-1.0.data/scripts/shell-part", 0o644, "#!/bin/sh\necho shell ran\n");
    member("all_data-1.0.data/headers/all_data.h", 0o644, "");
    member("all_data-1.0.data/data/share/all_data/x.txt", 0o644, "data");
    let entry_points = "[console_scripts]\nall-main = all_data:main\nall-module = all_data.__main__\n";
    member("all_data-1.0.dist-info/entry_points.txt", 0o644, entry_points);
    member("all_data-1.0.dist-info/METADATA", 0o644, "Metadata-Version: 2.1\nName: all-data\nVersion: 1.0\n");
    member(
        "all_data-1.0.dist-info/WHEEL",
        0o644,
        "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    );
    member("all_data-1.0.dist-info/RECORD", 0o644, "");
    zip.finish().unwrap();
}

/// The wheels that the tests put together.
fn wheels(dir: &Path) -> PathBuf {
    let wheels = dir.join("wheels");
    std::fs::create_dir(&wheels).unwrap();
    download(&wheels, &REQUIREMENTS);
    write_synthetic(&wheels);
    wheels
}

fn runtime(dir: &Path) -> Runtime {
    download(dir, &[&format!("pex=={PEX_VERSION}")]);
    Runtime::open(&dir.join(WHEEL_FILE_NAME)).unwrap()
}

fn chroots(wheels: &Path, stubs: &dyn Fn(&EntryPoint) -> String) -> Vec<Chroot> {
    let names =
        std::fs::read_dir(wheels).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.map(|name| Chroot::open(&wheels.join(&name), &name, stubs).unwrap()).collect()
}

fn write(dir: &Path, chroots: &[Chroot]) -> PathBuf {
    let pex = DepsPex::plan(chroots, &target(), Completeness::Required).unwrap();
    let path = dir.join(pex.file_name());
    pex.write(&mut std::fs::File::create(&path).unwrap(), &runtime(dir)).unwrap();
    path
}

/// What pex makes of the same wheels.
fn reference(dir: &Path, wheels: &Path) -> PathBuf {
    let path = dir.join("reference.pex");
    run(Command::new(tools().join("bin/pex"))
        .args(["--no-pypi", "--no-strip-pex-env", "--find-links"])
        .arg(wheels)
        .args(REQUIREMENTS)
        .args(["all-data==1.0", "--output-file"])
        .arg(&path)
        .env("PEX_ROOT", dir.join("pex_root")));
    path
}

fn members_below<'a>(
    members: &'a BTreeMap<String, pex_file::Member>,
    prefix: &'a str,
) -> impl Iterator<Item = (&'a String, &'a pex_file::Member)> {
    members.iter().filter(move |(name, _)| name.starts_with(prefix))
}

fn sha1_of_text(document: &Value) -> String {
    Sha1::digest(python_json::to_string(document)).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
#[ignore = "fetches pex and wheels from the package index"]
fn with_the_script_text_of_pex_all_files_and_digests_are_equal() {
    let dir = tempfile::tempdir().unwrap();
    let wheels = wheels(dir.path());
    let theirs = pex_file::members(&reference(dir.path(), &wheels));
    let stub = |point: &EntryPoint| {
        let end = format!("/.prefix/bin/{}", point.name);
        let (_, member) = theirs.iter().find(|(name, _)| name.ends_with(&end)).unwrap();
        String::from_utf8(member.content.clone()).unwrap()
    };
    let ours = pex_file::members(&write(dir.path(), &chroots(&wheels, &stub)));

    let names = |members: &BTreeMap<String, pex_file::Member>| members.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&ours), names(&theirs));
    for prefix in [".bootstrap/", ".deps/"] {
        assert!(members_below(&ours, prefix).count() > 50, "{prefix}");
        for (name, member) in members_below(&ours, prefix) {
            if name.ends_with("/.layout.json") {
                let document =
                    |member: &pex_file::Member| serde_json::from_slice::<Value>(&member.content).unwrap();
                assert_eq!(document(member), document(&theirs[name]), "{name}");
            } else {
                assert!(*member == theirs[name], "{name} differs");
            }
        }
    }
    for name in ["PEX-INFO", "__main__.py", "__pex__/__init__.py"] {
        assert_eq!(ours[name].mode, theirs[name].mode, "{name}");
    }

    let document = |members: &BTreeMap<String, pex_file::Member>| {
        serde_json::from_slice::<Value>(&members["PEX-INFO"].content).unwrap()
    };
    let (mut ours, their_text, mut theirs) =
        (document(&ours), theirs["PEX-INFO"].content.clone(), document(&theirs));
    // The one intended difference: the target is included.
    assert_ne!(ours["build_properties"], theirs["build_properties"]);
    ours["build_properties"] = theirs["build_properties"].clone();
    let their_hash = theirs.as_object_mut().unwrap().remove("pex_hash").unwrap();
    assert_ne!(ours.as_object_mut().unwrap().remove("pex_hash").unwrap(), their_hash);
    assert_eq!(ours, theirs);
    assert_eq!(their_hash, sha1_of_text(&ours));
    ours["pex_hash"] = their_hash;
    assert_eq!(python_json::to_string(&ours).as_bytes(), their_text);
}

#[test]
#[ignore = "fetches pex and wheels from the package index"]
fn python_runs_the_file_and_pex_tools_unpack_it() {
    let dir = tempfile::tempdir().unwrap();
    let pex = write(dir.path(), &chroots(&wheels(dir.path()), &script_stub));
    let python = tools().join("bin/python");
    let code = "import click, yaml, greenlet, all_data, pure_part, plat_part; print(click.__version__, yaml.__version__)";
    let output =
        run(Command::new(&python).arg(&pex).args(["-c", code]).env("PEX_ROOT", dir.path().join("a")));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "8.1.7 6.0.2\n");

    let venv = dir.path().join("venv");
    run(Command::new(tools().join("bin/pex-tools"))
        .arg(&pex)
        .args(["venv", "--collisions-ok", "--non-hermetic-scripts"])
        .arg(&venv)
        .env("PEX_ROOT", dir.path().join("b")));
    for (script, arguments, want) in [
        ("all-main", &[][..], "main ran\n"),
        ("all-module", &[], "module ran\n"),
        ("shell-part", &[], "shell ran\n"),
        ("humanfriendly", &["--format-size", "1000"], "1 KB\n"),
        ("jp.py", &["--help"], "usage: jp.py"),
    ] {
        let output = run(Command::new(venv.join("bin").join(script)).args(arguments));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.starts_with(want), "{script}: {text}");
    }
    assert_eq!(std::fs::read_to_string(venv.join("share/all_data/x.txt")).unwrap(), "data");
    let header = format!("include/site/python{PYTHON}/all-data/all_data.h");
    assert!(venv.join(header).is_file());
}
