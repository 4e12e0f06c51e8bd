use super::*;
use crate::pex::runtime::tests::test_runtime;
use crate::wheel::Archive;
use crate::wheel::fixture::{file, write_zip};
use std::io::Cursor;
use std::path::Path;

fn target() -> Target {
    Target::serverless("3.11".parse().unwrap())
}

fn bytes(path: &str, content: &str) -> SourceEntry {
    SourceEntry { path: path.into(), executable: false, content: Content::Bytes(content.into()) }
}

fn plan(entries: Vec<SourceEntry>) -> SourcePex {
    SourcePex::plan(entries, &target()).unwrap()
}

fn unpacked(pex: &SourcePex, dir: &Path) -> Vec<(String, u32, String)> {
    let mut out = Cursor::new(Vec::new());
    pex.write(&mut out, &test_runtime(dir)).unwrap();
    let mut archive = zip::ZipArchive::new(out).unwrap();
    let mut files = Vec::new();
    for at in 0..archive.len() {
        let mut member = archive.by_index(at).unwrap();
        let mut text = String::new();
        member.read_to_string(&mut text).unwrap();
        files.push((member.name().to_string(), member.unix_mode().unwrap(), text));
    }
    files.retain(|(name, ..)| !name.starts_with(".bootstrap") && !name.starts_with("__pex__"));
    files
}

#[test]
fn files_bytes_and_members_are_packed_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("on disk");
    let large = "line\n".repeat(100_000);
    std::fs::write(&path, &large).unwrap();
    let wheel = write_zip(dir.path(), "w.whl", &[file("pkg/m.py", "member")]);
    let member = Archive::open(&wheel).unwrap().members()[0].clone();
    let entries = vec![
        bytes("zebra.py", ""),
        bytes("é b/é.txt", "accent"),
        SourceEntry {
            path: "pkg/m.py".into(),
            executable: false,
            content: Content::Member { wheel, member },
        },
        SourceEntry { path: ".hidden/run".into(), executable: true, content: Content::File(path) },
    ];
    let pex = plan(entries.clone());
    let (info, main) = (pex.info().text(), test_runtime(dir.path()));
    let main = main.main_text(target().python, pex.info().pex_hash());
    let expected = [
        (".hidden/", 0o755, ""),
        (".hidden/run", 0o755, large.as_str()),
        ("PEX-INFO", 0o644, &info),
        ("__main__.py", 0o755, &main),
        ("pkg/", 0o755, ""),
        ("pkg/m.py", 0o644, "member"),
        ("zebra.py", 0o644, ""),
        ("é b/", 0o755, ""),
        ("é b/é.txt", 0o644, "accent"),
    ]
    .map(|(name, mode, text): (&str, u32, &str)| (name.to_string(), mode, text.to_string()));
    assert_eq!(unpacked(&pex, dir.path()), expected);
    let reversed = plan(entries.into_iter().rev().collect());
    assert_eq!(reversed.file_name(), pex.file_name());
}

#[test]
fn everything_an_agent_can_see_is_part_of_the_name() {
    let base = plan(vec![bytes("a", "1\n2\n"), bytes("b", "3\n"), bytes(".env", "x")]).file_name();
    let executable = SourceEntry { executable: true, ..bytes("b", "3\n") };
    for (what, entries) in [
        ("content", vec![bytes("a", "1\n2\n"), bytes("b", "4\n"), bytes(".env", "x")]),
        ("a dot file", vec![bytes("a", "1\n2\n"), bytes("b", "3\n"), bytes(".env", "y")]),
        ("a mode", vec![bytes("a", "1\n2\n"), executable, bytes(".env", "x")]),
        ("the border of files", vec![bytes("a", "1\n"), bytes("b", "2\n3\n"), bytes(".env", "x")]),
        ("a name", vec![bytes("a", "1\n2\n"), bytes("c", "3\n"), bytes(".env", "x")]),
        ("a file less", vec![bytes("a", "1\n2\n"), bytes("b", "3\n")]),
    ] {
        assert_ne!(plan(entries).file_name(), base, "{what}");
    }
}

#[test]
fn no_files_hash_to_what_pex_writes_for_none() {
    assert_eq!(plan(Vec::new()).info().code_hash(), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
}

#[test]
fn paths_that_an_agent_would_misplace_are_refused() {
    for (paths, reason) in [
        (&["../x"][..], "leaves the directory"),
        (&["/x"], "absolute"),
        (&["a//x"], "empty"),
        (&["pex/x.py"], "reserves"),
        (&["__main__.py"], "reserves"),
        (&["__pex__.py"], "reserves"),
        (&[".depsx/y"], "reserves"),
        (&[".bootstrap-sass/y"], "reserves"),
        (&["__pycache__/x"], "reserves"),
        (&["a", "a"], "twice"),
        (&["a", "a-b", "a/b"], "both a file and a directory"),
    ] {
        let entries = paths.iter().map(|path| bytes(path, "")).collect();
        let error = SourcePex::plan(entries, &target()).expect_err(reason).to_string();
        assert!(error.contains(reason), "{error}");
    }
    plan(vec![bytes("working_directory/root/pex/__main__.py", ""), bytes("a\\b", ""), bytes("pexes/x", "")]);
}

#[test]
fn a_file_that_changes_after_planning_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file.py");
    let runtime = test_runtime(dir.path());
    for changed in ["other", "longer than before", "", "short"] {
        std::fs::write(&path, "begin").unwrap();
        let entry =
            SourceEntry { path: "m.py".into(), executable: false, content: Content::File(path.clone()) };
        let pex = plan(vec![entry]);
        std::fs::write(&path, changed).unwrap();
        let error = pex.write(&mut Cursor::new(Vec::new()), &runtime).unwrap_err();
        assert!(error.to_string().ends_with("file.py` changed while it was being packed"), "{error}");
    }
}

#[test]
fn a_file_that_is_gone_is_named() {
    let entry = SourceEntry {
        path: "m.py".into(),
        executable: false,
        content: Content::File("no/such/file.py".into()),
    };
    let error = SourcePex::plan(vec![entry], &target()).unwrap_err().to_string();
    assert_eq!(error, "could not read `no/such/file.py`");
}
