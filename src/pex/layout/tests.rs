use super::*;
use crate::pex::script_stub;
use crate::wheel::fixture::{TestMember, dist_info, executable, file, write_zip};

const NAME: &str = "all_data-1.0-py3-none-any.whl";

fn open(members: Vec<TestMember>) -> (tempfile::TempDir, Result<Chroot, PexError>) {
    let dir = tempfile::tempdir().unwrap();
    let path = write_zip(dir.path(), "cached", &members);
    let chroot = Chroot::open(&path, NAME, &script_stub);
    (dir, chroot)
}

/// An honest wheel with these members more.
fn wheel(members: &[TestMember]) -> Vec<TestMember> {
    let mut all = dist_info("all_data-1.0", "all-data", "1.0", "Requires-Dist: six");
    all.extend_from_slice(members);
    all
}

fn listing(chroot: &Chroot) -> String {
    let line = |file: &ChrootFile| format!("{} {}\n", if file.executable { "755" } else { "644" }, file.path);
    chroot.files().iter().map(line).collect()
}

#[test]
fn every_category_of_the_data_directory_has_its_place() {
    let entry_points = "[console_scripts]\ntool = all_data.cli:main\n[gui_scripts]\nwindow = all_data\n";
    let (_dir, chroot) = open(wheel(&[
        file("all_data/__init__.py", ""),
        executable("all_data/run.sh", ""),
        file("all_data/x.pyc", ""),
        file("all_data/__pycache__/x.cpython-311.pyc", ""),
        file("all_data/vendor/six-1.0.dist-info/RECORD", ""),
        file("all_data-1.0.data/purelib/pure.py", ""),
        file("all_data-1.0.data/platlib/plat.so", ""),
        file("all_data-1.0.data/scripts/script.sh", "#!/bin/sh\n"),
        file("all_data-1.0.data/headers/a/b.h", ""),
        file("all_data-1.0.data/data/share/x.txt", ""),
        file("all_data-1.0.dist-info/entry_points.txt", entry_points),
        file("all_data-1.0.dist-info/INSTALLER", "someone else"),
        file("all_data-1.0.dist-info/licenses/L", ""),
    ]));
    insta::assert_snapshot!(listing(&chroot.unwrap()), @r#"
    644 .layout.json
    755 .prefix/bin/script.sh
    755 .prefix/bin/tool
    755 .prefix/bin/window
    644 .prefix/include/site/pythonX.Y/all-data/a/b.h
    644 .prefix/share/x.txt
    644 all_data-1.0.dist-info/INSTALLER
    644 all_data-1.0.dist-info/METADATA
    644 all_data-1.0.dist-info/WHEEL
    644 all_data-1.0.dist-info/entry_points.txt
    644 all_data-1.0.dist-info/licenses/L
    644 all_data/__init__.py
    755 all_data/run.sh
    644 all_data/vendor/six-1.0.dist-info/RECORD
    644 plat.so
    644 pure.py
    "#);
}

#[test]
fn layout_json_says_how_to_install_it() {
    let (_dir, chroot) = open(wheel(&[]));
    let chroot = chroot.unwrap();
    let text = chroot.layout_text().unwrap().replace(chroot.fingerprint().unwrap(), "[FINGERPRINT]");
    insta::assert_snapshot!(text, @r#"{"fingerprint": "[FINGERPRINT]", "record_relpath": "all_data-1.0.dist-info/RECORD", "root_is_purelib": true, "stash_dir": ".prefix"}"#);
}

#[test]
fn only_the_exact_word_true_means_purelib() {
    for (value, want) in [("true", true), ("True", false), ("false", false), ("", false)] {
        let text = format!("Wheel-Version: 1.0\nRoot-Is-Purelib: {value}\n");
        assert_eq!(dist_info::is_purelib("w", text.as_bytes()).unwrap(), want, "{value}");
    }
    insta::assert_snapshot!(dist_info::is_purelib("w.whl", b"Wheel-Version: 2.0\n").unwrap_err().to_string(), @"the wheel `w.whl` has bad metadata: it has the unknown wheel format 2.0");
}

#[test]
fn the_fingerprint_is_of_names_and_contents_and_not_of_the_archive() {
    let fingerprint = |members: Vec<TestMember>| open(members).1.unwrap().fingerprint().unwrap().to_string();
    let plain = wheel(&[file("a.py", "1"), file("b.py", "2")]);
    let reordered: Vec<_> = plain.iter().rev().cloned().collect();
    let stored = plain.iter().map(|member| TestMember { method: 0, ..member.clone() }).collect();
    let other_record = {
        let mut members = plain.clone();
        members.retain(|member| !member.name.ends_with(b"RECORD"));
        members
    };
    assert_eq!(fingerprint(plain.clone()), fingerprint(reordered));
    assert_eq!(fingerprint(plain.clone()), fingerprint(stored));
    assert_eq!(fingerprint(plain.clone()), fingerprint(other_record));
    for other in [
        wheel(&[file("a.py", "1"), file("b.py", "3")]),
        wheel(&[file("a.py", "1"), file("c.py", "2")]),
        wheel(&[file("a.py", "1")]),
    ] {
        assert_ne!(fingerprint(plain.clone()), fingerprint(other));
    }
}

#[test]
fn a_known_fingerprint_is_not_computed_again() {
    let (dir, chroot) = open(wheel(&[]));
    let chroot = chroot.unwrap().with_fingerprint("known".into());
    drop(dir);
    assert_eq!(chroot.fingerprint().unwrap(), "known");
}

#[test]
fn scripts_made_here_replace_scripts_of_the_wheel() {
    let (_dir, chroot) = open(wheel(&[
        file("all_data-1.0.data/scripts/tool", "theirs"),
        file("all_data-1.0.dist-info/entry_points.txt", "[console_scripts]\ntool = a:b\n"),
    ]));
    let chroot = chroot.unwrap();
    let scripts: Vec<_> = chroot.files().iter().filter(|file| file.path == ".prefix/bin/tool").collect();
    assert!(matches!(scripts[..], [ChrootFile { executable: true, content: FileContent::Text(_), .. }]));
}

#[test]
fn a_dist_info_directory_is_found_however_it_is_spelled() {
    for stem in ["All.Data-1.0", "all-data-1.0", "all_data-1.0.0"] {
        let (_dir, chroot) = open(dist_info(stem, "All.Data", "1.0", ""));
        let text = chroot.unwrap().layout_text().unwrap();
        assert!(text.contains(&format!("{stem}.dist-info/RECORD")), "{text}");
    }
}

#[test]
fn wheels_that_cannot_be_laid_out_are_refused_with_the_reason() {
    let renamed = |stem: &str, name: &str, version: &str| dist_info(stem, name, version, "");
    let without = |end: &str| {
        let mut members = wheel(&[]);
        members.retain(|member| !member.name.ends_with(end.as_bytes()));
        members
    };
    for (members, reason) in [
        (renamed("other-1.0", "all-data", "1.0"), "no dist-info directory of its own name"),
        (renamed("all_data-1.0", "other", "1.0"), "METADATA is for `other` 1.0"),
        (renamed("all_data-1.0", "all-data", "1.1"), "METADATA is for `all-data` 1.1"),
        (without("METADATA"), "METADATA` is missing"),
        (without("WHEEL"), "WHEEL` is missing"),
        (wheel(&renamed("all_data-2.0", "x", "1")), "several dist-info directories"),
        (wheel(&[file("all_data-1.0.data/etc/x", "")]), "unknown category"),
        (wheel(&[file("all_data-1.0.data/x", "")]), "unknown category"),
        (wheel(&[file("x", "1"), file("all_data-1.0.data/purelib/x", "2")]), "over another member"),
        (wheel(&[file("x", ""), file("all_data-1.0.data/purelib/x/y", "")]), "as a file and as a directory"),
        (wheel(&[file(".layout.json", "")]), "the PEX format reserves"),
        (dist_info("all_data-1.0", "all-data", "1.0", "Requires-Dist: six >>1"), "`Requires-Dist: six >>1`"),
    ] {
        let error = open(members).1.expect_err(reason).to_string();
        assert!(error.contains(reason) && error.contains(NAME), "{error}");
    }
}
