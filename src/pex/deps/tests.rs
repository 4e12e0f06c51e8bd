use super::*;
use crate::pex::runtime::tests::test_runtime;
use crate::pex::script_stub;
use crate::wheel::fixture::{dist_info, executable, file, write_zip};
use std::io::Cursor;
use std::path::Path;

fn target(python: &str) -> Target {
    Target::serverless(python.parse().unwrap())
}

/// A wheel `NAME-VERSION-py3-none-any.whl` with these METADATA lines.
fn chroot(dir: &Path, name: &str, version: &str, headers: &str) -> Chroot {
    tagged(dir, name, version, "py3-none-any", headers)
}

fn tagged(dir: &Path, name: &str, version: &str, tag: &str, headers: &str) -> Chroot {
    let stem = format!("{name}-{version}");
    let mut members = dist_info(&stem, name, version, headers);
    members.extend([file(&format!("{name}/__init__.py"), name), executable(&format!("{name}/run"), "")]);
    members.push(file(
        &format!("{stem}.dist-info/entry_points.txt"),
        &format!("[console_scripts]\n{name} = {name}:x"),
    ));
    let file_name = format!("{stem}-{tag}.whl");
    Chroot::open(&write_zip(dir, &file_name, &members), &file_name, &script_stub).unwrap()
}

fn written(pex: &DepsPex<'_>, dir: &Path) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    let written = pex.write(&mut out, &test_runtime(dir)).unwrap();
    assert_eq!(written.size_bytes, out.get_ref().len() as u64);
    out.into_inner()
}

#[test]
fn the_same_wheels_in_any_order_give_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let chroots = ["a", "b", "c"].map(|name| chroot(dir.path(), name, "1.0", ""));
    let plan = |order: [usize; 3]| {
        let pex =
            DepsPex::plan(order.map(|at| &chroots[at]), &target("3.11"), Completeness::Required).unwrap();
        (pex.file_name(), written(&pex, dir.path()))
    };
    let first = plan([0, 1, 2]);
    assert_eq!(first, plan([2, 0, 1]));
    assert_eq!(first, plan([1, 2, 0]));
}

#[test]
fn the_archive_holds_these_members() {
    let dir = tempfile::tempdir().unwrap();
    let chroots = [chroot(dir.path(), "b", "1.0", ""), chroot(dir.path(), "a", "1.0", "")];
    let pex = DepsPex::plan(&chroots, &target("3.11"), Completeness::Required).unwrap();
    let bytes = written(&pex, dir.path());
    assert!(bytes.starts_with(b"#!/usr/bin/env python3.11\nPK\x03\x04"));
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut listing = String::new();
    for at in 0..archive.len() {
        let member = archive.by_index(at).unwrap();
        listing += &format!("{:o} {}\n", member.unix_mode().unwrap(), member.name());
    }
    insta::assert_snapshot!(listing, @r#"
    755 .bootstrap/
    755 .bootstrap/pex/
    644 .bootstrap/pex/pex_boot.py
    755 .bootstrap/pex/venv/
    644 .bootstrap/pex/venv/x.py
    755 .deps/
    755 .deps/a-1.0-py3-none-any.whl/
    644 .deps/a-1.0-py3-none-any.whl/.layout.json
    755 .deps/a-1.0-py3-none-any.whl/.prefix/
    755 .deps/a-1.0-py3-none-any.whl/.prefix/bin/
    755 .deps/a-1.0-py3-none-any.whl/.prefix/bin/a
    755 .deps/a-1.0-py3-none-any.whl/a-1.0.dist-info/
    644 .deps/a-1.0-py3-none-any.whl/a-1.0.dist-info/INSTALLER
    644 .deps/a-1.0-py3-none-any.whl/a-1.0.dist-info/METADATA
    644 .deps/a-1.0-py3-none-any.whl/a-1.0.dist-info/WHEEL
    644 .deps/a-1.0-py3-none-any.whl/a-1.0.dist-info/entry_points.txt
    755 .deps/a-1.0-py3-none-any.whl/a/
    644 .deps/a-1.0-py3-none-any.whl/a/__init__.py
    755 .deps/a-1.0-py3-none-any.whl/a/run
    755 .deps/b-1.0-py3-none-any.whl/
    644 .deps/b-1.0-py3-none-any.whl/.layout.json
    755 .deps/b-1.0-py3-none-any.whl/.prefix/
    755 .deps/b-1.0-py3-none-any.whl/.prefix/bin/
    755 .deps/b-1.0-py3-none-any.whl/.prefix/bin/b
    755 .deps/b-1.0-py3-none-any.whl/b-1.0.dist-info/
    644 .deps/b-1.0-py3-none-any.whl/b-1.0.dist-info/INSTALLER
    644 .deps/b-1.0-py3-none-any.whl/b-1.0.dist-info/METADATA
    644 .deps/b-1.0-py3-none-any.whl/b-1.0.dist-info/WHEEL
    644 .deps/b-1.0-py3-none-any.whl/b-1.0.dist-info/entry_points.txt
    755 .deps/b-1.0-py3-none-any.whl/b/
    644 .deps/b-1.0-py3-none-any.whl/b/__init__.py
    755 .deps/b-1.0-py3-none-any.whl/b/run
    644 PEX-INFO
    755 __main__.py
    755 __pex__/
    644 __pex__/__init__.py
    "#);
}

#[test]
fn every_distribution_is_listed_pinned_and_laid_out() {
    let dir = tempfile::tempdir().unwrap();
    let chroots = [chroot(dir.path(), "b", "2.0rc1+cu12", ""), chroot(dir.path(), "a", "1.0", "")];
    let pex = DepsPex::plan(&chroots, &target("3.11"), Completeness::Required).unwrap();
    assert_eq!(pex.info().requirements(), ["a==1.0", "b==2.0rc1+cu12"]);
    assert_eq!(pex.file_name(), format!("deps-{}.pex", pex.info().pex_hash()));
    let mut archive = zip::ZipArchive::new(Cursor::new(written(&pex, dir.path()))).unwrap();
    for (wheel, fingerprint) in pex.info().distributions() {
        let layout = archive.by_name(&format!(".deps/{wheel}/.layout.json")).unwrap();
        let layout: serde_json::Value = serde_json::from_reader(layout).unwrap();
        assert_eq!(layout["fingerprint"], *fingerprint);
    }
    assert_eq!(pex.info().distributions().len(), 2);
    let info: serde_json::Value = serde_json::from_reader(archive.by_name("PEX-INFO").unwrap()).unwrap();
    assert_eq!(info["pex_hash"], pex.info().pex_hash());
}

#[test]
fn another_python_gives_another_name() {
    let dir = tempfile::tempdir().unwrap();
    let chroots = [chroot(dir.path(), "a", "1.0", "")];
    let name = |python| DepsPex::plan(&chroots, &target(python), Completeness::Required).unwrap().file_name();
    assert_ne!(name("3.11"), name("3.12"));
}

#[test]
fn wheels_that_do_not_go_together_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let twice = [chroot(dir.path(), "a", "1.0", ""), chroot(dir.path(), "a", "2.0", "")];
    let foreign = [tagged(dir.path(), "w", "1.0", "cp311-cp311-win_amd64", "")];
    for (chroots, reason) in [
        (&twice[..], "`a-1.0-py3-none-any.whl` and `a-2.0-py3-none-any.whl` are two wheels"),
        (&foreign, "`w-1.0-cp311-cp311-win_amd64.whl` does not run on Python 3.11 on manylinux_2_36_x86_64"),
    ] {
        let error = DepsPex::plan(chroots, &target("3.11"), Completeness::Lenient).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn what_is_missing_is_refused_or_reported() {
    let dir = tempfile::tempdir().unwrap();
    let headers = "Requires-Dist: gone>=1\nRequires-Dist: B[extra]>=2; python_version >= '3.11'\n\
                   Requires-Dist: windows; sys_platform == 'win32'\nRequires-Dist: unasked; extra == 'x'";
    let chroots = [
        chroot(dir.path(), "a", "1.0", headers),
        chroot(dir.path(), "b", "1.5", "Requires-Dist: deep; extra == 'extra'\nRequires-Python: >=3.12"),
    ];
    let gaps = "\n  a==1.0 requires `gone>=1`, which is missing\
                \n  b==1.5 requires `deep`, which is missing\
                \n  a==1.0 requires `b[extra]>=2`, but the version is 1.5\
                \n  b==1.5 requires Python >=3.12, but the target has 3.11.11";
    let error = DepsPex::plan(&chroots, &target("3.11"), Completeness::Required).unwrap_err().to_string();
    assert_eq!(error, format!("the distributions do not fit together:{gaps}"));
    let lenient = DepsPex::plan(&chroots, &target("3.11"), Completeness::Lenient).unwrap();
    assert_eq!(lenient.gaps().iter().map(|gap| format!("\n  {gap}")).collect::<String>(), gaps);
    assert!(lenient.info().text().contains("\"ignore_errors\": true"));
}

#[test]
fn a_complete_set_is_strict_even_when_lenience_is_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let headers = "Requires-Dist: a[self]\nRequires-Dist: b >1.0; extra == 'self'";
    let chroots = [chroot(dir.path(), "a", "1.0", headers), chroot(dir.path(), "b", "2.0rc1", "")];
    let pex = DepsPex::plan(&chroots, &target("3.11"), Completeness::Lenient).unwrap();
    assert_eq!(pex.gaps(), []);
    assert!(pex.info().text().contains("\"ignore_errors\": false"));
}
